"""Grading: what was handed in goes through the box, is judged outside of it, and comes into the ledger."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import re
import threading
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from tqdm import tqdm

from course_lib.cache import cache_folder
from course_lib.coursework import box
from course_lib.coursework.answers import Extracted, Notebook, extract, read
from course_lib.coursework.ledger import Ledger, Mark, Submission
from course_lib.coursework.marks import opened, questions, total
from course_lib.coursework.plan import Edition, Entry, Plan, Work, cases_digest, only, plan_for
from course_lib.coursework.release import Release, release_in, released
from course_lib.coursework.secret import secret_digest
from course_lib.coursework.submissions import File, Found, Refused, Submissions, find, printable, storable
from course_lib.coursework.tables import write_table
from course_lib.coursework.vary import MINE, students_in
from course_lib.editions import ANSWER_MARKER
from course_lib.questions import PARTS, TASKS
from course_lib.questions.variation import ASSIGNED, varied

NOBODYS = (
    "it seems to have numbers of its own, but names no student: judged by those of the book, which may be"
    " wrong. Give its release with --release"
)
MOST_NOTEBOOKS = 10  # that are read of one hand-in
MNIST = ("mnist.npz",)
CIFAR10 = ("cifar10.npz", "cifar-10-batches-py", "cifar-10-python.tar.gz")
DATA = {"task-1": (MNIST, CIFAR10), "task-2": (MNIST,)}  # files of which one is needed


def grade(
    task: str,
    submissions: Path,
    out: Path,
    *,
    secret: bytes,
    workers: int | None = None,
    releases: Sequence[Path] = (),
    scheduler: str | None = None,
) -> None:
    """Grade what was handed in; what has been graded before, and has not changed since, stays as it is.

    Parameters
    ----------
    task
        "task-1" or "task-2".
    submissions
        A folder or a zip, as `submissions.find` takes it.
    out
        The folder with the ledger. `report.csv` is written into it.
    secret
        The teacher's, from which the hidden cases are drawn.
    workers
        How many submissions are in boxes at the same time: by default as many as there are cores.
    releases
        Folders of earlier releases, whose submissions are graded too, besides those of the present one. If
        one gave each student numbers of their own, a hand-in of it is judged by the numbers of its student.
    scheduler
        The address of a Dask scheduler, whose workers do the work then.

    Raises
    ------
    ValueError
        If it can't be told who handed in what, if `out` holds the grading of another task or with another
        secret, or if the data sets for the box are not there.
    RuntimeError
        If the solution of the release does not get all its points here: then no student is graded.
    """
    if task not in TASKS:
        raise ValueError(f"there is no {task!r}; the tasks are {' and '.join(TASKS)}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be 1 or more; it is {workers}")
    came = find(submissions)
    present = released(task)
    earlier = {folder: release_in(folder, task) for folder in releases}
    made = {one.version: one for one in earlier.values()}
    made.pop(present.version, None)
    made[present.version] = present  # the last one
    for folder in releases:
        _drawn_from(folder, secret)
    for part in (part for question in TASKS[task] for part in question.parts):
        cases_digest(part.id, secret)  # where the data sets are not there, nothing begins
    with closing(_ledger_of(task, out, secret)) as ledger:
        ledger.note_about("version", present.version)
        assigned = _Assigned(
            made,
            {version: Edition.of(one) for version, one in made.items()},
            _students(ledger, earlier),
            secret,
        )
        students = {one.student for one in came.found}
        print(f"{len(came.found)} hand-ins of {len(students)} students ({came.kind}).")
        entries = _take_in(ledger, submissions, came.found, task, assigned)
        _say_who_else(ledger, submissions, out)
        own = {one.edition.version for one in entries if one.edition.given != ASSIGNED}
        if own - set(assigned.students):
            print(
                "Some notebooks have numbers of their own. Give their release with --release: it says whose."
            )
        pending = _pending(ledger, entries, secret)
        here = box.why_not() if not scheduler else ""
        if entries and not pending:
            print("Nothing is left to run: all of it was graded before, and nothing has changed since.")
        elif pending and here:
            print(f"Nothing is run: {here} Written answers can be marked.")
        elif pending:
            work = Work(secret, _with_data(_data_folder(), task))
            waiting = {plan.submission for plan in pending}
            versions = {one.edition.version for one in entries if one.submission in waiting}
            _try_solutions([assigned.editions[version] for version in versions], work, scheduler)
            _run(ledger, pending, work, workers or _cores(), scheduler)
        _carry_marks(ledger)
        _report(ledger, out, came)


def status(out: Path) -> None:
    """Print how far the grading in a folder is."""
    with opened(out) as ledger:
        asked = questions(ledger)
        _print_counts(ledger)
        counting = ledger.submissions("graded", "waiting", "failed")
        marks = [ledger.marks(one.id) for one in counting]
        for part in (part for question in asked for part in question.parts if not part.automatic):
            there = [one[part.id] for one in marks if part.id in one]
            words = sum(mark.items is None and bool(mark.comment) for mark in there)
            done = sum(mark.items is not None for mark in there)
            said = f", and {words} commented, with no points yet" if words else ""
            print(f"  {part.id}: {done} of {len(marks)} marked{said}")


# What was handed in -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Assigned:
    """What students were given.

    Parameters
    ----------
    releases, editions
        By version, the present one last.
    students
        By version, where each student got numbers of their own: who they are.
    secret
        From which those numbers were drawn.
    """

    releases: Mapping[str, Release]
    editions: Mapping[str, Edition]
    students: Mapping[str, Sequence[str]]
    secret: bytes

    def edition_for(self, found: Found, notebook: Notebook, version: str) -> tuple[Edition, str]:
        """Return what a student was given, and what is to be said of it.

        The hand-in's own name says who it is for: what stands in the notebook can be changed, or another's.
        """
        named = unicodedata.normalize("NFC", notebook.student)
        names = self.students.get(version, ())
        whose, said = _listed(found.student, names), ""
        if whose and named and named != whose:
            said = f", though the notebook was made for {printable(named)}"
        if names and not whose:
            if named not in names:
                raise Refused(
                    "each student was given numbers of their own, and the release names no student"
                    f" {printable(found.student)}"
                )
            said = ", which the notebook alone says: the release names no such student as the hand-in"
        whose = whose or named
        if not whose:
            seems_own = any(MINE in cell.source for cell in notebook.cells)
            return self.editions[version], NOBODYS if seems_own else ""
        edition = Edition.of(self.releases[version], varied(self.secret, whose))
        return edition, f"its numbers are those of {printable(whose)}{said}"


def _listed(student: str, names: Sequence[str]) -> str:
    """Return the name in a list that is a student's: as it is, or without the number of the platform."""
    alike = {name.casefold(): name for name in names}
    for name in (student, re.sub(r"_\d+$", "", student)):
        if name in names:
            return name
        if name.casefold() in alike:
            return alike[name.casefold()]
    return ""


def _students(ledger: Ledger, releases: Mapping[Path, Release]) -> dict[str, list[str]]:
    """Return whose numbers are their own, by version; what one run was told, the later ones know."""
    students: dict[str, list[str]] = json.loads(ledger.about("students") or "{}")
    for folder, one in releases.items():
        if (file := folder / "teacher" / "students.txt").is_file():
            students[one.version] = students_in(file)
    ledger.note_about("students", json.dumps(students))
    return students


def _drawn_from(folder: Path, secret: bytes) -> None:
    """Refuse a release that was made with another secret."""
    file = folder / "teacher" / "version.txt"
    about = file.read_text(encoding="utf8") if file.is_file() else ""
    digest = re.search(r"^Digest of the secret: (\w+)$", about, re.MULTILINE)
    if digest and digest[1] != secret_digest(secret):
        raise ValueError(
            f"{folder} was released with another secret (digest {digest[1]}, and this one's is"
            f" {secret_digest(secret)}): take that one, with --secret FILE"
        )


def _ledger_of(task: str, out: Path, secret: bytes) -> Ledger:
    ledger = Ledger(out)
    there, digest = ledger.about("task"), ledger.about("secret")
    wrong = ""
    if there not in ("", task):
        wrong = f"{out} holds the grading of {there}; give {task} a folder of its own"
    elif digest not in ("", secret_digest(secret)):
        wrong = (
            f"{out} was graded with another secret (digest {digest}, and this one's is"
            f" {secret_digest(secret)}): take that one, with --secret FILE, or a new folder"
        )
    if wrong:
        ledger.close()
        raise ValueError(wrong)
    ledger.note_about("task", task)
    ledger.note_about("secret", secret_digest(secret))
    return ledger


def _take_in(
    ledger: Ledger,
    folder: Path,
    found: Sequence[Found],
    task: str,
    assigned: _Assigned,
) -> list[Entry]:
    """Enter all hand-ins; return those that count."""
    entries = {}
    failed = set()
    graded = {(one.student, one.source, one.digest) for one in ledger.submissions("graded")}
    for one in found:
        try:
            notebook, version, note, left = _chosen(one, task, assigned.editions)
            edition, made_for = assigned.edition_for(one, notebook, version)
            note = "; ".join(filter(None, [note, made_for]))
            answers = extract(notebook, edition.student)
        except Refused as reason:
            _enter(ledger, folder, one, "refused", str(reason))
        except Exception as error:  # our own mistake, which must not stop the others
            failed.add(_enter(ledger, folder, one, "failed", _own_mistake(error)))
        else:
            known = (one.student, one.source, one.digest) in graded
            number = _enter(ledger, folder, one, "graded" if known else "waiting", note, answers)
            entries[number] = Entry(number, edition, answers, one.files)
            own = json.dumps(edition.given) if edition.given != ASSIGNED else ""
            ledger.note_about(f"given {number}", own)
            for file, content in left.items():
                digest = hashlib.sha256(content).hexdigest()
                ledger.add_submission(one.student, file, digest, "superseded", "another notebook counts", ())
    _settle(ledger, {*entries, *failed})
    counting = {one.id for one in ledger.submissions("waiting", "graded", "failed")}
    return [entry for number, entry in entries.items() if number in counting]


def _say_who_else(ledger: Ledger, folder: Path, out: Path) -> None:
    """Say whose hand-ins count that came from another folder: one may have been meant for another `out`."""
    others: dict[str, set[str]] = {}
    for one in ledger.submissions("waiting", "graded", "failed"):
        others.setdefault(ledger.about(f"folder {one.id}"), set()).add(one.student)
    others.pop(str(folder.resolve()), None)
    for place, students in others.items():
        print(f"{out} holds hand-ins of {len(students)} students from {place}, too, and they count.")


def _enter(
    ledger: Ledger,
    folder: Path,
    found: Found,
    status: str,
    note: str,
    answers: Mapping[str, Extracted] | None = None,
) -> int:
    """Enter one hand-in; return its number in the ledger."""
    number = ledger.add_submission(
        found.student,
        found.source,
        found.digest,
        status,
        "; ".join(filter(None, [note, found.note])),
        None
        if answers is None
        else [(part, one.source, one.warning) for part, one in answers.items() if one.source or one.warning],
    )
    ledger.note_about(f"received {number}", repr(found.received))
    ledger.note_about(f"folder {number}", str(folder.resolve()))
    return number


def _settle(ledger: Ledger, present: Collection[int]) -> None:
    """Let the newest hand-in of each student count that was not refused: the others are superseded.

    What lay at a place where another hand-in lies now does not count any more.
    """
    rivals: dict[str, list[Submission]] = {}
    for one in ledger.submissions("waiting", "graded", "failed"):
        rivals.setdefault(one.student, []).append(one)
    taken = {_place(ledger, one) for ones in rivals.values() for one in ones if one.id in present}

    def rank(one: Submission) -> tuple[bool, float, int]:
        replaced = one.id not in present and _place(ledger, one) in taken
        return not replaced, float(ledger.about(f"received {one.id}") or 0), one.id

    for ones in rivals.values():
        *others, newest = sorted(ones, key=rank)
        for one in others:
            ledger.set_status(one.id, "superseded", f"a newer hand-in counts: {newest.source}")


def _place(ledger: Ledger, one: Submission) -> tuple[str, str]:
    return ledger.about(f"folder {one.id}"), one.source


def _chosen(
    found: Found, task: str, editions: Mapping[str, Edition]
) -> tuple[Notebook, str, str, dict[str, bytes]]:
    """Return the notebook of a hand-in, its version, what is to be said of it, and the ones left.

    Of several for the task it is the one that Canvas gave the highest number, else the one in the fewest
    folders, else the newest.
    """
    files = [file for file in found.files if _is_notebook(file)]
    if not files:
        raise Refused("no notebook was handed in")
    ranked = sorted(files, key=lambda file: (file.number, -file.path.count("/"), file.received, file.path))
    readable: list[tuple[File, Notebook, bytes]] = []
    reasons = []
    for file in ranked[: -MOST_NOTEBOOKS - 1 : -1]:
        try:
            content = file.read()
            readable.append((file, read(content), content))
        except Refused as reason:
            reasons.append(str(reason) if file.path in str(reason) else f"{file.path}: {reason}")
    mine = [
        one
        for one in readable
        if one[1].task == task or (one[1].task == "" and _holds_answers(one[1], editions))
    ]
    if not mine:
        others = {notebook.task for _, notebook, _ in readable if notebook.task}
        said = [
            f"the notebook is one of {printable(other)}; this is the grading of {task}" for other in others
        ]
        unknown = [f"{file.path} is no notebook of {task}" for file, _, _ in readable]
        raise Refused("; ".join((said or unknown) + reasons))
    (file, notebook, _), *left = mine
    notes = [f"of {len(files)} notebooks {file.path} counts"] if left else []
    version = notebook.version
    if not version:
        version = list(editions)[-1]
        notes.append("the notebook says no version; taken for the present one")
    if version not in editions:
        raise Refused(
            f"made for version {printable(version)}; this grading is of {', '.join(editions)}. If it was"
            " released by you, give that release too, with --release"
        )
    return notebook, version, "; ".join(notes + reasons), {f.path: content for f, _, content in left}


def _is_notebook(file: File) -> bool:
    hidden = any(name.startswith(".") or name == "__MACOSX" for name in file.path.split("/"))
    return file.name.lower().endswith(".ipynb") and not hidden and not file.name.startswith(".")


def _holds_answers(notebook: Notebook, editions: Mapping[str, Edition]) -> bool:
    """Tell whether a notebook that names no task holds a cell of ours."""
    ours = {cell.grade_id for edition in editions.values() for cell in edition.student.cells} & set(PARTS)
    for cell in notebook.cells:
        marker = ANSWER_MARKER.search(cell.source)
        if cell.grade_id in ours or (marker and marker[1] in ours):
            return True
    return False


# What is to be done -----------------------------------------------------------------------------------------


def _pending(ledger: Ledger, entries: Sequence[Entry], secret: bytes) -> list[Plan]:
    """Return what is to be done, and let wait what has something to be done."""
    plans = []
    notes = {one.id: one.note for one in ledger.submissions()}
    for entry in entries:
        try:
            plan = plan_for(entry, secret)
        except Exception as error:
            _fail(ledger, entry.submission, error)
            continue
        done = {part: one.key for part, one in ledger.results(entry.submission).items()}
        plan = only(plan, [part for part, key in plan.keys.items() if done.get(part) != key])
        if plan.keys:
            plans.append(plan)
        note = notes[entry.submission]
        ledger.set_status(entry.submission, "waiting" if plan.keys else "graded", note)
    return plans


def _try_solutions(editions: Iterable[Edition], work: Work, scheduler: str | None) -> None:
    """Stop where the solution lacks a point: the machine or the release is to blame, and no student."""
    for edition in editions:
        print(f"First the solution of version {edition.version}, to see that all is well here.")
        plan = plan_for(Entry(0, edition, extract(edition.solution, edition.student), ()), work.secret)
        plan = only(plan, [part for part in plan.keys if part not in plan.predictions])
        doing = _on_dask([plan], work, scheduler) if scheduler else _in_threads([plan], work, 1)
        ((_, came),) = doing
        if isinstance(came, BaseException):
            raise RuntimeError(f"the solution could not be graded: {came}; no student was") from came
        short = [
            f"{one.part}, {one.points:g} of {PARTS[one.part].points:g}: {' '.join(one.messages)}"
            for one in came[0]
            if PARTS[one.part].automatic and one.points < PARTS[one.part].points
        ]
        if short:
            raise RuntimeError(
                "the solution itself does not get all its points, so something is wrong with this machine or"
                " the release, and no student was graded\n  " + "\n  ".join(short)
            )


def _run(ledger: Ledger, plans: Sequence[Plan], work: Work, workers: int, scheduler: str | None) -> None:
    """Do what is to be done, and write each submission's results as soon as they are there, all at once."""
    changed = set()
    doing = _on_dask(plans, work, scheduler) if scheduler else _in_threads(plans, work, workers)
    for plan, came in tqdm(doing, total=len(plans), unit="submission", desc="grading"):
        if isinstance(came, BaseException):
            _fail(ledger, plan.submission, came)
            continue
        results, pictures = came
        try:
            ledger.write_results(plan.submission, results, dict(pictures), "graded")
        except Exception as error:
            _fail(ledger, plan.submission, error)
        else:
            changed |= {(plan.submission, result.part) for result in results}
    names = {one.id: one.student for one in ledger.submissions()}
    touched = {(names[submission], part) for submission, part in changed}
    for student, part, before, after in ledger.changes():
        if (student, part) in touched:
            print(f"  {printable(student)}, {part}: {before:g} → {after:g} points")


_Done: TypeAlias = tuple[Plan, Any]


def _in_threads(plans: Sequence[Plan], work: Work, workers: int) -> Iterator[_Done]:
    """Work on several plans at the same time: what takes time is the boxes, which are processes.

    The threads end with the program at once, and the boxes with them.
    """
    waiting: queue.SimpleQueue[Plan] = queue.SimpleQueue()
    done: queue.SimpleQueue[_Done] = queue.SimpleQueue()
    stop = threading.Event()
    for plan in plans:
        waiting.put(plan)

    def go_on() -> None:
        while not stop.is_set():
            try:
                plan = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                done.put((plan, work(plan)))
            except BaseException as error:
                done.put((plan, error))

    for _ in range(min(workers, len(plans))):
        threading.Thread(target=go_on, daemon=True).start()
    try:
        for _ in plans:
            yield done.get()
    finally:
        stop.set()


def _on_dask(plans: Sequence[Plan], work: Work, scheduler: str) -> Iterator[_Done]:
    """Work on the machines of a Dask cluster."""
    from distributed import Client, as_completed

    with Client(scheduler) as client:  # type: ignore[no-untyped-call]
        futures = {client.submit(work, plan, pure=False): plan for plan in plans}
        for future in as_completed(futures):  # type: ignore[no-untyped-call]
            yield futures[future], future.exception() or future.result()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _data_folder() -> Path | None:
    """Return the folder with the data sets that this machine uses: None for the offline sample."""
    if os.environ.get("COURSE_DATA") == "sample":
        return None
    return Path(os.environ.get("COURSE_DATA_DIR") or cache_folder("data")).expanduser()


def _with_data(folder: Path | None, task: str) -> Path | None:
    """Refuse a folder that lacks what the box needs: there, answers would meet other data than here."""
    for names in DATA[task]:
        if folder and not any((folder / name).exists() for name in names):
            raise ValueError(
                f"{folder} lacks {' or '.join(names)}, which the box reads from there. Put it there, or unset"
                " COURSE_DATA_DIR, and it is downloaded."
            )
    return folder


# What people marked before ----------------------------------------------------------------------------------


def _carry_marks(ledger: Ledger) -> None:
    """Give a newer hand-in the marks of the earlier ones whose answer and pictures were the same.

    Each mark is carried once: what a person takes away stays away.
    """
    counting = {one.student: one for one in ledger.submissions("graded", "waiting")}
    for old in reversed(ledger.submissions("superseded")):
        new = counting.get(old.student)
        if new is None:
            continue
        carried = []
        for part, mark in ledger.marks(old.id).items():
            done = f"carried {new.id} {part}"
            waits = new.status == "waiting" and PARTS[part].kind != "text"  # for its pictures
            if (
                waits
                or part in ledger.marks(new.id)
                or ledger.about(done)
                or not _same(ledger, old, new, part)
            ):
                continue
            with ledger.transaction():
                ledger.write_mark(Mark(new.id, part, mark.items, mark.comment))
                ledger.note_about(done, old.source)
            carried.append(part)
        if carried:
            print(
                f"  {printable(new.student)}: marks kept, as the answers are the same: {', '.join(carried)}"
            )


def _same(ledger: Ledger, old: Submission, new: Submission, part: str) -> bool:
    answers = [ledger.answers(one.id).get(part) for one in (old, new)]
    sources = {answer.source if answer else "" for answer in answers}
    return len(sources) == 1 and ledger.pictures(old.id, part) == ledger.pictures(new.id, part)


# What is said of it -----------------------------------------------------------------------------------------


def _fail(ledger: Ledger, submission: int, error: BaseException) -> None:
    ledger.set_status(submission, "failed", _own_mistake(error))


def _own_mistake(error: BaseException) -> str:
    """Say that the grader, and not the submission, has failed: the next run tries again."""
    return storable(f"the grader failed: {type(error).__name__}: {error}".split("\n")[0][:500])


def _report(ledger: Ledger, out: Path, came: Submissions) -> None:
    """Print what became of every submission, and write it to `report.csv`."""
    rows: list[Sequence[str | float]] = [("student", "source", "status", "points so far", "note")]
    for one in ledger.submissions():
        points = total(ledger, one).total if one.status == "graded" else ""
        rows.append((one.student, one.source, one.status, points, one.note))
        if one.status in ("refused", "failed", "superseded") or NOBODYS in one.note:
            print(f"  {one.status}: {printable(f'{one.student} ({one.source}): {one.note}')}")
    for name, other in sorted({(one.student, one.alike) for one in came.found if one.alike}):
        print(f"  two students' names differ in case alone: {printable(name)}, {printable(other)}")
    for stray in came.strays:
        rows.append(("", stray, "nobody's", "", ""))
        print(f"  nobody's: {printable(stray)}")
    write_table(out / "report.csv", rows, for_excel=True)
    _print_counts(ledger)
    print(f"{out / 'report.csv'} lists all of them.")


def _print_counts(ledger: Ledger) -> None:
    counts = Counter(one.status for one in ledger.submissions())
    said = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    print(f"{ledger.about('task')}, version {ledger.about('version')}: {said or 'nothing'}.")

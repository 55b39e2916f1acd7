"""Grading: what was handed in goes through the box, is judged outside of it, and comes into the ledger."""

from __future__ import annotations

import hashlib
import os
import queue
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, TypeAlias

from tqdm import tqdm

from course_lib.cache import cache_folder
from course_lib.coursework import box
from course_lib.coursework.answers import Extracted, Notebook, extract, read
from course_lib.coursework.ledger import Ledger, Submission
from course_lib.coursework.marks import opened, questions, total, write_table
from course_lib.coursework.plan import Edition, Entry, Plan, Work, cases_digest, only, plan_for
from course_lib.coursework.release import released
from course_lib.coursework.submissions import File, Found, Refused, find, printable
from course_lib.editions import ANSWER_MARKER
from course_lib.questions import PARTS, TASKS, Variation
from course_lib.questions.variation import varied

MOST_NOTEBOOKS = 10  # that are read of one hand-in


def grade(
    task: str,
    submissions: Path,
    out: Path,
    *,
    secret: bytes,
    workers: int | None = None,
    releases: Sequence[Path] = (),
    data: Path | None = None,
    rerun: bool = False,
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
        Folders of earlier releases, whose submissions are graded too, besides those of the present one.
    data
        The folder with the data sets for the box: by default where `course_lib.data` finds them.
    rerun
        Grade everything anew.
    scheduler
        The address of a Dask scheduler, whose workers do the work then.

    Raises
    ------
    ValueError
        If it can't be told who handed in what, or if `out` holds the grading of another task.
    """
    if task not in TASKS:
        raise ValueError(f"there is no {task!r}; the tasks are {' and '.join(TASKS)}")
    if workers is not None and workers < 1:
        raise ValueError(f"workers must be 1 or more; it is {workers}")
    came = find(submissions)
    known = [*(Edition.in_folder(one, task) for one in releases), Edition.of(released(task))]
    editions = {one.version: one for one in known}
    for part in (part for question in TASKS[task] for part in question.parts):
        cases_digest(part.id, secret)  # where the data sets are not there, nothing begins
    with closing(_ledger_of(task, out)) as ledger:
        ledger.note_about("version", list(editions)[-1])
        students = {one.student for one in came.found}
        print(f"{len(came.found)} hand-ins of {len(students)} students ({came.kind}).")
        entries = _take_in(ledger, submissions, came.found, task, editions, secret)
        pending = _pending(ledger, entries, secret, rerun)
        here = box.why_not() if not scheduler else ""
        if pending and here:
            print(f"Nothing is run: {here} Written answers can be marked.")
        elif pending:
            work = Work(secret, data or _data_folder())
            _run(ledger, pending, work, workers or _cores(), scheduler)
        _report(ledger, out, came.strays)


def status(out: Path) -> None:
    """Print how far the grading in a folder is."""
    with opened(out) as ledger:
        asked = questions(ledger)
        _print_counts(ledger)
        counting = ledger.submissions("graded", "waiting", "failed")
        marks = [ledger.marks(one.id) for one in counting]
        for part in (part for question in asked for part in question.parts if not part.automatic):
            print(f"  {part.id}: {sum(part.id in one for one in marks)} of {len(marks)} marked")


# What was handed in -----------------------------------------------------------------------------------------


def _ledger_of(task: str, out: Path) -> Ledger:
    ledger = Ledger(out)
    there = ledger.about("task")
    if there not in ("", task):
        ledger.close()
        raise ValueError(f"{out} holds the grading of {there}; give {task} a folder of its own")
    ledger.note_about("task", task)
    return ledger


def _take_in(
    ledger: Ledger,
    folder: Path,
    found: Sequence[Found],
    task: str,
    editions: Mapping[str, Edition],
    secret: bytes,
) -> list[Entry]:
    """Enter all hand-ins; return those that count."""
    entries = {}
    failed = set()
    graded = {(one.student, one.source, one.digest) for one in ledger.submissions("graded")}
    for one in found:
        try:
            notebook, version, note, left = _chosen(one, task, editions)
            edition = editions[version]
            if notebook.student:
                edition = _varied(edition, task, varied(secret, notebook.student))
                made_for = f"its numbers are those of {printable(notebook.student)}"
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
            for file, content in left.items():
                digest = hashlib.sha256(content).hexdigest()
                ledger.add_submission(one.student, file, digest, "superseded", "another notebook counts", ())
    _settle(ledger, {*entries, *failed})
    counting = {one.id for one in ledger.submissions("waiting", "graded", "failed")}
    return [entry for number, entry in entries.items() if number in counting]


def _varied(edition: Edition, task: str, given: Variation) -> Edition:
    """Return the present edition with a student's own digit, kernel and biases."""
    present = released(task)
    if edition.version != present.version:
        raise Refused(f"it has numbers of its own, and was made for version {edition.version}")
    return Edition.of(present, given)


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
        [(part, one.source, one.warning) for part, one in (answers or {}).items() if one.source],
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
        raise Refused(f"made for version {printable(version)}; this grading is of {', '.join(editions)}")
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


def _pending(ledger: Ledger, entries: Sequence[Entry], secret: bytes, rerun: bool) -> list[Plan]:
    """Return what is to be done, and let wait what has something to be done."""
    plans = []
    notes = {one.id: one.note for one in ledger.submissions()}
    for entry in entries:
        try:
            plan = plan_for(entry, secret)
        except Exception as error:
            _fail(ledger, entry.submission, error)
            continue
        done = {} if rerun else {part: one.key for part, one in ledger.results(entry.submission).items()}
        plan = only(plan, [part for part, key in plan.keys.items() if done.get(part) != key])
        if plan.keys:
            plans.append(plan)
        note = notes[entry.submission]
        ledger.set_status(entry.submission, "waiting" if plan.keys else "graded", note)
    return plans


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
    folder = Path(os.environ.get("COURSE_DATA_DIR") or cache_folder("data"))
    return folder if folder.is_dir() else None


# What is said of it -----------------------------------------------------------------------------------------


def _fail(ledger: Ledger, submission: int, error: BaseException) -> None:
    ledger.set_status(submission, "failed", _own_mistake(error))


def _own_mistake(error: BaseException) -> str:
    """Say that the grader, and not the submission, has failed: the next run tries again."""
    words = f"the grader failed: {type(error).__name__}: {error}".split("\n")[0][:500]
    return words.encode("utf8", "replace").decode()


def _report(ledger: Ledger, out: Path, strays: Iterable[str]) -> None:
    """Print what became of every submission, and write it to `report.csv`."""
    rows: list[Sequence[str | float]] = [("student", "source", "status", "points so far", "note")]
    for one in ledger.submissions():
        points = total(ledger, one).total if one.status == "graded" else ""
        rows.append((one.student, one.source, one.status, points, one.note))
        if one.status in ("refused", "failed", "superseded"):
            print(f"  {one.status}: {printable(f'{one.student} ({one.source}): {one.note}')}")
    for stray in strays:
        rows.append(("", stray, "nobody's", "", ""))
        print(f"  nobody's: {printable(stray)}")
    write_table(out / "report.csv", rows, for_excel=True)
    _print_counts(ledger)
    print(f"{out / 'report.csv'} lists all of them.")


def _print_counts(ledger: Ledger) -> None:
    counts = Counter(one.status for one in ledger.submissions())
    said = ", ".join(f"{number} {status}" for status, number in sorted(counts.items()))
    print(f"{ledger.about('task')}, version {ledger.about('version')}: {said or 'nothing'}.")

"""What is to be done for one submission, and doing it: in the box what it says, and outside the judging."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from course_lib.coursework import box
from course_lib.coursework.answers import Extracted, Notebook, read
from course_lib.coursework.box import Job
from course_lib.coursework.images import labels
from course_lib.coursework.ledger import Result
from course_lib.coursework.needed import needed
from course_lib.coursework.release import Release
from course_lib.coursework.submissions import File, Refused
from course_lib.coursework.vary import varied_notebook
from course_lib.questions import PARTS, grading, judgement
from course_lib.questions.grading import (
    LARGEST_FILE,
    MASKED,
    Failure,
    Verdict,
    cases,
    judge,
    judge_predictions,
)
from course_lib.questions.question import Part
from course_lib.questions.variation import ASSIGNED, Variation

JUDGING = (judgement, grading)  # whoever changes these changes marks: everything is graded anew then
LONGEST_CODE = 20_000  # characters; those of the chapters have less than a tenth of it
TOO_LONG = "Not run: it has {:,} characters, and at most {:,} are taken. Leave out what it doesn't need."
ANSWER_CELLS = "Answer cells alone are taken along: what an answer needs must stand in one."
WANTED = {"function": "calls", "value": "value", "network": "network", "plot": "pictures"}
CARRIED = "An error counts once: with right answers before it, this one is worth {:g} of {:g} points."
T = TypeVar("T")


@dataclass(frozen=True)
class Edition:
    """A release as the grader looks at it."""

    version: str
    student: Notebook
    solution: Notebook
    given: Variation = ASSIGNED

    @staticmethod
    def of(release: Release, given: Variation = ASSIGNED) -> Edition:
        """Read the notebooks of a release as those that are handed in are read."""
        notebooks = (release.student, release.solution)
        if given != ASSIGNED:
            notebooks = (varied_notebook(release.student, given), varied_notebook(release.solution, given))
        student, solution = (read(json.dumps(one).encode()) for one in notebooks)
        return Edition(release.version, student, solution, given)


@dataclass(frozen=True)
class Entry:
    """A submission that counts."""

    submission: int
    edition: Edition
    answers: Mapping[str, Extracted]
    files: tuple[File, ...]


@dataclass(frozen=True)
class Plan:
    """What is still to be judged of one submission.

    Parameters
    ----------
    given
        The digit, kernel and biases that the student was given.
    keys
        Part: the digest of all that decides its result.
    jobs
        Part: what runs, with the student's own earlier answers.
    carried
        Part: the same with the solution's earlier answers, where that is something else.
    predictions
        Part: the file that was handed in, or why there is none.
    unanswered
        Part: what to say of it.
    """

    submission: int
    given: Variation
    keys: dict[str, str]
    jobs: dict[str, Job] = field(default_factory=dict)
    carried: dict[str, Job] = field(default_factory=dict)
    predictions: dict[str, bytes | str | None] = field(default_factory=dict)
    unanswered: dict[str, str] = field(default_factory=dict)


def plan_for(entry: Entry, secret: bytes) -> Plan:
    """Say what is to be done for all parts of a submission that are not for a person alone."""
    edition = entry.edition
    plan = Plan(entry.submission, edition.given, {})
    asked = {cell.grade_id for cell in edition.student.cells}
    answers = {
        part: one.source
        for part, one in entry.answers.items()
        if one.source and (PARTS[part].kind not in WANTED or len(one.source) <= LONGEST_CODE)
    }
    for part in (part for part in PARTS.values() if part.id in asked):
        decides: list[object] = [grader(), edition.version, part.id, part.kind, part.points, part.name]
        if part.kind == "predictions":
            plan.predictions[part.id] = _predictions(part, entry.files)
            decides += [plan.predictions[part.id], part.accuracy, secret]
        elif part.kind in WANTED and part.id not in answers:
            plan.unanswered[part.id] = _why_nothing_runs(entry.answers[part.id])
            decides.append(plan.unanswered[part.id])
        elif part.kind in WANTED:
            job = _job(part, edition.student, answers, secret)
            carried = _job(part, edition.solution, {part.id: answers[part.id]}, secret)
            plan.jobs[part.id] = job
            if carried.sources != job.sources:
                plan.carried[part.id] = carried
            decides += [job.sources, carried.sources, MASKED.get(part.id)]
            decides.append(cases_digest(part.id, secret, edition.given))
        else:
            continue
        plan.keys[part.id] = hashlib.sha256(repr(decides).encode()).hexdigest()
    return plan


def _why_nothing_runs(answer: Extracted) -> str:
    if len(answer.source) > LONGEST_CODE:
        return TOO_LONG.format(len(answer.source), LONGEST_CODE)
    return f"Not answered: {answer.warning}." if answer.warning else "Not answered."


def _job(part: Part, notebook: Notebook, answers: Mapping[str, str], secret: bytes) -> Job:
    """Return what runs for a part: what its answer needs of the notebook, with answers put in, and it."""
    sources: list[str] = []
    blocks = set()
    for cell in notebook.cells:
        if cell.grade_id == part.id:
            break
        other = PARTS.get(cell.grade_id)
        if cell.kind != "code" or (other and other.kind == "predictions"):
            continue
        if other:
            blocks.add(len(sources))
        sources.append(answers.get(cell.grade_id, cell.source))
    before = needed(sources, answers[part.id], blocks=blocks, unavailable=MASKED.get(part.id, ()))
    theirs = {sources[place] for place in blocks}
    lead = len(list(takewhile(lambda source: source not in theirs, before)))
    calls = tuple(case.arguments for case in cases(part.id, secret)) if part.kind == "function" else ()
    wanted = WANTED[part.kind]
    return Job(part.id, (*before, answers[part.id]), wanted, part.name, calls, lead)  # type: ignore[arg-type]


@cache
def grader() -> str:
    """Return a digest of the code that judges."""
    return hashlib.sha256(b"".join(Path(str(room.__file__)).read_bytes() for room in JUDGING)).hexdigest()


def failed(outcome: box.Outcome) -> bool:
    """Whether a failure came instead of a value."""
    return any(isinstance(value, Failure) for value in outcome.values)


@cache
def cases_digest(part_id: str, secret: bytes, given: Variation = ASSIGNED) -> str:
    """Return a digest of a part's cases and of the points that groups of them are worth."""
    part = PARTS[part_id]

    def plain(value: Any) -> object:
        if isinstance(value, np.ndarray):
            return value.dtype.str, value.shape, value.tobytes()
        if isinstance(value, tuple | list):
            return [plain(one) for one in value]
        return repr(value)

    asked = cases(part.id, secret, given) if part.automatic else ()
    return hashlib.sha256(repr([plain(asked), part.groups]).encode()).hexdigest()


def _predictions(part: Part, files: Sequence[File]) -> bytes | str | None:
    """Return the file with the predictions for a part: None if there is none, words if it can't be read."""
    stem, ending = part.name.rsplit(".", 1)
    wanted = [
        file
        for file in files  # Canvas calls a file that is there already predictions-1-4-1.json
        if file.name == part.name or (file.number and _again(file.name, stem, ending))
    ]
    if not wanted:
        return None
    newest = max(wanted, key=lambda file: (file.number, -file.path.count("/"), file.received, file.path))
    try:
        return newest.read(LARGEST_FILE)
    except Refused as reason:
        return str(reason)


def _again(name: str, stem: str, ending: str) -> bool:
    return (
        name.startswith(f"{stem}-") and name.removeprefix(f"{stem}-").removesuffix(f".{ending}").isdecimal()
    )


def only(plan: Plan, parts: Sequence[str]) -> Plan:
    """Return a plan for some of the parts."""

    def chosen(values: dict[str, T]) -> dict[str, T]:
        return {part: value for part, value in values.items() if part in parts}

    return Plan(
        plan.submission,
        plan.given,
        chosen(plan.keys),
        chosen(plan.jobs),
        chosen(plan.carried),
        chosen(plan.predictions),
        chosen(plan.unanswered),
    )


# Doing it ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """What judging takes besides a plan. An object of this kind can go to another machine."""

    secret: bytes
    data: Path | None

    def __call__(self, plan: Plan) -> tuple[list[Result], dict[str, tuple[bytes, ...]]]:
        """Run and judge what a plan says: the results, and the pictures by part."""
        outcomes = self._run(plan.jobs, 0)
        verdicts = {part: self._judged(part, outcome, plan) for part, outcome in outcomes.items()}
        short = [
            part
            for part in plan.carried
            if (
                verdicts[part].points < PARTS[part].points
                if PARTS[part].automatic
                else failed(outcomes[part])
            )
        ]
        late = sum(outcome.late for outcome in outcomes.values())
        for part, outcome in self._run({part: plan.carried[part] for part in short}, late).items():
            second = self._judged(part, outcome, plan)
            if PARTS[part].kind == "plot" and not failed(outcome):
                outcomes[part] = outcome
                verdicts[part] = Verdict(0.0, ("Drawn with right answers before it.", *second.messages))
            elif second.points > verdicts[part].points:
                said = (CARRIED.format(second.points, PARTS[part].points), *second.messages)
                noted = ("judged with the solution's answers before it", *second.notes)
                verdicts[part] = Verdict(second.points, said, noted)
        for part, content in plan.predictions.items():
            verdicts[part] = self._scored(PARTS[part], content)
        for part, words in plan.unanswered.items():
            verdicts[part] = Verdict(0.0, (words,))
        results = [
            Result(
                plan.submission,
                part,
                verdict.points,
                verdict.messages,
                verdict.notes,
                plan.keys[part],
                outcomes[part].seconds if part in outcomes else 0.0,
            )
            for part, verdict in verdicts.items()
        ]
        return results, {part: outcome.pictures for part, outcome in outcomes.items()}

    def _run(self, jobs: Mapping[str, Job], late: int) -> dict[str, box.Outcome]:
        """Run functions where what would do their job can't be imported, and all else where it can.

        Hidden cases come last: a job whose words reach the student never runs in a box after them.
        """
        functions = [job for part, job in jobs.items() if part in MASKED]
        others = [job for part, job in jobs.items() if part not in MASKED]
        masked = sorted({module for job in functions for module in MASKED[job.part]})
        called = [*map(_public, functions), *map(_hidden, functions)]
        called = [job for job in called if job.calls]
        came = box.run(called, masked=masked, data=self.data, late=late) if called else {}
        outcomes = {job.part: _together(came, job.part) for job in functions}
        late += sum(outcome.late for outcome in came.values())
        return outcomes | (box.run(others, data=self.data, late=late) if others else {})

    def _judged(self, part_id: str, outcome: box.Outcome, plan: Plan) -> Verdict:
        part = PARTS[part_id]
        if part.kind == "plot":  # for a person to mark
            words = [value.words for value in outcome.values if isinstance(value, Failure)]
            printed = (f"It printed: {outcome.printed}",) if outcome.printed.strip() else ()
            return Verdict(0.0, (*words, *printed))
        verdict = judge(part, outcome, self.secret, plan.given)
        if any("NameError" in message for message in verdict.messages):
            verdict = replace(verdict, messages=(*verdict.messages, ANSWER_CELLS))
        return verdict

    def _scored(self, part: Part, content: bytes | str | None) -> Verdict:
        if isinstance(content, str):
            return Verdict(0.0, (content,))
        return judge_predictions(part, content, _labels(f"task-{part.question[0]}", self.secret)[part.id])


HIDDEN = "{} hidden"  # the job that runs the hidden cases of a part


def _public(job: Job) -> Job:
    """Return the job of a function with the calls of the public cases alone.

    What a function says of them reaches the student, so the process that it says it in must not hold the
    arguments of the others.
    """
    return replace(job, calls=job.calls[: len(cases(job.part))])


def _hidden(job: Job) -> Job:
    """Return the job of a function with the calls of the hidden cases alone."""
    return replace(job, part=HIDDEN.format(job.part), calls=job.calls[len(cases(job.part)) :])


def _together(came: Mapping[str, box.Outcome], part: str) -> box.Outcome:
    """Return the values of both jobs of a part, in the order of `cases`."""
    public, hidden = came[part], came.get(HIDDEN.format(part))
    if hidden is None:
        return public
    return replace(
        public,
        values=public.values + hidden.values,
        tried=tuple(dict.fromkeys(public.tried + hidden.tried)),
        seconds=public.seconds + hidden.seconds,
    )


@cache
def _labels(task: str, secret: bytes) -> Mapping[str, Any]:
    return labels(task, secret)  # of all parts: the images are drawn for it

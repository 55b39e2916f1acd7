"""Marks: what every student has, as a table of our own and in the files that Canvas and Moodle import."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from course_lib.coursework.ledger import Ledger, Mark, Submission
from course_lib.coursework.submissions import printable
from course_lib.coursework.tables import write_table
from course_lib.questions import TASKS
from course_lib.questions.question import Part, Question
from course_lib.questions.variation import ASSIGNED, Variation

NAMES = {"csv": "marks.csv", "canvas": "marks-canvas.csv", "moodle": "marks-moodle.csv"}
# What Canvas puts before the assignments, and wants to find there again.
CANVAS_STUDENT = (
    *("Student", "LastName", "FirstName", "ID", "SIS User ID", "SIS Login ID"),
    *("Integration ID", "Root Account", "Section"),
)
WHERE = {
    "canvas": "Canvas, Grades, Export",
    "moodle": "Moodle, the assignment, Submissions, Download grading worksheet",
}
LONGEST_LIST = 10  # students named in an error

Row: TypeAlias = list[str | float]


# What a submission has --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Total:
    """The points of one submission.

    Parameters
    ----------
    points
        By part; None where nobody and nothing has judged it yet.
    """

    points: dict[str, float | None]

    @property
    def missing(self) -> tuple[str, ...]:
        """The parts that are not judged yet; as long as there are any, the total is provisional."""
        return tuple(part for part, points in self.points.items() if points is None)

    @property
    def total(self) -> float:
        """The points of all parts that are judged."""
        return added(self.points.values())

    def of(self, question: Question) -> float:
        """Return the points of a question."""
        return added(self.points[part.id] for part in question.parts)


def total(ledger: Ledger, submission: Submission) -> Total:
    """Return the points of a submission, part by part.

    A part that the grader judges has its result's points, one that a person marks the points of the fulfilled
    rubric items. A refused submission has no points yet:
    nobody has decided that it is worth nothing.

    Raises
    ------
    ValueError
        If a part has points that it can't have: NaN, infinite, below 0 or above its maximum, or from a rubric
        item that does not exist.
    """
    parts = [part for question in questions(ledger) for part in question.parts]
    if submission.status == "refused":
        return Total(dict.fromkeys(part.id for part in parts))  # a person decides what it is worth
    # Where a submission waits for the grader, or the grader failed, results belong to an earlier run.
    results = ledger.results(submission.id) if submission.status == "graded" else {}
    marks = ledger.marks(submission.id)
    points: dict[str, float | None] = {}
    for part in parts:
        if part.automatic:
            found = round(results[part.id].points, 6) if part.id in results else None
        else:
            found = marked(part, marks[part.id], submission) if part.id in marks else None
        if found is not None and not 0 <= found <= part.points:  # NaN is not either
            raise ValueError(
                f"{printable(submission.student)} has {found} points in {part.id}, which gives 0 to"
                f" {plain(part.points)}: grade or mark it again"
            )
        points[part.id] = found
    return Total(points)


def marked(part: Part, mark: Mark, submission: Submission) -> float | None:
    """Return the points of the rubric items that a person found fulfilled: None where only words stand."""
    if mark.items is None:
        return None
    if unknown := [item for item in mark.items if item not in range(len(part.rubric))]:
        raise ValueError(
            f"{printable(submission.student)} was marked with item {unknown[0]} of {part.id}, whose rubric"
            f" has {len(part.rubric)}, counted from 0: mark it again"
        )
    return added(part.rubric[item].points for item in set(mark.items))


def given_to(ledger: Ledger, submission: Submission) -> Variation:
    """Return the digit, kernel and biases by which a submission is judged."""
    own = ledger.about(f"given {submission.id}")
    if not own:
        return ASSIGNED
    image, kernel, bias, last_bias = json.loads(own)
    return Variation(image, tuple(map(tuple, kernel)), bias, last_bias)


def questions(ledger: Ledger) -> tuple[Question, ...]:
    """Return the questions of the task that a ledger is about."""
    task = ledger.about("task")
    if task not in TASKS:
        raise ValueError(f"{ledger.folder} is the grading of {task!r}, and there are {', '.join(TASKS)}")
    return TASKS[task]


def counted(ledger: Ledger) -> dict[str, Submission]:
    """Return by student the submission that counts: the newest, if possible one that was not refused."""
    rank = {"superseded": 0, "refused": 1}
    newest: dict[str, Submission] = {}
    for one in sorted(ledger.submissions(), key=lambda one: (rank.get(one.status, 2), one.id)):
        newest[one.student] = one
    return dict(sorted(newest.items()))


def opened(out: Path) -> closing[Ledger]:
    """Open the ledger of a grading, for a `with`; a folder without one stays as it is."""
    if not (out / "ledger.sqlite").is_file():
        raise FileNotFoundError(f"there is no grading in {out}: `course grade` makes one")
    return closing(Ledger(out))


def added(points: Iterable[float | None]) -> float:
    """Return the sum, without what floating point leaves over."""
    return round(math.fsum(one for one in points if one is not None), 6)


def plain(points: float) -> float:
    """Return 2 for 2.0: what is written of a number."""
    return int(points) if float(points).is_integer() else points


# The formats ------------------------------------------------------------------------------------------------


def marks(
    out: Path,
    format: Literal["csv", "canvas", "moodle"] = "csv",
    file: Path | None = None,
    *,
    gradebook: Path | None = None,
    column: str = "",
    provisional: bool = False,
) -> tuple[str, ...]:
    """Write the marks of a grading, and say whose are missing.

    Parameters
    ----------
    out
        The folder of the grading.
    format
        "csv": one row per student with every part, every question and the total. "canvas": the gradebook of
        Canvas, with one assignment filled in, to import there. "moodle": the grading worksheet of a Moodle
        assignment, filled in, to upload there.
    file
        Where to; without one `marks.csv`, `marks-canvas.csv` or `marks-moodle.csv` in the folder of the
        grading.
    gradebook
        For "canvas" and "moodle": what the platform exported, to be filled in.
    column
        For "canvas" the assignment, as the gradebook heads it, if there are several; for "moodle" the column
        of the grades, if the worksheet is not in English.
    provisional
        For "canvas" and "moodle": export totals to which parts are missing.

    Returns
    -------
    tuple of str
        The students that have a submission and no row in the gradebook.
    """
    file = file or out / NAMES[format]
    with opened(out) as ledger:
        asked = questions(ledger)
        submissions = counted(ledger)
        totals = {student: total(ledger, one) for student, one in submissions.items()}
        everything = ledger.submissions()
    unfinished = {student: one.missing for student, one in totals.items() if one.missing}
    unmatched: tuple[str, ...] = ()
    if format == "csv":
        rows = own_table(asked, everything, submissions, totals)
    else:
        if gradebook is None:
            raise ValueError(f"gradebook: {format} needs the file to fill in, from {WHERE[format]}")
        if unfinished and not provisional:
            names = listed(f"{printable(who)} ({short(parts)})" for who, parts in unfinished.items())
            raise ValueError(
                f"{len(unfinished)} of {len(totals)} totals are provisional, as parts are not graded or"
                f" marked yet: {names}. `course grade` and `course mark` finish them; --provisional exports"
                " them as they are"
            )
        fill = {"canvas": canvas_table, "moodle": moodle_table}[format]
        sums = {student: one.total for student, one in totals.items()}
        rows, unmatched = fill(read_table(gradebook), column, sums, maximum(asked))
    write_table(file, rows, for_excel=format == "csv")

    refused = {student: one for student, one in submissions.items() if one.status == "refused"}
    for student, one in refused.items():
        print(f"refused, for you to decide: {printable(student)}: {printable(one.note)}")
    if unfinished:
        print(f"provisional: {len(unfinished)} totals, as parts are not graded or not marked yet")
    for student in unmatched:
        print(
            f"no row of its own in the gradebook: {printable(student)}, {plain(totals[student].total)} points"
        )
    print(f"{len(totals)} students, {len(unmatched)} of them in no row: {file}")
    return unmatched


def own_table(
    asked: Sequence[Question],
    everything: Sequence[Submission],
    submissions: dict[str, Submission],
    totals: dict[str, Total],
) -> list[Row]:
    """Return one row per student with every part, every question and the total."""
    parts = [part.id for question in asked for part in question.parts]
    header = "student,total,of,not judged yet,status,note,submission,others (not counted)".split(",")
    rows: list[Row] = [[*header, *parts, *(question.id for question in asked)]]
    for student, one in submissions.items():
        points = totals[student]
        others = [other for other in everything if other.student == student and other.id != one.id]
        rows.append(
            [
                *(student, plain(points.total), plain(maximum(asked)), " ".join(points.missing)),
                *(one.status, one.note, one.source),
                "; ".join(f"{other.source} ({other.status})" for other in others),
                *("" if (found := points.points[part]) is None else plain(found) for part in parts),
                *(plain(points.of(question)) for question in asked),
            ]
        )
    return rows


def canvas_table(
    table: list[list[str]], column: str, totals: dict[str, float], most: float
) -> tuple[list[Row], tuple[str, ...]]:
    """Return the gradebook of Canvas with one assignment filled in, and the students that it lacks.

    Only the columns that name a student and that one assignment are in it, and only the students that have a
    mark: whatever else an import holds would overwrite what was entered in Canvas meanwhile.
    """
    header = table[0]
    student = [at for at, name in enumerate(header) if name in CANVAS_STUDENT]
    if "ID" not in header or "Section" not in header:
        raise ValueError(f"no gradebook of Canvas: its first line has no ID and Section, but {short(header)}")
    identity = header.index("ID")
    assignments = {name: at for at, name in enumerate(header) if re.search(r" \([0-9]+\)$", name)}
    wanted = [
        at for name, at in assignments.items() if column in (name, re.sub(r" \([0-9]+\)$", "", name), "")
    ]
    if len(wanted) != 1:
        raise ValueError(
            f"column: {column!r} fits {len(wanted)} assignments of the gradebook, which has"
            f" {'; '.join(map(printable, assignments)) or 'none'}"
        )
    rows = {row[identity].strip(): row for row in table[1:] if row[identity].strip()}
    about = [row for row in table[1:] if not row[identity].strip()]  # points possible, manual posting
    possible = [row[wanted[0]] for row in about if "Points Possible" in row[0]]
    check_maximum(possible[0] if possible else "", most, header[wanted[0]], "Canvas")
    who, unmatched = matched(totals, rows)
    print(f"without a submission: {len(rows) - len(who)} of {len(rows)} in the gradebook, left out")
    for number in [number for number in who if rows[number][wanted[0]].strip().upper() == "EX"]:
        print(f"excused in Canvas, left out: {printable(who.pop(number))}")
    columns = [*student, wanted[0]]
    filled: list[Row] = [[row[at] for at in columns] for row in [header, *about]]
    filled += [
        [*(row[at] for at in student), plain(totals[who[number]])]
        for number, row in rows.items()
        if number in who
    ]
    return filled, unmatched


def moodle_table(
    table: list[list[str]], column: str, totals: dict[str, float], most: float
) -> tuple[list[Row], tuple[str, ...]]:
    """Return the grading worksheet of Moodle with the grades filled in, and the students that it lacks.

    All rows stay, and all columns but those after "Last modified (grade)": they hold the teacher's comments,
    which an import would write back. Moodle finds its columns by their names, and leaves a grade alone that
    was changed there after that time.
    """
    header, column = table[0], column or "Grade"
    numbers = [re.search(r"[^0-9]([0-9]+)\s*$", row[0]) for row in table[1:]]
    if column not in header or not all(numbers):
        raise ValueError(
            f"no grading worksheet of Moodle: it needs a first column with 'Participant 12345' and one named"
            f" {column!r}, and its first line is {short(header)}"
        )
    grade = header.index(column)
    rows = {number[1]: row for number, row in zip(numbers, table[1:], strict=True) if number}
    for row in rows.values():
        check_maximum(row[grade + 1] if len(row) > grade + 1 else "", most, "the assignment", "Moodle")
    who, unmatched = matched(totals, rows)
    print(f"without a submission: {len(rows) - len(who)} of {len(rows)} in the worksheet, left as they are")
    end = header.index("Last modified (grade)") + 1 if "Last modified (grade)" in header else len(header)
    filled: list[Row] = [[*header[:end]]]
    for number, row in rows.items():
        given: Row = [plain(totals[who[number]])] if number in who else [row[grade]]
        filled.append([*row[:grade], *given, *row[grade + 1 : end]])
    return filled, unmatched


def matched(students: Iterable[str], numbers: Collection[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the student behind each number of the platform, and the students that are behind none.

    The name of a submission that was downloaded ends in the number. Where two end in the same, a person has
    to look.

    Examples
    --------
    >>> matched(["Ada_12", "Alan 3_14", "Grace_15"], {"3", "12", "14"})
    ({'12': 'Ada_12', '14': 'Alan 3_14'}, ('Grace_15',))
    """
    holding: dict[str, list[str]] = defaultdict(list)
    for student in students:
        number = re.search(r"(?:^|_)([0-9]+)$", student)
        holding[number[1] if number and number[1] in numbers else ""].append(student)
    others = holding.pop("", [])
    alone = {number: held[0] for number, held in holding.items() if len(held) == 1}
    return alone, tuple(
        sorted([*others, *(one for held in holding.values() if len(held) > 1 for one in held)])
    )


def read_table(path: Path) -> list[list[str]]:
    """Return a table that a platform exported, whether its cells are parted by commas or semicolons."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: take the file as the platform exported it") from error
    first = text.split("\n", 1)[0]
    longest = csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # a student may have written much
    try:
        delimiter = ";" if first.count(";") > first.count(",") else ","
        table = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter) if row]
    except csv.Error as error:
        raise ValueError(f"{path} is no table: {error}") from error
    finally:
        csv.field_size_limit(longest)
    if not table:
        raise ValueError(f"{path} is empty: take the file as the platform exported it")
    return [row + [""] * (len(table[0]) - len(row)) for row in table]


def check_maximum(cell: str, most: float, assignment: str, platform: str) -> None:
    """Raise an error where a platform would read the points on another scale."""
    try:
        there = float(cell.strip().replace(",", "."))
    except ValueError:
        there = math.nan
    if there != most:
        raise ValueError(
            f"{platform} gives {printable(assignment)} {printable(cell.strip()) or 'no'} points, and the task"
            f" has {plain(most)}: set {plain(most)} there, and export again"
        )


def maximum(asked: Sequence[Question]) -> float:
    """Return the points of all questions together."""
    return added(question.points for question in asked)


def listed(words: Iterable[str]) -> str:
    """Return the first of many words."""
    every = list(words)
    rest = len(every) - LONGEST_LIST
    return "; ".join(every[:LONGEST_LIST]) + (f"; and {rest} more" if rest > 0 else "")


def short(words: Sequence[str]) -> str:
    """Return names as one says them."""
    return ", ".join(map(printable, words[:4])) + (f" and {len(words) - 4} more" if len(words) > 4 else "")

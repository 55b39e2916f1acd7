"""What students must not get: the scan that every release goes through."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from course_lib.editions import part_of, tags_of, without_folded
from course_lib.questions import TASKS
from course_lib.questions.grading import cases

if TYPE_CHECKING:
    from course_lib.coursework.release import Release

TELLING = 12  # characters that a line of a solution has at least, to tell anything
ON_ONE_MACHINE = re.compile(r"(?<![\w.:/])(/(?:home|root|Users|tmp|mnt)/\S*|[A-Z]:\\\\?Users\S*)")


def leaks(made: Release, files: Mapping[str, bytes], secret: bytes) -> list[str]:
    """Return what a student's files would tell, in sentences: none, if all is well.

    Looked for are lines of the solution, numbers of hidden cases, the secret, stored outputs, and what
    belongs to one person or machine.

    Parameters
    ----------
    made
        The release.
    files
        What the student gets of it, by name.
    secret
        The teacher's.
    """
    found = list(_in_the_notebook(made))
    hidden = list(_hidden_numbers(made.task, secret))
    tells = {"the secret": [secret, secret.hex().encode(), base64.b64encode(secret)]}
    tells |= {f"a hidden case of {part}": written for part, written in hidden}
    for name, content in files.items():
        found += [
            f"{name}: {what}" for what, ways in tells.items() if any(way in content for way in ways if way)
        ]
    return found


def _in_the_notebook(made: Release) -> Iterator[str]:
    for cell in made.student.cells:
        if extra := set(cell.metadata) - {"nbgrader"}:
            yield f"cell {cell.id}: the metadata {sorted(extra)}"
        if cell.get("outputs") or cell.get("execution_count"):
            yield f"cell {cell.id}: an output"
        if one := ON_ONE_MACHINE.search(cell.source):
            yield f"cell {cell.id}: {one[0]}, which is on one machine only"
    if extra := set(made.student.metadata) - {"kernelspec", "language_info", "course"}:
        yield f"the metadata {sorted(extra)}"
    known = {"kernelspec": {"display_name", "language", "name"}, "language_info": {"name"}}
    for key, names in known.items():
        if extra := set(made.student.metadata.get(key, {})) - names:
            yield f"the metadata {sorted(extra)} in {key}"
    lines = secret_lines(made)
    for cell in made.student.cells:
        for line in map(plain, cell.source.split("\n")):
            for telling in lines:
                if telling in line:
                    yield f"cell {cell.id}: {telling!r} of the solution"


def secret_lines(made: Release) -> set[str]:
    """Return the lines of the solution that no student may get, as `plain` makes them.

    All lines of an answer are such lines, but for those of its stub. Of pictures, and of what else students
    don't get, lines that stand in the lesson as well are no secret.
    """
    stubs = {cell.id: cell.source for cell in made.student.cells}
    answers: set[str] = set()
    others: set[str] = set()
    lesson = ""
    for cell in made.solution.cells:
        lines = set(map(plain, cell.source.split("\n")))
        part = part_of(cell)
        if part or "solution" in tags_of(cell):
            stub = _plain_text(stubs.get(cell.id, ""))
            kept = {line for line in lines if line not in stub}
            if part and part.kind != "plot":
                answers |= kept
            else:
                others |= kept
        else:
            public = cell.source if cell.cell_type == "code" else without_folded(cell.source)
            lesson += _plain_text(public) + "\n"
            others |= lines
    telling = answers | {line for line in others if line not in lesson}
    return {line for line in telling if len(line) >= TELLING and line[0] != ":"}


def _plain_text(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


def plain(line: str) -> str:
    """Return a line without what may differ although it says the same.

    >>> plain("    return  activation(convolution(X, K) + b)")
    'activation(convolution(X, K) + b)'
    """
    return " ".join(line.split()).removeprefix("return ")


def _hidden_numbers(task: str, secret: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Yield, for each part, how its hidden cases could be written: as bytes, or number by number."""
    for question in TASKS[task]:
        for part in question.parts:
            hidden = (
                [case for case in cases(part.id, secret) if case.hidden] if part.kind == "function" else []
            )
            ways: list[bytes] = []
            for value in [value for case in hidden for value in (*case.arguments, case.expected)]:
                array = np.asarray(value)
                if array.dtype.kind not in "iuf" or array.size < 4:
                    continue
                rows = array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(1, -1)
                ways.append(array.tobytes())
                ways += [", ".join(map(repr, row.tolist())).encode() for row in rows if len(row) >= 4]
                ways += [
                    repr(number).encode() for number in array.ravel().tolist() if len(repr(number)) >= 10
                ]
            yield part.id, ways

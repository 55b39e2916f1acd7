"""The answers in a notebook that was handed in: it is read as data, and nothing of it runs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from course_lib.coursework.submissions import Refused, storable
from course_lib.editions import ANSWER_MARKER
from course_lib.questions import PARTS

MOST_CELLS = 5_000
LONGEST_ANSWER = 100_000  # characters
LONGEST_NAME = 200  # characters, of the task, the version and the student that a notebook names


@dataclass(frozen=True)
class Cell:
    """What is looked at of a cell."""

    kind: str
    source: str
    grade_id: str = ""


@dataclass(frozen=True)
class Notebook:
    """What is looked at of a notebook: its cells, and which release it names, made for which student."""

    cells: tuple[Cell, ...]
    task: str = ""
    version: str = ""
    student: str = ""


@dataclass(frozen=True)
class Extracted:
    """The source of an answer, "" if there is none, and how it was found, if not by its metadata."""

    source: str
    warning: str = ""


def read(content: bytes) -> Notebook:
    """Read a notebook.

    Raises
    ------
    Refused
        If it is no notebook of format 4. What is strange within its cells is passed over.

    Examples
    --------
    >>> read(b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": ["x = 1"]}]}').cells
    (Cell(kind='code', source='x = 1', grade_id=''),)
    >>> read(b"PK")
    Traceback (most recent call last):
    course_lib.coursework.submissions.Refused: the notebook is no JSON; wanted: one as Jupyter saves it
    """
    wanted = "wanted: one as Jupyter saves it"
    try:
        data = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise Refused(f"the notebook is not text in UTF-8; {wanted}") from None
    except RecursionError:
        raise Refused(f"the notebook is nested too deeply; {wanted}") from None
    except ValueError:
        raise Refused(f"the notebook is no JSON; {wanted}") from None
    cells = data.get("cells") if isinstance(data, dict) else None
    if not isinstance(cells, list):
        raise Refused(f"the file is no notebook of format 4: it has no list of cells; {wanted}")
    if len(cells) > MOST_CELLS:
        raise Refused(f"the notebook has {len(cells):,} cells; at most {MOST_CELLS:,} are read")
    course = _mapping(_mapping(data.get("metadata")).get("course"))
    task, version, student = (
        _text(course.get(name))[:LONGEST_NAME] for name in ("task", "version", "student")
    )
    return Notebook(tuple(map(_cell, cells)), task, version, student)


def _cell(data: object) -> Cell:
    cell = _mapping(data)
    nbgrader = _mapping(_mapping(cell.get("metadata")).get("nbgrader"))
    source = cell.get("source")
    if isinstance(source, list):
        source = "".join(filter(lambda line: isinstance(line, str), source))
    return Cell(_text(cell.get("cell_type")), _text(source), _text(nbgrader.get("grade_id")))


def _mapping(data: object) -> Mapping[str, Any]:
    return data if isinstance(data, dict) else {}


def _text(data: object) -> str:
    return storable(data) if isinstance(data, str) else ""


def extract(notebook: Notebook, release: Notebook) -> dict[str, Extracted]:
    """Take the answers to all parts of a release from a notebook.

    A cell belongs to the part that its metadata name; if they name none, to the part whose marker it holds. A
    cell of another type than in the release belongs to none, but for words, which a stray key can turn into
    code. A part without a cell gets the one that stands between the same two cells of the lesson as in the
    release, if there is one alone. A part whose cells were left as they are gets the new ones below them.

    Where several cells belong to a part, all that differ from the release's are taken together, in their
    order: this is what they do in the notebook when a student has split or copied a cell.

    Parameters
    ----------
    notebook
        What was handed in.
    release
        The student's notebook of the release that it was made from.
    """
    parts = {
        cell.grade_id: number for number, cell in enumerate(release.cells) if cell.grade_id in PARTS
    }  # part: its place in the release
    kinds = {part: release.cells[number].kind for part, number in parts.items()}
    stubs = {part: _bare(release.cells[number].source) for part, number in parts.items()}
    named, marked, turned = _Claims(), _Claims(), _Claims()
    claimed: set[int] = set()
    for number, cell in enumerate(notebook.cells):
        marker = ANSWER_MARKER.search(cell.source)
        for part, claims in ((cell.grade_id, named), (marker[1] if marker else "", marked)):
            if kinds.get(part) == cell.kind or (part in parts and PARTS[part].kind == "text"):
                right = claims if kinds[part] == cell.kind else turned
                right.cells.setdefault(part, []).append(number)
                claimed.add(number)
                break
    missing = [part for part in parts if part not in named.cells and part not in turned.cells]
    placed = _by_position(notebook, release, missing, claimed)
    found: dict[str, Extracted] = {}
    for part, stub in stubs.items():
        ways = (
            (named.cells.get(part, []), ""),
            (marked.cells.get(part, []), "found by the marker in the cell: its metadata were lost"),
            (placed.get(part, []), "found by its position: the cell's metadata and its marker were lost"),
            (turned.cells.get(part, []), "its cell is no longer one of text; taken as words all the same"),
        )
        its = [number for numbers, _ in ways for number in numbers]
        found[part] = Extracted("", "" if its else "its cell is not in the notebook")
        new = _below(notebook, release, its, kinds[part], claimed)
        for numbers, warning in (*ways, (new, "found in a new cell below its own, which was left as it is")):
            sources = [notebook.cells[number].source for number in numbers]
            answered = [source for source in sources if _bare(source) not in ("", stub)]
            if answered:
                found[part] = _joined(answered, len(sources), warning)
                break
    return found


@dataclass
class _Claims:
    """Which cells belong to which part, by one way of telling."""

    cells: dict[str, list[int]] = field(default_factory=dict)


def _joined(answered: Sequence[str], cells: int, warning: str) -> Extracted:
    warnings = [warning] if warning else []
    if cells > 1:
        warnings.append(
            f"{cells} cells belong to it; the {len(answered)} that were changed are taken together"
        )
    source = "\n\n".join(answered)
    if len(source) > LONGEST_ANSWER:
        warnings.append(f"cut off after {LONGEST_ANSWER:,} of {len(source):,} characters")
    return Extracted(source[:LONGEST_ANSWER], "; ".join(warnings))


def _by_position(
    notebook: Notebook, release: Notebook, missing: Sequence[str], claimed: set[int]
) -> dict[str, list[int]]:
    """Find cells of missing parts between the cells of the lesson that surround them in the release."""
    places: dict[str, list[int]] = {}
    for number, cell in enumerate(notebook.cells):
        if number not in claimed:
            places.setdefault(cell.source.strip(), []).append(number)
    lesson = {
        number: places[cell.source.strip()][0]  # place in the release: place in the notebook
        for number, cell in enumerate(release.cells)
        if cell.grade_id not in PARTS and len(places.get(cell.source.strip(), [])) == 1
    }
    gaps: dict[tuple[int, int], list[int]] = {}
    for number, cell in enumerate(release.cells):
        if cell.grade_id in missing:
            before = max((place for place in lesson if place < number), default=-1)
            after = min((place for place in lesson if place > number), default=len(release.cells))
            gaps.setdefault((before, after), []).append(number)
    found: dict[str, list[int]] = {}
    for (before, after), numbers in gaps.items():
        start = lesson.get(before, -1) + 1
        end = lesson.get(after, len(notebook.cells))
        for kind in ("code", "markdown"):
            wanted = [number for number in numbers if release.cells[number].kind == kind]
            free = [n for n in range(start, end) if n not in claimed and notebook.cells[n].kind == kind]
            if len(wanted) == len(free):
                found |= {release.cells[w].grade_id: [n] for w, n in zip(wanted, free, strict=True)}
    return found


def _below(
    notebook: Notebook, release: Notebook, its: Sequence[int], kind: str, claimed: set[int]
) -> list[int]:
    """Find new cells below those of a part: up to the next cell of the lesson or of an answer."""
    lesson = {cell.source.strip() for cell in release.cells if not cell.grade_id}
    checks = [cell for cell in release.cells if cell.grade_id and cell.grade_id not in PARTS]
    ids, sources = {cell.grade_id for cell in checks}, {cell.source.strip() for cell in checks}
    found = []
    for first in its:
        for number in range(first + 1, len(notebook.cells)):
            cell = notebook.cells[number]
            if number in claimed or cell.source.strip() in lesson:
                break
            if cell.kind == kind and cell.grade_id not in ids and cell.source.strip() not in sources:
                found.append(number)
    return found


def _bare(source: str) -> str:
    """Return what counts of a source: without its marker, and the white space at the ends of lines."""
    lines = [line.rstrip() for line in source.split("\n") if not ANSWER_MARKER.match(line.strip())]
    return re.sub(r"\n+", "\n", "\n".join(lines)).strip()

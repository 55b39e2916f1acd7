"""A notebook of Task 2 with a student's own digit, kernel and biases."""

from __future__ import annotations

import unicodedata
from collections import Counter
from copy import deepcopy
from pathlib import Path

from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell

from course_lib.questions import Variation
from course_lib.questions.variation import ASSIGNED

MINE = "mine = Variation("
CHECKS = ("check-2-1", "check-2-3", "check-2-5", "check-2-6", "check-2-8")
NOTE = """\
**Your own digit, kernel and biases.** In this notebook the digit is training image {image}, and the kernel
`K` and the two biases are yours alone: you find them where the questions ask for them. Where the text speaks
of the 4, of its strokes and of numbers that were found in it, it speaks of the example of the book."""


def varied_notebook(student: NotebookNode, given: Variation) -> NotebookNode:
    """Return the student's notebook of Task 2 with another digit, kernel and biases in its cells.

    Parameters
    ----------
    student
        That of the release. It stays as it is.
    given
        What the student gets.

    Raises
    ------
    ValueError
        If something that is to be replaced is not in the notebook.
    """
    notebook = deepcopy(student)
    for old, new in _replacements(given).items():
        found = False
        for cell in notebook.cells:
            found = found or old in cell.source
            cell.source = cell.source.replace(old, new)
        if not found:
            raise ValueError(f"there is nothing to vary: the notebook does not hold {old!r}")
    for cell in notebook.cells:
        if cell.id in CHECKS:
            cell.source = f"{cell.source.removesuffix(')')}, mine)"
    values = ", ".join(f"{name}={value!r}" for name, value in given._asdict().items())
    notebook.cells[1:1] = [
        new_markdown_cell(NOTE.format(image=given.image), id="your-own"),
        new_code_cell(
            f"from course_lib.questions import Variation\n\n{MINE}{values})",
            id="your-own-variation",
        ),
    ]
    return notebook


def told(given: Variation) -> str:
    """Say in a sentence which numbers a student has: "" if they are those of the assignment."""
    if given == ASSIGNED:
        return ""
    rows = ", ".join(f"[{', '.join(f'{number:g}' for number in row)}]" for row in given.kernel)
    words = (
        f"Numbers of their own: training image {given.image}, the kernel [{rows}], which captures"
        f" {given.captured}, and the biases {given.bias:g} and, in 2.8, {given.last_bias:g}."
    )
    return words.replace("-", "−")


def with_numbers_of(text: str, given: Variation) -> str:
    """Return a text of the book with a student's own numbers in the place of those of the assignment."""
    for old, new in _replacements(given).items() if given != ASSIGNED else ():
        text = text.replace(old, new)
    return text


def students_in(file: Path) -> list[str]:
    """Return the students that a text file names, one in each line.

    Raises
    ------
    ValueError
        If a name can't be that of a folder, or stands there twice, be it in small or capital letters.
    """
    lines = file.read_text(encoding="utf-8-sig").splitlines()
    names = [unicodedata.normalize("NFC", line.strip()) for line in lines if line.strip()]
    alike = Counter(name.casefold() for name in names)  # on some disks they would share a folder
    for name in names:
        if name.startswith(".") or len(name) > 100 or set(name) & set('/\\:*?"<>|') or not name.isprintable():
            raise ValueError(f"{name!r} in {file} can't be the name of a folder")
        if alike[name.casefold()] > 1:
            raise ValueError(f"{name!r} stands in {file} twice")
    if not names:
        raise ValueError(f"{file} names no student; wanted: one in each line")
    return names


def _replacements(given: Variation) -> dict[str, str]:
    """Return what stands in the cells, and what is to stand there."""
    replaced = {
        "training image 2 of MNIST": f"training image {given.image} of MNIST",
        "digits.x_train[2]": f"digits.x_train[{given.image}]",
        "digits.y_train[2]": f"digits.y_train[{given.image}]",
        "`[2]` takes the third of them.": f"`[{given.image}]` takes one of them; the first is `[0]`.",
        "the kernel `K` with the rows\n−½, 1, −½.": "the kernel `K`, which stands below.",
        "The kernel: a row of ones between two rows of −½. What": "The kernel. What",
        _rows(ASSIGNED): _rows(given),
        "when 150 is subtracted": f"when {-given.bias} is subtracted",
    }
    for assigned, own in ((ASSIGNED.bias, given.bias), (ASSIGNED.last_bias, given.last_bias)):
        replaced[str(assigned)] = str(own)
        replaced[str(assigned).replace("-", "−")] = str(own).replace("-", "−")
    return replaced


def _rows(given: Variation) -> str:
    return "\n".join(f"    [{', '.join(str(float(number)) for number in row)}]," for row in given.kernel)

"""Where a result differs from the right one, and which mistake gives it.

A page of the book loads this file as it is, into the browser's Python, so it needs the standard library
alone. Arrays are judged as lists of rows.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

TOLERANCE = 1e-5  # of the largest number: single precision is precise enough


class Case(NamedTuple):
    """One call (or none, for a variable), what is right, and what typical mistakes give.

    All cases of a question have the same mistakes in the same order. What a mistake gives is None where that
    is right.
    """

    arguments: tuple[Any, ...]
    expected: Any
    wrong: tuple[tuple[Any, str], ...] = ()  # (what a mistake gives, the hint)
    group: str = ""
    hidden: bool = False


NOTHING = "It returned None: does it end with `return`, and is that within the function?"
NOT_ROWS = "Return a list of rows, each of them a list of numbers, even when there is one number only: [[5]]."
RAGGED = "The rows are not equally long."
ONE_ROW = "All rows are one and the same list, as with [[0] * n] * m. Make a new list for every row."
SWAPPED = "Rows and columns are swapped. The row comes first, then the column."
TOO_SMALL = "There are too few rows or columns. How often does the window fit? `range(n)` ends before n."
TOO_LARGE = "There are too many rows or columns. How often does the window fit?"
FIRST_ONLY = "Only the first number is computed. Look at how far `return` is indented."
WHOLE_NUMBERS = "The numbers have lost their fractions. Don't turn them into whole numbers."
NOT_A_NUMBER = "Some numbers are not finite. Where does the first of them come from?"


def is_number(value: Any) -> bool:
    """Whether it can be compared with a number."""
    return isinstance(value, int | float)


def largest(expected: Any) -> float:
    """Return the largest absolute number of a list of rows: rounding errors grow with it."""
    if isinstance(expected, list):
        return max(map(largest, expected), default=0.0)
    return abs(expected) if is_number(expected) else 0.0


def same(a: Any, b: Any, scale: float | None = None) -> bool:
    """Whether two numbers agree up to rounding, or two lists number by number.

    >>> same([[0.1 + 0.2]], [[0.3]]), same([[1]], [[1], [1]]), same(float("nan"), float("nan"))
    (True, False, False)
    """
    scale = largest(b) if scale is None else scale
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y, scale) for x, y in zip(a, b, strict=True))
    if not (is_number(a) and is_number(b)):
        return type(a) is type(b) and isinstance(a, str) and a == b
    try:
        return math.isclose(a, b, rel_tol=0, abs_tol=TOLERANCE * scale)
    except OverflowError:  # a whole number that no float can hold
        return bool(a == b)


def is_rows(value: Any) -> bool:
    """Whether it is a list of lists."""
    return isinstance(value, list) and all(isinstance(row, list) for row in value)


def shape(rows: list[list[Any]]) -> tuple[int, int]:
    """Return the numbers of rows and columns."""
    return len(rows), len(rows[0]) if rows else 0


def short(value: Any) -> str:
    """Write a value as Python does, but leave out what makes it long.

    >>> short([[7] * 1000])
    '[[7, 7, 7, 7, 7, 7, 7, 7, ...]]'
    """
    writer = _Writer()
    writer.maxlist, writer.maxother = 8, 60
    return writer.repr(value)


class _Writer(reprlib.Repr):
    def repr_float(self, value: float, level: int) -> str:
        return f"{value:.6g}"


def written(function: str, arguments: Sequence[Any], names: Mapping[str, Any]) -> str:
    """Write a call as it would stand in the code.

    >>> written("convolution", ([[5, 6]], [[1, 2]]), {"X": [[5, 6]]})
    'convolution(X, [[1, 2]])'
    """

    def said(value: Any) -> str:
        known = [name for name, array in names.items() if array == value]
        return known[0] if known else value if isinstance(value, str) else short(value)

    return f"{function}({', '.join(map(said, arguments))})"


def difference(came: Any, expected: Any) -> str:
    """Say in words where a result first differs from the right one: "" if it doesn't.

    >>> difference([[1, 2], [3, 5]], [[1, 2], [3, 4]])
    'The first difference is in row 1, column 1: 5 came, 4 is right.'
    """
    if not is_rows(expected):
        return "" if same(came, expected) else f"{short(came)} came, {short(expected)} is right."
    if not is_rows(came):
        return "That is no list of rows."
    if [len(row) for row in came] != [len(row) for row in expected]:
        size = "{} x {}".format(*shape(came)) if len({len(row) for row in came}) <= 1 else "uneven"
        return f"Its size is {size}; {'{} x {}'.format(*shape(expected))} is right."
    scale = largest(expected)
    for i, row in enumerate(expected):
        for j, right in enumerate(row):
            if not same(came[i][j], right, scale):
                place = f"row {i}, column {j}"
                return (
                    f"The first difference is in {place}: {short(came[i][j])} came, {short(right)} is right."
                )
    return ""


def diagnosis(came: list[Any], cases: list[Case]) -> str:
    """Name the mistake that explains all results of a function, the right ones too: "" if none does."""
    for number, (_, words) in enumerate(cases[0].wrong if cases else ()):
        given = [case.wrong[number][0] for case in cases]
        explained = [
            same(result, case.expected if wrong is None else wrong)
            for result, case, wrong in zip(came, cases, given, strict=True)
        ]
        if all(explained) and any(wrong is not None for wrong in given):
            return words
    return ""


def hint(came: Any, case: Case) -> str:
    """Name the mistake that gives this one wrong result: "" if it is none that we know."""
    expected = case.expected
    if came is None:
        return NOTHING
    known = [words for result, words in case.wrong if same(came, result)]
    if known:
        return known[0]
    if not is_rows(expected):
        return ""
    if not is_rows(came):
        return NOT_ROWS
    if len({len(row) for row in came}) > 1:
        return RAGGED
    if len(came) > 1 and came[0] is came[1]:
        return ONE_ROW
    if came and same([list(column) for column in zip(*came, strict=True)], expected):
        return SWAPPED
    if shape(came) != shape(expected):
        (rows, columns), (right_rows, right_columns) = shape(came), shape(expected)
        known = [
            words for result, words in case.wrong if is_rows(result) and shape(result) == (rows, columns)
        ]
        if known:
            return known[0]
        if (columns, rows) == (right_rows, right_columns):
            return SWAPPED
        return TOO_SMALL if rows < right_rows or columns < right_columns else TOO_LARGE
    numbers, right = [n for row in came for n in row], [n for row in expected for n in row]
    if not all(map(is_number, numbers)):
        return NOT_ROWS
    if not all(map(math.isfinite, numbers)):
        return NOT_A_NUMBER
    if len(right) > 1 and same(numbers[0], right[0]) and not any(numbers[1:]):
        return FIRST_ONLY
    if same(numbers, [int(n) for n in right]):
        return WHOLE_NUMBERS
    return ""

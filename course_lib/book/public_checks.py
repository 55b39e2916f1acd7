"""The public checks of 2.2, 2.4 and 2.7, for functions in plain Python that take and return lists of rows.

The page's own Python loads this file as it is, so it needs the standard library alone. A case holds what is
called, what must come, and what typical mistakes give: data only, so that no solution stands here.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import linecache
import math
import reprlib
import traceback
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

TOLERANCE = 1e-9


def relu(x: float) -> float:
    """Keep a positive number, make any other 0."""
    return max(x, 0)


def identity(x: float) -> float:
    """Leave a number as it is: an activation that changes nothing."""
    return x


class Case(NamedTuple):
    """One call, the result that is right, and wrong results by which mistakes are known."""

    arguments: tuple[Any, ...]
    expected: list[list[float]]
    wrong: tuple[tuple[Any, str], ...] = ()  # (result or its shape, hint)


class Question(NamedTuple):
    """A function to write. `needs` is the question whose function it calls."""

    function: str
    starter: str
    cases: list[Case]
    needs: str = ""


# The hints --------------------------------------------------------------------------------------------------

FLIPPED = (
    "The kernel is flipped. Here it is not: its upper left number meets the upper left number of the window."
)
RUNS_ON = "The sum runs on from one place to the next. Begin it at 0 for each place."
AS_LARGE = "It is as large as the picture. Only places where the whole kernel lies inside count: h - k + 1."
NO_BIAS = "The bias is missing: add b to every number of the convolution."
BIAS_LATE = "The bias is added after the activation. It belongs before."
BIAS_TAKEN = "The bias is subtracted. Add it: a negative b makes the numbers smaller by itself."
NO_ACTIVATION = "The activation is missing: call it with every number, after the bias."
ALWAYS_RELU = "This looks like ReLU. Call the function that is handed over as `activation`, whichever it is."
WHOLE = "This is the largest number of the whole picture. Take the largest of each block of 2 x 2."
STRIDE_1 = "The blocks overlap: the stride is 1. Let the next block begin two rows or two columns further."
ROUNDED_UP = "The last, odd row and column have blocks of their own. Here they are left out: 3 // 2 is 1."
SMALLEST = "These are the smallest numbers of the blocks."
MEAN = "These are the means of the blocks. Take the largest number of each."
FROM_ZERO = "All numbers of this block are below 0. Begin with a number of the block, not with 0."

NOTHING = "It returned None: does it end with `return`, and is that within the function?"
NOT_ROWS = "Return a list of rows, each of them a list of numbers, even when there is one number only: [[5]]."
RAGGED = "The rows are not equally long."
ONE_ROW = "All rows are one and the same list, as with [[0] * n] * m. Make a new list for every row."
SWAPPED = "Rows and columns are swapped. The row comes first, then the column: X[i][j]."
TOO_SMALL = "There are too few rows or columns. How often does the window fit? `range(n)` ends before n."
TOO_LARGE = "There are too many rows or columns. How often does the window fit?"
FIRST_ONLY = "Only the first number is computed. Look at how far `return` is indented."
WHOLE_NUMBERS = "The numbers have lost their fractions. Don't turn them into whole numbers."
CHANGED = "It changed the lists that it was given. Write the result into a new list."

ERRORS = {  # what the message holds: hint
    "numpy": "Here it is plain Python: no NumPy, and pictures are lists of rows.",
    "name 'np' is not": "Here it is plain Python: no NumPy, and pictures are lists of rows.",
    "no attribute 'shape'": "A list has no shape. len(X) is the number of rows, len(X[0]) that of columns.",
    "not tuple": "For a list of rows, write X[i][j] instead of X[i, j].",
    "can only concatenate list": "`+` joins lists. Add number by number, in two loops.",
    "and 'list'": "A list does not take part in arithmetic. Take number by number, in two loops.",
    "of type 'list'": "A list does not take part in arithmetic. Take number by number, in two loops.",
    "name 'convolution' is not": "Write `convolution` in 2.2 until its checks pass, or paste it here.",
    "list index out of range": "A row or column was asked for that isn't there. Count them with len().",
}


# The questions ----------------------------------------------------------------------------------------------

X = [[56, 250, 116, 0], [0, 240, 144, 0], [0, 198, 150, 0], [0, 143, 241, 0]]
K = [[-0.5, -0.5, -0.5], [1, 1, 1], [-0.5, -0.5, -0.5]]
POINT = [[0, 0, 0], [0, 1, 0], [0, 0, 0]]
WIDE = [[1, 2, 4, 8], [16, 32, 64, 128]]
DIAGONAL = [[1, 0], [0, -1]]

QUESTIONS = {
    "2.2": Question(
        function="convolution",
        starter='''def convolution(X, K):
    """Slide the kernel K over the picture X.

    X and K are lists of rows: X[i][j] is the number
    in row i and column j. Returns a list of rows.
    """
    ...


# X and K are those of the chapter.
print(convolution(X, K))
''',
        cases=[
            Case(
                (X, K),
                [[-1, 27], [-36, -36]],
                (([[-1, 26], [-10, -46]], RUNS_ON), ((4, 4), AS_LARGE)),
            ),
            Case(
                (POINT, [[1, 2], [3, 4]]),
                [[4, 3], [2, 1]],
                (([[1, 2], [3, 4]], FLIPPED), ([[4, 7], [9, 10]], RUNS_ON), ((3, 3), AS_LARGE)),
            ),
            Case(
                (WIDE, DIAGONAL),
                [[-31, -62, -124]],
                (([[31, 62, 124]], FLIPPED), ([[-31, -93, -217]], RUNS_ON), ((2, 4), AS_LARGE)),
            ),
            Case(
                ([[0.25, 0.5], [0.75, 1]], [[1, -1], [2, 0.25]]),
                [[1.5]],
                (([[1.3125]], FLIPPED), ((2, 2), AS_LARGE)),
            ),
        ],
    ),
    "2.4": Question(
        function="convolutional_layer",
        needs="2.2",
        starter='''def convolutional_layer(X, K, b, activation):
    """Convolve X with K, add b, apply the activation.

    `activation` is a function of one number.
    Returns a list of rows.
    """
    ...


# X and K are those of the chapter, and relu(x) is here.
print(convolutional_layer(X, K, 100, relu))
''',
        cases=[
            Case(
                (X, K, 100, relu),
                [[99, 127], [64, 64]],
                (
                    ([[0, 27], [0, 0]], NO_BIAS),
                    ([[-1, 27], [-36, -36]], NO_BIAS),
                    ([[100, 127], [100, 100]], BIAS_LATE),
                    ([[0, 0], [0, 0]], BIAS_TAKEN),
                ),
            ),
            Case(
                (X, K, -20, relu),
                [[0, 7], [0, 0]],
                (
                    ([[-21, 7], [-56, -56]], NO_ACTIVATION),
                    ([[0, 27], [0, 0]], NO_BIAS),
                    ([[-1, 27], [-36, -36]], NO_BIAS),
                    ([[-20, 7], [-20, -20]], BIAS_LATE),
                    ([[19, 47], [0, 0]], BIAS_TAKEN),
                ),
            ),
            Case(
                (X, K, -20, identity),
                [[-21, 7], [-56, -56]],
                (
                    ([[0, 7], [0, 0]], ALWAYS_RELU),
                    ([[-1, 27], [-36, -36]], NO_BIAS),
                    ([[19, 47], [-16, -16]], BIAS_TAKEN),
                ),
            ),
            Case(
                (WIDE, DIAGONAL, 50, relu),
                [[19, 0, 0]],
                (
                    ([[19, -12, -74]], NO_ACTIVATION),
                    ([[0, 0, 0]], NO_BIAS),
                    ([[50, 50, 50]], BIAS_LATE),
                    ([[81, 112, 174]], FLIPPED),
                ),
            ),
        ],
    ),
    "2.7": Question(
        function="maxpool_layer",
        starter='''def maxpool_layer(X):
    """Keep the largest number of each block of 2 x 2.

    X is a list of rows: X[i][j] is the number in row i
    and column j. A last, odd row or column is left out.
    Returns a list of rows.
    """
    ...


# X is that of the chapter.
print(maxpool_layer(X))
''',
        cases=[
            Case(
                (X,),
                [[250, 144], [198, 241]],
                (
                    (250, WHOLE),
                    ([[250]], WHOLE),
                    ([[250, 250], [250, 250]], WHOLE),
                    ((3, 3), STRIDE_1),
                    ([[0, 0], [0, 0]], SMALLEST),
                    ([[136.5, 65], [85.25, 97.75]], MEAN),
                ),
            ),
            Case(
                ([[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12]],),
                [[8, 10, 12]],
                (
                    (12, WHOLE),
                    ([[12]], WHOLE),
                    ([[12, 12, 12]], WHOLE),
                    ((1, 5), STRIDE_1),
                    ([[1, 3, 5]], SMALLEST),
                    ([[4.5, 6.5, 8.5]], MEAN),
                ),
            ),
            Case(
                ([[1, 2, 9], [3, 4, 9], [9, 9, 9]],),
                [[4]],
                (
                    (9, WHOLE),
                    ([[9]], WHOLE),
                    ([[4, 9], [9, 9]], ROUNDED_UP),
                    ((2, 2), STRIDE_1),
                    ([[1]], SMALLEST),
                    ([[2.5]], MEAN),
                ),
            ),
            Case(
                ([[-1, -2], [-3, -4]],),
                [[-1]],
                (([[0]], FROM_ZERO), (-1, NOT_ROWS), ([[-4]], SMALLEST), ([[-2.5]], MEAN)),
            ),
        ],
    ),
}


# The judgement ----------------------------------------------------------------------------------------------


def is_number(value: Any) -> bool:
    """Whether it can be compared with a number."""
    return isinstance(value, int | float)


def same(a: Any, b: Any) -> bool:
    """Whether two numbers agree up to rounding, or two lists number by number."""
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if not (is_number(a) and is_number(b)):
        return False
    try:
        return math.isclose(a, b, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    except OverflowError:  # a whole number that no float can hold
        return bool(a == b)


def shape(rows: list[list[Any]]) -> tuple[int, int]:
    """Return the numbers of rows and columns."""
    return len(rows), len(rows[0]) if rows else 0


def short(value: Any) -> str:
    """Write a value as Python does, but leave out what makes it long.

    >>> short([[7] * 1000])
    '[[7, 7, 7, 7, 7, 7, 7, 7, ...]]'
    """
    writer = reprlib.Repr()
    writer.maxlist, writer.maxother = 8, 60
    return writer.repr(value)


def written(function: str, arguments: tuple[Any, ...]) -> str:
    """Write a call as it would stand in the code.

    >>> written("convolution", (X, [[1, 2]]))
    'convolution(X, [[1, 2]])'
    """
    known = {"X": X, "K": K, "relu": relu, "identity": identity}
    names = [next((name for name in known if known[name] is value), short(value)) for value in arguments]
    return f"{function}({', '.join(names)})"


def difference(came: Any, expected: list[list[float]]) -> str:
    """Say in words where a result first differs from the right one: "" if it doesn't.

    >>> difference([[1, 2], [3, 5]], [[1, 2], [3, 4]])
    'They first differ in row 1, column 1: 5 came, 4 is right.'
    """
    if not isinstance(came, list) or not all(isinstance(row, list) for row in came):
        return "That is no list of rows."
    if [len(row) for row in came] != [len(row) for row in expected]:
        size = "{} x {}".format(*shape(came)) if len({len(row) for row in came}) <= 1 else "uneven"
        return f"Its size is {size}; {'{} x {}'.format(*shape(expected))} is right."
    for i, row in enumerate(expected):
        for j, right in enumerate(row):
            if not same(came[i][j], right):
                place = f"row {i}, column {j}"
                return f"They first differ in {place}: {short(came[i][j])} came, {right} is right."
    return ""


def hint(came: Any, case: Case) -> str:
    """Name the mistake that gives this wrong result: "" if it is none that we know."""
    expected = case.expected
    if came is None:
        return NOTHING
    known = [words for result, words in case.wrong if not isinstance(result, tuple) and same(came, result)]
    if known:
        return known[0]
    if not isinstance(came, list) or not all(isinstance(row, list) for row in came):
        return NOT_ROWS
    if len({len(row) for row in came}) > 1:
        return RAGGED
    if len(came) > 1 and came[0] is came[1]:
        return ONE_ROW
    if came and same([list(column) for column in zip(*came, strict=True)], expected):
        return SWAPPED
    if shape(came) != shape(expected):
        (rows, columns), (right_rows, right_columns) = shape(came), shape(expected)
        known = [words for result, words in case.wrong if result == (rows, columns)]
        if known:
            return known[0]
        if (columns, rows) == (right_rows, right_columns):
            return SWAPPED
        return TOO_SMALL if rows < right_rows or columns < right_columns else TOO_LARGE
    numbers, right = [n for row in came for n in row], [n for row in expected for n in row]
    if not all(map(is_number, numbers)):
        return NOT_ROWS
    if len(right) > 1 and same(numbers[0], right[0]) and not any(numbers[1:]):
        return FIRST_ONLY
    if same(numbers, [int(n) for n in right]):
        return WHOLE_NUMBERS
    return ""


def check(question: str, function: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Call a function with the public cases of a question and judge what comes.

    Yields
    ------
    dict
        "passed", "text" (what was called, what came, what was expected, where they first differ), "hint",
        and "traceback" where the function ended in an error.
    """
    name, _, cases, _ = QUESTIONS[question]
    for case in cases:
        call = written(name, case.arguments)
        given = copy.deepcopy(case.arguments)
        try:
            came = function(*given)
            where = difference(came, case.expected)
            answer = short(came)
        except BaseException as error:  # of the reader's code alone: the page stops a run from outside
            yield {"passed": False, "text": f"{call} ends in an error.", **told(error)}
            continue
        if where:
            text = f"{call} gave {answer}; expected {case.expected}. {where}"
            yield {"passed": False, "text": text, "hint": hint(came, case)}
        elif given != case.arguments:
            yield {"passed": False, "text": f"{call} gave the right numbers.", "hint": CHANGED}
        else:
            yield {"passed": True, "text": f"{call} gives {answer}.", "hint": ""}


# A reader's code --------------------------------------------------------------------------------------------


def told(error: BaseException) -> dict[str, str]:
    """Return the traceback from the reader's first line on, and a hint."""
    steps = error.__traceback__
    while steps and not steps.tb_frame.f_code.co_filename.startswith("your code"):
        steps = steps.tb_next
    text = "".join(traceback.format_exception(type(error), error, steps)).strip()
    try:
        message = f"{type(error).__name__}: {error}"
    except Exception:  # an error of the reader's own, which can't say what it is
        message = type(error).__name__
    return {"traceback": text, "hint": next((ERRORS[part] for part in ERRORS if part in message), "")}


def execute(code: str, name: str, namespace: dict[str, Any]) -> None:
    """Run a reader's code, whose lines a traceback shall be able to show."""
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    exec(compile(code, name, "exec"), namespace)


def run(question: str, code: str, earlier: str, report: Callable[[str], Any]) -> None:
    """Run a reader's code, then the public checks; report each result, as JSON, as soon as it is known.

    Parameters
    ----------
    question : str
        "2.2", "2.4" or "2.7".
    code : str
        What the reader wrote.
    earlier : str
        What the reader wrote for the question that this one needs: "" if nothing.
    report : callable
        Called with one JSON object for each result, as `check` yields them.
    """
    namespace: dict[str, Any] = {"__name__": "__main__", "relu": relu, **copy.deepcopy({"X": X, "K": K})}
    needed, function = QUESTIONS[question].needs, QUESTIONS[question].function
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            execute(earlier, f"your code of {needed}", namespace)
        execute(code, "your code", namespace)
    except BaseException as error:  # exit() too: the page's Python must live on
        report(json.dumps({"passed": False, "text": "Your code ends in an error.", **told(error)}))
        return
    if not callable(namespace.get(function)):
        report(json.dumps({"passed": False, "text": f"There is no function {function}.", "hint": ""}))
        return
    said = {""}
    for result in check(question, namespace[function]):
        report(json.dumps({name: words for name, words in result.items() if words not in said}))
        said |= {result["hint"], result.get("traceback", "")}  # once is enough

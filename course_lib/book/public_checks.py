"""The public checks of a function in plain Python that takes and returns lists of rows.

The page's own Python loads this file and `course_lib/questions/judgement.py` as they are, so both need the
standard library alone. What is asked comes from the page, as data: no solution stands here.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import linecache
import math
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from course_lib.questions.judgement import Case, diagnosis, difference, hint, short, written

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


def relu(x: float) -> float:
    """Keep a positive number, make any other 0."""
    return max(x, 0)


def identity(x: float) -> float:
    """Leave a number as it is: an activation that changes nothing."""
    return x


ACTIVATIONS: dict[str, Callable[[float], float]] = {"relu": relu, "identity": identity, "tanh": math.tanh}


def check(asked: dict[str, Any], function: Callable[..., Any]) -> Iterator[dict[str, Any]]:
    """Call a function with the public cases of a question and judge what comes.

    Parameters
    ----------
    asked
        "function", its name; "cases", each with "arguments", "expected" and "wrong"; "names" of pictures.
    function
        The reader's.

    Yields
    ------
    dict
        "passed", "text" (what was called, what came, what was expected, where they first differ), "hint",
        and "traceback" where the function ended in an error.
    """
    results: list[Any] = []
    judged: list[Case] = []
    for given in asked["cases"]:
        case = Case(tuple(given["arguments"]), given["expected"], tuple(map(tuple, given["wrong"])))
        call = written(asked["function"], case.arguments, asked["names"])
        arguments = copy.deepcopy(case.arguments)
        try:
            came = function(*(ACTIVATIONS[a] if isinstance(a, str) else a for a in arguments))
            where = difference(came, case.expected)
            answer = short(came)
        except BaseException as error:  # of the reader's code alone: the page stops a run from outside
            yield {"passed": False, "text": f"{call} ends in an error.", **told(error)}
            continue
        results, judged = [*results, came], [*judged, case]
        if where:
            text = f"{call} gave {answer}; expected {case.expected}. {where}"
            yield {"passed": False, "text": text, "hint": diagnosis(results, judged) or hint(came, case)}
        elif arguments != case.arguments:
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
    question
        What is asked, as JSON: see `check`; "needs" is the question whose function this one calls.
    code
        What the reader wrote.
    earlier
        What the reader wrote for the question that this one needs: "" if nothing.
    report
        Called with one JSON object for each result, as `check` yields them.
    """
    asked = json.loads(question)
    function = asked["function"]
    namespace: dict[str, Any] = {"__name__": "__main__", "relu": relu, **copy.deepcopy(asked["names"])}
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            execute(earlier, f"your code of {asked['needs']}", namespace)
        execute(code, "your code", namespace)
    except BaseException as error:  # exit() too: the page's Python must live on
        report(json.dumps({"passed": False, "text": "Your code ends in an error.", **told(error)}))
        return
    if not callable(namespace.get(function)):
        report(json.dumps({"passed": False, "text": f"There is no function {function}.", "hint": ""}))
        return
    said = {""}
    for result in check(asked, namespace[function]):
        report(json.dumps({name: words for name, words in result.items() if words not in said}))
        said |= {result["hint"], result.get("traceback", "")}  # once is enough

"""What a learner calls: `check`, to see whether an answer is right, and `write_predictions`, to hand in."""

from __future__ import annotations

import copy
import json
import reprlib
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from course_lib.files import write
from course_lib.layers import described
from course_lib.questions.grading import PARTS, QUESTIONS, Failure, cases, judge
from course_lib.questions.mistakes import ACTIVATIONS
from course_lib.questions.question import Part
from course_lib.questions.variation import ASSIGNED, Variation

HINTS = {  # what an error message holds: hint
    "NotImplementedError": "Nothing stands there yet: replace the line `raise NotImplementedError`.",
    "index": "A row or column was asked for that isn't there. How far do the loops go?",
    "could not be broadcast": "Two arrays of different shapes meet. Print both shapes in the line above.",
    "is not defined": "A name is used that has no value. Is it spelled so? Have all cells above been run?",
    "positional argument": "A function is called with other arguments than it takes.",
    "only integer scalar arrays": "Indices must be whole numbers: // divides and rounds down.",
    "cannot be interpreted as an integer": "range() wants whole numbers: // divides and rounds down.",
}


class NotYet(AssertionError):
    """An answer is not right yet; the message says where. A notebook shows it without a traceback."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


class Unasked(ValueError):
    """A question that there isn't, or one to which this is no answer. Shown without a traceback, too."""

    def _render_traceback_(self) -> list[str]:
        return str(self).splitlines()


@dataclass(frozen=True)
class _Outcome:
    values: Sequence[Any]
    tried: Sequence[str] = ()


def check(question: str, answer: Any, given: Variation = ASSIGNED) -> None:
    """Check an answer with the public cases of a question, as the grader does.

    Parameters
    ----------
    question
        "2.2".
    answer
        The function itself, without parentheses, or the value of the variable.
    given
        The digit, kernel and biases that your notebook gives you, if it gives you some of your own.

    Raises
    ------
    NotYet
        If it is not right: says what was called, what came, what was expected, where they first differ, and
        which mistake that may be.
    Unasked
        If there is no such question, or if it is not one that a computer can judge.

    Examples
    --------
    >>> check("2.7", lambda X: X[:2, :2])
    Traceback (most recent call last):
    course_lib.questions.checking.NotYet: 2.7: not yet.
    ...
    """
    part = _part(question)
    try:
        values = _called(part, answer) if part.kind == "function" else [_taken(part, answer)]
    except KeyboardInterrupt as stopped:
        raise NotYet(f"{question}: interrupted{_line_of(stopped)}. Does a loop never end?") from None
    verdict = judge(part, _Outcome(values), given=given)
    right = verdict.points == part.points
    text = "\n".join([f"{question}: {'right.' if right else 'not yet.'}", *verdict.messages])
    if not right:
        raise NotYet(text)
    print(text)
    if isinstance(answer, list) and part.kind == "value" and not isinstance(answer[0], str):
        print(f"{part.name} is a list. The cells below need an array: np.array({part.name})")


def _part(question: object) -> Part:
    judged = {part.question: part for part in PARTS.values() if part.kind in ("function", "value", "network")}
    known = isinstance(question, str) and question.strip() in judged
    if not known or not isinstance(question, str):
        asked = reprlib.repr(question)
        if isinstance(question, str) and question.strip() in QUESTIONS:
            said = f"The answer to {question.strip()} can't be checked here."
        elif isinstance(question, float) and str(question) in QUESTIONS:
            said = f'Write the number of the question in quotation marks: check("{question}", …).'
        else:
            said = f"There is no question {asked}. The question comes first, then the answer."
        raise Unasked(f"{said} Those that can be checked are {', '.join(judged)}.")
    return judged[question.strip()]


def _called(part: Part, function: Any) -> list[Any]:
    """Call a function with copies of the arguments; what goes wrong is told in words."""
    if not callable(function):
        words = f"{part.name} is no function but {reprlib.repr(function)}."
        if not isinstance(function, str) and function is not None:
            words += " Pass it without parentheses."
        return [Failure("missing", words)] * len(cases(part.id))
    values: list[Any] = []
    for case in cases(part.id):
        given = [
            ACTIVATIONS[value] if isinstance(value, str) else copy.copy(value) for value in case.arguments
        ]
        try:
            came = function(*given)
        except Exception as error:
            values.append(Failure("error", told(error)))
            continue
        arrays = [
            (before, after)
            for before, after in zip(case.arguments, given, strict=True)
            if isinstance(before, np.ndarray)
        ]
        if not all(np.array_equal(before, np.asarray(after)) for before, after in arrays):
            values.append(Failure("malformed", "It changed what it was given. Write the result elsewhere."))
        else:
            values.append(_plain(came))
    return values


def told(error: Exception) -> str:
    """Say which error a call ended in, in which line of the learner's, and what it may come from."""
    try:
        message = f"{type(error).__name__}: {error}"
    except Exception:
        message = type(error).__name__
    lines = [f"it ends in an error{_line_of(error)}: {message}."]
    lines += [words for known, words in HINTS.items() if known in message][:1]
    return " ".join(lines)


def _line_of(error: BaseException) -> str:
    """Say in which line of the learner's own an error arose: the last one in no installed file."""
    steps = traceback.extract_tb(error.__traceback__)
    own = [step for step in steps if "ipykernel_" in step.filename or step.filename.startswith("<")]
    return f" in your line {own[-1].lineno}, `{own[-1].line}`" if own and own[-1].line else ""


def _plain(came: Any) -> Any:
    """Return a result as an array if it is one or can become one."""
    if came is None or isinstance(came, str | np.ndarray):
        return came
    try:
        array = np.asarray(came)
    except Exception:  # an object of the learner's own, which can't become an array
        return came
    return array if array.dtype.kind in "biuf" else came


def _taken(part: Part, answer: Any) -> Any:
    if part.kind == "network":
        try:
            return described(answer)
        except (AttributeError, TypeError, ValueError):
            words = "begin it with keras.Input((28, 28, 1))"
            return Failure("missing", f"The network doesn't know the size of its images: {words}.")
    if isinstance(answer, list | tuple) and all(isinstance(one, str) for one in answer):
        return list(answer)
    return _plain(answer)


def write_predictions(question: str, predictions: ArrayLike, *, accuracy: float) -> None:
    """Write what your network says about the released images, to be handed in beside the notebook.

    Parameters
    ----------
    question
        "1.4", "1.5", "1.6" or "1.9".
    predictions : array_like, shape (images, 10) or (images,)
        What `model.predict` gave for the released images, or the classes.
    accuracy
        The accuracy that you expect on images that the network has not seen, from 0 to 1.

    Raises
    ------
    Unasked
        If the question has no predictions, or if these are none, or not as many as there are images.
    """
    part = PARTS.get(f"predictions-{question.replace('.', '-')}")
    if part is None:
        known = ", ".join(part.question for part in PARTS.values() if part.kind == "predictions")
        raise Unasked(f"{question!r} has no predictions to hand in. The questions with some are {known}.")
    array = np.asarray(predictions)
    if array.ndim == 2 and array.shape[1] == 10:
        array = array.argmax(axis=1)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not np.all((array >= 0) & (array <= 9)):
        raise Unasked(
            "predictions must have the shape (images, 10), as model.predict gives them, or hold the classes"
            f" 0 to 9; they have the shape {array.shape} and the type {array.dtype}"
        )
    if not isinstance(accuracy, int | float | np.number) or not 0 <= accuracy <= 1:
        raise Unasked(f"accuracy must be a number from 0 to 1, such as 0.97; it is {accuracy!r}.")
    images = Path(part.name).with_name(f"images-{question.replace('.', '-')}.npy")
    if images.exists() and len(array) != (released := len(np.load(images, mmap_mode="r"))):
        raise Unasked(f"predictions for {len(array)} images came; {images} holds {released}.")
    content = json.dumps({"classes": array.tolist(), "accuracy": float(accuracy)})
    write(Path(part.name), content.encode())
    print(f"{part.name}: the classes of {len(array)} images. Hand it in together with the notebook.")

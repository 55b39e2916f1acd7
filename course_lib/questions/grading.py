"""How an answer is judged: the same way in a reader's notebook and by the grader."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from course_lib.questions import task_1, task_2
from course_lib.questions.judgement import Case, diagnosis, difference, hint, short, written
from course_lib.questions.mistakes import NO_ROOM
from course_lib.questions.question import Part, Question
from course_lib.questions.variation import ASSIGNED, Variation

TASKS: dict[str, tuple[Question, ...]] = {"task-1": task_1.QUESTIONS, "task-2": task_2.QUESTIONS}
QUESTIONS: dict[str, Question] = {question.id: question for task in TASKS.values() for question in task}
PARTS: dict[str, Part] = {part.id: part for question in QUESTIONS.values() for part in question.parts}
MASKED: dict[str, tuple[str, ...]] = {part.id: part.masked for part in PARTS.values() if part.masked}

NAMES = {"X": task_2.X.tolist(), "K": task_2.K.tolist()}  # as the chapters call them


@dataclass(frozen=True)
class Failure:
    """What came instead of a value, in words fit for the student."""

    kind: Literal["error", "late", "memory", "died", "output", "missing", "malformed"]
    words: str


class Outcome(Protocol):
    """What the box gives for one answer: as many values as there are calls, or one."""

    @property
    def values(self) -> Sequence[Any]:
        """Arrays, numbers, lists of them, or failures."""

    @property
    def tried(self) -> Sequence[str]:
        """The masked packages whose import was tried."""


@dataclass(frozen=True)
class Verdict:
    """Points, what the student is told, and what only the teacher is told."""

    points: float
    messages: tuple[str, ...]
    notes: tuple[str, ...] = ()


@cache
def cases(part: str, secret: bytes = b"", given: Variation = ASSIGNED) -> tuple[Case, ...]:
    """Return the cases of a part: the public ones, then those that a secret draws.

    Parameters
    ----------
    part
        "answer-2-2".
    secret
        The teacher's. Without one there are no hidden cases.
    given
        The digit, kernel and biases of a student who has been given others than those of the assignment.

    Examples
    --------
    >>> len(cases("answer-2-2")), len(cases("answer-2-2", b"a secret"))
    (4, 11)
    """
    public = PARTS[part].public(given)
    if not secret:
        return public
    seed = int.from_bytes(hmac.digest(secret, f"hidden cases of {part}".encode(), hashlib.sha256))
    return public + PARTS[part].hidden(np.random.default_rng(seed))


def judge(part: Part, outcome: Outcome, secret: bytes = b"", given: Variation = ASSIGNED) -> Verdict:
    """Judge what an answer gave.

    Parameters
    ----------
    part
        One of kind function, value or network.
    outcome
        Its values in the order of `cases(part.id, secret)`.
    secret, given
        As for `cases`.
    """
    asked = cases(part.id, secret, given)
    values: list[Any] = list(outcome.values)
    values += [Failure("missing", "Nothing came.")] * (len(asked) - len(values))
    if part.kind != "function":
        right, message = _judge_value(part, values[0], asked[0])
        return Verdict(part.points if right else 0.0, (message,))
    came = [_as_list(value) for value in values]
    valued = [number for number, value in enumerate(came) if not isinstance(value, Failure)]
    mistake = diagnosis([came[number] for number in valued], [asked[number] for number in valued])
    wrong = [_judge_call(part, value, case, mistake) for value, case in zip(values, asked, strict=False)]
    earned = [
        group
        for group in part.groups
        if not any(one for one, case in zip(wrong, asked, strict=True) if case.group == group)
    ]
    messages = [f"{wrong.count(None)} of {len(asked)} cases are right.", *_messages(wrong)]
    if not secret:
        messages.append("Hidden cases remain: other pictures, other sizes, other types of numbers.")
    notes = [one.note for one in wrong if one and one.note]
    if outcome.tried:
        tried = ", ".join(outcome.tried)
        messages.append(f"It tried to import {tried}, which would do the job and is not there.")
        notes.append(f"tried to import {tried}")
    if earned == ["example"] and len(part.groups) > 1:
        earned = []
        messages.append("The example alone earns nothing: any other case must be right too.")
    return Verdict(float(sum(part.groups[group] for group in earned)), tuple(messages), tuple(notes))


@dataclass(frozen=True)
class _Wrong:
    """What to tell the student, why that is (alike in cases that fail in the same way), and the teacher."""

    message: str
    reason: str
    note: str = ""


def _messages(wrong: Sequence[_Wrong | None]) -> list[str]:
    """Tell in full the first case of those that fail in the same way."""
    alike: dict[str, list[str]] = {}
    for one in filter(None, wrong):
        alike.setdefault(one.reason, []).append(one.message)
    messages = []
    for first, *others in alike.values():
        more = f"{len(others)} more {'case fails' if len(others) == 1 else 'cases fail'} in the same way."
        messages += [first, more] if others else [first]
    return messages


def _judge_call(part: Part, value: Any, case: Case, mistake: str) -> _Wrong | None:
    """Return what is wrong with one call, if anything is.

    What a function does with a hidden case is told without any of its numbers, nor words of its own: an
    error message could carry the numbers out.
    """
    call = written(part.name, [_as_list(value) for value in case.arguments], NAMES)
    hidden = f"A hidden case ({case.group})"
    if isinstance(value, Failure):
        ended = {"error": "ends in an error", "late": "takes too long", "memory": "needs too much memory"}
        how = f"{hidden} {ended.get(value.kind, 'gives no result')}."
        said = f"{call}: {value.words}"
        return _Wrong(how, how, said) if case.hidden else _Wrong(said, value.words)
    came = _as_list(value)
    where = _unlike(value, case.expected) or difference(came, case.expected)
    if not where:
        return None
    words = _type_hint(value, case) or mistake or hint(came, case)
    lines = [f"{call} gave {_shown(value, came)};", f"expected {short(case.expected)}.", where, words]
    said = "\n  ".join(filter(None, lines))
    if not case.hidden:
        return _Wrong(said, words)
    how = f"{hidden} {'has the wrong size' if np.shape(came) != np.shape(case.expected) else 'is wrong'}."
    return _Wrong(f"{how} {words}".strip(), f"{how} {words}", said)


def _judge_value(part: Part, value: Any, case: Case) -> tuple[bool, str]:
    if isinstance(value, Failure):
        return False, value.words
    if value is None or value is ...:
        return False, f"{part.name} has no value yet."
    if part.kind == "network":
        wrong = _network_difference(value, case.expected)
        return not wrong, wrong or f"{part.name} is the network of the question."
    came = _as_list(value)
    where = _unlike(value, case.expected) or difference(came, case.expected)
    if not where:
        return True, f"{part.name} is right."
    words = _type_hint(value, case) or hint(came, case)
    return False, f"{part.name} is not right.\n  {where}\n  {words}".rstrip()


def _unlike(value: Any, expected: Any) -> str:
    """Say what is wrong with the type or the shape of an answer, in the words of NumPy: "" if nothing is."""
    wanted = np.shape(expected)
    asked = f"an array of the shape {wanted}" if len(wanted) > 1 else "one with as many entries"
    if not isinstance(value, np.ndarray | np.generic | list | int | float | str | None):
        return f"It is of the type {type(value).__name__}; {asked} is asked for."
    if isinstance(value, np.ndarray) and value.shape != wanted:
        return f"It has the shape {value.shape}; {wanted} is right."
    return ""


def _shown(value: Any, came: Any) -> str:
    """Write what came, or its shape if that is what matters."""
    if isinstance(value, np.ndarray) and value.size > 40:
        return f"an array of the shape {value.shape}"
    return short(came)


def _network_difference(came: Any, expected: list[dict[str, Any]]) -> str:
    """Say in which layer a network first differs from the one that was asked for."""
    if not isinstance(came, list) or not came:
        return "That is no Keras model with layers."
    for number, (here, asked) in enumerate(zip(came, expected, strict=False), start=1):
        if here.get("layer") != asked["layer"]:
            return f"Layer {number} is {here.get('layer')}; {asked['layer']} is asked for."
        for what, right in asked.items():
            if here.get(what) != right:
                came_with = f"the {what} {here[what]}" if here.get(what) not in ("", None) else f"no {what}"
                said = f"the {what} {right}" if right != "" else f"no {what}"
                return f"Layer {number} ({asked['layer']}) has {came_with}; {said} is asked for."
    if len(came) != len(expected):
        return f"It has {len(came)} layers; asked for are {len(expected)}."
    return ""


def _as_list(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _type_hint(value: Any, case: Case) -> str:
    """Name a type of whole numbers where there is no room for what is right."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iu":
        return ""
    right = np.asarray(case.expected)
    if value.shape != right.shape or right.dtype.kind not in "iuf":
        return ""
    room = np.iinfo(value.dtype)
    fits = right.min() >= room.min and right.max() <= room.max and bool(np.all(right == np.round(right)))
    return "" if fits else NO_ROOM


# Predictions ------------------------------------------------------------------------------------------------

LARGEST_FILE = 1_000_000  # bytes; 500 classes need some thousand


@dataclass(frozen=True)
class Predictions:
    """The classes that a network gives to the released images, and the accuracy that its author states."""

    classes: NDArray[np.int64]
    accuracy: float


def read_predictions(text: bytes) -> Predictions:
    """Read what `write_predictions` wrote; nothing in it is trusted.

    Raises
    ------
    ValueError
        If it is anything but a small JSON object with classes and an accuracy.
    """
    if len(text) > LARGEST_FILE:
        raise ValueError(f"the file has {len(text):,} bytes; write_predictions writes some thousand")
    try:
        read = json.loads(text)
        classes, accuracy = read["classes"], read["accuracy"]
    except (ValueError, TypeError, KeyError, RecursionError):
        raise ValueError("the file is not what write_predictions writes") from None
    if not isinstance(classes, list) or not all(type(one) is int and 0 <= one <= 9 for one in classes):
        raise ValueError("the classes must be whole numbers from 0 to 9")
    if type(accuracy) not in (int, float) or not 0 <= accuracy <= 1:
        raise ValueError(f"the accuracy must be a number from 0 to 1; it is {short(accuracy)}")
    return Predictions(np.array(classes, np.int64), float(accuracy))


def judge_predictions(part: Part, text: bytes | None, labels: NDArray[Any]) -> Verdict:
    """Score predictions for the released images.

    All points for an accuracy of at least `part.accuracy`, with a stated accuracy that agrees with it up to
    chance and to the images having been changed; half of them if the stated one does not.

    Parameters
    ----------
    part
        One of kind predictions.
    text
        What the file holds that was handed in: None if there was none.
    labels
        The classes of the released images, which only the teacher can tell.
    """
    if text is None:
        return Verdict(0.0, (f"There is no file {part.name} beside the notebook.",))
    try:
        predictions = read_predictions(text)
    except ValueError as error:
        return Verdict(0.0, (f"{part.name}: {error}.",))
    if len(predictions.classes) != len(labels):
        return Verdict(
            0.0, (f"{part.name} holds {len(predictions.classes)} classes; there are {len(labels)} images.",)
        )
    found = float(np.mean(predictions.classes == np.asarray(labels)))
    told = [f"{found:.1%} of the {len(labels)} released images are right; {part.accuracy:.0%} are asked for."]
    if found < part.accuracy:
        return Verdict(0.0, tuple(told))
    if abs(predictions.accuracy - found) > 0.1:
        told.append(
            f"The stated accuracy of {predictions.accuracy:.1%} is far from that: half of the points."
        )
        return Verdict(part.points / 2, tuple(told))
    return Verdict(part.points, tuple(told))

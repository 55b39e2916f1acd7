"""The checks themselves are checked: right answers get all points, wrong ones their mark and their words."""

from __future__ import annotations

import linecache
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from wrong_answers import WRONG_ANSWERS, WrongAnswer

from course_lib.convolution import convolution, convolutional_layer, maxpool_layer, relu
from course_lib.layers import described
from course_lib.questions import PARTS, QUESTIONS, TASKS, NotYet, check, judgement, task_2, write_predictions
from course_lib.questions.checking import Unasked, _called
from course_lib.questions.grading import (
    Failure,
    cases,
    judge,
    judge_predictions,
    read_predictions,
)
from course_lib.questions.mistakes import ACTIVATIONS
from course_lib.questions.variation import KERNELS, varied

SECRET = b"only for these tests"
RIGHT = {
    "answer-2-2": "from course_lib.convolution import convolution",
    "answer-2-4": "from course_lib.convolution import convolutional_layer",
    "answer-2-7": "from course_lib.convolution import maxpool_layer",
}


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sample holds the digit of the assignment."""
    monkeypatch.setenv("COURSE_DATA", "sample")


@dataclass
class Outcome:
    """What the box would give."""

    values: list[Any]
    tried: tuple[str, ...] = ()


def given() -> dict[str, Any]:
    """Return the names that the notebook has defined before an answer."""
    image = task_2.training_image(2)
    names = (convolution, convolutional_layer, maxpool_layer, relu)
    return {
        "np": np,
        "image": image,
        "four": np.rot90(image, -1),
        "X": np.array(task_2.X),
        "K": np.array(task_2.K),
        **{function.__name__: function for function in names},
    }


def answered(source: str, name: str) -> Any:
    """Run an answer after all that comes before it, and return what it defines."""
    namespace = given()
    exec(source, namespace)
    return namespace[name]


def marked(part_id: str, source: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Judge an answer with hidden cases, as the grader does."""
    from course_lib.questions import checking

    part = PARTS[part_id]
    answer = answered(source, part.name)
    monkeypatch.setattr(checking, "cases", lambda part: cases(part, SECRET))
    values = _called(part, answer) if part.kind == "function" else [checking._taken(part, answer)]
    return judge(part, Outcome(values), SECRET)


def test_the_questions_are_those_of_the_assignment() -> None:
    assert len(QUESTIONS) == 17
    assert [sum(question.points for question in task) for task in TASKS.values()] == [12, 15]
    points = [1, 1, 1, 1, 3, 1, 1, 1, 2, 1, 3, 1, 3, 2, 1, 3, 1]
    assert [question.points for question in QUESTIONS.values()] == points
    assert len(PARTS) == sum(len(question.parts) for question in QUESTIONS.values())


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_points_of_a_part_are_those_of_what_is_looked_for(part: Any) -> None:
    if part.kind == "function":
        assert sum(part.groups.values()) == part.points
        assert {case.group for case in cases(part.id, SECRET)} == set(part.groups)
    if part.kind in ("plot", "text"):
        assert sum(item.points for item in part.rubric) == part.points
        assert 1 <= len(part.rubric) <= 9  # each has a key on the marking page


@pytest.mark.parametrize("part", RIGHT)
def test_the_right_function_gets_all_points(part: str, monkeypatch: pytest.MonkeyPatch) -> None:
    verdict = marked(part, RIGHT[part], monkeypatch)
    assert verdict.points == PARTS[part].points == 3
    assert not verdict.notes


def test_hidden_cases_are_drawn_from_the_secret() -> None:
    def written(secret: bytes) -> str:
        return repr([case.arguments for case in cases("answer-2-2", secret) if case.hidden])

    assert written(SECRET) == written(SECRET) != written(b"another")
    assert not any(case.hidden for case in cases("answer-2-2"))


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("wrong", WRONG_ANSWERS, ids=lambda wrong: f"{wrong.part} {wrong.mistake}")
def test_a_wrong_answer_gets_its_mark_and_its_words(
    wrong: WrongAnswer, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = PARTS[wrong.part]
    verdict = marked(wrong.part, wrong.source, monkeypatch)
    told = "\n".join(verdict.messages)
    assert verdict.points == wrong.points < part.points, told
    assert wrong.words in told
    monkeypatch.undo()
    monkeypatch.setenv("COURSE_DATA", "sample")
    with pytest.raises(NotYet) as failed:
        check(part.question, answered(wrong.source, part.name))
    assert wrong.words in str(failed.value) or "example alone" in wrong.words


def test_a_student_may_have_a_digit_a_kernel_and_biases_of_their_own() -> None:
    own = varied(SECRET, "ada")
    assert own != varied(SECRET, "bob") and own != varied(b"another", "ada")
    four = np.rot90(task_2.training_image(own.image), -1)
    check("2.3", convolution(four, own.K), own)
    check("2.5", convolutional_layer(four, own.K, own.bias, relu), own)
    check("2.6", convolutional_layer(four, own.K.T, own.bias, relu), own)
    check("2.8", maxpool_layer(convolutional_layer(four, own.K, own.last_bias, relu)), own)
    with pytest.raises(NotYet):
        check("2.3", convolution(four, own.K))
    with pytest.raises(NotYet):
        check("2.3", convolution(four, own.K), varied(SECRET, "bob"))


def test_every_kernel_that_may_be_drawn_differs_from_its_transposed() -> None:
    for kernel in KERNELS:
        assert not np.array_equal(kernel, np.transpose(kernel))


def test_there_are_at_least_forty_wrong_answers() -> None:
    assert len({(wrong.part, wrong.mistake) for wrong in WRONG_ANSWERS}) >= 40


def test_no_number_of_a_hidden_case_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither by us, nor by an error message that a student writes to carry the numbers out."""
    spy = "def convolution(X, K):\n    raise ValueError(f'secret {X.ravel()[0]!r} {K.tolist()}')"
    verdict = marked("answer-2-2", spy, monkeypatch)
    told = "\n".join(verdict.messages)
    for case in cases("answer-2-2", SECRET):
        if case.hidden:
            assert repr(float(case.arguments[0].ravel()[0]))[:8] not in told
    assert "A hidden case (shapes) ends in an error." in told
    assert "secret" in "\n".join(verdict.notes)


def test_an_object_that_equals_everything_is_wrong() -> None:
    class Everything:
        def __eq__(self, other: object) -> bool:
            return True

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.array([self], dtype=object)

        __hash__ = None  # type: ignore[assignment]

    with pytest.raises(NotYet):
        check("2.3", Everything())
    with pytest.raises(NotYet):
        check("2.2", lambda X, K: Everything())
    with pytest.raises(NotYet):
        check("2.8", np.full((13, 13), np.nan))


def test_failures_are_told_in_their_own_words() -> None:
    part = PARTS["answer-2-2"]
    values: list[Any] = [Failure("late", "it took longer than 10 seconds.")] * len(cases(part.id, SECRET))
    verdict = judge(part, Outcome(values, tried=("scipy",)), SECRET)
    assert verdict.points == 0
    assert "A hidden case (shapes) takes too long." in verdict.messages
    assert any("scipy" in message for message in verdict.messages)


def test_check_names_what_can_be_checked(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="There is no question"):
        check("3.1", 1)
    with pytest.raises(ValueError, match="can't be checked here"):
        check("1.3", "words")
    check("2.2", convolution)
    said = capsys.readouterr().out
    assert "4 of 4 cases are right" in said and "Hidden cases remain" in said
    check("1.7", ["horse", "cat"])
    check("1.1", np.array([5, 0, 4], np.uint8))


def test_a_network_is_compared_layer_by_layer() -> None:
    from course_lib.backend import keras
    from course_lib.networks import mnist_cnn

    network = mnist_cnn()
    check("1.2", network)
    layers = keras.layers
    for changed, words in [
        (layers.Conv2D(16, 3, activation="relu"), "Layer 1 (Conv2D) has the shape [26, 26, 16]"),
        (layers.Conv2D(32, 3), "Layer 1 (Conv2D) has no activation; the activation relu is asked for."),
        (layers.Conv2D(32, 5, activation="relu"), "Layer 1 (Conv2D) has the shape [24, 24, 32]"),
    ]:
        other = keras.Sequential([keras.Input((28, 28, 1)), changed])
        with pytest.raises(NotYet) as failed:
            check("1.2", other)
        assert words in str(failed.value)
    apart = keras.Sequential(
        [keras.Input((28, 28, 1)), layers.Conv2D(32, 3), layers.Activation("relu"), *network.layers[1:]]
    )
    assert described(apart) == described(network)  # an activation may stand on its own
    with pytest.raises(NotYet, match="no Keras model"):
        check("1.2", 258_090)


def test_single_precision_is_precise_enough() -> None:
    """A right answer in float32 is right, whatever the teacher's secret."""
    right = {
        "answer-2-2": lambda X, K: convolution(X.astype("float32"), K.astype("float32")),
        "answer-2-4": lambda X, K, b, activation: activation(
            convolution(X.astype("float32"), K.astype("float32")) + np.float32(b)
        ),
    }
    for part, function in right.items():
        for number in range(100):
            secret = f"secret number {number}, as long as it must be".encode()
            values = [
                function(*(ACTIVATIONS[a] if isinstance(a, str) else a for a in case.arguments))
                for case in cases(part, secret)
            ]
            assert judge(PARTS[part], Outcome(values), secret).points == 3


@pytest.mark.parametrize(
    "question, answer, words",
    [
        (2.1, 0, 'check("2.1", …)'),
        ("Question 2.1", 0, "There is no question"),
        (np.zeros(3), "2.1", "The question comes first"),
        ("1.4", 0, "can't be checked here"),
    ],
)
def test_a_question_that_there_is_not_is_told_without_a_traceback(question, answer, words) -> None:
    with pytest.raises(Unasked) as failed:
        check(question, answer)
    assert words in str(failed.value)
    assert failed.value._render_traceback_() == str(failed.value).splitlines()


def test_an_error_is_told_with_the_line_it_arose_in() -> None:
    names = given()
    source = "def convolution(X, K):\n    Y = X.shape()\n    return Y"
    linecache.cache["<cell 7>"] = (len(source), None, source.splitlines(keepends=True), "<cell 7>")
    exec(compile(source, "<cell 7>", "exec"), names)
    with pytest.raises(NotYet, match=r"in your line 2, `Y = X.shape\(\)`: TypeError"):
        check("2.2", names["convolution"])


def test_cases_that_fail_in_the_same_way_are_told_once() -> None:
    with pytest.raises(NotYet) as failed:
        check("2.2", lambda X, K: None)
    assert str(failed.value).count(judgement.NOTHING) == 1
    assert "3 more cases fail in the same way" in str(failed.value)


def test_a_network_that_knows_no_size_and_a_list_get_words(capsys: pytest.CaptureFixture[str]) -> None:
    from course_lib.backend import keras

    with pytest.raises(NotYet, match="begin it with keras"):
        check("1.2", keras.Sequential([keras.layers.Conv2D(32, 3, activation="relu")]))
    check("2.1", np.rot90(task_2.training_image(2), -1).tolist())
    assert "np.array(four)" in capsys.readouterr().out


def test_as_many_predictions_are_wanted_as_there_are_images(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("images-1-4.npy", np.zeros((5, 28, 28), np.uint8))
    with pytest.raises(Unasked, match="predictions for 4 images came"):
        write_predictions("1.4", [1, 2, 3, 4], accuracy=0.9)
    with pytest.raises(Unasked, match="accuracy must be"):
        write_predictions("1.4", [1, 2, 3, 4, 5], accuracy=None)


def test_predictions_are_scored_and_the_stated_accuracy_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    part = PARTS["predictions-1-4"]
    labels = np.arange(500) % 10
    write_predictions("1.4", np.eye(10)[labels], accuracy=0.98)
    text = (tmp_path / part.name).read_bytes()
    assert judge_predictions(part, text, labels).points == 1
    assert judge_predictions(part, text, (labels + 1) % 10).points == 0
    write_predictions("1.4", labels, accuracy=0.5)
    assert judge_predictions(part, (tmp_path / part.name).read_bytes(), labels).points == 0.5
    assert judge_predictions(part, None, labels).points == 0
    assert judge_predictions(part, text, labels[:-1]).points == 0
    with pytest.raises(ValueError, match="shape"):
        write_predictions("1.4", np.zeros((5, 9)), accuracy=0.5)
    with pytest.raises(ValueError, match="no predictions to hand in"):
        write_predictions("1.3", labels, accuracy=0.5)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[" * 100_000,
        b'{"classes": [11], "accuracy": 1}',
        b'{"classes": [true], "accuracy": 1}',
        b'{"classes": [1], "accuracy": NaN}',
        b'{"classes": [1], "accuracy": 1e999}',
        b'{"classes": [1], "accuracy": 1' + b"0" * 400 + b"}",
        b'{"classes": [1], "accuracy": "1"}',
        b'{"classes": {}, "accuracy": 1}',
        b"\x80\x04K\x01.",
        b" " * 2_000_000,
    ],
)
def test_a_malformed_file_of_predictions_is_refused_with_a_reason(text: bytes) -> None:
    with pytest.raises(ValueError):
        read_predictions(text)
    assert judge_predictions(PARTS["predictions-1-4"], text, np.zeros(500)).points == 0

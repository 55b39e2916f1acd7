"""Answers are found in whatever a student made of the notebook; what is forged in it has no effect."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from course_lib.coursework.answers import Notebook, extract, read
from course_lib.coursework.needed import needed
from course_lib.coursework.submissions import Refused

Cells = list[dict[str, Any]]


def cell(source: str, grade_id: str = "", kind: str = "code", **nbgrader: Any) -> dict[str, Any]:
    metadata = {"nbgrader": {"grade_id": grade_id, **nbgrader}} if grade_id else {}
    return {"cell_type": kind, "source": source, "metadata": metadata, "id": "x", "outputs": []}


def marker(part: str, kind: str = "code") -> str:
    words = f"{part} (your answer to {'.'.join(part.split('-')[1:])} stands in this cell)"
    return f"# {words}\n" if kind == "code" else f"<!-- {words} -->\n"


def notebook(cells: Cells) -> Notebook:
    metadata = {"course": {"task": "task-2", "version": "v1"}}
    return read(json.dumps({"nbformat": 4, "metadata": metadata, "cells": cells}).encode())


STUB = marker("answer-2-2") + "def convolution(X, K):\n    raise NotImplementedError"
RELEASE: Cells = [
    cell("# Lesson", kind="markdown"),
    cell("import numpy as np"),
    cell(marker("answer-2-1") + "four = None", "answer-2-1"),
    cell('check("2.1", four)', "check-2-1"),
    cell("What do you see?", kind="markdown"),
    cell(marker("words-2-1", "markdown") + "*Your answer*", "words-2-1", "markdown"),
    cell("Now write it:", kind="markdown"),
    cell(STUB, "answer-2-2", points=3),
    cell('check("2.2", convolution)', "check-2-2"),
    cell("The end.", kind="markdown"),
]
ANSWER = marker("answer-2-2") + "def convolution(X, K):\n    return X"


def changed(*changes: tuple[int, dict[str, Any]]) -> Cells:
    cells = copy.deepcopy(RELEASE)
    for place, change in changes:
        cells[place] |= change
    return cells


def found(cells: Cells) -> dict[str, tuple[str, str]]:
    answers = extract(notebook(cells), notebook(RELEASE))
    assert list(answers) == ["answer-2-1", "words-2-1", "answer-2-2"]
    return {part: (one.source, one.warning) for part, one in answers.items() if one.source}


def test_an_untouched_notebook_holds_no_answer() -> None:
    assert found(RELEASE) == {}
    spaced = STUB.replace("\n", "  \n\n") + "\n\n"
    assert found(changed((7, {"source": spaced}), (2, {"source": "four = None\n"}))) == {}


def test_answers_are_found_by_metadata() -> None:
    words = {"source": ["A digit, ", "turned."]}
    assert found(changed((7, {"source": ANSWER}), (5, words))) == {
        "words-2-1": ("A digit, turned.", ""),
        "answer-2-2": (ANSWER, ""),
    }


def test_answers_are_found_wherever_their_cells_were_moved() -> None:
    cells = changed((7, {"source": ANSWER}))
    assert found(list(reversed(cells)))["answer-2-2"] == (ANSWER, "")


def test_answers_are_found_by_their_marker() -> None:
    cells = changed((7, {"source": ANSWER, "metadata": {}}))
    assert found(cells[5:8])["answer-2-2"] == (
        ANSWER,
        "found by the marker in the cell: its metadata were lost",
    )


def test_answers_are_found_by_their_position() -> None:
    bare = {"source": "def convolution(X, K): return 1", "metadata": {}}
    said = "found by its position: the cell's metadata and its marker were lost"
    assert found(changed((7, bare)))["answer-2-2"] == (bare["source"], said)
    more = changed((7, bare))
    more.insert(1, cell("extra = 1"))
    assert found(more)["answer-2-2"] == (bare["source"], said)
    more.insert(8, cell("helper = 2"))  # two cells at the place: neither is surely the answer
    assert "answer-2-2" not in found(more)
    answers = extract(notebook(more), notebook(RELEASE))
    assert answers["answer-2-2"].warning == "its cell is not in the notebook"


def test_all_metadata_lost() -> None:
    cells = [one | {"metadata": {}} for one in changed((7, {"source": ANSWER}), (2, {"source": "four = 4"}))]
    answers = found(cells)
    assert answers["answer-2-2"][0] == ANSWER
    assert answers["answer-2-1"][0] == "four = 4"
    assert "words-2-1" not in answers


def test_a_cell_that_was_split_or_copied() -> None:
    cells = changed((7, {"source": ANSWER}))
    cells.insert(7, cell("def helper(): pass", "answer-2-2"))
    cells.append(cell(STUB, "answer-2-2"))
    assert found(cells)["answer-2-2"] == (
        "def helper(): pass\n\n" + ANSWER,
        "3 cells belong to it; the 2 that were changed are taken together",
    )


def test_an_emptied_answer() -> None:
    assert found(changed((7, {"source": ""}))) == {}
    assert found(changed((7, {"source": []}))) == {}


def test_code_in_a_cell_of_another_type_is_not_the_answer() -> None:
    assert found(changed((7, {"source": ANSWER, "cell_type": "raw"}))) == {}


@pytest.mark.parametrize("kind", ["code", "raw"])
def test_words_in_a_cell_of_another_type_are_the_answer(kind: str) -> None:
    said = "its cell is no longer one of text; taken as words all the same"
    assert found(changed((5, {"cell_type": kind, "source": "A 4."}))) == {"words-2-1": ("A 4.", said)}
    marked = marker("words-2-1", "markdown") + "A 4."
    cells = changed((5, {"cell_type": kind, "source": marked, "metadata": {}}))
    assert found(cells) == {"words-2-1": (marked, said)}
    assert found(changed((5, {"cell_type": kind}))) == {}  # nothing was written into it


def test_answers_below_their_untouched_cells() -> None:
    said = "found in a new cell below its own, which was left as it is"
    cells = copy.deepcopy(RELEASE)
    cells.insert(9, cell("def convolution(X, K):\n    return X"))  # below the check
    cells.insert(8, cell("def helper(): pass"))
    cells.insert(6, cell("It lies on its side.", kind="markdown"))
    cells.insert(6, cell("scratch = 1"))
    cells.insert(0, cell("before = 1"))
    cells.append(cell("after = 1"))
    both = "def helper(): pass\n\ndef convolution(X, K):\n    return X"
    taken = "; 2 cells belong to it; the 2 that were changed are taken together"
    assert found(cells) == {
        "words-2-1": ("It lies on its side.", said),
        "answer-2-2": (both, said + taken),
    }
    answered = changed((7, {"source": ANSWER}))
    answered.insert(8, cell("print(convolution(4, 2))"))  # below an answer, it is none
    assert found(answered) == {"answer-2-2": (ANSWER, "")}


def test_forged_metadata_have_no_effect() -> None:
    cells = changed((7, {"source": ANSWER}))
    cells[7]["metadata"]["nbgrader"] |= {"points": 1000, "grade": True, "locked": "no", "schema_version": []}
    cells.insert(0, cell("points = 1000", "answer-9-9", points=1000))
    cells.insert(0, cell("check = print", "check-2-2"))
    assert found(cells) == {"answer-2-2": (ANSWER, "")}


@pytest.mark.parametrize(
    "strange",
    [
        None,
        [],
        "x",
        {},
        {"cell_type": 5, "source": 5, "metadata": 5},
        {"cell_type": ["code"], "source": {"a": 1}, "metadata": {"nbgrader": []}},
        {"cell_type": "code", "source": [1, "x = 1", None], "metadata": {"nbgrader": {"grade_id": {}}}},
    ],
)
def test_strange_cells_are_passed_over(strange: Any) -> None:
    cells = [strange, *changed((7, {"source": ANSWER}))]
    assert found(cells) == {"answer-2-2": (ANSWER, "")}


def test_what_no_database_can_store() -> None:
    cells = changed((7, {"source": ANSWER + "\ud800"}))
    found(cells)["answer-2-2"][0].encode()


def test_a_very_long_answer_is_cut_off() -> None:
    source, warning = found(changed((7, {"source": ANSWER + "#" * 1_000_000})))["answer-2-2"]
    assert len(source) == 100_000
    assert warning == f"cut off after 100,000 of {1_000_000 + len(ANSWER):,} characters"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is no JSON"),
        (b"PK\x03\x04", "is no JSON"),
        (b"<html>", "is no JSON"),
        (b'{"cells": ', "is no JSON"),
        (b"\xff\xfe\x00", "is not text in UTF-8"),
        (b"[" * 100_000, "is nested too deeply"),
        (b'{"cells": ' * 50_000, "is nested too deeply"),
        (b'{"cells": 1' + b"0" * 10_000 + b"}", "is no JSON"),
        (b"[]", "no notebook of format 4"),
        (b'{"cells": {}}', "no notebook of format 4"),
        (b'{"worksheets": [{"cells": []}]}', "no notebook of format 4"),
        (b'{"cells": [' + b"{}," * 6_000 + b"{}]}", "6,001 cells"),
    ],
)
def test_what_is_no_notebook(content: bytes, words: str) -> None:
    with pytest.raises(Refused, match=words):
        read(content)


def test_a_byte_order_mark_and_a_nan() -> None:
    assert read(
        b'\xef\xbb\xbf{"cells": [], "metadata": {"course": {"task": 1, "version": NaN}}}'
    ) == Notebook(())


def test_2_megabytes_of_brackets() -> None:
    with pytest.raises(Refused, match="660,001 cells"):
        read(b'{"cells": [' + b"[]," * 660_000 + b"[]]}")


# What an answer needs ---------------------------------------------------------------------------------------

LESSON = [
    "import numpy as np\nimport matplotlib.pyplot as plt\nfrom course_lib.data import load_mnist"
    "\nimport keras",
    "plt.style.use('x')\ndigits = load_mnist()\nimage = digits.x_train[2]",
    "figure, (left, right) = plt.subplots(1, 2)\nleft.imshow(image)\nplt.show()",
    "four = np.rot90(image, -1)\nplt.imshow(four)",  # 3: an answer
    "K = np.zeros((3, 3))\nK[1] = 1\nK.setflags(write=False)\nprint(K)\nplt.imshow(K)",
    "model = keras.Sequential()\nmodel.compile()\nhistory = model.fit(image)",
]


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        ("def f(X, K): return np.sum(X)", ["import numpy as np"]),
        ("def f(X, K): return X", []),
        ("def f(X):\n    image = X\n    return [image for digits in X]", []),
        ("f = lambda X: K", ["import numpy as np", LESSON[4].split("\nprint")[0]]),
        ("K += 1", ["import numpy as np", LESSON[4].split("\nprint")[0]]),
        ("K = 1\nK += 1", []),
        (
            "out = four",
            [
                "import numpy as np\nimport matplotlib.pyplot as plt\nfrom course_lib.data import load_mnist",
                "digits = load_mnist()\nimage = digits.x_train[2]",
                LESSON[3],
            ],
        ),
        (
            "out = history",
            [
                "from course_lib.data import load_mnist\nimport keras",
                "digits = load_mnist()\nimage = digits.x_train[2]",
                LESSON[5],
            ],
        ),
        ("no python (", []),
    ],
)
def test_what_an_answer_needs(answer: str, kept: list[str]) -> None:
    assert needed(LESSON, answer, blocks={3}) == kept


def test_a_function_reads_names_when_it_is_called() -> None:
    sources = ["size = 1", "def f(): return size + shift", "size = 2", "shift = 3\nother = 4"]
    assert needed(sources, "y = f()") == [
        "size = 1",
        "def f():\n    return size + shift",
        "size = 2",
        "shift = 3",
    ]


def test_a_later_value_takes_the_place_of_an_earlier_one() -> None:
    sources = ["a = slow()", "a = 1", "if a:\n    b = 1", "b += 1", "for c in range(b):\n    d = c"]
    assert needed(sources, "y = d") == sources[1:]


def test_names_that_an_answer_gives_itself_are_not_needed() -> None:
    lesson = ["name = label = one = slow()", "with slow() as file:\n    pass", "panels = [1]"]
    answer = (
        "for name, panel in zip('ab', panels):\n    label = name\n    print([label for one in name], label)"
    )
    assert needed(lesson, answer) == ["panels = [1]"]
    assert needed(lesson, "with open('x') as file:\n    text = file.read()\nout = text") == []
    assert needed(lesson, "if panels:\n    label = 1\nprint(label)") == [lesson[0], lesson[2]]
    assert needed(lesson, "try:\n    label\nexcept NameError:\n    pass") == [lesson[0]]
    assert needed(lesson, "print([label for _ in '1'])") == [lesson[0]]


def test_our_imports_of_what_is_not_there_are_left_out() -> None:
    sources = ["def relu(x): return x", "def convolution(X, K): return X"]
    sources += ["from course_lib.convolution import convolution, relu"]
    assert needed(sources, "y = convolution(relu(1))") == [sources[2]]
    assert needed(sources, "y = convolution(relu(1))", blocks={1}, unavailable={"course_lib"}) == [
        "def relu(x):\n    return x",
        sources[1],
    ]


def test_commands_of_ipython() -> None:
    assert needed(["%matplotlib inline\nx = 1", "%%time\ny = x"], "z = y\n!ls", blocks={1}) == [
        "x = 1",
        "%%time\ny = x",
    ]


@pytest.mark.parametrize("times", [300, 950, 3_000, 50_000])
@pytest.mark.parametrize(
    "piece", ["-{}1", "x{}.y", "1{}+1", "{}lambda: 1", "f{}()", "{}not 1", "x{}[0]", "[{}", "a{}=1"]
)
def test_code_that_is_nested_too_deeply_stops_nobody(piece: str, times: int) -> None:
    start, repeated = piece.split("{}")
    code = "".join([start, repeated * times])
    assert needed(["x = 1", code], "y = x", blocks={1})[0] == "x = 1"
    needed(["x = 1"], code)

"""Grading goes on wherever it was stopped, and no hand-in has an effect on another one."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.coursework import box, grade, secret
from course_lib.coursework.__main__ import main as course
from course_lib.coursework.images import labels
from course_lib.coursework.ledger import Ledger, Mark, Result, Submission
from course_lib.coursework.marks import given_to
from course_lib.coursework.release import Release, release, released
from course_lib.coursework.vary import varied_notebook
from course_lib.questions.grading import PARTS, cases
from course_lib.questions.variation import ASSIGNED, varied

SECRET = b"a secret that is as long as it must be"
ANSWERS = {
    "answer-2-1": "four = np.rot90(image, -1)",
    "words-2-1": "It lies on its side.",
    "answer-2-2": """\
def convolution(X, K):
    rows, columns = X.shape[0] - K.shape[0] + 1, X.shape[1] - K.shape[1] + 1
    Y = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            Y[i, j] = np.sum(X[i:i + K.shape[0], j:j + K.shape[1]].astype(float) * K)
    return Y""",
    "answer-2-3": "feature_map = convolution(four, K)",
    "plot-2-3": "plt.imshow(feature_map)",
    "answer-2-4": """\
def convolutional_layer(X, K, b, activation):
    return activation(convolution(X, K) + b)""",
}
FULL = {"answer-2-1": 0.5, "answer-2-2": 3, "answer-2-3": 0.5, "plot-2-3": 0, "answer-2-4": 3}


def marker(part: str) -> str:
    words = f"{part} (your answer to {PARTS[part].question} stands in this cell)"
    return f"<!-- {words} -->\n" if PARTS[part].kind == "text" else f"# {words}\n"


def notebook(version: str = "v1", task: str = "task-2", **answers: str) -> NotebookNode:
    """Make a small notebook of Task 2; answers are named answer_2_1."""
    cells = [
        new_code_cell("import numpy as np\nimport matplotlib.pyplot as plt"),
        new_code_cell("from course_lib.data import load_mnist\nimage = load_mnist().x_train[2]"),
        new_code_cell("K = np.array([[-0.5] * 3, [1.0] * 3, [-0.5] * 3])\nplt.imshow(K)\nplt.show()"),
    ]
    for part in ANSWERS:
        new = new_markdown_cell if PARTS[part].kind == "text" else new_code_cell
        source = marker(part) + answers.get(part.replace("-", "_"), f"# nothing for {part} yet")
        cells.append(new_markdown_cell(f"Now {PARTS[part].question}, {PARTS[part].kind}:"))
        cells.append(new(source, metadata={"nbgrader": {"grade_id": part, "points": PARTS[part].points}}))
    return new_notebook(cells=cells, metadata={"course": {"task": task, "version": version}})


def solved(version: str = "v1", **answers: str) -> NotebookNode:
    """Make a notebook with right answers, but for some."""
    return notebook(version, **{part.replace("-", "_"): source for part, source in ANSWERS.items()} | answers)


def hand_in(folder: Path, student: str, made: NotebookNode | bytes | None = None) -> Path:
    path = folder / student / "task-2.ipynb"
    path.parent.mkdir(parents=True, exist_ok=True)
    made = solved() if made is None else made
    path.write_bytes(made if isinstance(made, bytes) else nbformat.writes(made).encode())
    return path


class Runs:
    """A stand-in for the box that runs what is harmless in this process, and notes what ran."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.masked: list[Sequence[str]] = []
        self.wait = 0.0

    def __call__(
        self, jobs: Sequence[box.Job], *, masked: Sequence[str] = (), **_: Any
    ) -> dict[str, box.Outcome]:
        self.masked.append(masked)
        outcomes = {}
        for job in jobs:
            time.sleep(self.wait)
            if not job.part.endswith(" hidden"):  # the second job of a function
                self.parts.append(job.part)
            namespace: dict[str, Any] = {}
            error = ""
            for source in job.sources:
                try:
                    exec(source.replace("plt.", "print and "), namespace)
                except Exception as one:
                    error = f"{type(one).__name__}: {one}"
            values: list[Any] = []
            activations = {"relu": lambda x: x * (x > 0), "identity": lambda x: x, "tanh": np.tanh}
            for call in job.calls if job.wanted == "calls" else [()]:
                try:
                    value = namespace[job.name] if job.name else None
                    given = [activations[one] if isinstance(one, str) else one for one in call]
                    values.append(value(*given) if job.wanted == "calls" else value)
                except Exception as one:
                    values.append(box.Failure("error", error or f"{type(one).__name__}: {one}"))
            pictures = (b"a picture",) if job.wanted == "pictures" else ()
            came = tuple(values) if job.wanted != "pictures" else ()
            outcomes[job.part] = box.Outcome(job.part, came, pictures, "", (), 0.0)
        return outcomes


@pytest.fixture(autouse=True)
def small_release(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COURSE_DATA", "sample")
    monkeypatch.setattr(grade, "released", lambda task: Release(task, "v1", notebook(), solved()))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    stand_in = Runs()
    monkeypatch.setattr(box, "run", stand_in)
    monkeypatch.setattr(box, "why_not", lambda: "")
    monkeypatch.setattr(grade, "_try_solutions", lambda *_: None)  # so that only what was handed in runs
    return stand_in


@pytest.fixture
def real_box() -> None:
    if reason := box.why_not():
        pytest.skip(f"no box: {reason}")


Graded = Callable[..., "Book"]


class Book:
    """What a ledger says, by student."""

    def __init__(self, out: Path) -> None:
        ledger = Ledger(out)
        self.submissions: dict[str, list[Submission]] = {}
        for one in ledger.submissions():
            self.submissions.setdefault(one.student, []).append(one)
        self.results: dict[str, dict[str, Result]] = {}
        self.answers: dict[str, dict[str, str]] = {}
        self.pictures: dict[str, dict[str, list[bytes]]] = {}
        for student, all_of in self.submissions.items():
            one = ([one for one in all_of if one.status != "superseded"] or all_of)[-1]
            self.results[student] = ledger.results(one.id)
            self.answers[student] = {part: a.source for part, a in ledger.answers(one.id).items()}
            self.pictures[student] = {part: ledger.pictures(one.id, part) for part in ANSWERS}
        ledger.close()

    def points(self, student: str) -> dict[str, float]:
        return {part: result.points for part, result in self.results[student].items()}

    def status(self, student: str) -> list[tuple[str, str]]:
        return [(one.status, one.note) for one in self.submissions[student]]


@pytest.fixture
def graded(tmp_path: Path) -> Iterator[Graded]:
    def graded(**setting: Any) -> Book:
        setting = {"secret": SECRET} | setting
        grade.grade("task-2", tmp_path / "in", tmp_path / "out", **setting)
        return Book(tmp_path / "out")

    yield graded


# The honest way ---------------------------------------------------------------------------------------------


def test_the_solution_and_the_untouched_release(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    hand_in(tmp_path / "in", "ada")
    hand_in(tmp_path / "in", "alan", notebook())
    book = graded()
    assert book.points("ada") == FULL
    assert set(book.points("alan").values()) == {0}
    assert book.results["alan"]["answer-2-2"].messages == ("Not answered.",)
    assert book.status("ada") == [("graded", "")]
    assert book.answers["ada"]["words-2-1"].endswith("It lies on its side.")
    assert book.answers["alan"] == {}
    assert book.pictures["ada"]["plot-2-3"] == [b"a picture"]
    assert sorted(runs.parts) == sorted(FULL)  # nothing of the untouched one ran


def test_functions_run_where_what_would_do_it_is_not_there(
    tmp_path: Path, runs: Runs, graded: Graded
) -> None:
    hand_in(tmp_path / "in", "ada")
    graded()
    assert len(runs.masked) == 2
    assert "scipy" in runs.masked[0] and "course_lib" in runs.masked[0]
    assert runs.masked[1] == ()


def test_an_error_is_carried_forward_once(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    hand_in(tmp_path / "in", "ada", solved(answer_2_2="def convolution(X, K): return X"))
    hand_in(tmp_path / "in", "alan", solved(answer_2_2="def convolution(X, K): return X", answer_2_4="x = ("))
    book = graded()
    assert book.points("ada") == FULL | {"answer-2-2": 0}
    said = "An error counts once: with right answers before it, this one is worth 0.5 of 0.5 points."
    assert book.results["ada"]["answer-2-3"].messages[0] == said
    assert book.results["ada"]["answer-2-3"].notes == ("judged with the solution's answers before it",)
    assert book.points("alan") == FULL | {"answer-2-2": 0, "answer-2-4": 0}


def test_an_answer_that_is_far_too_long_does_not_run(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    """What an answer needs is looked for outside of the box: a long one would keep the grader busy."""
    long = ANSWERS["answer-2-2"] + "\nx = 1" * 20_000
    hand_in(tmp_path / "in", "ada", solved(answer_2_2=long))
    began = time.process_time()
    book = graded()
    assert time.process_time() - began < 10
    assert book.results["ada"]["answer-2-2"].messages == (
        "Not run: it has 100,000 characters, and at most 20,000 are taken. Leave out what it doesn't need.",
    )
    assert "answer-2-2" not in runs.parts
    assert book.points("ada") == FULL | {"answer-2-2": 0}  # what needs it is tried with ours


def test_a_second_run_does_nothing(
    tmp_path: Path, runs: Runs, graded: Graded, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in(tmp_path / "in", "ada")
    first = graded()
    runs.parts.clear()
    capsys.readouterr()
    second = graded()
    assert runs.parts == []
    assert second.results == first.results
    assert "Nothing is left to run" in capsys.readouterr().out


def test_hand_ins_of_another_folder_are_told_of(
    tmp_path: Path, runs: Runs, graded: Graded, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in(tmp_path / "another", "alan")
    hand_in(tmp_path / "in", "ada")
    grade.grade("task-2", tmp_path / "another", tmp_path / "out", secret=SECRET)
    assert "hand-ins of" not in capsys.readouterr().out.replace("1 hand-ins of", "")
    graded()
    said = (
        f"{tmp_path / 'out'} holds hand-ins of 1 students from {tmp_path / 'another'}, too, and they count."
    )
    assert said in capsys.readouterr().out


def test_a_new_hand_in_is_all_that_runs(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    hand_in(tmp_path / "in", "ada")
    graded()
    runs.parts.clear()
    hand_in(tmp_path / "in", "alan", notebook(answer_2_1=ANSWERS["answer-2-1"]))
    graded()
    assert runs.parts == ["answer-2-1"]


def test_other_cases_run_only_what_they_touch(
    tmp_path: Path, runs: Runs, graded: Graded, capsys: pytest.CaptureFixture[str]
) -> None:
    by_heart = "def convolution(X, K):\n    " + "\n    ".join(
        f"if X.tolist() == {case.arguments[0].tolist()}: return np.array({case.expected})"
        for case in cases("answer-2-2")
    )
    hand_in(tmp_path / "in", "ada", solved(answer_2_2=by_heart))
    assert graded(secret=b"").points("ada")["answer-2-2"] > 0  # without a secret there are no hidden cases
    runs.parts.clear()
    capsys.readouterr()
    with closing(Ledger(tmp_path / "out")) as ledger:
        ledger.note_about("secret", "")  # as if the cases had been mended, and the secret were the same
    book = graded()
    assert set(runs.parts) == {"answer-2-2", "answer-2-4"}
    assert book.points("ada")["answer-2-2"] == 0
    assert "ada, answer-2-2: " in capsys.readouterr().out


def test_report_and_status(
    tmp_path: Path, runs: Runs, graded: Graded, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in(tmp_path / "in", "=1+1")
    hand_in(tmp_path / "in", "\x1b[31mEve\n", b"no JSON")
    (tmp_path / "in" / "names.csv").write_text("")
    graded()
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "refused: \\x1b[31mEve\\n" in out and "the notebook is no JSON" in out
    assert "nobody's: names.csv" in out
    with open(tmp_path / "out" / "report.csv", encoding="utf-8-sig", newline="") as file:
        rows = {row["student"]: row for row in csv.DictReader(file)}
    assert rows["'=1+1"]["status"] == "graded" and float(rows["'=1+1"]["points so far"]) == 7
    assert rows["\x1b[31mEve\n"]["status"] == "refused"
    assert rows[""]["source"] == "names.csv"
    grade.status(tmp_path / "out")
    out = capsys.readouterr().out
    assert "task-2, version v1: 1 graded, 1 refused." in out
    assert "words-2-1: 0 of 1 marked\n" in out
    with closing(Ledger(tmp_path / "out")) as ledger:
        (one,) = ledger.submissions("graded")
        ledger.write_mark(Mark(one.id, "words-2-1", None, "Why?"))
    grade.status(tmp_path / "out")
    out = capsys.readouterr().out
    assert "words-2-1: 0 of 1 marked, and 1 commented, with no points yet" in out
    with pytest.raises(FileNotFoundError, match="there is no grading in"):
        grade.status(tmp_path)


def test_where_there_is_no_box(
    tmp_path: Path,
    runs: Runs,
    graded: Graded,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hand_in(tmp_path / "in", "ada")
    monkeypatch.setattr(box, "why_not", lambda: "The box needs Linux.")
    book = graded()
    assert runs.parts == []
    assert book.status("ada") == [("waiting", "")]
    assert book.answers["ada"]["words-2-1"].endswith("It lies on its side.")
    assert "Nothing is run: The box needs Linux." in capsys.readouterr().out
    monkeypatch.setattr(box, "why_not", lambda: "")
    assert graded().points("ada") == FULL


def test_what_is_asked_must_be_clear(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    hand_in(tmp_path / "in", "ada")
    graded()
    with pytest.raises(ValueError, match="holds the grading of task-2; give task-1 a folder of its own"):
        grade.grade("task-1", tmp_path / "in", tmp_path / "out", secret=SECRET)
    with pytest.raises(ValueError, match="there is no 'task-3'"):
        grade.grade("task-3", tmp_path / "in", tmp_path / "out", secret=SECRET)
    with pytest.raises(ValueError, match="workers must be 1 or more"):
        graded(workers=0)
    with pytest.raises(ValueError, match="is not what `course release task-2` wrote"):
        graded(releases=[tmp_path])


# What must be withstood -------------------------------------------------------------------------------------


def test_hostile_hand_ins_harm_nobody(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    folder = tmp_path / "in"
    names = ["<script>alert(1)<", 'o\'Neil "Bob"', "two\nlines", "🙂", "';DROP TABLE results;--", "%s", "-rf"]
    for name in names:
        hand_in(folder, name)
    hand_in(folder, "no JSON", b"{'cells': []}")
    hand_in(folder, "no notebook", b'{"cells": 5}')
    hand_in(folder, "too deep", b"[" * 100_000)
    os.truncate(hand_in(folder, "500 MB"), 500_000_000)
    hand_in(folder, "another task", notebook(task="task-1"))
    hand_in(folder, "another version", solved("v0"))
    hand_in(folder, "of nothing", new_notebook(cells=[new_code_cell("four = 4")]))
    (folder / "empty").mkdir()
    (folder / "link").mkdir()
    (folder / "link" / "task-2.ipynb").symlink_to(folder / "🙂" / "task-2.ipynb")
    (folder / "pipe").mkdir()
    os.mkfifo(folder / "pipe" / "task-2.ipynb")
    with zipfile.ZipFile(folder / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("task-2.ipynb", bytes(50_000_000))
    with zipfile.ZipFile(folder / "up.zip", "w") as archive:
        archive.writestr("../🙂/task-2.ipynb", nbformat.writes(notebook()))
    forged = solved()
    for cell in forged.cells:
        cell.metadata["nbgrader"] = {"grade_id": "answer-2-2", "points": 1e9, "grade": True}
    hand_in(folder, "forged", forged)
    twice = solved()
    twice.cells += [*notebook().cells, *solved(answer_2_1="four = image").cells[3:5]]
    hand_in(folder, "twice", twice)
    book = graded()
    for name in names:
        assert book.points(name) == FULL
        assert book.status(name) == [("graded", "")]
    refused = {
        "no JSON": "the notebook is no JSON",
        "no notebook": "no notebook of format 4",
        "too deep": "nested too deeply",
        "500 MB": "500 MB/task-2.ipynb has 500,000,000 bytes; at most 20,000,000 are read",
        "another task": "the notebook is one of task-1; this is the grading of task-2",
        "another version": "made for version v0; this grading is of v1. If it was released by you, give that"
        " release too, with --release",
        "of nothing": "is no notebook of task-2",
        "empty": "no notebook was handed in",
        "link": "link/task-2.ipynb is a link, and links are not followed",
        "pipe": "pipe/task-2.ipynb is no ordinary file",
        "bomb": "would unpack to 50,000,000 bytes",
        "up": "leads out of the folder",
    }
    for name, words in refused.items():
        ((status, note),) = book.status(name)
        assert status == "refused" and words in note
        assert book.results[name] == {}
    assert all(book.points("forged")[part] <= points for part, points in FULL.items())
    assert book.points("twice") == FULL | {"answer-2-1": 0}
    assert set(book.submissions) == {*names, *refused, "forged", "twice"}


def test_all_metadata_forged_to_one_part_earn_nothing_more(
    tmp_path: Path, runs: Runs, graded: Graded
) -> None:
    forged = notebook(answer_2_1=ANSWERS["answer-2-1"])
    for cell in forged.cells:
        cell.metadata["nbgrader"] = {"grade_id": "answer-2-4", "points": 1e9}
    hand_in(tmp_path / "in", "eve", forged)
    assert sum(graded().points("eve").values()) == 0


def test_two_hand_ins_of_one_student(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    old = hand_in(tmp_path / "in", "ada", notebook())
    os.utime(old, (1_000, 1_000))
    with zipfile.ZipFile(tmp_path / "in" / "ada.zip", "w") as archive:
        archive.writestr("task-2.ipynb", nbformat.writes(solved()))
    book = graded()
    assert sorted(book.status("ada")) == [
        ("graded", ""),
        ("superseded", "a newer hand-in counts: ada.zip"),
    ]
    assert book.points("ada") == FULL
    (tmp_path / "in" / "ada.zip").write_bytes(b"broken")  # the newest that can be read counts
    book = graded()
    assert [status for status, _ in book.status("ada")].count("graded") == 1
    assert sum(book.points("ada").values()) == 0


def test_a_replaced_hand_in(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    hand_in(tmp_path / "in", "ada", notebook())
    graded()
    os.utime(hand_in(tmp_path / "in", "ada"), (1_000, 1_000))  # put there later, whatever its time says
    book = graded()
    assert [status for status, _ in book.status("ada")] == ["superseded", "graded"]
    assert book.points("ada") == FULL


def test_late_hand_ins_in_a_folder_of_their_own(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    for student in ("ada", "alan"):
        os.utime(hand_in(tmp_path / "in", student, notebook()), (1_000, 1_000))
    graded()
    hand_in(tmp_path / "late", "ada")
    grade.grade("task-2", tmp_path / "late", tmp_path / "out", secret=SECRET)
    book = graded()  # the first folder again: the late one still counts
    assert sorted(status for status, _ in book.status("ada")) == ["graded", "superseded"]
    assert book.points("ada") == FULL
    assert [status for status, _ in book.status("alan")] == ["graded"]


def test_several_notebooks_in_one_hand_in(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    path = hand_in(tmp_path / "in", "ada")
    path.with_name("task-1.ipynb").write_text(nbformat.writes(notebook(task="task-1")))
    (path.parent / "old").mkdir()
    (path.parent / "old" / "task-2.ipynb").write_text(nbformat.writes(notebook()))
    (path.parent / ".ipynb_checkpoints").mkdir()
    (path.parent / ".ipynb_checkpoints" / "task-2.ipynb").write_text(nbformat.writes(notebook()))
    book = graded()
    assert book.points("ada") == FULL
    assert sorted(book.status("ada")) == [
        ("graded", "of 3 notebooks ada/task-2.ipynb counts"),
        ("superseded", "another notebook counts"),
    ]


def test_a_download_of_canvas_and_one_of_moodle(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "lovelaceada_12_999_task-2-1.ipynb").write_text(nbformat.writes(solved()))
    (folder / "lovelaceada_12_345_task-2.ipynb").write_text(nbformat.writes(notebook()))
    (folder / "turingalan_LATE_13_346_task-2.ipynb").write_text(nbformat.writes(solved()))
    book = graded()
    assert book.points("lovelaceada_12") == book.points("turingalan_13") == FULL
    assert sorted(status for status, _ in book.status("lovelaceada_12")) == ["graded", "superseded"]
    with zipfile.ZipFile(tmp_path / "download.zip", "w") as archive:
        for name in ("Ada Lovelace_12", "Alan Turing_13"):
            archive.writestr(f"{name}_assignsubmission_file_/task-2.ipynb", nbformat.writes(solved()))
    grade.grade("task-2", tmp_path / "download.zip", tmp_path / "moodle", secret=SECRET)
    book = Book(tmp_path / "moodle")
    assert book.points("Ada Lovelace_12") == book.points("Alan Turing_13") == FULL


def test_an_earlier_release_is_graded_where_it_is_given(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    earlier = tmp_path / "release"
    for folder, name, made in (
        ("student", "task-2", notebook("v0")),
        ("teacher", "task-2-solution", solved("v0")),
    ):
        (earlier / folder).mkdir(parents=True)
        (earlier / folder / f"{name}.ipynb").write_text(nbformat.writes(made))
    hand_in(tmp_path / "in", "ada", solved("v0"))
    unnamed = solved()
    del unnamed.metadata["course"]
    hand_in(tmp_path / "in", "alan", unnamed)
    book = graded(releases=[earlier])
    assert book.points("ada") == FULL
    assert book.points("alan") == FULL
    assert "says no version" in book.status("alan")[0][1]


def test_an_earlier_release_with_numbers_of_their_own(
    tmp_path: Path, runs: Runs, graded: Graded, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "students.txt").write_text("ada\n")
    of_then = release("task-2", tmp_path / "release", SECRET, vary=tmp_path / "students.txt")
    own = varied_notebook(of_then.solution, varied(SECRET, "ada"))
    hand_in(tmp_path / "in", "ada", own)  # grade.released gives another one by now
    book = graded(releases=[tmp_path / "release"])
    assert book.status("ada") == [("graded", "its numbers are those of ada")]
    assert book.points("ada")["answer-2-5"] == 1


def test_numbers_of_their_own_without_their_release(
    tmp_path: Path,
    runs: Runs,
    graded: Graded,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(grade, "released", released)
    own = varied_notebook(released("task-2").student, varied(SECRET, "ada"))
    own.metadata["course"]["student"] = "ada"
    hand_in(tmp_path / "in", "ada", own)
    stripped = varied_notebook(released("task-2").student, varied(SECRET, "bob"))
    stripped.metadata.clear()
    for cell in stripped.cells:
        cell.metadata.clear()
    hand_in(tmp_path / "in", "bob", stripped)
    book = graded()
    out = capsys.readouterr().out
    assert "Give their release with --release" in out
    assert book.status("ada") == [("graded", "its numbers are those of ada")]
    assert book.status("bob")[0][0] == "graded" and grade.NOBODYS in book.status("bob")[0][1]
    assert "graded: bob (bob): the notebook says no version" in out and grade.NOBODYS in out
    with closing(Ledger(tmp_path / "out")) as ledger:
        given = {one.student: given_to(ledger, one) for one in ledger.submissions()}
    assert given == {"ada": varied(SECRET, "ada"), "bob": ASSIGNED}


def test_another_secret_is_refused(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    hand_in(tmp_path / "in", "ada")
    graded()
    with pytest.raises(ValueError, match=r"was graded with another secret .*: take that one, with --secret"):
        graded(secret=b"another secret, which is as long as well")
    release("task-2", tmp_path / "release", SECRET)
    with pytest.raises(ValueError, match="release was released with another secret"):
        grade.grade(
            "task-2", tmp_path / "in", tmp_path / "2", secret=bytes(32), releases=[tmp_path / "release"]
        )
    assert graded(releases=[tmp_path / "release"]).points("ada") == FULL


def test_a_secret_that_is_not_there_is_not_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(secret, "user_data_path", lambda name: tmp_path / "data")
    hand_in(tmp_path / "in", "ada")
    grading = ["grade", "task-2", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    releasing = ["release", "task-2", "--out", str(tmp_path / "release")]
    for command in (grading, [*grading, "--secret", "typo.txt"], [*releasing, "--secret", "typo.txt"]):
        assert course(command) == 1
        assert "there is no secret at" in capsys.readouterr().err
    assert not (tmp_path / "data").exists() and not (tmp_path / "out").exists()
    assert course(releasing) == 0
    made = secret.course_secret()
    assert secret.secret_digest(made) in (tmp_path / "release" / "teacher" / "version.txt").read_text()
    assert len(made) == 64


def test_marks_are_carried_to_a_newer_hand_in_with_the_same_answers(
    tmp_path: Path, runs: Runs, graded: Graded, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in(tmp_path / "in", "ada")
    hand_in(tmp_path / "in", "bob")
    book = graded()
    with closing(Ledger(tmp_path / "out")) as ledger:
        for student in ("ada", "bob"):
            for part in ("words-2-1", "plot-2-3"):
                ledger.write_mark(Mark(book.submissions[student][0].id, part, (0,), "Good."))
    hand_in(tmp_path / "in", "ada", nbformat.writes(solved()).encode() + b"\n")
    hand_in(tmp_path / "in", "bob", solved(words_2_1="Another answer."))
    book = graded()
    assert "ada: marks kept, as the answers are the same: plot-2-3, words-2-1" in capsys.readouterr().out
    newest = {student: book.submissions[student][-1].id for student in ("ada", "bob")}
    with closing(Ledger(tmp_path / "out")) as ledger:
        assert ledger.marks(newest["ada"])["words-2-1"] == Mark(newest["ada"], "words-2-1", (0,), "Good.")
        assert list(ledger.marks(newest["ada"])) == ["plot-2-3", "words-2-1"]
        assert list(ledger.marks(newest["bob"])) == ["plot-2-3"]
        ledger.undo_mark(newest["ada"], "words-2-1")
    graded()
    with closing(Ledger(tmp_path / "out")) as ledger:
        assert list(ledger.marks(newest["ada"])) == ["plot-2-3"]  # what was taken away stays away


def test_a_warning_without_an_answer_is_kept(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    made = solved()
    made.cells = [cell for cell in made.cells if "words-2-1" not in cell.source]
    hand_in(tmp_path / "in", "ada", made)
    graded()
    with closing(Ledger(tmp_path / "out")) as ledger:
        assert ledger.answers(1)["words-2-1"].warning == "its cell is not in the notebook"
        ledger.add_submission(
            "ada", "x", "x", "graded", "", [("words-2-1", "It", ""), ("answer-2-1", "f", "")]
        )
        number = ledger.add_submission("ada", "x", "x", "graded", "", [("words-2-1", "He", "")])
        assert {part: one.source for part, one in ledger.answers(number).items()} == {"words-2-1": "He"}
        ledger.add_submission("ada", "x", "x", "failed", "our mistake", None)
        assert "words-2-1" in ledger.answers(number)


def test_an_error_of_the_ledger_is_not_hidden(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path)) as ledger:
        with pytest.raises(KeyError, match="the reason"), ledger.transaction():
            ledger.database.execute("ROLLBACK")  # as SQLite does when the disk is full
            raise KeyError("the reason")
        ledger.note_about("task", "task-2")


def test_names_that_differ_in_case_alone_are_for_the_teacher(
    tmp_path: Path, runs: Runs, graded: Graded, capsys: pytest.CaptureFixture[str]
) -> None:
    hand_in(tmp_path / "in", "Ada", b"no JSON")
    hand_in(tmp_path / "in", "ada")
    book = graded()
    assert "two students' names differ in case alone: Ada, ada" in capsys.readouterr().out
    assert "ada" not in book.status("Ada")[0][1].replace("Ada", "")


def test_data_that_the_box_would_not_have(
    tmp_path: Path, runs: Runs, graded: Graded, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand_in(tmp_path / "in", "ada")
    (tmp_path / "home").mkdir()
    monkeypatch.setattr(grade, "cases_digest", lambda *_: "")  # which finds the data sets elsewhere
    monkeypatch.delenv("COURSE_DATA")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("COURSE_DATA_DIR", "~")
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path / 'home'} lacks mnist.npz, which the box")):
        graded()
    assert runs.parts == []
    (tmp_path / "home" / "mnist.npz").write_bytes(b"")
    assert grade._with_data(grade._data_folder(), "task-2") == tmp_path / "home"


def test_nobody_is_graded_where_the_solution_fails(tmp_path: Path, graded: Graded) -> None:
    hand_in(tmp_path / "in", "ada", notebook(answer_2_1=ANSWERS["answer-2-1"]))

    class Broken(Runs):
        def __call__(self, jobs: Sequence[box.Job], **setting: Any) -> dict[str, box.Outcome]:
            late = (box.Failure("late", "It took too long."),)
            return {
                part: replace(one, values=late * len(one.values))
                for part, one in super().__call__(jobs, **setting).items()
            }

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(box, "why_not", lambda: "")
        patch.setattr(box, "run", Broken())
        with pytest.raises(
            RuntimeError, match=r"(?s)no student was graded\n.*answer-2-1, 0 of 0.5: .*too long"
        ):
            graded()
        assert [status for status, _ in Book(tmp_path / "out").status("ada")] == ["waiting"]
        patch.setattr(box, "run", runs := Runs())
        assert graded().points("ada")["answer-2-1"] == 0.5
        assert len(runs.parts) == len(FULL) + 1
        graded()  # nothing is pending: the solution is not tried again
        assert len(runs.parts) == len(FULL) + 1


def test_a_mistake_of_the_grader_stops_nobody(
    tmp_path: Path, runs: Runs, graded: Graded, monkeypatch: pytest.MonkeyPatch
) -> None:
    for student in ("ada", "eve", "mallory", "zoe"):
        hand_in(tmp_path / "in", student, solved(answer_2_1=f"four = np.rot90(image, -1)  # {student}"))
    extract = grade.extract

    def failing(notebook: Any, release: Any) -> Any:
        if any("eve" in cell.source for cell in notebook.cells):
            raise RuntimeError("out of luck")
        return extract(notebook, release)

    def running(jobs: Sequence[box.Job], **setting: Any) -> Any:
        if any("mallory" in source for job in jobs for source in job.sources):
            raise MemoryError("out of memory")
        return runs(jobs, **setting)

    monkeypatch.setattr(grade, "extract", failing)
    monkeypatch.setattr(box, "run", running)
    book = graded()
    assert book.points("ada") == book.points("zoe") == FULL
    assert book.status("eve") == [("failed", "the grader failed: RuntimeError: out of luck")]
    assert book.status("mallory") == [("failed", "the grader failed: MemoryError: out of memory")]
    monkeypatch.setattr(grade, "extract", extract)
    monkeypatch.setattr(box, "run", runs)
    book = graded()
    assert book.points("eve") == book.points("mallory") == FULL
    assert book.status("eve") == [("graded", "")]


def test_nothing_of_a_hand_in_is_changed(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    hand_in(tmp_path / "in", "ada")
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in tmp_path.rglob("*.ipynb")}
    graded()
    assert before == {
        path: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in (tmp_path / "in").rglob("*")
        if path.is_file()
    }


# Stopped anywhere -------------------------------------------------------------------------------------------


def main(folder: str) -> None:
    """Grade slowly, in a process that a test can end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    stand_in = Runs()
    stand_in.wait = 0.05
    box.run, box.why_not = stand_in, lambda: ""  # type: ignore[assignment]
    grade.released = lambda task: Release(task, "v1", notebook(), solved())
    grade._try_solutions = lambda *_: None
    grade.grade("task-2", Path(folder) / "in", Path(folder) / "out", secret=SECRET, workers=2)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_stopped_anywhere_it_goes_on(tmp_path: Path, runs: Runs, graded: Graded, how: signal.Signals) -> None:
    students = [f"student {number}" for number in range(12)]
    for student in students:
        hand_in(tmp_path / "in", student, solved(answer_2_1=f"four = np.rot90(image, -1)  # {student}"))
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r}); import test_grade;"
    code += f"test_grade.main({str(tmp_path)!r})"
    process = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, "COURSE_DATA": "sample"})
    patience = time.monotonic() + 120
    done = 0
    while done < 2 and process.poll() is None:
        assert time.monotonic() < patience
        time.sleep(0.05)
        if (tmp_path / "out" / "ledger.sqlite").is_file():
            done = sum(
                one.status == "graded"
                for all_of in Book(tmp_path / "out").submissions.values()
                for one in all_of
            )
    process.send_signal(how)
    process.wait(10)
    book = Book(tmp_path / "out")
    complete = [student for student in students if book.points(student) == FULL]
    assert 2 <= len(complete) < 12
    assert all(book.points(student) == {} for student in students if student not in complete)
    assert {status for student in complete for status, _ in book.status(student)} == {"graded"}
    book = graded()
    assert all(book.points(student) == FULL for student in students)
    assert len(runs.parts) == (12 - len(complete)) * len(FULL)


def test_submissions_are_graded_at_the_same_time(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    together = threading.Barrier(2, timeout=60)

    class Meeting(Runs):
        def __call__(self, jobs: Sequence[box.Job], **setting: Any) -> dict[str, box.Outcome]:
            together.wait()
            return super().__call__(jobs, **setting)

    box.run = Meeting()  # type: ignore[assignment]
    for student in ("ada", "alan"):
        hand_in(tmp_path / "in", student)
    book = graded(workers=2)
    assert book.points("ada") == book.points("alan") == FULL


def test_on_dask(tmp_path: Path, runs: Runs, graded: Graded) -> None:
    distributed = pytest.importorskip("distributed")
    for student in ("ada", "alan"):
        hand_in(tmp_path / "in", student)
    with distributed.LocalCluster(processes=False, n_workers=1, dashboard_address=None) as cluster:
        book = graded(scheduler=cluster.scheduler_address)
    assert book.points("ada") == book.points("alan") == FULL


# In the real box --------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("real_box")
def test_hostile_answers_in_the_box(tmp_path: Path, graded: Graded) -> None:
    folder = tmp_path / "in"
    hand_in(folder, "ada")
    hand_in(folder, "exit", solved(answer_2_2="import os\nos._exit(0)"))
    reading = f"import pathlib\nfour = pathlib.Path({str(folder / 'ada' / 'task-2.ipynb')!r}).read_text()"
    hand_in(folder, "reading", solved(answer_2_1=reading))
    equal = "class Equal:\n    def __eq__(self, other): return True\nfour = Equal()"
    hand_in(folder, "equal", solved(answer_2_1=equal))
    scipy = "from scipy.signal import correlate2d\ndef convolution(X, K): return correlate2d(X, K, 'valid')"
    hand_in(folder, "scipy", solved(answer_2_2=scipy))
    library = "from course_lib.convolution import convolution"
    hand_in(folder, "library", solved(answer_2_2=library))
    book = graded(workers=2)
    assert book.points("ada") == FULL
    assert book.pictures["ada"]["plot-2-3"][0].startswith(b"\x89PNG")
    for student, part in {
        "exit": "answer-2-2",
        "reading": "answer-2-1",
        "equal": "answer-2-1",
        "scipy": "answer-2-2",
        "library": "answer-2-2",
    }.items():
        assert book.points(student)[part] == 0
        assert book.status(student) == [("graded", "")]
    assert any("tried to import scipy" in note for note in book.results["scipy"]["answer-2-2"].notes)


@pytest.mark.usefixtures("real_box")
def test_endless_loops_everywhere_take_little_time(
    tmp_path: Path, graded: Graded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After two that ran out of time the others get less."""
    monkeypatch.setattr(box, "run", partial(box.run, limits=box.Limits(call_seconds=5, seconds=5)))
    loop = "\nwhile True: pass"
    hand_in(tmp_path / "in", "ada", solved(**{p.replace("-", "_"): s + loop for p, s in ANSWERS.items()}))
    book = graded()
    assert set(book.points("ada").values()) == {0}
    said = [book.results["ada"][part].messages for part in FULL]
    late = [" ".join(words) for words in said]
    assert all("endless loop?" in words for words in late)
    assert sum("(less than usual, as " in words for words in late) >= 3


@pytest.mark.usefixtures("real_box")
def test_the_solution_of_the_real_release(
    tmp_path: Path, graded: Graded, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grade, "released", released)
    made = released("task-2")
    hand_in(tmp_path / "in", "ada", made.solution)
    hand_in(tmp_path / "in", "alan", made.student)
    book = graded()
    automatic = {part: PARTS[part].points for part in book.results["ada"] if PARTS[part].automatic}
    assert {part: book.points("ada")[part] for part in automatic} == automatic
    assert sum(automatic.values()) == 12
    assert set(book.points("alan").values()) == {0}


@pytest.mark.usefixtures("real_box")
def test_numbers_of_their_own_are_judged_by_them(
    tmp_path: Path, graded: Graded, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets full marks for the solution with their own numbers, and not for that of another."""
    monkeypatch.setattr(grade, "released", released)
    (tmp_path / "students.txt").write_text("ada\nBob\ncora\n")
    release("task-2", tmp_path / "release", SECRET, vary=tmp_path / "students.txt")
    made = released("task-2")
    of_ada = varied_notebook(made.solution, varied(SECRET, "ada"))
    of_ada.metadata["course"]["student"] = "ada"
    hand_in(tmp_path / "in", "ada_12", of_ada)
    hand_in(tmp_path / "in", "bob", of_ada)
    hand_in(tmp_path / "in", "cora", made.solution)  # the book's, and no word of whose it is
    hand_in(tmp_path / "in", "eve", made.solution)
    hand_in(tmp_path / "in", "lovelaceada_13", of_ada)
    book = graded(releases=[tmp_path / "release"])
    assert sum(book.points("ada_12").values()) == 12
    functions = PARTS["answer-2-2"].points * 3
    for student in ("bob", "cora"):
        assert functions <= sum(book.points(student).values()) < 12
        assert book.points(student)["answer-2-5"] == 0
    assert book.status("ada_12") == [("graded", "its numbers are those of ada")]
    said = "its numbers are those of Bob, though the notebook was made for ada"
    assert book.status("bob") == [("graded", said)]
    refused = "each student was given numbers of their own, and the release names no student eve"
    assert book.status("eve") == [("refused", refused)]
    assert "which the notebook alone says" in book.status("lovelaceada_13")[0][1]
    assert graded().results == book.results  # the next run knows the list


def test_predictions(tmp_path: Path, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grade, "released", released)
    made = released("task-1")
    release("task-1", tmp_path / "release", SECRET)
    right = labels("task-1", SECRET)["predictions-1-4"]
    for student, content in {
        "ada": {"classes": right.tolist(), "accuracy": 1.0},
        "eve": {"classes": [0] * len(right), "accuracy": 1.0},
    }.items():
        path = hand_in(tmp_path / "in", student, made.student)
        path.with_name("predictions-1-4.json").write_text(json.dumps(content))
    hand_in(tmp_path / "in", "mallory", made.student).with_name("predictions-1-4.json").write_bytes(
        b"\x80\x04"
    )
    large = hand_in(tmp_path / "in", "trent", made.student).with_name("predictions-1-4.json")
    large.write_bytes(b"")
    os.truncate(large, 100_000_000)
    grade.grade("task-1", tmp_path / "in", tmp_path / "out", secret=SECRET)
    book = Book(tmp_path / "out")
    points = {student: book.points(student)["predictions-1-4"] for student in book.submissions}
    assert points == {"ada": 1, "eve": 0, "mallory": 0, "trent": 0}
    assert "at most 1,000,000 are read" in book.results["trent"]["predictions-1-4"].messages[0]
    assert book.results["ada"]["predictions-1-5"].messages[0].startswith("There is no file")

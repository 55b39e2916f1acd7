"""Releases: what lies in them, that they never destroy anything, and that the leak scan is not blind."""

import base64
import hashlib
import importlib.metadata
import io
import json
import os
import re
from dataclasses import replace

import nbformat
import numpy as np
import pytest
from nbclient import NotebookClient

from course_lib.coursework import leaks as scan
from course_lib.coursework import release as module
from course_lib.coursework.images import DATA, draw_images, labels
from course_lib.coursework.leaks import secret_lines
from course_lib.coursework.release import Release, release, release_in, released, start
from course_lib.coursework.vary import varied_notebook
from course_lib.data import load_mnist
from course_lib.editions import part_of, tags_of
from course_lib.questions import PARTS, TASKS
from course_lib.questions.grading import cases
from course_lib.questions.variation import ASSIGNED, KERNELS, varied

SECRET = b"0123456789abcdef0123456789abcdef"


@pytest.fixture(scope="module", autouse=True)
def sample_data():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DATA", "sample")
        yield


@pytest.fixture(scope="module")
def task_2() -> Release:
    return released("task-2")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("releases") / "task-2"
    release("task-2", folder, SECRET)
    return folder


def files_of(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


# What is released -------------------------------------------------------------------------------------------


def test_the_files_of_task_2(folder):
    assert sorted(files_of(folder)) == [
        "student/requirements.txt",
        "student/task-2.ipynb",
        "teacher/nbgrader/source/task-2/task-2.ipynb",
        "teacher/points.csv",
        "teacher/task-2-solution.ipynb",
        "teacher/version.txt",
    ]
    assert [path.name for path in folder.parent.iterdir()] == ["task-2"]  # nothing beside it is left


def test_the_files_of_task_1(tmp_path):
    release("task-1", tmp_path / "out", SECRET)
    files = files_of(tmp_path / "out")
    for name in ("1-4", "1-5", "1-6", "1-9"):
        images = np.load(io.BytesIO(files[f"student/images-{name}.npy"]))
        assert images.dtype == np.uint8
        assert len(images) == 500
        assert images.shape[1:] == ((28, 28) if name in ("1-4", "1-5") else (32, 32, 3))
    assert not [name for name in files if "label" in name]
    assert b"synthetic" in files["teacher/version.txt"]  # the offline sample says what it is


def test_notebooks_name_task_and_version(folder, task_2):
    for name in ("student/task-2.ipynb", "teacher/task-2-solution.ipynb"):
        notebook = nbformat.read(folder / name, as_version=nbformat.NO_CONVERT)
        nbformat.validate(notebook)
        assert notebook.metadata == {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
            "course": {"task": "task-2", "version": task_2.version},
        }
    assert len(task_2.version) == 12
    assert task_2.version in (folder / "teacher" / "version.txt").read_text()


def test_another_text_is_another_version(monkeypatch, task_2):
    changed = module.task_notebook("task-2")
    changed.cells[0].source += " Now with more."
    monkeypatch.setattr(module, "task_notebook", lambda task: changed)
    assert released("task-2").version != task_2.version


@pytest.mark.parametrize("task", sorted(TASKS))
def test_points(task, tmp_path):
    table = module._for_teachers(released(task), {}, SECRET)["points.csv"].decode().splitlines()
    assert table[0] == "question,title,part,kind,points"
    rows = [line.rsplit(",", 2) for line in table[1:]]
    assert sum(float(points) for _, _, points in rows) == {"task-1": 12, "task-2": 15}[task]
    assert len(rows) == sum(len(question.parts) for question in TASKS[task])


def test_exact_versions_of_what_a_student_needs(folder):
    lines = (folder / "student" / "requirements.txt").read_text().splitlines()
    pinned = {line.split("==")[0] for line in lines if not line.startswith("#")}
    assert {"numpy", "matplotlib", "scipy", "jupyterlab", "keras", "tensorflow"} <= pinned
    assert all("==" in line for line in lines if not line.startswith("#"))
    assert any("course_lib" in line for line in lines if line.startswith("#"))


def test_no_other_task():
    with pytest.raises(ValueError, match=r"there is no 'task-3'; the tasks are task-1 and task-2"):
        released("task-3")


def test_with_the_right_answers_every_cell_of_a_student_runs(folder, tmp_path):
    """No cell of the lesson needs what students don't get."""
    source = folder / "teacher" / "nbgrader" / "source" / "task-2" / "task-2.ipynb"
    notebook = nbformat.read(source, as_version=4)
    for cell in notebook.cells:  # it calls the student's own loops for each of these pixels
        cell.source = cell.source.replace("np.ndindex(28, 28)", "np.ndindex(17, 7)")
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute(env={**os.environ, "COURSE_DATA": "sample", "COURSE_CACHE_DIR": str(tmp_path)})
    said = {
        cell.id: "".join(output.get("text", "") for output in cell.outputs)
        for cell in notebook.cells
        if cell.id.startswith("check-")
    }
    assert len(said) == 8
    assert all("right." in words for words in said.values())


# Writing ----------------------------------------------------------------------------------------------------


def test_twice_the_same_bytes(folder, tmp_path, capsys):
    release("task-2", tmp_path / "again", SECRET)
    assert files_of(tmp_path / "again") == files_of(folder)
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    release("task-2", folder, SECRET)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    assert "already" in capsys.readouterr().out


def test_into_an_empty_folder(tmp_path):
    release("task-2", tmp_path, SECRET)
    assert (tmp_path / "student" / "task-2.ipynb").exists()


@pytest.mark.parametrize("what", ["another version", "another task", "another file", "a changed file"])
def test_a_folder_with_anything_else_stays_as_it_is(what, tmp_path, monkeypatch):
    if what == "another file":
        (tmp_path / "thesis.txt").write_text("all of it")
    elif what == "another task":
        release("task-1", tmp_path, SECRET)
    elif what == "a changed file":
        release("task-2", tmp_path, SECRET)
        (tmp_path / "teacher" / "points.csv").write_text("changed by hand")
    else:
        notebook = module.task_notebook("task-2")
        notebook.cells[0].source += " An earlier one."
        with monkeypatch.context() as patch:
            patch.setattr(module, "task_notebook", lambda task: notebook)
            release("task-2", tmp_path, SECRET)
    before = files_of(tmp_path)
    with pytest.raises(FileExistsError, match=r"stays as it is\. Name a new folder"):
        release("task-2", tmp_path, SECRET)
    assert files_of(tmp_path) == before


def test_killed_in_the_middle_nothing_half_is_there(tmp_path, monkeypatch):
    def kill(self, content):
        raise KeyboardInterrupt

    monkeypatch.setattr(module.Path, "write_bytes", kill)
    with pytest.raises(KeyboardInterrupt):
        release("task-2", tmp_path / "out", SECRET)
    assert list(tmp_path.iterdir()) == []


# At home ----------------------------------------------------------------------------------------------------


def test_start(tmp_path, task_2):
    notebook = start("task-2", tmp_path / "work")
    assert nbformat.read(notebook, as_version=4) == task_2.student
    notebook.write_text("all my work")
    with pytest.raises(FileExistsError, match=r"task-2.ipynb is there already, and stays as it is"):
        start("task-2", tmp_path / "work")
    assert notebook.read_text() == "all my work"
    assert [path.name for path in (tmp_path / "work").iterdir()] == ["task-2.ipynb"]


def test_start_goes_on_where_it_was_interrupted_and_keeps_other_files(tmp_path):
    start("task-1", tmp_path)
    (tmp_path / "task-1.ipynb").unlink()
    start("task-1", tmp_path)
    assert (tmp_path / "images-1-9.npy").exists()
    (tmp_path / "task-1.ipynb").unlink()
    (tmp_path / "images-1-4.npy").write_bytes(b"my own")
    with pytest.raises(FileExistsError):
        start("task-1", tmp_path)
    assert (tmp_path / "images-1-4.npy").read_bytes() == b"my own"
    assert not (tmp_path / "task-1.ipynb").exists()


# Images -----------------------------------------------------------------------------------------------------


def test_labels_belong_to_the_released_images():
    known = labels("task-1", SECRET)
    assert sorted(known) == ["predictions-1-4", "predictions-1-5", "predictions-1-6", "predictions-1-9"]
    for part, classes in known.items():
        images, same = draw_images(part, DATA[PARTS[part].question](), SECRET)
        assert np.array_equal(classes, same)
        assert len(images) == len(classes)
    assert labels("task-2", SECRET) == {}


def test_another_secret_or_question_other_images():
    data = load_mnist()
    drawn = [
        draw_images(part, data, secret)[0].tobytes()
        for part, secret in [
            ("predictions-1-4", SECRET),
            ("predictions-1-5", SECRET),
            ("predictions-1-4", b"another"),
        ]
    ]
    assert len(set(drawn)) == 3
    assert draw_images("predictions-1-4", data, SECRET)[0].tobytes() == drawn[0]


def test_no_released_image_is_one_of_the_data_set():
    for question in ("1.4", "1.6"):
        data = DATA[question]()
        images, classes = draw_images(f"predictions-{question.replace('.', '-')}", data, SECRET)
        known = {hashlib.sha256(image).digest() for image in [*data.x_train, *data.x_test]}
        assert not known & {hashlib.sha256(image).digest() for image in images}
        assert not np.array_equal(classes, data.y_test[: len(classes)])


def test_a_released_image_looks_like_its_class():
    """The mean of the zeros is nearest to the mean of the data set's zeros, and so on."""
    data = load_mnist()
    images, classes = draw_images("predictions-1-4", data, SECRET)
    means = np.stack([data.x_train[data.y_train == digit].mean(axis=0) for digit in range(10)])
    for digit in range(10):
        mean = images[classes == digit].mean(axis=0)
        assert np.abs(means - mean).sum(axis=(1, 2)).argmin() == digit


def test_every_part_with_predictions_has_its_images():
    with_predictions = {part.question for part in PARTS.values() if part.kind == "predictions"}
    assert set(DATA) == with_predictions


# Variation --------------------------------------------------------------------------------------------------


def test_each_student_gets_a_digit_a_kernel_and_biases_of_their_own(tmp_path):
    (tmp_path / "students.txt").write_text("Ada Lovelace\nbob\n\n")
    release("task-2", tmp_path / "out", SECRET, vary=tmp_path / "students.txt")
    sources = {}
    for student in ("Ada Lovelace", "bob"):
        notebook = nbformat.read(tmp_path / "out" / "student" / student / "task-2.ipynb", as_version=4)
        nbformat.validate(notebook)
        given = varied(SECRET, student)
        sources[student] = text = "\n".join(cell.source for cell in notebook.cells)
        assert f"Take training image {given.image} of MNIST" in text
        assert f"bias `b = −{-given.last_bias}`" in text
        for assigned, own in ((-150, given.bias), (-320, given.last_bias)):
            assert own == assigned or not re.search(rf"[-−]{-assigned}\b", text)
        names: dict = {}
        mine = next(cell.source for cell in notebook.cells if cell.id == "your-own-variation")
        exec(mine, names)
        assert names["mine"] == given
        digit = np.rot90(load_mnist().x_train[given.image], -1)
        exec("from course_lib.questions import check", names)
        exec(next(cell.source for cell in notebook.cells if cell.id == "check-2-1"), {**names, "four": digit})
    assert sources["bob"] != sources["Ada Lovelace"]
    assert not (tmp_path / "out" / "student" / "task-2.ipynb").exists()
    assert (tmp_path / "out" / "teacher" / "students.txt").read_text() == "Ada Lovelace\nbob\n"


@pytest.mark.parametrize("vary", [False, True])
def test_a_release_is_read_from_its_folder(vary, tmp_path, task_2):
    (tmp_path / "students.txt").write_bytes(b"\xef\xbb\xbfada\nbob\n")  # as Excel begins a file
    release("task-2", tmp_path / "out", SECRET, vary=tmp_path / "students.txt" if vary else None)
    made = release_in(tmp_path / "out", "task-2")
    assert (made.version, made.student, made.solution) == (task_2.version, task_2.student, task_2.solution)
    with pytest.raises(ValueError, match="is not what `course release task-1` wrote"):
        release_in(tmp_path / "out", "task-1")
    if vary:
        assert sorted(path.name for path in (tmp_path / "out" / "student").iterdir()) == ["ada", "bob"]


def test_what_is_installed_is_read_once(tmp_path, monkeypatch, task_2):
    asked = []
    monkeypatch.setattr(importlib.metadata, "packages_distributions", lambda: asked.append(1) or {})
    module._providers.cache_clear()
    for _ in range(3):
        module._requirements(task_2.student)
    module._providers.cache_clear()
    assert asked == [1]


@pytest.mark.parametrize(
    "names, said",
    [
        ("../ada", "can't be the name of a folder"),
        (".ada", "can't be"),
        ("ada\nada", "twice"),
        ("Ada\nada", "twice"),
        ("", "no student"),
    ],
)
def test_names_that_are_none(names, said, tmp_path):
    (tmp_path / "students.txt").write_text(names)
    with pytest.raises(ValueError, match=said):
        release("task-2", tmp_path / "out", SECRET, vary=tmp_path / "students.txt")
    assert not (tmp_path / "out").exists()


def test_task_1_has_nothing_to_vary(tmp_path):
    (tmp_path / "students.txt").write_text("ada")
    with pytest.raises(ValueError, match="task-1 has nothing to vary"):
        release("task-1", tmp_path / "out", SECRET, vary=tmp_path / "students.txt")


# Leaks ------------------------------------------------------------------------------------------------------


def leaks(made: Release, secret: bytes) -> list[str]:
    return scan.leaks(made, module._for_students(made, secret), secret)


@pytest.mark.parametrize("task", sorted(TASKS))
def test_nothing_leaks(task):
    assert leaks(released(task), SECRET) == []


def with_cell(made: Release, source: str, **changes) -> Release:
    student = nbformat.from_dict(json.loads(json.dumps(made.student)))
    cell = nbformat.v4.new_code_cell(source, id="planted")
    cell.update(changes)
    student.cells.append(cell)
    return Release(made.task, made.version, student, made.solution)


def test_every_line_of_a_solution_is_seen(task_2):
    lines = sorted(secret_lines(task_2))
    assert len(lines) > 100
    planted = "\n".join(f"      {line.replace(' ', '  ')}" for line in lines)
    found = "\n".join(leaks(with_cell(task_2, planted), SECRET))
    assert [line for line in lines if f"cell planted: {line!r} of the solution" not in found] == []


def test_every_answer_is_among_them(task_2):
    lines = secret_lines(task_2)
    for line in [
        "rows = X.shape[0] - height + 1",
        "Y[i, j] += X[i + m, j + n] * K[m, n]",
        "activation(convolution(X, K) + b)",
        "layer_K = convolutional_layer(four, K, -150, relu)",
        "- The bias is a threshold: with ReLU, a pixel is left if its response is above −`b`.",
        'print(np.einsum("ijmn,mn->ij", windows, K))',
    ]:
        assert line in lines


def test_what_else_leaks_is_seen(task_2):
    hidden = next(case for case in cases("answer-2-2", SECRET) if case.hidden)
    number = repr(float(np.asarray(hidden.arguments[0]).ravel()[0]))
    row = ", ".join(map(repr, hidden.arguments[0][0].tolist()))
    told = {
        f"x = {number}": "a hidden case of answer-2-2",
        f"x = [{row}]": "a hidden case of answer-2-2",
        f"x = {SECRET!r}": "the secret",
        f"x = '{SECRET.hex()}'": "the secret",
        f"x = '{base64.b64encode(SECRET).decode()}'": "the secret",
        "np.load('/home/ada/x.npy')": "on one machine only",
        r"np.load('C:\\Users\\ada\\x.npy')": "on one machine only",
    }
    for source, said in told.items():
        found = leaks(with_cell(task_2, source), SECRET)
        assert any(said in one for one in found), source
    output = nbformat.v4.new_output("stream", text="26 x 26")
    assert "an output" in leaks(with_cell(task_2, "1", outputs=[output]), SECRET)[0]
    assert "metadata" in leaks(with_cell(task_2, "1", metadata={"vscode": {}}), SECRET)[0]
    named = with_cell(task_2, "1")
    named.student.metadata["authors"] = [{"name": "Ada"}]
    assert "authors" in leaks(named, SECRET)[0]


def test_nothing_is_written_if_something_leaks(tmp_path, monkeypatch, task_2):
    leaking = with_cell(task_2, "layer_K = convolutional_layer(four, K, -150, relu)")
    monkeypatch.setattr(module, "released", lambda task: leaking)
    with pytest.raises(
        ValueError, match="nothing was released, as students would get to see\n  cell planted"
    ):
        release("task-2", tmp_path / "out", SECRET)
    assert list(tmp_path.iterdir()) == []


def test_the_solution_answers_everything(task_2):
    answers = {cell.id: cell.source for cell in task_2.student.cells if part_of(cell)}
    for cell in task_2.solution.cells:
        if part_of(cell):
            assert cell.source != answers[cell.id]
    assert any("solution" in tags_of(cell) for cell in task_2.solution.cells)


def test_no_kernel_that_may_be_drawn_tells_an_answer():
    made = released("task-2")
    for kernel in KERNELS:
        own = replace(made, student=varied_notebook(made.student, ASSIGNED._replace(image=3, kernel=kernel)))
        assert not leaks(own, SECRET)

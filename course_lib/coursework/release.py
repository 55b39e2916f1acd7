"""Release a task: the notebook that students get, its solution, and what belongs to both."""

from __future__ import annotations

import base64
import csv
import functools
import hashlib
import hmac
import importlib.metadata
import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
from nbformat import NotebookNode
from numpy.typing import NDArray
from scipy import ndimage

from course_lib.coursework.secret import secret_digest
from course_lib.coursework.vary import students_in, varied_notebook
from course_lib.data import Dataset, load_cifar10, load_mnist
from course_lib.editions import (
    ANSWER_MARKER,
    part_of,
    parts_of_function,
    student_edition,
    tags_of,
    task_notebook,
    without_folded,
)
from course_lib.questions import TASKS
from course_lib.questions.grading import cases
from course_lib.questions.variation import varied

LOCK = Path(__file__).parents[2] / "requirements.txt"
IMAGES = 500  # that are released for one question
DATA = {"1.4": load_mnist, "1.5": load_mnist, "1.6": load_cifar10, "1.9": load_cifar10}
AT_HOME = b"no secret: images for whoever works alone"
TELLING = 12  # characters that a line of a solution has at least, to tell anything
ON_ONE_MACHINE = re.compile(r"(?<![\w.:/])(/(?:home|root|Users|tmp|mnt)/\S*|[A-Z]:\\\\?Users\S*)")


@dataclass(frozen=True, eq=False)
class Release:
    """A task as it is released.

    Parameters
    ----------
    task
        "task-2".
    version
        Begins the SHA-256 of all that the student's notebook holds: another text, another version.
    student, solution
        The two notebooks.
    """

    task: str
    version: str
    student: NotebookNode
    solution: NotebookNode


def released(task: str) -> Release:
    """Return the release of a task, which the chapters alone decide.

    Parameters
    ----------
    task
        "task-1" or "task-2".

    Raises
    ------
    ValueError
        If there is no such task.
    """
    if task not in TASKS:
        raise ValueError(f"there is no {task!r}; the tasks are {' and '.join(TASKS)}")
    solution = task_notebook(task)
    student = student_edition(solution)
    for cell in solution.cells:
        cell.metadata.pop("prompt", None)
    version = hashlib.sha256(nbformat.writes(student).encode()).hexdigest()[:12]
    for notebook in (student, solution):
        notebook.metadata["course"] = {"task": task, "version": version}
    return Release(task, version, student, solution)


def release(task: str, folder: Path, secret: bytes, *, vary: Path | None = None) -> Release:
    """Write the release of a task into a folder, as a whole or not at all.

    In `student` lies what students get. In `teacher` lie the solution, the points, the version with a digest
    of the secret, and the notebook in the form from which nbgrader makes its own release; and, where each
    student gets numbers of their own, the students' names and the notebook without those numbers.

    Parameters
    ----------
    task
        "task-1" or "task-2".
    folder
        A new or an empty one, or one that holds this very release.
    secret
        The teacher's: it chooses the images whose classes are to be predicted.
    vary
        A text file that names a student in each line. Each gets a folder and a notebook of their own, with a
        digit, a kernel and biases that the secret chooses by the name.

    Raises
    ------
    FileExistsError
        If the folder holds anything else; it is left as it is.
    ValueError
        If there is no such task, if nothing in it can be varied, or if a student's file would tell an answer.
    """
    made = released(task)
    student: dict[str, bytes] = {}
    for place, one in _editions(made, secret, vary).items():
        own = _for_students(one, secret)
        if found := _leaks(one, own, secret):
            raise ValueError("nothing was released, as students would get to see\n  " + "\n  ".join(found))
        student |= {f"{place}{name}": content for name, content in own.items()}
    files = {f"student/{name}": content for name, content in student.items()}
    teacher = _for_teachers(made, student, secret)
    if vary is not None:
        teacher["students.txt"] = "".join(f"{name}\n" for name in students_in(vary)).encode()
        teacher[f"{task}-student.ipynb"] = _written(made.student)
    files |= {f"teacher/{name}": content for name, content in teacher.items()}
    folder = folder.absolute()
    if folder.is_dir() and any(folder.iterdir()):
        _compare(folder, files, made)
        print(f"{folder} holds version {made.version} of {task} already.")
        return made
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        for name, content in files.items():
            path = beside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        beside.chmod(0o755)
        if folder.is_dir():
            folder.rmdir()  # it is empty, or this fails
        beside.rename(folder)
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    whose = "the folder `student` in it" if vary is None else "the folder in `student` that bears their name"
    print(f"Version {made.version} of {task} lies in {folder}. Give each student {whose}.")
    return made


def release_in(folder: Path, task: str) -> Release:
    """Read a release from the folder that `release` wrote.

    Raises
    ------
    ValueError
        If it is none, or one of another task.
    """
    teacher = folder / "teacher"
    unvaried = teacher / f"{task}-student.ipynb"
    student = unvaried if unvaried.is_file() else folder / "student" / f"{task}.ipynb"
    try:
        notebooks = [
            nbformat.read(path, as_version=4) for path in (student, teacher / f"{task}-solution.ipynb")
        ]
        return Release(task, notebooks[0].metadata["course"]["version"], *notebooks)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"{folder} is not what `course release {task}` wrote: {error}") from None


def start(task: str, folder: Path) -> Path:
    """Write the notebook of a task, and what it needs, for a reader at home; return where it lies.

    Parameters
    ----------
    task
        "task-1" or "task-2".
    folder
        It may hold other things.

    Raises
    ------
    FileExistsError
        If one of the files is there already: none is ever written over.
    """
    made = released(task)
    files = {f"{task}.ipynb": _written(made.student), **_images(task, AT_HOME)}
    notebook = folder / f"{task}.ipynb"
    if notebook.exists():
        raise FileExistsError(
            f"{notebook} is there already, and stays as it is. Go on with it (`jupyter lab {notebook}`), or"
            " name another folder to begin again."
        )
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in reversed(files.items()):  # the notebook last: when it is there, all is
        path = folder / name
        if path.exists() and path.read_bytes() == content:
            continue
        beside = path.with_name(f".{name}.{os.getpid()}.part")
        beside.write_bytes(content)
        try:
            os.link(beside, path)  # never over another file
        finally:
            beside.unlink()
    print(f"{notebook} is yours to work in: jupyter lab {notebook}")
    return notebook


def _editions(made: Release, secret: bytes, vary: Path | None) -> dict[str, Release]:
    """Return what each student gets, by the folder: one for all, or one for each."""
    if vary is None:
        return {"": made}
    if made.task != "task-2":
        raise ValueError(f"{made.task} has nothing to vary; task-2 has its digit, its kernel and its biases")
    editions = {}
    for student in students_in(vary):
        own = varied_notebook(made.student, varied(secret, student))
        own.metadata["course"]["student"] = student  # by it the grader knows the numbers
        editions[f"{student}/"] = replace(made, student=own)
    return editions


# The files --------------------------------------------------------------------------------------------------


def _written(notebook: NotebookNode) -> bytes:
    text: str = nbformat.writes(notebook)
    return f"{text}\n".encode()


def _for_students(made: Release, secret: bytes) -> dict[str, bytes]:
    return {
        f"{made.task}.ipynb": _written(made.student),
        "requirements.txt": _requirements(made.student),
        **_images(made.task, secret),
    }


def _for_teachers(made: Release, student: dict[str, bytes], secret: bytes) -> dict[str, bytes]:
    questions = TASKS[made.task]
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(["question", "title", "part", "kind", "points"])
    for question in questions:
        rows.writerows(
            [question.id, question.title, part.id, part.kind, f"{part.points:g}"] for part in question.parts
        )
    sets = _data(made.task)
    version = (
        f"{made.task}, version {made.version}\nDigest of the secret: {secret_digest(secret)}\n"
        + "".join(
            f"The images for {question} come from the test set of: {data.note}\n"
            for question, data in sets.items()
        )
    )
    beside = {name: content for name, content in student.items() if name.endswith(".npy")}
    return {
        f"{made.task}-solution.ipynb": _written(made.solution),
        "points.csv": table.getvalue().encode(),
        "version.txt": version.encode(),
        f"nbgrader/source/{made.task}/{made.task}.ipynb": _written(_for_nbgrader(made)),
        **{f"nbgrader/source/{made.task}/{name}": content for name, content in beside.items()},
    }


def _compare(folder: Path, files: dict[str, bytes], made: Release) -> None:
    """Accept a folder that holds this very release; say what one holds that doesn't."""
    there = {name: (folder / name).read_bytes() for name in files if (folder / name).is_file()}
    if there == files:
        return
    solutions = sorted(folder.glob("teacher/*-solution.ipynb"))
    found = re.search(
        r'"course": \{\s*"task": "([\w-]+)",\s*"version": "(\w+)"',
        solutions[0].read_text(encoding="utf8", errors="replace") if solutions else "",
    )
    if found:
        what = f"version {found[2]} of {found[1]}" + (", made otherwise" if found[2] == made.version else "")
    else:
        what = "other files"
    raise FileExistsError(
        f"{folder} holds {what} and stays as it is. Name a new folder for version {made.version} of"
        f" {made.task}."
    )


def _requirements(student: NotebookNode) -> bytes:
    """Pin what the notebook imports and what course_lib needs, to the versions of the course's own lock."""
    code = "\n".join(cell.source for cell in student.cells if cell.cell_type == "code")
    imported = set(re.findall(r"^\s*(?:import|from)\s+(\w+)", code, re.MULTILINE))
    providers = _providers()
    wanted = {name for module in imported for name in providers.get(module, [])}
    for needed in importlib.metadata.requires("course_lib") or []:
        if "extra ==" not in needed:
            wanted.add(re.split(r"[^\w.-]", needed)[0])
    wanted = {re.sub(r"[-_.]+", "-", name).lower() for name in wanted}
    pins = [
        line
        for line in LOCK.read_text(encoding="utf8").splitlines()
        if re.split(r"[^\w.-]", line)[0].lower() in wanted
    ]
    first = [
        "# The versions that the course is tested with: pip install --requirement requirements.txt",
        "# Then course_lib itself, from the folder of the course: pip install --no-deps --editable .",
    ]
    return "\n".join([*first, *pins, ""]).encode()


@functools.cache
def _providers() -> Mapping[str, list[str]]:
    """Return which packages hold a module: reading it takes a second, and it is asked for each student."""
    return importlib.metadata.packages_distributions()


def _for_nbgrader(made: Release) -> NotebookNode:
    """Return the student's notebook with the solutions between the lines by which nbgrader knows them."""
    solutions = {cell.id: cell.source for cell in made.solution.cells}
    notebook = deepcopy(made.student)
    for cell in notebook.cells:
        if part := part_of(cell):
            source = solutions[cell.id]
            marker = ANSWER_MARKER.match(source)
            before, indent = f"{marker[0]}\n" if marker else "", ""
            if part.kind == "function":
                before, indent = parts_of_function(source, part.name)[0], "    "
            body = source[len(before) :]
            cell.source = f"{before}{indent}### BEGIN SOLUTION\n{body}\n{indent}### END SOLUTION"
    return notebook


# Images whose classes are to be predicted -------------------------------------------------------------------


def labels(task: str, secret: bytes) -> dict[str, NDArray[np.uint8]]:
    """Return the classes of the released images, by part: they are never written anywhere.

    Parameters
    ----------
    task
        "task-1"; of any other task there are none.
    secret
        The teacher's, as for `release`.
    """
    return {part: classes for part, (_, classes) in _drawn(task, secret)}


def _images(task: str, secret: bytes) -> dict[str, bytes]:
    files = {}
    for part, (images, _) in _drawn(task, secret):
        written = io.BytesIO()
        np.save(written, images, allow_pickle=False)
        files[part.replace("predictions", "images") + ".npy"] = written.getvalue()
    return files


def _drawn(task: str, secret: bytes) -> Iterator[tuple[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]]:
    for question, data in _data(task).items():
        part = f"predictions-{question.replace('.', '-')}"
        yield part, draw_images(part, data, secret)


def _data(task: str) -> dict[str, Dataset]:
    """Load the data from whose test sets images are released, by question; each set once."""
    loads = {question.id: DATA[question.id] for question in TASKS[task] if question.id in DATA}
    loaded = {load: load() for load in dict.fromkeys(loads.values())}
    return {question: loaded[load] for question, load in loads.items()}


def draw_images(part: str, data: Dataset, secret: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Choose test images by a secret, mix them, and change each a little; return them with their classes.

    Each is turned by up to 5 degrees, moved by up to a pixel, made up to a twentieth larger or smaller and up
    to a tenth brighter or darker. Photographs are mirrored, too. So neither the place of an image in the data
    set nor its bytes tell its class. Who looks for the most similar image of the data set can still find it.

    Parameters
    ----------
    part
        "predictions-1-4".
    data
        Its test images.
    secret
        The teacher's.
    """
    seed = int.from_bytes(hmac.digest(secret, f"images of {part}".encode(), hashlib.sha256))
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(data.x_test))[:IMAGES]
    images = np.stack([_changed(image, random) for image in data.x_test[chosen]])
    return images, data.y_test[chosen]


def _changed(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    angle = np.deg2rad(random.uniform(-5, 5))
    scale, light = random.uniform(0.95, 1.05), random.uniform(0.9, 1.1)
    moved = random.uniform(-1, 1, size=2)
    colour = image.ndim == 3
    if colour:
        image = image[:, ::-1]
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(image.shape[:2]) - 1) / 2
    change: dict[str, Any] = {"offset": middle - turn @ (middle + moved), "order": 1}
    change["mode"] = "nearest" if colour else "constant"
    planes = np.moveaxis(np.atleast_3d(image), 2, 0).astype(float)
    changed = np.stack([ndimage.affine_transform(plane, turn, **change) for plane in planes], axis=-1)
    pixels: NDArray[np.uint8] = (changed.reshape(image.shape) * light).round().clip(0, 255).astype(np.uint8)
    return pixels


# What students must not get ---------------------------------------------------------------------------------


def leaks(made: Release, secret: bytes) -> list[str]:
    """Return what a student's file would tell, in sentences: none, if all is well.

    Looked for are lines of the solution, numbers of hidden cases, the secret, stored outputs, and what
    belongs to one person or machine.

    Parameters
    ----------
    made
        The release.
    secret
        The teacher's.
    """
    return _leaks(made, _for_students(made, secret), secret)


def _leaks(made: Release, files: dict[str, bytes], secret: bytes) -> list[str]:
    found = list(_in_the_notebook(made))
    hidden = list(_hidden_numbers(made.task, secret))
    tells = {"the secret": [secret, secret.hex().encode(), base64.b64encode(secret)]}
    tells |= {f"a hidden case of {part}": written for part, written in hidden}
    for name, content in files.items():
        found += [
            f"{name}: {what}" for what, ways in tells.items() if any(way in content for way in ways if way)
        ]
    return found


def _in_the_notebook(made: Release) -> Iterator[str]:
    for cell in made.student.cells:
        if extra := set(cell.metadata) - {"nbgrader"}:
            yield f"cell {cell.id}: the metadata {sorted(extra)}"
        if cell.get("outputs") or cell.get("execution_count"):
            yield f"cell {cell.id}: an output"
        if one := ON_ONE_MACHINE.search(cell.source):
            yield f"cell {cell.id}: {one[0]}, which is on one machine only"
    if extra := set(made.student.metadata) - {"kernelspec", "language_info", "course"}:
        yield f"the metadata {sorted(extra)}"
    known = {"kernelspec": {"display_name", "language", "name"}, "language_info": {"name"}}
    for key, names in known.items():
        if extra := set(made.student.metadata.get(key, {})) - names:
            yield f"the metadata {sorted(extra)} in {key}"
    lines = secret_lines(made)
    for cell in made.student.cells:
        for line in map(plain, cell.source.split("\n")):
            for telling in lines:
                if telling in line:
                    yield f"cell {cell.id}: {telling!r} of the solution"


def secret_lines(made: Release) -> set[str]:
    """Return the lines of the solution that no student may get, as `plain` makes them.

    All lines of an answer are such lines, but for those of its stub. Of pictures, and of what else students
    don't get, lines that stand in the lesson as well are no secret.
    """
    stubs = {cell.id: cell.source for cell in made.student.cells}
    answers: set[str] = set()
    others: set[str] = set()
    lesson = ""
    for cell in made.solution.cells:
        lines = set(map(plain, cell.source.split("\n")))
        part = part_of(cell)
        if part or "solution" in tags_of(cell):
            stub = _plain_text(stubs.get(cell.id, ""))
            kept = {line for line in lines if line not in stub}
            if part and part.kind != "plot":
                answers |= kept
            else:
                others |= kept
        else:
            public = cell.source if cell.cell_type == "code" else without_folded(cell.source)
            lesson += _plain_text(public) + "\n"
            others |= lines
    telling = answers | {line for line in others if line not in lesson}
    return {line for line in telling if len(line) >= TELLING and line[0] != ":"}


def _plain_text(text: str) -> str:
    return "\n".join(map(plain, text.split("\n")))


def plain(line: str) -> str:
    """Return a line without what may differ although it says the same.

    >>> plain("    return  activation(convolution(X, K) + b)")
    'activation(convolution(X, K) + b)'
    """
    return " ".join(line.split()).removeprefix("return ")


def _hidden_numbers(task: str, secret: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """Yield, for each part, how its hidden cases could be written: as bytes, or number by number."""
    for question in TASKS[task]:
        for part in question.parts:
            hidden = (
                [case for case in cases(part.id, secret) if case.hidden] if part.kind == "function" else []
            )
            ways: list[bytes] = []
            for value in [value for case in hidden for value in (*case.arguments, case.expected)]:
                array = np.asarray(value)
                if array.dtype.kind not in "iuf" or array.size < 4:
                    continue
                rows = array.reshape(len(array), -1) if array.ndim > 1 else array.reshape(1, -1)
                ways.append(array.tobytes())
                ways += [", ".join(map(repr, row.tolist())).encode() for row in rows if len(row) >= 4]
                ways += [
                    repr(number).encode() for number in array.ravel().tolist() if len(repr(number)) >= 10
                ]
            yield part.id, ways

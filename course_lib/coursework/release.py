"""Release a task: the notebook that students get, its solution, and what belongs to both."""

from __future__ import annotations

import csv
import functools
import hashlib
import importlib.metadata
import io
import re
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from nbformat import NotebookNode

from course_lib.coursework.images import data_sets, released_images
from course_lib.coursework.leaks import leaks
from course_lib.coursework.secret import secret_digest
from course_lib.coursework.vary import students_in, varied_notebook
from course_lib.editions import (
    ANSWER_MARKER,
    part_of,
    parts_of_function,
    student_edition,
    task_notebook,
)
from course_lib.files import write
from course_lib.questions import TASKS
from course_lib.questions.variation import varied

LOCK = Path(__file__).parents[2] / "requirements.txt"
AT_HOME = b"no secret: images for whoever works alone"


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
        if found := leaks(one, own, secret):
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
    files = {f"{task}.ipynb": _written(made.student), **released_images(task, AT_HOME)}
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
        write(path, content, over=False)
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
        **released_images(made.task, secret),
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
    sets = data_sets(made.task)
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
    what = "other files"
    for task in TASKS:
        with suppress(ValueError):
            there_is = release_in(folder, task)
            what = f"version {there_is.version} of {task}"
            what += ", made otherwise" if there_is.version == made.version else ""
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

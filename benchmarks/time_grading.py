"""Forty submissions of Task 2, graded by `course grade` and by stock `nbgrader autograde`, in turn.

nbgrader comes with the extra `grade`. It grades by the public checks alone, in a kernel of its own for each
submission and without a box; `course grade` runs public and hidden cases in boxes, on all cores.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import nbformat

from benchmarks import line, seconds
from course_lib.coursework import box
from course_lib.coursework.release import release

SECRET = b"a secret that only this benchmark knows"
HERE = Path(sys.executable).parent


def hand_in(folder: Path, solution: Path, students: int, place: str) -> None:
    """Let students hand in the solution, each with an answer of their own to 2.1."""
    for number in range(students):
        notebook = nbformat.read(solution, as_version=4)
        notebook.cells[-1].source += f"\n\nHanded in by student {number}."
        path = folder / place.format(f"student{number:03}") / "task-2.ipynb"
        path.parent.mkdir(parents=True)
        nbformat.write(notebook, path)


def by_course(folder: Path, students: int) -> float:
    """Grade with `course grade`, into a new folder."""
    came = folder / f"in-{students}"
    hand_in(came, folder / "release" / "teacher" / "task-2-solution.ipynb", students, "{}")
    (folder / "secret.txt").write_bytes(SECRET)
    command = [HERE / "course", "grade", "task-2", came, "--secret", folder / "secret.txt", "--out"]
    out = folder / f"out-{students}"
    environment = {**os.environ, "COURSE_DATA": "sample"}
    return seconds(lambda: subprocess.run([*command, out], check=True, capture_output=True, env=environment))


def by_nbgrader(folder: Path, students: int) -> float:
    """Grade with stock `nbgrader autograde`, in a new course."""
    course = folder / "nbgrader"
    shutil.copytree(folder / "release" / "teacher" / "nbgrader" / "source", course / "source")
    (course / "nbgrader_config.py").write_text('get_config().CourseDirectory.course_id = "cnn"\n')
    path = os.pathsep.join([str(HERE), os.environ["PATH"]])  # nbgrader calls alembic
    environment = {**os.environ, "PATH": path, "COURSE_DATA": "sample"}
    run = {"cwd": course, "check": True, "capture_output": True, "env": environment}
    subprocess.run([HERE / "nbgrader", "generate_assignment", "task-2"], **run)
    solution = folder / "release" / "teacher" / "task-2-solution.ipynb"
    hand_in(course / "submitted", solution, students, "{}/task-2")
    return seconds(lambda: subprocess.run([HERE / "nbgrader", "autograde", "task-2"], **run))


def main() -> None:
    """Time both, then what a submission costs among twice and four times as many."""
    if box.why_not():
        print(f"\nGrading: not timed, as there is no box. {box.why_not()}")
        return
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own)
        release("task-2", folder / "release", SECRET)
        by_nbgrader_alone = by_nbgrader(folder, 40) if (HERE / "nbgrader").exists() else None
        graded = {students: by_course(folder, students) for students in (40, 80, 160)}
    cores = os.cpu_count()
    if by_nbgrader_alone:
        taken = {"nbgrader": [by_nbgrader_alone], "course grade": [graded[40]]}
        what = "grading 40 submissions of Task 2"
        line(what, taken, ours="course grade", reference="nbgrader", at_least=4, threads=cores)
    each = {f"each of {students}": [seconds / students] for students, seconds in graded.items()}
    for many in ("each of 80", "each of 160"):
        what = f"grading, {many} submissions"
        line(what, each, ours=many, reference="each of 40", at_most=1.1, threads=cores)


if __name__ == "__main__":
    main()

"""A teacher who has nbgrader can use the release as it is: tested with the real nbgrader."""

import csv
import json
import os
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from course_lib.coursework.release import release
from course_lib.questions import TASKS

AUTOMATIC = sum(part.points for question in TASKS["task-2"] for part in question.parts if part.automatic)


@pytest.fixture(scope="module")
def nbgrader(tmp_path_factory):
    """Call nbgrader in a course's folder: with this Python as its kernel, and the offline sample as data."""
    beside = Path(sys.executable).parent
    path = os.pathsep.join([str(beside), os.environ.get("PATH", "")])
    program = shutil.which("nbgrader", path=path)
    if program is None:
        warnings.warn("THE RELEASE WAS NOT TESTED WITH NBGRADER, which is not installed", stacklevel=1)
        pytest.skip("nbgrader is not installed: pip install nbgrader")
    data = tmp_path_factory.mktemp("jupyter")
    kernel = data / "kernels" / "python3"
    kernel.mkdir(parents=True)
    argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"})
    )
    environment = {
        **os.environ,
        "COURSE_DATA": "sample",
        "JUPYTER_PATH": str(data),
        "PATH": os.pathsep.join([str(Path(program).resolve().parent), path]),
    }

    def call(course: Path, *arguments: str) -> str:
        done = subprocess.run(
            [program, *arguments],
            cwd=course,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-6000:]
        return done.stdout + done.stderr

    return call


@pytest.fixture(scope="module")
def course(nbgrader, tmp_path_factory) -> Path:
    """A stock course, into which the release was copied and from which nbgrader made its own."""
    folder = tmp_path_factory.mktemp("course")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COURSE_DATA", "sample")
        release("task-2", folder / "made", b"0123456789abcdef0123456789abcdef")
    shutil.copytree(folder / "made" / "teacher" / "nbgrader" / "source", folder / "source")
    (folder / "nbgrader_config.py").write_text('get_config().CourseDirectory.course_id = "cnn"\n')
    nbgrader(folder, "generate_assignment", "task-2")
    return folder


def test_nbgraders_own_release_holds_no_solution(course):
    text = (course / "release" / "task-2" / "task-2.ipynb").read_text(encoding="utf8")
    notebook = json.loads(text)
    cells = {cell["id"]: "".join(cell["source"]) for cell in notebook["cells"]}
    assert "SOLUTION" not in text
    assert cells["answer-2-2"].startswith(
        "# answer-2-2 (your answer to 2.2 stands in this cell)\ndef convolution"
    )
    assert cells["answer-2-2"].endswith("    # YOUR CODE HERE\n    raise NotImplementedError()")
    assert cells["words-2-5"].endswith("YOUR ANSWER HERE")
    assert "threshold" not in text


def test_the_solution_gets_all_automatic_marks_and_an_untouched_release_none(nbgrader, course):
    made = course / "made"
    handed_in = {
        "solved": made / "teacher" / "task-2-solution.ipynb",
        "untouched": course / "release" / "task-2" / "task-2.ipynb",
        "our-own": made / "student" / "task-2.ipynb",
    }
    for student, notebook in handed_in.items():
        folder = course / "submitted" / student / "task-2"
        folder.mkdir(parents=True)
        text = notebook.read_text(encoding="utf8")  # the lesson calls the student's loops for each pixel
        text = text.replace("np.ndindex(28, 28)", "np.ndindex(17, 7)")
        (folder / "task-2.ipynb").write_text(text, encoding="utf8")
    nbgrader(course, "autograde", "task-2")
    nbgrader(course, "export", "--to", "grades.csv")
    with (course / "grades.csv").open(newline="") as opened:
        rows = {row["student_id"]: row for row in csv.DictReader(opened)}
    assert {student: float(row["score"]) for student, row in rows.items()} == {
        "solved": AUTOMATIC,
        "untouched": 0,
        "our-own": 0,
    }
    assert {float(row["max_score"]) for row in rows.values()} == {15}

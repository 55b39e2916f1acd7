"""The guide for teachers: every command in it is run, in its order, as it is written."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from course_lib.coursework import box

GUIDE = Path(__file__).parents[1] / "chapters" / "teaching" / "assigning.md"
COMMANDS = re.findall(r"^```bash\n(.*?)^```", GUIDE.read_text(encoding="utf8"), re.S | re.M)
WORKSHEET = """\
Identifier,"Full name","Email address",Status,Grade,"Maximum grade","Grade can be changed",\
"Last modified (submission)","Online text","Last modified (grade)","Feedback comments"
"Participant 101",Ada,ada@example.org,Submitted,,15.00,Yes,-,,-,
"Participant 102",Bob,bob@example.org,Submitted,,15.00,Yes,-,,-,
"""
GRADEBOOK = """\
Student,ID,SIS User ID,SIS Login ID,Section,Task 2 (502)
Points Possible,,,,,15.00
"Lovelace, Ada",101,,ada,One,
"Bobson, Bob",102,,bob,One,
"""


def test_the_commands_of_the_guide_do_what_it_says(tmp_path: Path) -> None:
    if reason := box.why_not():
        pytest.skip(f"no box: {reason}")
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "HOME": str(tmp_path / "home"),
        "XDG_DATA_HOME": str(tmp_path / "home" / "data"),
        "COURSE_DATA": "sample",
        "BROWSER": "true",
    }
    (tmp_path / "worksheet.csv").write_text(WORKSHEET, encoding="utf8")
    (tmp_path / "gradebook.csv").write_text(GRADEBOOK, encoding="utf8")
    lines = [line for block in COMMANDS for line in block.splitlines() if line]
    assert len(lines) > 10
    for line in lines:
        if line.startswith("course mark "):
            marking_begins(line, tmp_path, environment)
            continue
        done = subprocess.run(
            line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        if line.startswith("course release task-2 --out release"):
            hand_in(tmp_path)
    graded = tmp_path / "graded"
    assert len(list((graded / "feedback").glob("*.html"))) == 2
    table = (graded / "marks.csv").read_text(encoding="utf-8-sig")
    assert "ada_101" in table and "bob_102" in table
    assert "12" in (graded / "marks-moodle.csv").read_text(encoding="utf8")
    assert "12" in (graded / "marks-canvas.csv").read_text(encoding="utf8")
    assert len(list((tmp_path / "own-numbers" / "student").iterdir())) == 3


def hand_in(folder: Path) -> None:
    """Hand in the solution, and what was released."""
    for student, notebook in {
        "ada_101": "teacher/task-2-solution.ipynb",
        "bob_102": "student/task-2.ipynb",
    }.items():
        place = folder / "submissions" / student
        place.mkdir(parents=True)
        shutil.copy(folder / "release" / notebook, place / "task-2.ipynb")


def marking_begins(line: str, folder: Path, environment: dict[str, str]) -> None:
    """Start the page for marking, wait until it says its address, and stop it as a person would."""
    said = folder / "said.txt"
    with said.open("w") as file:
        server = subprocess.Popen(
            [sys.executable, "-u", "-m", "course_lib.coursework", *line.split()[1:]],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            # A test run in the background may have inherited that Ctrl-C is ignored.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        try:
            until = time.monotonic() + 60
            while "http://127.0.0.1:" not in said.read_text():
                assert time.monotonic() < until and server.poll() is None, said.read_text()
                time.sleep(0.1)
        finally:
            server.send_signal(signal.SIGINT)
            assert server.wait(timeout=30) in (0, 130), said.read_text()


def test_the_guide_names_no_command_that_there_is_not() -> None:
    from course_lib.coursework.__main__ import parser

    for line in (line for block in COMMANDS for line in block.splitlines() if line.startswith("course ")):
        words = line.split()[1:]
        if words != ["--help"]:
            parser().parse_args(words)

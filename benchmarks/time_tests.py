"""How long `make test` takes, and each chapter's part of it."""

import os
import subprocess
import tempfile
import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

from benchmarks import line, pinned, seconds

ROOT = Path(__file__).parents[1]
BUDGET = 360  # seconds, on two cores


def seconds_of_files(report: Path) -> Counter[str]:
    """Return the seconds that the tests of each file took, from pytest's report in XML.

    >>> import tempfile
    >>> with tempfile.NamedTemporaryFile("w", suffix=".xml") as report:
    ...     cells = '<testcase classname="chapters.a.ipynb" time="1.5"/>' * 2
    ...     _ = report.write(f"<testsuites><testsuite>{cells}</testsuite></testsuites>")
    ...     _ = report.seek(0)
    ...     seconds_of_files(Path(report.name))
    Counter({'chapters.a.ipynb': 3.0})
    """
    taken: Counter[str] = Counter()
    for case in ElementTree.parse(report).iter("testcase"):
        taken[case.attrib["classname"]] += float(case.attrib["time"])
    return taken


def main() -> None:
    """Run `make test` as a reader does, threads as they come."""
    with tempfile.TemporaryDirectory() as own:
        report = Path(own) / "report.xml"
        environment = {name: value for name, value in os.environ.items() if name not in pinned(1)}
        environment["PYTEST_ADDOPTS"] = f"--junitxml={report}"
        whole = seconds(lambda: subprocess.run(["make", "test"], cwd=ROOT, env=environment, check=True))
        of_files = seconds_of_files(report)
    line("make test", {"make test": [whole]}, ours="make test", budget=BUDGET, threads=2)
    everything = "all tests, added up"
    for path in sorted(ROOT.glob("chapters/**/*.ipynb")):
        chapter = path.relative_to(ROOT / "chapters").with_suffix("").as_posix()
        own = sum(
            taken
            for name, taken in of_files.items()
            if name.endswith(f"{path.parent.name}.{path.stem}.ipynb")
        )
        taken = {everything: [of_files.total()], chapter: [own]}
        line(f"make test: {chapter}", taken, ours=chapter, reference=everything, threads=2)


if __name__ == "__main__":
    main()

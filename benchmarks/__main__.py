"""Run every benchmark in a process of its own, and make one table of their lines: `make bench`."""

import argparse
import ast
import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import pinned
from course_lib import files

HERE = Path(__file__).parent
LAST = HERE / "last.json"
NAMED = ("numpy", "scipy", "tensorflow", "keras", "torch", "nbgrader")


def threads_of(path: Path) -> int:
    """Return what a benchmark says of its threads: `THREADS = 2`, or nothing, which means 1."""
    for statement in ast.parse(path.read_text(encoding="utf-8")).body:
        match statement:
            case ast.Assign([ast.Name("THREADS")], ast.Constant(int(threads))):
                return threads
    return 1


def run(path: Path) -> tuple[list[dict[str, Any]], float, int]:
    """Run one benchmark; return its lines, the seconds it took and its exit status."""
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as own:
        lines = Path(own) / "lines"
        lines.touch()
        environment = os.environ | pinned(threads_of(path)) | {"BENCHMARK_LINES": str(lines)}
        status = subprocess.run(
            [sys.executable, "-m", f"benchmarks.{path.stem}"], cwd=HERE.parent, env=environment
        ).returncode
        given = [json.loads(line) for line in lines.read_text(encoding="utf-8").splitlines()]
    return given, time.perf_counter() - start, status


def processor() -> str:
    """Return the name of the processor."""
    with contextlib.suppress(OSError, StopIteration):
        information = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in information if line.startswith("model name"))
    return platform.processor() or platform.machine()


def circumstances() -> dict[str, str]:
    """Return what the figures depend on beside the code."""
    versions = {"Python": platform.python_version()}
    for name in NAMED:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return {
        "date": f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M} UTC",
        "machine": f"{processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "load": " ".join(f"{load:.2f}" for load in os.getloadavg()) + " (1, 5 and 15 minutes before)",
        "versions": ", ".join(f"{name} {version}" for name, version in versions.items()),
    }


def table(lines: list[dict[str, Any]]) -> str:
    """Set the lines out below each other."""
    rows = [("what", "ours", "reference", "ratio", "quartiles", "aim", "threads")]
    for line in lines:
        missed = "  missed" if line["met"] is False else ""
        row = [line[name] for name in ("what", "ours", "reference", "ratio", "quartiles")]
        rows.append((*row, line["aim"] + missed, str(line["threads"])))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def duration(seconds: float) -> str:
    """Write a duration for people.

    >>> duration(42.4), duration(754)
    ('42 s', '13 min')
    """
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


def main() -> int:
    """Run the benchmarks that were asked for; return 1 if one of them failed."""
    names = [path.stem.removeprefix("time_") for path in sorted(HERE.glob("time_*.py"))]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Time the course beside its peers, each benchmark in a process of its own with pinned "
        "threads, and print one table of ratios. Without names all are run, and the table is kept in "
        "benchmarks/last.json.",
        epilog="Leave the machine alone meanwhile. The two sides of a ratio are timed in turn, so it holds "
        "on a busy machine too; the seconds don't. One benchmark alone: python -m benchmarks convolution, "
        'or make bench LINES="convolution fit".',
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"any of: {', '.join(names)}")
    chosen = parser.parse_args().names
    if unknown := set(chosen) - set(names):
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}; there are {', '.join(names)}")

    last = json.loads(LAST.read_text(encoding="utf-8")) if LAST.exists() else {"seconds": {}}
    to_run = chosen or names
    result: dict[str, Any] = {"circumstances": circumstances(), "lines": [], "seconds": {}}
    print("\n".join(f"{name}: {value}" for name, value in result["circumstances"].items()))
    failed = []
    for number, name in enumerate(to_run):
        ahead = [last["seconds"].get(later) for later in to_run[number:]]
        left = f", about {duration(sum(filter(None, ahead)))} left" if all(ahead) else ""
        print(f"\n[{number + 1}/{len(to_run)}] {name}{left}", flush=True)
        lines, taken, status = run(HERE / f"time_{name}.py")
        result["lines"] += [{"file": f"time_{name}.py", **line} for line in lines]
        result["seconds"][name] = round(taken)
        if status:
            failed.append(name)
    print(f"\n{table(result['lines'])}\n")
    result["failed"] = failed
    if not chosen:
        files.write(LAST, (json.dumps(result, indent=1, ensure_ascii=False) + "\n").encode())
        print(f"Kept in {LAST.relative_to(HERE.parent)}.")
    if failed:
        print(f"Failed: {', '.join(failed)}. What went wrong stands above, where each of them ran.")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

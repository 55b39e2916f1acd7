"""Importing the course beside importing NumPy: whole processes, the start of Python included."""

import subprocess
import sys

from benchmarks import line, side_by_side


def python(code: str) -> None:
    """Run a line in a new Python."""
    subprocess.run([sys.executable, "-c", code], check=True)


taken = side_by_side(
    {
        "NumPy": lambda: python("import numpy"),
        "course_lib": lambda: python("import course_lib"),
        "course_lib.convolution": lambda: python("import course_lib.convolution"),
    }
)
assert "tensorflow" not in subprocess.check_output(
    [sys.executable, "-c", "import course_lib, sys; print(*sys.modules)"], text=True
)
line("import course_lib", taken, ours="course_lib", budget=0.3)
line("import course_lib", taken, ours="course_lib", reference="NumPy")
line("import course_lib.convolution", taken, ours="course_lib.convolution", reference="NumPy")

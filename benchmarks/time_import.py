"""How long `import course_lib` takes, beside its neighbours: whole processes, start of Python included."""

import subprocess
import sys

from benchmarks import seconds, table


def start(code: str) -> None:
    """Run a line in a new Python."""
    subprocess.run([sys.executable, "-c", code], check=True)


table(
    "Import, in a new process",
    {
        "Python alone": seconds(lambda: start("pass"), repeats=9),
        "import course_lib": seconds(lambda: start("import course_lib"), repeats=9),
        "import course_lib.convolution": seconds(lambda: start("import course_lib.convolution"), repeats=9),
        "import numpy": seconds(lambda: start("import numpy"), repeats=9),
        "import course_lib.training (with Keras)": seconds(
            lambda: start("import course_lib.training"), repeats=3
        ),
    },
)

"""Run every benchmark in a process of its own, with one thread for arithmetic."""

import os
import subprocess
import sys
from pathlib import Path

ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
) | {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}

for path in sorted(Path(__file__).parent.glob("time_*.py")):
    command = [sys.executable, "-m", f"benchmarks.{path.stem}"]
    subprocess.run(command, check=True, env={**os.environ, **ONE_THREAD})

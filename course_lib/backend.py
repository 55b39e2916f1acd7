"""Keras on TensorFlow, started without the dozen lines of log that TensorFlow prints first.

The lines come from compiled code before any log level applies, so the only way to leave them out is to look
away from the error stream while TensorFlow starts. Python's own errors are not affected.
"""

import contextlib
import os
import sys
from collections.abc import Iterator

__all__ = ["keras"]


@contextlib.contextmanager
def _native_log_left_out() -> Iterator[None]:
    """Send what compiled code writes to file descriptor 2 nowhere, for the time of a ``with`` block."""
    sys.stderr.flush()
    saved = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(nowhere)
        os.close(saved)


os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # later messages too; what matters is raised in Python

with _native_log_left_out():
    import keras
    import tensorflow

    tensorflow.config.list_physical_devices("GPU")  # looks for a GPU now, so that its messages come now
    tensorflow.zeros(1)
    tensorflow.get_logger().setLevel("ERROR")  # else each new network is warned of as a "retracing"

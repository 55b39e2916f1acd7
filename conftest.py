"""What every test run has in common: the notebooks' environment, and nothing of the reader's own settings."""

import os
import tempfile
from pathlib import Path
from unittest.mock import patch

import hypothesis
import pytest

# The same examples on every machine and in CI; a slow machine is no error.
hypothesis.settings.register_profile(
    "course",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("course")

# What the cells of a notebook find in their environment.
NOTEBOOK = pytest.StashKey[dict[str, str]]()


def pytest_configure(config: pytest.Config) -> None:
    """Real data for the notebooks with `--nbval`; the sample and one short epoch with `--nbval-lax`."""
    data = os.environ.get("COURSE_DATA_DIR", "")
    for name in [name for name in os.environ if name.startswith("COURSE_")]:
        if name != "COURSE_DATA_DIR":  # the workers of pytest-xdist read it after us
            del os.environ[name]
    own = tempfile.TemporaryDirectory(prefix="course-")
    config.add_cleanup(own.cleanup)
    notebook = {"COURSE_CACHE_DIR": own.name, "IPYTHONDIR": own.name}
    if config.getoption("nbval"):
        if not data or not Path(data).is_dir():
            raise pytest.UsageError(
                "recorded outputs are compared on the real data: COURSE_DATA_DIR must name the folder with "
                f"mnist.npz and cifar10.npz, and is {data!r}"
            )
        notebook["COURSE_DATA_DIR"] = str(Path(data).resolve())
    else:
        os.environ.pop("COURSE_DATA_DIR", None)
        notebook |= {"COURSE_DATA": "sample", "COURSE_SMOKE": "1"}
    config.stash[NOTEBOOK] = notebook
    config.option.nbval_current_env = True  # this Python, whatever kernels the reader has installed


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item):
    """Start a notebook's kernel in the notebooks' environment."""
    if item.path.suffix != ".ipynb":
        return (yield)  # and a test's own changes of the environment stay
    with patch.dict(os.environ, item.config.stash[NOTEBOOK]):
        return (yield)

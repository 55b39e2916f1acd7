"""Chromium, which the benchmarks of the pages and the tests in a browser drive."""

import os
import shutil
from collections.abc import Callable
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_chromium() -> str | None:
    """Return the path of Chromium: that in CHROMIUM, else the first on PATH, else None."""
    return os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)


def let_paint(page: Any) -> None:
    """Wait until a page has painted what it was asked for so far; widgets repaint at the next frame."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


def work_of(page: Any) -> Callable[[], float]:
    """Return what tells how long a page has worked: milliseconds of the processor, on its main thread.

    Script, style, layout and painting count. Time that others had the processor does not; but a core that
    others use at the same time is slower.
    """
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked() -> float:
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(1000 * metric["value"] for metric in metrics if metric["name"] == "TaskDuration")

    return worked

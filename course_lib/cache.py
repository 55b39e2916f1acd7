"""Where the course keeps what it downloads, trains and searches on this machine."""

import os
from pathlib import Path

import platformdirs


def cache_folder(room: str) -> Path:
    """Return the folder for ``"data"``, ``"runs"``, ``"searches"`` or ``"pyodide"``.

    It lies below the folder named by ``COURSE_CACHE_DIR``, else in the user's cache. ``COURSE_RUNS_DIR`` and
    ``COURSE_SEARCHES_DIR`` name another folder for one of them.
    """
    if room != "data" and (own := os.environ.get(f"COURSE_{room.upper()}_DIR")):
        return Path(own)
    return Path(os.environ.get("COURSE_CACHE_DIR") or platformdirs.user_cache_dir("course_lib")) / room

"""The editions of the book: the full one, and one for students, in which no solution is to be found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from sphinx.errors import ConfigError

from course_lib.editions import student_edition, without_folded

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

EDITIONS = ("full", "student")


def setup(app: Sphinx) -> None:
    """Let `COURSE_EDITION` choose the edition, before anything of a chapter has been read."""
    app.add_config_value("course_edition", os.environ.get("COURSE_EDITION") or "full", "env", str)
    app.connect("config-inited", check_edition)
    app.connect("source-read", leave_solutions_out)


def check_edition(app: Sphinx, config: Config) -> None:
    """Refuse an edition that there isn't."""
    if config.course_edition not in EDITIONS:
        raise ConfigError(
            f"there is no edition {config.course_edition!r}; the editions are {' and '.join(EDITIONS)}"
        )


def leave_solutions_out(app: Sphinx, docname: str, content: list[str]) -> None:
    """Give Sphinx the student edition of a notebook or a page instead of itself."""
    if app.config.course_edition != "student":
        return
    if Path(app.env.doc2path(docname)).suffix == ".ipynb":
        content[0] = nbformat.writes(student_edition(nbformat.reads(content[0], as_version=4)))
    else:
        content[0] = without_folded(content[0])

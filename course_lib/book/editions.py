"""The editions of the book: the full one, and one for students, in which no solution is to be found."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import nbformat
from nbformat.v4 import new_output
from sphinx.errors import ConfigError

from course_lib.editions import student_edition, tags_of, without_folded

if TYPE_CHECKING:
    from nbformat import NotebookNode
    from sphinx.application import Sphinx
    from sphinx.config import Config

EDITIONS = ("full", "student")
FOR_TEACHERS = "chapters/teaching/"
TO_TEACHERS = re.compile(r"^For teachers there is[^\n]*\(teaching/\w+\.md\)\. It also gives", re.MULTILINE)
GONE = "*This appears when you run your own answer.*"


def setup(app: Sphinx) -> None:
    """Let `COURSE_EDITION` choose the edition, before anything of a chapter has been read."""
    app.add_config_value("course_edition", os.environ.get("COURSE_EDITION") or "full", "env", str)
    app.connect("config-inited", check_edition)
    app.connect("config-inited", leave_teachers_out, priority=900)  # when the table of contents has been read
    app.connect("source-read", leave_solutions_out)


def check_edition(app: Sphinx, config: Config) -> None:
    """Refuse an edition that there isn't."""
    if config.course_edition not in EDITIONS:
        raise ConfigError(
            f"there is no edition {config.course_edition!r}; the editions are {' and '.join(EDITIONS)}"
        )


def leave_teachers_out(app: Sphinx, config: Config) -> None:
    """Take the pages for teachers, which tell where solutions lie, out of the student edition."""
    if config.course_edition != "student":
        return
    contents = config.external_site_map
    for name in [name for name in contents if name.startswith(FOR_TEACHERS)]:
        del contents[name]
    for part in contents.root.subtrees:
        part.items = [name for name in part.items if not str(name).startswith(FOR_TEACHERS)]
    contents.root.subtrees = [part for part in contents.root.subtrees if part.items]
    config.exclude_patterns = [*config.exclude_patterns, f"{FOR_TEACHERS}*"]


def leave_solutions_out(app: Sphinx, docname: str, content: list[str]) -> None:
    """Give Sphinx the student edition of a notebook or a page instead of itself."""
    if app.config.course_edition != "student":
        return
    if Path(app.env.doc2path(docname)).suffix == ".ipynb":
        content[0] = nbformat.writes(for_the_book(nbformat.reads(content[0], as_version=4)))
    else:
        content[0] = TO_TEACHERS.sub("The command `course` gives", without_folded(content[0]))


def for_the_book(notebook: NotebookNode) -> NotebookNode:
    """Return the student edition of a chapter, which says where an output of the lesson was left out."""
    gone = {cell.id for cell in notebook.cells if "solution-output" in tags_of(cell)}
    edition = student_edition(notebook)
    for cell in edition.cells:
        if cell.id in gone:
            cell.outputs = [new_output("display_data", {"text/markdown": GONE})]
    return edition

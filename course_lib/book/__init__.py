"""The Sphinx extension of the book: MathML, its own look, and no script that a page can do without."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

HERE = Path(__file__).parent


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    from course_lib.book import mathml

    app.add_html_math_renderer("mathml", (mathml.visit_inline, None), (mathml.visit_block, None))
    app.connect("config-inited", add_own_files)
    app.add_css_file("book.css", priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_own_files(app: Sphinx, config: Config) -> None:
    """Let the book's stylesheet be copied with the pages, and its templates replace the theme's."""
    config.html_static_path.append(str(HERE / "static"))
    config.templates_path.append(str(HERE / "templates"))

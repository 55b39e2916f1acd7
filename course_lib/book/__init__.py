"""The Sphinx extension of the book: live widgets, MathML, its own look, and no script without need."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config
    from sphinx.writers.html5 import HTML5Translator

HERE = Path(__file__).parent


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    from sphinx.highlighting import PygmentsBridge

    from course_lib.book import editions, highlighting, mathml, styles, widgets

    app.add_html_math_renderer("mathml", (mathml.visit_inline, None), (mathml.visit_block, None))
    PygmentsBridge.html_formatter = highlighting.PlainTextFormatter
    app.connect("config-inited", add_own_files)
    app.connect("html-page-context", let_no_script_wait, priority=900)
    app.connect("build-finished", styles.make_one_sheet, priority=900)  # when the theme has written its own
    app.add_css_file("book.css", priority=900)
    app.add_node(nodes.image, override=True, html=(visit_picture, depart_picture))
    app.add_node(nodes.citation, override=True, html=(visit_work, depart_work))
    editions.setup(app)
    widgets.setup(app)
    app.setup_extension("course_lib.book.own_code")
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_own_files(app: Sphinx, config: Config) -> None:
    """Let the book's stylesheet be copied with the pages, and its templates replace the theme's."""
    config.html_static_path.append(str(HERE / "static"))
    config.templates_path.append(str(HERE / "templates"))


def let_no_script_wait(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Let scripts run in their order when the page has been read: none keeps the text from showing."""
    if pagename == "search":  # its own scripts need the others at once
        return
    at_once = ("", None, "_static/documentation_options.js")  # the page's own lines, and what they speak to
    context["script_files"] = [
        script
        if script.filename in at_once
        else type(script)(
            script.filename, priority=script.priority, **{**script.attributes, "defer": "defer"}
        )
        for script in context["script_files"]
    ]


def visit_picture(page: HTML5Translator, node: nodes.image) -> None:
    """Write a picture with its size, so that no text jumps, and let it wait until a reader is near."""
    from sphinx.util.images import get_image_size
    from sphinx.writers.html5 import HTML5Translator

    size = get_image_size(str(Path(page.builder.srcdir) / node["uri"].lstrip("/")))
    HTML5Translator.visit_image(page, node)
    if size and not any(name in node for name in ("width", "height", "scale")):
        sized = f'<img loading="lazy" width="{size[0]}" height="{size[1]}" '
        page.body[-1] = page.body[-1].replace("<img ", sized, 1)


def depart_picture(page: HTML5Translator, node: nodes.image) -> None:
    """End a picture."""
    from sphinx.writers.html5 import HTML5Translator

    HTML5Translator.depart_image(page, node)


def visit_work(page: HTML5Translator, node: nodes.citation) -> None:
    """Write a work of the bibliography as an item of a list, without the outdated roles of docutils."""
    if not isinstance(node.previous_sibling(), nodes.citation):
        page.body.append('<ul class="works">\n')
    node.remove(node.next_node(nodes.label))  # a number, which says nothing in a list sorted by author
    page.body.append(page.starttag(node, "li"))


def depart_work(page: HTML5Translator, node: nodes.citation) -> None:
    """End a work of the bibliography."""
    page.body.append("</li>\n")
    if not isinstance(node.next_node(descend=False, siblings=True), nodes.citation):
        page.body.append("</ul>\n")

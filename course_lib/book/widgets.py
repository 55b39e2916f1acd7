"""Widgets on the pages of the book, alive without a kernel.

In its cell's output, a widget leaves its state, a picture and a sentence (`course_lib.widgets.base`). They
become its place on the page: the picture with the sentence as its alternative text, and beside it the state.
What brings it to life is `static/widget-host.js`.
"""

from __future__ import annotations

import hashlib
import html
import importlib
import json
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from myst_nb.core.render import MimeData, load_mime_renders
from sphinx.errors import ExtensionError

import course_lib.widgets
from course_lib.widgets.base import ON_A_PAGE, CourseWidget

if TYPE_CHECKING:
    from myst_nb.core.render import NbElementRenderer
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

HTML = ("html", "dirhtml", "singlehtml")
INLINE_LIMIT = 20_000  # characters; a longer buffer has a file of its own, which pages and widgets can share


def setup(app: Sphinx) -> None:
    """Register the widgets' places, and the files that bring them to life."""
    if WidgetOutput not in load_mime_renders():  # an entry point would reach every book on this machine
        load_mime_renders().append(WidgetOutput)
    app.add_node(widget_place, html=(visit_place, depart_place))
    app.connect("builder-inited", write_modules_of_the_book)
    app.connect("html-page-context", load_what_the_page_needs)
    app.connect("build-finished", remove_what_no_page_needs)


# From a notebook's output to a node -------------------------------------------------------------------------


class widget_place(nodes.General, nodes.Element):  # type: ignore[misc]
    """Where a widget stands on a page: its child is the picture, `on_a_page` what the widget left."""


class WidgetOutput:
    """What MyST-NB calls for an output of our MIME type."""

    mime_priority_overrides = tuple((builder, ON_A_PAGE, 1) for builder in HTML)

    @staticmethod
    def handle_mime(renderer: NbElementRenderer, data: MimeData, inline: bool) -> list[nodes.Element] | None:
        """Make a widget's place, with the picture of the same output in it."""
        if data.mime_type != ON_A_PAGE:
            return None
        _, outputs = renderer.renderer.nb_client.code_cell_outputs(data.cell_index or 0)
        png = outputs[data.output_index or 0]["data"].get("image/png")
        if png is None:
            raise ExtensionError(f"line {data.line}: a widget without its picture: run `make execute`")
        picture = MimeData(
            "image/png",
            png,
            cell_metadata={"mystnb": {"image": {"alt": data.content["alt"]}}},
            line=data.line,
        )
        return [widget_place("", *renderer.render_image(picture), on_a_page=dict(data.content))]


# From the node to the page ----------------------------------------------------------------------------------


def visit_place(page: HTML5Translator, node: widget_place) -> None:
    """Begin a place and write its picture."""
    page.body.append(opening(node["on_a_page"]))


def depart_place(page: HTML5Translator, node: widget_place) -> None:
    """Write the state and end the place."""
    page.body.append(closing(node["on_a_page"], Path(page.builder.outdir) / "_static" / "widgets"))


def opening(on_a_page: dict[str, Any]) -> str:
    """Return the HTML before the picture."""
    fetches = " data-fetches" if any(_is_large(buffer) for buffer in on_a_page["buffers"]) else ""
    return f'<figure class="course-widget-place" data-widget="{html.escape(on_a_page["widget"])}"{fetches}>\n'


def closing(on_a_page: dict[str, Any], folder: Path) -> str:
    """Return the HTML after the picture, which holds the state; large buffers are written into `folder`."""
    buffers = []
    for buffer in on_a_page["buffers"]:
        if _is_large(buffer):
            name = hashlib.sha256(buffer["data"].encode()).hexdigest()[:16]
            _hand_over("courseBuffers", name, buffer["data"], folder)
            buffers.append({"path": buffer["path"], "file": name})
        else:
            buffers.append({"path": buffer["path"], "data": buffer["data"]})
    kept = {name: on_a_page[name] for name in ("widget", "model", "state")} | {"buffers": buffers}
    # With no "<" in it, the text can't end its element or begin another.
    text = json.dumps(kept, separators=(",", ":"), sort_keys=True).replace("<", r"\u003c")
    return f'\n<script type="application/json">{text}</script>\n</figure>\n'


def _is_large(buffer: dict[str, Any]) -> bool:
    return len(buffer["data"]) > INLINE_LIMIT


def _hand_over(shelf: str, name: str, content: Any, folder: Path) -> None:
    """Write a script that hands its content to the host: without a server, a page can read nothing else."""
    folder.mkdir(parents=True, exist_ok=True)
    script = f"(window.{shelf} ??= {{}})[{json.dumps(name)}] = {json.dumps(content)};\n"
    (folder / f"{name}.js").write_text(script, encoding="utf8")


def write_module(name: str, widget: CourseWidget | type[CourseWidget], folder: Path) -> None:
    """Write the file of a widget class: its module and its style."""
    texts = {"esm": str(widget._esm), "css": str(getattr(widget, "_css", ""))}
    _hand_over("courseWidgets", name, texts, folder)


# The files of the book --------------------------------------------------------------------------------------


def widget_classes() -> dict[str, type[CourseWidget]]:
    """Return every class of widgets that has a module, by its name."""
    for module in pkgutil.iter_modules(course_lib.widgets.__path__):
        importlib.import_module(f"course_lib.widgets.{module.name}")
    return {widget.__name__: widget for widget in _below(CourseWidget) if hasattr(widget, "_esm")}


def _below(widget: type[CourseWidget]) -> Iterator[type[CourseWidget]]:
    for child in widget.__subclasses__():
        yield from _below(child)  # anywidget derives a class of the same name for every instance
        yield child


def write_modules_of_the_book(app: Sphinx) -> None:
    """Write the file of every widget class."""
    if app.builder.format == "html":
        for name, widget in widget_classes().items():
            write_module(name, widget, Path(app.outdir) / "_static" / "widgets")


def load_what_the_page_needs(
    app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Load the host and the widgets' modules on a page that has widgets, and nothing on any other."""
    places = list(doctree.findall(widget_place)) if doctree else []
    for name in sorted({place["on_a_page"]["widget"] for place in places}):
        if name not in widget_classes():
            raise ExtensionError(f"{pagename}: there is no widget {name}: run `make execute`")
        app.add_js_file(f"widgets/{name}.js", loading_method="defer")
    if places:
        app.add_js_file("widget-host.js", loading_method="defer", priority=900)


def remove_what_no_page_needs(app: Sphinx, exception: Exception | None) -> None:
    """Remove the files of widgets that an earlier build wrote and no page asks for any more."""
    if exception or app.builder.format != "html":
        return
    book = Path(app.outdir)
    needed = set(widget_classes())
    for page in book.rglob("*.html"):
        needed.update(re.findall(r'"file":"(\w+)"', page.read_text(encoding="utf8")))
    for path in (book / "_static" / "widgets").glob("*.js"):
        if path.stem not in needed:
            path.unlink()

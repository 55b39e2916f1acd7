"""One style sheet for the book, with the rules and the icons that its pages use.

A page waits for its style sheets before it shows a letter. They are nine files, 93 kB gzipped, with a font of
icons of 156 kB: made for every book there could be, and most of it for elements that this one doesn't have.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tinycss2
from fontTools.subset import Subsetter
from fontTools.ttLib import TTFont

if TYPE_CHECKING:
    from collections.abc import Set

    from sphinx.application import Sphinx

SHEET = "all.css"
LINK = re.compile(r'<link [^>]*?href="([^":]*_static/)([^"?]+\.css)[^>]*>\s*')
CLASS = re.compile(r"\.(-?[_a-zA-Z][\w-]*)")
IMPORT = re.compile(r'@import "([^":]+)";')
ADDRESS = re.compile(r"""url\(["']?([^"':#)]+)["']?\)""")  # of a file, not of data
CHOICE = re.compile(r":(not|is|where|has)\([^()]*(\([^()]*\)[^()]*)*\)")  # its classes need not all be there
ICON = re.compile("[\ue000-\uf8ff]")  # a letter that means something in one font only
ICONS = re.compile(r"url\([^)]*\.woff2\)[^;}]*url\(([^)]*\.ttf)\)[^;}]*")  # such a font, in two formats


def make_one_sheet(app: Sphinx, exception: Exception | None) -> None:
    """Put what the pages use of their style sheets into one, and let every page link to that."""
    if exception or app.builder.format != "html":
        return
    book, static = Path(app.outdir), Path(app.outdir) / "_static"
    pages = {
        path: path.read_text(encoding="utf8") for path in book.rglob("*.html") if static not in path.parents
    }
    links = dict.fromkeys(name for page in pages.values() for _, name in LINK.findall(page))
    sheets = [static / name for name in links if name != SHEET]
    if not sheets:  # no page was written anew
        return
    scripts = [path.read_text(encoding="utf8") for path in static.rglob("*.js")]  # they, too, give classes
    words = {word for text in [*pages.values(), *scripts] for word in re.findall(r"[\w-]+", text)}
    css = without_unused("\n".join(whole(sheet, static) for sheet in sheets), words)
    css = with_icons(css, static)
    (static / SHEET).write_text(css, encoding="utf8")
    version = hashlib.sha256(css.encode()).hexdigest()[:8]
    for path, page in pages.items():
        path.write_text(with_one_link(page, f"{SHEET}?v={version}"), encoding="utf8")


def with_one_link(page: str, sheet: str) -> str:
    """Return a page with a link to one style sheet instead of those to all of the book.

    >>> with_one_link('<link href="_static/a.css?v=1"><link href="_static/b.css"><p>', "c.css")
    '<link rel="stylesheet" href="_static/c.css"><p>'
    """
    first = LINK.search(page)
    if first is None:
        return page
    link = f'<link rel="stylesheet" href="{first[1]}{sheet}">'
    return page[: first.start()] + link + LINK.sub("", page[first.end() :])


def whole(sheet: Path, folder: Path) -> str:
    """Return a style sheet with those that it imports, its addresses as they are from `folder`."""
    css = sheet.read_text(encoding="utf8")
    css = ADDRESS.sub(
        lambda found: f"url({Path(os.path.relpath(sheet.parent / found[1], folder)).as_posix()})", css
    )
    return IMPORT.sub(lambda found: whole(sheet.parent / found[1], folder), css)


def with_icons(css: str, folder: Path) -> str:
    """Return a style sheet that holds the icons it names, instead of the addresses of fonts that have all."""
    icons = "".join(ICON.findall(css))

    def held(found: re.Match[str]) -> str:
        font = TTFont(folder / found[1], recalcTimestamp=False)
        subsetter = Subsetter()
        subsetter.populate(text=icons)
        subsetter.subset(font)
        font.flavor = "woff"
        font.save(file := io.BytesIO())
        return f'url(data:font/woff;base64,{base64.b64encode(file.getvalue()).decode()}) format("woff")'

    return ICONS.sub(held, css)


def without_unused(css: str, words: Set[str]) -> str:
    """Return a style sheet without the selectors that ask for a class that is not among the words.

    >>> without_unused(".a, .b { color: red } @media print { .b { color: blue } }", {"a"})
    '.a{ color: red }'
    """
    rules = tinycss2.parse_stylesheet(css, skip_comments=True, skip_whitespace=True)
    return "\n".join(filter(None, (_rule(rule, words) for rule in rules)))


def _rule(rule: Any, words: Set[str]) -> str:
    if rule.type == "qualified-rule":
        selectors = [selector for selector in _selectors(rule.prelude) if _may_match(selector, words)]
        return f"{','.join(selectors)}{{{tinycss2.serialize(rule.content)}}}" if selectors else ""
    if rule.type == "at-rule" and rule.lower_at_keyword in ("media", "supports", "layer", "container"):
        if rule.content is None:
            return str(rule.serialize())
        inner = tinycss2.parse_rule_list(rule.content, skip_comments=True, skip_whitespace=True)
        kept = "\n".join(filter(None, (_rule(each, words) for each in inner)))
        return f"@{rule.at_keyword}{tinycss2.serialize(rule.prelude)}{{{kept}}}" if kept else ""
    return str(rule.serialize())


def _selectors(prelude: list[Any]) -> list[str]:
    """Split a list of selectors at its commas; those within brackets are tokens of their own."""
    selectors: list[list[Any]] = [[]]
    for token in prelude:
        if token == ",":
            selectors.append([])
        else:
            selectors[-1].append(token)
    return [tinycss2.serialize(selector).strip() for selector in selectors]


def _may_match(selector: str, words: Set[str]) -> bool:
    return all(name in words for name in CLASS.findall(CHOICE.sub("", selector)))

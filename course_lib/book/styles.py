"""Style sheets without the rules that no page of the book can use.

A page waits for its style sheets before it shows a letter. That of the theme is 66 kB, gzipped, and made
for every book there could be; most of it is for elements that this one doesn't have.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tinycss2

if TYPE_CHECKING:
    from collections.abc import Set

    from sphinx.application import Sphinx

CLASS = re.compile(r"\.(-?[_a-zA-Z][\w-]*)")
IMPORT = re.compile(r'@import "([^":]+)";')  # a sheet that the browser hears of only from another
CHOICE = re.compile(r":(not|is|where|has)\([^()]*(\([^()]*\)[^()]*)*\)")  # its classes need not all be there


def keep_what_is_used(app: Sphinx, exception: Exception | None) -> None:
    """Take out of the book's style sheets, when it is built, the rules for classes that occur nowhere."""
    if exception or app.builder.format != "html":
        return
    book = Path(app.outdir)
    texts = [*book.rglob("*.html"), *(book / "_static").rglob("*.js")]  # scripts give elements their classes
    words = {word for path in texts for word in re.findall(r"[\w-]+", path.read_text(encoding="utf8"))}
    for path in [*(book / "_static").glob("*.css"), *(book / "_static" / "styles").glob("*.css")]:
        css = path.read_text(encoding="utf8")
        for found in IMPORT.finditer(css):
            css = css.replace(found[0], (path.parent / found[1]).read_text(encoding="utf8"))
        path.write_text(without_unused(css, words), encoding="utf8")


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

"""Code in colours, with an element for each piece that has a colour of its own, and none for the rest.

Two of three pieces of Python are names and punctuation, in the colour of the text around them. An element for
each would double what a phone has to lay out before it answers its reader.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pygments.formatters import HtmlFormatter
from pygments.token import Name, Punctuation, Text, Whitespace

if TYPE_CHECKING:
    from collections.abc import Iterable

PLAIN = (Name, Name.Namespace, Punctuation, Whitespace)


class PlainTextFormatter(HtmlFormatter):  # type: ignore[misc]
    r"""Write names and punctuation as text.

    >>> from pygments import highlight
    >>> from pygments.lexers import PythonLexer
    >>> highlight("x = f(2)", PythonLexer(), PlainTextFormatter(nowrap=True))
    'x <span class="o">=</span> f(<span class="mi">2</span>)\n'
    """

    def format(self, tokensource: Iterable[tuple[Any, str]], outfile: Any) -> None:
        """Write the pieces of code, each with its kind, as HTML."""
        pieces = ((Text if kind in PLAIN else kind, piece) for kind, piece in tokensource)
        super().format(pieces, outfile)

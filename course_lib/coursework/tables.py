"""Tables that are safe to open: no spreadsheet finds a formula in what students wrote."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

from course_lib.files import write


def defused(cell: str | float) -> str | float:
    """Return a cell of a table such that no spreadsheet takes it for a formula.

    What starts with =, +, - or @, with a tab or with the end of a line gets an apostrophe in front, as OWASP
    advises (https://owasp.org/www-community/attacks/CSV_Injection); so does what starts so after quotes,
    blanks and invisible characters, or with another form of these signs, such as the full-width one. The same
    goes for what follows a semicolon, a tab or the end of a line: a spreadsheet that parts cells by
    semicolons would start a new one there.

    Examples
    --------
    >>> defused("=1+1"), defused("Ada;=1+1"), defused(-1.5), defused("-")
    ("'=1+1", "Ada;'=1+1", -1.5, '-')
    """
    if not isinstance(cell, str) or cell == "-":  # how Moodle writes "nothing"
        return cell
    pieces = re.split(r"([;\t\r\n\0])", cell)
    safe = "".join("'" + piece if looks_like_formula(piece) else piece for piece in pieces)
    return "'" + safe if safe[:1] in tuple("\t\r\n\0") else safe


def looks_like_formula(text: str) -> bool:
    """Tell whether the first character that counts is one that starts a formula."""
    first = next((character for character in text if not transparent(character)), "")
    return unicodedata.normalize("NFKC", first)[:1] in tuple("=+-@")


def transparent(character: str) -> bool:
    """Tell whether what comes after a character may still be taken for the start of the cell."""
    invisible = unicodedata.category(character) in ("Cc", "Cf", "Pi", "Pf")  # or a typographic quote
    return invisible or character.isspace() or character in "\"'`´"


def write_table(path: Path, rows: Iterable[Sequence[str | float]], *, for_excel: bool) -> None:
    """Write a table, every text in quotes, every formula defused; its owner alone can read it.

    Parameters
    ----------
    path
        Replaced as a whole or not at all.
    rows
        The cells. Numbers stay numbers.
    for_excel
        Whether a file starts with a byte order mark, from which Excel knows that it is UTF-8. Behind one
        Canvas would not find its first column.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerows([defused(cell) for cell in row] for row in rows)
    write(path, text.getvalue().encode("utf-8-sig" if for_excel else "utf-8"), private=True)

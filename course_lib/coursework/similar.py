"""Similar answers: pairs that share what hardly anybody else wrote. A hint for a person, and no proof."""

from __future__ import annotations

import builtins
import html
import itertools
import keyword
import re
import tokenize
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from textwrap import fill
from typing import NamedTuple, TypeAlias

from course_lib.coursework.marks import Row, counted, opened, questions
from course_lib.coursework.release import released
from course_lib.coursework.submissions import printable
from course_lib.coursework.tables import write_table
from course_lib.files import write

SYMBOLS = 8  # of Python in a passage
WORDS = 5  # of text in a passage
WINDOW = 4  # neighbouring passages, one of which is kept
COMMON = 10  # answers with a passage; what more have says nothing of two of them
LEAST_SCORE = 5.0
LEAST_SHARE = 0.3
MOST_ERRORS = 50  # of Python in an answer, after which the rest of it is left
LONGEST = 50_000  # characters of an answer that are compared
MOST_ON_PAGE = 100  # pairs
MOST_PRINTED = 20  # pairs
LONGEST_SHOWN = 5_000  # characters of an answer on the page, and of a common part in the table

MEANING = (
    "The score counts the passages that two answers share: one that nobody else has counts 1, one that a"
    f" third answer has too 1/2, one that a fourth has 1/3. What more than {COMMON} answers have, and what"
    f" stands in the release or its solution, counts nothing. A passage is {WORDS} words of text or {SYMBOLS}"
    " symbols of Python; Python is compared twice, as it is written and with all names being the same, and"
    " each counts half. The share is how much of the shorter answer, without the release's text, both have."
)
CAUTION = (
    "This is a hint where to look, and no proof. Two people who never met can write a short answer alike, the"
    " sooner the fewer take the course. And what many write, or what was rewritten, is not found when it is"
    " copied. Read both answers, and ask both."
)

PAGE_START = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Similar answers</title>
<style>
:root { color-scheme: light dark }
body { font: 1rem/1.5 system-ui, sans-serif; margin: 1rem auto; max-width: 80rem; padding: 0 1rem }
div { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(30rem, 100%), 1fr)); gap: 1rem }
section { min-width: 0 }
h3 { overflow-wrap: anywhere }
pre { overflow-wrap: anywhere; white-space: pre-wrap }
</style>
<main>
<h1>Similar answers</h1>
"""

KEPT_NAMES = frozenset(keyword.kwlist) | frozenset(dir(builtins))

Span: TypeAlias = tuple[int, int]


@dataclass(frozen=True)
class Pair:
    """Two answers to one part, and what they share.

    Parameters
    ----------
    score
        What the passages that they share count together: see `MEANING`.
    share
        The shared passages, as a part of all passages of the one that has fewer.
    students, texts, spans
        Of both: the name, the answer, and from where to where its shared passages go.
    """

    part: str
    score: float
    share: float
    students: tuple[str, str]
    texts: tuple[str, str]
    spans: tuple[list[Span], list[Span]]

    def common(self, which: int) -> str:
        """Return what one of the two wrote where they are alike."""
        return " … ".join(self.texts[which][start:end] for start, end in self.spans[which])


def similar(out: Path) -> list[Pair]:
    """List the pairs of answers that are more alike than others: a hint for a person, and no proof.

    Text is compared word by word, Python symbol by symbol: as it is written, and once more without comments
    and with all names being the same. Fingerprints are kept by winnowing [1]_. The fewer answers have one,
    the more it counts; what the release or its solution holds does not count. Nothing that was handed in is
    run.

    The pairs are printed, and written to `similar.csv` and, side by side, to `similar.html` in the folder of
    the grading.

    Parameters
    ----------
    out
        The folder of the grading.

    References
    ----------
    .. [1] S. Schleimer, D. S. Wilkerson, A. Aiken: Winnowing: local algorithms for document fingerprinting.
       SIGMOD 2003, https://doi.org/10.1145/872757.872770
    """
    with opened(out) as ledger:
        parts = [part for question in questions(ledger) for part in question.parts]
        answers: dict[str, dict[str, str]] = defaultdict(dict)
        for student, submission in counted(ledger).items():
            for answer in ledger.answers(submission.id).values():
                answers[answer.part][student] = answer.source
        task = ledger.about("task")
    known = everybodys(task)
    pairs: list[Pair] = []
    compared, silent, cut = 0, 0, []
    for part in parts:
        reading = TEXT if part.kind == "text" else CODE
        texts = {student: text[:LONGEST] for student, text in answers[part.id].items()}
        prints = {who: reading.fingerprints(text, known[reading]) for who, text in texts.items()}
        pairs += similar_pairs(part.id, reading, texts, prints)
        compared += len(texts)
        silent += sum(not own for own in prints.values())
        cut += [f"{part.id} of {who}" for who, text in answers[part.id].items() if len(text) > LONGEST]
    pairs.sort(key=lambda pair: (-pair.score, pair.part, pair.students))
    write_pairs(out, pairs)
    print(f"{compared} answers compared; {silent} hold nothing of their own, or too little to tell")
    for name in cut:
        print(f"only the first {LONGEST:,} characters are compared: {printable(name)}")
    print_pairs(pairs)
    print(f"All pairs, with what they share: {out / 'similar.csv'} and {out / 'similar.html'}")
    return pairs


def everybodys(task: str) -> dict[Reading, set[str]]:
    """Return the passages of a release and its solution, which everybody has or may have."""
    release = released(task)
    known: dict[Reading, set[str]] = {CODE: set(), TEXT: set()}
    for cell in (*release.student.cells, *release.solution.cells):
        reading = CODE if cell.cell_type == "code" else TEXT
        known[reading].update(passage for way in reading.passages(cell.source) for passage, _ in way)
    return known


# Passages and fingerprints ----------------------------------------------------------------------------------


class Piece(NamedTuple):
    """A symbol or a word as it is compared, and where it stands."""

    text: str
    start: int
    end: int


def symbols(source: str) -> list[Piece]:
    r"""Return the symbols of Python, without comments and layout, all names that the writer chose being one.

    Examples
    --------
    >>> [piece.text for piece in symbols("for row in range(3):  # rows\n    total += X.sum()")]
    ['for', 'name', 'in', 'range', '(', '3', ')', ':', 'name', '+=', 'name', '.', 'sum', '(', ')']
    """
    pieces: list[Piece] = []
    line: list[Piece] = []
    for kind, text, start, end in tokens(source):
        if kind == tokenize.NEWLINE:
            pieces += line if [piece.text for piece in line] != ["string"] else []  # that is a docstring
            line = []
        elif kind == tokenize.STRING or tokenize.tok_name[kind] == "FSTRING_START":
            line.append(Piece("string", start, end))
        elif kind == tokenize.NAME and text not in KEPT_NAMES:
            line.append(Piece(text if line and line[-1].text == "." else "name", start, end))
        elif kind in (tokenize.NAME, tokenize.NUMBER, tokenize.OP, tokenize.ERRORTOKEN) and text.strip():
            line.append(Piece(text, start, end))
    return pieces + line


def tokens(source: str) -> Iterator[tuple[int, str, int, int]]:
    """Yield kind and text of Python's tokens, and from where to where they go, also where it is no Python.

    Indentation is taken away first: it says nothing here, and may be wrong. After an error it goes on with
    the next line.
    """
    lines = [line + "\n" for line in source.split("\n")]
    bare = [line.lstrip() or "\n" for line in lines]
    ends = itertools.accumulate(map(len, lines))
    starts = [end - len(line) for end, line in zip(ends, bare, strict=True)]
    first = 0
    for _ in range(MOST_ERRORS):
        row = first
        try:
            for token in tokenize.generate_tokens((bare[at] for at in range(first, len(bare))).__next__):
                if token.type != tokenize.ENDMARKER:
                    start, row = (first + place[0] - 1 for place in (token.start, token.end))
                    yield token.type, token.string, starts[start] + token.start[1], starts[row] + token.end[1]
            return
        except (tokenize.TokenError, SyntaxError):
            first = row + 1


def words(source: str) -> list[Piece]:
    """Return the words of a text without its HTML comments.

    Examples
    --------
    >>> [piece.text for piece in words("<!-- answer words-2-1 --> The **Kernel** is flipped.")]
    ['the', 'kernel', 'is', 'flipped']
    """
    hidden = re.sub(r"<!--.*?-->", lambda found: " " * len(found[0]), source, flags=re.DOTALL)
    return [
        Piece(unicodedata.normalize("NFKC", found[0]).casefold(), *found.span())
        for found in re.finditer(r"\w+", hidden)
    ]


def written(source: str) -> list[Piece]:
    """Return the words and signs of a source as they are, comments and all.

    Examples
    --------
    >>> [piece.text for piece in written("total += X.sum()  # all")]
    ['total', '+', '=', 'X', '.', 'sum', '(', ')', '#', 'all']
    """
    return [Piece(found[0], *found.span()) for found in re.finditer(r"\w+|[^\w\s]", source)]


@dataclass(frozen=True)
class Reading:
    """How an answer is read: the ways to take it to pieces, and how many pieces make a passage."""

    ways: tuple[Callable[[str], list[Piece]], ...]
    length: int

    def passages(self, source: str) -> list[list[tuple[str, Span]]]:
        """Return for each way every passage, as one string, and from where to where it goes."""
        return [
            [
                (f"{way.__name__} " + " ".join(piece.text for piece in run), (run[0].start, run[-1].end))
                for run in (pieces[at : at + self.length] for at in range(len(pieces) - self.length + 1))
            ]
            for way in self.ways
            for pieces in [way(source)]
        ]

    def fingerprints(self, source: str, known: Collection[str]) -> dict[str, list[Span]]:
        """Return the passages that stand for an answer, and where they are.

        Those of the release, which are known, are left out. Of the rest it is the least of every window; so
        answers that share all passages of a window share a fingerprint.
        """
        prints: dict[str, list[Span]] = defaultdict(list)
        for passages in self.passages(source):
            own = [(passage, span) for passage, span in passages if passage not in known]
            order = [blake2b(passage.encode(), digest_size=8).digest() for passage, _ in own]
            windows = [range(at, at + WINDOW) for at in range(len(own) - WINDOW + 1)] or [range(len(own))]
            kept = {min(window, key=lambda at: (order[at], -at)) for window in windows if window}
            for at in sorted(kept):
                prints[own[at][0]].append(own[at][1])
        return prints


CODE = Reading((symbols, written), SYMBOLS)
TEXT = Reading((words,), WORDS)


# Pairs ------------------------------------------------------------------------------------------------------


def similar_pairs(
    part: str, reading: Reading, answers: dict[str, str], prints: dict[str, dict[str, list[Span]]]
) -> list[Pair]:
    """Return the pairs of answers to one part that share enough.

    Only answers that share a fingerprint meet, so that the cost grows with the number of answers and not with
    that of all pairs.
    """
    holders: dict[str, list[str]] = defaultdict(list)
    for student, own in prints.items():
        for fingerprint in own:
            holders[fingerprint].append(student)
    scores: dict[tuple[str, str], float] = defaultdict(float)
    for holding in holders.values():
        if len(holding) <= COMMON:
            for pair in itertools.combinations(holding, 2):
                scores[pair] += 1 / (len(holding) - 1) / len(reading.ways)
    pairs = []
    for (one, other), score in scores.items():
        shared = prints[one].keys() & prints[other].keys()
        share = len(shared) / min(len(prints[one]), len(prints[other]))
        if score >= LEAST_SCORE and share >= LEAST_SHARE:
            spans = [joined(span for each in shared for span in prints[who][each]) for who in (one, other)]
            texts = (answers[one], answers[other])
            pairs.append(Pair(part, score, share, (one, other), texts, (spans[0], spans[1])))
    return pairs


def joined(spans: Iterable[Span]) -> list[Span]:
    """Return spans in order, those that touch as one.

    Examples
    --------
    >>> joined([(5, 8), (0, 3), (2, 4)])
    [(0, 4), (5, 8)]
    """
    whole: list[Span] = []
    for start, end in sorted(spans):
        if whole and start <= whole[-1][1]:
            whole[-1] = (whole[-1][0], max(whole[-1][1], end))
        else:
            whole.append((start, end))
    return whole


# What is told -----------------------------------------------------------------------------------------------


def print_pairs(pairs: Sequence[Pair]) -> None:
    """Print the most similar pairs, what the numbers mean, and what they don't."""
    print(f"{len(pairs)} pairs are more alike than the others")
    if pairs:
        print(f"\n{'score':>6} {'share':>6}  {'part':<16} students")
    for pair in pairs[:MOST_PRINTED]:
        names = " and ".join(map(printable, pair.students))
        print(f"{pair.score:6.1f} {pair.share:6.0%}  {pair.part:<16} {names}")
    if len(pairs) > MOST_PRINTED:
        print(f"… and {len(pairs) - MOST_PRINTED} more")
    print(f"\n{fill(MEANING)}\n\n{fill(CAUTION)}\n")


def write_pairs(out: Path, pairs: Sequence[Pair]) -> None:
    """Write all pairs as a table, and the first of them side by side as a page."""
    header = [
        "part",
        "score (a hint, no proof)",
        "share",
        "student",
        "other student",
        "common",
        "in the other",
    ]
    rows: list[Row] = [
        [
            *(pair.part, round(pair.score, 1), round(pair.share, 2), *pair.students),
            *(pair.common(which)[:LONGEST_SHOWN] for which in (0, 1)),
        ]
        for pair in pairs
    ]
    write_table(out / "similar.csv", [header, *rows], for_excel=True)
    page = [PAGE_START, f"<p>{html.escape(MEANING)}</p><p><strong>{html.escape(CAUTION)}</strong></p>"]
    if len(pairs) > MOST_ON_PAGE:
        page.append(f"<p>The first {MOST_ON_PAGE} of {len(pairs)} pairs; similar.csv has them all.</p>")
    for pair in pairs[:MOST_ON_PAGE]:
        page.append(f"<h2>{html.escape(pair.part)}: score {pair.score:.1f}, share {pair.share:.0%}</h2><div>")
        for student, text, spans in zip(pair.students, pair.texts, pair.spans, strict=True):
            page.append(f"<section><h3>{html.escape(printable(student))}</h3><pre>")
            page.append(f"{highlighted(text[:LONGEST_SHOWN], spans)}</pre></section>")
        page.append("</div>")
    page.append("</main></html>")
    write(out / "similar.html", "".join(page).encode(), private=True)


def highlighted(text: str, spans: Iterable[Span]) -> str:
    """Return a text as HTML, with what both wrote marked.

    Examples
    --------
    >>> highlighted("a < b", [(0, 1)])
    '<mark>a</mark> &lt; b'
    """
    shown, at = [], 0
    for start, end in spans:
        shown += [html.escape(text[at:start]), "<mark>", html.escape(text[start:end]), "</mark>"]
        at = end
    return "".join([*shown, html.escape(text[at:])])

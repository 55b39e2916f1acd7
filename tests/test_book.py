"""The built book: every warning is an error, and a page needs no host but its own."""

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pytest
from pygments.token import STANDARD_TYPES

from course_lib.book.highlighting import PLAIN
from course_lib.book.mathml import to_mathml

ROOT = Path(__file__).parents[1]
PAGE_LIMIT = 250_000  # bytes of HTML, scripts and style sheets, gzipped

# What a browser fetches by itself; a link that a reader may click is not among them.
FETCHED = {
    ("script", "src"),
    ("link", "href"),
    ("img", "src"),
    ("img", "srcset"),
    ("source", "src"),
    ("source", "srcset"),
    ("iframe", "src"),
    ("embed", "src"),
    ("object", "data"),
    ("video", "src"),
    ("video", "poster"),
    ("audio", "src"),
    ("track", "src"),
    ("image", "href"),
    ("use", "href"),
    ("form", "action"),
    ("base", "href"),
}


class Page(HTMLParser):
    """What a page fetches, what it links to, the ids it has, and its scripts and styles."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.inline: list[str] = []
        self.images_without_alt: list[str] = []
        self._within = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._within = tag
        given = {name: value or "" for name, value in attrs}
        self.ids.add(given.get("id", ""))
        self.fetched += [value for name, value in given.items() if (tag, name) in FETCHED]
        self.inline += [given[name] for name in given if name == "style" or name.startswith("on")]
        if tag == "a":
            self.links.append(given.get("href", ""))
        if tag == "img" and "alt" not in given:
            self.images_without_alt.append(given.get("src", ""))

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within in ("script", "style"):
            self.inline.append(data)

    def foreign(self) -> list[str]:
        """Every address of another host that the page fetches or that its scripts and styles name."""
        fetched = [address for address in self.fetched if re.match(r"(https?:)?//", address)]
        return fetched + re.findall(r"""https?://[^\s"'()]+|(?<=url\()//[^\s"'()]+""", " ".join(self.inline))


def own_files(page: Page, at: Path) -> list[Path]:
    """The files of the book that a page fetches."""
    paths = filter(
        None, (urlsplit(address).path for address in page.fetched if not address.startswith("data:"))
    )
    return sorted({(at.parent / unquote(path)).resolve() for path in paths})


@pytest.fixture(scope="module")
def pages(book: Path) -> dict[Path, Page]:
    """Every page of the book."""
    paths = [path for path in sorted(book.rglob("*.html")) if "_static" not in path.parts]
    return {path: Page(path.read_text(encoding="utf8")) for path in paths}


def test_every_chapter_has_its_page(book, pages):
    chapters = {path.relative_to(ROOT).with_suffix(".html") for path in ROOT.glob("chapters/**/*.ipynb")}
    chapters |= {path.relative_to(ROOT).with_suffix(".html") for path in ROOT.glob("chapters/*.md")}
    assert chapters <= {path.relative_to(book) for path in pages}


def test_no_page_contacts_another_host(book, pages):
    assert {path.relative_to(book): page.foreign() for path, page in pages.items() if page.foreign()} == {}
    fetched = {file for path, page in pages.items() for file in own_files(page, path)}
    assert [file for file in fetched if not file.is_file()] == []
    styles = [file for file in fetched if file.suffix == ".css"]
    outside = {
        file.name: re.findall(r"url\(['\"]?((?:https?:)?//[^)]+)", file.read_text(encoding="utf8"))
        for file in styles
    }
    assert {name: found for name, found in outside.items() if found} == {}


@pytest.mark.parametrize(
    "html",
    [
        '<script src="https://cdn.example.org/x.js"></script>',
        '<link rel="stylesheet" href="//cdn.example.org/x.css">',
        '<img src="http://example.org/x.png">',
        '<iframe src="https://example.org"></iframe>',
        '<script>const THEBE_JS_URL = "https://unpkg.com/thebe"</script>',
        '<p style="background: url(//example.org/x.png)">',
        "<style>@import 'https://example.org/x.css'</style>",
    ],
)
def test_another_host_is_seen(html):
    assert Page(html).foreign()


def test_a_link_to_click_is_no_contact():
    assert not Page('<a href="https://arxiv.org/abs/1603.07285">guide</a>').foreign()


def test_every_link_within_the_book_leads_somewhere(book, pages):
    lost = []
    for path, page in pages.items():
        for link in page.links:
            to = urlsplit(link)
            if to.scheme or to.netloc:
                continue
            target = (path.parent / unquote(to.path)).resolve() if to.path else path
            ids = pages[target].ids if target in pages else set()
            if not target.exists() or (target in pages and to.fragment and unquote(to.fragment) not in ids):
                lost.append(f"{path.relative_to(book)}: {link}")
    assert lost == []


def test_every_picture_has_an_alternative_text(book, pages):
    assert {
        path.relative_to(book): page.images_without_alt
        for path, page in pages.items()
        if page.images_without_alt
    } == {}


def test_a_page_is_light(book, pages):
    heavy = {}
    for path, page in pages.items():
        files = [file for file in own_files(page, path) if file.suffix in (".js", ".css")]
        size = sum(len(gzip.compress(file.read_bytes())) for file in [path, *files])
        if size > PAGE_LIMIT:
            heavy[path.relative_to(book)] = size
    assert heavy == {}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("kind", PLAIN, ids=str)
def test_code_written_as_text_has_the_colour_of_text(book, theme, kind):
    css = (book / "_static" / "pygments.css").read_text(encoding="utf8")
    text, piece = (
        re.search(rf'"{theme}"\] \.highlight {place}{{[^}}]*\bcolor: (#\w+)', css)
        for place in ("", rf"\.{STANDARD_TYPES[kind]} ")
    )
    assert text[1] == piece[1]


def test_nothing_that_a_page_hides_is_published(book):
    assert not (book / "_sources").exists()


# Mathematics ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "latex",
    [
        r"Z_{ij} = \sum_{u=0}^{m-1} \sum_{v=0}^{n-1} K_{uv}\, X_{i+u,\, j+v}",
        r"\begin{pmatrix} -\tfrac12&1 \\ 0&2 \end{pmatrix} * \begin{bmatrix} 1&2 \\ 3&4 \end{bmatrix}",
        r"\begin{aligned} a &= b + c \\ &= d \end{aligned}",
        r"a &= b \\ &= c",
        r"\operatorname{ReLU}(z) = \begin{cases} z & \text{if } z > 0 \\ 0 & \text{otherwise} \end{cases}",
        r"\left\lfloor \frac{h + 2p - m}{s} \right\rfloor + 1 \quad 258{,}090",
        r"L = -\sum_k y_k \log p_k, \qquad \hat y = \mathbf{W} x, \quad X \in \mathbb{R}^{28 \times 28}",
    ],
)
def test_formulas_of_the_kinds_that_chapters_use(latex):
    written = to_mathml(latex, "block")
    tree = ElementTree.fromstring(written)
    words = [element.text for element in tree.iter() if element.text]
    assert not [word for word in words if word.startswith("\\") or word == "&"]
    assert {element.tag for element in tree.iter()} <= {
        *("math", "mrow", "mi", "mo", "mn", "mtext", "mspace", "mstyle", "mfrac", "msub", "msup", "msubsup"),
        *("munder", "mover", "munderover", "mtable", "mtr", "mtd", "msqrt"),
    }


def test_brackets_are_as_high_as_their_matrix():
    two = r"\begin{bmatrix} 1 \\ 2 \end{bmatrix} = \begin{bmatrix} 1 \\ 2 \end{bmatrix}"
    groups = ElementTree.fromstring(to_mathml(two))[0]
    assert [element.tag for element in groups] == ["mrow", "mo", "mrow"]
    assert [[part.text for part in groups[i] if part.tag == "mo"] for i in (0, 2)] == [["[", "]"], ["[", "]"]]


@pytest.mark.parametrize("latex", [r"\frobnicate", r"a & \frobnicate{b}", r"\left( x", "x^"])
def test_a_formula_that_cannot_be_translated_is_refused(latex):
    with pytest.raises(ValueError, match="no MathML"):
        to_mathml(latex)

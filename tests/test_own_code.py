"""The editor for a reader's own code: its checks in plain Python, its place in a book, and in a browser."""

import functools
import http.server
import io
import json
import re
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.util.docutils import docutils_namespace, patch_docutils

from course_lib import convolution as library
from course_lib.book import own_code, public_checks
from course_lib.book.own_code import STARTERS, asked
from course_lib.book.public_checks import run
from course_lib.questions import judgement, mistakes

CONVOLUTION = """
def convolution(X, K):
    rows = len(X) - len(K) + 1
    columns = len(X[0]) - len(K[0]) + 1
    Y = []
    for i in range(rows):
        Y.append([])
        for j in range(columns):
            total = 0
            for m in range(len(K)):
                for n in range(len(K[0])):
                    total += X[i + m][j + n] * K[m][n]
            Y[i].append(total)
    return Y
"""
LAYER = """
def convolutional_layer(X, K, b, activation):
    return [[activation(number + b) for number in row] for row in convolution(X, K)]
"""
POOLING = """
def maxpool_layer(X):
    Y = []
    for i in range(len(X) // 2):
        Y.append([])
        for j in range(len(X[0]) // 2):
            top, left = 2 * i, 2 * j
            Y[i].append(max(X[top + m][left + n] for m in range(2) for n in range(2)))
    return Y
"""
RIGHT = {"2.2": CONVOLUTION, "2.4": LAYER, "2.7": POOLING}
EARLIER = {"2.2": "", "2.4": CONVOLUTION, "2.7": ""}


def results(question: str, code: str, **earlier: str) -> list[dict]:
    """What a reader is told."""
    told: list[dict] = []
    needed = earlier.get("earlier", EARLIER[question])
    run(json.dumps(asked(question)), code, needed, lambda text: told.append(json.loads(text)))
    return told


# The cases --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("question", STARTERS)
def test_the_page_gets_data_and_no_solution(question):
    told = asked(question)
    for case in told["cases"]:
        given = [
            library.relu if a == "relu" else np.positive if a == "identity" else a for a in case["arguments"]
        ]
        right = getattr(library, told["function"])(*given)
        np.testing.assert_allclose(case["expected"], right, rtol=0, atol=1e-12)
        assert case["expected"] not in [wrong for wrong, _ in case["wrong"]]
    assert "for i in range" not in json.dumps(told)


@pytest.mark.parametrize("question", STARTERS)
def test_a_right_answer_passes(question):
    told = results(question, RIGHT[question])
    assert [result["passed"] for result in told] == [True] * len(asked(question)["cases"])


def test_a_right_answer_may_be_computed_in_another_order():
    other = CONVOLUTION.replace("range(len(K))", "reversed(range(len(K)))")
    other = other.replace("total = 0", "total = 1e-12")
    assert all(result["passed"] for result in results("2.2", other))


@pytest.mark.parametrize("question", STARTERS)
def test_the_first_lines_are_no_answer(question):
    told = results(question, STARTERS[question])
    assert not any(result["passed"] for result in told)
    assert told[0]["hint"] == judgement.NOTHING


WRONG = {
    "flipped kernel": ("2.2", "K[m][n]", "K[-1 - m][-1 - n]", "FLIPPED"),
    "transposed kernel": ("2.2", "K[m][n]", "K[n][m]", "KERNEL_TRANSPOSED"),
    "sum begun once": (
        "2.2",
        CONVOLUTION,
        CONVOLUTION.replace("            total = 0\n", "").replace("    Y = []", "    total, Y = 0, []"),
        "RUNS_ON",
    ),
    "one place too few": ("2.2", "- len(K) + 1", "- len(K)", "TOO_SMALL"),
    "early return": ("2.2", "    return Y", "        return Y", "TOO_SMALL"),
    "no return": ("2.2", "    return Y", "    print(Y)", "NOTHING"),
    "a tuple": ("2.2", "return Y", "return tuple(Y)", "NOT_ROWS"),
    "one number": ("2.2", "return Y", "return total", "NOT_ROWS"),
    "a list of numbers": ("2.2", "return Y", "return sum(Y, [])", "NOT_ROWS"),
    "rows as columns": ("2.2", "return Y", "return [list(column) for column in zip(*Y)]", "SWAPPED"),
    "uneven rows": ("2.2", "return Y", "return Y[:-1] + [Y[-1] + [0]] if len(Y) > 1 else Y", "RAGGED"),
    "the same row": (
        "2.2",
        CONVOLUTION,
        """
def convolution(X, K):
    rows, columns = len(X) - len(K) + 1, len(X[0]) - len(K[0]) + 1
    Y = [[0] * columns] * rows
    for i in range(rows):
        for j in range(columns):
            for m in range(len(K)):
                for n in range(len(K[0])):
                    Y[i][j] += X[i + m][j + n] * K[m][n]
    return Y
""",
        "ONE_ROW",
    ),
    "only the first": (
        "2.2",
        "    return Y",
        "    return [[Y[0][0] if i == j == 0 else 0 for j in range(columns)] for i in range(rows)]",
        "FIRST_ONLY",
    ),
    "whole numbers": ("2.2", "append(total)", "append(int(total))", "WHOLE_NUMBERS"),
    "texts": ("2.2", "append(total)", "append(str(total))", "NOT_ROWS"),
    "in the picture itself": ("2.2", "    return Y", "    X[0][0] = 7\n    return Y", "CHANGED"),
    "bias forgotten": ("2.4", "number + b", "number", "NO_BIAS"),
    "bias after": ("2.4", "activation(number + b)", "activation(number) + b", "BIAS_LATE"),
    "bias subtracted": ("2.4", "number + b", "number - b", "BIAS_TAKEN"),
    "no activation": ("2.4", "activation(number + b)", "number + b", "NO_ACTIVATION"),
    "always ReLU": ("2.4", "activation(number + b)", "max(number + b, 0)", "ALWAYS_RELU"),
    "of the whole array": ("2.7", POOLING, "def maxpool_layer(X):\n    return max(map(max, X))", "WHOLE"),
    "stride 1": (
        "2.7",
        POOLING,
        POOLING.replace(" // 2", " - 1").replace("2 * i, 2 * j", "i, j"),
        "STRIDE_1",
    ),
    "odd rest kept": (
        "2.7",
        POOLING,
        POOLING.replace("(X) // 2", "(X) + 1) // 2")
        .replace("(X[0]) // 2", "(X[0]) + 1) // 2")
        .replace("range(len(X", "range((len(X")
        .replace("X[top + m][left + n]", "X[min(top + m, len(X) - 1)][min(left + n, len(X[0]) - 1)]"),
        "ROUNDED_UP",
    ),
    "from zero": (
        "2.7",
        POOLING,
        POOLING.replace("max(", "max(0, *[").replace("range(2)))", "range(2)]))"),
        "FROM_ZERO",
    ),
    "minimum": ("2.7", "max(", "min(", "SMALLEST"),
}


@pytest.mark.parametrize("mistake", WRONG)
def test_a_mistake_is_named(mistake):
    question, right, wrong, name = WRONG[mistake]
    code = RIGHT[question].replace(right, wrong)
    assert code != RIGHT[question]
    told = results(question, code)
    assert not all(result["passed"] for result in told)
    words = next(getattr(room, name) for room in (mistakes, judgement, public_checks) if hasattr(room, name))
    assert words in [result.get("hint") for result in told], told


def test_nan_is_not_right():
    told = results("2.2", CONVOLUTION.replace("append(total)", "append(float('nan'))"))
    assert "nan came, -1 is right" in told[0]["text"]
    assert not any(result["passed"] for result in told)


@pytest.mark.parametrize(
    ("right", "wrong", "hint"),
    [
        ("len(X) ", "X.shape[0] ", "A list has no shape"),
        ("X[i + m][j + n]", "X[i + m, j + n]", "write X[i][j]"),
        ("    Y = []", "    Y = np.zeros((rows, columns))", "no NumPy"),
        ("- len(K) + 1", "- len(K) + 2", "isn't there"),
        ("K[m][n]", "K[m]", "does not take part in arithmetic"),
    ],
)
def test_an_error_has_a_hint(right, wrong, hint):
    told = results("2.2", CONVOLUTION.replace(right, wrong))
    assert hint in told[0]["hint"], told


def test_the_layer_on_whole_rows_has_a_hint():
    whole = "def convolutional_layer(X, K, b, activation): return activation(convolution(X, K) + b)"
    assert "`+` joins lists" in results("2.4", whole)[0]["hint"]


def test_the_layer_without_a_convolution_says_where_to_write_it():
    assert "2.2" in results("2.4", LAYER, earlier="")[0]["hint"]
    assert all(result["passed"] for result in results("2.4", CONVOLUTION + LAYER, earlier=""))


def test_what_differs_is_said_in_words():
    told = results("2.2", CONVOLUTION.replace("append(total)", "append(total if j == 0 else 5)"))
    assert told[0]["text"] == (
        "convolution(X, K) gave [[-1, 5], [-36, 5]]; expected [[-1, 27], [-36, -36]]. "
        "The first difference is in row 0, column 1: 5 came, 27 is right."
    )
    told = results("2.2", CONVOLUTION.replace("- len(K) + 1", "- len(K)"))
    assert "Its size is 1 x 2; 2 x 2 is right." in told[0]["text"]


def test_a_traceback_shows_the_reader_s_lines_alone():
    told = results("2.2", "def convolution(X, K):\n    return X[9]\n")
    assert re.findall(r'File "(.*)", line (\d+)', told[0]["traceback"]) == [("your code", "2")]
    assert "return X[9]" in told[0]["traceback"]
    assert all("traceback" not in result for result in told[1:])  # the same error is shown once
    told = results("2.2", "x = (1\ny = 2\n")
    assert len(told) == 1
    assert "SyntaxError" in told[0]["traceback"]


@pytest.mark.parametrize("code", ["exit()", "raise KeyboardInterrupt", "import sys; sys.exit(0)"])
def test_nothing_ends_the_run_silently(code):
    assert [result["passed"] for result in results("2.2", code)] == [False]


def test_a_long_result_is_cut_short():
    told = results("2.2", "def convolution(X, K):\n    return [[0] * 3000 for row in range(3000)]")
    assert "Its size is 3000 x 3000; 2 x 2 is right." in told[0]["text"]
    assert len(told[0]["text"]) < 500


def test_a_missing_function_is_said():
    assert results("2.2", "convolution = 3")[0]["text"] == "There is no function convolution."


# The book ---------------------------------------------------------------------------------------------------

CHAPTER = """
# A chapter

:::{{admonition}} Run your own code here · {}
:class: own-code
Write it in plain Python.
:::

The text goes on.
"""


def build(folder: Path, **config: object) -> str:
    """Build a book with an editor on each of three pages, every warning an error; return what was said."""
    source = folder / "source"
    source.mkdir(exist_ok=True)
    for question in RIGHT:
        (source / f"{question[-1]}.md").write_text(CHAPTER.format(question), encoding="utf8")
    contents = "# A book\n\n```{toctree}\n2\n4\n7\n```\n"
    (source / "index.md").write_text(contents, encoding="utf8")
    extensions = ["myst_parser", "course_lib.book.own_code"]
    settings = {
        "extensions": extensions,
        "myst_enable_extensions": ["colon_fence"],
        "html_theme": "basic",
        "source_suffix": {".md": "markdown"},  # else Sphinx adds it to its default, for later books too
    }
    said = io.StringIO()
    with patch_docutils(), docutils_namespace():
        app = Sphinx(
            source,
            None,
            folder / "html",
            folder / "doctrees",
            "html",
            confoverrides=settings | config,
            status=said,
            warning=said,
            warningiserror=True,
        )
        app.build()
    assert app.statuscode == 0, said.getvalue()
    return said.getvalue()


def remains(folder: Path) -> list[str]:
    """What of the editor a book still has: names of files, and pages that mention it."""
    built = folder / "html"
    files = [
        path for path in built.rglob("*") if re.search("own-code|pyodide|public_checks|judgement", path.name)
    ]
    pages = [path for path in built.glob("*.html") if "own" in path.read_text(encoding="utf8")]
    return [path.name for path in files + pages]


@pytest.fixture(scope="module")
def pyodide() -> Path:
    """Pyodide's files, from the cache or from npm."""
    try:
        return own_code.pyodide_folder()
    except OSError as error:
        warnings.warn(f"THE EDITOR WAS NOT TESTED: no Pyodide, {error}", stacklevel=1)
        pytest.skip(f"no Pyodide: {error}")


@pytest.fixture(scope="module")
def book(pyodide: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small book with the editor."""
    folder = tmp_path_factory.mktemp("book")
    build(folder, html_theme="sphinx_book_theme")
    return folder


def fake_npm(folder: Path, script: str) -> str:
    """A folder for PATH with an npm of our own."""
    npm = folder / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(f"#!/bin/sh\n{script}\n", encoding="utf8")
    npm.chmod(0o755)
    return str(npm.parent)


def test_the_book_has_all_that_the_editor_needs(book):
    static = book / "html" / "_static"
    assert sorted(path.name for path in (static / "pyodide").iterdir()) == sorted(own_code.FILES)
    for name in (
        "own-code.js",
        "own-code.css",
        "own-code-worker.js",
        "judgement.py",
        "public_checks.py",
        "pyodide-licence.txt",
    ):
        assert (static / name).is_file()
    page = (book / "html" / "2.html").read_text(encoding="utf8")
    assert 'data-question="2.2"' in page
    assert re.search(r'data-size="\d MB"', page)
    assert "own-code.js" not in (book / "html" / "index.html").read_text(encoding="utf8")


def test_the_python_of_the_book_names_no_package_of_another_host(pyodide):
    assert json.loads((pyodide / "pyodide-lock.json").read_text(encoding="utf8"))["packages"] == {}


def test_the_second_build_needs_no_npm(pyodide, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert own_code.pyodide_folder() == pyodide


def test_the_editor_can_be_switched_off_and_on_again(pyodide, tmp_path):
    build(tmp_path, course_own_code=False)
    assert remains(tmp_path) == []
    assert "The text goes on" in (tmp_path / "html" / "2.html").read_text(encoding="utf8")
    build(tmp_path)
    assert {"2.html", "pyodide", "public_checks.py"} <= set(remains(tmp_path))
    build(tmp_path, course_own_code=False)  # what was copied goes
    assert remains(tmp_path) == []


def test_a_book_without_npm_has_no_editor_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", "")
    assert "npm is not installed" in build(tmp_path)
    assert remains(tmp_path) == []


def test_a_book_without_network_has_no_editor_and_says_why(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", fake_npm(tmp_path, "echo 'npm error code ENOTFOUND' >&2; exit 1"))
    assert "npm error code ENOTFOUND" in build(tmp_path)
    assert remains(tmp_path) == []
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []  # nothing half fetched


def test_other_bytes_than_the_locked_ones_stop_the_build(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", fake_npm(tmp_path, f"echo other > pyodide-{own_code.VERSION}.tgz"))
    with pytest.raises(ExtensionError, match="not the locked one"):
        own_code.pyodide_folder()


def test_a_question_without_checks_is_a_warning(pyodide, tmp_path, monkeypatch):
    monkeypatch.setitem(RIGHT, "2.3", "")
    with pytest.raises(Exception, match=r"must hold one of 2\.2, 2\.4, 2\.7"):
        build(tmp_path)


# The browser ------------------------------------------------------------------------------------------------


class Quiet(http.server.SimpleHTTPRequestHandler):
    """A server that says nothing."""

    def log_message(self, *words: object) -> None:
        """Say nothing."""


class Editor:
    """A page of the book with its editor, and every address that it asked for."""

    def __init__(self, chromium, address: str) -> None:
        self.context = chromium.new_context(viewport={"width": 360, "height": 900})
        self.page = self.context.new_page()
        self.asked: list[str] = []
        self.faults: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.clock.install()
        self.go(address)

    def go(self, address: str) -> None:
        self.page.goto(address)
        self.page.wait_for_selector(".own-code-place > *")

    def open(self) -> None:
        self.page.click(".own-code-place > button")

    def write(self, code: str) -> None:
        self.page.fill("textarea", code)

    def press_run(self) -> None:
        self.page.click(".own-code-buttons .own-code-run")

    def wait_for(self, words: str) -> None:
        self.page.wait_for_function(
            "words => document.querySelector('.own-code-status').textContent.includes(words)", arg=words
        )

    def run(self, code: str) -> str:
        """Run code; return the status and what stands below it."""
        self.write(code)
        self.press_run()
        self.page.wait_for_function(
            "!document.querySelector('.own-code-buttons .own-code-run').disabled", timeout=60_000
        )
        return self.page.inner_text(".own-code-place")


@pytest.fixture(scope="module")
def address(book):
    """Where the small book is served."""
    handler = functools.partial(Quiet, directory=str(book / "html"))
    with http.server.ThreadingHTTPServer(("localhost", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://localhost:{server.server_port}"
        server.shutdown()


@pytest.fixture(scope="module")
def editor(chromium, address):
    """The editor of 2.2, with Python loaded by a click."""
    editor = Editor(chromium, f"{address}/2.html")
    editor.page.wait_for_load_state("networkidle")
    assert [url for url in editor.asked if "pyodide" in url or "worker" in url or url.endswith(".py")] == []
    editor.open()
    editor.page.wait_for_function(
        "/ready/.test(document.querySelector('.own-code-status').textContent)", timeout=60_000
    )
    yield editor
    assert [url for url in editor.asked if not url.startswith(address)] == []
    assert editor.faults == []
    editor.context.close()


def test_a_right_answer_passes_on_the_page(editor):
    text = editor.run(CONVOLUTION + "\nprint('<b>bold</b>', convolution(X, K))\n")
    assert "All 4 public checks pass." in text
    assert "<b>bold</b> [[-1.0, 27.0], [-36.0, -36.0]]" in text
    assert editor.page.query_selector(".own-code-place b") is None


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("K[m][n]", "K[-1 - m][-1 - n]", "The kernel is flipped"),
        ("- len(K) + 1", "- len(K)", "There are too few rows or columns"),
        ("return Y", "Y", "It returned None"),
        ("K[m][n]", "K[n][m]", "The kernel is transposed"),
        ("X[i + m][j + n]", "X[i + m, j + n]", 'File "your code", line 12, in convolution'),
        ("def convolution", "def folding", "There is no function convolution."),
        ("def", "import numpy\ndef", "No module named 'numpy'"),
    ],
)
def test_a_mistake_is_named_on_the_page(editor, right, wrong, words):
    text = editor.run(CONVOLUTION.replace(right, wrong))
    assert words in text
    assert "All 4" not in text


def test_a_reader_s_code_reaches_no_other_host(editor):
    code = "from pyodide.http import open_url\nopen_url('https://example.org/')\n"
    assert "ends in an error" in editor.run(code)
    assert "ends in an error" in editor.run("import js\njs.fetch('https://example.org/')\n")


def test_the_keys_of_the_editor(editor):
    page = editor.page
    text = functools.partial(page.input_value, "textarea")
    editor.write("")
    page.focus("textarea")
    page.keyboard.type("for i in x:")
    page.keyboard.press("Enter")
    page.keyboard.type("a")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.type("b")
    assert text() == "for i in x:\n    a\n        b"
    page.keyboard.press("Shift+Tab")
    assert text() == "for i in x:\n    a\n    b"
    page.keyboard.press("Enter")
    page.keyboard.press("Backspace")
    page.keyboard.type("c")
    assert text() == "for i in x:\n    a\n    b\nc"
    page.keyboard.press("Control+a")
    page.keyboard.press("Tab")
    assert text() == "    for i in x:\n        a\n        b\n    c"
    page.keyboard.press("Control+z")
    assert text() == "for i in x:\n    a\n    b\nc"
    page.keyboard.press("Escape")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Run"
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_start_over_asks_first(editor):
    page = editor.page
    editor.write("mine")
    asked = []
    page.once("dialog", lambda dialog: (asked.append(dialog.message), dialog.dismiss()))
    page.click("text=Start over")
    assert len(asked) == 1
    assert page.input_value("textarea") == "mine"
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("text=Start over")
    assert page.input_value("textarea") == STARTERS["2.2"]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_nothing_of_the_editor_bars_anybody(editor, theme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    editor.run("print(1)\n" + CONVOLUTION.replace("K[m][n]", "K[m]"))
    editor.page.evaluate("theme => document.documentElement.setAttribute('data-theme', theme)", theme)
    found = axe.Axe().run(editor.page, context=".own-code").response["violations"]
    assert [(rule["id"], node["html"][:200]) for rule in found for node in rule["nodes"]] == []


def test_an_endless_loop_is_stopped_and_the_page_stays_alive(editor):
    editor.write("while True:\n    print('on and on')\n")
    editor.press_run()
    editor.wait_for("Running")
    editor.page.wait_for_selector("text=(the rest is left out)")
    editor.page.clock.fast_forward(10_000)
    editor.wait_for("Stopped after 10 seconds")
    assert editor.page.is_enabled(".own-code-buttons .own-code-run")


def test_the_layer_takes_the_convolution_that_passed(chromium, address):
    editor = Editor(chromium, f"{address}/4.html")
    editor.open()
    editor.press_run()
    editor.page.click("text=Stop")
    editor.wait_for("Stopped.")
    assert "has not yet passed its checks in 2.2" in editor.page.inner_text(".own-code-note")
    assert "Write `convolution` in 2.2" in editor.run(LAYER)  # the next run begins anew
    editor.page.evaluate("code => localStorage.setItem('course-own-code-2.2-passed', code)", CONVOLUTION)
    assert "All 4 public checks pass." in editor.run(LAYER)
    assert "yours from 2.2" in editor.page.inner_text(".own-code-note")
    editor.go(f"{address}/4.html")  # the code is kept
    editor.open()
    assert editor.page.input_value("textarea") == LAYER
    editor.context.close()


def test_a_page_that_was_opened_as_a_file_says_how_to_serve_it(chromium, book):
    editor = Editor(chromium, (book / "html" / "7.html").as_uri())
    assert "python -m http.server" in editor.page.inner_text(".own-code-place")
    assert editor.page.query_selector(".own-code-place button") is None
    assert editor.faults == []
    editor.context.close()


def test_a_browser_that_cannot_load_python_says_so(chromium, address):
    editor = Editor(chromium, f"{address}/7.html")
    editor.context.route("**/*.wasm", lambda route: route.abort())
    editor.open()
    editor.wait_for("Python does not run here")
    editor.context.close()

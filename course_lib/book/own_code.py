"""Run my own code here: an editor on the page, and a Python for it among the book's own files.

In a chapter, an admonition with the class `own-code` and the number of a question in its title becomes the
place of an editor. The Python is Pyodide: npm gives it, once, and it is kept in the user's cache. Where it
can't be had, or `course_own_code` is false in `_config.yml`, the book is built without these admonitions.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from sphinx.errors import ExtensionError
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

from course_lib.cache import cache_folder
from course_lib.questions import QUESTIONS, judgement
from course_lib.questions.grading import NAMES, cases

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.config import Config

HERE = Path(__file__).parent
CHECKS = [HERE / "public_checks.py", Path(judgement.__file__)]
EDITOR = [*sorted((HERE / "own-code").iterdir()), *CHECKS]
VERSION = "314.0.7"  # of Pyodide; its number begins with that of Python, 3.14
SHA512 = "0YvXxEhfEdpLfb/XkM2BFAeMROq0iMUX2bzzH9pOttyMcWkwq+HbE5uyuGD82LN7y2q+SNvi/6V5JEsOlD2R1A=="
FILES = ["pyodide.mjs", "pyodide.asm.mjs", "pyodide.asm.wasm", "python_stdlib.zip", "pyodide-lock.json"]

logger = logging.getLogger(__name__)

NEEDS = {"2.4": "2.2"}  # whose function it calls
STARTERS = {
    "2.2": '''def convolution(X, K):
    """Slide the kernel K over the picture X.

    X and K are lists of rows: X[i][j] is the number
    in row i and column j. Returns a list of rows.
    """
    ...


# X and K are those of the chapter.
print(convolution(X, K))
''',
    "2.4": '''def convolutional_layer(X, K, b, activation):
    """Convolve X with K, add b, apply the activation.

    `activation` is a function of one number.
    Returns a list of rows.
    """
    ...


# X and K are those of the chapter, and relu(x) is here.
print(convolutional_layer(X, K, 100, relu))
''',
    "2.7": '''def maxpool_layer(X):
    """Keep the largest number of each block of 2 x 2.

    X is a list of rows: X[i][j] is the number in row i
    and column j. A last, odd row or column is left out.
    Returns a list of rows.
    """
    ...


# X is that of the chapter.
print(maxpool_layer(X))
''',
}


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the extension with Sphinx."""
    app.add_config_value("course_own_code", True, "env", bool)
    app.connect("config-inited", add_python)
    app.connect("html-page-context", add_script)
    app.connect("build-finished", remove_python)
    app.add_transform(OwnCode)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def add_python(app: Sphinx, config: Config) -> None:
    """Let Pyodide and the editor be copied with the pages, or switch the editor off and say why."""
    if not config.course_own_code:
        return
    try:
        folder = pyodide_folder()
    except OSError as error:
        logger.info("no editor for a reader's own code, as Pyodide can't be had: %s", error)
        config.course_own_code = False
        return
    config.html_static_path += [str(folder.parent), *map(str, EDITOR)]
    app.add_css_file("own-code.css", priority=901)


class OwnCode(SphinxTransform):
    """Put the place of an editor into each admonition `own-code`, or take the admonition away."""

    default_priority = 400

    def apply(self, **options: Any) -> None:
        """Look through one chapter."""
        for admonition in list(self.document.findall(nodes.admonition)):
            if "own-code" not in admonition["classes"]:
                continue
            if not self.config.course_own_code:
                admonition.parent.remove(admonition)
                continue
            title = admonition[0].astext()
            number = re.search(r"\d\.\d", title)
            if number is None or number[0] not in STARTERS:
                logger.warning(
                    "the title of an own-code must hold one of %s: %r",
                    ", ".join(STARTERS),
                    title,
                    location=admonition,
                )
                continue
            admonition += nodes.raw("", place(number[0], pyodide_folder()), format="html")


def asked(question: str) -> dict[str, Any]:
    """Return the public cases of a question for functions of lists of rows: data, without a solution."""
    (part,) = QUESTIONS[question].parts
    told = [
        {
            "arguments": [whole(value) for value in case.arguments],
            "expected": whole(case.expected),
            "wrong": [[whole(result), words] for result, words in case.wrong],
        }
        for case in cases(part.id)
    ]
    names = {name: whole(array) for name, array in NAMES.items()}
    return {"function": part.name, "needs": NEEDS.get(question, ""), "names": names, "cases": told}


def whole(value: Any) -> Any:
    """Return an array as a list of rows, and numbers without a fraction without a decimal point."""
    if hasattr(value, "tolist"):
        return whole(value.tolist())
    if isinstance(value, list):
        return [whole(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def place(question: str, folder: Path) -> str:
    """Return the element that own-code.js turns into a button, then into an editor."""
    data = {
        "question": question,
        "asked": json.dumps(asked(question)),
        "starter": STARTERS[question],
        "needs": NEEDS.get(question, ""),
        "size": f"{download(folder) / 1e6:.0f} MB",
        "bytes": sum((folder / name).stat().st_size for name in FILES if not name.endswith("mjs")),
    }
    written = " ".join(f'data-{name}="{html.escape(str(value))}"' for name, value in data.items())
    without_scripts = "<noscript><p>The editor needs scripts.</p></noscript>"
    return f'<div class="own-code-place" {written}></div>{without_scripts}'


def add_script(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Give a page the script of the editor if it has one."""
    if doctree and any("own-code" in node["classes"] for node in doctree.findall(nodes.admonition)):
        app.add_js_file("own-code.js", loading_method="defer")


def remove_python(app: Sphinx, exception: Exception | None) -> None:
    """Remove Pyodide and the editor, which an earlier build copied, from a book without them."""
    if exception or app.builder.format != "html" or app.config.course_own_code:
        return
    static = Path(app.outdir) / "_static"
    shutil.rmtree(static / "pyodide", ignore_errors=True)
    for copied in EDITOR:
        (static / copied.name).unlink(missing_ok=True)


@cache
def download(folder: Path) -> int:
    """Return how many bytes a reader's browser fetches when they are sent gzipped."""
    return sum(len(gzip.compress((folder / name).read_bytes(), 6)) for name in FILES)


def pyodide_folder() -> Path:
    """Return the folder with Pyodide's files; the first time, npm fetches them.

    Raises
    ------
    OSError
        If npm is not there or can't fetch, with its reason.
    ExtensionError
        If npm gives other bytes than the locked ones.
    """
    folder = cache_folder("pyodide") / VERSION / "pyodide"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent.parent) as beside:
            fetched = fetch(Path(beside))
            try:
                os.replace(fetched, folder)
            except OSError:
                if not folder.is_dir():  # else another build was quicker
                    raise
    return folder


def fetch(beside: Path) -> Path:
    """Fetch the locked version with npm; return a folder below `beside` with what a page needs of it."""
    npm = shutil.which("npm")
    if npm is None:
        raise FileNotFoundError("npm is not installed (it comes with Node.js)")
    command = [npm, "pack", f"pyodide@{VERSION}", "--ignore-scripts", "--fetch-retries=0", "--loglevel=error"]
    try:
        done = subprocess.run(command, cwd=beside, capture_output=True, text=True, timeout=60)
    except subprocess.TimeoutExpired:
        raise TimeoutError("npm did not answer within 3 minutes") from None
    if done.returncode:
        raise ConnectionError((done.stderr.splitlines() or ["npm failed and gave no reason"])[0])
    archive = beside / f"pyodide-{VERSION}.tgz"
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != SHA512:
        raise ExtensionError(f"npm's {archive.name} is not the locked one: its SHA-512 is {digest}")
    folder = beside / "pyodide"
    folder.mkdir()
    with tarfile.open(archive) as packed:
        for name in FILES:
            file = packed.extractfile(f"package/{name}")
            assert file is not None
            (folder / name).write_bytes(file.read())
    lock = folder / "pyodide-lock.json"  # without the packages, NumPy among them: the book has none
    known = json.loads(lock.read_text(encoding="utf8"))
    lock.write_text(json.dumps({**known, "packages": {}}), encoding="utf8")
    return folder

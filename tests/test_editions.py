"""The student edition: the lesson stays, and no solution is to be found, wherever one looks."""

import ast
import hashlib
import html
import os
import re
import subprocess
import sys
from base64 import b64decode
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest
import yaml
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.errors import ConfigError

from course_lib.book import editions
from course_lib.coursework.leaks import plain, secret_lines
from course_lib.coursework.release import released
from course_lib.editions import (
    ANSWER_MARKER,
    CHAPTERS,
    part_of,
    student_edition,
    tags_of,
    task_notebook,
    without_folded,
)
from course_lib.questions import PARTS, TASKS

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "chapters"
PATHS = [FOLDER / task / f"{name}.ipynb" for task, names in CHAPTERS.items() for name in names]


@pytest.fixture(scope="module", params=sorted(TASKS))
def task(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def full(task) -> NotebookNode:
    return task_notebook(task)


@pytest.fixture(scope="module")
def student(full) -> NotebookNode:
    return student_edition(full)


# One notebook for a task ------------------------------------------------------------------------------------


def test_the_chapters_are_those_of_the_book():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    files = [entry["file"] for part in contents["parts"] for entry in part["chapters"]]
    assert [name for name in files if "/task-" in name] == [
        path.relative_to(ROOT).with_suffix("").as_posix() for path in PATHS
    ]


def test_every_part_has_one_answer_cell(task, full, student):
    asked = [part.id for question in TASKS[task] for part in question.parts]
    for notebook in (full, student):
        answered = [part.id for cell in notebook.cells if (part := part_of(cell))]
        assert sorted(answered) == sorted(asked)


def test_both_notebooks_are_valid(full, student):
    for notebook in (full, student):
        nbformat.validate(notebook)
        names = [cell.id for cell in notebook.cells]
        assert len(set(names)) == len(names)
        assert all(cell.cell_type == "markdown" or not cell.outputs for cell in notebook.cells)


def test_every_answer_cell_begins_with_its_marker(full, student):
    for notebook in (full, student):
        for cell in notebook.cells:
            found = ANSWER_MARKER.search(cell.source)
            part = part_of(cell)
            assert (found[1] if found else None) == (part.id if part else None)


def test_every_check_follows_its_answer(full):
    names = [cell.id for cell in full.cells]
    for cell in full.cells:
        if cell.id.startswith("check-"):
            part = PARTS[cell.id.replace("check", "answer")]
            assert cell.source == f'check("{part.question}", {part.name})'
            assert cell.metadata.nbgrader.points == part.points
            assert 0 < names.index(cell.id) - names.index(part.id) < 3


def test_nothing_of_the_book_alone_is_left(full):
    text = "\n".join(cell.source for cell in full.cells)
    assert "Run your own code here" not in text
    assert not re.search(r"\]\([^):]*\.ipynb\)", text)


def test_the_same_notebook_twice(task, full):
    assert nbformat.writes(task_notebook(task)) == nbformat.writes(full)


# What students get ------------------------------------------------------------------------------------------


def source_of(notebook: NotebookNode, name: str) -> str:
    return next(cell.source for cell in notebook.cells if cell.id == name)


def test_stubs():
    task_1, task_2 = (student_edition(task_notebook(task)) for task in sorted(TASKS))
    assert source_of(task_2, "answer-2-2").splitlines() == [
        "# answer-2-2 (your answer to 2.2 stands in this cell)",
        "def convolution(X, K):",
        '    """Slide the kernel K over the picture X; at each place, sum the products.',
        "",
        "    Only places where the whole kernel lies inside the picture count.",
        '    """',
        '    raise NotImplementedError("2.2: write convolution here")',
    ]
    assert source_of(task_2, "answer-2-1").splitlines()[1:] == ["four = None  # your answer to 2.1"]
    assert source_of(task_2, "words-2-1").splitlines()[0].startswith("<!-- words-2-1 ")
    assert source_of(task_2, "words-2-1").splitlines()[1:] == [
        "> **Your answer to 2.1:** which way round do you see the digit, and why?"
        " *(In the notebook, double-click here and write in place of this line.)*"
    ]
    assert source_of(task_2, "plot-2-3").splitlines()[1:] == ["# Your answer to 2.3: draw the picture here"]
    assert "uint8" in source_of(task_1, "predictions-1-4")
    assert 'np.load("images-1-4.npy")' in source_of(task_1, "predictions-1-4")
    assert "predict(" not in source_of(task_1, "predictions-1-4")


def test_every_stub_is_code(student):
    for cell in student.cells:
        if part_of(cell) and cell.cell_type == "code":
            compile(cell.source, cell.id, "exec")


def test_the_lesson_stays(full, student):
    """What is neither an answer nor a solution is in the student edition, word by word."""
    kept = {cell.id: cell.source for cell in student.cells}
    lesson = [cell for cell in full.cells if not part_of(cell) and "solution" not in tags_of(cell)]
    for cell in lesson:
        source = cell.source if cell.cell_type == "code" else without_folded(cell.source)
        assert kept.get(cell.id, "") == source
    assert len(lesson) > 100


def test_prose_before_every_code_cell_of_a_student(student):
    for before, cell in pairwise(student.cells):
        if cell.cell_type == "code" and before.cell_type == "code":
            allowed = cell.id.startswith("check-") or part_of(cell) or cell.source.startswith("# Your")
            assert allowed, f"no prose between {before.id} and {cell.id}"


def test_the_lesson_finds_every_name_that_it_uses(full, student):
    """A name that a removed cell defines, and the lesson uses, is one that an answer or a prompt names."""
    given = {part.name for part in PARTS.values()} | {"relu", "convolution"}
    prompts = " ".join(cell.source for cell in student.cells if cell.source.startswith("# Your"))
    given |= set(re.findall(r"`(\w+)", prompts))
    for cell in student.cells:
        given |= defined(cell)
    removed: set[str] = set()
    for cell in full.cells:
        if "solution" in tags_of(cell):
            removed |= defined(cell)
    used: set[str] = set()
    for cell in student.cells:
        if cell.cell_type == "code":
            used |= set(compile(cell.source, cell.id, "exec").co_names)
    assert (removed - given) & used == set()


def defined(cell: NotebookNode) -> set[str]:
    """The names to which a cell gives a value."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(cell.source if cell.cell_type == "code" else "")):
        match node:
            case ast.Name(ctx=ast.Store()):
                names.add(node.id)
            case ast.FunctionDef() | ast.ExceptHandler(name=str()):
                names.add(node.name)
            case ast.alias():
                names.add((node.asname or node.name).split(".")[0])
    return names


def test_an_edition_of_a_small_notebook():
    graded = {"nbgrader": {"grade_id": "answer-2-5"}}
    picture = {"mystnb": {"image": {"alt": "What is to be seen"}}}
    told = [new_output("stream", text="told")]
    notebook = new_notebook(
        cells=[
            new_markdown_cell("Why?\n\n::::{dropdown} Answer\n:::{note}\nSo.\n:::\n::::\n\nGo on.", id="why"),
            new_markdown_cell(":::{dropdown} Solution\nAll of it.\n:::", id="all"),
            new_code_cell(
                "layer_K = 1", id="answer", metadata={**graded, "tags": ["hide-input"]}, outputs=told
            ),
            new_code_cell(
                "show()", id="out", metadata={"tags": ["solution-output"], **picture}, outputs=told
            ),
            new_code_cell("show()", id="show", metadata={"tags": ["hide-input"], **picture}, outputs=told),
            new_code_cell("fit()", id="fit", metadata={"tags": ["solution"], "prompt": "1.4: train"}),
            new_code_cell("secret()", id="gone", metadata={"tags": ["solution"]}),
        ]
    )
    before = nbformat.writes(notebook)
    edition = student_edition(notebook)
    assert nbformat.writes(notebook) == before
    assert [(cell.id, cell.source) for cell in edition.cells] == [
        ("why", "Why?\n\nGo on."),
        ("answer", "layer_K = None  # your answer to 2.5"),
        ("out", "show()"),
        ("show", "show()"),
        ("fit", "# 1.4: train"),
    ]
    assert [cell.get("outputs") for cell in edition.cells] == [None, [], [], told, []]
    assert [sorted(cell.metadata) for cell in edition.cells] == [
        [],
        ["nbgrader"],
        [],
        ["mystnb", "tags"],
        [],
    ]


# How the chapters are marked --------------------------------------------------------------------------------


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_what_a_chapter_hides_is_a_solution(path):
    for cell in nbformat.read(path, as_version=4).cells:
        if "hide-cell" in tags_of(cell):
            assert "solution" in tags_of(cell), f"cell {cell.id} is folded away, and students would get it"
        part = part_of(cell)
        in_words = part is not None and part.kind == "text"
        if cell.metadata.get("prompt"):
            told = in_words or "solution" in tags_of(cell)
            assert told, f"cell {cell.id} has a prompt, and students would get it"
        if "solution" in tags_of(cell):
            assert part_of(cell) is None, f"cell {cell.id} is an answer: it becomes a stub"
        if in_words:
            assert cell.metadata.get("prompt"), f"cell {cell.id} does not say what is asked"
            assert re.fullmatch(r":::\{dropdown\} Model answer.*:::", cell.source, re.DOTALL)


# The book ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def student_book(tmp_path_factory) -> Path:
    """The folder into which `make book EDITION=student` builds, with all that lies there."""
    folder = tmp_path_factory.mktemp("student")
    build = ["build", str(ROOT), "--path-output", str(folder), "-W", "-n", "--keep-going"]
    done = subprocess.run(
        [sys.executable, "-c", "from jupyter_book.cli.main import main; main()", *build],
        capture_output=True,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "COURSE_EDITION": "student"},
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return folder


def words_of(folder: Path) -> dict[Path, str]:
    """What every file says, with the marks of HTML taken away, and white space made one blank."""
    said = {}
    for path in folder.rglob("*"):
        if path.is_file() and path.suffix not in (".png", ".woff2", ".wasm", ".zip", ".ttf"):
            text = path.read_bytes().decode("utf8", errors="replace")
            if path.suffix == ".html":
                text = html.unescape(re.sub(r"<[^>]+>", "", text))
            said[path.relative_to(folder)] = typed(text)
    return said


def typed(text: str) -> str:
    """Text as it is typed: with straight quotation marks, and one blank for white space."""
    return " ".join(text.translate(str.maketrans("“”‘’", "\"\"''")).split())


def fragments(lines: set[str]) -> set[str]:
    """Of each line, the longest piece that no markup cuts."""
    pieces = {
        max(re.split(r"[*`$\\{}\[\]|#]|---?|[-0-9. ]+\)", line), key=len).strip(" .,:;") for line in lines
    }
    return {piece for piece in pieces if len(piece) >= 20}


def told_by_outputs(notebook: NotebookNode) -> tuple[set[str], set[str]]:
    """What the outputs say that students don't get: lines of text, and digests of pictures."""
    lines, pictures, public = set(), set(), set()
    for cell in notebook.cells:
        if cell.cell_type != "code":
            continue
        secret = part_of(cell) or {"solution", "solution-output"} & set(tags_of(cell))
        for output in cell.outputs:
            text = output.get("text") or output.get("data", {}).get("text/plain", "")
            (lines if secret else public).update(" ".join(line.split()) for line in text.splitlines())
            if secret and (picture := output.get("data", {}).get("image/png")):
                pictures.add(hashlib.sha256(b64decode(picture)).hexdigest())
    said = {
        line for line in lines if len(line) >= 12 and not line.startswith(("<Figure", "Replayed", "Data:"))
    }
    return {line for line in said if not any(line in other for other in public)}, pictures


@pytest.fixture(scope="module")
def secrets() -> tuple[set[str], set[str], set[str]]:
    """Lines of code, pieces of text, digests of pictures: what only the full book has."""
    code, text, pictures = set(), set(), set()
    for name in TASKS:
        made = released(name)
        sources = [cell.source for cell in made.solution.cells if cell.cell_type == "code"]
        of_code = {plain(line) for source in sources for line in source.split("\n")}
        lines = secret_lines(made)
        code |= lines & of_code
        text |= fragments(lines - of_code)
    for path in PATHS:
        lines, drawn = told_by_outputs(nbformat.read(path, as_version=4))
        code |= lines
        pictures |= drawn
    public = [path.read_text(encoding="utf8") for path in sorted(FOLDER.glob("*.*"))]
    public += [cell.source for name in TASKS for cell in released(name).student.cells]
    lesson = typed("\n".join(public))
    return (
        {line for line in code if line not in lesson},
        {piece for piece in text if piece not in lesson},
        pictures,
    )


def found_in(folder: Path, secrets: tuple[set[str], set[str], set[str]]) -> dict[str, Path]:
    code, text, pictures = secrets
    said = words_of(folder)
    found = {}
    for path, words in said.items():
        found |= {line: path for line in code | text if line in words}
    for path in folder.rglob("*.png"):
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        if digest in pictures:
            found[digest] = path.relative_to(folder)
    return found


def test_no_solution_is_in_the_student_book(student_book, secrets):
    assert found_in(student_book, secrets) == {}


def test_the_full_book_has_what_the_student_book_has_not(book, secrets):
    """The search is not blind: it finds nearly all of it in the full book."""
    found = found_in(book, secrets)
    for kind in secrets:
        assert len(kind & set(found)) > 0.9 * len(kind), sorted(kind - set(found))[:10]
    code, text, _ = secrets
    pickled = found_in(book.parent / ".doctrees", secrets)
    for kind in (code, text):
        assert len(kind & set(pickled)) > 0.9 * len(kind), sorted(kind - set(pickled))[:10]


def test_the_student_book_shows_the_stub(student_book):
    page = student_book / "_build" / "html" / "chapters" / "task-2" / "convolution.html"
    words = words_of(page.parent)[Path("convolution.html")]
    assert 'raise NotImplementedError("2.2: write convolution here")' in words
    assert "In symbols, with" in words  # the lesson


def test_the_student_book_says_where_an_output_appears(student_book):
    pages = words_of(student_book / "_build" / "html" / "chapters" / "task-2")
    chapter = nbformat.read(FOLDER / "task-2" / "convolutional-layer.ipynb", as_version=4)
    gone = [cell for cell in chapter.cells if "solution-output" in tags_of(cell)]
    words = pages[Path("convolutional-layer.html")]
    assert words.count("This appears when you run your own answer.") == len(gone) > 0


def test_the_student_book_has_no_page_for_teachers(student_book):
    html = student_book / "_build" / "html"
    assert not list(html.glob("**/teaching"))
    for path, words in words_of(html).items():
        assert "Assigning the course" not in words, path


def test_another_edition_is_refused():
    with pytest.raises(ConfigError, match="no edition 'teacher'; the editions are full and student"):
        editions.check_edition(None, SimpleNamespace(course_edition="teacher"))

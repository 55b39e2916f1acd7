"""The form of the chapters: what every notebook must have, and what none may have.

Each rule is a function from a notebook to the sentences that say what is wrong. It is applied to every
chapter, and to a notebook that breaks it, so that no rule passes because it looks at nothing.
"""

import itertools
import json
import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from pathlib import Path

import nbformat
import pytest
import yaml
from nbformat import NotebookNode

from course_lib.widgets.base import ON_A_PAGE

ROOT = Path(__file__).parents[1]
CHAPTERS = sorted(ROOT.glob("chapters/*/*.ipynb"))
MEGABYTE = 1_000_000

Rule = Callable[[NotebookNode], Iterator[str]]
RULES: list[Rule] = []


def rule(function: Rule) -> Rule:
    """Collect a rule."""
    RULES.append(function)
    return function


def code_cells(book: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in book.cells if cell.cell_type == "code"]


def prose(book: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")


def tags(cell: NotebookNode) -> list[str]:
    return cell.metadata.get("tags", [])


def grade_id(cell: NotebookNode) -> str:
    return cell.metadata.get("nbgrader", {}).get("grade_id", "")


def is_check(cell: NotebookNode) -> bool:
    """Whether the cell checks the answer above it."""
    return grade_id(cell).startswith("check-")


def outputs(book: NotebookNode) -> Iterator[tuple[NotebookNode, NotebookNode]]:
    """Every output with its cell."""
    for cell in code_cells(book):
        for output in cell.outputs:
            yield cell, output


def text(output: NotebookNode) -> str:
    """All that an output says in letters; pictures left out."""
    if output.output_type == "stream":
        return output.text
    data = output.get("data", {})
    return "\n".join(str(value) for kind, value in data.items() if kind.startswith("text/"))


# The rules --------------------------------------------------------------------------------------------------


@rule
def executed_in_order(book):
    counts = [cell.execution_count for cell in code_cells(book)]
    if counts != list(range(1, len(counts) + 1)):
        yield f"execution counts are {counts}, not 1, 2, 3 … : run `make execute`"


@rule
def unique_stable_ids(book):
    ids = [cell.get("id", "") for cell in book.cells]
    for name in ids:
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
            yield f"the id {name!r} is not made of letters, digits, - and _"
        if ids.count(name) > 1:
            yield f"the id {name!r} stands twice"


@rule
def alt_text_on_every_figure(book):
    for cell, output in outputs(book):
        if any(kind.startswith("image/") for kind in output.get("data", {})):
            alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
            if len(alt) < 20 and ON_A_PAGE not in output.data:
                yield f"cell {cell.id}: mystnb.image.alt must say what to see in the figure, and is {alt!r}"


@rule
def a_picture_and_a_text_for_every_widget(book):
    for cell, output in outputs(book):
        if left := output.get("data", {}).get(ON_A_PAGE):
            if "image/png" not in output.data:
                yield f"cell {cell.id}: the widget left no picture"
            if len(left["alt"]) < 20:
                yield f"cell {cell.id}: the widget must say what it shows, and says {left['alt']!r}"


@rule
def no_error_and_no_stderr(book):
    for cell, output in outputs(book):
        if output.output_type == "error":
            yield f"cell {cell.id}: ends with {output.ename}"
        if output.get("name") == "stderr":
            yield f"cell {cell.id}: writes to stderr: {output.text[:80]!r}"


@rule
def no_widget_without_its_kernel(book):
    for cell, output in outputs(book):
        if any("widget-view" in kind for kind in output.get("data", {})):
            yield f"cell {cell.id}: shows a widget, which is dead on a page"


@rule
def no_path_of_one_machine(book):
    folder = re.compile(r"(?<![\w.:/])(/(home|root|Users|tmp|var|work|opt|mnt|private)/\S*|[A-Z]:\\\S*)")
    places = [(cell.id, cell.source) for cell in book.cells]
    places += [(cell.id, text(output)) for cell, output in outputs(book)]
    for where, words in places:
        if found := folder.search(words):
            yield f"cell {where}: {found[0]!r} exists on one machine only"


@rule
def no_time_or_date_compared(book):
    moment = re.compile(
        r"\b\d+(\.\d+)?\s?(s|ms|µs|seconds?|minutes?|hours?|min)\b(?!\w)|\b20\d\d-\d\d-\d\d\b|\b\d\d?:\d\d(:\d\d)?\b"
    )
    for cell, output in outputs(book):
        if "nbval-ignore-output" not in tags(cell) and (found := moment.search(text(output))):
            yield f"cell {cell.id}: {found[0]!r} differs from run to run: leave it out or ignore it"


@rule
def a_reason_for_every_ignored_output(book):
    for cell in code_cells(book):
        if ("nbval-ignore-output" in tags(cell)) != bool(cell.metadata.get("nbval_reason")):
            yield f"cell {cell.id}: the tag nbval-ignore-output and the metadata nbval_reason belong together"


@rule
def nothing_hidden_from_the_tests(book):
    for cell in code_cells(book):
        for tag in {"nbval-skip", "nbval-raises-exception", "raises-exception", "skip-execution"} & set(
            tags(cell)
        ):
            yield f"cell {cell.id}: the tag {tag} hides it from the tests"
        if found := re.search(r"#\s*(NBVAL_\w+|PYTEST_VALIDATE\w+)", cell.source):
            yield f"cell {cell.id}: {found[1]} belongs into the cell's tags"
        if re.search(r"\btesting\b|COURSE_SMOKE|PYTEST", cell.source):
            yield f"cell {cell.id}: a chapter does the same in a test as elsewhere"


@rule
def prose_before_every_code_cell(book):
    for before, cell in itertools.pairwise([nbformat.v4.new_code_cell(), *book.cells]):
        if cell.cell_type == "code" and before.cell_type == "code" and not is_check(cell):
            yield f"cell {cell.id}: no prose before it"


@rule
def short_code_cells(book):
    sizes = {cell.id: len(cell.source.splitlines()) for cell in code_cells(book)}
    long = [name for name, lines in sizes.items() if lines > 15]
    if len(long) > max(1, len(sizes) // 5):
        yield f"more than one cell in five is longer than 15 lines: {long}"
    for name in long:
        if sizes[name] > 40:
            yield f"cell {name}: {sizes[name]} lines are more than one idea"


@rule
def the_shape_of_a_chapter(book):
    words = prose(book)
    if len(re.findall(r"^# ", words, re.MULTILINE)) != 1 or not words.startswith("# "):
        yield "a chapter begins with its title, the only heading of level 1"
    for wanted, pattern in {
        "What you will be able to do": r"what you will be able to do",
        "How long it takes": r"\b\d+ (to \d+ )?minutes",
        "## In short": r"^## In short",
        "## Where to read on": r"^## Where to read on",
    }.items():
        if not re.search(pattern, words, re.MULTILINE | re.IGNORECASE):
            yield f"{wanted!r} is missing"


@rule
def no_machine_in_the_metadata(book):
    for cell in book.cells:
        if extra := set(cell.metadata) - {"tags", "mystnb", "nbval_reason", "nbgrader", "prompt"}:
            yield f"cell {cell.id}: metadata {sorted(extra)}"
    if extra := set(book.metadata) - {"kernelspec", "language_info"}:
        yield f"metadata {sorted(extra)}"
    if "version" in book.metadata.get("language_info", {}):
        yield "metadata name a version of Python: run `make execute`"


@rule
def within_a_megabyte(book):
    if (size := len(nbformat.writes(book).encode())) > MEGABYTE:
        yield f"{size / MEGABYTE:.1f} MB with its outputs; 1 MB is the limit"


# The chapters, one by one -----------------------------------------------------------------------------------


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_chapter(path):
    book = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(book)
    faults = [f"{check.__name__}: {fault}" for check in RULES for fault in check(book)]
    assert not faults, "\n".join([str(path.relative_to(ROOT)), *faults])


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_reading_and_writing_changes_nothing(path):
    stored = json.loads(path.read_text(encoding="utf8"))
    book = nbformat.read(path, as_version=4)
    assert [cell["id"] for cell in stored["cells"]] == [cell.id for cell in book.cells]
    assert (stored["nbformat"], stored["nbformat_minor"]) == (4, 5)


# The book as a whole ----------------------------------------------------------------------------------------

SECTIONS = [f"1.{n}" for n in range(1, 10)] + [f"2.{n}" for n in range(1, 9)]
POINTS = dict(zip(SECTIONS, [1, 1, 1, 1, 3, 1, 1, 1, 2, 1, 3, 1, 3, 2, 1, 3, 1], strict=True))


def numbered_sections(words: str) -> list[str]:
    return re.findall(r"^## (\d\.\d)\b", words, re.MULTILINE)


def questions(words: str) -> dict[str, int]:
    return {
        n: int(points) for n, points in re.findall(r"\{admonition\} Question (\d\.\d) · (\d) points?", words)
    }


def test_every_section_stands_once():
    words = "\n\n".join(prose(nbformat.read(path, as_version=4)) for path in CHAPTERS)
    assert sorted(numbered_sections(words)) == SECTIONS
    assert questions(words) == POINTS


def test_the_table_of_contents_has_every_chapter():
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    files = [entry["file"] for part in contents["parts"] for entry in part["chapters"]]
    assert sorted(path for name in files if (path := ROOT / f"{name}.ipynb").exists()) == CHAPTERS


def test_the_map_says_what_the_chapters_say():
    """The index gives each chapter the minutes that the chapter itself gives."""
    index = prose(nbformat.read(ROOT / "chapters" / "index.ipynb", as_version=4))
    mapped = dict(re.findall(r"\]\(([\w/-]+)\.ipynb\).*\| (\d+)&nbsp;min \|", index))
    said = {
        path.relative_to(ROOT / "chapters").with_suffix("").as_posix(): re.search(
            r"How long it takes\W+about (\d+) minutes", prose(nbformat.read(path, as_version=4))
        )
        for path in CHAPTERS
    }
    assert mapped == {name: found[1] if found else None for name, found in said.items()}


def test_sections_and_questions_are_seen():
    words = "# T\n\n## 1.1 A\n\n:::{admonition} Question 1.1 · 3 points\n\n### 1.2 no\n\n## 1.10 no"
    assert numbered_sections(words) == ["1.1"]
    assert questions(words) == {"1.1": 3}


# Every rule can fail ----------------------------------------------------------------------------------------


def good_book() -> NotebookNode:
    """A notebook that keeps every rule."""
    v4 = nbformat.v4
    figure = v4.new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": "<Figure size 1x1>"})
    alt = {"mystnb": {"image": {"alt": "Two gray squares, the left one darker"}}}
    left = {"widget": "Explorer", "alt": "A digit 4 and its feature map", "state": {}, "buffers": []}
    widget = v4.new_output("display_data", {"image/png": "iVBORw0KGgo=", ON_A_PAGE: left})
    book = v4.new_notebook(
        cells=[
            v4.new_markdown_cell(
                "# A chapter\n\nWhat you will be able to do: add. It takes 20 minutes.", id="title"
            ),
            v4.new_markdown_cell("## 1.1 One and one", id="section"),
            v4.new_code_cell(
                "1 + 1", id="sum", execution_count=1, outputs=[v4.new_output("stream", text="2 of 3\n")]
            ),
            v4.new_markdown_cell("A picture.", id="prose"),
            v4.new_code_cell("show()", id="figure", execution_count=2, outputs=[figure], metadata=alt),
            v4.new_markdown_cell("A widget.", id="more"),
            v4.new_code_cell("explore()", id="widget", execution_count=3, outputs=[widget]),
            v4.new_markdown_cell("## In short\n\nTwo.\n\n## Where to read on\n\nNowhere.", id="end"),
        ],
        metadata={"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}},
    )
    nbformat.validate(book)
    return book


def prints(words: str):
    return lambda book: book.cells[2].outputs[0].update(text=words)


def tagged(*names: str, **metadata: str):
    return lambda book: book.cells[2].metadata.update(tags=list(names), **metadata)


BREAKS: list[tuple[Rule, str, Callable[[NotebookNode], object]]] = [
    (executed_in_order, "a cell never run", lambda b: b.cells[2].update(execution_count=None)),
    (executed_in_order, "a cell run twice", lambda b: b.cells[4].update(execution_count=3)),
    (unique_stable_ids, "a repeated id", lambda b: b.cells[4].update(id="sum")),
    (unique_stable_ids, "no id", lambda b: b.cells[4].pop("id")),
    (alt_text_on_every_figure, "no alt text", lambda b: b.cells[4].metadata.pop("mystnb")),
    (
        alt_text_on_every_figure,
        "a word for alt text",
        lambda b: b.cells[4].metadata.mystnb.image.update(alt="Plot"),
    ),
    (
        a_picture_and_a_text_for_every_widget,
        "no picture",
        lambda b: b.cells[6].outputs[0].data.pop("image/png"),
    ),
    (
        a_picture_and_a_text_for_every_widget,
        "a word for a description",
        lambda b: b.cells[6].outputs[0].data[ON_A_PAGE].update(alt="A plot"),
    ),
    (no_error_and_no_stderr, "stderr", lambda b: b.cells[2].outputs[0].update(name="stderr")),
    (
        no_error_and_no_stderr,
        "an error",
        lambda b: b.cells[2].outputs.append(nbformat.v4.new_output("error", ename="ValueError")),
    ),
    (
        no_widget_without_its_kernel,
        "a slider",
        lambda b: b.cells[4].outputs[0].data.update({"application/vnd.jupyter.widget-view+json": {}}),
    ),
    (no_path_of_one_machine, "a Unix path", prints("/home/ada/data/mnist.npz")),
    (no_path_of_one_machine, "a Windows path", prints(r"C:\Users\ada")),
    (no_path_of_one_machine, "a path in the code", lambda b: b.cells[2].update(source="open('/tmp/x')")),
    (no_time_or_date_compared, "seconds", prints("trained in 12.5 s")),
    (no_time_or_date_compared, "seconds in words", prints("took 3 seconds")),
    (no_time_or_date_compared, "a date", prints("recorded on 2026-11-22")),
    (no_time_or_date_compared, "a time of day", prints("at 14:15")),
    (a_reason_for_every_ignored_output, "no reason", tagged("nbval-ignore-output")),
    (a_reason_for_every_ignored_output, "a reason for nothing", tagged(nbval_reason="seconds differ")),
    (nothing_hidden_from_the_tests, "a skipped cell", tagged("nbval-skip")),
    (
        nothing_hidden_from_the_tests,
        "a comment",
        lambda b: b.cells[2].update(source="# NBVAL_IGNORE_OUTPUT\n1"),
    ),
    (nothing_hidden_from_the_tests, "a branch", lambda b: b.cells[2].update(source="if testing:\n    1")),
    (prose_before_every_code_cell, "two code cells", lambda b: b.cells.pop(3)),
    (prose_before_every_code_cell, "code first", lambda b: b.update(cells=b.cells[2:])),
    (short_code_cells, "two long cells", lambda b: [b.cells[i].update(source="x\n" * 16) for i in (2, 4)]),
    (short_code_cells, "a very long cell", lambda b: b.cells[2].update(source="x\n" * 41)),
    (the_shape_of_a_chapter, "no title", lambda b: b.cells.pop(0)),
    (the_shape_of_a_chapter, "a second title", lambda b: b.cells[3].update(source="# Again")),
    (the_shape_of_a_chapter, "no end", lambda b: b.cells.pop()),
    (
        the_shape_of_a_chapter,
        "no time",
        lambda b: b.cells[0].update(source="# A\n\nWhat you will be able to do: add"),
    ),
    (no_machine_in_the_metadata, "timing", lambda b: b.cells[2].metadata.update(execution={"start": "now"})),
    (no_machine_in_the_metadata, "another program's notes", lambda b: b.metadata.update(vscode={})),
    (
        no_machine_in_the_metadata,
        "a version",
        lambda b: b.metadata.update(language_info={"version": "3.11.7"}),
    ),
    (within_a_megabyte, "a large output", prints("x" * 1_000_001)),
]


def test_a_good_book_keeps_every_rule():
    assert [fault for check in RULES for fault in check(good_book())] == []


@pytest.mark.parametrize(
    "check, by, change", BREAKS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_bad_book_breaks_its_rule(check, by, change):
    book = deepcopy(good_book())
    change(book)
    assert list(check(book)), f"{check.__name__} does not see {by}"


def test_every_rule_is_shown_to_fail():
    assert {check.__name__ for check in RULES} == {check.__name__ for check, _, _ in BREAKS}

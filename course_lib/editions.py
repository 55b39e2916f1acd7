"""From a chapter to a student edition: answers become stubs, solutions vanish, the lesson stays.

The chapters say themselves what is what, in the metadata of their cells:

- `nbgrader` (schema 3): the answer to a part of a question, or the check of one;
- the tag `solution`: the cell tells an answer, and students don't get it;
- `prompt`, on such a cell: what students write in its place; on an answer in words: what is asked;
- the tag `solution-output`: the cell is part of the lesson, and its stored output tells an answer;
- the tag `predictions-1-4`: after this cell the predictions for 1.4 are written.

Of Markdown, students don't get what is folded away, but for hints.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from course_lib.questions import PARTS
from course_lib.questions.question import Part

CHAPTERS = {
    "task-1": ("mnist-cnn", "random-search", "cifar10-cnn", "comparing-networks"),
    "task-2": ("convolution", "convolutional-layer", "max-pooling"),
}
FOLDER = Path(__file__).parents[1] / "chapters"

ANSWER_MARKER = re.compile(
    r"^(?:#|<!--) ((?:answer|plot|words|predictions)-\d-\d) \(your answer to \d\.\d stands in this cell\)"
    r"(?: -->)?$",
    re.MULTILINE,
)
FOLDED = re.compile(r"^(:{3,})\{dropdown\}(?! Hint).*?^\1[ \t]*$\n*", re.MULTILINE | re.DOTALL)
OWN_CODE = re.compile(
    r"^(:{3,})\{admonition\} Run your own code here.*?^\1[ \t]*$\n*", re.MULTILINE | re.DOTALL
)
TO_A_CHAPTER = re.compile(r"\[([^\]]+)\]\((?!\w+:)[^)\s]*\.ipynb\)")

PREDICTIONS = """\
from course_lib.questions import write_predictions

# The images are as stored (uint8, 0 … 255): prepare them exactly as x_train was prepared.
images = np.load("images-{number}.npy")
probabilities = {probabilities}
accuracy = {accuracy}
write_predictions("{question}", probabilities, accuracy=accuracy)"""
PREDICTED = {  # question: how a solution predicts, and the accuracy that it expects
    "1.4": (
        "model.predict(images[..., np.newaxis] / 255, verbose=0)",
        'history.history["val_accuracy"][history.best_epoch("val_loss") - 1]',
    ),
    "1.5": ('winner["network"].predict(images[..., np.newaxis] / 255, verbose=0)', "test_accuracy"),
    "1.6": ("model.predict(images / 255, verbose=0)", 'history.best("val_accuracy")'),
    "1.9": ("own.predict(images / 255, verbose=0)", 'test_accuracy["our own"]'),
}


def task_notebook(task: str) -> NotebookNode:
    r"""Return the chapters of a task as one notebook, with solutions and without outputs.

    What belongs to the book alone is left out. Each answer cell begins with its marker, and the cells that
    write predictions are there.

    Parameters
    ----------
    task
        "task-1" or "task-2".

    Raises
    ------
    FileNotFoundError
        If the chapters don't lie beside the library.

    Examples
    --------
    >>> cells = task_notebook("task-2").cells
    >>> next(cell.source for cell in cells if cell.id == "answer-2-5")[:59]
    '# answer-2-5 (your answer to 2.5 stands in this cell)\nlayer'
    """
    if not FOLDER.is_dir():
        raise FileNotFoundError(
            "the chapters are not there: install the course from its own folder, with `make` or with"
            " `pip install --editable`"
        )
    cells = [
        made
        for chapter in CHAPTERS[task]
        for cell in nbformat.read(FOLDER / task / f"{chapter}.ipynb", as_version=4).cells
        for made in _to_hand_in(cell, chapter)
    ]
    metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    notebook: NotebookNode = new_notebook(cells=cells, metadata=metadata)
    return notebook


def student_edition(notebook: NotebookNode) -> NotebookNode:
    """Return a notebook without what answers its questions: of a chapter, or of a task.

    Parameters
    ----------
    notebook
        It stays as it is.
    """
    edition = deepcopy(notebook)
    edition.cells = [made for cell in edition.cells for made in _for_students(cell)]
    return edition


def part_of(cell: NotebookNode) -> Part | None:
    """Return the part that is answered in a cell."""
    return PARTS.get(cell.metadata.get("nbgrader", {}).get("grade_id", ""))


def tags_of(cell: NotebookNode) -> list[str]:
    """Return the tags of a cell."""
    tags: list[str] = cell.metadata.get("tags", [])
    return tags


def without_folded(source: str) -> str:
    r"""Return Markdown without what is folded away, but for hints.

    >>> without_folded(":::{dropdown} Solution\nYes.\n:::\n\nWhy?\n\n:::{dropdown} Hints\nThink.\n:::")
    'Why?\n\n:::{dropdown} Hints\nThink.\n:::'
    """
    return FOLDED.sub("", source).strip()


# For a notebook that is handed in ---------------------------------------------------------------------------


def _to_hand_in(cell: NotebookNode, chapter: str) -> Iterator[NotebookNode]:
    source = cell.source
    if cell.cell_type == "markdown":
        source = TO_A_CHAPTER.sub(r"\1", OWN_CODE.sub("", source)).strip()
    part = part_of(cell)
    if part:
        source = f"{_marker(part, cell.cell_type)}\n{source}"
    nbgrader = cell.metadata.get("nbgrader", {})
    tags = [tag for tag in tags_of(cell) if tag == "solution"]
    said = {"nbgrader": nbgrader, "tags": tags, "prompt": cell.metadata.get("prompt")}
    metadata = {key: value for key, value in said.items() if value}
    name = nbgrader.get("grade_id", f"{chapter}-{cell.id}")
    if cell.cell_type == "code":
        yield new_code_cell(source, id=name, metadata=metadata)
    else:
        yield new_markdown_cell(source, id=name, metadata=metadata)
    for tag in tags_of(cell):
        if tag.startswith("predictions-"):
            yield _predictions(PARTS[tag])


def _marker(part: Part, cell_type: str) -> str:
    words = f"{part.id} (your answer to {part.question} stands in this cell)"
    return f"# {words}" if cell_type == "code" else f"<!-- {words} -->"


def _predictions(part: Part) -> NotebookNode:
    source = _prediction(part.question, *PREDICTED[part.question])
    nbgrader = {
        "cell_type": "code",
        "grade": True,
        "grade_id": part.id,
        "locked": False,
        "points": part.points,
        "schema_version": 3,
        "solution": True,
        "task": False,
    }
    cell: NotebookNode = new_code_cell(
        f"{_marker(part, 'code')}\n{source}", id=part.id, metadata={"nbgrader": nbgrader}
    )
    return cell


def _prediction(question: str, probabilities: str, accuracy: str) -> str:
    return PREDICTIONS.format(
        number=question.replace(".", "-"), question=question, probabilities=probabilities, accuracy=accuracy
    )


# For students -----------------------------------------------------------------------------------------------


def _for_students(cell: NotebookNode) -> Iterator[NotebookNode]:
    part, tags = part_of(cell), tags_of(cell)
    if "solution" in tags:
        if prompt := cell.metadata.get("prompt"):
            yield new_code_cell("\n".join(f"# {line}" for line in prompt.split("\n")), id=cell.id)
        return
    if part:
        cell.source = _stub(cell.source, part, cell.metadata.pop("prompt", ""))
    elif cell.cell_type == "markdown":
        cell.source = without_folded(cell.source)
        if not cell.source:
            return
    if cell.cell_type == "code" and ("nbgrader" in cell.metadata or "solution-output" in tags):
        cell.outputs, cell.execution_count = [], None
        cell.metadata.pop("mystnb", None)  # the description of a picture that is gone
    kept = [] if part else [tag for tag in tags if tag != "solution-output"]
    cell.metadata.pop("tags", None)
    if kept:
        cell.metadata["tags"] = kept
    yield cell


def _stub(source: str, part: Part, asked: str) -> str:
    """Return what stands in an answer cell before it is answered."""
    marker = ANSWER_MARKER.match(source)
    first = f"{marker[0]}\n" if marker else ""
    question = part.question
    match part.kind:
        case "function":
            _, head, _ = parts_of_function(source, part.name)
            return f'{first}{head}    raise NotImplementedError("{question}: write {part.name} here")'
        case "text":
            here = "(In the notebook, double-click here and write in place of this line.)"
            return f"{first}> **Your answer to {question}:** {asked} *{here}*"
        case "plot":
            return f"{first}# Your answer to {question}: draw the picture here"
        case "predictions":
            return first + _prediction(
                question,
                "None  # your answer: what your network gives for these images, as model.predict does",
                "None  # the accuracy that you expect of it on new images, from 0 to 1",
            )
        case _:
            return f"{first}{part.name} = None  # your answer to {question}"


def parts_of_function(source: str, name: str) -> tuple[str, str, str]:
    r"""Cut a cell in three: what stands before a function's body, with and without the lines above it.

    Returns
    -------
    before, head, body : str
        All up to the body; of it, the signature and the docstring; the body and what follows.

    Examples
    --------
    >>> parts_of_function('x = 1\ndef f(x):\n    "Double."\n    return 2 * x', "f")
    ('x = 1\ndef f(x):\n    "Double."\n', 'def f(x):\n    "Double."\n', '    return 2 * x')
    """
    tree = ast.parse(source)
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    documented = ast.get_docstring(function, clean=False) is not None
    last = (function.body[0].end_lineno or 0) if documented else function.body[0].lineno - 1
    lines = source.splitlines(keepends=True)
    return "".join(lines[:last]), "".join(lines[function.lineno - 1 : last]), "".join(lines[last:])

"""Run the chapters in place on the real data and store their outputs: `make execute`.

    python -m course_lib.book.execute [CHAPTER.ipynb ...]

Without a name, all chapters of `_toc.yml` run, each in a fresh kernel from its first cell to its last. A
chapter is replaced only when its last cell has run. What `fit` trains on the way is recorded in the folder
`course_lib/recorded`.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbformat
import yaml
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from tqdm import tqdm

from course_lib.widgets.base import ON_A_PAGE

ROOT = Path(__file__).parents[2]


def chapters_of_the_book() -> list[Path]:
    """Every notebook of the table of contents, in its order."""
    contents = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
    files = [contents["root"], *(entry["file"] for part in contents["parts"] for entry in part["chapters"])]
    return [path for name in files if (path := ROOT / f"{name}.ipynb").exists()]


def number_of_code_cells(book: NotebookNode) -> int:
    """How many cells there are to run."""
    return len([cell for cell in book.cells if cell.cell_type == "code"])


def forget_the_machine(book: NotebookNode) -> None:
    """Remove what differs from machine to machine and is not a result: times, versions, states of widgets."""
    book.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in book.cells:
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":  # of a progress bar that was wiped away, blanks remain
            cell.outputs = [
                out for out in cell.outputs if out.get("name") != "stderr" or "\r" not in out.text[-2:]
            ]
        for output in cell.get("outputs", []):
            output.pop("transient", None)
            if ON_A_PAGE in output.get("data", {}):  # without its kernel, Jupyter shows the widget's picture
                output.data.pop("application/vnd.jupyter.widget-view+json", None)


def execute(path: Path, bar: "tqdm[Any]") -> None:
    """Run one chapter from its first cell to its last, in its own folder, and store its outputs.

    Raises
    ------
    SystemExit
        If a cell fails, naming it. The stored chapter is then as it was.
    """
    book = nbformat.read(path, as_version=4)
    name = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    bar.set_description(path.stem)
    running = 0

    def started(cell: NotebookNode, cell_index: int) -> None:
        nonlocal running
        running = cell_index

    client = NotebookClient(
        book,
        timeout=None,
        record_timing=False,
        coalesce_streams=True,
        store_widget_state=False,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(path.parent)}},
        on_cell_start=started,
        on_cell_executed=lambda **_: bar.update(),
    )
    try:
        client.execute()
    except (CellExecutionError, DeadKernelError) as error:
        bar.close()
        where = f"cell {running + 1} of {name} (id {book.cells[running].id})"
        raise SystemExit(f"{error}\n{where} failed; the chapter is left as it was") from None
    forget_the_machine(book)
    nbformat.validate(book)
    beside = path.with_suffix(".ipynb.part")
    nbformat.write(book, beside)
    os.replace(beside, path)


def main(names: list[str]) -> None:
    """Run the named chapters, or all."""
    if os.environ.get("COURSE_DATA"):
        raise SystemExit("make execute stores outputs on the real data: unset COURSE_DATA first")
    chapters = [Path(name).resolve() for name in names] or chapters_of_the_book()
    if missing := [str(path) for path in chapters if not path.is_file()]:
        raise SystemExit(f"no such chapter: {', '.join(missing)}")
    for name in ("COURSE_SMOKE", "COURSE_REPLAY"):
        os.environ.pop(name, None)
    if folder := os.environ.get("COURSE_DATA_DIR"):
        os.environ["COURSE_DATA_DIR"] = str(Path(folder).resolve())  # a kernel starts in its chapter's folder
    os.environ["COURSE_RUNS_DIR"] = str(ROOT / "course_lib" / "recorded")
    cells = sum(number_of_code_cells(nbformat.read(path, as_version=4)) for path in chapters)
    with (
        tempfile.TemporaryDirectory(prefix="searches-") as searches,
        tqdm(
            total=cells,
            unit="cell",
            dynamic_ncols=True,
            bar_format="{l_bar}{bar}| {n}/{total} [{elapsed}<{remaining}]",
        ) as bar,
    ):
        os.environ["COURSE_SEARCHES_DIR"] = searches  # every search of the chapters begins anew
        for path in chapters:
            execute(path, bar)
    print(f"{len(chapters)} of the book's chapters ran and hold their new outputs")


if __name__ == "__main__":
    main(sys.argv[1:])

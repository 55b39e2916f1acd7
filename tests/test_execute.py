"""`make execute`: outputs are stored when a chapter runs to its end, and nothing changes when it doesn't."""

import nbformat
import pytest

from course_lib.book import execute


@pytest.fixture
def chapter(tmp_path, monkeypatch):
    """Write a chapter with the given cells, and return its path."""
    for name in ("COURSE_DATA", "COURSE_RUNS_DIR", "COURSE_SMOKE"):
        monkeypatch.setenv(name, "")  # main changes them: put back what was there

    def write(*cells):
        v4 = nbformat.v4
        book = v4.new_notebook(
            cells=[
                v4.new_markdown_cell("# A chapter", id="title"),
                *[v4.new_code_cell(cell, id=f"cell-{number}") for number, cell in enumerate(cells)],
            ],
            metadata={"language_info": {"name": "python", "version": "2.7"}, "vscode": {}},
        )
        path = tmp_path / "chapter.ipynb"
        nbformat.write(book, path)
        return path

    return write


def test_outputs_are_stored(chapter):
    path = chapter(
        "import os\nprint('runs' if os.environ['COURSE_RUNS_DIR'] else '')", "print(1)\nprint(2)\n3"
    )
    execute.main([str(path)])
    book = nbformat.read(path, as_version=4)
    assert [cell.id for cell in book.cells] == ["title", "cell-0", "cell-1"]
    assert [cell.execution_count for cell in book.cells[1:]] == [1, 2]
    assert book.cells[1].outputs[0].text == "runs\n"
    assert [output.get("text") for output in book.cells[2].outputs] == ["1\n2\n", None]
    assert book.metadata.language_info == {"name": "python"} and "vscode" not in book.metadata
    assert [cell.metadata for cell in book.cells] == [{}, {}, {}]
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_a_failing_chapter_is_left_as_it_was(chapter):
    path = chapter("1 + 1", "1 / 0")
    before = path.read_bytes()
    with pytest.raises(
        SystemExit, match=r"(?s)ZeroDivisionError.*cell 3 of .*chapter.ipynb \(id cell-1\) failed"
    ):
        execute.main([str(path)])
    assert path.read_bytes() == before
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def test_the_sample_is_never_stored(chapter, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", "sample")
    with pytest.raises(SystemExit, match="unset COURSE_DATA"):
        execute.main([str(chapter("1"))])


def test_a_missing_chapter_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"no such chapter: .*nowhere"):
        execute.main([str(tmp_path / "nowhere.ipynb")])


def test_all_chapters_are_those_of_the_book():
    assert sorted(execute.chapters_of_the_book()) == sorted(execute.ROOT.glob("chapters/**/*.ipynb"))

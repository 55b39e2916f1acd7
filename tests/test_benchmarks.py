"""The table of `make bench` that the book shows."""

import json

from benchmarks.__main__ import HERE, LAST


def test_the_table_in_the_book_is_of_a_full_run():
    last = json.loads(LAST.read_text(encoding="utf-8"))
    files = {path.name for path in HERE.glob("time_*.py")}
    assert {line["file"] for line in last["lines"]} == files
    assert set(last["seconds"]) == {name.removeprefix("time_").removesuffix(".py") for name in files}
    assert last["failed"] == []

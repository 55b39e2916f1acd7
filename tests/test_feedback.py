"""What each student gets back: one page, for themselves, that holds no code and no secret."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from test_mark import HOSTILE, PART, grading, picture
from test_site import AXE, WCAG, axe  # noqa: F401

from conftest import watch
from course_lib.coursework.feedback import feedback, file_name
from course_lib.coursework.ledger import Ledger, Mark, Result
from course_lib.questions import PARTS, TASKS, Variation

NAMES = [
    "Ada Lovelace",
    'Zoë "O\'Neil" & sons',
    "line\nbreak\tand\x00null",
    "../../../etc/passwd",
    "..",
    "",
    "CON",
    "🎓 李雷",
    "<script>window.ran = 1</script>",
    "</title><img src=x onerror='window.ran = 2'>",
    "{{ 7 * 7 }}{% include 'mark.html' %}",
    "\u202egnp.exe",
    "x" * 500,
    "ADA LOVELACE",
]


def written(folder: Path, student: str) -> str:
    """Return the page of a student."""
    return (folder / "feedback" / file_name(student)).read_text(encoding="utf-8")


def graded(folder: Path, student: str = "Ada Lovelace", words: str = HOSTILE) -> Path:
    """Write a grading of one student: all graded, 2.5 marked, the other words and pictures not."""
    grading(folder, {student: words})
    with closing(Ledger(folder)) as ledger:
        (one,) = ledger.submissions()
        secret = ("hidden case 3: X = [[41.5]]",)
        results = [
            Result(one.id, part.id, float(part.points), (f"All of {part.id} is right.",), secret, "key", 0)
            for question in TASKS["task-2"]
            for part in question.parts
            if part.automatic
        ]
        ledger.write_results(one.id, results, {"plot-2-3": [picture()]}, "graded")
        ledger.write_mark(Mark(one.id, PART, (0, 2), f"Why?\n{HOSTILE}"))
    return folder


@pytest.fixture
def visit(chromium: Any) -> Iterator[Any]:
    """Open a page; the test fails at its end on any error, request elsewhere, or code that ran."""
    opened: list[Any] = []
    faults: list[str] = []

    def visit(path: Path, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": 1000, "height": 900}, **options)
        opened.append(page := context.new_page())
        watch(page, faults)
        page.goto(path.as_uri())
        return page

    yield visit
    for page in opened:
        assert page.evaluate("window.ran") is None
        page.context.close()
    assert faults == []


def test_points_messages_rubric_and_comment(tmp_path):
    (path,) = feedback(graded(tmp_path))
    text = path.read_text(encoding="utf-8")
    automatic = sum(part.points for q in TASKS["task-2"] for part in q.parts if part.automatic)
    reached = automatic + sum(PARTS[PART].rubric[item].points for item in (0, 2))
    assert f"<strong>{reached:g}</strong> of 15 points so far" in text
    assert text.count("not marked yet, of") == 4
    assert "All of answer-2-2 is right." in text
    for item in PARTS[PART].rubric:
        assert html.escape(item.text) in text
    assert text.count('aria-label="fulfilled"') == 2 and text.count('aria-label="not fulfilled"') == 2
    assert text.count("data:image/png;base64,") == 2
    assert html.escape(HOSTILE, quote=False).replace('"', "&#34;") in text


def test_all_marked(tmp_path):
    with closing(Ledger(graded(tmp_path))) as ledger:
        for part in PARTS.values():
            if part.id[-3] == "2" and not part.automatic:
                ledger.write_mark(Mark(1, part.id, tuple(range(len(part.rubric))), ""))
    feedback(tmp_path)
    text = written(tmp_path, "Ada Lovelace")
    assert "<strong>15</strong> of 15 points</p>" in text
    assert "not marked yet" not in text and "so far" not in text


def test_a_student_with_numbers_of_their_own_reads_about_them(tmp_path):
    with closing(Ledger(graded(tmp_path))) as ledger:
        ledger.note_about("given 1", json.dumps(Variation(7, ((1, 0, -1),) * 3, -120, -300)))
    feedback(tmp_path)
    text = written(tmp_path, "Ada Lovelace")
    assert "Your own numbers: training image 7" in text
    assert "only responses above 120 are left" in text and "above 150" not in text


def test_nothing_is_said_twice(tmp_path):
    with closing(Ledger(graded(tmp_path))) as ledger:
        said = "its cell is not in the notebook"
        one = Result(1, "answer-2-2", 0, (f"Not answered: {said}.",) * 2, (), "another key", 0)
        ledger.add_submission(
            "Ada Lovelace", "0/task-2.ipynb", "digest-0", "graded", "", [("answer-2-2", "", said)]
        )
        ledger.write_results(1, [one], {}, "graded")
        ledger.write_mark(Mark(1, "words-2-1", (), "Not answered."))
        ledger.write_mark(Mark(1, "words-2-6", None, "Say more."))
    feedback(tmp_path)
    text = written(tmp_path, "Ada Lovelace")
    assert text.count(said) == 1
    (words,) = re.findall(r'id="question-2.1">.*?id="question-2.2">', text, re.DOTALL)
    assert words.count("Not answered.") == 1
    assert "Say more." in text and "It captures thin" not in text


def test_what_is_the_teachers_stays_there(tmp_path):
    (path,) = feedback(graded(tmp_path))
    text = path.read_text(encoding="utf-8")
    assert "hidden case" not in text and "41.5" not in text
    assert str(tmp_path) not in text


def test_how_an_answer_was_found_is_said(tmp_path):
    with closing(Ledger(graded(tmp_path))) as ledger:
        ledger.add_submission(
            "Ada Lovelace", "0/task-2.ipynb", "digest-0", "graded", "", [(PART, "x", "found by its <marker>")]
        )
    feedback(tmp_path)
    assert "found by its &lt;marker&gt;" in written(tmp_path, "Ada Lovelace")


@pytest.mark.parametrize("status", ["graded", "waiting", "failed"])
def test_what_the_teacher_is_told_of_a_hand_in_is_not_said(tmp_path, status):
    with closing(Ledger(graded(tmp_path))) as ledger:
        ledger.set_status(1, status, "though the notebook was made for Jane")
    feedback(tmp_path)
    assert "Jane" not in written(tmp_path, "Ada Lovelace")


def test_a_refused_submission_has_its_reason(tmp_path):
    with closing(Ledger(graded(tmp_path))) as ledger:
        ledger.add_submission("Bo", "bo.zip", "digest", "refused", "the file is no <notebook>", [])
    feedback(tmp_path)
    text = written(tmp_path, "Bo")
    assert "Not graded" in text and "the file is no &lt;notebook&gt;" in text
    assert "not marked yet" not in text and "<table>" not in text


@pytest.mark.parametrize("status", ["waiting", "failed"])
def test_what_waits_for_the_grader_shows_no_earlier_result(tmp_path, status):
    with closing(Ledger(graded(tmp_path))) as ledger:
        ledger.set_status(1, status, "")
    feedback(tmp_path)
    text = written(tmp_path, "Ada Lovelace")
    assert "is right." not in text and "not graded yet" in text


def test_one_page_for_each_student(tmp_path):
    with closing(Ledger(graded(tmp_path))) as ledger:
        ledger.set_status(1, "superseded", "")
        ledger.add_submission("Ada Lovelace", "newer/task-2.ipynb", "digest", "graded", "", [])
        ledger.add_submission("Ada Lovelace", "broken.zip", "digest", "refused", "no zip", [])
    (path,) = feedback(tmp_path)
    assert "newer/task-2.ipynb" in path.read_text(encoding="utf-8")


def test_names_make_safe_files(tmp_path):
    with closing(Ledger(grading(tmp_path, {}))) as ledger:
        for name in NAMES:
            ledger.add_submission(name, name, "digest", "refused", name, [])
    made = feedback(tmp_path)
    assert {path.parent for path in made} == {tmp_path / "feedback"}
    assert len({path.name.casefold() for path in made}) == len(NAMES)
    assert all(path.name.isascii() and len(path.name) < 80 for path in made)
    assert sorted(path.name for path in (tmp_path / "feedback").iterdir()) == sorted(
        path.name for path in made
    )
    assert all(path.is_file() and not path.is_symlink() for path in made)
    assert "<bdi>{{ 7 * 7 }}" in written(tmp_path, NAMES[10])


def test_hostile_names_and_answers_run_nowhere(tmp_path, visit):
    with closing(Ledger(graded(tmp_path))) as ledger:
        for name in NAMES[8:10]:
            ledger.add_submission(name, name, "digest", "refused", name, [])
    for path in feedback(tmp_path):
        page = visit(path)
        assert "default-src 'none'" in page.locator("meta[http-equiv]").get_attribute("content")
        assert page.locator("script").count() == 0
        assert page.locator("h1 *:not(bdi)").count() == 0
        assert page.locator("h1").evaluate("one => getComputedStyle(one).fontSize") == "32px", "no style"


def test_a_page_is_replaced_as_a_whole(tmp_path, monkeypatch):
    feedback(graded(tmp_path))
    before = written(tmp_path, "Ada Lovelace")

    def killed(old: object, new: object) -> None:
        raise KeyboardInterrupt

    with closing(Ledger(tmp_path)) as ledger:
        ledger.write_mark(Mark(1, PART, (), ""))
    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        feedback(tmp_path)
    assert written(tmp_path, "Ada Lovelace") == before
    assert len(list((tmp_path / "feedback").iterdir())) == 1


def test_again_gives_the_same_bytes(tmp_path):
    feedback(graded(tmp_path))
    before = written(tmp_path, "Ada Lovelace")
    feedback(tmp_path)
    assert written(tmp_path, "Ada Lovelace") == before


def test_a_folder_without_a_grading(tmp_path):
    with pytest.raises(FileNotFoundError, match="course grade"):
        feedback(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_for_every_reader(tmp_path, visit, axe, scheme):  # noqa: F811
    (path,) = feedback(graded(tmp_path, words="Lines along a row.\n" + "x" * 300))
    page = visit(path, color_scheme=scheme)
    page.evaluate(axe)
    assert page.evaluate(AXE, [{"type": "tag", "values": WCAG}, []]) == []
    for width in (360, 768, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.emulate_media(media="print")
    paper = page.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    assert paper == "rgb(255, 255, 255)"

"""The page of `course mark` in a browser: by keyboard, with hostile answers, for every reader."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from test_mark import HOSTILE, PART, ask, grading, ids, newest, serving
from test_site import AXE, WCAG, axe  # noqa: F401

from conftest import watch
from course_lib.coursework.ledger import Ledger, Mark
from course_lib.coursework.mark import MarkingServer
from course_lib.questions import PARTS

RUBRIC = PARTS[PART].rubric

# What a finger can't hit: less than 24 pixels, WCAG 2.5.8.
TOO_SMALL = """[...document.querySelectorAll("button, select, input, summary")].filter((one) => {
  const { width, height } = (one.closest("label") ?? one).getBoundingClientRect();
  return height && Math.min(width, height) < 24;
}).map((one) => one.outerHTML)"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[MarkingServer]:
    """The server of a grading with four students, and two comments in the bank."""
    with closing(Ledger(grading(tmp_path))) as ledger:
        ledger.add_comment(PART, "Say why.")
        ledger.add_comment(PART, "<img src=x onerror='window.ran = 3'>")
    with serving(tmp_path) as server:
        yield server


@pytest.fixture
def visit(chromium: Any, server: MarkingServer) -> Iterator[Any]:
    """Open the page at 2.5; the test fails at its end on any error, request elsewhere, or code that ran."""
    pages: list[Any] = []
    faults: list[str] = []

    def visit(student: str = "Ada Lovelace", width: int = 1280, **options: Any) -> Any:
        context = chromium.new_context(viewport={"width": width, "height": 900}, **options)
        context.set_default_timeout(10_000)
        pages.append(page := context.new_page())
        watch(page, faults)
        number = numbers(server)[ids(server)[student]]
        page.goto(f"http://localhost:{server.server_port}/{server.token}/#{PART}/{number}")
        page.locator("#place", has_text=" of 4").wait_for()
        assert page.locator("#who").inner_text() == f"Answer {number}"
        return page

    visit.faults = faults  # type: ignore[attr-defined]
    yield visit
    for page in pages:
        if not page.is_closed():
            assert page.evaluate("window.ran") is None
        page.context.close()
    assert faults == []


def numbers(server: MarkingServer) -> dict[int, int]:
    """Return the number of each submission, in the order of the page."""
    return {one["submission"]: one["number"] for one in ask(server, f"roster/{PART}")[1]["answers"]}


def press(page: Any, *keys: str, then: str) -> None:
    """Press keys, and wait for what the page says after them."""
    for key in keys:
        page.keyboard.press(key)
    page.locator("#state", has_text=then).wait_for()


def total(*items: int) -> str:
    """Return the points of rubric items as the page writes them."""
    return f"{sum(RUBRIC[item].points for item in items):g}"


def test_three_answers_by_keyboard_alone(server, visit):
    order = list(numbers(server))
    by_number = {number: student for student, number in ids(server).items()}
    first, second, third = (by_number[one] for one in order[:3])
    page = visit(first)

    press(page, "1", "3", then=f"Saved: {total(0, 2)} of 1")
    press(page, "Shift+Digit1", then="Saved")
    page.wait_for_timeout(100)
    assert newest(server, first) == Mark(ids(server)[first], PART, (0, 2), "Say why.")

    press(page, "n", then="Not marked yet")
    press(page, "a", then="Saved: 1 of 1")
    press(page, "2", then=f"Saved: {total(0, 2, 3)} of 1")
    press(page, "u", then="Undone")
    assert newest(server, second) == Mark(ids(server)[second], PART, (0, 1, 2, 3), "")

    press(page, "m", then="Not marked yet")
    page.keyboard.press("c")
    page.keyboard.type("Which strokes? 1n")
    page.keyboard.press("Escape")
    page.locator("#state", has_text="Saved: a comment, and no points yet").wait_for()
    assert page.locator("#progress").inner_text() == "2 of 4 marked"
    press(page, "0", then="Saved: 0 of 1")
    assert page.locator("#progress").inner_text() == "3 of 4 marked"
    press(page, "k", then="Kept in the comment bank")
    press(page, "4", then=f"Saved: {total(3)} of 1")
    press(page, "b", "ArrowDown", "Enter", then="Saved")
    page.wait_for_timeout(100)
    hostile = "<img src=x onerror='window.ran = 3'>"
    assert newest(server, third) == Mark(ids(server)[third], PART, (3,), f"Which strokes? 1n\n{hostile}")
    assert page.locator("#progress").inner_text() == "3 of 4 marked"

    page.reload()
    page.locator("#place", has_text="3 of 4").wait_for()
    assert page.locator("#rubric :checked").count() == 1
    assert page.locator("#comment").input_value() == f"Which strokes? 1n\n{hostile}"
    assert page.locator("#bank li").last.inner_text().endswith("Which strokes? 1n")
    press(page, "Control+z", then="Undone")
    assert newest(server, third) == Mark(ids(server)[third], PART, (3,), "Which strokes? 1n")
    press(page, "ArrowLeft", "ArrowLeft", "ArrowLeft", then="This is the first answer")
    assert page.locator("#points").inner_text().startswith(total(0, 2))


def test_what_students_wrote_is_shown_and_not_run(server, visit):
    page = visit("Bo \"'; DROP TABLE marks; --")
    assert page.locator("#text").inner_text().endswith(HOSTILE)
    assert page.locator("#text *").count() == 0
    assert page.locator("#bank img").count() == 0
    assert (
        page.locator("#pictures img").evaluate("image => image.decode().then(() => image.naturalWidth)")
        == 240
    )


def test_a_number_pressed_while_an_answer_opens_is_for_that_answer(server, visit):
    order = list(numbers(server))
    by_number = {number: student for student, number in ids(server).items()}
    page = visit(by_number[order[0]])
    press(page, "n", "1", "n", "2", "p", "p", then="Not marked yet")
    assert newest(server, by_number[order[0]]) is None
    assert newest(server, by_number[order[1]]).items == (0,)
    assert newest(server, by_number[order[2]]).items == (1,)


def test_names_are_shown_where_that_is_switched_on(server, visit):
    page = visit()
    assert "Ada" not in page.content()
    page.locator("#names").check()
    page.locator("#who", has_text="Ada Lovelace").wait_for()
    page.locator("#names").uncheck()
    page.locator("#who", has_text="Answer").wait_for()


def test_all_unanswered_in_one_key(server, visit):
    page = visit()
    assert page.locator("#unanswered").inner_text().endswith("Mark 1 unanswered 0")
    press(page, "x", then="1 unanswered marked with 0")
    assert newest(server, "Dee") == Mark(ids(server)["Dee"], PART, (), "Not answered.")
    assert not page.locator("#unanswered").is_visible()
    press(page, "u", then="Undone")
    assert newest(server, "Dee") is None


def test_what_is_typed_while_the_same_answer_opens_again_is_kept(server, visit):
    page = visit()
    page.route("**/answer/**", lambda route: (page.wait_for_timeout(500), route.continue_()))
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as on return to the tab
    page.keyboard.press("c")
    page.wait_for_timeout(100)
    with page.expect_response("**/answer/**"):
        page.locator("#comment").fill("Which strokes?")
    page.locator("#state", has_text="Saved").wait_for()
    page.wait_for_timeout(200)
    assert page.locator("#comment").input_value() == "Which strokes?"
    assert newest(server, "Ada Lovelace").comment == "Which strokes?"


def test_two_tabs(server, visit):
    one, other = visit(), visit()
    press(one, "1", then="Saved")
    press(other, "2", then="Marked in another tab meanwhile")
    assert other.locator("#rubric input").first.is_checked()
    assert newest(server, "Ada Lovelace").items == (0,)
    press(other, "2", then="Saved")
    press(one, "u", then="Not undone")
    assert newest(server, "Ada Lovelace").items == (0, 1)
    assert one.locator("#rubric :checked").count() == 2


def test_a_server_that_is_gone_is_said(server, visit):
    page = visit()
    server.shutdown()
    server.server_close()
    press(page, "1", then="Not saved")
    assert "course mark" in page.locator("#alert").inner_text()
    press(page, "n", then="Not saved")
    assert page.locator("#rubric input").first.is_checked()
    page.on("dialog", lambda dialog: dialog.accept())
    page.close()
    assert visit.faults and all("net::ERR_CONNECTION" in fault for fault in visit.faults)
    visit.faults.clear()


def test_single_keys_can_be_switched_off(server, visit):
    page = visit()
    page.keyboard.press("?")
    page.locator("#single-keys").uncheck()
    page.keyboard.press("1")
    page.locator("#who").focus()
    page.keyboard.press("1")
    page.wait_for_timeout(200)
    assert newest(server, "Ada Lovelace") is None


def test_another_question(server, visit):
    page = visit()
    press(page, "1", then="Saved")
    page.keyboard.press("q")
    page.keyboard.press("ArrowDown")
    page.wait_for_url("**#words-2-6/*")
    page.locator("#progress", has_text="0 of 4").wait_for()
    assert page.locator("#rubric label").count() == len(PARTS["words-2-6"].rubric)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_for_every_reader(server, visit, axe, scheme):  # noqa: F811
    page = visit(color_scheme=scheme)
    page.evaluate(axe)
    press(page, "1", "s", "?", then="Saved")
    page.locator("#found summary").click()
    assert page.evaluate(AXE, [{"type": "tag", "values": WCAG}, []]) == []
    for width in (360, 768, 1920):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(TOO_SMALL) == []

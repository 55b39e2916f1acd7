"""From input to repaint, on the pages of the built book: how long the page's main thread works for an input.

An empty page is measured among the others, with the same inputs: what it takes is the cost of measuring, and
it is contained in the other figures.
"""

import math
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks import line
from benchmarks.chromium import find_chromium, let_paint, work_of

BOOK = Path(__file__).parents[1] / "_build" / "html"
INPUTS, ROUNDS = 60, 5
BUDGET = 0.016  # seconds: a frame of a screen that shows 60 in a second
EMPTY = "<title>Empty</title><div tabindex=0 style='height: 500px'></div>"

Act = Callable[[Any, dict[str, float], int], None]  # a page, where the element lies, which input it is


def keys(*names: str) -> Act:
    """Press keys in turn."""
    return lambda page, box, i: page.keyboard.press(names[i % len(names)])


def drag(page: Any, box: dict[str, float], i: int) -> None:
    """Draw on, with the button down."""
    x, y = box["width"] / 2 + 60 * math.sin(i / 8), (0.2 + 0.6 * i / INPUTS) * box["height"]
    page.mouse.move(box["x"] + x, box["y"] + y)
    if i == 0:
        page.mouse.down()


# Each input changes what is shown: none of them goes beyond an end.
up_and_down = keys("ArrowRight", "ArrowLeft")
there_and_back = keys(*["ArrowRight"] * 5, *["ArrowLeft"] * 5)
around = keys(*["ArrowRight"] * 10, *["ArrowDown"] * 10, *["ArrowLeft"] * 10, *["ArrowUp"] * 10)
onwards = keys("ArrowRight", "ArrowDown", "ArrowRight", "ArrowUp", "ArrowRight")

DIGITS, PHOTOS = "chapters/task-1/mnist-cnn", "chapters/task-1/cifar10-cnn"
MEASURED: list[tuple[str, str, str, Act]] = [
    ("KernelExplorer, 28×28: a number of the kernel", "chapters/index", "input[type=range]", up_and_down),
    (
        "KernelExplorer, 28×28: pointing",
        "chapters/index",
        ".kernel-explorer .picture[role=application]",
        around,
    ),
    ("ImageBrowser, 200 digits: another image", DIGITS, ".image-browser [role=listbox]", onwards),
    ("DigitPad, 28×28: drawing", DIGITS, ".digit-pad .pad", drag),
    ("NetworkExplorer, 32×32×3: another image", PHOTOS, ".network-explorer .film canvas", there_and_back),
    ("NetworkExplorer, 32×32×3: another map", PHOTOS, ".network-explorer .layer canvas", there_and_back),
    ("the empty page: keys", "", "div", up_and_down),
    ("the empty page: drawing", "", "div", drag),
]


def opened(browser: Any, path: str, selector: str) -> Any:
    """Return a page on which the element is there: a widget comes alive when the reader is near."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(120_000)
    if not path:
        page.set_content(EMPTY)
        return page
    page.goto((BOOK / f"{path}.html").as_uri())
    for place in page.locator(".course-widget-place").all():
        place.scroll_into_view_if_needed()
        place.and_(page.locator("[data-state=alive]")).wait_for(state="attached")
    return page


def milliseconds(page: Any, selector: str, act: Act) -> Iterator[float]:
    """Yield the milliseconds of each input and the repaint that follows it."""
    place = page.locator(selector).first
    place.scroll_into_view_if_needed()
    place.focus()
    box = place.bounding_box()
    worked = work_of(page)
    for i in range(INPUTS):
        before = worked()
        act(page, box, i)
        let_paint(page)
        yield worked() - before
    page.mouse.up()


def main() -> None:
    """Measure each widget on a page that has one."""
    chromium = find_chromium()
    if not BOOK.is_dir() or not chromium:
        print("Widgets: not measured. That needs Chromium, and the book: run `make book` before.")
        return
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        taken: dict[str, list[float]] = {what: [] for what, *_ in MEASURED}
        for _ in range(ROUNDS):
            for (
                what,
                path,
                selector,
                act,
            ) in MEASURED:  # each on a new page: on an old one, a line is drawn already
                page = opened(browser, path, selector)
                one_round = list(milliseconds(page, selector, act))
                page.close()
                taken[what].append(statistics.quantiles(one_round, n=20, method="inclusive")[18] / 1000)
        browser.close()
    for what in taken:
        line(f"{what}, p95", taken, ours=what, budget=BUDGET)


if __name__ == "__main__":
    main()

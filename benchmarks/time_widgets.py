"""From input to repaint, on the pages of the built book: how long the page's main thread works, per input."""

import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.chromium import find_chromium, work_of

BOOK = Path(__file__).parents[1] / "_build" / "html"
PAINTED = "() => new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)))"
INPUTS = 60
AIM = 16  # milliseconds: a frame of a screen that shows 60 in a second


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


def measured(page: Any, selector: str, act: Act) -> list[float]:
    """Return the milliseconds of each input and the repaint that follows it."""
    place = page.locator(selector).first
    place.scroll_into_view_if_needed()
    place.focus()
    box = place.bounding_box()
    worked, milliseconds = work_of(page), []
    for i in range(INPUTS):
        before = worked()
        act(page, box, i)
        page.evaluate(PAINTED)
        milliseconds.append(worked() - before)
    page.mouse.up()
    return milliseconds


def main() -> None:
    """Measure each widget on a page that has one."""
    from playwright.sync_api import sync_playwright

    print("\nFrom input to repaint, milliseconds of the page's main thread (aim: p95 below 16)\n")
    print(f"  {'widget and input':56}{'median':>8}{'p95':>8}")
    turn = keys("ArrowRight", "ArrowDown")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=["--no-sandbox"])
        for name, path, selector, act in [
            ("KernelExplorer, 28 x 28: a number of the kernel", "chapters/index", "input[type=range]", turn),
            (
                "KernelExplorer, 28 x 28: pointing",
                "chapters/index",
                ".kernel-explorer .picture[role=application]",
                turn,
            ),
            (
                "NetworkExplorer, 32 x 32 x 3: another map",
                "chapters/task-1/cifar10-cnn",
                ".network-explorer [role=slider]",
                turn,
            ),
            ("ImageBrowser, 200 digits: another image", "chapters/task-1/mnist-cnn", "[role=listbox]", turn),
            ("DigitPad: drawing", "chapters/task-1/mnist-cnn", ".pad", drag),
        ]:
            page = browser.new_page(viewport={"width": 1280, "height": 900})
            page.goto((BOOK / f"{path}.html").as_uri())
            page.wait_for_load_state("load")
            if page.locator(selector).count() == 0:  # a widget comes alive when the reader is near
                for place in page.locator(".course-widget-place").all():
                    place.scroll_into_view_if_needed()
                    page.wait_for_timeout(500)
            taken = measured(page, selector, act)
            p95 = statistics.quantiles(taken, n=20, method="inclusive")[18]
            said = "" if p95 < AIM else "  above the aim"
            print(f"  {name:56}{statistics.median(taken):>8.1f}{p95:>8.1f}{said}")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()

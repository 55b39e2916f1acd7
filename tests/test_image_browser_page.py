"""The image browser on a page without Python: exact pixels, filters, the keyboard, and views in step."""

import re

import numpy as np
import pytest

from benchmarks.chromium import work_of
from course_lib.widgets.image_browser import ImageBrowser

random = np.random.default_rng(5)
GREY = random.integers(0, 256, (130, 9, 6), dtype=np.uint8)
COLOUR = random.integers(0, 256, (130, 32, 32, 3), dtype=np.uint8)
FLOATS = random.random((3, 4, 5)).astype("float32")
NAMES = ["cat", "<img src=x onerror=alert(1)>", "frog"]
LABELS = random.integers(0, 3, 130)
PROBABILITIES = random.dirichlet(np.ones(3), 130).astype("float32")
PREDICTIONS = PROBABILITIES.argmax(axis=1)

READ_CANVASES = """(root) => [...root.querySelectorAll(".framed canvas")].map((canvas) =>
  [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data])"""
PRESS_AND_PAINT = """async ([selector, key]) => {
  const pressed = new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true });
  document.querySelector(selector).dispatchEvent(pressed);
  await new Promise((painted) => requestAnimationFrame(() => requestAnimationFrame(painted)));
}"""


def canvases(page, number=0):
    """The pixels of the large image and of its channels, RGBA."""
    return [
        np.array(pixels).reshape(-1, 4)
        for pixels in page.locator(".image-browser").nth(number).evaluate(READ_CANVASES)
    ]


def numbers_in_grid(page):
    return [
        int(cell.get_attribute("data-number")) for cell in page.locator(".image").all() if cell.is_visible()
    ]


def same(text, values):
    """The numbers written after the colon are these."""
    written = [float(number) for number in text.split(": ")[1].split(", ")]
    np.testing.assert_allclose(written, np.atleast_1d(values), rtol=0, atol=0.00005000001)


def test_pixels_are_exactly_those_of_numpy(show):
    given = [GREY, COLOUR, COLOUR / 255, FLOATS]
    page = show(*(ImageBrowser(images) for images in given))
    for number, images in enumerate(given):
        browser = page.locator(".image-browser").nth(number)
        browser.get_by_role("listbox").press("ArrowRight")
        page.wait_for_function(
            "(number) => document.querySelectorAll('.title')[number].textContent === 'Image 1'", arg=number
        )
        bytes_ = images[1] if images.dtype == np.uint8 else np.rint(255 * images[1])
        large, *apart = canvases(page, number)
        grey = images.ndim == 3
        np.testing.assert_array_equal(
            large[:, :3], np.repeat(bytes_.reshape(-1, 1), 3, 1) if grey else bytes_.reshape(-1, 3)
        )
        assert len(apart) == (0 if grey else 3)
        for channel, pixels in enumerate(apart):
            expected = np.repeat(bytes_[..., channel].reshape(-1, 1), 3, axis=1)
            np.testing.assert_array_equal(pixels[:, :3], expected)

        canvas, readout = browser.get_by_role("application"), browser.locator(".readout")
        box = canvas.bounding_box()
        height, width = images.shape[1:3]
        for row, column in [(0, 0), (height - 1, width - 1), (height // 2, 1)]:
            canvas.hover(
                position={
                    "x": (column + 0.5) * box["width"] / width,
                    "y": (row + 0.5) * box["height"] / height,
                }
            )
            assert readout.inner_text().startswith(f"row {row}, column {column}: ")
            same(readout.inner_text(), images[1, row, column])
        for key in ("ArrowDown", "ArrowRight", "Shift+ArrowLeft"):
            canvas.press(key)
        row = min(height // 2 + 1, height - 1)
        assert readout.inner_text().startswith(f"row {row}, column 0: ")
        same(readout.inner_text(), images[1, row, 0])
        said = browser.locator("[aria-live=polite].unseen").inner_text()
        assert readout.inner_text() in said and (grey or re.search("red .*green .*blue ", said))


def test_filters_order_and_sentences_are_those_of_numpy_by_keyboard_alone(show):
    browser = ImageBrowser(COLOUR, LABELS, NAMES, probabilities=PROBABILITIES)
    page = show(browser)
    press, here = page.keyboard.press, page.locator(":focus")
    assert numbers_in_grid(page) == list(range(56))

    press("Tab")  # the classes: the second, whose name is a text and not a picture
    press("ArrowDown")
    press("ArrowDown")
    page.get_by_text(f"{(LABELS == 1).sum()} of 130 images").wait_for()
    assert page.locator("img[src=x]").count() == 0 and NAMES[1] in page.locator(".title").inner_text()
    press("Tab")
    page.keyboard.type("wrong")
    press("Tab")
    page.keyboard.type("least")
    browser.filter_class, browser.show, browser.order = 1, "wrong", "least certain"
    page.get_by_text(f"{len(browser.shown)} of 130 images").wait_for()
    page.wait_for_function(
        "(n) => document.querySelector('.image').dataset.number === n", arg=str(browser.shown[0])
    )
    assert numbers_in_grid(page) == browser.shown[:56].tolist()
    assert page.locator("[aria-selected=true]").get_attribute("data-number") == str(browser.selected)

    press("Tab")
    assert here.get_attribute("role") == "listbox"
    press("End")
    last = int(browser.shown[-1])
    page.get_by_text(f"Image {last}: ").wait_for()
    active = page.locator(f"[id='{here.get_attribute('aria-activedescendant')}']")
    assert (
        active.get_attribute("data-number") == str(last) and active.get_attribute("aria-selected") == "true"
    )
    assert page.locator("[aria-live=polite].unseen").inner_text() == (
        f"image {last}, true class {NAMES[1]}, predicted {NAMES[PREDICTIONS[last]]}, "
        f"{100 * PROBABILITIES[last].max():.1f} %, wrong"
    )
    shares = page.locator(".bars .share").all_inner_texts()
    assert [float(re.match(r"[\d.]+", share)[0]) for share in shares] == [
        float(f"{100 * p:.1f}") for p in PROBABILITIES[last].tolist()
    ]
    assert page.locator(".bars li.true").inner_text().startswith(f"{NAMES[1]} (true)")


def options(page, label):
    return page.get_by_label(label, exact=True).locator("option").all_inner_texts()


def test_each_filter_counts_what_the_other_lets_through(show):
    right = PREDICTIONS == LABELS
    of = [int((LABELS == i).sum()) for i in range(3)]
    page = show(ImageBrowser(GREY, LABELS, ["a", "b", "c"], probabilities=PROBABILITIES))
    assert options(page, "Class") == ["all (130)", f"a ({of[0]})", f"b ({of[1]})", f"c ({of[2]})"]
    page.get_by_label("Prediction").select_option("wrong")
    page.get_by_text(f"{(~right).sum()} of 130 images").wait_for()
    wrong = [int((~right & (LABELS == i)).sum()) for i in range(3)]
    assert options(page, "Class") == [
        f"all ({sum(wrong)})", f"a ({wrong[0]})", f"b ({wrong[1]})", f"c ({wrong[2]})"
    ]  # fmt: skip
    page.get_by_label("Class", exact=True).select_option("2")
    page.get_by_text(f"{wrong[2]} of 130 images").wait_for()
    assert options(page, "Prediction") == [
        f"all ({of[2]})", f"right ({of[2] - wrong[2]})", f"wrong ({wrong[2]})"
    ]  # fmt: skip
    assert options(page, "Order") == ["as given", "least certain first"]


def test_where_no_image_passes_a_button_brings_them_back(show):
    page = show(ImageBrowser(GREY[:4], [0, 0, 1, 1], predictions=[0, 0, 1, 0]))
    page.get_by_label("Class").select_option("0")
    page.get_by_label("Prediction").select_option("wrong")
    page.get_by_text("No image passes these filters.").wait_for()
    assert page.locator(".title").is_hidden() and page.get_by_role("listbox").is_hidden()
    clear = page.get_by_role("button", name="Clear the filters")
    clear.press("Enter")
    page.get_by_text("4 images", exact=True).wait_for()
    assert clear.is_hidden() and page.locator(".title").inner_text() == "Image 0: 0"
    assert [page.get_by_label(each).input_value() for each in ("Class", "Prediction")] == ["null", "all"]
    assert page.locator(":focus").get_attribute("role") == "listbox"


def test_pages_are_turned_by_keys_and_buttons(show):
    page = show(ImageBrowser(GREY, LABELS, NAMES), width=1200)
    grid = page.get_by_role("listbox")
    for key, selected, pages in [
        ("ArrowDown", 8, 1), ("ArrowLeft", 7, 1), ("ArrowUp", 7, 1), ("PageDown", 63, 2),
        ("PageDown", 119, 3), ("PageDown", 129, 3), ("ArrowDown", 129, 3), ("PageUp", 73, 2),
        ("Home", 0, 1), ("End", 129, 3),
    ]:  # fmt: skip
        grid.press(key)
        page.get_by_text(f"Image {selected}: ").wait_for()
        assert page.locator(".where").inner_text() == f"page {pages} of 3"
    assert numbers_in_grid(page) == list(range(112, 130))
    page.get_by_role("button", name="Previous").press("Enter")
    page.get_by_text("Image 56: ").wait_for()
    page.get_by_role("button", name="Previous").press("Enter")
    page.get_by_text("Image 0: ").wait_for()
    assert page.locator(":focus").inner_text() == "Next ›"  # the button that can still be used


def test_two_views_of_one_browser_stay_in_step(show):
    browser = ImageBrowser(GREY, LABELS, probabilities=PROBABILITIES)
    browser.show = "right"
    browser.selected = int(browser.shown[3])
    page = show(browser, browser)
    titles, selects = page.locator(".title"), page.get_by_label("Prediction")
    assert titles.all_inner_texts() == [f"Image {browser.selected}: {LABELS[browser.selected]}"] * 2
    page.locator(".image").nth(5).click()
    page.wait_for_function(
        "(words) => [...document.querySelectorAll('.title')].every((title) => title.innerText === words)",
        arg=f"Image {(other := browser.shown[5])}: {LABELS[other]}",
    )
    selects.first.select_option("wrong")
    page.wait_for_function("document.querySelectorAll('select')[4].value === 'wrong'")
    browser.show = "wrong"
    assert titles.all_inner_texts() == [f"Image {browser.selected}: {LABELS[browser.selected]}"] * 2


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_hostile_and_small_batches(show, theme):
    wide = random.random((2, 200, 200))
    many = np.eye(40, dtype="float32")[:1]
    batches = [
        ImageBrowser(np.zeros((1, 1, 1))),
        ImageBrowser(wide, predictions=[0, 1]),
        ImageBrowser(np.zeros((1, 2, 200, 3), "uint8"), [39], probabilities=many),
        ImageBrowser(GREY[:5], [0, 0, 0, 0, 0], ["a" * 300, "b"], columns=12),
    ]
    page = show(*batches, theme=theme, width=360, touch=True, reduced_motion=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    titles = page.locator(".title").all_inner_texts()
    assert titles == ["Image 0", "Image 0", "Image 0: 39", "Image 0: " + "a" * 300]
    page.get_by_role("application").nth(1).tap(position={"x": 5, "y": 5})
    same(page.locator(".readout").nth(1).inner_text(), float(wide[0][tuple(place_of(page, 1))]))
    assert page.locator(".bars li").count() == 14  # the 12 most probable, the true one, and how many are left
    page.get_by_label("Class", exact=True).nth(1).select_option("1")
    page.get_by_text("No image passes these filters.").nth(3).wait_for(state="visible")
    small = [
        box for cell in page.locator(".image").all() if (box := cell.bounding_box()) and box["width"] < 44
    ]
    assert small == []
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    # preload would ask for the style sheets again, which a page from a file can't
    found = axe.run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"], "preload": False}
    )
    assert [(fault["id"], fault["nodes"][0]["html"]) for fault in found.response["violations"]] == []


def place_of(page, number):
    """Row and column that the readout names."""
    return map(
        int, re.match(r"row (\d+), column (\d+)", page.locator(".readout").nth(number).inner_text()).groups()
    )


def test_from_input_to_repaint_the_page_works_for_less_than_a_frame(show):
    page = show(ImageBrowser(COLOUR, LABELS, NAMES, probabilities=PROBABILITIES))
    worked = work_of(page)

    def usual(selector, keys):
        milliseconds = []
        for key in keys * 10:
            before = worked()
            page.evaluate(PRESS_AND_PAINT, [selector, key])
            milliseconds.append(worked() - before)
        return np.median(milliseconds)

    for selector, keys in [
        ("[role=listbox]", ["ArrowRight", "ArrowDown"]),
        ("[role=listbox]", ["PageDown", "PageUp"]),
        (".large", ["ArrowRight", "ArrowDown"]),
    ]:
        assert 0 < usual(selector, keys) < 16, (selector, keys)

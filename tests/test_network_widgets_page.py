"""NetworkExplorer and DigitPad on a page without Python: by mouse, by finger and by keyboard alone."""

import math
import re

import numpy as np
import pytest
from test_network_widgets import sample_digits, sequential, trained_mnist

from benchmarks.chromium import let_paint, work_of
from course_lib.backend import keras
from course_lib.widgets.digit_pad import DigitPad
from course_lib.widgets.network_explorer import NetworkExplorer

layers = keras.layers


def number_in(text):
    """Read a number as the widgets write it."""
    return float(text.replace("−", "-").replace(",", ""))


@pytest.fixture
def explorer():
    images, labels = sample_digits()
    return NetworkExplorer(trained_mnist(), images[:200], labels=labels[:200])


@pytest.fixture
def pad():
    return DigitPad(trained_mnist())


def wait_for(page, locator, pattern):
    """Wait until a text is there; widgets repaint at the next frame."""
    page.wait_for_function(
        "([element, pattern]) => new RegExp(pattern).test(element.textContent)",
        arg=[locator.element_handle(), pattern],
    )
    return locator.text_content()


def probabilities_on(page):
    """The exact numbers behind the bars; each is written in percent, as its reader would say it."""
    shares = page.locator(".bars data").evaluate_all(
        "all => all.map(({ value, textContent }) => [value, textContent])"
    )
    for value, text in shares:
        percent = f"{100 * float(value):.1f} %"
        assert text == {"0.0 %": "< 0.1 %", "100.0 %": "> 99.9 %"}.get(percent, percent)
    return [float(value) for value, _ in shares]


def peak_of(feature_map):
    """Row and column of the largest number."""
    return np.unravel_index(feature_map.argmax(), feature_map.shape)


def check_accessible(page):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(
        page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa"], "preload": False}
    )
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


# --- NetworkExplorer ----------------------------------------------------------------------------------------


def test_every_layer_says_what_keras_says(show, explorer):
    page = show(explorer)
    outputs = explorer.network.outputs(explorer.images[0] / 255)
    for k, output in enumerate(outputs):
        said = page.locator(".layer > p").nth(k).text_content()
        assert said.startswith(f"{k} · {explorer.layers[k]['class']}")
        assert number_in(said.split("to ")[-1]) == pytest.approx(output.max(), abs=0.005)
    np.testing.assert_allclose(probabilities_on(page), outputs[-1], atol=1e-9)
    assert "by softmax" in page.locator(".network-explorer").text_content()


def test_a_map_is_chosen_by_click_and_its_pixel_by_arrow_keys(show, explorer):
    page = show(explorer)
    strip = page.get_by_role("slider", name="Layer 2, Conv2D")
    box = strip.bounding_box()
    strip.click(position={"x": box["width"] * 5.5 / 16, "y": box["height"] * 0.75})  # the second row of 16
    title = page.locator(".one-map .title")
    wait_for(page, title, "Map 21 of layer 2, Conv2D")
    strip.press("ArrowLeft")
    strip.press("ArrowUp")
    wait_for(page, title, "Map 4 of layer 2")
    large = page.get_by_role("application", name="Map 4")
    for key in ["ArrowUp", "ArrowUp", "ArrowLeft"]:
        large.press(key)
    outputs = explorer.network.outputs(explorer.images[0] / 255)
    row, column = peak_of(outputs[2][..., 4]) - np.array([2, 1])  # the keys begin at the largest number
    kernel, bias = trained_mnist().layers[2].get_weights()
    before = (outputs[1][row : row + 3, column : column + 3] * kernel[..., 4]).sum()
    made = wait_for(page, page.locator(".one-map p[aria-live]"), f"^Row {row}, column {column}: 288 products")
    numbers = [number_in(number) for number in re.findall(r"−?\d+\.?\d*(?:e−?\d+)?", made)[3:]]
    made_of = [before, bias[4], before + bias[4], outputs[2][row, column, 4]]
    np.testing.assert_allclose(numbers, made_of, atol=6e-4)
    field = page.locator(".one-map > p:nth-of-type(3)").text_content()
    rows, columns = f"rows {2 * row} to {2 * row + 7}", f"columns {2 * column} to {2 * column + 7}"
    assert f"8 × 8 pixels, {rows} and {columns}" in field
    assert "1 + (3 − 1) · 1 + (2 − 1) · 1 + (3 − 1) · 2 = 8" in field
    assert "model.layers[2].get_weights()[0][:, :, :, 4]" in page.locator(".one-map code").text_content()

    strip = page.get_by_role("slider", name="Layer 5, Dense")
    strip.press("End")
    made = wait_for(page, page.locator(".one-map p[aria-live]"), "^Unit 9: 64 products")
    assert "Softmax makes" in made
    assert "Unit 9 of layer 5, Dense: class 9" in title.text_content()
    assert "the whole image" in page.locator(".one-map").text_content()


def test_images_are_chosen_among_the_wrong_ones(show):
    images, labels = sample_digits()
    labels = labels[:200].copy()
    labels[[4, 60, 150]] += 1  # the network is right on most of them, so some labels are made wrong
    explorer = NetworkExplorer(trained_mnist(), images[:200], labels=labels % 10)
    wrong = np.flatnonzero(explorer.answers != explorer.labels)
    page = show(explorer)
    filter = page.get_by_label("Images", exact=True)
    assert f"answered wrong ({len(wrong)})" in filter.text_content()
    filter.select_option("wrong")
    said = page.locator(".said")
    text = wait_for(page, said, f"^image {wrong[0]}:")
    assert f"answers {explorer.answers[wrong[0]]} with" in text
    assert f"Wrong: it is {explorer.labels[wrong[0]]}." in text
    film = page.get_by_role("slider", name="Choose an image")
    film.press("End")
    wait_for(page, said, f"^image {wrong[-1]}:")
    filter.select_option("all")
    page.get_by_role("button", name="Next").click()
    wait_for(page, said, f"^image {min(wrong[-1] + 1, 199)}:")


def test_what_a_pooled_edge_has_not_seen_padding_and_labels_with_html(show):
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [
            keras.Input((10, 10, 3)),
            layers.Conv2D(2, 3, padding="same"),
            layers.MaxPooling2D(4),
            layers.Dropout(0.5),
            layers.BatchNormalization(),
            layers.LeakyReLU(negative_slope=0.1),
            layers.Flatten(),
            layers.Dense(2),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (3, 10, 10, 3), np.uint8)
    names = ["<img src=x onerror=alert(1)>", "b"]
    explorer = NetworkExplorer(
        model, images, labels=[0, 0, 0], class_names=names, image_names=["<b>", "2", "3"]
    )
    explorer.row = explorer.column = 0
    page = show(explorer, theme="dark", width=320)
    text = page.locator(".network-explorer").text_content()
    assert "logits; softmax has made" in text and names[0] in text
    assert page.locator(".network-explorer img").count() == 0
    assert "3 × 3 pixels, rows 0 to 1 and columns 0 to 1" in text and "where padding is" in text
    said = page.locator(".one-map p[aria-live]")
    for layer, words in [
        ("1, MaxPooling2D", "the largest of the 4 × 4"),
        ("3, Batch", "times"),
        ("4, Leaky", "leaky ReLU with slope 0.1 makes"),
    ]:
        page.get_by_role("slider", name=f"Layer {layer}").press("End")
        wait_for(page, said, words)
    page.get_by_role("slider", name="Layer 6, Dense").press("Home")
    wait_for(page, said, "Unit 0: 8 products")
    assert "It has seen rows 0 to 8" in page.locator(".one-map").text_content()
    check_accessible(page)


def test_a_map_begins_where_it_speaks_until_a_pixel_is_pointed_at(show, explorer):
    page = show(explorer)
    first, second = (explorer.network.outputs(explorer.images[k] / 255) for k in (0, 1))
    made = page.locator(".one-map p[aria-live]")
    large = page.get_by_role("application", name="Map")

    def begins_at(feature_map):
        row, column = peak_of(feature_map)
        wait_for(page, made, f"^Row {row}, column {column}: ")

    begins_at(first[0][..., 0])
    page.get_by_role("button", name="Next").click()
    begins_at(second[0][..., 0])
    strip = page.get_by_role("slider", name="Layer 2, Conv2D")
    strip.press("Home")
    strip.press("ArrowRight")
    begins_at(second[2][..., 1])
    box = large.bounding_box()
    large.click(position={"x": box["width"] * 1.5 / 11, "y": box["height"] * 9.5 / 11})
    wait_for(page, made, "^Row 9, column 1: ")
    page.get_by_role("button", name="Previous").click()
    wait_for(page, page.locator(".said"), "^image 0:")
    wait_for(page, made, "^Row 9, column 1: ")


def test_a_dead_map_is_called_silent(show):
    model = sequential(layers.Conv2D(2, 3, activation="relu"), layers.MaxPooling2D(2))
    kernel, _ = model.layers[0].get_weights()
    model.layers[0].set_weights([np.abs(kernel), np.array([0.1, -100])])
    page = show(NetworkExplorer(model, np.full((1, 8, 8), 255, np.uint8)))
    caption = page.locator(".one-map figcaption").nth(1)
    assert "silent" not in page.locator(".network-explorer").text_content()
    page.get_by_role("slider", name="Layer 0, Conv2D").press("End")
    assert wait_for(page, caption, "silent") == "in the map, silent: 0 everywhere"
    assert page.locator(".one-map p[aria-live]").text_content().startswith("Row 3, column 3: ")  # the middle
    page.get_by_role("slider", name="Layer 1, MaxPooling2D").press("Home")
    wait_for(page, caption, "in the map, from")


NOTE_TEXTS = """() => {
    const { fillText } = CanvasRenderingContext2D.prototype;
    window.texts = [];
    CanvasRenderingContext2D.prototype.fillText = function (text, x, y) {
        texts.push([text, x, y, this.measureText(text).width]);
        fillText.call(this, text, x, y);
    };
}"""


@pytest.mark.parametrize("width", [1200, 360])
def test_the_numbers_of_three_kernels_keep_apart(show, width):
    keras.utils.set_random_seed(3)
    model = sequential(layers.Conv2D(4, 3), shape=(8, 8, 3))
    page = show(NetworkExplorer(model, np.zeros((1, 8, 8, 3), np.uint8)), width=width)
    page.evaluate(NOTE_TEXTS)
    page.get_by_role("slider", name="Layer 0, Conv2D").press("End")
    wait_for(page, page.locator(".one-map .title"), "^Map 3")
    page.wait_for_function("texts.length >= 27")
    texts = page.evaluate("texts")[-27:]
    assert sorted(number_in(text) for text, *_ in texts) == pytest.approx(
        sorted(model.layers[0].get_weights()[0][..., 3].ravel()), abs=0.0051
    )
    apart = [
        (right - left) - (wide + broad) / 2
        for _, left, y, wide in texts
        for _, right, other, broad in texts
        if y == other and right > left
    ]
    assert len(apart) >= 18 and min(apart) > 4


def test_the_explorer_is_accessible(show, explorer):
    check_accessible(show(explorer, theme="light", width=830))


# --- DigitPad -----------------------------------------------------------------------------------------------


def arc(x, y, wide, high, start, end):
    """Points of an ellipse's part, in degrees."""
    angles = [math.radians(start + (end - start) * k / 12) for k in range(13)]
    return [(x + wide * math.cos(angle), y + high * math.sin(angle)) for angle in angles]


STROKES = {  # in a box of 1 × 1
    0: [arc(0.5, 0.5, 0.3, 0.45, -90, 270)],
    1: [[(0.5, 0.05), (0.5, 0.95)]],
    7: [[(0.15, 0.08), (0.85, 0.08), (0.4, 0.95)]],
}


def draw(page, digit, left, top, width, height):
    """Draw with the mouse, in a part of the pad given as shares of its sides."""
    box = page.locator(".pad").bounding_box()
    for line in STROKES[digit]:
        points = [
            (box["x"] + box["width"] * (left + width * x), box["y"] + box["height"] * (top + height * y))
            for x, y in line
        ]
        page.mouse.move(*points[0])
        page.mouse.down()
        for point in points[1:]:
            page.mouse.move(*point)
        page.mouse.up()


def test_digits_drawn_small_in_a_corner_are_read_once_they_are_centred(show, pad):
    page = show(pad)
    answer = page.locator(".answer").first
    in_numbers = page.locator(".answer:not(.without-numbers)")  # which follow when the pen rests
    wait_for(page, answer, "The pad is empty")
    assert page.locator(".course-layers").is_hidden()
    for digit in STROKES:
        draw(page, digit, 0.7, 0.65, 0.2, 0.3)
        wait_for(page, in_numbers, f"answers {digit} with probability (> 99|9.).\\d %")
        assert probabilities_on(page)[digit] > 0.9
        centred = page.get_by_label("Scale and centre")
        centred.uncheck()
        let_paint(page)
        assert "Drawn" in wait_for(page, page.locator(".steps figure").first, "The network sees this")
        bars = probabilities_on(page)
        assert bars[digit] < 0.9 and sum(bars) == pytest.approx(1, abs=1e-9)
        centred.check()
        page.get_by_role("button", name="Clear").click()
        wait_for(page, answer, "The pad is empty")


def test_a_second_finger_and_an_echo_of_python_leave_a_stroke_alone(show, pad):
    page = show(pad)
    pad_of_page = page.get_by_role("application", name="Drawing pad")
    box = pad_of_page.bounding_box()
    spots = {
        name: (box["x"] + box["width"] * x, box["y"] + 100) for name, x in [("left", 0.2), ("right", 0.8)]
    }
    page.mouse.move(*spots["left"])
    page.mouse.down()
    x, y = spots["right"]
    pad_of_page.dispatch_event("pointerdown", {"pointerId": 77, "button": 0, "clientX": x, "clientY": y})
    pad_of_page.dispatch_event("pointermove", {"pointerId": 77, "clientX": x, "clientY": y})
    page.mouse.up()
    wait_for(page, page.locator(".answer").first, "answers")
    inked = "canvas => [...canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data]"
    row = np.reshape(
        pad_of_page.locator("canvas").or_(page.locator("canvas.pad")).first.evaluate(inked), (-1, 4)
    )
    assert 0 < (row[:, 0] > 0).mean() < 0.05  # a dot, and no line from finger to finger


def test_a_digit_is_drawn_by_keyboard_alone(show, pad):
    page = show(pad, theme="dark", width=360)
    pad_of_page = page.get_by_role("application", name="Drawing pad")
    pad_of_page.focus()
    for key in ["Shift+ArrowUp"] * 4 + ["Space"] + ["Shift+ArrowDown"] * 8 + ["Space"]:
        page.keyboard.press(key)
    wait_for(page, page.locator(".answer").first, "answers 1 with")
    assert "answers 1" in wait_for(page, page.locator(".unseen[aria-live]"), "The pen is up")
    check_accessible(page)
    page.keyboard.press("Delete")
    wait_for(page, page.locator(".answer").first, "The pad is empty")


def test_a_digit_is_drawn_by_finger_and_equals_python(show):
    images, _ = sample_digits()
    pad = DigitPad(trained_mnist(), images=images[:10])
    page = show(pad, touch=True, width=400)
    page.get_by_role("button", name="Begin with digit 8 of 10").tap()
    pad.drawing = images[7]
    answer = page.locator(".answer").first
    wait_for(page, answer, f"answers {pad.probabilities.argmax()} with")
    np.testing.assert_allclose(probabilities_on(page), pad.probabilities, atol=1e-9)
    page.get_by_role("button", name="Clear").tap()
    wait_for(page, answer, "The pad is empty")  # the page is shorter now, and may lie elsewhere
    box = page.locator(".pad").bounding_box()
    finger = page.context.new_cdp_session(page)
    x, y = box["x"] + box["width"] / 2, box["y"]
    for kind, down in [("touchStart", 0.2), ("touchMove", 0.5), ("touchMove", 0.8), ("touchEnd", None)]:
        points = [] if down is None else [{"x": x, "y": y + down * box["height"]}]
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    wait_for(page, answer, "answers 1 with")
    assert "Left as drawn" in wait_for(page, page.locator(".steps + p"), "Scaled and centred: 1")
    assert page.locator(".pad").bounding_box() == box  # the finger drew, and did not move the page


PICTURES = "() => [...document.querySelectorAll('.course-layers canvas')].map((canvas) => canvas.toDataURL())"


def test_in_a_stroke_the_maps_on_the_screen_follow_and_at_its_end_all_is_painted(show, pad):
    page = show(pad, height=700)
    page.clock.install()
    page.clock.pause_at(page.evaluate("Date.now() + 1000"))  # now time passes only when it is told to
    draw(page, 1, 0.2, 0.2, 0.6, 0.6)
    page.clock.run_for(1000)
    steps, words = page.locator(".steps + p"), page.locator(".layer > p").first
    assert "answers 1 with" in page.locator(".answer").first.text_content()
    facts, before = words.text_content(), page.evaluate(PICTURES)
    last = page.get_by_role("slider", name="Layer 5, Dense")
    assert last.bounding_box()["y"] > 700
    box = page.locator(".pad").bounding_box()
    page.mouse.move(box["x"] + 0.2 * box["width"], box["y"] + 0.2 * box["height"])
    page.mouse.down()
    for share in np.linspace(0.2, 0.5, 8):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.2 * box["height"])
        page.clock.run_for(20)
    assert page.evaluate(PICTURES)[0] != before[0]
    assert "Lift the pen to compare" in steps.text_content()
    assert page.evaluate(PICTURES)[5] == before[5] and words.text_content() == facts
    page.mouse.up()
    page.clock.run_for(20)
    assert "Scaled and centred" in steps.text_content()
    assert page.evaluate(PICTURES)[5] == before[5]
    page.clock.run_for(1000)  # the pen rests, and what is left follows
    assert page.evaluate(PICTURES)[5] != before[5] and words.text_content() != facts
    page.clock.resume()
    after = page.evaluate(PICTURES)
    page.evaluate("document.documentElement.dataset.theme = 'dark'")  # all is painted anew
    page.evaluate("document.documentElement.dataset.theme = 'light'")
    let_paint(page)
    assert page.evaluate(PICTURES) == after


@pytest.mark.parametrize("height", [900, 1600])
def test_while_drawing_the_page_works_for_less_than_a_frame(show, pad, height):
    page = show(pad, width=1280, height=height)
    worked = work_of(page)
    box = page.locator(".pad").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + 0.2 * box["height"]
    page.mouse.move(x, y)
    page.mouse.down()
    milliseconds = []
    for i in range(60):
        before = worked()
        page.mouse.move(x + 60 * math.sin(i / 8), y + 2.6 * i)
        let_paint(page)
        milliseconds.append(worked() - before)
    page.mouse.up()
    assert 0 < np.median(milliseconds) < 16

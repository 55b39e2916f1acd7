"""The image browser in Python: what it accepts, what it sends, and which images pass its filters."""

import zlib

import numpy as np
import pytest
import traitlets

from course_lib.data import Dataset
from course_lib.widgets.image_browser import ImageBrowser

random = np.random.default_rng(3)
GREY = random.integers(0, 256, (20, 7, 5), dtype=np.uint8)
COLOUR = random.integers(0, 256, (20, 7, 5, 3), dtype=np.uint8)
LABELS = random.integers(0, 4, 20)
PROBABILITIES = random.dirichlet(np.ones(4), 20)


def sent(browser):
    """The images as the page unpacks them."""
    kind = "<f4" if browser.pixel_type == "float32" else np.uint8
    images = np.frombuffer(zlib.decompress(browser.pixels), kind).reshape(browser.image_shape)
    if browser.pixel_type != "float32" and images.shape[3] == 3:
        images = images.cumsum(axis=1, dtype=np.uint8).cumsum(axis=2, dtype=np.uint8)
    return images / 255 if browser.pixel_type == "over 255" else images


@pytest.mark.parametrize(
    "images",
    [GREY, COLOUR, GREY.astype(int), GREY[..., np.newaxis], GREY / 255, np.float32(1 / 255) * COLOUR],
)
def test_whole_numbers_and_whole_255ths_are_sent_exactly_in_a_byte_each(images):
    browser = ImageBrowser(images)
    assert browser.pixel_type == ("over 255" if images.dtype.kind == "f" else "whole")
    np.testing.assert_allclose(sent(browser), images.reshape(browser.image_shape), rtol=0, atol=1e-7)


def test_other_floats_are_sent_as_float32():
    images = random.random((4, 3, 3))
    browser = ImageBrowser(images)
    np.testing.assert_array_equal(sent(browser)[..., 0], images.astype("float32"))


@pytest.mark.parametrize("show", ["all", "right", "wrong"])
@pytest.mark.parametrize("order", ["given", "least certain"])
@pytest.mark.parametrize("filter_class", [None, 0, 3])
def test_filters_and_order(show, order, filter_class):
    browser = ImageBrowser(GREY, LABELS, probabilities=PROBABILITIES)
    browser.filter_class, browser.show, browser.order = filter_class, show, order
    predicted = PROBABILITIES.argmax(axis=1)
    expected = [
        i
        for i in range(20)
        if (filter_class is None or LABELS[i] == filter_class)
        and (show == "all" or (LABELS[i] == predicted[i]) == (show == "right"))
    ]
    if order == "least certain":
        expected.sort(key=lambda i: PROBABILITIES[i].max())
    assert browser.shown.tolist() == expected
    assert not expected or browser.selected in expected
    assert len(browser.description()) >= 20


def test_a_change_of_a_filter_selects_the_first_image_that_passes_and_the_view_can_choose_another():
    browser = ImageBrowser(GREY, LABELS, probabilities=PROBABILITIES)
    browser.order = "least certain"
    assert browser.selected == PROBABILITIES.max(axis=1).argmin()
    heard = []
    browser.observe(lambda change: heard.append(change.new), "selected")
    browser.set_state({"selected": 7})  # what the message of a view does
    assert (browser.selected, heard) == (7, [7])


def test_equally_certain_images_keep_their_order():
    browser = ImageBrowser(GREY, probabilities=np.full((20, 4), 0.25))
    browser.order = "least certain"
    assert browser.shown.tolist() == list(range(20))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((np.zeros((0, 5, 5)),), "there are no images"),
        ((np.zeros((5, 5)),), r"images\[np.newaxis\]"),
        ((np.zeros((2, 5, 5, 4)),), r"\(2, 5, 5, 4\)"),
        (([np.zeros((2, 2)), np.zeros((3, 3))],), "the same size"),
        ((np.full((2, 5, 5), np.nan),), "NaN"),
        ((np.full((2, 5, 5), 7.0),), "divide by 255"),
        ((np.full((2, 5, 5), 256),), "0…255"),
        ((np.full((2, 5, 5), "x"),), "<U1"),
        ((np.broadcast_to(np.uint8(0), (50_000, 32, 32, 3)),), r"images\[:10416\] fits"),
        ((GREY, LABELS[:3]), "each of the 20 images"),
        ((GREY, LABELS + 0.5), "whole numbers"),
        ((GREY, LABELS[:, np.newaxis]), "ravel"),
        ((GREY, np.eye(4)[LABELS]), "argmax"),
        ((GREY, LABELS, ["cat", "dog"]), "run from 0 to 1"),
        ((GREY, -LABELS, "abcd"), "run from 0 to 3"),
    ],
)
def test_errors_say_what_would_be_right(arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        ImageBrowser(*arguments)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"probabilities": 5 * PROBABILITIES - 1}, "take the softmax"),
        ({"probabilities": PROBABILITIES[:, 0]}, r"\(20, classes\)"),
        ({"probabilities": np.where(PROBABILITIES > 0.5, np.nan, 0.1)}, "NaN"),
        ({"probabilities": PROBABILITIES, "class_names": "abc"}, "3 class names"),
        ({"probabilities": PROBABILITIES, "predictions": PROBABILITIES.argmin(axis=1)}, "disagree"),
        ({"predictions": PROBABILITIES}, "probabilities="),
        ({"columns": 0}, "columns"),
    ],
)
def test_errors_of_predictions_say_what_would_be_right(given, words):
    with pytest.raises((ValueError, traitlets.TraitError), match=words):
        ImageBrowser(GREY, **given)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("selected", 20, "from 0 to 19"),
        ("filter_class", 1, "needs labels"),
        ("show", "wrong", "needs labels"),
        ("order", "least certain", "needs probabilities"),
        ("labels", LABELS, "read-only"),
    ],
)
def test_traits_refuse_what_they_cannot_show(name, value, words):
    browser = ImageBrowser(GREY)
    before = getattr(browser, name)
    with pytest.raises(traitlets.TraitError, match=words):
        setattr(browser, name, value)
    assert getattr(browser, name) is before


def test_a_dataset_shows_its_training_images_and_a_page_the_first_300():
    images = random.integers(0, 256, (400, 4, 4), dtype=np.uint8)
    labels = random.integers(0, 2, 400).astype(np.uint8)
    browser = ImageBrowser(Dataset(images, labels, images[:1], labels[:1], ("cat", "dog"), "Drawn by chance"))
    np.testing.assert_array_equal(browser.images, images)
    assert browser.note == "Drawn by chance"
    browser.show, browser.filter_class, browser.selected = "all", 1, 250
    page = browser.on_a_page()
    state = page["state"]
    assert state["image_shape"] == [300, 4, 4, 1] and state["note"].endswith(
        "the first 300 of 400, with Python all"
    )
    assert (state["filter_class"], state["selected"], page["model"]) == (1, 250, browser._number)
    with pytest.raises(TypeError, match="Dataset alone"):
        ImageBrowser(Dataset(images, labels, images, labels, ("cat", "dog"), ""), labels)


def test_300_digits_are_a_small_page():
    from course_lib.data import _mnist_sample

    assert len(ImageBrowser(_mnist_sample().x_train[:300]).pixels) < 75_000


def test_the_picture_writes_each_class_and_marks_what_is_wrong():
    browser = ImageBrowser(GREY[:3], [0, 1, 1], ["cat", "$dog$"], predictions=[0, 0, 1])
    figure = browser.picture()
    figure.canvas.draw()
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words == ["cat", "\\$dog\\$\n✕ cat", "\\$dog\\$"]
    assert browser.description() == (
        "A grid of 3 grey images of 7 by 5 pixels, out of 3. "
        "It begins with cat, $dog$ predicted as cat, $dog$."
    )
    browser.show, browser.filter_class = "wrong", 0
    assert "No image" in browser.picture().axes[0].texts[0].get_text()


def test_a_view_that_filters_and_moves_on_at_once_stays_where_it_is():
    browser = ImageBrowser(np.zeros((10, 4, 4), np.uint8), [0, 1] * 5)
    browser.set_state({"filter_class": 1, "selected": 5})  # two changes in one message, from a busy kernel
    assert browser.selected == 5
    browser.filter_class = 0
    assert browser.selected == 0


def test_large_photographs_do_not_make_a_large_notebook():
    browser = ImageBrowser(np.zeros((60, 400, 400, 3), np.uint8))
    assert "the first 2 of 60" in browser.on_a_page()["state"]["note"]

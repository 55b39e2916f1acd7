"""`ImageBrowser`: look at images, at their classes and pixels, and at what a network makes of them."""

from __future__ import annotations

import zlib
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from course_lib.data import Dataset
from course_lib.widgets.base import Array, CourseWidget, read_module, read_style

__all__ = ["ImageBrowser"]

MOST_NUMBERS = 32_000_000  # 40,000 images of MNIST, 10,000 of CIFAR-10: what a browser unpacks in a moment
OF_A_DATASET = 5_000  # images; they are on screen at once, and still a few megabytes
ON_A_PAGE = 300  # images; a page carries all of them, whether the reader looks at them or not
NUMBERS_ON_A_PAGE = 1_000_000  # about a megabyte, which is what a notebook may have
IN_THE_PICTURE = 2  # rows; in print, the first images stand for all


class ImageBrowser(CourseWidget):
    """Show images as a grid of small ones and one large, with class, pixel values and probabilities.

    Images are counted from 0. The images and what is known about them stay as they were given; the traits
    `selected` (the number of the large image), `filter_class` (a class, or None for all), `show` ("all",
    "right", "wrong") and `order` ("given", "least certain") change what is on screen, and follow it.

    Every pixel value that the widget shows is the one in the array: uint8 as whole numbers, floats to four
    digits. A page of the book carries the first 300 images at most. Used in 1.1, 1.4 and 1.7.

    Parameters
    ----------
    images : array_like, shape (n, height, width), (n, height, width, 1) or (n, height, width, 3), or Dataset
        Whole numbers in 0…255 or floats in 0…1. Of a Dataset, the first 5,000 training images are shown,
        with its labels, class names and note.
    labels : array_like of int, shape (n,), optional
        The true class of each image.
    class_names : sequence of str, optional
        "0", "1", … if not given.
    probabilities : array_like, shape (n, classes), optional
        What a network with softmax gives; kept as float32, as Keras gives it.
    predictions : array_like of int, shape (n,), optional
        The class that was predicted for each image; if not given, the most probable one.
    columns : int
        Images in a row where there is room, from 1 to 12.
    note : str
        Written above the images: where they come from.

    Raises
    ------
    TypeError, ValueError
        An argument is not as described, or it doesn't fit the others; the message says what would be right.

    Examples
    --------
    >>> browser = ImageBrowser(np.zeros((3, 28, 28)), [7, 2, 2], predictions=[7, 2, 1])
    >>> browser.show = "wrong"
    >>> browser.shown
    array([2])
    """

    _esm = read_module("image_browser")
    _css = read_style("image_browser")

    # What the browser is given once. Another batch of images is another browser.
    pixels = traitlets.Bytes(read_only=True, help="All pixels, deflated.").tag(sync=True)
    pixel_type = traitlets.Enum(["whole", "over 255", "float32"], read_only=True).tag(sync=True)
    image_shape = traitlets.List(
        traitlets.Int(), read_only=True, help="Images, rows, columns, channels."
    ).tag(sync=True)
    labels = Array(1, dtype="int32", allow_none=True, default_value=None, read_only=True)
    predictions = Array(1, dtype="int32", allow_none=True, default_value=None, read_only=True)
    probabilities = Array(2, dtype="float32", allow_none=True, default_value=None, read_only=True)
    class_names = traitlets.List(traitlets.Unicode(), read_only=True).tag(sync=True)
    columns = traitlets.Int(8, min=1, max=12, read_only=True).tag(sync=True)
    note = traitlets.Unicode(read_only=True).tag(sync=True)

    # What Python and the reader both change.
    selected = traitlets.Int(0, help="The number of the image that is shown large.").tag(sync=True)
    filter_class = traitlets.Int(None, allow_none=True, help="Show this true class only.").tag(sync=True)
    show = traitlets.Enum(["all", "right", "wrong"], "all").tag(sync=True)
    order = traitlets.Enum(["given", "least certain"], "given").tag(sync=True)

    def __init__(
        self,
        images: ArrayLike | Dataset,
        labels: ArrayLike | None = None,
        class_names: Any = None,
        *,
        probabilities: ArrayLike | None = None,
        predictions: ArrayLike | None = None,
        columns: int = 8,
        note: str = "",
    ) -> None:
        if isinstance(images, Dataset):
            if labels is not None or class_names is not None:
                raise TypeError("a Dataset brings its own labels and class names; give the Dataset alone")
            labels, class_names = images.y_train[:OF_A_DATASET], images.class_names
            note, images = note or _note(images), images.x_train[:OF_A_DATASET]
        self.images = _checked_images(images)
        given = _checked_classes(len(self.images), labels, class_names, probabilities, predictions)
        for name, value in {**_packed(self.images), **given, "columns": columns, "note": note}.items():
            self.set_trait(name, value)
        super().__init__()  # sends all that to Jupyter

    @property
    def shown(self) -> NDArray[np.intp]:
        """The numbers of the images that pass the filters, in the order of the grid."""
        passes = np.ones(len(self.images), dtype=bool)
        if self.filter_class is not None:
            passes &= self.labels == self.filter_class
        if self.show != "all":
            passes &= (self.predictions == self.labels) == (self.show == "right")
        numbers = np.flatnonzero(passes)
        if self.order == "least certain":
            certainty = self.probabilities[numbers].max(axis=1)
            numbers = numbers[np.argsort(certainty, kind="stable")]
        return numbers

    @traitlets.validate("selected")
    def _an_image(self, proposal: Any) -> int:
        last = len(self.images) - 1
        if not 0 <= proposal.value <= last:
            raise traitlets.TraitError(f"selected must be from 0 to {last}, not {proposal.value}")
        return int(proposal.value)

    @traitlets.validate("filter_class")
    def _a_class(self, proposal: Any) -> int | None:
        if proposal.value is None:
            return None
        if self.labels is None:
            raise traitlets.TraitError("filter_class chooses by the true class: it needs labels")
        if not 0 <= proposal.value < len(self.class_names):
            last = len(self.class_names) - 1
            raise traitlets.TraitError(
                f"filter_class must be a class from 0 to {last}, or None, not {proposal.value}"
            )
        return int(proposal.value)

    @traitlets.validate("show")
    def _right_or_wrong(self, proposal: Any) -> str:
        if proposal.value != "all" and (self.labels is None or self.predictions is None):
            raise traitlets.TraitError(
                f"show={proposal.value!r} needs labels, and predictions or probabilities to compare with them"
            )
        return str(proposal.value)

    @traitlets.validate("order")
    def _by_certainty(self, proposal: Any) -> str:
        if proposal.value != "given" and self.probabilities is None:
            raise traitlets.TraitError(f"order={proposal.value!r} needs probabilities")
        return str(proposal.value)

    @traitlets.observe("filter_class", "show", "order")
    def _select_the_first(self, change: Any) -> None:
        if len(self.shown) and "selected" not in self._property_lock:  # a view chooses for itself
            self.selected = int(self.shown[0])

    def on_a_page(self) -> dict[str, Any]:
        """Return what a page needs to show this widget as it is now; of many images, the first."""
        most = max(1, min(ON_A_PAGE, NUMBERS_ON_A_PAGE * len(self.images) // max(self.images.size, 1)))
        if len(self.images) <= most:
            return super().on_a_page()
        parts = {
            name: None if (values := getattr(self, name)) is None else values[:most]
            for name in ("labels", "probabilities", "predictions")
        }
        only = f"on this page the first {most} of {len(self.images):,}, with Python all"
        few = ImageBrowser(
            self.images[:most],
            class_names=self.class_names,
            columns=self.columns,
            note=f"{self.note}; {only}" if self.note else only,
            **parts,
        )
        few.filter_class, few.show, few.order = self.filter_class, self.show, self.order
        if self.selected < most:
            few.selected = self.selected
        few._number = self._number
        page = few.on_a_page()
        few.close()
        return page

    def picture(self) -> Figure:
        """Draw the first rows of the grid, each image with its class, and the predicted one if wrong."""
        numbers = self._in_the_picture()
        across = max(min(self.columns, len(numbers)), 3)
        down = max(-(-len(numbers) // across), 1)
        line = 1.2 if self.predictions is None else 1.35  # height of a row, with one or two lines of text
        figure, panel = plt.subplots(figsize=(0.95 * across, 0.95 * line * down), layout="constrained")
        panel.axis("off")
        height, width = (0.44 * side / max(self.images.shape[1:3]) for side in self.images.shape[1:3])
        for place, number in enumerate(numbers):
            x, y = place % across + 0.5, line * (place // across) + 0.5
            panel.imshow(
                self.images[number],
                cmap="gray",
                vmin=0,
                vmax=255 if self.images.dtype == np.uint8 else 1,
                extent=(x - width, x + width, y + height, y - height),
            )
            true, predicted = self._names(number)
            lines = [_short(true or predicted or f"image {number}")]
            if true and predicted and true != predicted:
                lines.append(f"✕ {_short(predicted)}")
            words = "\n".join(lines).replace("$", r"\$")  # a dollar sign would start mathematics
            ink = "#a12c22" if len(lines) == 2 else "#1f2328"
            panel.text(x, y + 0.47, words, ha="center", va="top", fontsize=8, color=ink)
        panel.set(xlim=(0, across), ylim=(line * down, 0), aspect="equal")
        if not len(numbers):
            panel.text(across / 2, 0.5, "No image passes these filters.", ha="center")
        return figure

    def description(self) -> str:
        """Say how many images there are, which are in the picture, and of which classes."""
        n, height, width = self.images.shape[:3]
        kind = "colour" if self.images.ndim == 4 else "grey"
        page = self._in_the_picture()
        words = f"A grid of {len(page)} {kind} images of {height} by {width} pixels, out of {n:,}"
        if len(self.shown) < n:
            words += f", of which {len(self.shown):,} pass the filters"
        if self.labels is None or not len(page):
            return f"{words}."
        return f"{words}. It begins with {', '.join(map(self._in_words, page[:5]))}."

    def _in_the_picture(self) -> NDArray[np.intp]:
        return self.shown[: self.columns * IN_THE_PICTURE]

    def _names(self, number: int) -> tuple[str | None, str | None]:
        """The true and the predicted class of an image, where they are known."""
        true = None if self.labels is None else self.class_names[self.labels[number]]
        predicted = None if self.predictions is None else self.class_names[self.predictions[number]]
        return true, predicted

    def _in_words(self, number: int) -> str:
        true, predicted = self._names(number)
        return f"{true}" if predicted in (None, true) else f"{true} predicted as {predicted}"


def _short(name: str) -> str:
    return name if len(name) <= 14 else f"{name[:13]}…"


def _note(dataset: Dataset) -> str:
    n = len(dataset.x_train)
    if n <= OF_A_DATASET:
        return dataset.note
    return f"{dataset.note}; the first {OF_A_DATASET:,} of {n:,} training images"


def _checked_images(images: Any) -> NDArray[Any]:
    """The images as a read-only array of uint8, float32 or float64, without a last axis of one channel."""
    try:
        array = np.asarray(images)
    except ValueError:
        raise ValueError("the images must all have the same size") from None
    if array.dtype.kind not in "iuf":
        raise TypeError(
            f"images must hold whole numbers in 0…255 or floats in 0…1, but their type is {array.dtype}"
        )
    if array.ndim not in (3, 4) or (array.ndim == 4 and array.shape[3] not in (1, 3)):
        raise ValueError(
            "images must have the shape (n, height, width), (n, height, width, 1) or (n, height, width, 3), "
            f"but theirs is {array.shape}"
            + ("; a single image is images[np.newaxis]" if array.ndim == 2 else "")
        )
    if array.size == 0:
        raise ValueError(f"there are no images: the shape is {array.shape}")
    if array.size > MOST_NUMBERS:
        fit = MOST_NUMBERS // (array.size // len(array))
        raise ValueError(
            f"{len(array):,} images hold {array.size:,} numbers; at most {MOST_NUMBERS:,} can be browsed: "
            + (f"images[:{fit}] fits" if fit else "make the images smaller")
        )
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ValueError("images holds NaN or infinity; every pixel must be a finite number")
    white = 1 if array.dtype.kind == "f" else 255
    if low < 0 or high > white:
        what = "floats must be in 0…1: divide by 255" if white == 1 else "whole numbers must be in 0…255"
        raise ValueError(f"the pixels run from {low:g} to {high:g}; {what}")
    if array.ndim == 4 and array.shape[3] == 1:
        array = array[..., 0]
    array = array.astype(np.uint8 if white == 255 else np.float32 if array.dtype.itemsize < 8 else np.float64)
    array.setflags(write=False)
    return array


def _checked_classes(
    n: int, labels: Any, class_names: Any, probabilities: Any, predictions: Any
) -> dict[str, Any]:
    """Labels, class names, probabilities and predictions that fit each other and `n` images."""
    labels = _whole_numbers("labels", labels, n)
    predictions = _whole_numbers("predictions", predictions, n)
    probabilities = _distributions(probabilities, n)
    names = None if class_names is None else [str(name) for name in class_names]
    if probabilities is not None:
        classes = probabilities.shape[1]
        if names is not None and len(names) != classes:
            raise ValueError(f"there are {len(names)} class names, but probabilities of {classes} classes")
        if predictions is None:
            predictions = probabilities.argmax(axis=1)
    elif names is not None:
        classes = len(names)
    else:
        classes = 1 + max(
            (int(given.max()) for given in (labels, predictions) if given is not None), default=0
        )
    for what, given in {"labels": labels, "predictions": predictions}.items():
        if given is not None and not (0 <= given.min() and given.max() < classes):
            wrong = given[(given < 0) | (given >= classes)][0]
            raise ValueError(f"{what} holds {wrong}, but the classes run from 0 to {classes - 1}")
    if probabilities is not None:
        chosen = probabilities[np.arange(n), predictions]
        for i in np.flatnonzero(chosen < probabilities.max(axis=1))[:1]:
            raise ValueError(
                f"predictions and probabilities disagree: image {i} is predicted as {predictions[i]}, "
                f"but class {probabilities[i].argmax()} is the most probable; give the probabilities alone"
            )
    names = names or [str(number) for number in range(classes)]
    return {
        "class_names": names, "labels": labels, "predictions": predictions, "probabilities": probabilities
    }  # fmt: skip


def _whole_numbers(what: str, values: Any, n: int) -> NDArray[np.integer[Any]] | None:
    """One class for each image."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.ndim == 2 and array.shape[1] == 1:
        raise ValueError(f"{what} must be 1-D, but their shape is {array.shape}: take {what}.ravel()")
    if array.ndim == 2:
        raise ValueError(
            f"{what} must be 1-D; their shape is {array.shape}: of one-hot rows take {what}.argmax(axis=1)"
            + (", and give probabilities as probabilities=…" if what == "predictions" else "")
        )
    if array.ndim != 1 or len(array) != n:
        raise ValueError(f"{what} must be one for each of the {n} images, but their shape is {array.shape}")
    if array.dtype.kind not in "iu":
        raise TypeError(f"{what} must be whole numbers (classes), but their type is {array.dtype}")
    return array


def _distributions(values: Any, n: int) -> NDArray[np.float32] | None:
    """For each image, probabilities that sum to 1."""
    if values is None:
        return None
    array = np.asarray(values)
    if array.ndim != 2 or len(array) != n or array.shape[1] == 0:
        raise ValueError(f"probabilities must have the shape ({n}, classes), but theirs is {array.shape}")
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ValueError("probabilities must be finite numbers; this holds NaN, infinity or something else")
    array = array.astype(np.float32)
    sums = array.sum(axis=1)
    if array.min() < 0 or array.max() > 1.001 or np.abs(sums - 1).max() > 0.01:
        i = int(np.abs(sums - 1).argmax())
        raise ValueError(
            f"these are no probabilities: they run from {array.min():g} to {array.max():g}, "
            f"and those of image {i} sum to {sums[i]:g}. "
            "If they are logits, take the softmax: scipy.special.softmax(logits, axis=1)"
        )
    return array


def _packed(images: NDArray[Any]) -> dict[str, Any]:
    """The images as the page reads them.

    Every number arrives as it is. So the page gets the numbers themselves, deflated, and not a picture file,
    whose pixels some browsers change when a script reads them. Colour images are sent as the differences
    between neighbouring pixels, modulo 256, which deflate to two thirds.
    """
    n, height, width = images.shape[:3]
    shape = [n, height, width, images.shape[3] if images.ndim == 4 else 1]
    pixel_type = "whole"
    if images.dtype != np.uint8:
        bytes_ = np.rint(images * 255).astype(np.uint8)
        exact = np.abs(bytes_ / 255 - images).max() < 1e-6  # dividing and rounding in float32 leaves 1e-7
        pixel_type = "over 255" if exact else "float32"
        images = bytes_ if exact else images.astype("<f4")
    if pixel_type != "float32" and shape[3] == 3:
        for axis in (1, 2):
            images = np.diff(images, axis=axis, prepend=np.uint8(0))
    return {"pixels": zlib.compress(images.tobytes()), "pixel_type": pixel_type, "image_shape": shape}

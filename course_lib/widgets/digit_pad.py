"""DigitPad: draw a digit, and see what a network makes of it."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from course_lib.widgets.base import HERE, Array, read_module, read_style
from course_lib.widgets.network import Network, NetworkWidget, Values, percent
from course_lib.widgets.network_explorer import draw_bars

SIDE, BOX, FINEST = 28, 20, 560  # pixels


class DigitPad(NetworkWidget):
    """A pad to draw on, and what a network for MNIST makes of the drawing, down to its feature maps.

    The drawing is scaled and centred as the digits of MNIST were (`as_mnist`), unless that is switched off.

    Parameters
    ----------
    model : keras.Sequential
        As `Network` takes it, for images of 28 × 28 pixels with one channel.
    images : array_like of uint8, shape (n, 28, 28), optional
        Digits to begin with, 20 at most. The first is drawn on the pad.
    class_names : sequence of str, optional
        One for each class; their numbers if not given.

    Attributes
    ----------
    drawing : ndarray of uint8, shape (side, side), or None
        Ink from 0 to 255; None is an empty pad. 28 divides the side; the pad itself draws on 280 × 280.
    centred : bool
        Whether the drawing is scaled and centred before the network sees it.
    image : ndarray of uint8, shape (28, 28), or None
        What the network sees. Set it to draw it.
    probabilities : ndarray, shape (classes,), or None
        What the network answers.
    brush : float
        Width of the pen, in pixels of the image.

    Raises
    ------
    TypeError, ValueError
        As `Network` does; also if the model doesn't take 28 × 28 pixels, or `images` are not such images.

    Examples
    --------
    >>> from course_lib.networks import mnist_cnn
    >>> pad = DigitPad(mnist_cnn())
    >>> pad.probabilities is None
    True
    >>> pad.image = np.eye(28, dtype=np.uint8) * 255
    >>> pad.image.shape, pad.probabilities.shape
    ((28, 28), (10,))

    Used in 1.4.
    """

    _esm = read_module("digit_pad")
    _css = read_style("layer_view") + (HERE / "digit_pad.css").read_text(encoding="utf8")

    images = Array(3, allow_none=True, default_value=None)
    drawing = Array(2, allow_none=True, default_value=None)
    centred = traitlets.Bool(True).tag(sync=True)
    brush = traitlets.Float(2.5, min=1, max=5).tag(sync=True)
    image = Array(2, allow_none=True, default_value=None).tag(sync=False)
    probabilities = Array(1, allow_none=True, default_value=None).tag(sync=False)

    def __init__(
        self, model: Any, *, images: ArrayLike | None = None, class_names: ArrayLike | None = None
    ) -> None:
        network = Network(model)
        if network.input_shape != (SIDE, SIDE, 1):
            raise ValueError(f"the model must take images of (28, 28, 1), but takes {network.input_shape}")
        if images is not None:
            images = np.asarray(images)
            if images.dtype != np.uint8 or images.shape[1:] != (SIDE, SIDE) or not 1 <= len(images) <= 20:
                raise ValueError(
                    f"images must be 1 to 20 of 28 × 28 pixels, uint8; "
                    f"got {images.dtype} of shape {images.shape}"
                )
        super().__init__(network, class_names, images=images, divisor=1.0 if network.rescales else 255.0)
        if self.images is not None:
            self.drawing = self.images[0]

    @traitlets.validate("drawing", "image")
    def _is_ink(self, proposal: Any) -> Values | None:
        ink: Values | None = proposal["value"]
        if ink is None:
            return None
        name = proposal["trait"].name
        if ink.dtype != np.uint8:
            raise traitlets.TraitError(f"{name} must be an array of uint8, whole numbers from 0 to 255")
        height, width = ink.shape
        largest = SIDE if name == "image" else FINEST
        if height != width or height % SIDE or height > largest:
            wanted = (
                "28 × 28" if name == "image" else f"square, with a side that 28 divides, {FINEST} at most"
            )
            raise traitlets.TraitError(f"{name} must be {wanted}, but its shape is {ink.shape}")
        return ink

    @traitlets.observe("drawing", "centred")
    def _see(self, change: Any) -> None:
        image = self._seen()
        outputs = None if image is None else self.network.outputs(image[..., np.newaxis] / self.divisor)
        self.probabilities = None if outputs is None else self.network.probabilities(outputs)
        self.image = image

    @traitlets.observe("image")
    def _draw(self, change: Any) -> None:
        image, seen = self.image, self._seen()
        same = image is seen if image is None or seen is None else np.array_equal(image, seen)
        if not same:  # it was set by hand, and not by what is seen of the drawing
            self.drawing = image

    def _seen(self) -> Values | None:
        """What the network sees of the drawing, now."""
        if self.drawing is None or (steps := as_mnist(self.drawing)) is None:
            return None
        return steps[1] if self.centred else area_mean(self.drawing, SIDE, SIDE)

    def picture(self) -> Figure:
        """Draw the drawing, its two steps, and the bars of the answer."""
        if self.drawing is None or (steps := as_mnist(self.drawing)) is None:
            figure, panel = plt.subplots(figsize=(3, 3))
            panel.imshow(np.zeros((SIDE, SIDE)), cmap="gray")
            panel.set_title("an empty pad")
            panel.axis("off")
            return figure
        figure, (*panels, bars) = plt.subplots(
            1, 4, figsize=(7.4, 2.3), width_ratios=[1, 1, 1, 1.4], layout="constrained"
        )
        titles = ["drawn", f"scaled to\n{steps[0].shape[0]} × {steps[0].shape[1]}", "centred in\n28 × 28"]
        for panel, image, title in zip(panels, [self.drawing, *steps], titles, strict=True):
            panel.imshow(image, cmap="gray", vmin=0, vmax=255)
            panel.set_title(title)
            panel.axis("off")
        draw_bars(bars, self.probabilities, self.class_names)
        return figure

    def description(self) -> str:
        """Say what the network answers."""
        if self.probabilities is None:
            return "An empty pad to draw a digit on, for a network to answer which digit it is."
        answer = int(self.probabilities.argmax())
        how = "scaled and centred as the digits of MNIST were" if self.centred else "left where it was drawn"
        return (
            f"A drawn digit, {how}, and bars for the probability of each class: "
            f"the network answers {self.class_names[answer]} "
            f"with a probability of {percent(self.probabilities[answer])}."
        )


def as_mnist(drawing: ArrayLike) -> tuple[Values, Values] | None:
    """Scale and centre a drawing as the digits of MNIST were; of a digit of MNIST, it makes the same digit.

    Cut to the ink, scale to fit into 20 × 20 pixels keeping the aspect ratio, and place in 28 × 28 so that
    the centre of mass is the centre, to half a pixel. Source: LeCun et al. (1998).

    Parameters
    ----------
    drawing : array_like of uint8, shape (height, width)
        Ink from 0 to 255.

    Returns
    -------
    tuple of two ndarrays of uint8, or None
        The scaled ink, and the image of 28 × 28; None if there is no ink.

    Examples
    --------
    >>> scaled, centred = as_mnist(np.full((40, 10), 255, np.uint8))
    >>> scaled.shape, centred.shape
    ((20, 5), (28, 28))
    """
    ink = np.asarray(drawing)
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if len(rows) == 0:
        return None
    ink = ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scaled = area_mean(ink, *(max(1, int(side * BOX / max(ink.shape) + 0.5)) for side in ink.shape))
    mass = int(scaled.sum(dtype=int))
    if mass == 0:
        return None
    corner = []
    for axis, side in enumerate(scaled.shape):
        centre = int((scaled.sum(axis=1 - axis, dtype=int) * np.arange(side)).sum()) / mass
        corner.append(int(np.clip(np.floor(SIDE / 2 - centre + 0.5), 0, SIDE - side)))
    image = np.zeros((SIDE, SIDE), np.uint8)
    image[corner[0] : corner[0] + scaled.shape[0], corner[1] : corner[1] + scaled.shape[1]] = scaled
    return scaled, image


def area_mean(image: ArrayLike, rows: int, columns: int) -> Values:
    """Scale a uint8 image: every new pixel is the mean of the area that it covers.

    Examples
    --------
    >>> area_mean(np.array([[0, 100, 200, 100]], np.uint8), 1, 2)
    array([[ 50, 150]], dtype=uint8)
    """
    pixels = np.asarray(image)
    mean = _shares(pixels.shape[0], rows) @ pixels @ _shares(pixels.shape[1], columns).T
    rounded: Values = np.floor(mean + 0.5).astype(np.uint8)
    return rounded


def _shares(size: int, parts: int) -> Values:
    """How much of each of `parts` equal parts each of `size` pixels makes up, shape (parts, size)."""
    pixel, part = np.arange(size), np.arange(parts)[:, np.newaxis] * size / parts
    covered = np.minimum(part + size / parts, pixel + 1) - np.maximum(part, pixel)
    return np.asarray(np.clip(covered, 0, None) * parts / size)

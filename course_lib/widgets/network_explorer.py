"""NetworkExplorer: a trained network on a chosen image, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from course_lib.widgets.base import HERE, Array, read_module, read_style
from course_lib.widgets.network import Network, NetworkWidget, Values, percent


class NetworkExplorer(NetworkWidget):
    """What a trained network makes of an image: every feature map, what made it, and the answer.

    The widget holds the weights that the model has now; train on, and make a new one.

    Parameters
    ----------
    model : keras.Sequential
        As `Network` takes it. Softmax is applied to the last layer's numbers if the model does not do so.
    images : array_like, shape (n, height, width) or (n, height, width, channels)
        uint8 pixels are divided by 255, as in the chapters, unless the model has a layer Rescaling. Other
        numbers enter the network as they are.
    labels : array_like of int, shape (n,), optional
        The true classes. With them, images can be chosen by whether they were answered right.
    class_names : sequence of str, optional
        One for each class; their numbers if not given.
    image_names : sequence of str, optional
        One for each image, such as "test image 247".

    Attributes
    ----------
    index, layer, channel, row, column : int
        The image, the layer (as in ``model.layers``), its feature map, and the pixel of it that is looked at.
    feature_map : ndarray
        The chosen map, shape (rows, columns); of a dense layer its numbers, shape (units,). Read only.

    Raises
    ------
    TypeError, ValueError
        As `Network` does; also if images, labels or names don't fit the model or each other.

    Examples
    --------
    >>> from course_lib.networks import mnist_cnn
    >>> explorer = NetworkExplorer(mnist_cnn(), np.zeros((2, 28, 28), np.uint8))
    >>> explorer.layer, explorer.channel = 2, 31
    >>> explorer.feature_map.shape
    (11, 11)

    Used in 1.4 and 1.6.
    """

    _esm = read_module("network_explorer")
    _css = read_style("layer_view") + (HERE / "network_explorer.css").read_text(encoding="utf8")

    images = Array(4)
    labels = Array(1, dtype="int32", allow_none=True, default_value=None)
    answers = Array(1, dtype="int32")
    image_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    index = traitlets.Int(0, min=0, help="The image looked at.").tag(sync=True)
    shown = traitlets.Enum(["all", "right", "wrong"], "all", help="The images to choose from.").tag(sync=True)

    def __init__(
        self,
        model: Any,
        images: ArrayLike,
        *,
        labels: ArrayLike | None = None,
        class_names: Sequence[str] | None = None,
        image_names: Sequence[str] | None = None,
    ) -> None:
        network = Network(model)
        pixels, divisor = as_pixels(images, network)
        if labels is not None:
            labels = _as_labels(labels, len(pixels), network.classes)
        if image_names is not None and len(image_names) != len(pixels):
            raise ValueError(f"{len(image_names)} image names, but {len(pixels)} images: each needs one")
        scores = model.predict((pixels / divisor).astype("float32"), verbose=0)
        super().__init__(
            network,
            class_names,
            images=pixels,
            divisor=divisor,
            labels=labels,
            answers=scores.argmax(axis=1),
            image_names=[] if image_names is None else [str(name) for name in image_names],
        )

    @traitlets.validate("index", "layer")
    def _within(self, proposal: Any) -> int:
        name = proposal["trait"].name
        number = len(self.images if name == "index" else self.layers)
        if proposal["value"] >= number:
            raise traitlets.TraitError(f"{name} must be from 0 to {number - 1}, got {proposal['value']}")
        return int(proposal["value"])

    def _outputs(self) -> list[Values]:
        return self.network.outputs(self.images[self.index] / self.divisor)

    @property
    def feature_map(self) -> Values:
        """The chosen map of the chosen layer, on the chosen image."""
        output = self._outputs()[self.layer]
        if output.ndim != 3:
            return output
        return output[..., min(self.channel, output.shape[2] - 1)]  # as the view, if the layer has fewer maps

    def _name(self) -> str:
        return self.image_names[self.index] if self.image_names else f"image {self.index}"

    def picture(self) -> Figure:
        """Draw the image, the maps of each layer, and the bars of the answer."""
        outputs = self._outputs()
        maps = [
            (f"{k} · {layer['class']}, {' × '.join(map(str, output.shape))}", mosaic(output))
            for k, (layer, output) in enumerate(zip(self.layers, outputs, strict=True))
            if output.ndim == 3 and layer["kind"] != "dropout"
        ]
        heights = [3.0, *(7.4 * tiles.shape[0] / tiles.shape[1] + 0.3 for _, tiles in maps)]
        figure = plt.figure(figsize=(7.4, sum(heights)), layout="constrained")
        top, *rest = np.atleast_1d(figure.subfigures(len(heights), 1, height_ratios=heights))  # type: ignore[arg-type]
        left, right = top.subplots(1, 2, width_ratios=[1, 1.6])
        image = self.images[self.index]
        left.imshow(image if image.shape[2] == 3 else image[:, :, 0], cmap="gray")
        left.set_title(self._name().replace("$", r"\$"))  # else a dollar sign would start mathematics
        left.axis("off")
        draw_bars(right, self.network.probabilities(outputs), self.class_names)
        for part, (title, tiles) in zip(rest, maps, strict=True):
            panel = part.subplots()
            draw_values(panel, tiles)
            panel.set_title(title, fontsize=9, loc="left")
        return figure

    def description(self) -> str:
        """Say which image, and what the network answers."""
        probabilities = self.network.probabilities(self._outputs())
        answer = int(probabilities.argmax())
        true = "" if self.labels is None else f", of class {self.class_names[self.labels[self.index]]}"
        return (
            f"A network on {self._name()}{true}: its feature maps layer by layer, and bars for the "
            f"probability of each class. It answers {self.class_names[answer]} "
            f"with a probability of {percent(probabilities[answer])}."
        )


def as_pixels(images: ArrayLike, network: Network) -> tuple[Values, float]:
    """Return images as (n, height, width, channels), and what divides them on their way into the network."""
    pixels = np.asarray(images)
    if pixels.dtype.kind not in "uif":
        raise ValueError(f"images must hold real numbers, but their type is {pixels.dtype}")
    if pixels.ndim == 3 and network.input_shape[2] == 1:
        pixels = pixels[..., np.newaxis]
    if pixels.shape[1:] != network.input_shape or len(pixels) == 0:
        wanted = ", ".join(map(str, network.input_shape))
        raise ValueError(
            f"the network takes images of shape (n, {wanted}), but these have {np.shape(images)}"
        )
    if pixels.dtype == np.uint8:
        return pixels, 1.0 if network.rescales else 255.0
    if not np.isfinite(pixels).all():
        raise ValueError("images hold NaN or infinity; every number must be finite")
    fractions = pixels.astype(np.float32)
    whole = np.rint(fractions * 255)
    if (
        0 <= whole.min()
        and whole.max() <= 255
        and np.array_equal((whole / 255).astype(np.float32), fractions)
    ):
        return whole.astype(np.uint8), 255.0  # pixels divided by 255 are sent as pixels: a byte each
    return fractions, 1.0


def _as_labels(labels: ArrayLike, images: int, classes: int) -> Values:
    array = np.asarray(labels)
    if array.shape != (images,):
        raise ValueError(f"each of the {images} images needs a label, but their shape is {array.shape}")
    if array.dtype.kind not in "ui" or array.min() < 0 or array.max() >= classes:
        raise ValueError(f"labels must be whole numbers from 0 to {classes - 1}, the network's classes")
    return array


# Drawing with matplotlib ------------------------------------------------------------------------------------


def mosaic(maps: Values, columns: int = 16) -> Values:
    """Lay the maps of a layer, shape (rows, columns, maps), side by side, with NaN between them."""
    height, width, number = maps.shape
    columns = min(columns, number)
    rows = -(-number // columns)
    tiles = np.full((rows * (height + 1), columns * (width + 1)), np.nan)
    for k in range(number):
        i, j = k // columns * (height + 1), k % columns * (width + 1)
        tiles[i : i + height, j : j + width] = maps[..., k]
    return tiles


def draw_values(panel: Axes, values: Values) -> None:
    """Draw an array in grey, or signed if a number is negative: the colours of the book."""
    limit = float(np.nanmax(np.abs(values))) or 1.0
    signed = np.nanmin(values) < 0
    panel.imshow(values, cmap="PuOr" if signed else "gray", vmin=-limit if signed else 0, vmax=limit)
    panel.axis("off")


def draw_bars(panel: Axes, probabilities: Values, names: Sequence[str]) -> None:
    """Draw a bar for the probability of each class, the largest one darker."""
    colors = np.where(np.arange(len(probabilities)) == probabilities.argmax(), "#0b5a8f", "#8a939c")
    panel.barh(range(len(names)), probabilities, color=colors)
    panel.set(yticks=range(len(names)), xlim=(0, 1), xlabel="probability")
    panel.set_yticklabels([name.replace("$", r"\$") for name in names])
    panel.invert_yaxis()

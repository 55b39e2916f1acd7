"""The figures of the book: what is drawn again and again once a chapter has drawn it by hand.

Every function draws with matplotlib and returns the Figure or Axes it drew on. In a notebook, end the cell
with ``plt.show()``: the figure is shown once, and the returned object is not printed.

Arrays without negative numbers are drawn in grey, black at 0 and white at the largest number. Arrays with
negative numbers are drawn from orange (negative) through white (0) to purple (positive).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import ConnectionPatch, Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from course_lib.convolution import convolution, maxpool_layer

if TYPE_CHECKING:
    from course_lib.training import History  # imports TensorFlow, which a figure does not need

SIGNED = "PuOr"  # a diverging colour map that colour-blind readers can read
MARK = "#D55E00"  # outlines: vermilion stands out on grey and on white


# Task 2: pictures, kernels and feature maps -----------------------------------------------------------------


def numbers(array: ArrayLike, *, ax: Axes | None = None, title: str = "") -> Axes:
    """Draw an array as a picture with its number written in each cell. Used in 2.1.

    Parameters
    ----------
    array : array_like, shape (height, width)
        Real numbers.
    ax : Axes, optional
        Where to draw; a new figure, as large as the array needs, if not given.
    title : str
        Written above.

    Examples
    --------
    >>> numbers([[56, 250], [0, 240]], title="X").get_title()
    'X'
    """
    values = np.asarray(array)
    rows, columns = values.shape
    if ax is None:
        cell = min(0.5, 7.4 / columns)  # inches; the column of a page is about 7.4 wide
        _, ax = plt.subplots(figsize=(columns * cell + 0.2, rows * cell + 0.4))
        font = min(10.0, 25 * cell)
    else:
        font = 9.0
    _write(ax, values, _draw(ax, values), font)
    ax.set_title(title)
    return ax


def sliding_window(X: ArrayLike, K: ArrayLike, row: int, column: int) -> Figure:
    """Draw one step of a convolution: the window in `X`, the kernel, the products and their sum. Used in 2.2.

    Parameters
    ----------
    X, K : array_like, 2-D
        A small picture and a kernel that fits into it.
    row, column : int
        The pixel of the feature map to explain, counted from 0.

    Raises
    ------
    ValueError
        If the window does not lie inside the picture there.

    Examples
    --------
    >>> len(sliding_window(np.eye(4), np.ones((3, 3)), row=0, column=1).axes)
    4
    """
    picture, kernel = np.asarray(X), np.asarray(K)
    height, width = kernel.shape
    feature_map = convolution(picture, kernel)
    rows, columns = feature_map.shape
    if row not in range(rows) or column not in range(columns):
        raise ValueError(
            f"the window fits at rows 0 to {rows - 1} and columns 0 to {columns - 1}, "
            f"not at row {row}, column {column}"
        )
    window = picture[row : row + height, column : column + width]
    panels = {
        "picture X": picture,
        "kernel K": kernel,
        "products": window * kernel.astype(float),
        f"sum: {feature_map[row, column]:g}".replace("-", "−"): feature_map,
    }
    widths = [panel.shape[1] for panel in panels.values()]
    figure, axes = plt.subplots(1, 4, figsize=(7.4, 2.5), width_ratios=widths)
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        numbers(panel, ax=ax, title=title)
    _outline(axes[0], row, column, height, width)
    _outline(axes[3], row, column, 1, 1)
    return figure


def pooling_blocks(X: ArrayLike, size: int = 2) -> Figure:
    """Draw the blocks of a small array, the largest number of each outlined, beside the pooled array.

    Used in 2.7.

    Parameters
    ----------
    X : array_like, 2-D
        A small array; what fills no whole block is left without a frame.
    size : int
        Side of a block.

    Examples
    --------
    >>> len(pooling_blocks(np.eye(4)).axes)
    2
    """
    values = np.asarray(X)
    pooled = maxpool_layer(values, size)
    widths = [values.shape[1], pooled.shape[1]]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(0.5 * sum(widths) + 1, 0.5 * values.shape[0] + 0.4), width_ratios=widths
    )
    for ax, array, title in [(left, values, "blocks"), (right, pooled, "largest of each")]:
        _write(ax, array, _draw(ax, array, scale=values))
        ax.set_title(title)
    for i, j in itertools.product(range(pooled.shape[0]), range(pooled.shape[1])):
        _outline(left, i * size, j * size, size, size, color="#56B4E9")
        block = values[i * size : (i + 1) * size, j * size : (j + 1) * size]
        row, column = np.unravel_index(block.argmax(), block.shape)
        _outline(left, i * size + int(row), j * size + int(column), 1, 1)
    return figure


def two_drawings(array: ArrayLike) -> Figure:
    """Draw a matrix as ``imshow`` does and as R's ``image`` does. Used in 2.1.

    ``imshow`` puts row 0 at the top. ``image`` puts row 0 at the left and column 0 at the bottom.

    Parameters
    ----------
    array : array_like, shape (height, width)
        Real numbers.

    Examples
    --------
    >>> [ax.get_title() for ax in two_drawings(np.eye(3)).axes]
    ['imshow(A)', "imshow(A.T, origin='lower')"]
    """
    values = np.asarray(array)
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.4))
    _draw(left, values)
    left.set(title="imshow(A)", xlabel="column of A", ylabel="row of A")
    _draw(right, values.T, origin="lower")
    right.set(title="imshow(A.T, origin='lower')", xlabel="row of A", ylabel="column of A")
    return figure


def stages(arrays: Mapping[str, ArrayLike]) -> Figure:
    """Draw arrays in reading order, three a row, each with its title, shape and colour bar. Used in 2.3.

    Parameters
    ----------
    arrays : mapping of str to array_like
        Titles and 2-D arrays.

    Examples
    --------
    >>> figure = stages({"picture": np.zeros((28, 28)), "feature map": np.ones((26, 26))})
    >>> figure.axes[1].get_title().splitlines()
    ['feature map', '26 × 26']
    """
    columns = min(3, len(arrays))
    rows = -(-len(arrays) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(2.5 * columns, 2.45 * rows), squeeze=False)
    for ax in axes.flat[len(arrays) :]:
        ax.remove()
    for ax, (title, array) in zip(axes.flat, arrays.items(), strict=False):
        values = np.asarray(array)
        image = _draw(ax, values)
        ax.set(xticks=[], yticks=[], title=f"{title}\n{values.shape[0]} × {values.shape[1]}")
        figure.colorbar(image, ax=ax, shrink=0.8)
    return figure


def receptive_field(
    picture: ArrayLike, feature_map: ArrayLike, pooled: ArrayLike, row: int, column: int
) -> Figure:
    """Draw which pixels of picture and feature map one pixel of the pooled map has seen. Used in 2.8.

    Kernel size and block size follow from the shapes.

    Parameters
    ----------
    picture, feature_map, pooled : array_like, 2-D
        The stages: the picture, its convolution with stride 1 ("valid"), and that pooled block by block.
    row, column : int
        The pixel of `pooled`, counted from 0.

    Examples
    --------
    >>> figure = receptive_field(np.ones((28, 28)), np.ones((26, 26)), np.ones((13, 13)), row=2, column=5)
    >>> figure.axes[0].get_title()
    'picture: 4 × 4 pixels'
    """
    arrays = [np.asarray(array) for array in (picture, feature_map, pooled)]
    kernel = arrays[0].shape[0] - arrays[1].shape[0] + 1
    size = arrays[1].shape[0] // arrays[2].shape[0]
    sides = [size + kernel - 1, size, 1]
    corners = [(row * size, column * size), (row * size, column * size), (row, column)]
    titles = ["picture", "feature map", "pooled map"]
    figure, axes = plt.subplots(1, 3, figsize=(7.4, 2.8))
    for ax, array, title, corner, side in zip(axes, arrays, titles, corners, sides, strict=True):
        _draw(ax, array)
        _outline(ax, *corner, side, side)
        ax.set(xticks=[], yticks=[], title=f"{title}: {side} × {side} pixel{'s' if side > 1 else ''}")
    for k, edge in itertools.product(range(2), (0, 1)):  # from the upper and the lower right corner
        start = corners[k][1] + sides[k] - 0.5, corners[k][0] + edge * sides[k] - 0.5
        end = corners[k + 1][1] - 0.5, corners[k + 1][0] + edge * sides[k + 1] - 0.5
        figure.add_artist(
            ConnectionPatch(
                start, end, "data", "data", axesA=axes[k], axesB=axes[k + 1], color=MARK, linewidth=1.2
            )
        )
    return figure


# Task 1: images and training runs ---------------------------------------------------------------------------


def images(array: ArrayLike, titles: Sequence[str], columns: int = 5) -> Figure:
    """Draw images in rows, each with its title. Used in 1.4.

    Parameters
    ----------
    array : array_like, shape (n, height, width) or (n, height, width, 3)
        Grey images, drawn as ink on paper, or colour images; uint8 in 0…255 or fractions in 0…1.
    titles : sequence of str
        One for each image.
    columns : int
        Images in a row.

    Raises
    ------
    ValueError
        There are more or fewer titles than images.

    Examples
    --------
    >>> figure = images(np.zeros((2, 28, 28)), ["a 5", "a 0"])
    >>> [panel.get_title() for panel in figure.axes]
    ['a 5', 'a 0']
    """
    values = np.asarray(array)
    if len(values) != len(titles):
        raise ValueError(f"{len(values)} images, but {len(titles)} titles: each image needs one")
    rows = -(-len(values) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(1.5 * columns, 1.85 * rows), squeeze=False)
    for panel in axes.flat:
        panel.axis("off")
    largest = 255 if values.dtype == np.uint8 else 1
    for panel, image, title in zip(axes.flat, values, titles, strict=False):
        panel.imshow(image, cmap="gray_r", vmin=0, vmax=largest)
        panel.set_title(title, fontsize=9)
    for panel in axes.flat[len(values) :]:
        panel.remove()
    return figure


def image_rows(rows: Mapping[str, ArrayLike], titles: Sequence[str]) -> Figure:
    """Draw rows of pictures under one another, a column for each image. Used in "What a network sees".

    Parameters
    ----------
    rows : mapping of str to array_like, shape (n, height, width) or (n, height, width, 3)
        What each row shows, and its n pictures: colours as fractions in 0…1, or numbers, each picture from
        black (0) to white (its largest number).
    titles : sequence of str
        One for each column.

    Raises
    ------
    ValueError
        A row has more or fewer pictures than there are titles.

    Examples
    --------
    >>> figure = image_rows({"photo": np.zeros((2, 8, 8, 3)), "edges": np.ones((2, 8, 8))}, ["cat", "ship"])
    >>> [panel.get_title() for panel in figure.axes]
    ['cat', 'ship', '', '']
    """
    for name, pictures in rows.items():
        if len(np.asarray(pictures)) != len(titles):
            raise ValueError(
                f"{len(np.asarray(pictures))} pictures in the row {name!r}, but {len(titles)} titles: "
                "each column needs one"
            )
    size = (1.25 * len(titles) + 0.3, 1.25 * len(rows) + 0.2)
    figure, axes = plt.subplots(len(rows), len(titles), figsize=size, squeeze=False)
    for panels, (name, pictures) in zip(axes, rows.items(), strict=True):
        for panel, picture in zip(panels, np.asarray(pictures), strict=True):
            if picture.ndim == 3:
                panel.imshow(picture)
            else:
                _draw(panel, picture)
            panel.set(xticks=[], yticks=[])
        panels[0].set_ylabel(name)
    for panel, title in zip(axes[0], titles, strict=True):
        panel.set_title(title)
    return figure


def learning_curves(history: History, metric: str = "val_loss") -> Figure:
    """Draw loss and accuracy over the epochs, and a dashed line where `metric` is best. Used in 1.4.

    Parameters
    ----------
    history : History
        What ``fit`` returned, with validation.
    metric : str
        Decides the best epoch.
    """
    epochs = np.arange(1, history.epochs + 1)
    best = history.best_epoch(metric)
    figure, panels = plt.subplots(1, 2, figsize=(7, 2.8))
    for panel, name in zip(panels, ("loss", "accuracy"), strict=True):
        panel.plot(epochs, history.history[name], marker=".", label="training")
        panel.plot(epochs, history.history[f"val_{name}"], marker=".", label="validation")
        panel.axvline(best, color="0.5", linestyle="dashed", linewidth=1, label=f"best epoch: {best}")
        panel.set(title=name, xlabel="epoch")
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panels[0].legend()
    return figure


def validation_curves(histories: Mapping[str, History], metric: str = "val_accuracy") -> Axes:
    """Draw one metric of several runs over the epochs, a dot where each is best. Used in 1.6.

    Parameters
    ----------
    histories : mapping of str to History
        Names and what ``fit`` returned.
    metric : str
        Which metric.
    """
    _, panel = plt.subplots(figsize=(6.4, 3.4))
    for name, history in histories.items():
        (line,) = panel.plot(range(1, history.epochs + 1), history.history[metric], label=name)
        panel.plot(history.best_epoch(metric), history.best(metric), "o", color=line.get_color())
    panel.set(xlabel="epoch", title=metric.replace("val_", "validation "))
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.legend()
    return panel


# Further: how fast ------------------------------------------------------------------------------------------


def roofline(peak: float, bandwidths: Mapping[str, float], forms: Mapping[str, tuple[float, float]]) -> Axes:
    """Draw how fast computations run below the roof that the machine sets them (Williams et al. 2009).

    A computation that makes `i` operations with each byte it moves can be no faster than ``i * bandwidth``,
    and nothing is faster than `peak`. Used in "The loop, sped up a thousand times".

    Parameters
    ----------
    peak : float
        Operations per second, at most.
    bandwidths : mapping of str to float
        Name of a memory → bytes per second.
    forms : mapping of str to (float, float)
        Name of a computation → its operations per byte, and its operations per second.

    Examples
    --------
    >>> roofline(1e11, {"memory": 2e10}, {"loops": (1.0, 5e6), "a product": (60.0, 7e10)}).get_xlabel()
    'operations per byte moved'
    """
    _, ax = plt.subplots(figsize=(7.4, 3.8))
    intensities = [intensity for intensity, _ in forms.values()]
    bends = [peak / bandwidth for bandwidth in bandwidths.values()]
    left, right = min(intensities + bends) / 3, max(intensities + bends) * 3
    lines = itertools.cycle(["-", "--", ":"])
    for (name, bandwidth), bend, line in zip(bandwidths.items(), bends, lines, strict=False):
        ax.plot([left, bend, right], [left * bandwidth, peak, peak], line, color="0.4", label=name)
    for (name, (intensity, speed)), marker in zip(forms.items(), itertools.cycle("osD^vP*X"), strict=False):
        ax.plot(intensity, speed, marker, markersize=7, label=name)
    ax.set(xscale="log", yscale="log", xlabel="operations per byte moved", ylabel="operations per second")
    ax.grid(alpha=0.3)
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
    return ax


def _draw(
    ax: Axes,
    values: NDArray[Any],
    origin: Literal["upper", "lower"] = "upper",
    scale: NDArray[Any] | None = None,
) -> AxesImage:
    """Draw an array in grey, or signed if a number is negative; in the colours of `scale`, if given."""
    scale = values if scale is None else scale
    limit = float(np.abs(scale).max()) or 1.0  # an array of zeros is black, not an error
    if scale.min() < 0:
        return ax.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, origin=origin)
    return ax.imshow(values, cmap="gray", vmin=0, vmax=limit, origin=origin)


def _write(ax: Axes, values: NDArray[Any], image: AxesImage, font: float = 9.0) -> None:
    """Write the number into each cell of a drawn array, in black or white, whichever can be read."""
    rows, columns = values.shape
    for i, j in itertools.product(range(rows), range(columns)):
        red, green, blue, _ = image.to_rgba(values[i, j])
        bright = 0.3 * red + 0.59 * green + 0.11 * blue > 0.5
        number = f"{values[i, j] + 0:g}".replace("-", "−")  # + 0 makes 0 of -0.0
        ax.text(j, i, number, ha="center", va="center", fontsize=font, color="black" if bright else "white")
    ax.set(xticks=[], yticks=[])


def _outline(ax: Axes, row: int, column: int, height: int, width: int, color: str = MARK) -> None:
    """Frame a block of pixels; pixel (i, j) is centred on the point (j, i)."""
    ax.add_patch(
        Rectangle(
            (column - 0.5, row - 0.5),
            width,
            height,
            fill=False,
            edgecolor=color,
            linewidth=2.5,
            clip_on=False,
        )
    )

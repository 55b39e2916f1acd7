"""Change a kernel and see the feature map change."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from course_lib.convolution import Padding, conv2d, maxpool_layer
from course_lib.widgets.base import (
    Array,
    CourseWidget,
    array_from_json,
    array_to_json,
    read_module,
    read_style,
)

K = ((-0.5, -0.5, -0.5), (1, 1, 1), (-0.5, -0.5, -0.5))  # the kernel of the assignment
SLOPE = 0.1  # of the leaky ReLU, as in the networks of 1.9
LONGEST_SIDE = 128  # pixels: a larger picture is neither seen nor computed at once
LARGEST = 1e6  # of a kernel's numbers and the bias, so that no sum overflows

ACTIVATIONS: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {
    "none": lambda x: x,
    "relu": lambda x: np.maximum(x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, SLOPE * x),
}


class Image(Array):
    """A trait that holds a grey image (height, width) or a colour image (height, width, 3).

    uint8 stays uint8. Other numbers become float32 if that holds each of them exactly, else float64.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(2, 3, **options)

    def validate(self, widget: Any, value: Any) -> NDArray[Any]:
        """Return a read-only copy, or raise a TraitError that says what was wrong and what would be right."""
        if isinstance(value, np.ndarray) and value.ndim == 4:
            raise traitlets.TraitError(f"{self.name} is a batch of images: pass them as a list, list(images)")
        image = super().validate(widget, value)
        assert image is not None
        if image.ndim == 3 and image.shape[2] == 1:
            image = image[:, :, 0]
        if image.ndim == 3 and image.shape[2] != 3:
            raise traitlets.TraitError(
                f"{self.name} must have the shape (height, width) or (height, width, 3), but it is "
                f"{image.shape}. Several images go in as a list: list(images)"
            )
        if max(image.shape[:2]) > LONGEST_SIDE:
            step = -(-max(image.shape[:2]) // LONGEST_SIDE)
            raise traitlets.TraitError(
                f"{self.name} has {image.shape[0]} × {image.shape[1]} pixels; at most {LONGEST_SIDE} a side "
                f"can be shown. Crop it, image[:{LONGEST_SIDE}, :{LONGEST_SIDE}], or skip pixels, "
                f"image[::{step}, ::{step}]"
            )
        if image.dtype != np.uint8:
            if np.abs(image).max() > np.finfo(np.float32).max:
                raise traitlets.TraitError(f"{self.name} holds numbers that are too large for float32")
            compact = image.astype(np.float32)
            if np.array_equal(compact, image):
                image = compact
                image.setflags(write=False)
        return image


class Kernel(Array):
    """A trait that holds a kernel: (k, k), or (k, k, 3) with numbers of its own for red, green and blue."""

    def __init__(self, **options: Any) -> None:
        super().__init__(2, 3, dtype="float64", **options)

    def validate(self, widget: Any, value: Any) -> NDArray[np.float64]:
        """Return a read-only copy, or raise a TraitError that says what was wrong and what would be right."""
        kernel = super().validate(widget, value)
        assert kernel is not None
        square = kernel.shape[0] == kernel.shape[1] and 3 <= kernel.shape[0] <= 7
        if not square or kernel.shape[2:] not in [(), (3,)]:
            raise traitlets.TraitError(
                f"{self.name} must be square, from 3 × 3 to 7 × 7, or that with 3 channels, (k, k, 3); "
                f"its shape is {kernel.shape}"
            )
        if np.abs(kernel).max() > LARGEST:
            raise traitlets.TraitError(f"{self.name} holds a number beyond ±{LARGEST:,.0f}")
        return kernel


class Whole(traitlets.TraitType[int, Any]):
    """A trait that holds a whole number from `low` to `high`, Python's or NumPy's."""

    def __init__(self, default: int, low: int, high: int) -> None:
        self.low, self.high = low, high
        super().__init__(default)

    def validate(self, widget: Any, value: Any) -> int:
        """Return the number as int, or raise a TraitError that says what would be right."""
        try:
            number = operator.index(value)
        except TypeError:
            number = self.low - 1
        if not self.low <= number <= self.high:
            raise traitlets.TraitError(
                f"{self.name} must be a whole number from {self.low} to {self.high}, got {value!r}"
            )
        return number


class KernelExplorer(CourseWidget):
    """Image, kernel, bias, activation and max-pooling, each of which can be changed while all are on screen.

    Bound in both directions: what a reader changes in the view is in the traits, and what is assigned to a
    trait is in the view. On a page without Python everything works but the learner's own function.

    The kernel and the image need not have the same channels. A 2-D kernel acts on each channel of a colour
    image with a third of its numbers, that is, on their mean. Of a kernel with three channels, a grey image
    meets the sum, as if its red, green and blue were the same.

    On a page, "Link" writes the setting into the address. In Jupyter the address is JupyterLab's own, and the
    setting is at hand in the traits, so the button is absent there.

    Parameters
    ----------
    image : array_like or list of arrays, optional
        One image, (height, width) or (height, width, 3), at most 128 pixels a side, or several to choose
        from. uint8 as pixels from 0 to 255; other numbers as they are. A ring, which has edges in all
        directions, if not given.
    kernel : array_like, shape (k, k) or (k, k, 3)
        k from 3 to 7. The kernel of the assignment if not given.
    bias : float
        Added to every pixel of the feature map.
    activation : {"none", "relu", "leaky_relu"}
        Applied to every pixel. The leaky ReLU has the slope 0.1.
    stride : int
        Step of the kernel in pixels, 1 to 7.
    padding : {"valid", "same"}
        As in Keras.
    flip : bool
        Turn the kernel by 180° before it slides: true convolution instead of cross-correlation.
    pool_size : int
        Side of the blocks of the max-pooling, 1 to 8; 1 leaves the map as it is.
    image_names : sequence of str, optional
        What the images are called in the view.
    learned : array_like, shape (k, k, channels, n), optional
        Kernels to choose from: ``Conv2D.get_weights()[0]`` of a layer that sees 1 or 3 channels.
    convolution : callable, optional
        The learner's own ``convolution(X, K)``, called at every change with one channel of the image and of
        the kernel (turned, if `flip`), both 2-D and float64. The view says and marks where it differs from
        the feature map of stride 1, padding "valid" and bias 0.

    Attributes
    ----------
    image : ndarray
        The image on screen: one of `images`, or the reader's own picture.
    feature_map, activated, pooled : ndarray or None
        The sums plus bias; after the activation; after pooling. Read-only, 2-D, float64, always of the
        present setting. None where the setting is impossible.
    problem : str
        Why the setting is impossible; empty if it is not.

    Raises
    ------
    traitlets.TraitError
        If a value is not allowed, at construction or later. The trait then keeps its value.

    Used in 2.2 to 2.8.

    Examples
    --------
    >>> explorer = KernelExplorer([[56, 250, 116, 0], [0, 240, 144, 0], [0, 198, 150, 0], [0, 143, 241, 0]])
    >>> explorer.feature_map
    array([[ -1.,  27.],
           [-36., -36.]])
    >>> explorer.bias, explorer.activation = 100, "relu"
    >>> explorer.activated
    array([[ 99., 127.],
           [ 64.,  64.]])
    """

    _esm = read_module("kernel_explorer")
    _css = read_style("kernel_explorer")

    images = traitlets.Tuple().tag(
        sync=True,
        to_json=lambda images, widget: [array_to_json(image, widget) for image in images],
        from_json=lambda images, widget: tuple(array_from_json(image, widget) for image in images),
    )
    image_names = traitlets.Tuple().tag(sync=True)
    image = Image()
    kernel = Kernel()
    bias = traitlets.CFloat(0.0).tag(sync=True)
    activation = traitlets.Enum(list(ACTIVATIONS), "none").tag(sync=True)
    stride = Whole(1, 1, 7).tag(sync=True)
    padding = traitlets.Enum(["valid", "same"], "valid").tag(sync=True)
    flip = traitlets.Bool(False).tag(sync=True)
    pool_size = Whole(1, 1, 8).tag(sync=True)
    learned = Array(4, dtype="float32", allow_none=True, default_value=None)
    convolution = traitlets.Callable(None, allow_none=True)

    feature_map = Array(2, allow_none=True, default_value=None, read_only=True).tag(sync=False)
    activated = Array(2, allow_none=True, default_value=None, read_only=True).tag(sync=False)
    pooled = Array(2, allow_none=True, default_value=None, read_only=True).tag(sync=False)
    problem = traitlets.Unicode("", read_only=True)

    link_name = traitlets.Unicode(help="How this explorer is called in the page's address.").tag(sync=True)
    own = traitlets.Dict(help="What became of the learner's own function.").tag(sync=True)
    edits = traitlets.Int(help="Changes in the view; `own` says how many it saw.").tag(sync=True)

    _explorers = itertools.count(1)

    def __init__(
        self,
        image: ArrayLike | Sequence[ArrayLike] | None = None,
        *,
        kernel: ArrayLike = K,
        image_names: Sequence[str] = (),
        **traits: Any,
    ) -> None:
        several = isinstance(image, list | tuple) and all(isinstance(each, np.ndarray) for each in image)
        images = tuple(image) if several else (_ring() if image is None else image,)  # type: ignore[arg-type]
        if image_names and len(image_names) != len(images):
            raise traitlets.TraitError(f"{len(image_names)} image_names don't name {len(images)} images")
        if not images:
            raise traitlets.TraitError("the list of images is empty; give at least one")
        unknown = sorted(set(traits) - set(type(self).class_trait_names()))
        if unknown:
            raise TypeError(f"a KernelExplorer has no {', '.join(unknown)}")
        super().__init__(
            images=images,
            image=images[0],
            kernel=kernel,
            image_names=tuple(image_names),
            link_name=f"kernel-explorer-{next(self._explorers)}",
            **traits,
        )

    @traitlets.validate("images")
    def _check_images(self, proposal: Any) -> tuple[NDArray[Any], ...]:
        checked = []
        for i, image in enumerate(proposal["value"]):
            trait = Image()
            trait.name = "image" if len(proposal["value"]) == 1 else f"images[{i}]"
            checked.append(trait.validate(self, image))
        return tuple(checked)

    @traitlets.validate("image_names")
    def _check_names(self, proposal: Any) -> tuple[str, ...]:
        return tuple(str(name) for name in proposal["value"])

    @traitlets.validate("bias")
    def _check_bias(self, proposal: Any) -> float:
        bias: float = proposal["value"]
        if not abs(bias) <= LARGEST:
            raise traitlets.TraitError(f"bias must be a finite number within ±{LARGEST:,.0f}, got {bias}")
        return bias

    @traitlets.validate("learned")
    def _check_learned(self, proposal: Any) -> NDArray[Any] | None:
        learned: NDArray[Any] | None = proposal["value"]
        if learned is not None:
            height, width, channels, _ = learned.shape
            if height != width or not 3 <= height <= 7 or channels not in (1, 3):
                raise traitlets.TraitError(
                    "learned must have the shape (k, k, channels, n), k from 3 to 7 and 1 or 3 channels, "
                    f"as the first Conv2D layer of a network has; its shape is {learned.shape}"
                )
        return learned

    def _channels(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return image and kernel as they meet: (height, width, channels) and (k, k, channels)."""
        image, kernel = self.image.astype(np.float64), self.kernel
        if image.ndim == 2:
            image = image[:, :, None]
            kernel = kernel[:, :, None] if kernel.ndim == 2 else kernel.sum(axis=2, keepdims=True)
        elif kernel.ndim == 2:
            kernel = np.stack([kernel / 3] * 3, axis=2)
        return image, kernel[::-1, ::-1] if self.flip else kernel

    @traitlets.observe("image", "kernel", "bias", "activation", "stride", "padding", "flip", "pool_size")
    def _compute(self, change: Any) -> None:
        """Bring the results up to date."""
        image, kernel = self._channels()
        feature_map = activated = pooled = None
        problem = ""
        try:
            padding: Padding = "same" if self.padding == "same" else "valid"
            sums = conv2d(image[None], kernel[..., None], stride=self.stride, padding=padding)
            feature_map = sums[0, :, :, 0] + self.bias
            activated = ACTIVATIONS[self.activation](feature_map)
            pooled = maxpool_layer(activated, self.pool_size)
        except ValueError as error:
            problem = str(error)
        self.set_trait("feature_map", feature_map)
        self.set_trait("activated", activated)
        self.set_trait("pooled", pooled)
        self.set_trait("problem", problem)

    _ran: tuple[Any, ...] = ()  # what the learner's function was last run for

    @traitlets.observe("image", "kernel", "flip", "convolution", "edits")
    def _run_own(self, change: Any) -> None:
        """Run the learner's function, once for each channel, and compare its result with ours."""
        if self.convolution is None:
            self.own, self._ran = {}, ()
            return
        given = (self.image, self.kernel, self.flip, self.convolution, self.edits)
        if self._ran and all(a is b for a, b in zip(given, self._ran, strict=True)):
            return  # several traits changed at once, and each of them calls
        self._ran = given
        name = getattr(self.convolution, "__name__", "<lambda>").replace("<lambda>", "your function")
        self.own = {**self.own, "edits": -1}  # until it has answered, the view says that it is running
        try:
            verdict, wrong = _compare(self.convolution, name, *self._channels())
        except KeyboardInterrupt:
            verdict, wrong = f"{name} was interrupted.", None
        self.own = {
            "name": name,
            "edits": self.edits,
            "verdict": verdict,
            "agrees": wrong is not None and not bool(wrong.any()),
            "wrong": None if wrong is None else array_to_json(wrong.astype(np.uint8), self),
        }

    def picture(self) -> Figure:
        """Draw the stages in a row, as the view does."""
        figure, axes = plt.subplots(1, 5, figsize=(8.4, 2.2))
        _draw(axes[0], "image", self.image)
        kernel = self.kernel if self.kernel.ndim == 2 else self.kernel.sum(axis=2)
        _draw(axes[1], "kernel", kernel, scale=np.array([-1, 1]) * np.abs(kernel).max())  # in signed colours
        titles = ("feature map + bias", "after activation", "after pooling")
        for ax, title, stage in zip(axes[2:], titles, self._stages(), strict=True):
            if stage is None:
                ax.set_axis_off()
                ax.set_title(f"no {title}")
            else:
                _draw(ax, title, stage, scale=self.feature_map)
        return figure

    def _stages(self) -> tuple[NDArray[Any] | None, ...]:
        return self.feature_map, self.activated, self.pooled

    def description(self) -> str:
        """Say in a sentence or two what the picture shows."""
        size = " × ".join(map(str, self.image.shape[:2]))
        k = len(self.kernel)
        start = f"An image of {size} pixels and a kernel of {k} × {k}"
        if self.feature_map is None:
            return f"{start}. There is no feature map: {self.problem}."
        maps = [" × ".join(map(str, stage.shape)) for stage in self._stages() if stage is not None]
        low, high = _say(self.feature_map.min()), _say(self.feature_map.max())
        steps = f"its feature map of {maps[0]}, with numbers from {low} to {high}"
        if self.activation != "none":
            steps += f", the same after {self.activation.replace('_', ' ').replace('relu', 'ReLU')}"
        if self.pool_size > 1:
            steps += f", after max-pooling {maps[2]}" if len(maps) == 3 else ", too small for the pooling"
        return f"{start}, beside it {steps}."


def _ring() -> NDArray[np.uint8]:
    """Return a white ring on black, 28 × 28: it has edges in all directions."""
    rows, columns = np.ogrid[:28, :28]
    distance = np.abs(np.hypot(rows - 13.5, columns - 13.5) - 8.5)  # from the middle of the ring's line
    ring: NDArray[np.uint8] = (255 * np.clip(2.5 - distance, 0, 1)).astype(np.uint8)
    return ring


def _compare(
    function: Callable[..., Any], name: str, image: NDArray[np.float64], kernel: NDArray[np.float64]
) -> tuple[str, NDArray[np.bool_] | None]:
    """Return what is to say about the learner's function, and where it is wrong, if that has a place."""
    if min(image.shape[:2]) < len(kernel):
        return f"The kernel does not fit into the image, so {name} was not called.", None
    expected = conv2d(image[None], kernel[..., None])[0, :, :, 0]
    got = np.zeros_like(expected)
    for channel in range(image.shape[2]):
        try:
            result = function(image[:, :, channel].copy(), kernel[:, :, channel].copy())
        except Exception as error:
            return f"{name} raised {type(error).__name__}: {error}", None
        if result is None:
            return f"{name} returned None. Does it end with return?", None
        try:
            real = not np.ma.isMaskedArray(result) and np.asarray(result).dtype.kind in "biuf"
            result = np.asarray(result, dtype=np.float64) if real else result
        except Exception:  # NumPy asks the object itself, which may raise anything
            real = False
        if not real:
            return f"{name} returned something other than an array of numbers: {type(result).__name__}.", None
        if result.shape != expected.shape:
            places = " × ".join(map(str, expected.shape))
            return (
                f"{name} returned an array of shape {result.shape}. The kernel fits at {places} places, "
                f"so the shape must be {expected.shape}.",
                None,
            )
        got += result
    # Rounding errors grow with what was summed, not with the sum.
    tolerance = 1e-6 * conv2d(np.abs(image)[None], np.abs(kernel)[..., None]).max()
    wrong = ~(np.abs(got - expected) <= tolerance)  # so that NaN is wrong, too
    if not wrong.any():
        return f"{name} gives the same numbers at all {wrong.size} places.", wrong
    row, column = (int(place) for place in np.argwhere(wrong)[0])
    return (
        f"{name} differs at {wrong.sum()} of {wrong.size} places, first at row {row}, column {column} "
        f"(counted from 0): expected {_say(expected[row, column])}, got {_say(got[row, column])}.",
        wrong,
    )


def _say(number: float) -> str:
    return f"{number + 0:.6g}".replace("-", "−")  # + 0 makes 0 of -0.0


def _draw(ax: Axes, title: str, values: NDArray[Any], scale: NDArray[Any] | None = None) -> None:
    """Draw an array as the view does: colours as they are; else grey, or signed if a number is negative."""
    scale = values if scale is None else scale
    limit = float(np.abs(scale).max()) or 1.0
    if values.dtype == np.uint8:
        limit = 255
    if values.ndim == 3:
        ax.imshow(np.clip(values / (limit if limit > 1 else 1), 0, 1))
    elif scale.min() < 0:
        ax.imshow(values, cmap="PuOr", vmin=-limit, vmax=limit)
    else:
        ax.imshow(values, cmap="gray", vmin=0, vmax=limit)
    ax.set(xticks=[], yticks=[])
    ax.set_title(f"{title}\n{_say(values.min())} to {_say(values.max())}", fontsize=8)

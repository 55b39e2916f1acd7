"""A trained Keras network as a page can run it: what each layer does, and all weights in one buffer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import traitlets
from numpy.typing import ArrayLike, NDArray

from course_lib.convolution import conv2d, max_pool2d
from course_lib.widgets.base import CourseWidget

Values: TypeAlias = NDArray[Any]
Layer: TypeAlias = dict[str, Any]


class Network:
    """A copy of a trained network, which runs in NumPy here and in JavaScript on a page.

    It keeps the weights that the model had when it was copied. Used by `NetworkExplorer` and `DigitPad`.

    Parameters
    ----------
    model : keras.Sequential
        Built, of the layers Conv2D, MaxPooling2D, Flatten, Dense, Dropout, BatchNormalization, Rescaling,
        ReLU, LeakyReLU, Softmax and Activation; the last one gives a number for each class.

    Attributes
    ----------
    layers : list of dict
        What each layer does, its settings, and where in `weights` its arrays begin.
    weights : bytes
        All arrays one after the other: float16 where that is exact, else float32 or float64.
    input_shape : tuple of int
        (height, width, channels) of an image.

    Raises
    ------
    TypeError
        The model is not a keras.Sequential.
    ValueError
        The model is not built, has a layer or setting that is not supported, or weights that are NaN.
    """

    def __init__(self, model: Any) -> None:
        if "Sequential" not in {kind.__name__ for kind in type(model).__mro__}:
            raise TypeError(f"model must be a keras.Sequential, got {type(model).__name__}")
        if not model.built:
            raise ValueError(
                "the model is not built yet: begin it with keras.Input((height, width, channels))"
            )
        self.input_shape: tuple[int, ...] = tuple(model.input_shape[1:])
        if len(self.input_shape) != 3 or None in self.input_shape:
            raise ValueError(
                f"the model must take images (height, width, channels), but takes {self.input_shape}"
            )
        self.layers: list[Layer] = []
        self.weights = b""
        self._arrays: list[dict[str, Values]] = []
        for layer in model.layers:
            self._add(layer)
        if len(model.output_shape) != 2:
            raise ValueError(
                f"the last layer must give a number for each class, but gives {model.output_shape[1:]}"
            )
        self.classes: int = model.output_shape[1]

    def _add(self, layer: Any) -> None:
        """Copy one layer: its settings, and its arrays into the buffer."""
        kind = type(layer).__name__
        if kind not in LAYERS:
            raise _unsupported(layer, f"the layer {kind}")
        settings, arrays = LAYERS[kind](layer)
        self._arrays.append({name: array.astype(np.float64) for name, array in arrays.items()})
        places = {}
        for name, array in arrays.items():
            if not np.isfinite(array).all():
                raise ValueError(
                    f"layer {layer.name!r} has weights that are NaN or infinite: its training diverged"
                )
            compact = _compact(array)
            places[name] = {"shape": list(array.shape), "dtype": compact.dtype.name, "at": len(self.weights)}
            self.weights += compact.tobytes()
        self.layers.append(
            {"name": layer.name, "class": kind, "activation": "linear"} | settings | {"arrays": places}
        )

    @property
    def gives_logits(self) -> bool:
        """Whether softmax is still to be applied to what the last layer gives."""
        return bool(self.layers[-1]["activation"] != "softmax")

    @property
    def rescales(self) -> bool:
        """Whether the network itself divides the pixels, in a layer Rescaling."""
        return any(layer["class"] == "Rescaling" for layer in self.layers)

    def outputs(self, image: ArrayLike) -> list[Values]:
        """Return what each layer makes of one image, in double precision.

        Parameters
        ----------
        image : array_like, shape (height, width, channels)
            As the network was trained: pixels that were divided by 255, if they were in training.
        """
        x = np.asarray(image, np.float64)[np.newaxis]
        results = []
        for layer, arrays in zip(self.layers, self._arrays, strict=True):
            x = ACTIVATIONS[layer["activation"]](STEPS[layer["kind"]](x, layer, **arrays), layer)
            results.append(x[0])
        return results

    def probabilities(self, outputs: list[Values]) -> Values:
        """Return the probability of each class, from what `outputs` returned."""
        return _softmax(outputs[-1], {}) if self.gives_logits else outputs[-1]


class NetworkWidget(CourseWidget):
    """What shows the layers of a network: its copy, and which feature map and pixel are looked at."""

    layers = traitlets.List(traitlets.Dict()).tag(sync=True)
    weights = traitlets.Bytes().tag(sync=True)
    divisor = traitlets.Float(255.0, help="Divides pixels before the network.").tag(sync=True)
    class_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    layer = traitlets.Int(0, min=0, help="The layer looked at, as in model.layers.").tag(sync=True)
    channel = traitlets.Int(0, min=0, help="Its feature map, or its unit.").tag(sync=True)
    row = traitlets.Int(0, min=0, help="The pixel of that map.").tag(sync=True)
    column = traitlets.Int(0, min=0).tag(sync=True)

    def __init__(self, network: Network, class_names: ArrayLike | None, **state: Any) -> None:
        given = range(network.classes) if class_names is None else np.asarray(class_names)
        names = [str(name) for name in given]
        if len(names) != network.classes:
            raise ValueError(f"{len(names)} class names, but the network has {network.classes} classes")
        self.network = network
        middle = [side // 2 for side in network.input_shape[:2]]
        super().__init__(
            layers=network.layers,
            weights=network.weights,
            class_names=names,
            row=middle[0],
            column=middle[1],
            **state,
        )


def percent(probability: float) -> str:
    """Write a probability in percent, never as 0 or 100 unless it is, as the page does.

    >>> percent(0.4634), percent(0.99999), percent(1.0)
    ('46.3 %', '> 99.9 %', '100 %')
    """
    if probability in (0, 1):
        return f"{100 * probability:.0f} %"
    if probability < 0.0005:
        return "< 0.1 %"
    return "> 99.9 %" if probability >= 0.9995 else f"{100 * probability:.1f} %"


def _compact(array: Values) -> Values:
    """Return the array in the shortest of three types that holds its numbers exactly."""
    for kind in (np.float16, np.float32):
        with np.errstate(over="ignore"):
            short = array.astype(kind)
        if np.array_equal(short, array):
            return short
    return array.astype(np.float64)


# Reading a Keras layer: its settings and its arrays ---------------------------------------------------------

Read: TypeAlias = tuple[Layer, dict[str, Values]]


def _unsupported(layer: Any, what: str) -> ValueError:
    return ValueError(
        f"layer {layer.name!r}: {what} can't be shown. Supported are {', '.join(LAYERS)}, "
        f"with square strides, without dilation or groups, and the activations {', '.join(ACTIVATIONS)}"
    )


def _one(layer: Any, name: str) -> int:
    """Return a setting that must be the same for rows and columns."""
    vertical, horizontal = np.broadcast_to(getattr(layer, name), 2)
    if vertical != horizontal:
        raise _unsupported(layer, f"{name} of {vertical} × {horizontal}")
    return int(vertical)


def _activation(layer: Any, function: Any) -> Layer:
    """Say which activation a layer applies; it may be a function or a layer itself."""
    name = getattr(function, "__name__", type(function).__name__)
    if name == "LeakyReLU":
        return {"activation": "leaky_relu", "slope": float(function.negative_slope)}
    if name == "ReLU" and function.max_value is None and not function.threshold:
        slope = float(function.negative_slope)
        return {"activation": "leaky_relu" if slope else "relu", "slope": slope}
    if name == "Softmax":
        name = "softmax"
    if name not in ACTIVATIONS:
        raise _unsupported(layer, f"the activation {name}")
    if name == "softmax" and len(layer.output.shape) != 2:
        raise _unsupported(layer, "softmax on feature maps")
    return {"activation": name, "slope": 0.2}  # the slope of Keras's function leaky_relu


def _weights(layer: Any, function: Any, kind: str, **settings: Any) -> Read:
    kernel, *bias = (np.asarray(array) for array in layer.get_weights())
    arrays = {"kernel": kernel} | ({"bias": bias[0]} if bias else {})
    return {"kind": kind, **settings, **_activation(layer, function)}, arrays


def _convolution(layer: Any) -> Read:
    if _one(layer, "dilation_rate") != 1 or layer.groups != 1 or layer.data_format != "channels_last":
        raise _unsupported(layer, "dilation, groups or channels first")
    return _weights(
        layer, layer.activation, "convolution", stride=_one(layer, "strides"), padding=layer.padding
    )


def _pooling(layer: Any) -> Read:
    settings = {"size": _one(layer, "pool_size"), "stride": _one(layer, "strides"), "padding": layer.padding}
    return {"kind": "pooling", **settings}, {}


def _dense(layer: Any) -> Read:
    if len(layer.input.shape) != 2:
        raise _unsupported(layer, "Dense on feature maps (put Flatten before it)")
    return _weights(layer, layer.activation, "dense")


def _normalization(layer: Any) -> Read:
    """Batch normalization at work: with what it kept, one factor and one summand for each channel."""
    if layer.axis not in (-1, len(layer.output.shape) - 1):
        raise _unsupported(layer, f"axis {layer.axis}")
    mean = np.asarray(layer.moving_mean, np.float64)
    scale = 1 / np.sqrt(np.asarray(layer.moving_variance, np.float64) + layer.epsilon)
    if layer.scale:
        scale = scale * np.asarray(layer.gamma, np.float64)
    shift = (np.asarray(layer.beta, np.float64) if layer.center else 0) - mean * scale
    return {"kind": "scaling"}, {"scale": scale, "shift": shift}


def _rescaling(layer: Any) -> Read:
    channels = layer.output.shape[-1]
    scale, shift = (
        np.broadcast_to(np.asarray(number, np.float64), channels) for number in (layer.scale, layer.offset)
    )
    return {"kind": "scaling"}, {"scale": scale, "shift": shift}


def _only_activation(layer: Any) -> Read:
    return {"kind": "activation", **_activation(layer, getattr(layer, "activation", layer))}, {}


LAYERS: dict[str, Callable[[Any], Read]] = {
    "Conv2D": _convolution,
    "MaxPooling2D": _pooling,
    "Flatten": lambda layer: ({"kind": "flatten"}, {}),
    "Dense": _dense,
    "Dropout": lambda layer: ({"kind": "dropout"}, {}),
    "BatchNormalization": _normalization,
    "Rescaling": _rescaling,
    "ReLU": _only_activation,
    "LeakyReLU": _only_activation,
    "Softmax": _only_activation,
    "Activation": _only_activation,
}


# Running it in NumPy ----------------------------------------------------------------------------------------


def _softmax(x: Values, layer: Layer) -> Values:
    powers = np.exp(x - x.max(axis=-1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


STEPS: dict[str, Callable[..., Values]] = {
    "convolution": lambda x, layer, kernel, bias=0: (
        conv2d(x, kernel, stride=layer["stride"], padding=layer["padding"]) + bias
    ),
    "pooling": lambda x, layer: max_pool2d(
        x, layer["size"], stride=layer["stride"], padding=layer["padding"]
    ),
    "flatten": lambda x, layer: x.reshape(len(x), -1),
    "dense": lambda x, layer, kernel, bias=0: x @ kernel + bias,
    "dropout": lambda x, layer: x,
    "scaling": lambda x, layer, scale, shift: x * scale + shift,
    "activation": lambda x, layer: x,
}

ACTIVATIONS: dict[str, Callable[[Values, Layer], Values]] = {
    "linear": lambda x, layer: x,
    "relu": lambda x, layer: np.maximum(x, 0),
    "leaky_relu": lambda x, layer: np.where(x > 0, x, layer["slope"] * x),
    "sigmoid": lambda x, layer: np.asarray(1 / (1 + np.exp(-x))),
    "tanh": lambda x, layer: np.tanh(x),
    "softmax": _softmax,
}

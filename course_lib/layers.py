"""A Keras model as plain data, which a box can send and a question can compare."""

from typing import Any


def described(model: Any) -> list[dict[str, Any]]:
    """Return the layers of a Keras model as plain data: type, output, parameters, activation.

    An activation layer of its own counts as part of the layer before it.

    Raises
    ------
    AttributeError, TypeError, ValueError
        If the layers have no sizes yet, as the model does not say how large an image is.
    """
    layers: list[dict[str, Any]] = []
    for layer in getattr(model, "layers", []):
        kind = type(layer).__name__
        if kind == "InputLayer":
            continue
        activation = getattr(getattr(layer, "activation", None), "__name__", "")
        if kind in ("Activation", "ReLU", "Softmax") and layers:
            layers[-1]["activation"] = activation or kind.lower()
            continue
        layers.append(
            {
                "layer": kind,
                "shape": [int(size) for size in layer.output.shape[1:]],
                "parameters": int(layer.count_params()),
                "activation": "" if activation == "linear" else activation,
            }
        )
    return layers

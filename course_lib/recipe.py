"""The recipe of a training run: everything that decides its outcome, as plain JSON.

A recipe names what was *set*: the layers and their settings other than the default ones, the optimizer, the
loss, the seed, the callbacks, the arguments. It is no dump of Keras's own configuration, which grows with
every version; so a run that was recorded under one Keras 3 is found again under the next.
"""

import contextlib
import hashlib
import inspect
import json
import random
import textwrap
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from course_lib.backend import keras

Array = npt.NDArray[Any]

# Callbacks that act through history and weights alone. With any other, replaying would leave something out.
REPLAYABLE = (
    "EarlyStopping",
    "LearningRateScheduler",
    "ReduceLROnPlateau",
    "TerminateOnNaN",
    "SwapEMAWeights",
)


class NotDescribable(Exception):
    """Something decides the outcome, and can't be written down."""


def recipe(
    model: keras.Model,
    seed: int | None,
    arguments: dict[str, Any],
    callbacks: Sequence[keras.callbacks.Callback],
) -> dict[str, Any]:
    """Write down everything that decides the outcome of a training run, but for the data.

    Parameters
    ----------
    model
        Built and compiled.
    seed
        What ``keras.utils.set_random_seed`` was given last.
    arguments
        Epochs, batch size, validation split: plain numbers.
    callbacks
        As for ``keras.Model.fit``.

    Raises
    ------
    NotDescribable
        A part of it is code that can't be written down, or may do more than change weights and history.
    """
    compiled = model.get_compile_config()
    if compiled is None:
        raise NotDescribable("the loss or the metrics can't be described")
    description = {
        "keras": keras.__version__.split(".")[0],
        "network": _describe_network(model),
        "start": _start(model, seed),
        "optimizer": _describe(model.optimizer),
        "steps so far": int(model.optimizer.iterations),
        "loss": _describe(compiled["loss"]),
        "loss weights": _describe(compiled.get("loss_weights")),
        "metrics": _describe(compiled.get("metrics")),
        "callbacks": [_describe_callback(callback) for callback in callbacks],
        **arguments,
    }
    if compiled.get("weighted_metrics"):
        description["weighted metrics"] = _describe(compiled["weighted_metrics"])
    plain: dict[str, Any] = json.loads(json.dumps(description))
    return plain


def _describe_network(model: keras.Model) -> list[Any]:
    """List the layers, and for a graph of layers what each of them takes."""
    description: list[Any] = [list(model.input_shape)]
    connections: dict[str, Any] = {}
    if not isinstance(model, keras.Sequential):
        if not hasattr(model, "get_config") or "layers" not in model.get_config():
            raise NotDescribable("the model is neither Sequential nor a graph of layers")
        order = [layer["name"] for layer in model.get_config()["layers"]]
        for layer in model.get_config()["layers"]:
            found = list(_sources(layer.get("inbound_nodes", [])))
            connections[layer["name"]] = [[order.index(source), *rest] for source, *rest in found]
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer):
            continue
        nested = isinstance(layer, keras.Model)
        entry = _describe_network(layer) if nested else _describe(layer)
        description.append([entry, connections[layer.name]] if layer.name in connections else entry)
    return description


def _sources(node: Any) -> Iterator[list[Any]]:
    """Find the ``[layer, node, tensor]`` triples in Keras's description of a layer's inputs."""
    if isinstance(node, dict):
        if "keras_history" in node:
            yield list(node["keras_history"])
        else:
            for value in node.values():
                yield from _sources(value)
    elif isinstance(node, list | tuple):
        for value in node:
            yield from _sources(value)


def _describe(value: Any) -> Any:
    """Write a layer, an optimizer, a loss … as plain JSON: its class and its settings other than the default.

    Only what is *set* counts: a setting that a later version of Keras adds does not make it another recipe.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float | np.floating):
        return float(f"{value:.7g}")  # a float32 and the float64 that it came from read the same
    if isinstance(value, np.integer):
        return int(value)
    if isinstance(value, list | tuple):
        return [_describe(item) for item in value]
    if isinstance(value, dict) and value.get("class_name") == "function":
        raise NotDescribable(f"the function {value['config']} is not a part of Keras")
    if isinstance(value, dict) and "class_name" in value:
        try:
            value = keras.saving.deserialize_keras_object(value)
        except (TypeError, ValueError):
            raise NotDescribable(f"{value['class_name']} is not a part of Keras") from None
    if isinstance(value, dict):
        return {str(key): _describe(item) for key, item in value.items()}
    if inspect.isfunction(value):
        return value.__name__ if value.__module__.startswith("keras.") else _describe_function(value)
    if not (_is_keras(type(value)) or _is_ours(type(value))) or not hasattr(value, "get_config"):
        raise NotDescribable(f"{type(value).__name__} is not a part of Keras")
    config = value.get_config()

    defaults = _default_settings(type(value), config)
    settings = {
        key: _describe(setting)
        for key, setting in sorted(config.items())
        if key not in ("name", "dtype") and (key not in defaults or defaults[key] != setting)
    }
    policy = getattr(getattr(value, "dtype_policy", None), "name", "float32")
    if policy != "float32":
        settings["dtype"] = policy
    return [type(value).__name__, settings]


def _default_settings(kind: type, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of an object of this class that was made with its required arguments alone."""
    parameters = list(inspect.signature(kind).parameters.values())
    required = [p.name for p in parameters if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD]
    named = {"name": "default"} if any(p.name == "name" for p in parameters) else {}  # else Keras counts it
    try:
        defaults: dict[str, Any] = kind(**{key: settings[key] for key in required}, **named).get_config()
    except (KeyError, TypeError, ValueError, NotImplementedError):
        return {}
    return {key: setting for key, setting in defaults.items() if key not in required}


def _describe_callback(callback: keras.callbacks.Callback) -> list[Any]:
    kind = type(callback)
    if kind.__name__ not in REPLAYABLE or not _is_keras(kind):
        raise NotDescribable(f"the callback {kind.__name__} may do more than change weights and history")
    settings = {}
    for name, parameter in sorted(inspect.signature(kind).parameters.items()):
        value = getattr(callback, name, parameter.default)
        if name == "min_delta":
            value = abs(value)  # Keras turns its sign when a training begins
        if name != "verbose" and value != parameter.default:
            settings[name] = _describe(value)
    return [kind.__name__, settings]


def _describe_function(function: Any) -> Any:
    """Write a function as its source and the plain values that it takes from around it."""
    if any(inspect.iscode(constant) for constant in function.__code__.co_consts):
        raise NotDescribable(f"the function {function.__name__} holds another one")
    around = inspect.getclosurevars(function)
    defaults = {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not parameter.empty
    }
    values = {**around.globals, **around.nonlocals, **defaults}
    try:
        plain = {k: _describe(v) for k, v in sorted(values.items()) if not inspect.ismodule(v)}
    except NotDescribable as reason:
        raise NotDescribable(f"the function {function.__name__} uses something else: {reason}") from None
    return ["function", _source(function), plain]


def _is_keras(kind: type) -> bool:
    return kind.__module__.split(".")[0] == "keras"


def _is_ours(kind: type) -> bool:
    return kind.__module__ == "course_lib.fast_network"


def _source(function: Any) -> str:
    try:
        return textwrap.dedent(inspect.getsource(function)).strip()
    except (OSError, TypeError):
        raise NotDescribable(f"the source of {function.__name__} can't be found") from None


def current_seed() -> int | None:
    """Return the number that was last given to ``keras.utils.set_random_seed``."""
    from keras.src.utils import rng_utils  # Keras has no public way to ask

    seed: int | None = rng_utils.get_random_seed()
    return seed


def _start(model: keras.Model, seed: int | None) -> Any:
    """Describe the weights that the training starts from.

    They are "drawn with seed 1" if a new network of the same layers, drawn with that seed, has the very same
    ones; the seed then says it all, on every system. Otherwise a digest of the weights tells them apart.
    """
    if seed is not None:
        keras.utils.set_random_seed(seed)
        with contextlib.suppress(TypeError, ValueError):
            drawn = keras.models.clone_model(model).get_weights()
            here = model.get_weights()
            if all(np.array_equal(a, b) for a, b in zip(drawn, here, strict=True)):
                return ["drawn with seed", seed]
    return ["weights", digest(*model.get_weights()), "seed", seed]


def digest(*parts: Array | str) -> str:
    """Return 16 hexadecimal digits of the SHA-256 of texts or arrays.

    Fractions count as Keras takes them, in float32.
    """
    sha256 = hashlib.sha256()
    for part in parts:
        if isinstance(part, str):
            sha256.update(part.encode())
        else:
            array = np.ascontiguousarray(part, np.float32 if np.asarray(part).dtype.kind == "f" else None)
            sha256.update(f"{array.shape} {array.dtype.str} ".encode())
            sha256.update(array.data)
    return sha256.hexdigest()[:16]


@contextlib.contextmanager
def random_state_kept() -> Iterator[None]:
    """Give Python's and NumPy's random numbers back as they were: a search may be drawing from them."""
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002 (others may use the old interface)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002

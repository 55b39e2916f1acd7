"""``fit``: Keras's ``model.fit`` with a memory.

A training run is decided by the network and its settings, the random seed, the data and the arguments.
``fit`` writes all of that down as a recipe. If a run with the very same recipe has been recorded, its weights
and history are loaded, and one line says so; if not, the network is trained for real and the run is recorded.
Change anything, and it is another recipe.
"""

import contextlib
import datetime
import functools
import importlib.resources
import json
import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from course_lib import record
from course_lib.backend import keras
from course_lib.cache import cache_folder
from course_lib.recipe import NotDescribable, current_seed, digest, random_state_kept, recipe

__all__ = ["History", "fit"]

Array = npt.NDArray[Any]

SMOKE_IMAGES = 256


@dataclass(frozen=True)
class History:
    """What happened, epoch by epoch.

    Attributes
    ----------
    history
        Metric name → its value after each epoch, as in Keras: ``history.history["val_loss"]``.
    seconds
        Duration of each epoch, validation included, in seconds of the clock.
    note
        Which data it was trained on, in words.
    replayed
        True if a recorded run was loaded, False if the network was trained just now.
    """

    history: dict[str, list[float]]
    seconds: list[float]
    note: str
    replayed: bool

    @property
    def epochs(self) -> int:
        """Number of epochs that were trained."""
        return len(self.seconds)

    def best_epoch(self, metric: str = "val_loss") -> int:
        """Return the epoch, counted from 1, with the lowest loss or the highest value of any other metric.

        Examples
        --------
        >>> History({"val_loss": [0.3, 0.1, 0.2]}, [1.0, 1.0, 1.0], "", False).best_epoch()
        2
        """
        if metric not in self.history:
            raise ValueError(f"{metric!r} was not recorded; recorded were {', '.join(self.history)}")
        return best_index(metric, self.history[metric]) + 1

    def best(self, metric: str = "val_loss") -> float:
        """Return the value of ``metric`` at its best epoch."""
        epoch = self.best_epoch(metric)
        return self.history[metric][epoch - 1]

    def __repr__(self) -> str:
        """Return the last epoch in one line."""
        last = ", ".join(f"{name} {values[-1]:.4f}" for name, values in self.history.items())
        return f"<History: {self.epochs} epochs; the last: {last}>"


def best_index(metric: str, values: Sequence[float]) -> int:
    """Return where a loss is lowest, or any other metric highest; a value that is no number is never best."""
    lower_is_better = "loss" in metric
    numbers = np.nan_to_num(values, nan=np.inf if lower_is_better else -np.inf, posinf=np.inf, neginf=-np.inf)
    return int(np.argmin(numbers) if lower_is_better else np.argmax(numbers))


def fit(
    model: keras.Model,
    x: Array,
    y: Array,
    *,
    epochs: int,
    batch_size: int,
    validation_split: float = 0.0,
    validation_data: tuple[Array, Array] | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    note: str = "",
    keep_weights: bool = True,
    fresh: bool = False,
) -> History:
    """Train a compiled model, or replay the recorded run that has the same recipe.

    The arguments are those of ``keras.Model.fit``, plus the last three. Call
    ``keras.utils.set_random_seed(1)``, or another number, right before the model is built: a run is replayed
    only for a model that starts from the same weights. Kernels are kept in half precision (float16), also in
    the model just trained, so that a replay gives the very same network. A replay brings back weights and
    history, not the memory of the optimizer.

    A run on other data is mentioned, and replayed only with ``COURSE_REPLAY=other-data`` in the environment.
    With ``COURSE_SMOKE=1`` in the environment it trains for real, but on 256 images for one epoch, and
    neither replays nor records.

    Parameters
    ----------
    model
        A built, compiled model; its weights are changed in place.
    x, y
        Training inputs and targets; the first axis counts the examples.
    epochs, batch_size
        Passes over the data, examples per step.
    validation_split
        The last part of ``x`` and ``y`` that is kept out of the training, between 0 and 1.
    validation_data
        Instead of a split: inputs and targets.
    callbacks
        Runs with callbacks other than Keras's ``EarlyStopping``, ``LearningRateScheduler``,
        ``ReduceLROnPlateau``, ``TerminateOnNaN`` and ``SwapEMAWeights`` are always trained.
    note
        Which data this is, in words; kept with the record. Usually ``dataset.note``.
    keep_weights
        ``False`` records the history alone, and gives the model back with the weights that it came with: for
        a training of which only the course is looked at. Such a record is small.
    fresh
        Train even if a recorded run exists.

    Returns
    -------
    History
        Metrics and seconds of each epoch. Used in every chapter of Task 1.

    Raises
    ------
    ValueError
        The model is not built or not compiled, or inputs and targets differ in number.
    """
    if not model.built:
        raise ValueError(
            "the model has no weights yet: begin it with keras.Input(shape), or call model.build(shape)"
        )
    if not getattr(model, "compiled", False):
        raise ValueError(
            "the model is not compiled: call model.compile(optimizer=..., loss=..., metrics=[...]) first"
        )
    x, y = np.asarray(x), np.asarray(y)
    if len(x) != len(y):
        raise ValueError(f"{len(x)} inputs, but {len(y)} targets: there must be one target for each input")

    train = functools.partial(
        _train, model, batch_size=batch_size, validation_split=validation_split, callbacks=callbacks
    )
    if smoke():
        model.run_eagerly = True  # for so few steps, to compile them first would take longer
        some = slice(SMOKE_IMAGES)
        held_out = validation_data and (validation_data[0][some], validation_data[1][some])
        history, seconds = train(x[some], y[some], validation_data=held_out, epochs=1)
        print(f"Smoke test: one epoch on {len(x[some])} images, so the numbers mean nothing.")
        return History(history, seconds, note, replayed=False)

    before = model.get_weights()
    arguments = {"epochs": epochs, "batch_size": batch_size, "validation_split": validation_split}
    with random_state_kept():
        seed = current_seed()
        try:
            written = recipe(model, seed, arguments, callbacks)
            data = digest(x, y, *(validation_data or ()))
        except NotDescribable as reason:
            name, why_not = None, str(reason)
        else:
            name = f"{digest(json.dumps(written, sort_keys=True))}-{data}.npz"
            run = None if fresh else _find_run(name, written, data, before if keep_weights else [])
            if run is not None:
                if keep_weights:
                    model.set_weights(run["weights"])
                print(_sentence(run))
                return History(run["history"], run["seconds"], run["note"], replayed=True)
        if seed is not None:
            keras.utils.set_random_seed(seed)  # the same order of the images, whatever was drawn before
        history, seconds = train(x, y, validation_data=validation_data, epochs=epochs)

    weights = [_half_precision(value) for value in model.get_weights()]
    kept = zip(weights, before, strict=True)
    model.set_weights([value.astype(was.dtype) if keep_weights else was for value, was in kept])
    if name is not None and not all(np.isfinite(value).all() for value in weights):
        name, why_not = None, "some weights are no longer numbers"
    if name is None:
        outcome = f"not recorded, because {why_not}"
    else:
        run = {
            "recipe": written,
            "data": data,
            "history": history,
            "seconds": seconds,
            "note": note,
            "examples": len(x),
            "date": datetime.date.today().isoformat(),
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "keras": keras.__version__,
        }
        try:
            record.save(cache_folder("runs") / name, run, weights if keep_weights else [])
            outcome = "recorded for the next time"
        except OSError as error:
            outcome = f"not recorded: {error}"
    print(f"Trained {len(seconds)} epochs in {duration(sum(seconds))}; {outcome}.")
    return History(history, seconds, note, replayed=False)


def smoke() -> bool:
    """Tell whether this is a smoke test (``COURSE_SMOKE=1``): everything runs, nothing is learned."""
    return os.environ.get("COURSE_SMOKE", "0") not in ("", "0")


def duration(seconds: float) -> str:
    """Write a duration for people.

    Examples
    --------
    >>> duration(42.4), duration(754)
    ('42 s', '12 min 34 s')
    """
    whole = round(seconds)
    return f"{whole} s" if whole < 120 else f"{whole // 60} min {whole % 60} s"


class _Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """A bar with an estimate over all epochs, the metrics of the last one beside it; and a clock."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self.bar = tqdm(total=self.params["epochs"] * self.params["steps"], unit="step", leave=False)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.started = time.perf_counter()
        self.bar.set_description(f"epoch {epoch + 1}/{self.params['epochs']}")

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        self.bar.update(len(self.seconds) * self.params["steps"] + batch + 1 - self.bar.n)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.seconds.append(round(time.perf_counter() - self.started, 2))
        self.bar.set_postfix_str(", ".join(f"{name} {value:.3f}" for name, value in (logs or {}).items()))


def _train(
    model: keras.Model,
    x: Array,
    y: Array,
    *,
    epochs: int,
    batch_size: int,
    validation_split: float,
    validation_data: tuple[Array, Array] | None,
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[dict[str, list[float]], list[float]]:
    if validation_split and validation_data is None:
        first = int(len(x) * (1 - validation_split))
        x, y, validation_data = x[:first], y[:first], (x[first:], y[first:])
    progress = _Progress()
    try:
        keras_history = model.fit(
            _batches(x, y, batch_size, shuffled=True),
            epochs=epochs,
            validation_data=validation_data and _batches(*validation_data, batch_size, shuffled=False),
            shuffle=False,  # they are
            callbacks=[*callbacks, progress],
            verbose=0,
        )
    finally:
        if hasattr(progress, "bar"):
            progress.bar.close()
    history = {name: [float(value) for value in values] for name, values in keras_history.history.items()}
    return history, progress.seconds


def _batches(x: Array, y: Array, batch_size: int, *, shuffled: bool) -> Any:
    """Cut the examples into batches, as Keras does with arrays, but without TensorFlow's tuning of this.

    The tuner sleeps longer and longer, and the end of an epoch may have to wait until it wakes. With
    TensorFlow 2.21 that made epochs of half a minute last twice as long, with idle processors.
    """
    import tensorflow as tf

    x, y = (tf.convert_to_tensor(part, tf.float32 if part.dtype.kind == "f" else None) for part in (x, y))
    order = tf.data.Dataset.range(len(x))
    if shuffled:
        order = order.shuffle(len(x))
    batches = order.batch(batch_size).map(lambda chosen: (tf.gather(x, chosen), tf.gather(y, chosen)))
    options = tf.data.Options()
    options.autotune.enabled = False
    return batches.prefetch(2).with_options(options)


def _half_precision(value: Array) -> Array:
    """Round kernels to float16; leave what is small (biases, running means) and what does not fit."""
    if value.ndim < 2 or np.abs(value).max(initial=0) > np.finfo(np.float16).max:
        return value
    return value.astype(np.float16)


def _folders() -> list[Path]:
    """Where recorded runs are looked for: the reader's own first, then those of the published book."""
    published = Path(str(importlib.resources.files("course_lib") / "recorded"))
    return list(dict.fromkeys([cache_folder("runs"), published]))


def _find_run(name: str, written: dict[str, Any], data: str, weights: list[Array]) -> dict[str, Any] | None:
    return _recorded_run(name, written, data, weights) or _run_on_other_data(name, written, weights)


def _recorded_run(
    name: str, written: dict[str, Any], data: str, weights: list[Array]
) -> dict[str, Any] | None:
    for folder in _folders():
        path = folder / name
        if path.is_file():
            try:
                run = record.load(path, weights)
                if run["recipe"] != written or run["data"] != data:
                    raise record.Damaged("it holds the run of another recipe")
            except record.Damaged as error:
                print(f"The recorded run {name} is damaged ({error}), so it is not used.")
            else:
                if len(run["weights"]) == len(weights):
                    return run
    return None


def _sentence(run: dict[str, Any]) -> str:
    data = run["note"] or f"{run['examples']:,} examples"
    return (
        f"Replayed: {len(run['seconds'])} epochs, which took {duration(sum(run['seconds']))} "
        f"on {run['date']} ({run['machine']}).\n    Data: {data}"
    )


def _run_on_other_data(name: str, written: dict[str, Any], weights: list[Array]) -> dict[str, Any] | None:
    """Find a run with this recipe on other data; return it if the reader asked for that, else mention it."""
    for folder in _folders():
        for path in sorted(folder.glob(f"{name.split('-')[0]}-*.npz")):
            with contextlib.suppress(record.Damaged):
                run = record.load(path, weights)
                fits = run["recipe"] == written and len(run["weights"]) == len(weights)
                if path.name == name or not fits:
                    continue
                if os.environ.get("COURSE_REPLAY") == "other-data":
                    print("These are not the data of the recorded run, which is replayed as you asked.")
                    return run
                print(
                    f"A run like this one was recorded on other data ({run['note']}), so it is not replayed. "
                    f"It took {duration(sum(run['seconds']))} there. With COURSE_REPLAY=other-data in the "
                    "environment it is loaded all the same."
                )
                return None
    return None

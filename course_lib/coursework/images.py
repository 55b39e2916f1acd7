"""Images whose classes are to be predicted: drawn by the secret, so that the grader knows the classes."""

from __future__ import annotations

import hashlib
import hmac
import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from course_lib.data import Dataset, load_cifar10, load_mnist
from course_lib.questions import TASKS

IMAGES = 500  # that are released for one question
DATA = {"1.4": load_mnist, "1.5": load_mnist, "1.6": load_cifar10, "1.9": load_cifar10}


def labels(task: str, secret: bytes) -> dict[str, NDArray[np.uint8]]:
    """Return the classes of the released images, by part: they are never written anywhere.

    Parameters
    ----------
    task
        "task-1"; of any other task there are none.
    secret
        The teacher's, as for `release`.
    """
    return {part: classes for part, (_, classes) in _drawn(task, secret)}


def released_images(task: str, secret: bytes) -> dict[str, bytes]:
    """Return the files with the images, by name."""
    files = {}
    for part, (images, _) in _drawn(task, secret):
        written = io.BytesIO()
        np.save(written, images, allow_pickle=False)
        files[part.replace("predictions", "images") + ".npy"] = written.getvalue()
    return files


def _drawn(task: str, secret: bytes) -> Iterator[tuple[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]]:
    for question, data in data_sets(task).items():
        part = f"predictions-{question.replace('.', '-')}"
        yield part, draw_images(part, data, secret)


def data_sets(task: str) -> dict[str, Dataset]:
    """Load the data from whose test sets images are released, by question; each set once."""
    loads = {question.id: DATA[question.id] for question in TASKS[task] if question.id in DATA}
    loaded = {load: load() for load in dict.fromkeys(loads.values())}
    return {question: loaded[load] for question, load in loads.items()}


def draw_images(part: str, data: Dataset, secret: bytes) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Choose test images by a secret, mix them, and change each a little; return them with their classes.

    Each is turned by up to 5 degrees, moved by up to a pixel, made up to a twentieth larger or smaller and up
    to a tenth brighter or darker. Photographs are mirrored, too. So neither the place of an image in the data
    set nor its bytes tell its class. Who looks for the most similar image of the data set can still find it.

    Parameters
    ----------
    part
        "predictions-1-4".
    data
        Its test images.
    secret
        The teacher's.
    """
    seed = int.from_bytes(hmac.digest(secret, f"images of {part}".encode(), hashlib.sha256))
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(data.x_test))[:IMAGES]
    images = np.stack([_changed(image, random) for image in data.x_test[chosen]])
    return images, data.y_test[chosen]


def _changed(image: NDArray[np.uint8], random: np.random.Generator) -> NDArray[np.uint8]:
    angle = np.deg2rad(random.uniform(-5, 5))
    scale, light = random.uniform(0.95, 1.05), random.uniform(0.9, 1.1)
    moved = random.uniform(-1, 1, size=2)
    colour = image.ndim == 3
    if colour:
        image = image[:, ::-1]
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    middle = (np.array(image.shape[:2]) - 1) / 2
    change: dict[str, Any] = {"offset": middle - turn @ (middle + moved), "order": 1}
    change["mode"] = "nearest" if colour else "constant"
    planes = np.moveaxis(np.atleast_3d(image), 2, 0).astype(float)
    changed = np.stack([ndimage.affine_transform(plane, turn, **change) for plane in planes], axis=-1)
    pixels: NDArray[np.uint8] = (changed.reshape(image.shape) * light).round().clip(0, 255).astype(np.uint8)
    return pixels

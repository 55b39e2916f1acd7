"""A random search of eight small networks by one process, and by two that share the work.

The clock starts when the processes have imported all that they need, and stops when the last of them is done.
"""

import contextlib
import io
import multiprocessing
import os
import tempfile
import time

from benchmarks import line

TRIALS, IMAGES, ROUNDS = 8, 2000, 3


def work(folder, ready, go):
    """Take part in the search that lives in `folder`."""
    os.environ |= {"COURSE_DATA": "sample", "COURSE_CACHE_DIR": folder}

    from optuna.distributions import FloatDistribution

    from course_lib.backend import keras
    from course_lib.data import load_mnist
    from course_lib.networks import mnist_cnn
    from course_lib.search import search

    def build(learning_rate):
        network = mnist_cnn()
        network.compile(keras.optimizers.RMSprop(learning_rate), loss="sparse_categorical_crossentropy")
        return network

    with contextlib.redirect_stdout(io.StringIO()):
        digits = load_mnist()
    x, y = digits.x_train[:IMAGES, ..., None] / 255, digits.y_train[:IMAGES]
    ready.release()
    go.wait()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        search(
            build,
            {"learning_rate": FloatDistribution(1e-4, 1e-2, log=True)},
            x,
            y,
            trials=TRIALS,
            epochs=1,
            batch_size=128,
            validation_split=0.2,
            folder=folder,
            monitor="val_loss",
        )


def by_workers(number):
    """Return the seconds that so many processes take for a new search."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Semaphore(0), context.Event()
    with tempfile.TemporaryDirectory() as folder:
        workers = [context.Process(target=work, args=(folder, ready, go)) for _ in range(number)]
        for worker in workers:
            worker.start()
        for _ in workers:
            ready.acquire()
        start = time.perf_counter()
        go.set()
        for worker in workers:
            worker.join()
        taken = time.perf_counter() - start
    if any(worker.exitcode for worker in workers):
        raise RuntimeError("a worker of the search failed; what it said stands above")
    return taken


if __name__ == "__main__":
    taken = {"1 worker": [], "2 workers": []}
    for _ in range(ROUNDS):
        taken["1 worker"].append(by_workers(1))
        taken["2 workers"].append(by_workers(2))
    what = f"search of {TRIALS} networks, 2 workers"
    line(what, taken, ours="2 workers", reference="1 worker", threads=2)

"""How soon the narrow network of Further, fast CIFAR-10, passes 0.7628, beside the report's network (c).

A training step of each is timed side by side, on 512 images; the narrow network is built by the chapter's own
cells. How many epochs it takes is read from its recorded run: from the accuracies on images that it did not
learn from, after each epoch.
"""

import contextlib
import io
import json
import os
from importlib.resources import files
from pathlib import Path

import nbformat
import numpy as np

from benchmarks import line, side_by_side
from course_lib.networks import cifar10_cnn_regularized

THREADS = 2
MARK, REPORTED = 0.7628, 30  # the test accuracy of the report's best network, (c), and its epochs
IMAGES, VALIDATION = 50_000, 5_000

os.environ["COURSE_DATA"] = "sample"  # what the pixels show does not change the time
notebook = nbformat.read(Path(__file__).parent.parent / "chapters" / "further" / "fast-cifar10.ipynb", 4)
chapter = {cell.id: cell.source for cell in notebook.cells}
names: dict = {}
with contextlib.redirect_stdout(io.StringIO()):
    for cell in ("imports", "data", "numbers", "covariance", "build", "cycle", "train", "rows"):
        exec(chapter[cell], names)

switches, arguments = {}, {}
for name, (more_switches, more_arguments) in names["plan"].items():
    switches, arguments = {**switches, **more_switches}, {**arguments, **more_arguments}
    if name == "average of weights":  # the last row in 32 bits
        break
narrow = names["build"]((32, 96, 128), **switches)
names["compile_with"](narrow, 4, IMAGES - VALIDATION, **arguments)
report = cifar10_cnn_regularized(activation=None)
report.compile("rmsprop", narrow.loss, metrics=["accuracy"])

x = np.random.default_rng(1).random((512, 32, 32, 3), np.float32)
y = np.eye(10, dtype=np.float32)[np.arange(512) % 10]
taken = side_by_side(
    {"(c)": lambda: report.train_on_batch(x, y), "narrow": lambda: narrow.train_on_batch(x, y)}, rounds=9
)
line("a step of the narrow network, 512 images", taken, ours="narrow", reference="(c)")


def recorded():
    """Return recipe and history of each recorded run."""
    for path in files("course_lib").joinpath("recorded").iterdir():
        with np.load(path) as arrays:
            yield json.loads(arrays["record"].tobytes())


def is_the_narrow_one(run):
    """Tell whether this is the run of the row "average of weights"."""
    recipe = json.dumps(run["recipe"])
    return all(f'"{part}"' in recipe for part in ("PatchWhitening", "SwapEMAWeights")) and not any(
        f'"{part}"' in recipe for part in ("mixed_bfloat16", "gelu")
    )


(run,) = filter(is_the_narrow_one, recorded())
epochs = next(k for k, accuracy in enumerate(run["history"]["val_accuracy"], 1) if accuracy > MARK)
images = {"(c)": REPORTED * IMAGES, "narrow": epochs * (IMAGES - VALIDATION)}
whole = {name: [images[name] / 512 * seconds for seconds in taken[name]] for name in taken}
line(f"accuracy above {MARK}", whole, ours="narrow", reference="(c)", at_least=6)

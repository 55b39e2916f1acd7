"""One epoch of the MNIST network on the 5,000 digits of the sample: trained, and replayed from its record."""

import contextlib
import io
import os
import tempfile

from benchmarks import line, side_by_side

with tempfile.TemporaryDirectory() as own:
    os.environ |= {"COURSE_DATA": "sample", "COURSE_CACHE_DIR": own}

    from course_lib.backend import keras
    from course_lib.data import load_mnist
    from course_lib.networks import mnist_cnn
    from course_lib.training import fit

    digits = load_mnist()
    x = digits.x_train[..., None] / 255
    y = keras.utils.to_categorical(digits.y_train)

    def one_epoch(fresh):
        """Build the network and give it one epoch."""
        keras.utils.set_random_seed(1)
        model = mnist_cnn()
        model.compile(optimizer="rmsprop", loss="categorical_crossentropy", metrics=["accuracy"])
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            return fit(model, x, y, epochs=1, batch_size=128, fresh=fresh)

    taken = side_by_side(
        {"trained": lambda: one_epoch(fresh=True), "replayed": lambda: one_epoch(fresh=False)}, rounds=5
    )
    assert one_epoch(fresh=False).replayed

line("fit, one epoch on 5,000 digits: replayed", taken, ours="replayed", reference="trained")

"""A layer of 32 kernels on a batch of 64 pictures with 32 channels: NumPy beside TensorFlow and PyTorch.

The frameworks get their tensors ready-made; ours checks its arguments.
"""

import importlib.util

import numpy as np
from scipy.signal import correlate

from benchmarks import line, side_by_side
from course_lib.backend import keras  # first, for its quiet start of TensorFlow
from course_lib.convolution import conv2d

import tensorflow as tf  # isort: skip

random = np.random.default_rng(1)
images = random.normal(size=(64, 28, 28, 32)).astype(np.float32)
kernel = random.normal(size=(3, 3, 32, 32)).astype(np.float32)
tensors = tf.constant(images), tf.constant(kernel)
layer = keras.layers.Conv2D(32, 3, use_bias=False)
layer.build(images.shape)
layer.set_weights([kernel])


@tf.function
def by_tensorflow(images, kernel):
    """The operation below Keras's layer."""
    return tf.nn.conv2d(images, kernel, strides=1, padding="VALID")


def by_scipy():
    """Thirty-two three-dimensional correlations for each picture, on a single one of the 64."""
    return np.stack([correlate(images[0], kernel[..., k], mode="valid")[..., 0] for k in range(32)], axis=-1)


ways = {
    "ours": lambda: conv2d(images, kernel),
    "TensorFlow": lambda: by_tensorflow(*tensors).numpy(),
    "Keras's layer": lambda: layer(tensors[0]).numpy(),
}
if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)
    pictures = torch.from_numpy(images).permute(0, 3, 1, 2)  # the memory stays as it is: "channels last"
    kernels = torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    ways["PyTorch"] = lambda: torch.nn.functional.conv2d(pictures, kernels).permute(0, 2, 3, 1).numpy()

expected = by_scipy()
for way in ways.values():
    np.testing.assert_allclose(way()[0], expected, atol=1e-3)

taken = side_by_side(ways)
what = "conv2d, 64×28×28×32 → 32, 3×3"
line(what, taken, ours="ours", reference="TensorFlow", at_most=3)
for reference in list(ways)[2:]:
    line(what, taken, ours="ours", reference=reference)

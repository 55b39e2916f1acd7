"""The gradients of a layer of 32 kernels on a batch of 64 pictures with 32 channels, beside TensorFlow's."""

import importlib.util

import numpy as np

from benchmarks import line, side_by_side
from course_lib.backend import keras  # noqa: F401  first, for its quiet start of TensorFlow
from course_lib.convolution import conv2d_gradients

import tensorflow as tf  # isort: skip

random = np.random.default_rng(1)
images = random.normal(size=(64, 28, 28, 32)).astype(np.float32)
kernel = random.normal(size=(3, 3, 32, 32)).astype(np.float32)
gradient = random.normal(size=(64, 26, 26, 32)).astype(np.float32)
tensors = tf.constant(images), tf.constant(kernel), tf.constant(gradient)


@tf.function
def by_tensorflow(images, kernel, gradient):
    """The two operations that TensorFlow's own gradient of a convolution consists of."""
    how = {"strides": [1, 1, 1, 1], "padding": "VALID"}
    for_kernel = tf.raw_ops.Conv2DBackpropFilter(
        input=images, filter_sizes=tf.shape(kernel), out_backprop=gradient, **how
    )
    for_images = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(images), filter=kernel, out_backprop=gradient, **how
    )
    return for_kernel, for_images


ways = {
    "ours": lambda: conv2d_gradients(images, kernel, gradient),
    "TensorFlow": lambda: [tensor.numpy() for tensor in by_tensorflow(*tensors)],
}
if importlib.util.find_spec("torch"):
    import torch

    torch.set_num_threads(1)
    pictures, gradients = (torch.from_numpy(array).permute(0, 3, 1, 2) for array in (images, gradient))
    kernels = torch.from_numpy(kernel).permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)

    def by_torch():
        """PyTorch's two."""
        for_kernel = torch.nn.grad.conv2d_weight(pictures, kernels.shape, gradients)
        for_images = torch.nn.grad.conv2d_input(pictures.shape, kernels, gradients)
        return for_kernel.permute(2, 3, 1, 0).numpy(), for_images.permute(0, 2, 3, 1).numpy()

    ways["PyTorch"] = by_torch

expected = ways["ours"]()
for way in ways.values():
    for theirs, ours in zip(way(), expected, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-2)

taken = side_by_side(ways)
for reference in list(ways)[1:]:
    line("conv2d_gradients, 64×28×28×32 → 32, 3×3", taken, ours="ours", reference=reference)

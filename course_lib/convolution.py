"""Convolution as convolutional networks use it, in NumPy alone.

The first half holds the four functions of Task 2, for one picture and one kernel. The second half holds
the same for a batch of pictures with channels, laid out as in Keras: images ``(batch, height, width,
channels)``, kernels ``(height, width, channels in, channels out)``; and, for training, the gradients.

What deep learning calls convolution is cross-correlation: the kernel is not flipped.

Whole numbers and booleans are computed as float64, so that 8-bit pixels cannot overflow; floats keep their
precision, and of two precisions the finer one wins. Pooling computes nothing and keeps the type it is given.

A convolution is one matrix product, once the pixels of each place have been copied next to each other. For a
kernel of nine numbers the copy is nine times the picture, so it is made in pieces that stay in the cache. How
much each step gains is measured in the chapter "The loop, sped up a thousand times".
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "conv2d",
    "conv2d_gradients",
    "convolution",
    "convolutional_layer",
    "max_pool2d",
    "max_pool2d_gradient",
    "maxpool_layer",
    "output_size",
    "relu",
]

Array: TypeAlias = NDArray[Any]
Padding: TypeAlias = Literal["valid", "same"]

CACHED = 2**18  # how many numbers to work on at once: 1 MiB in single precision, about the cache of one core


# One picture, one kernel: the four functions of Task 2 ------------------------------------------------------


def convolution(X: ArrayLike, K: ArrayLike) -> Array:
    """Slide the kernel `K` over the picture `X`; at each place, sum the products.

    ``Y[i, j]`` is the sum over m and n of ``X[i + m, j + n] * K[m, n]`` (Goodfellow et al. 2016, eq. 9.6),
    computed wherever the whole kernel lies inside the picture ("valid"). Used in 2.2.

    Parameters
    ----------
    X : array_like, shape (height, width)
        A picture of real, finite numbers.
    K : array_like, shape (kernel height, kernel width)
        A kernel of real, finite numbers, square or not, no larger than the picture.

    Returns
    -------
    ndarray of floats, shape (height - kernel height + 1, width - kernel width + 1)

    Raises
    ------
    ValueError
        If an array is not 2-D, is empty, holds something other than finite real numbers, or if the kernel
        does not fit into the picture.

    Examples
    --------
    >>> convolution([[1, 2, 4], [8, 16, 32]], [[-1, 1]])
    array([[ 1.,  2.],
           [ 8., 16.]])
    """
    X, K = np.ascontiguousarray(_as_float(_real(X, "X", 2))), _as_float(_real(K, "K", 2))
    _check_fits(K.shape, X.shape, "kernel K")
    rows, columns = X.shape[0] - K.shape[0] + 1, X.shape[1] - K.shape[1] + 1
    feature_map = np.empty((rows, columns), np.result_type(X, K))
    for band in _pieces(rows, columns * K.size):
        # met[m, n] is what K[m, n] meets on its way over the band: X from row m and column n on, not copied.
        # sliding_window_view(X, places) is the same, but for one digit it would take as long as all the rest.
        places = band.stop - band.start, columns
        met = np.ndarray(K.shape + places, X.dtype, buffer=X[band.start :], strides=X.strides * 2)
        feature_map[band] = (K.ravel() @ met.reshape(K.size, -1)).reshape(places)
    return feature_map


def relu(x: ArrayLike) -> Array:
    """Rectified linear unit: keep what is positive, make the rest 0. Used in 2.4.

    Parameters
    ----------
    x : array_like, any shape
        Real numbers.

    Returns
    -------
    ndarray, same shape and type

    Examples
    --------
    >>> relu([-2.0, 0.0, 3.0])
    array([0., 0., 3.])
    """
    rectified: Array = np.maximum(x, 0)
    return rectified


def convolutional_layer(
    X: ArrayLike, K: ArrayLike, b: float, activation: Callable[[Array], ArrayLike]
) -> Array:
    """Convolve, add the bias, apply the activation: ``activation(convolution(X, K) + b)``. Used in 2.4.

    Parameters
    ----------
    X : array_like, shape (height, width)
        A picture, as for `convolution`.
    K : array_like, shape (kernel height, kernel width)
        A kernel, as for `convolution`.
    b : float
        The bias: one number, added to every pixel of the feature map.
    activation : callable
        Takes the array and returns an array of the same shape, like `relu` or `numpy.tanh`.

    Returns
    -------
    ndarray, shape (height - kernel height + 1, width - kernel width + 1)

    Raises
    ------
    ValueError
        As `convolution`; also if `b` is not one finite number, or if `activation` changes the shape.
    TypeError
        If `activation` cannot be called.

    Examples
    --------
    >>> convolutional_layer([[1, 2, 4], [8, 16, 32]], [[-1, 1]], b=-8, activation=relu)
    array([[0., 0.],
           [0., 8.]])
    """
    if not callable(activation):
        raise TypeError(f"activation must be a function of an array, such as relu; got {activation!r}")
    bias = float(_real(b, "b", 0))
    feature_map = convolution(X, K) + bias
    activated = np.asarray(activation(feature_map))
    if activated.shape != feature_map.shape:
        raise ValueError(
            f"activation must keep the shape of the feature map: "
            f"it was given {feature_map.shape} and returned {activated.shape}"
        )
    return activated


def maxpool_layer(X: ArrayLike, size: int = 2) -> Array:
    """Keep the largest number of each `size` × `size` block; the stride is `size`. Used in 2.7.

    A side that `size` does not divide is rounded down: the rows at the bottom and the columns at the right
    that fill no whole block are dropped, as Keras's ``MaxPooling2D`` drops them by default.

    Parameters
    ----------
    X : array_like, shape (height, width)
        A picture or feature map of real, finite numbers.
    size : int
        Side of a block in pixels, at least 1.

    Returns
    -------
    ndarray of the type of `X`, shape (height // size, width // size)

    Raises
    ------
    ValueError
        If `X` is not 2-D, is empty, holds something other than finite real numbers, if `size` is not a
        whole number of at least 1, or if not one block fits into `X`.

    Examples
    --------
    >>> maxpool_layer([[1, 2, 3, 4, 0], [5, 6, 7, 8, 9]])
    array([[6, 8]])
    """
    X, size = _real(X, "X", 2), _positive(size, "size")
    _check_fits((size, size), X.shape, "block")
    rows, columns = X.shape[0] // size, X.shape[1] // size
    blocks = X[: rows * size, : columns * size].reshape(rows, size, columns, size)
    largest: Array = blocks.max(axis=(1, 3))
    return largest


# Batches of pictures with channels --------------------------------------------------------------------------


def output_size(size: int, kernel: int, stride: int = 1, padding: Padding = "valid") -> int:
    """Side of the feature map (or of the pooled map) for a side of the picture. Used in 2.7.

    "valid": ``(size - kernel) // stride + 1``. "same": ``size / stride``, rounded up. Source: Dumoulin and
    Visin (2016), with the padding of TensorFlow for "same".

    Parameters
    ----------
    size : int
        Height or width of the picture, in pixels.
    kernel : int
        Height or width of the kernel or block, in pixels.
    stride : int
        Step from one place of the kernel to the next, in pixels.
    padding : {"valid", "same"}
        Whether the kernel stays inside the picture or the picture is padded.

    Raises
    ------
    ValueError
        If a number is not a whole number of at least 1, if the padding is neither of the two, or if the
        kernel does not fit ("valid" alone).

    Examples
    --------
    >>> output_size(28, 3), output_size(13, 2, stride=2), output_size(28, 3, stride=2, padding="same")
    (26, 6, 14)
    """
    size, kernel, stride = _positive(size, "size"), _positive(kernel, "kernel"), _positive(stride, "stride")
    if padding not in ("valid", "same"):
        raise ValueError(f'padding must be "valid" or "same", got {padding!r}')
    if padding == "same":
        return -(-size // stride)
    if kernel > size:
        raise ValueError(f"a kernel of {kernel} pixels does not fit into {size} pixels")
    return (size - kernel) // stride + 1


def conv2d(images: ArrayLike, kernel: ArrayLike, *, stride: int = 1, padding: Padding = "valid") -> Array:
    """Convolve a batch of pictures with channels, without bias, as ``keras.layers.Conv2D`` does.

    Each output channel has a kernel as deep as the picture; its feature map is the sum over the channels.
    All windows of a few pictures are copied into a matrix, a window to a row ("im2col", Chellapilla et al.
    2006), and multiplied with the kernels. Used in 2.8 and in "The loop, sped up a thousand times".

    Parameters
    ----------
    images : array_like, shape (batch, height, width, channels)
        Real, finite numbers.
    kernel : array_like, shape (kernel height, kernel width, channels, channels out)
        Real, finite numbers; what ``Conv2D.get_weights()[0]`` returns.
    stride : int
        Step from one place of the kernel to the next, in pixels.
    padding : {"valid", "same"}
        "valid": the kernel stays inside the picture. "same": zeros around the picture, one more below and
        at the right where the number is odd.

    Returns
    -------
    ndarray of floats, shape (batch, rows, columns, channels out), rows and columns as `output_size` says

    Raises
    ------
    ValueError
        If an array is not 4-D, is empty, holds something other than finite real numbers, if the channels
        differ, if `stride` or `padding` is not allowed, or if the kernel does not fit ("valid" alone).

    Examples
    --------
    >>> picture = np.arange(16.0).reshape(1, 4, 4, 1)
    >>> conv2d(picture, np.ones((3, 3, 1, 8))).shape
    (1, 2, 2, 8)
    """
    images, kernel = _images_and_kernel(images, kernel)
    padded, _, (rows, columns) = _padded(images, kernel.shape[:2], stride, padding, fill=0)
    windows = sliding_window_view(padded, kernel.shape[:2], axis=(1, 2))[:, ::stride, ::stride]
    windows = windows.transpose(0, 1, 2, 4, 5, 3)  # first the place, then the axes of the kernel
    shape = (len(images), rows, columns, kernel.shape[3])
    feature_maps = np.empty(shape, np.result_type(images, kernel))
    numbers = columns * kernel[..., 0].size  # in all windows of one row of places
    for pictures in _pieces(len(images), rows * numbers):
        for band in _pieces(rows, numbers):
            feature_maps[pictures, band] = np.tensordot(windows[pictures, band], kernel, axes=3)
    return feature_maps


def conv2d_gradients(
    images: ArrayLike, kernel: ArrayLike, gradient: ArrayLike, *, stride: int = 1, padding: Padding = "valid"
) -> tuple[Array, Array]:
    """Say how a loss changes with the kernel and with the images: the backward pass of `conv2d`.

    Each number of the kernel meets one part of the pictures. Its gradient is the product of that part with
    `gradient`, and what it adds to the gradient of that part is its own product with `gradient` (Goodfellow
    et al. 2016, eq. 9.11 and 9.13). A bias is added to every number of a feature map, so its gradient is a
    sum: ``gradient.sum(axis=(0, 1, 2))``. Used in "The loop, sped up a thousand times".

    Parameters
    ----------
    images, kernel, stride, padding
        What `conv2d` was given.
    gradient : array_like, shape of what `conv2d` returned
        The derivative of the loss with respect to each of those numbers.

    Returns
    -------
    kernel_gradient, images_gradient : ndarrays of floats, shapes of `kernel` and `images`

    Raises
    ------
    ValueError
        As `conv2d`; also if `gradient` does not have the shape of its result.

    Examples
    --------
    >>> picture, kernel = np.zeros((1, 3, 4, 1)), np.ones((2, 2, 1, 1))
    >>> _, images_gradient = conv2d_gradients(picture, kernel, np.ones((1, 2, 3, 1)))
    >>> images_gradient[0, :, :, 0]  # with ones everywhere: how many windows each pixel lies in
    array([[1., 2., 2., 1.],
           [2., 4., 4., 2.],
           [1., 2., 2., 1.]])
    """
    images, kernel = _images_and_kernel(images, kernel)
    padded, inside, places = _padded(images, kernel.shape[:2], stride, padding, fill=0)
    gradient = _gradient(gradient, (len(images), *places, kernel.shape[3]))
    kernel_gradient = np.zeros(kernel.shape, np.result_type(images, kernel, gradient))
    padded_gradient = np.zeros(padded.shape, kernel_gradient.dtype)
    for pictures in _pieces(len(images), padded[0].size + gradient[0].size):
        to_places = gradient[pictures].reshape(-1, kernel.shape[3])  # a row for each place
        for m, n in np.ndindex(kernel.shape[:2]):
            met = pictures, *_met(m, n, places, stride)
            kernel_gradient[m, n] += padded[met].reshape(-1, kernel.shape[2]).T @ to_places
            padded_gradient[met] += (to_places @ kernel[m, n].T).reshape(padded[met].shape)
    return kernel_gradient, padded_gradient[inside]


def max_pool2d(
    images: ArrayLike, size: int = 2, *, stride: int | None = None, padding: Padding = "valid"
) -> Array:
    """Pool a batch of pictures, each channel by itself, as ``keras.layers.MaxPooling2D`` does. Used in 2.8.

    Parameters
    ----------
    images : array_like, shape (batch, height, width, channels)
        Real, finite numbers.
    size : int
        Side of a block in pixels.
    stride : int, optional
        Step from one block to the next, in pixels; `size` if not given.
    padding : {"valid", "same"}
        "valid": only whole blocks. "same": blocks may reach over the edge, what lies outside never wins.

    Returns
    -------
    ndarray of the type of `images`, shape (batch, rows, columns, channels), as `output_size` says

    Raises
    ------
    ValueError
        If `images` is not 4-D, is empty, holds something other than finite real numbers, if `size`,
        `stride` or `padding` is not allowed, or if not one block fits ("valid" alone).

    Examples
    --------
    >>> max_pool2d(np.zeros((10, 13, 13, 32))).shape
    (10, 6, 6, 32)
    """
    images = _real(images, "images", 4)
    size = _positive(size, "size")
    stride = size if stride is None else stride
    padded, _, places = _padded(images, (size, size), stride, padding, fill=images.min())
    largest = padded[:, *_met(0, 0, places, stride)].copy()
    for m, n in np.ndindex(size, size):
        np.maximum(largest, padded[:, *_met(m, n, places, stride)], out=largest)
    return largest


def max_pool2d_gradient(
    images: ArrayLike,
    gradient: ArrayLike,
    size: int = 2,
    *,
    stride: int | None = None,
    padding: Padding = "valid",
) -> Array:
    """Say how a loss changes with the images: the backward pass of `max_pool2d`.

    Only the largest number of a block was passed on, so it alone gets the block's gradient; where several
    are largest, the first of them in reading order. Used in "The loop, sped up a thousand times".

    Parameters
    ----------
    images, size, stride, padding
        What `max_pool2d` was given.
    gradient : array_like, shape of what `max_pool2d` returned
        The derivative of the loss with respect to each of those numbers.

    Returns
    -------
    ndarray of floats, shape of `images`

    Raises
    ------
    ValueError
        As `max_pool2d`; also if `gradient` does not have the shape of its result.

    Examples
    --------
    >>> picture = np.array([[1.0, 2, 3, 4], [5, 6, 7, 7]])
    >>> max_pool2d_gradient(picture[None, ..., None], [[[[10], [20]]]])[0, :, :, 0]
    array([[ 0.,  0.,  0.,  0.],
           [ 0., 10., 20.,  0.]])
    """
    images = _as_float(_real(images, "images", 4))
    largest = max_pool2d(images, size, stride=stride, padding=padding)
    stride = size if stride is None else stride
    padded, inside, places = _padded(images, (size, size), stride, padding, fill=-np.inf)
    left = _gradient(gradient, largest.shape).copy()  # what no number of its block has got yet
    padded_gradient = np.zeros(padded.shape, left.dtype)
    for m, n in np.ndindex(size, size):
        met = slice(None), *_met(m, n, places, stride)
        got = left * (padded[met] == largest)
        padded_gradient[met] += got
        left -= got
    return padded_gradient[inside]


# How a kernel meets a picture -------------------------------------------------------------------------------


def _padded(
    images: Array, size: tuple[int, ...], stride: int, padding: Padding, fill: Any
) -> tuple[Array, tuple[slice, ...], tuple[int, ...]]:
    """Surround each picture with `fill`, as far as a kernel of that size reaches over its sides.

    Also returns where in the result the pictures lie, and how many rows and columns of places there are.
    """
    if padding == "valid":
        _check_fits(size, images.shape[1:3], "kernel")
    margins, inside, places = [(0, 0)], [slice(None)], []
    for side, length in zip(images.shape[1:3], size, strict=True):
        count = output_size(side, length, stride, padding)
        over = max((count - 1) * stride + length - side, 0)  # never anything if the padding is "valid"
        margins.append((over // 2, over - over // 2))
        inside.append(slice(over // 2, over // 2 + side))
        places.append(count)
    padded = np.pad(images, [*margins, (0, 0)], constant_values=fill) if np.any(margins) else images
    return padded, tuple(inside), tuple(places)


def _met(m: int, n: int, places: tuple[int, ...], stride: int) -> tuple[slice, slice]:
    """Rows and columns of the padded picture that the kernel's number in row m, column n meets."""
    rows, columns = places
    return slice(m, m + stride * rows, stride), slice(n, n + stride * columns, stride)


def _pieces(rows: int, numbers: int) -> Iterator[slice]:
    """Cut that many rows into pieces that fit into the cache; one row makes that many numbers of work."""
    length = max(1, CACHED // numbers)
    return (slice(start, min(start + length, rows)) for start in range(0, rows, length))


# What every function asks of its arguments ------------------------------------------------------------------


def _real(values: ArrayLike, name: str, dimensions: int) -> Array:
    """Return `values` as an array of finite real numbers with that many dimensions."""
    if np.ma.is_masked(values):
        raise ValueError(f"{name} of shape {np.shape(values)} holds masked numbers; none may be missing")
    try:
        array = np.asarray(values)
    except ValueError:
        raise ValueError(f"{name} must be an array of numbers, with rows of equal length") from None
    if array.dtype.kind not in "biuf":  # boolean, integer, unsigned integer, float
        raise ValueError(f"{name} must hold real numbers, but its type is {array.dtype}")
    if array.ndim != dimensions:
        wanted = "one number" if dimensions == 0 else f"{dimensions}-D"
        raise ValueError(f"{name} must be {wanted}, but its shape is {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} is empty: its shape is {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError(f"{name} of shape {array.shape} holds NaN or infinity; every number must be finite")
    return array


def _images_and_kernel(images: ArrayLike, kernel: ArrayLike) -> tuple[Array, Array]:
    """Return both as floats, if their channels agree."""
    images = _as_float(_real(images, "images", 4))
    kernel = _as_float(_real(kernel, "kernel", 4))
    if kernel.shape[2] != images.shape[3]:
        raise ValueError(
            f"kernel of shape {kernel.shape} expects {kernel.shape[2]} channels, "
            f"but images of shape {images.shape} have {images.shape[3]}"
        )
    return images, kernel


def _gradient(gradient: ArrayLike, shape: tuple[int, ...]) -> Array:
    """Return it as floats, if it has the shape of what it is the gradient of."""
    gradient = _as_float(_real(gradient, "gradient", 4))
    if gradient.shape != shape:
        raise ValueError(f"gradient must have the shape of the result, {shape}, and has {gradient.shape}")
    return gradient


def _as_float(array: Array) -> Array:
    """Leave floats as they are; make float64 of everything else."""
    return array if array.dtype.kind == "f" else array.astype(np.float64)


def _positive(number: int, name: str) -> int:
    """Return `number` if it is a whole number of at least 1."""
    try:
        whole = operator.index(number)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, got {number!r}") from None
    if whole < 1:
        raise ValueError(f"{name} must be at least 1, got {whole}")
    return whole


def _check_fits(inner: tuple[int, ...], outer: tuple[int, ...], name: str) -> None:
    """Refuse a kernel or block that is larger than the picture in either direction."""
    if inner[0] > outer[0] or inner[1] > outer[1]:
        raise ValueError(f"{name} of shape {inner} does not fit into a picture of shape {outer}")

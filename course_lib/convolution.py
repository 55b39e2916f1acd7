"""Convolution as convolutional networks use it, in NumPy alone.

The first half holds the four functions of Task 2, for one picture and one kernel. The second half holds
the same for a batch of pictures with channels, laid out as in Keras: images ``(batch, height, width,
channels)``, kernels ``(height, width, channels in, channels out)``.

What deep learning calls convolution is cross-correlation: the kernel is not flipped.

Whole numbers and booleans are computed as float64, so that 8-bit pixels cannot overflow; floats keep their
precision, and of two precisions the finer one wins. Pooling computes nothing and keeps the type it is given.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "conv2d",
    "convolution",
    "convolutional_layer",
    "max_pool2d",
    "maxpool_layer",
    "output_size",
    "relu",
]

Array: TypeAlias = NDArray[Any]
Padding: TypeAlias = Literal["valid", "same"]


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
    X, K = _as_float(_real(X, "X", 2)), _as_float(_real(K, "K", 2))
    _check_fits(K.shape, X.shape, "kernel K")
    windows = sliding_window_view(X, K.shape)  # windows[i, j] is the part of X below the kernel at (i, j)
    feature_map: Array = np.einsum("ijmn,mn->ij", windows, K)
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
    Needs memory for one copy of the pictures per pixel of the kernel. Used in 2.8.

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
    images = _as_float(_real(images, "images", 4))
    kernel = _as_float(_real(kernel, "kernel", 4))
    if kernel.shape[2] != images.shape[3]:
        raise ValueError(
            f"kernel of shape {kernel.shape} expects {kernel.shape[2]} channels, "
            f"but images of shape {images.shape} have {images.shape[3]}"
        )
    windows = _windows(images, kernel.shape[:2], stride, padding, fill=0)
    # windows: (batch, rows, columns, channels, kernel height, kernel width)
    feature_maps: Array = np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))
    return feature_maps


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
    windows = _windows(images, (size, size), stride, padding, fill=images.min())
    largest: Array = windows.max(axis=(4, 5))
    return largest


def _windows(images: Array, kernel: tuple[int, ...], stride: int, padding: Padding, fill: Any) -> Array:
    """View every place of the kernel: (batch, rows, columns, channels, kernel height, kernel width)."""
    if padding == "valid":
        _check_fits(kernel, images.shape[1:3], "kernel")
    around = [(0, 0)]
    for size, length in zip(images.shape[1:3], kernel, strict=True):
        missing = (output_size(size, length, stride, padding) - 1) * stride + length - size
        padded = max(missing, 0) if padding == "same" else 0
        around.append((padded // 2, padded - padded // 2))
    around.append((0, 0))
    padded_images = np.pad(images, around, constant_values=fill)
    return sliding_window_view(padded_images, kernel, axis=(1, 2))[:, ::stride, ::stride]


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

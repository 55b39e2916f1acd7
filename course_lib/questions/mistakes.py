"""The mistakes that people make, as functions: what each of them gives, and what to say about it.

A case is called with the right function and with all of these. Whatever gives another result than the right
function can be recognized by it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from course_lib.convolution import convolution, convolutional_layer, maxpool_layer, relu
from course_lib.questions.judgement import Case, same

Array: TypeAlias = NDArray[Any]
Mistakes: TypeAlias = tuple[tuple[str, Callable[..., Any]], ...]

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {"relu": relu, "identity": np.positive, "tanh": np.tanh}


def case(
    right: Callable[..., Any],
    mistakes: Mistakes,
    arguments: Sequence[Any],
    group: str = "",
    *,
    hidden: bool = False,
) -> Case:
    """Return the case of a call, with what the right function and each mistake give."""
    given = [ACTIVATIONS[value] if isinstance(value, str) else value for value in arguments]
    expected = np.asarray(right(*given)).tolist()
    wrong = []
    for words, mistake in mistakes:
        try:
            result = np.asarray(mistake(*given)).tolist()
        except (ValueError, IndexError):  # with these arguments, this mistake is none or an error
            result = None
        wrong.append((None if same(result, expected) else result, words))
    return Case(tuple(arguments), expected, tuple(wrong), group, hidden)


# 2.2 convolution --------------------------------------------------------------------------------------------

FLIPPED = (
    "The kernel is flipped. Here it is not: its upper left number meets the upper left number of the window."
)
KERNEL_TRANSPOSED = (
    "The kernel is transposed: its rows meet the columns of the picture. K[m, n] belongs to X[i + m, j + n]."
)
RUNS_ON = "The sum runs on from one place to the next. Begin it at 0 for each place."
AS_LARGE = "It is as large as the picture. Only places where the whole kernel lies inside count: h - k + 1."
ONE_PRODUCT = "Only the last product is left: `=` replaces a number, `+=` adds to it."
FIRST_ROW = "Only the first row is computed. Look at how far `return` is indented."
ADDED = "The numbers are added to those of the kernel. Multiply them."
ROUNDED = "The numbers are rounded. Leave their fractions."
LAST_MISSING = "The last row and column are 0: the loops end one place too early."
MEAN_OF_PRODUCTS = "These are the means of the products. Sum them."
OVERFLOW = "In 8 bits, 255 + 1 is 0: whole numbers overflow. Turn pixels into floats before you compute."
NO_ROOM = (
    "The result has the type of the picture, which has no room for fractions and negative numbers:"
    " np.zeros_like(X) does that. Make room with np.zeros((rows, columns))."
)
ABSOLUTE = "All numbers are positive: the sign is lost."


def _running_sum(X: Array, K: Array) -> Array:
    Y = convolution(X, K)
    return np.cumsum(Y).reshape(Y.shape)


def _as_large(X: Array, K: Array) -> Array:
    (k, l) = K.shape
    before, after = ((k - 1) // 2, (l - 1) // 2), (k // 2, l // 2)
    return convolution(np.pad(X, list(zip(before, after, strict=True))), K)


def _last_missing(X: Array, K: Array) -> Array:
    Y = convolution(X, K)
    Y[-1, :] = Y[:, -1] = 0
    return Y


def _products_in_eight_bits(X: Array, K: Array) -> Array:
    if X.dtype != np.uint8:
        raise ValueError("no overflow")
    windows = np.lib.stride_tricks.sliding_window_view(X, K.shape)
    summed: Array = (np.trunc(windows * K).astype(np.int64) % 256).sum(axis=(2, 3))
    return summed


def _one_product(X: Array, K: Array) -> Array:
    k, l = K.shape
    product: Array = X[k - 1 :, l - 1 :].astype(float) * K[-1, -1]
    return product


def _first_row(X: Array, K: Array) -> Array:
    Y = convolution(X, K)
    Y[1:] = 0
    return Y


def _no_room(X: Array, K: Array) -> Array:
    """What `Y = np.zeros_like(X[…])` leaves: every step of the sum is cast to the type of the picture."""
    if X.dtype.kind not in "iu":
        raise ValueError("floats have room")
    rows, columns = X.shape[0] - K.shape[0] + 1, X.shape[1] - K.shape[1] + 1
    Y = np.zeros((rows, columns), np.int64)
    for m in range(K.shape[0]):
        for n in range(K.shape[1]):
            step = np.trunc(Y + X[m : m + rows, n : n + columns].astype(float) * K[m, n]).astype(np.int64)
            Y = step % 256 if X.dtype == np.uint8 else step
    return Y


CONVOLUTION: Mistakes = (
    (FLIPPED, lambda X, K: convolution(X, K[::-1, ::-1])),
    (KERNEL_TRANSPOSED, lambda X, K: convolution(X, K.T)),
    (NO_ROOM, _no_room),
    (NO_ROOM, lambda X, K: _cast(X, convolution(X, K))),
    (OVERFLOW, _products_in_eight_bits),
    (RUNS_ON, _running_sum),
    (ONE_PRODUCT, _one_product),
    (FIRST_ROW, _first_row),
    (ADDED, lambda X, K: convolution(X, np.ones_like(K)) + K.sum()),
    (ROUNDED, lambda X, K: np.round(convolution(X, K))),
    (LAST_MISSING, _last_missing),
    (MEAN_OF_PRODUCTS, lambda X, K: convolution(X, K) / K.size),
    (ABSOLUTE, lambda X, K: np.abs(convolution(X, K))),
    (AS_LARGE, _as_large),
)


def _cast(X: Array, Y: Array) -> Array:
    """What is left of a result that is written into an array of the picture's type."""
    if X.dtype.kind not in "iu":
        raise ValueError("floats have room")
    whole = np.trunc(Y).astype(np.int64)
    return whole % 256 if X.dtype == np.uint8 else whole


# 2.4 convolutional_layer ------------------------------------------------------------------------------------

NO_BIAS = "The bias is missing: add b to every number of the convolution."
BIAS_LATE = "The bias is added after the activation. It belongs before."
BIAS_TAKEN = "The bias is subtracted. Add it: a negative b makes the numbers smaller by itself."
BIAS_TOO_OFTEN = (
    "The bias is added once for every number of the kernel. Add it once for every number of the result."
)
BIAS_TIMES = "The numbers are multiplied by the bias. Add it."
FIXED_BIAS = "The bias is always 100, as in the example. Add b."
NO_ACTIVATION = "The activation is missing: call it with every number, after the bias."
ALWAYS_RELU = "This looks like ReLU. Call the function that is handed over as `activation`, whichever it is."
ACTIVATION_FIRST = (
    "The activation is applied to the picture. Apply it to what the convolution and the bias give."
)
BIAS_TO_PIXELS = "The bias is added to the picture. Add it to the feature map."

LAYER: Mistakes = (
    (NO_ACTIVATION, lambda X, K, b, activation: convolution(X, K) + b),
    (NO_BIAS, lambda X, K, b, activation: activation(convolution(X, K))),
    (NO_BIAS, lambda X, K, b, activation: convolution(X, K)),
    (BIAS_LATE, lambda X, K, b, activation: activation(convolution(X, K)) + b),
    (BIAS_TAKEN, lambda X, K, b, activation: activation(convolution(X, K) - b)),
    (ALWAYS_RELU, lambda X, K, b, activation: relu(convolution(X, K) + b)),
    (FIXED_BIAS, lambda X, K, b, activation: activation(convolution(X, K) + 100)),
    (BIAS_TOO_OFTEN, lambda X, K, b, activation: activation(convolution(X, K) + b * K.size)),
    (BIAS_TIMES, lambda X, K, b, activation: activation(convolution(X, K) * b)),
    (BIAS_TO_PIXELS, lambda X, K, b, activation: activation(convolution(X.astype(float) + b, K))),
    (ACTIVATION_FIRST, lambda X, K, b, activation: convolution(activation(X), K) + b),
    (FLIPPED, lambda X, K, b, activation: convolutional_layer(X, K[::-1, ::-1], b, activation)),
    (AS_LARGE, lambda X, K, b, activation: activation(_as_large(X, K) + b)),
)


# 2.7 maxpool_layer ------------------------------------------------------------------------------------------

WHOLE = "This is the largest number of the whole picture. Take the largest of each block of 2 x 2."
STRIDE_1 = "The blocks overlap: the stride is 1. Let the next block begin two rows or two columns further."
ROUNDED_UP = "The last, odd row and column have blocks of their own. Here they are left out: 3 // 2 is 1."
SMALLEST = "These are the smallest numbers of the blocks."
MEAN = "These are the means of the blocks. Take the largest number of each."
FROM_ZERO = "All numbers of this block are below 0. Begin with a number of the block, not with 0."
CORNERS = "These are the upper left numbers of the blocks. Take the largest of each block."
ROWS_ONLY = "Only rows are put together. A block has two rows and two columns."
COLUMNS_ONLY = "Only columns are put together. A block has two rows and two columns."
DIAGONAL_ONLY = "Only the first and the last number of each block are compared. A block has four."


def _blocks(X: Array) -> Array:
    rows, columns = X.shape[0] // 2, X.shape[1] // 2
    return X[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2)


def _rounded_up(X: Array) -> Array:
    odd = [(0, size % 2) for size in X.shape]
    pooled: Array = _blocks(np.pad(X, odd, mode="edge")).max(axis=(1, 3))
    return pooled


def _overlapping(X: Array) -> Array:
    pooled: Array = np.maximum.reduce([X[:-1, :-1], X[1:, :-1], X[:-1, 1:], X[1:, 1:]])
    return pooled


POOLING: Mistakes = (
    (WHOLE, lambda X: X.max()),
    (WHOLE, lambda X: np.full_like(maxpool_layer(X), X.max())),
    (WHOLE, lambda X: X.max(keepdims=True)),
    (SMALLEST, lambda X: _blocks(X).min(axis=(1, 3))),
    (MEAN, lambda X: _blocks(X).mean(axis=(1, 3))),
    (CORNERS, lambda X: _blocks(X)[:, 0, :, 0]),
    (DIAGONAL_ONLY, lambda X: np.maximum(_blocks(X)[:, 0, :, 0], _blocks(X)[:, 1, :, 1])),
    (FROM_ZERO, lambda X: np.maximum(maxpool_layer(X), 0)),
    (STRIDE_1, _overlapping),
    (ROUNDED_UP, _rounded_up),
    (ROWS_ONLY, lambda X: _blocks(X).max(axis=1).reshape(X.shape[0] // 2, -1)),
    (COLUMNS_ONLY, lambda X: _blocks(X).max(axis=3).reshape(-1, X.shape[1] // 2)),
)

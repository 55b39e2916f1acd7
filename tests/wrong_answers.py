"""Typical wrong answers to the questions that a computer judges, each with its mark and what it is told.

A mark is that of the grader, with hidden cases. The words must be in what the student reads, and are what
`check` says too.
"""

from __future__ import annotations

from typing import NamedTuple

from course_lib.questions import judgement as judging
from course_lib.questions import mistakes, task_1, task_2


class WrongAnswer(NamedTuple):
    """The text of an answer cell that is wrong."""

    part: str
    mistake: str
    source: str
    points: float
    words: str


def loops(body: str, *, size: str = "X.shape[0] - K.shape[0] + 1, X.shape[1] - K.shape[1] + 1") -> str:
    """Write a convolution in four loops with this innermost line."""
    return f"""
def convolution(X, K):
    rows, columns = {size}
    Y = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            for m in range(K.shape[0]):
                for n in range(K.shape[1]):
                    {body}
    return Y
"""


SUM = "Y[i, j] += X[i + m, j + n] * K[m, n]"
CONVOLUTION = loops(SUM)

_2_2 = [
    (
        "nothing written",
        "def convolution(X, K):\n    raise NotImplementedError",
        0,
        "Nothing stands there yet",
    ),
    ("no return", CONVOLUTION.replace("return Y", "Y"), 0, judging.NOTHING),
    (
        "flipped",
        loops("Y[i, j] += X[i + m, j + n] * K[K.shape[0] - 1 - m, K.shape[1] - 1 - n]"),
        0,
        mistakes.FLIPPED,
    ),
    ("kernel transposed", loops("Y[i, j] += X[i + m, j + n] * K[n, m]"), 0, mistakes.KERNEL_TRANSPOSED),
    (
        "one place too few",
        loops(SUM, size="X.shape[0] - K.shape[0], X.shape[1] - K.shape[1]"),
        0,
        judging.TOO_SMALL,
    ),
    (
        "one place too many",
        loops(SUM, size="X.shape[0] - K.shape[0] + 2, X.shape[1] - K.shape[1] + 2"),
        0,
        "A row or column was asked for that isn't there",
    ),
    (
        "as large as the picture",
        """
def convolution(X, K):
    k = K.shape[0]
    padded = np.pad(X, [((k - 1) // 2, k // 2), ((k - 1) // 2, k // 2)])
    Y = np.zeros(X.shape)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            Y[i, j] = np.sum(padded[i:i + k, j:j + k] * K)
    return Y
""",
        0,
        mistakes.AS_LARGE,
    ),
    (
        "return within the loops",
        CONVOLUTION.replace("    return Y", "            return Y"),
        0,
        judging.FIRST_ONLY,
    ),
    (
        "the sum runs on",
        """
def convolution(X, K):
    k = K.shape[0]
    Y = np.zeros((X.shape[0] - k + 1, X.shape[1] - k + 1))
    total = 0
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            total += np.sum(X[i:i + k, j:j + k] * K)
            Y[i, j] = total
    return Y
""",
        0,
        mistakes.RUNS_ON,
    ),
    (
        "mean instead of sum",
        CONVOLUTION.replace("return Y", "return Y / K.size"),
        0,
        mistakes.MEAN_OF_PRODUCTS,
    ),
    ("rows and columns swapped", CONVOLUTION.replace("return Y", "return Y.T"), 0, judging.SWAPPED),
    (
        "only the last product",
        loops("Y[i, j] = X[i + m, j + n] * K[m, n]"),
        0,
        mistakes.ONE_PRODUCT,
    ),
    (
        "always a kernel of 3 x 3",
        CONVOLUTION.replace("K.shape[0]", "3").replace("K.shape[1]", "3"),
        0,
        "ends in an error",
    ),
    (
        "for square pictures only",
        CONVOLUTION.replace("X.shape[1]", "X.shape[0]"),
        0,
        judging.TOO_SMALL,
    ),
    (
        "the type of the picture",
        CONVOLUTION.replace("np.zeros((rows, columns))", "np.zeros((rows, columns), dtype=X.dtype)"),
        1.5,
        mistakes.NO_ROOM,
    ),
    (
        "products in 8 bits",
        """
def convolution(X, K):
    k = K.shape[0]
    Y = np.zeros((X.shape[0] - k + 1, X.shape[1] - k + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            products = (X[i:i + k, j:j + k] * K).astype(X.dtype)
            Y[i, j] = products.sum()
    return Y
""",
        1.5,
        mistakes.OVERFLOW,
    ),
    ("rounded", CONVOLUTION.replace("return Y", "return np.round(Y)"), 0, mistakes.ROUNDED),
    ("whole numbers", CONVOLUTION.replace("return Y", "return Y.astype(int)"), 0, mistakes.NO_ROOM),
    ("added instead of multiplied", loops("Y[i, j] += X[i + m, j + n] + K[m, n]"), 0, mistakes.ADDED),
    (
        "return within the loop over rows",
        CONVOLUTION.replace("    return Y", "        return Y"),
        0,
        mistakes.FIRST_ROW,
    ),
    ("sign lost", CONVOLUTION.replace("return Y", "return np.abs(Y)"), 0, mistakes.ABSOLUTE),
    (
        "the example, typed in",
        "def convolution(X, K):\n    return np.array([[-1.0, 27.0], [-36.0, -36.0]])",
        0,
        "The example alone earns nothing",
    ),
    (
        "the kernel is changed",
        CONVOLUTION.replace("    return Y", "    K *= 2\n    return Y"),
        0,
        "It changed what it was given",
    ),
    (
        "matrix product",
        """
def convolution(X, K):
    k = K.shape[0]
    Y = np.zeros((X.shape[0] - k + 1, X.shape[1] - k + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = np.sum(X[i:i + k, j:j + k] @ K)
    return Y
""",
        0,
        "first difference",
    ),
    ("not a function", "convolution = np.array([[-1, 27], [-36, -36]])", 0, "is no function"),
]

LAYER = "def convolutional_layer(X, K, b, activation):\n    return {}"

_2_4 = [
    ("no bias", LAYER.format("activation(convolution(X, K))"), 0, mistakes.NO_BIAS),
    ("bias after the activation", LAYER.format("activation(convolution(X, K)) + b"), 0, mistakes.BIAS_LATE),
    ("bias subtracted", LAYER.format("activation(convolution(X, K) - b)"), 0, mistakes.BIAS_TAKEN),
    ("bias multiplied", LAYER.format("activation(convolution(X, K) * b)"), 0, mistakes.BIAS_TIMES),
    (
        "bias for every product",
        LAYER.format("activation(convolution(X, K) + b * K.size)"),
        0,
        mistakes.BIAS_TOO_OFTEN,
    ),
    (
        "bias to the pixels",
        LAYER.format("activation(convolution(X + float(b), K))"),
        0,
        mistakes.BIAS_TO_PIXELS,
    ),
    (
        "always the bias of the example",
        LAYER.format("activation(convolution(X, K) + 100)"),
        0,
        mistakes.FIXED_BIAS,
    ),
    ("no activation", LAYER.format("convolution(X, K) + b"), 0, mistakes.NO_ACTIVATION),
    ("always ReLU", LAYER.format("np.maximum(convolution(X, K) + b, 0)"), 2, mistakes.ALWAYS_RELU),
    (
        "activation of the picture",
        LAYER.format("convolution(activation(X), K) + b"),
        0,
        mistakes.ACTIVATION_FIRST,
    ),
    ("activation not called", LAYER.format("activation"), 0, "expected"),
    ("kernel flipped", LAYER.format("activation(convolution(X, K[::-1, ::-1]) + b)"), 0, mistakes.FLIPPED),
    (
        "arguments in another order",
        "def convolutional_layer(X, K, activation, b):\n    return activation(convolution(X, K) + b)",
        0,
        "ends in an error",
    ),
]


def pool(line: str) -> str:
    """Write a pooling in two loops with this line within."""
    return f"""
def maxpool_layer(X):
    rows, columns = X.shape[0] // 2, X.shape[1] // 2
    Y = np.zeros((rows, columns), dtype=X.dtype)
    for i in range(rows):
        for j in range(columns):
            block = X[2 * i:2 * i + 2, 2 * j:2 * j + 2]
            {line}
    return Y
"""


_2_7 = [
    ("max of the whole array", "def maxpool_layer(X):\n    return X.max()", 0, mistakes.WHOLE),
    ("max of the whole array everywhere", pool("Y[i, j] = X.max()"), 0, mistakes.WHOLE),
    (
        "stride 1",
        """
def maxpool_layer(X):
    Y = np.zeros((X.shape[0] - 1, X.shape[1] - 1), dtype=X.dtype)
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = X[i:i + 2, j:j + 2].max()
    return Y
""",
        0,
        mistakes.STRIDE_1,
    ),
    ("smallest", pool("Y[i, j] = block.min()"), 0, mistakes.SMALLEST),
    (
        "mean",
        pool("Y[i, j] = block.mean()").replace(", dtype=X.dtype", ""),
        0,
        mistakes.MEAN,
    ),
    ("upper left corner", pool("Y[i, j] = block[0, 0]"), 0, mistakes.CORNERS),
    ("diagonal only", pool("Y[i, j] = max(block[0, 0], block[1, 1])"), 0, mistakes.DIAGONAL_ONLY),
    (
        "rounded up",
        """
def maxpool_layer(X):
    rows, columns = -(-X.shape[0] // 2), -(-X.shape[1] // 2)
    Y = np.zeros((rows, columns), dtype=X.dtype)
    for i in range(rows):
        for j in range(columns):
            Y[i, j] = X[2 * i:2 * i + 2, 2 * j:2 * j + 2].max()
    return Y
""",
        2.5,
        mistakes.ROUNDED_UP,
    ),
    (
        "begins with 0",
        pool("Y[i, j] = max(0, *block.ravel())"),
        2.5,
        mistakes.FROM_ZERO,
    ),
    (
        "odd sizes refused",
        """
def maxpool_layer(X):
    rows, columns = X.shape
    return X.reshape(rows // 2, 2, columns // 2, 2).max(axis=(1, 3))
""",
        2.5,
        "ends in an error",
    ),
    (
        "a list of numbers",
        pool("Y[i, j] = block.max()").replace("return Y", "return Y.ravel()"),
        0,
        judging.NOT_ROWS,
    ),
    (
        "rows and columns swapped",
        pool("Y[i, j] = block.max()").replace("return Y", "return Y.T"),
        0,
        judging.SWAPPED,
    ),
    (
        "the sign of the numbers lost",
        pool("Y[i, j] = np.abs(block).max()"),
        0,
        "first difference",
    ),
]

_values = [
    ("answer-2-1", "turned the other way", "four = np.rot90(image)", task_2.OTHER_WAY),
    ("answer-2-1", "transposed", "four = image.T", task_2.MIRRORED),
    ("answer-2-1", "not turned", "four = image", task_2.UNTURNED),
    ("answer-2-1", "divided by 255", "four = np.rot90(image, -1) / 255", task_2.SCALED),
    ("answer-2-1", "half a turn", "four = np.rot90(image, 2)", task_2.HALF_TURN),
    ("answer-2-3", "of the untouched digit", "feature_map = convolution(image, K)", task_2.OF_UNTURNED),
    ("answer-2-3", "kernel transposed", "feature_map = convolution(four, K.T)", task_2.OF_TRANSPOSED),
    ("answer-2-3", "of the patch", "feature_map = convolution(X, K)", task_2.OF_PATCH),
    ("answer-2-3", "nothing yet", "feature_map = None", "has no value yet"),
    (
        "answer-2-5",
        "bias of the wrong sign",
        "layer_K = convolutional_layer(four, K, 150, relu)",
        task_2.OTHER_SIGN,
    ),
    ("answer-2-5", "bias late", "layer_K = relu(convolution(four, K)) - 150", mistakes.BIAS_LATE),
    ("answer-2-5", "no ReLU", "layer_K = convolution(four, K) - 150", mistakes.NO_ACTIVATION),
    (
        "answer-2-5",
        "of pixels divided by 255",
        "layer_K = convolutional_layer(four / 255, K, -150, relu)",
        task_2.SCALED,
    ),
    (
        "answer-2-6",
        "result transposed",
        "layer_KT = convolutional_layer(four, K, -150, relu).T",
        task_2.RESULT_TRANSPOSED,
    ),
    (
        "answer-2-8",
        "pooled first",
        "pooled = convolutional_layer(maxpool_layer(four), K, -320, relu)",
        task_2.POOLED_FIRST,
    ),
    ("answer-2-6", "not transposed", "layer_KT = convolutional_layer(four, K, -150, relu)", task_2.OF_K),
    ("answer-2-8", "not pooled", "pooled = convolutional_layer(four, K, -320, relu)", task_2.NOT_POOLED),
    ("answer-2-8", "bias forgotten", "pooled = maxpool_layer(relu(convolution(four, K)))", mistakes.NO_BIAS),
    ("answer-1-1", "counted from 1", "labels = np.array([0, 4, 1])", task_1.FROM_ONE),
    ("answer-1-1", "one-hot", "labels = np.eye(10)[[5, 0, 4]]", task_1.ONE_HOT),
    ("answer-1-7", "counted from 0", "names = ['bird', 'horse']", task_1.FROM_ZERO),
    ("answer-1-7", "numbers", "names = [7, 3]", task_1.NUMBERS),
]

WRONG_ANSWERS = [
    *(WrongAnswer("answer-2-2", *answer) for answer in _2_2),
    *(WrongAnswer("answer-2-4", *answer) for answer in _2_4),
    *(WrongAnswer("answer-2-7", *answer) for answer in _2_7),
    *(WrongAnswer(part, mistake, source, 0, words) for part, mistake, source, words in _values),
]

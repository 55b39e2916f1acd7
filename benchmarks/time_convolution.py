"""One feature map of one digit: 28×28 pixels, a kernel of 3×3, 26×26 results."""

import numpy as np
import scipy.ndimage
import scipy.signal

from benchmarks import seconds, table
from course_lib.convolution import convolution

random = np.random.default_rng(1)
X = random.uniform(0, 255, (28, 28))
K = np.array([[-0.5, -0.5, -0.5], [1, 1, 1], [-0.5, -0.5, -0.5]])


def four_loops(X, K):
    """The convolution as section 2.2 writes it first."""
    rows, columns = X.shape[0] - K.shape[0] + 1, X.shape[1] - K.shape[1] + 1
    Z = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            for m in range(K.shape[0]):
                for n in range(K.shape[1]):
                    Z[i, j] += X[i + m, j + n] * K[m, n]
    return Z


def by_ndimage(X, K):
    """SciPy's other convolution: it pads, and the border is cut off."""
    return scipy.ndimage.correlate(X, K)[1:-1, 1:-1]


def by_signal(X, K):
    """SciPy's convolution."""
    return scipy.signal.correlate2d(X, K, mode="valid")


for other in (convolution, by_signal, by_ndimage):
    np.testing.assert_allclose(other(X, K), four_loops(X, K), atol=1e-9)

table(
    "Convolution, 28×28 with 3×3",
    {
        "four loops in Python": seconds(lambda: four_loops(X, K), repeats=21, calls=3),
        "course_lib.convolution.convolution": seconds(lambda: convolution(X, K), repeats=21, calls=300),
        'scipy.signal.correlate2d(mode="valid")': seconds(lambda: by_signal(X, K), repeats=21, calls=300),
        "scipy.ndimage.correlate": seconds(lambda: by_ndimage(X, K), repeats=21, calls=300),
    },
)

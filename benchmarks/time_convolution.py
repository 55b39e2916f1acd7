"""One feature map of one digit, checks of the arguments included: 28×28 pixels, a kernel of 3×3."""

import numpy as np
import scipy.ndimage
import scipy.signal

from benchmarks import line, side_by_side
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


ways = {
    "four loops": lambda: four_loops(X, K),
    "SciPy's correlate2d": lambda: scipy.signal.correlate2d(X, K, mode="valid"),
    "SciPy's ndimage.correlate": lambda: scipy.ndimage.correlate(X, K)[1:-1, 1:-1],  # its border is cut off
    "ours": lambda: convolution(X, K),
}
for way in ways.values():
    np.testing.assert_allclose(way(), four_loops(X, K), atol=1e-9)

taken = side_by_side(ways)
what = "convolution, 28×28 with 3×3"
line(what, taken, ours="ours", reference="four loops", at_least=75)
line(what, taken, ours="ours", reference="SciPy's correlate2d", at_least=1)
line(what, taken, ours="ours", reference="SciPy's ndimage.correlate")

"""The digit, the kernel and the biases of Task 2, and how each student may get others."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Variation(NamedTuple):
    """What 2.3, 2.5, 2.6 and 2.8 are computed from. Each has the value of the assignment by default.

    Parameters
    ----------
    image
        The number of the training image, counted from 0.
    kernel
        Three rows of three numbers; transposed it is another one.
    bias
        The bias of 2.5 and 2.6.
    last_bias
        The bias of 2.8.
    """

    image: int = 2
    kernel: tuple[tuple[float, ...], ...] = ((-0.5, -0.5, -0.5), (1, 1, 1), (-0.5, -0.5, -0.5))
    bias: float = -150
    last_bias: float = -320

    @property
    def K(self) -> NDArray[Any]:
        """The kernel as an array."""
        return np.array(self.kernel)

    @property
    def captured(self) -> str:
        """What a kernel finds whose rows are all the same, or whose columns are.

        >>> Variation().captured
        'thin bright lines along a row of the array'
        >>> Variation(kernel=((1, 0, -1),) * 3).captured
        'edges along a column of the array, bright on the left and dark on the right'
        """
        across, way, sides = self.K.sum(axis=1), "row", ("above", "below")
        if not across.any():
            across, way, sides = self.K.sum(axis=0), "column", ("on the left", "on the right")
        if across[1]:
            return f"thin {'bright' if across[1] > 0 else 'dark'} lines along a {way} of the array"
        bright, dark = sides if across[0] > 0 else sides[::-1]
        return f"edges along a {way} of the array, bright {bright} and dark {dark}"


ASSIGNED = Variation()
IMAGES = range(3, 20)  # the offline sample begins with the same 20 digits as MNIST
KERNELS = (
    ((-1, -1, -1), (2, 2, 2), (-1, -1, -1)),
    ((-1, 2, -1), (-1, 2, -1), (-1, 2, -1)),
    ((-1, -1, -1), (0, 0, 0), (1, 1, 1)),
    ((1, 0, -1), (1, 0, -1), (1, 0, -1)),
    ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    ((-0.5, -1, -0.5), (1, 2, 1), (-0.5, -1, -0.5)),
    ((1, 1, 1), (-2, -2, -2), (1, 1, 1)),
)


def varied(secret: bytes, student: str) -> Variation:
    """Draw a student's own variation from the teacher's secret.

    Examples
    --------
    >>> varied(b"a secret", "ada") == varied(b"a secret", "ada") != varied(b"a secret", "bob")
    True
    """
    seed = int.from_bytes(hmac.digest(secret, f"variation of {student}".encode(), hashlib.sha256))
    random = np.random.default_rng(seed)
    return Variation(
        int(random.choice(IMAGES)),
        KERNELS[random.integers(len(KERNELS))],
        -10 * int(random.integers(8, 21)),
        -10 * int(random.integers(25, 36)),
    )

"""What a pixel costs in pictures that fit into the cache and in pictures that don't, with a kernel of 3×3."""

import numpy as np

from benchmarks import line, side_by_side
from course_lib.convolution import convolution

random = np.random.default_rng(1)
kernel = random.normal(size=(3, 3))
pictures = {f"{side}×{side}": random.normal(size=(side, side)) for side in (256, 1024, 4096)}

taken = side_by_side({size: lambda X=X: convolution(X, kernel) for size, X in pictures.items()}, rounds=9)
per_pixel = {
    size: [seconds / pictures[size].size for seconds in of_one_size] for size, of_one_size in taken.items()
}
for size in ("1024×1024", "4096×4096"):
    line(f"convolution, one pixel of {size}", per_pixel, ours=size, reference="256×256", at_most=1.5)

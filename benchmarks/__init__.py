"""Figures as ratios, side by side with peers: `make bench`.

Each file times one thing in several ways and prints a table. Its first row is the measure of
the others.
"""

import statistics
import time
from collections.abc import Callable


def seconds(
    action: Callable[[], object], repeats: int, calls: int = 1, *, warm_up: bool = True
) -> list[float]:
    """Time an action `repeats` times, each the mean of `calls` calls, after one call that doesn't count."""
    if warm_up:
        action()
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        for _ in range(calls):
            action()
        taken.append((time.perf_counter() - start) / calls)
    return taken


def readable(value: float) -> str:
    """Write a duration with the unit that suits it.

    >>> readable(0.0000123), readable(0.0456), readable(7.891)
    ('12.3 µs', '45.6 ms', '7.89 s')
    """
    unit, size = ("s", 1.0) if value >= 1 else ("ms", 1e-3) if value >= 1e-3 else ("µs", 1e-6)
    return f"{value / size:.3g} {unit}"


def table(title: str, rows: dict[str, list[float]]) -> None:
    """Print the median of each row, its quartiles, and how many times as fast as the first row it is."""
    print(f"\n{title}\n")
    print(f"  {'':44}{'median':>10}   {'quartiles':<22}{'against the first':>17}")
    first = statistics.median(next(iter(rows.values())))
    for name, taken in rows.items():
        low, middle, high = statistics.quantiles(
            taken * (2 if len(taken) == 1 else 1), n=4, method="inclusive"
        )
        spread = f"{readable(low)} … {readable(high)}"
        print(f"  {name:44}{readable(middle):>10}   {spread:<22}{first / middle:>14.3g} ×")

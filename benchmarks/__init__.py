"""Figures as ratios, side by side with peers: `make bench`.

Each file `time_*.py` measures one thing, and gives its lines of the one table that `python -m benchmarks`
makes. A file that needs more than one thread for its arithmetic says so: `THREADS = 2`, at its top.
"""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

POOLS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
TENSORFLOW = ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")


def pinned(threads: int) -> dict[str, str]:
    """Return the environment in which NumPy and TensorFlow, imported later, use so many threads."""
    return dict.fromkeys((*POOLS, *TENSORFLOW), str(threads)) | {"TF_CPP_MIN_LOG_LEVEL": "3"}


# Before a file of this folder imports NumPy. `python -m benchmarks` has set it already, as the file wants it.
os.environ.update({name: os.environ.get(name, value) for name, value in pinned(1).items()})


def seconds(action: Callable[[], object], calls: int = 1) -> float:
    """Time an action: the mean of so many calls, in seconds of the clock."""
    start = time.perf_counter()
    for _ in range(calls):
        action()
    return (time.perf_counter() - start) / calls


def side_by_side(
    ways: Mapping[str, Callable[[], object]], rounds: int = 15, at_least: float = 0.02
) -> dict[str, list[float]]:
    """Time several ways to do one thing in turn, round after round, so that what disturbs one disturbs all.

    Each way is called twice before, which doesn't count. In a round it is called so often that it takes
    `at_least` seconds, and its time is the mean of these calls. Every other round goes backwards.
    """
    for action in ways.values():
        action()
    calls = {name: max(1, round(at_least / seconds(action))) for name, action in ways.items()}
    taken: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        for name in list(ways)[:: 1 if number % 2 else -1]:
            taken[name].append(seconds(ways[name], calls[name]))
    return taken


def line(
    what: str,
    taken: Mapping[str, Sequence[float]],
    *,
    ours: str,
    reference: str = "",
    budget: float = 0,
    at_most: float = 0,
    at_least: float = 0,
    unit: str = "s",
    threads: int | None = None,
) -> None:
    """Give one line of the table: a ratio to a reference measured in the same rounds, or to a budget.

    Parameters
    ----------
    what
        What is done, in a few words.
    taken
        Name → what it took, round by round; as `side_by_side` returns it. Less is better.
    ours, reference
        The two names to compare; their rounds make pairs. The ratio is the median of the pairs' ratios, and
        its spread their quartiles.
    budget
        Instead of a reference: what it may take. The aim is a ratio of 1 or less.
    at_most
        The aim, where there is one: how many times as long as the reference ours may take.
    at_least
        Or the other way round: how many times as fast as the reference ours is to be.
    unit
        What the numbers count; seconds are written as s, ms or µs.
    threads
        Number of threads or processes, where it isn't that of the file.

    Examples
    --------
    >>> taken = {"four loops": [3.1e-3, 3.0e-3, 3.3e-3], "windows": [3.0e-5, 3.1e-5, 3.1e-5]}
    >>> line("convolution, 28×28 with 3×3", taken, ours="windows", reference="four loops", at_least=75)
    convolution, 28×28 with 3×3: 31 µs, four loops 3.1 ms: 103 × as fast (100 … 105); aim ≥ 75; 1 thread
    """
    own = list(taken[ours])
    others = list(taken[reference]) if reference else [budget] * len(own)
    if not own or len(own) != len(others):
        raise ValueError(f"{what}: {len(own)} rounds of {ours}, but {len(others)} of {reference}")
    pairs = [b / a if at_least else a / b for a, b in zip(own, others, strict=True)]
    low, ratio, high = statistics.quantiles(pairs * 2 if len(pairs) == 1 else pairs, n=4, method="inclusive")
    aim, met = "", None
    if at_least:
        aim, met = f"≥ {at_least:.3g}", ratio >= at_least
    elif at_most or budget:
        aim, met = f"≤ {at_most or 1:.3g}", ratio <= (at_most or 1)
    sense = "× as fast" if at_least else "× as long" if reference else "of the budget"
    given = {
        "what": what,
        "ours": readable(statistics.median(own), unit),
        "reference": f"{reference or 'budget'} {readable(statistics.median(others), unit)}",
        "ratio": f"{rounded(ratio)} {sense}",
        "quartiles": f"{rounded(low)} … {rounded(high)}" if len(pairs) > 1 else "",
        "aim": aim,
        "met": met,
        "threads": threads or int(os.environ["OMP_NUM_THREADS"]),
    }
    print(in_words(given), flush=True)
    if "BENCHMARK_LINES" in os.environ:
        with Path(os.environ["BENCHMARK_LINES"]).open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(given) + "\n")


def rounded(number: float) -> str:
    """Write a number with three digits or more.

    >>> rounded(0.95149), rounded(1234.5)
    ('0.951', '1234')
    """
    return f"{number:.0f}" if abs(number) >= 100 else f"{number:.3g}"


def in_words(given: Mapping[str, object]) -> str:
    """Write a line for the reader of a single file."""
    aim = f"; aim {given['aim']}" if given["aim"] else ""
    missed = ", missed" if given["met"] is False else ""
    threads = f"{given['threads']} thread{'s' if given['threads'] != 1 else ''}"
    quartiles = f" ({given['quartiles']})" if given["quartiles"] else ""
    compared = f"{given['what']}: {given['ours']}, {given['reference']}: {given['ratio']}"
    return f"{compared}{quartiles}{aim}{missed}; {threads}"


def readable(value: float, unit: str = "s") -> str:
    """Write a number with its unit; a duration with the unit that suits it.

    >>> readable(0.0000123), readable(0.0456), readable(7.891), readable(213.4, "kB")
    ('12.3 µs', '45.6 ms', '7.89 s', '213 kB')
    """
    if unit == "s" and value:
        sizes = {"s": 1.0, "ms": 1e-3, "µs": 1e-6, "ns": 1e-9}
        unit = next((unit for unit, size in sizes.items() if value >= size), "ns")
        value /= sizes[unit]
    return f"{rounded(value)} {unit}"

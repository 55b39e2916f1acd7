"""What comes out of the box is bytes that a submission may have forged: here they become values."""

from __future__ import annotations

import io
import json
import math
import re
import warnings
from typing import Any, Literal

import numpy as np
from PIL import Image

LARGEST_ARRAY = 2 * 2**20  # bytes
MOST_NUMBERS = 100_000  # of an array; an axis of length 0 counts as one of length 1
LARGEST_TEXT = 2**20  # bytes of JSON
LONGEST_LIST = 10_000
LARGEST_PICTURE = 8 * 2**20  # bytes
MOST_PIXELS = 8_000_000
WIDEST = 1600  # pixels of a picture that goes on a page
SIZES = {"b": (1,), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8), "f": (2, 4, 8, 16), "c": (8, 16, 32)}

HEADER = re.compile(
    rb"\{'descr': '([<>|=])([biufc])(\d{1,2})', 'fortran_order': False,"
    rb" 'shape': \(((?:\d{1,9}, ?){0,16}\d{0,9})\), \} *\n"
)


class Malformed(ValueError):
    """Bytes that are not what the box sends of an honest job."""


def array(content: bytes) -> np.ndarray:
    """Return the array that stands in the bytes of a .npy file.

    NumPy's own reader makes room for whatever size the header claims, so the header is read here.

    Raises
    ------
    Malformed
        If they are anything but an array of numbers whose header tells the truth.

    Examples
    --------
    >>> file = io.BytesIO()
    >>> np.save(file, np.array([[1.0, 2.0]]))
    >>> array(file.getvalue())
    array([[1., 2.]])
    """
    length = int.from_bytes(content[8:10], "little")
    header = HEADER.fullmatch(content, 10, 10 + length)
    if content[:8] != b"\x93NUMPY\x01\x00" or not header or len(content) > LARGEST_ARRAY + 1000:
        raise Malformed("no array of numbers")
    order, kind, size = header[1].decode(), header[2].decode(), int(header[3])
    if size not in SIZES[kind]:
        raise Malformed("an unknown type of number")
    shape = tuple(int(length) for length in header[4].replace(b" ", b"").split(b",") if length)
    if len(shape) > 4 or math.prod(max(1, length) for length in shape) > MOST_NUMBERS:
        raise Malformed(f"an array of the shape {shape}, which is far too large")
    numbers = content[10 + length :]
    if len(numbers) != math.prod(shape) * size:
        raise Malformed("an array of another size than it says")
    values = np.frombuffer(numbers, np.dtype(f"{order}{kind}{size}")).reshape(shape)
    return values.astype(values.dtype.newbyteorder("="))


def value(content: bytes) -> Any:
    """Return the number, the text, or the flat list of them that JSON holds.

    >>> value(b'["horse", "cat"]')
    ['horse', 'cat']
    >>> value(b"NaN")
    Traceback (most recent call last):
    course_lib.coursework.box_values.Malformed: neither a number, nor a text, nor a list of them
    """
    read = _json(content)
    items = read if isinstance(read, list) else [read]
    if len(items) > LONGEST_LIST or not all(_is_plain(item) for item in items):
        raise Malformed("neither a number, nor a text, nor a list of them")
    return read


def network(content: bytes) -> list[dict[str, Any]]:
    """Return the layers of a network: type, output, parameters, activation."""
    read = _json(content)
    if not isinstance(read, list) or len(read) > 1000 or not all(_is_layer(layer) for layer in read):
        raise Malformed("no list of layers")
    return read


def failure(content: bytes) -> tuple[Literal["error", "memory", "missing", "malformed"], str]:
    """Return the kind and the words of a failure."""
    read = _json(content)
    match read:
        case {"kind": ("error" | "memory" | "missing" | "malformed") as kind, "words": str(words)}:
            return kind, text(words.encode("utf8", "replace"), 4000)
    raise Malformed("no failure")


def text(content: bytes, most: int) -> str:
    r"""Return text without what steers a terminal, at most so many bytes long, shortened in its middle.

    >>> text(b"one\x1b[31m two", 100)
    'one[31m two'
    """
    if len(content) > most:
        half = most // 2
        left_out = f"{len(content) - 2 * half:,} bytes left out"
        return f"{text(content[:half], half)}\n… {left_out} …\n{text(content[-half:], half)}"
    read = content.decode("utf8", "replace")
    return "".join(letter for letter in read if letter.isprintable() or letter in "\n\t")


def picture(content: bytes) -> bytes:
    """Return a PNG painted anew from the pixels of another: nothing else of it is left.

    Raises
    ------
    Malformed
        If it is no PNG, or one of far too many pixels.
    """
    if len(content) > LARGEST_PICTURE:
        raise Malformed("a picture of too many bytes")
    try:
        with warnings.catch_warnings(), Image.open(io.BytesIO(content), formats=["PNG"]) as opened:
            warnings.simplefilter("ignore")
            width, height = opened.size
            if width * height > MOST_PIXELS:
                raise Malformed(f"a picture of {width:,} × {height:,} pixels")
            opened.load()
            read = opened.convert("RGB")
    except Malformed:
        raise
    except Exception as error:  # Pillow raises many kinds for what is no picture
        raise Malformed("no picture") from error
    read.thumbnail((WIDEST, WIDEST))
    painted = Image.frombytes("RGB", read.size, read.tobytes())
    file = io.BytesIO()
    painted.save(file, format="PNG")
    return file.getvalue()


def _json(content: bytes) -> Any:
    if len(content) > LARGEST_TEXT:
        raise Malformed("too much text")
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        raise Malformed("no JSON") from None


def _is_plain(item: Any) -> bool:
    if type(item) is float:
        return math.isfinite(item)
    if type(item) is int:
        return abs(item) < 2**63
    return type(item) in (bool, str)


def _is_layer(layer: Any) -> bool:
    match layer:
        case {"layer": str(kind), "shape": list(shape), "parameters": int(number), "activation": str(called)}:
            short = len(layer) == 4 and len(kind) < 100 and len(called) < 100 and len(shape) < 10
            sizes = all(size is None or (type(size) is int and 0 <= size < 2**31) for size in shape)
            return short and sizes and 0 <= number < 2**63
    return False

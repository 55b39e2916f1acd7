"""What the widgets of the course have in common: their files, arrays as traits, their place on a page.

A widget is one class in Python and one ECMAScript module of the same name, which does all its arithmetic.
So it is alive in two places: in Jupyter, bound to Python in both directions, and on a page of the book,
where there is no kernel. For the page, a widget leaves three things in its cell's output: its state at that
moment, a picture of it, and a sentence that says what the picture shows.
"""

from __future__ import annotations

import base64
import io
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import traitlets
from ipywidgets.widgets.widget import _remove_buffers
from matplotlib.figure import Figure
from PIL import Image

HERE = Path(__file__).parent
ON_A_PAGE = "application/vnd.course.widget+json"  # the MIME type of a widget's state in a cell's output

_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([\w]+)\.js";\n', re.MULTILINE)


def read_module(name: str) -> str:
    """Return the module `name`.js as one text, with what it imports from this folder written before it.

    Jupyter and the book load a widget's module from memory, where "./arithmetic.js" has no address. A name
    can therefore stand for one thing only in all modules of a widget; browsers refuse a second one.
    """
    return "\n".join(_with_imports(name, seen=set()))


def _with_imports(name: str, seen: set[str]) -> Iterator[str]:
    text = (HERE / f"{name}.js").read_text(encoding="utf8")
    for imported in _IMPORT.findall(text):
        if imported not in seen:
            seen.add(imported)
            for part in _with_imports(imported, seen):
                yield re.sub(r"^export (?=const|function|class|async)", "", part, flags=re.MULTILINE)
    yield _IMPORT.sub("", text)


def read_style(name: str) -> str:
    """Return the style sheet `name`.css after the one that all widgets share."""
    return "".join((HERE / f"{part}.css").read_text(encoding="utf8") for part in ("widgets", name))


class Array(traitlets.TraitType[Any, Any]):
    """A trait that holds a NumPy array of finite real numbers, and sends it as binary data.

    What is assigned is copied, and the copy is read-only: ``widget.kernel[0, 0] = 1`` is an error instead of
    a change that the widget doesn't notice. Integers from 0 to 255 in a uint8 array stay uint8; everything
    else becomes float64, or the `dtype` given.

    Parameters
    ----------
    *dimensions : int
        The numbers of dimensions that are allowed, for example 2 and 3.
    dtype : str, optional
        "float16", "float32" and "int32" make compact buffers.
    """

    def __init__(self, *dimensions: int, dtype: str | None = None, **options: Any) -> None:
        self.dimensions, self.dtype = dimensions, dtype
        super().__init__(**options)
        self.tag(sync=True, to_json=array_to_json, from_json=array_from_json)

    def validate(self, widget: Any, value: Any) -> np.ndarray[Any, Any] | None:
        """Return a read-only copy, or raise a TraitError that says what was wrong and what would be right."""
        if value is None and self.allow_none:
            return None
        try:
            array = np.array(value)
        except ValueError:
            raise traitlets.TraitError(f"{self.name} must have rows of equal length") from None
        if array.dtype.kind not in "biuf":
            raise traitlets.TraitError(f"{self.name} must hold real numbers, but its type is {array.dtype}")
        if self.dimensions and array.ndim not in self.dimensions:
            wanted = " or ".join(f"{dimension}-D" for dimension in self.dimensions)
            raise traitlets.TraitError(f"{self.name} must be {wanted}, but its shape is {array.shape}")
        if array.size == 0:
            raise traitlets.TraitError(f"{self.name} is empty: its shape is {array.shape}")
        if not np.isfinite(array).all():
            raise traitlets.TraitError(f"{self.name} holds NaN or infinity; every number must be finite")
        if self.dtype or array.dtype != np.uint8:
            array = array.astype(self.dtype or np.float64)
        array = np.ascontiguousarray(array)
        array.setflags(write=False)
        return array


def array_to_json(value: Any, widget: Any) -> dict[str, Any] | None:
    """Return an array as a page gets it: shape, dtype, and its bytes."""
    if value is None:
        return None
    return {"shape": list(value.shape), "dtype": value.dtype.name, "data": memoryview(value.tobytes())}


def array_from_json(value: Any, widget: Any) -> np.ndarray[Any, Any] | None:
    """Return the array that `array_to_json` took apart."""
    if value is None:
        return None
    return np.frombuffer(value["data"], dtype=value["dtype"]).reshape(value["shape"])


def _png(figure: Figure) -> bytes:
    """Draw a figure in 256 colours: a third of the bytes, and a notebook keeps within a megabyte."""
    full, small = io.BytesIO(), io.BytesIO()
    try:
        figure.savefig(full, format="png", dpi=80, bbox_inches="tight")
    finally:
        plt.close(figure)
    Image.open(full).convert("RGB").quantize(256).save(small, format="png", optimize=True)
    return small.getvalue()


class CourseWidget(anywidget.AnyWidget):
    """A widget that is alive in Jupyter and on a page of the book.

    A subclass reads its files (``_esm = read_module(...)``, ``_css = read_style(...)``), and says how it
    looks on paper (`picture`) and in words (`description`).
    """

    has_kernel = traitlets.Bool(True, help="False on a page, where no Python answers.").tag(sync=True)

    _numbers = itertools.count(1)  # the same in every run of a notebook, unlike the model's id

    def __init__(self, **traits: Any) -> None:
        super().__init__(**traits)
        self._number = next(CourseWidget._numbers)

    def picture(self) -> Figure:
        """Draw the widget's state with matplotlib: what stands in its place in print and without scripts."""
        raise NotImplementedError

    def description(self) -> str:
        """Say in a sentence or two what the picture shows."""
        raise NotImplementedError

    def on_a_page(self) -> dict[str, Any]:
        """Return all that a page needs to show this widget as it is now, as JSON."""
        own = [name for name in self.trait_names(sync=True) if name not in _NOT_OURS]
        state, paths, buffers = _remove_buffers({**self.get_state(own), "has_kernel": False})
        return {
            "widget": type(self).__name__,
            "model": self._number,
            "alt": self.description(),
            "state": state,
            "buffers": [
                {"path": path, "encoding": "base64", "data": base64.b64encode(buffer).decode()}
                for path, buffer in zip(paths, buffers, strict=True)
            ],
        }

    def _repr_mimebundle_(self, **options: Any) -> Any:
        bundle = super()._repr_mimebundle_(**options)
        if bundle is None:
            return None
        data, metadata = bundle
        data |= {
            "text/plain": f"{type(self).__name__}: {self.description()}",
            "image/png": base64.b64encode(_png(self.picture())).decode(),
            ON_A_PAGE: self.on_a_page(),
        }
        return data, metadata


_NOT_OURS = set(anywidget.AnyWidget.class_trait_names(sync=True)) | {"_esm", "_css", "_anywidget_id"}

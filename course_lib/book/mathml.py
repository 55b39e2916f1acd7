"""Mathematics as MathML, which browsers draw themselves: a page needs no script and no other host for it.

`latex2mathml` translates; here stands what browsers need beyond that, and how Sphinx puts it on a page.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, tostring

from docutils import nodes
from latex2mathml.converter import convert_to_element
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number

if TYPE_CHECKING:
    from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

BRACKETS = set("()[]{}|‖⟨⟩⌊⌋⌈⌉")


def to_mathml(latex: str, display: str = "inline") -> str:
    r"""Translate a formula.

    Parameters
    ----------
    latex : str
        The formula as in LaTeX, without dollar signs.
    display : str
        "inline" or "block".

    Returns
    -------
    str
        A `<math>` element.

    Raises
    ------
    ValueError
        If a part of the formula can't be translated.

    >>> to_mathml("x^2")
    '<math display="inline"><mrow><msup><mi>x</mi><mn>2</mn></msup></mrow></math>'
    >>> to_mathml(r"\frobnicate x")
    Traceback (most recent call last):
    ...
    ValueError: no MathML for '\\frobnicate' in: \frobnicate x
    """
    # Sphinx's own convention: lines without an environment stand under one another, aligned at &.
    wanted = latex.replace("{aligned}", "{split}")
    if re.search(r"\\\\|&", wanted) and r"\begin" not in wanted:
        wanted = rf"\begin{{split}}{wanted}\end{{split}}"
    try:
        root = convert_to_element(wanted, display=display)
    except Exception as error:  # one class of its own for each mistake, without a common one
        raise ValueError(f"no MathML ({type(error).__name__}) for: {latex}") from error
    del root.attrib["xmlns"]  # HTML knows the element
    for element in root.iter():
        element.text = html.unescape(element.text) if element.text else None
        if element.tag in ("mi", "mo") and re.match(r"\\|&", element.text or ""):
            raise ValueError(f"no MathML for {element.text!r} in: {latex}")
    for element in list(root.iter()):
        if display == "block" and element.tag == "msub" and element[0].text in ("max", "min", "lim"):
            element.tag = "munder"  # what the maximum is taken over stands under it
        _adapt(element)
    return tostring(root, encoding="unicode")


def _adapt(element: Element) -> None:
    """Say with what browsers draw (MathML Core) what latex2mathml says with older MathML."""
    if element.tag == "mtd" and (side := element.attrib.pop("columnalign", "")):
        element.set("class", side)
    if element.tag == "mtable":
        element.attrib.pop("rowspacing", None)
        if element.attrib.pop("columnspacing", "").startswith("0em"):
            element.set("class", "aligned")
    if element.tag == "mi" and element.text in BRACKETS:
        element.tag = "mo"
    if element.tag == "mrow" and len(element) == 1 and element[0].tag == "mo":
        element[0].attrib.update(lspace="0", rspace="0")  # in braces a comma is no separator: 258{,}090
    if element.tag in ("math", "mrow", "mtd", "msqrt", "mstyle"):
        _group_matrices(element)
        _set_function_names(element)


def _group_matrices(row: Element) -> None:
    """Make a group of a matrix and its brackets, so that these are as high as the matrix and no higher."""
    for table in row.findall("mtable"):
        at = list(row).index(table)
        around = row[at - 1 : at + 2] if at else []
        if len(around) == 3 and around[0].text in BRACKETS and around[2].text in BRACKETS:
            group = Element("mrow")
            group.extend(around)
            row[at - 1 : at + 2] = [group]


def _set_function_names(row: Element) -> None:
    """Set names such as log and ReLU as names, with a thin space before an argument without brackets."""
    for child in list(row):
        name = child[0] if child.tag in ("msub", "munder") else child
        if name.tag in ("mi", "mo") and len(name.text or "") > 1 and (name.text or "").isalpha():
            name.tag = "mi"
            after = list(row).index(child) + 1
            if after < len(row) and row[after].tag != "mo":
                row.insert(after, Element("mspace", width="0.17em"))


def _formula(page: HTML5Translator, node: nodes.math | nodes.math_block, display: str) -> str:
    latex = node.astext().strip()
    try:
        return to_mathml(latex, display)
    except ValueError as error:
        logger.warning(str(error), location=node, type="mathml")
        return f"<code>{page.encode(latex)}</code>"


def visit_inline(page: HTML5Translator, node: nodes.math) -> None:
    """Write a formula within a line."""
    page.body.append(_formula(page, node, "inline"))
    raise nodes.SkipNode


def visit_block(page: HTML5Translator, node: nodes.math_block) -> None:
    """Write a formula of its own, with its number if it has one."""
    page.body.append(page.starttag(node, "div", CLASS="math-block"))
    page.body.append(_formula(page, node, "block"))
    if node["number"]:
        page.body.append(f'<span class="eqno">({get_node_equation_number(page, node)})')
        page.add_permalink_ref(node, "Link to this equation")
        page.body.append("</span>")
    page.body.append("</div>\n")
    raise nodes.SkipNode

"""Which of the code that stands before an answer the answer needs."""

from __future__ import annotations

import ast
import symtable
import warnings
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache


@dataclass(frozen=True)
class _Unit:
    """A piece of code that is kept or left out as a whole, and what it does with names."""

    code: str
    binds: frozenset[str]  # gives a value to
    replaces: frozenset[str]  # gives a value to, whatever came before
    uses: frozenset[str]  # needs when it runs
    uses_later: frozenset[str]  # needs when one of its functions is called
    changes: frozenset[str]  # changes in place
    imports: frozenset[str]  # the names that it imports, and from which packages
    packages: frozenset[str]


def needed(
    sources: Sequence[str],
    answer: str,
    *,
    blocks: Collection[int] = (),
    unavailable: Collection[str] = (),
) -> list[str]:
    r"""Return what an answer needs of the cells before it: of each cell the statements, in their order.

    Backwards from the answer, a statement stays if it binds a name that is used further on, or changes its
    value in place: by an assignment to a part of it, or by calling a method. So an answer's own job neither
    draws the lesson's figures nor loads Keras, unless the answer needs them.

    Parameters
    ----------
    sources
        The cells before the answer.
    answer
        The answer's own cell.
    blocks
        The positions of cells that stay or go as a whole.
    unavailable
        Packages that can't be imported where the code will run: our imports of them are left out.

    Examples
    --------
    >>> lesson = ["import numpy as np; import keras", "K = np.ones(3); K[0] = 2; print(K)", "keras.Input(3)"]
    >>> needed(lesson, "def double(X): return 2 * X * np.max(K)")
    ['import numpy as np', 'K = np.ones(3)\nK[0] = 2']
    >>> needed(lesson, "def double(X): return np.add(X, X)")
    ['import numpy as np']
    """
    units = [
        (place, unit)
        for place, source in enumerate(sources)
        for unit in _units(source, place in blocks)
        if place in blocks or not unit.packages & set(unavailable)
    ]
    asking = _units(answer, True)
    if not asking:
        return []
    modules = {name for _, unit in units for name in unit.imports}
    now = asking[0].uses
    always = asking[0].uses_later - asking[0].replaces
    while True:  # a function reads a name when it is called: any earlier value may be the one
        kept: list[tuple[int, _Unit]] = []
        wanted, later = now, always
        for place, unit in reversed(units):
            if (unit.binds | (unit.changes - modules)) & (wanted | always):
                kept.append((place, unit))
                wanted = (wanted - unit.replaces) | unit.uses
                later |= unit.uses_later
        if later == always:
            break
        always = later
    cells: dict[int, list[str]] = {}
    for place, unit in reversed(kept):
        cells.setdefault(place, []).append(unit.code)
    return ["\n".join(codes) for codes in cells.values()]


@lru_cache(maxsize=2000)  # the cells of a release are looked at for every answer of every student
def _units(source: str, whole: bool) -> tuple[_Unit, ...]:
    """Cut a cell into statements, or leave it whole; what is no Python gives nothing."""
    with warnings.catch_warnings(action="ignore"):  # which students' code may give rise to
        tree = _parsed(_without_commands(source))
        try:
            units = tuple(_unit(statement) for statement in tree.body) if tree else ()
        except (RecursionError, SyntaxError, ValueError, MemoryError):  # a number of 5,000 digits, say
            units = ()
    if not units:
        return ()
    return (_joined(source, units),) if whole else units


def _joined(code: str, units: Sequence[_Unit]) -> _Unit:
    """Take the statements of a cell together: what one needs, an earlier one may have given."""
    uses: frozenset[str] = frozenset()
    given: frozenset[str] = frozenset()
    for unit in units:
        uses |= unit.uses - given
        given |= unit.replaces

    def of_all(name: str) -> frozenset[str]:
        return frozenset().union(*(getattr(unit, name) for unit in units))

    names = ("binds", "uses_later", "changes", "imports", "packages")
    return _Unit(code=code, uses=uses, replaces=given, **{name: of_all(name) for name in names})


def _without_commands(source: str) -> str:
    r"""Return the Python of a cell that may hold IPython's commands.

    >>> _without_commands("%matplotlib inline\nx = 1")
    'x = 1'
    """
    if _parsed(source) is not None:
        return source
    return "\n".join(line for line in source.split("\n") if not line.lstrip().startswith(("%", "!", "?")))


def _parsed(source: str) -> ast.Module | None:
    """Return the tree of a source: none if it is no Python, or too deep to tell."""
    try:
        symtable.symtable(source, "cell", "exec")
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
        return None


def _unit(statement: ast.stmt) -> _Unit:
    code = ast.unparse(statement)
    table = symtable.symtable(code, "cell", "exec")
    top = table.get_symbols()
    uses, replaces = _uses([statement])
    return _Unit(
        code=code,
        binds=frozenset(s.get_name() for s in [*top, *_deep(table)] if s.is_assigned() or s.is_imported()),
        replaces=frozenset(replaces),
        uses=frozenset(uses),
        uses_later=frozenset(s.get_name() for s in _deep(table, later=True) if s.is_referenced()),
        changes=frozenset(_changed(statement)),
        imports=frozenset(s.get_name() for s in top if s.is_imported()),
        packages=frozenset(_packages(statement)),
    )


def _deep(table: symtable.SymbolTable, *, later: bool = False) -> Iterator[symtable.Symbol]:
    """Yield the global names in functions; if `later`, only in those that do not run at once."""
    for child in table.get_children():
        at_once = child.get_name() in ("listcomp", "setcomp", "dictcomp", "genexpr")
        if not (later and at_once):
            yield from (symbol for symbol in child.get_symbols() if symbol.is_global())
        yield from _deep(child, later=later and at_once)


def _read(node: ast.AST) -> set[str]:
    """Return the names that an expression or a simple statement reads when it runs."""
    table = symtable.symtable(ast.unparse(node), "cell", "exec")
    read = {s.get_name() for s in table.get_symbols() if s.is_referenced()}
    tables = list(table.get_children())
    while tables:
        child = tables.pop()
        if child.get_name() in ("listcomp", "setcomp", "dictcomp", "genexpr"):
            read |= {s.get_name() for s in child.get_symbols() if s.is_global() and s.is_referenced()}
            tables += child.get_children()
    if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
        read.add(node.target.id)  # the table of symbols doesn't tell
    return read


def _uses(body: Sequence[ast.stmt]) -> tuple[set[str], set[str]]:
    """Return the names that statements need from before, and those that they bind in any case."""
    uses: set[str] = set()
    given: set[str] = set()
    for statement in body:
        now: set[str] = set()
        gives: set[str] = set()
        match statement:
            case ast.For():
                inside = _uses([*statement.body, *statement.orelse])[0]
                now = _read(statement.iter) | (inside - _targets([statement.target]))
            case ast.While():
                now = _read(statement.test) | _uses(statement.body)[0] | _uses(statement.orelse)[0]
            case ast.If():
                one, other = _uses(statement.body), _uses(statement.orelse)
                now, gives = _read(statement.test) | one[0] | other[0], one[1] & other[1]
            case ast.With():
                named = _targets([item.optional_vars for item in statement.items if item.optional_vars])
                inside, gives = _uses(statement.body)
                now = set().union(*(_read(item.context_expr) for item in statement.items)) | (inside - named)
                gives = gives | named
            case ast.Break() | ast.Continue() | ast.Pass():
                pass
            case _:
                now, gives = _read(statement), set(_replaced(statement))
        uses |= now - given
        given |= gives
    return uses, given


def _targets(targets: Sequence[ast.expr]) -> set[str]:
    """Return the names among what is assigned to."""
    names: set[str] = set()
    waiting = list(targets)
    while waiting:
        target = waiting.pop()
        if isinstance(target, ast.Tuple | ast.List):
            waiting += target.elts
        elif isinstance(target, ast.Name):
            names.add(target.id)
    return names


def _replaced(statement: ast.stmt) -> Iterator[str]:
    """Yield the names that a statement binds in any case."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        for alias in statement.names:
            yield alias.asname or alias.name.split(".")[0]
    elif isinstance(statement, ast.Assign):
        yield from _targets(statement.targets)


def _changed(statement: ast.stmt) -> Iterator[str]:
    """Yield the names whose values a statement changes in place when it runs."""
    nodes: list[ast.AST] = [statement]
    while nodes:
        node = nodes.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        changed: ast.expr | None = None
        if isinstance(node, ast.Attribute | ast.Subscript) and not isinstance(node.ctx, ast.Load):
            changed = node
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            changed = node.value.func if isinstance(node.value.func, ast.Attribute) else None
        while isinstance(changed, ast.Attribute | ast.Subscript):
            changed = changed.value
        if isinstance(changed, ast.Name):
            yield changed.id
        nodes += ast.iter_child_nodes(node)


def _packages(statement: ast.stmt) -> Iterator[str]:
    """Yield the packages that a statement imports."""
    if isinstance(statement, ast.Import):
        yield from (alias.name.split(".")[0] for alias in statement.names)
    elif isinstance(statement, ast.ImportFrom):
        yield (statement.module or "").split(".")[0]

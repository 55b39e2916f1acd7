"""What runs inside the box: one process that starts, and a child of it for each job.

The first process is number 1 of its own process namespace, so nothing in the box can end it; it runs no line
of a submission. For each job it imports what the job needs, runs what the release itself begins with, forks,
waits, and ends whatever the job has left running. The child runs the sources and sends values through a pipe
that leads out of the box, where every byte of it is doubted: a job may say what it likes, but only in its own
name and only while it runs.

This file is started by its path and imports of the course what describes a network.
"""

from __future__ import annotations

import ast
import base64
import builtins
import ctypes
import functools
import importlib
import importlib.abc
import io
import json
import math
import os
import select
import signal
import struct
import sys
import threading
import traceback
import types
from collections.abc import Callable, Sequence
from typing import Any

HEADER = struct.Struct(">cI")  # a message: its kind, and how many bytes follow
READY, VALUE, ARRAY, FAILURE, PICTURE, TRIED, END = b"R", b"V", b"A", b"F", b"P", b"T", b"E"
LARGEST_ARRAY = 2 * 2**20  # bytes
LONGEST_LIST = 10_000
LONGEST_TEXT = 10_000  # characters
MOST_PICTURES = 16
MOST_PIXELS = 4_000_000
HOME = "/tmp"  # the only place in the box that can be written to


class Unfit(Exception):
    """A value that is of no use to the grader; the words say why."""


# The first process ------------------------------------------------------------------------------------------


def serve(setting: dict[str, Any]) -> None:
    """Run the jobs that come as lines of JSON from standard input, one after the other."""
    become(setting["user"])
    if setting["library"] not in sys.path:
        sys.path.append(setting["library"])
    sys.meta_path.insert(0, Masked(setting["masked"]))
    import numpy as np  # noqa: F401 - once here, and every child has it

    questions = types.ModuleType("course_lib.questions")  # the real one knows the answers
    questions.__getattr__ = lambda name: nothing  # type: ignore[method-assign]
    sys.modules["course_lib.questions"] = questions
    begun: dict[tuple[str, ...], Notebook] = {}
    control = os.dup(1)
    os.dup2(2, 1)

    def say(**words: Any) -> None:
        os.write(control, json.dumps(words).encode() + b"\n")

    say(ready=True)
    for line in sys.stdin.buffer:
        job = json.loads(line)
        for module in job["preload"]:
            try:
                importlib.import_module(module)
            except Exception:
                traceback.print_exc()  # the job that needs it will say so itself
        lead = tuple(job["sources"][: job["lead"]])
        if lead not in begun:
            begun[lead] = Notebook(bool(setting["masked"]))
            begun[lead].run(lead)
        before = files()
        for pipe in (setting["values"], setting["printed"]):
            os.set_blocking(pipe, True)  # an earlier job shares the pipe, and may have changed this
        child = os.fork()
        if child == 0:
            try:
                say(begun=True)
                os.close(control)
                work(job, begun[lead], setting)
                os._exit(0)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(1)
        status = ended(child)
        say(status=status, clean=files() == before)


def become(user: int) -> None:
    """Become another user if that is asked for, and close this process to its children.

    They are the same user, and yet can't read its memory nor open its files.
    """
    if user:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    end_with_parent, dumpable = 1, 4
    ctypes.CDLL(None).prctl(
        end_with_parent, signal.SIGKILL, 0, 0, 0
    )  # a new user forgets what bwrap asked for
    ctypes.CDLL(None).prctl(dumpable, 0, 0, 0, 0)


def ended(child: int) -> int:
    """Wait for a child, end all that is left beside it, and return how it ended.

    Where nobody is left to give orders, end here and now, and all of the box with it.
    """
    process = os.pidfd_open(child)
    ready, _, _ = select.select([process, 0], [], [])
    if 0 in ready:
        os._exit(1)
    os.close(process)
    _, status = os.waitpid(child, 0)
    try:
        os.kill(-1, signal.SIGKILL)
        while True:
            os.waitpid(-1, 0)
    except (ProcessLookupError, ChildProcessError):
        return status


def files() -> dict[str, int] | None:
    """Return all files that a job could have written: None if they can't be listed."""
    found = {}
    try:
        for folder, folders, names in os.walk(HOME):
            folders[:] = [name for name in folders if not os.path.ismount(os.path.join(folder, name))]
            found.update({os.path.join(folder, name): 0 for name in folders})
            for name in names:
                path = os.path.join(folder, name)
                found[path] = os.lstat(path).st_ctime_ns
            if len(found) > LONGEST_LIST:
                return None
    except (OSError, RecursionError):
        return None
    return found


# The child: one job -----------------------------------------------------------------------------------------


class Channel:
    """The way out: whole messages through a pipe."""

    def __init__(self, pipe: int) -> None:
        self.pipe = pipe
        self.lock = threading.Lock()

    def send(self, kind: bytes, content: bytes = b"") -> None:
        """Send one message."""
        message = memoryview(HEADER.pack(kind, len(content)) + content)
        with self.lock:
            while message:
                message = message[os.write(self.pipe, message) :]

    def fail(self, kind: str, words: str) -> None:
        """Send a failure."""
        self.send(FAILURE, json.dumps({"kind": kind, "words": words[:LONGEST_TEXT]}).encode())


def work(job: dict[str, Any], notebook: Notebook, setting: dict[str, Any]) -> None:
    """Run one job in this process, in a notebook of which the lead has run, and send what comes of it."""
    import resource  # Linux has it; the grader reads this module everywhere

    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.dup2(setting["printed"], 1)
    os.dup2(setting["printed"], 2)
    os.close(nowhere)
    os.close(setting["printed"])
    for pipe, name in ((1, "stdout"), (2, "stderr")):
        stream = open(pipe, "w", buffering=1, encoding="utf8", errors="backslashreplace", closefd=False)
        setattr(sys, name, stream)
    for limit, most in setting["limits"].items():
        resource.setrlimit(getattr(resource, f"RLIMIT_{limit}"), (most, most))
    channel = Channel(setting["values"])
    watch_imports(setting["masked"], setting["hidden"], channel)
    notebook.run(job["sources"][job["lead"] :], to_the_end=True)
    channel.send(READY)
    wanted, name = job["wanted"], job["name"]
    if wanted == "calls":
        for call in job["calls"]:
            answer(channel, functools.partial(notebook.returned, name, call))
    elif wanted == "value":
        answer(channel, lambda: encode(notebook.value(name), f"`{name}` is"))
    elif wanted == "network":
        answer(channel, lambda: (VALUE, json.dumps(layers(notebook.value(name), name)).encode()))
    if wanted in ("value", "pictures"):
        if wanted == "pictures" and notebook.errors[-1:] == [True]:
            channel.fail("error", notebook.said)
        for picture in notebook.pictures():
            channel.send(PICTURE, picture)
    channel.send(END)
    sys.stdout.flush()
    sys.stderr.flush()


def answer(channel: Channel, value: Callable[[], tuple[bytes, bytes]]) -> None:
    """Send a value, or why there is none."""
    try:
        kind, content = value()
    except Unfit as unfit:
        channel.fail(*unfit.args)
    except MemoryError as error:
        channel.fail("memory", told(error, CELLS))
    except BaseException as error:  # SystemExit too: the next call may do better
        channel.fail("error", told(error, CELLS))
    else:
        channel.send(kind, content)


CELLS: dict[str, str] = {}  # the sources by the file name under which they were compiled


class Notebook:
    """The cells of a notebook, run one after the other in one namespace."""

    def __init__(self, masked: bool) -> None:
        self.masked = masked
        self.errors: list[bool] = []  # for each cell, whether it ended in an error
        self.said = ""  # the words of the last error
        self.shown: list[bytes] = []
        self.module = types.ModuleType("__main__")
        self.namespace = vars(self.module)
        self.namespace["__builtins__"] = builtins
        self.namespace["display"] = print
        self.namespace["get_ipython"] = Shell

    def run(self, sources: Sequence[str], to_the_end: bool = False) -> None:
        """Run cells, of which the last one may be the answer; one that ends in an error stops none."""
        sys.modules["__main__"] = self.module
        for number, source in enumerate(sources, start=1):
            answer = to_the_end and number == len(sources)
            name = "the answer" if answer else f"cell {len(self.errors) + 1} before the answer"
            CELLS[f"<{name}>"] = source
            if answer:
                self.start_of_answer()
            try:
                exec(compiled(source, f"<{name}>", self.masked), self.namespace)
                self.errors.append(False)
            except BaseException as error:
                self.errors.append(True)
                self.said = told(error, CELLS)
                print(self.said, file=sys.stderr)

    def start_of_answer(self) -> None:
        """Forget the pictures of the cells before; from here on, keep what `plt.show` shows."""
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close("all")
            pyplot.show = lambda *_, **__: self.shown.extend(self.drawn())  # type: ignore[attr-defined]

    def drawn(self) -> list[bytes]:
        """Return the open figures as PNG, and close them."""
        pyplot = sys.modules.get("matplotlib.pyplot")
        pictures: list[bytes] = []
        for number in pyplot.get_fignums() if pyplot else ():
            figure = pyplot.figure(number)  # type: ignore[union-attr]
            width, height = figure.get_size_inches()
            picture = io.BytesIO()
            dots = min(figure.dpi, math.sqrt(MOST_PIXELS / (width * height)))
            figure.savefig(picture, format="png", dpi=dots, bbox_inches="tight")
            pyplot.close(figure)  # type: ignore[union-attr]
            pictures.append(picture.getvalue())
        return pictures

    def pictures(self) -> list[bytes]:
        """Return what the answer showed, and what it left open."""
        try:
            self.shown.extend(self.drawn())
        except Exception as error:
            print(told(error, CELLS), file=sys.stderr)
        return self.shown[:MOST_PICTURES]

    def value(self, name: str) -> Any:
        """Return what the cells called `name`."""
        if name in self.namespace:
            value = self.namespace[name]
            if value is not None and value is not ...:
                return value
            raise Unfit("missing", f"`{name}` has no value yet: it is {value}.{self.because()}")
        raise Unfit("missing", f"`{name}` is not defined.{self.because()}")

    def returned(self, name: str, call: Sequence[dict[str, Any]]) -> tuple[bytes, bytes]:
        """Return, as a message, what a function of the cells returns."""
        function = self.value(name)
        if not callable(function):
            raise Unfit("missing", f"`{name}` is not a function: it is of type {type(function).__name__}.")
        return encode(function(*[argument(one) for one in call]), f"{name}(…) returned")

    def because(self) -> str:
        """Say what may have kept a name from being defined."""
        return f" This happened before:\n{self.said}" if self.said else ""


class Shell:
    """What stands for IPython where a cell holds its commands: they do nothing, `%%time` runs its cell."""

    @staticmethod
    def run_line_magic(*_: Any, **__: Any) -> None:
        """Do nothing."""

    system = getoutput = run_line_magic

    @staticmethod
    def run_cell_magic(magic: str, _: str, cell: str) -> None:
        """Run what stands below the command if it is Python."""
        if magic in ("time", "timeit", "capture", "prun"):
            CELLS["<below the command>"] = cell
            exec(compiled(cell, "<below the command>"), vars(sys.modules["__main__"]))


def nothing(*_: Any, **__: Any) -> None:
    """Stand for `check`, which has no task here."""


def compiled(source: str, name: str, masked: bool = False) -> types.CodeType:
    """Compile a cell, with IPython's commands if it holds some.

    Where packages are masked, an import at the top that needs one of them is told and left out, so that it
    does not take the rest of its cell with it.
    """
    try:
        tree = ast.parse(source, name)
    except SyntaxError:
        from IPython.core.inputtransformer2 import TransformerManager

        plain: str = TransformerManager().transform_cell(source)  # type: ignore[no-untyped-call]
        if plain.strip() == source.strip():
            raise
        tree = ast.parse(plain, name)
    if masked:
        tree.body = [left_out_if_masked(statement) for statement in tree.body]
    return compile(ast.fix_missing_locations(tree), name, "exec", dont_inherit=True)


def left_out_if_masked(statement: ast.stmt) -> ast.stmt:
    """Put an import into `try: … except ImportError as error: print(error)`."""
    future = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
    if future or not isinstance(statement, ast.Import | ast.ImportFrom):
        return statement
    (attempt,) = ast.parse("try: pass\nexcept ImportError as error: print(error)").body
    assert isinstance(attempt, ast.Try)
    attempt.body = [statement]
    return ast.copy_location(attempt, statement)


def told(error: BaseException, cells: dict[str, str]) -> str:
    r"""Say where in the cells an error happened, and which.

    >>> try:
    ...     exec(compile("x = 1\nx / 0", "<the answer>", "exec"))
    ... except ZeroDivisionError as error:
    ...     print(told(error, {"<the answer>": "x = 1\nx / 0"}))
    Line 2 of the answer: x / 0
    ZeroDivisionError: division by zero
    """
    place, number = "", 0
    if isinstance(error, SyntaxError) and error.filename in cells:
        place, number = error.filename, error.lineno or 0
    else:
        for frame, line in traceback.walk_tb(error.__traceback__):
            if frame.f_code.co_filename in cells:
                place, number = frame.f_code.co_filename, line
    lines = cells.get(place, "").splitlines()
    code = lines[number - 1].strip()[:200] if 0 < number <= len(lines) else ""
    words = "".join(traceback.format_exception_only(type(error), error)[-1:]).strip()[:2000]
    return f"Line {number} of {place.strip('<>')}: {code}\n{words}" if place else words


# Values -----------------------------------------------------------------------------------------------------


def identity(x: Any) -> Any:
    """Return x: the activation that changes nothing."""
    return x


def relu(x: Any) -> Any:
    """Return x where it is positive, else 0."""
    import numpy as np

    return np.maximum(x, 0)


def argument(given: dict[str, Any]) -> Any:
    """Return an argument of a call from what stands for it in JSON."""
    import numpy as np

    if "array" in given:
        return np.load(io.BytesIO(base64.b64decode(given["array"])), allow_pickle=False)
    if "activation" in given:
        return {"relu": relu, "identity": identity, "tanh": np.tanh}[given["activation"]]
    return given["number"]


def encode(value: Any, what: str) -> tuple[bytes, bytes]:
    """Return a value as a message: JSON for a number, a text and a flat list of them, else an array.

    >>> encode([1, 2.5], "`x` is")
    (b'V', b'[1, 2.5]')

    Raises
    ------
    Unfit
        If it is neither numbers nor text.
    """
    import numpy as np

    if value is None:
        raise Unfit("malformed", f"{what} nothing (None): is `return` missing?")
    items = list(value) if type(value) in (list, tuple) and len(value) <= LONGEST_LIST else [value]
    items = [one.item() if isinstance(one, np.number | np.bool_ | np.str_) else one for one in items]
    if all(plain(one) for one in items):
        content = json.dumps(items if type(value) in (list, tuple) else items[0]).encode()
        if len(content) <= 4 * LONGEST_LIST * 8:
            return VALUE, content
    try:
        array = np.asarray(value)
    except Exception:
        raise Unfit("malformed", f"{what} no array: its rows differ in length.") from None
    if array.dtype.kind == "U" and array.ndim < 2 and array.size <= LONGEST_LIST:
        return encode(array.tolist(), what)
    if array.dtype.kind not in "biufc":
        kind = type(value).__name__
        raise Unfit("malformed", f"{what} of type {kind}, which is neither numbers nor an array of numbers.")
    if array.nbytes > LARGEST_ARRAY:
        raise Unfit(
            "malformed", f"{what} an array of {array.nbytes:,} bytes; at most {LARGEST_ARRAY:,} are taken."
        )
    file = io.BytesIO()
    np.lib.format.write_array(file, np.array(array, order="C"), version=(1, 0), allow_pickle=False)
    return ARRAY, file.getvalue()


def plain(value: Any) -> bool:
    """Whether JSON can carry a value: a text, a truth value, a number that is finite and not endless."""
    if type(value) is str:
        return len(value) <= LONGEST_TEXT
    if type(value) is int:
        return abs(value) < 2**63
    return type(value) is bool or (type(value) is float and math.isfinite(value))


def layers(model: Any, name: str) -> list[dict[str, Any]]:
    """Return the layers of a Keras model as plain data."""
    from course_lib.layers import described

    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Model):
        raise Unfit("malformed", f"`{name}` is not a Keras model: it is of type {type(model).__name__}.")
    try:
        return described(model)
    except (AttributeError, TypeError, ValueError):
        raise Unfit(
            "malformed",
            f"The layers of `{name}` have no sizes yet: begin with keras.Input, which says how large an image"
            " is.",
        ) from None


# Masked packages --------------------------------------------------------------------------------------------


class Masked(importlib.abc.MetaPathFinder):
    """Says of a masked package that it can't be used; that it isn't there is the box's doing, not this."""

    def __init__(self, masked: Sequence[str], tried: Callable[[str], None] = lambda _: None) -> None:
        self.masked = masked
        self.tried = tried

    def find_spec(self, name: str, *_: Any) -> None:
        """Refuse a masked module or one within it."""
        for masked in self.masked:
            if name == masked or name.startswith(f"{masked}."):
                self.tried(masked)
                raise ModuleNotFoundError(f"{masked} can't be used in this question", name=name)


def watch_imports(masked: Sequence[str], hidden: dict[str, str], channel: Channel) -> None:
    """Refuse masked packages, and tell when the answer itself tries to import or to open one."""
    if not masked:
        return
    known: set[str] = set()

    def tried(module: str) -> None:
        if module not in known and by_the_answer():
            known.add(module)
            channel.send(TRIED, module.encode())

    def opened(event: str, arguments: tuple[Any, ...]) -> None:
        if event in ("open", "os.listdir", "os.scandir") and isinstance(arguments[0], str):
            for path, module in hidden.items():
                if arguments[0].startswith(path):
                    tried(module)

    sys.meta_path.insert(0, Masked(masked, tried))
    sys.addaudithook(opened)


def by_the_answer() -> bool:
    """Whether the answer asks, and not a library that it uses for something else."""
    libraries = tuple(path for path in sys.path if path.endswith("-packages"))
    frame = sys._getframe(1)
    while frame := frame.f_back:  # type: ignore[assignment]
        name = frame.f_code.co_filename
        if name in ("<the answer>", "<below the command>"):
            return True
        if name.startswith(libraries) or "/course_lib/" in name:
            return False
    return False


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))

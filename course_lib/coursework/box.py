"""The box: runs what students wrote where it can do no harm, and brings back values only.

bubblewrap makes the walls (`box_walls`), `box_runner` runs inside, `box_values` reads what comes out. This
module holds the conversation: one job after the other, each with its limits, measured from outside. A job
that breaks a limit ends its box; the jobs after it get a new one.
"""

from __future__ import annotations

import base64
import functools
import io
import json
import os
import platform
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, Literal, TypeAlias

import numpy as np

from course_lib.coursework import box_runner as runner
from course_lib.coursework import box_values as values
from course_lib.coursework import box_walls as walls
from course_lib.questions.grading import Failure

Call: TypeAlias = tuple[np.ndarray | float | str, ...]

HURRY = 5
START_SECONDS = 120  # for the interpreter and the libraries, on a busy machine
GRACE_SECONDS = 5  # for the first process to end what a job left, which the kernel does at once
NAP_SECONDS = 0.005
WATCH_SECONDS = 0.03  # between two looks at memory and processes
MOST_FILES = 10_000  # in /tmp: each costs memory that no limit counts
MANY_PIECES = 2_000  # more than honest output comes in
PRINTED = 20_000  # bytes that are kept
LARGEST_PICTURES = 4 * 2**20  # bytes of all pictures of one job
TRIAL = """
import os, time
started = 0
try:
    while started < 16:
        if os.fork() == 0:
            time.sleep(10)
            os._exit(0)
        started += 1
except BlockingIOError:
    pass
"""
ACTIVATIONS = ("relu", "identity", "tanh")


class NoBox(RuntimeError):
    """There is no box, for a reason that no submission has brought about."""


@dataclass(frozen=True)
class Limits:
    """What a job may use. After `patience` jobs of a submission that ran out of time, the others get less."""

    call_seconds: float = 10
    seconds: float = 60
    patience: int = 2
    why: str = ""  # there is less time than usual: part of a sentence
    memory: int = 2 * 2**30
    processes: int = 64
    file: int = 16 * 2**20
    output: int = 64 * 2**20
    temporary: int = 64 * 2**20

    def after(self, late: int) -> Limits:
        """Return what is left to a job when others have run out of time."""
        if late < self.patience:
            return self
        return replace(
            self,
            call_seconds=self.call_seconds / HURRY,
            seconds=self.seconds / HURRY,
            why=f" (less than usual, as {late} others ran out of time)",
        )


@dataclass(frozen=True)
class Job:
    """Sources to run in one namespace, the answer last, and what is wanted of it.

    Parameters
    ----------
    part
        The part that the answer belongs to.
    sources
        The cells, in order. One that ends in an error does not stop those after it.
    wanted
        "calls": what `name` returns for each of `calls`. "value": what `name` holds, and the pictures.
        "network": the layers of the Keras model `name`. "pictures": the figures that the last source showed
        or left open.
    name
        What the sources must define.
    calls
        Arguments; a text among them is the name of an activation: "relu", "identity" or "tanh".
    lead
        How many of the first sources are the release's own. They run once for all jobs that begin with the
        same ones, in the process that no submission runs in.
    """

    part: str
    sources: tuple[str, ...]
    wanted: Literal["calls", "value", "network", "pictures"]
    name: str = ""
    calls: tuple[Call, ...] = ()
    lead: int = 0


@dataclass(frozen=True)
class Outcome:
    """What came of a job: a value for each call, or one; pictures as PNG; what was printed."""

    part: str
    values: tuple[Any, ...]
    pictures: tuple[bytes, ...]
    printed: str
    tried: tuple[str, ...]
    seconds: float

    @property
    def late(self) -> bool:
        """Whether the job ran out of time."""
        return any(isinstance(value, Failure) and value.kind == "late" for value in self.values)


def run(
    jobs: Sequence[Job],
    *,
    masked: Sequence[str] = (),
    limits: Limits = Limits(),
    data: Path | None = None,
    late: int = 0,
) -> dict[str, Outcome]:
    """Run jobs of one submission in the box, one after the other.

    Parameters
    ----------
    jobs
        Each runs in a process of its own; what one does, the next does not see.
    masked
        Packages and modules that are not there: "scipy", "course_lib.convolution".
    limits
        For each job.
    data
        Folder with the data sets, which the box may read: None for the offline sample.
    late
        How many jobs of the submission have run out of time before.

    Returns
    -------
    dict
        One outcome for each job, by its part, whatever the submission does.

    Raises
    ------
    NoBox
        If no box can be had (`why_not` tells before), or a job can't even begin in a new one.
    """
    if len({job.part for job in jobs}) < len(jobs):
        raise ValueError("two jobs have the same part; each part is run once")
    outcomes: dict[str, Outcome] = {}
    waiting = list(jobs)
    while waiting:
        with _box(masked, limits.after(late), data) as box:
            while waiting and box.usable:
                if outcome := box.do(waiting[0]):
                    outcomes[outcome.part] = outcome
                    late += outcome.late
                    waiting.pop(0)
    return outcomes


@functools.cache
def why_not() -> str:
    """Say why no box can be had here: "" if one can."""
    if platform.system() != "Linux":
        return f"The box needs Linux (namespaces and bubblewrap); this is {platform.system()}."
    if platform.machine() not in walls.MACHINES:
        return f"The box knows the machines {' and '.join(walls.MACHINES)}; this is {platform.machine()}."
    if shutil.which("bwrap") is None:
        return "The box needs bubblewrap 0.8 or newer. On Debian or Ubuntu: sudo apt install bubblewrap."
    try:
        outcome = run([Job("trial", (TRIAL,), "value", "started")], limits=Limits(processes=8))["trial"]
    except NoBox as reason:
        return str(reason)
    (started,) = outcome.values
    if type(started) is int and started < 8:
        return ""
    if started == 16:
        return "The kernel does not limit how many processes there are in a box, so the box is not safe here."
    return f"A trial of the box gave {started}."


# What comes of a job ----------------------------------------------------------------------------------------

LARGEST = {
    runner.READY: 0,
    runner.END: 0,
    runner.TRIED: 200,
    runner.FAILURE: values.LARGEST_TEXT,
    runner.VALUE: values.LARGEST_TEXT,
    runner.ARRAY: values.LARGEST_ARRAY + 1000,
    runner.PICTURE: values.LARGEST_PICTURE,
}  # bytes that a message of each kind may have


class _Stopped(Exception):
    """A job must not go on."""

    def __init__(self, kind: Literal["late", "memory", "died", "output", "malformed"], words: str) -> None:
        super().__init__(words)
        self.failure = Failure(kind, words)


@dataclass
class _Coming:
    """What has come of the job that runs. Every byte of it may be forged."""

    job: Job
    values: list[Any] = field(default_factory=list)
    pictures: list[bytes] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    printed: bytearray = field(default_factory=bytearray)
    received: int = 0  # bytes, printed ones among them, in how many pieces, and how many messages
    pieces: int = 0
    messages: int = 0
    rest: bytearray = field(default_factory=bytearray)  # of a message that is not whole yet
    begun: float = 0.0  # when the job began, and when the call that runs began
    call_begun: float = 0.0
    status: int | None = None  # how the job ended

    @property
    def wanted(self) -> int:
        """How many values there are to come."""
        return {"calls": len(self.job.calls), "pictures": 0}.get(self.job.wanted, 1)

    def take(self, content: bytes, masked: Sequence[str]) -> None:
        """Take in what came through the pipe for values."""
        self.rest += content
        header = runner.HEADER
        while len(self.rest) >= header.size:
            kind, length = header.unpack_from(self.rest)
            if length > LARGEST.get(kind, -1):
                raise _Stopped("malformed", "It sent what is no value.")
            if len(self.rest) < header.size + length:
                return
            message = bytes(self.rest[header.size : header.size + length])
            del self.rest[: header.size + length]
            self.take_message(kind, message, masked)

    def take_message(self, kind: bytes, message: bytes, masked: Sequence[str]) -> None:
        """Take in one message."""
        self.messages += 1
        if self.messages > self.wanted + runner.MOST_PICTURES + len(masked) + 3:  # it begins, fails, ends
            raise _Stopped("malformed", "It sent more than was asked for.")
        if kind in (runner.READY, runner.END):
            self.call_begun = self.call_begun or time.monotonic()
        elif kind == runner.TRIED:
            self.tried += [name for name in masked if name.encode() == message and name not in self.tried]
        elif kind == runner.PICTURE and self._may_bring_a_picture():
            self.pictures.append(message)
        elif kind == runner.FAILURE and self.job.wanted == "pictures" and not self.values:
            self.values.append(self.value(kind, message))
        elif kind != runner.PICTURE and len(self.values) < self.wanted:
            self.values.append(self.value(kind, message))
            self.call_begun = time.monotonic()
        else:
            raise _Stopped("malformed", "It sent more than was asked for.")

    def _may_bring_a_picture(self) -> bool:
        return self.job.wanted in ("value", "pictures") and len(self.pictures) < runner.MOST_PICTURES

    def value(self, kind: bytes, message: bytes) -> Any:
        """Return the value that a message holds, or a failure."""
        try:
            if kind == runner.FAILURE:
                return Failure(*values.failure(message))
            if self.job.wanted == "network":
                return values.network(message)
            return values.array(message) if kind == runner.ARRAY else values.value(message)
        except values.Malformed as reason:
            return Failure("malformed", f"It sent {reason}.")

    def outcome(self, failure: Failure) -> Outcome:
        """Return what came, with a failure in the place of all that did not."""
        pictures: list[bytes] = []
        for picture in self.pictures:
            try:
                pictures.append(values.picture(picture))
            except values.Malformed as reason:
                failure = Failure("malformed", f"It sent {reason}.")
            if sum(map(len, pictures)) > LARGEST_PICTURES:
                pictures, failure = [], Failure("malformed", "It sent pictures of too many bytes.")
                break
        came = self.values + [failure] * (self.wanted - len(self.values))
        if self.job.wanted == "pictures" and not came and (not pictures or self.status is None):
            came = [failure]
        return Outcome(
            self.job.part,
            tuple(came),
            tuple(pictures),
            values.text(bytes(self.printed), PRINTED),
            tuple(self.tried),
            time.monotonic() - self.begun if self.begun else 0.0,
        )


# One box ----------------------------------------------------------------------------------------------------


@contextmanager
def _box(masked: Sequence[str], limits: Limits, data: Path | None) -> Iterator[_Box]:
    """Start a box, with a second and a third try where the machine is too busy for it; end it at last."""
    for wait in (1, 5, 0):
        box = _Box(masked, limits, data)
        try:
            box.start()
            break
        except NoBox:
            box.close()
            if not wait:
                raise
            time.sleep(wait)
        except BaseException:
            box.close()
            raise
    try:
        yield box
    finally:
        box.close()


class _Box:
    """One bubblewrap with the runner in it, usable until a job breaks a limit or leaves something behind."""

    def __init__(self, masked: Sequence[str], limits: Limits, data: Path | None) -> None:
        bwrap = shutil.which("bwrap")
        if bwrap is None or platform.machine() not in walls.MACHINES:
            raise NoBox("there is no bubblewrap for this machine; why_not() tells more")
        self.masked = masked
        self.limits = limits
        self.usable = False
        self.done = 0  # jobs
        self.seen = 0.0  # when memory and processes were looked at
        self.said = bytearray()  # by the runner, not a whole line yet
        mask = {path: module for module in masked for path in walls.places(module)}
        never = [path for module in walls.NEVER for path in walls.places(module)]
        setting: dict[str, Any] = {
            "user": walls.user(),
            "masked": list(masked),
            "hidden": mask,
            "library": str(walls.COURSE.parent),
            "limits": {
                "DATA": limits.memory,
                "NPROC": limits.processes,
                "FSIZE": limits.file,
                "CPU": 2 * int(limits.seconds) + 1,  # of a grader that sleeps; else the clock is quicker
                "NOFILE": 128,
                "CORE": 0,
            },
        }
        hidden = [*never, *mask, *walls.others()]
        with ExitStack() as kept, ExitStack() as given:  # ends of pipes: ours, and those for the box

            def pipe() -> tuple[int, int]:
                ends = os.pipe()
                kept.callback(os.close, ends[0])
                given.callback(os.close, ends[1])
                return ends

            self.values, setting["values"] = pipe()
            self.printed, setting["printed"] = pipe()
            self.complaints: IO[bytes] = kept.enter_context(tempfile.TemporaryFile())
            self.selector = kept.enter_context(selectors.DefaultSelector())
            filter_pipe, filter_end = os.pipe()
            given.callback(os.close, filter_pipe)
            with open(filter_end, "wb") as program:
                program.write(walls.system_call_filter())
            command = walls.command(bwrap, hidden, limits.temporary, data, filter_pipe)
            self.process = subprocess.Popen(
                [*command, json.dumps(setting)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.complaints,
                pass_fds=(filter_pipe, setting["values"], setting["printed"]),
                bufsize=0,
            )
            self.kept = kept.pop_all()
        with suppress(OSError), open(f"/proc/{self.process.pid}/oom_score_adj", "w") as score:
            score.write("1000")  # where the machine runs out of memory all the same, the box goes first
        assert self.process.stdin and self.process.stdout
        self.control, self.orders = self.process.stdout.fileno(), self.process.stdin.fileno()
        for end in (self.values, self.printed, self.control):
            self.selector.register(end, selectors.EVENT_READ)
        for end in (self.values, self.printed, self.control, self.orders):
            os.set_blocking(end, False)

    def start(self) -> None:
        """Wait until the runner is ready."""
        patience = time.monotonic() + START_SECONDS
        try:
            while {"ready": True} not in self.heard():
                if time.monotonic() > patience:
                    raise NoBox(f"The box was not ready after {START_SECONDS} s.")
                self.selector.select(0.1)
        except _Stopped:
            self.process.wait(GRACE_SECONDS)
            self.complaints.seek(0)
            said = self.complaints.read(2000).decode(errors="replace").strip()
            raise NoBox(
                "bubblewrap makes no box here (it takes bubblewrap 0.8, and a kernel that lets users make"
                f" namespaces). It says: {said}"
            ) from None
        self.usable = True

    def close(self) -> None:
        """End the box and all that is in it; nothing of it is left when this returns."""
        self.usable = False
        for process in _children(self.process.pid):
            with suppress(ProcessLookupError):  # its namespace ends with its first process
                os.kill(process, signal.SIGKILL)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(GRACE_SECONDS if _children(self.process.pid) else 0.1)
        self.process.kill()
        self.process.wait()
        self.kept.close()
        assert self.process.stdin and self.process.stdout
        for file in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):
                file.close()

    def do(self, job: Job) -> Outcome | None:
        """Run one job: None if it could not begin in a box that others ran in, so that it needs a new one.

        In a new one, what keeps a job from beginning is none of its own doing, and no outcome of it.
        """
        coming = _Coming(job)
        try:
            self.converse(_order(job, self.masked), coming)
            failure = _ended(coming)
        except _Stopped as stopped:
            self.usable = False
            failure = stopped.failure
        if not coming.begun:
            self.usable = False
            if self.done:
                return None
            raise NoBox(f"Nothing of {job.part} began in a new box. {failure.words}")
        self.done += 1
        return coming.outcome(failure)

    def converse(self, order: bytes, coming: _Coming) -> None:
        """Give an order and take in what comes, until the job has ended or must end."""
        patience = time.monotonic() + START_SECONDS
        while coming.status is None:
            order = self.told(order)
            ready = self.selector.select(0.001 if order else WATCH_SECONDS)
            for words in self.heard():  # first: that it has begun is said before any of it runs
                if "begun" in words:
                    coming.begun = time.monotonic()
                elif "status" in words:
                    coming.status = int(words["status"])
                    self.usable = bool(words["clean"])
            for key, _ in ready:
                self.receive(key.fd, coming)
            self.watch(coming, patience)
        while self.receive(self.values, coming) or self.receive(self.printed, coming):
            pass

    def told(self, order: bytes) -> bytes:
        """Write as much of an order as the pipe takes; return the rest."""
        try:
            return order[os.write(self.orders, order) :] if order else b""
        except BlockingIOError:
            return order
        except BrokenPipeError:
            raise _Stopped("died", "The box has ended.") from None

    def heard(self) -> list[dict[str, Any]]:
        """Return what the runner said meanwhile."""
        ended = False
        with suppress(BlockingIOError):
            while content := os.read(self.control, 2**16):
                self.said += content
            ended = True
        *lines, rest = self.said.split(b"\n")
        self.said = bytearray(rest)
        if ended and not lines:
            raise _Stopped("died", "The box that it ran in has ended.")
        return [json.loads(line) for line in lines]

    def receive(self, pipe: int, coming: _Coming) -> bool:
        """Take in what a job sends or prints; return whether there was anything."""
        if pipe == self.control:
            return False
        try:
            content = os.read(pipe, 2**20)
        except BlockingIOError:
            return False
        coming.received += len(content)
        coming.pieces += 1
        if coming.pieces > MANY_PIECES:
            time.sleep(NAP_SECONDS)  # single bytes would keep the grader busy: let some come together
        if coming.received > self.limits.output:
            raise _Stopped("output", f"It put out more than {_size(self.limits.output)}.")
        if pipe == self.values:
            coming.take(content, self.masked)
        else:
            coming.printed += content
        return bool(content)

    def watch(self, coming: _Coming, patience: float) -> None:
        """Stop a job that has used up its time, its memory, its processes or its files."""
        now = time.monotonic()
        limits = self.limits
        if not coming.begun:
            if now > patience:
                raise _Stopped("late", f"The libraries were not loaded after {START_SECONDS} s.")
            return
        if now - coming.begun > limits.seconds:
            words = f"It was not done after {limits.seconds:g} s{limits.why}: an endless loop?"
            raise _Stopped("late", words)
        calling = (
            coming.job.wanted == "calls" and 0 < coming.call_begun and len(coming.values) < coming.wanted
        )
        if calling and now - coming.call_begun > limits.call_seconds:
            call = f"`{coming.job.name}`, call {len(coming.values) + 1} of {coming.wanted},"
            words = f"{call} was not done after {limits.call_seconds:g} s{limits.why}: an endless loop?"
            raise _Stopped("late", words)
        if now - self.seen < WATCH_SECONDS:
            return
        self.seen = now
        processes = self.processes()
        if sum(_threads(process) for process in processes) > limits.processes:
            raise _Stopped("died", f"It started more than {limits.processes} processes and was stopped.")
        if _take_more(processes, limits.memory):
            raise _Stopped("memory", f"It took more than {_size(limits.memory)} of memory and was stopped.")
        if processes and _files(processes[0]) > MOST_FILES:
            raise _Stopped("output", f"It made more than {MOST_FILES:,} files.")

    def processes(self) -> list[int]:
        """Return the processes in the box, the first one first; of very many, not all."""
        found = _children(self.process.pid)
        for process in found:
            if len(found) < 10 * self.limits.processes:
                found += _children(process)
        return found


def _order(job: Job, masked: Sequence[str]) -> bytes:
    """Return a job as the runner reads it.

    >>> import json
    >>> json.loads(_order(Job("answer-2-7", ("…",), "calls", "f", ((2, "relu"),)), ()))["calls"]
    [[{'number': 2}, {'activation': 'relu'}]]
    """
    text = "\n".join(job.sources)
    preload = []
    if job.wanted == "pictures" or any(word in text for word in ("matplotlib", "pyplot", "plots")):
        preload += [] if {"matplotlib", "PIL"} & set(masked) else ["matplotlib.pyplot"]
    if job.wanted == "network" or any(word in text for word in ("keras", "tensorflow", "networks")):
        preload += [] if {"keras", "tensorflow"} & set(masked) else ["keras"]
    order = {
        "sources": job.sources,
        "lead": job.lead,
        "wanted": job.wanted,
        "name": job.name,
        "calls": [[_argument(one) for one in call] for call in job.calls],
        "preload": preload,
    }
    return json.dumps(order).encode() + b"\n"


def _argument(value: np.ndarray | float | str) -> dict[str, Any]:
    if isinstance(value, np.ndarray):
        file = io.BytesIO()
        np.save(file, value, allow_pickle=False)
        return {"array": base64.b64encode(file.getvalue()).decode()}
    if isinstance(value, str):
        if value not in ACTIVATIONS:
            raise ValueError(f"the activations are {', '.join(ACTIVATIONS)}; {value!r} is none")
        return {"activation": value}
    return {"number": value.item() if isinstance(value, np.generic) else value}


def _ended(coming: _Coming) -> Failure:
    """Say how a job ended by itself: the reason for whatever has not come."""
    assert coming.status is not None
    if os.WIFSIGNALED(coming.status):
        number = os.WTERMSIG(coming.status)
        if number == signal.SIGXCPU:
            return Failure("late", "It used up its computing time: an endless loop?")
        name = signal.Signals(number).name
        crash = " A recursion without end does this." if number == signal.SIGSEGV else ""
        return Failure("died", f"The program was ended by the signal {name}.{crash}")
    if coming.job.wanted == "pictures" and os.WEXITSTATUS(coming.status) == 0:
        return Failure("missing", "No figure was drawn.")
    code = os.WEXITSTATUS(coming.status)
    return Failure("died", f"The program ended itself (exit status {code}) before it gave its values.")


def _size(number: int) -> str:
    return f"{number / 2**30:g} GiB" if number >= 2**30 else f"{number / 2**20:g} MiB"


# Looking at processes from outside --------------------------------------------------------------------------


def _children(process: int) -> list[int]:
    """Return the children of a process, of all its threads."""
    found: list[int] = []
    with suppress(OSError):
        for thread in os.listdir(f"/proc/{process}/task"):
            with suppress(OSError), open(f"/proc/{process}/task/{thread}/children") as children:
                found += [int(child) for child in children.read().split()]
    return found


def _threads(process: int) -> int:
    with suppress(OSError):
        return len(os.listdir(f"/proc/{process}/task"))
    return 0


def _take_more(processes: Sequence[int], most: int) -> bool:
    """Whether processes hold more memory than they may.

    What they share, each holds in part. To find their parts, the kernel goes through their tables of pages;
    where these are large, that takes so long that they count by themselves.
    """
    held = [_numbers(process, "status", "VmRSS", "VmSwap") for process in processes]
    tables = sum(_numbers(process, "status", "VmPTE") for process in processes)
    if tables > most // 16:
        return True
    if sum(held) + tables <= most:
        return False
    parts = [_numbers(process, "smaps_rollup", "Pss", "SwapPss") for process in processes]
    return sum(part or whole for part, whole in zip(parts, held, strict=True)) + tables > most


def _numbers(process: int, file: str, *names: str) -> int:
    """Return the sum of some lines, in bytes, of what the kernel says of a process: 0 if it says nothing."""
    found = 0
    with suppress(OSError), open(f"/proc/{process}/{file}", "rb") as lines:
        for line in lines:
            name, _, number = line.partition(b":")
            if name.decode("latin1") in names:
                found += 1024 * int(number.split()[0])
    return found


def _files(process: int) -> int:
    """Return how many files there are in the /tmp of a box."""
    with suppress(OSError):
        room = os.statvfs(f"/proc/{process}/root/tmp")
        return room.f_files - room.f_ffree
    return 0

"""The box, attacked: what misbehaves costs itself, the jobs beside it get their values, nothing is left."""

import io
import os
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from contextlib import ExitStack, suppress
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from course_lib.coursework import box, box_runner, box_values, plan
from course_lib.coursework.box import Failure, Job, Limits, run
from course_lib.questions.grading import PARTS, cases

ROOT = Path(__file__).parents[1]
MEBIBYTE = 2**20
SMALL = Limits(
    call_seconds=2,
    seconds=4,
    memory=400 * MEBIBYTE,
    processes=20,
    output=4 * MEBIBYTE,
    temporary=4 * MEBIBYTE,
)
X = np.arange(12.0).reshape(3, 4)
HONEST = "import numpy as np\ndef double(x):\n    return 2 * np.asarray(x)"


@pytest.fixture(scope="module", autouse=True)
def _there_is_a_box():
    if reason := box.why_not():
        warnings.warn(f"THE BOX WAS NOT TESTED: {reason}", stacklevel=1)
        pytest.skip(reason)


@pytest.fixture(autouse=True)
def namespaces(monkeypatch):
    """Note the process namespace of every box, and look that no process is in one when the test is over."""
    found = []
    close = box._Box.close

    def noted(self):
        for process in self.processes()[:1]:
            with suppress(FileNotFoundError):
                space = kept.enter_context(open(f"/proc/{process}/ns/pid"))
                found.append(os.stat(space.fileno()).st_ino)
        close(self)

    monkeypatch.setattr(box._Box, "close", noted)
    with ExitStack() as kept:  # while it is open, no other namespace gets its number
        yield found
        for process in filter(str.isdigit, os.listdir("/proc")):
            with suppress(OSError):  # it has ended meanwhile, or is none of ours
                assert os.stat(f"/proc/{process}/ns/pid").st_ino not in found, process


def attacked(*answers, wanted="calls", limits=SMALL, calls=((X,),), **settings):
    """Run answers with an honest one before and after each; return what came of them."""
    jobs = []
    for number, answer in enumerate(answers):
        jobs.append(Job(f"honest {number}", (HONEST,), "calls", "double", ((X,), (1.5,))))
        jobs.append(Job(f"attack {number}", (textwrap.dedent(answer),), wanted, "f", calls))
    jobs.append(Job("the last", (HONEST,), "calls", "double", ((X,), (1.5,))))
    outcomes = run(jobs, limits=limits, **settings)
    assert list(outcomes) == [job.part for job in jobs]
    for job in jobs:
        if job.name == "double":
            array, number = outcomes[job.part].values
            assert np.array_equal(array, 2 * X) and number == 3, job.part
    return [outcomes[f"attack {number}"] for number in range(len(answers))]


def failures(*answers, **settings):
    """Run answers of which none should come to a value; return their failures."""
    found = [outcome.values[0] for outcome in attacked(*answers, **settings)]
    assert all(isinstance(failure, Failure) for failure in found), found
    return found


def value(source, **settings):
    """Return the value of `f` in a cell."""
    return run([Job("one", (textwrap.dedent(source),), "value", "f")], limits=SMALL, **settings)[
        "one"
    ].values[0]


# What honest answers give -----------------------------------------------------------------------------------


def test_values_come_back_as_they_are():
    cells = {
        "np.arange(6, dtype='uint8').reshape(2, 3)": np.arange(6, dtype="uint8").reshape(2, 3),
        "np.asfortranarray(np.eye(2, 3))": np.eye(2, 3),
        "np.arange(3, dtype='>i4')": np.arange(3),
        "np.array([1.0, np.nan])": np.array([1.0, np.nan]),
        "np.array(2.5)": np.array(2.5),
        "np.zeros((0, 3))": np.zeros((0, 3)),
        "np.matrix([[1, 2]])": np.array([[1, 2]]),
        "[[1, 2], [3, 4]]": np.array([[1, 2], [3, 4]]),
        "float('nan')": np.array(np.nan),
        "np.float32(1.5)": 1.5,
        "7": 7,
        "True": True,
        "['horse', 'cat']": ["horse", "cat"],
        "np.array(['horse', 'cat'])": ["horse", "cat"],
        "(5, np.uint8(0), 4.0)": [5, 0, 4.0],
    }
    jobs = [Job(cell, ("import numpy as np", f"f = {cell}"), "value", "f") for cell in cells]
    for cell, outcome in run(jobs).items():
        (came,) = outcome.values
        if isinstance(cells[cell], np.ndarray):
            np.testing.assert_array_equal(came, cells[cell], strict=cell != "np.arange(3, dtype='>i4')")
        else:
            assert came == cells[cell] and type(came) is type(cells[cell])
        assert outcome.part == cell and outcome.pictures == () and 0 < outcome.seconds < 20


def test_calls_get_fresh_arguments_and_activations():
    cell = """
    def f(x, activation, size):
        x -= 100
        return [activation.__name__, float(activation(x[0, 0])), size, type(size).__name__, str(x.dtype)]
    """
    calls = ((X, "relu", 2), (X, "identity", 2), (X.astype("uint8") + 100, "tanh", 1.5))
    outcome = run([Job("one", (textwrap.dedent(cell),), "calls", "f", calls)])["one"]
    assert outcome.values == (
        ["relu", 0.0, 2, "int", "float64"],
        ["identity", -100.0, 2, "int", "float64"],
        ["tanh", 0.0, 1.5, "float", "uint8"],
    )
    with pytest.raises(ValueError, match="'sigmoid' is none"):
        run([Job("one", ("",), "calls", "f", (("sigmoid",),))])
    with pytest.raises(ValueError, match="two jobs have the same part"):
        run([Job("one", ("",), "value", "f")] * 2)


def test_a_broken_cell_costs_itself():
    cells = (
        "x = 2",
        "y = 1\ny / 0",
        "def broken(:",
        "raise SystemExit",
        "f = x + y\nprint('done')\ng = nowhere",
    )
    jobs = [
        Job("f", cells, "value", "f"),
        Job("g", cells, "value", "g"),
        Job("h", cells, "calls", "x", ((1,),)),
    ]
    outcomes = run(jobs)
    assert outcomes["f"].values == (3,)
    printed = outcomes["f"].printed
    assert "Line 2 of cell 2 before the answer: y / 0\nZeroDivisionError: division by zero" in printed
    assert "Line 1 of cell 3 before the answer: def broken(:\nSyntaxError" in printed and "done\n" in printed
    (missing,) = outcomes["g"].values
    assert missing.kind == "missing" and missing.words.startswith("`g` is not defined.")
    assert "Line 3 of the answer: g = nowhere\nNameError: name 'nowhere' is not defined" in missing.words
    assert outcomes["h"].values[0] == Failure("missing", "`x` is not a function: it is of type int.")


def test_what_is_no_value_is_told():
    unfit = {
        "f = None": ("missing", "`f` has no value yet: it is None."),
        "f = ...": ("missing", "`f` has no value yet: it is Ellipsis."),
        "f = [[1, 2], [3]]": ("malformed", "`f` is no array: its rows differ in length."),
        "f = {1: 2}": ("malformed", "`f` is of type dict, which is neither numbers nor an array of numbers."),
        "import numpy as np\nf = np.zeros(400_000)": (
            "malformed",
            "`f` is an array of 3,200,000 bytes; at most 2,097,152 are taken.",
        ),
    }
    jobs = [Job(cell, (cell,), "value", "f") for cell in unfit]
    for cell, outcome in run(jobs).items():
        assert outcome.values == (Failure(*unfit[cell]),)
    cell = "def f(x):\n    if x > 1:\n        return x.nothing\n    raise NotImplementedError('2.2: f')"
    (error, todo) = run([Job("one", (cell,), "calls", "f", ((2,), (1,)))])["one"].values
    assert (
        error.words
        == "Line 3 of the answer: return x.nothing\nAttributeError: 'int' object has no attribute 'nothing'"
    )
    assert todo.words.endswith("NotImplementedError: 2.2: f") and error.kind == todo.kind == "error"
    nothing = run([Job("one", ("def f(x):\n    x + 1",), "calls", "f", ((2,),))])["one"].values[0]
    assert nothing == Failure("malformed", "f(…) returned nothing (None): is `return` missing?")


def test_commands_of_ipython_do_no_harm():
    assert value("%matplotlib inline\n!pip install torch\nf = 1") == 1
    assert value("%%time\nf = 1\ndisplay(f)") == 1


def test_pictures_are_those_of_the_answer():
    before = "import matplotlib.pyplot as plt\nplt.plot([1, 2])"
    cells = {
        "left open": "plt.figure(); plt.plot([3, 4])",
        "shown": "plt.plot([1]); plt.show()\nplt.plot([2]); plt.show()\nf = 1",
        "shown and closed": "plt.plot([1]); plt.show(); plt.close('all')",
        "huge": "plt.figure(figsize=(300, 200)); plt.plot([1])",
        "none": "f = 1",
        "broken": "plt.plot([1])\n1 / 0",
    }
    outcomes = run([Job(name, (before, cell), "pictures") for name, cell in cells.items()])
    assert [len(outcome.pictures) for outcome in outcomes.values()] == [1, 2, 1, 1, 0, 1]
    assert [len(outcome.values) for outcome in outcomes.values()] == [0, 0, 0, 0, 1, 1]
    assert outcomes["none"].values == (Failure("missing", "No figure was drawn."),)
    assert (
        outcomes["broken"].values[0].kind == "error"
        and "ZeroDivisionError" in outcomes["broken"].values[0].words
    )
    for outcome in outcomes.values():
        for picture in outcome.pictures:
            opened = Image.open(io.BytesIO(picture))
            assert opened.format == "PNG" and not opened.info and max(opened.size) <= box_values.WIDEST
    both = run([Job("both", (before, cells["shown"]), "value", "f")])["both"]
    assert both.values == (1,) and len(both.pictures) == 2


def test_check_does_nothing_and_the_sample_is_there():
    cells = (
        "from course_lib.data import load_mnist\nfrom course_lib.questions import check, write_predictions",
        "check('2.2', None)\nf = load_mnist().y_train[:3]",
    )
    outcome = run([Job("one", cells, "value", "f")])["one"]
    assert outcome.values[0].shape == (3,) and "sample" in outcome.printed


def test_the_data_folder_can_be_read_and_not_written(tmp_path):
    (tmp_path / "numbers.txt").write_text("42")
    for folder in (tmp_path, tmp_path.parent):
        folder.chmod(0o755)
    source = """
    import os
    folder = os.environ["COURSE_DATA_DIR"]
    f = [open(folder + "/numbers.txt").read(), str(os.environ.get("COURSE_DATA"))]
    try:
        os.remove(folder + "/numbers.txt")
    except OSError as error:
        f.append(error.strerror)
    """
    assert value(source, data=tmp_path) == ["42", "None", "Read-only file system"]
    assert (tmp_path / "numbers.txt").exists()


def test_a_network_is_described_as_the_questions_describe_it():
    from course_lib.questions.task_1 import MNIST_CNN

    cell = "model = networks.mnist_cnn()"
    first = "from course_lib import networks\nfrom course_lib.backend import keras"
    bare = "model = keras.Sequential([keras.layers.Dense(3)])"
    outcomes = run(
        [
            Job("model", (first, cell), "network", "model"),
            Job("bare", (first, bare), "network", "model"),
            Job("list", (first, "model = [1]"), "network", "model"),
        ]
    )
    assert outcomes["model"].values == (MNIST_CNN,)
    assert "begin with keras.Input" in outcomes["bare"].values[0].words
    assert outcomes["list"].values[0].words == "`model` is not a Keras model: it is of type list."


# Attacks ----------------------------------------------------------------------------------------------------


def test_endless_loops():
    ignoring = """
    import signal
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    """
    late = failures(
        "def f(x):\n    while True: pass",
        textwrap.dedent(ignoring) + "def f(x):\n    while True: pass",
        "def f(x):\n while True:\n  try:\n   while True: pass\n  except BaseException: pass",
        "def f(x):\n    return 9 ** 9 ** 9",
        "def f(x):\n    import time\n    time.sleep(1000)",
        limits=Limits(call_seconds=1, seconds=4),
    )
    assert {failure.kind for failure in late} == {"late"}
    assert late[0].words == "`f`, call 1 of 1, was not done after 1 s: an endless loop?"


def test_an_endless_cell_and_calls_that_came_before():
    (cell,) = failures("while True: pass", limits=Limits(seconds=1))
    assert cell == Failure("late", "It was not done after 1 s: an endless loop?")
    some = "def f(x):\n    while x > 1: pass\n    return x"
    (outcome,) = attacked(some, calls=((1,), (2,), (1,)), limits=Limits(call_seconds=1))
    assert outcome.values[0] == 1 and [failure.kind for failure in outcome.values[1:]] == ["late", "late"]


def test_jobs_get_less_time_after_others_that_ran_out_of_it():
    loop = "def f(x):\n    while True: pass"
    limits = Limits(call_seconds=2, seconds=4, patience=2)
    began = time.monotonic()
    late = failures(*[loop] * 5, limits=limits)
    assert [failure.kind for failure in late] == ["late"] * 5
    assert late[1].words == "`f`, call 1 of 1, was not done after 2 s: an endless loop?"
    assert late[4].words == (
        "`f`, call 1 of 1, was not done after 0.4 s (less than usual, as 4 others ran out of time):"
        " an endless loop?"
    )
    assert time.monotonic() - began < 60
    jobs = [Job("late", (loop,), "calls", "f", ((X,),)), Job("quick", (HONEST,), "calls", "double", ((1,),))]
    outcomes = run(jobs, limits=limits, late=2)
    assert outcomes["late"].late and "(less than usual, as 2 others" in outcomes["late"].values[0].words
    assert outcomes["quick"].values == (2,) and not outcomes["quick"].late


def test_endings():
    killed = failures(
        "import os\nos._exit(0)",
        "import os\ndef f(x): os._exit(3)",
        "import os\nos.kill(os.getpid(), 9)",
        "import os\nos.abort()",
        "import ctypes\nctypes.string_at(0)",
    )
    assert {failure.kind for failure in killed} == {"died"}
    assert killed[1].words == "The program ended itself (exit status 3) before it gave its values."
    assert "SIGKILL" in killed[2].words and "SIGSEGV" in killed[4].words
    deep, deeper = failures(
        "def f(x): return f(x)", "import sys\nsys.setrecursionlimit(10**9)\ndef f(x): return f(x)"
    )
    assert deep.kind == "error" and "RecursionError" in deep.words
    assert deeper.kind in ("memory", "died", "late")


def test_the_first_process_cannot_be_touched():
    source = """
    import ctypes, os, resource, signal
    tried = []
    def attempt(what):
        try:
            what()
            tried.append("done")
        except Exception as error:
            tried.append(type(error).__name__)
    attempt(lambda: open("/proc/1/fd/0"))
    attempt(lambda: open("/proc/1/mem", "r+b"))
    attempt(lambda: open("/proc/1/environ").read())
    attempt(lambda: os.readlink("/proc/1/exe"))
    for number in range(1, 65):
        for victim in (1, -1):
            try:
                os.kill(victim, number) if number not in (9, 19) or victim == 1 else None
            except (OSError, ValueError):
                pass
    attempt(lambda: ctypes.CDLL(None).ptrace(16, 1, 0, 0) and 1 / 0)
    def f(x): return tried
    """
    (outcome,) = attacked("import signal\n" + textwrap.dedent(source))
    assert outcome.values == (["PermissionError"] * 4 + ["ZeroDivisionError"],)


def test_memory():
    greedy = failures(
        "import numpy as np\ndef f(x):\n    return np.ones(3 * 2**30 // 8)",
        "x = 'a' * 3 * 2**30\nf = lambda x: len(x)\n",
        """
        import os, time
        def f(x):
            for number in range(8):
                if os.fork() == 0:
                    kept = b"1" * (150 * 2**20)
                    time.sleep(10)
            time.sleep(10)
        """,
        limits=Limits(memory=400 * MEBIBYTE, call_seconds=5),
    )
    assert [failure.kind for failure in greedy] == ["memory", "missing", "memory"]
    assert "3.00 GiB" in greedy[0].words and "MemoryError" in greedy[1].words
    assert greedy[2].words == "It took more than 400 MiB of memory and was stopped."


def test_memory_that_belongs_to_no_process():
    refused = """
    import ctypes, os
    f = []
    try:
        os.memfd_create("x")
    except PermissionError:
        f.append("memfd")
    if ctypes.CDLL(None).shmget(0, 2**30, 0o1600) == -1:
        f.append("shm")
    for folder in ("/dev", "/dev/shm", "/", "/run", "/proc"):
        try:
            open(folder + "/x", "w")
        except OSError:
            f.append(folder)
    try:
        for number in range(100):
            open(f"/tmp/{number}", "wb").write(b"1" * 2**20)
    except OSError as error:
        f.append(error.strerror)
    """
    expected = ["memfd", "shm", "/dev", "/dev/shm", "/", "/run", "/proc", "No space left on device"]
    assert value(refused) == expected
    many = "import os\nfor number in range(10**6): os.mknod(f'/tmp/{number}')\ndef f(x): return 1"
    (files,) = failures(many, limits=Limits(temporary=512 * MEBIBYTE, seconds=20))
    assert files == Failure("output", "It made more than 10,000 files.")
    large = "def f(x):\n    open('large', 'wb').write(b'1' * 2**21)"
    (file,) = failures(large, limits=Limits(file=MEBIBYTE))
    assert file.kind == "error" and "File too large" in file.words


LIBC = """
import ctypes, os, time
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
PRIVATE, SHARED, GROWS_DOWN, HUGE, NO_RESERVE = 0x22, 0x21, 0x122, 0x40022, 0x4022
"""


def test_memory_that_a_process_is_not_seen_to_hold():
    refused = """
    import os, socket
    f = []
    def attempt(what):
        try:
            what()
            f.append("done")
        except OSError as error:
            f.append(error.strerror)
    attempt(socket.socketpair)
    zeros = os.open("/dev/zero", os.O_RDWR)
    for flags, file in ((SHARED, -1), (1, zeros), (3, zeros), (HUGE, -1)):
        ctypes.set_errno(0)
        libc.mmap(None, 2**21, 3, flags, file, 0)
        f.append(os.strerror(ctypes.get_errno()))
    reader, writer = os.pipe()
    for call in (
        lambda: libc.vmsplice(writer, None, 0, 0),
        lambda: libc.splice(zeros, None, writer, None, 1, 0),
        lambda: libc.io_setup(1, None) if hasattr(libc, "io_setup") else ctypes.set_errno(1),
    ):
        ctypes.set_errno(0)
        call()
        f.append(os.strerror(ctypes.get_errno()))
    """
    came = value(LIBC + textwrap.dedent(refused))
    assert came == ["Operation not permitted"] * 8
    hidden = failures(
        LIBC + "at = libc.mmap(None, 2**30, 3, GROWS_DOWN, -1, 0)\nctypes.memset(at, 1, 2**30)",
        LIBC + "at = libc.mmap(None, 2**45, 1, NO_RESERVE, -1, 0)\n"
        "for place in range(0, 2**45, 2**21): ctypes.string_at(at + place, 1)",
        limits=Limits(memory=200 * MEBIBYTE, seconds=20),
    )
    assert [failure.kind for failure in hidden] == ["memory"] * 2, hidden


def test_what_a_submission_cannot_do_to_its_own_next_job():
    first = """
    import os, resource
    for change in (
        lambda: resource.prlimit(1, resource.RLIMIT_AS, (2**20, 2**20)),
        lambda: resource.prlimit(1, resource.RLIMIT_NPROC, (0, 0)),
        lambda: resource.prlimit(1, resource.RLIMIT_CPU, (0, 0)),
        lambda: os.setpriority(os.PRIO_PROCESS, 1, 19),
        lambda: os.sched_setscheduler(1, os.SCHED_IDLE, os.sched_param(0)),
        lambda: os.sched_setaffinity(1, {0}),
    ):
        try:
            change()
            print("done")
        except OSError:
            pass
    """
    after = "import os\nf = [os.getpriority(os.PRIO_PROCESS, 0), os.sched_getscheduler(0), os.getppid()]"
    jobs = [
        Job("first", (textwrap.dedent(first), "f = 1"), "value", "f"),
        Job("after", (after,), "value", "f"),
    ]
    outcomes = run(jobs, limits=SMALL)
    assert outcomes["first"].printed == "" and outcomes["first"].values == (1,)
    assert outcomes["after"].values == ([0, 0, 1],)


def test_fork_bombs():
    bombs = failures(
        "import os\ndef f(x):\n    while True: os.fork()",
        """
        import os
        def f(x):
            while True:
                try:
                    if os.fork() == 0:
                        os.setsid()
                except OSError:
                    pass
        """,
        "import os\ndef f(x): os.system(':(){ :|:& };:'); import time; time.sleep(9)",
        """
        import threading, time
        def f(x):
            for number in range(1000):
                threading.Thread(target=time.sleep, args=(9,)).start()
            time.sleep(9)
        """,
        limits=Limits(processes=20, call_seconds=1, seconds=3),
    )
    assert {failure.kind for failure in bombs} <= {"died", "late", "error"}


def test_floods_of_output():
    floods = failures(
        "print('x' * 300_000_000)\ndef f(x): return 1",
        "import os\nwhile True: os.write(1, b'x' * 10**6)",
        "from IPython.display import HTML, display\nprint(HTML('<b>' * 40_000_000).data)\ndef f(x): return 1",
        limits=Limits(output=4 * MEBIBYTE),
    )
    assert set(floods) == {Failure("output", "It put out more than 4 MiB.")}
    (quiet,) = attacked("print('x' * 1_000_000)\ndef f(x): return 1")
    assert quiet.values == (1,) and len(quiet.printed) < 21_000 and "bytes left out" in quiet.printed
    (shown,) = attacked(
        "from IPython.display import HTML, display\ndisplay(HTML('<b>' * 10**7))\ndef f(x): return 1"
    )
    assert shown.values == (1,) and len(shown.printed) < 100
    (rich,) = attacked("print('\\x1b[31m\\x00<script>', '\\ud800')\ndef f(x): return 1")
    assert rich.printed == "[31m<script> \\ud800\n"


def test_floods_of_small_things():
    """They cost the grader, which takes them in, next to nothing."""
    messages = """
    import os, struct
    message = struct.pack(">cI", {kind}, {length}) + b"x" * {length}
    for pipe in range(3, 128):
        try:
            while True:
                os.write(pipe, message * 1000)
        except OSError:
            pass
    """
    kinds = [(b"R", 0), (b"E", 0), (b"T", 1)]
    floods = [textwrap.dedent(messages).format(kind=kind, length=length) for kind, length in kinds]
    drops = "import os\nwhile True: os.write(1, b'x')"
    began = time.process_time()
    malformed = failures(*floods, wanted="value", limits=SMALL)
    assert set(malformed) == {Failure("malformed", "It sent more than was asked for.")}
    (late,) = failures(drops, wanted="value", limits=Limits(seconds=6))
    assert late.kind == "late"
    assert time.process_time() - began < 2.5
    pictures = """
    import io, os, struct
    import numpy as np
    from PIL import Image
    noise = np.random.default_rng(0).integers(0, 256, (2000, 2000), dtype=np.uint8)
    png = io.BytesIO()
    Image.fromarray(noise).save(png, "PNG", compress_level=1)
    message = struct.pack(">cI", b"P", png.tell()) + png.getvalue()
    for pipe in range(3, 128):
        try:
            for number in range(3):
                left = memoryview(message)
                while left:
                    left = left[os.write(pipe, left) :]
        except OSError:
            pass
    os._exit(0)
    """
    began = time.process_time()
    (many,) = failures(pictures, wanted="value", limits=Limits())
    assert many.kind == "malformed" and "pictures of too many bytes" in many.words
    assert time.process_time() - began < 4


def test_what_a_job_leaves_behind(namespaces):
    daemon = """
    import os, signal, subprocess, sys, threading, time, atexit
    atexit.register(time.sleep, 100)
    threading.Thread(target=time.sleep, args=(100,)).start()
    subprocess.Popen(["sleep", "1000"], start_new_session=True)
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if os.fork() == 0:
            while True:
                for pipe in range(3, 128):
                    try:
                        os.write(pipe, b"forged")
                    except OSError:
                        pass
        os._exit(0)
    open("/tmp/numpy.py", "w").write("1 / 0")
    os.symlink("/", "/tmp/root")
    def f(x): return 1
    """
    after = "import os\nf = [sum(map(str.isdigit, os.listdir('/proc')))]\nf += [os.path.lexists('/tmp/root')]"
    jobs = [
        Job("daemon", (textwrap.dedent(daemon),), "calls", "f", ((1,),)),
        Job("after", (after,), "value", "f"),
        Job("numpy", ("import numpy as np\nf = np.ones(2)",), "value", "f"),
    ]
    outcomes = run(jobs, limits=SMALL)
    assert len(set(namespaces)) == 2  # what it left stays in its box; the jobs after it got another
    assert outcomes["daemon"].values == (1,)
    assert outcomes["after"].values == ([2, False],)
    assert outcomes["numpy"].values[0].tolist() == [1, 1]


def test_what_cannot_be_seen(tmp_path):
    (tmp_path / "secret.txt").write_text("the secret")
    paths = [
        str(tmp_path / "secret.txt"),
        str(ROOT / "chapters"),
        str(ROOT / "tests"),
        str(ROOT / ".git"),
        str(ROOT / "pyproject.toml"),
        str(ROOT / "course_lib" / "questions" / "grading.py"),
        str(ROOT / "course_lib" / "coursework" / "box.py"),
        str(ROOT / "course_lib" / "coursework" / "__pycache__"),
        str(ROOT / "course_lib" / "book" / "execute.py"),
        str(Path.home() / ".bashrc"),
        str(Path.home() / ".cache"),
        "/etc/passwd",
        "/etc/shadow",
        "/home",
        "/var",
        "/sys",
        f"/proc/{os.getpid()}/root{tmp_path}",
        f"/proc/1/root{tmp_path}",
        "/proc/1/cwd",
    ]
    source = f"""
    import os, shutil, subprocess
    f = [path for path in {paths!r} if os.access(path, os.F_OK)]
    import course_lib
    for path in (os.path.dirname(course_lib.__file__), os.path.dirname(os.__file__) + "/json"):
        shutil.rmtree(path, ignore_errors=True)
    f += [name for name in os.environ if name.startswith(("PYTEST", "SSH", "AWS"))]
    f += [str(os.getuid() >= 65534 and os.geteuid() == os.getuid()), os.uname().nodename]
    status = dict(line.split(None, 1) for line in open("/proc/self/status") if "Cap" in line)
    f += [status[key].strip() for key in ("CapPrm:", "CapEff:", "CapAmb:")]
    """
    assert value(source) == ["True", "box", "0" * 16, "0" * 16, "0" * 16]
    assert (ROOT / "course_lib" / "data.py").exists() and (tmp_path / "secret.txt").exists()


def test_no_way_out():
    source = """
    import ctypes, os, socket, subprocess
    f = []
    for change in (
        lambda: os.chmod("/dev/null", 0o666),
        lambda: open("/proc/sys/vm/overcommit_memory", "w"),
        lambda: open("/usr/x", "w"),
        lambda: os.remove("/dev/null"),
        lambda: os.link("/dev/null", "/dev/x"),
    ):
        try:
            change()
            f.append("done")
        except OSError:
            pass
    for family in (socket.AF_INET, socket.AF_UNIX, 40, 16, 38):
        try:
            socket.socket(family)
        except OSError as error:
            f.append(error.strerror)
    libc = ctypes.CDLL(None, use_errno=True)
    for call in (lambda: libc.unshare(0x10000000), lambda: libc.mount(b"none", b"/tmp", b"tmpfs", 0, 0)):
        call()
        f.append(os.strerror(ctypes.get_errno()))
    clone_newuser, x86 = 0x10000000, os.uname().machine == "x86_64"
    if libc.syscall(56 if x86 else 220, clone_newuser | 17, 0, 0, 0, 0) == 0:
        os._exit(1)
    f.append(os.strerror(ctypes.get_errno()))
    f.append(subprocess.run(["bwrap", "--dev-bind", "/", "/", "true"], capture_output=True).returncode != 0)
    """
    assert value(source) == ["Operation not permitted"] * 8 + [True]


def test_patches_of_numpy_stay_in_the_job():
    patch = """
    import builtins, io, json, os, struct, sys
    import numpy as np
    np.allclose = np.array_equal = np.testing.assert_allclose = lambda *_, **__: True
    np.asarray = np.array = lambda *_, **__: np.zeros(3)
    np.save = np.lib.format.write_array = lambda *_, **__: None
    np.ndarray.__eq__ if False else None
    builtins.isinstance = lambda *_: True
    json.dumps = lambda *_, **__: "[1]"
    struct.pack = os.write = lambda *_, **__: 1
    def f(x): return x
    """
    runner = """
    import gc, sys
    import __main__
    frame = sys._getframe()
    while frame:
        for name in list(frame.f_globals):
            if name in ("encode", "answer", "work", "serve", "ended", "files", "told"):
                frame.f_globals[name] = lambda *_, **__: (b"V", b"1")
        frame = frame.f_back
    for thing in gc.get_objects():
        if isinstance(thing, dict) and "LARGEST_ARRAY" in thing:
            thing["LARGEST_ARRAY"] = 0
    sys.modules.clear()
    def f(x): return x
    """
    for outcome in attacked(patch, runner):  # what it gives is its own affair; the others were not touched
        (came,) = outcome.values
        assert type(came) in (np.ndarray, int, list, Failure)


def test_objects_that_equal_everything():
    things = {
        "class E:\n    __eq__ = lambda *_: True\n    __hash__ = object.__hash__\nf = E()": "of type E",
        "class E(float):\n    __eq__ = lambda *_: True\nf = E(3)": np.array(3.0),
        "class E(str):\n    __eq__ = lambda *_: True\nf = [E('dog')]": ["dog"],
        "class E(int):\n    __eq__ = lambda *_: True\nf = E(10**400)": "of type E",
        "import numpy as np\nclass E(np.ndarray):\n    __eq__ = lambda *_: True\n"
        "f = np.zeros(2).view(E)": np.zeros(2),
        "import numpy as np\nclass E:\n    def __reduce__(self): return print, ('pickled',)\n"
        "f = np.array([E()])": "of type ndarray, which is neither numbers",
        "import numpy as np\nf = np.ma.masked_array([1.0, 2.0], [True, True])": np.array([1.0, 2.0]),
        "import numpy as np\nf = np.zeros(2, dtype=[('a', 'O')])": "neither numbers nor",
        "class E(Exception):\n    def __str__(self): return 'x' * 10**6\nraise E": "`f` is not defined",
        "class E(Exception):\n    def __str__(self): 1 / 0\nraise E": "`f` is not defined",
    }
    jobs = [Job(cell, (cell,), "value", "f") for cell in things]
    for cell, outcome in run(jobs, limits=SMALL).items():
        (came,) = outcome.values
        if isinstance(things[cell], str):
            assert isinstance(came, Failure) and things[cell] in came.words and len(came.words) < 4100
        else:
            np.testing.assert_array_equal(came, things[cell])
            assert type(came) in (np.ndarray, list)


def test_forged_messages_count_for_their_own_job_alone():
    find = """
    import os, struct
    def forge(kind, content, length=None):
        message = struct.pack(">cI", kind, len(content) if length is None else length) + content
        for pipe in range(3, 128):
            try:
                os.write(pipe, message)
            except OSError:
                pass
    """
    forged = [
        "forge(b'V', b'6'); os._exit(0)",
        "forge(b'V', b'NaN'); os._exit(0)",
        "forge(b'V', b'[' * 100_000); os._exit(0)",
        "forge(b'V', b'{\"a\": 1}'); os._exit(0)",
        "forge(b'V', b'1' + b'0' * 5000); os._exit(0)",
        "forge(b'A', b'\\x93NUMPY garbage'); os._exit(0)",
        'forge(b\'F\', b\'{"kind": "honoured", "words": 1}\'); os._exit(0)',
        "forge(b'V', b'6', 2**32 - 1); os._exit(0)",
        "forge(b'Z', b'6'); os._exit(0)",
        "forge(b'V', b'6'); forge(b'V', b'7'); os._exit(0)",
        "forge(b'P', b'no picture'); os._exit(0)",
        'os.write(1, b\'{"status": 0, "clean": true}\\n\'); os._exit(0)',
        "forge(b'T', b'scipy'); forge(b'T', b'numpy'); forge(b'V', b'6'); os._exit(0)",
    ]
    outcomes = attacked(*[textwrap.dedent(find) + line for line in forged], masked=("scipy",))
    assert outcomes[0].values == (6,) and outcomes[9].values == (6,)
    assert outcomes[12].values == (6,) and outcomes[12].tried == ("scipy",)
    kinds = [outcome.values[0].kind for number, outcome in enumerate(outcomes) if number not in (0, 9, 12)]
    assert kinds == ["malformed"] * 9 + ["died"]


def test_masked_packages():
    masked = ("scipy", "course_lib.convolution", "sklearn")
    ways = """
    import glob, importlib, os, pkgutil, sys
    import scipy.signal
    from course_lib.convolution import convolution
    f = []
    def attempt(what):
        try:
            f.append(str(what()))
        except BaseException as error:
            f.append(type(error).__name__)
    packages = next(path for path in sys.path if os.path.isdir(path + "/scipy"))
    library = sys.modules["course_lib"].__path__[0]
    attempt(lambda: importlib.import_module("scipy.ndimage"))
    attempt(lambda: __import__("course_lib.convolution"))
    attempt(lambda: open(library + "/convolution.py").read())
    attempt(lambda: [name for name in os.listdir(packages + "/scipy")])
    compiled = library + "/__pycache__/convolution." + sys.implementation.cache_tag + ".pyc"
    attempt(lambda: open(compiled, "rb").read())
    sys.meta_path[:] = [finder for finder in sys.meta_path if "Masked" not in type(finder).__name__]
    importlib.invalidate_caches()
    attempt(lambda: importlib.import_module("scipy.signal"))
    attempt(lambda: importlib.import_module("course_lib.convolution").convolution)
    attempt(lambda: list(pkgutil.iter_modules([packages + "/scipy", packages + "/sklearn"])))
    for root in ("/usr/lib", "/usr/local/lib", sys.base_prefix + "/lib"):
        sys.path += glob.glob(root + "/python*/*-packages")
    attempt(lambda: importlib.import_module("scipy.signal"))
    """
    jobs = [
        Job("ways", (textwrap.dedent(ways),), "value", "f"),
        Job(
            "lesson",
            ("import numpy as np, scipy\nfrom course_lib import plots\nx = 1", "f = x"),
            "value",
            "f",
        ),
        Job("mixed", ("import scipy.ndimage\nimport numpy as np\nf = np.ones(2)",), "value", "f"),
        Job("library", ("from course_lib import plots\nf = 1",), "value", "f"),
    ]
    outcomes = run(jobs, masked=masked)
    gone = "ModuleNotFoundError"
    assert outcomes["ways"].values[0][:2] == [gone, gone]
    assert outcomes["ways"].values[0][2:5] in (
        ["PermissionError", "[]", there_or_not] for there_or_not in ("PermissionError", "FileNotFoundError")
    )
    assert outcomes["ways"].values[0][5:] == [gone, gone, "[]", gone]
    assert outcomes["ways"].tried == ("scipy", "course_lib.convolution", "sklearn")
    assert outcomes["lesson"].values == (1,) and outcomes["lesson"].tried == ()
    assert outcomes["mixed"].values[0].tolist() == [1, 1] and outcomes["mixed"].tried == ("scipy",)
    assert "scipy can't be used in this question" in outcomes["mixed"].printed
    assert outcomes["library"].values == (1,) and outcomes["library"].tried == ()
    assert outcomes["library"].printed == "course_lib.convolution can't be used in this question\n"


def test_what_the_release_begins_with_runs_once_and_in_no_submission():
    lead = ("import time\nkept = [time.perf_counter_ns()]", "def first(): return kept[0]\n1 / 0")
    spoil = "kept[0] = 5; first = None; import sys; sys.modules['time'] = None; time.forged = 1; other = 1"
    look = "f = [kept[0], first(), int(hasattr(time, 'forged')), int('other' in globals())]"
    jobs = [
        Job("spoils", (*lead, f"{spoil}\nf = 1"), "value", "f", lead=2),
        Job("looks", (*lead, look), "value", "f", lead=2),
        Job("again", (*lead, look), "value", "f", lead=2),
        Job("without", ("f = [int('kept' in globals()), int('time' in globals())]",), "value", "f"),
        Job("broken", (*lead, "f = g"), "value", "f", lead=2),
        Job("by itself", (*lead, look), "value", "f"),
    ]
    outcomes = run(jobs, limits=SMALL)
    assert outcomes["spoils"].values == (1,)
    (looked,) = outcomes["looks"].values
    assert looked[0] == looked[1] > 5 and looked[2:] == [0, 0]
    assert outcomes["again"].values == (looked,)
    assert outcomes["without"].values == ([0, 0],)
    assert "NameError: name 'g' is not defined" in outcomes["broken"].values[0].words
    assert outcomes["by itself"].values[0][0] > looked[0]


def test_what_the_release_begins_with_imports_nothing_masked():
    imports = "import scipy.signal\nfrom course_lib.convolution import convolution\nimport numpy as np"
    lead = (f"{imports}\nx = np.ones(2)",)
    ways = """
    import sys
    f = [float(x.sum()), str([name for name in sys.modules if "scipy" in name or "convolution" in name])]
    try:
        import scipy
    except ImportError as error:
        f.append(str(error))
    """
    outcome = run(
        [
            Job("quiet", (*lead, "f = 1"), "value", "f", lead=1),
            Job("ways", (*lead, textwrap.dedent(ways)), "value", "f", lead=1),
        ],
        masked=("scipy", "course_lib.convolution"),
    )
    assert outcome["quiet"].values == (1,) and outcome["quiet"].tried == ()
    assert outcome["ways"].values == ([2.0, "[]", "scipy can't be used in this question"],)
    assert outcome["ways"].tried == ("scipy",)


def test_without_a_mask_everything_is_there():
    assert value("from scipy.signal import correlate2d\nimport course_lib.convolution\nf = 1") == 1


# What comes out is doubted ----------------------------------------------------------------------------------


def npy(header, numbers=b"", version=b"\x01\x00"):
    header = header.encode("latin1") + b"\n"
    return b"\x93NUMPY" + version + len(header).to_bytes(2, "little") + header + numbers


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x93NUMPY",
        b"\x93NUMPY\x01\x00\xff\xff",
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04."),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (999999999, 999999999), }"),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }", b"1" * 8),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }", b"1" * 8),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", b"1" * 16),
        npy("{'descr': '<f3', 'fortran_order': False, 'shape': (1,), }", b"1" * 3),
        npy("{'descr': '<i4', 'fortran_order': True, 'shape': (1,), }", b"1" * 4),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (__import__('os').getpid(),), }", b"1" * 4),
        npy("{'descr': '<f8', 'fortran_order': False, 'shape': (1,), }", b"1" * 8, b"\x02\x00"),
        npy("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }", b"1" * 8),
        npy("{'descr': '<u1', 'fortran_order': False, 'shape': (9000000,), }", b"1" * 9_000_000),
        npy("(" * 60000),
    ],
)
def test_forged_arrays(content):
    with pytest.raises(box_values.Malformed):
        box_values.array(content)


def test_forged_pictures():
    def png(size, **settings):
        file = io.BytesIO()
        Image.new("RGB", size, "red").save(file, format="PNG", **settings)
        return file.getvalue()

    honest = png((30, 20))
    bomb = bytearray(honest)
    bomb[16:24] = (60_000).to_bytes(4) + (60_000).to_bytes(4)
    jpeg = io.BytesIO()
    Image.new("RGB", (9, 9)).save(jpeg, format="JPEG")
    for content in (
        b"",
        b"<svg onload='alert(1)'/>",
        honest[:-30],
        bytes(bomb),
        png((4000, 4000)),
        jpeg.getvalue(),
    ):
        with pytest.raises(box_values.Malformed):
            box_values.picture(content)
    carrying = honest[:-12] + b"<script>alert(1)</script>"
    text = b"tEXtComment\0<script>"
    from zlib import crc32

    chunk = (len(text) - 4).to_bytes(4) + text + crc32(text).to_bytes(4)
    carrying = honest[:33] + chunk + honest[33:] + b"<script>alert(1)</script>"
    assert b"script" not in box_values.picture(carrying)
    assert Image.open(io.BytesIO(box_values.picture(png((2400, 1200))))).size == (1600, 800)


@pytest.mark.parametrize(
    "content",
    [
        b"[]x",
        b'[{"layer": "Dense"}]',
        b'[{"layer": "Dense", "shape": [3], "parameters": 1, "activation": "", "more": 1}]',
        b'[{"layer": "Dense", "shape": ["3"], "parameters": 1, "activation": ""}]',
        b'[{"layer": "Dense", "shape": [3], "parameters": 1e400, "activation": ""}]',
        b'[{"layer": "' + b"x" * 200 + b'", "shape": [3], "parameters": 1, "activation": ""}]',
        b'"Dense"',
    ],
)
def test_forged_networks(content):
    with pytest.raises(box_values.Malformed):
        box_values.network(content)


# Where there is no box --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "found", "words"),
    [("Darwin", "/bin/true", "needs Linux"), ("Linux", None, "apt install bubblewrap")],
)
def test_why_not(name, found, words, monkeypatch):
    run([Job("one", ("f = 1",), "value", "f")])
    monkeypatch.setattr(box.platform, "system", lambda: name)
    monkeypatch.setattr(box.shutil, "which", lambda _: found)
    assert words in box.why_not.__wrapped__()


def test_a_bubblewrap_that_fails_is_quoted(monkeypatch, tmp_path):
    run([Job("one", ("f = 1",), "value", "f")])
    refusing = tmp_path / "bwrap"
    refusing.write_text("#!/bin/sh\necho 'bwrap: setting up uid map: Permission denied' >&2\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setattr(box.shutil, "which", lambda _: str(refusing))
    monkeypatch.setattr(box.time, "sleep", lambda _: None)
    assert "It says: bwrap: setting up uid map: Permission denied" in box.why_not.__wrapped__()
    with pytest.raises(box.NoBox):
        run([Job("one", ("f = 1",), "value", "f")])


def test_where_there_is_no_linux():
    """Whoever grades elsewhere is told so, and can do all that takes no box."""
    program = """
    import platform, sys
    for name in ("resource", "fcntl", "pwd", "grp", "termios"):
        sys.modules[name] = None
    from course_lib.coursework import box, grade, plan
    platform.system = lambda: "Windows"
    print(box.why_not())
    """
    said = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
    assert said.stdout.startswith("The box needs Linux"), said.stderr


def killed_before_job(number, monkeypatch):
    """Let the first process of a box be killed, as the kernel does where memory is short."""
    converse, boxes = box._Box.converse, []

    def conversing(self, order, coming):
        boxes.append(self)
        if len(boxes) == number:
            os.kill(box._children(self.process.pid)[0], signal.SIGKILL)
        converse(self, order, coming)

    monkeypatch.setattr(box._Box, "converse", conversing)
    return boxes


def test_what_fails_before_a_job_begins_is_no_outcome(monkeypatch):
    jobs = [Job("one", ("f = 1",), "value", "f"), Job("two", ("f = 2",), "value", "f")]
    with monkeypatch.context() as patched:
        killed_before_job(1, patched)
        with pytest.raises(box.NoBox, match="Nothing of one began in a new box"):
            run(jobs)
    with monkeypatch.context() as patched:  # another job ran in it: this one gets a new box
        boxes = killed_before_job(2, patched)
        assert [outcome.values for outcome in run(jobs).values()] == [(1,), (2,)]
        assert boxes[0] is boxes[1] is not boxes[2]
    start = box._Box.start

    def then_slow(self):
        start(self)
        monkeypatch.setattr(box, "START_SECONDS", 0.05)

    monkeypatch.setattr(box._Box, "start", then_slow)
    with pytest.raises(box.NoBox, match="libraries were not loaded"):
        run([Job("one", ("import keras\nf = 1",), "network", "f")])


def test_what_a_submission_brings_about_at_once_is_its_outcome():
    """It has begun before anything of it runs, however quickly the box then has to end."""
    forged = """
    import os
    for pipe in range(3, 128):
        try:
            os.write(pipe, b"Z" * 4096)
        except OSError:
            pass
    """
    for _ in range(5):
        outcome = run([Job("one", (textwrap.dedent(forged),), "value", "f")], limits=SMALL)["one"]
        assert outcome.values[0].kind == "malformed"


def test_a_box_that_cannot_start_leaves_nothing_open(monkeypatch):
    run([Job("one", ("f = 1",), "value", "f")])
    before = os.listdir("/proc/self/fd")

    def refused(*_, **__):
        raise BlockingIOError("Resource temporarily unavailable")

    monkeypatch.setattr(box.subprocess, "Popen", refused)
    with pytest.raises(BlockingIOError):
        run([Job("one", ("f = 1",), "value", "f")])
    assert len(os.listdir("/proc/self/fd")) == len(before)


def test_an_older_numpy_will_do(monkeypatch):
    monkeypatch.delattr(np, "bool", raising=False)  # which NumPy 1.26 has not
    assert box_runner.encode([np.True_, np.float32(1.5)], "`f` is") == (b"V", b"[true, 1.5]")


# What a plan makes of it ------------------------------------------------------------------------------------

SECRET = b"a secret that is as long as it must be"


def judged(answer):
    """Return the result of an answer to 2.2."""
    calls = tuple(case.arguments for case in cases("answer-2-2", SECRET))
    job = Job("answer-2-2", (textwrap.dedent(answer),), "calls", "convolution", calls)
    (result,), _ = plan.Work(SECRET, None)(
        plan.Plan(1, plan.ASSIGNED, {"answer-2-2": ""}, {"answer-2-2": job})
    )
    return result


def test_a_hidden_case_is_not_carried_out():
    """A process whose words reach the student knows of no more calls than the public ones."""
    searching = """
    import sys
    frame = sys._getframe()
    while frame.f_code.co_name != "work":
        frame = frame.f_back
    found = len(frame.f_locals["job"]["calls"])
    def convolution(X, K):
        raise ValueError(f"{found} calls")
    """
    public, hidden = len(cases("answer-2-2")), len(cases("answer-2-2", SECRET))
    result = judged(searching)
    assert any(f"ValueError: {public} calls" in message for message in result.messages)
    assert not any(
        f"{hidden} calls" in told or f"{hidden - public} calls" in told for told in result.messages
    )
    assert any(f"ValueError: {hidden - public} calls" in note for note in result.notes)


def test_public_and_hidden_cases_are_judged_together():
    right = """
    import numpy as np
    def convolution(X, K):
        rows, columns = X.shape[0] - K.shape[0] + 1, X.shape[1] - K.shape[1] + 1
        Y = np.zeros((rows, columns))
        for i in range(rows):
            for j in range(columns):
                Y[i, j] = np.sum(X[i:i + K.shape[0], j:j + K.shape[1]].astype(float) * K)
        return Y
    """
    assert judged(right).points == 3
    public = [case.arguments[0].tolist() for case in cases("answer-2-2")]
    trying = f"def convolution(X, K):\n    if X.tolist() not in {public}:\n        import scipy"
    assert "tried to import scipy" in judged(trying).notes


def test_no_public_case_runs_in_a_box_after_a_hidden_one(monkeypatch):
    """Something of a box outlasts a job: the next number of a process, the times of a folder."""
    ran = []
    monkeypatch.setattr(
        box,
        "run",
        lambda jobs, **_: (
            ran.extend(jobs) or {job.part: box.Outcome(job.part, (), (), "", (), 0) for job in jobs}
        ),
    )
    parts = ("answer-2-2", "answer-2-4")
    jobs = {
        part: Job(part, ("",), "calls", "f", tuple(case.arguments for case in cases(part, SECRET)))
        for part in parts
    }
    plan.Work(SECRET, None)(plan.Plan(1, plan.ASSIGNED, dict.fromkeys(parts, ""), jobs))
    assert [job.part for job in ran] == [*parts, *(f"{part} hidden" for part in parts)]
    assert [len(job.calls) for job in ran[:2]] == [len(cases(part)) for part in parts]


def test_the_released_images_are_drawn_once(monkeypatch):
    drawn = []
    monkeypatch.setattr(
        plan, "labels", lambda task, secret: drawn.append(task) or {part: [] for part in PARTS}
    )
    parts = {part.id: None for part in PARTS.values() if part.kind == "predictions"}
    done = plan.Plan(1, plan.ASSIGNED, dict.fromkeys(parts, ""), predictions=parts)
    plan._labels.cache_clear()
    plan.Work(SECRET, None)(done)
    plan._labels.cache_clear()
    assert len(parts) == 4 and drawn == ["task-1"]


# The grader itself ------------------------------------------------------------------------------------------


def test_a_killed_grader_leaves_no_box(tmp_path):
    """Nothing is left of the box, although nobody was there to end it."""
    grader = tmp_path / "grader.py"
    grader.write_text(
        "from course_lib.coursework.box import Job, run\n"
        "run([Job('one', ('import os; print(os.getpid())\\nwhile True: pass',), 'value', 'f')])\n"
    )
    process = subprocess.Popen([sys.executable, grader])
    patience = time.monotonic() + 60
    job: list[int] = []
    while not job:  # bwrap, the runner, its child
        assert process.poll() is None and time.monotonic() < patience
        found = box._children(process.pid)
        found += [grandchild for child in found for grandchild in box._children(child)]
        job = [last for runner in found[1:] for last in box._children(runner)]
        time.sleep(0.02)
    process.kill()
    process.wait()
    while any(os.path.exists(f"/proc/{left}") for left in (*found, *job)):
        assert time.monotonic() < patience
        time.sleep(0.02)

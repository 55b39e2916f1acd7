"""The walls of the box: what bubblewrap lets a submission see, and what the kernel refuses it."""

from __future__ import annotations

import functools
import os
import platform
import secrets
import site
import struct
import sys
from collections.abc import Sequence
from pathlib import Path

import course_lib

RUNNER = Path(__file__).with_name("box_runner.py")
COURSE = Path(course_lib.__file__).parent
NOBODY = 65534
NEVER = ("course_lib.coursework", "course_lib.questions", "course_lib.book")  # solutions, cases, the grader

# System calls that no answer needs and that would reach around a limit (memory that no process is seen to
# hold), into another process, out of the box, or into seldom used corners of the kernel. Numbers: x86_64,
# aarch64.
REFUSED = {
    "socket": (41, 198),
    "socketpair": (53, 199),
    "splice": (275, 76),
    "tee": (276, 77),
    "vmsplice": (278, 75),
    "memfd_create": (319, 279),
    "memfd_secret": (447, 447),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "semget": (64, 190),
    "mq_open": (240, 180),
    "io_setup": (206, 0),
    "io_uring_setup": (425, 425),
    "userfaultfd": (323, 282),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "migrate_pages": (256, 238),
    "move_pages": (279, 239),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "setpriority": (141, 140),  # of the first process, whose children the next jobs are
    "ioprio_set": (251, 30),
    "sched_setparam": (142, 118),
    "sched_setscheduler": (144, 119),
    "sched_setattr": (314, 274),
    "sched_setaffinity": (203, 122),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "fanotify_init": (300, 262),
    "syslog": (103, 116),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "open_by_handle_at": (304, 265),
    "chmod": (90, 52),  # of /dev/null, which is the machine's own
    "fchmod": (91, 52),
    "fchmodat": (268, 53),
    "fchmodat2": (452, 452),
}
# Calls that are refused if an argument (counted from 0) has one of some bits: new namespaces; memory that is
# shared or comes in huge pages, for it outlives its place in a process; the limits of another process.
PARTLY_REFUSED = {
    "clone": ((56, 220), 0, 0x7E020000),
    "mmap": ((9, 222), 3, 0x00040001),
    "prlimit64": ((302, 261), 0, 0xFFFFFFFF),
}
CLONE3 = 435
MACHINES = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}  # column of the numbers, what seccomp says


def command(
    bwrap: str, hidden: Sequence[str], temporary: int, data: Path | None, filter_pipe: int
) -> list[str]:
    """Return the command that starts the runner in a box; the runner's own argument is still to follow.

    Parameters
    ----------
    bwrap
        The program.
    hidden
        Files and folders that the box must not have, as `places` finds them.
    temporary
        Bytes of `/tmp`.
    data
        Folder with the data sets: None for the offline sample.
    filter_pipe
        Where bwrap reads `system_call_filter`.
    """
    words = [bwrap, "--die-with-parent", "--new-session", "--as-pid-1", "--clearenv", "--hostname", "box"]
    words += [f"--unshare-{kind}" for kind in ("ipc", "pid", "net", "uts", "cgroup-try")]
    words += ["--cap-drop", "ALL", "--seccomp", str(filter_pipe)]
    if os.geteuid() == 0:  # the runner changes to a user of its own at once
        words += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    else:
        words += ["--unshare-user", "--disable-userns", "--uid", str(NOBODY), "--gid", str(NOBODY)]
    for name, value in environment(data).items():
        words += ["--setenv", name, value]
    words += ["--perms", "1777", "--size", str(temporary), "--tmpfs", "/tmp"]  # may hold what comes next
    for folder in above(*visible(), sys.executable):
        words += ["--perms", "0755", "--dir", folder]
    for path in visible():
        words += ["--ro-bind-try", path, path]
    for name in ("bin", "lib", "lib64", "sbin"):
        if os.path.islink(f"/{name}"):
            words += ["--symlink", os.readlink(f"/{name}"), f"/{name}"]
        else:
            words += ["--ro-bind-try", f"/{name}", f"/{name}"]
    if os.path.dirname(sys.executable) not in visible():
        words += ["--symlink", os.path.realpath(sys.executable), sys.executable]
    for path in hidden:
        if os.path.isdir(path):
            words += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
        else:
            words += ["--ro-bind", os.devnull, path]
    words += ["--ro-bind", str(RUNNER), "/box_runner.py", "--proc", "/proc", "--dev", "/dev"]
    words += ["--perms", "1777", "--dir", "/tmp/matplotlib"]
    if fonts := font_list():
        words += ["--ro-bind", fonts, f"/tmp/matplotlib/{os.path.basename(fonts)}"]
    if data is not None:
        words += ["--ro-bind", str(data.resolve()), "/data"]
    for name in ("proc", "dev", ""):
        words += ["--remount-ro", f"/{name}"]
    words += ["--chdir", "/tmp"]
    return [*words, "--", sys.executable, "-P", "-s", "-B", "/box_runner.py"]


def above(*paths: str) -> list[str]:
    """Return the folders that lead to paths, the outer ones first; bubblewrap would lock those it makes.

    >>> above("/a/b/c", "/a/d")
    ['/a', '/a/b']
    """
    found = {str(folder) for path in paths for folder in Path(path).parents}
    return sorted(folder for folder in found if folder not in ("/", "/tmp") and not inside(folder, visible()))


def inside(path: str, folders: Sequence[str]) -> bool:
    """Whether a path is one of some folders, or within one."""
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def user() -> int:
    """Return the user that the runner is to become: 0 where bubblewrap has already seen to it.

    The kernel does not limit how many processes root has, under whatever name. A user that nobody else is
    makes the limit count for one box alone.
    """
    return NOBODY + 1 + secrets.randbelow(2**30) if os.geteuid() == 0 else 0


def environment(data: Path | None) -> dict[str, str]:
    """Return the environment of the box: one thread for each library, and nothing of ours."""
    return {
        "PATH": "/usr/bin",
        "HOME": "/tmp",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "MPLBACKEND": "Agg",
        "MPLCONFIGDIR": "/tmp/matplotlib",
        "KERAS_BACKEND": "tensorflow",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1",
        "COURSE_SMOKE": "1",  # whatever trains, trains for a moment
        **{f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")},
        **{f"TF_NUM_{operations}_THREADS": "1" for operations in ("INTRAOP", "INTEROP")},
        **({"COURSE_DATA": "sample"} if data is None else {"COURSE_DATA_DIR": "/data"}),
    }


@functools.cache
def visible() -> tuple[str, ...]:
    """Return what the interpreter needs: its own folders, those of its packages, and the course's library."""
    etc = ("alternatives", "fonts", "ld.so.cache", "localtime", f"python3.{sys.version_info.minor}")
    paths = ["/usr", *(f"/etc/{name}" for name in etc), os.path.dirname(os.path.realpath(sys.executable))]
    for prefix in (sys.base_prefix, os.path.realpath(sys.base_prefix), sys.prefix):
        paths += [f"{prefix}/{name}" for name in ("lib", "lib64", "pyvenv.cfg")]
    paths += [*packages(), str(COURSE)]
    own = {path for path in paths if os.path.exists(path) and not os.path.islink(path)}
    # A link such as lib64 would be a second way to the same packages, which no mask covers.
    return tuple(
        path for path in dict.fromkeys(paths) if path in own or os.path.realpath(path) not in own | {path}
    )


@functools.cache
def packages() -> tuple[str, ...]:
    """Return the folders in which this interpreter finds packages."""
    folders = site.getsitepackages() + ([site.getusersitepackages()] if site.ENABLE_USER_SITE else [])
    return tuple(folder for folder in folders if os.path.isdir(folder))


@functools.cache
def others() -> tuple[str, ...]:
    """Return folders of packages in sight that are not this interpreter's: no mask would cover them."""
    found = []
    for root in ("/usr/lib", "/usr/local/lib", f"{sys.base_prefix}/lib", f"{sys.prefix}/lib"):
        for kind in ("site", "dist"):
            found += [str(path) for path in Path(root).glob(f"python*/{kind}-packages")]
    ours = {os.path.realpath(folder) for folder in packages()}
    return tuple(path for path in dict.fromkeys(found) if os.path.realpath(path) not in ours)


def places(module: str) -> list[str]:
    """Return the files and folders from which a module could be loaded, compiled ones included.

    >>> [os.path.basename(path) for path in places("course_lib.convolution") if path.endswith(".py")]
    ['convolution.py']
    """
    *parents, name = module.split(".")
    found = []
    for root in (*packages(), str(COURSE.parent)):
        folder = Path(root, *parents)
        if (folder / name).is_dir():
            found.append(folder / name)
        found += folder.glob(f"{name}.py")
        found += folder.glob(f"{name}.*so")
        found += folder.glob(f"__pycache__/{name}.*.pyc")
    return list(dict.fromkeys(map(str, found)))


def font_list() -> str:
    """Return matplotlib's list of fonts: "" if it has none; to make it anew in every box takes seconds."""
    from matplotlib import font_manager, get_cachedir

    name = f"fontlist-v{font_manager.FontManager.__version__}.json"
    path = os.path.join(get_cachedir(), name)
    return path if os.path.isfile(path) else ""


def system_call_filter() -> bytes:
    """Return the program by which the kernel refuses calls: "operation not permitted".

    A classic BPF program as `seccomp(2)` takes it: load a word, compare it, jump over some steps, answer. Of
    `clone3` it says that there is no such call: the C library then takes `clone`.
    """
    column, architecture = MACHINES[platform.machine()]
    load, equal, at_least, any_of, answer = 0x20, 0x15, 0x35, 0x45, 0x06
    allow, refuse, unknown, kill = 0x7FFF0000, 0x00050001, 0x00050026, 0x80000000
    program = [(load, 0, 0, 4), (equal, 1, 0, architecture), (answer, 0, 0, kill), (load, 0, 0, 0)]
    program += [(at_least, 0, 1, 0x40000000), (answer, 0, 0, refuse)]  # the second numbering of x86_64
    program += [(equal, 0, 1, CLONE3), (answer, 0, 0, unknown)]  # its flags can't be seen
    for numbers in REFUSED.values():
        program += [(equal, 0, 1, numbers[column]), (answer, 0, 0, refuse)]
    for numbers, argument, bits in PARTLY_REFUSED.values():
        program += [(equal, 0, 4, numbers[column]), (load, 0, 0, 16 + 8 * argument)]
        program += [(any_of, 0, 1, bits), (answer, 0, 0, refuse), (answer, 0, 0, allow)]
    program.append((answer, 0, 0, allow))
    return b"".join(struct.pack("=HBBI", *step) for step in program)

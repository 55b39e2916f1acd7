"""What was handed in: found, told apart by student, and read without trusting any of it."""

from __future__ import annotations

import functools
import hashlib
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from calendar import timegm
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import IO

LARGEST_FILE = 20_000_000  # bytes of one file, unpacked
LARGEST_ZIP = 100_000_000  # bytes of a student's zip, as it is
LARGEST_UNPACKED = 1_000_000_000  # bytes that a zip claims to hold
MOST_FILES = 5_000  # of one student
DEEPEST = 20  # folders within folders
DENSEST = 200  # times that a file of more than a megabyte may grow when it is unpacked

MOODLE = re.compile(r"(?P<student>.+?)_assignsubmission_[a-z]+(?:_(?P<file>.*))?", re.DOTALL)
CANVAS = re.compile(
    r"(?P<name>.+?)(?:_late)?_(?:(?P<user>\d+)|(?<=anon_)(?P<anonymous>[a-z0-9]{5}))"
    r"_(?:(?P<number>\d+)_(?P<file>.+)|(?:text|link)\.html)",
    re.DOTALL | re.IGNORECASE,
)
LAYOUTS = (
    "a folder or a zip for each student, a Moodle download (names with _assignsubmission_file_),"
    " or a Canvas download (names such as doejane_12345_67890_task-2.ipynb)"
)


class Refused(Exception):
    """Something of a submission can't be taken; the message says what and why."""


@dataclass(frozen=True)
class File:
    """A file that was handed in: nothing is read before `read`.

    Parameters
    ----------
    path
        Where it was found, relative to the folder of submissions; what lies in a zip follows the zip's name.
    size
        Bytes, unpacked.
    received
        Seconds since 1970: the time of the file, for what lies in a student's zip that of the zip.
    number
        The platform's number: it grows with every upload. 0 where there is none.
    name
        What its author called it, without folders and what the platform adds.
    """

    path: str
    size: int
    received: float
    open: Callable[[], IO[bytes]] = field(repr=False, compare=False)
    number: int = 0
    name: str = ""

    def read(self, limit: int = LARGEST_FILE) -> bytes:
        """Return the content; raise `Refused` if it is too large or can't be read."""
        if self.size > limit:
            raise Refused(f"{self.path} has {self.size:,} bytes; at most {limit:,} are read")
        try:
            with self.open() as stream:
                content = stream.read(limit + 1)
        except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error) as error:
            raise Refused(f"{self.path} can't be read: {_reason(error)}") from None
        if len(content) > limit:
            raise Refused(f"{self.path} has more than the {limit:,} bytes that are read")
        return content


@dataclass(frozen=True)
class Found:
    """One hand-in of one student.

    Parameters
    ----------
    student
        The name of the folder or zip, or the platform's name with its number: "Jane Doe_12345".
    source
        Where it lies in the folder of submissions.
    files
        All files that can be read, by path.
    digest
        SHA-256 of all that was handed in.
    note
        What was strange: links, files that can't be read.
    received
        What orders the hand-ins of one student: the time of the newest file, for Canvas its highest number.
    alike
        Another student's name, if it differs in upper and lower case alone. It is for the teacher.
    """

    student: str
    source: str
    files: tuple[File, ...]
    digest: str
    note: str
    received: float
    alike: str = ""


@dataclass(frozen=True)
class Submissions:
    """All that was found: of which kind, the hand-ins, and what belongs to nobody."""

    kind: str
    found: tuple[Found, ...]
    strays: tuple[str, ...]


@dataclass
class _Pile:
    """What was found: files, troubles (path, reason), and the names at the top (name: is it a folder)."""

    files: list[File] = field(default_factory=list)
    troubles: list[tuple[str, str]] = field(default_factory=list)
    tops: dict[str, bool] = field(default_factory=dict)


def find(folder: Path) -> Submissions:
    """Find what was handed in, and by whom; nothing is changed, unpacked or followed.

    The hand-ins come by student, the newest first: by the time of the files; for a zip, that of the zip
    itself, because the times within it are the student's. A download of Moodle or Canvas holds one hand-in of
    each student.

    Parameters
    ----------
    folder
        A folder, or the zip that Moodle or Canvas gave.

    Raises
    ------
    ValueError
        If it can't be told who handed in what.
    """
    if folder.is_dir():
        pile = _folder(folder)
    elif folder.is_file():
        pile = _members(folder.resolve(), "")
    else:
        raise ValueError(f"there is no folder and no zip {folder}")
    kind = _kind(folder, pile)
    owners = {"Moodle": _moodle, "Canvas": _canvas, "folders and zips": _folder_or_zip}
    owner = {top: owners[kind](top, is_folder) for top, is_folder in pile.tops.items()}
    piles = {owned: _Pile() for owned in owner.values() if owned}
    strays = [top for top, owned in owner.items() if not owned]
    for file in pile.files:
        if owned := owner[_first(file.path)]:
            piles[owned].files.append(_as_uploaded(file, kind))
    for path, reason in pile.troubles:
        if owned := owner.get(_first(path)):
            piles[owned].troubles.append((path, reason))
        else:
            strays.append(f"{path} {reason}")
    found = [_found(student, source, pile) for (student, source), pile in piles.items()]
    found.sort(key=lambda one: (one.received, one.source), reverse=True)
    found.sort(key=lambda one: one.student)
    return Submissions(kind, tuple(_told_apart(found)), tuple(sorted(strays)))


def printable(text: str) -> str:
    r"""Return a name as one harmless line for a terminal.

    >>> printable("Eve\n\x1b[31m 🙂")
    'Eve\\n\\x1b[31m 🙂'
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def storable(text: str) -> str:
    """Return text without halves of characters: JSON can carry them, files and databases can't."""
    return text.encode("utf8", "replace").decode()


# Who it belongs to ------------------------------------------------------------------------------------------


def _kind(folder: Path, pile: _Pile) -> str:
    """Tell the layout by the names at the top."""
    tops = {name: is_folder for name, is_folder in pile.tops.items() if not _hidden(name)}
    if not tops:
        why = "; ".join(reason for _, reason in pile.troubles[:1]) or "is empty"
        raise ValueError(f"{folder} {why}; wanted: {LAYOUTS}")
    kinds: dict[str, list[str]] = {"Moodle": [], "Canvas": [], "folders and zips": [], "": []}
    for name, is_folder in tops.items():
        if _moodle(name, is_folder):
            kinds["Moodle"].append(name)
        elif _canvas(name, is_folder):
            kinds["Canvas"].append(name)
        else:
            kinds["folders and zips" if _folder_or_zip(name, is_folder) else ""].append(name)
    loose = kinds.pop("")
    there = {kind: names for kind, names in kinds.items() if names}
    if not there:
        raise ValueError(
            f"{folder} holds loose files, such as {loose[0]!r}, and their names don't say whose they are;"
            f" wanted: {LAYOUTS}"
        )
    if len(there) > 1:
        said = "; ".join(f"{kind}: {len(names)}, such as {names[0]!r}" for kind, names in there.items())
        raise ValueError(f"{folder} mixes layouts ({said}); wanted: {LAYOUTS}, each in a folder of its own")
    (kind, names), *_ = there.items()
    if kind == "folders and zips" and folder.is_file():
        raise ValueError(
            f"{folder} is no download of Moodle or Canvas: it holds {names[0]!r}. If it holds a folder or a"
            f" zip for each student, unpack it and give the folder; wanted: {LAYOUTS}"
        )
    if len(names) == 1 and kind == "folders and zips" and (download := _download(names[0], pile)):
        raise ValueError(f"{folder} holds nothing but a download of {download}: give {folder / names[0]}")
    return kind


def _download(only: str, pile: _Pile) -> str:
    """Tell whether the one thing in a folder is itself a download."""
    paths = [file.path for file in pile.files] + [path for path, _ in pile.troubles]
    below = [path.removeprefix(f"{only}/") for path in paths if path.startswith(f"{only}/")]
    if any(_moodle(_first(path), "/" in path) for path in below):
        return "Moodle"
    return "Canvas" if any(_canvas(_first(path), "/" in path) for path in below) else ""


def _moodle(name: str, is_folder: bool) -> tuple[str, str] | None:
    match = MOODLE.fullmatch(name)
    return (_student(match["student"]), f"{match['student']}_assignsubmission_*") if match else None


def _canvas(name: str, is_folder: bool) -> tuple[str, str] | None:
    match = CANVAS.fullmatch(name)
    if not match or is_folder:
        return None
    student = f"{match['name']}_{match['user'] or match['anonymous']}"
    return _student(student), f"{student}_*"


def _folder_or_zip(name: str, is_folder: bool) -> tuple[str, str] | None:
    if _hidden(name) or not (is_folder or _is_zip(name)):
        return None
    return _student(name if is_folder else name[:-4]), name


def _student(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _as_uploaded(file: File, kind: str) -> File:
    """Give a file of a download the name that its author gave it, and Canvas's number."""
    top = _first(file.path)
    match = (
        {"Moodle": MOODLE, "Canvas": CANVAS}[kind].fullmatch(top) if kind in ("Moodle", "Canvas") else None
    )
    if not match:
        return file
    name = file.name if "/" in file.path else match["file"] or file.name
    return replace(file, name=name, number=int(match["number"] or 0) if kind == "Canvas" else 0)


def _told_apart(found: list[Found]) -> Iterator[Found]:
    """Note whose names differ in nothing but upper and lower case."""
    alike: dict[str, set[str]] = {}
    for one in found:
        alike.setdefault(one.student.casefold(), set()).add(one.student)
    for one in found:
        if others := sorted(alike[one.student.casefold()] - {one.student}):
            yield replace(one, alike=others[0])
        else:
            yield one


def _found(student: str, source: str, pile: _Pile) -> Found:
    files = sorted(pile.files, key=lambda file: file.path)
    troubles = [f"{path} {reason}" for path, reason in sorted(pile.troubles)]
    note = "; ".join(troubles[:5]) + (f"; and {len(troubles) - 5} more" if len(troubles) > 5 else "")
    received = max((file.number or file.received for file in files), default=0.0)
    return Found(student, source, tuple(files), _digest(files, troubles), note, received)


def _digest(files: list[File], troubles: list[str]) -> str:
    """Return the SHA-256 of names and contents; what is too large counts by its size and time."""
    digest = hashlib.sha256(repr(troubles).encode())
    left = 10 * LARGEST_FILE
    for file in files:
        digest.update(repr((file.path, file.size)).encode())
        try:
            content = file.read(min(LARGEST_FILE, left))
        except Refused:
            content = repr(file.received).encode()
        left -= len(content)
        digest.update(content)
    return digest.hexdigest()


# Folders and zips -------------------------------------------------------------------------------------------


def _folder(folder: Path) -> _Pile:
    """Return all that lies in a folder."""
    pile = _Pile()
    for name in sorted(os.listdir(folder)):
        label, below = _text(name), _Pile()
        pile.tops[label] = _look(folder / name, label, below, 0)
        pile.files += below.files
        pile.troubles += below.troubles
    return pile


def _look(path: Path, label: str, pile: _Pile, depth: int) -> bool:
    """Add what a path is, or holds, to a pile; return whether it stands for a folder."""
    try:
        about = path.lstat()
        if stat.S_ISLNK(about.st_mode):
            pile.troubles.append((label, "is a link, and links are not followed"))
            return path.is_dir()
        if stat.S_ISDIR(about.st_mode):
            if depth >= DEEPEST:
                pile.troubles.append((label, f"lies deeper than {DEEPEST} folders, and is not looked into"))
                return True
            for name in sorted(os.listdir(path)):
                if len(pile.files) + len(pile.troubles) >= MOST_FILES:
                    pile.troubles.append((label, f"holds more than {MOST_FILES} files; the rest is left"))
                    break
                _look(path / name, f"{label}/{_text(name)}", pile, depth + 1)
            return True
        if not stat.S_ISREG(about.st_mode):
            pile.troubles.append((label, "is no ordinary file"))
        elif _is_zip(label):
            inside = _members(path, label)
            pile.files += inside.files
            pile.troubles += inside.troubles
        else:
            opener = functools.partial(_open, path)
            pile.files.append(File(label, about.st_size, about.st_mtime, opener, name=_last(label)))
    except OSError as error:
        pile.troubles.append((label, f"can't be read: {_reason(error)}"))
        return path.is_dir()
    return False


def _open(path: Path) -> IO[bytes]:
    """Open an ordinary file: no link is followed, and no pipe waited for."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    stream = os.fdopen(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb")
    if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
        stream.close()
        raise OSError("no ordinary file")
    return stream


@functools.lru_cache(maxsize=4)
def _archive(path: Path, changed: int) -> zipfile.ZipFile:
    """Return an opened zip: reading its list of contents anew for every file would take long."""
    return zipfile.ZipFile(_open(path))


def _members(path: Path, label: str) -> _Pile:
    """Return what a zip holds; a zip within it stays closed.

    Its files are called by the label; a platform's download, which may be of any size, has none.
    """
    pile = _Pile()
    try:
        about = path.lstat()
        if label and about.st_size > LARGEST_ZIP:
            raise Refused(f"has {about.st_size:,} bytes; a zip of at most {LARGEST_ZIP:,} is opened")
        if label and _entries(path) > MOST_FILES:
            raise Refused(f"holds more than {MOST_FILES:,} files, and is not opened")
        members = _archive(path, about.st_mtime_ns).infolist()
        unpacked = sum(member.file_size for member in members)
        if label and unpacked > LARGEST_UNPACKED:
            raise Refused(f"would unpack to {unpacked:,} bytes, and is not opened")
    except (Refused, OSError, ValueError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        reason = str(error) if isinstance(error, Refused) else f"can't be opened as a zip: {_reason(error)}"
        return _Pile(troubles=[(label, reason)])
    # Of two files of one name the last counts, as it does in unpacking.
    for name, member in {_text(member.filename).replace("\\", "/"): member for member in members}.items():
        inside = f"{label}/{name}" if label else name
        if leads_out := name.startswith("/") or ".." in name.split("/") or re.match("[A-Za-z]:|$", name):
            inside = label or ".."
        pile.tops[_first(inside)] = pile.tops.get(_first(inside), False) or "/" in inside
        if leads_out:
            pile.troubles.append((inside, f"holds a name that leads out of the folder: {name[:100]!r}"))
        elif trouble := _member_trouble(name, member):
            pile.troubles.append((inside, trouble))
        elif not member.is_dir():
            opener = functools.partial(_open_member, path, about.st_mtime_ns, member.filename)
            received = about.st_mtime if label else _time(member)
            pile.files.append(File(inside, member.file_size, received, opener, name=_last(name)))
    return pile


def _member_trouble(name: str, member: zipfile.ZipInfo) -> str:
    """Say why a file in a zip is not taken: "" if it is."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link, and links are not followed"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return "is packed in an unusual way; wanted: an ordinary zip"
    if member.file_size > 1_000_000 and member.file_size > DENSEST * member.compress_size:
        return f"would unpack to {member.file_size:,} bytes, {DENSEST} times its size or more"
    if _is_zip(name):
        return "is a zip within a zip, which is not opened: unpack the outer one"
    return ""


def _entries(path: Path) -> int:
    """Count the entries of a zip, at least, without building a list of them."""
    with _open(path) as stream:
        return stream.read(LARGEST_ZIP).count(b"PK\x01\x02")


def _open_member(path: Path, changed: int, name: str) -> IO[bytes]:
    return _archive(path, changed).open(name)


def _time(member: zipfile.ZipInfo) -> float:
    try:
        return float(timegm(datetime(*member.date_time).timetuple()))
    except ValueError:
        return 0.0


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini")


def _first(path: str) -> str:
    return path.split("/", 1)[0]


def _last(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _text(name: str) -> str:
    """Return a file's name as text that can be stored, whatever its bytes are."""
    return name.encode("utf8", "surrogateescape").decode("utf8", "backslashreplace")


def _reason(error: BaseException) -> str:
    """Return the words of an error without the path, which a report has in its own way."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__

"""The teacher's secret, from which hidden cases and released images are drawn."""

from __future__ import annotations

import hashlib
import secrets
from pathlib import Path

from platformdirs import user_data_path

from course_lib.files import write


def course_secret(file: Path | None = None, *, make: bool = False) -> bytes:
    """Return the secret in a file.

    Parameters
    ----------
    file
        By default `secret.txt` in the user's data folder of the course.
    make
        Make a secret at the default place, if there is none, and say where it lies. A release may do this:
        whatever is done later needs the secret of the release, and no other.

    Raises
    ------
    ValueError
        If there is no such file, or if it holds less than 32 characters.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "secret.txt"
    ...     _ = file.write_text("0123456789abcdef0123456789abcdef")
    ...     course_secret(file)
    b'0123456789abcdef0123456789abcdef'
    """
    make = make and file is None
    file = file or user_data_path("course_lib") / "secret.txt"
    try:
        text = file.read_bytes().strip()
    except FileNotFoundError:
        if not make:
            raise ValueError(
                f"there is no secret at {file}: take the one that `course release` used, with --secret FILE."
                " Where nothing was released yet, `course release` without --secret makes one."
            ) from None
        text = _made(file)
    if len(text) < 32:
        raise ValueError(f"{file} holds {len(text)} characters; a secret has 32 or more")
    return text


def secret_digest(secret: bytes) -> str:
    """Return what tells secrets apart, and does not tell them.

    Examples
    --------
    >>> secret_digest(b"0123456789abcdef0123456789abcdef")
    '7980530da4d7'
    """
    return hashlib.sha256(b"the secret of a course: " + secret).hexdigest()[:12]


def _made(file: Path) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = secrets.token_hex(32).encode()
    try:
        write(file, text + b"\n", over=False, private=True)
    except FileExistsError:  # another process was first
        return file.read_bytes().strip()
    print(
        f"A new secret was written to {file}. Hidden cases and released images are drawn from it: keep it,"
        " keep it to yourself, and take it along when you grade on another machine."
    )
    return text

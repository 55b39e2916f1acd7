"""The teacher's secret, from which hidden cases and released images are drawn."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from platformdirs import user_data_path


def course_secret(file: Path | None = None) -> bytes:
    """Return the secret in a file; where there is no such file, make a secret and say where it lies.

    Parameters
    ----------
    file
        By default `secret.txt` in the user's data folder of the course.

    Raises
    ------
    ValueError
        If the file holds less than 32 characters.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "secret.txt"
    ...     _ = file.write_text("0123456789abcdef0123456789abcdef")
    ...     course_secret(file)
    b'0123456789abcdef0123456789abcdef'
    """
    file = file or user_data_path("course_lib") / "secret.txt"
    try:
        text = file.read_bytes().strip()
    except FileNotFoundError:
        text = _made(file)
    if len(text) < 32:
        raise ValueError(
            f"{file} holds {len(text)} characters; a secret has 32 or more."
            " Delete the file, and the next command makes a new secret."
        )
    return text


def _made(file: Path) -> bytes:
    file.parent.mkdir(parents=True, exist_ok=True)
    text = secrets.token_hex(32).encode()
    beside = file.with_name(f"{file.name}.{os.getpid()}.part")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as opened:
        opened.write(text + b"\n")
    try:
        os.link(beside, file)  # as a whole or not at all, and never over another one
    except FileExistsError:
        return file.read_bytes().strip()
    finally:
        beside.unlink()
    print(
        f"A new secret was written to {file}. Hidden cases and released images are drawn from it: keep it,"
        " keep it to yourself, and take it along when you grade on another machine."
    )
    return text

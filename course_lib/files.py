"""Files that are written as a whole or not at all."""

import os
import secrets
from pathlib import Path


def write(path: Path, content: bytes, *, over: bool = True, private: bool = False) -> None:
    """Write a file beside its place, and give it its name when all of it is on the disk.

    Parameters
    ----------
    path
        Its folder must be there.
    content
        All that the file is to hold.
    over
        Take the place of a file that is there.
    private
        Nobody but the owner may read it.

    Raises
    ------
    FileExistsError
        If a file is there that must not be written over; it stays as it is.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(Path(folder) / "numbers.txt", b"1 2 3")
    ...     os.listdir(folder)
    ['numbers.txt']
    """
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    mode = 0o600 if private else 0o666
    try:
        with open(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if over:
            os.replace(beside, path)
        else:
            os.link(beside, path)  # which fails where a file is
    finally:
        beside.unlink(missing_ok=True)

"""Files that appear under their name when they are complete, or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any


def atomic_write(path: str | os.PathLike[str], content: bytes | str | Callable[[Path], Any]) -> Path:
    """Write bytes, text (UTF-8, unchanged) or what a function saves under the name it is given, in one move.

    The content goes to a file of the same name in a hidden folder beside `path` and is moved when it is complete and
    on the disk. Whoever is killed meanwhile leaves the old file, and at most the folder `.<name>.<random>`.

    Returns:
        The path.

    Raises:
        ValueError: the folder does not exist, or `path` is one.
        OSError: the disk refuses; the sentence says why, and the file that was there before still is.

    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = atomic_write(os.path.join(folder, "a.txt"), "whole")
    ...     os.listdir(folder)
    ['a.txt']
    """
    file = Path(path)
    if not file.parent.is_dir():
        raise ValueError(f"{path}: the folder {file.parent} does not exist; create it first.")
    if file.is_dir():
        raise ValueError(f"{path}: is a folder; give the name of a file.")
    try:
        with tempfile.TemporaryDirectory(dir=file.parent, prefix=f".{file.name}.") as folder:
            written = Path(folder, file.name)
            if callable(content):
                content(written)
            else:
                written.write_bytes(content.encode() if isinstance(content, str) else content)
            _flush(written)
            os.replace(written, file)
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({why(error)}).") from error
    return file


def why(error: OSError) -> str:
    """What the system said: `error` without the path, or the error that it was raised from.

    >>> why(OSError(28, "No space left on device", "a.txt"))
    'No space left on device'
    """
    origin = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return origin.strerror or str(origin)


def _flush(path: Path) -> None:
    """Wait until the bytes are on the disk; a full one may say so only now."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

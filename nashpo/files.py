"""Files that appear under their name when they are complete, or not at all."""

import contextlib
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:
    fcntl = None


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


@contextlib.contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    """Keep other processes out of `folder`, which is made if it is not there; the system unlocks for whoever is killed.

    Where the system has no such locks (Windows), nobody is kept out.

    Raises:
        ValueError: `folder` is a file, or somebody else holds the lock.
        OSError: the folder cannot be made or written to.

    >>> with tempfile.TemporaryDirectory() as folder, locked(folder):
    ...     os.listdir(folder)
    ['.lock']
    """
    path = Path(folder)
    try:
        path.mkdir(parents=True, exist_ok=True)
        file = open(path / ".lock", "a")  # noqa: SIM115 - closed below, whatever happens
    except (FileExistsError, NotADirectoryError):
        raise ValueError(f"{folder}: is a file, or lies in one; give the name of a folder.") from None
    except OSError as error:
        raise OSError(f"{folder}: the folder cannot be written to ({why(error)}).") from error
    with file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                message = f"{folder}: another run is writing to this folder; wait for its end or give another folder."
                raise ValueError(message) from None
        yield


@contextlib.contextmanager
def uninterrupted(*, patient: bool = False, notice: str | None = None) -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block; a second one breaks into it unless it is `patient`.

    `notice` is said on stderr at the first one.
    """
    usual = signal.getsignal(signal.SIGINT)
    if usual is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting = []

    def wait(number, frame):
        if waiting and not patient:
            raise KeyboardInterrupt
        if notice is not None and not waiting:
            print(notice, file=sys.stderr, flush=True)
        waiting.append(number)

    signal.signal(signal.SIGINT, wait)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if waiting:
        signal.raise_signal(signal.SIGINT)


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

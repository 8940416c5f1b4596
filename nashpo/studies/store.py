"""The folder of a study: a file for every finished cell, and locks that end with the process that holds them."""

import contextlib
import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path

import xarray

from nashpo.files import atomic_write, why
from nashpo.netcdf import checksum, netcdf_bytes, read_netcdf

try:
    import fcntl
except ImportError:
    fcntl = None


class StudyWarning(UserWarning):
    """A file in a study's folder cannot be used and is computed again."""


class Store:
    """The cells of a folder by their keys.

    Several processes may use one folder: whoever holds a cell's lock computes it. A lock is a byte of one file, and the
    system takes it back from a process that is killed. Where there are no such locks (Windows) a cell may be computed
    twice; a file is written whole or not at all in any case.
    """

    def __init__(self, folder: Path) -> None:
        """Make the folder where it is not there; raises `ValueError` where that cannot be."""
        self.folder, self.cells = folder, folder / "cells"
        try:
            self.cells.mkdir(parents=True, exist_ok=True)
            self._locks = os.open(self.cells / ".locks", os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise ValueError(f"{folder}: the folder cannot be written to ({why(error)}).") from None

    def close(self) -> None:
        """Give back every lock."""
        os.close(self._locks)

    def path(self, key: str) -> Path:
        """The file of a cell."""
        return self.cells / f"{key}.nc"

    @contextlib.contextmanager
    def claim(self, name: str) -> Iterator[bool]:
        """Hold the lock of a name, or get False where another process does."""
        place = int(hashlib.sha256(name.encode()).hexdigest()[:12], 16)
        mine = True
        if fcntl is not None:
            try:
                fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            except (BlockingIOError, PermissionError):
                mine = False
        try:
            yield mine
        finally:
            if fcntl is not None and mine:
                fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, place)

    def read(self, key: str) -> xarray.Dataset | None:
        """A finished cell; None where there is none, with a warning where its file is damaged."""
        path = self.path(key)
        if not path.exists():
            return None
        try:
            data = read_netcdf(path)
            written = data.attrs.pop("sha256", None)
        except Exception as error:
            # HDF5 answers a damaged file with whatever it stumbles over.
            reason = type(error).__name__
        else:
            if written == checksum(data) and data.attrs.get("key") == key:
                return data
            reason = "its content is not what was written"
        warnings.warn(f"{path}: is damaged ({reason}); this cell is computed again.", StudyWarning, stacklevel=2)
        return None

    def write(self, key: str, data: xarray.Dataset) -> None:
        """Save a finished cell, whole or not at all; the caller holds its lock. Raises `OSError`."""
        path = self.path(key)
        self._sweep_up(path)
        atomic_write(path, netcdf_bytes(data.assign_attrs(sha256=checksum(data))))

    def publish(self, name: str, content: str | xarray.Dataset) -> Path:
        """Write a text or a dataset beside the cells. Raises `OSError`."""
        path = self.folder / name
        with self.claim(name) as mine:
            if mine:
                self._sweep_up(path)
            atomic_write(path, content if isinstance(content, str) else netcdf_bytes(content))
        return path

    def _sweep_up(self, path: Path) -> None:
        """Remove what a process that was killed left of `path`."""
        if fcntl is not None:
            for left in path.parent.glob(f".{path.name}.*"):
                shutil.rmtree(left, ignore_errors=True)

"""The folder of a study: a file for every finished cell, and locks that end with the process that holds them."""

import contextlib
import hashlib
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray

from nashpo.files import atomic_write, why

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
            with xarray.open_dataset(path, engine="h5netcdf") as data:
                data.load()
            whole = data.attrs.pop("sha256") == _checksum(data) and data.attrs["key"] == key
        except Exception as error:
            # HDF5 answers a damaged file with whatever it stumbled over.
            whole, reason = False, f" ({type(error).__name__})"
        else:
            reason = ""
        if whole:
            return data
        warnings.warn(f"{path}: is damaged{reason}; this cell is computed again.", StudyWarning, stacklevel=2)
        return None

    def write(self, key: str, data: xarray.Dataset) -> None:
        """Save a finished cell, whole or not at all; the caller holds its lock. Raises `OSError`."""
        path = self.path(key)
        self._sweep_up(path)
        write_netcdf(path, data.assign_attrs(sha256=_checksum(data)))

    def publish(self, name: str, content: Any) -> Path:
        """Write a file beside the cells: bytes, text, or a dataset. Raises `OSError`."""
        path = self.folder / name
        with self.claim(name) as mine:
            if mine:
                self._sweep_up(path)
            if isinstance(content, xarray.Dataset):
                write_netcdf(path, content)
            elif not path.is_file() or path.read_text(encoding="utf-8") != content:
                atomic_write(path, content)
        return path

    def _sweep_up(self, path: Path) -> None:
        """Remove what a process that was killed left of `path`."""
        if fcntl is not None:
            for left in path.parent.glob(f".{path.name}.*"):
                shutil.rmtree(left, ignore_errors=True)


def write_netcdf(path: Path, data: xarray.Dataset) -> None:
    """Write a netCDF file, whole or not at all; raises `OSError` whatever HDF5 makes of a full disk."""
    try:
        atomic_write(path, lambda name: data.to_netcdf(name, engine="h5netcdf"))
    except RuntimeError as error:
        raise OSError(f"{path}: cannot be written ({error}).") from error


def _checksum(data: xarray.Dataset) -> str:
    """Of every array, with its name, type and shape."""
    total = hashlib.sha256()
    for name in sorted(map(str, data.variables)):
        values = np.ascontiguousarray(data[name].values)
        total.update(f"{name} {values.dtype.str} {data[name].dims} {values.shape}\0".encode() + values.tobytes())
    return total.hexdigest()

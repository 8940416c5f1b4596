"""One checkpoint on the disk.

It is a folder named after its step, `00000400`: an Orbax checkpoint of the arrays and `run.json`, which says whose they
are and lists the checksums of all files. It is written under another name and moved when it is complete, so that what
has a name was whole once, and the checksums say whether it still is when it is read.
"""

import contextlib
import errno
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nashpo.files import atomic_write

_WRITING, _OLD = ".writing.", ".old."
_ARRAYS, _NOTES = "arrays", "run.json"
_OVERHEAD = 2**18
"""Bytes that a checkpoint may take besides its arrays."""


def write(folder: Path, name: str, notes: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write a checkpoint; it has its name when it is complete."""
    import orbax.checkpoint as ocp

    with tempfile.TemporaryDirectory(dir=folder, prefix=_WRITING, ignore_cleanup_errors=True) as room:
        written = Path(room, name).absolute()
        _reserve(Path(room), sum(values.nbytes for values in arrays.values()))
        with _quiet(), _checkpointer() as writer:
            writer.save(written / _ARRAYS, args=ocp.args.StandardSave(arrays))
        content = {"notes": notes, "files": _checksums(written)}
        atomic_write(written / _NOTES, json.dumps({**content, "checksum": _checksum(content)}, indent=1))
        if (folder / name).exists():
            remove(folder / name)
        os.replace(written, folder / name)


def _checkpointer() -> Any:
    """An Orbax checkpointer of this process alone: of several, one may write while the others wait elsewhere."""
    import jax
    import orbax.checkpoint as ocp

    if jax.process_count() == 1:
        return ocp.Checkpointer(ocp.StandardCheckpointHandler())
    own = jax.process_index()
    options = ocp.options.MultiprocessingOptions(own, {own}, f"process{own}")
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=options)
    return ocp.Checkpointer(handler, multiprocessing_options=options)


def _reserve(room: Path, size: int) -> None:
    """Fail now where the disk is too full: half-way, Orbax would fail with pages of messages from its threads."""
    with (room / "reserved").open("wb") as file:
        try:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size + size // 8 + _OVERHEAD)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # this disk does not know how
                raise
    (room / "reserved").unlink()


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the log of Orbax, whose exceptions say enough."""
    log = logging.getLogger("absl")
    usual = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        log.setLevel(usual)


def read_notes(path: Path) -> dict[str, Any]:
    """What is known of a checkpoint, once it is certain that every file is as it was written."""
    if not (path / _NOTES).is_file():
        raise ValueError(f"{_NOTES} is missing")
    try:
        content = json.loads((path / _NOTES).read_text(encoding="utf-8"))
        whole = content.pop("checksum") == _checksum(content) and content["notes"]["steps"] == int(path.name)
    except (ValueError, KeyError, TypeError, AttributeError):
        whole = False
    if not whole:
        raise ValueError(f"{_NOTES} has changed")
    found = _checksums(path)
    changed = sorted(name for name in {**content["files"], **found} if found.get(name) != content["files"].get(name))
    if changed:
        raise ValueError(f"{changed[0]} has changed" if changed[0] in found else f"{changed[0]} is missing")
    return content["notes"]


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint, to the bit."""
    import orbax.checkpoint as ocp

    with _checkpointer() as reader:
        return dict(reader.restore((path / _ARRAYS).absolute(), args=ocp.args.StandardRestore()))


def _checksum(content: Any) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _checksums(folder: Path) -> dict[str, str]:
    """A checksum of every file of a checkpoint but the list of them."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != _NOTES:
            with path.open("rb") as file:
                found[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


def remove(path: Path) -> None:
    """Remove a checkpoint; killed meanwhile, it leaves no half of one under the name."""
    away = path.with_name(f"{_OLD}{path.name}")
    shutil.rmtree(away, ignore_errors=True)
    os.replace(path, away)
    shutil.rmtree(away)


def clean(folder: Path) -> None:
    """Remove what a killed run has left half-written or half-removed."""
    for path in folder.iterdir():
        if path.name.startswith((_WRITING, _OLD)):
            shutil.rmtree(path, ignore_errors=True)

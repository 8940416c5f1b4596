"""The checkpoints of one run in a folder: the newest that is whole, and the oldest that may go."""

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nashpo.checkpoint.store import clean, read_notes, remove, write
from nashpo.files import uninterrupted, why
from nashpo.fingerprint import differences


class CheckpointWarning(UserWarning):
    """A checkpoint cannot be read, or other versions of the libraries wrote it."""


class Shelf:
    """The checkpoints in `folder`, of which the last `keep` are kept.

    Whoever uses it holds the lock of the folder (`nashpo.files.locked`).
    """

    def __init__(self, folder: str | os.PathLike[str], keep: int) -> None:
        self.folder, self.keep = Path(folder), keep
        self.saved: int | None = None
        """The step of the newest checkpoint of this run, None where there is none."""

    def whole(self) -> Iterator[tuple[Path, dict[str, Any]]]:
        """The checkpoints and their notes, the newest first; a damaged one is skipped with a `CheckpointWarning`.

        What a killed run has left half-written or half-removed is removed first.
        """
        clean(self.folder)
        for path in reversed(self._listed()):
            try:
                yield path, read_notes(path)
            except (OSError, ValueError) as error:
                reason = why(error) if isinstance(error, OSError) else str(error)
                where = "the run goes on from the one before it, or from the start"
                message = f"{path}: this checkpoint is damaged ({reason}) and is skipped; {where}."
                warnings.warn(message, CheckpointWarning, stacklevel=5)

    def save(self, steps: int, notes: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        """Write a checkpoint, then remove the oldest. Ctrl-C waits for the end of it, a full disk changes nothing.

        Raises `OSError` if the checkpoint cannot be written; those before it are as they were.
        """
        try:
            with uninterrupted(patient=True):
                write(self.folder, f"{steps:08d}", notes, {n: values for n, values in arrays.items() if values.size})
                self.saved = steps
                self._rotate()
        except Exception as error:  # Orbax's own or the system's: whichever, nothing was saved
            raise OSError(self._unwritten(steps, error)) from error

    def _listed(self) -> list[Path]:
        return sorted((p for p in self.folder.iterdir() if p.name.isdigit()), key=lambda path: int(path.name))

    def _rotate(self) -> None:
        """Remove all but the last checkpoints up to the one just written, and those beyond it, which did not serve."""
        listed = self._listed()
        here = next(i for i, path in enumerate(listed) if int(path.name) == self.saved) + 1
        for path in (*listed[: max(0, here - self.keep)], *listed[here:]):
            remove(path)

    def _unwritten(self, steps: int, error: Exception) -> str:
        number = re.search(r"os_error_code='(\d+)'", str(error))
        if number is not None:
            reason = os.strerror(int(number[1]))
        else:
            reason = why(error) if isinstance(error, OSError) else str(error).strip().split("\n")[0][:200]
        kept = "there is no earlier one" if self.saved is None else f"step {self.saved} is saved, the same call goes on"
        return f"{self.folder}: the checkpoint of step {steps} cannot be written ({reason}); {kept}."


def check_same_run(path: Path, there: Mapping[str, str], here: Mapping[str, str]) -> None:
    """Raise `ValueError` for the checkpoint of another run; both are fingerprints, by name."""
    differing = differences(there, here)
    if differing:
        raise ValueError(
            f"{path}: belongs to another run, which differs in {differing}; give another folder or the settings of "
            "that run."
        )

"""Running a study: cell by cell, each saved when it is finished, none computed twice."""

import dataclasses
import os
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import xarray

from nashpo.solver import SolveError
from nashpo.studies.cells import Cell
from nashpo.studies.joined import join
from nashpo.studies.store import Store
from nashpo.studies.study import Study, default_folder, read_study
from nashpo.sweeps import Sweep

State = Literal["computing", "computed", "kept", "failed", "waiting"]
"""What happens to a cell: it is computed, was there already, failed, or another process is at it."""
Report = Callable[[Cell, State], Any]
PAUSE = 0.2
"""Seconds between two looks at cells that other processes compute."""


@dataclasses.dataclass(frozen=True)
class Failure:
    """A cell that could not be computed, and why, in one sentence."""

    solver: str
    game: str
    why: str

    def __str__(self) -> str:
        """The sentence, with the cell in front."""
        return f"{self.solver} on {self.game}: {self.why}"


@dataclasses.dataclass(frozen=True)
class Finished:
    """What a run of a study left."""

    folder: Path
    sweep: Sweep | None
    """All cells that did not fail; None where there are none or the run stopped at a failure."""
    failed: tuple[Failure, ...]
    computed: int
    """How many cells this run computed."""
    kept: int
    """How many were there already, from an earlier run or from another process."""

    def check(self) -> "Finished":
        """The same; raises `SolveError` where a cell failed. A run that went non-finite is no failure but a status."""
        if self.failed:
            count = len(self.failed)
            raise SolveError(f"{count} cell{'s' * (count > 1)} failed. The first: {self.failed[0]}")
        return self


def run_study(
    study: str | os.PathLike[str] | Mapping[str, Any] | Study,
    output: str | os.PathLike[str] | None = None,
    *,
    fail_fast: bool = False,
    report: Report | None = None,
) -> Finished:
    """Run what a study lacks and join everything: `FOLDER/results.nc`, and the resolved study in `FOLDER/study.json`.

    `study` is a TOML file or a mapping of the same layout, `output` the folder (default: the file's name without its
    suffix). A cell is one solver on one game with all its settings, betas and seeds; it is saved under a checksum of
    everything that its numbers depend on, the code included. Running again goes on where the last run was stopped, by
    whatever; after a change of the study the cells that still belong to it are kept. Two processes share the work.

    A cell that fails is listed in the answer and hides nothing; `fail_fast` stops there. `report` is called with a cell
    and what happens to it.

    Raises:
        ValueError: the study is wrong, or the folder cannot be made.
        OSError: the disk refuses; finished cells stay.

    >>> import tempfile
    >>> study = {
    ...     "study": {"steps": 20, "betas": [0.1, 1.0]},
    ...     "games": {"cycle": {"game": "nashpo_games:n_cycle", "n": [3, 5]}},
    ...     "solvers": {"egpo": {"solver": "egpo", "eta": [0.2, 0.5]}},
    ... }
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     first, again = run_study(study, folder), run_study(study, folder)
    >>> first.computed, again.computed, again.kept
    (2, 0, 2)
    >>> again.sweep
    Sweep(1 solver, 2 games, 8 runs: 8 finished)
    """
    resolved = read_study(study)
    if output is None:
        if not isinstance(study, str | os.PathLike):
            raise ValueError("run_study: say where the results go, output=FOLDER.")
        output = default_folder(study)
    store = Store(Path(output))
    try:
        run = _Run(resolved, store, fail_fast, report or (lambda cell, state: None))
        store.publish("study.json", resolved.document())
        run.all_cells()
        return run.finished()
    finally:
        store.close()


class _Run:
    """One pass through a study."""

    def __init__(self, study: Study, store: Store, fail_fast: bool, report: Report) -> None:
        self.study, self.store, self.fail_fast, self.report = study, store, fail_fast, report
        self.failed: list[Failure] = []
        self.cells: dict[tuple[str, str], xarray.Dataset] = {}
        self.computed, self.kept = 0, 0
        self.warned: dict[tuple[type[Warning], str], list[str]] = {}

    def all_cells(self) -> None:
        """Finish every cell, those that other processes are at last."""
        pending = list(self.study.cells)
        try:
            while pending and not (self.failed and self.fail_fast):
                busy = [cell for cell in pending if not self.attempt(cell)]
                if len(busy) == len(pending):
                    self.report(busy[0], "waiting")
                    time.sleep(PAUSE)
                pending = busy
        finally:
            self.tell_warnings()

    def attempt(self, cell: Cell) -> bool:
        """Finish a cell; False where another process is at it."""
        if self.failed and self.fail_fast:
            return True
        with self.store.claim(cell.key) as mine:
            if not mine:
                return False
            there = self.store.read(cell.key)
            if there is not None:
                self.cells[cell.solver_name, cell.game_name] = there
                self.kept += 1
                self.report(cell, "kept")
                return True
            self.report(cell, "computing")
            data = self.compute(cell)
            if data is None:
                self.report(cell, "failed")
                return True
            self.store.write(cell.key, data)
            self.cells[cell.solver_name, cell.game_name] = data
            self.computed += 1
            self.report(cell, "computed")
            return True

    def compute(self, cell: Cell) -> Any:
        """The cell's numbers; None where it fails."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            try:
                return cell.compute()
            except Exception as error:
                self.failed.append(Failure(cell.solver_name, cell.game_name, _sentence(error)))
                return None
            finally:
                for warning in caught:
                    self.warned.setdefault((warning.category, cell.solver_name), []).append(str(warning.message))

    def tell_warnings(self) -> None:
        """One warning of a kind for every solver."""
        for (category, _), messages in self.warned.items():
            more = f" ({len(messages) - 1} more cells like this)" if len(messages) > 1 else ""
            warnings.warn(messages[0] + more, category, stacklevel=4)

    def finished(self) -> Finished:
        """Join what there is."""
        found = None
        if self.cells and not (self.failed and self.fail_fast):
            found = join(self.cells, list(self.study.solvers), self.study.games, self.study.settings)
            self.store.publish("results.nc", found.data)
        return Finished(self.store.folder, found, tuple(self.failed), self.computed, self.kept)


def _sentence(error: Exception) -> str:
    """What went wrong, in one line; what is no message for users has its type in front."""
    text = " ".join(str(error).split())
    if len(text) > 400:
        text = text[:400] + "..."
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}".rstrip(": ")

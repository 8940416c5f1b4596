"""A study: games, solvers and settings, resolved into cells before anything runs."""

import dataclasses
import functools
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from nashpo.game import Game
from nashpo.metrics import payoff_bound
from nashpo.results import describe
from nashpo.run import as_solver
from nashpo.studies.cells import Cell
from nashpo.studies.document import read_document
from nashpo.studies.games import read_games
from nashpo.studies.settings import Settings, read_settings
from nashpo.studies.solvers import read_solvers
from nashpo.studies.version import code_version, surroundings

TABLES = ("study", "games", "solvers")


@dataclasses.dataclass(frozen=True)
class Study:
    """What is to be run: every solver on every game.

    >>> study = read_study({
    ...     "study": {"steps": 100, "betas": [0.1, 1.0]},
    ...     "games": {"cycle": {"game": "nashpo_games:n_cycle", "n": [3, 5, 7]}},
    ...     "solvers": {"egpo": {"solver": "egpo", "eta": {"geomspace": [0.1, 1.0, 4]}}},
    ... })
    >>> study
    Study(3 games, 1 solver, 24 runs in 3 cells)
    """

    source: str
    """The name of the file; `study` for a mapping."""
    settings: Settings
    games: Mapping[str, Game]
    solvers: Mapping[str, Any]

    @functools.cached_property
    def cells(self) -> tuple[Cell, ...]:
        """One for every solver and game, solver by solver."""
        return tuple(
            Cell(solver_name, game_name, solver, game, self.settings)
            for solver_name, solver in self.solvers.items()
            for game_name, game in self.games.items()
        )

    @property
    def runs(self) -> int:
        """How many runs all cells have."""
        return sum(cell.runs for cell in self.cells)

    def document(self) -> str:
        """The resolved study as JSON: settings, games, solvers, the key of every cell, and versions."""
        content = {
            "study": dataclasses.asdict(self.settings),
            "games": {name: _described(game) for name, game in self.games.items()},
            "solvers": {name: describe(solver) for name, solver in self.solvers.items()},
            "cells": [{"solver": c.solver_name, "game": c.game_name, "runs": c.runs, "key": c.key} for c in self.cells],
            "versions": {**code_version(), **surroundings()},
        }
        return json.dumps(content, indent=1, ensure_ascii=False) + "\n"

    def __repr__(self) -> str:
        """One line for people."""
        counts = [_counted(len(self.games), "game"), _counted(len(self.solvers), "solver")]
        return f"Study({', '.join(counts)}, {_counted(self.runs, 'run')} in {_counted(len(self.cells), 'cell')})"


def read_study(study: str | os.PathLike[str] | Mapping[str, Any] | Study) -> Study:
    """Read and resolve a study: a TOML file, or a mapping of the same layout.

    Every game is built and every table read, so that what is wrong is found before anything runs.

    Raises `ValueError`: one sentence with the file, the line, the key and the nearest valid name.

    >>> read_study({"study": {"stpes": 10}})
    Traceback (most recent call last):
    ValueError: study: study.stpes is not known; did you mean 'steps'?
    """
    if isinstance(study, Study):
        return study
    document = read_document(study)
    for key in document.entries:
        if key not in TABLES:
            document.unknown((key,), TABLES)
    settings = read_settings(document)
    solvers = read_solvers(document)
    games = read_games(document, settings.betas)
    for name, solver in solvers.items():
        refused = [_refusal(solver, game, settings) for game in games.values()]
        if all(refused):
            # One that only some games do not suit fails there; this one would fail everywhere.
            document.wrong(("solvers", name), f": {refused[0]}")
    return Study(document.source, settings, games, solvers)


def default_folder(study: str | os.PathLike[str]) -> Path:
    """Where the results of a study file go: the file's name without its suffix, beside it.

    >>> default_folder("studies/step_sizes.toml").as_posix()
    'studies/step_sizes'
    """
    path = Path(study)
    return path.with_suffix("") if path.suffix else path.with_suffix(".results")


def _refusal(solver: Any, game: Game, settings: Settings) -> str | None:
    """Why the solver, with the first of its settings, refuses the game; None where it does not."""
    first = as_solver(jax.tree.map(lambda leaf: np.ravel(leaf)[0].item() if np.ndim(leaf) else leaf, solver), None)
    beta = game.beta if settings.betas is None else settings.betas[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if hasattr(first, "check"):
                first.check(dataclasses.replace(game, beta=beta), payoff_bound(game))
    except ValueError as error:
        return str(error)
    except Exception:
        # A mistake in a rule of the user's own: its cells fail and say so.
        return None
    return None


def _described(game: Game) -> dict[str, Any]:
    contexts, responses = game.shape
    return {"responses": responses, "prompts": contexts, "beta": float(game.beta), "scale": game.scale}


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'s' * (count != 1)}"

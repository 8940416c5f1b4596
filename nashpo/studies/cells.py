"""The cells of a study: one game with one solver, all its settings, betas and seeds, and the key that they have."""

import dataclasses
import functools
import hashlib
import json
from typing import Any

import jax
import numpy as np
import xarray

from nashpo.fingerprint import fingerprint
from nashpo.game import Game
from nashpo.oracles.table import Table
from nashpo.stacking import pad
from nashpo.studies.settings import Settings
from nashpo.studies.version import code_version, foreign_sources
from nashpo.sweeps import sweep

LADDER = (32, 64, 96, 128, 192, 256, 384, 512, 768, 1024)
"""Sizes to which tables are padded; above the last one its multiples. Smaller tables would hardly be quicker."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One game with one solver."""

    solver_name: str
    game_name: str
    solver: Any
    game: Game
    settings: Settings

    @property
    def label(self) -> str:
        """`egpo on pokemon`."""
        return f"{self.solver_name} on {self.game_name}"

    @functools.cached_property
    def configuration(self) -> dict[str, Any]:
        """Everything that the cell's numbers depend on; names are no part of it."""
        game = self.game.nameless()
        if self.settings.betas is not None:
            game = dataclasses.replace(game, beta=0.0)
        described = fingerprint(game, "game") | fingerprint(self.solver, "solver")
        return {
            **dataclasses.asdict(self.settings),
            **described,
            "responses": ladder(self.game.shape[1]),
            "code": code_version(),
            "foreign": foreign_sources(described),
        }

    @functools.cached_property
    def key(self) -> str:
        """A checksum of the configuration.

        >>> from nashpo.solvers import EGPO
        >>> game = Game.from_table([[0.5, 0.9], [0.1, 0.5]])
        >>> len(Cell("egpo", "tea or coffee", EGPO(0.1), game, Settings(steps=10, every=1)).key)
        32
        """
        text = json.dumps(self.configuration, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:32]

    @functools.cached_property
    def runs(self) -> int:
        """How many runs the cell has."""
        axes = {id(leaf): len(leaf) for leaf in jax.tree.leaves(self.solver) if np.ndim(leaf)}
        count = int(np.prod(list(axes.values()))) if axes else 1
        return count * len(self.settings.seeds) * len(self.settings.betas or (0,))

    def compute(self) -> xarray.Dataset:
        """Run the cell; dimensions beta, eta, other swept numbers, seed, step, prompt and item, without names.

        Raises what `nashpo.sweep` raises.
        """
        settings = self.settings
        with jax.enable_x64(settings.precision == "float64"):
            found = sweep(
                {"game": _padded(self.game, np.dtype(settings.precision))},
                {"solver": self.solver},
                steps=settings.steps,
                every=settings.every,
                betas=settings.betas,
                starts="random" if settings.starts == "random" else None,
                seeds=settings.seeds,
                tol=settings.tol,
                metrics=settings.functions(),
            ).data
        contexts, responses = self.game.shape
        found = found.isel(solver=0, game=0, drop=True).isel(prompt=slice(contexts), item=slice(responses))
        found = found.assign_coords(prompt=np.arange(contexts), item=np.arange(responses))
        described = json.loads(found.attrs["solvers"])["solver"]
        found = found.drop_vars(["responses", "prompts", "own_beta"])
        found.attrs = {"key": self.key, "solver": described, "scale": self.game.scale}
        return found


def ladder(size: int) -> int:
    """The size to which a table is padded, the same for similar ones, so that they share a compiled program.

    >>> [ladder(size) for size in (3, 32, 50, 1025)]
    [32, 32, 64, 2048]
    """
    return next((step for step in LADDER if step >= size), -(-size // LADDER[-1]) * LADDER[-1])


def _padded(game: Game, dtype: np.dtype) -> Game:
    """The game in one precision, its table padded to a size of the ladder, prompts to a power of two."""
    game = jax.tree.map(lambda leaf: _cast(leaf, dtype), game.nameless())
    if not isinstance(game.oracle, Table):
        return game
    contexts, responses = game.shape
    return pad(game, ladder(responses), 2 ** (contexts - 1).bit_length())


def _cast(leaf: Any, dtype: np.dtype) -> Any:
    values = np.asarray(leaf)
    return values.astype(dtype) if values.ndim and np.issubdtype(values.dtype, np.floating) else leaf

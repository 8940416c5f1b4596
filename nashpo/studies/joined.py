"""The cells of a study as one sweep."""

from collections.abc import Mapping

import numpy as np
import xarray

from nashpo.game import Game
from nashpo.studies.settings import Settings
from nashpo.sweeps import Sweep
from nashpo.sweeps.labels import ABSENT, OF_GAMES, joined, of_games

FILL = dict.fromkeys(("status", "steps", "failed"), ABSENT)


def join(
    cells: Mapping[tuple[str, str], xarray.Dataset],
    solvers: list[str],
    games: Mapping[str, Game],
    settings: Settings,
) -> Sweep:
    """The sweep that `nashpo.sweep` of everything at once would have made; a cell that is missing was not run.

    `cells` are what `Cell.compute` left, by the names of solver and game; there is at least one.
    """
    about = of_games(games)
    own = about["own_beta"][1]
    parts = {}
    for solver in solvers:
        found = {game: cells[solver, game] for game in games if (solver, game) in cells}
        if found:
            parts[solver] = _one_solver(found, own if settings.betas is None else None)
    data = joined(parts, steps=settings.steps, every=settings.every, tol=settings.tol)
    data = data.drop_vars(OF_GAMES, errors="ignore")
    data = data.reindex(solver=solvers, game=list(games), fill_value={**FILL})
    contexts, responses = (max(shape) for shape in zip(*(game.shape for game in games.values()), strict=True))
    data = data.reindex(prompt=np.arange(contexts), item=np.arange(responses), fill_value={**FILL})
    data = data.assign(about)
    scales = {game.scale for game in games.values()}
    names = {game.items for game in games.values()}
    items = names.pop() if len(names) == 1 else None
    data = data.assign_coords(item=list(items) if items else np.arange(responses))
    data = data.assign_coords(game=list(games))
    return Sweep(data.assign_attrs(scale=scales.pop() if len(scales) == 1 else "mixed"))


def _one_solver(found: Mapping[str, xarray.Dataset], own: np.ndarray | None) -> xarray.Dataset:
    """The games of one solver along the dimension `game`."""
    together = []
    for game, data in found.items():
        if own is not None:
            # As in a sweep: games that differ in beta have no place on its axis.
            data = data.assign_coords(beta=[own[0] if np.all(own == own[0]) else np.nan])
        together.append(data.expand_dims({"game": [game]}))
    first = together[0]
    part = xarray.concat(together, "game", join="outer", combine_attrs="drop")
    part = part.assign({name: ("game", np.zeros(len(found))) for name in ("responses", "prompts", "own_beta")})
    return part.assign_attrs(solver=first.attrs["solver"], scale=first.attrs["scale"])

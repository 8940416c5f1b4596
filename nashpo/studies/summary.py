"""The best setting of every solver on every game."""

import dataclasses
from collections.abc import Mapping

import numpy as np
import xarray

from nashpo.solver import Status
from nashpo.sweeps import Sweep


@dataclasses.dataclass(frozen=True)
class Best:
    """One solver on one game, at one beta where several were swept."""

    solver: str
    game: str
    beta: float
    settings: Mapping[str, float]
    """The values of eta and of every other swept number with the smallest gap; empty where no run ended well."""
    gap: float
    """The median over seeds of the final duality gap there, in payoff units."""
    counts: Mapping[Status, int]
    """How many of all runs ended how."""


def best_settings(sweep: Sweep) -> list[Best]:
    """For every solver, game and beta the settings whose median final gap over the seeds is smallest.

    A run that went non-finite counts as infinitely bad. Combinations that were not run are left out.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1)
    >>> row, = best_settings(nashpo.sweep(game, nashpo.solvers.EGPO(eta=[0.01, 1.0]), steps=20))
    >>> row.settings, {status.name: count for status, count in row.counts.items()}
    ({'eta': 1.0}, {'FINISHED': 2})
    """
    gaps, status = sweep.data["final_gap"], sweep.data["status"]
    gaps = gaps.where((status != Status.NONFINITE) | gaps.isnull(), np.inf)
    gaps = xarray.where(status < 0, np.nan, gaps)
    rows = []
    for solver in gaps["solver"].values:
        for game in gaps["game"].values:
            for index, beta in enumerate(gaps["beta"].values):
                place = {"solver": solver, "game": game}
                lanes = gaps.sel(place).isel(beta=index)
                ended = status.sel(place).isel(beta=index).values
                if np.any(ended >= 0):
                    rows.append(
                        _best(str(solver), str(game), beta, lanes, ended, sweep.data["own_beta"].sel(game=game))
                    )
    return rows


def _best(
    solver: str, game: str, beta: float, lanes: xarray.DataArray, ended: np.ndarray, own: xarray.DataArray
) -> Best:
    # A lane that was not run is NaN for every seed; fill it so that the median has no empty slices.
    median = np.median(np.where(np.isnan(lanes.values), np.inf, lanes.values), axis=lanes.dims.index("seed"))
    dims = [dim for dim in lanes.dims if dim != "seed"]
    where = np.unravel_index(int(np.argmin(median)), median.shape)
    found = bool(np.isfinite(median[where]))
    settings = {str(dim): float(lanes[dim].values[i]) for dim, i in zip(dims, where, strict=True)}
    return Best(
        solver=solver,
        game=game,
        beta=float(own) if np.isnan(beta) else float(beta),
        settings={name: value for name, value in settings.items() if not np.isnan(value)} if found else {},
        gap=float(median[where]) if found else float("nan"),
        counts={one: count for one in Status if (count := int(np.sum(ended == one)))},
    )

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
    """The best values of eta and of every other swept number; empty where no run ended well."""
    gap: float
    """The median over seeds of the final duality gap there, in payoff units."""
    steps: float
    """The median over seeds of the steps after which the gap was small enough; infinite where it was not."""
    counts: Mapping[Status, int]
    """How many of all runs ended how."""


def best_settings(sweep: Sweep, enough: float = 1e-12) -> list[Best]:
    """For every solver, game and beta the settings that get furthest: the smallest median final gap over the seeds.

    Gaps up to `enough` are alike: among settings that reach it, the best takes the fewest steps. A run that went
    non-finite counts as infinitely bad. Combinations that were not run are left out.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1)
    >>> found = nashpo.sweep(game, nashpo.solvers.EGPO(eta=[0.01, 1.0, 1.5]), steps=60)
    >>> row, = best_settings(found, enough=1e-3)
    >>> row.settings, row.steps < 60, {status.name: count for status, count in row.counts.items()}
    ({'eta': 1.5}, True, {'FINISHED': 3})
    """
    status = sweep.data["status"]
    good = (status >= 0) & (status != Status.NONFINITE)
    gaps = sweep.data["final_gap"].where(good, np.inf)
    steps = _steps_to(sweep.data, enough).where(good & (gaps <= enough), np.inf)
    rows = []
    for solver in gaps["solver"].values:
        for game in gaps["game"].values:
            for index, beta in enumerate(gaps["beta"].values):
                place = {"solver": solver, "game": game}
                gap, taken, ended = (values.sel(place).isel(beta=index) for values in (gaps, steps, status))
                if np.any(ended.values >= 0):
                    own = float(sweep.data["own_beta"].sel(game=game)) if np.isnan(beta) else float(beta)
                    rows.append(_best(str(solver), str(game), own, gap, taken, ended, enough))
    return rows


def _steps_to(data: xarray.Dataset, enough: float) -> xarray.DataArray:
    """The first measured step at which the gap was at most `enough`; all steps that were taken where there is none."""
    reached = data["duality_gap"].transpose(..., "step") <= enough
    first = data["step"].values[reached.values.argmax(-1)]
    return xarray.where(reached.any("step"), data["steps"].copy(data=first), data["steps"])


def _best(
    solver: str,
    game: str,
    beta: float,
    gaps: xarray.DataArray,
    steps: xarray.DataArray,
    status: xarray.DataArray,
    enough: float,
) -> Best:
    seed = gaps.dims.index("seed")
    gap, taken = np.median(gaps.values, axis=seed), np.median(steps.values, axis=seed)
    best = np.lexsort((gap.ravel(), taken.ravel(), np.maximum(gap, enough).ravel()))[0]
    where = np.unravel_index(best, gap.shape)
    found = bool(np.isfinite(gap[where]))
    dims = [dim for dim in gaps.dims if dim != "seed"]
    settings = {str(dim): float(gaps[dim].values[i]) for dim, i in zip(dims, where, strict=True)}
    return Best(
        solver=solver,
        game=game,
        beta=beta,
        settings={name: value for name, value in settings.items() if not np.isnan(value)} if found else {},
        gap=float(gap[where]) if found else float("nan"),
        steps=float(taken[where]),
        counts={one: count for one in Status if (count := int(np.sum(status.values == one)))},
    )

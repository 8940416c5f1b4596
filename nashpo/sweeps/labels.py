"""The lanes of a sweep as labelled arrays."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nashpo.game import Game
from nashpo.results import describe, inner_axes
from nashpo.solver import Status
from nashpo.sweeps.settings import decimals

if TYPE_CHECKING:
    import xarray

ABSENT = -1
"""The status, the steps and the failed step of a combination that was not run."""
OF_GAMES = ("responses", "prompts", "own_beta", "items")
"""What is said of the games, whatever was run on them; `items` where they do not agree in the names of responses."""
OWN = frozenset(
    {"final_gap", "status", "steps", "failed", "policy", *OF_GAMES}
    | {"solver", "game", "beta", "eta", "seed", "prompt", "item"}
)
"""Names that a sweep gives to arrays and axes of its own, whatever is swept."""


class Runs(NamedTuple):
    """The lanes of the games at `places`, on the host."""

    places: list[int]
    lanes: Any


def labelled(
    solver: Any,
    games: Mapping[str, Game],
    axes: Mapping[str, np.ndarray],
    runs: Sequence[Runs],
    *,
    steps: int,
    every: int,
    tol: float | None,
    reserved: Collection[str] = (),
) -> xarray.Dataset:
    """One solver's runs: dimensions game, beta, eta, other swept numbers, seed, and step, or prompt and item.

    A metric with a name of `OWN` or `reserved`, the axes of all solvers, is labelled `trace_<name>`, and so is one that
    begins with `trace_`.
    """
    import xarray

    shape = tuple(len(values) for values in axes.values())
    step = np.minimum(np.arange(1, -(-steps // every) + 1) * every, steps)
    dims = ("game", *axes)
    shapes = [game.shape for game in games.values()]
    size = max(contexts for contexts, _ in shapes), max(responses for _, responses in shapes)
    policy = np.full((len(games), *shape, *size), np.nan)
    taken, failed = (np.full((len(games), *shape), ABSENT) for _ in range(2))
    final = np.full((len(games), *shape), np.nan)
    traces: dict[str, np.ndarray] = {}
    inner: dict[str, tuple[str, ...]] = {}
    for places, lanes in runs:
        done = lanes.done.reshape(-1, *shape)
        taken[places] = np.minimum(done * every, steps)
        failed[places] = lanes.failed.reshape(-1, *shape)
        final[places] = np.take_along_axis(lanes.trace["duality_gap"], lanes.done[..., None], -1).reshape(-1, *shape)
        for row, place in enumerate(places):
            contexts, responses = shapes[place]
            probs = np.exp(lanes.log_probs[row].reshape(*shape, *lanes.log_probs.shape[2:]))
            policy[(place, ..., slice(contexts), slice(responses))] = probs[..., :contexts, :responses]
        for name, values in lanes.trace.items():
            values = values.reshape(len(places), *shape, *values.shape[2:])
            _collect(traces, name, places, values[(slice(None),) * len(dims) + (slice(1, None),)], len(games))
            inner[name] = inner_axes(name, values[(0,) * len(dims)], lanes.log_probs.shape[2:])
    measured = np.arange(1, len(step) + 1) <= -(-taken[..., None] // every)
    data: dict[str, Any] = {
        "final_gap": (dims, final),
        "status": (dims, _status(final, failed, tol)),
        "steps": (dims, taken),
        "failed": (dims, failed),
        "policy": ((*dims, "prompt", "item"), policy),
    }
    for name, values in traces.items():
        _without_padding(values, ("game", *axes, "step", *inner[name]), games)
        seen = measured.reshape(measured.shape + (1,) * (values.ndim - measured.ndim))
        other = name in OWN or name in reserved or name.startswith("trace_")
        label = f"trace_{name}" if other else name
        data[label] = ((*dims, "step", *inner[name]), np.where(seen, values, np.nan))
    found = xarray.Dataset(data, {"game": list(games), **axes, "step": step, **_items(games, size)})
    return _with_settings(found, solver, games)


def joined(parts: Mapping[str, xarray.Dataset], *, steps: int, every: int, tol: float | None) -> xarray.Dataset:
    """Several solvers' runs along the dimension `solver`; what one of them was not asked for is absent."""
    import xarray

    swept = [dim for part in parts.values() for dim in part["final_gap"].dims if dim not in ("game", "seed")]
    order = ["solver", "game", *sorted(set(swept), key=lambda dim: (dim != "beta", dim != "eta", dim)), "seed"]
    full = []
    for name, part in parts.items():
        missing = [dim for dim in order if dim not in part.dims]
        part = part.expand_dims({dim: [name] if dim == "solver" else [np.nan] for dim in missing})
        lane = [v for v in part.data_vars if "game" in part[v].dims and v not in OF_GAMES]
        full.append(part.drop_vars([v for v in part.data_vars if v not in lane]))
    absent = dict.fromkeys(("status", "steps", "failed"), ABSENT)
    together = xarray.concat(full, "solver", join="outer", fill_value=absent, combine_attrs="drop")
    first = next(iter(parts.values()))
    together = together.assign({name: first[name] for name in OF_GAMES if name in first})
    together = together.assign_coords(solver=list(parts))
    together.attrs = {
        "kind": "sweep",
        "steps": steps,
        "every": every,
        "tol": float("nan") if tol is None else tol,
        "scale": first.attrs["scale"],
        "solvers": json.dumps({name: part.attrs["solver"] for name, part in parts.items()}),
    }
    return together.transpose(*order, "step", ...)


def _collect(traces: dict[str, np.ndarray], name: str, places: list[int], values: np.ndarray, games: int) -> None:
    """Write `values` of the games at `places` into the array of all, which grows where it is too small."""
    old = traces.get(name)
    inner = values.shape[1:] if old is None else tuple(map(max, old.shape[1:], values.shape[1:]))
    if old is None or old.shape[1:] != inner:
        traces[name] = np.full((games, *inner), np.nan)
        if old is not None:
            traces[name][tuple(slice(length) for length in old.shape)] = old
    traces[name][(places, *(slice(length) for length in values.shape[1:]))] = values


def _without_padding(values: np.ndarray, dims: Sequence[str], games: Mapping[str, Game]) -> None:
    """What is measured of prompts and responses that a game does not have is not there."""
    for place, game in enumerate(games.values()):
        for dim, length in zip(("prompt", "item"), game.shape, strict=True):
            if dim in dims:
                np.moveaxis(values[place], dims.index(dim) - 1, 0)[length:] = np.nan


def _status(final: np.ndarray, failed: np.ndarray, tol: float | None) -> np.ndarray:
    """How each lane ended, in the numbers of `Status`."""
    ended = Status.FINISHED if tol is None else np.where(final <= tol, Status.CONVERGED, Status.NOT_CONVERGED)
    return np.where((failed >= 0) | ~np.isfinite(final), Status.NONFINITE, ended).astype(int)


def _items(games: Mapping[str, Game], size: tuple[int, int]) -> dict[str, Any]:
    """The names of responses where all games agree, else their positions."""
    names = {game.items for game in games.values()}
    shared = names.pop() if len(names) == 1 else None
    return {"prompt": np.arange(size[0]), "item": list(shared) if shared else np.arange(size[1])}


def of_games(games: Mapping[str, Game]) -> dict[str, tuple[Any, np.ndarray]]:
    """The arrays `OF_GAMES`: sizes, the KL weight (NaN where it is swept) and names that are not those of all games."""
    several = list(games.values())
    prompts, responses = np.array([game.shape for game in several]).T
    betas = [float(decimals(game.beta)) if np.ndim(game.beta) == 0 else np.nan for game in several]
    found: dict[str, tuple[Any, np.ndarray]] = {
        "responses": ("game", responses),
        "prompts": ("game", prompts),
        "own_beta": ("game", np.array(betas)),
    }
    if len({game.items for game in several}) > 1:
        names = [[str(name) for name in game.items or range(game.shape[1])] for game in several]
        padded = [row + [""] * (max(responses) - len(row)) for row in names]
        found["items"] = (("game", "item"), np.array(padded))
    return found


def _with_settings(found: xarray.Dataset, solver: Any, games: Mapping[str, Game]) -> xarray.Dataset:
    """With the axes beta and eta, of length one where they were not swept, and what the games are."""
    about = of_games(games)
    own = about["own_beta"][1]
    if "beta" not in found.dims:
        found = found.expand_dims({"beta": [own[0] if np.all(own == own[0]) else np.nan]})
    if "eta" not in found.dims:
        eta = getattr(getattr(solver, "rule", solver), "eta", np.nan)
        found = found.expand_dims({"eta": [np.nan if callable(eta) else float(decimals(eta))]})
    found = found.assign(about)
    scales = {game.scale for game in games.values()}
    return found.assign_attrs(solver=describe(solver), scale=scales.pop() if len(scales) == 1 else "mixed")

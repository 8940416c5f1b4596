"""Runs as labelled series, whether they come as a sweep, as its labelled arrays or as a list of results."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.plots.style import cut, labelled, listed, literal
from nashpo.results import Result
from nashpo.solver import Status
from nashpo.sweeps import Sweep

if TYPE_CHECKING:
    import xarray

_DIMS = ("solver", "game", "beta", "eta", "seed")
NOT_RUN = -1
"""The status of a combination that a sweep has not run."""


@dataclass(frozen=True)
class Series:
    """Runs that differ in nothing but what is averaged over, their seed for example."""

    label: str
    where: dict[str, Any]
    """The values that set this series apart from the others: `{"solver": "EGPO", "eta": 0.5}`."""
    step: np.ndarray
    """`[T]`."""
    values: np.ndarray
    """`[R, T]`; a run that stopped keeps its last value, one that failed is infinite from then on."""
    failed: int
    """How many runs ended with a number that is not finite."""


def quantile(values: np.ndarray, q: float) -> np.ndarray:
    """The smallest value that at least the share `q` of the runs do not exceed, along the first axis.

    Always one of the values, so that infinite ones do no harm.

    >>> quantile(np.array([[3.0], [1.0], [np.inf], [2.0]]), 0.5).tolist()
    [2.0]
    """
    ordered = np.sort(values, axis=0)
    index = int(np.clip(np.ceil(q * len(values) - 1e-9) - 1, 0, len(values) - 1))
    return np.where(np.isnan(values).any(axis=0), np.nan, ordered[index])


def is_sweep(thing: Any) -> bool:
    """Whether this is a sweep or its labelled arrays."""
    return isinstance(thing, Sweep) or hasattr(thing, "data_vars")


def dataset(sweep: Any, picture: str) -> "xarray.Dataset":
    """The labelled arrays of a sweep.

    Raises `ValueError` where there is no final gap or status in them.
    """
    data = sweep.to_xarray() if hasattr(sweep, "to_xarray") else sweep
    missing = [name for name in ("final_gap", "status") if name not in getattr(data, "data_vars", ())]
    if missing:
        raise ValueError(f"{picture}: give a sweep or its dataset; {type(sweep).__name__} has no {missing[0]!r}.")
    return data


def lanes(data: "xarray.Dataset", name: str, last: Sequence[str] = ()) -> "xarray.DataArray":
    """An array of a sweep with every dimension of a run, also those that were selected away, and `last` at the end."""
    array = data[name]
    for dim in _DIMS:
        if dim not in array.dims:
            array = array.expand_dims(dim)
    swept = [dim for dim in array.dims if dim not in (*_DIMS, *last)]
    return array.transpose(*_DIMS[:4], *swept, *_DIMS[4:], *last)


def final_gaps(data: "xarray.Dataset") -> "xarray.DataArray":
    """The final gap of every run: infinite where it failed, NaN where it was not run."""
    gaps, status = lanes(data, "final_gap"), lanes(data, "status")
    gaps = gaps.where(status != int(Status.NONFINITE), np.inf).fillna(np.inf)
    return gaps.where(status != NOT_RUN)


def swept_series(data: "xarray.Dataset", metric: str, over: Sequence[str]) -> tuple[list[Series], str]:
    """The series of a sweep, one for each setting that was run, and in words what they have in common.

    Raises `ValueError` for a metric or a dimension that the sweep has not.
    """
    axes = {*data["status"].dims, "step"}
    if metric not in data or set(data[metric].dims) != axes:
        known = ", ".join(str(name) for name in data.data_vars if set(data[name].dims) == axes)
        raise ValueError(f"the sweep has no number {metric!r} at every step, only {known}: run it with metrics=[...].")
    values, status = lanes(data, metric, ("step",)), lanes(data, "status")
    strange = [dim for dim in over if dim not in status.dims]
    if strange:
        raise ValueError(
            f"over={tuple(over)}: the sweep has no axis {strange[0]!r}, only {', '.join(map(str, status.dims))}."
        )
    kept = [str(dim) for dim in status.dims if dim not in over]
    order = (*kept, *over)
    numbers = values.transpose(*order, "step").values.astype(float)
    states, final = status.transpose(*order).values, final_gaps(data).transpose(*order).values
    found = []
    for index in np.ndindex(states.shape[: len(kept)]):
        ran = states[index] != NOT_RUN
        if not ran.any():
            continue
        where = {dim: _coordinate(values, dim, i) for dim, i in zip(kept, index, strict=True)}
        runs, ends = numbers[index][ran], final[index][ran]
        failed = states[index][ran] == int(Status.NONFINITE)
        last = ends if metric == "duality_gap" else np.full(len(runs), np.nan)
        found.append((where, _held(runs, failed, last), int(failed.sum())))
    if not found:
        raise ValueError("the sweep has not one run that was made.")
    varying = [dim for dim in kept if len({_key(where[dim]) for where, _, _ in found}) > 1]
    step = np.asarray(values["step"].values)
    chosen = [{dim: where[dim] for dim in varying} for where, _, _ in found]
    series = [
        Series(name(apart) or name(where), apart, step, runs, failed)
        for apart, (where, runs, failed) in zip(chosen, found, strict=True)
    ]
    common = name({dim: value for dim, value in found[0][0].items() if dim not in varying}) if varying else ""
    return series, common


def result_series(results: Any, labels: Sequence[str] | str | None, trace: Callable) -> list[Series]:
    """One series for each label of a list of results; `trace(run)` are a run's measurements `[T]`."""
    runs = listed(results)
    groups: dict[str, list[Result]] = {}
    for run, label in zip(runs, labelled(runs, labels), strict=True):
        groups.setdefault(label, []).append(run)
    return [_joined(label, group, trace) for label, group in groups.items()]


def name(where: dict[str, Any]) -> str:
    """The values in words; a number that does not apply is left out.

    >>> name({"solver": "EGPO", "eta": 0.5, "beta": float("nan")})
    'EGPO, eta = 0.5'
    """
    words = [f"{dim} = {v:.4g}" if isinstance(v, float) else cut(v, 28) for dim, v in where.items() if v == v]
    return literal(", ".join(words))


def _coordinate(array: "xarray.DataArray", dim: str, index: int) -> Any:
    if dim not in array.coords:
        return f"{dim} {index}"
    value = array[dim].values[index]
    if dim in ("solver", "game"):
        return str(value)
    return float(value) if np.issubdtype(np.asarray(value).dtype, np.number) else str(value)


def _key(value: Any) -> Any:
    return "nan" if value != value else value


def _held(runs: np.ndarray, failed: np.ndarray, final: np.ndarray) -> np.ndarray:
    """Every run to the end of the axis: a stopped one keeps its last value, a failed one is infinite."""
    known = ~np.isnan(runs)
    latest = np.maximum.accumulate(np.where(known, np.arange(runs.shape[1]), -1), axis=1)
    held = np.where(latest >= 0, np.take_along_axis(runs, np.maximum(latest, 0), axis=1), np.nan)
    over = ~np.logical_or.accumulate(known[:, ::-1], axis=1)[:, ::-1]
    held = np.where(known.any(axis=1, keepdims=True), held, final[:, None])
    return np.where(over & failed[:, None], np.inf, held)


def _joined(label: str, group: Sequence[Result], trace: Callable) -> Series:
    steps, values = [np.asarray(run.trace["step"]) for run in group], [trace(run) for run in group]
    failed = np.array([run.status is Status.NONFINITE for run in group])
    if len(group) == 1:
        return Series(label, {}, steps[0], values[0][None], int(failed.sum()))
    step = np.unique(np.concatenate(steps))
    rows = np.full((len(group), len(step)), np.nan)
    for row, at, known in zip(rows, steps, values, strict=True):
        row[np.searchsorted(step, at)] = known
    return Series(label, {}, step, _held(rows, failed, np.full(len(group), np.nan)), int(failed.sum()))


def values_of(series: Sequence[Series], dim: str) -> list[Any]:
    """The different values of one axis among the series, in order."""
    return list(dict.fromkeys(s.where[dim] for s in series if dim in s.where and s.where[dim] == s.where[dim]))


def rest_of(series: Series, dim: str) -> tuple[tuple[str, Any], ...]:
    """What sets a series apart besides one axis."""
    return tuple(itertools.filterfalse(lambda pair: pair[0] == dim, ((d, _key(v)) for d, v in series.where.items())))

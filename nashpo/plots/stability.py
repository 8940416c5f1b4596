"""Which step sizes work: the final gap over step size and KL weight."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.metrics import payoff_bound
from nashpo.plots.lanes import dataset, final_gaps, quantile
from nashpo.plots.style import UNITS, axes, dash, ink, name_values, paper

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nashpo.game import Game

_SMALLEST = 1e-16
"""Gaps below this have the same colour."""


def stability(
    sweep: Any,
    limits: Any = None,
    *,
    game: "Game | None" = None,
    solver: str | None = None,
    span: tuple[float, float] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """The final gap of a sweep over `eta` (upwards) and `beta`, with the largest stable step drawn in.

    A cell is the median over seeds, games and all other axes: the smallest gap that half of the runs do not exceed. It
    is crossed out where more than half of the runs failed and empty where none was made. `limits` is an update rule
    (its `proven_step`, for the payoffs of `game`; win probabilities if None), a function from beta to eta, one eta for
    each beta of the sweep, or a mapping from labels to these. Where
    nothing is proven nothing is drawn. `solver` picks one of several, `span` are the gaps at
    the ends of the colours. Returns the Axes.

    Raises `ValueError` for a solver that was not swept or has no step size, and limits that do not fit the betas.

    >>> import matplotlib, xarray
    >>> matplotlib.use("agg")
    >>> axes = {"solver": ["INPO"], "game": ["rps"], "beta": [0.1, 0.2], "eta": [0.3, 0.9], "seed": [0]}
    >>> gaps = (tuple(axes), [[[[[1e-9], [1e-2]], [[1e-12], [1e-9]]]]])
    >>> sweep = xarray.Dataset({"final_gap": gaps, "status": (tuple(axes), np.zeros((1, 1, 2, 2, 1), int))}, axes)
    >>> ax = stability(sweep, {"local limit": lambda beta: 2 * beta / (beta**2 + 1 / 12)})
    >>> ax.get_xlabel(), ax.get_ylabel(), ax.lines[0].get_label()
    ('beta', 'eta', 'local limit')
    """
    data = dataset(sweep, "stability")
    etas, betas, gaps, title = _table(data, solver)
    scale = data.attrs.get("scale")
    named = limits if isinstance(limits, Mapping) else {} if limits is None else {_label(limits): limits}
    curves = {label: _curve(label, limit, betas, game, scale) for label, limit in named.items()}
    ax = axes(ax, (6.0, 4.4))
    beta_edges, eta_edges = _edges(_places(betas)), _edges(etas)
    image = _cells(ax, beta_edges, eta_edges, gaps, gap_span(gaps) if span is None else span)
    ax.set_xscale("log")
    ax.set_yscale("log")
    drawn = {label: curve for label, curve in curves.items() if np.isfinite(curve[1]).any()}
    for index, (label, (at, values)) in enumerate(drawn.items()):
        _outlined(ax, at, values, label, dash(index))
    ax.set_xlim(beta_edges[0], beta_edges[-1])
    ax.set_ylim(eta_edges[0], eta_edges[-1])
    name_values(ax.xaxis, betas, _places(betas))
    name_values(ax.yaxis, etas, etas)
    ax.set_xlabel("beta")
    ax.set_ylabel("eta")
    ax.set_title(title, fontsize="medium", parse_math=False)
    bar = ax.figure.colorbar(image, ax=ax, extend="min" if np.any(gaps < image.norm.vmin) else "neither")
    bar.set_label(f"median final gap [{UNITS.get(scale or '', 'payoff')}]")
    if drawn or np.isinf(gaps).any():
        above: Any = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.06), "borderpad": 0.0}
        ax.legend(frameon=False, ncols=2, fontsize="small", **above)
    return ax


def _table(data: Any, solver: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Step sizes, weights and medians `[eta, beta]`, both axes ascending, and what was picked."""
    gaps = final_gaps(data)
    for dim in ("beta", "eta"):
        if dim not in gaps.coords:
            raise ValueError(f"stability: the sweep says no {dim}; it needs the axes beta and eta.")
    names = [str(name) for name in gaps["solver"].values] if "solver" in gaps.coords else [""]
    if solver is None and len(names) > 1:
        raise ValueError(f"stability: pick one solver of the sweep, solver=..., from {', '.join(names)}.")
    if solver is not None and solver not in names:
        raise ValueError(f"solver={solver!r} was not swept; choose from {', '.join(names)}.")
    chosen = names[0] if solver is None else solver
    gaps = gaps.isel(solver=names.index(chosen))
    etas, betas = np.asarray(gaps["eta"].values, float), np.asarray(gaps["beta"].values, float)
    rows, columns = np.argsort(etas), np.argsort(betas)
    rows, columns = rows[np.isfinite(etas[rows])], columns[np.isfinite(betas[columns])]
    runs = gaps.transpose("eta", "beta", ...).values.reshape(len(etas), len(betas), -1)[np.ix_(rows, columns)]
    ran = ~np.isnan(runs)
    if not ran.any():
        raise ValueError(f"stability: {chosen or 'the solver'} was not run over eta and beta in this sweep.")
    medians = np.full(runs.shape[:2], np.nan)
    for cell in zip(*np.nonzero(ran.any(axis=2)), strict=True):
        medians[cell] = quantile(runs[cell][ran[cell]], 0.5)
    kept = ran.any(axis=(1, 2))
    return etas[rows][kept], betas[columns], medians[kept], chosen


def _places(betas: np.ndarray) -> np.ndarray:
    """Where the weights lie on a logarithmic axis: 0 one cell below the smallest of the others."""
    if betas[0] > 0:
        return betas
    ratio = betas[2] / betas[1] if len(betas) > 2 else 4.0
    return np.concatenate([[betas[1] / ratio if len(betas) > 1 else 1.0], betas[1:]])


def _edges(values: np.ndarray) -> np.ndarray:
    """The borders of cells around positive numbers, half-way on a logarithmic axis."""
    logs = np.log(values)
    gaps = np.diff(logs) if len(logs) > 1 else np.array([np.log(2.0)])
    return np.exp(np.concatenate([[logs[0] - gaps[0] / 2], logs[:-1] + np.diff(logs) / 2, [logs[-1] + gaps[-1] / 2]]))


def gap_span(gaps: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest finite gap above zero, at least a power of ten apart.

    >>> gap_span(np.array([1e-20, 1e-3, 0.1, np.inf, np.nan]))
    (1e-16, 0.1)
    """
    positive = gaps[np.isfinite(gaps) & (gaps > 0)]
    low = max(float(positive.min(initial=1.0)), _SMALLEST)
    return low, max(float(positive.max(initial=low)), 10 * low)


def _cells(ax: "Axes", columns: np.ndarray, rows: np.ndarray, gaps: np.ndarray, span: tuple[float, float]) -> Any:
    from matplotlib.colors import LogNorm
    from matplotlib.patches import Rectangle

    shown = np.ma.masked_invalid(np.where(gaps == 0, span[0] / 2, gaps))
    image = ax.pcolormesh(columns, rows, shown, norm=LogNorm(*span), cmap="viridis", rasterized=True)
    for index, (row, column) in enumerate(zip(*np.nonzero(np.isinf(gaps)), strict=True)):
        corner = (float(columns[column]), float(rows[row]))
        width, height = float(columns[column + 1]) - corner[0], float(rows[row + 1]) - corner[1]
        label = None if index else "most runs failed"
        ax.add_patch(Rectangle(corner, width, height, facecolor=paper(), edgecolor="#888888", hatch="xx", label=label))
    return image


def _label(limit: Any) -> str:
    return f"proven for {type(limit).__name__}" if hasattr(limit, "proven_step") else "limit"


def _curve(
    label: str, limit: Any, betas: np.ndarray, game: "Game | None", scale: str | None
) -> tuple[np.ndarray, np.ndarray]:
    """Where a limit is known, and the step sizes there."""
    positive = betas[betas > 0]
    if hasattr(limit, "proven_step"):
        if game is None and scale == "score":
            raise ValueError(f"{label!r}: a proven step depends on the largest score; give game=....")
        bound = 0.5 if game is None else payoff_bound(game)

        def proven(beta: float) -> Any:
            return limit.proven_step(beta, bound)

        return _sampled(proven, positive)
    if callable(limit):
        return _sampled(limit, positive)
    values = np.asarray(limit, float)
    if values.shape != betas.shape:
        raise ValueError(f"{label!r} has shape {values.shape}: give one eta for each of the {len(betas)} betas.")
    return positive, values[betas > 0]


def _sampled(limit: Callable[[float], Any], betas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(betas):
        return betas, betas
    edges = _edges(betas)
    at = np.geomspace(edges[0], edges[-1], 200)
    found = [limit(float(beta)) for beta in at]
    return at, np.array([np.nan if value is None else float(value) for value in found])


def _outlined(ax: "Axes", at: np.ndarray, values: np.ndarray, label: str, style: str) -> None:
    """A line that stands out on every colour: ink on a band of paper."""
    ax.plot(at, values, color=ink(), linestyle=style, linewidth=2.0, label=label, zorder=3.0)
    ax.plot(at, values, color=paper(), linewidth=5.0, zorder=2.9, alpha=0.85)

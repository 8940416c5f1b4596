"""How fast runs converge."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.plots.lanes import Series, dataset, is_sweep, quantile, result_series, swept_series
from nashpo.plots.looks import LEGIBLE, Look, looks
from nashpo.plots.style import UNITS, axes, cut, fits_inside, place_legend, runs_of
from nashpo.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PAYOFFS = ("duality_gap", "last_duality_gap", "exploitability")


def gap(
    results: Any,
    labels: Sequence[str] | str | None = None,
    *,
    metric: str = "duality_gap",
    over: Sequence[str] = ("seed",),
    band: tuple[float, float] = (0.1, 0.9),
    ax: "Axes | None" = None,
) -> "Axes":
    """The duality gap against the steps, on a logarithmic axis, with a band over seeds.

    `results` is one result, a list of them or a sweep (or its dataset). Results with the same label (default: their
    solvers) are one series; of a sweep every setting is one and its runs are those along the axes in `over`. A series
    of several runs is drawn as its median and, among up to 12 of them, the quantiles `band`. A quantile is the
    smallest gap that this share of the runs do not exceed; a run that stopped keeps its last gap and one that failed
    counts as infinite. More than 12 series are coloured by the number that varies most, else by solver. `metric` is
    any scalar entry of the traces; a zero cannot be drawn and is left out. Returns the Axes.

    Raises `ValueError` if the metric or an axis is missing, or results differ in the scale of their payoffs.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1)
    >>> ax = gap(nashpo.solve(game, nashpo.solvers.EGPO(eta=1.0), steps=20))
    >>> ax.get_yscale(), ax.get_ylabel()
    ('log', 'duality gap [win probability]')
    """
    if not 0 <= band[0] <= band[1] <= 1:
        raise ValueError(f"band={band}: give two quantiles between 0 and 1, the lower one first.")
    if is_sweep(results):
        data = dataset(results, "gap")
        series, common = swept_series(data, metric, over)
        scale = data.attrs.get("scale")
    else:
        runs = runs_of(results, "gap")
        series, common = result_series(runs, labels, lambda run: _trace(run, metric)), ""
        scale = _scale(runs)
    look = looks(series)
    beside = look.number is None and (len(series) > LEGIBLE or not fits_inside(look.labels))
    ax = axes(ax, (8.6 if beside else 6.4, 4.2))
    for one, style in zip(series, look.styles, strict=True):
        _draw(ax, one, style)
    if len(series) <= LEGIBLE:
        _fill(ax, series, look, band)
    _finish(ax, metric, scale)
    _explain(ax, look, common, len(series))
    return ax


def _scale(runs: list[Result]) -> str:
    scales = {run.game.scale for run in runs}
    if len(scales) > 1:
        raise ValueError("gap: results on the scales probability and score cannot share an axis; draw two pictures.")
    return scales.pop()


def _draw(ax: "Axes", series: Series, style: dict[str, Any]) -> None:
    middle = quantile(series.values, 0.5)
    drawn = np.where(np.isinf(middle), np.nan, middle)
    ax.plot(series.step, drawn, marker="o" if len(drawn) < 3 else None, **style)


def _fill(ax: "Axes", series: Sequence[Series], look: Look, band: tuple[float, float]) -> None:
    """The bands; where more runs failed than the band leaves out, it reaches to the top of the picture."""
    finite = [s.values[np.isfinite(s.values)] for s in series]
    top = 10.0 * max((float(v.max()) for v in finite if v.size), default=1.0)
    alpha = 0.2 if len(series) <= 4 else 0.1
    for one, style in zip(series, look.styles, strict=True):
        if len(one.values) == 1:
            continue
        low, high = (np.minimum(quantile(one.values, q), top) for q in band)
        ax.fill_between(one.step, low, high, color=style["color"], alpha=alpha, linewidth=0.0)


def _finish(ax: "Axes", metric: str, scale: str | None) -> None:
    if not any(np.any(np.asarray(line.get_ydata()) > 0) for line in ax.lines):
        ax.set_ylim(1e-16, 1.0)
        ax.text(0.5, 0.5, "no value above 0", transform=ax.transAxes, ha="center")
    ax.set_yscale("log", nonpositive="mask")
    ax.set_xlabel("step")
    unit = f" [{UNITS.get(scale or '', 'payoff')}]" if metric in _PAYOFFS else ""
    ax.set_ylabel(metric.replace("_", " ") + unit)
    ax.grid(True, which="major", alpha=0.3, linewidth=0.6)
    ax.margins(x=0.02)


def _explain(ax: "Axes", look: Look, common: str, count: int) -> None:
    """The legend, and the bar of a colour that stands for a number."""
    title = cut(common, 60) or None
    if look.number is not None:
        bar = ax.figure.colorbar(look.number[1], ax=ax, pad=0.02)
        bar.set_label(look.number[0])
        if look.labels:
            above = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "ncols": 2, "borderpad": 0.2}
            ax.legend(frameon=False, title=title, alignment="left", fontsize="small", **above)
        elif title:
            ax.set_title(title, fontsize="medium")
    else:
        place_legend(ax, look.labels, title, inside=count <= LEGIBLE)


def _trace(run: Result, metric: str) -> np.ndarray:
    if metric not in run.trace:
        known = ", ".join(name for name in run.trace if name != "step")
        raise ValueError(f"the trace has no {metric!r}, only {known}: run solve with metrics=[...].")
    values = np.asarray(run.trace[metric], float)
    if values.ndim != 1:
        raise ValueError(f"metric={metric!r} has the shape {values.shape[1:]} at every step: only numbers are drawn.")
    return values

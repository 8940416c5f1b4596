"""How many iterations it takes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.plots.lanes import Series, dataset, final_gaps, is_sweep, lanes, quantile, result_series, swept_series
from nashpo.plots.style import axes, colour, cut, ink, runs_of
from nashpo.results import Result
from nashpo.solver import Status

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_ROWS = 40
"""How many bars are drawn, the shortest ones."""


@dataclass(frozen=True)
class _Bar:
    """One series: median, whisker, how many runs got there of how many, and the longest run."""

    label: str
    where: dict[str, Any]
    median: float
    low: float
    high: float
    reached: int
    runs: int
    longest: int


def iterations(
    results: Any,
    tol: float | None = None,
    labels: Sequence[str] | str | None = None,
    *,
    over: Sequence[str] = ("seed", "game"),
    best: bool = False,
    spread: tuple[float, float] = (0.1, 0.9),
    ax: "Axes | None" = None,
) -> "Axes":
    """Bars: the first measured step with a duality gap of at most `tol`, the median over seeds and games.

    `results` and `labels` are as in `gap`; of a sweep every setting is a bar and its runs are those along the axes in
    `over`. A run that never gets there counts as infinite: the whisker, the quantiles `spread`, then ends in an arrow,
    and where the median is infinite the bar is hollow and as long as the longest run. The text says how many got
    there. `best` keeps, for each solver and beta, the step size and other settings with the smallest median. `tol`, in
    payoff units, is that of the runs if None. At most 40 bars are drawn, the shortest. Returns the Axes.

    Raises `ValueError` without a tolerance, or for a smaller one than that at which runs were stopped.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1)
    >>> ax = iterations(nashpo.solve(game, nashpo.solvers.EGPO(eta=1.0), steps=200), tol=1e-6)
    >>> ax.get_xlabel(), ax.get_yticklabels()[0].get_text()
    ('iterations until the duality gap is at most 1e-06', 'EGPO(eta=1.0)')
    """
    if not 0 <= spread[0] <= spread[1] <= 1:
        raise ValueError(f"spread={spread}: give two quantiles between 0 and 1, the lower one first.")
    if is_sweep(results):
        data = dataset(results, "iterations")
        tol = _tolerance(tol, {float(data.attrs.get("tol", np.nan))})
        _check(tol, lanes(data, "status").values, final_gaps(data).values)
        series, common = swept_series(data, "duality_gap", over)
    else:
        series, tol, common = *_from_results(runs_of(results, "iterations"), labels, tol), ""
    bars = [_bar(one, tol, spread) for one in series]
    bars = _best(bars) if best else bars
    kept = sorted(np.argsort([b.median for b in bars], kind="stable")[:MOST_ROWS].tolist())
    left_out, bars = len(bars) - len(kept), [bars[i] for i in kept]
    wide = 6.4 + 0.07 * max(len(cut(bar.label, 60)) for bar in bars)
    ax = axes(ax, (wide, max(2.0, 1.3 + 0.34 * len(bars))))
    _draw(ax, bars)
    more = f"\n{left_out} more settings took longer and are not shown" if left_out else ""
    ax.set_xlabel(f"iterations until the duality gap is at most {tol:g}{more}")
    ax.set_title(cut(common, 70), fontsize="medium")
    return ax


def _from_results(
    runs: list[Result], labels: Sequence[str] | str | None, tol: float | None
) -> tuple[list[Series], float]:
    tol = _tolerance(tol, {float(run.to_xarray().attrs["tol"]) for run in runs} if tol is None else set())
    gaps = [run.trace["duality_gap"] for run in runs]
    _check(tol, np.array([int(run.status) for run in runs]), np.array([gap[-1] for gap in gaps]))
    return result_series(runs, labels, lambda run: np.asarray(run.trace["duality_gap"], float)), tol


def _tolerance(tol: float | None, known: set[float]) -> float:
    if tol is None:
        tol = next(iter(known)) if len(known) == 1 else np.nan
        if np.isnan(tol):
            raise ValueError("iterations: the runs had no common tolerance; give tol=..., in units of the payoff.")
    if not tol > 0:
        raise ValueError(f"tol={tol}: the duality gap to reach must be above 0.")
    return float(tol)


def _check(tol: float, status: np.ndarray, gaps: np.ndarray) -> None:
    """Refuse a tolerance below the one at which runs were stopped: nobody knows when they would have reached it."""
    stopped = gaps[(status == int(Status.CONVERGED)) & (gaps > tol)]
    if stopped.size:
        raise ValueError(f"tol={tol:g}: {stopped.size} runs were stopped at {stopped.max():.3g}; choose a larger tol.")


def _bar(series: Series, tol: float, spread: tuple[float, float]) -> _Bar:
    there = series.values <= tol
    first = np.where(there.any(axis=1), np.asarray(series.step, float)[there.argmax(axis=1)], np.inf)
    low, median, high = (float(quantile(first, q)) for q in (spread[0], 0.5, spread[1]))
    reached = int(np.isfinite(first).sum())
    return _Bar(series.label, series.where, median, low, high, reached, len(first), int(series.step[-1]))


def _best(bars: list[_Bar]) -> list[_Bar]:
    """The bar with the smallest median for each solver, beta and game."""
    groups: dict[tuple[Any, ...], list[_Bar]] = {}
    for bar in bars:
        groups.setdefault(tuple(str(bar.where.get(dim)) for dim in ("solver", "game", "beta")), []).append(bar)
    return [min(group, key=lambda bar: (bar.median, bar.high, -bar.reached)) for group in groups.values()]


def _draw(ax: "Axes", bars: list[_Bar]) -> None:
    solvers = list(dict.fromkeys(bar.where.get("solver") for bar in bars))
    lengths = [bar.median if np.isfinite(bar.median) else bar.longest for bar in bars]
    far = max(*lengths, *(bar.high if np.isfinite(bar.high) else bar.longest for bar in bars))
    logarithmic = far > 20 * max(1.0, min(lengths))
    least = 1.0 if logarithmic else 0.0
    for row, (bar, length) in enumerate(zip(bars, lengths, strict=True)):
        shade = colour(solvers.index(bar.where.get("solver")))
        full = np.isfinite(bar.median)
        ax.barh(
            row,
            max(length, least) - least,
            left=least,
            height=0.62,
            facecolor=shade if full else "none",
            edgecolor=shade,
            hatch=None if full else "////",
            linewidth=1.2,
        )
        end = _whisker(ax, row, bar) if np.isfinite(bar.low) and bar.high > bar.low else length
        ax.annotate(_words(bar), (max(length, end), row), (6, 0), textcoords="offset points", va="center", size="small")
    if logarithmic:
        ax.set_xscale("log")
    ax.set_xlim(least, far**1.4 if logarithmic else far * 1.3)
    ax.set_yticks(range(len(bars)), [cut(bar.label, 60) for bar in bars])
    ax.set_ylim(len(bars) - 0.4, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.grid(True, axis="x", alpha=0.3, linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)


def _whisker(ax: "Axes", row: int, bar: _Bar) -> float:
    """The quantiles as a line; an infinite one ends in an arrow. Returns where it ends."""
    open_end = not np.isfinite(bar.high)
    end = float(bar.longest) if open_end else bar.high
    ax.plot([bar.low, end], [row, row], color=ink(), linewidth=1.3, solid_capstyle="butt")
    ax.plot(bar.low, row, "|", color=ink(), markersize=7)
    ax.plot(end, row, ">" if open_end else "|", color=ink(), markersize=6 if open_end else 7)
    return end


def _words(bar: _Bar) -> str:
    if bar.reached == bar.runs:
        return f"{bar.median:,.0f}"
    if bar.runs == 1:
        return f"> {bar.longest:,}"
    middle = f"{bar.median:,.0f}" if np.isfinite(bar.median) else f"> {bar.longest:,}"
    return f"{middle} ({bar.reached} of {bar.runs} runs)"

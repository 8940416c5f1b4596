"""How fast runs converge."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from nashpo.plots.style import UNITS, axes, colour, dash, labelled, listed
from nashpo.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def gap(
    results: Result | Sequence[Result],
    labels: Sequence[str] | str | None = None,
    *,
    metric: str = "duality_gap",
    ax: "Axes | None" = None,
) -> "Axes":
    """The duality gap against the steps, on a logarithmic axis; one line for each result.

    `labels` name the results (default: their solvers); `metric` is any scalar entry of the traces. A gap that is
    zero exactly cannot be drawn and is left out. Returns the Axes.

    Raises `ValueError` if a trace lacks the metric or results differ in the scale of their payoffs.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1)
    >>> ax = gap(nashpo.solve(game, nashpo.solvers.EGPO(eta=1.0), steps=20))
    >>> ax.get_yscale(), ax.get_ylabel()
    ('log', 'duality gap [win probability]')
    """
    runs = listed(results)
    if not runs:
        raise ValueError("gap: give at least one result.")
    scales = {run.game.scale for run in runs}
    if len(scales) > 1:
        raise ValueError("gap: results on the scales probability and score cannot share an axis; draw two pictures.")
    ax = axes(ax, (6.4, 4.2))
    for index, (run, label) in enumerate(zip(runs, labelled(runs, labels), strict=True)):
        values = _trace(run, metric)
        few = len(values) < 3
        ax.plot(
            run.trace["step"],
            values,
            color=colour(index),
            linestyle=dash(index),
            marker="o" if few else None,
            linewidth=1.8,
            label=label,
        )
    if not any(np.any(np.asarray(line.get_ydata()) > 0) for line in ax.lines):
        ax.set_ylim(1e-16, 1.0)
    ax.set_yscale("log", nonpositive="mask")
    ax.set_xlabel("step")
    unit = f" [{UNITS[scales.pop()]}]" if metric in ("duality_gap", "last_duality_gap", "exploitability") else ""
    ax.set_ylabel(metric.replace("_", " ") + unit)
    ax.grid(True, which="major", alpha=0.3, linewidth=0.6)
    ax.margins(x=0.02)
    ax.legend(frameon=False)
    return ax


def _trace(run: Result, metric: str) -> np.ndarray:
    if metric not in run.trace:
        known = ", ".join(name for name in run.trace if name != "step")
        raise ValueError(f"the trace has no {metric!r}, only {known}: run solve with metrics=[...].")
    values = np.asarray(run.trace[metric], float)
    if values.ndim != 1:
        raise ValueError(f"metric={metric!r} has the shape {values.shape[1:]} at every step: only numbers are drawn.")
    return values

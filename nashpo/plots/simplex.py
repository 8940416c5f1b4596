"""Trajectories over three responses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.plots.style import axes, check_prompt, colour, dash, item_names, labelled, listed
from nashpo.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def simplex(
    results: Result | Sequence[Result],
    labels: Sequence[str] | str | None = None,
    *,
    equilibrium: Any = None,
    metric: str = "probs",
    prompt: int = 0,
    ax: "Axes | None" = None,
) -> "Axes":
    """The path of each run through the simplex of three responses, from a ring at its first measurement to a dot.

    The runs must have recorded their policies, `solve(..., metrics=[nashpo.metrics.probs])`; `metric` is the name of
    that entry (`"last_probs"` for `Last(probs)`). `equilibrium` (probabilities `[3]`, a policy or
    `nashpo.equilibrium(game)`) is marked with a cross. `ax` must be ternary (`projection="ternary"` of mpltern).
    Returns the Axes.

    Raises `ValueError` for a game that has not three responses, a trace without policies, or an Axes of another
    kind.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]], items=["a", "b", "c"])
    >>> run = nashpo.solve(
    ...     game, nashpo.solvers.SPO(eta=0.3), steps=40, start=[0.6, 0.2, 0.2], metrics=[nashpo.metrics.probs]
    ... )
    >>> len(simplex(run).lines)
    3
    """
    runs = listed(results)
    if not runs:
        raise ValueError("simplex: give at least one result.")
    paths = [_path(run, metric, prompt) for run in runs]
    import mpltern  # noqa: F401

    ax = axes(ax, (5.6, 5.0), projection="ternary")
    if not hasattr(ax, "set_tlabel"):
        raise ValueError('simplex: ax is not ternary; make it with fig.add_subplot(projection="ternary").')
    for index, (path, label) in enumerate(zip(paths, labelled(runs, labels), strict=True)):
        ax.plot(*path.T, color=colour(index), linestyle=dash(index), linewidth=1.4, label=label)
        ax.plot(*path[:1].T, "o", markerfacecolor="none", markeredgecolor=colour(index), markersize=8)
        ax.plot(*path[-1:].T, "o", color=colour(index), markersize=6)
    if equilibrium is not None:
        point = _point(equilibrium, prompt)
        ax.plot(*point.T, "x", color=_ink(), markersize=9, markeredgewidth=2, label="equilibrium")
    _label(ax, item_names(runs[0].game))
    if len(runs) > 1 or labels is not None or equilibrium is not None:
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(-0.12, 1.12), fontsize="small")
    return ax


def _path(run: Result, metric: str, prompt: int) -> np.ndarray:
    contexts, count = run.game.shape
    if count != 3:
        raise ValueError(f"simplex: the game has {count} responses; only three make a triangle.")
    check_prompt(prompt, contexts)
    if metric not in run.trace:
        raise ValueError(f"simplex: the trace has no {metric!r}; run solve with metrics=[nashpo.metrics.probs].")
    return np.asarray(run.trace[metric], float)[:, prompt, :]


def _point(equilibrium: Any, prompt: int) -> np.ndarray:
    policy = getattr(equilibrium, "policy", equilibrium)
    probs = policy.probs() if hasattr(policy, "probs") else policy
    rows = np.atleast_2d(np.asarray(probs, float))
    return rows[prompt : prompt + 1] if len(rows) > 1 else rows


def _label(ax: Any, names: Sequence[str]) -> None:
    top, left, right = names
    ax.set_tlabel(top)
    ax.set_llabel(left)
    ax.set_rlabel(right)
    for axis in (ax.taxis, ax.laxis, ax.raxis):
        axis.set_major_locator(_fifths())
    ax.grid(True, alpha=0.3, linewidth=0.6)


def _fifths() -> Any:
    from matplotlib.ticker import MultipleLocator

    return MultipleLocator(0.2)


def _ink() -> Any:
    import matplotlib

    return matplotlib.rcParams["text.color"]

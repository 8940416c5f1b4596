"""Trajectories over three responses."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.plots.style import axes, check_prompt, colour, cut, dash, ink, item_names, labelled, listed, runs_of
from nashpo.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def simplex(
    results: Result | Sequence[Result],
    labels: Sequence[str] | str | None = None,
    *,
    start: Any = None,
    equilibrium: Any = None,
    metric: str = "probs",
    prompt: int = 0,
    ax: "Axes | None" = None,
) -> "Axes":
    """The path of each run through the simplex of three responses, from a ring at its start to a dot.

    The runs must have recorded their policies, `solve(..., metrics=[nashpo.metrics.probs])`; `metric` is the name of
    that entry (`"last_probs"` for `Last(probs)`). `start` is another place to draw them from than
    where each began (probabilities `[3]`, a policy or a result). `equilibrium` (probabilities `[3]`, a policy or
    `nashpo.equilibrium(game)`) is marked with a cross. `ax` must be ternary: `projection="ternary"` after
    `import mpltern`. Returns the Axes.

    Raises `ValueError` for a game that has not three responses, a trace without policies, or an Axes of another
    kind.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]], items=["a", "b", "c"])
    >>> begin = [0.6, 0.2, 0.2]
    >>> run = nashpo.solve(game, nashpo.solvers.SPO(eta=0.3), steps=40, start=begin, metrics=[nashpo.metrics.probs])
    >>> len(simplex(run, start=begin).lines)
    3
    """
    runs = [] if listed(results) == [] and equilibrium is not None else runs_of(results, "simplex")
    paths = [_path(run, metric, prompt, start) for run in runs]
    triangle = ternary(ax)
    for index, (path, label) in enumerate(zip(paths, labelled(runs, labels), strict=True)):
        triangle.plot(*path.T, color=colour(index), linestyle=dash(index), linewidth=1.8, label=cut(label, 26))
        triangle.plot(*path[:1].T, "o", markerfacecolor="none", markeredgecolor=colour(index), markersize=8)
        triangle.plot(*path[-1:].T, "o", color=colour(index), markersize=6)
    if equilibrium is not None:
        point = _point(equilibrium, prompt)
        triangle.plot(*point.T, "x", color=ink(), markersize=9, markeredgewidth=2, label="equilibrium")
    if runs:
        name_corners(triangle, item_names(runs[0].game))
    if len(runs) > 1 or labels is not None or equilibrium is not None:
        triangle.legend(frameon=False, loc="upper left", bbox_to_anchor=(-0.12, 1.12), fontsize="small")
    return triangle


def check_three(game: Any, prompt: int, picture: str) -> None:
    """Refuse a game that is no triangle and a prompt that it has not."""
    contexts, count = game.shape
    if count != 3:
        raise ValueError(f"{picture}: the game has {count} responses; only three make a triangle.")
    check_prompt(prompt, contexts)


def ternary(ax: Any, size: tuple[float, float] = (5.6, 5.0)) -> Any:
    """`ax` if it is ternary, or the Axes of a new figure of this size in inches.

    Raises `ValueError` for an Axes of another kind.
    """
    import mpltern  # noqa: F401  registers the ternary projection

    ax = axes(ax, size, projection="ternary")
    if not hasattr(ax, "set_tlabel"):
        raise ValueError(
            'simplex: ax is not ternary; make it with fig.add_subplot(projection="ternary"), after `import mpltern`.'
        )
    return ax


def _path(run: Result, metric: str, prompt: int, start: Any) -> np.ndarray:
    check_three(run.game, prompt, "simplex")
    if metric not in run.trace:
        raise ValueError(f"simplex: the trace has no {metric!r}; run solve with metrics=[nashpo.metrics.probs].")
    path = np.asarray(run.trace[metric], float)[:, prompt, :]
    return np.concatenate([_point(run.start if start is None else start, prompt), path])


def _point(policy: Any, prompt: int) -> np.ndarray:
    """One point `[1, 3]` of probabilities, or of what has a policy."""
    policy = getattr(policy, "policy", policy)
    probs = policy.probs() if hasattr(policy, "probs") else policy
    rows = np.atleast_2d(np.asarray(probs, float))
    return rows[prompt : prompt + 1] if len(rows) > 1 else rows


def name_corners(ax: Any, names: Sequence[str]) -> None:
    """The names of the responses at the corners, and a grid."""
    top, left, right = (cut(name, 24) for name in names)
    ax.set_tlabel(top, parse_math=False)
    ax.set_llabel(left, parse_math=False)
    ax.set_rlabel(right, parse_math=False)
    for axis in (ax.taxis, ax.laxis, ax.raxis):
        axis.set_major_locator(_fifths())
    ax.grid(True, alpha=0.3, linewidth=0.6)


def _fifths() -> Any:
    from matplotlib.ticker import MultipleLocator

    return MultipleLocator(0.2)

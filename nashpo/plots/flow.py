"""Where an algorithm moves from every point of the simplex."""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.plots.simplex import check_three, name_corners, simplex, ternary
from nashpo.plots.style import item_names
from nashpo.policies.tabular import Tabular
from nashpo.run import as_solver
from nashpo.validation.numbers import is_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nashpo.game import Game


def flow(
    game: "Game",
    rule_or_solver: Any,
    *,
    learner: Any = None,
    results: Any = None,
    labels: Any = None,
    start: Any = None,
    equilibrium: Any = None,
    prompt: int = 0,
    rows: int = 15,
    key: int = 0,
    ax: "Axes | None" = None,
) -> "Axes":
    """Arrows over three responses: the direction of an algorithm's first step from every point of a grid.

    The colour is the distance `|pi_1 - pi_0|_1 / 2` that the step moves, on a logarithmic scale. Rules with a memory
    begin as `solve` does, with every past policy at the point; a schedule takes its first step size. The grid has
    `rows` rows and lies inside the triangle. `results` of runs with `metrics=[nashpo.metrics.probs]` are drawn over it
    as in `simplex`, with its `labels`, `start` and `equilibrium`. All steps are one compiled call. Returns the Axes.

    Raises `ValueError` for a game that has not three responses or fewer than two rows.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]], items=["a", "b", "c"])
    >>> ax = flow(game, nashpo.solvers.SPO(eta=0.1), rows=6)
    >>> len(ax.collections[0].U)
    21
    """
    check_three(game, prompt, "flow")
    if not is_whole(rows, 2):
        raise ValueError(f"rows={rows!r}: the grid needs at least 2 rows.")
    points = _grid(rows)
    moves = _moves(game, rule_or_solver, learner, prompt, points, key)
    triangle = ternary(ax, (6.6, 5.0))
    lengths = 0.5 * np.abs(moves).sum(axis=1)
    image = _arrows(triangle, points, moves, lengths, 0.8 / rows)
    image.set_alpha(1.0 if results is None else 0.6)
    bar = triangle.figure.colorbar(image, ax=triangle, shrink=0.75, pad=0.1)
    bar.set_label("distance of one step [total variation]")
    if results is not None or equilibrium is not None:
        runs = [] if results is None else results
        simplex(runs, labels, start=start, equilibrium=equilibrium, prompt=prompt, ax=triangle)
    name_corners(triangle, item_names(game))
    return triangle


def _grid(rows: int) -> np.ndarray:
    """Points `[rows (rows + 1) / 2, 3]` at the middles of equal upright triangles."""
    index = np.array([(i, j, rows - 1 - i - j) for i in range(rows) for j in range(rows - i)], float)
    return (index + 1 / 3) / rows


def _moves(game: "Game", rule_or_solver: Any, learner: Any, prompt: int, points: np.ndarray, key: int) -> np.ndarray:
    """How far one step moves the last iterate from each point, `[N, 3]`."""
    game = jax.tree.map(jnp.asarray, game.nameless())
    logits = jnp.asarray(np.log(points), game.reference.log_probs().dtype)
    after = _steps(as_solver(rule_or_solver, learner), game, logits, prompt, jax.random.key(key))
    return np.exp(np.asarray(after, float)) - points


@jax.jit
def _steps(solver: Any, game: "Game", logits: jax.Array, prompt: int, key: jax.Array) -> jax.Array:
    """Log-probabilities `[N, 3]` of the last iterate after one step from each row."""

    def one(row: jax.Array) -> jax.Array:
        start = Tabular(jnp.broadcast_to(row, game.shape), normalised=True)
        state, _ = solver.step(game, solver.init(game, start), key)
        return solver.last(state).log_probs()[prompt]

    return jax.vmap(one)(logits)


def _arrows(ax: Any, points: np.ndarray, moves: np.ndarray, lengths: np.ndarray, size: float) -> Any:
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap, LogNorm

    moving = lengths > 1e-12
    directions = np.divide(moves, lengths[:, None], out=np.zeros_like(moves), where=moving[:, None]) * size
    high = float(lengths.max(initial=0.0)) or 1.0
    low = max(float(lengths[moving].min(initial=high)), 1e-4 * high)
    shades = ListedColormap(colormaps["viridis"](np.linspace(0.2, 0.75, 256)))
    tail = points - directions / 2
    return ax.quiver(
        *tail.T,
        *directions.T,
        np.clip(lengths, low, high),
        cmap=shades,
        norm=LogNorm(low, max(high, 1.01 * low)),
        angles="xy",
        scale_units="xy",
        scale=1.0,
        width=0.005,
        headwidth=4.0,
        headlength=5.0,
        headaxislength=4.5,
    )

"""A preference table as a picture."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.oracles.base import VALUE
from nashpo.plots.style import axes, cut, item_names, payoffs
from nashpo.results import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nashpo.game import Game

_WRITTEN = 12
"""Up to this many responses the numbers are written into the cells."""
_NAMED = 60
"""Up to this many responses every row has its name."""


def heatmap(
    game: "Game | Result",
    order: str | Sequence[int] = "given",
    *,
    prompt: int | None = None,
    values: bool | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """The payoff of row against column, white where a pair is tied.

    `order` is `"given"`, `"win rate"` (best average payoff first: a table without cycles is then blue above the
    diagonal) or a permutation of the responses. Several prompts are averaged with their weights unless `prompt` picks
    one. `values` writes the numbers into the cells (default: up to 12 responses). A result stands for its game.
    Returns the Axes.

    Raises `ValueError` for an order or prompt that does not exist.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> game = nashpo.Game.from_table([[0.5, 0.1], [0.9, 0.5]], items=["tea", "coffee"])
    >>> [tick.get_text() for tick in heatmap(game, order="win rate").get_yticklabels()]
    ['coffee', 'tea']
    """
    game = game.game if isinstance(game, Result) else game
    (contexts, count), table = game.shape, payoffs(game, prompt)
    chosen = _order(order, table)
    shown = table[np.ix_(chosen, chosen)]
    centre = VALUE[game.scale]
    reach = float(np.abs(shown - centre).max()) or 0.5
    reach = 0.5 if game.scale == "probability" else reach
    names = [cut(name) for name in item_names(game)]
    size = float(np.clip(1.8 + 0.32 * count, 3.6, 11.0)) + 0.06 * max(map(len, names))
    ax = axes(ax, (size + 1.2, size))
    image = ax.imshow(shown, cmap="RdBu", vmin=centre - reach, vmax=centre + reach, interpolation="nearest")
    _name_ticks(ax, [names[i] for i in chosen])
    if values if values is not None else count <= _WRITTEN:
        _write(ax, shown, (shown - centre) / reach, game.scale)
    if contexts > 1:
        ax.set_title(f"mean of {contexts} prompts" if prompt is None else f"prompt {prompt}", fontsize="medium")
    probability = game.scale == "probability"
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8)
    bar.set_label("probability that row beats column" if probability else "log-odds that row beats column")
    return ax


def _order(order: str | Sequence[int], table: np.ndarray) -> np.ndarray:
    count = len(table)
    if isinstance(order, str):
        if order not in ("given", "win rate"):
            raise ValueError(f'order={order!r}: choose "given", "win rate" or a permutation of the responses.')
        return np.arange(count) if order == "given" else np.argsort(-table.mean(axis=1), kind="stable")
    chosen = np.asarray(order)
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1 or sorted(chosen.tolist()) != list(range(count)):
        raise ValueError(f"order={order!r}: must name each of the responses 0 to {count - 1} once.")
    return chosen


def _name_ticks(ax: "Axes", names: list[str]) -> None:
    """Every name, or every k-th where they would overlap."""
    every = -(-len(names) // _NAMED)
    ticks = np.arange(0, len(names), every)
    small: dict[str, Any] = {"fontsize": "small" if len(names) <= 30 else "x-small", "parse_math": False}
    ax.set_yticks(ticks, [names[i] for i in ticks], **small)
    turned: dict[str, Any] = {"rotation": 90} if len(names) > 4 or max(map(len, names)) > 8 else {}
    ax.set_xticks(ticks, [names[i] for i in ticks], **small, **turned)
    ax.tick_params(length=0)


def _write(ax: "Axes", table: np.ndarray, strength: np.ndarray, scale: str) -> None:
    for (row, column), value in np.ndenumerate(table):
        ink = "white" if abs(strength[row, column]) > 0.6 else "black"
        text = f"{value:.2f}" if scale == "probability" else f"{value:+.1f}"
        ax.text(column, row, text, ha="center", va="center", color=ink, fontsize="x-small")

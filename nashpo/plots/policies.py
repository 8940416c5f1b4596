"""Policies side by side."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.plots.style import average, axes, check_prompt, colour, cut, hatch, item_names, labelled, listed, paper
from nashpo.policies.tabular import as_policy
from nashpo.validation.numbers import whole_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nashpo.game import Game

MOST_BARS = 30
"""How many responses are drawn unless more are asked for."""


def policies(
    policies: Any,
    game: "Game | None" = None,
    labels: Sequence[str] | str | None = None,
    *,
    prompt: int | None = None,
    top: int = MOST_BARS,
    ax: "Axes | None" = None,
) -> "Axes":
    """Horizontal bars: the probability of every response under each policy, the most probable ones on top.

    `policies` is one or a list of results, equilibria, policies or arrays of probabilities; `game` gives names and
    prompt weights (default: a result's own game). Several prompts are averaged with their weights unless `prompt`
    picks one. The `top` responses of the first policy are drawn. Returns the Axes.

    Raises `ValueError` for a prompt that does not exist, no policy or no response to draw, or policies that do not fit
    the game.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.5, items=["tea", "coffee"])
    >>> ax = policies([nashpo.equilibrium(game), game.reference], game, labels=["equilibrium", "reference"])
    >>> [tick.get_text() for tick in ax.get_yticklabels()]
    ['tea', 'coffee']
    """
    entries, top = listed(policies), whole_number("top", top, 1)
    if not entries:
        raise ValueError("policies: give at least one policy.")
    game = _game(entries, game)
    titles = labelled(entries, labels)
    probs = np.stack([_probs(entry, game, title) for entry, title in zip(entries, titles, strict=True)])
    chosen = average(probs, game) if prompt is None else probs[:, check_prompt(prompt, game.shape[0])]
    order = np.argsort(-chosen[0], kind="stable")[:top]
    ax = axes(ax, (6.4, max(2.4, 1.2 + 0.28 * len(order) * max(1.0, len(entries) / 2))))
    height = 0.8 / len(entries)
    rows = np.arange(len(order))
    for index, title in enumerate(titles):
        offset = (index - (len(entries) - 1) / 2) * height
        ax.barh(rows + offset, chosen[index][order], height=0.9 * height, label=cut(title), **_look(index))
    names = item_names(game)
    ax.set_yticks(rows, [cut(names[i]) for i in order], parse_math=False)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(order) - 0.4, -0.6)
    ax.set_xlabel(_caption(game, prompt, float(1.0 - chosen[0][order].sum()), game.shape[1] - len(order)))
    ax.grid(True, axis="x", alpha=0.3, linewidth=0.6)
    ax.set_axisbelow(True)
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    if len(entries) > 1 or labels is not None:
        columns = min(3, len(entries), 1 + 40 // max(len(cut(title)) + 6 for title in titles))
        ax.legend(frameon=False, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=columns)
    return ax


def _look(index: int) -> dict[str, Any]:
    return {"facecolor": colour(index), "edgecolor": paper(), "linewidth": 0.0, "hatch": hatch(index)}


def _caption(game: "Game", prompt: int | None, rest: float, missing: int) -> str:
    which = (
        "" if game.shape[0] == 1 else f", mean of {game.shape[0]} prompts" if prompt is None else f", prompt {prompt}"
    )
    others = f"\n{missing} more items with {max(rest, 0.0):.2g} together are not shown" if missing else ""
    return f"probability{which}{others}"


def _game(entries: Sequence[Any], game: "Game | None") -> "Game":
    if game is not None:
        return game
    found = next((entry.game for entry in entries if hasattr(entry, "game")), None)
    if found is None:
        raise ValueError("policies: give the game, or at least one result, for names and prompt weights.")
    return found


def _probs(entry: Any, game: "Game", title: str) -> np.ndarray:
    policy = getattr(entry, "policy", entry)
    policy = policy() if callable(policy) else policy
    probs = np.atleast_2d(np.exp(np.asarray(as_policy(policy).log_probs(), float)))
    if probs.shape[-1] != game.shape[1] or probs.shape[0] not in (1, game.shape[0]):
        raise ValueError(f"{title} has shape {probs.shape}, the game [prompts, responses] = {tuple(game.shape)}.")
    return np.broadcast_to(probs, game.shape)

"""Who beats whom, as arrows."""

from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.describe import condorcet_winner, copeland_scores, margins, smith_set
from nashpo.oracles.base import VALUE
from nashpo.plots.style import COLOURS, axes, cut, ink, item_names, payoffs
from nashpo.results import Result
from nashpo.validation.numbers import whole_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nashpo.game import Game

MOST_ARROWS = 190
"""Every pair of 20 items; of larger tables the largest margins are drawn."""
_LEVEL = 12
"""Up to this many items the names are written level."""
_LETTER = 0.62 / 72
"""The width of a letter in inches for each point of its size."""
_PLAIN, _AGAINST, _SMITH = COLOURS[4], COLOURS[5], COLOURS[1]


def tournament(
    game: "Game | Result", *, prompt: int | None = None, arrows: int = MOST_ARROWS, ax: "Axes | None" = None
) -> "Axes":
    """Arrows from winner to loser around a circle, the wider the larger the margin `|P - value|`.

    Items stand clockwise from the top by how many others they beat (Copeland 1951). Arrows against that order, which
    close the cycles, have a colour of their own. Members of the Smith set, the smallest set that beats everybody
    outside, are filled; a Condorcet winner, who beats every other item, is a star. Several prompts are averaged with
    their weights unless `prompt` picks one. At most `arrows` are drawn, the largest margins. A result stands for its
    game. Returns the Axes.

    Raises `ValueError` for a prompt that does not exist, or arrows that are no whole number.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]], items=["a", "b", "c"])
    >>> len(tournament(game).patches), tournament(game).get_title()
    (3, 'Smith set: 3 of 3 items')
    """
    most = whole_number("arrows", arrows, 0)
    game = game.game if isinstance(game, Result) else game
    (contexts, count), table = game.shape, payoffs(game, prompt)
    value = VALUE[game.scale]
    order = np.argsort(-copeland_scores(table, value), kind="stable")
    margin = margins(table[np.ix_(order, order)], value)
    members = np.isin(order, smith_set(table, value))
    winner = condorcet_winner(table, value)
    names = [cut(item_names(game)[i]) for i in order]
    level, _, length = _lettering(names, np.inf)
    size = (5.2 if count <= 30 else 8.0) + 2 * length
    ax = axes(ax, (max(size, 5.6), 6.2 if level else size + 0.8))
    angle = np.pi / 2 - 2 * np.pi * np.arange(count) / count
    places = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    dot = float(np.clip(700 / count, 14, 160))
    drawn, pairs = _arrows(ax, places, margin, most, dot)
    _nodes(ax, places, members, winner is not None, dot)
    _names(ax, angle, names, members)
    ax.set_aspect("equal")
    ax.axis("off")
    which = "" if contexts == 1 else f", mean of {contexts} prompts" if prompt is None else f", prompt {prompt}"
    ax.set_title(f"Smith set: {members.sum()} of {count} items{which}", fontsize="medium")
    _legend(ax, margin, drawn, pairs, members, winner is not None)
    return ax


def _arrows(ax: "Axes", places: np.ndarray, margin: np.ndarray, most: int, size: float) -> tuple[int, int]:
    """The largest margins on top; how many were drawn of how many there are."""
    from matplotlib.patches import FancyArrowPatch

    winners, losers = np.nonzero(margin > 0)
    strength = margin[winners, losers]
    chosen = np.argsort(-strength, kind="stable")[:most]
    largest = float(strength.max(initial=0.0)) or 1.0
    radius = np.sqrt(size) / 2 + 1.0
    scale = float(np.clip(20.0 / len(places), 0.8, 2.4))
    faint = float(np.clip(8.0 / len(places), 0.45, 1.0))
    for index in chosen[::-1]:
        share = float(strength[index]) / largest
        against = bool(winners[index] > losers[index])
        ax.add_patch(
            FancyArrowPatch(
                tuple(places[winners[index]]),
                tuple(places[losers[index]]),
                arrowstyle="-|>",
                mutation_scale=4.0 + 4.0 * scale * share,
                linewidth=(0.4 + share) * scale,
                color=_AGAINST if against else _PLAIN,
                alpha=(0.4 + 0.55 * share) * (1.0 if against else faint),
                shrinkA=radius,
                shrinkB=radius,
                zorder=1.5 + against + share / 2,
            )
        )
    return len(chosen), len(strength)


def _nodes(ax: "Axes", places: np.ndarray, members: np.ndarray, winner: bool, size: float) -> None:
    plain = places[~members]
    ax.scatter(*plain.T, s=size, facecolor="#888888", edgecolor=ink(), linewidth=0.8, zorder=4, label="outside")
    shape, bigger = ("*", 3.0) if winner else ("o", 1.6)
    ax.scatter(
        *places[members].T, s=bigger * size, marker=shape, facecolor=_SMITH, edgecolor=ink(), zorder=4, label="member"
    )


def _names(ax: "Axes", angle: np.ndarray, names: list[str], members: np.ndarray) -> None:
    """Level for few items, along the rays for many; the axes get as much room as the longest name needs."""
    box = ax.get_window_extent()
    width, height = box.width / ax.figure.dpi, box.height / ax.figure.dpi
    side = width if len(names) <= _LEVEL else min(width, height)
    names = [cut(name, max(8, int(side / 3 / (7 * _LETTER)))) for name in names]
    level, fontsize, length = _lettering(names, side)
    above = 0.02 * fontsize if level else length
    unit = 1.0 / max(min(width / 2 - length, height / 2 - above) - 0.25, 0.1 * min(width, height))
    for theta, name, member in zip(angle, names, members, strict=True):
        across, up = (1.0 + 0.17 * unit) * np.array([np.cos(theta), np.sin(theta)])
        left = across < -1e-9
        aside = "center" if abs(across) < 0.05 else "right" if left else "left"
        turned: dict[str, Any] = {"ha": aside, "va": "center" if aside != "center" else "bottom" if up > 0 else "top"}
        if not level:
            degrees = np.degrees(theta) + (180 if left else 0)
            turned = {"ha": "right" if left else "left", "va": "center"}
            turned |= {"rotation": degrees, "rotation_mode": "anchor"}
        turned["parse_math"] = False
        # The room is in the limits: a layout that made room again would shrink the axes without end.
        ax.text(across, up, name, fontsize=fontsize, weight="bold" if member else None, in_layout=False, **turned)
    reach = 1.0 + unit * (np.array([length, above]) + 0.25)
    ax.set_xlim(-reach[0], reach[0])
    ax.set_ylim(-reach[1], reach[1])


def _lettering(names: list[str], width: float) -> tuple[bool, float, float]:
    """Whether names are level, the size of their letters, and the length in inches that the longest one takes.

    In small axes the letters are smaller, so that a name takes at most a third of the width.
    """
    level, letters = len(names) <= _LEVEL, max(map(len, names))
    usual = 10.0 if level else float(np.clip(260 / len(names), 4.0, 9.0))
    fontsize = max(4.0, min(usual, width / 3 / (_LETTER * letters)))
    return level, fontsize, _LETTER * fontsize * letters


def _legend(ax: "Axes", margin: np.ndarray, drawn: int, pairs: int, members: np.ndarray, winner: bool) -> None:
    from matplotlib.lines import Line2D

    shown = f", {drawn} of {pairs} arrows" if drawn < pairs else ""
    entries: list[Any] = [Line2D([], [], color=_PLAIN, linewidth=2.5, label=f"beats, with the order{shown}")]
    if np.any(np.tril(margin) > 0):
        entries.append(Line2D([], [], color=_AGAINST, linewidth=2.5, label="beats, against the order"))
    shape, text = ("*", "Condorcet winner") if winner else ("o", "in the Smith set")
    marker = {"linestyle": "none", "markeredgecolor": ink()}
    entries.append(Line2D([], [], marker=shape, markerfacecolor=_SMITH, markersize=10, label=text, **marker))
    if not members.all():
        entries.append(Line2D([], [], marker="o", markerfacecolor="#888888", label="outside", **marker))
    wide = ax.get_window_extent().width / ax.figure.dpi > 4.0
    ax.legend(
        handles=entries, frameon=False, loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=1 + wide, fontsize="small"
    )

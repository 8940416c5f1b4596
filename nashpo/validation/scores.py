"""Preferences that some methods cannot use: certain ones."""

from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from nashpo.logspace import LOG_ZERO
from nashpo.validation.wording import cell, pair


def validate_finite_scores(game: Any, method: str) -> None:
    """Refuse a game whose log-odds `log(P / (1 - P))` are not all finite; a game of scores passes.

    Raises `ValueError`, naming the pair, for a win probability of 0 or 1. Tables that JAX is tracing pass unchecked,
    and so do oracles without one.

    >>> import nashpo
    >>> validate_finite_scores(nashpo.Game.from_table([[0.5, 1.0], [0.0, 0.5]], items=["tea", "milk"]), "GPO")
    Traceback (most recent call last):
        ...
    ValueError: GPO needs finite scores, but P[0, 1] = 1 (row 'tea' against column 'milk') has infinite log-odds: \
move the entry away from 0 and 1, or use a rule on win rates such as SPO.
    """
    for entry, table, real in _tables(game):
        certain = real[:, None] & real[None, :] & ((table <= 0) | (table >= 1))
        if certain.any():
            where = (*entry, *np.argwhere(certain)[0])
            raise ValueError(
                f"{method} needs finite scores, but {cell(where)} = {table[where[-2:]]:g} ({pair(where, game.items)}) "
                "has infinite log-odds: move the entry away from 0 and 1, or use a rule on win rates such as SPO."
            )


def validate_finite_rewards(game: Any, method: str) -> None:
    """Refuse a game without a finite Bradley-Terry reward.

    The reward that fits all pairs is finite iff no set of responses always loses to the others (Ford 1957, American
    Mathematical Monthly 64); 0/1 rock-paper-scissors passes.

    Raises `ValueError`, naming such a set. Tables that JAX is tracing pass unchecked, and so do oracles without one.

    >>> import nashpo
    >>> validate_finite_rewards(nashpo.Game.from_table([[0.5, 1.0], [0.0, 0.5]], items=["tea", "milk"]), "IterativeDPO")
    Traceback (most recent call last):
        ...
    ValueError: IterativeDPO needs a finite Bradley-Terry reward, but 'tea' always beats 'milk': move \
these win probabilities away from 0 and 1, or use a rule on win rates such as SPO.
    """
    for _, table, real in _tables(game):
        beats = (table > 0) & real[:, None] & real[None, :]
        losers, winners = _reached(beats, real), _reached(beats.T, real)
        if losers.all() and winners.all():
            continue
        losers, winners = (~winners & real, winners & real) if losers.all() else (losers & real, ~losers)
        raise ValueError(
            f"{method} needs a finite Bradley-Terry reward, but {_names(winners, game.items)} always "
            f"beat{'s' * int(winners.sum() == 1)} {_names(losers, game.items)}: move these win probabilities away "
            "from 0 and 1, or use a rule on win rates such as SPO."
        )


def _tables(game: Any) -> list[tuple[tuple[int, ...], np.ndarray, np.ndarray]]:
    """The table of every prompt with its index and which responses are not padding; none if there is no need."""
    traced = any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((game.oracle, game.reference)))
    if traced or game.scale == "score" or not hasattr(game.oracle, "table"):
        return []
    table, real = np.asarray(game.oracle.table()), np.asarray(game.reference.log_probs()) > 0.5 * LOG_ZERO
    many = len(table) > 1
    return [((x,) if many else (), table[x], real[x]) for x in range(len(table))]


def _reached(beats: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Which responses the first real one reaches along `beats`; padding counts as reached."""
    reached = ~real
    reached[np.argmax(real)] = True
    while True:
        more = reached | beats[reached].any(axis=0)
        if (more == reached).all():
            return reached
        reached = more


def _names(chosen: np.ndarray, items: tuple[str, ...] | None) -> str:
    """The first three of some responses, by name where there are names."""
    indices = np.flatnonzero(chosen)
    names = [repr(items[i]) if items else f"response {i}" for i in indices[:3]]
    more = f" and {len(indices) - 3} more" if len(indices) > 3 else ""
    return ", ".join(names) + more

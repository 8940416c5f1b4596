"""Counts of wins, and what they say about probabilities."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from nashpo.tables.table import PreferenceTable
from nashpo.validation.items import frame_items
from nashpo.validation.numbers import is_number
from nashpo.validation.wording import numeric

Ties = Literal["half", "drop", "error"]
Missing = Literal["half", "error"]


def from_wins(
    wins: Any,
    items: Sequence[str] | None = None,
    draws: Any = None,
    ties: Ties = "half",
    missing: Missing = "half",
    prior: float = 0.0,
    source: str | None = None,
) -> PreferenceTable:
    """Turn counts of wins into a preference table.

        P[i, j] = (wins[i, j] + draws[i, j] / 2 + prior) / (wins[i, j] + wins[j, i] + draws[i, j] + 2 prior)

    Args:
        wins: `[A, A]` (or `[X, A, A]`), how often i beat j; the diagonal is 0. Without `draws` a tie may
            already be counted as one half for each side.
        items: the A names; default: the columns of a DataFrame.
        draws: `[A, A]`, how often i and j tied (symmetric), or None.
        ties: what a draw is worth: `"half"` a win to each side, `"drop"` it is not counted, `"error"` if
            there is one. The last two need to see draws, so `"error"` also rejects fractional wins.
        missing: a pair that was never compared: `"half"` gives 0.5, `"error"` raises.
        prior: pseudo-wins added to both sides of every pair (1 is Laplace's rule).
        source: where the counts came from; put in front of messages.

    Returns:
        A table with `P + P^T = 1` exactly.

    Raises:
        ValueError: negative or non-finite counts, wins against itself, asymmetric draws, an unknown policy,
            a draw or a missing pair where that is an error.

    >>> from_wins([[0, 3], [1, 0]], items=["tea", "coffee"]).P
    array([[0.5 , 0.75],
           [0.25, 0.5 ]])
    >>> from_wins([[0, 3], [1, 0]], draws=[[0, 4], [4, 0]]).P[0, 1]
    np.float64(0.625)
    >>> from_wins([[0, 0], [0, 0]], items=["tea", "coffee"], missing="error")
    Traceback (most recent call last):
        ...
    ValueError: 'tea' and 'coffee' were never compared: add a match, or pass missing="half" to get 0.5.
    """
    at = f"{source}: " if source else ""
    require_choice("ties", ties, ("half", "drop", "error"))
    require_choice("missing", missing, ("half", "error"))
    if not is_number(prior, 0):
        raise ValueError(f"prior is {prior}, but must be a finite number of pseudo-wins, 0 or more.")
    items = frame_items(wins, items, source)
    names = frame_items(draws, None, source)
    if names is not None and items is not None and tuple(names) != tuple(items):
        raise ValueError(
            f"{at}the columns of draws are {list(names)[:3]}..., not {list(items)[:3]}...: use one header."
        )
    counts = _counts(wins, "wins", items, at)
    tied = _draws(draws, counts, ties, items, at)
    if ties == "half":
        counts = counts + tied / 2
    counts = counts + prior
    total = counts + counts.swapaxes(-1, -2)
    never = np.argwhere((total == 0) & ~np.eye(counts.shape[-1], dtype=bool))
    if len(never) and missing == "error":
        i, j = never[0][-2:]
        raise ValueError(
            f"{at}{_name(items, i)} and {_name(items, j)} were never compared: add a match, "
            'or pass missing="half" to get 0.5.'
        )
    share = np.divide(counts, total, out=np.full_like(counts, 0.5), where=total > 0)
    P = np.where(share >= 0.5, share, 1.0 - share.swapaxes(-1, -2))
    P[..., np.arange(P.shape[-1]), np.arange(P.shape[-1])] = 0.5
    return PreferenceTable(P, items or (), source=source)


def require_choice(name: str, value: object, choices: Sequence[str]) -> None:
    """Raise unless `value` is one of `choices`."""
    if value not in choices:
        raise ValueError(f"{name} is {value!r}, but must be one of {', '.join(map(repr, choices))}.")


def _counts(value: Any, what: str, items: Sequence[str] | None, at: str) -> np.ndarray:
    """A float64 array of counts: square, finite, non-negative, zero diagonal."""
    counts = numeric(value, None, f"{at}{what}").astype(np.float64)
    if counts.ndim not in (2, 3) or counts.shape[-1] != counts.shape[-2] or 0 in counts.shape:
        raise ValueError(f"{at}{what} has shape {counts.shape}, but must be square: [items, items].")
    wrong = np.argwhere(~(np.isfinite(counts) & (counts >= 0)))
    if len(wrong):
        entry = tuple(wrong[0])
        pair = f"{_name(items, entry[-2])} against {_name(items, entry[-1])}"
        raise ValueError(f"{at}{what} of {pair} is {counts[entry]:g}: a count is finite and not negative.")
    own = np.argwhere(np.diagonal(counts, axis1=-2, axis2=-1) != 0)
    if len(own):
        item = own[0][-1]
        value = float(np.diagonal(counts, axis1=-2, axis2=-1)[tuple(own[0])])
        hint = "this looks like a table of probabilities" if (counts <= 1).all() else "put 0 on the diagonal"
        pair = f"{_name(items, item)} against itself"
        raise ValueError(f"{at}{what} of {pair} is {value:g}, but must be 0: {hint}.")
    return counts


def _draws(draws: Any, counts: np.ndarray, ties: str, items: Sequence[str] | None, at: str) -> np.ndarray:
    """The checked draws, zeros without any; raises where `ties` cannot be kept."""
    if draws is None:
        split = np.argwhere(counts != np.floor(counts))
        if ties != "half" and len(split):
            i, j = split[0][-2:]
            value = float(counts[tuple(split[0])])
            raise ValueError(
                f"{at}wins of {_name(items, i)} against {_name(items, j)} is {value:g}, so ties are already "
                f'counted in halves: ties="{ties}" needs whole wins, and the draws apart.'
            )
        return np.zeros_like(counts)
    tied = _counts(draws, "draws", items, at)
    if tied.shape != counts.shape:
        raise ValueError(f"{at}draws has shape {tied.shape}, but wins has shape {counts.shape}.")
    wrong = np.argwhere(tied != tied.swapaxes(-1, -2))
    if len(wrong):
        i, j = wrong[0][-2:]
        raise ValueError(
            f"{at}draws of {_name(items, i)} and {_name(items, j)} differ from draws the other way round: "
            "a draw belongs to both, so the table must be symmetric."
        )
    if ties == "error" and tied.any():
        i, j = np.argwhere(tied)[0][-2:]
        raise ValueError(f'{at}{_name(items, i)} and {_name(items, j)} tied: pass ties="half" or ties="drop".')
    return tied


def _name(items: Sequence[str] | None, index: int) -> str:
    """An item in a message."""
    return repr(items[index]) if items is not None and index < len(items) else f"item {index}"

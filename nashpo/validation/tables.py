"""Preference tables."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nashpo.validation.items import frame_items
from nashpo.validation.wording import at, cell, numeric, pair, tolerance


def validate(
    P: Any,
    items: Sequence[str] | None = None,
    scale: str = "probability",
    source: str | None = None,
) -> np.ndarray:
    """Check a preference table and return it as a float array.

        scale "probability":  0 <= P <= 1,  P + P^T = 1       scale "score":  P = -P^T, finite

    Args:
        P: `[A, A]` or `[X, A, A]`; float32 and float64 keep their type, everything else becomes float64
            (half precision float32). `P[i, j]` is the payoff of action i against action j.
        items: names of the A actions, used in messages.
        scale: `"probability"` or `"score"` (log-odds).
        source: where the table came from (a path), put in front of messages.

    Returns:
        The same numbers. A table that is exact comes back bit for bit; pairs that are off by rounding (at most
        1e-6 in float64, 1e-5 in float32, 1e-3 in float16, 1e-2 in bfloat16) are made exact, `P <- (P + 1 - P^T) / 2`.

    Raises:
        ValueError: the table is not square, empty, not numeric, not finite, out of range or not constant-sum;
            a DataFrame's rows are in another order than its columns, or these than `items`.

    >>> validate([[0.5, 1.0], [0.0, 0.5]])
    array([[0.5, 1. ],
           [0. , 0.5]])
    >>> validate([[0.5, 0.9], [0.3, 0.5]], items=["tea", "coffee"])
    Traceback (most recent call last):
        ...
    ValueError: P[0, 1] + P[1, 0] = 1.2 (row 'tea' against column 'coffee'), but both must sum to 1: correct \
one of the two, or average them with P = (P + 1 - P.T) / 2.
    """
    frame_items(P, items, source)
    table = numeric(P, source)
    _check_shape(table, source)
    if scale not in ("probability", "score"):
        raise ValueError(f"scale is {scale!r}, but must be 'probability' or 'score'.")
    mirrored = table.swapaxes(-1, -2)
    with np.errstate(invalid="ignore", over="ignore"):
        total = table + mirrored
        if scale == "score":
            return table if (total == 0).all() else _repair_scores(table, mirrored, tolerance(P), items, source)
        if (total == 1).all() and table.min() >= 0:
            return table
        return _repair_probabilities(table, mirrored, tolerance(P), items, source)


def _check_shape(table: np.ndarray, source: str | None) -> None:
    """Raise unless the shape is `[A, A]` or `[X, A, A]` with A, X >= 1."""
    shape = table.shape
    if len(shape) not in (2, 3):
        raise ValueError(
            f"{at(source)}P has shape {shape}: a table is [actions, actions] or [prompts, actions, actions]."
        )
    if shape[-1] != shape[-2]:
        raise ValueError(
            f"{at(source)}P has {shape[-2]} rows and {shape[-1]} columns, but must be square: "
            "one row and one column per action, in the same order."
        )
    if 0 in shape:
        raise ValueError(f"{at(source)}P has shape {shape}: a game needs an action and a prompt.")


def _repair_probabilities(
    table: np.ndarray, mirrored: np.ndarray, tolerance: float, items: Sequence[str] | None, source: str | None
) -> np.ndarray:
    """Make a nearly constant-sum table exact, or say what is wrong with it."""
    _require_finite(table, items, source)
    skew = bool((np.abs(table + mirrored) <= tolerance * max(1.0, float(np.abs(table).max()))).all())
    outside = np.argwhere((table < -tolerance) | (table > 1 + tolerance))
    if len(outside):
        entry = tuple(outside[0])
        raise ValueError(
            f"{at(source)}{cell(entry)} = {table[entry]:.12g} ({pair(entry, items)}) is outside [0, 1]: "
            f"{_remedy(table, skew)}."
        )
    total = table + mirrored
    wrong = np.argwhere(np.abs(total - 1) > tolerance)
    if len(wrong):
        _reject_sum(tuple(wrong[0]), table, items, source, skew)
    margin = table - mirrored
    larger = np.minimum(0.5 + np.abs(margin) / 2, 1.0)
    exact = np.where(margin >= 0, larger, 1.0 - larger).astype(table.dtype)
    kept = (total == 1) & (table >= 0) & (mirrored >= 0)
    return np.where(kept, table, exact)


def _repair_scores(
    table: np.ndarray, mirrored: np.ndarray, tolerance: float, items: Sequence[str] | None, source: str | None
) -> np.ndarray:
    """Make a nearly skew-symmetric table exact, or say what is wrong with it."""
    _require_finite(table, items, source)
    wrong = np.argwhere(np.abs(table + mirrored) > tolerance * max(1.0, float(np.abs(table).max())))
    if len(wrong):
        entry = tuple(wrong[0])
        mirror = (*entry[:-2], entry[-1], entry[-2])
        hint = "scores are log-odds, S = -S.T, with zeros on the diagonal"
        if bool((np.abs(table + mirrored - 1) <= tolerance).all()):
            hint = 'this looks like a table of win probabilities, pass scale="probability"'
        raise ValueError(
            f"{at(source)}{cell(entry)} + {cell(mirror)} = {table[entry] + table[mirror]:.12g} "
            f"({pair(entry, items)}), but scores must cancel: {hint}."
        )
    return (table - mirrored) / 2


def _require_finite(table: np.ndarray, items: Sequence[str] | None, source: str | None) -> None:
    """Raise at the first NaN or infinity."""
    wrong = np.argwhere(~np.isfinite(table))
    if len(wrong):
        entry = tuple(wrong[0])
        value = "NaN" if np.isnan(table[entry]) else str(table[entry])
        raise ValueError(
            f"{at(source)}{cell(entry)} is {value} ({pair(entry, items)}): fill in a finite number "
            "(0.5 is the probability of a pair that was never compared)."
        )


def _reject_sum(
    entry: tuple[int, ...], table: np.ndarray, items: Sequence[str] | None, source: str | None, skew: bool
) -> None:
    """Raise for the first pair that does not sum to 1."""
    row, column = entry[-2:]
    if skew:
        advice = _remedy(table, skew)
    elif row == column:
        advice = "an action ties with itself, put 0.5 on the diagonal"
    else:
        advice = "correct one of the two, or average them with P = (P + 1 - P.T) / 2"
    mirror = (*entry[:-2], column, row)
    raise ValueError(
        f"{at(source)}{cell(entry)} + {cell(mirror)} = {table[entry] + table[mirror]:.12g} "
        f"({pair(entry, items)}), but both must sum to 1: {advice}."
    )


def _remedy(table: np.ndarray, skew: bool) -> str:
    """What a table that is no probability table probably is."""
    if skew and np.abs(table).max() <= 1:
        return "this looks like a table of margins 2 P - 1, pass (M + 1) / 2"
    if skew:
        return 'this looks like a table of scores (log-odds), pass scale="score"'
    if table.min() >= 0 and (np.abs(table + np.swapaxes(table, -1, -2) - 100) <= 1e-4).all():
        return "these look like percentages, divide them by 100"
    if table.min() >= 0:
        return 'if these are numbers of wins, use from_wins (a file: format="wins", or name it *.wins.csv)'
    return "a win probability lies between 0 and 1"

"""What comparisons are checked with, row by row, and how rows are drawn."""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from nashpo.tables.matches import LEFT_WORDS, RIGHT_WORDS
from nashpo.typing import Key
from nashpo.validation.keys import seed
from nashpo.validation.wording import numeric


def as_key(key: Key | int) -> Key:
    """A key of JAX, from a seed where a whole number is given.

    >>> as_key(3) == jax.random.key(3), as_key(jax.random.key(3)) == jax.random.key(3)
    (Array(True, dtype=bool), Array(True, dtype=bool))
    """
    if not isinstance(key, int | np.integer):
        return key
    return jax.random.key(seed(key))


def random(key: Key | int) -> np.random.Generator:
    """NumPy's generator for a key of JAX, or for a seed: the same key, the same numbers.

    >>> random(jax.random.key(3)).integers(100) == random(3).integers(100)
    np.True_
    """
    return np.random.default_rng(np.asarray(jax.random.key_data(as_key(key))).ravel())


def require_comparisons(data: Any, what: str) -> None:
    """Raise `ValueError` for data that are no comparisons.

    >>> require_comparisons([[0, 3], [1, 0]], "fit_bradley_terry")
    Traceback (most recent call last):
        ...
    ValueError: fit_bradley_terry: give Comparisons, made with from_wins, from_pairs or from_matches, and no list.
    """
    if not hasattr(data, "require_items"):
        kind = type(data).__name__
        raise ValueError(f"{what}: give Comparisons, made with from_wins, from_pairs or from_matches, and no {kind}.")


def checked_sides(left: Any, right: Any) -> tuple[np.ndarray, np.ndarray, bool]:
    """Both sides as arrays, and whether they are item numbers.

    Raises `ValueError` where their shapes differ, there are no rows, or a feature is not finite.

    >>> checked_sides([0, 1], [1, 2])[2], checked_sides([[0.5]], [[0.7]])[2]
    (True, False)
    """
    first, second = numeric(left, None, "left"), numeric(right, None, "right")
    if first.shape != second.shape or first.ndim not in (1, 2) or 0 in first.shape:
        raise ValueError(
            f"left has shape {first.shape} and right {second.shape}: give both item numbers [N], or both features "
            "[N, D], one row per comparison."
        )
    for name, side in (("left", first), ("right", second)):
        wrong = np.argwhere(~np.isfinite(side))
        if len(wrong):
            raise ValueError(f"{name}[{wrong[0][0]}] is {side[wrong[0][0]]}: item numbers and features are finite.")
    return first, second, first.ndim == 1


def broadcast_rows(name: str, value: Any, rows: int) -> np.ndarray:
    """Numbers `[N]` in float64 from as many, or from one for all.

    >>> broadcast_rows("votes", 3, 2).tolist()
    [3.0, 3.0]
    """
    array = numeric(value, None, name).astype(np.float64)
    if array.shape not in ((), (rows,)):
        raise ValueError(f"{name} has shape {array.shape}, but there are {rows} comparisons: give each one number.")
    return np.broadcast_to(array, rows).copy()


def checked_numbers(name: str, values: np.ndarray, count: int | None, what: str) -> np.ndarray:
    """Whole numbers from 0, below `count` if that is known.

    >>> checked_numbers("left", np.array([0.0, 7.0]), 5, "items")
    Traceback (most recent call last):
        ...
    ValueError: left[1] is 7, but there are only 5 items, numbered from 0.
    """
    wrong = np.flatnonzero(~((values >= 0) & (values == np.floor(values))))
    if len(wrong):
        raise ValueError(f"{name}[{wrong[0]}] is {values[wrong[0]]:g}: {what} are numbered 0, 1, 2, ...")
    over = np.flatnonzero(values >= count) if count is not None else []
    if len(over):
        raise ValueError(
            f"{name}[{over[0]}] is {values[over[0]]:g}, but there are only {count} {what}, numbered from 0."
        )
    return values.astype(int)


def checked_annotators(annotators: Any, rows: int) -> np.ndarray | None:
    """Annotator numbers `[N]`, or None.

    >>> checked_annotators([0, 2], 2).tolist()
    [0, 2]
    """
    if annotators is None:
        return None
    return checked_numbers("annotators", broadcast_rows("annotators", annotators, rows), None, "annotators")


def matches_in_rows(
    matches: Sequence[Sequence[Any]], names: Sequence[str], ties: str
) -> tuple[list[int], list[int], list[float], list[int] | None]:
    """Item numbers, shares and annotator numbers of matches that `nashpo.tables.from_matches` accepted.

    >>> matches_in_rows([("a", "b", "b", "Ann"), ("b", "a", "1", "Bob")], ["a", "b"], "half")
    ([0, 1], [1, 0], [0.0, 1.0], [0, 1])
    """
    number = {name: i for i, name in enumerate(names)}
    known: dict[Any, int] = {}
    rows: list[tuple[int, int, float, int]] = []
    named = {len(match) for match in matches} == {4}
    if not named and any(len(match) != 3 for match in matches):
        raise ValueError("some matches name an annotator and some do not: name one in every match, or in none.")
    for match in matches:
        left, right, winner = match[:3]
        word = str(winner).strip()
        if word in (left, right):
            share = float(word == left)
        else:
            share = 1.0 if word.lower() in LEFT_WORDS else 0.0 if word.lower() in RIGHT_WORDS else 0.5
        if share != 0.5 or ties != "drop":
            annotator = known.setdefault(match[3], len(known)) if named else 0
            rows.append((number[left], number[right], share, annotator))
    if not rows:
        raise ValueError("every match is a tie and ties are dropped: there is nothing to learn from.")
    left, right, share, annotators = (list(column) for column in zip(*rows, strict=True))
    return left, right, share, annotators if named else None


def halves(won: np.ndarray, votes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Whole votes `[N]` for left and for right, and 0 or 1 tie that is left over.

    >>> [part.tolist() for part in halves(np.array([2.5]), np.array([4.0]))]
    [[2], [1], [1]]
    """
    twice = np.rint(2 * won)
    wrong = np.flatnonzero((np.abs(twice - 2 * won) > 1e-6) | (votes != np.floor(votes)))
    if len(wrong):
        row = wrong[0]
        raise ValueError(
            f"row {row} has {won[row]:g} of {votes[row]:g} votes for left: only whole votes and half wins can be "
            'split by votes, use by="pairs".'
        )
    tied = (twice % 2).astype(int)
    left = ((twice - tied) / 2).astype(int)
    return left, votes.astype(int) - left - tied, tied


def systematic(groups: tuple[np.ndarray, np.ndarray], fraction: float, generator: np.random.Generator) -> np.ndarray:
    """A mask `[N]` of the rows of `fraction` of the units, in equal parts from every stratum.

    `groups` are the unit and the stratum of every row; a unit lies in one stratum.

    >>> units, strata = np.arange(10), np.repeat([0, 1], 5)
    >>> systematic((units, strata), 0.4, np.random.default_rng(0)).reshape(2, 5).sum(axis=1).tolist()
    [2, 2]
    """
    unit, first, member = np.unique(groups[0], return_index=True, return_inverse=True)
    order = generator.permutation(len(unit))
    order = order[np.argsort(groups[1][first][order], kind="stable")]
    steps = np.floor(np.arange(1, len(unit) + 1) * fraction + generator.uniform())
    chosen = np.zeros(len(unit), bool)
    chosen[order] = np.diff(steps, prepend=0.0) > 0
    return chosen[member]

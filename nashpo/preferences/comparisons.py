"""Who was compared with whom, how often, and who won: the data that preferences are learned from."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nashpo.preferences.rows import (
    broadcast_rows,
    checked_annotators,
    checked_numbers,
    checked_sides,
    halves,
    matches_in_rows,
    random,
    systematic,
)
from nashpo.tables import from_matches, from_wins
from nashpo.tables.wins import Ties
from nashpo.typing import Key
from nashpo.validation import validate_items
from nashpo.validation.items import frame_items
from nashpo.validation.numbers import is_positive, is_whole


def _counts(shape: Any) -> tuple[int | None, int | None]:
    """How many prompts and items there are, where that is said."""
    if shape is None:
        return None, None
    pair = tuple(shape) if isinstance(shape, Sequence) else ()
    if len(pair) != 2 or not is_whole(pair[0], 1) or not (pair[1] is None or is_whole(pair[1], 1)):
        raise ValueError(f"shape={shape!r}: give how many prompts and items there are, (X, A); A is None for features.")
    return pair


@dataclasses.dataclass(frozen=True, eq=False)
class Comparisons:
    """Comparisons of two responses to a prompt, one per row.

    Row n says that of `votes[n]` votes on prompt `prompts[n]` a share `share[n]` (a tie is half a vote) went to
    `left[n]` against `right[n]`. Responses are item numbers `[N]`, or feature vectors `[N, D]` where responses cannot
    be listed. Make one with `from_pairs`, `from_wins` or `from_matches`: they check.

    >>> data = Comparisons.from_pairs(left=[0, 1, 2], right=[1, 2, 0], share=[1.0, 0.5, 1.0])
    >>> len(data), data.shape, data.wins()[0].tolist()
    (3, (1, 3), [[0.0, 1.0, 0.0], [0.0, 0.0, 0.5], [1.0, 0.5, 0.0]])
    """

    left: np.ndarray
    """`[N]` item numbers or `[N, D]` features."""
    right: np.ndarray
    """Like `left`."""
    share: np.ndarray
    """`[N]`, in [0, 1]: the share of the votes that `left` got."""
    votes: np.ndarray
    """`[N]`, positive: how many votes there were."""
    prompts: np.ndarray
    """`[N]`: the number of the prompt."""
    shape: tuple[int, int | None]
    """`(X, A)`: how many prompts and items there are; `A` is None for features."""
    annotators: np.ndarray | None = None
    """`[N]`: the number of the annotator who voted, or None."""
    items: tuple[str, ...] | None = None
    """Names of the A items."""

    @classmethod
    def from_pairs(
        cls,
        left: Any,
        right: Any,
        share: Any = 1.0,
        votes: Any = 1.0,
        prompts: Any = 0,
        annotators: Any = None,
        items: Sequence[str] | None = None,
        shape: tuple[int, int | None] | None = None,
    ) -> Comparisons:
        """Comparisons row by row; by default `left` won one vote.

        `left` and `right` are item numbers `[N]` or features `[N, D]`; `share`, `votes` and `prompts` are `[N]` or one
        number for all, `annotators` `[N]` numbers from 0 or None. `items` names the items. `shape = (X, A)` says how
        many prompts and items there are; by default as many as occur (or are named).

        Raises `ValueError` naming the row: a share outside [0, 1], votes that are not positive, a number that is not
        whole or too large, an item against itself, features that are not finite.

        >>> Comparisons.from_pairs(np.eye(2), np.zeros((2, 2)), share=[1.0, 1.5])
        Traceback (most recent call last):
            ...
        ValueError: share[1] is 1.5: the share of the votes that left got lies between 0 and 1.
        """
        first, second, counted = checked_sides(left, right)
        rows = len(first)
        shares = broadcast_rows("share", share, rows)
        wrong = np.flatnonzero(~((shares >= 0) & (shares <= 1)))
        if len(wrong):
            raise ValueError(
                f"share[{wrong[0]}] is {shares[wrong[0]]:g}: the share of the votes that left got lies between 0 and 1."
            )
        count = broadcast_rows("votes", votes, rows)
        wrong = np.flatnonzero(~((count > 0) & np.isfinite(count)))
        if len(wrong):
            raise ValueError(
                f"votes[{wrong[0]}] is {count[wrong[0]]:g}: a comparison has a positive, finite number of votes."
            )
        contexts, known = _counts(shape)
        where = checked_numbers("prompts", broadcast_rows("prompts", prompts, rows), contexts, "prompts")
        contexts = int(where.max()) + 1 if contexts is None else contexts
        names = None
        if counted:
            known = len(items) if known is None and items is not None else known
            known = int(max(first.max(), second.max())) + 1 if known is None else known
            names = None if items is None else validate_items(items, known)
            first, second = (checked_numbers(n, v, known, "items") for n, v in (("left", first), ("right", second)))
            same = np.flatnonzero(first == second)
            if len(same):
                raise ValueError(
                    f"left[{same[0]}] and right[{same[0]}] are both item {first[same[0]]}: compare two different items."
                )
        shape = (contexts, known if counted else None)
        return cls(first, second, shares, count, where, shape, checked_annotators(annotators, rows), names)

    @classmethod
    def from_wins(cls, wins: Any, items: Sequence[str] | None = None) -> Comparisons:
        """Comparisons from counts: `wins[i, j]`, `[A, A]` or `[X, A, A]`, is how often i beat j (a tie is 1/2 each).

        One row for every pair that met, the lower number at the left. Items are named as the columns of a DataFrame.

        Raises `ValueError` for counts that are negative, not finite or not square, or wins against itself.

        >>> data = Comparisons.from_wins([[0, 3, 0], [1, 0, 2], [0, 2, 0]])
        >>> data.left.tolist(), data.right.tolist(), data.share.tolist(), data.votes.tolist()
        ([0, 1], [1, 2], [0.75, 0.5], [4.0, 4.0])
        """
        from_wins(wins, items)
        items = frame_items(wins, items)
        counts = np.array(wins, np.float64)
        counts = counts if counts.ndim == 3 else counts[None]
        prompts, left, right = np.nonzero(np.triu(counts + counts.swapaxes(-1, -2), 1))
        if not len(prompts):
            raise ValueError("wins has no win: there is nothing to learn from.")
        won, lost = counts[prompts, left, right], counts[prompts, right, left]
        shape = (len(counts), counts.shape[-1])
        return cls.from_pairs(left, right, won / (won + lost), won + lost, prompts, items=items, shape=shape)

    @classmethod
    def from_matches(
        cls,
        matches: Iterable[Sequence[Any]],
        items: Sequence[str] | None = None,
        ties: Ties = "half",
    ) -> Comparisons:
        """Comparisons from a list of matches `(left, right, winner)` or `(left, right, winner, annotator)`.

        Words and messages are those of `nashpo.tables.from_matches`: the winner is a name, `"left"`, `"right"`,
        `"tie"`, or a score. One row per match; annotators, if given for every match, are numbered as they appear.

        Raises `ValueError` for an unknown winner, a match against itself, a tie where `ties="error"`.

        >>> data = Comparisons.from_matches([("tea", "coffee", "tea"), ("coffee", "tea", "tie")])
        >>> data.items, data.left.tolist(), data.share.tolist()
        (('tea', 'coffee'), [0, 1], [1.0, 0.5])
        """
        rows = [tuple(match) for match in matches]
        for number, row in enumerate(rows, start=1):
            if len(row) not in (3, 4):
                raise ValueError(
                    f"match {number} has {len(row)} entries: give (left, right, winner) or one annotator more."
                )
        names = tuple(from_matches([row[:3] for row in rows], items, ties).items)  # type: ignore[misc]  of three
        left, right, share, annotators = matches_in_rows(rows, names, ties)
        return cls.from_pairs(left, right, share, annotators=annotators, items=names)

    def __repr__(self) -> str:
        """One line for people."""
        responses = "features" if self.shape[1] is None else f"{self.shape[1]} items"
        return f"Comparisons({len(self)} rows, {self.votes.sum():g} votes, {self.shape[0]} prompts, {responses})"

    def __len__(self) -> int:
        """How many rows there are."""
        return len(self.share)

    def take(self, rows: Any) -> Comparisons:
        """The comparisons of some rows: numbers, or a mask `[N]`.

        >>> Comparisons.from_pairs([0, 1], [1, 2]).take([1]).left.tolist()
        [1]
        """
        parts = {name: getattr(self, name)[rows] for name in ("left", "right", "share", "votes", "prompts")}
        annotators = None if self.annotators is None else self.annotators[rows]
        return dataclasses.replace(self, **parts, annotators=annotators)

    def with_features(self, features: Any) -> Comparisons:
        """The same comparisons with features in place of item numbers, `[A, D]` or `[X, A, D]`.

        Raises `ValueError` for features of another number of items or prompts.

        >>> Comparisons.from_pairs([0, 1], [1, 2]).with_features(np.eye(3)).left.tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
        """
        self.require_items("with_features")
        table = np.asarray(features, float)
        table = np.broadcast_to(table, (self.shape[0], *table.shape)) if table.ndim == 2 else table
        if table.ndim != 3 or table.shape[:2] != self.shape:
            raise ValueError(f"features has shape {np.shape(features)}, but there are {self.shape} [prompts, items].")
        left, right = table[self.prompts, self.left], table[self.prompts, self.right]
        checked_sides(left, right)
        return dataclasses.replace(self, left=left, right=right, shape=(self.shape[0], None), items=None)

    def wins(self) -> np.ndarray:
        """How often each item beat each other, `[X, A, A]`; ties and shares are parts of a win.

        >>> Comparisons.from_pairs([0, 0], [1, 1], share=[1.0, 0.5]).wins()[0].tolist()
        [[0.0, 1.5], [0.5, 0.0]]
        """
        self.require_items("wins")
        counts = np.zeros((*self.shape, self.shape[1]))  # type: ignore[arg-type]  items are numbered
        np.add.at(counts, (self.prompts, self.left, self.right), self.share * self.votes)
        np.add.at(counts, (self.prompts, self.right, self.left), (1 - self.share) * self.votes)
        return counts

    def split(self, key: Key | int, fraction: float = 0.2, by: str = "votes") -> tuple[Comparisons, Comparisons]:
        """Two parts, for training and held out; the second gets about `fraction` of the votes.

        `by="votes"`: from every row the same share of its votes, drawn without replacement, so that both parts know
        all pairs of many votes. `"pairs"`: whole pairs (rows, for features), the same share of every prompt: what was
        never seen. `"annotators"`: whole annotators. The same key, or seed, gives the same parts.

        Raises `ValueError` for a fraction outside (0, 1), an unknown `by`, votes that are not whole numbers and half
        wins (by votes), no annotators (by annotators), or where a part would be empty.

        >>> import jax
        >>> data = Comparisons.from_wins([[0, 30], [20, 0]])
        >>> [part.votes.tolist() for part in data.split(jax.random.key(0), 0.2)]
        [[40.0], [10.0]]
        """
        if not (is_positive(fraction) and fraction < 1):
            raise ValueError(f"fraction={fraction}: the part held out lies between 0 and 1.")
        generator = random(key)
        if by == "votes":
            held, won = self._drawn(generator, fraction)
            kept = self.votes - held
            parts = (self._with_votes(kept, self.share * self.votes - won), self._with_votes(held, won))
        elif by in ("pairs", "annotators"):
            chosen = systematic(self._units(by), fraction, generator)
            parts = (self.take(~chosen), self.take(chosen))
        else:
            raise ValueError(f'by={by!r}: choose "votes", "pairs" or "annotators".')
        if not all(map(len, parts)):
            raise ValueError(f"fraction={fraction}: one of the parts is empty, there are too few {by}.")
        return parts

    def require_items(self, what: str) -> None:
        """Raise `ValueError` unless responses are item numbers."""
        if self.shape[1] is None:
            raise ValueError(f"{what}: these comparisons are of features, but item numbers are needed.")

    def require_features(self, what: str) -> None:
        """Raise `ValueError` unless responses are feature vectors."""
        if self.shape[1] is not None:
            raise ValueError(f"{what}: these comparisons are of item numbers; give them with_features(...) first.")

    def _with_votes(self, votes: np.ndarray, won: np.ndarray) -> Comparisons:
        there = votes > 0
        share = np.divide(won, votes, out=np.zeros_like(votes), where=there)
        return dataclasses.replace(self, votes=votes, share=np.clip(share, 0.0, 1.0)).take(there)

    def _drawn(self, generator: np.random.Generator, fraction: float) -> tuple[np.ndarray, np.ndarray]:
        """Votes held out of every row, and how many of them left won."""
        won, lost, tied = halves(self.share * self.votes, self.votes)
        order = generator.permutation(len(self))
        ends = np.floor(np.cumsum(self.votes[order]) * fraction + generator.uniform())
        held = np.empty(len(self), int)
        held[order] = np.diff(ends, prepend=0.0).astype(int)
        held = np.minimum(held, won + lost + tied)
        ties = generator.hypergeometric(tied, won + lost, held)
        first = generator.hypergeometric(won, lost, held - ties)
        return held.astype(float), first + ties / 2

    def _units(self, by: str) -> tuple[np.ndarray, np.ndarray]:
        """What is held out as a whole, a number for every row, and the stratum of every row."""
        if by == "annotators":
            if self.annotators is None:
                raise ValueError('by="annotators": these comparisons do not say who voted.')
            return self.annotators, np.zeros(len(self), int)
        if self.shape[1] is None:
            return np.arange(len(self)), self.prompts
        low, high = np.minimum(self.left, self.right), np.maximum(self.left, self.right)
        return (self.prompts * self.shape[1] + low) * self.shape[1] + high, self.prompts

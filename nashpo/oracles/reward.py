"""Preferences that come from rewards: Bradley-Terry."""

from collections.abc import Sequence

import numpy as np

from nashpo.logspace import namespace
from nashpo.oracles.base import Enumerable, floating, logistic, require_array, require_opponent
from nashpo.oracles.blocks import blockwise
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scale
from nashpo.validation import validate_items
from nashpo.validation.items import frame_items
from nashpo.validation.numbers import is_number
from nashpo.validation.wording import cell, numeric

_NEWTON_STEPS = 200
"""More than any convergent fit needs; a fit that is still moving is an error."""


@record
class BradleyTerry(Enumerable):
    """One reward per response (Bradley, Terry 1952, Biometrika 39): preferences without cycles.

        P(i beats j) = 1 / (1 + exp(-(r_i - r_j)))        s(i beats j) = r_i - r_j

    for `scale="probability"` and `scale="score"`. Win rates never build the `A x A` table: scores cost O(A),
    probabilities go through the table in blocks, O(A) memory.

    Raises `ValueError` (when a game is made of it, or win rates are asked for) unless rewards are `[X, A]`.

    >>> model = BradleyTerry(np.log([[3.0, 1.0]]))
    >>> model.win_rates(np.array([[0.0, 1.0]])).tolist()
    [[0.75, 0.5]]
    """

    rewards: Array
    """`[X, A]`, in nats of odds; a constant per prompt changes nothing."""
    scale: Scale = static(default="probability")

    def __post_init__(self) -> None:
        """Whole numbers become floating-point ones."""
        object.__setattr__(self, "rewards", floating(self.rewards))

    @classmethod
    def fit(
        cls, wins: Array, prior: float = 0.0, items: Sequence[str] | None = None, scale: Scale = "probability"
    ) -> "BradleyTerry":
        """The rewards of largest likelihood, `sum_ij wins[i, j] log P(i beats j)`, by Newton's method in float64.

        `wins[i, j]`, `[A, A]` or `[X, A, A]`, is how often i beat j (a tie is half a win to each); `prior` adds as many
        wins to both sides of every pair (one half is Jeffreys' choice for a single pair, 1 Laplace's). Rewards sum
        to zero. Without a prior a finite answer exists iff from every item a chain of wins leads to every other
        (Ford 1957, Amer. Math. Monthly 64); `ValueError` names the items where it does not. `items` are names for
        messages.

        >>> np.exp(BradleyTerry.fit([[0, 9], [3, 0]]).rewards * 2).round(9).tolist()
        [[3.0, 0.333333333]]
        >>> BradleyTerry.fit([[0, 9], [0, 0]], items=["tea", "coffee"])
        Traceback (most recent call last):
            ...
        ValueError: 'tea' never lost to 'coffee', so no finite reward fits: add matches, drop these items, or pass \
a prior above 0.
        """
        items = frame_items(wins, items)
        counts = _counts(wins, prior)
        names = None if items is None else validate_items(items, counts.shape[-1])
        return cls(most_likely(counts if counts.ndim == 3 else counts[None], names, "prior"), scale)

    @property
    def shape(self) -> tuple[int, int]:
        """`(X, A)`."""
        require_array(self.rewards, "rewards", "[prompts, responses]")
        shape = self.rewards.shape
        if len(shape) != 2 or 0 in shape:
            raise ValueError(
                f"rewards has shape {tuple(shape)}, but must be [prompts, responses] (rewards[None] for a single "
                "prompt)."
            )
        return shape[0], shape[1]

    def check(self) -> None:
        """Raise `ValueError` for rewards that no game can be made of."""
        _ = self.shape
        wrong = np.argwhere(~np.isfinite(numeric(self.rewards, None, "rewards")))
        if len(wrong):
            entry = tuple(wrong[0])
            raise ValueError(f"{cell(entry, 'rewards')} is {np.asarray(self.rewards)[entry]}: rewards must be finite.")

    def win_rates(self, opponent: Array, key: Key | None = None) -> Array:
        """Expected payoff `[X, A]` of every response against an opponent's probabilities `[X, A]`."""
        require_opponent(opponent, self.shape)
        if self.scale == "score":
            return self.scores(opponent)
        return blockwise(_probabilities, self.rewards[..., None], opponent)

    def scores(self, opponent: Array) -> Array:
        """Expected log-odds `[X, A]` against an opponent, `sum_j q_j (r_i - r_j)`, O(A)."""
        xp = namespace(self.rewards, opponent)
        centre = xp.mean(self.rewards, axis=-1, keepdims=True)
        rewards = self.rewards - centre
        mean = xp.sum(opponent * rewards, axis=-1, keepdims=True)
        return rewards * xp.sum(opponent, axis=-1, keepdims=True) - mean

    def table(self) -> Array:
        """Every pairwise payoff, `[X, A, A]`."""
        return self._payoff(self.rewards[..., :, None] - self.rewards[..., None, :])

    def compare(self, key: Key, prompts: Array, left: Array, right: Array) -> Array:
        """The payoff `[B, K]` of response `left[b, k]` against `right[b, k]` for prompt `prompts[b]`."""
        return self._payoff(self.rewards[prompts[:, None], left] - self.rewards[prompts[:, None], right])

    def bound(self) -> float:
        """`max |payoff - value|`: that of the best response against the worst."""
        widest = np.max(np.ptp(np.asarray(self.rewards), axis=-1))
        return float(self._payoff(widest)) - self.value

    def _payoff(self, scores: Array) -> Array:
        return scores if self.scale == "score" else logistic(scores)


def _probabilities(rows: Array, columns: Array) -> Array:
    return logistic(rows - columns[:, 0])


def _counts(wins: Array, prior: float) -> np.ndarray:
    """Checked counts in float64 with the prior added, zero diagonal."""
    counts = np.array(numeric(wins, None, "wins"), np.float64)
    if counts.ndim not in (2, 3) or counts.shape[-1] != counts.shape[-2] or 0 in counts.shape:
        raise ValueError(f"wins has shape {counts.shape}, but must be [items, items] or [prompts, items, items].")
    wrong = np.argwhere(~(np.isfinite(counts) & (counts >= 0)))
    if len(wrong):
        entry = tuple(wrong[0])
        raise ValueError(f"{cell(entry, 'wins')} is {counts[entry]:g}: a count is finite and not negative.")
    own = np.argwhere((counts != 0) & np.eye(counts.shape[-1], dtype=bool))
    if len(own):
        entry = tuple(own[0])
        raise ValueError(f"{cell(entry, 'wins')} is {counts[entry]:g}: nobody wins against itself, put 0 there.")
    if not is_number(prior, 0):
        raise ValueError(f"prior is {prior}, but must be a finite number of wins, 0 or more.")
    counts += prior
    counts[..., np.arange(counts.shape[-1]), np.arange(counts.shape[-1])] = 0.0
    return counts


def most_likely(wins: np.ndarray, items: Sequence[str] | None, remedy: str) -> np.ndarray:
    """Rewards `[X, A]` of largest likelihood for counts `[X, A, A]`; `remedy` is the argument that messages name.

    Raises `ValueError` where there is none, naming the prompt (if there are several) and the items.

    >>> most_likely(np.array([[[0.0, 3.0], [3.0, 0.0]], [[0.0, 9.0], [0.0, 0.0]]]), None, "penalty")
    Traceback (most recent call last):
        ...
    ValueError: prompt 1: item 0 never lost to item 1, so no finite reward fits: add matches, drop these items, or \
pass a penalty above 0.
    """
    several = [f"prompt {x}: " for x in range(len(wins))] if len(wins) > 1 else [""]
    for contest, where in zip(wins, several, strict=True):
        _require_finite_fit(contest, items, where, remedy)
    return np.stack([_newton(contest, where, remedy) for contest, where in zip(wins, several, strict=True)])


def _require_finite_fit(wins: np.ndarray, items: Sequence[str] | None, where: str, remedy: str) -> None:
    """Raise unless chains of wins lead from every item to every other."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import connected_components

    count, label = connected_components(csr_array(wins > 0), directed=True, connection="strong")
    if count == 1:
        return
    for group in range(count):
        inside = label == group
        if not wins[np.ix_(~inside, inside)].any():
            raise ValueError(
                f"{where}{_listed(inside, items)} never lost to {_listed(~inside, items)}, so no finite reward fits: "
                f"add matches, drop these items, or pass a {remedy} above 0."
            )


def _listed(chosen: np.ndarray, items: Sequence[str] | None) -> str:
    """Up to four items of a mask, in words."""
    names = [repr(items[i]) if items is not None else f"item {i}" for i in np.flatnonzero(chosen).tolist()]
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _newton(wins: np.ndarray, where: str, remedy: str) -> np.ndarray:
    """Rewards of one contest that maximise the likelihood, summing to zero."""
    played = wins + wins.T
    rewards = np.zeros(len(wins))
    if len(wins) == 1:
        return rewards

    def loss(r: np.ndarray) -> float:
        return float(np.sum(wins * np.logaddexp(0.0, r[None, :] - r[:, None])))

    value = loss(rewards)
    for _ in range(_NEWTON_STEPS):
        P = logistic(rewards[:, None] - rewards[None, :])
        slope = np.sum(wins - played * P, axis=1)
        weight = played * P * P.T
        curvature = np.diag(weight.sum(axis=1)) - weight
        step = np.linalg.solve(curvature + weight.sum() / len(wins) ** 2, slope)
        step -= step.mean()
        size = 1.0
        while size > 1e-10 and loss(rewards + size * step) > value - 1e-4 * size * (slope @ step):
            size /= 2
        if np.abs(step).max() < 1e-9 * max(1.0, np.abs(rewards).max()):
            rewards = rewards + step
            return rewards - rewards.mean()
        rewards = rewards + size * step
        value = loss(rewards)
    raise ValueError(
        f"{where or 'wins: '}the rewards are still moving after {_NEWTON_STEPS} Newton steps, the counts are too "
        f"uneven for float64: pass a {remedy} above 0."
    )

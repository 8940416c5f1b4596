"""Judges of token sequences: functions of prompts and two answers, for tables and for `nashpo.oracles.Judge`.

Each is called with prompt numbers `[B]` and tokens `[B, K, L]`, end token `vocabulary`, and returns the probabilities
`[B, K]` that left is preferred; NumPy tokens are judged in NumPy, JAX tokens in JAX, where it may be compiled. Judges
with equal settings are equal.
"""

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np

from nashpo_games.arguments import generator
from nashpo_games.cyclic import rotation_table


@dataclass(frozen=True)
class MajorityJudge:
    """Rock-paper-scissors of the most frequent tokens; `token_majority` has the formula.

    >>> judge = MajorityJudge(gain=2.0, brevity=0.0)
    >>> judge(np.array([0]), np.array([[[0, 0, 1]]]), np.array([[[1, 3, 3]]])).round(3).tolist()
    [[0.881]]
    """

    vocabulary: int = 3
    length: int = 3
    gain: float = 2.0
    brevity: float = 0.3

    def __call__(self, prompts: Any, left: Any, right: Any) -> Any:
        """Win probabilities `[B, K]`."""
        xp, left, right, x = _read(self, prompts, left, right)
        (first, lead), (second, other) = (self._leader(xp, tokens) for tokens in (left, right))
        decided = (lead > 0) & (other > 0)
        cycle = xp.where(decided, _beats(xp, self.vocabulary)[first, second] * (lead + other) / 2, 0.0)
        aim = 1 + x % self.length
        off, other_off = (abs(_length(self, tokens) - aim) for tokens in (left, right))
        return _probability(self.gain * cycle - self.brevity * (off - other_off))

    def _leader(self, xp: Any, tokens: Any) -> tuple[Any, Any]:
        """The most frequent token and by how many it leads, 0 where two lead."""
        counts = (tokens[..., None] == np.arange(self.vocabulary)).sum(axis=-2)
        ordered = xp.sort(counts, axis=-1)
        return xp.argmax(counts, axis=-1), ordered[..., -1] - ordered[..., -2]


@dataclass(frozen=True)
class DuelJudge:
    """Rock-paper-scissors position by position; `token_duels` has the formula.

    >>> judge = DuelJudge(gain=2.0, bonus=0.0, cost=0.0)
    >>> answers = np.array([[[0, 3, 3]], [[0, 3, 3]]]), np.array([[[1, 1, 1]], [[1, 1, 1]]])
    >>> judge(np.array([0, 1]), *answers).round(3).tolist()
    [[0.881], [0.119]]
    """

    vocabulary: int = 3
    length: int = 3
    gain: float = 2.0
    decay: float = 0.7
    bonus: float = 0.6
    cost: float = 0.1

    def __call__(self, prompts: Any, left: Any, right: Any) -> Any:
        """Win probabilities `[B, K]`."""
        xp, left, right, x = _read(self, prompts, left, right)
        beats = xp.pad(_beats(xp, self.vocabulary), ((0, 1), (0, 1)))
        duels = (beats[left, right] * self.decay ** np.arange(self.length)).sum(axis=-1)
        favourite = (x % self.vocabulary)[..., None]
        has, other_has = ((tokens == favourite).any(axis=-1) * 1.0 for tokens in (left, right))
        longer = _length(self, left) - _length(self, right)
        turn = 1 - 2 * (x % 2)
        return _probability(self.gain * turn * duels + self.bonus * (has - other_has) - self.cost * longer)


@dataclass(frozen=True)
class FeatureJudge:
    """A general preference model of random features of tokens and bigrams; `token_features` has the formula.

    >>> judge = FeatureJudge(prompts=1)
    >>> pair = np.array([[[0, 1, 1]]]), np.array([[[2, 3, 3]]])
    >>> both = judge(np.array([0]), *pair) + judge(np.array([0]), *pair[::-1])
    >>> both.round(12).tolist()
    [[1.0]]
    """

    vocabulary: int = 3
    length: int = 3
    prompts: int = 2
    d: int = 12
    seed: int = 0
    temperature: float = 0.3

    def __call__(self, prompts: Any, left: Any, right: Any) -> Any:
        """Win probabilities `[B, K]`."""
        xp, left, right, x = _read(self, prompts, left, right)
        weights = xp.asarray(_projections(self.vocabulary, self.prompts, self.d, self.seed))[x]
        v, w = (self._embed(xp, tokens, weights) for tokens in (left, right))
        scores = (v[..., 0::2] * w[..., 1::2] - v[..., 1::2] * w[..., 0::2]).sum(axis=-1)
        return _probability(scores / self.temperature)

    def _embed(self, xp: Any, tokens: Any, weights: Any) -> Any:
        """Points of length one, `[..., d]`."""
        V = self.vocabulary
        counts = (tokens[..., None] == np.arange(V)).sum(axis=-2)
        pairs = xp.where((tokens[..., 1:] < V) & (tokens[..., :-1] < V), tokens[..., :-1] * V + tokens[..., 1:], -1)
        bigrams = (pairs[..., None] == np.arange(V * V)).sum(axis=-2)
        features = xp.concatenate([xp.ones_like(counts[..., :1]), counts, bigrams], axis=-1)
        points = (features[..., None] * weights).sum(axis=-2)
        return points / xp.sqrt((points**2).sum(axis=-1, keepdims=True))


@dataclass(frozen=True)
class LengthBiasedJudge:
    """A judge of duels who sometimes just takes the longer answer; `token_length_bias` has the formula.

    >>> LengthBiasedJudge(bias=1.0)(np.array([0]), np.array([[[0, 0, 0]]]), np.array([[[1, 3, 3]]])).round(3).tolist()
    [[0.833]]
    """

    vocabulary: int = 3
    length: int = 3
    gain: float = 2.0
    decay: float = 0.7
    bias: float = 0.2

    def __call__(self, prompts: Any, left: Any, right: Any) -> Any:
        """Win probabilities `[B, K]`."""
        content = DuelJudge(self.vocabulary, self.length, self.gain, self.decay, bonus=0.0, cost=0.0)
        _, spoken, other, _ = _read(self, prompts, left, right)
        longer = _length(self, spoken) - _length(self, other)
        return (1 - self.bias) * content(prompts, left, right) + self.bias * (0.5 + longer / (2 * self.length))


def _read(judge: Any, prompts: Any, left: Any, right: Any) -> tuple[Any, Any, Any, Any]:
    """The array library, both answers with nothing but end tokens after the end, and prompts as wide as they are."""
    from nashpo.logspace import namespace
    from nashpo.policies import Answers

    answers, xp = Answers(judge.vocabulary, judge.length, end=True), namespace(left, right)
    left, right = (xp.where(answers.inside(tokens), tokens, judge.vocabulary) for tokens in (left, right))
    prompts = xp.asarray(prompts)
    return xp, left, right, prompts.reshape(prompts.shape + (1,) * (left.ndim - 2))


def _length(judge: Any, tokens: Any) -> Any:
    """How many tokens come before the end."""
    return (tokens < judge.vocabulary).sum(axis=-1)


def _beats(xp: Any, vocabulary: int) -> Any:
    """1 where the row's token beats the column's, -1 where it loses: each beats the (V - 1) // 2 that follow it."""
    return xp.asarray(2 * rotation_table(vocabulary, 1.0) - 1)


def _probability(log_odds: Any) -> Any:
    from nashpo.oracles.base import logistic

    return logistic(log_odds)


@functools.lru_cache(maxsize=16)
def _projections(vocabulary: int, prompts: int, d: int, seed: int) -> np.ndarray:
    """Weights `[X, 1 + V + V^2, d]` of a constant, tokens and bigrams."""
    return generator(seed).standard_normal((prompts, 1 + vocabulary + vocabulary**2, d))

"""How well an oracle foretells votes it has not seen: likelihood, accuracy, cycles, calibration."""

from typing import NamedTuple

import jax
import numpy as np

from nashpo.oracles.base import Oracle
from nashpo.preferences.comparisons import Comparisons
from nashpo.preferences.rows import require_comparisons
from nashpo.validation.numbers import is_positive, is_whole

_TIE = 1e-9
"""A win probability this close to 1/2 foretells nothing."""


def win_probabilities(oracle: Oracle, data: Comparisons) -> np.ndarray:
    """How likely the oracle says left wins and right wins, `[N, 2]`: both, because one minus the other rounds.

    An oracle that answers at random is asked once, with a fixed key.

    Raises `ValueError` for an oracle that knows fewer prompts or items than were compared, or none of the features.

    >>> from nashpo.oracles import BradleyTerry
    >>> data = Comparisons.from_pairs([0], [1])
    >>> win_probabilities(BradleyTerry(np.log([[3.0, 1.0]])), data).tolist()
    [[0.75, 0.25]]
    """
    require_comparisons(data, "win_probabilities")
    known = getattr(oracle, "shape", None)
    if known is not None and not (data.shape[1] is None and hasattr(oracle, "answers")):
        data.require_items(type(oracle).__name__)
        most = (int(data.prompts.max()), int(max(data.left.max(), data.right.max())))
        if most[0] >= known[0] or most[1] >= known[1]:
            raise ValueError(
                f"prompt {most[0]} and item {most[1]} were compared, but the oracle knows {known[0]} prompts and "
                f"{known[1]} items."
            )
    sides = data.left[:, None], data.right[:, None]
    key = jax.random.key(0)
    both = [np.asarray(oracle.compare(key, data.prompts, *order))[:, 0] for order in (sides, sides[::-1])]
    payoffs = np.stack(both, axis=-1).astype(float)
    return payoffs if oracle.scale == "probability" else np.exp(-np.logaddexp(0.0, -payoffs))


def log_likelihood(oracle: Oracle, data: Comparisons) -> float:
    """The mean log-likelihood of a vote, in nats: `sum_n votes_n (y_n log p_n + (1 - y_n) log(1 - p_n)) / sum votes`.

    `y` is `share`. A coin gets `-log 2 = -0.693`; the best possible is minus the votes' entropy. Minus infinity where
    a certain win was lost.

    >>> from nashpo.oracles import BradleyTerry
    >>> data = Comparisons.from_pairs([0], [1], share=0.75, votes=4)
    >>> round(log_likelihood(BradleyTerry(np.log([[3.0, 1.0]])), data), 4)
    -0.5623
    """
    p = win_probabilities(oracle, data)
    shares = np.stack([data.share, 1 - data.share], axis=-1)
    with np.errstate(divide="ignore"):
        terms = np.where(shares > 0, shares * np.log(np.where(shares > 0, p, 1.0)), 0.0)
    return float(data.votes @ terms.sum(axis=-1) / data.votes.sum())


def accuracy(oracle: Oracle, data: Comparisons) -> float:
    """The share of votes for the side that the oracle prefers; half of them where it prefers neither (to 1e-9).

    >>> from nashpo.oracles import BradleyTerry
    >>> data = Comparisons.from_pairs([0, 0], [1, 1], share=[1.0, 0.0], votes=[3, 1])
    >>> accuracy(BradleyTerry(np.log([[3.0, 1.0]])), data), accuracy(BradleyTerry(np.zeros((1, 2))), data)
    (0.75, 0.5)
    """
    _, observed = _favourites(oracle, data)
    return float(data.votes @ observed / data.votes.sum())


def cyclic_comparisons(length: int, cycles: int = 1, votes: float = 1.0) -> Comparisons:
    """Cycles of preferences, one to a prompt: item i beats item i + 1 (modulo `length`), nothing else was compared.

    Raises `ValueError` for a length below 3.

    >>> data = cyclic_comparisons(3)
    >>> data.left.tolist(), data.right.tolist(), data.shape
    ([0, 1, 2], [1, 2, 0], (1, 3))
    """
    if not is_whole(length, 3) or not is_whole(cycles, 1):
        raise ValueError(f"length={length} and cycles={cycles}: a cycle has at least 3 items, and there is at least 1.")
    left = np.tile(np.arange(length), cycles)
    prompts = np.repeat(np.arange(cycles), length)
    return Comparisons.from_pairs(left, (left + 1) % length, votes=votes, prompts=prompts, shape=(cycles, length))


def cyclic_accuracy(oracle: Oracle, length: int, cycles: int = 1) -> float:
    """The share of the preferences in `cyclic_comparisons(length, cycles)` that an oracle of these items gets right.

    The cyclic preference accuracy of the general preference model's paper (Zhang et al. 2024,
    arXiv:2410.02197). A reward, which orders all items, gets at most `(length - 1) / length` of a cycle right; the
    Bradley-Terry fit of a cycle has equal rewards and gets half, a coin flip.

    >>> from nashpo.oracles import BradleyTerry
    >>> ordered = BradleyTerry(np.array([[3.0, 2.0, 1.0]]))
    >>> round(cyclic_accuracy(ordered, 3), 3), cyclic_accuracy(BradleyTerry(np.zeros((1, 3))), 3)
    (0.667, 0.5)
    """
    return accuracy(oracle, cyclic_comparisons(length, cycles))


class Calibration(NamedTuple):
    """What an oracle said beside what happened, in bins of what it said about its favourites.

    >>> from nashpo.oracles import BradleyTerry
    >>> data = Comparisons.from_pairs([0], [1], share=0.5, votes=10)
    >>> found = calibration(BradleyTerry(np.log([[3.0, 1.0]])), data)
    >>> found.low.round(3).tolist(), found.high.round(3).tolist(), found.error
    ([0.187], [0.813], 0.25)
    """

    predicted: np.ndarray
    """`[bins]`: the mean probability it gave its favourites, from 1/2 to 1."""
    observed: np.ndarray
    """`[bins]`: the share of the votes that the favourites got."""
    low: np.ndarray
    """`[bins]`: the lower end of the binomial interval of `observed`."""
    high: np.ndarray
    """`[bins]`: its upper end."""
    votes: np.ndarray
    """`[bins]`: how many votes; bins without votes are left out."""
    error: float
    """The expected calibration error, `sum_b votes_b |observed_b - predicted_b| / sum votes`."""
    confidence: float
    """How often the intervals are to cover the truth."""


def calibration(oracle: Oracle, data: Comparisons, bins: int = 10, confidence: float = 0.95) -> Calibration:
    """The reliability curve (Guo et al. 2017, arXiv:1706.04599, equations 2 and 3) of an oracle on votes.

    Which response is called left says nothing, so every comparison is read from the side that the oracle prefers: its
    probability is in [1/2, 1], cut into bins of equal width, and half a vote goes to each side where it prefers
    neither. Intervals are Clopper's and Pearson's (1934, Biometrika 26) for independent votes.

    Raises `ValueError` for fewer than one bin or a confidence outside (0, 1).

    >>> from nashpo.oracles import BradleyTerry
    >>> data = Comparisons.from_pairs([0, 1], [1, 0], share=[0.75, 0.25], votes=[40, 40])
    >>> found = calibration(BradleyTerry(np.log([[3.0, 1.0]])), data)
    >>> found.predicted.tolist(), found.observed.tolist(), found.error
    ([0.75], [0.75], 0.0)
    """
    from scipy.stats import beta

    if not is_whole(bins, 1) or not is_positive(confidence) or confidence >= 1:
        raise ValueError(f"bins={bins} and confidence={confidence}: at least one bin, and a confidence in (0, 1).")
    p, observed = _favourites(oracle, data)
    place = np.minimum((2 * bins * (p - 0.5) + 1e-9).astype(int), bins - 1)
    votes = np.bincount(place, data.votes, bins)
    there = votes > 0
    won = np.bincount(place, data.votes * observed, bins)[there]
    said = np.bincount(place, data.votes * p, bins)[there] / votes[there]
    votes = votes[there]
    lost, tail = np.maximum(votes - won, 0.0), (1 - confidence) / 2
    low = np.where(won > 0, beta.ppf(tail, np.maximum(won, 1e-9), lost + 1), 0.0)
    high = np.where(lost > 0, beta.ppf(1 - tail, won + 1, np.maximum(lost, 1e-9)), 1.0)
    error = float(np.sum(np.abs(won - votes * said)) / votes.sum())
    return Calibration(said, won / votes, low, high, votes, error, confidence)


def _favourites(oracle: Oracle, data: Comparisons) -> tuple[np.ndarray, np.ndarray]:
    """The probability `[N]` of the side that the oracle prefers, and the share of the votes that it got."""
    p = win_probabilities(oracle, data)
    margin = p[:, 0] - p[:, 1]
    observed = np.where(np.abs(margin) <= 2 * _TIE, 0.5, np.where(margin > 0, data.share, 1 - data.share))
    return p.max(axis=-1), observed

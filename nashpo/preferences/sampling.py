"""Votes drawn from an oracle that is known: data whose truth can be compared with what was learned."""

import numpy as np

from nashpo.oracles.base import EnumerableOracle, logistic
from nashpo.oracles.mixture import Mixture
from nashpo.preferences.comparisons import Comparisons
from nashpo.preferences.losses import check_noise
from nashpo.preferences.rows import random
from nashpo.typing import Key
from nashpo.validation.numbers import is_whole


def sample_comparisons(
    oracle: EnumerableOracle, key: Key | int, count: int, flip: float = 0.0, annotator: int | None = None
) -> Comparisons:
    """`count` single votes of an oracle, prompts and pairs drawn uniformly, each vote turned round with chance `flip`.

        left wins with probability (1 - 2 flip) P[x, left, right] + flip

    Votes on the same pair are one row. With `annotator` every row carries that number. The same key gives the same
    votes.

    Raises `ValueError` for a count below 1, fewer than two items, or a flip outside [0, 1/2).

    >>> import jax
    >>> from nashpo.oracles import BradleyTerry
    >>> data = sample_comparisons(BradleyTerry(np.log([[3.0, 1.0]])), jax.random.key(0), 4000)
    >>> data.votes.tolist(), bool(abs(data.share[0] - 0.75) < 0.03)
    ([4000.0], True)
    """
    check_noise(flip, 0.0)
    tables = _probabilities(oracle)
    return _drawn(tables, random(key), count, flip, annotator)


def sample_annotators(
    mixture: Mixture, key: Key | int, annotators: int, votes: int, flip: float = 0.0
) -> tuple[Comparisons, np.ndarray]:
    """Votes of annotators who belong to groups: the comparisons, and the group `[U]` of every annotator.

    Each of `annotators` belongs to one of `mixture.annotators`, drawn with the mixture's weights, and gives `votes`
    votes as `sample_comparisons`.

    Raises `ValueError` for fewer than one annotator or vote.

    >>> import jax
    >>> from nashpo.oracles import BradleyTerry
    >>> society = Mixture.of([BradleyTerry(np.array([[9.0, 0.0]])), BradleyTerry(np.array([[0.0, 9.0]]))])
    >>> data, groups = sample_annotators(society, jax.random.key(0), annotators=4, votes=8)
    >>> data.votes.tolist(), bool(np.all(np.abs(data.share - (groups == 0)) < 0.2))
    ([8.0, 8.0, 8.0, 8.0], True)
    """
    check_noise(flip, 0.0)
    if not is_whole(annotators, 1):
        raise ValueError(f"annotators={annotators}: at least one has to vote.")
    generator = random(key)
    tables = [_probabilities(group) for group in mixture.annotators]
    weights = np.asarray(mixture.weights, float)
    groups = generator.choice(len(tables), annotators, p=weights / weights.sum())
    drawn = [_drawn(tables[group], generator, votes, flip, u) for u, group in enumerate(groups)]
    names = ("left", "right", "share", "votes", "prompts", "annotators")
    left, right, *rest = (np.concatenate([getattr(part, name) for part in drawn]) for name in names)
    share, count, prompts, annotator = rest
    return Comparisons(left, right, share, count, prompts, drawn[0].shape, annotator), groups


def _probabilities(oracle: EnumerableOracle) -> np.ndarray:
    """The table of win probabilities `[X, A, A]` in float64."""
    table = np.asarray(oracle.table(), float)
    return table if oracle.scale == "probability" else np.asarray(logistic(table))


def _drawn(
    tables: np.ndarray, generator: np.random.Generator, count: int, flip: float, annotator: int | None
) -> Comparisons:
    contexts, items, _ = tables.shape
    if not is_whole(count, 1) or items < 2:
        raise ValueError(f"count={count} of {items} items: at least one comparison of at least two items is drawn.")
    left, right = np.triu_indices(items, 1)
    drawn = generator.multinomial(count, np.full(contexts * len(left), 1 / (contexts * len(left))))
    prompts, place = np.divmod(np.flatnonzero(drawn), len(left))
    votes = drawn[drawn > 0]
    chance = (1 - 2 * flip) * np.clip(tables[prompts, left[place], right[place]], 0.0, 1.0) + flip
    share = generator.binomial(votes, chance) / votes
    who = None if annotator is None else np.full(len(votes), annotator)
    return Comparisons(left[place], right[place], share, votes.astype(float), prompts, (contexts, items), who)

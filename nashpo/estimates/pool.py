"""A lower bound of the gap from policies that are there: history, reference, other runs."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from nashpo.estimates.bound import GapLowerBound, bound_of
from nashpo.estimates.value import sampled_advantages
from nashpo.game import Game
from nashpo.policies.base import Policy
from nashpo.preferences.rows import as_key
from nashpo.typing import Key
from nashpo.validation.numbers import is_whole


def pool_lower_bound(
    game: Game,
    policy: Policy,
    pool: Sequence[Policy],
    *,
    key: Key | int,
    rows: int = 1024,
    responses: int = 8,
    confidence: float = 0.9,
    resamples: int = 1000,
) -> GapLowerBound:
    """A lower bound of the duality gap: what the best policy of a pool gains against `policy`, twice.

        2 (V(nu, pi) - value) <= duality_gap(pi),    nu the best of the pool on one half of the samples

    The other half estimates the bound (`sampled_advantages`), so that the choice does not bias it upwards, and gives
    the percentile interval, resampled over rows. Policies are only sampled and evaluated, the oracle compares
    `rows * responses / 2` pairs for each member of the pool and as many for the best one. Members may be of any class;
    those of a `Mixture` are `mixture.member(m)`. The bound is tight where the pool holds the best response.

    Raises `ValueError` for an empty pool, fewer than 4 rows or a comparison that is not finite.

    >>> from nashpo.policies import Tabular
    >>> game = Game.from_table([[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]])
    >>> pool = [Tabular.from_probs(p) for p in np.eye(3)]
    >>> print(pool_lower_bound(game, pool[0], pool, key=jax.random.key(0)))
    duality gap >= 1 (estimate 1, 90% interval 1 to 1; pool[2], 512 rows of 8 responses)
    """
    pool = list(pool)
    if not pool:
        raise ValueError("the pool is empty: give at least one policy to play against the one in question.")
    if not is_whole(rows, 4):
        raise ValueError(f"rows={rows}: half of them choose, half of them measure; draw at least 4.")
    choosing, measuring, resampling = jax.random.split(as_key(key), 3)

    def advantages(member: Policy, key: Key) -> np.ndarray:
        return np.asarray(sampled_advantages(game, member, policy, key=key, rows=rows // 2, responses=responses))

    screening = 2.0 * np.array([advantages(member, choosing).mean() for member in pool])
    wrong = np.flatnonzero(np.isnan(screening))
    if len(wrong):
        raise ValueError(f"pool[{wrong[0]}]: a comparison or a log-probability is NaN; mend the oracle or the policy.")
    best = int(np.argmax(screening))
    measured = advantages(pool[best], measuring)
    bound = bound_of(measured, resampling, confidence, resamples, responses, pool[best], f"pool[{best}]")
    return dataclasses.replace(bound, member=best, screening=screening)

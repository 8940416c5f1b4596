"""Mixtures of stored policies whose responses can be listed."""

import functools
from typing import Any

import jax.numpy as jnp

from nashpo.logspace import log_softmax
from nashpo.stage import Blend, Opponent, Slot
from nashpo.typing import Array


def log_blend(blend: Blend, slots: dict[Slot, Any]) -> Array:
    """`sum_k a_k log pi_k`, `[X, A]`, not normalised.

    >>> from nashpo.policies import Tabular
    >>> certain = Tabular(jnp.array([[0.0, -1e9]]))
    >>> log_blend({"now": 2.0, "past1": -1.0}, {"now": certain, "past1": certain}).tolist()
    [[0.0, -1000000000.0]]
    """
    terms = [(jnp.asarray(slots[name].log_probs()), weight) for name, weight in blend.items()]
    return functools.reduce(jnp.add, [jnp.asarray(weight, log.dtype) * log for log, weight in terms])


def opponent_probs(opponents: tuple[Opponent, ...], slots: dict[Slot, Any]) -> Array:
    """`sum_j w_j nu_j`, `[X, A]`: the opponents in one, for a payoff is linear in the opponent."""
    return functools.reduce(jnp.add, [_weighted(opponent, slots) for opponent in opponents])


def _weighted(opponent: Opponent, slots: dict[Slot, Any]) -> Array:
    names = list(opponent.blend)
    single = len(names) == 1
    log = jnp.asarray(slots[names[0]].log_probs()) if single else log_softmax(log_blend(opponent.blend, slots))
    return jnp.asarray(opponent.weight, log.dtype) * jnp.exp(log)

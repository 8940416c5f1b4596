"""The learner that hits every target: closed-form updates of a table."""

import functools

import jax.numpy as jnp

from nashpo.game import Game
from nashpo.learners.targets import TARGETS
from nashpo.logspace import log_softmax
from nashpo.policies.base import EnumerablePolicy
from nashpo.policies.tabular import Tabular, running_mean, tabulate
from nashpo.stage import Blend, Opponent, Slot, Stage
from nashpo.struct import record
from nashpo.typing import Array, Key


@record
class Exact:
    """The point of a stage itself, for responses that can be listed.

        log pi_new = sum_k a_k log pi_k + target(. against sum_j w_j nu_j) + const

    A payoff is linear in the opponent, so opponents are mixed first and the oracle is asked once a stage.
    """

    def init(self, policy: EnumerablePolicy, like: Array) -> Tabular:
        """The table of any policy, in the precision of `like`."""
        return tabulate(policy, like)

    def carry(self, policy: Tabular) -> None:
        """Nothing is remembered between fits."""

    def fit(
        self, carry: None, key: Key, start: Tabular, slots: dict[Slot, Tabular], stage: Stage, game: Game
    ) -> tuple[None, Tabular, dict[str, Array]]:
        """The policy of a stage; `slots` maps names to policies."""
        anchor = _log_blend(stage.anchor, slots)
        if not stage.opponents:
            return carry, _normalised(log_softmax(anchor)), {}
        opponent = functools.reduce(jnp.add, [_opponent_probs(o, slots) for o in stage.opponents])
        addition = TARGETS[stage.target](stage, anchor, opponent, game, key)
        return carry, _normalised(log_softmax(anchor + addition.astype(anchor.dtype))), {}

    def average(self, average: Tabular, policy: Tabular, count: Array) -> Tabular:
        """The arithmetic mean of `count + 1` policies from the mean of `count` and one more."""
        return running_mean(average, policy, count)


def _normalised(log_probs: Array) -> Tabular:
    return Tabular(log_probs, normalised=True)


def _log_blend(blend: Blend, slots: dict[Slot, Tabular]) -> Array:
    terms = [(slots[name].log_probs(), weight) for name, weight in blend.items()]
    return functools.reduce(jnp.add, [jnp.asarray(weight, log.dtype) * log for log, weight in terms])


def _opponent_probs(opponent: Opponent, slots: dict[Slot, Tabular]) -> Array:
    names = list(opponent.blend)
    single = len(names) == 1
    log = slots[names[0]].log_probs() if single else log_softmax(_log_blend(opponent.blend, slots))
    return jnp.asarray(opponent.weight, log.dtype) * jnp.exp(log)

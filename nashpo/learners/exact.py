"""The learner that hits every target: closed-form updates of a table."""

from typing import Any

from nashpo.game import Game, check_enumerable
from nashpo.learners.blends import log_blend, opponent_probs
from nashpo.learners.targets import TARGETS
from nashpo.logspace import log_softmax
from nashpo.policies.base import EnumerablePolicy
from nashpo.policies.tabular import Tabular, mean_of_one, running_mean, tabulate
from nashpo.stage import Slot, Stage
from nashpo.struct import record
from nashpo.typing import Array, Key


@record
class Exact:
    """The point of a stage itself, for responses that can be listed.

        log pi_new = sum_k a_k log pi_k + target(. against sum_j w_j nu_j) + const

    A payoff is linear in the opponent, so opponents are mixed first and the oracle is asked once a stage.
    """

    def check(self, rule: Any, game: Game) -> None:
        """Refuse a game whose responses cannot be listed."""
        check_enumerable(game, type(rule).__name__, "give a learner from samples, for example learner=Sampled(0.01)")

    def init(self, policy: EnumerablePolicy, like: Array) -> Tabular:
        """The table of any policy, in the precision of `like`."""
        return tabulate(policy, like)

    def carry(self, policy: Tabular) -> None:
        """Nothing is remembered between fits."""

    def fit(
        self, carry: None, key: Key, start: Tabular, slots: dict[Slot, Tabular], stage: Stage, game: Game
    ) -> tuple[None, Tabular, dict[str, Array]]:
        """The policy of a stage; `slots` maps names to policies."""
        anchor = log_blend(stage.anchor, slots)
        if not stage.opponents:
            return carry, _normalised(log_softmax(anchor)), {}
        opponent = opponent_probs(stage.opponents, slots)
        addition = TARGETS[stage.target](stage, anchor, opponent, game, key)
        return carry, _normalised(log_softmax(anchor + addition.astype(anchor.dtype))), {}

    def mean(self, policy: Tabular, like: Array) -> Tabular:
        """A table."""
        return mean_of_one(policy, like)

    def average(self, average: Tabular, policy: Tabular, count: Array) -> Tabular:
        """The arithmetic mean of `count + 1` policies from the mean of `count` and one more."""
        return running_mean(average, policy, count)


def _normalised(log_probs: Array) -> Tabular:
    return Tabular(log_probs, normalised=True)

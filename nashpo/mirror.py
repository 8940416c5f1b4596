"""An update rule and a learner make a solver."""

import warnings
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.core import Tracer

from nashpo.game import Game, precision
from nashpo.learners.base import Learner
from nashpo.learners.exact import Exact
from nashpo.policies.base import Policy
from nashpo.stage import Slot, StepSizeWarning, UpdateRule
from nashpo.struct import record
from nashpo.typing import Array, Key


class MirrorState(NamedTuple):
    """What the next step needs."""

    slots: dict[Slot, Policy]
    """`"now"`, the past policies and the rule's own slots."""
    average: Policy | None
    """The mean of the iterates before `"now"`, where the rule reports it."""
    carry: Any
    step: Array


@record
class Mirror:
    """Runs the stages of `rule`, each one fitted by `learner`.

    >>> from nashpo.solvers import EGPO
    >>> solver = Mirror(EGPO(eta=1.0))
    >>> game = Game.from_table([[0.5, 1.0], [0.0, 0.5]], beta=0.1)
    >>> state, _ = solver.step(game, solver.init(game, game.reference), jax.random.key(0))
    >>> int(state.step)
    1
    """

    rule: UpdateRule
    learner: Learner = Exact()

    def check(self, game: Game, bound: float) -> None:
        """Refuse or warn of settings of the rule that do not fit the game."""
        with warnings.catch_warnings():
            if getattr(self.learner, "partial", False):
                warnings.simplefilter("ignore", StepSizeWarning)
            self.rule.check(game, bound)
        check = getattr(self.learner, "check", None)
        if check is not None:
            check(self.rule, game)

    def init(self, game: Game, start: Policy) -> MirrorState:
        """The state before the first step: every slot holds `start`."""
        like = precision(game)
        policy = self.learner.init(start, like)
        names = ("now", *self._past(), *self.rule.stored)
        average = self.learner.mean(policy, like) if self.rule.report == "average" else None
        return MirrorState(dict.fromkeys(names, policy), average, self.learner.carry(policy), jnp.zeros((), jnp.int32))

    def step(self, game: Game, state: MirrorState, key: Key) -> tuple[MirrorState, dict[str, Array]]:
        """One step of the rule: its stages in order, then its moves, then the history moves on."""
        like = precision(game)
        count = state.step.astype(like.dtype)
        slots = {"reference": self.learner.init(game.reference, like), **state.slots}
        carry, infos = state.carry, {}
        for index, stage in enumerate(self.rule.stages(game.beta, count)):
            fitted, policy, info = self.learner.fit(
                carry, jax.random.fold_in(key, index), slots[stage.start], slots, stage, game
            )
            carry = carry if stage.tentative else fitted
            slots[stage.write] = policy
            infos |= {f"{stage.write}_{name}": value for name, value in info.items()}
        kept = {name: slots[name] for name in state.slots}
        for slot, move in self.rule.moves(count).items():
            kept[slot] = _moved(move.when, slots[move.source], slots[slot])
        for newer, older in zip(("now", *self._past()), self._past(), strict=False):
            kept[older] = state.slots[newer]
        average = state.average
        if average is not None:
            average = self.learner.average(average, state.slots["now"], state.step)
        return MirrorState(kept, average, carry, state.step + 1), infos

    def policy(self, state: MirrorState) -> Policy:
        """The rule's answer."""
        return state.slots[self.rule.report] if state.average is None else state.average

    def last(self, state: MirrorState) -> Policy:
        """The last iterate."""
        return state.slots["now"]

    def _past(self) -> tuple[Slot, ...]:
        return tuple(f"past{age}" for age in range(1, self.rule.memory + 1))


def _moved(when: Any, source: Policy, kept: Policy) -> Policy:
    """`source` where `when` holds, else `kept`; nothing is copied where it is known which."""
    if not isinstance(when, Tracer):
        return source if when else kept
    return jax.tree.map(lambda new, old: jnp.where(when, new, old), source, kept)

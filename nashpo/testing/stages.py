"""The stages that a learner is asked for, where they point, and where one would end that is misread."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.game import Game
from nashpo.learners.targets import TARGETS
from nashpo.logspace import log_softmax
from nashpo.stage import Blend, Opponent, Stage, UpdateRule, against, pull
from nashpo.struct import record
from nashpo.typing import Array, Scalar

STAGES = {
    "a mirror step": Stage(pull(0.5, 0.2), against("now"), 0.5),
    "a step against a mixture": Stage(
        {"now": 1.3, "past1": -0.3},
        (Opponent(2.0, {"now": 1.0}), Opponent(-1.0, {"past1": 0.7, "reference": 0.3})),
        0.7,
        write="half",
    ),
    "an extrapolation": Stage({"now": 1.5, "past1": -0.5}),
    "a step of log-odds": Stage({"now": 1.0}, against("past1"), 0.3, target="score"),
}
"""What a learner is asked for: a pull and an opponent, momentum and a negative opponent, no opponent at all, scores."""

CLOSED = {
    "a step of a Bradley-Terry reward": Stage({"now": 1.0}, against("past1"), 0.3, target="bradley_terry"),
    "a step with the baseline 1/2": Stage({"now": 1.0}, against("now"), 0.8, target="win_rate_half_baseline"),
    "a step of policy gradient": Stage({"now": 1.0}, against("past1"), 0.3, target="policy_gradient"),
}
"""Further targets, for learners that hit them: samples lead to some of these from one policy only."""

_CROWD = Stage(
    {"now": 1.0}, (Opponent(4.0, {"now": 1.0}), Opponent(-3.0, {"past1": 1.7, "reference": -0.7})), 2.5, start="begin"
)
_PULLS = Stage({"now": 0.4, "reference": 1.6, "past1": -1.0}, against("now"), 0.5, start="begin")


def _met(stage: Stage, change: Callable[[Opponent], Opponent]) -> Stage:
    return dataclasses.replace(stage, opponents=tuple(map(change, stage.opponents)))


MISREAD: dict[str, tuple[Stage, Stage]] = {
    "weights of opponents": (_CROWD, _met(_CROWD, lambda opponent: Opponent(1.0, opponent.blend))),
    "signs of opponents": (_CROWD, _met(_CROWD, lambda opponent: Opponent(abs(opponent.weight), opponent.blend))),
    "all opponents but the first": (_CROWD, dataclasses.replace(_CROWD, opponents=_CROWD.opponents[:1])),
    "mixtures of opponents": (
        _CROWD,
        _met(_CROWD, lambda opponent: Opponent(opponent.weight, {next(iter(opponent.blend)): 1.0})),
    ),
    "who the opponents are": (_CROWD, _met(_CROWD, lambda opponent: Opponent(opponent.weight, {"now": 1.0}))),
    "eta": (_CROWD, dataclasses.replace(_CROWD, eta=1.0)),
    "half of eta": (_CROWD, dataclasses.replace(_CROWD, eta=_CROWD.eta / 2)),
    "the anchor": (_PULLS, dataclasses.replace(_PULLS, anchor={"now": 1.0})),
    "weights of the anchor": (_PULLS, dataclasses.replace(_PULLS, anchor=dict.fromkeys(_PULLS.anchor, 1 / 3))),
    "the reference in the anchor": (_PULLS, dataclasses.replace(_PULLS, anchor={"now": 0.4, "past1": -1.0})),
    "past policies in the anchor": (_PULLS, dataclasses.replace(_PULLS, anchor={"now": 0.4, "reference": 1.6})),
}
"""By what a learner may ignore: a stage, and the one that it then takes it for, a KL divergence of 0.1 or more away."""


@record
class Asking(UpdateRule):
    """A rule of one stage, to ask a learner whether it takes it."""

    stage: Stage

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """That stage."""
        return (self.stage,)


def target(slots: dict[str, Any], game: Game, stage: Stage) -> np.ndarray:
    """Where a stage points, computed apart for win rates and scores: log-probabilities `[X, A]`.

    >>> from nashpo.policies import Tabular
    >>> game, even = Game.from_table([[0.5, 1.0], [0.0, 0.5]]), Tabular.from_probs([0.5, 0.5])
    >>> np.exp(target({"now": even}, game, Stage({"now": 1.0}, against("now"), np.log(9.0)))).round(3).tolist()
    [[0.75, 0.25]]
    """
    logs = {slot: np.asarray(policy.log_probs(), float) for slot, policy in slots.items()}
    anchor = total = _blend(logs, stage.anchor)
    table = np.asarray(game.oracle.table())
    table = np.log(table / (1 - table)) if stage.target == "score" and game.scale == "probability" else table
    for opponent in stage.opponents:
        probs = np.exp(log_softmax(_blend(logs, opponent.blend)))
        if stage.target in ("win_rate", "score"):
            total = total + stage.eta * opponent.weight * np.einsum("xij,xj->xi", table, probs)
        else:
            added = TARGETS[stage.target](stage, jnp.asarray(anchor), jnp.asarray(probs), game, jax.random.key(0))
            total = total + np.asarray(added)
    return np.asarray(log_softmax(total))


def _blend(logs: dict[str, np.ndarray], blend: Blend) -> np.ndarray:
    return np.sum([weight * logs[slot] for slot, weight in blend.items()], axis=0)

"""Momentum on top of any rule: APO."""

from __future__ import annotations

import dataclasses
from typing import Any

from jax.core import Tracer

from nashpo.game import Game
from nashpo.solvers.spo import SPO
from nashpo.stage import Blend, Move, Opponent, Schedule, Slot, Stage, UpdateRule
from nashpo.struct import record
from nashpo.typing import Array, Scalar
from nashpo.validation.numbers import is_number

_ANSWER, _NEXT = "hat", "next_hat"


@record
class APO(UpdateRule):
    """Accelerated preference optimization (He et al. 2024, arXiv:2410.06293, algorithm 1 and appendix B).

    next_hat <- one step of `base` from now
    now      <- next_hat^(1 + momentum) hat^(-momentum),   hat <- next_hat;   answer: hat

    `base` is a rule: a class, which gets this `eta` (`base=IterativeDPO`), or an instance, which keeps its settings
    (`base=SPPO(0.1, "half")`) and whose `eta` must then be the same number; SPO where none is given. `momentum` is
    the paper's alpha, `0 <= momentum < 1`; with 0 the rule is `base`. With the rewards `r_i` of T base steps

        log hat = log start + eta sum_{i<T} (1 - alpha^(T-i)) / (1 - alpha) r_i,

    so APO is a step enlarged by 1 / (1 - alpha) with a lag. With a fixed reward r* (Bradley-Terry preferences)

        r*(best) - E_hat r* <= -log start(best) / gamma,  gamma = eta (T / (1-alpha) - alpha (1-alpha^T) / (1-alpha)^2),

    and with a response that dominates all others the last iterate converges at a rate enlarged by 1 / (1 - alpha).
    What fails: the paper's constant log((1-p)/p) in place of -log p, p = start(best), is violated for p above 0.41. The
    acceleration is one of step size: `base` with the step `eta / (1 - alpha)` is never slower on Bradley-Terry
    preferences. On cyclic preferences, for which nothing is proven, momentum is anti-optimistic: the iterates leave
    an equilibrium of frequency omega at `(eta omega)^2 / 2 (1 - alpha + 2 alpha^2) / (1 - alpha)^3` a step, 47 times as
    fast at 0.7 as without momentum. On a biased rock-paper-scissors large momentum makes the average of the iterates
    worse as well.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.8, 0.9], [0.2, 0.5, 0.7], [0.1, 0.3, 0.5]])
    >>> plain, fast = (nashpo.solve(game, APO(0.1, alpha), steps=100, every=100) for alpha in (0.0, 0.5))
    >>> bool(fast.trace["duality_gap"][-1] < plain.trace["duality_gap"][-1] / 10)
    True
    """

    eta: Schedule
    momentum: Scalar
    base: Any = None
    report = _ANSWER

    def __post_init__(self) -> None:
        """A class becomes the rule with this step size."""
        if isinstance(self.base, type):
            object.__setattr__(self, "base", self.base(self.eta))

    @property
    def _base(self) -> UpdateRule:
        return SPO(self.eta) if self.base is None else self.base

    @property
    def memory(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  only read
        """What the base remembers; the past is one of extrapolated policies."""
        return self._base.memory

    @property
    def stored(self) -> tuple[Slot, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]  only read
        """The answer and the slots of the base."""
        return (_ANSWER, *self._base.stored)

    @property
    def penalised(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]  only read
        """Whether the base is."""
        return self._base.penalised

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """The stages of the base, what they write to `"now"` kept apart, then the extrapolation."""
        stages, written = [], False
        for stage in self._base.stages(beta, step):
            stage = _reading_next(stage) if written else stage
            if stage.write == "now":
                stage, written = dataclasses.replace(stage, write=_NEXT), True
            stages.append(stage)
        blend = {_NEXT: 1.0 + self.momentum, _ANSWER: -self.momentum}
        return (*stages, Stage(blend, start=_NEXT, tentative=True))

    def moves(self, step: Array) -> dict[Slot, Move]:
        """The moves of the base, and the new answer."""
        return self._base.moves(step) | {_ANSWER: Move(_NEXT)}

    def check(self, game: Game, bound: float) -> None:
        """Refuse a base that is no rule, a momentum outside [0, 1) and two step sizes that disagree."""
        if not hasattr(self._base, "stages"):
            raise ValueError(f"APO(base={self.base!r}): the base is an update rule, for example base=SPPO.")
        super().check(game, bound)
        if not isinstance(self.momentum, Tracer) and not (is_number(self.momentum, 0.0) and self.momentum < 1):
            raise ValueError(
                f"APO(momentum={self.momentum}): momentum is at least 0 and below 1; nashpo.sweep takes a list of them."
            )
        if _ANSWER in self._base.stored:
            raise ValueError(f"APO(base={type(self._base).__name__}): the base has a slot {_ANSWER!r} of its own.")
        own, eta = getattr(self.base, "eta", None), self.eta
        if _number(own) and _number(eta) and own != eta:
            name = type(self.base).__name__
            raise ValueError(
                f"APO(eta={eta}, base={name}(eta={own})): two step sizes. Give the class, base={name}, or the same eta."
            )
        self._base.check(game, bound)


def _number(eta: object) -> bool:
    return isinstance(eta, int | float)


def _reading_next(stage: Stage) -> Stage:
    """A stage after the base has written `"now"`: it sees the new policy, which waits in a slot of its own."""
    opponents = tuple(Opponent(o.weight, _renamed(o.blend)) for o in stage.opponents)
    start = _NEXT if stage.start == "now" else stage.start
    return dataclasses.replace(stage, anchor=_renamed(stage.anchor), opponents=opponents, start=start)


def _renamed(blend: Blend) -> Blend:
    return {(_NEXT if slot == "now" else slot): weight for slot, weight in blend.items()}

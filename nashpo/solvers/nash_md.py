"""Mirror descent against an opponent that is pulled towards the reference: Nash-MD."""

import warnings

import numpy as np
from jax.core import Tracer

from nashpo.game import Game
from nashpo.stage import Opponent, Stage, StepSizeWarning, UpdateRule, pull, step_size
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Schedule
from nashpo.validation.numbers import is_number


@record
class NashMD(UpdateRule):
    """Nash mirror descent (Munos et al. 2023, arXiv:2312.00886, section 4).

    opponent = now^(1 - mix) ref^mix
    now <- now^(1 - eta beta) ref^(eta beta) exp(eta P(. beats opponent))

    The paper's opponent has `mix = eta beta`, the default; `mix = 0` is INPO. Every step obeys
    `KL(equilibrium || now') <= (1 - eta beta) KL(equilibrium || now) + 2 eta^2`, so that the decaying step
    `eta_t = 2 / (beta (t + 2))`, `eta=Harmonic()`, has `KL(equilibrium || now) <= 8 / (beta^2 (T + 1))` after T - 1
    steps from the reference.

    A constant step does not converge to the equilibrium: its limit is `now = BR(opponent)`, where the opponent, not
    the policy, is an equilibrium, that of the game with KL weight `beta / (1 - mix)`. The gap levels off above zero,
    but where the reference is the equilibrium already or the best response is the same to every opponent.
    A `mix` that is given keeps this limit however small the step, so only `mix=None` gains from a decaying one. IPO-MD
    and Nash-MD-PG with the same mixture have the same limit. The simulations of Zhou, Fazel, Du (2025,
    arXiv:2503.08942) run `mix = eta beta / 2`.

    >>> import nashpo
    >>> from nashpo.stage import Harmonic
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> constant = nashpo.solve(game, NashMD(eta=0.5), steps=2000, every=1000)
    >>> bool(constant.trace["duality_gap"][-1] > 1e-6)
    True
    >>> decaying = nashpo.solve(game, NashMD(eta=Harmonic()), steps=2000, every=1000)
    >>> bool(decaying.trace["duality_gap"][-1] < 1e-6)
    True
    """

    eta: Schedule
    mix: Schedule | None = None
    """Weight of the reference in the opponent, in [0, 1], or a schedule `mix(beta, step)`; `eta beta` if None."""

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """One mirror-descent step against the mixture."""
        eta = step_size(self.eta, beta, step)
        mix = eta * beta if self.mix is None else step_size(self.mix, beta, step)
        opponent = Opponent(1.0, {"now": 1.0 - mix, "reference": mix})
        return (Stage(pull(eta, beta), (opponent,), eta),)

    def check(self, game: Game, bound: float) -> None:
        """Refuse a weight of the reference outside [0, 1], warn of an `eta beta` above 1; and `UpdateRule.check`."""
        super().check(game, bound)
        eta, beta, first = self.eta, game.beta, np.zeros(())
        mix = step_size(eta, beta, first) * beta if self.mix is None else step_size(self.mix, beta, first)
        if isinstance(mix, Tracer) or is_number(mix, 0.0, 1 + 1e-6):
            return
        if self.mix is not None:
            raise ValueError(f"NashMD(mix={self.mix}): the weight of the reference in the opponent must be in [0, 1].")
        what = f"the weight of the reference in the opponent, eta beta, is {float(np.max(mix)):g}, above 1"
        warnings.warn(f"NashMD(eta={eta}): {what}; the paper's bound needs eta up to 1 / beta.", StepSizeWarning, 5)

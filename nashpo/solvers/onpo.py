"""Optimistic self-play: ONPO, which is optimistic multiplicative weights."""

import math

from nashpo.stage import Stage, UpdateRule, against, step_size
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Schedule


@record
class ONPO(UpdateRule):
    """Optimistic Nash policy optimization (Zhang et al. 2025, arXiv:2502.16852).

    base <- base exp(eta P(. beats now))
    now  <- base exp(eta P(. beats now))      against the policy before the step, as above

    In one line `log pi_{t+1} = log pi_t + eta (2 P pi_t - P pi_{t-1}) + const`: optimistic multiplicative weights,
    one oracle pass a step. The rule ignores `beta`: it solves the game without KL penalty.

    With `D = max_y log(1 / start(y))` and `0 < eta <= 1 / sqrt(2)`, the mean of the first T iterates has

        duality gap at beta = 0  <=  (2 / T) (D / eta + eta / 4).

    The answer is the last iterate. It converges linearly if the equilibrium is unique and `eta` small enough (the
    paper has 1/8), but the linear phase can begin very late where an equilibrium leaves responses out.

    The bound `4 sqrt(D) / T` at `eta = min(1/2, sqrt(D))`, as printed in the paper, does not hold for `D > 1`: with two
    responses, one always preferred, and a start of probability `exp(-10)` on it, the mean of the first 50
    iterates has a gap of 0.78, above the printed bound of 0.25.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    >>> result = nashpo.solve(game, ONPO(eta=0.5), steps=4000, every=4000)
    >>> bool(result.trace["duality_gap"][-1] < 1e-5)
    True
    """

    eta: Schedule
    stored = ("base",)
    penalised = False

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """The base learns, then the policy steps from it with the same win rates."""
        eta = step_size(self.eta, beta, step)
        return (
            Stage({"base": 1.0}, against("now"), eta, write="base", start="base"),
            Stage({"base": 1.0}, against("now"), eta),
        )

    def proven_step(self, beta: float, bound: float) -> float:
        """`1 / (sqrt(8) bound)`, for the average of the iterates; `bound` is 1/2 for win probabilities."""
        return 1.0 / (math.sqrt(8.0) * bound) if bound > 0 else math.inf

"""Self-play against oneself, answered by the average: SPO."""

from nashpo.stage import Stage, UpdateRule, against, step_size
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Schedule


@record
class SPO(UpdateRule):
    """Self-play preference optimization (Swamy et al. 2024, arXiv:2401.04056).

    now <- now exp(eta P(. beats now));  answer: the average of the iterates

    The answer is the arithmetic mean of the policies before the last. For every step size and number of steps T

        exploitability(answer) <= max_y log(1/start(y)) / (eta T) + eta / 8,

    so `eta = sqrt(8 log A / T)` brings it below `sqrt(log A / (2 T))` from a uniform start. The rule ignores `beta`: it
    solves the game without KL penalty. The last iterate moves away from an equilibrium of full support at every
    step, KL(equilibrium || now) never decreases.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    >>> result = nashpo.solve(game, SPO(eta=0.1), steps=1000, every=1000)
    >>> bool(result.trace["duality_gap"][-1] < 2 * (1.0987 / 100 + 0.1 / 8))
    True
    """

    eta: Schedule
    report = "average"
    penalised = False

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """One multiplicative-weights step."""
        return (Stage({"now": 1.0}, against("now"), step_size(self.eta, beta, step)),)

"""Extragradient: look ahead, then step from where you were."""

from nashpo.stage import Stage, UpdateRule, against, pull, step_size
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Schedule


@record
class EGPO(UpdateRule):
    """Extragradient preference optimization (Zhou, Fazel, Du 2025, arXiv:2503.08942).

    half <- now^(1 - eta beta) ref^(eta beta) exp(eta P(. beats now))
    now  <- now^(1 - eta beta) ref^(eta beta) exp(eta P(. beats half))

    For `0 < eta <= 1 / (beta + 1/2)` every step shrinks `KL(equilibrium || now)` by the factor `1 - eta beta` at
    least; close to the equilibrium by its square. Only the opponent is looked up at the half step, the anchor of
    both stages is `now`: the predictive form of Cen, Wei, Chi (2021, arXiv:2105.15186).

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> result = nashpo.solve(game, EGPO(eta=1 / 0.6), steps=100)
    >>> bool(result.trace["duality_gap"][-1] < 1e-9)
    True
    """

    eta: Schedule

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """Half step, whole step."""
        eta = step_size(self.eta, beta, step)
        anchor = pull(eta, beta)
        return (
            Stage(anchor, against("now"), eta, write="half", tentative=True),
            Stage(anchor, against("half"), eta),
        )

    def proven_step(self, beta: float, bound: float) -> float:
        """`1 / (beta + bound)`; `bound` is 1/2 for win probabilities."""
        return 1.0 / (beta + bound)

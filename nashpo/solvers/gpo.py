"""Self-play on scores instead of win rates: GPO."""

from nashpo.game import Game
from nashpo.stage import Stage, UpdateRule, against, step_size
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Schedule
from nashpo.validation.scores import validate_finite_scores


@record
class GPO(UpdateRule):
    """General preference optimization (Zhang et al. 2024, arXiv:2410.02197, section 5).

    now <- now exp(eta s(. beats now)),   s(y beats q) = sum_y' q(y') log(P(y beats y') / P(y' beats y))

    The answer is the last iterate; the paper's beta is `1 / eta`. The game that GPO plays is zero-sum in the
    log-odds s and not in P, so what it finds is another equilibrium than SPO's. With `|s| <= rho` the average of
    the iterates (`Averaged(GPO(eta))`) obeys

        max_y s(y beats average) <= max_y log(1/start(y)) / (eta T) + eta rho^2 / 2,

    which is the paper's O(1/sqrt(T)). What fails: that it finds the equilibrium of the preferences. On a
    biased rock-paper-scissors its limit has a duality gap in win rates that no step size removes, and its last
    iterate moves away from either. The loss has no KL penalty to a fixed reference, although equation 5.1 has one:
    the rule ignores `beta`. The authors' data script stores 2 s, a doubled eta.

    A table of win probabilities with a certain preference has infinite scores; `solve` refuses it with a
    `ValueError` that names the pair.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.4], [0.1, 0.5, 0.3], [0.6, 0.7, 0.5]])
    >>> nashpo.solve(game, GPO(eta=0.1), steps=500, every=500).policy.probs().round(3).tolist()
    [[0.0, 0.0, 1.0]]
    """

    eta: Schedule
    penalised = False

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """One multiplicative-weights step on scores."""
        return (Stage({"now": 1.0}, against("now"), step_size(self.eta, beta, step), target="score"),)

    def check(self, game: Game, bound: float) -> None:
        """Refuse infinite scores."""
        super().check(game, bound)
        validate_finite_scores(game, "GPO")

"""Extragradient: look ahead, then step from where you were."""

from nashpo.stage import Stage, UpdateRule, against, pull, step_size
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Schedule


@record
class EGPO(UpdateRule):
    """Extragradient preference optimization (Zhou, Fazel, Du 2025, arXiv:2503.08942).

    half <- now^(1 - eta beta) ref^(eta beta) exp(eta P(. beats now))
    now  <- now^(1 - eta beta) ref^(eta beta) exp(eta P(. beats half))

    For `0 < eta <= 1 / (beta + 1/2)`, from any start and with every step,

        KL(equilibrium || now')  <=  (1 - eta beta) KL(equilibrium || now),
        duality gap of half  <=  (2 beta + 1 / (2 beta)) (1 - eta beta)^(t + 1) / (eta beta) KL(equilibrium || start);

    close to the equilibrium KL and gap shrink by `(1 - eta beta)^2` a step, so that a gap g takes
    `log(gap of the start / g) / (-2 log(1 - eta beta))` steps: 231 for 1e-12 on the table of Pokemon types with
    `beta = 0.1`, `eta = 1 / (beta + 2)`; the formula says 232. Win rates with independent errors e_half, e_whole of
    mean zero add at most `eta^2 E max_y |e_half - e_whole|^2 / (2 - eta)` a step: it is a small step that makes it
    robust to noise, not the look ahead.

    The limit is within a factor of a few: at `eta = 4 / (beta + 1/2)`, `beta = 0.01`, 47 of 60 random 0/1 tables with
    six responses do not converge. A score game with payoffs in [-c, c] has c in the place of 1/2.

    Only the opponent is looked up at the half step, the anchor of both stages is `now`: the predictive form of Cen,
    Wei, Chi (2021, arXiv:2105.15186), not the textbook extragradient, whose iterates differ. One gradient step of
    learning rate lr on the online IPO loss with uniform pairs over A responses is a stage with
    `eta = 4 lr / (A beta)`; the `true_lr` of the authors' simulations is half of that and enters only their Nash-MD.

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

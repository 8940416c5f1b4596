"""Online mirror descent on the regularised game: INPO."""

from nashpo.stage import Stage, UpdateRule, against, pull, step_size
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Schedule


@record
class INPO(UpdateRule):
    """Iterative Nash policy optimization (Zhang et al. 2024, arXiv:2407.00617, algorithm 1).

    now <- now^(1 - eta beta) ref^(eta beta) exp(eta P(. beats now))

    The paper's eta is the inverse of ours. For `0 < eta <= 4 beta / (1 + 4 beta^2)` every step shrinks
    `KL(equilibrium || now)` by the factor `1 - eta beta`, without any assumption on the iterates; close to the
    equilibrium the last iterate converges iff `eta < 2 beta / (beta^2 + w^2)`, `w <= 1/2` the highest frequency of the
    game, and cycles above. So it takes of the order of `1 / beta^2` steps where EGPO takes `1 / beta`.

    The paper's own rate, `KL(equilibrium || now) <= 32 C^2 / (beta^2 (T + 1))` for the decaying step `eta=Harmonic()`,
    `C = max(beta max |log now/ref|, 1)`, holds and is loose. The step of its language-model runs, 200 at
    `beta = 0.00167`, is far outside what is proven. Its loss on labelled pairs has the mirror step as minimiser only
    for independent pairs drawn from `now`, not for the best and the worst of several responses.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> result = nashpo.solve(game, INPO(eta=0.38), steps=500)
    >>> bool(result.trace["duality_gap"][-1] < 1e-9)
    True
    """

    eta: Schedule

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """One mirror-descent step."""
        eta = step_size(self.eta, beta, step)
        return (Stage(pull(eta, beta), against("now"), eta),)

    def proven_step(self, beta: float, bound: float) -> float | None:
        """`beta / (beta^2 + bound^2)`; `bound` is 1/2 for win probabilities."""
        return 1.0 / (beta + bound * bound / beta) if beta > 0 else None

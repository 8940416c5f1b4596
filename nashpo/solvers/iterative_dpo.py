"""DPO again and again, its reference refreshed: iterative DPO."""

from nashpo.game import Game
from nashpo.stage import Stage, UpdateRule, against, step_size
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Schedule
from nashpo.validation.scores import validate_finite_rewards


@record
class IterativeDPO(UpdateRule):
    """Iterative direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290; a new reference each time).

    now <- now exp(eta r),   sum_b now_b (P(a beats b) - sigmoid(r_a - r_b)) = 0 for every a

    The population minimiser of the DPO loss with reference `now`, both responses drawn from `now` and one label for
    each pair (Rosset et al. 2024, arXiv:2404.03715, section 3); `eta = 1 / beta_DPO`. The reward `r` is the
    Bradley-Terry model closest to the preferences under `now`. If they are Bradley-Terry, `r` is their reward and
    the best response is found. In general `r = 0` iff every response beats `now` half of the time, so equilibria of
    full support are fixed points, and close to one `r = 4 (P(. beats now) - 1/2)`: the rule is SPO with step
    `4 eta`, and its last iterate moves away like SPO's. No convergence is proven for cyclic preferences. The rule
    ignores `beta`.

    Preferences that are certain in one direction (a set of responses that never loses to the others) have no finite
    reward; `solve` refuses them with a `ValueError` that names the responses.

    >>> import nashpo, numpy as np
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    >>> result = nashpo.solve(game, IterativeDPO(eta=0.1), steps=1)
    >>> np.asarray(result.policy.probs(), float).round(3).tolist()
    [[0.342, 0.329, 0.329]]
    """

    eta: Schedule
    penalised = False

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """One fit of the reward, one step along it."""
        return (Stage({"now": 1.0}, against("now"), step_size(self.eta, beta, step), target="bradley_terry"),)

    def check(self, game: Game, bound: float) -> None:
        """Refuse preferences without a finite Bradley-Terry reward."""
        super().check(game, bound)
        validate_finite_rewards(game, "IterativeDPO")

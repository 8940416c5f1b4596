"""Online IPO, in the two forms that are compared under this name."""

from nashpo.game import Game
from nashpo.solvers.inpo import INPO
from nashpo.stage import Stage, UpdateRule, against, step_size
from nashpo.struct import record, static
from nashpo.typing import Array, Scalar, Schedule


@record
class OnlineIPO(UpdateRule):
    """Online identity preference optimization (Calandriello et al. 2024, arXiv:2403.08635).

    One gradient step with learning rate `lr` on the loss, `h = log pi - log ref`,

        E[(h(y) - h(y') - (P(y beats mu) - P(y' beats mu)) / beta)^2],   eta = 4 lr / (A beta),

    in the logits of a table of A responses, where the opponent `mu = now` and the law of `y, y'` are constants:

    variant 1   y, y' uniform:   now <- now^(1 - eta beta) ref^(eta beta) exp(eta P(. beats now)), the step of INPO
    variant 2   y, y' from now:  now <- now exp(eta A now (P(. beats now) - value - beta (h - KL(now || ref))))

    Variant 1 is the form in the experiments of Zhou, Fazel, Du (2025, arXiv:2503.08942); its rates are those of INPO.
    Variant 2 is the published algorithm. It is softmax policy gradient, not a mirror step: the same limit, but each
    response learns at a speed proportional to its probability and no rate is proven.

    Raises `ValueError` for another variant.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> for variant in (1, 2):
    ...     result = nashpo.solve(game, OnlineIPO(eta=0.3, variant=variant), steps=2000, every=2000)
    ...     print(bool(result.trace["duality_gap"][-1] < 1e-9))
    True
    True
    """

    eta: Schedule
    variant: int = static(default=1)

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """One gradient step."""
        if self.variant == 1:
            return INPO(self.eta).stages(beta, step)
        eta = step_size(self.eta, beta, step)
        return (Stage({"now": 1.0}, against("now"), eta, target="policy_gradient"),)

    def proven_step(self, beta: float, bound: float) -> float | None:
        """That of INPO for variant 1; nothing is proven for variant 2."""
        return INPO(self.eta).proven_step(beta, bound) if self.variant == 1 else None

    def check(self, game: Game, bound: float) -> None:
        """Refuse another variant, and what `UpdateRule.check` refuses."""
        if self.variant not in (1, 2):
            raise ValueError(f"OnlineIPO(variant={self.variant!r}): the variants are 1 (mirror step) and 2 (gradient).")
        super().check(game, bound)

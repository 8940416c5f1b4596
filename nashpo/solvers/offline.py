"""One fit against the reference: the offline losses."""

from typing import Literal

from nashpo.game import Game
from nashpo.stage import Stage, UpdateRule, against, step_size
from nashpo.struct import record, static
from nashpo.typing import Array, Scalar, Schedule
from nashpo.validation.scores import validate_finite_rewards, validate_finite_scores

_TARGETS = ("win_rate", "win_rate_half_baseline", "bradley_terry", "score")


@record
class Offline(UpdateRule):
    """What an offline preference loss is minimised by: the reference answered once, `mu = reference`.

    "win_rate":       now <- reference exp(eta P(. beats mu)),      IPO (arXiv:2310.12036), eta = 1 / tau
    "bradley_terry":  now <- reference exp(eta r),                  DPO (arXiv:2305.18290, equation 4), eta = 1 / beta
    "score":          now <- reference exp(eta s(. beats mu)),      s the log-odds

    with `r` the Bradley-Terry reward that fits P under mu (`IterativeDPO`). `"win_rate_half_baseline"` is SPPO's step
    as published, taken once. Every step is the same fit, so that with the exact learner the answer is there after
    one, and with a learner from samples steps are further gradient steps on fresh pairs of the reference. With `eta =
    1 / beta` IPO ends at the best response to the reference in the game with weight `beta`. What fails: that one fit
    finds an equilibrium. The rule ignores `beta`.

    Raises `ValueError` for another target, and where there is no finite reward or score.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> once = nashpo.solve(game, Offline(eta=10.0), steps=1)
    >>> best = nashpo.best_response(game, game.reference)
    >>> bool(abs(once.policy.probs() - best.probs()).max() < 1e-6)
    True
    """

    eta: Schedule
    target: Literal["win_rate", "win_rate_half_baseline", "bradley_terry", "score"] = static(default="win_rate")
    penalised = False

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """The one fit."""
        eta = step_size(self.eta, beta, step)
        return (Stage({"reference": 1.0}, against("reference"), eta, target=self.target),)

    def check(self, game: Game, bound: float) -> None:
        """Refuse another target, and a game without finite rewards or scores for a target that needs them."""
        if self.target not in _TARGETS:
            raise ValueError(f"Offline(target={self.target!r}): the targets are {', '.join(map(repr, _TARGETS))}.")
        super().check(game, bound)
        if self.target == "bradley_terry":
            validate_finite_rewards(game, "Offline")
        if self.target == "score":
            validate_finite_scores(game, "Offline")

"""Self-play by a regression on win rates: SPPO."""

from typing import Literal

from nashpo.game import Game
from nashpo.stage import Stage, Target, UpdateRule, against, step_size
from nashpo.struct import record, static
from nashpo.typing import Array, Scalar, Schedule

_TARGETS: dict[str, Target] = {"exact": "win_rate", "half": "win_rate_half_baseline"}


@record
class SPPO(UpdateRule):
    """Self-play preference optimization by regression (Wu et al. 2024, arXiv:2405.00675, equations 4.2 to 4.7).

    exact:  now <- now exp(eta P(. beats now));                                  answer: the average of the iterates
    half:   now <- argmin_pi E_{y ~ now} (log pi(y) / now(y) - eta (P(y beats now) - 1/2))^2

    `baseline="exact"` is SPO: for every step size and number of steps T the answer obeys

        exploitability(answer) <= max_y log(1/start(y)) / (eta T) + eta / 8.

    `baseline="half"` is what is published and run: the loss with log Z replaced by eta / 2, minimised over
    normalised policies. Its minimiser solves `x + m exp(x) = eta (P(y beats now) - 1/2)`, `x` the log-ratio to
    `now` and `m = KL(now || next)`. It differs from the exact step by O(eta^3), `-KL(now || next)` times the target
    to leading order. What fails: that the two are the same algorithm at large eta. The exact step tends to the best
    response, the half step to `now max(P(. beats now) - 1/2, 0)`; the published eta is 1000, and no bound is
    proven there. The rule ignores `beta`.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.5], [0.1, 0.5, 0.4], [0.5, 0.6, 0.5]])
    >>> exact, half = (nashpo.solve(game, SPPO(1e4, baseline), steps=1).last for baseline in ("exact", "half"))
    >>> [abs(float(p)) for p in exact.probs()[0].round(3)], [round(float(p), 2) for p in half.probs()[0]]
    ([1.0, 0.0, 0.0], [0.8, 0.0, 0.2])
    """

    eta: Schedule
    baseline: Literal["exact", "half"] = static(default="exact")
    report = "average"
    penalised = False

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """One step of self-play."""
        target = _TARGETS[self.baseline]
        return (Stage({"now": 1.0}, against("now"), step_size(self.eta, beta, step), target=target),)

    def check(self, game: Game, bound: float) -> None:
        """Refuse a baseline that does not exist."""
        if self.baseline not in ("exact", "half"):
            raise ValueError(f'SPPO(baseline={self.baseline!r}): the baseline is "exact" or "half".')
        super().check(game, bound)

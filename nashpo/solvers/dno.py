"""Regression to the self-play step: DNO."""

from typing import Literal

from nashpo.game import Game
from nashpo.stage import Stage, UpdateRule, against, pull, step_size
from nashpo.struct import record, static
from nashpo.typing import Array, Scalar, Schedule


@record
class DNO(UpdateRule):
    """Direct Nash optimization (Rosset et al. 2024, arXiv:2404.03715, algorithm 1 and appendix A).

    None:       now <- now exp(eta P(. beats now))                                        (algorithm 1)
    "current":  now <- pulled exp(eta P(. beats now)),     pulled = now^(1 - eta beta) ref^(eta beta)   (option I)
    "pulled":   now <- pulled exp(eta P(. beats pulled))                                  (option II)

    The answer is the last iterate; the paper's eta is the inverse of ours. Every step of algorithm 1 beats the
    policy before it,

        P(next beats now) - 1/2 = (KL(next || now) + KL(now || next)) / eta,

    and its average obeys the bound of SPO (`Averaged(DNO(eta))`). What fails: that monotone improvement leads
    anywhere. In a cyclic game the identity holds at every step while KL(equilibrium || now) never decreases. Option I
    is INPO, with its proven step. Option II is Nash-MD with a constant step, `eta beta <= 1`: its distance obeys
    `KL' <= (1 - eta beta) KL + 2 eta^2` (Munos et al. 2023, arXiv:2312.00886), which stops short of the
    equilibrium: its fixed point is another policy.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> gaps = [
    ...     nashpo.solve(game, DNO(0.3, option), steps=800, every=800).trace["duality_gap"][-1]
    ...     for option in ("current", "pulled")
    ... ]
    >>> bool(gaps[0] < 1e-9), bool(gaps[1] > 1e-6)
    (True, True)
    """

    eta: Schedule
    regularization: Literal["current", "pulled"] | None = static(default=None)

    @property
    def penalised(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]  only read
        """With either regularisation."""
        return self.regularization is not None

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """The pull towards the reference where there is one, then one step of self-play."""
        eta = step_size(self.eta, beta, step)
        if self.regularization is None:
            return (Stage({"now": 1.0}, against("now"), eta),)
        if self.regularization == "current":
            return (Stage(pull(eta, beta), against("now"), eta),)
        pulled = Stage(pull(eta, beta), write="pulled", tentative=True)
        return (pulled, Stage({"pulled": 1.0}, against("pulled"), eta))

    def proven_step(self, beta: float, bound: float) -> float | None:
        """`beta / (beta^2 + bound^2)` for option I, where the last iterate converges."""
        return 1.0 / (beta + bound * bound / beta) if self.regularization == "current" and beta > 0 else None

    def check(self, game: Game, bound: float) -> None:
        """Refuse a regularisation that does not exist."""
        if self.regularization not in (None, "current", "pulled"):
            raise ValueError(
                f'DNO(regularization={self.regularization!r}): the options are None (algorithm 1), "current" '
                '(option I) and "pulled" (option II).'
            )
        super().check(game, bound)

"""Self-play against one's own history: time-dependent MNPO."""

from typing import Any, Literal

import jax.numpy as jnp
from jax.core import Tracer

from nashpo.game import Game
from nashpo.stage import Opponent, Slot, Stage, UpdateRule, against, step_size
from nashpo.struct import record, static
from nashpo.typing import Array, Scalar, Schedule
from nashpo.validation.numbers import is_number


@record
class MNPO(UpdateRule):
    """Multiplayer Nash preference optimization, time-dependent (Wu et al. 2025, arXiv:2509.23102, equations 10-17).

    now <- ref^(eta beta) (prod_j past_j^w_j)^(1 - eta beta) exp(eta P(. beats q)),   past_0 = now

    "mixture":  q = sum_j w_j past_j   (equation 14)
    "current":  q = now                (what pairs drawn from `now` deliver, equation 17)

    `history = (w_0, w_1, ...)` weighs the policies 0, 1, ... steps ago; weights are divided by their sum, and
    in the first steps by the sum over the policies that exist. `history=(1.0,)` is INPO. Whatever the weights, the
    only fixed point is the regularised equilibrium. With `m_k = sum_j j^k w_j`, growth per step close to an
    equilibrium without KL penalty, for the frequency omega of the game, is `c (eta omega)^2 / 2` with

        mixture: c = (1 - (m_2 - m_1^2) / (1 + m_1)^2) / (1 + m_1);    current: c = (1 - m_2) / (1 + m_1)^3.

    So a mixture of equal weights, or of up to five policies, moves away, more slowly than INPO; one that reaches far
    back with little weight, (0.9, 0, 0, 0, 0, 0, 0.1), does not. Against the current policy a history with
    `m_2 > 1`, for example three equal weights, converges in the last iterate without any KL penalty;
    (0.5, 0.5) and the authors' (0.25, 0.75) do not. No global rate is proven for more than one weight. What fails: the
    paper's average-iterate rate concerns games that are averages of pairs; with an oracle that ranks n responses
    at once the average of self-play need not approach an equilibrium.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]])
    >>> rules = MNPO(2.0, (1.0, 1.0, 1.0), "current"), MNPO(2.0)
    >>> runs = [nashpo.solve(game, rule, steps=1000, every=1000, start=[0.4, 0.35, 0.25]) for rule in rules]
    >>> [bool(run.trace["duality_gap"][-1] < 1e-4) for run in runs]
    [True, False]
    """

    eta: Schedule
    history: tuple[Scalar, ...] = (1.0,)
    opponents: Literal["mixture", "current"] = static(default="mixture")

    @property
    def memory(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  only read
        """One past policy for every weight but the first."""
        return len(self.history) - 1

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """One mirror-descent step from the geometric mean of the history."""
        eta, weights = step_size(self.eta, beta, step), self._weights(step)
        anchor: dict[Slot, Any] = {"reference": eta * beta}
        anchor |= {slot: (1.0 - eta * beta) * weight for slot, weight in weights.items()}
        mixture = tuple(Opponent(weight, {slot: 1.0}) for slot, weight in weights.items())
        opponents = mixture if self.opponents == "mixture" else against("now")
        return (Stage(anchor, opponents, eta),)

    def _weights(self, step: Array) -> dict[Slot, Any]:
        """The weights of the policies that exist at `step`; all on the current one if none has any."""
        known = [jnp.where(age <= step, weight, 0.0) for age, weight in enumerate(self.history)]
        total = sum(known[1:], known[0])
        safe = jnp.where(total > 0, total, 1.0)
        slots = ["now", *(f"past{age}" for age in range(1, len(known)))]
        weights = {slot: weight / safe for slot, weight in zip(slots, known, strict=True)}
        return weights | {"now": jnp.where(total > 0, weights["now"], 1.0)}

    def proven_step(self, beta: float, bound: float) -> float | None:
        """`beta / (beta^2 + bound^2)` for a history of one policy, which is INPO."""
        return 1.0 / (beta + bound * bound / beta) if len(self.history) == 1 and beta > 0 else None

    def check(self, game: Game, bound: float) -> None:
        """Refuse weights that are negative or all zero, and opponents that do not exist."""
        if self.opponents not in ("mixture", "current"):
            raise ValueError(f'MNPO(opponents={self.opponents!r}): opponents are "mixture" or "current".')
        if not hasattr(self.history, "__len__") or len(self.history) == 0:
            raise ValueError(
                f"MNPO(history={self.history}): give one weight for the current policy and one for each past one."
            )
        if not any(isinstance(weight, Tracer) for weight in self.history):
            wrong = [f"weight {age} is {w}" for age, w in enumerate(self.history) if not is_number(w, 0.0)]
            if wrong or sum(self.history) == 0:
                raise ValueError(
                    f"MNPO(history={tuple(self.history)}): {wrong[0] if wrong else 'every weight is 0'}; weights are "
                    "finite, at least 0 and not all 0."
                )
        super().check(game, bound)

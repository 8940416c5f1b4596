"""Mirror descent towards a magnet that now and then moves to the policy: MPO."""

import math

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nashpo.game import Game
from nashpo.stage import Move, Stage, UpdateRule, against, check_step_size, step_size
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Schedule
from nashpo.validation.numbers import is_number, is_positive


@record
class MPO(UpdateRule):
    """Magnetic preference optimization (Wang et al. 2024, arXiv:2410.16714).

    now <- [now  magnet^(eta alpha)  exp(eta P(. beats now))]^(1 / (1 + eta alpha))
    magnet <- now  at steps every, 2 every, ...

    The magnet begins at the run's start. Between two moves this is magnetic mirror descent (Sokota et al. 2022,
    arXiv:2206.05825), the INPO step `eta / (1 + eta alpha)` with the magnet as reference. It ends at the equilibrium
    of the game that is penalised by `alpha KL(. || magnet)`: for `0 < eta <= 4 alpha` every step shrinks the KL to it
    by `1 / (1 + eta alpha)`. If each magnet is that equilibrium exactly, moving it is a proximal-point method:
    KL(equilibrium || magnet) never increases for any equilibrium of the game without penalty, and the mean of K
    magnets has exploitability at most `alpha max_y log(1 / start(y)) / K`.

    So MPO solves the game without KL penalty; with `every` larger than the run, the game whose reference is the
    start. No uniform linear rate holds for the whole scheme: some random tables take thousands of steps. With an
    `every` too small the magnet never matters and the iterates cycle.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    >>> result = nashpo.solve(game, MPO(eta=0.4, every=100, alpha=0.1), steps=4000, every=4000)
    >>> bool(result.trace["duality_gap"][-1] < 1e-6)
    True
    """

    eta: Schedule
    every: Scalar
    """Steps between moves of the magnet."""
    alpha: Scalar | None = None
    """Weight of the KL to the magnet, in payoff units; the game's `beta` if None."""
    stored = ("magnet",)
    penalised = False

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """One step of magnetic mirror descent."""
        alpha = beta if self.alpha is None else self.alpha
        eta = step_size(self.eta, alpha, step)
        share = 1.0 / (1.0 + eta * alpha)
        return (Stage({"now": share, "magnet": eta * alpha * share}, against("now"), eta * share),)

    def moves(self, step: Array) -> dict[str, Move]:
        """The magnet jumps to the new policy after every `every` steps."""
        return {"magnet": Move("now", jnp.mod(step + 1, self.every) == 0)}

    def proven_step(self, beta: float, bound: float) -> float:
        """`alpha / bound^2`, for every stretch between two moves; `bound` is 1/2 for win probabilities."""
        alpha = beta if self.alpha is None else float(np.min(self.alpha))
        return alpha / bound / bound if bound > 0 else math.inf

    def check(self, game: Game, bound: float) -> None:
        """Refuse a magnet without weight or without a period, and what `UpdateRule.check` refuses."""
        alpha = game.beta if self.alpha is None else self.alpha
        if isinstance(alpha, Tracer) or isinstance(self.every, Tracer):
            return
        if not is_positive(alpha):
            source = "the game's beta, which is what alpha=None takes" if self.alpha is None else "alpha"
            raise ValueError(
                f"MPO(alpha={self.alpha}): the weight of the KL to the magnet must be positive and finite; "
                f"{source} is {alpha}. Give for example alpha=0.1."
            )
        counted = is_number(self.every, 1.0) and float(self.every).is_integer()
        if not counted and not (np.ndim(self.every) == 0 and self.every == math.inf):
            raise ValueError(f"MPO(every={self.every}): steps between moves of the magnet must be a whole number >= 1.")
        check_step_size(self, alpha if callable(self.eta) else game.beta, bound)

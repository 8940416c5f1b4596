"""Play in proportion to what one regrets not having played: predictive regret matching+."""

import warnings

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nashpo.game import Game
from nashpo.policies.base import EnumerablePolicy
from nashpo.policies.tabular import Tabular, tabulate
from nashpo.struct import record
from nashpo.summing import kahan_add
from nashpo.typing import Array, Key


class PenaltyIgnoredWarning(UserWarning):
    """The game has a KL penalty that the solver cannot play."""


@record
class RegretState:
    """Regrets and plays, in probabilities and payoff units, `[X, A]`."""

    regret: Array
    """Cumulative regrets, cut at zero."""
    play: Array
    average: Array
    lost: Array
    """What rounding has added to the average (Kahan's sum)."""
    step: Array


@record
class RegretMatching:
    """Predictive regret matching+ (Farina, Kroer, Sandholm 2021, arXiv:2007.14358, algorithm 2), in self-play.

    r       = P play - <play, P play>
    regret <- max(regret + r, 0)
    play   <- max(regret + r, 0) / sum       (the last regret predicts the next; unchanged where the sum is zero)

    The answer is the mean of the plays with weights `t^2`, t = 1, 2, ...; the first play is the start. After T steps

        exploitability(answer)  <=  6 T / ((T + 1)(2 T + 1))  max_y regret(y)  <=  (3 / T) max_y regret(y),

    as `regret - regret' >= r + ... + r'` for any two times and the weights grow. Regrets grow like sqrt(T) at most.
    There is no step size. A regret that is no larger than the rounding error of a win rate counts as none, so that
    the solver stays at an equilibrium.

    It solves the game without KL penalty: a game with `beta > 0` gets a `PenaltyIgnoredWarning` and is played as if
    `beta` were 0.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    >>> result = nashpo.solve(game, RegretMatching(), steps=1000, every=1000)
    >>> bool(result.trace["duality_gap"][-1] < 2e-3)
    True
    """

    def check(self, game: Game, bound: float) -> None:
        """Warn of a KL penalty, which this algorithm does not play."""
        if not isinstance(game.beta, Tracer) and np.any(np.asarray(game.beta) > 0):
            warnings.warn(
                f"RegretMatching solves the game without KL penalty; beta = {game.beta} is ignored, so the duality gap "
                "does not go to zero. Use EGPO for this game.",
                PenaltyIgnoredWarning,
                stacklevel=3,
            )

    def init(self, game: Game, start: EnumerablePolicy) -> RegretState:
        """The state before the first step: no regrets, the start is the first play."""
        play = tabulate(start, jnp.asarray(game.reference.log_probs())).probs()
        return RegretState(jnp.zeros_like(play), play, play, jnp.zeros_like(play), jnp.zeros((), jnp.int32))

    def step(self, game: Game, state: RegretState, key: Key) -> tuple[RegretState, dict[str, Array]]:
        """Regret the play, count it in, and choose the next."""
        gains = game.oracle.win_rates(state.play, key)
        regret_now = gains - jnp.sum(state.play * gains, axis=-1, keepdims=True)
        rounding = gains.shape[-1] * jnp.finfo(gains.dtype).eps * jnp.max(jnp.abs(gains), axis=-1, keepdims=True)
        regret_now = jnp.where(jnp.abs(regret_now) <= rounding, 0.0, regret_now).astype(state.play.dtype)
        regret = jnp.maximum(state.regret + regret_now, 0.0)
        wanted = jnp.maximum(regret + regret_now, 0.0)
        total = jnp.sum(wanted, axis=-1, keepdims=True)
        play = jnp.where(total > 0, wanted / jnp.where(total > 0, total, 1.0), state.play)
        t = state.step.astype(state.play.dtype) + 1.0
        move = (state.play - state.average) * (6.0 * t / ((t + 1.0) * (2.0 * t + 1.0)))
        average, lost = kahan_add(state.average, state.lost, move)
        return RegretState(regret, play, average, lost, state.step + 1), {}

    def policy(self, state: RegretState) -> Tabular:
        """The weighted average of the plays."""
        return Tabular.from_probs(state.average)

    def last(self, state: RegretState) -> Tabular:
        """The next play."""
        return Tabular.from_probs(state.play)

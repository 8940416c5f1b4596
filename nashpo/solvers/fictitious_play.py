"""Best responses to the past: fictitious play."""

import jax.numpy as jnp

from nashpo.game import Game
from nashpo.logspace import LOG_ZERO, log_softmax
from nashpo.policies.base import EnumerablePolicy
from nashpo.policies.tabular import Tabular, mean_of_one, running_mean, tabulate
from nashpo.struct import record
from nashpo.typing import Array, Key


@record
class PlayState:
    """What was played so far."""

    average: Tabular
    """The mean of the start and of every play since."""
    last: Tabular
    step: Array


@record
class FictitiousPlay:
    """Fictitious play (Brown 1951; Robinson 1951); smooth fictitious play where `beta > 0` (Fudenberg, Levine 1998).

    play    <- BR(average)
    average <- average + (play - average) / (t + 2),   t = 0, 1, ...

    `BR(q) = ref exp(P q / beta) / Z`; at `beta = 0` it is uniform over the responses with the highest win rate. The
    start counts as the first play. The answer is the average; `result.last` is the last play. The duality gap goes to
    zero in both games (Robinson 1951; Hofbauer, Sandholm 2002), at `beta = 0` without a useful rate: like
    `T^(-1/2)` in practice (Karlin's conjecture), arbitrarily slowly under adversarial tie-breaking (Daskalakis, Pan
    2014, arXiv:1412.4840). It is no mirror method: there is no step size and the play jumps.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    >>> result = nashpo.solve(game, FictitiousPlay(), steps=4000, every=4000)
    >>> bool(result.trace["duality_gap"][-1] < 0.02)
    True
    """

    def init(self, game: Game, start: EnumerablePolicy) -> PlayState:
        """The state before the first step: only the start has been played."""
        like = jnp.asarray(game.reference.log_probs())
        return PlayState(mean_of_one(start, like), tabulate(start, like), jnp.zeros((), jnp.int32))

    def step(self, game: Game, state: PlayState, key: Key) -> tuple[PlayState, dict[str, Array]]:
        """Best respond to the average, and count the play in."""
        gains = game.oracle.win_rates(state.average.probs(), key)
        play = Tabular(_respond(game, gains).astype(state.last.logits.dtype), normalised=True)
        average = running_mean(state.average, play, state.step + 1)
        return PlayState(average, play, state.step + 1), {}

    def policy(self, state: PlayState) -> Tabular:
        """The average of all plays."""
        return state.average

    def last(self, state: PlayState) -> Tabular:
        """The last play."""
        return state.last


def _respond(game: Game, gains: Array) -> Array:
    smooth = log_softmax(game.reference.log_probs() + gains / jnp.where(game.beta > 0, game.beta, 1.0))
    pure = log_softmax(jnp.where(gains >= jnp.max(gains, axis=-1, keepdims=True), 0.0 * gains, LOG_ZERO))
    return jnp.where(game.beta > 0, smooth, pure)

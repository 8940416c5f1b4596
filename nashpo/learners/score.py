"""The step of GPO: expected scores instead of win rates."""

from typing import Any, ClassVar

import jax.numpy as jnp

from nashpo.game import Game
from nashpo.oracles.table import Table
from nashpo.stage import Stage
from nashpo.struct import record
from nashpo.typing import Array, Key, Scale


def score(stage: Stage, anchor: Array, opponent: Array, game: Game, key: Key) -> Array:
    """`eta s(y beats opponent)`, `s = log(P / (1 - P))` the log-odds of every pair (arXiv:2410.02197, equation 5.3).

    A game of scores is asked for its payoffs, a game of win probabilities for its oracle's `scores`, which every
    oracle of the library has; another one may leave them to its table.
    """
    oracle = game.oracle if game.scale == "score" else LogOdds(game.oracle)
    return stage.eta * oracle.win_rates(opponent, key)


@record
class LogOdds:
    """An oracle of win probabilities, asked for log-odds `log(P / (1 - P))` instead; infinite where P is 0 or 1.

    >>> oracle = LogOdds(Table(jnp.array([[[0.5, 0.8], [0.2, 0.5]]])))
    >>> round(float(jnp.exp(oracle.compare(None, jnp.zeros(1, int), jnp.array([[0]]), jnp.array([[1]])))[0, 0]), 4)
    4.0
    """

    oracle: Any
    scale: ClassVar[Scale] = "score"

    def win_rates(self, opponent: Array, key: Key | None = None) -> Array:
        """Expected log-odds `[X, A]` against an opponent's probabilities `[X, A]`."""
        scores = getattr(self.oracle, "scores", None) or Table(self.oracle.table()).scores
        return scores(opponent)

    def compare(self, key: Key, prompts: Array, left: Any, right: Any) -> Array:
        """The log-odds `[B, K]` of left against right."""
        payoff = jnp.asarray(self.oracle.compare(key, prompts, left, right))
        if not hasattr(self.oracle, "table"):  # which may be costly to ask, as a judge
            return jnp.log(payoff) - jnp.log1p(-payoff)
        # One minus a probability that is nearly one rounds.
        return jnp.log(payoff) - jnp.log(jnp.asarray(self.oracle.compare(key, prompts, right, left)))

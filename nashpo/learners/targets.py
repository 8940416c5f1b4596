"""What a stage's step multiplies, computed exactly from the whole table.

Each target is a function `(stage, anchor, opponent, game, key)` that returns the log-ratio `[X, A]` to add to the
anchor (log-probabilities `[X, A]`), up to a constant per prompt. `opponent` is a mixture's probabilities `[X, A]`.
"""

from nashpo.game import Game
from nashpo.learners.policy_gradient import policy_gradient
from nashpo.stage import Stage
from nashpo.typing import Array, Key


def win_rate(stage: Stage, anchor: Array, opponent: Array, game: Game, key: Key) -> Array:
    """`eta P(y beats opponent)`, the target of every mirror method."""
    return stage.eta * game.oracle.win_rates(opponent, key)


TARGETS = {"win_rate": win_rate, "policy_gradient": policy_gradient}

"""What a stage's step multiplies, computed exactly from the whole table.

Each target is a function `(stage, anchor, opponent, game, key)` that returns the log-ratio `[X, A]` to add to the
anchor (log-probabilities `[X, A]`), up to a constant per prompt. `opponent` is a mixture's probabilities `[X, A]`.
"""

from nashpo.game import Game
from nashpo.learners.bradley_terry import bradley_terry
from nashpo.learners.half_baseline import win_rate_half_baseline
from nashpo.learners.policy_gradient import policy_gradient
from nashpo.learners.score import score
from nashpo.stage import Stage
from nashpo.typing import Array, Key


def win_rate(stage: Stage, anchor: Array, opponent: Array, game: Game, key: Key) -> Array:
    """`eta P(y beats opponent)`, the target of every mirror method."""
    return stage.eta * game.oracle.win_rates(opponent, key)


TARGETS = {
    "win_rate": win_rate,
    "win_rate_half_baseline": win_rate_half_baseline,
    "bradley_terry": bradley_terry,
    "score": score,
    "policy_gradient": policy_gradient,
}

"""The step of GPO: expected scores instead of win rates."""

from nashpo.game import Game
from nashpo.oracles.table import Table
from nashpo.stage import Stage
from nashpo.typing import Array, Key


def score(stage: Stage, anchor: Array, opponent: Array, game: Game, key: Key) -> Array:
    """`eta s(y beats opponent)`, `s = log(P / (1 - P))` the log-odds of every pair (arXiv:2410.02197, equation 5.3).

    A game of scores is asked for its payoffs, a game of win probabilities for its oracle's `scores`, which every
    oracle of the library has; another one may leave them to its table.
    """
    if game.scale == "score":
        return stage.eta * game.oracle.win_rates(opponent, key)
    scores = getattr(game.oracle, "scores", None) or Table(game.oracle.table()).scores
    return stage.eta * scores(opponent)

"""The step of GPO: expected scores instead of win rates."""

from nashpo.game import Game
from nashpo.stage import Stage
from nashpo.typing import Array, Key


def score(stage: Stage, anchor: Array, opponent: Array, game: Game, key: Key) -> Array:
    """`eta s(y beats opponent)`, `s = log(P / (1 - P))` the log-odds of every pair (arXiv:2410.02197, equation 5.3).

    A game of scores is asked for its payoffs, a game of win probabilities for its oracle's `scores`, or its table.
    """
    oracle = game.oracle
    return stage.eta * (oracle.win_rates(opponent, key) if game.scale == "score" else oracle.scores(opponent))

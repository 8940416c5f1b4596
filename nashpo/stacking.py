"""Several games as one, padded so that nothing changes."""

import math
from collections.abc import Iterable, Sequence

import numpy as np

from nashpo.game import Game, check_game, check_one_beta
from nashpo.logspace import LOG_ZERO
from nashpo.oracles.table import Table
from nashpo.policies.tabular import Tabular
from nashpo.typing import Scale


def stack(games: Sequence[Game]) -> Game:
    """One game with the prompts of all, ragged ones padded so that no result changes.

    A padding response has reference probability 0 and loses to every real one, so that neither a policy nor a
    best response ever puts weight on it. Games must agree in scale and `beta`; every game counts as much as
    its prompts are many, and item names are dropped where they differ.

    >>> from nashpo.policies import Tabular
    >>> small, large = (Game.from_table(np.full((n, n), 0.5), beta=0.1) for n in (2, 3))
    >>> stack([small, large]).shape
    (2, 3)
    """
    games = list(games) if isinstance(games, Iterable) else [games]
    if not games:
        raise ValueError("stack([]): give at least one game.")
    for game in games:
        check_game(game, "stack")
        check_one_beta(game, "stack")
    scales, betas = {g.scale for g in games}, {float(g.beta) for g in games}
    if len(scales) > 1 or len(betas) > 1:
        raise ValueError(f"stack: games must agree in scale and beta; these have {sorted(scales)} and {sorted(betas)}.")
    size = max(g.shape[1] for g in games)
    padded = [pad(g, size) for g in games]
    tables = np.concatenate([np.asarray(g.oracle.table()) for g in padded])
    logits = np.concatenate([np.asarray(g.reference.log_probs()) for g in padded])
    counts = [g.shape[0] for g in games]
    weights = np.concatenate([np.asarray(g.prompts) * c / sum(counts) for g, c in zip(games, counts, strict=True)])
    names = games[0].items if len({g.items for g in games}) == 1 else None
    return Game(Table(tables, games[0].scale), Tabular(logits, normalised=True), games[0].beta, weights, names)


def pad(game: Game, responses: int, prompts: int | None = None) -> Game:
    """The game's table with more responses (and prompts) in which nothing changes.

    A padding response has reference probability 0 and loses to every real one; a padding prompt has weight 0 and a
    uniform reference. Item names are kept where there is nothing to add and dropped where there is.

    Raises `ValueError` for fewer responses or prompts than the game has.

    >>> pad(Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1), 4).reference.probs().tolist()
    [[0.5, 0.5, 0.0, 0.0]]
    """
    contexts, count = game.shape
    prompts = contexts if prompts is None else prompts
    if responses < count or prompts < contexts:
        raise ValueError(f"pad: {game!r} does not fit into {responses} responses and {prompts} prompts.")
    if (contexts, count) == (prompts, responses):
        return game
    table = _pad_table(np.asarray(game.oracle.table()), responses, game.scale)
    logits = np.asarray(game.reference.log_probs())
    logits = np.pad(logits, ((0, 0), (0, responses - count)), constant_values=LOG_ZERO)
    draw = 0.5 if game.scale == "probability" else 0.0
    more = prompts - contexts
    table = np.pad(table, ((0, more), (0, 0), (0, 0)), constant_values=draw)
    logits = np.pad(logits, ((0, more), (0, 0)), constant_values=-math.log(responses))
    weights = np.pad(np.asarray(game.prompts), (0, more))
    items = game.items if count == responses else None
    return Game(Table(table, game.scale), Tabular(logits, normalised=True), game.beta, weights, items)


def _pad_table(table: np.ndarray, size: int, scale: Scale) -> np.ndarray:
    contexts, count, _ = table.shape
    win, draw = (1.0, 0.5) if scale == "probability" else (float(np.abs(table).max(initial=0.0)) or 1.0, 0.0)
    lose = 1.0 - win if scale == "probability" else -win
    padded = np.full((contexts, size, size), draw, table.dtype)
    padded[:, :count, count:] = win
    padded[:, count:, :count] = lose
    padded[:, :count, :count] = table
    return padded

"""Games with prompts: another table, and another equilibrium, in every context."""

import numpy as np

import nashpo
from nashpo_games.arguments import generator, whole_number
from nashpo_games.cyclic import biased_rps_equilibrium


def rps_contexts(prompts: int = 4, seed: int = 0, beta: float = 0.0) -> "nashpo.Game":
    """Biased rock-paper-scissors, with other odds for every prompt and prompts of unequal weight.

        P[x] = biased_rps(rock[x], paper[x], scissors[x]),   odds ~ U[0.55, 0.95];   every odd prompt reversed
        weight of prompt x proportional to 1 + x

    Reversed means P^T: scissors beats rock, and so on. The equilibrium is known for every prompt.

    Args:
        prompts: number of prompts, 1 or more.
        seed: seed of the odds.
        beta: KL weight of the game.

    Raises:
        ValueError: `prompts` is below 1.

    >>> game = rps_contexts(prompts=3)
    >>> game.shape
    (3, 3)
    >>> bool(np.allclose(game.oracle.win_rates(rps_contexts_equilibrium(3)), 0.5))
    True
    """
    odds = _odds(prompts, seed)
    table = np.full((len(odds), 3, 3), 0.5)
    rock, paper, scissors = odds.T
    for (i, j), win in (((0, 2), rock), ((1, 0), paper), ((2, 1), scissors)):
        table[:, i, j], table[:, j, i] = win, 1 - win
    table[1::2] = table[1::2].swapaxes(-1, -2)
    weights = np.arange(1, len(odds) + 1) / (len(odds) * (len(odds) + 1) / 2)
    return nashpo.Game.from_table(table, beta=beta, prompts=weights, items=("rock", "paper", "scissors"))


def rps_contexts_equilibrium(prompts: int = 4, seed: int = 0) -> np.ndarray:
    """The equilibrium `[X, 3]` at beta = 0; reversing a game does not change it."""
    return np.stack([biased_rps_equilibrium(*odds) for odds in _odds(prompts, seed)])


def _odds(prompts: int, seed: int) -> np.ndarray:
    """The win probabilities `[X, 3]` of rock, paper and scissors."""
    prompts = whole_number("prompts", prompts, least=1)
    return generator(seed).uniform(0.55, 0.95, (prompts, 3))

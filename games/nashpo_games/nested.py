"""Rock-paper-scissors inside rock-paper-scissors: exact equilibria with small probabilities."""

import numpy as np

import nashpo
from nashpo_games.arguments import number_between, whole_number


def nested_rps(depth: int = 3, win: float = 1.0, beta: float = 0.0) -> "nashpo.Game":
    """Rock-paper-scissors whose paper is itself a game of rock-paper-scissors, `depth` levels deep.

        level k: rock_k beats scissors_k, scissors_k beats every deeper action, every deeper action beats rock_k

    There are 2 depth + 1 actions and, for `win` above 1/2, one equilibrium without KL penalty: `3^-k` for both actions
    of level k and `3^-depth` for the innermost paper. With depth = 2 it is (3, 3, 1, 1, 1)/9, the only weights beside
    the uniform ones with which a five-action tournament uses all of its actions.

    Args:
        depth: number of levels, 1 to 30; 1 is rock-paper-scissors.
        win: probability in [1/2, 1] of every win.
        beta: KL weight of the game.

    Raises:
        ValueError: `depth` is below 1 or above 30, or `win` not in [1/2, 1].

    >>> game = nested_rps(depth=2)
    >>> game.items
    ('rock 1', 'scissors 1', 'rock 2', 'scissors 2', 'paper')
    >>> game.oracle.win_rates(nested_rps_equilibrium(2)[None]).round(12)
    array([[0.5, 0.5, 0.5, 0.5, 0.5]])
    """
    depth, win = whole_number("depth", depth, least=1), number_between("win", win, 0.5, 1.0)
    number_between("depth", depth, 1, 30)
    n = 2 * depth + 1
    beats = np.zeros((n, n), bool)
    for rock in range(0, n - 1, 2):
        scissors = rock + 1
        beats[rock, scissors] = True
        beats[scissors, scissors + 1 :] = True
        beats[scissors + 1 :, rock] = True
    table = np.where(beats, win, np.where(beats.T, 1 - win, 0.5))
    names = [f"{name} {level}" for level in range(1, depth + 1) for name in ("rock", "scissors")]
    return nashpo.Game.from_table(table, beta=beta, items=(*names, "paper"))


def nested_rps_equilibrium(depth: int = 3) -> np.ndarray:
    """The equilibrium `[2 depth + 1]` of `nested_rps` at beta = 0.

    >>> nested_rps_equilibrium(2) * 9
    array([3., 3., 1., 1., 1.])
    """
    level = np.repeat(np.arange(1, depth + 1), 2)
    return 3.0 ** -np.append(level, depth)

"""Control: trajectories on a grid with goals; preferences are by return, cyclic, or about the path.

A response is a walk of H moves on a 5 x 5 grid. Which of two walks is preferred depends on an outcome of each (where it
ends, which goal it visits first, how long it stays), so that the table of all `5^H` walks is one of few outcomes, and
the minimax winner is known over outcomes. Policies are `nashpo.policies.Rollout` in the game's `oracle.world`.
"""

from typing import Literal

import numpy as np

import nashpo
from nashpo_games.arguments import number_between, whole_number
from nashpo_games.cyclic import biased_rps, biased_rps_equilibrium

GOALS = ((0, 2), (3, 4), (4, 1))
STARTS = ((2, 2), (2, 1), (3, 2), (2, 3))
"""All goals can be reached from each in four moves."""
_ARRIVED = 0.95
_LONGEST = 8


def goal_cycle(
    rock: float = 0.8,
    paper: float = 0.65,
    scissors: float = 0.75,
    horizon: int = 4,
    prompts: int = 1,
    beta: float = 0.0,
) -> "nashpo.Game":
    """Control task with intransitive preferences: three goals that beat each other in a circle, by where a walk ends.

        P[0, 2] = rock,   P[1, 0] = paper,   P[2, 1] = scissors,   P[goal, nowhere] = 0.95

    The minimax winner over (goal 0, 1, 2, nowhere) is that of `biased_rps`, (5, 6, 3) / 14 by default, and 0, for every
    prompt; how a goal is walked to does not matter. The task is that of SPO's intransitive preferences (Swamy et al.
    2024, arXiv:2401.04056), small enough for all trajectories to be listed.

    Args:
        rock: probability in [1/2, 1] that goal 0 beats goal 2.
        paper: probability in [1/2, 1] that goal 1 beats goal 0.
        scissors: probability in [1/2, 1] that goal 2 beats goal 1.
        horizon: number of moves, 4 to 8; there are `5^horizon` trajectories.
        prompts: number of starts, 1 to 4.
        beta: KL weight of the game.

    Raises:
        ValueError: a number is out of its range.

    >>> goal_cycle().shape
    (1, 625)
    """
    return _game(_circle(rock, paper, scissors), "last", horizon, prompts, beta)


def first_goal_cycle(
    rock: float = 0.8,
    paper: float = 0.65,
    scissors: float = 0.75,
    horizon: int = 4,
    prompts: int = 1,
    beta: float = 0.0,
) -> "nashpo.Game":
    """Control task with non-Markovian preferences: `goal_cycle`, by the goal that a walk visits first.

    What counts is neither where a walk ends nor any sum over its steps; the minimax winner is that of `goal_cycle`.

    Args:
        rock: probability in [1/2, 1] that goal 0 beats goal 2.
        paper: probability in [1/2, 1] that goal 1 beats goal 0.
        scissors: probability in [1/2, 1] that goal 2 beats goal 1.
        horizon: number of moves, 4 to 8.
        prompts: number of starts, 1 to 4.
        beta: KL weight of the game.

    Raises:
        ValueError: a number is out of its range.

    >>> game = first_goal_cycle()
    >>> game.oracle.outcome(np.array([0]), np.array([[1, 1, 2, 2]])).tolist()
    [0]
    """
    return _game(_circle(rock, paper, scissors), "first", horizon, prompts, beta)


def goal_cycle_equilibrium(rock: float = 0.8, paper: float = 0.65, scissors: float = 0.75) -> np.ndarray:
    """The minimax winner over outcomes `[4]` (goals 0, 1, 2, nowhere) of both cycles, at beta = 0.

    >>> (goal_cycle_equilibrium() * 14).round(9)
    array([5., 6., 3., 0.])
    """
    return np.append(biased_rps_equilibrium(rock, paper, scissors), 0.0)


def goal_return(flip: float = 0.0, horizon: int = 4, prompts: int = 1, beta: float = 0.0) -> "nashpo.Game":
    """Control task with preferences by return: the longer on goal 0 the better, but for votes that are flipped.

        P(y beats y') = 1 - flip if r(y) > r(y'),   1/2 if equal,   r = number of moves after which it is on goal 0

    Every walk that goes straight there and stays is a minimax winner. With `flip` above 0 comparisons are noisy: each
    is one vote, 0 or 1. Below 1/2 the order of preferences stays the same; at 1/2 nothing is preferred.

    Args:
        flip: probability in [0, 1/2] that the smaller return wins.
        horizon: number of moves, 4 to 8.
        prompts: number of starts, 1 to 4.
        beta: KL weight of the game.

    Raises:
        ValueError: a number is out of its range.

    >>> goal_return(flip=0.2).oracle.payoff[0].round(1).tolist()
    [0.5, 0.2, 0.2, 0.2, 0.2]
    """
    flip = number_between("flip", flip, 0.0, 0.5)
    more = np.tri(_moves(horizon) + 1, k=-1)
    return _game(0.5 + (0.5 - flip) * (more - more.T), "time", horizon, prompts, beta, votes=flip > 0)


def _circle(rock: float, paper: float, scissors: float) -> np.ndarray:
    """The payoffs `[4, 4]` of three goals in a circle and of none."""
    payoff = np.full((4, 4), 0.5)
    payoff[:3, :3] = np.asarray(biased_rps(rock, paper, scissors).oracle.table())[0]
    payoff[:3, 3], payoff[3, :3] = _ARRIVED, 1 - _ARRIVED
    return payoff


def _moves(horizon: int) -> int:
    """A checked number of moves."""
    return int(number_between("horizon", whole_number("horizon", horizon, least=4), 4, _LONGEST))


def _game(
    payoff: np.ndarray,
    reading: Literal["last", "first", "time"],
    horizon: int,
    prompts: int,
    beta: float,
    votes: bool = False,
) -> "nashpo.Game":
    """The game of outcomes; the reference draws every move with equal probability."""
    horizon, prompts = _moves(horizon), whole_number("prompts", prompts, least=1)
    number_between("prompts", prompts, 1, len(STARTS))
    from nashpo_games.grid import Grid, Outcomes  # imports JAX, which the names of games do without

    world = Grid(np.array(STARTS[:prompts]), np.array(GOALS), horizon)
    return nashpo.Game.from_oracle(Outcomes(payoff, world, reading, votes), beta=beta)

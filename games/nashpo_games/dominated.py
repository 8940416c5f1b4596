"""Two actions, one better: the game whose regularised equilibrium is known for every beta."""

import math

import numpy as np

import nashpo
from nashpo_games.arguments import number_between


def dominated_action(win: float = 1.0, divergence: float = 10.0, beta: float = 0.0) -> "nashpo.Game":
    """Two actions; the first beats the second, and the reference hardly ever plays it.

        P[0, 1] = win,     reference = (exp(-divergence), 1 - exp(-divergence))

    A policy must move away from its start by KL = `divergence`. With the defaults this is the game on which
    optimistic methods are slower than their printed bounds in terms of the square root of the divergence say.

    Args:
        win: probability in [1/2, 1] that the first action wins.
        divergence: `log(1 / reference[0])`, above 0.
        beta: KL weight of the game.

    Raises:
        ValueError: `win` is not in [1/2, 1] or `divergence` not in (0, 700].

    >>> dominated_action(divergence=1.0).reference.probs().round(3)
    array([[0.368, 0.632]])
    """
    win = number_between("win", win, 0.5, 1.0)
    table = np.array([[0.5, win], [1 - win, 0.5]])
    reference = _reference(divergence)
    return nashpo.Game.from_table(table, beta=beta, reference=reference, items=("better", "worse"))


def dominated_action_equilibrium(win: float = 1.0, divergence: float = 10.0, beta: float = 0.0) -> np.ndarray:
    """The equilibrium `[2]` for every `beta`: in two-action games the opponent's mixture does not matter,

        log pi[0]/pi[1] = log reference[0]/reference[1] + (win - 1/2) / beta

    >>> dominated_action_equilibrium(beta=0.0)
    array([1., 0.])
    >>> float(dominated_action_equilibrium(win=0.5, divergence=1.0, beta=0.1)[0]) == math.exp(-1)
    True
    """
    if beta == 0:
        return np.array([1.0, 0.0]) if win > 0.5 else np.full(2, 0.5)
    if win == 0.5:
        return _reference(divergence)
    first, second = _reference(divergence)
    odds = math.log(first) - math.log(second) + (win - 0.5) / beta
    return np.exp(-np.logaddexp(0.0, [-odds, odds]))


def _reference(divergence: float) -> np.ndarray:
    """`(exp(-divergence), 1 - exp(-divergence))`."""
    if not 0 < divergence <= 700:
        raise ValueError(f"divergence is {divergence}, but must lie between 0 (excluded) and 700.")
    return np.array([math.exp(-divergence), -math.expm1(-divergence)])

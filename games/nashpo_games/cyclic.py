"""Games in which nobody is best: rock-paper-scissors and its relatives."""

from typing import Literal

import numpy as np

import nashpo
from nashpo_games.arguments import number_between, whole_number


def rock_paper_scissors(win: float = 1.0, beta: float = 0.0) -> "nashpo.Game":
    """Rock-paper-scissors: rock beats scissors, scissors beats paper, paper beats rock.

        P[i, j] = win where i beats j,   1 - win where j beats i,   1/2 on the diagonal

    The equilibrium is uniform, for every `win` above 1/2 and every `beta` (uniform reference).

    Args:
        win: probability in [1/2, 1] with which the stronger action wins; 1 gives the 0/1 table.
        beta: KL weight of the game.

    Raises:
        ValueError: `win` is not in [1/2, 1].

    >>> rock_paper_scissors().oracle.table()[0]
    array([[0.5, 0. , 1. ],
           [1. , 0.5, 0. ],
           [0. , 1. , 0.5]])
    """
    win = number_between("win", win, 0.5, 1.0)
    return biased_rps(rock=win, paper=win, scissors=win, beta=beta)


def rock_paper_scissors_equilibrium() -> np.ndarray:
    """The equilibrium `[3]`, for every `beta`: a third each."""
    return np.full(3, 1 / 3)


def biased_rps(
    rock: float = 0.9,
    paper: float = 0.6,
    scissors: float = 0.7,
    beta: float = 0.0,
    scale: Literal["probability", "score"] = "probability",
) -> "nashpo.Game":
    """Rock-paper-scissors in which the three wins are not equally sure.

        P[rock, scissors] = rock,   P[paper, rock] = paper,   P[scissors, paper] = scissors

    The defaults are a cycle on which win probabilities and log-odds disagree about the equilibrium (the
    difference between the games of SPO and of GPO, Zhang et al. 2025, arXiv:2410.02197).

    Args:
        rock: probability in [1/2, 1] that rock beats scissors.
        paper: probability in [1/2, 1] that paper beats rock.
        scissors: probability in [1/2, 1] that scissors beats paper.
        beta: KL weight of the game.
        scale: `"probability"`, or `"score"` for the game in log-odds (then all three below 1).

    Raises:
        ValueError: a probability is not in [1/2, 1], or is 1 on the score scale.

    >>> game = biased_rps()
    >>> game.oracle.win_rates(biased_rps_equilibrium()[None])
    array([[0.5, 0.5, 0.5]])
    """
    wins = [number_between(n, w, 0.5, 1.0) for n, w in _named(rock, paper, scissors)]
    if scale == "score":
        payoffs = [_log_odds(name, win) for (name, _), win in zip(_named(*wins), wins, strict=True)]
        losses, tie = [-payoff for payoff in payoffs], 0.0
    else:
        payoffs, losses, tie = wins, [1 - win for win in wins], 0.5
    (r, p, s), (lr, lp, ls) = payoffs, losses
    table = np.array([[tie, lp, r], [p, tie, ls], [lr, s, tie]])
    return nashpo.Game.from_table(table, beta=beta, items=("rock", "paper", "scissors"), scale=scale)


def biased_rps_equilibrium(
    rock: float = 0.9, paper: float = 0.6, scissors: float = 0.7, scale: Literal["probability", "score"] = "probability"
) -> np.ndarray:
    """The equilibrium `[3]` of `biased_rps` without KL penalty (beta = 0).

    Every action is played in proportion to the margin between the other two, and where all three margins are positive
    there is no other equilibrium,

        pi = (scissors - 1/2, rock - 1/2, paper - 1/2) / sum        (log-odds in place of margins for scores)

    >>> biased_rps_equilibrium() * 7
    array([2., 4., 1.])
    """
    if scale == "score":
        margins = [_log_odds(name, win) for name, win in _named(rock, paper, scissors)]
    else:
        margins = [win - 0.5 for win in (rock, paper, scissors)]
    weights = np.array([margins[2], margins[0], margins[1]])
    return weights / weights.sum() if weights.sum() > 0 else np.full(3, 1 / 3)


def n_cycle(n: int = 5, win: float = 1.0, beta: float = 0.0) -> "nashpo.Game":
    """A cycle of n actions: each beats the next one, all other pairs tie.

        P[i, i + 1] = win,   P[i + 1, i] = 1 - win   (indices modulo n),   1/2 elsewhere

    The uniform policy is an equilibrium for every `beta`; at beta = 0, with `win` above 1/2, it is the only one for
    odd n, while for even n the actions of even number and those of odd number can be weighted at will.

    Args:
        n: number of actions, 3 or more.
        win: probability in [1/2, 1] of the win along the cycle.
        beta: KL weight of the game.

    Raises:
        ValueError: n is below 3 or `win` not in [1/2, 1].

    >>> n_cycle(4, win=0.9).oracle.table()[0, 0]
    array([0.5, 0.9, 0.5, 0.1])
    """
    n, win = whole_number("n", n, least=3), number_between("win", win, 0.5, 1.0)
    table = np.full((n, n), 0.5)
    i = np.arange(n)
    table[i, (i + 1) % n] = win
    table[(i + 1) % n, i] = 1 - win
    return nashpo.Game.from_table(table, beta=beta)


def rotational_tournament(n: int = 7, win: float = 1.0, beta: float = 0.0) -> "nashpo.Game":
    """Rock-paper-scissors for n actions: each beats the (n - 1)/2 that follow it, and loses to the rest.

        P[i, i + k] = win for k = 1 .. floor((n - 1)/2) (modulo n);   opposite actions tie when n is even

    The uniform policy is an equilibrium for every `beta`; at beta = 0 it is the only one for odd n and `win` above
    1/2. n = 5 is rock-paper-scissors-lizard-Spock.

    Args:
        n: number of actions, 3 or more.
        win: probability in [1/2, 1] of every win.
        beta: KL weight of the game.

    Raises:
        ValueError: n is below 3 or `win` not in [1/2, 1].

    >>> rotational_tournament(5).oracle.table()[0, 0]
    array([0.5, 1. , 1. , 0. , 0. ])
    """
    n, win = whole_number("n", n, least=3), number_between("win", win, 0.5, 1.0)
    return nashpo.Game.from_table(rotation_table(n, win), beta=beta)


def uniform_equilibrium(n: int) -> np.ndarray:
    """The equilibrium `[n]` of `n_cycle` and `rotational_tournament`, for every `beta`."""
    return np.full(n, 1 / n)


def rotation_table(n: int, win: float) -> np.ndarray:
    """The table `[n, n]` of `rotational_tournament`; every row sums to n/2."""
    ahead = (np.arange(n)[None, :] - np.arange(n)[:, None]) % n
    beats = (ahead >= 1) & (ahead <= (n - 1) // 2)
    return np.where(beats, win, np.where(beats.T, 1 - win, 0.5))


def rock_paper_scissors_lizard_spock(beta: float = 0.0) -> "nashpo.Game":
    """Rock-paper-scissors-lizard-Spock (Kass and Bryla): each of five actions beats two others.

    The equilibrium is uniform, for every `beta`.

    Args:
        beta: KL weight of the game.

    >>> game = rock_paper_scissors_lizard_spock()
    >>> spock, rock = game.items.index("spock"), game.items.index("rock")
    >>> float(game.oracle.table()[0, spock, rock])
    1.0
    """
    beats = {
        "rock": ("scissors", "lizard"),
        "paper": ("rock", "spock"),
        "scissors": ("paper", "lizard"),
        "lizard": ("paper", "spock"),
        "spock": ("rock", "scissors"),
    }
    items = tuple(beats)
    table = np.full((5, 5), 0.5)
    for winner, losers in beats.items():
        for loser in losers:
            i, j = items.index(winner), items.index(loser)
            table[i, j], table[j, i] = 1.0, 0.0
    return nashpo.Game.from_table(table, beta=beta, items=items)


def _named(rock: float, paper: float, scissors: float) -> list[tuple[str, float]]:
    """The three probabilities with their names."""
    return [("rock", rock), ("paper", paper), ("scissors", scissors)]


def _log_odds(name: str, win: float) -> float:
    """log(p / (1 - p))."""
    if win >= 1:
        raise ValueError(f'{name} is {win}: its log-odds are infinite; use a value below 1 with scale="score".')
    return float(np.log(win) - np.log1p(-win))

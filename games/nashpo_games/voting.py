"""Elections: voters rank the candidates, P[i, j] is the share that ranks i above j."""

from collections.abc import Mapping, Sequence

import numpy as np

import nashpo
from nashpo.validation import validate_items
from nashpo.validation.numbers import is_number


def condorcet_paradox(beta: float = 0.0) -> "nashpo.Game":
    """Condorcet's paradox (1785): three voters, three candidates, and every candidate loses to another.

        ballots A > B > C,   B > C > A,   C > A > B,       P[A, B] = P[B, C] = P[C, A] = 2/3

    The equilibrium (maximal lottery) is uniform, for every `beta`.

    Args:
        beta: KL weight of the game.

    >>> float(condorcet_paradox().oracle.table()[0, 0, 1])
    0.6666666666666666
    """
    return election({"A>B>C": 1, "B>C>A": 1, "C>A>B": 1}, beta=beta)


def condorcet_paradox_equilibrium() -> np.ndarray:
    """The equilibrium `[3]` for every `beta`: a third each."""
    return np.full(3, 1 / 3)


def tennessee_capital(beta: float = 0.0) -> "nashpo.Game":
    """Where should the capital of Tennessee be? A textbook election with a Condorcet winner.

        42% Memphis > Nashville > Chattanooga > Knoxville,      26% Nashville > Chattanooga > Knoxville > Memphis,
        15% Chattanooga > Knoxville > Nashville > Memphis,      17% Knoxville > Chattanooga > Nashville > Memphis

    Memphis has the most first places and loses to every other city. Nashville beats all, so it is the
    equilibrium at beta = 0.

    Args:
        beta: KL weight of the game.

    >>> game = tennessee_capital()
    >>> game.items[1], game.oracle.table()[0, 1].round(2).tolist()
    ('Nashville', [0.58, 0.5, 0.68, 0.68])
    """
    ballots = {
        "Memphis>Nashville>Chattanooga>Knoxville": 42,
        "Nashville>Chattanooga>Knoxville>Memphis": 26,
        "Chattanooga>Knoxville>Nashville>Memphis": 15,
        "Knoxville>Chattanooga>Nashville>Memphis": 17,
    }
    return election(ballots, beta=beta)


def tennessee_capital_equilibrium() -> np.ndarray:
    """The equilibrium `[4]` at beta = 0: Nashville, the Condorcet winner."""
    return np.array([0.0, 1.0, 0.0, 0.0])


def smith_cycle(beta: float = 0.0) -> "nashpo.Game":
    """An election with a cycle at the top and a candidate that everybody ranks below all three.

        ballots A > B > C > D,   B > C > A > D,   C > A > B > D

    The equilibrium at beta = 0 gives A, B and C a third each and D nothing.

    Args:
        beta: KL weight of the game.

    >>> smith_cycle().items
    ('A', 'B', 'C', 'D')
    """
    return election({"A>B>C>D": 1, "B>C>A>D": 1, "C>A>B>D": 1}, beta=beta)


def smith_cycle_equilibrium() -> np.ndarray:
    """The equilibrium `[4]` at beta = 0: a third each for A, B, C."""
    return np.array([1 / 3, 1 / 3, 1 / 3, 0.0])


def election(ballots: Mapping[str, float], beta: float = 0.0) -> "nashpo.Game":
    """The game of an election with full rankings.

        P[i, j] = share of the voters that rank i above j

    Args:
        ballots: how many voters gave each ranking, best first: `{"A>B>C": 7, ...}`. The candidates keep the
            order of the first ballot.
        beta: KL weight of the game.

    Raises:
        ValueError: no ballot, a negative number of voters, or a ballot that does not rank every candidate once.

    >>> election({"tea>coffee": 3, "coffee>tea": 1}).oracle.table()[0]
    array([[0.5 , 0.75],
           [0.25, 0.5 ]])
    """
    if not ballots:
        raise ValueError("ballots is empty: an election needs at least one ballot, like {'A>B': 1}.")
    items = _ranking(next(iter(ballots)))
    items = validate_items(items, len(items), "the first ballot")
    above = np.zeros((len(items), len(items)))
    for ballot, voters in ballots.items():
        ranking = _ranking(ballot)
        if sorted(ranking) != sorted(items):
            raise ValueError(f"the ballot {ballot!r} must rank each of {', '.join(items)} exactly once.")
        if not is_number(voters, 0):
            raise ValueError(f"the ballot {ballot!r} has {voters!r} voters, but must have a number of them, 0 or more.")
        place = np.array([ranking.index(name) for name in items])
        above += voters * (place[:, None] < place[None, :])
    if len(items) > 1 and not above.any():
        raise ValueError("no ballot has a voter: give at least one ballot a positive number.")
    share = np.divide(above, above + above.T, out=np.full_like(above, 0.5), where=above + above.T > 0)
    return nashpo.Game.from_table(np.where(share >= 0.5, share, 1 - share.T), beta=beta, items=items)


def _ranking(ballot: str) -> Sequence[str]:
    """`"A>B>C"` as a list."""
    return [name.strip() for name in ballot.split(">")]

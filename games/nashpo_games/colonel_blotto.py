"""Colonel Blotto: a designed game of many actions with deep cycles."""

from itertools import combinations

import numpy as np

import nashpo
from nashpo_games.arguments import whole_number

LARGEST = 20_000


def blotto(soldiers: int = 10, fields: int = 3, beta: float = 0.0) -> "nashpo.Game":
    """Colonel Blotto (Borel 1921): split soldiers over fields; whoever wins more fields wins.

        P[i, j] = 1, 1/2 or 0 as allocation i wins more, as many or fewer fields than allocation j

    Actions are all ordered allocations, `binom(soldiers + fields - 1, fields - 1)` of them, named like
    `"5-3-2"`. Relabelling the fields leaves the game unchanged, so there is an equilibrium that gives all
    orders of an allocation the same probability.

    Args:
        soldiers: soldiers on each side, 1 or more.
        fields: battlefields, 1 or more.
        beta: KL weight of the game.

    Raises:
        ValueError: an argument is below 1, or there are more than 20,000 allocations.

    >>> blotto(soldiers=2, fields=2).items
    ('0-2', '1-1', '2-0')
    >>> game = blotto()
    >>> game.shape
    (1, 66)
    """
    plans = allocations(soldiers, fields)
    difference = np.zeros((len(plans), len(plans)), np.int64)
    for field in plans.T:
        difference += np.sign(field[:, None] - field[None, :])
    items = tuple("-".join(map(str, plan)) for plan in plans.tolist())
    return nashpo.Game.from_table((1 + np.sign(difference)) / 2, beta=beta, items=items)


def allocations(soldiers: int, fields: int) -> np.ndarray:
    """All ways `[A, fields]` to split soldiers over fields, in lexicographic order.

    >>> allocations(2, 2).tolist()
    [[0, 2], [1, 1], [2, 0]]
    """
    soldiers, fields = whole_number("soldiers", soldiers, least=1), whole_number("fields", fields, least=1)
    count = 1
    for k in range(1, fields):
        count = count * (soldiers + k) // k
    if count > LARGEST:
        raise ValueError(
            f"soldiers={soldiers}, fields={fields} has {count:,} allocations: at most {LARGEST:,} make a table."
        )
    bars = np.array(list(combinations(range(soldiers + fields - 1), fields - 1)), np.int64)
    edges = np.full((count, 1), -1), bars.reshape(count, fields - 1), np.full((count, 1), soldiers + fields - 1)
    return np.diff(np.concatenate(edges, axis=1), axis=1) - 1

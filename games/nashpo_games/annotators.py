"""Groups of annotators who each have a clear favourite and together have none."""

import numpy as np

import nashpo
from nashpo_games.arguments import generator, number_between, whole_number


def cyclic_annotators(
    groups: int = 3, agreement: float = 1.0, seed: int | None = None, beta: float = 0.0
) -> "nashpo.Game":
    """Annotators whose rankings are rotations of one another: each is transitive, their mean is a cycle.

        group g ranks g > g + 1 > ... > g - 1 (modulo the number of groups) and follows it with probability
        `agreement`;     P = weighted mean of the groups' tables

    With equal weights (seed None), P[i, j] = 1/2 + (agreement - 1/2)(1 - 2 k / groups) for j = i + k, and the uniform
    policy is an equilibrium for every `beta`. Each group stays reachable in the oracle (MaxMin over groups).

    Args:
        groups: number of groups and of responses, 3 or more.
        agreement: probability in [1/2, 1] with which a group votes as it ranks.
        seed: None for groups of equal size; otherwise sizes are drawn, each share at least 1/(2 groups).
        beta: KL weight of the game.

    Raises:
        ValueError: `groups` is below 3 or `agreement` not in [1/2, 1].

    >>> cyclic_annotators().oracle.table()[0].round(3).tolist()
    [[0.5, 0.667, 0.333], [0.333, 0.5, 0.667], [0.667, 0.333, 0.5]]
    """
    from nashpo.oracles import Mixture, Table

    groups = whole_number("groups", groups, least=3)
    tables = annotator_tables(groups, number_between("agreement", agreement, 0.5, 1.0))
    oracle = Mixture.of([Table(table[None]) for table in tables], weights=group_weights(groups, seed))
    return nashpo.Game.from_oracle(oracle, beta=beta)


def cyclic_annotators_equilibrium(groups: int = 3) -> np.ndarray:
    """The equilibrium `[groups]` for groups of equal size, for every `beta`: uniform."""
    return np.full(groups, 1 / groups)


def annotator_tables(groups: int, agreement: float) -> np.ndarray:
    """The tables `[groups, groups, groups]`; the first axis is the group.

    >>> annotator_tables(3, 1.0)[1]
    array([[0.5, 0. , 0. ],
           [1. , 0.5, 1. ],
           [1. , 0. , 0.5]])
    """
    place = (np.arange(groups)[None, :] - np.arange(groups)[:, None]) % groups
    above = place[:, :, None] < place[:, None, :]
    return np.where(above, agreement, np.where(above.swapaxes(-1, -2), 1 - agreement, 0.5))


def group_weights(groups: int, seed: int | None) -> np.ndarray:
    """Shares `[groups]` of the groups: equal, or drawn and at least 1/(2 groups)."""
    if seed is None:
        return np.full(groups, 1 / groups)
    return 0.5 / groups + 0.5 * generator(seed).dirichlet(np.ones(groups))

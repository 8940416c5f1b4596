"""What a preference table says before anybody solves it: winners, cycles, and how much of it is cyclic.

Every function takes one table `P`, `[A, A]`, and compares it with `value`: 1/2 for win probabilities, 0 for scores.
Responses are named by their index. NumPy, float64.
"""

from dataclasses import dataclass

import numpy as np

from nashpo.typing import Array
from nashpo.validation.items import frame_items

_SMALL = 1e-12
"""Margins up to this are ties: rounding of a table, not a preference."""


@dataclass(frozen=True)
class Description:
    """The statistics of one table."""

    condorcet_winner: int | None
    smith_set: tuple[int, ...]
    copeland_scores: tuple[float, ...]
    copeland_winners: tuple[int, ...]
    triples: int
    cyclic_triples: int
    tied_pairs: int
    cyclic_share: float
    """Share of the variance that no ranking explains, in [0, 1]; 0 where every pair is tied."""
    largest_margin: float
    """`max |P - value|`."""


def describe(P: Array, value: float = 0.5) -> Description:
    """All statistics of a table `[A, A]`.

    Raises `ValueError` if `P` is not one square table.

    >>> rock_paper_scissors = [[0.5, 0.0, 1.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.5]]
    >>> report = describe(rock_paper_scissors)
    >>> report.condorcet_winner, report.smith_set, report.cyclic_triples, report.cyclic_share
    (None, (0, 1, 2), 1, 1.0)
    """
    count = len(margins(P, value))
    scores = copeland_scores(P, value)
    return Description(
        condorcet_winner=condorcet_winner(P, value),
        smith_set=smith_set(P, value),
        copeland_scores=tuple(scores.tolist()),
        copeland_winners=tuple(np.flatnonzero(scores == scores.max()).tolist()),
        triples=count * (count - 1) * (count - 2) // 6,
        cyclic_triples=cyclic_triples(P, value),
        tied_pairs=tied_pairs(P, value),
        cyclic_share=cyclic_share(P, value),
        largest_margin=float(np.abs(margins(P, value)).max()),
    )


def margins(P: Array, value: float = 0.5) -> np.ndarray:
    """`M = P - value`, skew-symmetric, `[A, A]`; rounding errors become exact ties.

    >>> margins([[0.5, 0.75], [0.25, 0.5]]).tolist()
    [[0.0, 0.25], [-0.25, 0.0]]
    """
    frame_items(P)
    M = np.asarray(P, float) - value
    if M.ndim != 2 or M.shape[0] != M.shape[1] or not M.size:
        raise ValueError(f"P has shape {M.shape}: describe one square table [A, A]; take one prompt of several.")
    return np.where(np.abs(M) <= _SMALL, 0.0, M)


def condorcet_winner(P: Array, value: float = 0.5) -> int | None:
    """The response that beats every other one, or None.

    >>> condorcet_winner([[0.5, 0.9], [0.1, 0.5]])
    0
    """
    beats = margins(P, value) > 0
    winners = np.flatnonzero(beats.sum(axis=1) == len(beats) - 1)
    return int(winners[0]) if len(winners) else None


def smith_set(P: Array, value: float = 0.5) -> tuple[int, ...]:
    """The smallest set whose members all beat everybody outside it (Smith 1973).

    A Copeland winner belongs to it, and so does whoever a member fails to beat.

    >>> smith_set([[0.5, 0.6, 0.9], [0.4, 0.5, 0.8], [0.1, 0.2, 0.5]])
    (0,)
    """
    unbeaten = margins(P, value) <= 0
    members = np.zeros(len(unbeaten), bool)
    members[int(copeland_scores(P, value).argmax())] = True
    while True:
        grown = members | unbeaten[members].any(axis=0)
        if (grown == members).all():
            return tuple(np.flatnonzero(members).tolist())
        members = grown


def copeland_scores(P: Array, value: float = 0.5) -> np.ndarray:
    """How many others a response beats, a tie counting one half, `[A]` (Copeland 1951).

    >>> copeland_scores([[0.5, 0.9, 0.5], [0.1, 0.5, 0.2], [0.5, 0.8, 0.5]]).tolist()
    [1.5, 0.0, 1.5]
    """
    M = margins(P, value)
    return (M > 0).sum(axis=1) + 0.5 * ((M == 0).sum(axis=1) - 1)


def cyclic_triples(P: Array, value: float = 0.5) -> int:
    """How many triples go round in a circle, i beats j beats k beats i: `trace(B^3) / 3`, `B` = "beats".

    >>> cyclic_triples([[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]])
    1
    """
    beats = (margins(P, value) > 0).astype(float)
    return round(float(np.sum((beats @ beats) * beats.T)) / 3)


def tied_pairs(P: Array, value: float = 0.5) -> int:
    """How many pairs of different responses are tied.

    >>> tied_pairs([[0.5, 0.5], [0.5, 0.5]])
    1
    """
    M = margins(P, value)
    return int((M == 0).sum() - len(M)) // 2


def transitive_part(P: Array, value: float = 0.5) -> np.ndarray:
    """The closest table of differences, `r_i - r_j` with `r_i = mean_j M_ij`, `[A, A]`, margins around 0.

    `M = transitive + cyclic` is orthogonal: the cyclic part sums to zero along every row (Jiang, Lim, Yao, Ye 2011,
    arXiv:0811.1067, on the complete graph).

    >>> transitive_part([[0.5, 0.7, 0.9], [0.3, 0.5, 0.7], [0.1, 0.3, 0.5]]).round(2)[0].tolist()
    [0.0, 0.2, 0.4]
    """
    ratings = margins(P, value).mean(axis=1)
    return ratings[:, None] - ratings[None, :]


def cyclic_share(P: Array, value: float = 0.5) -> float:
    """`||M - transitive||^2 / ||M||^2`: 0 for a table of differences, 1 where all average payoffs are equal.

    >>> cyclic_share([[0.5, 0.0, 1.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.5]])
    1.0
    """
    M = margins(P, value)
    total = float(np.sum(M * M))
    return float(np.sum((M - transitive_part(P, value)) ** 2)) / total if total > 0 else 0.0

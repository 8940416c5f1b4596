"""Games whose equilibrium without KL penalty is known and has full support; no tests here."""

import numpy as np


def biased_cycle(first, second, third):
    """`P[0, 1], P[1, 2], P[2, 0]` of a rock-paper-scissors, `[3, 3]`."""
    table = np.full((3, 3), 0.5)
    for row, (column, rate) in enumerate([(1, first), (2, second), (0, third)]):
        table[row, column], table[column, row] = rate, 1 - rate
    return table


def minimax(table):
    """The equilibrium of a cyclic `[3, 3]` table: proportional to the opposite edge of the cycle."""
    weights = np.array([table[1, 2], table[2, 0], table[0, 1]]) - 0.5
    return weights / weights.sum()


def interior_games(seed, count=12, actions=5):
    """Random tables `[count, A, A]` with random equilibria of full support, `[count, A]`.

    `actions` must be odd: an even game has more than one equilibrium.
    `P = 1/2 + (I - 1 p^T) M (I - p 1^T)` with M skew-symmetric: the second factor sends p to 0.
    """
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.full(actions, 3.0), size=count)
    draws = rng.normal(size=(count, actions, actions))
    project = np.eye(actions) - np.ones((actions, 1)) * probs[:, None, :]
    skew = project @ (draws - draws.swapaxes(1, 2)) @ project.swapaxes(1, 2)
    skew = (skew - skew.swapaxes(1, 2)) / 2
    return 0.5 + 0.49 * skew / np.max(np.abs(skew), axis=(1, 2), keepdims=True), probs


def frequency(table, probs):
    """The largest frequency of the linearised dynamics: `max |eigenvalue|` of `S Cov(p)`."""
    covariance = np.diag(probs) - np.outer(probs, probs)
    return np.max(np.abs(np.linalg.eigvals((table - 0.5) @ covariance)))

"""Random games: uniform tables, 0/1 tournaments, and a dial from transitive to cyclic."""

import numpy as np

import nashpo
from nashpo_games.arguments import generator, number_between, whole_number
from nashpo_games.cyclic import rotation_table


def random_constant_sum(n: int = 10, seed: int = 0, prompts: int = 1, beta: float = 0.0) -> "nashpo.Game":
    """A uniform random preference table, the generator of the EGPO simulations.

        P[i, j] ~ U[0, 1] independently for i > j,   P[j, i] = 1 - P[i, j],   P[i, i] = 1/2

    (Zhou, Fazel, Du 2025, arXiv:2503.08942: 10 games of 10 actions.) The draws are NumPy's, not PyTorch's.

    Args:
        n: number of actions.
        seed: seed of the generator.
        prompts: number of independent tables, one per prompt.
        beta: KL weight of the game.

    Raises:
        ValueError: n or `prompts` is below 1.

    >>> random_constant_sum(4, seed=1, prompts=3).shape
    (3, 4)
    """
    n, prompts = whole_number("n", n, least=1), whole_number("prompts", prompts, least=1)
    below = generator(seed).random((prompts, n, n))
    return nashpo.Game.from_table(_complete(below), beta=beta)


def random_tournament(n: int = 10, seed: int = 0, prompts: int = 1, beta: float = 0.0) -> "nashpo.Game":
    """A random 0/1 table: every pair has a sure winner, decided by a fair coin.

        P[i, j] ~ Bernoulli(1/2) for i > j,   P[j, i] = 1 - P[i, j],   P[i, i] = 1/2

    A tournament has exactly one equilibrium without KL penalty, and its support is odd (Fisher and Ryan 1992,
    Laffond, Laslier and Le Breton 1993).

    Args:
        n: number of actions.
        seed: seed of the generator.
        prompts: number of independent tables, one per prompt.
        beta: KL weight of the game.

    Raises:
        ValueError: n or `prompts` is below 1.

    >>> sorted(set(random_tournament(6).oracle.table().ravel().tolist()))
    [0.0, 0.5, 1.0]
    """
    n, prompts = whole_number("n", n, least=1), whole_number("prompts", prompts, least=1)
    below = generator(seed).integers(0, 2, (prompts, n, n)).astype(np.float64)
    return nashpo.Game.from_table(_complete(below), beta=beta)


def transitive_plus_cyclic(n: int = 9, dial: float = 0.5, seed: int = 0, beta: float = 0.0) -> "nashpo.Game":
    """A blend of a Bradley-Terry table and a cyclic one.

        P = (1 - dial) sigmoid(r_i - r_j) + dial C,   r ~ N(0, I),   C = the 0/1 rotational tournament

    dial = 0 is transitive (the equilibrium at beta = 0 is the action of the highest reward), dial = 1 is
    purely cyclic (every row of C sums to n/2; the equilibrium is uniform).

    Args:
        n: number of actions, 3 or more.
        dial: weight of the cyclic part, in [0, 1].
        seed: seed of the rewards.
        beta: KL weight of the game.

    Raises:
        ValueError: n is below 3 or `dial` not in [0, 1].

    >>> transitive_plus_cyclic(3, dial=1.0).oracle.table()[0]
    array([[0.5, 1. , 0. ],
           [0. , 0.5, 1. ],
           [1. , 0. , 0.5]])
    """
    n, dial = whole_number("n", n, least=3), number_between("dial", dial, 0.0, 1.0)
    rewards = transitive_rewards(n, seed)
    below = 1 / (1 + np.exp(rewards[None, :] - rewards[:, None]))
    return nashpo.Game.from_table(_complete((1 - dial) * below + dial * rotation_table(n, 1.0)), beta=beta)


def transitive_plus_cyclic_equilibrium(n: int, dial: float, seed: int = 0) -> np.ndarray:
    """The equilibrium `[n]` at beta = 0 at the two ends of the dial.

    Raises:
        ValueError: `dial` is neither 0 nor 1.

    >>> float(transitive_plus_cyclic_equilibrium(9, dial=0.0).max())
    1.0
    """
    if dial not in (0, 1):
        raise ValueError(f"dial is {dial}: the equilibrium is known in closed form at dial 0 and 1 only.")
    return np.eye(n)[int(np.argmax(transitive_rewards(n, seed)))] if dial == 0 else np.full(n, 1 / n)


def transitive_rewards(n: int, seed: int) -> np.ndarray:
    """The rewards `[n]` of `transitive_plus_cyclic`."""
    return generator(seed).standard_normal(n)


def _complete(below: np.ndarray) -> np.ndarray:
    """The table that has the lower triangle of `below` and sums to 1 with its transpose."""
    lower = np.tril(below, -1)
    upper = np.triu(1 - np.swapaxes(lower, -1, -2), 1)
    return lower + upper + np.eye(below.shape[-1]) / 2

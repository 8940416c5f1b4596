"""Games of more than two players that no table of pairs can describe."""

import numpy as np


def one_versus_many_counterexample() -> np.ndarray:
    """A three-player game on which self-play with an average fails, `[3, 3, 3]`.

        T[a, b, c] = probability that response a is preferred to both b and c
        T[a, b, c] = T[a, c, b],     T[a, b, c] + T[b, c, a] + T[c, a, b] = 1

    Self-play by multiplicative weights, `pi <- pi exp(eta g)` with `g(a) = sum_bc T[a, b, c] pi(b) pi(c)`, has
    an average regret that goes to 0, yet its average policy is no equilibrium: payoffs are multilinear in the
    opponents, so vanishing regret only gives a coarse correlated equilibrium. The claim of MNPO (Wu et al. 2025,
    arXiv:2509.23102) about the average policy needs payoffs that are averages over pairs.

    >>> T = one_versus_many_counterexample()
    >>> rotated = T + np.transpose(T, (2, 0, 1)) + np.transpose(T, (1, 2, 0))
    >>> bool(np.allclose(rotated, 1)), bool((T == np.swapaxes(T, 1, 2)).all())
    (True, True)
    """
    against_twins = {(0, 1): 0.5, (0, 2): 0.0, (1, 0): 0.0, (1, 2): 0.75, (2, 0): 0.5, (2, 1): 0.0}
    T = np.full((3, 3, 3), 1 / 3)
    for (twin, single), wins in against_twins.items():
        T[single, twin, twin] = wins
        T[twin, twin, single] = T[twin, single, twin] = (1 - wins) / 2
    for first, wins in enumerate((0.75, 0.0, 0.25)):
        second, third = (first + 1) % 3, (first + 2) % 3
        T[first, second, third] = T[first, third, second] = wins
    return T

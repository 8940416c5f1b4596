"""Low-rank games of any size: responses are points, and a skew-symmetric form says who wins."""

from typing import Literal

import numpy as np

import nashpo
from nashpo_games.arguments import generator, whole_number


def embedded(
    n: int = 1000,
    d: int = 8,
    seed: int = 0,
    prompts: int = 1,
    scale: Literal["probability", "score"] = "score",
    beta: float = 0.0,
) -> "nashpo.Game":
    """A general preference model with random embeddings, low-rank and cyclic, at any size.

    (Zhang et al. 2025, arXiv:2410.02197, Definition 4.3.)

        s(i beats j) = <R v_i, v_j>,   R = blockdiag of [[0, -1], [1, 0]],   v ~ N(0, I / sqrt(d)) in R^d
        payoff: s (scale "score") or sigmoid(s) (scale "probability")

    Scores have variance 1 for every d. The table is never built: win rates cost O(n d) on the score scale and
    O(n) memory on the probability scale.

    Args:
        n: number of actions.
        d: dimension of the embeddings, even.
        seed: seed of the embeddings.
        prompts: number of independent games, one per prompt.
        scale: `"score"` or `"probability"`.
        beta: KL weight of the game.

    Raises:
        ValueError: n or `prompts` is below 1, or d is not even and positive.

    >>> game = embedded(n=5, d=2)
    >>> table = game.oracle.table()
    >>> game.shape, bool(np.allclose(table, -np.swapaxes(table, -1, -2)))
    ((1, 5), True)
    """
    from nashpo.oracles import GeneralPreference

    vectors = embeddings(n, d, seed, prompts)
    return nashpo.Game.from_oracle(GeneralPreference(vectors, scale=scale), beta=beta)


def embeddings(n: int, d: int, seed: int = 0, prompts: int = 1) -> np.ndarray:
    """The vectors `[prompts, n, d]` of `embedded`.

    >>> embeddings(5, 4).shape
    (1, 5, 4)
    """
    n, prompts = whole_number("n", n, least=1), whole_number("prompts", prompts, least=1)
    if whole_number("d", d, least=2) % 2:
        raise ValueError(f"d is {d}, but must be even: coordinates come in pairs.")
    return generator(seed).standard_normal((prompts, n, int(d))) / d**0.25

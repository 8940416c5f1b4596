"""The small games that catch the usual mistakes.

Uneven ones for wrong signs, uneven references and prompts for wrong indices, certain wins for infinities, KL weights of
nearly zero and far above one for cancellation.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from nashpo.game import Game

REFERENCE = np.array([0.1, 0.3, 0.15, 0.25, 0.2])
"""A reference policy over five responses, no two alike."""


def random_table(seed: int, size: int = 5, low: float = 0.05) -> np.ndarray:
    """Independent uniform win rates in `[low, 1 - low]` below the diagonal, complements above, `[size, size]`.

    >>> table = random_table(0)
    >>> bool(np.allclose(table + table.T, 1.0))
    True
    """
    table = np.tril(np.random.default_rng(seed).uniform(low, 1 - low, (size, size)), -1)
    return table + np.triu(1.0 - table.T, 1) + 0.5 * np.eye(size)


def tournament(seed: int, size: int = 5) -> np.ndarray:
    """A table in which every comparison is certain, `[size, size]`.

    >>> sorted(set(tournament(0).ravel().tolist()))
    [0.0, 0.5, 1.0]
    """
    return np.where(np.eye(size) > 0, 0.5, np.round(random_table(seed, size)))


def interior_table() -> tuple[np.ndarray, np.ndarray]:
    """A game of five responses whose only equilibrium has full support, and the equilibrium.

    `P = 1/2 + D C D` with `C` the cycle in which everybody beats the next two: `C 1 = 0`, so `p ~ 1 / diag(D)`.

    >>> table, equilibrium = interior_table()
    >>> (table @ equilibrium).round(12).tolist()
    [0.5, 0.5, 0.5, 0.5, 0.5]
    """
    shift = np.arange(5)[:, None] - np.arange(5)[None, :]
    cycle = np.where(np.isin(shift % 5, (1, 2)), 1.0, np.where(shift == 0, 0.0, -1.0))
    scale = np.array([0.6, 0.4, 0.5, 0.65, 0.45])
    return 0.5 + scale[:, None] * cycle * scale[None, :], (1 / scale) / np.sum(1 / scale)


PROMPTS = (4, 5, 6)
"""The seeds of the tables of the three prompts of the game `"prompts"`."""

GAMES: Mapping[str, Callable[[], Game]] = MappingProxyType(
    {
        "random": lambda: Game.from_table(random_table(0), beta=0.1, reference=REFERENCE),
        "original": lambda: Game.from_table(random_table(1), beta=0.0),
        "tiny_beta": lambda: Game.from_table(random_table(2), beta=1e-4, reference=REFERENCE),
        "huge_beta": lambda: Game.from_table(random_table(3), beta=50.0, reference=REFERENCE),
        "prompts": lambda: Game.from_table(
            np.stack([random_table(seed) for seed in PROMPTS]),
            beta=0.1,
            reference=REFERENCE,
            prompts=np.array([1.0, 2.0, 3.0]),
        ),
        "certain": lambda: Game.from_table(tournament(7), beta=0.1, reference=REFERENCE),
    }
)
"""Every algorithm is run on each of these; `"certain"` only where it claims to bear certain wins."""

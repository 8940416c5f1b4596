"""One table of games and one of solvers; the contract tests cross them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import nashpo
from nashpo import solvers as s

STEPS, EVERY = 12, 4


def random_table(seed: int, size: int = 5, low: float = 0.05) -> np.ndarray:
    """Independent uniform entries below the diagonal, complements above."""
    table = np.tril(np.random.default_rng(seed).uniform(low, 1 - low, (size, size)), -1)
    return table + np.triu(1.0 - table.T, 1) + 0.5 * np.eye(size)


def tournament(seed: int, size: int = 5) -> np.ndarray:
    """Every comparison is certain."""
    return np.where(np.eye(size) > 0, 0.5, np.round(random_table(seed, size)))


def interior_table() -> tuple[np.ndarray, np.ndarray]:
    """A game of five responses whose only equilibrium has full support, and the equilibrium.

    `P = 1/2 + D C D` with `C` the cycle in which everybody beats the next two: `C 1 = 0`, so `p ~ 1 / diag(D)`.
    """
    shift = np.arange(5)[:, None] - np.arange(5)[None, :]
    cycle = np.where(np.isin(shift % 5, (1, 2)), 1.0, np.where(shift == 0, 0.0, -1.0))
    scale = np.array([0.6, 0.4, 0.5, 0.65, 0.45])
    return 0.5 + scale[:, None] * cycle * scale[None, :], (1 / scale) / np.sum(1 / scale)


REFERENCE = np.array([0.1, 0.3, 0.15, 0.25, 0.2])

GAMES: dict[str, Callable[[], nashpo.Game]] = {
    "random": lambda: nashpo.Game.from_table(random_table(0), beta=0.1, reference=REFERENCE),
    "original": lambda: nashpo.Game.from_table(random_table(1), beta=0.0),
    "tiny_beta": lambda: nashpo.Game.from_table(random_table(2), beta=1e-4, reference=REFERENCE),
    "huge_beta": lambda: nashpo.Game.from_table(random_table(3), beta=50.0, reference=REFERENCE),
    "prompts": lambda: nashpo.Game.from_table(
        np.stack([random_table(seed) for seed in (4, 5, 6)]), beta=0.1, reference=REFERENCE, prompts=[1, 2, 3]
    ),
    "certain": lambda: nashpo.Game.from_table(tournament(7), beta=0.1, reference=REFERENCE),
}


class Case(NamedTuple):
    """A solver for a step size, and what is true of it."""

    make: Callable[[float], Any]
    rest: str | None = None
    """The equilibrium it does not move from: `"regularised"`, `"original"` or both (`"any"`)."""
    certain: bool = True
    """Whether tables with entries 0 and 1 are allowed."""
    affine: bool = True
    """Whether payoffs `2P - 1` with `2 beta` and `eta / 2` give the same run."""
    has_eta: bool = True


SOLVERS: dict[str, Case] = {
    "SPO": Case(s.SPO, "original"),
    "SPPO": Case(s.SPPO, "original"),
    "SPPO half": Case(lambda eta: s.SPPO(eta, baseline="half"), "original"),
    "DNO": Case(s.DNO, "original"),
    "DNO current": Case(lambda eta: s.DNO(eta, regularization="current"), "any"),
    "DNO pulled": Case(lambda eta: s.DNO(eta, regularization="pulled")),
    "INPO": Case(s.INPO, "any"),
    "EGPO": Case(s.EGPO, "any"),
    "MNPO": Case(lambda eta: s.MNPO(eta, history=(0.5, 0.3, 0.2)), "any"),
    "MNPO current": Case(lambda eta: s.MNPO(eta, history=(0.5, 0.3, 0.2), opponents="current"), "any"),
    "NashMD": Case(s.NashMD),
    "NashMD mix": Case(lambda eta: s.NashMD(eta, mix=0.125)),
    "MPO": Case(lambda eta: s.MPO(eta, 3, alpha=0.2), "original", affine=False),
    "ONPO": Case(s.ONPO, "original"),
    "OnlineIPO": Case(s.OnlineIPO, "any"),
    "OnlineIPO 2": Case(lambda eta: s.OnlineIPO(eta, variant=2), "any"),
    "APO": Case(lambda eta: s.APO(eta, 0.3), "original"),
    "APO of INPO": Case(lambda eta: s.APO(eta, 0.3, base=s.INPO(eta)), "any"),
    "IterativeDPO": Case(s.IterativeDPO, "original", certain=False, affine=False),
    "GPO": Case(s.GPO, certain=False, affine=False),
    "Averaged EGPO": Case(lambda eta: s.Averaged(s.EGPO(eta)), "any"),
    "FictitiousPlay": Case(lambda eta: s.FictitiousPlay(), has_eta=False),
    "RegretMatching": Case(lambda eta: s.RegretMatching(), "original", has_eta=False),
}

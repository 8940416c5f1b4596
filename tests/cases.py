"""One table of games and one of solvers; the contract tests cross them."""

from collections.abc import Callable
from typing import Any, NamedTuple

from nashpo import solvers as s
from nashpo.testing.games import GAMES, REFERENCE, interior_table, random_table, tournament

__all__ = ["EVERY", "GAMES", "REFERENCE", "SOLVERS", "STEPS", "Case", "interior_table", "random_table", "tournament"]

STEPS, EVERY = 12, 4


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
    "Offline": Case(s.Offline),
    "Averaged EGPO": Case(lambda eta: s.Averaged(s.EGPO(eta)), "any"),
    "FictitiousPlay": Case(lambda eta: s.FictitiousPlay(), has_eta=False),
    "RegretMatching": Case(lambda eta: s.RegretMatching(), "original", has_eta=False),
}

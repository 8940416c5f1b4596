"""One file per algorithm."""

from nashpo.solvers.egpo import EGPO
from nashpo.solvers.inpo import INPO
from nashpo.solvers.spo import SPO

__all__ = ["EGPO", "INPO", "SPO"]

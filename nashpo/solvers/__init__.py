"""One file per algorithm."""

from nashpo.solvers.egpo import EGPO
from nashpo.solvers.fictitious_play import FictitiousPlay
from nashpo.solvers.inpo import INPO
from nashpo.solvers.mpo import MPO
from nashpo.solvers.nash_md import NashMD
from nashpo.solvers.online_ipo import OnlineIPO
from nashpo.solvers.onpo import ONPO
from nashpo.solvers.regret_matching import PenaltyIgnoredWarning, RegretMatching
from nashpo.solvers.spo import SPO

__all__ = [
    "EGPO",
    "INPO",
    "MPO",
    "ONPO",
    "SPO",
    "FictitiousPlay",
    "NashMD",
    "OnlineIPO",
    "PenaltyIgnoredWarning",
    "RegretMatching",
]

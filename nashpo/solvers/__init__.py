"""One file per algorithm."""

from nashpo.solvers.apo import APO
from nashpo.solvers.averaged import Averaged
from nashpo.solvers.dno import DNO
from nashpo.solvers.egpo import EGPO
from nashpo.solvers.fictitious_play import FictitiousPlay
from nashpo.solvers.gpo import GPO
from nashpo.solvers.inpo import INPO
from nashpo.solvers.iterative_dpo import IterativeDPO
from nashpo.solvers.mnpo import MNPO
from nashpo.solvers.mpo import MPO
from nashpo.solvers.nash_md import NashMD
from nashpo.solvers.offline import Offline
from nashpo.solvers.online_ipo import OnlineIPO
from nashpo.solvers.onpo import ONPO
from nashpo.solvers.regret_matching import PenaltyIgnoredWarning, RegretMatching
from nashpo.solvers.spo import SPO
from nashpo.solvers.sppo import SPPO

__all__ = [
    "APO",
    "DNO",
    "EGPO",
    "GPO",
    "INPO",
    "MNPO",
    "MPO",
    "ONPO",
    "SPO",
    "SPPO",
    "Averaged",
    "FictitiousPlay",
    "IterativeDPO",
    "NashMD",
    "Offline",
    "OnlineIPO",
    "PenaltyIgnoredWarning",
    "RegretMatching",
]

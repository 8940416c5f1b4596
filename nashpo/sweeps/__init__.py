"""Many runs in one compiled program."""

from nashpo.sweeps.program import random_start
from nashpo.sweeps.result import Sweep
from nashpo.sweeps.sweep import sweep

__all__ = ["Sweep", "random_start", "sweep"]

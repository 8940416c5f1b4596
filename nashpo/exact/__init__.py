"""Exact equilibria of one table in NumPy float64, whatever precision JAX runs in.

`kl_equilibrium` (`beta > 0`), `maximal_lottery` (`beta = 0`) and `certify` work on arrays; `nashpo.equilibrium` puts
them to work on a game.
"""

from nashpo.exact.certificate import certify
from nashpo.exact.lottery import maximal_lottery
from nashpo.exact.newton import kl_equilibrium
from nashpo.exact.solution import LOG_ZERO, Solution

__all__ = ["LOG_ZERO", "Solution", "certify", "kl_equilibrium", "maximal_lottery"]

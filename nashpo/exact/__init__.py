"""Exact equilibria of tables in float64, whatever precision JAX runs in.

`kl_equilibrium` (`beta > 0`), `maximal_lottery` (`beta = 0`) and `certify` work on arrays in NumPy, `kl_equilibria` on
many tables in one compiled program; `nashpo.equilibrium` puts them to work on a game.
"""

from nashpo.exact.certificate import certify
from nashpo.exact.lottery import maximal_lottery
from nashpo.exact.many import kl_equilibria
from nashpo.exact.newton import kl_equilibrium
from nashpo.exact.solution import LOG_ZERO, Solution

__all__ = ["LOG_ZERO", "Solution", "certify", "kl_equilibria", "kl_equilibrium", "maximal_lottery"]

"""Who wins: every oracle says on which scale it pays."""

from nashpo.oracles.base import VALUE, EnumerableOracle, Oracle
from nashpo.oracles.embedding import GeneralPreference
from nashpo.oracles.judge import Judge
from nashpo.oracles.mixture import Mixture
from nashpo.oracles.noisy import Noisy
from nashpo.oracles.reward import BradleyTerry
from nashpo.oracles.sequences import Sequences
from nashpo.oracles.table import Table

__all__ = [
    "VALUE",
    "BradleyTerry",
    "EnumerableOracle",
    "GeneralPreference",
    "Judge",
    "Mixture",
    "Noisy",
    "Oracle",
    "Sequences",
    "Table",
]

"""Who wins: every oracle says on which scale it pays."""

from nashpo.oracles.base import VALUE, EnumerableOracle, Oracle
from nashpo.oracles.table import Table

__all__ = ["VALUE", "EnumerableOracle", "Oracle", "Table"]

"""How far a policy is from equilibrium at least, from samples, where nothing can be listed."""

from nashpo.estimates.bound import GapLowerBound
from nashpo.estimates.interval import bootstrap_interval
from nashpo.estimates.pool import pool_lower_bound
from nashpo.estimates.trained import trained_lower_bound
from nashpo.estimates.value import sampled_advantages

__all__ = ["GapLowerBound", "bootstrap_interval", "pool_lower_bound", "sampled_advantages", "trained_lower_bound"]

"""What can be evaluated and sampled."""

from nashpo.policies.base import EnumerablePolicy, Policy
from nashpo.policies.tabular import Tabular, as_policy

__all__ = ["EnumerablePolicy", "Policy", "Tabular", "as_policy"]

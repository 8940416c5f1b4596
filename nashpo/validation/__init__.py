"""The one place where numbers from outside are checked: tables, item names, distributions.

Needs NumPy only. Every failure is a `ValueError` of one sentence that says what, where and what to do.
"""

from nashpo.validation.distributions import validate_distribution
from nashpo.validation.items import validate_items
from nashpo.validation.tables import validate

__all__ = ["validate", "validate_distribution", "validate_items"]

"""What can be evaluated and sampled; networks, and with them Flax, are imported when they are first used."""

import importlib
from typing import TYPE_CHECKING, Any

from nashpo.policies.base import EnumerablePolicy, Policy, Trainable
from nashpo.policies.tabular import Tabular, as_policy

if TYPE_CHECKING:
    from nashpo.policies.mixture import Mixture
    from nashpo.policies.neural import Neural

__all__ = ["EnumerablePolicy", "Mixture", "Neural", "Policy", "Tabular", "Trainable", "as_policy"]

_HOME = {"Mixture": "mixture", "Neural": "neural"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nashpo.policies' has no attribute {name!r}")
    return getattr(importlib.import_module(f"nashpo.policies.{_HOME[name]}"), name)

"""What can be evaluated and sampled; networks, and with them Flax, are imported when they are first used."""

from typing import TYPE_CHECKING

from nashpo.lazy import lazy
from nashpo.policies.answers import Answers
from nashpo.policies.base import EnumerablePolicy, Policy, Trainable
from nashpo.policies.tabular import Tabular, as_policy

if TYPE_CHECKING:
    from nashpo.policies.mixture import Mixture
    from nashpo.policies.neural import Neural
    from nashpo.policies.rollout import Rollout
    from nashpo.policies.token import Token, sample_blend
    from nashpo.policies.transformer import Transformer

__all__ = [
    "Answers",
    "EnumerablePolicy",
    "Mixture",
    "Neural",
    "Policy",
    "Rollout",
    "Tabular",
    "Token",
    "Trainable",
    "Transformer",
    "as_policy",
    "sample_blend",
]

_HOME = {
    "Mixture": "mixture",
    "Neural": "neural",
    "Rollout": "rollout",
    "Token": "token",
    "Transformer": "transformer",
    "sample_blend": "token",
}


__getattr__ = lazy(__name__, _HOME)

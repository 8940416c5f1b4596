"""A policy in the form that gradients move."""

from typing import Any

import jax
import jax.numpy as jnp

from nashpo.policies.tabular import Tabular
from nashpo.typing import Array


def trained(policy: Any, like: Array) -> Any:
    """The policy in JAX; a table as free logits in the precision of `like`, a network in its own.

    >>> trained(Tabular.from_probs([0.25, 0.75]), jnp.zeros(())).normalised
    False
    """
    if type(policy) is Tabular:
        return Tabular(jnp.asarray(policy.logits, like.dtype))
    return jax.tree.map(jnp.asarray, policy)


def parameters(policy: Any) -> Any:
    """What is trained of a policy.

    Raises `ValueError` for a policy without parameters; a reference may be one, for it is not trained.

    >>> parameters(Tabular(jnp.zeros((1, 2)))).tolist()
    [[0.0, 0.0]]
    """
    if not hasattr(policy, "with_params") or not jax.tree.leaves(policy.params):
        raise ValueError(
            f"{type(policy).__name__} has no parameters to train: start from a policy that has (params, with_params)."
        )
    return policy.params

"""A policy in the form that gradients move."""

from typing import Any

import jax
import jax.numpy as jnp

from nashpo.policies.tabular import Tabular
from nashpo.typing import Array


def trained(policy: Any, like: Array) -> Any:
    """The policy in JAX; a table as free logits in the precision of `like`, a network in its own.

    Raises `ValueError` for a policy without parameters.

    >>> trained(Tabular.from_probs([0.25, 0.75]), jnp.zeros(())).normalised
    False
    """
    if type(policy) is Tabular:
        return Tabular(jnp.asarray(policy.logits, like.dtype))
    if not hasattr(policy, "with_params"):
        raise ValueError(
            f"{type(policy).__name__} has no parameters to train: start from a policy that has (params, with_params)."
        )
    return jax.tree.map(jnp.asarray, policy)

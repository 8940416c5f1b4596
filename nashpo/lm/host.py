"""Arrays of several processes, on the host of each."""

from typing import Any

import jax
import numpy as np


def on_host(tree: Any) -> Any:
    """The same pytree in NumPy; what is spread over processes is gathered, so that all of them hold all of it.

    >>> import jax.numpy as jnp
    >>> on_host({"a": jnp.ones(2, jnp.float32)})
    {'a': array([1., 1.], dtype=float32)}
    """
    return jax.tree.map(_gathered, tree)


def _gathered(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        if leaf.is_fully_replicated:
            return np.asarray(leaf.addressable_data(0))
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    return np.asarray(leaf)

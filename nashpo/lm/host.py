"""Several processes: arrays on the host of each, and what they must agree on."""

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


def first() -> bool:
    """Whether this is the process that writes and prints, of several or alone.

    >>> first()
    True
    """
    return jax.process_index() == 0


def agreed(values: np.ndarray) -> np.ndarray:
    """What the first process has, in all of them; all of them call it.

    >>> agreed(np.ones(2))
    array([1., 1.])
    """
    if jax.process_count() == 1:
        return values
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(values), values.dtype)


def wait(what: str) -> None:
    """Go on once every process has come here; `what` names the place."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(what)


def _gathered(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        if leaf.is_fully_replicated:
            return np.asarray(leaf.addressable_data(0))
        from jax.experimental import multihost_utils

        return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))
    return np.asarray(leaf)

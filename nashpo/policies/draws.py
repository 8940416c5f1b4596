"""Samples of a distribution that is listed."""

import jax
import jax.numpy as jnp

from nashpo.typing import Array, Key


def draw(key: Key, logits: Array, count: int) -> Array:
    """`count` independent draws from every `softmax(logits[b])`, `[B, count]`, by inverting the distribution function.

    One random number a draw, where adding noise to every logit takes A. In float32 a probability below 1e-7 may count
    as none; what has probability 0 is never drawn.

    >>> draw(jax.random.key(0), jnp.array([[0.0, -jnp.inf], [-1e9, 0.0]]), 3).tolist()
    [[0, 0, 0], [1, 1, 1]]
    """
    logits = jnp.asarray(logits)
    weights = jnp.exp(logits - jnp.max(logits, axis=-1, keepdims=True))
    below = jnp.cumsum(weights, axis=-1)
    total = below[:, -1:]
    levels = jax.random.uniform(key, (len(logits), count), below.dtype) * total
    found = jax.vmap(lambda row, level: jnp.searchsorted(row, level, side="right"))(below, levels)
    return jnp.minimum(found, jnp.argmax(below >= total, axis=-1)[:, None]).astype(jnp.int32)

"""Win rates against a mix of many responses, a few rows of the table at a time."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.logspace import namespace
from nashpo.typing import Array

BLOCK = 2**20
"""How many entries of a table exist at once (or one row, where a row is longer)."""


def blockwise(payoff: Callable[[Array, Array], Array], features: Array, opponent: Array) -> Array:
    """`sum_j payoff(features[x, i], features[x, j]) opponent[x, j]`, `[X, A]`, in O(A) memory.

    `features` is `[X, A, F]`, `opponent` `[X, A]`; `payoff` maps rows `[b, F]` and columns `[A, F]` to `[b, A]`.

    >>> bigger = lambda rows, columns: (rows > columns.T) + 0.5 * (rows == columns.T)
    >>> blockwise(bigger, np.array([[[3.0], [7.0]]]), np.array([[0.5, 0.5]])).tolist()
    [[0.25, 0.75]]
    """
    contexts, responses, _ = features.shape
    rows = max(1, min(responses, BLOCK // (responses * contexts)))
    if namespace(features, opponent) is np:
        return _numpy(payoff, features, opponent, max(1, BLOCK // responses))

    def mean(block: Array, every: Array, mix: Array) -> Array:
        return jnp.matmul(payoff(block, every), mix, precision=jax.lax.Precision.HIGHEST)

    if rows == responses:
        return jax.vmap(mean)(features, features, opponent)
    padded = jnp.pad(features, ((0, 0), (0, -responses % rows), (0, 0)))
    blocks = jnp.moveaxis(padded.reshape(contexts, -1, rows, features.shape[-1]), 1, 0)
    rates = jax.lax.map(lambda block: jax.vmap(mean)(block, features, opponent), blocks)
    return jnp.moveaxis(rates, 0, 1).reshape(contexts, -1)[:, :responses]


def _numpy(payoff: Callable[[Array, Array], Array], features: Array, opponent: Array, rows: int) -> Array:
    """The same, prompt by prompt."""
    rates = np.empty(opponent.shape, np.result_type(features, opponent))
    for x, every in enumerate(features):
        for first in range(0, len(every), rows):
            part = slice(first, first + rows)
            rates[x, part] = payoff(every[part], every) @ opponent[x]
    return rates

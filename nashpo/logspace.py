"""Arithmetic of log-probabilities, on NumPy arrays as they are and on JAX arrays as they are.

A table that a user holds as NumPy float64 is computed with in NumPy float64, whatever JAX's default precision.
"""

from types import ModuleType

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.typing import Array

LOG_ZERO = -1e9
"""The log-probability of a response that exists only as padding: finite, and its exponential is 0."""

_SERIES_RADIUS = 0.1


def namespace(*arrays: object) -> ModuleType:
    """`jax.numpy` if any argument is a JAX array (or tracer), else `numpy`.

    >>> namespace(np.ones(2)).__name__
    'numpy'
    """
    return jnp if any(isinstance(a, jax.Array) for a in arrays) else np


def log_softmax(x: Array) -> Array:
    """`x - log sum exp x` along the last axis.

    >>> np.exp(log_softmax(np.array([0.0, np.log(3.0)]))).round(2).tolist()
    [0.25, 0.75]
    """
    xp = namespace(x)
    top = xp.max(x, axis=-1, keepdims=True)
    shifted = x - (top if xp is np else jax.lax.stop_gradient(top))  # which nothing depends on
    return shifted - xp.log(xp.sum(xp.exp(shifted), axis=-1, keepdims=True))


def kl(log_p: Array, log_q: Array) -> Array:
    """`KL(p || q) = sum p (exp(-d) - 1 + d)`, `d = log p - log q`, along the last axis.

    Every term is non-negative, so the sum keeps its relative precision however close `p` and `q` are, where
    `sum p d` cancels at the rounding error of one. Close to `d = 0` the term is summed as a power series.

    >>> p = np.log(np.array([0.5, 0.5]))
    >>> q = log_softmax(np.array([0.0, 2e-12]))
    >>> bool(abs(kl(p, q) / 5e-25 - 1) < 1e-3)
    True
    """
    xp = namespace(log_p, log_q)
    d = log_p - log_q
    p, q = xp.exp(log_p), xp.exp(log_q)
    near = xp.abs(d) < _SERIES_RADIUS
    small = xp.where(near, d, 0.0)
    series = 1 / 3628800 - small / 39916800
    for inverse in (-1 / 362880, 1 / 40320, -1 / 5040, 1 / 720, -1 / 120, 1 / 24, -1 / 6, 1 / 2):
        series = inverse + small * series
    far = xp.where(p > 0, q - p + p * d, q)
    return xp.sum(xp.where(near, p * small * small * series, far), axis=-1)


def matvec(matrix: Array, vector: Array) -> Array:
    """`sum_j matrix[..., i, j] vector[..., j]` at the highest precision the device has.

    >>> matvec(np.array([[0.0, 1.0], [2.0, 0.0]]), np.array([3.0, 4.0])).tolist()
    [4.0, 6.0]
    """
    if namespace(matrix, vector) is np:
        return np.matmul(matrix, vector[..., None])[..., 0]
    return jnp.einsum("...ij,...j->...i", matrix, vector, precision=jax.lax.Precision.HIGHEST)

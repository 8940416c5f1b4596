"""Factorisations of `diag(d) - S` for one skew table S and many diagonals."""

from collections.abc import Callable

import numpy as np

Solve = Callable[[np.ndarray], np.ndarray]

SMALL = 64
"""Up to this size an inverse is as quick as a factorisation, and needs no SciPy."""


def factorise(S: np.ndarray, diagonal: np.ndarray) -> Solve:
    """A function that solves `(diag(d) - S) x = b` for `b` `[A]` or `[A, K]`; S skew with zero diagonal, `d > 0`.

    A float32 table is factorised in float32, after scaling to `I - D S D` with `D = diag(d)^(-1/2)`: half the time, and
    directions good to some digits.

    >>> S = np.array([[0.0, 0.5], [-0.5, 0.0]])
    >>> factorise(S, np.array([1.0, 1.0]))(np.array([1.0, 0.0])).round(3).tolist()
    [0.8, -0.4]
    """
    size = len(S)
    if size <= SMALL:
        matrix = -S
        matrix.flat[:: size + 1] = diagonal
        return np.linalg.inv(matrix).__matmul__
    from scipy.linalg import get_lapack_funcs

    getrf, getrs = get_lapack_funcs(("getrf", "getrs"), (S,))
    if S.dtype == np.float32:
        return _scaled(S, diagonal, getrf, getrs)
    transposed = S.copy()
    transposed.flat[:: size + 1] = diagonal
    lu, pivots, _ = getrf(transposed.T, overwrite_a=1)
    return lambda b: getrs(lu, pivots, b)[0]


def _scaled(S: np.ndarray, diagonal: np.ndarray, getrf: Callable, getrs: Callable) -> Solve:
    """The same through `I - D S D` in the precision of S."""
    scale = 1.0 / np.sqrt(diagonal)
    transposed = S * scale.astype(S.dtype)
    transposed *= scale.astype(S.dtype)[:, None]
    transposed.flat[:: len(S) + 1] = 1.0
    lu, pivots, _ = getrf(transposed.T, overwrite_a=1)

    def solve(b: np.ndarray) -> np.ndarray:
        weight = scale if b.ndim == 1 else scale[:, None]
        return weight * getrs(lu, pivots, (weight * b).astype(S.dtype))[0]

    return solve

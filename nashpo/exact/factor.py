"""Factorisations of `diag(d) - S` for one table S and many diagonals."""

from collections.abc import Callable

import numpy as np

_SMALL = 64


def factorise(S: np.ndarray, diagonal: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that solves `(diag(d) - S) x = b` for `b` `[A]` or `[A, K]`; S skew with zero diagonal, `d > 0`.

    Up to 64 responses the inverse is as quick as a factorisation and needs no SciPy.

    >>> S = np.array([[0.0, 0.5], [-0.5, 0.0]])
    >>> factorise(S, np.array([1.0, 1.0]))(np.array([1.0, 0.0])).round(3).tolist()
    [0.8, -0.4]
    """
    size = len(S)
    if size <= _SMALL:
        matrix = -S
        matrix.ravel()[:: size + 1] = diagonal
        return np.linalg.inv(matrix).__matmul__
    from scipy.linalg import get_lapack_funcs

    getrf, getrs = get_lapack_funcs(("getrf", "getrs"), (S,))
    transposed = S.copy()
    transposed.ravel()[:: size + 1] = diagonal
    lu, pivots, _ = getrf(transposed.T, overwrite_a=1)
    return lambda b: getrs(lu, pivots, b)[0]

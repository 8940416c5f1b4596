"""Sums of very many small numbers."""

from nashpo.typing import Array


def kahan_add(total: Array, lost: Array, term: Array) -> tuple[Array, Array]:
    """`total + term` and what rounding has added to it (Kahan 1965); `lost` is that of the sum so far, at first zero.

    >>> import numpy as np
    >>> total, lost, plain = np.float32(1), np.float32(0), np.float32(1)
    >>> for _ in range(1000):
    ...     total, lost = kahan_add(total, lost, np.float32(1e-8))
    ...     plain += np.float32(1e-8)
    >>> round(float(total), 6), round(float(plain), 6)
    (1.00001, 1.0)
    """
    term = term - lost
    new = total + term
    return new, (new - total) - term

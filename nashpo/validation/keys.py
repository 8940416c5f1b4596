"""Whole numbers in place of random keys."""

import numpy as np


def seed(number: int | np.integer) -> np.uint32:
    """A whole number as the seed of a random key.

    Raises `ValueError` for one that is negative or has more than 32 bits.

    >>> seed(3)
    np.uint32(3)
    >>> seed(-1)
    Traceback (most recent call last):
        ...
    ValueError: key=-1: a whole number is a seed from 0 to 2**32 - 1.
    """
    if not 0 <= number < 2**32:
        raise ValueError(f"key={number}: a whole number is a seed from 0 to 2**32 - 1.")
    return np.uint32(number)

"""Checks that the constructors share; every failure is one sentence that names the argument."""

import numpy as np

from nashpo.validation.numbers import is_number


def whole_number(name: str, value: int, least: int) -> int:
    """`value` as an int that is at least `least`.

    >>> whole_number("n", 2, least=3)
    Traceback (most recent call last):
        ...
    ValueError: n is 2, but must be a whole number, 3 or more.
    """
    if not is_number(value, least) or int(value) != value:
        raise ValueError(f"{name} is {value!r}, but must be a whole number, {least} or more.")
    return int(value)


def number_between(name: str, value: float, low: float, high: float) -> float:
    """`value` as a float in `[low, high]`.

    >>> number_between("win", 1.5, 0.5, 1.0)
    Traceback (most recent call last):
        ...
    ValueError: win is 1.5, but must lie between 0.5 and 1.
    """
    if not is_number(value, low, high):
        raise ValueError(f"{name} is {value!r}, but must lie between {low:g} and {high:g}.")
    return float(value)


def generator(seed: int) -> np.random.Generator:
    """NumPy's generator of a seed.

    >>> generator(-1)
    Traceback (most recent call last):
        ...
    ValueError: seed is -1, but must be a whole number, 0 or more.
    """
    return np.random.default_rng(whole_number("seed", seed, least=0))

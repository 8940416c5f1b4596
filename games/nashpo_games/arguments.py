"""Checks that the constructors share; every failure is one sentence that names the argument."""

import math


def whole_number(name: str, value: int, least: int) -> int:
    """`value` as an int that is at least `least`.

    >>> whole_number("n", 2, least=3)
    Traceback (most recent call last):
        ...
    ValueError: n is 2, but must be a whole number, 3 or more.
    """
    if isinstance(value, bool) or not math.isfinite(value) or int(value) != value or value < least:
        raise ValueError(f"{name} is {value}, but must be a whole number, {least} or more.")
    return int(value)


def number_between(name: str, value: float, low: float, high: float) -> float:
    """`value` as a float in `[low, high]`.

    >>> number_between("win", 1.5, 0.5, 1.0)
    Traceback (most recent call last):
        ...
    ValueError: win is 1.5, but must lie between 0.5 and 1.
    """
    if not low <= value <= high:
        raise ValueError(f"{name} is {value}, but must lie between {low:g} and {high:g}.")
    return float(value)

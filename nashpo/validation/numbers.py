"""Single numbers from outside: what counts as one, and as a whole one."""

import math
import operator
from typing import Any

import numpy as np


def is_number(value: Any, least: float = -math.inf, most: float = math.inf) -> bool:
    """Whether `value` is one finite number from `least` to `most`.

    >>> is_number(0.5, 0, 1), is_number(2, 0, 1), is_number("0.5"), is_number(True), is_number([1.0, 2.0])
    (True, False, False, False, False)
    """
    if isinstance(value, str | bytes | bool) or np.ndim(value):
        return False
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return math.isfinite(number) and least <= number <= most


def is_positive(value: Any) -> bool:
    """Whether `value` is one finite number above zero.

    >>> is_positive(1e-9), is_positive(0), is_positive("x")
    (True, False, False)
    """
    return is_number(value) and value > 0


def is_whole(value: Any, least: int, most: int | None = None) -> bool:
    """Whether `value` counts something: a whole number from `least` to `most`.

    >>> is_whole(3, 1), is_whole(3, 4), is_whole(3.0, 1), is_whole(True, 1)
    (True, False, False, False)
    """
    if isinstance(value, bool):
        return False
    try:
        count = operator.index(value)
    except TypeError:
        return False
    return least <= count and (most is None or count <= most)


def whole_number(name: str, value: Any, least: int, most: int | None = None) -> int:
    """`value` as an int from `least` to `most`.

    Raises `ValueError` with a sentence about `name` otherwise.

    >>> whole_number("steps", 2.5, 1)
    Traceback (most recent call last):
        ...
    ValueError: steps=2.5: must be a whole number.
    """
    if is_whole(value, least, most):
        return operator.index(value)
    if not hasattr(value, "__index__") or isinstance(value, bool):
        raise ValueError(f"{name}={value!r}: must be a whole number.")
    bound = f"at most {most}" if most is not None and value > most else f"at least {least}"
    raise ValueError(f"{name}={value}: must be {bound}.")


def check_count(setting: str, value: Any, least: int, otherwise: str = "") -> None:
    """Refuse what is no whole number of at least `least`.

    >>> check_count("Regression(updates={})", 0, 1)
    Traceback (most recent call last):
        ...
    ValueError: Regression(updates=0): must be a whole number, at least 1.
    """
    if not is_whole(value, least):
        raise ValueError(f"{setting.format(value)}: must be a whole number, at least {least}{otherwise}.")

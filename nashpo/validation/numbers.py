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


def whole_number(
    name: str, value: Any, least: int, most: int | None = None, *, of: str = "", otherwise: str = ""
) -> int:
    """`value` as an int from `least` to `most`; errors say which setting `of` what, and what it may be `otherwise`.

    Raises `ValueError` for anything else.

    >>> whole_number("updates", 2.5, 1, of="Regression")
    Traceback (most recent call last):
        ...
    ValueError: Regression(updates=2.5): must be a whole number, at least 1.
    """
    if is_whole(value, least, most):
        return operator.index(value)
    setting = f"{of}({name}={value!r})" if of else f"{name}={value!r}"
    bounds = f"at least {least}" if most is None else f"from {least} to {most}"
    raise ValueError(f"{setting}: must be a whole number, {bounds}{otherwise}.")

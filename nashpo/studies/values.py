"""What a value in a study may be: one checked number, a list of them, or numbers with equal steps or ratios."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nashpo.nearest import nearest
from nashpo.validation.numbers import is_number

SPACED = {"geomspace": np.geomspace, "linspace": np.linspace}
"""`{geomspace = [0.1, 2, 8]}`: eight numbers from 0.1 to 2 with one ratio; `linspace` with one difference."""
MOST_SEEDS = 2**20
"""A number of seeds makes a list of them."""


def whole(least: int, most: int | None = None) -> Callable[[Any], int]:
    """A whole number from `least` to `most`; raises `ValueError` with what it must be."""

    def convert(value: Any) -> int:
        fits = isinstance(value, int | float | np.integer) and not isinstance(value, bool) and value == value // 1
        if not fits or not least <= value < math.inf:
            raise ValueError(f"a whole number, {least} or more")
        if most is not None and value > most:
            raise ValueError(f"at most {most}")
        return int(value)

    return convert


def number(value: Any) -> float:
    """A finite number."""
    if not isinstance(value, int | float | np.number) or not is_number(value):
        raise ValueError("a number")
    return float(value)


def at_least_zero(value: Any) -> float:
    """A number that is not negative."""
    return _bounded(value, lambda x: x >= 0, "a number that is at least 0")


def up_to_one(value: Any) -> float:
    """A number from 0 to 1."""
    return _bounded(value, lambda x: 0 <= x <= 1, "a number from 0 to 1")


def positive(value: Any) -> float:
    """A number above zero."""
    return _bounded(value, lambda x: x > 0, "a number above 0")


def positive_up_to_one(value: Any) -> float:
    """A number above zero, at most 1."""
    return _bounded(value, lambda x: 0 < x <= 1, "a number above 0 and at most 1")


def inside_one(value: Any) -> float:
    """A number above zero and below 1."""
    return _bounded(value, lambda x: 0 < x < 1, "a number above 0 and below 1")


def one_of(*words: str) -> Callable[[Any], str]:
    """One of the words."""

    def convert(value: Any) -> str:
        if value not in words:
            raise ValueError(f"one of {', '.join(words)}")
        return str(value)

    return convert


def listed(value: Any) -> bool:
    """Whether `value` is several values."""
    return isinstance(value, Sequence | np.ndarray) and not isinstance(value, str | bytes)


def spaced(value: Any) -> bool:
    """Whether `value` is `{geomspace = [first, last, count]}` or `{linspace = ...}`."""
    return isinstance(value, Mapping) and len(value) == 1 and next(iter(value)) in SPACED


def several(kind: Callable[[Any], Any], value: Any, others: Sequence[str] = ()) -> list[Any]:
    """Different values of one kind: a list of at least one, or spaced numbers; one value is a list of one.

    `others` are keys of tables that may stand in its place. Raises `ValueError` with what it must be.

    >>> several(number, {"geomspace": [0.25, 1.0, 3]})
    [0.25, 0.5, 1.0]
    """
    if spaced(value):
        value = _spread(*next(iter(value.items())))
    elif isinstance(value, Mapping):
        unknown = next((key for key in value if key not in SPACED), None)
        more = "" if unknown is None else f", and {unknown} is not known{nearest(str(unknown), (*SPACED, *others))}"
        raise ValueError(f"numbers or one grid of them{more}")
    values = [kind(one) for one in (value if listed(value) else [value])]
    if not values:
        raise ValueError("a list of at least one value")
    repeated = next((one for index, one in enumerate(values) if one in values[:index]), None)
    if repeated is not None:
        raise ValueError(f"a list of different values ({repeated} stands twice)")
    return values


def misfit(value: Any, words: str) -> str:
    """What a value is and must be, as the end of a sentence; of a table in braces it says only that it is one.

    >>> misfit([], "a number"), misfit({"linspce": [0, 1, 5]}, "a number")
    ('is [], but must be a number.', 'is a table, but must be a number.')
    """
    inside = listed(value) and any(isinstance(one, Mapping) for one in value)
    said = "a table" if isinstance(value, Mapping) else "a list with a table in it" if inside else repr(value)
    return f"is {said}, but must be {words if words[-1] in '.?' else f'{words}.'}"


def _spread(name: str, value: Any) -> list[float]:
    wanted = f"{name} = [first, last, count]"
    if not listed(value) or len(value) != 3:
        raise ValueError(wanted)
    try:
        first, last, count = number(value[0]), number(value[1]), whole(1)(value[2])
    except ValueError:
        raise ValueError(f"{wanted} with two numbers and how many, 1 or more") from None
    if name == "geomspace" and not (first > 0 and last > 0):
        raise ValueError(f"{wanted} with numbers above 0")
    return SPACED[name](first, last, count).tolist()


def seeds(value: Any) -> list[int]:
    """A list of seeds: that of as many as a number says, or itself.

    >>> seeds(3)
    [0, 1, 2]
    """
    try:
        found = several(whole(0), value) if listed(value) else list(range(whole(1, MOST_SEEDS)(value)))
    except ValueError:
        words = f"how many, at least 1 and at most {MOST_SEEDS}, or a list of different whole numbers from 0 on"
        raise ValueError(words) from None
    if max(found) >= 2**32:
        raise ValueError("whole numbers below 2**32")
    return found


def _bounded(value: Any, fits: Callable[[float], bool], words: str) -> float:
    try:
        found = number(value)
    except ValueError:
        found = math.nan
    if not fits(found):
        raise ValueError(words)
    return found

"""Words that the messages share, and the step from anything to an array of floats."""

from collections.abc import Sequence
from typing import Any

import numpy as np

TOLERANCE = {np.dtype(np.float64): 1e-6, np.dtype(np.float32): 1e-5}
"""Deviations up to this (rounding of stored tables) are repaired, larger ones are errors."""
HALF = {"float16": 1e-3, "bfloat16": 1e-2}
"""The same for numbers that were stored in half precision."""


def numeric(value: Any, source: str | None, name: str = "P") -> np.ndarray:
    """A float32 or float64 array of `value`."""
    try:
        array = np.ma.filled(value.astype(float), np.nan) if isinstance(value, np.ma.MaskedArray) else np.asarray(value)
        if array.dtype in TOLERANCE:
            return array
        if array.dtype.kind == "c":
            raise TypeError
        return array.astype(np.float32 if array.dtype.name in HALF else np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{at(source)}{name} must be a full array of real numbers.") from None


def tolerance(value: Any) -> float:
    """How much numbers of this precision may be off by rounding."""
    kind = getattr(value, "dtype", np.dtype(np.float64))
    return HALF.get(kind.name, TOLERANCE.get(kind, TOLERANCE[np.dtype(np.float64)]))


def cell(entry: tuple[int, ...], name: str = "P") -> str:
    """`P[0, 1]`, as one would type it."""
    return f"{name}[{', '.join(str(int(i)) for i in entry)}]"


def pair(entry: tuple[int, ...], items: Sequence[str] | None) -> str:
    """The row and column of an entry, by name where there are names."""
    row, column = entry[-2:]
    if items is None or max(row, column) >= len(items):
        return f"row {row} against column {column}"
    return f"row {items[row]!r} against column {items[column]!r}"


def at(source: str | None) -> str:
    """`source: ` or nothing."""
    return f"{source}: " if source else ""

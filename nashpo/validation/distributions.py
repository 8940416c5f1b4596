"""Probabilities: reference policies, policies, prompt weights."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nashpo.validation.items import check_labels
from nashpo.validation.wording import TOLERANCE, cell, numeric


def validate_distribution(
    p: Any,
    name: str,
    shape: tuple[int, ...],
    items: Sequence[str] | None = None,
    allow_zero: bool = False,
) -> np.ndarray:
    """Check probabilities (a reference policy, a policy, prompt weights) and return them as floats.

        p > 0 (or p >= 0),   sum over the last axis = 1

    Args:
        p: array that broadcasts to `shape` from the left: `shape` itself or `shape[1:]`.
        name: what it is called in messages ("reference", "prompts", ...).
        shape: `(X, A)` for a policy, `(X,)` for prompt weights.
        items: names along the last axis, used in messages.
        allow_zero: whether an entry may be exactly 0.

    Returns:
        Array of shape `shape`, float32 or float64 as given. Sums that are off by rounding (1e-6 in float64,
        1e-5 in float32) are normalised.

    Raises:
        ValueError: wrong shape, NaN, a negative or zero entry (named), a sum other than 1, or labels (of a pandas
            Series or DataFrame, or an xarray) that are other names than the items, or these in another order.

    >>> validate_distribution([0.25, 0.75], "reference", (1, 2))
    array([[0.25, 0.75]])
    >>> validate_distribution([0.0, 1.0], "reference", (1, 2), items=["tea", "coffee"])
    Traceback (most recent call last):
        ...
    ValueError: reference[0] = 0 ('tea') has no mass: give every action positive probability, or drop \
the action.
    """
    check_labels(p, items, name)
    array = numeric(p, None, name)
    if array.shape != shape and array.shape != shape[1:]:
        expected = str(shape) if len(shape) == 1 else f"{shape[1:]} or {shape}"
        raise ValueError(f"{name} has shape {array.shape}, but must have shape {expected}.")
    if not (array > 0).all():
        _reject_mass(array, name, items, allow_zero)
    total = array.sum(axis=-1)
    deviation = np.abs(total - 1)
    worst = deviation.max()
    if not worst <= TOLERANCE[array.dtype]:
        row = int(deviation.argmax())
        where = "" if array.ndim == 1 else f" in row {row}"
        raise ValueError(
            f"{name} sums to {total.reshape(-1)[row]:.12g}{where}, but must sum to 1: divide it by its sum."
        )
    if worst > 8 * np.finfo(array.dtype).eps:
        array = array / total[..., None]
    return array if array.shape == shape else np.broadcast_to(array, shape)


def _reject_mass(array: np.ndarray, name: str, items: Sequence[str] | None, allow_zero: bool) -> None:
    """Raise at the first entry that is NaN, negative, or zero where that is not allowed."""
    good = array >= 0 if allow_zero else array > 0
    wrong = np.argwhere(~(good & np.isfinite(array)))
    if not len(wrong):
        return
    entry = tuple(wrong[0])
    value, label = array[entry], f" ({items[entry[-1]]!r})" if items is not None else ""
    where = f"{cell(entry, name)} = {value:.12g}{label}"
    if value == 0:
        raise ValueError(f"{where} has no mass: give every action positive probability, or drop the action.")
    raise ValueError(f"{where} is not a probability: {name} must be non-negative numbers that sum to 1.")

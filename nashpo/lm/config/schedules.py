"""Numbers that may be schedules: any of optax, by name."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from nashpo.lm.config.making import made
from nashpo.nearest import nearest
from nashpo.struct import record, static
from nashpo.studies.document import Document

LENGTHS = ("decay_steps", "transition_steps", "num_steps")
"""Settings that are the length of a schedule: the whole run where none is given."""


@dataclasses.dataclass(frozen=True)
class Scheduled:
    """A schedule of optax by name: the same name and settings are equal, and one compiled program.

    >>> float(Scheduled("linear_schedule", (("init_value", 1.0), ("end_value", 0.0), ("transition_steps", 4)))(1))
    0.75
    """

    name: str
    settings: tuple[tuple[str, Any], ...]

    def __hash__(self) -> int:
        """Of its names, for settings may be tables, which have none."""
        return hash((self.name, tuple(key for key, _ in self.settings)))

    def __call__(self, count: Any) -> Any:
        """The value at `count`."""
        return self.function(count)

    @property
    def function(self) -> Callable[[Any], Any]:
        """What optax makes of the settings."""
        import optax

        return getattr(optax, self.name)(**dict(self.settings))


@record
class ScheduledStep:
    """A step size `eta(beta, step)` that is a schedule over the steps of the run.

    >>> ScheduledStep(Scheduled("constant_schedule", (("value", 0.5),)))(0.1, 3)
    0.5
    """

    schedule: Scheduled = static()

    def __call__(self, beta: Any, step: Any) -> Any:
        """The step size at `step`."""
        return self.schedule(step)


def read_number(
    document: Document,
    place: tuple[str, ...],
    value: Any,
    convert: Callable[[Any], float],
    length: int,
) -> float | Scheduled:
    """A number by `convert`, or the schedule that `{schedule = "NAME", ...}` describes, `length` long by default.

    Raises `ValueError` naming the line, for an unknown schedule and settings that it has not.

    >>> from nashpo.studies.document import read_document
    >>> table = {"schedule": "cosine_decay_schedule", "init_value": 1.0}
    >>> read_number(read_document({}), ("a",), table, float, 10).settings
    (('init_value', 1.0), ('decay_steps', 10))
    """
    if not isinstance(value, Mapping):
        try:
            return convert(value)
        except ValueError as error:
            document.wrong(place, f'is {value!r}, but must be {error}, or {{schedule = "cosine_decay_schedule", ...}}.')
    import optax

    given = {key: _by_step(one) for key, one in value.items()}
    name = given.pop("schedule", None)
    known = [label for label in dir(optax) if label.endswith("_schedule") and not label.startswith("scale_by")]
    known.append("exponential_decay")
    if name not in known:
        document.wrong((*place, "schedule"), f"is {name!r}: there is no such schedule{nearest(str(name), known)}")
    function = getattr(optax, name)
    for key in inspect.signature(function).parameters:
        if key in LENGTHS and key not in given:
            given[key] = length
    made(document, place, function, given, extra=("schedule",))
    found = Scheduled(name, tuple(given.items()))
    _check_values(document, place, found, convert, length)
    return found


def _check_values(
    document: Document, place: tuple[str, ...], schedule: Scheduled, convert: Callable[[Any], float], length: int
) -> None:
    """Refuse a schedule that somewhere on its way, at up to 1,000 places, is what no number may be; 0 it may reach.

    >>> from nashpo.studies.document import read_document
    >>> from nashpo.studies.values import at_least_zero
    >>> falling = Scheduled("linear_schedule", (("init_value", 1.0), ("end_value", -1.0), ("transition_steps", 4)))
    >>> _check_values(read_document({}), ("a",), falling, at_least_zero, 5)
    Traceback (most recent call last):
        ...
    ValueError: study: a is -0.5 at step 3 of the schedule, but must be a number that is at least 0.
    """
    import jax

    counts = np.unique(np.linspace(0, length - 1, 1000).astype(np.int64))
    try:
        values = np.asarray(jax.vmap(schedule)(counts))
    except (TypeError, ValueError) as error:
        document.wrong(place, f": {schedule.name} cannot be computed: {str(error).splitlines()[0].rstrip('.')}.")
    rounding = 1e-6 * np.max(np.abs(values))
    for count, value in zip(counts.tolist(), values.tolist(), strict=True):
        try:
            if not abs(value) <= rounding:
                convert(float(f"{value:.6g}"))
        except ValueError as error:
            document.wrong(place, f"is {value:.3g} at step {count} of the schedule, but must be {error}.")


def _by_step(value: Any) -> Any:
    """A table whose keys are steps, which TOML and JSON can only write as texts, with numbers for keys.

    >>> _by_step({"10": 0.5})
    {10: 0.5}
    """
    if not isinstance(value, Mapping):
        return value
    return {int(key) if isinstance(key, str) and key.isdecimal() else key: one for key, one in value.items()}

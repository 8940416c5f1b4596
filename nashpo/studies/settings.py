"""The table `[study]`: what holds for every run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nashpo import metrics as library
from nashpo.metrics import Last
from nashpo.nearest import nearest
from nashpo.run import MOST_STEPS
from nashpo.studies.document import Document
from nashpo.studies.values import at_least_zero, listed, misfit, one_of, seeds, several, whole

METRICS = (
    "duality_gap",
    "exploitability",
    "reference_kl",
    "entropy",
    "reference_win_rate",
    "gap_by_prompt",
    "probs",
)
"""Metrics that a study can name; `last_NAME` measures the last iterate instead of the answer."""


@dataclass(frozen=True)
class Settings:
    """`[study]`, checked, every default filled in."""

    steps: int
    every: int
    seeds: tuple[int, ...] = (0,)
    betas: tuple[float, ...] | None = None
    starts: str = "reference"
    tol: float | None = None
    metrics: tuple[str, ...] = ()
    precision: str = "float64"

    def functions(self) -> dict[str, Any]:
        """The metrics as functions."""
        return {name: _metric(name) for name in self.metrics}


def _metric(name: str) -> Any:
    plain = name.removeprefix("last_")
    return Last(getattr(library, plain)) if plain != name else getattr(library, name)


def _metrics(value: Any) -> tuple[str, ...]:
    if not listed(value) or not all(isinstance(name, str) for name in value):
        raise ValueError("a list of names")
    for name in value:
        if name.removeprefix("last_") not in METRICS:
            raise ValueError(f"a list of metrics, and there is no {name!r}{nearest(name, METRICS)}")
    if len(set(value)) < len(value):
        raise ValueError("a list of different metrics")
    return tuple(name for name in value if name != "duality_gap")


KINDS: dict[str, Callable[[Any], Any]] = {
    "steps": whole(1, MOST_STEPS),
    "every": whole(1, MOST_STEPS),
    "seeds": lambda value: tuple(seeds(value)),
    "betas": lambda value: tuple(several(at_least_zero, value)),
    "starts": one_of("reference", "random"),
    "tol": at_least_zero,
    "metrics": _metrics,
    "precision": one_of("float64", "float32"),
}
"""The keys of `[study]`, and what turns a value into a checked one."""


def read_settings(document: Document) -> Settings:
    """The settings of a study.

    Raises `ValueError` naming the key that is unknown, missing or not what it must be.

    >>> from nashpo.studies.document import read_document
    >>> read_settings(read_document({"study": {"steps": 5000, "seeds": 2}})).every
    5
    """
    given = document.table(("study",))
    values = checked(document, ("study",), given, KINDS)
    if "steps" not in values:
        document.wrong(("study",), "needs steps: write steps = 1000.")
    values.setdefault("every", max(1, values["steps"] // 1000))
    return Settings(**values)


def checked(
    document: Document, place: tuple[str, ...], given: Mapping[str, Any], kinds: Mapping[str, Callable[[Any], Any]]
) -> dict[str, Any]:
    """The values that were given, every one by its kind; raises `ValueError` for an unknown key or a wrong value."""
    values = {}
    for key, value in given.items():
        if key not in kinds:
            document.unknown((*place, key), kinds)
        try:
            values[key] = kinds[key](value)
        except ValueError as error:
            document.wrong((*place, key), misfit(value, str(error)))
    return values

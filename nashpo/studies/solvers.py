"""The tables `[solvers.NAME]`: algorithms, and grids over their settings."""

import inspect
import itertools
import typing
from collections.abc import Mapping
from typing import Any

import numpy as np

from nashpo.signature import annotations, choices
from nashpo.solvers.named import find_solver
from nashpo.studies.document import Document
from nashpo.studies.values import SPACED, listed, misfit, number, positive, several, spaced

_WORDS = (str, bool, int)
"""Settings of these types are structure: a list of them is several solvers, not an axis."""


def read_solvers(document: Document) -> dict[str, Any]:
    """Every solver of a study by name; a number that is a list is an axis of its runs.

    A list of words is several solvers, with the word in their names.

    Raises `ValueError` for an unknown algorithm or setting, with the nearest name, and for a value that does not fit.

    >>> from nashpo.studies.document import read_document
    >>> study = {"solvers": {"sppo": {"solver": "sppo", "eta": 0.1, "baseline": ["exact", "half"]}}}
    >>> list(read_solvers(read_document(study)))
    ['sppo baseline=exact', 'sppo baseline=half']
    """
    found: dict[str, Any] = {}
    for name, entry in document.table(("solvers",)).items():
        place = ("solvers", name)
        if not isinstance(entry, Mapping):
            document.wrong(place, f'is {entry!r}, but must be a table: write [solvers.{name}] with solver = "egpo".')
        if "solver" not in entry:
            document.wrong(place, 'needs solver: write solver = "egpo".')
        for choice in _alternatives(document, place, entry):
            chosen = {**entry, **choice}
            suffix = "".join(f" {key}={_short(value)}" for key, value in choice.items())
            if name + suffix in found:
                document.wrong(place, f"makes two solvers called {name + suffix!r}; give one another name.")
            found[name + suffix] = _Maker(document, place).make(chosen, {})
    return found


def read_solver(document: Document, place: tuple[str, ...], entry: Mapping[str, Any]) -> Any:
    """The one solver that the table at `place` describes: `{solver = "egpo", eta = 0.1}`.

    Raises `ValueError` as `read_solvers` does, and for a setting that is a list of numbers.

    >>> from nashpo.studies.document import read_document
    >>> read_solver(read_document({}), ("algorithm",), {"solver": "inpo", "eta": 0.5})
    INPO(eta=0.5)
    """
    if "solver" not in entry:
        document.wrong(place, 'needs solver: write solver = "egpo".')
    for key, value in entry.items():
        if spaced(value):
            document.wrong((*place, key), "is a grid: here there is one run, so give one number.")
    solver = _Maker(document, place).make(entry, {})
    for key in entry:
        if isinstance(getattr(solver, key, None), np.ndarray):
            document.wrong((*place, key), f"is {entry[key]!r}: here there is one run, so give one number.")
    return solver


def _find(name: str) -> Any:
    """The algorithm of that name; its settings are keys of their own."""
    if ":" in name and "=" in name:
        plain = name.partition(":")[0]
        raise ValueError(f"{name!r}: settings are keys of their own; write solver = {plain!r} and each on a line.")
    return find_solver(name)


def _alternatives(document: Document, place: tuple[str, ...], entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    """All combinations of the settings that are lists of words."""
    maker = _Maker(document, place)
    kinds = maker.annotations(maker.find(entry["solver"]))
    lists = {}
    for key, value in entry.items():
        if key != "solver" and listed(value) and len(value) and _is_tuple(kinds.get(key)) is False:
            words = all(isinstance(one, str) or _is_solver(one) for one in value)
            if words or kinds.get(key) in _WORDS:
                lists[key] = value
    return [dict(zip(lists, one, strict=True)) for one in itertools.product(*lists.values())]


class _Maker:
    """Builds the solver of one table, and says where it goes wrong."""

    def __init__(self, document: Document, place: tuple[str, ...]) -> None:
        self.document, self.place = document, place

    def find(self, name: Any, keys: tuple[str, ...] = ("solver",)) -> Any:
        if not isinstance(name, str):
            self.document.wrong((*self.place, *keys), f"is {name!r}, but must be the name of an algorithm.")
        try:
            return _find(name)
        except ValueError as error:
            self.document.wrong((*self.place, *keys), f": {error}")

    def annotations(self, maker: Any) -> dict[str, Any]:
        known = annotations(maker)
        return {key: known.get(key, Any) for key in inspect.signature(maker).parameters}

    def make(self, entry: Mapping[str, Any], shared: Mapping[str, Any], above: tuple[str, ...] = ()) -> Any:
        """The solver of a table; `shared` are settings that it takes over where it has none of its own."""
        maker = self.find(entry["solver"], (*above, "solver"))
        kinds = self.annotations(maker)
        given = {key: value for key, value in entry.items() if key != "solver"}
        for key in given:
            if key not in kinds:
                self.document.unknown((*self.place, *above, key), ["solver", *kinds])
        settings = {key: value for key, value in shared.items() if key in kinds}
        # eta comes first: a solver among the settings takes it over.
        for key in sorted(given, key=lambda key: key != "eta"):
            inner = {"eta": settings["eta"]} if "eta" in settings else {}
            settings[key] = self.value(given[key], kinds[key], (*above, key), inner)
        for key, parameter in inspect.signature(maker).parameters.items():
            if parameter.default is parameter.empty and key not in settings:
                label = " ".join((".".join(above), "needs")).strip()
                example = "0.1, or a list of numbers" if key == "eta" else "..."
                self.document.wrong(self.place, f"{label} {key}: write {key} = {example}.")
        try:
            return maker(**settings)
        except (ValueError, TypeError) as error:
            self.document.wrong(self.place, f": {error}")

    def value(self, value: Any, kind: Any, keys: tuple[str, ...], shared: Mapping[str, Any]) -> Any:
        """One setting: a number, a grid, a word, a tuple, or a solver of its own."""
        known = choices(kind)
        if known or kind in _WORDS:
            fits = value in known if known else type(value) is kind
            words = f"one of {', '.join(known)}" if known else f"of type {kind.__name__}"
            return value if fits else self._wrong(keys, value, words)
        if _is_tuple(kind):
            entries = value if listed(value) else [value]
            if not len(entries):
                self._wrong(keys, value, "a list of at least one number")
            return tuple(self.value(one, float, keys, shared) for one in entries)
        if isinstance(value, str) and kind is not float:
            try:
                _find(value)
            except ValueError as error:
                self.document.wrong((*self.place, *keys), f"is {value!r}, which is no number, and {error}")
            return self.make({"solver": value}, shared, keys)
        if _is_solver(value) and kind is not float:
            return self.make(value, shared, keys)
        if isinstance(kind, type) and kind not in (float, Any):
            self._wrong(keys, value, f"a solver: {keys[-1]} = {{solver = ...}}")
        wanted = positive if keys[-1] == "eta" else number
        try:
            several_values = several(wanted, value, () if kind is float else ("solver",))
        except ValueError as error:
            self._wrong(
                keys, value, f"{error}" + (", or a list of them" if error.args[0].startswith("a number") else "")
            )
        return np.array(several_values) if listed(value) or spaced(value) else several_values[0]

    def _wrong(self, keys: tuple[str, ...], value: Any, words: str) -> typing.NoReturn:
        self.document.wrong((*self.place, *keys), misfit(value, words))


def _is_solver(value: Any) -> typing.TypeGuard[Mapping[str, Any]]:
    return isinstance(value, Mapping) and "solver" in value and not set(value) & set(SPACED)


def _is_tuple(kind: Any) -> bool:
    return typing.get_origin(kind) is tuple


def _short(value: Any) -> str:
    return str(value["solver"]) if _is_solver(value) else str(value)

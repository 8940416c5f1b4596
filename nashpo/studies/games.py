"""The tables `[games.NAME]`: shipped games with grids over their parameters, seeded generators, files."""

import difflib
import glob
import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nashpo.catalog import build_game, find_game, split_spec
from nashpo.game import Game
from nashpo.nearest import nearest
from nashpo.studies.document import Document
from nashpo.studies.settings import checked
from nashpo.studies.values import at_least_zero, listed, misfit, one_of, seeds, several, spaced
from nashpo.tables import read_table, to_game

BETA = 0.1
"""The KL weight of a game where neither the study nor a file says one, as on the command line."""
KINDS = ("game", "generator", "tables")
READING: dict[str, Callable[[Any], Any]] = {
    "format": one_of("auto", "probabilities", "wins", "matches", "npz", "simulations"),
    "scale": one_of("probability", "score"),
    "ties": one_of("half", "drop", "error"),
    "missing": one_of("half", "error"),
    "prior": at_least_zero,
    "draws": str,
}
"""How files are read: the arguments of `nashpo.tables.read_table`."""


def read_games(document: Document, betas: Sequence[float] | None) -> dict[str, Game]:
    """Every game of a study by name; `betas` says that beta is an axis, so that no game may have its own.

    Raises `ValueError` for an unknown game or parameter, with the nearest name, for files that are missing or no
    tables, and for values that do not fit.

    >>> from nashpo.studies.document import read_document
    >>> study = {"games": {"cycle": {"game": "nashpo_games:n_cycle", "n": [3, 5]}}}
    >>> {name: game.shape for name, game in read_games(read_document(study), None).items()}
    {'cycle n=3': (1, 3), 'cycle n=5': (1, 5)}
    """
    found: dict[str, Game] = {}
    for name, entry in document.table(("games",)).items():
        place = ("games", name)
        if not isinstance(entry, Mapping):
            document.wrong(place, f'is {entry!r}, but must be a table: write [games.{name}] with game = "n_cycle".')
        kind = [key for key in KINDS if key in entry]
        if len(kind) != 1:
            said = f"has {' and '.join(kind)}: give one of them." if kind else f"needs one of {', '.join(KINDS)}."
            document.wrong(place, said)
        value = entry[kind[0]]
        if kind[0] != "tables" and not isinstance(value, str):
            document.wrong((*place, kind[0]), f"is {value!r}, but must be the name of a game.")
        if "beta" in entry and betas is not None:
            document.wrong((*place, "beta"), "is given, and betas in [study] too: leave one of them out.")
        read = _tables if kind[0] == "tables" else _generated
        for label, game in read(document, place, dict(entry)).items():
            if label in found:
                document.wrong(place, f"makes two games called {label!r}; give one another name.")
            found[label] = game
    return found


def _generated(document: Document, place: tuple[str, ...], entry: dict[str, Any]) -> dict[str, Game]:
    """The games of a constructor: one for every combination of parameters and seed."""
    name, kind = place[-1], "game" if "game" in entry else "generator"
    spec = entry.pop(kind)
    beta = _beta(document, place, entry)
    try:
        parameters = inspect.signature(find_game(split_spec(spec)[0])).parameters
    except ValueError as error:
        document.wrong((*place, kind), f": {error}")
    if kind == "generator":
        if "seed" in entry:
            document.wrong((*place, "seed"), "is for game; a generator has seeds: how many, or a list.")
        entry["seed"] = _seeds(document, place, entry.pop("seeds", None), "seed" in parameters)
    elif "seeds" in entry:
        document.wrong((*place, "seeds"), 'goes with generator = "NAME"; the parameter of a game is seed.')
    known = [key for key in parameters if key != "beta"]
    for key in entry:
        if key not in known:
            document.unknown((*place, key), ["beta", *known])
    grid = {key: _values(document, (*place, key), value) for key, value in entry.items()}
    suffixes = [key for key, value in entry.items() if listed(value) or spaced(value)]
    games = {}
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        label = name + "".join(f" {key}={_text(chosen[key])}" for key in suffixes)
        games[label] = _build(document, place, spec, chosen, beta)
    return games


def _build(document: Document, place: tuple[str, ...], spec: str, chosen: Mapping[str, Any], beta: float) -> Game:
    more = ",".join(
        f"{key}={value!r}" if not isinstance(value, str) else f"{key}={value}" for key, value in chosen.items()
    )
    head = spec if not more else f"{spec},{more}" if split_spec(spec)[1] else f"{spec}:{more}"
    try:
        return build_game(head, beta=beta)
    except ValueError as error:
        document.wrong(place, f": {error}")
    except Exception as error:
        document.wrong(place, f": {head} failed with {type(error).__name__}: {error}")


def _values(document: Document, keys: tuple[str, ...], value: Any) -> list[Any]:
    """The values of a parameter: words, numbers, true or false."""

    def plain(one: Any) -> Any:
        if not isinstance(one, str | int | float) or (isinstance(one, str) and set(one) & set(",=:")):
            raise ValueError("a number, a word, true or false, or a list of them")
        return one

    try:
        return several(plain, value)
    except ValueError as error:
        document.wrong(keys, misfit(value, str(error)))


def _seeds(document: Document, place: tuple[str, ...], value: Any, taken: bool) -> list[int]:
    if not taken:
        document.wrong((*place, "generator"), 'takes no seed; write game = "NAME" instead.')
    if value is None:
        document.wrong(place, "needs seeds: how many games, or a list of seeds.")
    return checked(document, place, {"seeds": value}, {"seeds": seeds})["seeds"]


def _beta(document: Document, place: tuple[str, ...], entry: dict[str, Any]) -> float:
    """The game's own KL weight; taken out of `entry`."""
    return checked(document, place, {"beta": entry.pop("beta", BETA)}, {"beta": at_least_zero})["beta"]


def _tables(document: Document, place: tuple[str, ...], entry: dict[str, Any]) -> dict[str, Game]:
    """The games of the files that one or several patterns match, sorted by name."""
    patterns = entry.pop("tables")
    if not (isinstance(patterns, str) or (listed(patterns) and patterns and all(isinstance(p, str) for p in patterns))):
        document.wrong((*place, "tables"), f"is {patterns!r}, but must be a file, a pattern, or a list of them.")
    options = checked(document, place, entry, {"beta": at_least_zero, **READING})
    beta = options.pop("beta", None)
    if "draws" in options:
        options["draws"] = document.folder / options["draws"]
    files: list[Path] = []
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        matched = sorted(glob.glob(pattern, root_dir=document.folder, recursive=True))
        if not matched:
            where = document.folder.resolve()
            near = nearest(pattern, _alike(document.folder, pattern))
            document.wrong((*place, "tables"), f": there is no file {pattern!r} in {where}{near}")
        files += [document.folder / path for path in matched if document.folder / path not in files]
    single = isinstance(patterns, str) and not glob.has_magic(patterns)
    games: dict[str, Game] = {}
    for file in files:
        label = place[-1] if single else f"{place[-1]} {file.name.removesuffix(file.suffix)}"
        if label in games:
            document.wrong((*place, "tables"), f"finds two files that would be called {label!r}; list them apart.")
        try:
            table = read_table(file, **options)
            own = table.beta if beta is None else beta
            games[label] = to_game(table, BETA if own is None else own)
        except ValueError as error:
            document.wrong((*place, "tables"), f": {error}")
    return games


def _alike(folder: Path, pattern: str) -> list[str]:
    """The file beside the one that is missing with almost its name, if there is one."""
    path = Path(pattern)
    beside = [file.name for file in (folder / path).parent.glob("*") if file.is_file()]
    return [path.with_name(name).as_posix() for name in difflib.get_close_matches(path.name, beside, n=1)]


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)

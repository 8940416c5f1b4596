"""From the words on the command line to a game and to policies."""

import csv
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from nashpo.game import Game
from nashpo.tables import read_table, to_game
from nashpo.tables.text import read_text
from nashpo.validation import validate_distribution

BETA = 0.1
"""The KL weight of a game whose file says none."""
COLUMNS = ("item", "probability", "prompt", "reference")
"""Those of a policy's CSV that are read."""
POLICY = 'a policy is a CSV with the columns item and probability, or a JSON like {"item": probability, ...}'


def load_game(
    spec: str, beta: float | None, reference: str | None = None, reading: Mapping[str, Any] = MappingProxyType({})
) -> Game:
    """The game in a file, or a shipped one: `pokemon_types`, `n_cycle:n=5`, `package.module:name`.

    `beta` and `reference` (a policy file; None: the game's own) replace what the file or game says. `reading` are
    arguments of `nashpo.tables.read_table`.

    Raises `ValueError`, naming the file, line, item or parameter.
    """
    if looks_like_file(spec):
        table = read_table(spec, **reading)
        weight = beta if beta is not None else BETA if table.beta is None else table.beta
        game = to_game(table, beta=weight)
    elif reading:
        raise ValueError(f"--{next(iter(reading))} says how a file is read; {spec!r} is the name of a game.")
    else:
        from nashpo.catalog import build_game

        try:
            game = build_game(spec, beta=BETA if beta is None else beta)
        except ValueError as error:
            hint = " There is no file of that name either." if str(error).startswith("there is no game") else ""
            raise ValueError(f"{error}{hint}") from None
    if reference is not None and reference.lower() != "uniform":
        probs = load_policy(reference, game)[0]
        return Game.from_oracle(game.oracle, game.beta, probs, game.prompts, game.items)
    return game if reference is None else Game.from_oracle(game.oracle, game.beta, None, game.prompts, game.items)


def looks_like_file(spec: str) -> bool:
    """Whether the word is a path: there is such a file, it has a folder, or ends like a file of tables."""
    return (
        Path(spec).is_file()
        or os.sep in spec
        or Path(spec).suffix.lower() in (".csv", ".npz", ".txt", ".tsv", ".json", ".xlsx")
    )


def title(spec: str) -> str:
    """What to call the game: the file's name without folder, or the word itself."""
    return Path(spec).name if looks_like_file(spec) else spec


def item_names(game: Game) -> tuple[str, ...]:
    """Names of the responses; their indices where they have none."""
    return game.items or tuple(str(i) for i in range(game.shape[1]))


class PolicyFile(NamedTuple):
    """A policy, and what the file says of the game that it was computed for."""

    probs: np.ndarray
    """`[X, A]`."""
    beta: float | None
    reference: np.ndarray | None
    """`[X, A]`."""


def load_policy(path: str, game: Game) -> PolicyFile:
    """The policy of a file, and the beta and the reference that it was computed for where the file says so.

    A CSV has the columns item and probability, and prompt and reference where there are any; a JSON or netCDF file is
    what `solve --output` writes, or `{"item": probability, ...}`. An item without a row has probability 0.

    Raises `ValueError`, naming the file and the row or item.
    """
    file = Path(path)
    if file.suffix.lower() == ".json":
        rows, beta = _from_json(read_text(file, POLICY), path)
    elif file.suffix.lower() == ".nc":
        rows, beta = _from_result(path)
    else:
        rows, beta = _from_csv(read_text(file, POLICY), path), None
    if beta is not None and (isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 <= beta < math.inf):
        raise ValueError(f"{path}: beta is {beta!r}, not a finite number that is at least 0.")
    if not rows:
        raise ValueError(f"{path}: has no probabilities; {POLICY}.")
    said = all(row.get("reference") not in (None, "") for _, row in rows)
    return PolicyFile(
        _column(rows, game, path, "probability"), beta, _column(rows, game, path, "reference") if said else None
    )


def _column(rows: list[tuple[str, dict[str, Any]]], game: Game, path: str, column: str) -> np.ndarray:
    """Checked probabilities `[X, A]` of one column."""
    probs, named, zero = _fill(rows, game, path, column), item_names(game), column == "probability"
    return np.stack([validate_distribution(row, f"{path}: {column}", row.shape, named, zero) for row in probs])


def _from_csv(text_: str, path: str) -> list[tuple[str, dict[str, Any]]]:
    reader = csv.DictReader(io.StringIO(text_, newline=""), skipinitialspace=True)
    try:
        header = [(name or "").strip().lower() for name in reader.fieldnames or []]
        if "item" not in header or "probability" not in header:
            raise ValueError(f"{path}: line 1 needs the columns item and probability (found: {', '.join(header)}).")
        twice = next((name for name in COLUMNS if header.count(name) > 1), None)
        if twice is not None:
            raise ValueError(f"{path}: line 1 has the column {twice} twice; leave one.")
        reader.fieldnames = header
        return [(f"line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise ValueError(f"{path}: after line {reader.line_num}: cannot be read as CSV ({error}).") from None


def _from_json(text_: str, path: str) -> tuple[list[tuple[str, dict[str, Any]]], Any]:
    try:
        document = json.loads(text_)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}: is not valid JSON ({error}).") from None
    if isinstance(document, dict) and isinstance(document.get("policy"), list):
        rows, beta = document["policy"], document.get("beta")
    elif isinstance(document, dict):
        rows, beta = [{"item": name, "probability": value} for name, value in document.items()], None
    else:
        rows, beta = document, None
    if not isinstance(rows, list) or not all(isinstance(r, dict) and "item" in r and "probability" in r for r in rows):
        raise ValueError(f'{path}: is no policy; write {{"item": probability, ...}} or what solve --output writes.')
    return [(f"entry {index}", row) for index, row in enumerate(rows)], beta


def _from_result(path: str) -> tuple[list[tuple[str, dict[str, Any]]], float]:
    from nashpo.results import Result

    try:
        found = Result.load(path)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from None
    rows, logs = [], (found.policy.log_probs(), found.game.reference.log_probs())
    masses = (np.exp(np.asarray(log, float)) for log in logs)
    probs, reference = (mass / mass.sum(-1, keepdims=True) for mass in masses)
    for x, i in np.ndindex(probs.shape):
        numbers = {"probability": probs[x, i], "reference": reference[x, i]}
        which = x if len(probs) > 1 else None
        rows.append((f"prompt {x}, item {i}", {"prompt": which, "item": item_names(found.game)[i], **numbers}))
    return rows, float(found.game.beta)


def _fill(rows: list[tuple[str, dict[str, Any]]], game: Game, path: str, column: str) -> np.ndarray:
    contexts, count = game.shape
    position = {name: index for index, name in enumerate(item_names(game))}
    seen: dict[tuple[int, int], str] = {}
    by_prompt = any(row.get("prompt") not in (None, "") for _, row in rows)
    probs = np.zeros((contexts, count))
    for where, row in rows:
        name = str(row["item"]).strip()
        if name not in position:
            raise ValueError(f"{path}: {where} is the item {name!r}, which the game does not have.")
        prompt = _prompt(row.get("prompt"), contexts, f"{path}: {where}") if by_prompt else 0
        key = (prompt, position[name])
        if key in seen:
            raise ValueError(f"{path}: the item {name!r} is used twice ({seen[key]} and {where}).")
        seen[key] = where
        try:
            probs[key] = float(row[column])
        except (TypeError, ValueError):
            raise ValueError(f"{path}: {where}: {column} is {row[column]!r}, not a number.") from None
    return probs if by_prompt else np.broadcast_to(probs[:1], probs.shape)


def _prompt(value: Any, contexts: int, where: str) -> int:
    try:
        prompt = int(value)
    except (TypeError, ValueError):
        prompt = -1
    if not 0 <= prompt < contexts:
        raise ValueError(f"{where}: prompt is {value!r}, but the game has the prompts 0 to {contexts - 1}.")
    return prompt

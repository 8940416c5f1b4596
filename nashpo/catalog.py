"""Games by name: `pokemon_types`, `n_cycle:n=5,win=0.9`, `my_package.module:my_game`.

A name is looked up in the modules behind the entry points of the group `nashpo.games` (their `__all__` lists the
constructors); `package.module:name` needs no entry point. nashpo itself knows no game.
"""

import ast
import inspect
from collections.abc import Callable
from importlib.metadata import entry_points
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from nashpo.importing import imported
from nashpo.nearest import nearest

if TYPE_CHECKING:
    from nashpo.game import Game

GROUP = "nashpo.games"

Constructor = Callable[..., "Game"]


def find_game(name: str) -> Constructor:
    """The constructor of a game, by name or as `package.module:name`.

    Raises:
        ValueError: no game has that name (the nearest ones are given), or the module cannot be imported.

    >>> find_game("nashpo_games:rock_paper_scissors").__name__
    'rock_paper_scissors'
    """
    if ":" in name:
        constructor = imported(name, "the game")
        if not callable(constructor):
            raise ValueError(f"the game {name!r} is no function that makes one.")
        return cast("Constructor", constructor)
    names: list[str] = []
    for module in _modules():
        names += module.__all__
        if name in module.__all__:
            return getattr(module, name)
    if not names:
        raise ValueError(f"{name!r}: no games are installed; name one as package.module:name.")
    raise ValueError(f"there is no game {name!r}{nearest(name, names)}")


def build_game(spec: str, beta: float = 0.0) -> "Game":
    """Build a game from `name`, `name:key=value,...` or `package.module:name:key=value,...`.

    Args:
        spec: the name and parameters; values are numbers, True, False, None or plain words.
        beta: KL weight of the game.

    Raises:
        ValueError: an unknown game or parameter (with the nearest name), a missing or repeated parameter, a
            value of the wrong type, or what the constructor itself objects to.

    >>> build_game("nashpo_games:n_cycle:n=4,win=0.9", beta=0.1).shape
    (1, 4)
    """
    name, parameters = split_spec(spec)
    constructor = find_game(name)
    signature = inspect.signature(constructor)
    known = [key for key in signature.parameters if key != "beta"]
    arguments: dict[str, Any] = {}
    for part in parameters:
        key, equals, text = (piece.strip() for piece in part.partition("="))
        if not (key and equals and text):
            raise ValueError(f"{spec!r}: {part!r} is no parameter; write {name}:key=value,key=value.")
        if key == "beta":
            raise ValueError(f"{spec!r}: beta is no parameter of the table; give it apart (--beta).")
        if key not in known:
            raise ValueError(f"{spec!r}: {name} has no parameter {key!r}{nearest(key, known)}")
        if key in arguments:
            raise ValueError(f"{spec!r}: the parameter {key!r} is given twice.")
        arguments[key] = _value(text, signature.parameters[key], spec)
    for key, parameter in signature.parameters.items():
        if parameter.default is inspect.Parameter.empty and key not in arguments:
            raise ValueError(f"{spec!r}: {name} needs the parameter {key!r}; write {name}:{key}=...")
    return constructor(**arguments, beta=beta)


def split_spec(spec: str) -> tuple[str, list[str]]:
    """The name and the list of `key=value` parts of a game's specification.

    >>> split_spec("n_cycle:n=5,win=0.9")
    ('n_cycle', ['n=5', 'win=0.9'])
    >>> split_spec("package.module:name")
    ('package.module:name', [])
    """
    head, colon, tail = spec.strip().rpartition(":")
    if not colon or "=" not in tail:
        return spec.strip(), []
    return head, [part for part in tail.split(",") if part.strip()]


def list_games() -> list[tuple[str, str]]:
    """Every installed game: its name with parameters, and what it is in one line.

    >>> dict(list_games()).get("pokemon_types", "not installed").split(":")[0] != ""
    True
    """
    games = []
    for module in _modules():
        for name in module.__all__:
            constructor = getattr(module, name)
            line = (inspect.getdoc(constructor) or "").split("\n", 1)[0]
            games.append((name, line))
    return games


def describe_parameters(name: str) -> str:
    """The parameters of a game with their defaults, as one would type them.

    >>> describe_parameters("nashpo_games:n_cycle")
    'n=5,win=1.0'
    """
    parameters = inspect.signature(find_game(name)).parameters
    return ",".join(
        key if p.default is inspect.Parameter.empty else f"{key}={p.default}"
        for key, p in parameters.items()
        if key != "beta"
    )


def _modules() -> list[ModuleType]:
    """The modules behind the entry points, in the order of their names."""
    found = {point.value: point for point in entry_points(group=GROUP)}
    return [found[value].load() for value in sorted(found)]


def _value(text: str, parameter: inspect.Parameter, spec: str) -> Any:
    """The value of one parameter, checked against a plain annotation."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    kind = parameter.annotation
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind in (int, float, bool) and type(value) is not kind:
        article = {int: "a whole number", float: "a number", bool: "True or False"}[kind]
        raise ValueError(f"{spec!r}: {parameter.name}={text}, but {parameter.name} must be {article}.")
    return value

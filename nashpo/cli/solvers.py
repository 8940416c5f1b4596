"""`nashpo solvers`: the algorithms and their settings."""

import inspect
from collections.abc import Sequence

from nashpo.cli import OK
from nashpo.cli.options import Command, Option, yes_or_no

COMMAND = Command(
    name="solvers",
    summary="List the algorithms that `nashpo solve --solver` knows, with their settings.",
    options=(Option("json", yes_or_no, "print JSON instead of a table", False),),
    epilog='settings are written like this: --solver "nashmd:eta=0.1,mix=0.05"; eta may be left out',
)


def run(arguments: Sequence[str]) -> int:
    """Print one line for every solver."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    from nashpo.solvers.named import find_solver, names

    solvers = []
    for name in names():
        maker = find_solver(name)
        line = (inspect.getdoc(maker) or "").split("\n", 1)[0]
        solvers.append((name.lower(), _settings(maker), line))
    if options.json:
        from nashpo.cli.output import json_text

        keys = ("name", "settings", "summary")
        print(json_text([dict(zip(keys, solver, strict=True)) for solver in solvers]), end="")
        return OK
    from nashpo.cli.screen import Screen

    screen = Screen()
    for name, settings, line in solvers:
        screen.entry(f"{name}:{settings}" if settings else name, line)
    return OK


def _settings(maker: type) -> str:
    """`eta,mix=none`, as one would type it."""
    parameters = inspect.signature(maker).parameters.values()
    return ",".join(p.name if p.default is p.empty else f"{p.name}={_written(p.default)}" for p in parameters)


def _written(value: object) -> str:
    if isinstance(value, tuple):
        return f"({','.join(map(_written, value))}{',' * (len(value) == 1)})"
    return "none" if value is None else str(value)

"""`nashpo games`: the games that ship with the package or were installed beside it."""

from collections.abc import Sequence

from nashpo.cli import OK
from nashpo.cli.options import Command, Option, yes_or_no

COMMAND = Command(
    name="games",
    summary="List the games that `nashpo solve` knows by name, with their parameters.",
    options=(Option("json", yes_or_no, "print JSON instead of a table", False),),
    epilog="parameters are set like this: nashpo solve n_cycle:n=5,win=0.9",
)


def run(arguments: Sequence[str]) -> int:
    """Print one line for every game."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    from nashpo.catalog import describe_parameters, list_games

    games = [(name, describe_parameters(name), line) for name, line in list_games()]
    if options.json:
        from nashpo.cli.output import json_text

        keys = ("name", "parameters", "summary")
        print(json_text([dict(zip(keys, game, strict=True)) for game in games]), end="")
        return OK
    from nashpo.cli.screen import Screen

    screen = Screen()
    for name, parameters, line in games:
        screen.entry(f"{name}:{parameters}" if parameters else name, line)
    if not games:
        screen.line("no games are installed; a game of your own is named package.module:name")
    return OK

"""A progress bar for runs that somebody has to wait for."""

import sys
from typing import Any

from nashpo.game import Game
from nashpo.results import Result

_LONG = 2e9
"""Multiplications of a run that takes more than about a second."""


def worthwhile(game: Game, steps: int) -> bool:
    """Whether a run of `steps` steps is long and somebody watches: stderr is a terminal."""
    contexts, count = game.shape
    return sys.stderr.isatty() and 2.0 * steps * contexts * count * count > _LONG


def drive_with_progress(game: Game, solver: Any, settings: dict[str, Any]) -> Result:
    """The same run in segments, with a bar on stderr: steps taken, the gap, the time left."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from nashpo.driver import drive

    columns = (
        MofNCompleteColumn(),
        TextColumn("steps"),
        BarColumn(bar_width=None),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task("solve", total=settings["steps"], note="compiling")

        def show(result: Result) -> None:
            note = f"gap {result.trace['duality_gap'][-1]:.1e}"
            progress.update(task, completed=result.steps, note=note)

        return drive(game, solver, callback=show, **settings)

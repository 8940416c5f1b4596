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
    from nashpo.callbacks import Progress
    from nashpo.driver import drive

    return drive(game, solver, callbacks=Progress(transient=True), **settings)

"""Runs that somebody has to wait for: a progress bar, and an ear for Ctrl-C."""

from typing import Any

from nashpo.game import Game
from nashpo.results import Result

_LONG = 2e9
"""Multiplications of a run that takes more than about a second."""


def long(game: Game, steps: int) -> bool:
    """Whether `steps` steps take more than about a second."""
    return steps * _work(game) > _LONG


def drive_with_progress(game: Game, solver: Any, settings: dict[str, Any]) -> Result:
    """The same run in segments of about a second, after each of which Ctrl-C is heard.

    Where somebody watches, a bar on stderr shows steps taken, the gap, the time left.
    """
    from nashpo.callbacks import Progress
    from nashpo.driver import drive

    segment = max(1, int(_LONG / (settings["every"] * _work(game))))
    return drive(game, solver, segment=segment, callbacks=Progress(transient=True), **settings)


def _work(game: Game) -> float:
    """Multiplications of a step that asks for win rates twice."""
    contexts, count = game.shape
    return 2.0 * contexts * count * count

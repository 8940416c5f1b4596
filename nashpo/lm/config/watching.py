"""What watches a run: the live table, and TensorBoard where it is asked for."""

import importlib
import math
from pathlib import Path
from typing import Any

from nashpo.callbacks import TensorBoard
from nashpo.lm.config.setup import Setup
from nashpo.lm.host import first
from nashpo.lm.live import Live
from nashpo.lm.training import Callback

WRITERS = ("tensorboardX", "torch.utils.tensorboard")
"""Modules that have a `SummaryWriter`, the first that is installed is taken."""

LOGS = "tensorboard"
"""The folder, inside that of the run, of TensorBoard's files."""


class Numbers:
    """A writer of scalars that leaves out what was not measured.

    >>> class Writer:
    ...     def add_scalar(self, tag, value, step):
    ...         print(tag, value, step)
    >>> writer = Numbers(Writer())
    >>> writer.add_scalar("loss", float("nan"), 1)
    >>> writer.add_scalar("loss", 0.5, 2)
    loss 0.5 2
    """

    def __init__(self, writer: Any) -> None:
        self.writer = writer
        self.flush = getattr(writer, "flush", lambda: None)

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        """Note that `tag` was `value` after `step` steps, if it is a number."""
        if math.isfinite(value):
            self.writer.add_scalar(tag, value, step)


def watchers(setup: Setup) -> list[Callback]:
    """The callbacks that a configuration asks for; the first of several processes shows and writes.

    Raises `ValueError` where TensorBoard is asked for and no writer is installed.
    """
    if not first():
        return []
    found: list[Callback] = [Live()]
    if setup.tables["run"].tensorboard and setup.folder is not None:
        found.append(TensorBoard(Numbers(summary_writer(setup.folder / LOGS))))  # type: ignore[arg-type]  has a trace
    return found


def summary_writer(folder: Path) -> Any:
    """A writer of TensorBoard's files; a run that goes on writes all its points again, in place of those there.

    Raises `ValueError` where none is installed.
    """
    for name in WRITERS:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        return module.SummaryWriter(str(folder), purge_step=0)
    raise ValueError(
        "run.tensorboard = true needs a writer, and none is installed: pip install tensorboardX, or leave it out; "
        "metrics.jsonl holds the same numbers."
    )

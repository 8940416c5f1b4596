"""What to call while a run is under way: a progress bar, TensorBoard, early stopping.

A callback is a function of the result so far. It may answer `True` to stop the run. One that is a context manager is
entered before the first segment and left after the last, also when the run is broken off.
"""

import sys
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from nashpo.results import Result

Callback = Callable[[Result], Any]
"""Called with the result so far; `True` stops the run."""


class ScalarWriter(Protocol):
    """What TensorBoard writers have in common."""

    def add_scalar(self, tag: str, value: float, step: int) -> Any:
        """Note that `tag` was `value` after `step` steps."""
        ...


class Progress:
    """A bar on stderr: steps taken, the duality gap if it is known, the time left; nothing where nobody watches.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1)
    >>> result = nashpo.drive(game, nashpo.solvers.EGPO(eta=1.0), steps=100, callbacks=Progress())
    """

    def __init__(self, name: str = "solve", *, transient: bool = False) -> None:
        """A bar called `name`; a transient one disappears at the end."""
        self.name, self.transient = name, transient
        self._bar: Any = None

    def __enter__(self) -> "Progress":
        """Show the bar, whose length the first call tells."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        console = Console(file=sys.stderr)
        columns = (
            MofNCompleteColumn(),
            TextColumn("steps"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        watched = console.is_terminal or console.is_jupyter
        self._bar = Bar(*columns, console=console, transient=self.transient, disable=not watched)
        self._task = self._bar.add_task(self.name, total=None, note="compiling")
        self._started = False
        self._bar.start()
        return self

    def __call__(self, result: Result) -> None:
        """Move the bar to where `result` stands."""
        if self._bar is None:
            raise ValueError("Progress: enter it first (`with Progress() as bar:`); drive does so by itself.")
        gap = result.trace.get("duality_gap")
        note = "" if gap is None else f"gap {gap[-1]:.1e}"
        if not self._started:
            # The time left is that of the steps to come: compiling and what an earlier run has done do not count.
            self._bar.reset(self._task, total=result.planned, completed=result.steps, note=note)
            self._started = True
        self._bar.update(self._task, completed=result.steps, note=note)

    def __exit__(self, *_: object) -> None:
        """Take the bar down."""
        self._bar.stop()
        self._bar = None


class TensorBoard:
    """Writes the duality gap and every metric that is one number to a TensorBoard writer, each measurement once.

    `writer` is any object with `add_scalar(tag, value, step)`: `tensorboardX.SummaryWriter(folder)` (`pip install
    tensorboardX`), or `torch.utils.tensorboard.SummaryWriter(folder)` where PyTorch is there already (`pip install
    tensorboard`). Tags are `<prefix><metric>`. A run that is resumed writes what it had measured before again, to the
    bit the same.

    >>> import nashpo
    >>> class Writer:
    ...     def add_scalar(self, tag, value, step):
    ...         print(f"{tag} {value:.3f} {step}")
    >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=1.0)
    >>> result = nashpo.drive(game, nashpo.solvers.EGPO(0.5), steps=4, every=2, callbacks=TensorBoard(Writer(), "a/"))
    a/duality_gap 0.002 2
    a/duality_gap 0.000 4
    """

    def __init__(self, writer: ScalarWriter, prefix: str = "") -> None:
        self.writer, self.prefix = writer, prefix
        self._written = -1

    def __enter__(self) -> "TensorBoard":
        """Another run begins, nothing of which has been written."""
        self._written = -1
        return self

    def __exit__(self, *_: object) -> None:
        """The writer is closed by whoever made it."""

    def __call__(self, result: Result) -> None:
        """Write what was measured since the last call."""
        steps = result.trace["step"]
        for index in np.flatnonzero(steps > self._written):
            for name, values in result.trace.items():
                if name != "step" and values.ndim == 1:
                    self.writer.add_scalar(f"{self.prefix}{name}", float(values[index]), int(steps[index]))
        self._written = int(steps[-1])
        flush = getattr(self.writer, "flush", None)
        if flush is not None:
            flush()

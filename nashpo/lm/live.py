"""What a run shows while it goes on: a table that grows and the time left, or a line a step."""

import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TextIO

from nashpo.lm.training import Trained

_ROWS = 12
"""Rows of the table at most."""


class Measure(NamedTuple):
    """One column: a title, how it is written, and how gladly it gives way on a narrow terminal."""

    title: str
    rank: int
    text: Callable[[Mapping[str, float]], str]


def number(name: str, digits: int = 3) -> Callable[[Mapping[str, float]], str]:
    """The value of a name with some digits, nothing where a row has none.

    >>> number("loss")({"loss": 0.01234}), number("loss")({})
    ('0.0123', '')
    """

    def written(row: Mapping[str, float]) -> str:
        value = row.get(name, math.nan)
        return "" if math.isnan(value) else f"{value:.{digits}g}"

    return written


def fixed(name: str, digits: int = 3) -> Callable[[Mapping[str, float]], str]:
    """The value of a name with some decimals, nothing where a row has none.

    >>> fixed("length", 1)({"length": 3.0})
    '3.0'
    """

    def written(row: Mapping[str, float]) -> str:
        value = row.get(name, math.nan)
        return "" if math.isnan(value) else f"{value:.{digits}f}"

    return written


def gap(row: Mapping[str, float]) -> str:
    """The empirical gap and its interval.

    >>> gap({"empirical_gap": 0.0123, "empirical_gap_low": -0.01, "empirical_gap_high": 0.03})
    '0.012 [-0.010, 0.030]'
    """
    if "empirical_gap" not in row:
        return ""
    low, high = row["empirical_gap_low"], row["empirical_gap_high"]
    return f"{row['empirical_gap']:.3f} [{low:.3f}, {high:.3f}]"


MEASURES = (
    Measure("step", 0, lambda row: str(int(row["step"]))),
    Measure("loss", 1, number("now_loss")),
    Measure("win rate", 0, fixed("win_rate_reference")),
    Measure("empirical gap", 2, gap),
    Measure("KL", 1, number("kl_reference")),
    Measure("length", 3, fixed("length", 1)),
    Measure("finished", 4, fixed("finished", 2)),
    Measure("vs history", 5, fixed("win_rate_history")),
    Measure("entropy", 6, number("entropy")),
    Measure("gradient", 7, number("now_gradient_norm", 2)),
)
"""What is shown; "win rate" and "KL" are those to the reference."""


class Live:
    """Shows a run: a table and a bar with the time left on a terminal, one plain line a step elsewhere.

    A callback of `nashpo.lm.train`. Columns that matter least give way where the terminal is narrow. `stream` is
    stdout by default.

    >>> import io
    >>> shown, trained = io.StringIO(), Trained(None, None, None, 1, 4, [{"step": 1, "now_loss": 0.5}])
    >>> with Live(stream=shown) as live:
    ...     live(trained)
    >>> shown.getvalue().split("  (")[0]
    'step 1 of 4  loss 0.5'
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        self.stream = sys.stdout if stream is None else stream
        self._screen: Any = None
        self._clock = 0.0
        self._last = -1

    def __enter__(self) -> "Live":
        """Begin to watch."""
        self._clock = time.monotonic()
        if self.stream.isatty():
            self._screen = _Screen(self.stream)
            self._screen.live.start()
        return self

    def __call__(self, trained: Trained) -> None:
        """Show what there is to a step."""
        took, self._clock = time.monotonic() - self._clock, time.monotonic()
        if self._screen is not None:
            self._screen.show(trained)
            return
        first = 0 if trained.steps <= 1 else trained.steps
        new = [row for row in trained.metrics if row["step"] > self._last and row["step"] >= first]
        for row in new:
            tail = f"  ({took:.1f} s)" if row["step"] == trained.steps else ""
            print(f"{line(row, trained.planned)}{tail}", file=self.stream, flush=True)
        self._last = trained.steps

    def __exit__(self, *_: object) -> None:
        """Leave the table as it is."""
        if self._screen is not None:
            self._screen.live.stop()
            self._screen = None


def line(row: Mapping[str, float], planned: int) -> str:
    """A row of measurements as one line.

    >>> line({"step": 2, "now_loss": 0.25, "length": 7.0}, planned=10)
    'step 2 of 10  loss 0.25  length 7.0'
    """
    cells = [(measure.title, measure.text(row)) for measure in MEASURES[1:]]
    said = "  ".join(f"{title} {text}" for title, text in cells if text)
    return f"step {int(row['step'])} of {planned}  {said}".rstrip()


def fitting(rows: Sequence[Mapping[str, float]], width: int) -> list[Measure]:
    """The columns that have something to say and fit side by side; the least important are left out.

    >>> rows = [{"step": 1, "now_loss": 0.5, "length": 3.0}]
    >>> [measure.title for measure in fitting(rows, 80)], [measure.title for measure in fitting(rows, 14)]
    (['step', 'loss', 'length'], ['step', 'loss'])
    """
    shown = [measure for measure in MEASURES if any(measure.text(row) for row in rows)]
    widths = {measure.title: max(len(measure.title), *(len(measure.text(row)) for row in rows)) for measure in shown}
    while len(shown) > 1 and sum(widths[measure.title] + 2 for measure in shown) - 2 > width:
        shown.remove(max(shown, key=lambda measure: (measure.rank, shown.index(measure))))
    return shown


class _Screen:
    """The table and the bar on a terminal."""

    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console
        from rich.live import Live as Display
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.console = Console(file=stream, highlight=False, markup=False, emoji=False)
        columns = (
            MofNCompleteColumn(),
            TextColumn("steps"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[note]}", markup=False),
            TimeRemainingColumn(),
        )
        self.bar = Progress(*columns, console=self.console, speed_estimate_period=86400.0, expand=True)
        self.task = self.bar.add_task("steps", total=None, note="first step: compiling")
        self.started = False
        self.live = Display(self.shorter_bar(), console=self.console, refresh_per_second=4)

    def shorter_bar(self) -> Any:
        """The bar with room for the ^C that a terminal writes after it: on the next line it would move the table."""
        from rich.constrain import Constrain

        return Constrain(self.bar, max(1, self.console.width - 3))

    def show(self, trained: Trained) -> None:
        """The last rows, and how far the run is."""
        from rich.console import Group
        from rich.table import Table

        if not self.started:
            # The time left is that of the steps to come: compiling and what an earlier run has done do not count.
            self.bar.reset(self.task, total=trained.planned, completed=trained.steps, note="")
            self.started = True
        self.bar.update(self.task, completed=trained.steps)
        room = max(1, min(_ROWS, self.console.height - 5))
        rows = trained.metrics[-room:]
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        shown = fitting(rows, self.console.width)
        for measure in shown:
            style = "bold" if measure.title == "win rate" else ""
            table.add_column(measure.title, justify="right", no_wrap=True, overflow="ellipsis", style=style)
        for row in rows:
            table.add_row(*(measure.text(row) for measure in shown))
        self.live.update(Group(table, self.shorter_bar()), refresh=True)

"""What a terminal, narrow or wide, and what a pipe gets to see."""

import os
import re
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

_PIPE_WIDTH = 120
_EIGHTHS = "▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Column:
    """Numbers or words to print in one column; columns with a larger `rank` give way first."""

    title: str
    cells: Sequence[str]
    rank: int = 0
    right: bool = True
    style: str = ""


class Screen:
    """Prints to stdout: colours and bars on a terminal, plain aligned columns into a pipe.

    The width is the terminal's, or `COLUMNS`; a pipe is as wide as its widest line. `NO_COLOR` and `TERM=dumb`
    turn colours off.
    """

    def __init__(self) -> None:
        self.terminal = sys.stdout.isatty() and os.environ.get("TERM") != "dumb"
        given = os.environ.get("COLUMNS", "")
        self._fixed = self.terminal or given.isdigit()
        width = int(given) if given.isdigit() else None if self.terminal else _PIPE_WIDTH
        self._console = Console(
            file=sys.stdout, width=width, highlight=False, markup=False, emoji=False, soft_wrap=False
        )
        self.width = max(20, self._console.width)

    @property
    def bars(self) -> bool:
        """Whether bars can be drawn: on a terminal that knows block characters."""
        return self.terminal and (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"

    def line(self, text: str = "", style: str = "") -> None:
        """One line of text, wrapped between words on a narrow terminal."""
        self._console.print(Text(_plain(text), style=style), soft_wrap=not self._fixed)

    def entry(self, name: str, text: str) -> None:
        """A name, its settings broken after commas where they do not fit, and under it what it is."""
        lines = [""]
        for part in re.findall(r"[^,]*,|[^,]+$", name):
            if self._fixed and lines[-1] and cell_len(lines[-1] + part) > self.width:
                lines.append("    ")
            lines[-1] += part
        for line in lines:
            self.line(line, "bold")
        for line in textwrap.wrap(f"  {text}", self.width if self._fixed else len(text) + 2, subsequent_indent="  "):
            self.line(line)

    def table(self, columns: Sequence[Column], bar: np.ndarray | None = None) -> None:
        """Columns side by side, as many as fit; `bar` (numbers >= 0) is drawn after the second column.

        The first two columns always stay; a name that is too long is cut with an ellipsis.
        """
        widths = {id(c): max(cell_len(_plain(cell)) for cell in (c.title, *c.cells)) for c in columns}
        shown = _fitting(columns, widths, self.width) if self._fixed else list(columns)
        free = self.width - sum(widths[id(c)] + 2 for c in shown)
        if bar is not None and self.bars and free >= 10:
            shown.insert(2, Column("", _bars(bar, min(24, free - 2)), right=False, style="cyan"))
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
        for column in shown:
            justify = "right" if column.right else "left"
            table.add_column(column.title, justify=justify, style=column.style, no_wrap=True, overflow="ellipsis")
        for cells in zip(*(c.cells for c in shown), strict=True):
            table.add_row(*(Text(_plain(cell)) for cell in cells))
        if not self._fixed:
            self._console.width = max(self.width, sum(widths[id(c)] + 2 for c in shown))
        self._console.print(table)


def _fitting(columns: Sequence[Column], widths: dict[int, int], width: int) -> list[Column]:
    """The columns that fit, least important ones dropped; never the first two."""
    shown = list(columns)
    while len(shown) > 2 and sum(widths[id(c)] + 2 for c in shown) - 2 > width:
        shown.remove(max(shown[2:], key=lambda c: (c.rank, columns.index(c))))
    return shown


def _plain(text: str) -> str:
    """The text without characters that would steer a terminal or break a row."""
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def _bars(values: np.ndarray, width: int) -> list[str]:
    """Bars in eighths of a character, the longest `width` characters."""
    largest = float(np.max(values))
    eighths = (
        np.rint(8 * width * np.asarray(values) / largest).astype(int) if largest > 0 else np.zeros(len(values), int)
    )
    return ["█" * (n // 8) + (_EIGHTHS[n % 8 - 1] if n % 8 else "") for n in eighths.tolist()]


def fixed(values: np.ndarray, digits: int) -> list[str]:
    """Numbers with `digits` decimals; what would show as zero and is not says so.

    >>> fixed(np.array([0.25, 1e-9, 0.0]), 3)
    ['0.250', '<0.001', '0.000']
    """
    least = 10.0**-digits
    return [f"<{least:.{digits}f}" if 0 < v < least / 2 else f"{v:.{digits}f}" for v in np.asarray(values).tolist()]

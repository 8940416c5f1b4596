"""Text files: one decoding, one CSV reader, one way to read a square of numbers with names."""

import csv
import io
from pathlib import Path

import numpy as np

from nashpo.validation import validate_items

OTHER_DELIMITERS = {";": "semicolons", "\t": "tabs", "|": "vertical bars", " ": "spaces"}

LAYOUT = "a table starts with the line item,<item 1>,...,<item n>"
"""What a file of a table should look like, for messages."""

Row = tuple[int, list[str]]
"""Line number (from 1) and cells."""


def read_text(path: Path, layout: str = LAYOUT) -> str:
    """The text of a file; a byte order mark is dropped. `layout` says what should be in it.

    Raises:
        ValueError: the file is missing, a folder, empty or not UTF-8.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; check the path (current folder: {Path.cwd()}).") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: is a folder; give the path of a file.") from None
    if not raw.strip():
        raise ValueError(f"{path}: the file is empty; {layout}.")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start} is not UTF-8; save the file as CSV UTF-8.") from None


def csv_rows(text: str, source: str) -> list[Row]:
    """The non-empty rows of a CSV text with their line numbers, cells stripped.

    Raises:
        ValueError: the text is not separated by commas, a quote is left open, or nothing is in it.
    """
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        for cells in reader:
            stripped = [cell.strip() for cell in cells]
            if any(stripped):
                rows.append((reader.line_num, stripped))
    except csv.Error as error:
        raise ValueError(f"{source}: line {reader.line_num} is not valid CSV ({error}).") from None
    if not rows:
        raise ValueError(f"{source}: the file has no rows; {LAYOUT}.")
    header = rows[0][1]
    if len(header) == 1:
        for delimiter, name in OTHER_DELIMITERS.items():
            if delimiter in header[0]:
                raise ValueError(f"{source}: cells are separated by {name}, but must be separated by commas.")
        raise ValueError(f"{source}: line {rows[0][0]} has a single cell; {LAYOUT}.")
    return rows


def square(rows: list[Row], source: str, diagonal: float) -> tuple[np.ndarray, tuple[str, ...]]:
    """Numbers `[A, A]` and names of a labelled square; rows are put in the order of the columns.

    Args:
        rows: header `item,<item 1>,...,<item A>`, then one row per item.
        source: put in front of messages.
        diagonal: what an empty cell on the diagonal stands for.

    Raises:
        ValueError: a name is missing, repeated or unknown; a row is ragged; a cell is not a number.
    """
    line, header = rows[0]
    if all(_is_number(cell) for cell in header):
        raise ValueError(f"{source}: line {line} has numbers where the item names belong; {LAYOUT}.")
    items = validate_items(header[1:], len(header) - 1, f"{source}: line {line}")
    columns = {name: position for position, name in enumerate(items)}
    values = np.full((len(items), len(items)), np.nan)
    lines: dict[str, int] = {}
    for line, cells in rows[1:]:
        name = _row_name(line, cells, columns, lines, source)
        lines[name] = line
        for column, cell in zip(items, cells[1:], strict=True):
            blank = cell == "" and column == name
            values[columns[name], columns[column]] = diagonal if blank else number(cell, line, column, source)
    missing = [name for name in items if name not in lines]
    if missing:
        raise ValueError(
            f"{source}: there is a column {missing[0]!r} but no row {missing[0]!r} ({len(lines)} rows, "
            f"{len(items)} columns); a table has one row and one column per item."
        )
    return values, items


def number(cell: str, line: int, column: str, source: str) -> float:
    """The number in a cell, or a sentence that says which cell is none."""
    try:
        return float(cell)
    except ValueError:
        found = f"{cell!r} is not a number" if cell else "the cell is empty"
        where = f"{source}: line {line}, column {column!r}"
        raise ValueError(f"{where}: {found}; write a number like 0.5.") from None


def _row_name(line: int, cells: list[str], columns: dict[str, int], lines: dict[str, int], source: str) -> str:
    """The checked name of one row."""
    if len(cells) != len(columns) + 1:
        raise ValueError(
            f"{source}: line {line} has {len(cells)} cells, but the header has {len(columns) + 1}; "
            "every row is a name and one number per column."
        )
    name = cells[0]
    if not name:
        raise ValueError(f"{source}: line {line} has no item name in its first cell.")
    if name in lines:
        raise ValueError(f"{source}: the item name {name!r} is used twice (lines {lines[name]} and {line}).")
    if name not in columns:
        raise ValueError(f"{source}: line {line} is a row {name!r}, but no column has that name.")
    return name


def _is_number(cell: str) -> bool:
    """Whether a cell reads as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True

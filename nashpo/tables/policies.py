"""Policies in files: one probability per item."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nashpo.tables.text import csv_rows, number, read_text
from nashpo.tables.write import write_atomic
from nashpo.validation import validate_distribution, validate_items


def read_policy(path: str | Path, items: Sequence[str]) -> np.ndarray:
    """Read probabilities `[A]` of the given items from a CSV with the columns item and probability.

    Rows may come in any order; other columns are ignored. An item without a row has probability 0.

    Raises:
        ValueError: a column is missing, an item unknown or twice, a number invalid, or the sum is not 1.

    >>> import tempfile, os
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "policy.csv")
    ...     _ = write_policy(path, ["tea", "coffee"], [0.25, 0.75])
    ...     read_policy(path, ["coffee", "tea"])
    array([0.75, 0.25])
    """
    source = str(path)
    rows = csv_rows(read_text(Path(path)), source)
    header = [name.lower() for name in rows[0][1]]
    if "item" not in header or "probability" not in header:
        raise ValueError(
            f"{source}: line {rows[0][0]} needs columns item and probability (found: {', '.join(header)})."
        )
    item, probability = header.index("item"), header.index("probability")
    positions = {name: position for position, name in enumerate(items)}
    p = np.zeros(len(positions))
    lines: dict[str, int] = {}
    for line, cells in rows[1:]:
        if len(cells) != len(header):
            raise ValueError(f"{source}: line {line} has {len(cells)} cells, but the header has {len(header)}.")
        name = cells[item]
        if name not in positions:
            raise ValueError(f"{source}: line {line} is the item {name!r}, which the game does not have.")
        if name in lines:
            raise ValueError(f"{source}: the item {name!r} is used twice (lines {lines[name]} and {line}).")
        lines[name] = line
        p[positions[name]] = number(cells[probability], line, "probability", source)
    return validate_distribution(p, f"{source}: probability", p.shape, tuple(items), allow_zero=True)


def write_policy(path: str | Path, items: Sequence[str], probabilities: Any) -> Path:
    """Write probabilities `[A]` as CSV with the columns item and probability, whole or not at all.

    Raises:
        ValueError: names and numbers do not match, or they are no distribution.
    """
    names = validate_items(items, len(items))
    p = validate_distribution(probabilities, "probabilities", (len(names),), names, allow_zero=True)
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["item", "probability"])
    writer.writerows([name, repr(value)] for name, value in zip(names, p.tolist(), strict=True))
    return write_atomic(path, buffer.getvalue().encode())

"""From a table to a file: whole or not at all."""

import csv
import io
from pathlib import Path

from nashpo.files import atomic_write
from nashpo.tables.archive import archive_bytes
from nashpo.tables.simulations import format_simulations
from nashpo.tables.table import PreferenceTable


def write_table(table: PreferenceTable, path: str | Path) -> Path:
    """Write a table; the suffix says how. Every number is read back bit for bit.

    `.csv` is a labelled square (one prompt, no reference, no beta), `.npz` an archive with everything, `.txt` the text
    format of the EGPO simulations (no item names, no reference). The file appears under its name when it is complete.

    Returns:
        The path.

    Raises:
        ValueError: an unknown suffix, a table that does not fit into the format, or a folder that does not exist.
        OSError: the disk refuses.

    >>> import tempfile, os
    >>> from nashpo.tables import PreferenceTable, read_table
    >>> table = PreferenceTable([[0.5, 0.75], [0.25, 0.5]], items=["tea", "coffee"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = read_table(write_table(table, os.path.join(folder, "drinks.csv")))
    >>> again.items, bool((again.P == table.P).all())
    (('tea', 'coffee'), True)
    """
    file = Path(path)
    if file.suffix == ".npz":
        return atomic_write(file, archive_bytes(table))
    if file.suffix == ".csv":
        return atomic_write(file, csv_text(table, str(path)).encode())
    if file.suffix == ".txt":
        return atomic_write(file, format_simulations(table, str(path)).encode())
    raise ValueError(f"{path}: unknown suffix {file.suffix!r}; write .csv, .npz or .txt.")


def csv_text(table: PreferenceTable, source: str) -> str:
    """The labelled square: header `item,<item 1>,...`, then one row per item."""
    if table.P.ndim == 3 and table.P.shape[0] > 1:
        raise ValueError(f"{source}: a CSV holds one prompt, this table has {table.shape[0]}; write .npz.")
    if table.reference is not None:
        raise ValueError(f"{source}: a CSV holds no reference, and this table has one; write .npz.")
    if table.beta:
        raise ValueError(f"{source}: a CSV holds no beta, and this table has {table.beta:g}; write .npz.")
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    items = table.items
    spaced = next((name for name in items if name != name.strip()), None)
    if spaced is not None:
        raise ValueError(f"{source}: the name {spaced!r} begins or ends with a space, which a CSV loses; write .npz.")
    broken = next((name for name in items if "\r" in name), None)
    if broken is not None:
        raise ValueError(f"{source}: the name {broken!r} holds a carriage return, which ends a row; write .npz.")
    writer.writerow(["item", *items])
    for name, row in zip(items, table.P.reshape(table.P.shape[-2:]).tolist(), strict=True):
        writer.writerow([name, *map(repr, row)])
    return buffer.getvalue()

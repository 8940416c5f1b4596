"""Results in files: checked before a run begins, written whole or not at all."""

import csv
import io
import json
import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nashpo.files import atomic_write
from nashpo.nearest import nearest

RESULTS = (".json", ".csv", ".nc")
PICTURES = (".png", ".svg", ".pdf")


def check_path(option: str, path: str | None, suffixes: Sequence[str], source: str | None = None) -> None:
    """Refuse a file that could not be written at the end of a run, or would replace the `source` of it.

    Raises `ValueError` for an unknown suffix, a missing folder or one that cannot be written to.
    """
    if path is None:
        return
    file = Path(path)
    if not file.suffix:
        raise ValueError(f"{option} {path}: give the name a suffix that says the format, {', '.join(suffixes)}.")
    if file.suffix.lower() not in suffixes:
        raise ValueError(f"{option} {path}: {file.suffix} cannot be written{nearest(file.suffix, suffixes)}")
    if not file.parent.is_dir():
        raise ValueError(f"{option} {path}: the folder {file.parent} does not exist; create it first.")
    if file.is_dir():
        raise ValueError(f"{option} {path}: is a folder; give the name of a file.")
    if source is not None and file.exists() and Path(source).exists() and file.samefile(source):
        raise ValueError(f"{option} {path}: is the file that is read; give the result a name of its own.")
    if not os.access(file.parent, os.W_OK | os.X_OK):
        raise ValueError(f"{option} {path}: the folder {file.parent} cannot be written to.")


def write(path: str, content: str | Callable[[Path], Any]) -> None:
    """Put text, or what a function saves under the name it is given, into `path` in one move.

    Raises `ValueError` if the disk refuses; the file that was there then still is.
    """
    try:
        atomic_write(path, content)
    except OSError as error:
        raise ValueError(str(error)) from None


def csv_text(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with the same keys as CSV; every number is read back bit for bit."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: repr(v) if isinstance(v, float) else v for k, v in row.items()} for row in rows)
    return buffer.getvalue()


def json_text(document: Any) -> str:
    """JSON in the strict sense, a number that is not finite being null; one line for each entry or row."""

    def compact(value: Any) -> str:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)

    def listed(value: list[Any]) -> str:
        return "[\n" + ",\n".join(f"  {compact(entry)}" for entry in value) + "\n]"

    strict = _strict(document)
    if isinstance(strict, list):
        return listed(strict) + "\n"
    rows = {k: isinstance(v, list) and any(isinstance(entry, dict) for entry in v) for k, v in strict.items()}
    entries = [f"{compact(k)}: {listed(v) if rows[k] else compact(v)}" for k, v in strict.items()]
    return "{\n" + ",\n".join(entries) + "\n}\n"


def _strict(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(entry) for entry in value]
    return value

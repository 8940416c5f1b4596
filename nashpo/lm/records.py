"""What a run writes down as it goes: measurements and completions, a line of JSON each."""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

METRICS, COMPLETIONS = "metrics.jsonl", "completions.jsonl"


class Records:
    """The files `metrics.jsonl` and `completions.jsonl` of a run's folder; without a folder rows are only remembered.

    A checkpoint remembers how long the files were (`lengths`), and a run that goes on from it cuts them to that
    (`rewind`), so that every line is written once and the files of an interrupted run end as those of one that was not.

    >>> records = Records(None)
    >>> records.measured({"step": 1, "loss": 0.5})
    >>> records.rows
    [{'step': 1, 'loss': 0.5}]
    """

    def __init__(self, folder: str | os.PathLike[str] | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.rows: list[dict[str, float]] = []

    def measured(self, row: Mapping[str, float]) -> None:
        """One more row of measurements; what is no number is written as null."""
        self.rows.append(dict(row))
        finite = {name: value if math.isfinite(value) else None for name, value in row.items()}
        self._append(METRICS, [finite])

    def said(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Completions, each a mapping that JSON can hold."""
        self._append(COMPLETIONS, rows)

    def lengths(self) -> dict[str, int]:
        """How many bytes each file has, once they are on the disk."""
        if self.folder is None:
            return {}
        found = {}
        for name in (METRICS, COMPLETIONS):
            path = self.folder / name
            if path.exists():
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                found[name] = path.stat().st_size
        return found

    def rewind(self, lengths: Mapping[str, int]) -> None:
        """Cut the files to the lengths that they had, and remember the rows that are left.

        Raises `ValueError` for a file that is shorter than that.
        """
        if self.folder is None:
            return
        for name in (METRICS, COMPLETIONS):
            path, length = self.folder / name, lengths.get(name, 0)
            there = path.stat().st_size if path.exists() else 0
            if there < length:
                raise ValueError(
                    f"{path}: is shorter than when the checkpoint was written, which was made after {length} bytes of "
                    "it; put the file back, or give another folder."
                )
            if there > length:
                os.truncate(path, length)
        path = self.folder / METRICS
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows = [{k: math.nan if v is None else v for k, v in json.loads(line).items()} for line in lines]

    def _append(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        if self.folder is not None:
            with (self.folder / name).open("a", encoding="utf-8") as file:
                file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)

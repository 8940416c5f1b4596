"""Verdicts that are kept on disk."""

import contextlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nashpo.files import why
from nashpo.lm.host import agreed
from nashpo.lm.judges.base import Judge, Questions, checked, digest_of, identity_of, name_of, written
from nashpo.lm.text import Prompt
from nashpo.validation.numbers import whole_number

_FILE = "verdicts.sqlite"
_TOGETHER = 500
"""Questions looked up in one query."""


class Cached:
    """`judge`, whose verdicts are kept in `folder`: no pair of answers is judged twice, in either order.

    A verdict is found again by (identity of the judge, prompt, answers). The identity is all that the judge consists
    of, the code of a function included but not that of what it calls; give `identity` a new name when something
    changes that cannot be seen. The judge is asked about `batch` pairs at a time and each batch is on the disk before
    the next: whoever is killed loses one. Threads and processes may share a folder. `hits` and `misses` count the
    pairs that were found and that were asked about.

    Raises `ValueError` for a folder that cannot be made, or holds another kind of file.

    >>> import tempfile
    >>> from nashpo.lm.judges import Function
    >>> longer = Function(lambda prompts, left, right: [float(len(a) > len(b)) for a, b in zip(left, right)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cached = Cached(longer, folder)
    ...     cached.compare(["p"], ["aa"], ["a"]).tolist(), cached.compare(["p"], ["a"], ["aa"]).tolist()
    ...     cached.hits, cached.misses
    ([1.0], [0.0])
    (1, 1)
    """

    def __init__(
        self, judge: Judge, folder: str | os.PathLike[str], identity: str | None = None, batch: int = 256
    ) -> None:
        self.judge, self.folder, self.batch = judge, Path(folder), whole_number("batch", batch, 1)
        self.name = name_of(judge)
        self.hits = self.misses = 0
        self._identity = identity_of(judge) if identity is None else identity
        self._lock = threading.Lock()
        self.players = tuple(
            Cached(player, folder, None if identity is None else f"{identity} {number}", batch)
            for number, player in enumerate(getattr(judge, "players", ()))
        )
        """Those of an ensemble, each kept in the same folder."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ValueError(f"{folder}: the folder cannot be made ({why(error)}).") from None
        with self._database() as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS verdicts (question BLOB PRIMARY KEY, p REAL NOT NULL) WITHOUT ROWID"
            )

    def compare(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """`P(left[i] is preferred to right[i])` `[N]`.

        Raises `JudgeError` for a verdict that is no win probability; it is not kept.
        """
        asked = Questions.of(prompts, left, right)
        names = [
            digest_of(self._identity, written(prompt), *pair)
            for prompt, *pair in zip(asked.prompts, asked.left, asked.right, strict=True)
        ]
        found = self._agreed(names)
        missing = [i for i, name in enumerate(names) if name not in found]
        with self._lock:
            self.hits += len(names) - len(missing)
        for start in range(0, len(missing), self.batch):
            rows = missing[start : start + self.batch]
            columns = [asked.prompts[i] for i in rows], [asked.left[i] for i in rows], [asked.right[i] for i in rows]
            verdicts = checked(self.judge.compare(*columns), columns[0], self.name)
            new = {names[i]: float(p) for i, p in zip(rows, verdicts, strict=True)}
            with self._database() as database:
                database.executemany("INSERT OR IGNORE INTO verdicts VALUES (?, ?)", new.items())
            found |= new
            with self._lock:
                self.misses += len(rows)
        return asked.answers([found[name] for name in names])

    def identity(self) -> str:
        """The judge's."""
        return self._identity

    def _agreed(self, names: list[bytes]) -> dict[bytes, float]:
        """What the first of several processes finds on the disk: those who share a model must read the same texts."""
        kept = self._known(names)
        if not names:
            return kept
        known = agreed(np.array([kept.get(name, np.nan) for name in names]))
        return {name: p for name, p in zip(names, known.tolist(), strict=True) if not np.isnan(p)}

    def _known(self, names: list[bytes]) -> dict[bytes, float]:
        """The verdicts that are on the disk."""
        found: dict[bytes, float] = {}
        if names:
            with self._database() as database:
                for start in range(0, len(names), _TOGETHER):
                    some = names[start : start + _TOGETHER]
                    marks = ",".join("?" * len(some))
                    found.update(database.execute(f"SELECT * FROM verdicts WHERE question IN ({marks})", some))
        return found

    @contextlib.contextmanager
    def _database(self) -> Iterator[Any]:
        """A connection of this thread's own; what it wrote is on the disk when it is closed."""
        import sqlite3

        file = self.folder / _FILE
        try:
            with contextlib.closing(sqlite3.connect(file, timeout=60)) as database, database:
                yield database
        except sqlite3.Error as error:
            raise ValueError(f"{file}: cannot be used as a store of verdicts ({error}).") from error

"""The text of a study: a TOML file or a mapping, and where in it something stands."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from nashpo.nearest import nearest

_HEADER = re.compile(r"\s*\[([^\[\]]+)\]\s*(?:#.*)?$")
_MEMBER = re.compile(r"\s*\[\[([^\[\]]+)\]\]\s*(?:#.*)?$")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[\w-]+))*)\s*=""")
_PART = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([\w-]+))\s*(?:\.|$)""")


@dataclass(frozen=True)
class Document:
    """What the user wrote, and where."""

    entries: dict[str, Any]
    source: str
    """The file's name, or `study` for a mapping."""
    folder: Path
    """Paths in the study are relative to it."""
    text: str = ""

    def wrong(self, keys: tuple[str, ...], message: str) -> NoReturn:
        """Raise `ValueError`: the file, the line, the key and `message`."""
        line = line_of(self.text, keys)
        where = f"{self.source}, line {line}" if line else self.source
        raise ValueError(f"{where}: {'.'.join(keys)}{'' if message.startswith(':') else ' '}{message}") from None

    def unknown(self, keys: tuple[str, ...], known: Any) -> NoReturn:
        """Raise `ValueError` for a key that nobody knows, with the nearest that is known."""
        self.wrong(keys, f"is not known{nearest(keys[-1], known)}")

    def table(self, keys: tuple[str, ...]) -> dict[str, Any]:
        """The table at `keys`, with at least one entry."""
        value: Any = self.entries
        for key in keys:
            value = value.get(key)
            if value is None:
                raise ValueError(f"{self.source}: there is no [{'.'.join(keys)}{'.NAME' * (keys[0] != 'study')}].")
            if not isinstance(value, Mapping):
                self.wrong(keys, f"is {value!r}, but must be a table: write [{'.'.join(keys)}].")
        if not value:
            self.wrong(keys, "is empty.")
        return dict(value)


def read_document(study: Any) -> Document:
    """The document of a path or a mapping.

    Raises `ValueError` for a file that cannot be read or is not TOML.

    >>> read_document({"study": {"steps": 10}}).table(("study",))
    {'steps': 10}
    """
    if isinstance(study, Mapping):
        return Document(dict(study), "study", Path())
    path = Path(study)
    try:
        text = path.read_text(encoding="utf-8-sig")
        return Document(tomllib.loads(text), str(study), path.parent, text)
    except IsADirectoryError:
        raise ValueError(f"{study}: is a folder; give a study file.") from None
    except OSError as error:
        raise ValueError(f"{study}: {(error.strerror or 'cannot be read').lower()}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{study}: is not valid TOML ({error}).") from None


def line_of(text: str, keys: tuple[str, ...]) -> int | None:
    r"""The line in which `keys` stands, or the nearest table above it that does; None if nothing is found.

    A member of a list of tables, `[[judge.members]]`, has its number among the keys, counted from 0.

    >>> line_of("[games.cycle]\ngame = 'n_cycle'\nn = 3", ("games", "cycle", "n"))
    3
    >>> line_of("[[members]]\nkind = 'pair'\n[[members]]\nkind = 'remote'", ("members", "1", "kind"))
    4
    """
    found: dict[tuple[str, ...], int] = {}
    header: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        table, member, key = _HEADER.match(line), _MEMBER.match(line), _KEY.match(line)
        if member:
            parts = _parts(member[1])
            header = (*parts, str(sum(known[:-1] == parts and known[-1].isdecimal() for known in found)))
            found.setdefault(parts, number)
            found[header] = number
        elif table:
            header = _parts(table[1])
            found.setdefault(header, number)
        elif key:
            found.setdefault(header + _parts(key[1]), number)
    while keys:
        if keys in found:
            return found[keys]
        keys = keys[:-1]
    return None


def _parts(dotted: str) -> tuple[str, ...]:
    return tuple(next(filter(None, groups), "") for groups in _PART.findall(dotted))

"""Options of a command: declared once, read from the command line and from a TOML file.

The command line wins over the file, the file over the defaults. argparse splits the words; tyro would do the
same but takes 0.3 s to import and read a command line, a tenth of what a whole run may take.
"""

import argparse
import itertools
import math
import re
import shutil
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nashpo.nearest import nearest


@dataclass(frozen=True)
class Option:
    """One option `--name`; `kind` turns text into a value or raises `ValueError` with what it must be."""

    name: str
    kind: Callable[[Any], Any]
    help: str
    default: Any = None
    metavar: str = "VALUE"
    required: bool = False
    many: bool = False
    """The last positional argument may take all the words that are left; `kind` then gets the list of them."""

    @property
    def flag(self) -> bool:
        """Whether the option is switched on by being there."""
        return self.kind is yes_or_no


@dataclass(frozen=True)
class Command:
    """What a command takes: positional arguments in order, then options."""

    name: str
    summary: str
    positional: tuple[Option, ...] = ()
    options: tuple[Option, ...] = ()
    epilog: str = ""

    def read(self, arguments: Sequence[str]) -> SimpleNamespace | None:
        """The values of all options by name; None after `--help` was printed.

        Raises `ValueError`, naming the option, for one that is unknown, missing, doubled or of the wrong kind.
        """
        parser = self._parser()
        found, rest = parser.parse_known_args(_joined(arguments))
        if found.help:
            parser.print_help()
            return None
        given = {n: (v, f"--{n}") for n, v in vars(found).items() if n != "help"}
        given |= self._places(rest)
        config = given.get("config")
        if config is not None:
            given = self._file(Path(config[0])) | given
        values = {
            option.name.replace("-", "_"): self._value(option, given) for option in (*self.positional, *self.options)
        }
        return SimpleNamespace(**values)

    def _parser(self) -> argparse.ArgumentParser:
        usage = " ".join([f"nashpo {self.name}", *(o.metavar for o in self.positional), "[options]"])
        places = "\n".join(wrapped(f"  {o.metavar:<10} {o.help}", 13) for o in self.positional)
        parser = _Parser(
            usage=usage,
            description=f"{wrapped(self.summary)}\n\n{places}".rstrip(),
            epilog=fitted(self.epilog),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
            argument_default=argparse.SUPPRESS,
        )
        for option in self.options:
            if option.flag:
                parser.add_argument(f"--{option.name}", dest=option.name, action="store_true", help=option.help)
            else:
                parser.add_argument(f"--{option.name}", dest=option.name, metavar=option.metavar, help=option.help)
        parser.add_argument("-h", "--help", action="store_true", default=False, help="this text")
        return parser

    def _places(self, rest: list[str]) -> dict[str, tuple[Any, str]]:
        """Positional values; every other word is a mistake."""
        words = [word for word in rest if word != "--"]
        for word in words:
            if word.startswith("-") and len(word) > 1:
                names = [f"--{option.name}" for option in self.options]
                raise ValueError(f"{self.name} has no option {word.split('=')[0]}{nearest(word.split('=')[0], names)}")
        last = self.positional[-1] if self.positional else None
        if last is not None and last.many and len(words) >= len(self.positional):
            words[len(self.positional) - 1 :] = [words[len(self.positional) - 1 :]]  # type: ignore[list-item]  a list
        if len(words) > len(self.positional):
            extra = words[len(self.positional)]
            expected = " ".join(o.metavar for o in self.positional) or "no argument"
            raise ValueError(f"{self.name} takes {expected}; {extra!r} is one too many.")
        return {o.name: (word, o.metavar) for o, word in zip(self.positional, words, strict=False)}

    def _file(self, path: Path) -> dict[str, tuple[Any, str]]:
        """The options in a TOML file."""
        import tomllib

        try:
            entries = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"--config {path}: {(error.strerror or 'cannot be read').lower()}.") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"--config {path}: is not valid TOML ({error}).") from None
        known = {o.name: o for o in (*self.positional, *self.options) if o.name != "config"}
        values = {}
        for key, value in entries.items():
            if key not in known:
                raise ValueError(f"{path}: {self.name} has no option {key!r}{nearest(key, known)}")
            if known[key].flag:
                fits, wanted = isinstance(value, bool), "true or false"
            else:
                fits, wanted = isinstance(value, str | int | float) and not isinstance(value, bool), "text or a number"
            if not fits:
                raise ValueError(f"{path}: {key} is {value!r}, but must be {wanted}.")
            values[key] = (value if known[key].flag else str(value), f"{path}: {key}")
        return values

    def _value(self, option: Option, given: dict[str, tuple[Any, str]]) -> Any:
        if option.name not in given:
            if option.required:
                raise ValueError(f"{self.name} needs {option.metavar}: {option.help} (nashpo {self.name} --help).")
            return option.default
        raw, where = given[option.name]
        if option.flag:
            return raw
        try:
            return option.kind(raw)
        except ValueError as error:
            raise ValueError(f"{where} is {raw!r}, but must be {error}.") from None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        """One sentence instead of the usage."""
        raise ValueError(message.removeprefix("argument ").rstrip(".") + ".")


def _joined(arguments: Sequence[str]) -> list[str]:
    """`--tol -1e-3` as `--tol=-1e-3`: argparse takes a negative number with an exponent for an option."""
    words: list[str] = []
    for word in arguments:
        negative = word.startswith("-") and not math.isnan(_or_nan(word))
        if negative and words and words[-1].startswith("--") and "=" not in words[-1]:
            words[-1] += f"={word}"
        else:
            words.append(word)
    return words


def wrapped(line: str, indent: int = 0) -> str:
    """A line of help, broken between words where the terminal ends; what follows is indented."""
    width = max(20, shutil.get_terminal_size().columns - 2)
    return textwrap.fill(line, width, subsequent_indent=" " * indent, break_on_hyphens=False)


def fitted(help_text: str) -> str:
    """Help of several lines; where one is too long, prose is filled anew and indented lines are broken one by one."""
    lines, width = help_text.splitlines(), shutil.get_terminal_size().columns
    if max(map(len, lines), default=0) < width:
        return help_text
    found: list[str] = []
    for indented, block in itertools.groupby(lines, lambda line: line[:1] in ("", " ")):
        some = list(block)
        found += [wrapped(line, _column(line, width)) for line in some] if indented else [wrapped(" ".join(some))]
    return "\n".join(found)


def _column(line: str, width: int) -> int:
    """Where a broken line goes on: at its second column, if it has one with room in it."""
    columns = re.match(r" *(\S.*?)?  +(?=\S)", line)
    return columns.end() if columns and 8 < columns.end() < 0.6 * width else 6


def text(word: str) -> str:
    """Any text but none."""
    if not word:
        raise ValueError("something")
    return word


def texts(words: list[str]) -> list[str]:
    """Several texts, none of them empty."""
    return [text(word) for word in words]


def number(word: str) -> float:
    """A finite number."""
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError("a number")
    return value


def at_least_zero(word: str) -> float:
    """A number that is not negative."""
    value = _or_nan(word)
    if not value >= 0:
        raise ValueError("a number that is at least 0")
    return value


def positive(word: str) -> float:
    """A number above zero."""
    value = _or_nan(word)
    if not value > 0:
        raise ValueError("a positive number")
    return value


def count(least: int, most: float = math.inf) -> Callable[[str], int]:
    """A whole number from `least` to `most`; `1e4` is one too."""
    wanted = f"a whole number, {least} or more" if most == math.inf else f"a whole number from {least} to {most}"

    def convert(word: str) -> int:
        value = _or_nan(word)
        if not (least <= value <= most and value == int(value)):
            raise ValueError(wanted)
        return int(value)

    return convert


def one_of(*choices: str) -> Callable[[str], str]:
    """One of the words."""

    def convert(word: str) -> str:
        if word not in choices:
            raise ValueError(f"one of {', '.join(choices)}")
        return word

    return convert


def yes_or_no(word: str) -> bool:
    """The kind of a flag; flags have no text to convert."""
    raise ValueError("true or false")


def _or_nan(word: str) -> float:
    try:
        return number(word)
    except ValueError:
        return math.nan

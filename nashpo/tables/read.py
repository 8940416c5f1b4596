"""From a file to a checked table, whatever the file's format."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from nashpo.tables.archive import read_archive
from nashpo.tables.matches import match_columns, matches_from_rows
from nashpo.tables.simulations import is_simulations, parse_simulations
from nashpo.tables.table import PreferenceTable
from nashpo.tables.text import csv_rows, read_text, square
from nashpo.tables.wins import Missing, Ties, from_wins, require_choice

if TYPE_CHECKING:
    from nashpo.typing import Scale

Format = Literal["auto", "probabilities", "wins", "matches", "npz", "simulations"]
FORMATS = ("auto", "probabilities", "wins", "matches", "npz", "simulations")
_DEFAULTS = {"ties": "half", "missing": "half", "prior": 0.0, "draws": None, "scale": "probability"}
_TAKEN = {
    "an archive": (),
    "a file of simulations": (),
    "a match list": ("ties", "missing", "prior"),
    "a table of wins": ("ties", "missing", "prior", "draws"),
    "a table of payoffs": ("scale",),
}
"""The options that mean something to each kind of source."""


def read_table(
    path: str | Path,
    format: Format = "auto",
    *,
    scale: "Scale" = "probability",
    draws: str | Path | None = None,
    ties: Ties = "half",
    missing: Missing = "half",
    prior: float = 0.0,
) -> PreferenceTable:
    """Read a preference table with its item names.

    What the file is, with `format="auto"`: `.npz` an archive; a first line `runs n beta` the text format of
    the EGPO simulations; a header with the columns left, right and winner a match list; a name that ends in
    `.wins.csv` a table of wins; every other CSV a table of probabilities (or of scores, with `scale`):

        item,tea,coffee
        tea,0.5,0.75
        coffee,0.25,0.5

    Rows may come in another order than the columns: they are sorted by name.

    Args:
        path: the file, UTF-8 (a byte order mark and any line ends are fine).
        format: `"auto"`, `"probabilities"`, `"wins"`, `"matches"`, `"npz"` or `"simulations"`.
        scale: `"probability"` or `"score"`, for a CSV of payoffs.
        draws: a second CSV of the same layout with draws, for wins.
        ties: `"half"`, `"drop"` or `"error"`, for wins and matches (see `from_wins`).
        missing: `"half"` or `"error"`, for pairs that never met.
        prior: pseudo-wins added to both sides of every pair.

    Raises:
        ValueError: one sentence with the path, the line and the column or the items.
    """
    require_choice("format", format, FORMATS)
    file = Path(path)
    options = {"ties": ties, "missing": missing, "prior": prior, "draws": draws, "scale": scale}
    if format == "npz" or (format == "auto" and file.suffix == ".npz"):
        refuse_options(str(path), "an archive", options)
        return read_archive(file)
    source = str(path)
    text = read_text(file)
    if format == "simulations" or (format == "auto" and is_simulations(text)):
        refuse_options(source, "a file of simulations", options)
        return parse_simulations(text, source)
    rows = csv_rows(text, source)
    if format == "matches" or (format == "auto" and match_columns(rows[0][1]) is not None):
        refuse_options(source, "a match list", options)
        return matches_from_rows(rows, ties, missing, prior, source)
    if format == "wins" or (format == "auto" and file.name.endswith(".wins.csv")):
        refuse_options(source, "a table of wins", options)
        wins, items = square(rows, source, diagonal=0.0)
        tied = None
        if draws is not None:
            tied, names = square(csv_rows(read_text(Path(draws)), str(draws)), str(draws), diagonal=0.0)
            if names != items:
                raise ValueError(f"{draws}: has other items than {path}; give both files the same header.")
        return from_wins(wins, items, tied, ties, missing, prior, source)
    refuse_options(source, "a table of payoffs", options)
    P, items = square(rows, source, diagonal=0.5 if scale == "probability" else 0.0)
    return PreferenceTable(P, items, scale=scale, source=source)


def refuse_options(source: str, kind: str, options: Mapping[str, object]) -> None:
    """Raise for an option that is not its default and means nothing to what is read."""
    for name, value in options.items():
        if name not in _TAKEN[kind] and value != _DEFAULTS[name]:
            advice = 'pass format="wins" if it counts wins' if "scale" in _TAKEN[kind] else "leave it out"
            raise ValueError(f"{source}: is read as {kind}, for which {name} means nothing; {advice}.")

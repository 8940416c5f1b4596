"""How a table file is read: options that every command with a table shares."""

from types import SimpleNamespace
from typing import Any

from nashpo.cli.options import Option, at_least_zero, one_of, text

READING = (
    Option(
        "format",
        one_of("auto", "probabilities", "wins", "matches", "npz", "simulations"),
        "what the file is: auto (default), probabilities, wins, matches, npz or simulations",
        metavar="KIND",
    ),
    Option(
        "scale", one_of("probability", "score"), "payoffs in a CSV: probability (default) or score", metavar="SCALE"
    ),
    Option(
        "ties", one_of("half", "drop", "error"), "ties in wins and matches: half (default), drop or error", metavar="T"
    ),
    Option("missing", one_of("half", "error"), "pairs that never met: half (default) or error", metavar="M"),
    Option("prior", at_least_zero, "pseudo-wins added to both sides of every pair (default 0)", metavar="N"),
    Option("draws", text, "second CSV with the draws of a table of wins", metavar="FILE"),
)


def reading(options: SimpleNamespace) -> dict[str, Any]:
    """The arguments of `nashpo.tables.read_table` that were given."""
    values = {option.name: getattr(options, option.name) for option in READING}
    return {name: value for name, value in values.items() if value is not None}

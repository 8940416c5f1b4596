"""Preference tables in and out: CSV, counts of wins, match lists, archives, DataFrames, simulation files.

Everything from outside becomes a `PreferenceTable`: checked numbers in float64 with item names.
"""

from nashpo.tables.frames import from_dataframe, to_dataframe
from nashpo.tables.load import load_table, to_game
from nashpo.tables.matches import from_matches
from nashpo.tables.read import read_table
from nashpo.tables.table import PreferenceTable
from nashpo.tables.wins import from_wins
from nashpo.tables.write import write_table
from nashpo.validation import validate, validate_distribution, validate_items

__all__ = [
    "PreferenceTable",
    "from_dataframe",
    "from_matches",
    "from_wins",
    "load_table",
    "read_table",
    "to_dataframe",
    "to_game",
    "validate",
    "validate_distribution",
    "validate_items",
    "write_table",
]

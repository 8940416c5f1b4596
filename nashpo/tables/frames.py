"""pandas DataFrames in and out; pandas is imported when there is one."""

from typing import TYPE_CHECKING

from nashpo.tables.matches import from_matches, match_columns
from nashpo.tables.read import refuse_options
from nashpo.tables.table import PreferenceTable
from nashpo.tables.text import square
from nashpo.tables.wins import Missing, Ties, from_wins, require_choice

if TYPE_CHECKING:
    import pandas as pd

    from nashpo.typing import Scale


def from_dataframe(
    frame: "pd.DataFrame",
    format: str = "auto",
    *,
    scale: "Scale" = "probability",
    ties: Ties = "half",
    missing: Missing = "half",
    prior: float = 0.0,
) -> PreferenceTable:
    """Turn a DataFrame into a preference table.

    A frame with the columns left, right and winner is a match list; any other is a square whose index and
    columns are the item names (rows are put in the order of the columns).

    Args:
        frame: the DataFrame.
        format: `"auto"`, `"probabilities"`, `"wins"` or `"matches"`; `"auto"` never guesses wins.
        scale: `"probability"` or `"score"`, for a square of payoffs.
        ties: see `from_wins`.
        missing: see `from_wins`.
        prior: see `from_wins`.

    Raises:
        ValueError: as for a file; lines count from 1, the header being line 1.

    >>> import pandas as pd
    >>> names = ["tea", "coffee"]
    >>> from_dataframe(pd.DataFrame([[0.5, 0.75], [0.25, 0.5]], index=names, columns=names)).items
    ('tea', 'coffee')
    """
    require_choice("format", format, ("auto", "probabilities", "wins", "matches"))
    if not hasattr(frame, "columns"):
        raise ValueError(f"from_dataframe takes a DataFrame, not a {type(frame).__name__}.")
    options = {"ties": ties, "missing": missing, "prior": prior, "scale": scale}
    columns = match_columns([str(name) for name in frame.columns])
    if format == "matches" and columns is None:
        found = ", ".join(map(str, frame.columns))
        raise ValueError(f"DataFrame: a match list needs columns left, right and winner (found: {found}).")
    if columns is not None and format in ("auto", "matches"):
        refuse_options("DataFrame", "a match list", options)
        triples = [
            (_text(row[columns[0]]), _text(row[columns[1]]), _text(row[columns[2]]))
            for row in frame.itertuples(index=False, name=None)
        ]
        return from_matches(triples, None, ties, missing, prior, "DataFrame")
    rows = [(1, ["item", *map(_text, frame.columns)])]
    body = zip(frame.index, frame.itertuples(index=False, name=None), strict=True)
    for line, (name, values) in enumerate(body, start=2):
        rows.append((line, [_text(name), *(repr(v.item() if hasattr(v, "item") else v) for v in values)]))
    wins = format == "wins"
    refuse_options("DataFrame", "a table of wins" if wins else "a table of payoffs", options)
    neutral = 0.5 if scale == "probability" else 0.0
    numbers, items = square(rows, "DataFrame", diagonal=0.0 if wins else neutral)
    if wins:
        return from_wins(numbers, items, None, ties, missing, prior, "DataFrame")
    return PreferenceTable(numbers, items, scale=scale, source="DataFrame")


def _text(name: object) -> str:
    """What a cell of a file would hold: nothing where pandas has a missing value."""
    import pandas as pd

    return "" if pd.api.types.is_scalar(name) and pd.isna(name) is True else str(name)


def to_dataframe(table: PreferenceTable) -> "pd.DataFrame":
    """The table of one prompt as a DataFrame: index and columns are the items.

    Raises:
        ValueError: the table has several prompts.

    >>> table = PreferenceTable([[0.5, 0.75], [0.25, 0.5]], items=["tea", "coffee"])
    >>> to_dataframe(table).loc["tea", "coffee"]
    np.float64(0.75)
    """
    import pandas as pd

    if table.shape[0] > 1:
        raise ValueError(f"a DataFrame holds one prompt, not {table.shape[0]}: pick one, table.P[x].")
    names = list(table.items)
    frame = pd.DataFrame(table.P.reshape(table.P.shape[-2:]), index=names, columns=names)
    return frame.rename_axis(index="item")

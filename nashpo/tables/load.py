"""From a file to a game."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from nashpo.tables.read import Format, read_table
from nashpo.tables.table import PreferenceTable
from nashpo.tables.wins import Missing, Ties

if TYPE_CHECKING:
    from nashpo.game import Game
    from nashpo.typing import Scale


def load_table(
    path: str | Path,
    beta: float | None = None,
    reference: Any = None,
    prompts: Any = None,
    format: Format = "auto",
    *,
    scale: "Scale" = "probability",
    draws: str | Path | None = None,
    ties: Ties = "half",
    missing: Missing = "half",
    prior: float = 0.0,
) -> "Game":
    """Read a table (see `nashpo.tables.read_table`) and make it a game with named items.

    Args:
        path: the file.
        beta: KL weight; default: the file's, else 0.
        reference: probabilities `[A]` or `[X, A]`; default: the file's, else uniform.
        prompts: weights `[X]`; default: the file's, else uniform.
        format: `"auto"`, `"probabilities"`, `"wins"`, `"matches"`, `"npz"` or `"simulations"`.
        scale: `"probability"` or `"score"`, for a CSV of payoffs.
        draws: a second CSV with draws, for wins.
        ties: `"half"`, `"drop"` or `"error"`, for wins and matches.
        missing: `"half"` or `"error"`, for pairs that never met.
        prior: pseudo-wins added to both sides of every pair.

    Raises:
        ValueError: one sentence with the path, the line and the column or the items.

    >>> import tempfile, os
    >>> from nashpo.tables import PreferenceTable, write_table
    >>> table = PreferenceTable([[0.5, 0.75], [0.25, 0.5]], items=["tea", "coffee"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     game = load_table(write_table(table, os.path.join(folder, "drinks.csv")), beta=0.1)
    >>> game.items, game.shape
    (('tea', 'coffee'), (1, 2))
    """
    table = read_table(path, format, scale=scale, draws=draws, ties=ties, missing=missing, prior=prior)
    return to_game(table, beta, reference, prompts)


def to_game(
    table: PreferenceTable,
    beta: float | None = None,
    reference: Any = None,
    prompts: Any = None,
) -> "Game":
    """The game of a table; arguments that are None are taken from the table."""
    from nashpo.game import Game

    stored = 0.0 if table.beta is None else table.beta
    return Game.from_table(
        table.P,
        beta=stored if beta is None else beta,
        reference=table.reference if reference is None else reference,
        prompts=table.prompts if prompts is None else prompts,
        items=table.items,
        scale=table.scale,
    )

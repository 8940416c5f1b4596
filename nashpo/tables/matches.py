"""Match lists: one comparison per row."""

from collections.abc import Iterable, Sequence

import numpy as np

from nashpo.tables.table import PreferenceTable
from nashpo.tables.text import Row
from nashpo.tables.wins import Missing, Ties, from_wins, require_choice
from nashpo.validation import validate_items

HEADERS = (("left", "right"), ("model_a", "model_b"))
RESULTS = ("winner", "outcome")
LEFT_WORDS = ("left", "model_a", "1", "1.0")
RIGHT_WORDS = ("right", "model_b", "0", "0.0")
TIE_WORDS = ("tie", "draw", "tie (bothbad)", "0.5")


def from_matches(
    matches: Iterable[tuple[str, str, str]],
    items: Sequence[str] | None = None,
    ties: Ties = "half",
    missing: Missing = "half",
    prior: float = 0.0,
    source: str | None = None,
) -> PreferenceTable:
    """Turn a list of matches into a preference table.

        wins[i, j] = number of matches that i won against j (a tie is 1/2 for each with ties="half"),
        P[i, j] = (wins[i, j] + prior) / (wins[i, j] + wins[j, i] + 2 prior)

    Args:
        matches: triples (left, right, winner). The winner is the name of one of the two, or one of
            `"left"`, `"right"`, `"tie"`, `"draw"`, or the score of the left side: `"1"`, `"0"`, `"0.5"`.
        items: the names and their order; default: as they first appear.
        ties: `"half"`, `"drop"` or `"error"`.
        missing: `"half"` or `"error"`, for pairs that never met.
        prior: pseudo-wins added to both sides of every pair.
        source: where the list came from; put in front of messages.

    Raises:
        ValueError: an empty or unknown name, a match against itself, a winner that is neither side, a word for the
            winner that is also the name of another item, a tie or a missing pair where that is an error. Messages count
            matches from 1.

    >>> table = from_matches([("tea", "coffee", "tea"), ("coffee", "tea", "tie")])
    >>> table.items, float(table.P[0, 1])
    (('tea', 'coffee'), 0.75)
    """
    numbered = ((f"match {i}", match) for i, match in enumerate(matches, start=1))
    return _tally(numbered, items, ties, missing, prior, source)


def matches_from_rows(rows: list[Row], ties: Ties, missing: Missing, prior: float, source: str) -> PreferenceTable:
    """A table from the rows of a CSV match list; other columns are ignored."""
    columns = match_columns(rows[0][1])
    if columns is None:
        raise ValueError(
            f"{source}: line {rows[0][0]} is no header of a match list; it needs the columns left, right "
            f"and winner (found: {', '.join(rows[0][1])})."
        )
    width = len(rows[0][1])
    for line, cells in rows[1:]:
        if len(cells) != width:
            raise ValueError(f"{source}: line {line} has {len(cells)} cells, but the header has {width}.")
    left, right, result = columns
    numbered = ((f"line {line}", (cells[left], cells[right], cells[result])) for line, cells in rows[1:])
    return _tally(numbered, None, ties, missing, prior, source)


def match_columns(header: Sequence[str]) -> tuple[int, int, int] | None:
    """Positions of left, right and winner in a header; None where it is not a match list."""
    names = [str(name).strip().lower() for name in header]
    for left, right in HEADERS:
        for result in RESULTS:
            if {left, right, result} <= set(names):
                return names.index(left), names.index(right), names.index(result)
    return None


def _tally(
    matches: Iterable[tuple[str, tuple[str, str, str]]],
    items: Sequence[str] | None,
    ties: Ties,
    missing: Missing,
    prior: float,
    source: str | None,
) -> PreferenceTable:
    """Count wins and draws, then `from_wins`."""
    require_choice("ties", ties, ("half", "drop", "error"))
    at = f"{source}: " if source else ""
    names = {name: i for i, name in enumerate(validate_items(items, len(items)))} if items is not None else {}
    tally: dict[tuple[int, int], list[float]] = {}
    results: dict[str, str] = {}
    for where, match in matches:
        if isinstance(match, str) or len(match) != 3:
            raise ValueError(f"{at}{where} is {match!r}: a match is (left, right, winner).")
        left, right, winner = match
        for name in (left, right):
            if not isinstance(name, str) or not name.strip():
                raise ValueError(f"{at}{where} has the item name {name!r}: both sides need a name.")
            if name not in names:
                if items is not None:
                    raise ValueError(f"{at}{where} has the item {name!r}, which is not one of items.")
                names[name] = len(names)
        if left == right:
            raise ValueError(f"{at}{where} is {left!r} against itself: a match needs two different items.")
        score = _score(left, right, winner, f"{at}{where}")
        if (word := _word(left, right, winner)) not in (left, right):
            results.setdefault(word, where)
        if score is None and ties == "error":
            raise ValueError(f'{at}{where} is a tie: pass ties="half" or ties="drop" to allow ties.')
        i, j = names[left], names[right]
        won_first, won_second, draws = tally.setdefault((min(i, j), max(i, j)), [0.0, 0.0, 0.0])
        first = score if i < j or score is None else not score
        tally[min(i, j), max(i, j)] = [
            won_first + (first is True),
            won_second + (first is False),
            draws + (score is None),
        ]
    if not names:
        raise ValueError(f"{at}there are no matches: a match list has one row per comparison.")
    both = next((word for word in results if word in names), None)
    if both is not None:
        raise ValueError(
            f"{at}{results[both]} has the winner {both!r}, neither of its sides but the name of another item: write "
            "every winner by name, or rename the item."
        )
    wins, draws = np.zeros((2, len(names), len(names)))
    for (i, j), counts in tally.items():
        wins[i, j], wins[j, i], draws[i, j] = counts
        draws[j, i] = draws[i, j]
    return from_wins(wins, tuple(names), draws, ties, missing, prior, source)


def _word(left: str, right: str, winner: object) -> str:
    """The winner as a name or a word; only a name begins or ends with a space."""
    return str(winner) if winner in (left, right) else str(winner).strip()


def _score(left: str, right: str, winner: object, where: str) -> bool | None:
    """Whether left won; None for a tie."""
    word = _word(left, right, winner)
    if word in (left, right):
        return word == left
    lowered = word.lower()
    if lowered in LEFT_WORDS or lowered in RIGHT_WORDS:
        return lowered in LEFT_WORDS
    if lowered in TIE_WORDS:
        return None
    found = f"{winner!r} is neither side" if word else "no winner is given"
    raise ValueError(f"{where}: {found}; write {left!r}, {right!r} or tie.")

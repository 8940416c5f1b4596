"""Item names."""

from collections.abc import Iterable, Sequence
from typing import Any

from nashpo.validation.wording import at


def frame_items(P: Any, items: Sequence[str] | None = None, source: str | None = None) -> Sequence[str] | None:
    """The names of the items of `P`: `items` where given, else the columns of a DataFrame, else None.

    Columns that are only numbered, 0, 1, 2, ..., are no names.

    Raises:
        ValueError: the rows of a DataFrame are not in the order of its columns, or `items` are its columns in another.

    >>> import pandas as pd
    >>> frame_items(pd.DataFrame([[0.5, 0.9], [0.1, 0.5]], columns=["tea", "coffee"]))
    ('tea', 'coffee')
    """
    if not (hasattr(P, "index") and hasattr(P, "columns")):
        return items
    rows, columns = list(P.index), list(P.columns)
    if rows != columns and rows != list(range(len(rows))):
        raise ValueError(
            f"{at(source)}the rows of the DataFrame are {rows[:3]}..., its columns {columns[:3]}...: give both the "
            "same names in one order, or let nashpo.tables.from_dataframe sort them."
        )
    names = None if columns == list(range(len(columns))) else tuple(map(str, columns))
    if items is None or names is None:
        return names if items is None else items
    check_order(names, items, f"{at(source)}the columns of the DataFrame")
    return items


def check_order(labels: Sequence[object], items: Sequence[str], what: str) -> None:
    """Raise `ValueError` where labels are the items in another order: only numbers are taken from what they label.

    >>> check_order(["milk", "rum"], ["tea", "coffee"], "the columns")
    >>> check_order(["coffee", "tea"], ["tea", "coffee"], "the columns")
    Traceback (most recent call last):
        ...
    ValueError: the columns are in the order ['coffee', 'tea']..., the items in the order ['tea', 'coffee']...: put \
both in one order.
    """
    found, wanted = [str(label) for label in labels], list(items)
    if found != wanted and sorted(found) == sorted(wanted):
        raise ValueError(
            f"{what} are in the order {found[:3]}..., the items in the order {wanted[:3]}...: put both in one order."
        )


def check_labels(p: Any, items: Sequence[str] | None, what: str) -> None:
    """Raise `ValueError` where numbers are labelled, by pandas or xarray, as those of other items or in another order.

    Labels that are numbers in order are no names; nor is there anything to compare where the items have none.

    >>> import pandas as pd
    >>> check_labels(pd.Series([0.2, 0.8], ["rum", "milk"]), ["tea", "coffee"], "reference")
    Traceback (most recent call last):
        ...
    ValueError: the labels of reference are ['rum', 'milk'], the items ['tea', 'coffee']: give numbers for these items \
in this order.
    """
    if hasattr(p, "columns"):
        labels = list(p.columns)
        _check_numbers(list(getattr(p, "index", ())), f"the rows of {what}")
    elif hasattr(p, "iloc"):
        labels = list(p.index)
    elif hasattr(p, "coords") and len(p.dims) and p.dims[-1] in p.coords:
        labels = p.coords[p.dims[-1]].values.tolist()
    else:
        return
    names = list(map(str, labels))
    if not any(isinstance(label, str) for label in labels) and set(names) != set(items or ()):
        _check_numbers(labels, f"the labels of {what}")
    elif items is not None and len(items) == len(labels) and names != list(items):
        check_order(labels, items, f"the labels of {what}")
        raise ValueError(
            f"the labels of {what} are {_some(labels)}, the items {_some(items)}: give numbers for these items in "
            "this order."
        )


def _check_numbers(labels: Sequence[object], what: str) -> None:
    """Raise `ValueError` for the numbers 0, 1, 2, ... in another order."""
    if set(labels) == set(range(len(labels))) and list(labels) != list(range(len(labels))):
        raise ValueError(f"{what} are in the order {_some(labels)}: sort them.")


def _some(names: Sequence[object]) -> str:
    """The first three of some names."""
    return f"{list(names[:3])}{'...' if len(names) > 3 else ''}"


def validate_items(items: Sequence[str], count: int, source: str | None = None) -> tuple[str, ...]:
    """Check item names: as many as actions, none empty, none twice.

    Args:
        items: the names.
        count: number of actions A.
        source: where they came from, put in front of messages.

    Raises:
        ValueError: a name is missing, repeated or holds NUL, or their number is not `count`.

    >>> validate_items(["tea", "coffee"], 2)
    ('tea', 'coffee')
    >>> validate_items(["tea", "tea"], 2)
    Traceback (most recent call last):
        ...
    ValueError: the item name 'tea' is used twice (positions 0 and 1): every item needs its own name.
    """
    if isinstance(items, str) or not isinstance(items, Iterable):
        found = f"the string {items!r}" if isinstance(items, str) else repr(items)
        raise ValueError(f"{at(source)}items is {found}: pass a sequence with one name per action.")
    names = tuple(str(name) if isinstance(name, str) else name for name in items)
    if len(names) != count:
        raise ValueError(
            f"{at(source)}there are {len(names)} item names for {count} actions: give one name per action."
        )
    seen: dict[str, int] = {}
    for position, name in enumerate(names):
        if not isinstance(name, str):
            raise ValueError(f"{at(source)}item {position} is {name!r}: item names must be strings.")
        if not name.strip():
            raise ValueError(f"{at(source)}the name of item {position} is empty: give every item a name.")
        if "\0" in name:
            raise ValueError(
                f"{at(source)}the item name {name!r} holds the character NUL, which no file of results can."
            )
        if name in seen:
            raise ValueError(
                f"{at(source)}the item name {name!r} is used twice (positions {seen[name]} and {position}): "
                "every item needs its own name."
            )
        seen[name] = position
    return names

"""Item names."""

from collections.abc import Sequence

from nashpo.validation.wording import at


def validate_items(items: Sequence[str], count: int, source: str | None = None) -> tuple[str, ...]:
    """Check item names: as many as actions, none empty, none twice.

    Args:
        items: the names.
        count: number of actions A.
        source: where they came from, put in front of messages.

    Raises:
        ValueError: a name is missing or repeated, or their number is not `count`.

    >>> validate_items(["tea", "coffee"], 2)
    ('tea', 'coffee')
    >>> validate_items(["tea", "tea"], 2)
    Traceback (most recent call last):
        ...
    ValueError: the item name 'tea' is used twice (positions 0 and 1): every item needs its own name.
    """
    if isinstance(items, str):
        raise ValueError(f"{at(source)}items is the string {items!r}: pass a sequence with one name per action.")
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
        if name in seen:
            raise ValueError(
                f"{at(source)}the item name {name!r} is used twice (positions {seen[name]} and {position}): "
                "every item needs its own name."
            )
        seen[name] = position
    return names

"""Objects built from a table of a configuration by the signature of whatever makes them."""

import inspect
import math
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any

from nashpo.signature import annotations, choices
from nashpo.studies.document import Document
from nashpo.studies.values import listed

_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def made(
    document: Document,
    place: tuple[str, ...],
    maker: Callable[..., Any],
    given: Mapping[str, Any],
    fixed: Mapping[str, Any] | None = None,
    extra: tuple[str, ...] = (),
) -> Any:
    """`maker(**given, **fixed)`, with every value checked against the maker's annotations.

    `extra` are further keys of the table that somebody else reads, for the list of what could have been meant.

    Raises `ValueError` naming the line and the key that is unknown, missing or of another type, and for what the
    maker refuses.

    >>> from nashpo.studies.document import read_document
    >>> def box(width: int, lid: bool = True):
    ...     return width, lid
    >>> made(read_document({}), ("box",), box, {"width": 3})
    (3, True)
    >>> made(read_document({}), ("box",), box, {"wdith": 3})
    Traceback (most recent call last):
        ...
    ValueError: study: box.wdith is not known; did you mean 'width'?
    """
    return planned(document, place, maker, given, fixed, extra)()


def planned(
    document: Document,
    place: tuple[str, ...],
    maker: Callable[..., Any],
    given: Mapping[str, Any],
    fixed: Mapping[str, Any] | None = None,
    extra: tuple[str, ...] = (),
) -> Callable[[], Any]:
    """What `made` makes, when it is called; keys and types are checked now.

    >>> from nashpo.studies.document import read_document
    >>> planned(read_document({}), ("box",), lambda width: width, {"width": 3})()
    3
    """
    fixed = fixed or {}
    values = settings(document, place, maker, given, (*fixed,), extra)

    def make() -> Any:
        try:
            return maker(**values, **fixed)
        except (ValueError, TypeError) as error:
            document.wrong(place, f": {error}")

    return make


def settings(
    document: Document,
    place: tuple[str, ...],
    maker: Callable[..., Any],
    given: Mapping[str, Any],
    fixed: tuple[str, ...] = (),
    extra: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The values that `made` hands to the maker, beside those that are `fixed`.

    >>> from nashpo.studies.document import read_document
    >>> def box(width: float):
    ...     return width
    >>> settings(read_document({}), ("box",), box, {"width": 3})
    {'width': 3.0}
    """
    parameters = inspect.signature(maker).parameters
    known = [name for name, one in parameters.items() if one.kind is not one.VAR_KEYWORD and name not in fixed]
    kinds = annotations(maker.__init__) if isinstance(maker, type) else annotations(maker)
    values = {}
    for key, value in given.items():
        if key not in known:
            document.unknown((*place, key), [*extra, *known])
        values[key] = checked_value(document, (*place, key), value, kinds.get(key, Any))
    for key in known:
        if parameters[key].default is parameters[key].empty and key not in values:
            document.wrong(place, f"needs {key}: write {key} = ...")
    return values


def checked_value(document: Document, place: tuple[str, ...], value: Any, kind: Any) -> Any:
    """`value`, if an annotation allows it; whole numbers are numbers, lists become tuples where those are meant.

    >>> from nashpo.studies.document import read_document
    >>> checked_value(read_document({}), ("a",), [1, 2], tuple[float, ...] | None)
    (1.0, 2.0)
    """
    words = choices(kind)
    options = _options(kind)
    if words and isinstance(value, str):
        if value not in words:
            document.wrong(place, f"is {value!r}, but must be one of {', '.join(words)}.")
        return value
    for option in options:
        fits, found = _as(option, value)
        if fits:
            return found
    plain = [option for option in options if option in _WORDS or typing.get_origin(option) is tuple]
    if len(plain) < sum(option is not type(None) for option in options):
        return value  # a type that is not looked into: the maker sees for itself
    wanted = dict.fromkeys(_WORDS.get(option, "a list") for option in plain)
    return document.wrong(place, f"is {value!r}, but must be {' or '.join(wanted)}.")


def _options(kind: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return tuple(option for part in typing.get_args(kind) for option in _options(part))
    return (kind,)


def _as(option: Any, value: Any) -> tuple[bool, Any]:
    """Whether the value is of a plain type, and the value as one."""
    if typing.get_origin(option) is tuple and listed(value):
        inner = typing.get_args(option)[0]
        parts = [_as(inner, one) for one in value]
        return all(fits for fits, _ in parts) or inner not in _WORDS, tuple(found for _, found in parts)
    if option is bool or option is str:
        return isinstance(value, option), value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if option is int:
        return number and math.isfinite(value) and value == int(value), int(value) if number else value
    if option is float:
        return number and math.isfinite(value), float(value) if number else value
    return False, value

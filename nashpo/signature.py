"""What a constructor says that its settings may be, for those who read settings from text."""

import types
import typing
from typing import Any


def annotations(maker: Any) -> dict[str, Any]:
    """The types of a constructor's parameters by name; empty where they cannot be known.

    >>> annotations(lambda eta: eta)
    {}
    """
    try:
        return typing.get_type_hints(maker)
    except (NameError, TypeError):
        return {}


def choices(annotation: Any) -> tuple[str, ...]:
    """The words that a parameter annotated with a `Literal` can be.

    >>> choices(typing.Literal["exact", "half"] | None)
    ('exact', 'half')
    """
    if typing.get_origin(annotation) is typing.Literal:
        return tuple(choice for choice in typing.get_args(annotation) if isinstance(choice, str))
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return tuple(choice for part in typing.get_args(annotation) for choice in choices(part))
    return ()

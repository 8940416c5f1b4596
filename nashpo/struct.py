"""Records: frozen dataclasses that are JAX pytrees."""

import dataclasses
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(**options: Any) -> Any:
    """A field that is structure, not data: part of the compiled program, hashable, never traced.

    >>> from nashpo.struct import record, static
    >>> @record
    ... class Box:
    ...     value: float
    ...     name: str = static(default="box")
    >>> jax.tree.leaves(Box(3.0))
    [3.0]
    """
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, static))
def record(cls: type[T]) -> type[T]:
    """Make `cls` a frozen dataclass and a pytree: fields are leaves unless declared with `static()`.

    Records are rebuilt by JAX with tracers inside, so `__post_init__` must not validate: checks belong to
    the function through which a user's value enters.

    >>> @record
    ... class Pair:
    ...     left: float
    ...     right: float
    >>> jax.tree.map(lambda leaf: 2 * leaf, Pair(1.0, 2.0))
    Pair(left=2.0, right=4.0)
    """
    frozen = dataclasses.dataclass(frozen=True, eq=False)(cls)
    fields = dataclasses.fields(frozen)  # type: ignore[arg-type]
    return jax.tree_util.register_dataclass(
        frozen,
        data_fields=[f.name for f in fields if not f.metadata.get("static", False)],
        meta_fields=[f.name for f in fields if f.metadata.get("static", False)],
    )

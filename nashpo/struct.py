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

    JAX rebuilds records from their fields, with tracers inside and without `__init__`: `__post_init__` may complete a
    user's value, but checks belong to the function through which it enters.

    >>> @record
    ... class Pair:
    ...     left: float
    ...     right: float
    >>> jax.tree.map(lambda leaf: 2 * leaf, Pair(1.0, 2.0))
    Pair(left=2.0, right=4.0)
    """
    frozen = dataclasses.dataclass(frozen=True, eq=False)(cls)
    fields = dataclasses.fields(frozen)  # type: ignore[arg-type]  it is a dataclass now
    leaves = tuple(f.name for f in fields if not f.metadata.get("static", False))
    fixed = tuple(f.name for f in fields if f.metadata.get("static", False))
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in leaves)

    # Not `register_dataclass`: to JAX 0.10 two such classes with the same fields are one structure, and `jit` may run
    # the program compiled for the other one.
    def flatten(node):
        values = node.__dict__
        return [values[name] for name in leaves], tuple([values[name] for name in fixed])

    def flatten_with_keys(node):
        children, structure = flatten(node)
        return list(zip(keys, children, strict=True)), structure

    def unflatten(structure, children):
        node = object.__new__(frozen)
        node.__dict__.update(zip(leaves, children, strict=True))
        node.__dict__.update(zip(fixed, structure, strict=True))
        return node

    jax.tree_util.register_pytree_with_keys(frozen, flatten_with_keys, unflatten, flatten)
    return frozen

"""Models and batches spread over devices: weights over two axes, prompts over the first."""

from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from nashpo.typing import Array

BATCH, TENSOR = "fsdp", "tensor"
_OUT = ("o", "down")
"""Maps whose input is what other maps of the layer made, and is therefore spread over the tensor axis."""


def mesh_shape(fsdp: int | None = None, tensor: int = 1) -> tuple[int, int]:
    """The devices of both axes; all that `tensor` leaves go to the first one if `fsdp` is None.

    >>> mesh_shape(4, 2)
    (4, 2)
    """
    return max(1, len(jax.devices()) // max(tensor, 1)) if fsdp is None else fsdp, tensor


def make_mesh(fsdp: int | None = None, tensor: int = 1) -> Mesh:
    """A mesh of `fsdp x tensor` devices, of all processes; `fsdp` takes all that are left if None.

    Raises `ValueError` for a product that is not the number of devices.

    >>> make_mesh().axis_names
    ('fsdp', 'tensor')
    >>> make_mesh(fsdp=1000)
    Traceback (most recent call last):
        ...
    ValueError: fsdp=1000 x tensor=1 is a mesh of 1000 devices, but there are 1.
    """
    count = len(jax.devices())
    fsdp, tensor = mesh_shape(fsdp, tensor)
    if fsdp * tensor != count:
        raise ValueError(f"fsdp={fsdp} x tensor={tensor} is a mesh of {fsdp * tensor} devices, but there are {count}.")
    devices = np.asarray(jax.devices()).reshape(fsdp, tensor)
    return Mesh(devices, (BATCH, TENSOR), axis_types=(AxisType.Auto, AxisType.Auto))


def partition(name: str, shape: tuple[int, ...], mesh: Mesh) -> PartitionSpec:
    """How a parameter is spread: the maps of a layer over both axes, embedding and head too, norms not at all.

    An axis whose size the mesh does not divide stays whole. `name` is as in `load`'s `place`, `layers.q` for example.

    >>> tuple(partition("layers.o", (2, 8, 4), make_mesh()))
    (None, 'tensor', 'fsdp')
    """
    last = name.rsplit(".", 1)[-1]
    if last in ("embed", "head"):
        wanted: tuple[str | None, ...] = (TENSOR, BATCH)
    elif len(shape) == 3:
        wanted = (None, TENSOR, BATCH) if last in _OUT else (None, BATCH, TENSOR)
    else:
        wanted = (None,) * len(shape)
    fits = (axis if axis and size % mesh.shape[axis] == 0 else None for axis, size in zip(wanted, shape, strict=True))
    return PartitionSpec(*fits)


def placed(tree: Any, mesh: Mesh) -> Any:
    """A decoder's parameters on the devices of a mesh, each where `partition` wants it.

    >>> tuple(placed({"embed": np.ones((4, 2))}, make_mesh())["embed"].sharding.spec)
    ('tensor', 'fsdp')
    """
    return jax.tree_util.tree_map_with_path(
        lambda path, leaf: place(".".join(str(part.key) for part in path), leaf, mesh), tree
    )


def place(name: str, leaf: Array, mesh: Mesh) -> jax.Array:
    """One parameter on the devices of a mesh, where `partition` wants it.

    >>> tuple(place("layers.o", np.ones((2, 8, 4)), make_mesh()).sharding.spec)
    (None, 'tensor', 'fsdp')
    """
    return spread_as(leaf, NamedSharding(mesh, partition(name, np.shape(leaf), mesh)))


def mesh_of(tree: Any) -> Mesh | None:
    """The mesh that the arrays of a pytree are spread over, None where they are on one device.

    >>> mesh_of({"embed": np.ones(2)}) is None
    True
    """
    for leaf in jax.tree.leaves(tree):
        sharding = getattr(leaf, "sharding", None)
        if isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, Mesh) and sharding.mesh.size > 1:
            return sharding.mesh
    return None


def by_rows(tree: Any, mesh: Mesh | None) -> Any:
    """A batch with its rows spread over the first axis of the mesh, where that divides them; as it is without mesh.

    >>> by_rows(np.ones(2), None).tolist()
    [1.0, 1.0]
    """
    if mesh is None:
        return tree

    def rowwise(leaf: Array) -> jax.Array:
        divides = np.ndim(leaf) > 0 and len(leaf) % mesh.shape[BATCH] == 0
        return spread_as(leaf, NamedSharding(mesh, PartitionSpec(BATCH) if divides else PartitionSpec()))

    return jax.tree.map(rowwise, tree)


def shardings(tree: Any) -> tuple[Any, ...] | None:
    """Where the leaves of a pytree lie, hashable; None where they are on one device.

    >>> shardings({"embed": np.ones(2)}) is None
    True
    """
    return None if mesh_of(tree) is None else tuple(leaf.sharding for leaf in jax.tree.leaves(tree))


def settled(tree: Any, mesh: Mesh | None) -> Any:
    """The same pytree with what lies on no mesh yet on every device of this one: adapters, an optimizer's counters.

    >>> settled({"count": 3}, None)
    {'count': 3}
    >>> settled({"a": np.ones(2)}, make_mesh())["a"].sharding.is_fully_replicated
    True
    """
    if mesh is None:
        return tree

    def everywhere(leaf: Array) -> Array:
        there = isinstance(getattr(leaf, "sharding", None), NamedSharding)
        return leaf if there else spread_as(leaf, NamedSharding(mesh, PartitionSpec()))

    return jax.tree.map(everywhere, tree)


def kept_there(tree: Any, places: tuple[Any, ...] | None) -> Any:
    """The same pytree, in a compiled program, with its leaves where `shardings` said that they lie.

    >>> kept_there(1.0, None)
    1.0
    """
    if places is None:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    return structure.unflatten(map(jax.lax.with_sharding_constraint, leaves, places))


def spread_as(leaf: Array, sharding: NamedSharding) -> jax.Array:
    """An array that every process holds whole, as one array over the devices of all of them.

    >>> spread_as(np.ones(2), NamedSharding(make_mesh(), PartitionSpec())).shape
    (2,)
    """
    if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
        return leaf if leaf.sharding == sharding else jax.device_put(leaf, sharding)
    if jax.process_count() == 1:
        return jax.device_put(leaf, sharding)
    whole = np.asarray(leaf)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])

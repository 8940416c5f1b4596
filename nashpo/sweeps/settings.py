"""The settings of a sweep: numbers that are arrays become axes, and all combinations a list."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Grid(NamedTuple):
    """All combinations of several axes, the last one running fastest."""

    axes: dict[str, np.ndarray]
    """The values of each swept quantity, as labels."""
    solver: Any
    """The solver, every number an array `[S]` over the combinations."""
    beta: np.ndarray | None
    """`[S]`; None where every game keeps its own."""
    seed: np.ndarray
    """`[S]`: positions among the seeds."""

    @property
    def shape(self) -> tuple[int, ...]:
        """The lengths of the axes."""
        return tuple(len(values) for values in self.axes.values())


def grid(solver: Any, betas: np.ndarray | None, seeds: np.ndarray, dtype: np.dtype) -> Grid:
    """The grid over `betas` (if given), the solver's arrays and the seeds; numbers get the games' `dtype`.

    >>> from nashpo.solvers import APO
    >>> found = grid(APO(eta=np.array([0.1, 0.2]), momentum=0.3), None, np.arange(3), np.dtype(float))
    >>> list(found.axes), found.shape, found.solver.momentum.shape
    (['eta', 'seed'], (2, 3), (6,))
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(solver)
    paths = [_path(place) for place, _ in leaves]
    names = _axis_names(solver, paths, [leaf for _, leaf in leaves])
    axes = {} if betas is None else {"beta": decimals(betas)}
    axes |= {names[path]: decimals(leaf) for path, (_, leaf) in zip(paths, leaves, strict=True) if path in names}
    axes["seed"] = seeds
    index = np.indices([len(values) for values in axes.values()]).reshape(len(axes), -1)
    where = dict(zip(axes, index, strict=True))
    filled = []
    for path, (_, leaf) in zip(paths, leaves, strict=True):
        values = np.asarray(leaf)[where[names[path]]] if path in names else np.full(index.shape[1], leaf)
        filled.append(values.astype(dtype) if np.issubdtype(values.dtype, np.floating) else values)
    beta = None if betas is None else betas[where["beta"]].astype(dtype)
    return Grid(axes, jax.tree.unflatten(structure, filled), beta, where["seed"])


def decimals(values: Any) -> np.ndarray:
    """Numbers as one writes them: where they have less than double precision, the shortest decimals that round to them.

    >>> decimals(np.float32([0.1, 0.3])).tolist()
    [0.1, 0.3]
    """
    values = np.asarray(values)
    if values.dtype.itemsize >= 8 or not jnp.issubdtype(values.dtype, jnp.floating):
        return values
    return np.array([float(str(value)) for value in values.ravel()]).reshape(values.shape)


def check_different(values: np.ndarray, what: str) -> None:
    """Raise `ValueError` where a number stands twice: its label would select several runs in place of one.

    >>> check_different(np.array([0.5, 0.1, 0.5]), "betas")
    Traceback (most recent call last):
        ...
    ValueError: sweep: betas holds 0.5 more than once: runs are found by these numbers, so give each of them once.
    """
    labels, counts = np.unique(decimals(values), return_counts=True)
    twice = labels[counts > 1].tolist()
    if twice:
        named = ", ".join(map(str, twice[:3])) + ", ..." * (len(twice) > 3)
        raise ValueError(
            f"sweep: {what} holds {named} more than once: runs are found by these numbers, so give each of them once."
        )


def _path(place: Any) -> tuple[str, ...]:
    """The fields and positions on the way to a leaf, without the one that makes a solver of a rule."""
    parts = tuple(str(getattr(part, "name", getattr(part, "idx", getattr(part, "key", part)))) for part in place)
    return parts[1:] if parts[0] == "rule" and len(parts) > 1 else parts


def _axis_names(solver: Any, paths: list[tuple[str, ...]], leaves: list[Any]) -> dict[tuple[str, ...], str]:
    """The axis of every leaf that is an array: its field's name; fields of one name share an axis if equal."""
    arrays = {path: np.asarray(leaf) for path, leaf in zip(paths, leaves, strict=True) if np.ndim(leaf)}
    name = type(getattr(solver, "rule", solver)).__name__
    for path, values in arrays.items():
        if values.ndim > 1 or len(values) == 0:
            raise ValueError(
                f"{name}: {'.'.join(path)} has shape {values.shape}; a number that is swept is a list of at least one."
            )
        if not (jnp.issubdtype(values.dtype, jnp.number) or values.dtype == bool):
            raise ValueError(
                f"{name}: {'.'.join(path)} holds {values.tolist()[0]!r}: only numbers are swept; "
                "give sweep a mapping from names to solvers for the rest."
            )
        check_different(values, f"{'.'.join(path)} of {name}")
    names = {}
    for path, values in arrays.items():
        rivals = [other for other in arrays if _field(other) == _field(path)]
        shared = all(np.array_equal(arrays[other], values) for other in rivals)
        names[path] = _field(path) if shared and _field(path) not in ("beta", "seed") else "_".join(path)
    return names


def _field(path: tuple[str, ...]) -> str:
    """The last field of a path, with its position where it is one of several."""
    return "_".join(path[-2:]) if path[-1].isdigit() else path[-1]

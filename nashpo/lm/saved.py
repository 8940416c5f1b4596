"""The checkpoints of a language model's run: everything that the next step needs, each array once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from nashpo.checkpoint.shelf import Shelf, check_same_run
from nashpo.checkpoint.store import read_arrays
from nashpo.lm.host import first, on_host, wait


class Saved(NamedTuple):
    """A checkpoint that was read."""

    steps: int
    tree: Any
    """The pytree that was saved."""
    lengths: Mapping[str, int]
    """How long the run's files were."""


class SavedRuns:
    """The checkpoints of one run in `folder`, the last `keep` of them.

    `identity` says what makes a run another run, in words. An array that stands in several places (a policy that is
    also its own past) is written once. Of several processes the first one writes and all of them read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     runs = SavedRuns(folder, {"rule": "EGPO"}, keep=2)
    ...     runs.save(3, {"now": np.ones(2)}, {})
    ...     found = runs.latest({"now": np.zeros(2)})
    >>> found.steps, found.tree["now"].tolist()
    (3, [1.0, 1.0])
    """

    def __init__(self, folder: str | Path, identity: Mapping[str, str], keep: int) -> None:
        Path(folder).mkdir(parents=True, exist_ok=True)
        self._shelf, self._identity = Shelf(folder, keep), dict(identity)

    def save(self, steps: int, tree: Any, lengths: Mapping[str, int]) -> None:
        """Write the checkpoint of a run after `steps` steps, then remove the oldest; Ctrl-C waits for the end of it.

        Raises `OSError` where it cannot be written; those before it are as they were.
        """
        arrays, places = _distinct(tree)
        if first():
            notes = {"steps": steps, "identity": self._identity, "places": places, "lengths": dict(lengths)}
            notes["arrays"] = {name: [str(values.dtype), list(values.shape)] for name, values in arrays.items()}
            self._shelf.save(steps, notes, {name: _plain(values) for name, values in arrays.items()})
        wait(f"saved {steps}")

    def latest(self, like: Any) -> Saved | None:
        """The newest checkpoint that is whole, in the form and on the devices of `like`; None where there is none.

        Raises `ValueError` if it belongs to another run. A damaged one is skipped with a `CheckpointWarning`.
        """
        for path, notes in self._shelf.whole():
            check_same_run(path, notes["identity"], self._identity)
            self._shelf.saved = notes["steps"]
            return Saved(notes["steps"], _restored(path, notes, like), notes["lengths"])
        return None


def _distinct(tree: Any) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of a pytree by name, each object once, and the name of every leaf's."""
    arrays: dict[str, np.ndarray] = {}
    names: dict[int, str] = {}
    leaves = jax.tree.leaves(tree)
    for leaf in leaves:
        if id(leaf) not in names:
            names[id(leaf)] = f"array{len(arrays)}"
            arrays[names[id(leaf)]] = on_host(leaf)
    return arrays, [names[id(leaf)] for leaf in leaves]


def _plain(values: np.ndarray) -> np.ndarray:
    """Types that NumPy has by itself; bfloat16 travels as its bits."""
    return values.view(np.uint16) if values.dtype == jax.numpy.bfloat16 else values


def _restored(path: Path, notes: dict[str, Any], like: Any) -> Any:
    """The pytree of a checkpoint, its leaves placed as those of `like`; arrays that were one are one again."""
    leaves, structure = jax.tree.flatten(like)
    if len(leaves) != len(notes["places"]):
        raise ValueError(f"{path}: the state of this run has changed its form since; give another folder.")
    raw = read_arrays(path)
    found: dict[str, Any] = {}
    for name, leaf in zip(notes["places"], leaves, strict=True):
        if name not in found:
            kind, shape = notes["arrays"][name]
            values = np.asarray(raw[name]) if name in raw else np.empty(shape, kind)
            values = values.view(jax.numpy.bfloat16) if kind == "bfloat16" else values
            found[name] = jax.device_put(values, leaf.sharding) if isinstance(leaf, jax.Array) else values
    return structure.unflatten([found[name] for name in notes["places"]])

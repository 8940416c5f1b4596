"""The checkpoints of a solver's run: its state, its trace so far, and what makes it another run."""

import os
import warnings
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashpo import __version__
from nashpo.checkpoint.shelf import CheckpointWarning, Shelf, check_same_run
from nashpo.checkpoint.store import read_arrays
from nashpo.fingerprint import differences, fingerprint
from nashpo.run import Plan


class Reached(NamedTuple):
    """How far a run has come."""

    state: Any
    trace: dict[str, np.ndarray]
    failed: int
    """The step that produced a number that is not finite, or -1."""
    over: bool
    """Whether the run ended before its last step: at the tolerance, or at a number that is not finite."""

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return int(self.trace["step"][-1])


class Checkpoints:
    """The checkpoints of one run in `folder`, of which the last `keep` are kept.

    Whoever uses it holds the lock of the folder (`nashpo.files.locked`).
    """

    def __init__(self, folder: str | os.PathLike[str], plan: Plan, keep: int) -> None:
        self._shelf = Shelf(folder, keep)
        self._plan, self._fingerprint = plan, _identity(plan)

    def latest(self) -> Reached | None:
        """The newest checkpoint that is whole; None where there is none.

        Raises `ValueError` if it belongs to another run, or to one that cannot be taken to this one's last step.
        """
        refusal = None
        for path, notes in self._shelf.whole():
            self._check(path, notes)
            refusal = self._misfit(notes)
            if refusal is None:
                self._shelf.saved = notes["steps"]
                return self._restore(path, notes)
            if notes["steps"] > self._plan.steps:
                break
        if refusal is not None:
            raise ValueError(refusal)
        return None

    def save(self, reached: Reached) -> None:
        """Write a checkpoint, then remove the oldest. Ctrl-C waits for the end of it, a full disk changes nothing.

        Raises `OSError` if the checkpoint cannot be written; those before it are as they were.
        """
        state = jax.tree.leaves(reached.state)
        arrays = {f"state{i}": _stored(leaf) for i, leaf in enumerate(state)}
        arrays |= {f"trace{i}": values for i, values in enumerate(reached.trace.values())}
        notes = {
            "steps": reached.steps,
            "failed": reached.failed,
            "over": reached.over,
            "trace": list(reached.trace),
            "state": [str(leaf.dtype) for leaf in state],
            "keys": {f"state{i}": str(jax.random.key_impl(leaf)) for i, leaf in enumerate(state) if _is_key(leaf)},
            "empty": {name: [str(v.dtype), list(v.shape)] for name, v in arrays.items() if not v.size},
            "fingerprint": self._fingerprint,
            "versions": _versions(),
        }
        self._shelf.save(reached.steps, notes, arrays)

    def advice(self) -> str:
        """What to do after the run was broken off."""
        folder, saved = self._shelf.folder, self._shelf.saved
        if saved is None:
            return f"broken off before the first checkpoint: nothing is saved in {folder}."
        return f"broken off: step {saved} of {self._plan.steps} is saved in {folder}; the same call goes on from there."

    def _check(self, path: Path, notes: dict[str, Any]) -> None:
        check_same_run(path, notes["fingerprint"], self._fingerprint)
        versions = differences(notes["versions"], _versions())
        if versions:
            message = f"{path}: written with other versions: {versions}; the last digits may not be those of one run."
            warnings.warn(message, CheckpointWarning, stacklevel=5)

    def _misfit(self, notes: dict[str, Any]) -> str | None:
        """Why a run of `steps` steps does not pass through a checkpoint, if it does not."""
        steps, plan = notes["steps"], self._plan
        if steps > plan.steps:
            return f"{self._shelf.folder}: the run there has taken {steps} steps already, more than steps={plan.steps}."
        if steps % plan.every and steps != plan.steps and not notes["over"]:
            return (
                f"{self._shelf.folder}: the run there ended with a measurement after {steps} steps, which is no "
                f"multiple of every={plan.every}: it cannot go on to steps={plan.steps}; give another folder."
            )
        return None

    def _restore(self, path: Path, notes: dict[str, Any]) -> Reached:
        wanted = jax.eval_shape(_begin, self._plan.game, self._plan.solver, self._plan.start)
        leaves = jax.tree.leaves(wanted)
        if [str(leaf.dtype) for leaf in leaves] != notes["state"]:
            raise ValueError(f"{path}: the state of this solver has changed its form since; give another folder.")
        arrays = read_arrays(path) | {n: np.empty(shape, kind) for n, (kind, shape) in notes["empty"].items()}
        state = [_loaded(arrays[f"state{i}"], notes["keys"].get(f"state{i}")) for i in range(len(leaves))]
        trace = {name: arrays[f"trace{i}"] for i, name in enumerate(notes["trace"])}
        return Reached(jax.tree.structure(wanted).unflatten(state), trace, notes["failed"], notes["over"])


def _identity(plan: Plan) -> dict[str, str]:
    """What makes a run another run; its number of steps does not, for it may be taken further."""
    parts = {name: getattr(plan, name) for name in ("solver", "game", "start", "seed", "tol", "metrics", "every")}
    found = {"precision": str(jnp.result_type(float))}
    for name, part in parts.items():
        found |= fingerprint(part, name)
    return found


def _begin(game: Any, solver: Any, start: Any) -> Any:
    game = jax.tree.map(jnp.asarray, game)
    return solver.init(game, game.reference if start is None else start)


def _versions() -> dict[str, str]:
    return {"nashpo": __version__, "jax": jax.__version__, "backend": jax.default_backend()}


def _stored(leaf: Any) -> np.ndarray:
    return np.asarray(jax.random.key_data(leaf) if _is_key(leaf) else leaf)


def _loaded(values: np.ndarray, kind_of_key: str | None) -> jax.Array:
    loaded = jnp.asarray(values)
    return loaded if kind_of_key is None else jax.random.wrap_key_data(loaded, impl=kind_of_key)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)

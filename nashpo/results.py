"""What a run found: the answer, its trace and how it ended."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from nashpo.files import atomic_write
from nashpo.policies.base import enumerable
from nashpo.policies.tabular import Tabular
from nashpo.solver import SolveError, Status

if TYPE_CHECKING:
    import pandas
    import xarray

    from nashpo.game import Game


_LARGEST_TABLE = 2**27
"""How many payoffs a saved result may hold, one GiB in float64."""


_POLICIES = ("policy", "log_policy", "last", "log_last", "log_start", "reference", "log_reference")
_OWN = frozenset({"prompt", "item", "opponent", "prompt_weight", "payoff", *_POLICIES})
"""Names that a labelled result gives to arrays of its own."""


class Result:
    """The outcome of `solve`: answers questions, computes nothing twice.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1, items=["tea", "coffee"])
    >>> result = nashpo.solve(game, nashpo.solvers.EGPO(eta=1.0), steps=20, every=10)
    >>> result.trace["step"].tolist()
    [10, 20]
    """

    def __init__(self, game: Game, solver: Any, outcome: Any) -> None:
        self.game = game
        """The game that was played."""
        self.solver = solver
        """The solver that ran, its numbers included."""
        self._outcome = outcome

    @property
    def policy(self) -> Tabular:
        """The algorithm's answer: an average, an extrapolation's base or the last iterate."""
        return self._outcome.policy

    @property
    def last(self) -> Tabular:
        """The last iterate."""
        return self._outcome.last

    @property
    def start(self) -> Tabular:
        """The policy that the run began at."""
        return self._outcome.start

    @property
    def state(self) -> Any:
        """The solver's last state; None in a result that was read from a file."""
        return self._outcome.state

    @property
    def steps(self) -> int:
        """How many steps were taken."""
        return int(self.trace["step"][-1])

    @property
    def planned(self) -> int:
        """How many steps were asked for."""
        return self._outcome.planned

    @property
    def trace(self) -> Mapping[str, np.ndarray]:
        """`"step"` and every metric, arrays `[T, ...]` with one entry a measurement.

        The start is measured too and is the only entry where it met the tolerance already.
        """
        return self._outcome.trace

    @functools.cached_property
    def status(self) -> Status:
        """How the run ended."""
        if self._outcome.failed >= 0 or not np.isfinite(self._gap):
            return Status.NONFINITE
        tol = self._outcome.tol
        if tol is not None and self._gap <= tol:
            return Status.CONVERGED
        if self.steps < self.planned:
            return Status.STOPPED
        return Status.FINISHED if tol is None else Status.NOT_CONVERGED

    @property
    def _gap(self) -> float:
        """The last measured duality gap; 0 where it is not known."""
        return float(self.trace["duality_gap"][-1]) if "duality_gap" in self.trace else 0.0

    def check(self) -> Result:
        """The result itself; raises `SolveError` where the run went non-finite or missed its tolerance."""
        if self.status is Status.NONFINITE:
            raise SolveError(
                f"{describe(self.solver)}: step {self._outcome.failed} produced a number that is not finite: "
                f"{self._outcome.blame()}; the result is the state after step {self.steps}. A smaller eta or "
                "learning rate usually helps."
            )
        if self.status is Status.NOT_CONVERGED:
            raise SolveError(
                f"{describe(self.solver)}: the duality gap is {self._gap:.3g} after {self.steps} "
                f"steps, above tol = {self._outcome.tol:.3g}. {self._advice()}"
            )
        return self

    def _advice(self) -> str:
        rule, beta = getattr(self.solver, "rule", self.solver), float(self.game.beta)
        if beta > 0 and not getattr(rule, "penalised", True):
            return f"It solves the game without KL penalty and this one has beta = {beta:g}: set beta = 0."
        return "Take more steps or another step size."

    def to_xarray(self) -> xarray.Dataset:
        """The policy, the last iterate and the trace with labelled axes: prompt, item, step.

        A metric with the name of one of the other arrays, `"last"` for example, is labelled `trace_last`.
        """
        import xarray

        from nashpo.game import enumerable_game

        if not enumerable(self.policy) or not enumerable_game(self.game):
            kind = type(self.policy).__name__
            raise ValueError(
                f"the responses of a {kind} cannot be listed, or those of the game: there is no table of probabilities "
                "to label; result.to_dataframe() is the trace, result.policy.params the policy."
            )
        contexts, responses = self.game.shape
        items = list(self.game.items or range(responses))
        coords = {"prompt": np.arange(contexts), "item": items, "step": self.trace["step"]}
        policies = {"policy": self.policy, "last": self.last, "start": self.start, "reference": self.game.reference}
        logs = {name: np.asarray(policy.log_probs()) for name, policy in policies.items()}
        axes = ("prompt", "item")
        data: dict[str, Any] = {name: (axes, np.exp(logs[name])) for name in ("policy", "last", "reference")}
        data |= {f"log_{name}": (axes, logs[name]) for name in ("policy", "last", "start")}
        data["prompt_weight"] = (("prompt",), np.asarray(self.game.prompts))
        for name, values in self.trace.items():
            if name != "step":
                data[_label(name)] = (("step", *inner_axes(name, values, self.game.shape)), values)
        attributes = {
            "solver": describe(self.solver),
            "scale": self.game.scale,
            "beta": float(self.game.beta),
            "status": self.status.name,
            "steps": self.steps,
            "planned": self.planned,
            "tol": float("nan") if self._outcome.tol is None else self._outcome.tol,
            "failed": self._outcome.failed,
            "named": int(self.game.items is not None),
        }
        return xarray.Dataset(data, coords, attributes)

    def to_dataframe(self) -> pandas.DataFrame:
        """The trace as a table: one row a measurement, one column a metric, indexed by step.

        A metric that is an array becomes one column an entry, `name[i,j]`.
        """
        import pandas

        columns = {}
        for name, values in self.trace.items():
            flat = values.reshape(len(values), -1)
            places = [f"[{','.join(map(str, i))}]" if i else "" for i in np.ndindex(values.shape[1:])]
            columns |= dict(zip([name + place for place in places], flat.T, strict=True))
        return pandas.DataFrame(columns).set_index("step")

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything but the solver's state to a netCDF file, whole or not at all.

        >>> import nashpo, tempfile
        >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1)
        >>> result = nashpo.solve(game, nashpo.solvers.EGPO(eta=1.0), steps=20)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     again = nashpo.Result.load(result.save(folder + "/run.nc"))
        >>> bool((again.policy.log_probs() == result.policy.log_probs()).all())
        True
        """
        from nashpo.netcdf import netcdf_bytes

        data = self.to_xarray()
        contexts, responses = self.game.shape
        if contexts * responses**2 > _LARGEST_TABLE:
            raise ValueError(
                f"{path}: the table of {responses} responses would be written out in full; write the answer and the "
                "trace alone with result.to_xarray().to_netcdf(path)."
            )
        data["payoff"] = (("prompt", "item", "opponent"), np.asarray(self.game.oracle.table()))
        data["log_reference"] = (("prompt", "item"), np.asarray(self.game.reference.log_probs()))
        data.attrs["metrics"] = json.dumps([name for name in self.trace if name != "step"])
        return atomic_write(path, netcdf_bytes(data))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Result:
        """Read what `save` wrote, no other file; the solver is known by its description only and the state is None."""
        from nashpo.game import Game
        from nashpo.netcdf import open_netcdf
        from nashpo.oracles.table import Table

        data = open_netcdf(path)
        if "payoff" not in data or not {"solver", "scale", "named"} <= set(data.attrs):
            raise ValueError(f"{path}: not a result; nashpo.Sweep.load reads a sweep.")
        notes = data.attrs
        items = tuple(map(str, data["item"].values)) if notes["named"] else None
        game = Game(
            Table(data["payoff"].values, notes["scale"]),
            Tabular(data["log_reference"].values, normalised=True),
            float(notes["beta"]),
            data["prompt_weight"].values,
            items,
        )
        return cls(game, str(notes["solver"]), _stored(data))

    def __repr__(self) -> str:
        """One line for people."""
        gap = f", duality gap {self._gap:.3g}" if "duality_gap" in self.trace else ""
        return f"Result({describe(self.solver)}, {self.status.name}, {self.steps} steps{gap})"


def _unknown() -> str:
    """What is said of a failed step whose state was not kept."""
    return "the state was not kept"


@dataclasses.dataclass
class Outcome:
    """What a result is made of: policies, the trace on the host, the failed step (or -1), tolerance, steps to take.

    `blame` says what was not finite in the failed step.
    """

    start: Any
    policy: Tabular
    last: Tabular
    state: Any
    trace: Mapping[str, np.ndarray]
    failed: int
    tol: float | None
    planned: int
    blame: Callable[[], str] = _unknown


def _stored(data: xarray.Dataset) -> Outcome:
    names = json.loads(data.attrs["metrics"])
    tol = float(data.attrs["tol"])
    return Outcome(
        start=Tabular(data["log_start"].values, normalised=True),
        policy=Tabular(data["log_policy"].values, normalised=True),
        last=Tabular(data["log_last"].values, normalised=True),
        state=None,
        trace={"step": data["step"].values, **{name: data[_label(name)].values for name in names}},
        failed=int(data.attrs["failed"]),
        tol=None if np.isnan(tol) else tol,
        planned=int(data.attrs.get("planned", data.attrs["steps"])),
    )


def describe(solver: Any) -> str:
    """A solver with its settings, as a user would write it.

    >>> from nashpo.solvers import EGPO
    >>> describe(EGPO(eta=0.5)), describe(EGPO(eta=np.float32(0.1)))
    ('EGPO(eta=0.5)', 'EGPO(eta=0.1)')
    """
    return str(jax.tree.map(_plain, getattr(solver, "rule", solver)))


def _plain(leaf: Any) -> Any:
    """A number of NumPy or JAX as one of Python's, in the decimals that one writes."""
    if isinstance(leaf, np.number) or (isinstance(leaf, jax.Array) and leaf.shape == () and leaf.dtype.kind in "iuf"):
        return float(str(leaf)) if leaf.dtype.kind == "f" else int(leaf)
    return leaf


def _label(metric: str) -> str:
    """The name of a metric among labelled arrays: its own, or `trace_<name>` where another array may have that."""
    return f"trace_{metric}" if metric in _OWN or metric.startswith("trace_") else metric


def inner_axes(name: str, values: np.ndarray, shape: tuple[int, int]) -> tuple[str, ...]:
    """The names of a metric's axes after the first; `values` are its measurements, `shape` that of the game."""
    known = {shape: ("prompt", "item"), shape[:1]: ("prompt",)}
    inner = values.shape[1:]
    return known.get(inner, tuple(f"{name}_axis{i}" for i in range(len(inner))))

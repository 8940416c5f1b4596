"""What a sweep found: labelled arrays, and how every lane ended."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nashpo.files import atomic_write
from nashpo.solver import SolveError, Status

if TYPE_CHECKING:
    import pandas
    import xarray


class Sweep:
    """The runs of a sweep, in an `xarray.Dataset`.

    Dimensions: `solver`, `game`, `beta`, `eta`, other swept numbers, `seed`; then `step` for measurements, or
    `prompt` and `item` for policies. Variables: `duality_gap` and every metric (NaN from where a run stopped;
    `trace_NAME` where NAME means something else in here), `final_gap` of the answer, `status` (the numbers of
    `nashpo.Status`; -1 for a combination that was not run), `steps` taken, `failed` (a step by which a number was not
    finite, or -1), `policy` (probabilities of the answer); of each game `responses`, `prompts`, `own_beta`, and `items`
    where the names are not those of all games.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1, items=["tea", "coffee"])
    >>> rules = [nashpo.solvers.EGPO(eta=[0.5, 1.0]), nashpo.solvers.INPO(eta=0.3)]
    >>> found = nashpo.sweep(game, rules, steps=20, every=10)
    >>> found
    Sweep(2 solvers, 1 game, 3 runs: 3 finished)
    >>> found.data.final_gap.sel(solver="EGPO", eta=1.0).item() < 1e-2
    True
    """

    def __init__(self, data: xarray.Dataset) -> None:
        self.data = data
        """Everything, with labelled axes."""

    def to_xarray(self) -> xarray.Dataset:
        """Everything, with labelled axes."""
        return self.data

    def to_dataframe(self) -> pandas.DataFrame:
        """One row a measurement, `duality_gap` and the other numbers in columns, indexed by the axes.

        Combinations that were not run and measurements after a run stopped are left out; the columns `status` and
        `final_gap` repeat how the run ended.
        """
        axes = {*self.data["final_gap"].dims, "step"}
        numbers = [name for name, values in self.data.data_vars.items() if set(values.dims) == axes]
        frame = self.data[[*numbers, "final_gap", "status"]].to_dataframe()
        return frame.dropna(subset=["duality_gap"])

    def check(self) -> Sweep:
        """The sweep itself; raises `SolveError` where a run went non-finite or missed the tolerance."""
        status = self.data["status"]
        for bad, what in (
            (Status.NONFINITE, "produced a number that is not finite; a smaller eta usually helps"),
            (Status.NOT_CONVERGED, "ended above the tolerance; take more steps or another step size"),
        ):
            lanes = np.argwhere(status.values == bad)
            if len(lanes):
                place = {str(dim): status[dim].values[i] for dim, i in zip(status.dims, lanes[0], strict=True)}
                where = ", ".join(f"{dim}={value}" for dim, value in place.items())
                raise SolveError(f"{len(lanes)} of {self._count()} runs {what}. The first: {where}.")
        return self

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write everything to a netCDF file, whole or not at all."""
        from nashpo.netcdf import netcdf_bytes

        return atomic_write(path, netcdf_bytes(self.data))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Sweep:
        """Read what `save` wrote; raises `ValueError` for any other file."""
        from nashpo.netcdf import open_netcdf

        data = open_netcdf(path)
        if data.attrs.get("kind") != "sweep":
            raise ValueError(f"{path}: not a sweep; nashpo.Result.load reads a single run.")
        return cls(data)

    def __repr__(self) -> str:
        """One line for people."""
        status = self.data["status"].values
        ended = ", ".join(
            f"{count} {one.name.lower().replace('_', ' ')}" for one in Status if (count := int((status == one).sum()))
        )
        solvers, games = self.data.sizes["solver"], self.data.sizes["game"]
        several = f"{solvers} solver{'s' * (solvers > 1)}, {games} game{'s' * (games > 1)}"
        return f"Sweep({several}, {self._count()} runs: {ended})"

    def _count(self) -> int:
        return int((self.data["status"].values >= 0).sum())

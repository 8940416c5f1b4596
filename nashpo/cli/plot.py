"""`nashpo plot`: the picture of a saved result or a saved sweep."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nashpo.cli import OK
from nashpo.cli.options import Command, Option, at_least_zero, count, positive, text, yes_or_no
from nashpo.nearest import nearest

if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure

    from nashpo.results import Result

OF_RESULT = ("overview", "gap", "policy", "bars", "table", "tournament", "simplex")
OF_SWEEP = ("gap", "heatmap", "bars", "policy")
_TOL = 1e-6
"""The gap to reach where neither the options nor the file say one."""

COMMAND = Command(
    name="plot",
    summary="Draw a saved result or a saved sweep.",
    positional=(
        Option("file", text, "a .nc file of nashpo solve --output, Result.save or Sweep.save", "", "FILE", True),
    ),
    options=(
        Option("kind", text, "what to draw, see below (default: what suits the file)", metavar="KIND"),
        Option("output", text, ".png, .svg or .pdf (default: a .png beside FILE)", metavar="FILE"),
        Option("dark", yes_or_no, "light on black", False),
        Option("solver", text, "only this solver of a sweep", metavar="NAME"),
        Option("game", text, "only this game of a sweep", metavar="NAME"),
        Option("beta", at_least_zero, "only this KL weight of a sweep", metavar="B"),
        Option("eta", positive, "only this step size of a sweep", metavar="ETA"),
        Option("metric", text, "gap: what to draw instead of duality_gap", "duality_gap", "NAME"),
        Option("tol", positive, f"bars: the gap to reach (default: that of the runs, else {_TOL:g})", metavar="GAP"),
        Option("prompt", count(0), "which prompt of several (default: their mean)", metavar="N"),
        Option("config", text, "TOML file with any of these options; the command line wins", metavar="FILE"),
    ),
    epilog=(
        "kinds of a result: gap against the steps, policy, overview (both; the default), bars\n"
        "  (iterations until --tol), table (heat map), tournament, simplex (three items, metric probs)\n"
        "kinds of a sweep: heatmap (final gap over beta and eta; the default where both were\n"
        "  swept), gap, bars (the best setting of each solver), policy (along beta)"
    ),
)


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    from nashpo.cli.output import PICTURES, check_path, write

    kinds = tuple(dict.fromkeys((*OF_RESULT, *OF_SWEEP)))
    if options.kind is not None and options.kind not in kinds:
        raise ValueError(f"--kind {options.kind}: there is no such picture{nearest(options.kind, kinds)}")
    file = Path(options.file)
    if file.is_dir() or not file.exists():
        raise ValueError(f"{file}: {'is a folder; give a file.' if file.is_dir() else 'no such file.'}")
    output = str(file.with_suffix(".png")) if options.output is None else options.output
    check_path("--output", output, PICTURES)
    if Path(output).resolve() == file.resolve():
        raise ValueError(f"--output {output}: is the file that is drawn; give another name.")
    data = _opened(options.file)
    swept = data.attrs.get("kind") == "sweep"
    known = OF_SWEEP if swept else OF_RESULT
    if options.kind is not None and options.kind not in known:
        which = "a sweep" if swept else "a single result"
        raise ValueError(f"--kind {options.kind}: {options.file} is {which}; choose from {', '.join(known)}.")
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.style
    from matplotlib import pyplot

    with matplotlib.style.context("dark_background" if options.dark else "default"):
        figure = _sweep_figure(data, options) if swept else _result_figure(options)
        try:
            write(output, lambda path: figure.savefig(path, dpi=150, bbox_inches="tight", pad_inches=0.15))
        finally:
            pyplot.close(figure)
    print(f"written: {output}")
    return OK


def _opened(path: str) -> "xarray.Dataset":
    """The arrays of a saved result or sweep."""
    from nashpo.netcdf import open_netcdf

    data = open_netcdf(path)
    if data.attrs.get("kind") != "sweep" and not {"metrics", "solver"} <= set(data.attrs):
        raise ValueError(f"{path}: holds neither a result nor a sweep; give what Result.save or Sweep.save wrote.")
    return data


def _result_figure(options: SimpleNamespace) -> "Figure":
    from nashpo import plots
    from nashpo.results import Result

    for name in ("solver", "game", "beta", "eta"):
        if getattr(options, name) is not None:
            raise ValueError(f"--{name} picks runs of a sweep; {options.file} is a single result.")
    result, kind = Result.load(options.file), options.kind or "overview"
    if kind == "overview":
        return _overview(result, options)
    if kind == "gap":
        return _figure(plots.gap(result, metric=options.metric))
    if kind == "policy":
        return _figure(plots.policies(result, prompt=options.prompt))
    if kind == "bars":
        return _figure(plots.iterations(result, _tol(options, result.to_xarray().attrs)))
    if kind == "table":
        return _figure(plots.heatmap(result.game, order="win rate", prompt=options.prompt))
    if kind == "tournament":
        return _figure(plots.tournament(result.game, prompt=options.prompt))
    return _figure(plots.simplex(result, prompt=options.prompt or 0))


def _overview(result: "Result", options: SimpleNamespace) -> "Figure":
    """How the gap fell, and the policy that it ended with."""
    from matplotlib import pyplot

    from nashpo import plots
    from nashpo.plots.style import layout, short
    from nashpo.results import describe

    shown = min(result.game.shape[1], plots.MOST_BARS)
    figure = pyplot.figure(figsize=(11.0, max(4.0, 1.6 + 0.3 * shown)), layout=layout())
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    plots.gap(result, metric=options.metric, ax=left)
    plots.policies(result, prompt=options.prompt, ax=right)
    figure.suptitle(f"{short(describe(result.solver))}, beta = {float(result.game.beta):g}")
    return figure


def _sweep_figure(data: "xarray.Dataset", options: SimpleNamespace) -> "Figure":
    from nashpo import plots

    for dim, chosen in (("solver", options.solver), ("game", options.game)):
        data = _named(data, dim, chosen)
    for dim, chosen in (("beta", options.beta), ("eta", options.eta)):
        data = _near(data, dim, chosen)
    kind = options.kind or ("heatmap" if _gridded(data) else "gap")
    games = ("seed", "game") if data.sizes["game"] > 4 else ("seed",)
    if kind == "heatmap":
        return _heatmaps(data)
    if kind == "bars":
        return _figure(plots.iterations(data, _tol(options, data.attrs), best=True))
    if kind == "gap":
        return _figure(plots.gap(data, metric=options.metric, over=games))
    for dim in ("solver", "game"):
        names = [str(name) for name in data[dim].values]
        if len(names) > 1:
            raise ValueError(f"--kind policy: {options.file} has several {dim}s; pick one, --{dim}, {_list(names)}.")
    return _figure(plots.beta_path(data, prompt=options.prompt))


def _heatmaps(data: "xarray.Dataset") -> "Figure":
    """One heat map for each solver that has a step size."""
    import numpy as np
    from matplotlib import pyplot

    from nashpo import plots
    from nashpo.plots.stability import gap_span
    from nashpo.plots.style import layout

    finite = np.isfinite(data["eta"].values)
    names = [str(n) for n in data["solver"].values if (data["status"].sel(solver=n, eta=finite).values >= 0).any()]
    if not names:
        raise ValueError("--kind heatmap: no solver of the sweep has a step size; choose gap, bars or policy.")
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    figure = pyplot.figure(figsize=(6.0 * columns, 4.6 * rows), layout=layout())
    span = gap_span(data["final_gap"].sel(solver=names).values)
    described = json.loads(data.attrs.get("solvers", "{}"))
    for index, name in enumerate(names):
        rule = _proven(described.get(name, "")) if data.attrs.get("scale") == "probability" else None
        plots.stability(data, rule, solver=name, span=span, ax=figure.add_subplot(rows, columns, index + 1))
    return figure


def _proven(description: str) -> Any:
    """The update rule that a sweep describes, with any step size, or None if it cannot be made again."""
    from nashpo.cli.expression import build, parse
    from nashpo.solvers.named import find_solver

    plain = re.sub(r"\beta=[Aa]rray\(.*?\]?(, dtype=\w+)?\)", "eta=1.0", description, count=1, flags=re.DOTALL)
    try:
        rule = build(parse(plain, "solver"), find_solver, "solver")
    except (ValueError, TypeError):
        return None
    return rule if hasattr(rule, "proven_step") else None


def _gridded(data: "xarray.Dataset") -> bool:
    """Whether both beta and eta were swept."""
    import numpy as np

    return all(int(np.isfinite(data[dim].values).sum()) > 1 for dim in ("beta", "eta"))


def _named(data: "xarray.Dataset", dim: str, chosen: str | None) -> "xarray.Dataset":
    if chosen is None:
        return data
    names = [str(name) for name in data[dim].values]
    if chosen not in names:
        raise ValueError(f"--{dim} {chosen}: the sweep has no such {dim}{nearest(chosen, names)}")
    return data.isel({dim: [names.index(chosen)]})


def _near(data: "xarray.Dataset", dim: str, chosen: float | None) -> "xarray.Dataset":
    """The part of the sweep with this number, up to the digits that one writes; without one for `eta` stays."""
    import numpy as np

    if chosen is None:
        return data
    values = np.asarray(data[dim].values, float)
    close = np.isclose(values, chosen, rtol=5e-3, atol=0.0)
    if not close.any():
        listed = _list([f"{value:.4g}" for value in values[np.isfinite(values)]])
        raise ValueError(f"--{dim} {chosen:g}: the sweep was not run there; choose from {listed}.")
    return data.isel({dim: np.flatnonzero(close | np.isnan(values))})


def _list(names: Sequence[str], most: int = 12) -> str:
    return ", ".join([*names[:most], *(["..."] if len(names) > most else [])])


def _tol(options: SimpleNamespace, notes: dict[str, Any]) -> float:
    """The tolerance of the options, of the runs, or a usual one."""
    known = float(notes.get("tol", float("nan")))
    return options.tol or (known if known > 0 else _TOL)


def _figure(ax: Any) -> "Figure":
    return ax.figure

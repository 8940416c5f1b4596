"""`nashpo solve`: the equilibrium of a table, and its certificate."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nashpo.cli import FAILED, OK
from nashpo.cli.options import Command, Option, at_least_zero, count, positive, text, yes_or_no
from nashpo.cli.reading import READING, reading

if TYPE_CHECKING:
    from nashpo.cli.report import Certificate, Standing
    from nashpo.results import Result

STEPS, TOL = 10_000, 1e-12

COMMAND = Command(
    name="solve",
    summary="Compute the equilibrium of a table or a shipped game, and certify the answer against the exact one.",
    positional=(Option("table", text, "a table file, or a game: pokemon_types, n_cycle:n=5", "", "TABLE", True),),
    options=(
        Option("solver", text, "algorithm and settings (default egpo; nashpo solvers lists them)", "egpo", "SPEC"),
        Option("beta", at_least_zero, "KL weight of the game (default: the table's own, else 0.1)", metavar="B"),
        Option(
            "eta",
            positive,
            "step size (default: the largest proven to converge, else the best for an average)",
            metavar="E",
        ),
        Option("steps", count(0), f"most steps to take (default {STEPS})", STEPS, "N"),
        Option("tol", at_least_zero, f"duality gap to stop at, in payoff units (default {TOL:g})", TOL, "GAP"),
        Option("every", count(1), "steps between measurements of the gap (default: steps / 10,000)", metavar="N"),
        Option("reference", text, "policy file the KL is measured from, or uniform", metavar="FILE"),
        Option("start", text, "policy file to start from (default: the reference)", metavar="FILE"),
        Option("seed", count(0), "seed for oracles that are noisy (default 0)", 0, "N"),
        Option("top", count(1), "most rows to print (default 25); files always hold all", 25, "N"),
        Option("precision", count(1, 1000), "decimals to print (default 4); files always hold all", 4, "N"),
        Option("plot", text, "draw the gap and the policy: .png, .svg or .pdf", metavar="FILE"),
        Option("output", text, "write the result: .json, .csv (policy) or .nc (everything)", metavar="FILE"),
        Option("json", yes_or_no, "print JSON instead of a table", False),
        Option("no-certificate", yes_or_no, "leave out the exact equilibrium", False),
        *READING,
        Option("config", text, "TOML file with any of these options; the command line wins", metavar="FILE"),
    ),
    epilog="""a SPEC is a name, or a name with settings:
  --solver inpo
  --solver "mnpo:history=(0.5,0.5),opponents=current"
  --solver "apo:momentum=0.3,base=sppo"
  --solver my_package.module:MySolver:eta=0.1

exit codes: 0 the gap is at most --tol, 1 it is not, 2 bad input, 130 interrupted""",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; 0 if the gap reached `--tol`."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    from nashpo.cli.output import PICTURES, RESULTS, check_path

    check_path("--output", options.output, RESULTS, options.table)
    check_path("--plot", options.plot, PICTURES)
    from nashpo.cli.startup import prepare

    prepare()
    from nashpo.cli.report import certify, standing

    result = solve(options)
    now = standing(result.game, result.policy)
    certificate = None if options.no_certificate else certify(result.game, now.policy)
    _write(options, result, now, certificate)
    if options.json:
        from nashpo.cli.output import json_text

        print(json_text(document(options, result, now, certificate)), end="")
    else:
        from nashpo.cli.solve_screen import show

        show(options, result, now, certificate)
    if result.status.name == "CONVERGED":
        return OK
    from nashpo.cli import complain

    return complain(_why(result), FAILED)


def solve(options: SimpleNamespace) -> "Result":
    """The run that the options ask for, in segments if it will take long."""
    from nashpo.cli.algorithms import make_solver
    from nashpo.cli.inputs import load_game, load_policy
    from nashpo.cli.progress import drive_with_progress, long

    game = load_game(options.table, options.beta, options.reference, reading(options))
    solver = make_solver(options.solver, game, options.eta, options.steps)
    start = None if options.start is None else load_policy(options.start, game)[0]
    settings: dict[str, Any] = {
        "steps": options.steps,
        "every": options.every or max(1, options.steps // 10_000),
        "tol": options.tol,
        "start": start,
        "key": options.seed,
    }
    if long(game, options.steps):
        return drive_with_progress(game, solver, settings)
    from nashpo.run import solve as run_solver

    return run_solver(game, solver, **settings)


def document(
    options: SimpleNamespace, result: "Result", now: "Standing", certificate: "Certificate | None"
) -> dict[str, Any]:
    """Everything about the run that JSON can hold."""
    import nashpo
    from nashpo.cli.inputs import title
    from nashpo.cli.report import UNITS, rows
    from nashpo.results import describe

    game = result.game
    return {
        "nashpo": nashpo.__version__,
        "game": title(options.table),
        "payoff": UNITS[game.scale],
        "beta": float(game.beta),
        "prompt_weights": [float(w) for w in game.prompts],
        "solver": describe(result.solver),
        "status": result.status.name,
        "steps": result.steps,
        "tol": options.tol,
        "duality_gap": now.gap,
        "policy": rows(game, now, certificate),
        "certificate": None if certificate is None else certificate.to_dict(game),
        "trace": {name: values.tolist() for name, values in result.trace.items()},
    }


def _write(options: SimpleNamespace, result: "Result", now: "Standing", certificate: "Certificate | None") -> None:
    from nashpo.cli.output import csv_text, json_text, write
    from nashpo.cli.report import rows

    if options.output is not None:
        suffix = Path(options.output).suffix.lower()
        if suffix == ".json":
            write(options.output, json_text(document(options, result, now, certificate)))
        elif suffix == ".csv":
            write(options.output, csv_text(rows(result.game, now, certificate)))
        else:
            write(options.output, result.save)
    if options.plot is not None:
        from nashpo.cli.inputs import title
        from nashpo.cli.picture import draw

        write(options.plot, lambda path: draw(path, result, certificate, title(options.table)))


def _why(result: "Result") -> str:
    from nashpo.solver import SolveError

    try:
        result.check()
    except SolveError as error:
        return str(error)
    return f"the run ended with status {result.status.name}."

"""Times nashpo's tabular games side by side with other programs, in one run, and prints ratios.

    python experiments/benchmarks/tabular.py                      everything; half an hour
    python experiments/benchmarks/tabular.py --sections kl,start  some of it
    python experiments/benchmarks/tabular.py --smoke              seconds; the figures mean nothing

Peers (`pip install -e '.[bench]'`) that are not installed are left out and named. README.md explains the figures.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from timing import limit_threads, machine

SECTIONS = ("kl", "stacked", "lottery", "steps", "start", "memory")
TITLES = {
    "kl": "KL equilibrium, gap <= 1e-10, float64, uniform reference",
    "stacked": "Many KL equilibria at once, time per game, gap <= 1e-10, float64, uniform reference",
    "lottery": "beta = 0, exact to 1e-12, float64",
    "steps": "A compiled EGPO step, n = 1000",
    "start": "First answers",
    "memory": "Memory",
}

OWN = (
    "nashpo: the array function. public: nashpo.equilibrium(game), which goes on to the rounding floor and certifies. "
    "Others: multiples of nashpo's time. *: the quickest. (): the answer misses the tolerance. "
)
LEGENDS = {
    "kl": OWN + "point: the array function to the same point within 1e-8. hybr, krylov: scipy.optimize.root; "
    "c: with continuation in beta. EG: EGPO in NumPy and PyTorch. gambit: pygambit's logit solver, 2: with a longer "
    "first step; multiples of point's time. compiled: the program for many tables on one, after its first call. "
    "met: by nashpo, and after the + by the compiled program (gambit: to point's tolerance).",
    "stacked": "nashpo: nashpo.exact.kl_equilibria, one compiled program. public: nashpo.equilibrium(game, tol=1e-10), "
    "which also certifies. exact: the same to the rounding floor. numpy: a loop of kl_equilibrium. hybr: of "
    "scipy.optimize.root; c: with continuation in beta. newton: of a plain Newton method in NumPy. Targets, of public: "
    "hybr 5x, newton 3x.",
    "lottery": OWN + "simplex, interior: HiGHS through SciPy. npy: nashpy. qe: quantecon's minmax, "
    "qe LH: its Lemke-Howson. spiel: OpenSpiel.",
}


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    limit_threads(options.threads)
    rows: list[dict[str, Any]] = []
    about = machine(options.threads)
    print(f"{about['processor']}, {about['cores']} cores; {options.threads} thread(s) for everybody")
    print("Python", about["python"], *(f"{name} {version}" for name, version in about["versions"].items()))
    for section in options.sections:
        found = run(section, options)
        show(section, found)
        rows += found
        if options.json:
            write(options.json, {"machine": about, "rows": rows})


def parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--sections", type=_sections, default=SECTIONS, help=f"some of {','.join(SECTIONS)}")
    parser.add_argument("--sizes", type=_sizes, help="table sizes of kl, stacked and lottery, for example 100,1000")
    parser.add_argument("--betas", type=_betas, default=(0.01, 0.1), help="KL weights of kl and stacked")
    parser.add_argument("--games", type=int, default=256, help="how many games are solved at once in stacked")
    parser.add_argument("--repeats", type=int, default=7, help="times each candidate runs; medians are shown")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds for one candidate on one table")
    parser.add_argument("--threads", type=int, default=1, help="threads and cores, for nashpo and peers alike")
    parser.add_argument("--smoke", action="store_true", help="tiny sizes: does it run?")
    parser.add_argument("--json", type=Path, help="also write every figure to this file")
    return parser.parse_args(arguments)


def _sections(text: str) -> tuple[str, ...]:
    names = tuple(text.split(","))
    for name in names:
        if name not in SECTIONS:
            raise argparse.ArgumentTypeError(f"{name!r} is not one of {', '.join(SECTIONS)}")
    return names


def _sizes(text: str) -> tuple[int, ...]:
    return tuple(int(number) for number in text.split(","))


def _betas(text: str) -> tuple[float, ...]:
    return tuple(float(number) for number in text.split(","))


def run(section: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """One section's figures. The numerical libraries are imported here, after their threads are set."""
    import equilibria
    import running
    import stacked

    smoke = options.smoke
    repeats, budget = (1, 0.5) if smoke else (options.repeats, options.budget)
    if section == "kl":
        sizes = options.sizes or ((10,) if smoke else (10, 30, 100, 300, 1000))
        return equilibria.kl(sizes, options.betas, repeats, budget)
    if section == "stacked":
        sizes = options.sizes or ((8,) if smoke else (64, 128))
        return stacked.stacked(sizes, options.betas, 4 if smoke else options.games, repeats, budget)
    if section == "lottery":
        return equilibria.lottery(options.sizes or ((12,) if smoke else (100, 1000, 3000)), repeats, budget)
    if section == "steps":
        n, megabytes, count = (40, 4, 20) if smoke else (1000, 512, 500)
        return running.steps(n, megabytes, count, repeats, budget)
    if section == "start":
        return running.start(repeats, command_line=not smoke)
    return running.memory(200 if smoke else 100_000)


def show(section: str, rows: list[dict[str, Any]]) -> None:
    """A table of at most 100 columns."""
    from rich.console import Console
    from rich.table import Table

    columns, lines = _race(rows) if section in ("kl", "stacked", "lottery") else _figures(rows)
    table = Table(title=TITLES[section], box=None, padding=(0, 1, 0, 0), title_justify="left", header_style="bold")
    for index, column in enumerate(columns):
        table.add_column(
            column, justify="left" if index == 0 else "right", no_wrap=column in ("game", "nashpo", "what")
        )
    for line in lines:
        table.add_row(*line)
    console = Console(width=100, highlight=False)
    console.print()
    console.print(table)
    first = {row["n"]: _duration(row["compilation"]) for row in rows if row.get("compilation")}
    if first:
        console.print("First call of the compiled program:", ", ".join(f"n={n} {time}" for n, time in first.items()))
    if section in LEGENDS:
        console.print(LEGENDS[section], style="dim")


def _race(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """nashpo's time, everybody else's as a multiple of it. Brackets: the answer misses the tolerance."""
    hidden = ("nashpo", "c point")
    names = list(dict.fromkeys(name for row in rows for name in row["candidates"] if name not in hidden))
    columns = ["game", "n", *(["beta"] if rows[0]["beta"] else []), "nashpo", *names, "target", "met"]
    lines = []
    for row in rows:
        line = [row["game"], str(row["n"]), *([f"{row['beta']:g}"] if row["beta"] else []), _duration(row["seconds"])]
        for name in names:
            candidate = row["candidates"].get(name, {"note": "too large"})
            line.append(_multiple(candidate, name == row["best"]))
        lines.append([*line, *_targets(row)])
    return columns, lines


def _targets(row: dict[str, Any]) -> tuple[str, str]:
    """What was asked for and whether it is met: by nashpo, and after a plus by the compiled program."""
    if "targets" in row:
        words = [(f"{row['targets'][name]:g}x", "yes" if met else "NO") for name, met in row["targets_met"].items()]
        return " ".join(target for target, _ in words), "/".join(met for _, met in words)
    goals = [("target", "met", "compiled_met"), ("gambit_target", "gambit_met", "gambit_compiled_met")]
    goals = [goal for goal in goals if row.get(goal[0]) is not None]
    words = ["+".join("yes" if row[key] else "NO" for key in keys if key in row) for _, *keys in goals]
    return " ".join(f"{row[goal[0]]:g}x" for goal in goals), "/".join(words)


def _multiple(candidate: dict[str, Any], best: bool) -> str:
    if "ratio" not in candidate:
        return {"not installed": "absent", "too slow": "slow", "too large": "-"}.get(candidate["note"], "failed")
    ratio = candidate["ratio"]
    text = f"{ratio:.1f}x" if ratio < 100 else f"{ratio:,.0f}x"
    return f"*{text}" if best else text if candidate["good"] else f"({text})"


def _figures(rows: list[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    lines = []
    for row in rows:
        limit = row.get("limit")
        lines.append(
            [
                row["what"],
                f"{row['value']:.3g} {row['unit']}" if row["value"] < 1000 else f"{row['value']:.0f} {row['unit']}",
                "" if row["ratio"] is None else f"{row['ratio']:.2f}x",
                "" if limit is None else f"<= {limit:g}{'x' if row['ratio'] is not None else ' ' + row['unit']}",
                "" if limit is None else "yes" if row["met"] else "NO",
            ]
        )
    return ["what", "median", "ratio", "target", "met"], lines


def _duration(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{1e6 * seconds:.3g} us"
    return f"{1e3 * seconds:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"


def write(path: Path, content: dict[str, Any]) -> None:
    """The whole file or nothing."""
    with tempfile.NamedTemporaryFile("w", dir=path.resolve().parent, delete=False, encoding="utf-8") as file:
        json.dump(content, file, indent=1)
    os.replace(file.name, path)


if __name__ == "__main__":
    sys.exit(main())

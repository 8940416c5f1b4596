"""`nashpo sweep`: a study from a file, resumable, with a picture-ready result."""

import contextlib
import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nashpo.cli import FAILED, INTERRUPTED, OK, complain
from nashpo.cli.options import Command, Option, count, text, yes_or_no

if TYPE_CHECKING:
    from nashpo.cli.screen import Column, Screen
    from nashpo.studies import Finished, Study
    from nashpo.studies.settings import Settings
    from nashpo.studies.summary import Best

COMMAND = Command(
    name="sweep",
    summary="Run a study: every solver on every game, for all settings, betas and seeds that a file lists.",
    positional=(Option("study", text, "a TOML file, see below", "", "STUDY", True),),
    options=(
        Option("output", text, "folder of the results (default: the study's name without .toml)", metavar="FOLDER"),
        Option("fail-fast", yes_or_no, "stop at the first cell that fails", False),
        Option("dry-run", yes_or_no, "check the study and list its cells; run and write nothing", False),
        Option("top", count(1), "most rows to print (default 40); results.nc always holds all", 40, "N"),
    ),
    epilog="""  [study]                      steps, every, seeds, betas, starts, tol, metrics, precision
  steps = 2000
  seeds = 8
  [games.cycle]                game (one of nashpo games) and its parameters, or
  game = "n_cycle"             tables = "folder/*.csv", or generator and seeds
  n = [3, 5, 7]
  [solvers.egpo]               solver (one of nashpo solvers) and its settings
  solver = "egpo"
  eta = {geomspace = [0.01, 1, 12]}

Lists are grids. FOLDER gets results.nc (for nashpo plot and Sweep.load), study.json and
one file for every finished cell (a solver on a game): after a kill, or a change of the
study, the same command computes what is missing. Two of them at once share the work.

exit codes: 0 done, 1 a cell failed or the disk is full, 2 bad study, 130 interrupted""",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; 1 if a cell failed."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    from nashpo.cli.startup import prepare

    prepare()
    from nashpo.studies import read_study
    from nashpo.studies.study import default_folder

    study = read_study(options.study)
    folder = Path(options.output) if options.output is not None else default_folder(options.study)
    if options.dry_run:
        _show_cells(options, study, folder)
        return OK
    return _run(options, study, folder)


def _run(options: SimpleNamespace, study: "Study", folder: Path) -> int:
    from nashpo.studies import run_study

    tally = {"computed": 0, "kept": 0, "failed": 0}
    try:
        with _progress(study, tally) as report:
            found = run_study(study, folder, fail_fast=options.fail_fast, report=report)
    except KeyboardInterrupt:
        return complain(f"interrupted; {_kept(study, tally, folder)}", INTERRUPTED)
    except OSError as error:
        return complain(f"{error} {_kept(study, tally, folder)}", FAILED)
    _show(options, study, found)
    if not found.failed:
        return OK
    complain(f"{len(found.failed)} of {len(study.cells)} cells failed:", FAILED)
    for failure in found.failed:
        print(f"  {failure}", file=sys.stderr)
    return FAILED


def _kept(study: "Study", tally: dict[str, int], folder: Path) -> str:
    done = tally["computed"] + tally["kept"]
    return f"{done} of {len(study.cells)} cells are done and kept in {folder}. The same command goes on from there."


@contextlib.contextmanager
def _progress(study: "Study", tally: dict[str, int]) -> Iterator[Callable[..., Any]]:
    """What tells how far the study is: a bar on stderr if it is a terminal, with the time left."""
    if not sys.stderr.isatty():
        yield lambda cell, state: _tally(tally, state)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    columns = (
        MofNCompleteColumn(),
        TextColumn("cells"),
        BarColumn(bar_width=16),
        TextColumn(
            "{task.fields[note]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1), markup=False
        ),
        TimeRemainingColumn(),
    )
    console = Console(file=sys.stderr)
    with Progress(*columns, console=console, transient=True, speed_estimate_period=86400.0, expand=True) as bar:
        task = bar.add_task("cells", total=len(study.cells), note="")
        resumed = 0

        def report(cell: Any, state: str) -> None:
            nonlocal resumed, task
            _tally(tally, state)
            if state == "kept" and not tally["computed"]:
                # Cells that were there already say nothing about how long the others take.
                resumed += 1
                bar.remove_task(task)
                task = bar.add_task("cells", total=len(study.cells), completed=resumed, note="")
            elif state in tally:
                bar.advance(task)
            elif state == "waiting":
                bar.update(task, note="waiting for another process")
            else:
                bar.update(task, note=cell.label)

        yield report


def _tally(tally: dict[str, int], state: str) -> None:
    if state in tally:
        tally[state] += 1


def _heading(screen: "Screen", options: SimpleNamespace, study: "Study") -> None:
    settings = study.settings
    games, solvers = len(study.games), len(study.solvers)
    screen.line(
        f"{Path(options.study).name}: {games} game{'s' * (games != 1)}, {solvers} solver{'s' * (solvers != 1)}, "
        f"{study.runs:,} runs of {settings.steps:,} steps in {len(study.cells)} cells, {settings.precision}",
        "bold",
    )


def _show_cells(options: SimpleNamespace, study: "Study", folder: Path) -> None:
    """The cells, and which of them are there already."""
    from nashpo.cli.screen import Column, Screen

    screen = Screen()
    _heading(screen, options, study)
    there = [(folder / "cells" / f"{cell.key}.nc").is_file() for cell in study.cells]
    shown = study.cells[: options.top]
    screen.table(
        [
            Column("solver", [cell.solver_name for cell in shown], right=False, style="bold"),
            Column("game", [cell.game_name for cell in shown], right=False),
            Column("runs", [f"{cell.runs:,}" for cell in shown], rank=1),
            Column("items", [str(cell.game.shape[1]) for cell in shown], rank=2),
            Column("", ["done" if done else "to do" for done in there[: options.top]], right=False),
        ]
    )
    _more(screen, len(study.cells) - options.top, "cells")
    screen.line(f"{sum(there)} of {len(there)} cells are done; the others would be written to {folder}")


def _show(options: SimpleNamespace, study: "Study", found: "Finished") -> None:
    """The best setting of every solver on every game, and where everything is."""
    from nashpo.cli.screen import Screen
    from nashpo.studies.summary import best_settings

    screen = Screen()
    _heading(screen, options, study)
    if found.kept:
        screen.line(f"{found.kept} of {len(study.cells)} cells were done already", "dim")
    if found.sweep is None:
        return
    settings = study.settings
    enough = settings.tol or (1e-12 if settings.precision == "float64" else 1e-6)
    rows = best_settings(found.sweep, enough)
    screen.line()
    seeds = len(settings.seeds)
    screen.line(f"best settings by final gap{f', median over {seeds} seeds' if seeds > 1 else ''}:")
    width = screen.width if screen.terminal or os.environ.get("COLUMNS") else sys.maxsize
    screen.table(_columns(rows[: options.top], settings, enough, width))
    _more(screen, len(rows) - options.top, "rows")
    screen.line(_ends(rows))
    results = found.folder / "results.nc"
    screen.line(f"written: {results} (nashpo plot draws it)")


def _columns(rows: "Sequence[Best]", settings: "Settings", enough: float, width: int) -> "list[Column]":
    """Names, cut where `width` is too narrow for both, then numbers, of which those that matter least give way."""
    from nashpo.cli.screen import Column
    from nashpo.plots.style import cut

    columns: list[Column] = []
    if settings.betas is not None or len({row.beta for row in rows}) > 1:
        columns.append(Column("beta", [f"{row.beta:.3g}" for row in rows], rank=1))
    for name in dict.fromkeys(name for row in rows for name in row.settings if name != "beta"):
        best = [f"{row.settings[name]:.3g}" if name in row.settings else "-" for row in rows]
        columns.append(Column(f"best {name}" if name == "eta" else name, best, rank=1 if name == "eta" else 3))
    columns.append(Column("gap", [f"{row.gap:.2g}" for row in rows]))
    columns.append(Column("ok", [f"{_well(row)}/{sum(row.counts.values())}" for row in rows], rank=1))
    if any(math.isfinite(row.steps) for row in rows):
        steps = [f"{row.steps:.0f}" if math.isfinite(row.steps) else "-" for row in rows]
        columns.append(Column(f"steps to {enough:g}", steps, rank=2))
    taken = sum(2 + max(map(len, (column.title, *column.cells))) for column in columns if column.rank < 2)
    games, solvers = [row.game for row in rows], [row.solver for row in rows]
    longest, other = (max(map(len, names), default=0) for names in (games, solvers))
    room = max(20, width - taken - 2)
    most = max(room // 2, room - other), max(room // 2, room - longest)
    return [
        Column("game", [cut(name, most[0]) for name in games], right=False, style="bold"),
        Column("solver", [cut(name, most[1]) for name in solvers], right=False),
        *columns,
    ]


def _well(row: "Best") -> int:
    """How many runs took all steps, or reached the tolerance where there is one."""
    from nashpo.solver import Status

    return row.counts.get(Status.FINISHED, 0) + row.counts.get(Status.CONVERGED, 0)


def _ends(rows: "Sequence[Best]") -> str:
    """`2,900 runs finished, 172 non-finite`."""
    from nashpo.solver import Status

    words = {
        Status.FINISHED: "finished",
        Status.CONVERGED: "converged",
        Status.NOT_CONVERGED: "ended above tol",
        Status.NONFINITE: "went non-finite",
    }
    totals = {word: sum(row.counts.get(status, 0) for row in rows) for status, word in words.items()}
    said = [f"{total:,} {word}" for word, total in totals.items() if total]
    return f"runs: {', '.join(said)}"


def _more(screen: "Screen", count: int, what: str) -> None:
    if count > 0:
        screen.line(f"... {count} more {what}", "dim")

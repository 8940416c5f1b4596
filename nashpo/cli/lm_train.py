"""`nashpo lm train`: a run of a language model, resumable, and the directory that comes out of it."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nashpo.cli import FAILED, INTERRUPTED, OK, complain
from nashpo.cli.options import Command, Option, at_least_zero, count, positive, text, yes_or_no

if TYPE_CHECKING:
    from nashpo.cli.screen import Screen
    from nashpo.lm.config import Setup
    from nashpo.lm.training import Trained

COMMAND = Command(
    name="lm train",
    summary="Train a language model, as a TOML file says; the same command goes on where it stopped.",
    positional=(Option("file", text, "a TOML file, see below; or the config.json of a run", "", "CONFIG", True),),
    options=(
        Option("steps", count(1), "steps to take, instead of the file's", metavar="N"),
        Option("seed", count(0), "seed, instead of the file's", metavar="N"),
        Option("folder", text, "folder of the run (default: the file's name without .toml)", metavar="FOLDER"),
        Option("beta", at_least_zero, "KL weight of the game, instead of the file's", metavar="B"),
        Option("eta", positive, "step size of the algorithm, instead of the file's", metavar="E"),
        Option("learning-rate", positive, "learning rate, instead of the file's", metavar="RATE"),
        Option("set", text, "other keys: --set 'learner.responses = 8; run.keep = 3'", metavar="KEYS"),
        Option("dry-run", yes_or_no, "check everything and estimate the memory; load and train nothing", False),
        Option("force", yes_or_no, "run even if the memory is estimated not to suffice", False),
        Option("processes", text, "one of several processes: auto, or ADDRESS:PORT,COUNT,NUMBER", metavar="WHERE"),
    ),
    epilog="""  [model]                      path; adapter (PEFT, to start from), reference (default: what it
  path = "Qwen2.5-0.5B"        starts from), dtype, remat, chunk; without lora all weights train
  lora = {rank = 16}           {rank, alpha, targets, rslora}
  [data]                       key, longest, overlong = "error" | "drop" | "truncate",
  prompts = "prompts.jsonl"    held_out (how many of the last, or a file): prompts to measure on
  [judge]                      reward | pair | pairrm | choice | preference (path), remote (url),
  kind = "reward"              function | scores, ensemble of [[judge.members]] with weight;
  path = "reward-model"        cache (a folder), retries, unfinished_penalty
  [algorithm]                  any of nashpo solvers and its settings; beta (default 0.1)
  solver = "egpo"
  eta = 0.5
  [learner]                    regime = "online" | "iterated", loss, gains, sampler, selection,
  learning_rate = 1e-5         optimizer, clip, weight_decay, prompts, responses, updates, passes,
                               minibatch, microbatch, per_token, pool, donate
  [generation]                 new_tokens, temperature, top_k, top_p, stop, batch
  [evaluation]                 every (0: never), prompts, responses, history, confidence
  [mesh]                       fsdp, tensor: devices to spread over
  [run]                        seed, folder, save_every, keep, completions, tensorboard,
  steps = 200                  export = "auto" | "adapter" | "merged" | "full" | "none"

learning_rate, beta, eta, mix may be schedules of optax: {schedule = "cosine_decay_schedule",
init_value = 1e-5}. FOLDER gets config.json, metrics.jsonl, completions.jsonl, checkpoints
and export, the directory that transformers loads (of an average, spo or sppo, a folder of them).

On several hosts every process runs the same command with --processes, on the same files, and
[mesh] says how all their devices are used; Slurm, Open MPI, Kubernetes and TPU pods are
recognised (auto), elsewhere each is told: --processes host0:1234,8,0 for the first of eight.
The first one prints and writes.

exit codes: 0 done, 1 stopped and saved, 2 bad input, 130 interrupted and saved""",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; 1 if the run had to stop."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    from nashpo.cli.startup import prepare

    prepare(double=False)
    if options.processes is None:
        return _run(options)
    from nashpo.cli.processes import joined

    with joined(options.processes):
        return _run(options)


def _run(options: SimpleNamespace) -> int:
    """The command, in a process that knows the others."""
    from nashpo.lm.config import read_config

    setup = read_config(options.file, _changes(options))
    if options.processes is not None and not setup.tables["mesh"].given:
        raise ValueError(f"{options.file}: --processes needs [mesh]: say how the devices of all processes are used.")
    if setup.folder is None:
        raise ValueError(f"{options.file}: the run needs a folder: give --folder.")
    from nashpo.cli.screen import Screen

    screen = Screen()
    _heading(screen, setup)
    _memory(screen, setup, options.force or options.dry_run)
    return OK if options.dry_run else _train(screen, setup)


def _changes(options: SimpleNamespace) -> dict[str, dict[str, Any]]:
    """What the command line says instead of the file."""
    changes: dict[str, dict[str, Any]] = {}
    if options.set is not None:
        import tomllib

        try:
            changes = tomllib.loads(_lines(options.set))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"--set {options.set!r}: is not valid TOML ({error}).") from None
        for name, table in changes.items():
            if not isinstance(table, dict):
                raise ValueError(f"--set {name}: name a key of a table, for example learner.responses = 8.")
            inner = next((key for key, value in table.items() if isinstance(value, dict)), None)
            if inner is not None and "{" not in options.set:
                raise ValueError(
                    f"--set {name}.{inner}: single keys of it cannot be changed; write all of it, "
                    f"{name}.{inner} = {{...}}."
                )
    folder = None if options.folder is None else os.path.abspath(options.folder)
    given = {
        ("run", "steps"): options.steps,
        ("run", "seed"): options.seed,
        ("run", "folder"): folder,
        ("algorithm", "beta"): options.beta,
        ("algorithm", "eta"): options.eta,
        ("learner", "learning_rate"): options.learning_rate,
    }
    for (table, key), value in given.items():
        if value is not None:
            changes.setdefault(table, {})[key] = value
    return changes


def _lines(text: str) -> str:
    r"""Semicolons outside quotes begin lines of their own.

    >>> _lines("learner.responses = 8; judge.template = 'a; b'")
    "learner.responses = 8\n judge.template = 'a; b'"
    """
    return re.sub(r"""("(?:\\.|[^"\\])*"|'[^']*')|;""", lambda found: found[1] or "\n", text)


def _heading(screen: "Screen", setup: "Setup") -> None:
    from nashpo.results import describe

    plan, asked = setup.plan, setup.asked
    screen.line(f"{describe(setup.rule)} on {plan.path}, {setup.steps:,} step{'s' * (setup.steps > 1)}", "bold")
    held_out = len(asked.held_out)
    trained = "all weights" if plan.lora is None else f"LoRA of rank {plan.lora.rank}"
    screen.line(
        f"{plan.decoder.family}, {plan.decoder.layers} layers, {trained}, {plan.stored}; "
        f"{len(asked.prompts) - held_out:,} prompts and {held_out:,} held out; folder {setup.folder}",
        "dim",
    )


def _memory(screen: "Screen", setup: "Setup", force: bool) -> None:
    """Say what the run will need, and refuse what is not there unless forced."""
    from nashpo.lm.config.estimate import estimated

    cost = estimated(setup)
    screen.line(cost.sentence(), "dim")
    if not force:
        cost.check()


def _train(screen: "Screen", setup: "Setup") -> int:
    from nashpo.lm.config.watching import watchers

    try:
        trained = setup.run(callbacks=watchers(setup))
    except KeyboardInterrupt:
        return complain(f"interrupted; {_kept(setup)}", INTERRUPTED)
    except (RuntimeError, OSError) as error:
        kept = _kept(setup)
        return complain(f"{_reason(error, setup)}. {kept[0].upper()}{kept[1:]}", FAILED)
    _show(screen, setup, trained)
    return OK


def _reason(error: Exception, setup: "Setup") -> str:
    """Why the run stopped, without the full stop; what XLA says of memory is pages long."""
    said = (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
    if "RESOURCE_EXHAUSTED" not in said and "out of memory" not in said.lower():
        return said
    from nashpo.lm.config.estimate import estimated

    largest = estimated(setup).parts[0]
    return f"the device is out of memory; the largest part is {largest.name}, where {largest.advice} helps"


def _kept(setup: "Setup") -> str:
    """How much is saved."""
    folder = Path(setup.folder or ".", "checkpoints")
    steps = [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
    if not steps:
        return "no step is saved. The same command begins again."
    done = f"step {max(steps)} of {setup.steps} is" if max(steps) == 1 else f"{max(steps)} of {setup.steps} steps are"
    return f"{done} saved in {setup.folder}. The same command goes on from there."


def _show(screen: "Screen", setup: "Setup", trained: "Trained") -> None:
    """What came out, and where it is."""
    measured = [row for row in trained.metrics if "win_rate_reference" in row]
    screen.line()
    if measured:
        row = measured[-1]
        gap = f"{row['empirical_gap']:.3f} [{row['empirical_gap_low']:.3f}, {row['empirical_gap_high']:.3f}]"
        when = f"after {trained.steps:,} step{'s' * (trained.steps > 1)}"
        if row["step"] != trained.steps:
            when += f"; measured after step {int(row['step']):,}"
        kl = f"KL {row['kl_reference']:.3g}, " if "kl_reference" in row else ""
        rate = f"win rate {row['win_rate_reference']:.3f} against the reference"
        screen.line(f"{when}: {rate}, {kl}empirical gap {gap} (a lower bound)")
    screen.line(f"written: {setup.folder} (metrics.jsonl, completions.jsonl, checkpoints)")
    if setup.exported is not None:
        screen.line(_loaded_by(setup.exported, " (PEFT)" if setup.plan.lora is not None else ""))


def _loaded_by(folder: Path, peft: str) -> str:
    """Who loads what was exported."""
    from nashpo.lm.files.folders import MIXTURE

    if not (folder / MIXTURE).is_file():
        return f"transformers loads {folder}{peft}"
    count = len(list(folder.glob("policy*")))
    each = "policy0" if count == 1 else f"each of policy0 to policy{count - 1}"
    return (
        f"{folder} is a mixture of {count} polic{'y' if count == 1 else 'ies'}: transformers loads {each}{peft}, "
        "nashpo lm sample, judge and evaluate the whole"
    )

"""`nashpo lm judge`: who wins, answer against answer or checkpoint against checkpoint."""

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nashpo.cli import FAILED, OK, complain
from nashpo.cli.lm_asking import ASKING, JUDGE
from nashpo.cli.options import Command, Option, at_least_zero, count, text, texts

if TYPE_CHECKING:
    import numpy as np

    from nashpo.lm.prompts import Prompts

COMMAND = Command(
    name="lm judge",
    summary="Preference tables: of the answers to each prompt, or of checkpoints against each other.",
    positional=(
        Option("inputs", texts, "JSON Lines with answers, or directories of models", "", "INPUT...", True, True),
    ),
    options=(
        JUDGE,
        Option("prompts", text, "JSON Lines with the prompts that checkpoints answer", metavar="FILE"),
        Option("count", count(1), "answers of each checkpoint to a prompt (default 4)", 4, "K"),
        *ASKING,
        Option("beta", at_least_zero, "KL weight of the game between policies (default 0)", 0.0, "B"),
        Option("output", text, "tables: .jsonl for one INPUT; .csv, .npz (a table a prompt) else", metavar="FILE"),
    ),
    epilog="""One file of answers, lines {"prompt": ..., "answers": [...]}: every line gets "matrix",
P[i][j] = how likely answer i is preferred to answer j.

Several inputs, checkpoints (with --prompts) or files with the answers of one policy
each: who beats whom how often, averaged over prompts and pairs of answers, and the
equilibrium of that game: how often which checkpoint would be played by somebody whom
nobody beats. The .csv is what nashpo solve reads.""",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; 1 if the judge fails."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    from nashpo.cli.output import check_path

    alone = len(options.inputs) == 1
    if alone and Path(options.inputs[0]).is_dir():
        raise ValueError(f"{options.inputs[0]}: is one checkpoint; give another to judge it against.")
    check_path("--output", options.output, (".jsonl",) if alone else (".csv", ".npz"))
    from nashpo.cli.startup import prepare

    prepare(double=False)
    from nashpo.lm.judges import JudgeError

    try:
        return _answers(options) if alone else _policies(options)
    except JudgeError as error:
        return complain(error, FAILED)


def _answers(options: SimpleNamespace) -> int:
    """A matrix for every line."""
    from nashpo.cli.lm_asking import load_judge
    from nashpo.cli.output import write
    from nashpo.lm.judges import matrix

    judge, lines = load_judge(options), []
    prompts, answers = read_answers(options.inputs[0], options.key)
    for prompt, row in zip(prompts, answers, strict=True):
        table = matrix(judge, [prompt], [row])[0]
        lines.append(json.dumps({"prompt": prompt, "answers": row, "matrix": table.tolist()}, ensure_ascii=False))
        if options.output is None:
            print(lines[-1], flush=True)
    if options.output is not None:
        write(options.output, "".join(f"{line}\n" for line in lines))
    return OK


def _policies(options: SimpleNamespace) -> int:
    """A table of policies, and its equilibrium."""
    from nashpo.cli.lm_asking import labels, load_judge
    from nashpo.cli.output import write
    from nashpo.lm.duels import duels
    from nashpo.tables import PreferenceTable, write_table

    names, judge = labels(options.inputs), load_judge(options)
    prompts, answers = said_by_all(options)
    table = duels(judge, prompts.items, answers)
    mean = table.mean(0)
    _show(options, names, table)
    if options.output is not None:
        many = options.output.lower().endswith(".npz")
        made = PreferenceTable(table if many else mean, items=names, beta=options.beta if many else None)
        write(options.output, lambda path: write_table(made, path))
        print(f"written: {options.output} (nashpo solve reads it)")
    return OK


def said_by_all(options: SimpleNamespace) -> "tuple[Prompts, list[list[list[str]]]]":
    """The prompts, and the answers `[policy][prompt]` of every input, read or generated."""
    from nashpo.cli.lm_asking import asking, read_prompts, seeded, spoken
    from nashpo.lm.answering import load_speaker

    files = {path: read_answers(path, options.key) for path in options.inputs if not Path(path).is_dir()}
    models = [path for path in options.inputs if path not in files]
    if options.prompts is not None:
        prompts = read_prompts(options.prompts, options, models[0] if models else "")
    elif files:
        prompts = next(iter(files.values()))[0]
    else:
        raise ValueError("checkpoints answer prompts: give --prompts FILE.")
    found = []
    for number, path in enumerate(options.inputs):
        if path in files:
            found.append(_matched(path, files[path], prompts))
        else:
            speaker = load_speaker(path, prompts, asking(options))
            found.append(spoken(speaker, seeded(options.seed, number), options, Path(path).name).texts)
    return prompts, found


def read_answers(path: str, key: str) -> "tuple[Prompts, list[list[str]]]":
    """Prompts and answers of a JSON Lines file: "answers", or one "answer" or "completion", in every line.

    Raises `ValueError` naming the line, for one without prompt or answers.
    """
    from nashpo.lm.prompts import Prompts
    from nashpo.lm.rows import read_rows

    rows, prompts, found = read_rows(path), Prompts.read(path, key), []
    for where, row in rows:
        given = row if isinstance(row, dict) else {}
        one = given.get("answer", given.get("completion"))
        answers = given.get("answers", [one] if one is not None else None)
        if not isinstance(answers, list) or not answers or not all(isinstance(answer, str) for answer in answers):
            raise ValueError(f'{where} has no "answers", a list of at least one text.')
        found.append(answers)
    return prompts, found


def _matched(path: str, given: "tuple[Prompts, list[list[str]]]", prompts: "Prompts") -> list[list[str]]:
    """The answers in the order of the prompts; a prompt that is asked several times takes its lines in turn."""
    from nashpo.lm.judges.base import short, written

    lines: dict[str, list[list[str]]] = {}
    for prompt, row in zip(given[0], given[1], strict=True):
        lines.setdefault(written(prompt), []).append(row)
    missing = next((prompt for prompt in prompts if written(prompt) not in lines), None)
    if missing is not None:
        raise ValueError(f"{path}: has no answer to the prompt {short(missing)}, which others answer.")
    turns = {name: itertools.cycle(rows) for name, rows in lines.items()}
    return [next(turns[written(prompt)]) for prompt in prompts]


def _show(options: SimpleNamespace, names: list[str], table: "np.ndarray") -> None:
    """The win rates, and the equilibrium between the policies."""
    import numpy as np

    from nashpo.cli.screen import Column, Screen, fixed
    from nashpo.equilibria import equilibrium
    from nashpo.game import Game

    screen, mean = Screen(), table.mean(0)
    screen.line(
        f"{len(names)} policies on {len(table):,} prompt{'s' * (len(table) > 1)}: how often the row beats the column",
        "bold",
    )
    columns: list[Any] = [Column("policy", names, right=False, style="bold")]
    columns += [Column(name, [f"{value:.3f}" for value in mean[:, j]], rank=j) for j, name in enumerate(names)]
    screen.table(columns)
    if len(table) > 1:
        noise = np.std(table, axis=0, ddof=1).max() / len(table) ** 0.5
        screen.line(f"standard error over prompts: at most {noise:.3f}", "dim")
    game = Game.from_table(mean, beta=options.beta, items=names)
    exact = equilibrium(game)
    probs = np.asarray(exact.probs())[0]
    order = np.argsort(-probs, kind="stable")
    screen.line()
    unique = "" if exact.unique else ", one of many"
    screen.line(f"Nash mixture of the policies, beta {options.beta:g} (gap {exact.gap:.1g}{unique})", "bold")
    wins = mean @ probs
    shown = [
        Column("policy", [names[i] for i in order], right=False, style="bold"),
        Column("probability", fixed(probs[order], 3)),
        Column("win rate against it", [f"{wins[i]:.3f}" for i in order], rank=1),
    ]
    screen.table(shown, bar=probs[order])

"""`nashpo lm evaluate`: how a checkpoint does against others."""

from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nashpo.cli import FAILED, OK, complain
from nashpo.cli.lm_asking import ASKING, JUDGE
from nashpo.cli.options import Command, Option, count, positive, text

if TYPE_CHECKING:
    from nashpo.lm.answering import Said, Speaker

COMMAND = Command(
    name="lm evaluate",
    summary="Win rates of a checkpoint against others, and what its answers are like.",
    positional=(
        Option("checkpoint", text, "directory of a model, a PEFT adapter or a run's export", "", "CHECKPOINT", True),
        Option("prompts", text, "JSON Lines with prompts it was not trained on", "", "PROMPTS", True),
    ),
    options=(
        Option("against", text, "other checkpoints, REFERENCE,OTHER: KL is to the first", metavar="LIST"),
        JUDGE,
        Option("count", count(1), "answers to each prompt (default 4)", 4, "K"),
        *ASKING,
        Option("confidence", positive, "of the bootstrap intervals over prompts (default 0.9)", 0.9, "C"),
        Option("output", text, "write the numbers: .json", metavar="FILE"),
    ),
    epilog="""The empirical gap is the win rate of the strongest of the others, less 1/2: a lower
bound of half the duality gap without KL penalty. The strongest is chosen on one half of
the prompts and measured on the other. Intervals are bootstraps over prompts.""",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command; 1 if the judge fails."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    if options.against is None:
        raise ValueError("against whom? Give --against REFERENCE, or several with commas.")
    if options.confidence >= 1:
        raise ValueError(f"--confidence is {options.confidence:g}, but must be below 1.")
    from nashpo.cli.output import check_path, json_text, write
    from nashpo.cli.startup import prepare

    check_path("--output", options.output, (".json",))
    prepare(double=False)
    from nashpo.lm.judges import JudgeError

    try:
        found = measured(options)
    except JudgeError as error:
        return complain(error, FAILED)
    _show(options, found)
    if options.output is not None:
        write(options.output, json_text(found))
    return OK


def measured(options: SimpleNamespace) -> dict[str, Any]:
    """Everything that is measured, by name."""
    import jax
    import numpy as np

    from nashpo.cli.lm_asking import asking, labels, load_judge, read_prompts, seeded, spoken
    from nashpo.lm.answering import load_speaker
    from nashpo.lm.duels import duels, empirical_gap, estimate

    paths = [options.checkpoint, *(path.strip() for path in options.against.split(","))]
    names, judge = labels(paths), load_judge(options)
    prompts = read_prompts(options.prompts, options, options.checkpoint)
    speakers = [load_speaker(path, prompts, asking(options)) for path in paths]
    said = [
        spoken(speaker, seeded(options.seed, number), options, names[number]) for number, speaker in enumerate(speakers)
    ]
    table = duels(judge, prompts.items, [one.texts for one in said])
    keys = iter(jax.random.split(seeded(options.seed, 2**32 - 1), len(paths) + 2))
    rates = {name: estimate(table[:, 0, j], next(keys), options.confidence) for j, name in enumerate(names) if j}
    found: dict[str, Any] = {
        "checkpoint": str(options.checkpoint),
        "prompts": len(prompts),
        "answers": options.count,
        "win_rates": {name: rate._asdict() for name, rate in rates.items()},
        "length": float(np.mean((said[0].tokens >= 0).sum(-1))),
        "finished": float(said[0].finished.mean()),
        **_likelihoods(speakers, said[0], options, next(keys)),
    }
    if len(prompts) >= 4:
        rival, gap = empirical_gap(table, 0, next(keys), options.confidence)
        found["empirical_gap"] = {"rival": names[rival], **gap._asdict()}
    return found


def _likelihoods(speakers: "list[Speaker]", said: "Said", options: SimpleNamespace, key: Any) -> dict[str, Any]:
    """Entropy of a single policy's answers, and their KL divergence from the first of the others where it has one."""
    from nashpo.lm.answering import same_tokens
    from nashpo.lm.duels import estimate

    policy, reference = speakers[0], speakers[1]
    plain = policy.policies[0].decoding.plain
    if len(policy.policies) > 1 or not plain:
        why = "the checkpoint is a mixture" if plain else "answers drawn with a temperature or filters are not its own"
        return {"kl_left_out": why}
    own = _log_probs(policy, said, options.batch)
    found: dict[str, Any] = {"entropy": float(-own.mean())}
    if len(reference.policies) > 1:
        found["kl_left_out"] = "the reference is a mixture"
    elif not same_tokens(policy, reference):
        found["kl_left_out"] = "the two have different tokenizers"
    else:
        other = _log_probs(reference, said, options.batch)
        found["kl"] = estimate((own - other).mean(-1), key, options.confidence)._asdict()
    return found


def _log_probs(speaker: "Speaker", said: "Said", batch: int) -> Any:
    """Log-probabilities `[X, K]` of completions, batch after batch."""
    import numpy as np

    from nashpo.lm.host import on_host

    total, parts = len(said.tokens), []
    for begin in range(0, total, batch):
        rows = np.arange(begin, min(begin + batch, total))
        asked = np.resize(rows, batch) if total > batch else rows
        found = on_host(speaker.policies[0].at(asked).log_prob(np.arange(len(asked)), said.tokens[asked]))
        parts.append(np.asarray(found, np.float64)[: len(rows)])
    return np.concatenate(parts)


def _show(options: SimpleNamespace, found: dict[str, Any]) -> None:
    from nashpo.cli.screen import Column, Screen

    screen = Screen()
    level = f"{100 * options.confidence:g}%"
    many = found["prompts"] > 1  # a single prompt has no interval
    screen.line(
        f"{found['checkpoint']}: {found['prompts']:,} prompt{'s' * many}, {found['answers']} answers each", "bold"
    )
    rates = found["win_rates"]
    columns = [
        Column("against", list(rates), right=False, style="bold"),
        Column("win rate", [f"{rate['mean']:.3f}" for rate in rates.values()]),
    ]
    if many:
        intervals = [f"[{rate['low']:.3f}, {rate['high']:.3f}]" for rate in rates.values()]
        columns.append(Column(level, intervals, rank=1))
    screen.table(columns)
    if "empirical_gap" in found:
        gap = found["empirical_gap"]
        screen.line(
            f"empirical gap {gap['mean']:.3f} [{gap['low']:.3f}, {gap['high']:.3f}], by {gap['rival']}; a lower bound"
        )
    if "kl" in found:
        kl = found["kl"]
        interval = f" [{kl['low']:.3g}, {kl['high']:.3g}]" * many
        screen.line(f"KL to {next(iter(rates))}: {kl['mean']:.3g}{interval} nats an answer")
    if "kl_left_out" in found:
        screen.line(f"no KL to {next(iter(rates))}: {found['kl_left_out']}", "dim")
    entropy = f", entropy {found['entropy']:.3g} nats an answer" if "entropy" in found else ""
    screen.line(f"{found['length']:.1f} tokens an answer, {100 * found['finished']:.0f}% finished{entropy}")
    if options.output is not None:
        screen.line(f"written: {options.output}")

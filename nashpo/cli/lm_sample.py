"""`nashpo lm sample`: answers to prompts, a line of JSON for each."""

import json
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING

from nashpo.cli import OK
from nashpo.cli.lm_asking import ASKING
from nashpo.cli.options import Command, Option, count, text

if TYPE_CHECKING:
    from nashpo.lm.answering import Speaker
    from nashpo.lm.prompts import Prompts

COMMAND = Command(
    name="lm sample",
    summary="Answers of a checkpoint to every prompt, or of several checkpoints that speak together.",
    positional=(
        Option("checkpoint", text, "directory of a model, a PEFT adapter or a run's export", "", "CHECKPOINT", True),
        Option("prompts", text, "JSON Lines with prompts", "", "PROMPTS", True),
    ),
    options=(
        Option("count", count(1), "answers to each prompt (default 1)", 1, "K"),
        *ASKING,
        Option("mix", text, "other checkpoints and their weights, OTHER=0.3,THIRD=0.2", metavar="MIX"),
        Option("output", text, "file to write (default: the terminal)", metavar="FILE"),
    ),
    epilog="""Each line out is {"prompt": ..., "answers": [...], "finished": [...]}; nashpo lm judge reads
it. With --mix every token comes from softmax(sum of weight times logits), the
geometric mixture token by token that Nash-MD plays against; CHECKPOINT has the rest
of the weight. Answer k to a line is the same however large --batch and --count are.""",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    from nashpo.cli.output import check_path
    from nashpo.cli.startup import prepare

    check_path("--output", options.output, (".jsonl", ".json"))
    mix = _mix(options.mix)
    prepare(double=False)
    from nashpo.cli.lm_asking import asking, read_prompts
    from nashpo.lm.answering import blended, load_speaker

    prompts, how = read_prompts(options.prompts, options, options.checkpoint), asking(options)
    speaker = load_speaker(options.checkpoint, prompts, how)
    if mix:
        others = [load_speaker(path, prompts, how) for path in mix]
        weights = [1.0 - sum(mix.values()), *mix.values()]
        speaker = blended([speaker, *others], weights)
    _write(options, prompts, speaker)
    return OK


def _write(options: SimpleNamespace, prompts: "Prompts", speaker: "Speaker") -> None:
    """Lines to the terminal as they come, or the whole file at the end."""
    from nashpo.cli.lm_asking import seeded, watched
    from nashpo.cli.output import write
    from nashpo.lm.sequences import finished

    lines = []
    for rows, part in watched(speaker, seeded(options.seed, 0), options, "answers"):
        ended = finished(part, speaker.policies[0].decoding.end)
        for row, completions, whole in zip(rows.tolist(), part, ended.tolist(), strict=True):
            line = {"prompt": prompts[row], "answers": speaker.texts(completions), "finished": whole}
            lines.append(json.dumps(line, ensure_ascii=False))
            if options.output is None:
                print(lines[-1], flush=True)
    if options.output is not None:
        write(options.output, "".join(f"{line}\n" for line in lines))


def _mix(given: str | None) -> dict[str, float]:
    """Checkpoints and weights from `OTHER=0.3,THIRD=0.2`."""
    found: dict[str, float] = {}
    for part in [] if given is None else given.split(","):
        path, equals, weight = part.rpartition("=")
        try:
            value = float(weight)
        except ValueError:
            value = -1.0
        if not equals or not path or not 0 < value < 1:
            raise ValueError(f"--mix {part!r}: write CHECKPOINT=WEIGHT with a weight between 0 and 1.")
        found[path.strip()] = value
    if sum(found.values()) >= 1:
        raise ValueError(f"--mix {given}: the weights sum to {sum(found.values()):g}; leave some to CHECKPOINT.")
    return found

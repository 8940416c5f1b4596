"""`nashpo lm`: language models trained, sampled, judged and compared."""

import importlib
from collections.abc import Sequence

from nashpo.cli import BAD_INPUT, OK
from nashpo.nearest import nearest

COMMANDS = {
    "train": "train a checkpoint by any of the algorithms, as a TOML file says",
    "sample": "answers of a checkpoint, or of a mixture of them, to prompts",
    "judge": "who wins: answers to a prompt, or checkpoints and their Nash mixture",
    "evaluate": "win rates of a checkpoint against others, with intervals",
    "export": "write the policy of a run as a directory that transformers loads",
}

HELP = """usage: nashpo lm COMMAND [options]

Language models as players of a preference game. A checkpoint is a Hugging Face
directory (Llama, Mistral, Qwen2, Qwen3, Gemma) on this machine.

commands:
{commands}

  nashpo lm train run.toml
  nashpo lm COMMAND --help     the options of a command, and the keys of run.toml

exit codes: 0 done, 1 stopped (a judge that fails, numbers that are not finite, a full
disk), with everything up to there saved, 2 bad input, 130 interrupted"""


def run(arguments: Sequence[str]) -> int:
    """Run one of the commands of `nashpo lm`."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        from nashpo.cli.options import fitted

        print(fitted(HELP.format(commands="\n".join(f"  {name:<9} {text}" for name, text in COMMANDS.items()))))
        return OK if arguments else BAD_INPUT
    if arguments[0] not in COMMANDS:
        raise ValueError(f"there is no command lm {arguments[0]!r}{nearest(arguments[0], COMMANDS)}")
    command = importlib.import_module(f"nashpo.cli.lm_{arguments[0]}")
    return command.run(arguments[1:])

"""`nashpo lm export`: the policy of a run, finished or not, as a directory that transformers loads."""

from collections.abc import Sequence
from pathlib import Path

from nashpo.cli import FAILED, OK, complain
from nashpo.cli.options import Command, Option, one_of, text

COMMAND = Command(
    name="lm export",
    summary="Write the policy of a run's newest checkpoint as a directory that transformers, or PEFT, loads.",
    positional=(
        Option("run", text, "folder of a run (nashpo lm train)", "", "RUN", True),
        Option("folder", text, "directory to write", "", "FOLDER", True),
    ),
    options=(
        Option(
            "how",
            one_of("auto", "adapter", "merged", "full"),
            "adapter (PEFT), merged or full weights (default: adapter where one is trained, else full)",
            "auto",
        ),
    ),
    epilog="""The run may be under way elsewhere only if it is stopped first: its folder is locked.
A run whose answer is an average (spo, sppo) becomes a folder of policies and their
weights, which nashpo lm sample, judge and evaluate read.""",
)


def run(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = COMMAND.read(arguments)
    if options is None:
        return OK
    config = Path(options.run, "config.json")
    if not config.is_file():
        raise ValueError(f"{options.run}: is no folder of a run; it has no config.json.")
    from nashpo.cli.startup import prepare

    prepare(double=False)
    from nashpo.lm.config import read_config
    from nashpo.lm.config.setup import Silent
    from nashpo.lm.exporting import export

    setup = read_config(config, {"judge": Silent()})
    trained = setup.restored()
    try:
        path = export(trained.policy, options.folder, setup.plan.path, options.how)
    except OSError as error:
        return complain(error, FAILED)
    from nashpo.cli.screen import Screen

    Screen().line(f"written: {path}, the policy after {trained.steps:,} of {setup.steps:,} steps")
    return OK

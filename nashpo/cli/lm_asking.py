"""Options and inputs that the commands of `nashpo lm` share: how checkpoints are asked, and who judges."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from nashpo.cli.options import Option, at_least_zero, count, one_of, positive, text

if TYPE_CHECKING:
    from nashpo.lm.answering import Asking, Said, Speaker
    from nashpo.lm.prompts import Prompts

ASKING = (
    Option("new-tokens", count(1), "most tokens of an answer (default 128)", 128, "N"),
    Option("temperature", at_least_zero, "of the sampling law; 0 is greedy (default 1)", 1.0, "T"),
    Option("top-k", count(1), "sample from the K likeliest tokens only", metavar="K"),
    Option("top-p", positive, "sample from the likeliest tokens with this mass only", metavar="P"),
    Option("longest", count(1), "most tokens of a prompt", metavar="N"),
    Option("overlong", one_of("error", "drop", "truncate"), "longer prompts: error (default), drop, truncate", "error"),
    Option("key", text, "name of the prompt in a line (default prompt)", "prompt", "NAME"),
    Option("dtype", one_of("float32", "bfloat16", "float16"), "of the weights (default: as in the files)"),
    Option("batch", count(1), "prompts answered at once (default 16)", 16, "N"),
    Option("seed", count(0), "seed of the answers (default 0)", 0, "N"),
)
"""How answers are drawn."""

JUDGE = Option("judge", text, "TOML file with a table [judge], as lm train reads it", metavar="FILE")


def asking(options: SimpleNamespace) -> "Asking":
    """How checkpoints are asked."""
    from nashpo.lm.answering import Asking

    names = ("new_tokens", "temperature", "top_k", "top_p", "longest", "overlong", "dtype")
    return Asking(**{name: getattr(options, name) for name in names})


def read_prompts(path: str, options: SimpleNamespace, checkpoint: str) -> "Prompts":
    """The prompts of a file; with `--overlong drop` those that are not too long for a checkpoint's tokenizer."""
    from nashpo.lm.answering import text_of
    from nashpo.lm.prompts import Prompts

    prompts = Prompts.read(path, options.key)
    if options.overlong != "error" and options.longest is None:
        raise ValueError(f"--overlong {options.overlong} needs --longest: how many tokens are too many.")
    if options.overlong == "drop" and checkpoint and Path(checkpoint).is_dir():
        return prompts.within(text_of(checkpoint), options.longest)
    return prompts


def load_judge(options: SimpleNamespace) -> Any:
    """The judge that `--judge` describes, loaded.

    Raises `ValueError` where none is named.
    """
    if options.judge is None:
        raise ValueError("who judges? Give --judge FILE, a TOML file with a table [judge] (nashpo lm train --help).")
    from nashpo.lm.config.judge import read_judge
    from nashpo.lm.config.reading import config_document

    return read_judge(config_document(options.judge)).build(None)


def seeded(seed: int, number: int) -> Any:
    """The key of the policy with this number among those asked."""
    import jax

    return jax.random.fold_in(jax.random.key(seed), number)


def spoken(speaker: "Speaker", key: Any, options: SimpleNamespace, name: str) -> "Said":
    """All answers of a speaker, with a bar on stderr if it is a terminal."""
    from nashpo.lm.answering import Said

    return Said.of(speaker, (part for _, part in watched(speaker, key, options, name)))


def watched(speaker: "Speaker", key: Any, options: SimpleNamespace, name: str) -> Iterator[tuple[Any, Any]]:
    """Batches of answers as they come, with a bar on stderr if it is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (MofNCompleteColumn(), TextColumn("prompts"), BarColumn(bar_width=None), TimeRemainingColumn())
    label = TextColumn("{task.description}", markup=False)
    total = len(speaker.policies[0].contexts)
    shown = sys.stderr.isatty()
    with Progress(label, *columns, console=Console(file=sys.stderr), transient=True, disable=not shown) as bar:
        task = bar.add_task(name, total=total)
        for rows, part in speaker.answers(key, options.count, options.batch):
            yield rows, part
            bar.advance(task, len(rows))


def labels(paths: list[str]) -> list[str]:
    """Names of checkpoints and files that tell them apart: the last parts of their paths, as many as that takes.

    What a run has exported is called like the run.

    >>> labels(["runs/a/export", "runs/b/export"]), labels(["x/one", "y/one"])
    (['a', 'b'], ['x/one', 'y/one'])
    """
    found = [Path(path).resolve() for path in paths]
    parts = [(path.parent if path.name == "export" else path).parts for path in found]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ["/".join(part[-depth:]) for part in parts]
        if len(set(names)) == len(names):
            return names
    twice = next(path for path, place in zip(paths, found, strict=True) if found.count(place) > 1)
    raise ValueError(f"{twice}: is named twice; give different policies.")

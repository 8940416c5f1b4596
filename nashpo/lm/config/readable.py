"""Whether judges can read the prompts of a run with their answers, before any of them is loaded."""

import warnings

from nashpo.lm.config.judge import PlannedModel
from nashpo.lm.prompts import Prompts
from nashpo.lm.text import Prompt

_LONGEST = 32
"""How many prompts are tried, those with the most letters."""


def check_readable(model: PlannedModel, prompts: Prompts, new_tokens: int) -> None:
    """Refuse a judge that cannot read one of the longest prompts, as it lays them out, even with an empty answer.

    So is one whose checkpoint is of another kind: the judge is made as it will be, but without its parameters.
    Answers of `new_tokens` tokens that may not fit are a warning: the judge's tokenizer may need more or fewer.

    Raises `ValueError` naming the prompt's file and line, and for a judge whose files are damaged or do not fit.
    """
    reader = model.look().reader
    longest = reader.longest
    if longest is None:
        return
    judge, answers = ".".join(model.place), model.maker.answers
    raised = f", or raise {judge}.longest" if longest < (reader.model.longest or longest + 1) else ""
    row, length = longest_prompt(model, prompts)
    if length > longest:
        raise ValueError(
            f"{prompts.where[row]}: the prompt has {length} tokens as {judge} reads it, without any answer, but "
            f"it reads {longest}; leave the prompt out{raised}."
        )
    if length + answers * new_tokens > longest:
        warnings.warn(
            f"{judge} reads {longest} tokens; the prompt in {prompts.where[row]} has {length}, and "
            f"{'two answers' if answers == 2 else 'an answer'} about {answers * new_tokens} at most: one that does not "
            f"fit stops the run. Take fewer new tokens, leave long prompts out{raised}.",
            stacklevel=3,
        )


def longest_prompt(model: PlannedModel, prompts: Prompts) -> tuple[int, int]:
    """The prompt with the most tokens as a judge lays it out, with empty answers, and how many there are.

    Only prompts with the most letters are tried.

    Raises `ValueError` naming the file and line of a prompt that the judge cannot lay out.
    """
    rows = sorted(range(len(prompts)), key=lambda row: len(str(prompts[row])))[-_LONGEST:]
    lengths = {row: _length(model, prompts[row], prompts.where[row]) for row in rows}
    row = max(rows, key=lambda row: lengths[row])
    return row, lengths[row]


def _length(model: PlannedModel, prompt: Prompt, where: str) -> int:
    """Tokens of a prompt as the judge lays it out, with empty answers."""
    try:
        return model.maker.least(model.text, prompt, model.settings)
    except ValueError as error:
        raise ValueError(f"{where}: {'.'.join(model.place)} cannot read the prompt: {error}") from None

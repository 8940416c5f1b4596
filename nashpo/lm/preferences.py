"""Pairs of answers of which one was preferred, from files, lists and data sets."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from nashpo.lm.prompts import Prompts
from nashpo.lm.rows import as_prompt, conversation, field, listed_rows, read_rows
from nashpo.lm.text import Prompt, Text


@dataclass(frozen=True, eq=False)
class Preferences:
    """Prompts, the answer to each that was chosen and the one that was rejected.

    Rows have `chosen`, `rejected` and, unless both hold the whole conversation, `prompt`:

        {"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}
        {"prompt": [messages], "chosen": [{"role": "assistant", ...}], "rejected": [...]}
        {"chosen": [messages, the last one the answer], "rejected": [the same messages, another answer]}

    >>> pairs = Preferences.of([{"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}])
    >>> pairs.prompts.items, pairs.chosen, pairs.rejected
    (['The sky is'], [' blue.'], [' green.'])
    """

    prompts: Prompts
    chosen: list[str]
    rejected: list[str]

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> "Preferences":
        """The pairs of a JSON Lines file.

        Raises `ValueError` naming the file and the line.

        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "pairs.jsonl")
        ...     _ = file.write_text('{"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}')
        ...     Preferences.read(file).chosen
        [' blue.']
        """
        return cls._checked(read_rows(path))

    @classmethod
    def of(cls, rows: Any, name: str = "preferences") -> "Preferences":
        """The pairs of a list of mappings, or of a `datasets` object.

        Raises `ValueError` naming the row: one without answers, with an answer that is empty or more than one
        message, or whose answers are to different prompts.

        >>> user = {"role": "user", "content": "What colour is the sky?"}
        >>> blue, green = ({"role": "assistant", "content": c} for c in ("Blue.", "Green."))
        >>> pairs = Preferences.of([{"chosen": [user, blue], "rejected": [user, green]}])
        >>> pairs.prompts.items, pairs.chosen
        ([[{'role': 'user', 'content': 'What colour is the sky?'}]], ['Blue.'])
        """
        return cls._checked(listed_rows(rows, name))

    @classmethod
    def _checked(cls, rows: list[tuple[str, Any]]) -> "Preferences":
        found = [_pair(row, where) for where, row in rows]
        prompts, chosen, rejected = (list(column) for column in zip(*found, strict=True))
        return cls(Prompts(prompts, tuple(where for where, _ in rows)), chosen, rejected)

    def __len__(self) -> int:
        return len(self.chosen)

    def responses(self, text: Text, longest: int | None = None, truncate: bool = False) -> np.ndarray:
        """Tokens `[X, 2, T]` int32 of the chosen and the rejected answers, end token included, -1 after it.

        Over-long answers are an error unless they are to be truncated, which leaves them without an end.

        Raises `ValueError` naming the file, the line and the number of tokens.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> text = tiny_tokenizer(["red", "green"])
        >>> pairs = Preferences.of([{"prompt": "red", "chosen": "red red", "rejected": "green"}])
        >>> pairs.responses(text).tolist()
        [[[7, 7, 3], [8, 3, -1]]]
        """
        rows = []
        columns = (self.prompts.where, self.prompts.items, self.chosen, self.rejected)
        for where, prompt, *pair in zip(*columns, strict=True):
            for name, answer in zip(("chosen", "rejected"), pair, strict=True):
                try:
                    tokens = text.answer(answer, chat=not isinstance(prompt, str))
                except ValueError as error:
                    raise ValueError(f"{where}: the {name} answer: {error}") from error
                if longest is not None and len(tokens) > longest and not truncate:
                    raise ValueError(
                        f"{where}: the {name} answer has {len(tokens)} tokens, more than longest={longest}; "
                        "raise longest, drop or truncate it."
                    )
                rows.append(tokens[:longest])
        responses = np.full((len(rows), max(1, *(len(row) for row in rows))), -1, np.int32)
        for response, row in zip(responses, rows, strict=True):
            response[: len(row)] = row
        return responses.reshape(len(self), 2, -1)


def _pair(row: Any, where: str) -> tuple[Prompt, str, str]:
    """Prompt, chosen and rejected answer of one row."""
    if not isinstance(row, Mapping):
        raise ValueError(f"{where} is a {type(row).__name__}: a pair has a prompt, a chosen and a rejected answer.")
    given = None if row.get("prompt") is None else as_prompt(row["prompt"], where)
    sides = [_side(field(row, name, where), name, given, where) for name in ("chosen", "rejected")]
    if sides[0][0] != sides[1][0]:
        raise ValueError(f"{where}: the chosen and the rejected answer are to different prompts.")
    return sides[0][0], sides[0][1], sides[1][1]


def _side(value: Any, name: str, given: Prompt | None, where: str) -> tuple[Prompt, str]:
    """The prompt of one side, its own where it holds the whole conversation, and its answer."""
    if isinstance(value, str):
        if given is None:
            raise ValueError(f"{where} has no 'prompt', which answers that are plain texts need.")
        prompt, answer = given, value
    else:
        own, answer = _split(value, name, where)
        prompt = given if own is None else own
        if prompt is None:
            raise ValueError(f"{where} has no 'prompt', and {name} holds the answer alone.")
        if own is not None and given not in (None, own) and not _same(given, own):
            raise ValueError(f"{where}: the conversation of {name} does not begin with the prompt.")
        if isinstance(prompt, str):
            raise ValueError(f"{where}: the prompt is a plain text, but {name} is a list of messages.")
    if not answer.strip():
        raise ValueError(f"{where}: the {name} answer is empty.")
    return prompt, answer


def _split(value: Any, name: str, where: str) -> tuple[list[dict[str, Any]] | None, str]:
    """The messages before the last one, None where there are none, and the text of the last, which is the answer."""
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], Mapping):
        message = value[0]
        if message.get("role") != "assistant" or not isinstance(message.get("content"), str):
            raise ValueError(f"{where}: {name} is one message, which must be the assistant's and have a text.")
        return None, message["content"]
    messages = conversation(value, f"{where}: {name}")
    if messages[-1]["role"] != "assistant":
        raise ValueError(f"{where}: {name} must end with the assistant's message.")
    prompt = as_prompt(messages[:-1], where)
    return [dict(message) for message in prompt if not isinstance(message, str)], messages[-1]["content"]


def _same(given: Prompt | None, own: list[dict[str, Any]]) -> bool:
    """Whether a plain prompt is what the user says first in a conversation."""
    return isinstance(given, str) and given == next(m["content"] for m in own if m["role"] == "user")

"""Prompts, from files, lists and data sets."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nashpo.lm.rows import as_prompt, field, listed_rows, read_rows
from nashpo.lm.text import Prompt, Text


@dataclass(frozen=True, eq=False)
class Prompts:
    """Prompts and where each was read; `Prompts.read` and `Prompts.of` make them.

    >>> prompts = Prompts.of(["What is red?", [{"role": "user", "content": "What is green?"}]])
    >>> len(prompts), prompts[0]
    (2, 'What is red?')
    """

    items: list[Prompt]
    where: tuple[str, ...]
    """For error messages: `prompts.jsonl: line 3`, `prompts[2]`."""

    @classmethod
    def read(cls, path: str | os.PathLike[str], key: str = "prompt") -> "Prompts":
        r"""The prompts of a JSON Lines file: `{"prompt": "text"}`, `{"prompt": [messages]}`, `{"messages": [...]}`.

        `key` is another name for "prompt". A line may also be a text or a list of messages by itself.

        Raises `ValueError` naming the file and the line, for a line that is no valid JSON, has no prompt, or one that
        is empty or has its roles in the wrong order.

        >>> import tempfile
        >>> from pathlib import Path
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "prompts.jsonl")
        ...     _ = file.write_text('{"prompt": "one"}\n{"messages": [{"role": "user", "content": "two"}]}\n')
        ...     Prompts.read(file).items
        ['one', [{'role': 'user', 'content': 'two'}]]
        """
        return cls._checked(read_rows(path), key)

    @classmethod
    def of(cls, rows: Any, key: str = "prompt", name: str = "prompts") -> "Prompts":
        """The prompts of a list of texts, conversations or mappings, or of a `datasets` object.

        `name` says in error messages what the rows are.

        Raises `ValueError` as `read` does, naming the row.

        >>> Prompts.of([{"question": "one"}], key="question").items
        ['one']
        >>> Prompts.of([{"prompt": "one"}, {"prompt": " "}])
        Traceback (most recent call last):
            ...
        ValueError: prompts[1]: the prompt is empty.
        """
        return cls._checked(listed_rows(rows, name), key)

    @classmethod
    def _checked(cls, rows: list[tuple[str, Any]], key: str) -> "Prompts":
        return cls([_prompt(row, key, where) for where, row in rows], tuple(where for where, _ in rows))

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, row: int) -> Prompt:
        return self.items[row]

    def __iter__(self) -> Iterator[Prompt]:
        return iter(self.items)

    def take(self, rows: Sequence[int] | np.ndarray) -> "Prompts":
        """The prompts of some rows.

        >>> Prompts.of(["one", "two", "three"]).take([2, 0]).items
        ['three', 'one']
        """
        chosen = [int(row) for row in rows]
        return Prompts([self.items[row] for row in chosen], tuple(self.where[row] for row in chosen))

    def lengths(self, text: Text) -> np.ndarray:
        """Tokens of each prompt `[X]`, what a chat template adds included.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> Prompts.of(["red", "red red red"]).lengths(tiny_tokenizer(["red"])).tolist()
        [2, 4]
        """
        return np.array([len(tokens) for tokens in self.tokens(text)])

    def within(self, text: Text, longest: int) -> "Prompts":
        """The prompts of at most `longest` tokens; the others are left out.

        Raises `ValueError` if none is left.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> text = tiny_tokenizer(["red"])
        >>> Prompts.of(["red", "red red red"]).within(text, longest=3).items
        ['red']
        """
        kept = np.flatnonzero(self.lengths(text) <= longest)
        if not len(kept):
            raise ValueError(f"{self.where[0]}: no prompt has at most {longest} tokens; raise longest.")
        return self.take(kept)

    def contexts(self, text: Text, longest: int | None = None, truncate: bool = False) -> np.ndarray:
        """Their tokens `[X, P]` int32, padded on the left with -1; P is the length of the longest one.

        Over-long prompts are an error; leave them out with `within`, or set `truncate` to keep the last `longest`
        tokens of each, which cuts through chat templates.

        Raises `ValueError` naming the file, the line and the number of tokens.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> text = tiny_tokenizer(["red"])
        >>> Prompts.of(["red", "red red"]).contexts(text).tolist()
        [[-1, 2, 7], [2, 7, 7]]
        >>> Prompts.of(["red", "red red"]).contexts(text, longest=2)
        Traceback (most recent call last):
            ...
        ValueError: prompts[1]: the prompt has 3 tokens, more than longest=2; raise longest, drop or truncate it.
        """
        rows = self.tokens(text)
        if longest is not None:
            if longest < 1:
                raise ValueError(f"longest={longest}: prompts have at least one token.")
            for where, row in zip(self.where, rows, strict=True):
                if len(row) > longest and not truncate:
                    raise ValueError(
                        f"{where}: the prompt has {len(row)} tokens, more than longest={longest}; "
                        "raise longest, drop or truncate it."
                    )
            rows = [row[-longest:] for row in rows]
        contexts = np.full((len(rows), max(len(row) for row in rows)), -1, np.int32)
        for context, row in zip(contexts, rows, strict=True):
            context[len(context) - len(row) :] = row
        return contexts

    def check_room(
        self, contexts: np.ndarray, most: int | None, new_tokens: int, refuse: Callable[[str], Any] | None = None
    ) -> None:
        """Refuse `contexts` of these prompts that leave no room for the answers of a model made for `most` tokens.

        Raises `ValueError` naming the file, the line and the number of tokens, or `new_tokens` if no prompt fits;
        where `refuse` is given, it is told the latter, to name what it calls `new_tokens`.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> prompts = Prompts.of(["red", "red red"])
        >>> prompts.check_room(prompts.contexts(tiny_tokenizer(["red"])), most=4, new_tokens=2)
        Traceback (most recent call last):
            ...
        ValueError: prompts[1]: the prompt has 3 tokens and the answer up to 2, more than the 4 that the model was \
made for; drop or truncate prompts of more than 2 tokens, or take fewer new tokens.
        """
        lengths = (contexts >= 0).sum(1)
        if most is None or lengths.max() + new_tokens <= most:
            return
        room = most - new_tokens
        if lengths.min() > room:
            said = f"is {new_tokens}, but the model was made for {most} tokens, and the shortest prompt has "
            said += f"{lengths.min()}; take fewer."
            if refuse is not None:
                refuse(said)
            raise ValueError(f"new_tokens {said}")
        row = int(np.argmax(lengths > room))
        raise ValueError(
            f"{self.where[row]}: the prompt has {lengths[row]} tokens and the answer up to {new_tokens}, more than the "
            f"{most} that the model was made for; drop or truncate prompts of more than {room} tokens, or take fewer "
            "new tokens."
        )

    def tokens(self, text: Text) -> list[list[int]]:
        """The tokens of each prompt.

        Raises `ValueError` naming the prompt that cannot be encoded.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> Prompts.of(["red", "red red"]).tokens(tiny_tokenizer(["red"]))
        [[2, 7], [2, 7, 7]]
        """
        rows = []
        for where, prompt in zip(self.where, self.items, strict=True):
            try:
                rows.append(text.encode(prompt))
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
            if not rows[-1]:
                raise ValueError(f"{where}: the prompt has no tokens.")
        return rows


def _prompt(row: Any, key: str, where: str) -> Prompt:
    """The prompt of one row, which may be the prompt itself."""
    if isinstance(row, list) and row and not (isinstance(row[0], Mapping) and "role" in row[0]):
        raise ValueError(f"{where} is a list, but not of messages with a role: write one prompt a row.")
    if not isinstance(row, Mapping):
        return as_prompt(row, where)
    if row.get(key) is None and row.get("messages") is not None:
        return as_prompt(row["messages"], where)
    return as_prompt(field(row, key, where), where)

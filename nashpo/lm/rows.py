"""Rows of data sets and the conversations in them, checked one by one: an error says which row."""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nashpo.files import why
from nashpo.lm.text import Prompt

_ROLES = ("system", "developer", "user", "assistant", "tool")


def read_rows(path: str | os.PathLike[str]) -> list[tuple[str, Any]]:
    r"""The rows of a JSON Lines file, each with where it stands: `prompts.jsonl: line 3`. Empty lines are skipped.

    Raises `ValueError` for a file that is missing or empty, and for a line that is not valid JSON.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder, "prompts.jsonl")
    ...     _ = file.write_text('{"prompt": "one"}\n\n{"prompt": "two"}\n')
    ...     [(where.split(": ")[-1], row) for where, row in read_rows(file)]
    [('line 1', {'prompt': 'one'}), ('line 3', {'prompt': 'two'})]
    """
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({why(error)}).") from None
    rows = []
    for number, line in enumerate(content.removeprefix(b"\xef\xbb\xbf").split(b"\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}: line {number}"
        try:
            rows.append((where, json.loads(line.decode("utf-8"))))
        except UnicodeDecodeError:
            raise ValueError(f"{where} is not UTF-8 text.") from None
        except (ValueError, RecursionError) as error:
            reason = getattr(error, "msg", type(error).__name__)
            raise ValueError(f"{where} is not valid JSON ({reason}): write one object a line.") from None
    if not rows:
        raise ValueError(f"{path}: has no rows.")
    return rows


def listed_rows(rows: Any, name: str) -> list[tuple[str, Any]]:
    """The rows of a list, of a `datasets` object or of anything iterable, each with where it stands: `prompts[3]`.

    Raises `ValueError` where there are none, or `rows` is one text or one mapping.

    >>> listed_rows(["one", "two"], "prompts")
    [('prompts[0]', 'one'), ('prompts[1]', 'two')]
    """
    if isinstance(rows, str | bytes | Mapping):
        raise ValueError(f"{name} is a single {type(rows).__name__}: give a list of rows.")
    if hasattr(rows, "__getitem__") and hasattr(rows, "__len__"):
        try:
            found = [rows[i] for i in range(len(rows))]
        except (KeyError, TypeError):
            raise ValueError(
                f"{name} is a {type(rows).__name__} without rows by number: give a list of texts or mappings."
            ) from None
    elif isinstance(rows, Iterable):
        found = list(rows)
    else:
        raise ValueError(f"{name} is a {type(rows).__name__}: give a list of rows.")
    if not found:
        raise ValueError(f"{name}: has no rows.")
    return [(f"{name}[{i}]", row) for i, row in enumerate(found)]


def field(row: Mapping[str, Any], key: str, where: str) -> Any:
    """`row[key]`.

    Raises `ValueError` naming the keys there are, for a row without it.

    >>> field({"text": "one"}, "prompt", "prompts[0]")
    Traceback (most recent call last):
        ...
    ValueError: prompts[0] has no 'prompt', only 'text'.
    """
    if row.get(key) is None:
        has = ", ".join(repr(name) for name in row if row[name] is not None)
        raise ValueError(f"{where} has no {key!r}{', only ' + has if has else ''}.")
    return row[key]


def as_prompt(value: Any, where: str) -> Prompt:
    """A prompt: a text, or a conversation that waits for an answer.

    Raises `ValueError` for what is neither, an empty text, and roles in an order that asks for no answer.

    >>> as_prompt([{"role": "assistant", "content": "hello"}], "prompts[0]")
    Traceback (most recent call last):
        ...
    ValueError: prompts[0]: message 0 is the assistant's: a conversation begins with the user.
    """
    if isinstance(value, str):
        if not value.strip():
            raise ValueError(f"{where}: the prompt is empty.")
        return value
    messages = conversation(value, where)
    if messages[-1]["role"] not in ("user", "tool"):
        raise ValueError(f"{where}: the last message is the {messages[-1]['role']}'s: a prompt ends with the user's.")
    return messages


def conversation(value: Any, where: str) -> list[dict[str, Any]]:
    """The messages of a conversation in the order system, user, assistant, user, assistant, ...; tools answer.

    Raises `ValueError` for what is no conversation.

    >>> conversation([{"role": "user", "content": "hello", "name": None}], "prompts[0]")
    [{'role': 'user', 'content': 'hello'}]
    """
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise ValueError(f"{where}: the prompt is a {type(value).__name__}, but must be a text or a list of messages.")
    if not value:
        raise ValueError(f"{where}: the prompt has no messages.")
    messages = [_message(message, f"{where}: message {i}") for i, message in enumerate(value)]
    before = None
    for i, role in enumerate(message["role"] for message in messages):
        _in_order(before, role, f"{where}: message {i}")
        before = role
    return messages


def _message(message: Any, where: str) -> dict[str, Any]:
    """One message, without the keys that say nothing."""
    if not isinstance(message, Mapping):
        raise ValueError(f"{where} is a {type(message).__name__}: a message has a role and a content.")
    found = {str(key): value for key, value in message.items() if value is not None}
    for key in ("role", "content"):
        if not isinstance(found.get(key), str):
            raise ValueError(f"{where} has no {key} that is a text.")
    if found["role"] not in _ROLES:
        raise ValueError(f"{where} has the role {found['role']!r}: choose from {', '.join(_ROLES)}.")
    if not found["content"].strip() and found["role"] != "assistant":
        raise ValueError(f"{where} is empty.")
    return found


def _in_order(before: str | None, role: str, where: str) -> None:
    """Raise `ValueError` where `role` cannot follow `before` (None: nothing)."""
    opening = before in (None, "system", "developer")
    if role in ("system", "developer"):
        if before is not None:
            raise ValueError(f"{where} is the {role}'s: it can only be the first.")
    elif role == "assistant" and opening:
        raise ValueError(f"{where} is the assistant's: a conversation begins with the user.")
    elif role == "tool" and before not in ("assistant", "tool"):
        raise ValueError(f"{where} is the tool's: it answers the assistant.")
    elif role == before and role != "tool":
        raise ValueError(f"{where} is the {role}'s, as the one before: roles alternate.")

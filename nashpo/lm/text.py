"""Between texts and token numbers: the tokenizer and the chat template of a checkpoint."""

import contextlib
import functools
import json
import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from nashpo.files import why
from nashpo.lm.files.folders import GENERATION, end_tokens

Prompt: TypeAlias = str | Sequence[Mapping[str, Any]]
"""A plain text, or the messages of a conversation: `[{"role": "user", "content": "..."}]`."""

_SILENCE = "TRANSFORMERS_NO_ADVISORY_WARNINGS"


@dataclass(frozen=True, eq=False)
class Text:
    """The tokenizer of a checkpoint, its chat template, and the tokens that end an answer.

        plain text     tokenizer(text), with the special tokens that the tokenizer adds
        conversation   tokenizer(template(messages)), without: the template has written them already

    `Text.load` reads one from a checkpoint directory.

    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> text = tiny_tokenizer(["red", "green", "blue"])
    >>> text.encode("red green")
    [2, 7, 8]
    >>> text.render([{"role": "user", "content": "red"}], answering=True)
    '<s><user> red</s><assistant> '
    >>> text.decode([8, 9, 3])
    'green blue'
    """

    tokenizer: Any
    """What `transformers.AutoTokenizer` returned."""
    end: tuple[int, ...]
    """Tokens that end an answer, the tokenizer's own first."""
    path: str | None = None
    """The directory it was read from."""

    @classmethod
    def load(cls, path: str | os.PathLike[str], base: str | os.PathLike[str] | None = None) -> "Text":
        """The tokenizer of a directory; nothing is looked up on the network and no code of the directory is run.

        The end tokens are those of generation_config.json, else of config.json, else the tokenizer's. `base` is the
        checkpoint under an adapter, whose directory lacks these files: transformers takes the kind of the tokenizer
        from them.

        Raises `ValueError` for a directory without a tokenizer, and for end tokens outside the vocabulary.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = tiny_tokenizer(["red"], folder)
        ...     Text.load(folder).end
        (3,)
        """
        folder = Path(path)
        if not folder.is_dir():
            raise ValueError(f"{path}: is not a folder; give the directory of a checkpoint.")
        if not any((folder / name).is_file() for name in ("tokenizer_config.json", "tokenizer.json")):
            raise ValueError(f"{path}: has no tokenizer (tokenizer_config.json, tokenizer.json).")
        with quietly():
            from transformers import AutoConfig, AutoTokenizer
        safely: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            kind = {} if base is None else {"config": AutoConfig.from_pretrained(base, **safely)}
            tokenizer = AutoTokenizer.from_pretrained(folder, **kind, **safely)
        except Exception as error:  # tokenizers and transformers raise what they like
            raise ValueError(f"{path}: the tokenizer cannot be read ({_first_line(error)}).") from error
        folders = (folder,) if base is None else (folder, Path(base))
        return cls(tokenizer, _end(folders, tokenizer), str(path))

    @property
    def vocabulary(self) -> int:
        """The number above every token; an embedding needs as many rows."""
        return max(self.tokenizer.get_vocab().values()) + 1

    def render(self, messages: Sequence[Mapping[str, Any]], answering: bool = False) -> str:
        """A conversation as the chat template writes it; with `answering` up to where the answer begins.

        Raises `ValueError` if there is no template, or it refuses the messages.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> text = tiny_tokenizer(["red"], template=None)
        >>> text.render([{"role": "user", "content": "red"}])
        Traceback (most recent call last):
            ...
        ValueError: the tokenizer has no chat template: give plain prompts, or a checkpoint with chat_template.jinja.
        """
        if not self.tokenizer.chat_template:
            raise ValueError(
                "the tokenizer has no chat template: give plain prompts, or a checkpoint with chat_template.jinja."
            )
        conversation = [dict(message) for message in messages]
        try:
            return self.tokenizer.apply_chat_template(conversation, tokenize=False, add_generation_prompt=answering)
        except Exception as error:  # a template raises what it likes
            raise ValueError(f"the chat template refuses the conversation ({_first_line(error)}).") from error

    def encode(self, prompt: Prompt) -> list[int]:
        """The tokens of a prompt, up to where the answer begins.

        Raises `ValueError` for a conversation if there is no chat template, or it refuses the messages.
        """
        if isinstance(prompt, str):
            return self.tokens(prompt, special=True)
        return self.tokens(self.render(prompt, answering=True))

    def tokens(self, text: str, special: bool = False) -> list[int]:
        """The tokens of a text; with `special` also those that the tokenizer adds at the ends.

        Raises `ValueError` for half of a surrogate pair, which JSON can hold and which is no character.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> text = tiny_tokenizer(["red"])
        >>> text.tokens("red"), text.tokens("red", special=True)
        ([7], [2, 7])
        """
        try:
            text.encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            raise ValueError(f"the text has {half!r} in it, half of a surrogate pair, which is no character.") from None
        return [int(token) for token in self.tokenizer.encode(text, add_special_tokens=special, verbose=False)]

    def answer(self, text: str, chat: bool = False) -> list[int]:
        """The tokens of a whole answer: those of `text` and an end token.

        That is the first one of `end`; in a conversation (`chat`) the one that the template writes after an answer,
        if it writes one of them.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> tiny_tokenizer(["red"]).answer("red red")
        [7, 7, 3]
        """
        return [*self.tokens(text), *(self._turn_end if chat else self.end[:1])]

    @functools.cached_property
    def _turn_end(self) -> tuple[int, ...]:
        """The end token after an answer in a conversation."""
        try:
            turn = self.render([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])
        except ValueError:
            return self.end[:1]
        return tuple(token for token in self.tokens(turn) if token in self.end)[-1:] or self.end[:1]

    def decode(self, tokens: Sequence[int] | np.ndarray) -> str:
        """The text of tokens, without special ones; negative numbers are padding.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> tiny_tokenizer(["red"]).decode(np.array([7, 7, 3, -1, -1]))
        'red red'
        """
        return self.tokenizer.decode([int(token) for token in tokens if token >= 0], skip_special_tokens=True)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the tokenizer, its template and the end tokens into a directory; each file appears when complete.

        A generation_config.json that is there already is kept.

        >>> from nashpo.lm.tiny import tiny_tokenizer
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     Text.load(tiny_tokenizer(["red"]).save(folder)).encode("red")
        [2, 7]
        """
        folder = Path(path)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder, prefix=".tokenizer.") as hidden:
                self.tokenizer.save_pretrained(hidden)
                generation = folder / GENERATION
                if self.end and not generation.exists():
                    Path(hidden, generation.name).write_text(json.dumps({"eos_token_id": list(self.end)}))
                for file in sorted(Path(hidden).rglob("*")):
                    if file.is_file():
                        target = folder / file.relative_to(hidden)
                        target.parent.mkdir(parents=True, exist_ok=True)
                        os.replace(file, target)
        except OSError as error:
            raise OSError(f"{path}: the tokenizer cannot be written ({why(error)}).") from error
        return folder


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Import transformers in here: it says nothing about PyTorch, nor of bars in notebooks, which nobody asked for.

    >>> with quietly():
    ...     from transformers import AutoTokenizer
    """
    before = os.environ.get(_SILENCE)
    os.environ[_SILENCE] = "1"
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "IProgress not found")
            import transformers  # noqa: F401 - says what it has to say when it is imported

        yield
    finally:
        if before is None:
            del os.environ[_SILENCE]
        else:
            os.environ[_SILENCE] = before


def _end(folders: Sequence[Path], tokenizer: Any) -> tuple[int, ...]:
    """The end tokens of a checkpoint, the tokenizer's own first where it is one of them."""
    own = tokenizer.eos_token_id
    found = end_tokens(*folders) or ([] if own is None else [own])
    vocabulary = max(tokenizer.get_vocab().values()) + 1
    for token in found:
        if not isinstance(token, int) or not 0 <= token < vocabulary:
            raise ValueError(f"{folders[0]}: the end token {token!r} is none of the tokenizer's {vocabulary} tokens.")
    return tuple(sorted(dict.fromkeys(found), key=lambda token: token != own))


def _first_line(error: Exception) -> str:
    """What an exception says, on one line and without its full stop."""
    said = str(error).strip() or type(error).__name__
    return said.splitlines()[0].rstrip(".")

"""PairRM: a ranker of pairs that reads the prompt and both answers both ways."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np

from nashpo.fingerprint import digest
from nashpo.lm.encoder import encode
from nashpo.lm.files.encoders import Ranker, check_ranker, load_ranker
from nashpo.lm.judges.function import positive
from nashpo.lm.judges.layout import transcript
from nashpo.lm.judges.orders import TwoOrders
from nashpo.lm.judges.reader import Reader
from nashpo.lm.text import Prompt, Text

MARKS = ("<|source|>", "<|candidate1|>", "<|candidate2|>")
"""Tokens in front of the prompt and the answers; the states at them are what is compared."""


class PairRM(TwoOrders):
    """The pair ranker of Jiang, Ren & Lin 2023 (arXiv:2306.02561), as `llm-blender/PairRM-hf` is published.

        [CLS] <|source|> prompt [SEP]  [CLS] <|candidate1|> left [SEP]  [CLS] <|candidate2|> right [SEP]
        z_left = head [h_source, h_candidate1],   z_right = head [h_source, h_candidate2]
        p(left, right) = 1 / (1 + exp(-(z_left - z_right) / temperature))

    where `h` are the states of a DeBERTa v3 at the marks, and `z` the mean over the tasks of the head. Both orders are
    read and averaged: K answers to a prompt are K(K - 1) texts. `turn` writes each message of a conversation, with
    `{role}` and `{content}`. The published program cuts what is longer than 2,048 tokens; here that is an error, for
    a cut answer is another answer.

    Raises `ValueError` for a tokenizer without the marks, and where it and the embedding do not belong together.

    >>> from nashpo.lm.encoder import Encoder
    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> encoder = Encoder(vocabulary=12, width=4, layers=1, heads=2, inner=4, buckets=4, farthest=16)
    >>> params = {name: jnp.ones(shape) for name, shape in encoder.shapes["top"].items()}
    >>> params["layers"] = {name: jnp.ones((1, *shape)) for name, shape in encoder.shapes["layer"].items()}
    >>> head = {"inner": np.ones((4, 8)), "inner_bias": np.ones(4), "outer": np.ones((1, 4)), "outer_bias": np.ones(1)}
    >>> text = tiny_tokenizer(["red", "green"])
    >>> _ = text.tokenizer.add_tokens(list(MARKS), special_tokens=True)
    >>> PairRM(Ranker(encoder, params, head, None), text).compare(["red"], ["green"], ["red green"]).tolist()
    [0.5]
    """

    answers: ClassVar[int] = 2
    read, look = staticmethod(load_ranker), staticmethod(check_ranker)

    def __init__(
        self,
        ranker: Ranker,
        text: Text,
        *,
        turn: str | None = None,
        temperature: float = 1.0,
        batch: int = 8,
        longest: int | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        missing = [mark for mark in MARKS if mark not in text.tokenizer.get_vocab()]
        if missing:
            raise ValueError(f"the judge's tokenizer has no token {missing[0]}: it is not that of a PairRM.")
        self.reader = Reader(ranker.encoder, ranker.params, text, batch, longest, path, encode)
        head = {name: np.asarray(value, np.float32) for name, value in ranker.head.items()}
        self.inner = jnp.concatenate(jnp.split(jnp.asarray(head["inner"]), 2, axis=1))
        self.bias, self.outer = head["inner_bias"], head["outer"].mean(0)
        self.turn, self.temperature = turn, positive(temperature, "temperature")
        self.name = "PairRM" if path is None else str(path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        turn: str | None = None,
        temperature: float = 1.0,
        batch: int = 8,
        longest: int | None = None,
        dtype: Any = None,
        place: Callable[[str, np.ndarray], Any] | None = None,
    ) -> "PairRM":
        """The ranker in a directory, with its tokenizer.

        Raises `ValueError` for a directory without one; `dtype` and `place` are those of `nashpo.lm.files.load`.
        """
        options: dict[str, Any] = {"turn": turn, "temperature": temperature, "batch": batch, "longest": longest}
        return cls.opened(Text.load(path), load_ranker(path, dtype, place), options)

    @classmethod
    def opened(cls, text: Text, checkpoint: Ranker, options: Mapping[str, Any]) -> "PairRM":
        """The judge of a checkpoint that was read; `options` are those of `load`."""
        return cls(checkpoint, text, path=checkpoint.path, **options)

    def margins(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """`z_left - z_right` `[N]`.

        Raises `JudgeError` for a text that is too long to be read.
        """
        texts = zip(prompts, left, right, strict=True)
        laid = [_laid(self.reader.text, *pieces, self.turn) for pieces in texts]
        rows = [row for row, _ in laid]
        self.reader.check(rows, prompts)
        return self._read(rows, np.array([marks for _, marks in laid], np.int32))

    def identity(self) -> str:
        """Weights, tokenizer and options."""
        head = [digest(np.asarray(part)) for part in (self.inner, self.bias, self.outer)]
        return f"PairRM {self.turn} {self.temperature} {self.reader.identity()} {head}"

    @classmethod
    def least(cls, text: Text, prompt: Prompt, settings: Mapping[str, Any]) -> int:
        """Tokens of a prompt with empty answers, laid out by a judge with these settings."""
        return len(_laid(text, prompt, "", "", settings.get("turn"))[0])

    def _read(self, rows: Sequence[Sequence[int]], at: np.ndarray) -> np.ndarray:
        """The margins of texts whose marks are at `[N, 3]`."""
        source, answer = np.split(self.reader.read(self.inner, rows, at), 2, axis=-1)
        scores = np.tanh(source[:, :1] + answer[:, 1:] + self.bias).astype(np.float64) @ self.outer
        return scores[:, 0] - scores[:, 1]


def _laid(text: Text, prompt: Prompt, left: str, right: str, turn: str | None) -> tuple[list[int], list[int]]:
    """The tokens of a prompt and two answers, each after its mark, and the places of the marks."""
    row: list[int] = []
    places = []
    for mark, piece in zip(MARKS, (transcript(prompt, turn), left, right), strict=True):
        tokens, number = text.tokens(mark + piece, special=True), text.tokenizer.convert_tokens_to_ids(mark)
        if number not in tokens:
            raise ValueError(f"the judge's tokenizer does not tell {mark} from the text behind it: add it as a token.")
        places.append(len(row) + tokens.index(number))
        row += tokens
    return row, places

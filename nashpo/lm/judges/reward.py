"""Reward models as judges."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from nashpo.lm.decoder import Decoder
from nashpo.lm.files import Checkpoint, load
from nashpo.lm.judges.function import positive
from nashpo.lm.judges.layout import Layout, OneAnswer
from nashpo.lm.judges.reader import Reader, as_head, head_of, shown
from nashpo.lm.judges.scored import Scored
from nashpo.lm.text import Prompt, Text


class Reward(OneAnswer, Scored):
    """A reward model: `P(y beats y') = 1 / (1 + exp(-(r(y) - r(y')) / temperature))` (Bradley-Terry).

    `r(y) = head hidden` at the last token of prompt and answer: `*ForSequenceClassification` with one label. The last
    token is the last one of the text, whatever token a batch is padded with. K answers to a prompt are K texts to
    read, and equal ones are read once. Such a judge is never cyclic.

    Raises `ValueError` for a head that has not one label, and where tokenizer and embedding do not belong together.

    >>> import jax
    >>> from nashpo.lm.decoder import init_params
    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> decoder = Decoder("llama", vocabulary=9, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> params = init_params(decoder, jax.random.key(0))
    >>> judge = Reward(decoder, params, np.ones((1, 4)), tiny_tokenizer(["red", "green"]))
    >>> judge.compare(["red"], [" green"], [" green"]).tolist()
    [0.5]
    """

    def __init__(
        self,
        decoder: Decoder,
        params: Any,
        head: Any,
        text: Text,
        *,
        layout: Layout | None = None,
        temperature: float = 1.0,
        batch: int = 16,
        longest: int | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        self.head = as_head(head, decoder.width, "score")
        if len(self.head) != 1:
            raise ValueError(
                f"the head score has {len(self.head)} labels, but a reward is one number; a classifier of pairs with "
                "two labels is a PairClassifier."
            )
        self.reader = Reader(decoder, params, text, batch, longest, path)
        self.layout, self.temperature = layout or self.usual, positive(temperature, "temperature")
        self.name = "Reward" if path is None else str(path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        layout: Layout | None = None,
        temperature: float = 1.0,
        batch: int = 16,
        longest: int | None = None,
        dtype: Any = None,
        place: Callable[[str, np.ndarray], Any] | None = None,
    ) -> "Reward":
        """The reward model in a directory, with its tokenizer: `score.weight`, or `value_head.weight`, `[1, D]`.

        Raises `ValueError` for a directory without one; `dtype` and `place` are those of `nashpo.lm.files.load`.
        """
        options = {"layout": layout, "temperature": temperature, "batch": batch, "longest": longest}
        return cls.opened(Text.load(path), load(path, dtype, place), options)

    @classmethod
    def opened(cls, text: Text, checkpoint: Checkpoint, options: Mapping[str, Any]) -> "Reward":
        """The judge of a checkpoint that was read; `options` are those of `load`."""
        head = head_of(checkpoint.heads, ("score", "value_head"), checkpoint.path, "a reward model")
        return cls(checkpoint.decoder, checkpoint.params, head, text, path=checkpoint.path, **options)

    def scores(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> np.ndarray:
        """`r` of each answer, `[N]`.

        Raises `JudgeError` for a text that is too long to be read.
        """
        pairs = zip(prompts, answers, strict=True)
        rows = [self.layout.answered(self.reader.text, prompt, answer)[0] for prompt, answer in pairs]
        self.reader.check(rows, prompts)
        last = np.array([[len(row) - 1] for row in rows], np.int32).reshape(-1, 1)
        return self.reader.read(self.head, rows, last)[:, 0, 0].astype(np.float64)

    def identity(self) -> str:
        """Weights, tokenizer and options."""
        return f"Reward {self.reader.identity()} {shown(self.head)} {self.layout} {self.temperature}"

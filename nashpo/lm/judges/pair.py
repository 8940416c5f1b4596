"""Judges that read both answers in one text."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from nashpo.lm.decoder import Decoder
from nashpo.lm.files import Checkpoint, load
from nashpo.lm.files.checkpoint import check_files
from nashpo.lm.judges.function import positive
from nashpo.lm.judges.layout import Layout, check_template, filled
from nashpo.lm.judges.orders import TwoOrders
from nashpo.lm.judges.reader import Reader, as_head, head_of, shown
from nashpo.lm.text import Prompt, Text

CHOICE = (
    "Which of two answers to the prompt is better?\n\n[Prompt]\n{prompt}\n\n[Answer A]\n{left}\n\n[Answer B]\n{right}"
    "\n\nReply with A or B alone."
)
"""What `Choice` asks unless it is told otherwise."""


class _OneText(TwoOrders):
    """A judge whose text holds both answers: z_left and z_right are read at its last token."""

    usual: ClassVar[Layout] = Layout()
    answers: ClassVar[int] = 2
    read, look = staticmethod(load), staticmethod(check_files)
    reader: Reader
    layout: Layout
    head: Any
    template: str
    turn: str | None
    answering = False
    cap: float | None = None

    def margins(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """`z_left - z_right` `[N]`.

        Raises `JudgeError` for a text that is too long to be read.
        """
        questions = (filled(self.template, *texts, self.turn) for texts in zip(prompts, left, right, strict=True))
        rows = [self.layout.asked(self.reader.text, question, self.answering) for question in questions]
        self.reader.check(rows, prompts)
        last = np.array([[len(row) - 1] for row in rows], np.int32)
        said = self.reader.read(self.head, rows, last, self.cap)[:, 0].astype(np.float64)
        return said[:, 0] - said[:, 1]

    def identity(self) -> str:
        """Weights, tokenizer and options."""
        options = [type(self).__name__, str(self.layout), self.template, self.turn, self.temperature, self.answering]
        return f"{options} {self.reader.identity()} {shown(self.head)}"

    @classmethod
    def least(cls, text: Text, prompt: Prompt, settings: Mapping[str, Any]) -> int:
        """Tokens of a prompt with empty answers, laid out by a judge with these settings."""
        question = filled(settings.get("template", CHOICE), prompt, "", "", settings.get("turn"))
        layout: Layout = settings.get("layout") or cls.usual
        return len(layout.asked(text, question, settings.get("answering", cls.answering)))


class PairClassifier(_OneText):
    """A classifier of pairs: the softmax over the two labels of one text that holds both answers.

    `template` is that text, with places for `{prompt}`, `{left}` and `{right}`; it is what the model was trained on,
    so there is no usual one. `turn` writes each message of a conversation, with `{role}` and `{content}`. The label
    `left_label` says that the left answer is better. Both orders are read and averaged: K answers to a prompt are
    K(K - 1) texts.

    Raises `ValueError` for a head that has not two labels, a template without one of its places, and where tokenizer
    and embedding do not belong together.

    >>> import jax
    >>> from nashpo.lm.decoder import init_params
    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> decoder = Decoder("llama", vocabulary=9, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> params = init_params(decoder, jax.random.key(0))
    >>> text = tiny_tokenizer(["red", "green"])
    >>> judge = PairClassifier(decoder, params, np.eye(2, 4), text, template="{prompt} {left} {right}")
    >>> p, q = judge.compare(["red", "red"], ["red", "green"], ["green", "red"])
    >>> bool(p + q == 1)
    True
    """

    def __init__(
        self,
        decoder: Decoder,
        params: Any,
        head: Any,
        text: Text,
        *,
        template: str,
        turn: str | None = None,
        left_label: int = 0,
        layout: Layout | None = None,
        temperature: float = 1.0,
        batch: int = 16,
        longest: int | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        found = as_head(head, decoder.width, "score")
        if len(found) != 2:
            raise ValueError(
                f"the head score has {len(found)} labels, but a classifier of pairs has two"
                f"{'; a model with one is a Reward.' if len(found) == 1 else '.'}"
            )
        if left_label not in (0, 1):
            raise ValueError(f"left_label={left_label}: must be 0 or 1.")
        self.head = found if left_label == 0 else found[::-1]
        self.reader = Reader(decoder, params, text, batch, longest, path)
        self.template, self.turn = check_template(template), turn
        self.layout, self.temperature = layout or self.usual, positive(temperature, "temperature")
        self.name = "PairClassifier" if path is None else str(path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        template: str,
        turn: str | None = None,
        left_label: int = 0,
        layout: Layout | None = None,
        temperature: float = 1.0,
        batch: int = 16,
        longest: int | None = None,
        dtype: Any = None,
        place: Callable[[str, np.ndarray], Any] | None = None,
    ) -> "PairClassifier":
        """The classifier in a directory, with its tokenizer: `score.weight` `[2, D]`.

        Raises `ValueError` for a directory without one; `dtype` and `place` are those of `nashpo.lm.files.load`.
        """
        options: dict[str, Any] = {"template": template, "turn": turn, "left_label": left_label, "layout": layout}
        options |= {"temperature": temperature, "batch": batch, "longest": longest}
        return cls.opened(Text.load(path), load(path, dtype, place), options)

    @classmethod
    def opened(cls, text: Text, checkpoint: Checkpoint, options: Mapping[str, Any]) -> "PairClassifier":
        """The judge of a checkpoint that was read; `options` are those of `load`."""
        head = head_of(checkpoint.heads, ("score",), checkpoint.path, "a classifier of pairs")
        return cls(checkpoint.decoder, checkpoint.params, head, text, path=checkpoint.path, **options)


class Choice(_OneText):
    """A language model that is asked which answer is better: the softmax of the logits of two tokens, "A" and "B".

    `template` is the question, with places for `{prompt}`, `{left}` (the answer called `labels[0]`) and `{right}`;
    `turn` writes each message of a conversation, with `{role}` and `{content}`. The usual layout makes the question
    the user's message; with `answering` the text goes up to where the answer begins. Only the two rows of the head are
    multiplied with. Both orders are read and averaged: K answers to a prompt are K(K - 1) texts.

    Raises `ValueError` for labels that are not single tokens of the tokenizer, a template without one of its places, a
    checkpoint without a language model's head, and where tokenizer and embedding do not belong together.

    >>> import jax
    >>> from nashpo.lm.decoder import init_params
    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> decoder = Decoder("llama", vocabulary=10, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> params = init_params(decoder, jax.random.key(0))
    >>> judge = Choice(decoder, params, tiny_tokenizer(["A", "B", "red"]), template="{prompt} A {left} B {right}")
    >>> judge.compare(["red"], ["red"], ["red"]).tolist()
    [0.5]
    """

    usual: ClassVar[Layout] = Layout(chat=True)
    answering = True

    def __init__(
        self,
        decoder: Decoder,
        params: Any,
        text: Text,
        *,
        template: str = CHOICE,
        labels: tuple[str, str] = ("A", "B"),
        turn: str | None = None,
        answering: bool = True,
        layout: Layout | None = None,
        temperature: float = 1.0,
        batch: int = 16,
        longest: int | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        self.reader = Reader(decoder, params, text, batch, longest, path)
        name = "embed" if decoder.tied else "head"
        if name not in params:
            raise ValueError("the checkpoint has no language model's head: a Choice needs lm_head.weight.")
        rows = [_single(text, label) for label in labels]
        if len(set(rows)) != 2 or max(rows) >= decoder.vocabulary:
            raise ValueError(f"labels={labels!r}: must be two different tokens, with an embedding each.")
        self.head = as_head(params[name][np.array(rows)], decoder.width, "lm_head")
        self.cap = decoder.logit_cap
        self.labels, self.template, self.turn, self.answering = labels, check_template(template), turn, answering
        self.layout, self.temperature = layout or self.usual, positive(temperature, "temperature")
        self.name = "Choice" if path is None else str(path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        template: str = CHOICE,
        labels: tuple[str, str] = ("A", "B"),
        turn: str | None = None,
        answering: bool = True,
        layout: Layout | None = None,
        temperature: float = 1.0,
        batch: int = 16,
        longest: int | None = None,
        dtype: Any = None,
        place: Callable[[str, np.ndarray], Any] | None = None,
    ) -> "Choice":
        """The language model in a directory, with its tokenizer.

        Raises `ValueError` as the constructor does; `dtype` and `place` are those of `nashpo.lm.files.load`.
        """
        options: dict[str, Any] = {"template": template, "labels": labels, "turn": turn, "answering": answering}
        options |= {"layout": layout, "temperature": temperature, "batch": batch, "longest": longest}
        return cls.opened(Text.load(path), load(path, dtype, place), options)

    @classmethod
    def opened(cls, text: Text, checkpoint: Checkpoint, options: Mapping[str, Any]) -> "Choice":
        """The judge of a checkpoint that was read; `options` are those of `load`."""
        return cls(checkpoint.decoder, checkpoint.params, text, path=checkpoint.path, **options)


def _single(text: Text, label: str) -> int:
    """The token of a label."""
    tokens = text.tokens(label)
    if len(tokens) != 1 or tokens[0] == text.tokenizer.unk_token_id:
        found = "unknown" if len(tokens) == 1 else f"{len(tokens)} tokens"
        raise ValueError(f"the label {label!r} is {found} to the judge's tokenizer: labels are single tokens of it.")
    return tokens[0]

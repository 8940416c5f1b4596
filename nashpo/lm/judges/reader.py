"""A model that reads texts and is asked for a few numbers at a few of their tokens."""

import functools
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.compiling import Compiled
from nashpo.fingerprint import digest, fingerprint
from nashpo.lm.decoder import Decoder, hidden
from nashpo.lm.encoder import Encoder
from nashpo.lm.host import on_host
from nashpo.lm.judges.base import JudgeError, digest_of, short
from nashpo.lm.sequences import bucket, positions
from nashpo.lm.text import Prompt, Text

States = Callable[[Any, Any, Any, Any], jax.Array]
_SHORTEST = 8
"""Tokens that a row is padded to at least; shorter rows are not worth a program of their own."""


class Reader:
    """The model of a judge with its own tokenizer, reading `batch` texts at a time.

    Texts are sorted by length and padded to one of few lengths, so that few programs are compiled. `longest` is the
    number of tokens of the longest text that is read; None for what the model was made for. `states` computes what the
    model makes of tokens at positions, `[B, T, D]`; a decoder's own if None.

    Raises `ValueError` where the tokenizer has more tokens than the embedding has rows, but for added ones: published
    tokenizers have some that no text is to hold.

    >>> from nashpo.lm.decoder import init_params
    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> Reader(decoder, init_params(decoder, jax.random.key(0)), tiny_tokenizer(["red", "green"]))
    Traceback (most recent call last):
        ...
    ValueError: the judge's tokenizer has 9 tokens, but its embedding 8 rows: they do not belong together.
    """

    def __init__(
        self,
        model: Decoder | Encoder,
        params: Any,
        text: Text,
        batch: int = 16,
        longest: int | None = None,
        path: Any = None,
        states: States | None = None,
    ) -> None:
        words = text.tokenizer.get_vocab()
        own = set(words) - set(text.tokenizer.get_added_vocab())
        size = max((words[word] for word in own), default=-1) + 1
        if size > model.vocabulary:
            raise ValueError(
                f"the judge's tokenizer has {size} tokens, but its embedding {model.vocabulary} rows: "
                "they do not belong together."
            )
        if batch < 1 or (longest is not None and longest < 1):
            raise ValueError(f"batch={batch}, longest={longest}: both are at least 1.")
        self.model, self.params, self.text, self.batch = model, params, text, batch
        self.longest = model.longest if longest is None else longest
        self.states = states or _decoded
        self._files = None if path is None else _files(Path(path))

    def read(self, head: Any, rows: Sequence[Sequence[int]], at: np.ndarray, cap: float | None = None) -> np.ndarray:
        """What `head` `[H, D]` says at tokens `at` `[N, M]` of texts `rows`: `[N, M, H]` float32.

        z = head hidden,   capped:  cap tanh(z / cap)
        """
        found = np.zeros((*at.shape, head.shape[0]), np.float32)
        order = np.argsort([len(row) for row in rows], kind="stable")
        for start in range(0, len(rows), self.batch):
            some = order[start : start + self.batch]
            shape = min(bucket(len(some)), self.batch), max(_SHORTEST, bucket(len(rows[some[-1]])))
            tokens, places = np.full(shape, -1, np.int32), np.zeros((shape[0], at.shape[1]), np.int32)
            for line, i in enumerate(some):
                tokens[line, : len(rows[i])] = rows[i]
                places[line] = at[i]
            read = _read(
                self.states, self.model, cap, self.params, head, tokens, positions(tokens).astype(np.int32), places
            )
            found[some] = on_host(read)[: len(some)]
        return found

    def check(self, rows: Sequence[Sequence[int]], prompts: Sequence[Prompt]) -> None:
        """Raise `JudgeError` for a text that is too long to be read, has no tokens, or one without an embedding."""
        for row, prompt in zip(rows, prompts, strict=True):
            if self.longest is not None and len(row) > self.longest:
                room = self.model.longest is None or self.longest < self.model.longest
                more = ", or raise judge.longest" if room else ""
                raise JudgeError(
                    f"the judge reads {self.longest} tokens, but there are {len(row)} in the prompt {short(prompt)} "
                    f"with what it is to judge; leave the prompt out, allow shorter answers only{more}."
                )
            if not len(row):
                raise JudgeError(f"the judge's text for the prompt {short(prompt)} has no tokens.")
            if max(row) >= self.model.vocabulary:
                word = self.text.tokenizer.convert_ids_to_tokens(max(row))
                raise JudgeError(
                    f"the judge's text for the prompt {short(prompt)} has the token {word!r} ({max(row)}), but its "
                    f"embedding {self.model.vocabulary} rows."
                )

    def identity(self) -> str:
        """Weights (by name, size and date of the files they were read from, or by content), architecture, tokenizer."""
        backend = getattr(self.text.tokenizer, "backend_tokenizer", None)
        words = backend.to_str() if backend is not None else str(sorted(self.text.tokenizer.get_vocab().items()))
        weights = self._files or str(sorted(fingerprint(on_host(self.params)).items()))
        parts = (weights, str(self.model), words, str(self.text.tokenizer.chat_template))
        return digest_of(*parts).hex()


def as_head(head: Any, width: int, what: str) -> jax.Array:
    """A head `[H, width]` in float32.

    Raises `ValueError` naming both shapes.

    >>> as_head(np.zeros((2, 3)), 4, "score")
    Traceback (most recent call last):
        ...
    ValueError: the head score has shape [2, 3], but must be [labels, 4], as wide as the model.
    """
    shape = np.shape(head)
    if len(shape) != 2 or shape[1] != width:
        raise ValueError(
            f"the head {what} has shape {list(shape)}, but must be [labels, {width}], as wide as the model."
        )
    return jnp.asarray(head, jnp.float32)


def head_of(heads: dict[str, Any], names: tuple[str, ...], path: str | os.PathLike[str], what: str) -> Any:
    """The first of the heads that a checkpoint has.

    Raises `ValueError` naming those it has instead.
    """
    for name in names:
        if name in heads:
            return heads[name]
    has = f"only {', '.join(heads)}" if heads else "no head but a language model's"
    raise ValueError(f"{path}: has {has}: {what} needs {' or '.join(f'{name}.weight' for name in names)}.")


def shown(head: Any) -> str:
    """A head in an identity: a digest."""
    return digest(np.asarray(head))


def _decoded(decoder: Any, params: Any, tokens: jax.Array, places: jax.Array) -> jax.Array:
    """The states of a decoder."""
    return hidden(decoder, params, tokens, places)[0]


@functools.partial(Compiled, static_argnums=(0, 1, 2))
def _read(states, model, cap, params, head, tokens, places, at):
    """`Reader.read` of one batch."""
    asked = jnp.take_along_axis(states(model, params, tokens, places), at[:, :, None], axis=1).astype(jnp.float32)
    said = jnp.einsum("bmd,hd->bmh", asked, head, precision=jax.lax.Precision.HIGHEST)
    return said if cap is None else cap * jnp.tanh(said / cap)


def _files(folder: Path) -> str:
    """Names, sizes and dates of the files of a checkpoint."""
    files = sorted(file for file in folder.iterdir() if file.suffix in (".safetensors", ".json"))
    stats = ((file.name, file.stat()) for file in files)
    return str([str(folder.resolve()), *((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)])

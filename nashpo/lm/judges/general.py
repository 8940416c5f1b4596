"""General preference models: embeddings of answers instead of rewards, so that preferences may be cyclic."""

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import jax.numpy as jnp
import numpy as np

from nashpo.lm.decoder import Decoder
from nashpo.lm.files import Checkpoint, load
from nashpo.lm.judges.base import JudgeError, answer_count, name_of, same_length, short
from nashpo.lm.judges.function import positive
from nashpo.lm.judges.layout import Layout, OneAnswer
from nashpo.lm.judges.reader import Reader, as_head, head_of, shown
from nashpo.lm.judges.scored import distinct
from nashpo.lm.text import Prompt, Text
from nashpo.oracles.base import logistic

Convention = Literal["normalised", "scaled"]


class GeneralPreference(OneAnswer):
    """A general preference model (Zhang et al. 2024, arXiv:2410.02197).

        P(y beats y') = 1 / (1 + exp(-<R v, v'> / temperature)),   <R v, v'> = sum_l g_l (v_2l v'_2l+1 - v_2l+1 v'_2l)

    `v = value_head hidden` at the last token of prompt and answer, `x = prompt_head hidden` at the last token of the
    prompt. Two conventions are in use, and a checkpoint does not say which is its own:

        "normalised":  v / |v|,  g = softmax(x)
        "scaled":      v as it is,  g = k softmax(x / sqrt(D)),   k blocks, D the width of the model

    Without a prompt head `g = 1`. Unless another `layout` is given, texts are laid out as in the authors' programs: a
    plain prompt is the user's message, the tokenizer's special tokens come before the template's, and the last token is
    replaced by the end token. K answers to a prompt are K
    texts to read, and equal ones are read once. `nashpo.oracles.GeneralPreference` of `embeddings` is the same judge
    as a table.

    Raises `ValueError` for heads whose labels are not 2k and k, another word for a convention, and where tokenizer and
    embedding do not belong together.

    >>> import jax
    >>> from nashpo.lm.decoder import init_params
    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> decoder = Decoder("llama", vocabulary=9, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> params = init_params(decoder, jax.random.key(0))
    >>> text = tiny_tokenizer(["red", "green"])
    >>> judge = GeneralPreference(decoder, params, np.eye(2, 4), text, convention="normalised")
    >>> judge.embeddings(["red"], [["red", "red green"]]).shape
    (1, 2, 2)
    """

    usual: ClassVar[Layout] = Layout(chat=True, begin="added", end="replaced")

    def __init__(
        self,
        decoder: Decoder,
        params: Any,
        value_head: Any,
        text: Text,
        *,
        convention: Convention,
        prompt_head: Any = None,
        layout: Layout | None = None,
        temperature: float = 0.1,
        batch: int = 16,
        longest: int | None = None,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        if convention not in get_args(Convention):
            raise ValueError(f"convention={convention!r}: choose from {', '.join(get_args(Convention))}.")
        heads = [as_head(value_head, decoder.width, "value_head")]
        self.blocks = len(heads[0]) // 2
        if not self.blocks or len(heads[0]) % 2:
            raise ValueError(
                f"the head value_head has {len(heads[0])} labels, but embeddings have blocks of two"
                f"{'; a model with one is a Reward.' if len(heads[0]) == 1 else '.'}"
            )
        if prompt_head is not None:
            heads.append(as_head(prompt_head, decoder.width, "prompt_head"))
            if len(heads[1]) != self.blocks:
                raise ValueError(
                    f"the head prompt_head has {len(heads[1])} labels, but value_head {len(heads[0])}: "
                    "it needs half as many, one for each block of two."
                )
        self.gated, self.head = prompt_head is not None, jnp.concatenate(heads)
        self.reader = Reader(decoder, params, text, batch, longest, path)
        self.convention: Convention = convention
        self.layout = layout or self.usual
        self.temperature = positive(temperature, "temperature")
        self.name = "GeneralPreference" if path is None else str(path)

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        convention: Convention,
        layout: Layout | None = None,
        temperature: float = 0.1,
        batch: int = 16,
        longest: int | None = None,
        dtype: Any = None,
        place: Callable[[str, np.ndarray], Any] | None = None,
    ) -> "GeneralPreference":
        """The model in a directory, with its tokenizer: `value_head.weight` `[2k, D]`, maybe `prompt_head.weight`.

        Raises `ValueError` for a directory without one; `dtype` and `place` are those of `nashpo.lm.files.load`.
        """
        options: dict[str, Any] = {"convention": convention, "layout": layout, "temperature": temperature}
        return cls.opened(Text.load(path), load(path, dtype, place), options | {"batch": batch, "longest": longest})

    @classmethod
    def opened(cls, text: Text, checkpoint: Checkpoint, options: Mapping[str, Any]) -> "GeneralPreference":
        """The judge of a checkpoint that was read; `options` are those of `load`."""
        head = head_of(checkpoint.heads, ("value_head",), checkpoint.path, "a general preference model")
        given = {"prompt_head": checkpoint.heads.get("prompt_head"), **options}
        return cls(checkpoint.decoder, checkpoint.params, head, text, path=checkpoint.path, **given)

    def compare(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """`P(left[i] is preferred to right[i])` `[N]`; each answer is read once.

        Raises `JudgeError` for a text that is too long to be read, and an embedding that is not finite.
        """
        same_length(prompts, left, right)
        v, w = np.split(self._embedded([*prompts, *prompts], [*left, *right]), 2)
        scores = (v[:, 0::2] * w[:, 1::2] - v[:, 1::2] * w[:, 0::2]).sum(-1)
        return np.asarray(logistic(scores / self.temperature), np.float64)

    def matrix(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> np.ndarray:
        """`P(answers[b][i] beats answers[b][j])` `[B, K, K]` from at most `B K` texts."""
        v = self.embeddings(prompts, answers)
        half = np.einsum("bil,bjl->bij", v[..., 0::2], v[..., 1::2])
        return np.asarray(logistic((half - half.swapaxes(1, 2)) / self.temperature), np.float64)

    def embeddings(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> np.ndarray:
        """`sqrt(g_l)` times block l of `v`, `[B, K, 2k]` float64: what `nashpo.oracles.GeneralPreference` takes."""
        count = answer_count(prompts, answers)
        every = [prompt for prompt in prompts for _ in range(count)]
        flat = self._embedded(every, [answer for row in answers for answer in row])
        return flat.reshape(len(prompts), count, -1)

    def identity(self) -> str:
        """Weights, tokenizer and options."""
        options = f"{self.layout} {self.temperature} {self.convention} {self.gated}"
        return f"GeneralPreference {options} {self.reader.identity()} {shown(self.head)}"

    def _embedded(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> np.ndarray:
        """Gated embeddings `[N, 2k]`."""
        texts, places = distinct(prompts, answers)
        if not texts:
            return np.zeros((0, 2 * self.blocks))
        laid = [self.layout.answered(self.reader.text, prompt, answer) for prompt, answer in texts]
        rows = [row for row, _ in laid]
        self.reader.check(rows, [prompt for prompt, _ in texts])
        at = np.array([[len(row) - 1, before] for row, before in laid], np.int32)
        said = self.reader.read(self.head, rows, at).astype(np.float64)
        v = said[:, 0, : 2 * self.blocks]
        wrong = np.flatnonzero(~np.isfinite(said).all((1, 2)))
        if len(wrong):
            prompt, answer = texts[int(wrong[0])]
            raise JudgeError(
                f"the judge {name_of(self)} gives the answer {short(answer)} to the prompt {short(prompt)} an "
                "embedding that is not finite."
            )
        if self.convention == "normalised":
            v = v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-12)
        if self.gated:
            v = v * np.repeat(np.sqrt(self._gates(said[:, 1, 2 * self.blocks :])), 2, axis=-1)
        return v[places]

    def _gates(self, x: np.ndarray) -> np.ndarray:
        """How strongly each block counts for a prompt, `[N, k]`."""
        if self.convention == "scaled":
            x = x / np.sqrt(self.reader.model.width)
        weights = np.exp(x - x.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return weights * self.blocks if self.convention == "scaled" else weights

"""Answers of checkpoints to prompts, outside of any run: who speaks, and what is said."""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.lm.files import load, load_adapter
from nashpo.lm.files.adapters import adapter_config
from nashpo.lm.files.folders import MIXTURE
from nashpo.lm.filters import Decoding
from nashpo.lm.host import on_host
from nashpo.lm.model import LanguageModel
from nashpo.lm.prompts import Prompts
from nashpo.lm.sequences import finished
from nashpo.lm.text import Text


@dataclasses.dataclass(frozen=True, eq=False)
class Speaker:
    """One or several language models that answer prompts together.

    Several policies with `blend` weights mix token by token, `softmax(sum_m weights[m] logits_m)`; without it each
    answer is drawn from one of them, drawn with its weight.
    """

    policies: tuple[LanguageModel, ...]
    weights: tuple[float, ...]
    text: Text
    blend: bool = False

    def answers(self, key: Any, count: int, batch: int = 16) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The numbers of some prompts and `count` completions to each, `[B, count, T]`, batch after batch.

        Completion k of prompt x depends on `fold_in(fold_in(key, x), k)`, whatever the size of a batch.
        """
        total = len(self.policies[0].contexts)
        for begin in range(0, total, batch):
            rows = np.arange(begin, min(begin + batch, total))
            # A last batch that is smaller would be one more program.
            asked = np.resize(rows, batch) if total > batch else rows
            yield rows, self._said(key, asked, count)[: len(rows)]

    def _said(self, key: Any, rows: np.ndarray, count: int) -> np.ndarray:
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.asarray(rows, jnp.uint32))
        first, numbers = self.policies[0], np.arange(len(rows))
        if self.blend:
            here = [policy.at(rows) for policy in self.policies]
            return on_host(here[0].sample_mixed(here, list(self.weights), keys, numbers, count))
        if len(self.policies) == 1:
            return on_host(first.at(rows).sample(keys, numbers, count))
        each = np.stack([on_host(policy.at(rows).sample(keys, numbers, count)) for policy in self.policies])
        draws = [np.random.default_rng((int(word), *map(int, np.ravel(jax.random.key_data(key))))) for word in rows]
        chosen = np.stack([one.choice(len(self.policies), size=count, p=self.weights) for one in draws])
        return np.take_along_axis(each, chosen[None, :, :, None], axis=0)[0]

    def texts(self, completions: np.ndarray) -> list[str]:
        """The texts of completions `[K, T]`, without the tokens that end them."""
        end = np.asarray(self.policies[0].decoding.end)
        return [self.text.decode(row[(row >= 0) & ~np.isin(row, end)]) for row in completions]


@dataclasses.dataclass(frozen=True, eq=False)
class Said:
    """Completions to every prompt."""

    tokens: np.ndarray
    """int32 `[X, K, T]`, -1 after the end."""
    texts: list[list[str]]
    finished: np.ndarray
    """`[X, K]`: whether each was ended by itself."""

    @classmethod
    def of(cls, speaker: Speaker, parts: Iterable[np.ndarray]) -> "Said":
        """What a speaker said in batches `[B, K, T]`."""
        tokens = np.concatenate(list(parts))
        ended = np.asarray(finished(tokens, speaker.policies[0].decoding.end))
        return cls(tokens, [speaker.texts(row) for row in tokens], ended)


@dataclasses.dataclass(frozen=True)
class Asking:
    """How checkpoints are asked.

    >>> Asking(new_tokens=8).overlong
    'error'
    """

    new_tokens: int = 128
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    longest: int | None = None
    overlong: str = "error"
    dtype: str | None = None

    def prompts(self, prompts: Prompts, text: Text) -> Prompts:
        """The prompts, without those that are to be dropped."""
        return prompts.within(text, self.longest) if self.overlong == "drop" and self.longest else prompts


def load_speaker(path: str | os.PathLike[str], prompts: Prompts, asking: Asking) -> Speaker:
    """The model in a directory: a checkpoint, a PEFT adapter over one, or the mixture that a run has exported.

    Raises `ValueError` for a folder that is none of them, and prompts that cannot be encoded.
    """
    folder = Path(path)
    if (folder / MIXTURE).is_file():
        return _mixture(folder, prompts, asking)
    base = _base_of(folder)
    text = text_of(folder)
    checkpoint = load(folder if base is None else base, dtype=asking.dtype)
    contexts = prompts.contexts(text, asking.longest, truncate=asking.overlong == "truncate")
    prompts.check_room(contexts, checkpoint.decoder.longest, asking.new_tokens)
    decoding = Decoding(asking.new_tokens, asking.temperature, asking.top_k, asking.top_p, text.end)
    model = LanguageModel.from_checkpoint(checkpoint, contexts, decoding)
    if base is not None:
        lora, adapter = load_adapter(folder, checkpoint.decoder)
        model = model.with_adapter(lora, adapter=adapter)
    return Speaker((model,), (1.0,), text)


def text_of(path: str | os.PathLike[str]) -> Text:
    """The tokenizer of what `load_speaker` loads: that of an adapter is of the kind that its base says.

    Raises `ValueError` where there is none.

    >>> import tempfile
    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = tiny_tokenizer(["red"], folder)
    ...     text_of(folder).encode("red")
    [2, 7]
    """
    folder = Path(path)
    if (folder / MIXTURE).is_file():
        return text_of(folder / "policy0")
    base = _base_of(folder)
    if base is not None and not (folder / "tokenizer.json").is_file():
        return Text.load(base)
    return Text.load(folder, base)


def blended(speakers: Sequence[Speaker], weights: Sequence[float]) -> Speaker:
    """Speakers of one architecture and tokenizer as one, mixed token by token with these weights.

    Raises `ValueError` for mixtures among them, and for another tokenizer.
    """
    first = speakers[0]
    for speaker in speakers:
        if len(speaker.policies) > 1:
            raise ValueError("a mixture of answers cannot be mixed again token by token; give single checkpoints.")
        if not same_tokens(speaker, first):
            raise ValueError("policies that speak together need one tokenizer; these have several.")
    return Speaker(tuple(speaker.policies[0] for speaker in speakers), tuple(weights), first.text, blend=True)


def same_tokens(one: Speaker, other: Speaker) -> bool:
    """Whether two speakers write the same text in the same tokens."""
    return one.text.tokenizer.get_vocab() == other.text.tokenizer.get_vocab()


def _mixture(folder: Path, prompts: Prompts, asking: Asking) -> Speaker:
    """The policies of a run's average, each with its weight."""
    try:
        weights = list(json.loads((folder / MIXTURE).read_text(encoding="utf-8"))["weights"])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder / MIXTURE}: holds no weights of policies ({error!r}).") from None
    members = [load_speaker(folder / f"policy{number}", prompts, asking) for number in range(len(weights))]
    return Speaker(tuple(member.policies[0] for member in members), tuple(weights), members[0].text)


def _base_of(folder: Path) -> Path | None:
    """The checkpoint under an adapter; None for a folder that holds none."""
    file = folder / "adapter_config.json"
    if not file.is_file():
        return None
    base = adapter_config(folder).get("base_model_name_or_path")
    found = [path for path in (Path(str(base)), folder / str(base)) if (path / "config.json").is_file()]
    if not found:
        raise ValueError(f"{file}: the base model {base!r} is no directory here; set base_model_name_or_path to one.")
    return found[0]

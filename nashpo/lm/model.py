"""Language models as policies: a decoder, its parameters, the prompts it is asked, and how it is decoded."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal, cast

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nashpo.lm.decoder import Decoder, LoRA, init_adapter, merge
from nashpo.lm.files import Checkpoint
from nashpo.lm.filters import Decoding
from nashpo.lm.generate import Completions, Generator, Parts, generate
from nashpo.lm.host import on_host
from nashpo.lm.logprobs import completion_entropies, completion_log_probs
from nashpo.lm.mesh import by_rows, mesh_of, settled
from nashpo.lm.sequences import cut_contexts, cut_responses, lengths, padded_to
from nashpo.struct import record, static
from nashpo.typing import Array, Key


@record
class LanguageModel:
    """A policy over completions, int32 `[B, K, T]` with the end token in them and -1 after it.

        log pi(y|x) = sum_t log softmax(logits(x, y_<t))[y_t]

    the end token among them; a mean over the tokens instead with `reduction="mean"`, which is no distribution but what
    some published code trains. Temperature and filters of `decoding` shape what is sampled, not what is scored.

    `params` are what is trained: all weights, with `base` empty, or an adapter over the frozen weights `base`; {} is
    the adapter switched off. Stored policies that differ in their adapter share one base. Prompts are numbers of rows
    of `contexts`. Arrays may be spread over devices; nothing here asks where they are.

    Methods compile once for every number of prompts and completions and every `bucket` of context lengths (and of
    completion lengths, halves of `new_tokens`); inside a compiled program, where lengths are unknown, contexts keep
    their width: cut them before, with `at`.

    >>> import jax
    >>> from nashpo.lm.decoder import init_params
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> weights = init_params(decoder, jax.random.key(0), scale=0.0)
    >>> model = LanguageModel(weights, {}, np.array([[-1, 5], [3, 4]]), decoder, Decoding(new_tokens=3, end=(2,)))
    >>> model.sample(jax.random.key(0), np.array([0, 1, 1]), count=4).shape
    (3, 4, 3)
    >>> jnp.exp(model.log_prob(np.array([1]), np.array([[[5, 2, -1], [2, -1, -1]]]))).round(6).tolist()
    [[0.015625, 0.125]]
    """

    params: Any
    """What is trained: a pytree of arrays."""
    base: Any
    """Weights under an adapter; {} where `params` are the weights."""
    contexts: Array
    """int32 `[X, P]`: the tokens of every prompt, padded on the left with -1."""
    decoder: Decoder = static()
    decoding: Decoding = static()
    lora: LoRA | None = static(default=None)
    chunk: int = static(default=32)
    """At how many positions logits exist at a time."""
    remat: bool = static(default=True)
    """Whether the backward pass makes each layer again: much less memory, a third more work."""
    reduction: Literal["sum", "mean"] = static(default="sum")
    generator: Generator = static(default=generate)
    rows: int | None = static(default=None)
    """How many prompts are scored at a time outside compiled programs; None for all at once."""

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        contexts: Array,
        decoding: Decoding,
        chunk: int = 32,
        remat: bool = True,
        reduction: Literal["sum", "mean"] = "sum",
        generator: Generator = generate,
    ) -> "LanguageModel":
        """The model of a loaded checkpoint, all of whose weights are trained; `with_adapter` makes another of it.

        Raises `ValueError` for a checkpoint without a language model's head, contexts that are empty, not padded on the
        left, too long for the model or not its tokens, and end tokens that it does not have.

        >>> from pathlib import Path
        >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
        >>> checkpoint = Checkpoint(decoder, {"embed": None}, {}, Path("reward-model"))
        >>> LanguageModel.from_checkpoint(checkpoint, np.array([[1]]), Decoding(new_tokens=3))
        Traceback (most recent call last):
            ...
        ValueError: reward-model has no language model's head (lm_head): a model that scores texts cannot write them.
        """
        decoder = checkpoint.decoder
        if not decoder.tied and "head" not in checkpoint.params:
            raise ValueError(
                f"{checkpoint.path} has no language model's head (lm_head): a model that scores texts cannot write "
                "them."
            )
        if reduction not in ("sum", "mean"):
            raise ValueError(f"reduction={reduction!r}: choose sum, or mean.")
        if chunk < 1:
            raise ValueError(f"chunk={chunk}: must be a whole number, at least 1.")
        contexts = np.asarray(contexts)
        _check_contexts(contexts, decoder, decoding)
        return cls(
            checkpoint.params,
            {},
            contexts.astype(np.int32),
            decoder,
            decoding,
            None,
            chunk,
            remat,
            reduction,
            generator,
        )

    def with_params(self, params: Any) -> "LanguageModel":
        """The model with other parameters of the same structure, or {} for the base without its adapter."""
        return dataclasses.replace(self, params=params)

    def with_adapter(self, lora: LoRA, key: Key | None = None, adapter: Any = None) -> "LanguageModel":
        """The model that trains an adapter over its weights: a fresh one, which changes nothing yet, or `adapter`.

        Its reference is the same model with parameters {}, `with_params({})`: no second copy of the weights.

        Raises `ValueError` for a model that has an adapter, and unless one of key and adapter is given.

        >>> import jax
        >>> from nashpo.lm.decoder import init_params
        >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
        >>> weights = init_params(decoder, jax.random.key(0))
        >>> model = LanguageModel(weights, {}, np.array([[3, 4]]), decoder, Decoding(new_tokens=3))
        >>> start = model.with_adapter(LoRA(rank=2, alpha=4.0, targets=("q",)), jax.random.key(0))
        >>> start.params["q"]["a"].shape, start.base is weights
        ((1, 4, 2), True)
        """
        if self.base:
            raise ValueError("the model has an adapter: train that one, or take `merged()` for its weights.")
        if (key is None) == (adapter is None):
            raise ValueError("give a key for a fresh adapter, or an adapter that exists.")
        params = init_adapter(self.decoder, lora, key) if key is not None else adapter
        params = settled(params, mesh_of(self.params))
        return dataclasses.replace(self, params=params, base=self.params, lora=lora)

    def merged(self) -> Any:
        """The weights of the model, with the adapter in them where there is one."""
        if not self.base or not self.params or self.lora is None:
            return self.base or self.params
        return merge(self.decoder, self.base, self.lora, self.params)

    @property
    def parts(self) -> Parts:
        """The weights and the adapter."""
        return Parts(self.base, self.params) if self.base else Parts(self.params)

    def at(self, rows: Array) -> "LanguageModel":
        """The model asked the prompts `rows` `[B]` only, which are numbers 0 to B - 1 then, in as little width."""
        return dataclasses.replace(self, contexts=self._cut(rows))

    def spread(self) -> "LanguageModel":
        """The model with its contexts spread over the devices that its weights are spread over."""
        return dataclasses.replace(self, contexts=by_rows(self.contexts, mesh_of(self.parts)))

    def log_prob(self, prompts: Array, responses: Array) -> Array:
        """Log-probabilities `[B, K]` of completions `[B, K, T]` to prompt numbers `[B]`, by `reduction`."""
        return self.reduced(jnp.sum(self.token_log_probs(prompts, responses), axis=-1), responses)

    def reduced(self, total: Array, responses: Array) -> Array:
        """Sums over the tokens of completions `[B, K, T]` by `reduction`: as they are, or means."""
        return total if self.reduction == "sum" else total / jnp.maximum(lengths(jnp.asarray(responses)), 1)

    def token_log_probs(self, prompts: Array, responses: Array) -> Array:
        """Log-probabilities `[B, K, T]` of every token of completions `[B, K, T]`, 0 after the end."""
        return self._evaluated(completion_log_probs, prompts, responses)

    def entropy(self, prompts: Array, responses: Array) -> Array:
        """Entropies `[B, K, T]` in nats of the laws of every next token along completions, 0 after the end."""
        return self._evaluated(completion_entropies, prompts, responses)

    def sample(self, key: Key, prompts: Array, count: int) -> Array:
        """`count` completions to each prompt, int32 `[B, count, T]`; draw k of row b has a key of its own."""
        return self.complete(key, prompts, count).tokens

    def complete(self, key: Key, prompts: Array, count: int) -> Completions:
        """`count` completions to each prompt, with the log-probabilities of their tokens."""
        return self._generated([self], [1.0], key, prompts, count)

    def sample_mixed(
        self, policies: Sequence["LanguageModel"], weights: Any, key: Key, prompts: Array, count: int
    ) -> Array:
        """Completions `[B, count, T]` of a mixture token by token, `softmax(sum_m weights[m] logits_m)`.

        Contexts and decoding are those of this model. Not the geometric mixture of whole completions: see `generate`.

        Raises `ValueError` for policies with other decoders, or adapters of several forms.
        """
        return self._generated(list(policies), weights, key, prompts, count).tokens

    def _generated(
        self, policies: list["LanguageModel"], weights: Any, key: Key, prompts: Array, count: int
    ) -> Completions:
        other = next((m for m, policy in enumerate(policies) if policy.decoder != self.decoder), None)
        if other is not None:
            raise ValueError(f"policies[{other}] has another decoder: a mixture is made of models of one architecture.")
        forms = {policy.lora for policy in policies if policy.base and policy.params}
        if len(forms) > 1:
            raise ValueError(f"the policies have adapters of {len(forms)} forms: those of a mixture share one.")
        parts = tuple(policy.parts for policy in policies)
        lora, mesh = next(iter(forms), None), mesh_of(parts)
        contexts = by_rows(self._cut(prompts), mesh)
        found = self.generator(self.decoder, lora, parts, weights, contexts, key, count, self.decoding)
        return found if mesh is None else on_host(found)

    def _evaluated(self, measure: Any, prompts: Array, responses: Array) -> Array:
        length, traced = np.shape(responses)[-1], isinstance(responses, Tracer)
        if not traced and self.rows is not None and len(prompts) > self.rows:
            return self._in_pieces(measure, np.asarray(prompts), np.asarray(responses))
        mesh = None if traced else mesh_of(self.parts)
        if not traced:
            responses = by_rows(cut_responses(np.asarray(responses)), mesh)
        contexts = by_rows(self._cut(prompts), mesh)
        found = measure(self.decoder, self.lora, self.parts, contexts, responses, chunk=self.chunk, remat=self.remat)
        return padded_to(found if mesh is None else on_host(found), length)

    def _in_pieces(self, measure: Any, prompts: np.ndarray, responses: np.ndarray) -> np.ndarray:
        """`_evaluated`, `rows` prompts at a time; the last piece is filled up, for another size is another program."""
        found, size = [], cast(int, self.rows)
        for begin in range(0, len(prompts), size):
            asked = np.arange(begin, begin + size) % len(prompts)
            found.append(np.asarray(self._evaluated(measure, prompts[asked], responses[asked])))
        return np.concatenate(found)[: len(prompts)]

    def _cut(self, rows: Array) -> Array:
        """The contexts of prompts `[B]`, cut to a bucket where they are known."""
        if isinstance(rows, Tracer) or isinstance(self.contexts, Tracer):
            return jnp.asarray(self.contexts)[rows]
        return cut_contexts(np.asarray(self.contexts)[np.asarray(rows)])


def _check_contexts(contexts: np.ndarray, decoder: Decoder, decoding: Decoding) -> None:
    """Raise unless contexts are rows of the decoder's tokens, padded on the left, with room for what is generated."""
    if contexts.ndim != 2 or not contexts.size or contexts.dtype.kind not in "iu":
        raise ValueError(f"contexts is {contexts.dtype} {contexts.shape}: give token numbers [X, P], one row a prompt.")
    there = contexts >= 0
    for wrong, reason in (
        (~there[:, -1], "ends with padding: contexts are padded on the left"),
        (np.any(there[:, :-1] & ~there[:, 1:], axis=1), "has padding after its first token"),
        (np.any(contexts >= decoder.vocabulary, axis=1), f"has tokens outside the vocabulary of {decoder.vocabulary}"),
        (
            there.sum(1) + decoding.new_tokens > (decoder.longest or np.inf),
            f"and {decoding.new_tokens} new tokens are more than the {decoder.longest} that the model was made for",
        ),
    ):
        if wrong.any():
            row = int(np.argmax(wrong))
            raise ValueError(f"contexts[{row}] ({there[row].sum()} tokens) {reason}.")
    strange = [token for token in decoding.end if token >= decoder.vocabulary]
    if strange:
        raise ValueError(f"end token {strange[0]} is outside the vocabulary of {decoder.vocabulary}.")

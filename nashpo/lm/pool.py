"""Arithmetic averages of language models: pools of opponents, and the average of a whole run."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from nashpo.lm.model import LanguageModel
from nashpo.struct import record
from nashpo.typing import Array, Key
from nashpo.validation.numbers import is_whole


@record
class Pool:
    """The arithmetic average `pi(y|x) = sum_m weights[m] pi_m(y|x)` of language models that differ in `params` only.

    A completion is drawn from a member drawn for it alone. Members are held by their parameters, adapters over one base
    for instance; the base, the contexts and the rest are held once. Nothing is stacked or copied: places that are not
    filled yet share the arrays of the first. Everything here is called on the host, member after member, each by the
    same compiled program.

    Averages of this kind are what self-play without KL penalty converges in (Swamy et al. 2024, arXiv:2401.04056).

    >>> from nashpo.lm.decoder import Decoder, init_params
    >>> from nashpo.lm.filters import Decoding
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> weights = init_params(decoder, jax.random.key(0), scale=0.0)
    >>> model = LanguageModel(weights, {}, np.array([[3, 4]]), decoder, Decoding(new_tokens=2))
    >>> pool = Pool.empty(model, capacity=4).add(model, count=0).add(model, count=1)
    >>> pool.weights.tolist(), jnp.exp(pool.log_prob(np.array([0]), np.array([[[5, 6]]]))).round(6).tolist()
    ([0.5, 0.5, 0.0, 0.0], [[0.015625]])
    """

    members: tuple[Any, ...]
    """The parameters of each."""
    weights: Array
    """`[M]`, summing to one; a member of weight 0 is an empty place."""
    frame: LanguageModel
    """What the members share: one of them with parameters {}."""

    @classmethod
    def empty(cls, policy: LanguageModel, capacity: int) -> "Pool":
        """Room for the average of a run, at most `capacity` policies such as `policy`; `add` fills it.

        Until the first is added the pool is `policy` itself. Raises `ValueError` for a capacity below 2.
        """
        if not is_whole(capacity, 2):
            raise ValueError(f"capacity={capacity!r}: an average has room for a whole number of policies, at least 2.")
        weights = np.zeros(capacity, np.float32)
        weights[0] = 1
        return cls((policy.params,) * capacity, weights, policy.with_params({}))

    def add(self, policy: LanguageModel, count: int) -> "Pool":
        """The running average after one more policy, the one that `count` others came before.

        Policies `0, s, 2 s, ...` are kept with equal weights, where the stride s is the smallest power of two for which
        they fit: up to `capacity` policies the average is exact; when it is full every second one is dropped.
        """
        capacity, members = len(self.members), list(self.members)
        if _stride(count + 1, capacity) > _stride(max(count, 1), capacity):
            members = members[::2] + members[:1] * (capacity - len(members[::2]))
        stride = _stride(count + 1, capacity)
        if count % stride == 0:
            members[count // stride] = policy.params
        kept = count // stride + 1
        weights = np.where(np.arange(capacity) < kept, 1 / kept, 0).astype(np.float32)
        return dataclasses.replace(self, members=tuple(members), weights=weights)

    def member(self, number: int) -> LanguageModel:
        """The policy in place `number`."""
        return self.frame.with_params(self.members[number])

    def at(self, rows: Array) -> "Pool":
        """The pool asked the prompts `rows` `[B]` only, which are numbers 0 to B - 1 then."""
        return dataclasses.replace(self, frame=self.frame.at(rows))

    def log_prob(self, prompts: Array, responses: Array) -> Array:
        """Log-probabilities `[B, K]` of completions `[B, K, T]`: `log sum_m weights[m] exp(sum over tokens)`.

        With `reduction="mean"` that is divided by the number of tokens.
        """
        filled = np.flatnonzero(np.asarray(self.weights)).tolist()
        each = jnp.stack([jnp.sum(self.member(m).token_log_probs(prompts, responses), axis=-1) for m in filled])
        weights = jnp.asarray(np.asarray(self.weights)[filled], each.dtype)
        return self.frame.reduced(logsumexp(each, axis=0, b=weights[:, None, None]), responses)

    def sample(self, key: Key, prompts: Array, count: int) -> np.ndarray:
        """`count` completions to each prompt, int32 `[B, count, T]` in NumPy, each from a member of its own.

        Draw k of row b depends on `fold_in(fold_in(key, b), k)` alone. The cost is that of as many completions from one
        policy, each of which reads its context by itself.
        """
        prompts = np.asarray(prompts)
        rows, draws = np.arange(len(prompts)), np.arange(count)
        keys = jax.vmap(functools.partial(jax.random.fold_in, key))(rows)
        keys = jax.vmap(lambda row: jax.vmap(functools.partial(jax.random.fold_in, row))(draws))(keys).reshape(-1)
        log = jnp.log(jnp.asarray(self.weights))
        chosen = np.asarray(jax.vmap(lambda one: jax.random.categorical(jax.random.fold_in(one, 0), log))(keys))
        told = jax.vmap(lambda one: jax.random.fold_in(one, 1))(keys)
        asked, shape = self.frame.at(np.repeat(prompts, count)), (len(prompts), count, self.frame.decoding.new_tokens)
        found = np.full((len(chosen), shape[-1]), -1, np.int32)
        for number in np.unique(chosen).tolist():
            mine = np.flatnonzero(chosen == number)
            rows = np.resize(mine, 1 << (len(mine) - 1).bit_length())
            completions = asked.with_params(self.members[number]).sample(told[rows], rows, 1)
            found[mine] = np.asarray(completions)[: len(mine), 0]
        return found.reshape(shape)


def _stride(count: int, capacity: int) -> int:
    """The smallest power of two s with `ceil(count / s) <= capacity`."""
    return 1 << (-(-count // capacity) - 1).bit_length()

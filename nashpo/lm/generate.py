"""Completions of language models, one policy's or a mixture's, token by token."""

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias, cast

import jax
import jax.numpy as jnp

from nashpo.compiling import Compiled
from nashpo.lm.decoder import Cache, Decoder, LoRA, empty_cache, hidden, logits
from nashpo.lm.filters import Decoding, draw_token, next_token_law
from nashpo.lm.sequences import lengths, positions
from nashpo.logspace import log_softmax
from nashpo.typing import Array, Key

Weights: TypeAlias = Array | Sequence[float]
"""`[M]`."""


class Parts(NamedTuple):
    """What one policy is made of: a decoder's parameters, and an adapter or None."""

    params: Any
    adapter: Any = None
    """A pytree as of `init_adapter`; None and {} are off."""


class Completions(NamedTuple):
    """Completions with the end token in them, and what is known of their tokens; another engine may leave that None."""

    tokens: Array
    """int32 `[B, K, T]`, -1 after the end."""
    log_probs: Array | None = None
    """`[B, K, T]` under the law that they were drawn from, after temperature and filters; 0 after the end."""
    unfiltered: Array | None = None
    """`[B, K, T]` under the policy or the mixture itself, at temperature 1; 0 after the end."""


class Generator(Protocol):
    """Something that completes contexts: `generate`, or another engine in its place (`LanguageModel.generator`).

    An engine of its own process is a class with `__call__` that sends what changes to it, which is the adapter of each
    policy in most runs, and turns contexts without their padding into its requests. It must be hashable, for it is
    structure of the policy, and is called outside compiled programs, with arrays that may be NumPy's or JAX's.
    """

    def __call__(
        self,
        decoder: Decoder,
        lora: LoRA | None,
        parts: tuple[Parts, ...],
        weights: Weights,
        contexts: Array,
        key: Key,
        count: int,
        decoding: Decoding,
    ) -> Completions:
        """`count` completions to each context `[B, P]` (padded on the left with -1), under

            next token ~ filter(softmax(sum_m weights[m] logits_m / temperature)),

        where m runs over `parts` and logits of policy m are those of its own reading of context and completion. An
        engine that cannot mix raises `ValueError` for more than one of them. `key` is one key, or one for every row;
        what it makes reproducible is the engine's affair.
        """
        ...


def generate(
    decoder: Decoder,
    lora: LoRA | None,
    parts: tuple[Parts, ...],
    weights: Weights,
    contexts: Array,
    key: Key,
    count: int,
    decoding: Decoding,
) -> Completions:
    """`count` completions to each context `[B, P]`, int32 and padded on the left with -1, in one compiled program.

        next token ~ filter(softmax(sum_m weights[m] logits_m / temperature))

    Each of the policies `parts` reads every context once and keeps its own cache of keys and values; those are repeated
    for the completions, which grow together until all have ended. Weights `[M]` may be negative. With several policies
    this is NOT the geometric mixture of whole completions, `prod_m pi_m(y)^weights[m]`: every token is normalised by
    itself and does not foresee what the next ones cost. It is how Nash-MD samples (Munos et al. 2023,
    arXiv:2312.00886, section 7).

    Completion k of row b depends on `fold_in(fold_in(key, b), k)` and on its own context alone, not on how many others
    there are or how wide the padding is; `key` may also be one key for every row, `[B]`, in place of `fold_in(key, b)`.
    The decoder, `lora`, `count`, `decoding` and the shapes make another program; weights and parameters do not.
    Policies that share their `params` (the same arrays) share them in the program.

    Raises `ValueError` for no policies, or weights that are not one for each.

    >>> from nashpo.lm.decoder import init_params
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> parts = (Parts(init_params(decoder, jax.random.key(0))),)
    >>> contexts = jnp.array([[-1, 5], [3, 4]])
    >>> found = generate(decoder, None, parts, [1.0], contexts, jax.random.key(0), 3, Decoding(new_tokens=4, end=(2,)))
    >>> found.tokens.shape, bool(jnp.all(found.log_probs <= 0))
    ((2, 3, 4), True)
    """
    weights = jnp.asarray(weights, jnp.float32)
    if not parts or weights.shape != (len(parts),):
        raise ValueError(f"weights has shape {weights.shape}: give one weight to each of {len(parts)} policies.")
    bases, base_of = _shared([part.params for part in parts])
    adapters = tuple(part.adapter or {} for part in parts)
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    how = _How(decoder, lora, base_of, count, decoding)
    return _generate(how, bases, adapters, weights, jnp.asarray(contexts, jnp.int32), key)


class _How(NamedTuple):
    """The structure of a call: what makes another compiled program."""

    decoder: Decoder
    lora: LoRA | None
    base_of: tuple[int, ...]
    """Which of the distinct parameters each policy has."""
    count: int
    decoding: Decoding


class _Step(NamedTuple):
    """The completions so far, time first."""

    time: jax.Array
    token: jax.Array
    ended: jax.Array
    caches: tuple[Cache, ...]
    tokens: jax.Array
    log_probs: jax.Array
    unfiltered: jax.Array | None


@functools.partial(Compiled, static_argnums=0)
def _generate(
    how: _How, bases: tuple[Any, ...], adapters: tuple[Any, ...], weights: jax.Array, contexts: jax.Array, key: Key
) -> Completions:
    """`generate` with the parameters that policies share given once."""
    (batch, width), steps, rows = contexts.shape, how.decoding.new_tokens, len(contexts) * how.count
    uniforms = None if how.decoding.temperature == 0 else _uniforms(key, batch, how.count, steps)
    told = jnp.repeat(lengths(contexts), how.count)

    def read(base: Any, adapter: Any) -> tuple[jax.Array, Cache]:
        cache, places = empty_cache(how.decoder, batch, width, base["embed"].dtype), jnp.asarray(positions(contexts))
        states, cache = hidden(how.decoder, base, contexts, places, cache, 0, adapter=adapter, lora=how.lora)
        return states[:, -1], _spread(cast(Cache, cache), how.count, steps - 1)

    def speak(step: _Step, scores: jax.Array) -> _Step:
        law = next_token_law(scores, how.decoding)
        token = jnp.argmax(law, axis=-1) if uniforms is None else draw_token(law, uniforms[step.time])
        token = jnp.where(step.ended, -1, token.astype(jnp.int32))
        unfiltered = step.unfiltered
        if unfiltered is not None:
            unfiltered = unfiltered.at[step.time].set(_said(log_softmax(scores), token))
        return step._replace(
            time=step.time + 1,
            token=token,
            ended=step.ended | jnp.isin(token, jnp.asarray(how.decoding.end, jnp.int32)),
            tokens=step.tokens.at[step.time].set(token),
            log_probs=step.log_probs.at[step.time].set(_said(law, token)),
            unfiltered=unfiltered,
        )

    def proceed(step: _Step) -> _Step:
        place = jnp.where(step.ended, -1, told + step.time - 1)[:, None]
        states, caches = [], []
        for which, adapter, cache in zip(how.base_of, adapters, step.caches, strict=True):
            at = width + step.time - 1
            state, cache = hidden(
                how.decoder, bases[which], step.token[:, None], place, cache, at, adapter=adapter, lora=how.lora
            )
            states.append(state[:, 0])
            caches.append(cache)
        return speak(step._replace(caches=tuple(caches)), _mixed(how, bases, weights, states))

    states, caches = zip(
        *[read(bases[n], adapter) for n, adapter in zip(how.base_of, adapters, strict=True)], strict=True
    )
    blank = jnp.zeros((steps, rows), jnp.float32)
    begun = _Step(
        time=jnp.zeros((), jnp.int32),
        token=jnp.zeros(rows, jnp.int32),
        ended=jnp.zeros(rows, bool),
        caches=caches,
        tokens=jnp.full((steps, rows), -1, jnp.int32),
        log_probs=blank,
        unfiltered=None if how.decoding.plain else blank,
    )
    begun = speak(begun, jnp.repeat(_mixed(how, bases, weights, list(states)), how.count, axis=0))
    done = jax.lax.while_loop(lambda step: (step.time < steps) & ~jnp.all(step.ended), proceed, begun)
    unfiltered = done.log_probs if done.unfiltered is None else done.unfiltered
    return Completions(*(out.T.reshape(batch, how.count, steps) for out in (done.tokens, done.log_probs, unfiltered)))


def _mixed(how: _How, bases: tuple[Any, ...], weights: jax.Array, states: list[jax.Array]) -> jax.Array:
    """`sum_m weights[m] logits_m`, `[R, V]`, of states `[R, D]`; policies with one head are mixed before it."""
    if how.decoder.logit_cap is not None:
        scores = [logits(how.decoder, bases[n], state) for n, state in zip(how.base_of, states, strict=True)]
        return functools.reduce(jnp.add, [weights[m] * score for m, score in enumerate(scores)])
    sums: dict[int, jax.Array] = {}
    for m, (which, state) in enumerate(zip(how.base_of, states, strict=True)):
        term = weights[m] * state.astype(jnp.float32)
        sums[which] = sums[which] + term if which in sums else term
    scores = [logits(how.decoder, bases[n], total.astype(states[0].dtype)) for n, total in sums.items()]
    return functools.reduce(jnp.add, scores)


def _said(law: Array, token: jax.Array) -> jax.Array:
    """The log-probability `[R]` of each token, 0 for -1."""
    found = jnp.take_along_axis(law, jnp.maximum(token, 0)[:, None], axis=-1)[:, 0]
    return jnp.where(token >= 0, found, 0.0)


def _spread(cache: Cache, count: int, more: int) -> Cache:
    """The cache of `count` rows for every row, with as many empty slots more."""
    k, v = (jnp.pad(part, ((0, 0), (0, 0), (0, more), (0, 0), (0, 0))) for part in (cache.k, cache.v))
    places = jnp.pad(cache.positions, ((0, 0), (0, more)), constant_values=-1)
    return Cache(jnp.repeat(k, count, axis=1), jnp.repeat(v, count, axis=1), jnp.repeat(places, count, axis=0))


def _uniforms(key: Key, batch: int, count: int, steps: int) -> jax.Array:
    """Two uniform numbers for every token, `[T, B * count, 2]`, each from the keys of its row, draw and time."""
    rows = key if jnp.ndim(key) else jax.vmap(functools.partial(jax.random.fold_in, key))(jnp.arange(batch))
    draws = jax.vmap(lambda row: jax.vmap(functools.partial(jax.random.fold_in, row))(jnp.arange(count)))(rows)

    def at(time: jax.Array) -> jax.Array:
        keys = jax.vmap(jax.random.fold_in, (0, None))(draws.reshape(-1), time)
        return jax.vmap(lambda one: jax.random.uniform(one, (2,), jnp.float32))(keys)

    return jax.vmap(at)(jnp.arange(steps))


def _shared(params: list[Any]) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """The distinct parameters, compared by identity of their arrays, and the number of each policy's."""
    names = [tuple(map(id, jax.tree.leaves(tree))) for tree in params]
    distinct = list(dict.fromkeys(names))
    return tuple(params[names.index(name)] for name in distinct), tuple(distinct.index(name) for name in names)

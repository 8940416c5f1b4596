"""Log-probabilities of completions whose gradient fits in memory."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from nashpo.lm.decoder import Decoder, LoRA, hidden, logits
from nashpo.lm.generate import Parts
from nashpo.lm.sequences import positions


@functools.partial(jax.jit, static_argnames=("decoder", "lora", "chunk", "remat"))
def completion_log_probs(
    decoder: Decoder,
    lora: LoRA | None,
    part: Parts,
    contexts: Array,
    responses: Array,
    chunk: int = 32,
    remat: bool = True,
) -> Array:
    """`log pi(y_t | x, y_<t)` of every token of completions `[B, K, T]`, float32 `[B, K, T]`, 0 where they hold -1.

    Contexts `[B, P]` are padded on the left with -1. Logits exist for `chunk` positions of the completions at a time,
    never for contexts and never `[B K, T, V]`, and the backward pass makes them again; with `remat` it makes each layer
    again too instead of keeping what is inside. The softmax is computed in float32.

    >>> from nashpo.lm.decoder import init_params
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> part = Parts(init_params(decoder, jax.random.key(0), scale=0.0))
    >>> found = completion_log_probs(decoder, None, part, jnp.array([[-1, 5]]), jnp.array([[[3, 2, -1]]]))
    >>> jnp.exp(found).tolist()
    [[[0.125, 0.125, 1.0]]]
    """

    def said(scores: Array, tokens: Array) -> Array:
        chosen = jnp.arange(scores.shape[-1]) == tokens[..., None]
        return jnp.sum(jnp.where(chosen, scores, 0.0), axis=-1) - jax.nn.logsumexp(scores, axis=-1)

    return _by_chunks(said, decoder, lora, part, contexts, responses, chunk, remat)


@functools.partial(jax.jit, static_argnames=("decoder", "lora", "chunk", "remat"))
def completion_entropies(
    decoder: Decoder,
    lora: LoRA | None,
    part: Parts,
    contexts: Array,
    responses: Array,
    chunk: int = 32,
    remat: bool = True,
) -> Array:
    """Entropies in nats of the laws that tokens of completions `[B, K, T]` were next tokens of; else as above.

    Summed over the tokens of completions that were drawn from the policy they estimate its entropy without bias.

    >>> from nashpo.lm.decoder import init_params
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> part = Parts(init_params(decoder, jax.random.key(0), scale=0.0))
    >>> found = completion_entropies(decoder, None, part, jnp.array([[-1, 5]]), jnp.array([[[3, 2, -1]]]))
    >>> jnp.exp(found).round().tolist()
    [[[8.0, 8.0, 1.0]]]
    """

    def entropy(scores: Array, tokens: Array) -> Array:
        return jax.nn.logsumexp(scores, axis=-1) - jnp.sum(jax.nn.softmax(scores) * scores, axis=-1)

    return _by_chunks(entropy, decoder, lora, part, contexts, responses, chunk, remat)


def _by_chunks(
    measure: Callable[[Array, Array], Array],
    decoder: Decoder,
    lora: LoRA | None,
    part: Parts,
    contexts: Array,
    responses: Array,
    chunk: int,
    remat: bool,
) -> Array:
    """`measure(logits [R, C, V], tokens [R, C])` of every position of the completions, `[B, K, T]`."""
    batch, count, length = responses.shape
    tokens = responses.reshape(batch * count, length)
    reader = functools.partial(hidden, decoder, part.params, adapter=part.adapter or {}, lora=lora, remat=remat)
    together = _together(decoder, contexts.shape[1], count, length)
    states = (_read_together if together else _read_apart)(reader, contexts, responses)

    @jax.checkpoint
    def piece(states: Array, tokens: Array) -> Array:
        return measure(logits(decoder, part.params, states), tokens)

    chunk = min(chunk, length)
    missing = -length % chunk
    states = jnp.pad(states, ((0, 0), (0, missing), (0, 0)))
    spoken = jnp.pad(tokens, ((0, 0), (0, missing)), constant_values=-1)
    pieces = jax.lax.map(lambda both: piece(*both), (_cut(states, chunk), _cut(spoken, chunk)))
    found = jnp.moveaxis(pieces, 0, 1).reshape(batch * count, length + missing)[:, :length]
    return jnp.where(tokens >= 0, found, 0.0).reshape(responses.shape)


def _cut(rows: Array, chunk: int) -> Array:
    """Rows `[R, n C, ...]` as chunks `[n, R, C, ...]`."""
    return jnp.moveaxis(rows.reshape(len(rows), -1, chunk, *rows.shape[2:]), 1, 0)


def _read_apart(reader: Callable[..., Any], contexts: Array, responses: Array) -> Array:
    """States `[B K, T, D]` from which each token of completions is the next one; each completion with its context."""
    batch, count, length = responses.shape
    read = jnp.concatenate(
        [jnp.repeat(contexts, count, axis=0), responses.reshape(batch * count, length)[:, :-1]], axis=1
    )
    return reader(read, jnp.asarray(positions(read)))[0][:, contexts.shape[1] - 1 :]


def _read_together(reader: Callable[..., Any], contexts: Array, responses: Array) -> Array:
    """The same with every context read once, the trunk of a row whose branches are its completions."""
    (batch, count, length), width = responses.shape, contexts.shape[1]
    branches = responses[:, :, :-1].reshape(batch, -1)
    told = jnp.asarray(positions(contexts))
    steps = jnp.tile(jnp.arange(length - 1), count)
    after = jnp.where(branches >= 0, told[:, -1:] + 1 + steps, -1)
    numbers = jnp.concatenate([jnp.zeros(width, jnp.int32), 1 + jnp.repeat(jnp.arange(count), length - 1)])
    row = jnp.concatenate([contexts, branches], axis=1), jnp.concatenate([told, after], axis=1).astype(jnp.int32)
    states = reader(*row, branches=jnp.broadcast_to(numbers, row[0].shape))[0]
    first = jnp.repeat(states[:, None, width - 1 : width], count, axis=1)
    later = states[:, width:].reshape(batch, count, length - 1, -1)
    return jnp.concatenate([first, later], axis=2).reshape(batch * count, length, -1)


def _together(decoder: Decoder, width: int, count: int, length: int) -> bool:
    """Whether it is less work to read the completions of a context together.

    Contexts are read once instead of K times, but queries are scored against all completions, their own or not.
    """
    maps = sum(shape[0] * shape[1] for shape in decoder.shapes["layer"].values() if len(shape) == 2)

    def work(row: int) -> int:
        return row * (maps + 2 * decoder.heads * decoder.head_dim * row)

    return count > 1 and work(width + count * (length - 1)) < count * work(width + length - 1)

"""Grouped-query attention, its mask made of positions alone, a few queries at a time."""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nashpo.lm.decoder.architecture import Decoder
from nashpo.lm.decoder.rope import rotate

MASKED = -1e30
"""Score of what is not seen; finite, so that a row that sees nothing has no NaN."""
QUERIES = 128
"""How many queries are scored at a time: scores are `[B, heads, QUERIES, S]`, and made again by the backward pass."""


class Places(NamedTuple):
    """Where queries and keys of a layer are."""

    queries: Array
    """Positions `[B, T]`; -1 is padding."""
    keys: Array
    """Positions `[B, S]`; -1 is padding or an empty slot."""
    window: Array | None
    """How many positions back a query sees, its own included; None for all."""
    layer: Array
    """The number of the layer, where its keys go in the cache."""
    at: Any
    """The first of the slots of the cache that the new keys go to."""
    branches: Array | None = None
    """Which branch `[B, T]` each of T tokens is on, 0 for the trunk; None for no branches. Only without a cache."""


def attention(decoder: Decoder, maps: Any, x: Array, turn: tuple[Array, Array], places: Places, kv: Any) -> Any:
    """Attention of `x [B, T, D]` to itself, or to the cache `kv` that its keys and values go to; and that cache."""
    batch, length = x.shape[:2]
    q, k, v = (maps(name, x).reshape(batch, length, -1, decoder.head_dim) for name in ("q", "k", "v"))
    if decoder.qk_norm:
        q, k = norm(decoder, q, maps.weights["q_norm"]), norm(decoder, k, maps.weights["k_norm"])
    q, k = rotate(q, *turn), rotate(k, *turn)
    if kv is not None:
        kv = tuple(_write(old, new, places) for old, new in zip(kv, (k, v), strict=True))
        k, v = (jax.lax.dynamic_index_in_dim(layers, places.layer, keepdims=False).astype(x.dtype) for layers in kv)
    q = q.reshape(batch, length, decoder.kv_heads, decoder.groups, decoder.head_dim)
    y = _attend_in_parts(decoder, q, k, v, places)
    return maps("o", y.reshape(batch, length, -1)), kv


def norm(decoder: Decoder, x: Array, scale: Array) -> Array:
    """Root-mean-square norm over the last axis, in float32."""
    wide = x.astype(jnp.float32)
    wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + decoder.norm_eps)
    if decoder.norm_offset:
        return (wide * (1.0 + scale.astype(jnp.float32))).astype(x.dtype)
    return wide.astype(x.dtype) * scale


def cap(x: Array, limit: float | None) -> Array:
    """`limit tanh(x / limit)`; None is no limit."""
    return x if limit is None else limit * jnp.tanh(x / limit)


def _attend_in_parts(decoder: Decoder, q: Array, k: Array, v: Array, places: Places) -> Array:
    """`_attend`, for at most QUERIES of the T queries at a time, of which nothing but the result is kept."""
    batch, length = q.shape[:2]
    branches = places.branches
    if length <= QUERIES:
        return _attend(decoder, q, k, v, (places.queries, branches), places)
    parts = math.ceil(length / QUERIES)
    size = math.ceil(length / parts)
    more = parts * size - length

    def split(x: Array, fill: int) -> Array:
        """Parts of the T axis in front, the last one filled up."""
        x = jnp.pad(x, ((0, 0), (0, more), *((0, 0),) * (x.ndim - 2)), constant_values=fill)
        return jnp.moveaxis(x.reshape(batch, parts, size, *x.shape[2:]), 1, 0)

    def part(one):
        return _attend(decoder, one[0], k, v, one[1], places)

    rows = split(places.queries, -1), None if branches is None else split(branches, 0)
    y = jax.lax.map(jax.checkpoint(part, prevent_cse=False), (split(q, 0), rows))
    return jnp.moveaxis(y, 0, 1).reshape(batch, parts * size, *q.shape[2:])[:, :length]


def _attend(decoder: Decoder, q: Array, k: Array, v: Array, queries: tuple[Array, Any], places: Places) -> Array:
    """Values `[B, T, kv_heads, groups, head_dim]` of queries of that shape; `queries`: positions and branches."""
    distance = queries[0][:, :, None] - places.keys[:, None, :]
    seen = (places.keys[:, None, :] >= 0) & (distance >= 0)
    if places.branches is not None:
        keys = places.branches[:, None, :]
        seen &= (keys == 0) | (keys == queries[1][:, :, None])
    if places.window is not None:
        seen &= distance < places.window
    # Keys and values first: XLA's products on CPUs are up to eight times as fast that way round.
    scores = jnp.einsum("bskh,btkgh->bkgts", k, q, preferred_element_type=jnp.float32)
    scores = cap(scores * decoder.score_scale, decoder.attention_cap)
    weights = jax.nn.softmax(jnp.where(seen[:, None, None], scores, MASKED), axis=-1)
    return jnp.einsum("bskh,bkgts->btkgh", v, weights.astype(q.dtype))


def _write(cache: Array, new: Array, places: Places) -> Array:
    """`cache [N, B, S, ...]` with `new [B, T, ...]` in its layer, at slots `at` and following."""
    start = (places.layer, 0, jnp.asarray(places.at, places.layer.dtype), 0, 0)
    return jax.lax.dynamic_update_slice(cache, new[None].astype(cache.dtype), start)

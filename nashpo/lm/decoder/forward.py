"""The forward pass: one block, scanned over the layers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nashpo.lm.decoder.architecture import Decoder
from nashpo.lm.decoder.lora import LoRA
from nashpo.lm.decoder.rope import rotate, rotations

MASKED = -1e30
"""Attention score of what is not seen; finite, so that a row that sees nothing has no NaN."""


class Cache(NamedTuple):
    """Keys and values of the positions so far; slots that hold none have position -1.

    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=2, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> empty_cache(decoder, batch=3, length=5).k.shape
    (2, 3, 5, 1, 2)
    """

    k: Array
    """`[N, B, S, kv_heads, head_dim]`, turned."""
    v: Array
    """`[N, B, S, kv_heads, head_dim]`."""
    positions: Array
    """`[B, S]` int32."""


def empty_cache(decoder: Decoder, batch: int, length: int, dtype: Any = jnp.float32) -> Cache:
    """A cache of `length` empty slots for `batch` texts.

    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=2, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> empty_cache(decoder, batch=1, length=3).positions
    Array([[-1, -1, -1]], dtype=int32)
    """
    shape = (decoder.layers, batch, length, decoder.kv_heads, decoder.head_dim)
    return Cache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype), jnp.full((batch, length), -1, jnp.int32))


def hidden(
    decoder: Decoder,
    params: Any,
    tokens: Array,
    positions: Array,
    cache: Cache | None = None,
    at: Any = 0,
    adapter: Any = None,
    lora: LoRA | None = None,
    remat: bool = False,
) -> tuple[Array, Cache | None]:
    """States `[B, T, D]` after the final norm of tokens `[B, T]` at positions `[B, T]`, and the cache with them in it.

    Positions count from 0 in every row; -1 is padding, which nobody sees, wherever it stands. A query sees the keys
    with `0 <= position <= its own` (and, in a layer with a window w, less than w back). With a cache, keys and values
    of these T tokens go to slots `at .. at + T - 1` (`at` may be traced) and queries see the whole cache.

    `adapter` with its `lora` adds `scale (x a) b` to the maps it names; None or {} is off. With `remat` the backward
    pass computes each layer again instead of keeping what is inside. Norms, angles and softmax are float32, the rest
    is in the dtype of the parameters.

    >>> from nashpo.lm.decoder import init_params
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=2, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> params = init_params(decoder, jax.random.key(0))
    >>> states, cache = hidden(decoder, params, jnp.array([[0, 5, 6]]), jnp.array([[-1, 0, 1]]))
    >>> states.shape, cache
    ((1, 3, 4), None)
    """
    if adapter and lora is None:
        raise ValueError("adapter is given without lora: its rank and alpha say how strongly it counts.")
    embed = params["embed"]
    x = jnp.take(embed, jnp.maximum(tokens, 0), axis=0)
    if decoder.embedding_scale is not None:
        x = x * jnp.asarray(decoder.embedding_scale, embed.dtype)
    k_positions = positions
    if cache is not None:
        written = jax.lax.dynamic_update_slice_in_dim(cache.positions, positions.astype(jnp.int32), at, axis=1)
        cache, k_positions = cache._replace(positions=written), written
    ropes, rope_of = _distinct(decoder.ropes)
    windows, window_of = _distinct(decoder.windows)
    turns = rotations(ropes, decoder.head_dim, jnp.maximum(positions, 0))
    masks = jnp.stack([_mask(positions, k_positions, window) for window in windows])
    scale = lora.scale if adapter and lora is not None else 0.0

    def layer(carry, scanned):
        x, kv = carry
        number, weights, changes = scanned
        turn = tuple(t[rope_of[number]] if len(ropes) > 1 else t[0] for t in turns)
        mask = masks[window_of[number]] if len(windows) > 1 else masks[0]
        x, kv = _block(decoder, _Maps(weights, changes, scale), x, turn, mask, kv, number, at)
        return (x, kv), None

    step = jax.checkpoint(layer, prevent_cse=False) if remat else layer
    numbers = jnp.arange(decoder.layers)
    kv = None if cache is None else (cache.k, cache.v)
    (x, kv), _ = jax.lax.scan(step, (x, kv), (numbers, params["layers"], adapter or {}))
    if cache is not None and kv is not None:
        cache = Cache(kv[0], kv[1], cache.positions)
    return _norm(decoder, x, params["norm"]), cache


def logits(decoder: Decoder, params: Any, hidden: Array) -> Array:
    """Next-token logits, float32 `[..., V]`, of states `[..., D]`.

    >>> from nashpo.lm.decoder import init_params
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> logits(decoder, init_params(decoder, jax.random.key(0)), jnp.ones((2, 3, 4))).shape
    (2, 3, 8)
    """
    head = params["embed"] if decoder.tied else params["head"]
    scores = jnp.einsum("...d,vd->...v", hidden, head, preferred_element_type=jnp.float32)
    return _cap(scores, decoder.logit_cap)


class _Maps:
    """The linear maps of one layer, with what an adapter adds to them."""

    def __init__(self, weights: Any, changes: Any, scale: float) -> None:
        self.weights, self.changes, self.scale = weights, changes, scale

    def __call__(self, name: str, x: Array) -> Array:
        y = x @ self.weights[name]
        if f"{name}_bias" in self.weights:
            y = y + self.weights[f"{name}_bias"]
        if name in self.changes:
            a, b = (self.changes[name][part].astype(x.dtype) for part in ("a", "b"))
            y = y + ((x @ a) @ b) * jnp.asarray(self.scale, x.dtype)
        return y


def _block(decoder, maps, x, turn, mask, kv, number, at):
    """One layer: attention and MLP, each added to what goes by."""
    weights = maps.weights
    y, kv = _attention(decoder, maps, _norm(decoder, x, weights["attention_norm"]), turn, mask, kv, number, at)
    x = x + (_norm(decoder, y, weights["attention_out_norm"]) if decoder.sandwich else y)
    y = _norm(decoder, x, weights["mlp_norm"])
    y = maps("down", _activation(decoder.activation, maps("gate", y)) * maps("up", y))
    return x + (_norm(decoder, y, weights["mlp_out_norm"]) if decoder.sandwich else y), kv


def _attention(decoder, maps, x, turn, mask, kv, number, at):
    """Grouped-query attention of `x [B, T, D]` to itself, or to the cache that its keys and values are written to."""
    batch, length = x.shape[:2]
    q, k, v = (maps(name, x).reshape(batch, length, -1, decoder.head_dim) for name in ("q", "k", "v"))
    if decoder.qk_norm:
        q, k = _norm(decoder, q, maps.weights["q_norm"]), _norm(decoder, k, maps.weights["k_norm"])
    q, k = rotate(q, *turn), rotate(k, *turn)
    if kv is not None:
        kv = tuple(_write(old, new, number, at) for old, new in zip(kv, (k, v), strict=True))
        k, v = (jax.lax.dynamic_index_in_dim(all_layers, number, keepdims=False) for all_layers in kv)
    q = q.reshape(batch, length, decoder.kv_heads, decoder.groups, decoder.head_dim)
    # Keys and values first: XLA's products on CPUs are up to eight times as fast that way round.
    scores = jnp.einsum("bskh,btkgh->bkgts", k.astype(q.dtype), q, preferred_element_type=jnp.float32)
    scores = _cap(scores * decoder.score_scale, decoder.attention_cap)
    weights = jax.nn.softmax(jnp.where(mask[:, None, None], scores, MASKED), axis=-1)
    y = jnp.einsum("bskh,bkgts->btkgh", v.astype(x.dtype), weights.astype(x.dtype))
    return maps("o", y.reshape(batch, length, -1)), kv


def _write(cache: Array, new: Array, number: Array, at: Any) -> Array:
    """`cache [N, B, S, ...]` with `new [B, T, ...]` at layer `number`, slots `at` and following."""
    start = (number, 0, jnp.asarray(at, number.dtype), 0, 0)
    return jax.lax.dynamic_update_slice(cache, new[None].astype(cache.dtype), start)


def _mask(q_positions: Array, k_positions: Array, window: int | None) -> Array:
    """What queries `[B, T]` see of keys `[B, S]`: boolean `[B, T, S]`."""
    q, k = q_positions[:, :, None], k_positions[:, None, :]
    seen = (k >= 0) & (k <= q)
    return seen if window is None else seen & (q - k < window)


def _norm(decoder: Decoder, x: Array, scale: Array) -> Array:
    """Root-mean-square norm over the last axis, in float32."""
    wide = x.astype(jnp.float32)
    wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + decoder.norm_eps)
    if decoder.norm_offset:
        return (wide * (1.0 + scale.astype(jnp.float32))).astype(x.dtype)
    return wide.astype(x.dtype) * scale


def _activation(name: str, x: Array) -> Array:
    """The activation of an MLP's gate."""
    return jax.nn.silu(x) if name == "silu" else jax.nn.gelu(x, approximate=name == "gelu_tanh")


def _cap(x: Array, cap: float | None) -> Array:
    """`cap tanh(x / cap)`."""
    return x if cap is None else cap * jnp.tanh(x / cap)


def _distinct(entries: tuple) -> tuple[tuple, Array]:
    """The distinct entries, and the number `[N]` of each layer's."""
    distinct = tuple(dict.fromkeys(entries))
    return distinct, jnp.asarray([distinct.index(entry) for entry in entries], jnp.int32)

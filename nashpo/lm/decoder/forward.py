"""The forward pass: one block, scanned over the layers."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from nashpo.lm.decoder.architecture import Decoder
from nashpo.lm.decoder.attention import Places, attention, cap, norm
from nashpo.lm.decoder.lora import LoRA
from nashpo.lm.decoder.rope import rotations

EVERYTHING = 2**31 - 1
"""The window of layers that have none, where others have one."""


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
    branches: Array | None = None,
) -> tuple[Array, Cache | None]:
    """States `[B, T, D]` after the final norm of tokens `[B, T]` at positions `[B, T]`, and the cache with them in it.

    Positions count from 0 in every row; -1 is padding, which nobody sees, wherever it stands. A query sees the keys
    with `0 <= position <= its own` (and, in a layer with a window w, less than w back). With a cache, keys and values
    of these T tokens go to slots `at .. at + T - 1` (`at` may be traced) and queries see the whole cache.

    Without a cache a row may be a tree: `branches` `[B, T]` says which branch a token is on. A query sees the trunk,
    branch 0, and its own branch; positions of a branch go on where the trunk ends.

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
    if branches is not None and cache is not None:
        raise ValueError("branches are read without a cache.")
    embed = params["embed"]
    x = jnp.take(embed, jnp.maximum(tokens, 0), axis=0)
    if decoder.embedding_scale is not None:
        x = x * jnp.asarray(decoder.embedding_scale, embed.dtype)
    seen = positions
    if cache is not None:
        seen = jax.lax.dynamic_update_slice_in_dim(cache.positions, positions.astype(jnp.int32), at, axis=1)
    ropes, rope_of = _distinct(decoder.ropes)
    turns = rotations(ropes, decoder.head_dim, jnp.maximum(positions, 0))
    windows = None
    if any(window is not None for window in decoder.windows):
        windows = jnp.asarray([EVERYTHING if window is None else window for window in decoder.windows], jnp.int32)
    scale = lora.scale if adapter and lora is not None else 0.0

    def layer(carry, scanned):
        x, kv = carry
        number, weights, changes, window = scanned
        turn = tuple(t[rope_of[number]] if len(ropes) > 1 else t[0] for t in turns)
        places = Places(positions, seen, window, number, at, branches)
        return _block(decoder, _Maps(weights, changes, scale), x, turn, places, kv), None

    step = jax.checkpoint(layer, prevent_cse=False) if remat else layer
    numbers = jnp.arange(decoder.layers)
    kv = None if cache is None else (cache.k, cache.v)
    (x, kv), _ = jax.lax.scan(step, (x, kv), (numbers, params["layers"], adapter or {}, windows))
    return norm(decoder, x, params["norm"]), None if kv is None else Cache(*kv, seen)


def logits(decoder: Decoder, params: Any, hidden: Array) -> Array:
    """Next-token logits, float32 `[..., V]`, of states `[..., D]`.

    >>> from nashpo.lm.decoder import init_params
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> logits(decoder, init_params(decoder, jax.random.key(0)), jnp.ones((2, 3, 4))).shape
    (2, 3, 8)
    """
    head = params["embed"] if decoder.tied else params["head"]
    scores = jnp.einsum("...d,vd->...v", hidden, head, preferred_element_type=jnp.float32)
    return cap(scores, decoder.logit_cap)


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


def _block(decoder, maps, x, turn, places, kv):
    """One layer: attention and MLP, each added to what goes by."""
    weights = maps.weights
    y, kv = attention(decoder, maps, norm(decoder, x, weights["attention_norm"]), turn, places, kv)
    x = x + (norm(decoder, y, weights["attention_out_norm"]) if decoder.sandwich else y)
    y = norm(decoder, x, weights["mlp_norm"])
    y = maps("down", _activation(decoder.activation, maps("gate", y)) * maps("up", y))
    return x + (norm(decoder, y, weights["mlp_out_norm"]) if decoder.sandwich else y), kv


def _activation(name: str, x: Array) -> Array:
    """The activation of an MLP's gate."""
    return jax.nn.silu(x) if name == "silu" else jax.nn.gelu(x, approximate=name == "gelu_tanh")


def _distinct(entries: tuple) -> tuple[tuple, Array]:
    """The distinct entries, and the number `[N]` of each layer's."""
    distinct = tuple(dict.fromkeys(entries))
    return distinct, jnp.asarray([distinct.index(entry) for entry in entries], jnp.int32)

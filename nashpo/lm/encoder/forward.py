"""The forward pass of an encoder: one block, scanned over the layers."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from nashpo.lm.encoder.architecture import Encoder, bucket_of

_MASKED = -1e30
"""Score of what is not seen; finite, so that a row that sees nothing has no NaN."""
_QUERIES = 128
"""How many queries are scored at a time."""


def encode(encoder: Encoder, params: Any, tokens: Array, positions: Array) -> Array:
    """States `[B, T, D]` of tokens `[B, T]`, each of which sees all others but those at position -1, the padding.

        score(i, j) = (q_i k_j + q_i K[b(i - j)] + k_j Q[b(i - j)]) / sqrt(3 head_dim)

    `K` and `Q` are the keys and queries of the embeddings of distances, `b` is `bucket_of`. Texts begin at the left.
    Norms and softmax are float32, the rest is in the dtype of the parameters.

    Paper: He et al. 2020 (arXiv:2006.03654), Eq. 4; distances in buckets are those of v2 and v3.

    >>> encoder = Encoder(vocabulary=8, width=4, layers=2, heads=2, inner=6, buckets=4, farthest=16)
    >>> shapes = encoder.shapes
    >>> params = {name: jnp.ones(shape) for name, shape in shapes["top"].items()}
    >>> params["layers"] = {name: jnp.ones((2, *shape)) for name, shape in shapes["layer"].items()}
    >>> encode(encoder, params, jnp.array([[3, 4, 0]]), jnp.array([[0, 1, -1]])).shape
    (1, 3, 4)
    """
    length = tokens.shape[1]
    x = _norm(encoder, jnp.take(params["embed"], jnp.maximum(tokens, 0), axis=0), params, "embed_norm")
    distances = _norm(encoder, params["distances"], params, "distances_norm")
    buckets = jnp.asarray(bucket_of(np.arange(1 - length, length), encoder))
    places = jnp.arange(length)
    near = buckets[places[:, None] - places[None, :] + length - 1]

    def layer(x, weights):
        y = _attention(encoder, weights, x, distances, near, positions >= 0)
        x = _norm(encoder, x + y, weights, "attention_norm")
        y = _map(weights, "down", jax.nn.gelu(_map(weights, "up", x), approximate=False))
        return _norm(encoder, x + y, weights, "mlp_norm"), None

    return jax.lax.scan(layer, x, params["layers"])[0]


def _attention(encoder: Encoder, weights: Any, x: Array, distances: Array, near: Array, seen: Array) -> Array:
    """Attention of `x [B, T, D]` to itself; `near [T, T]` numbers the distances, `seen [B, T]` are the keys."""

    def heads(name: str, of: Array) -> Array:
        """`[..., T, D]` as `[..., H, T, D / H]`."""
        y = _map(weights, name, of)
        return jnp.swapaxes(y.reshape(*y.shape[:-1], encoder.heads, -1), -3, -2)

    q, k, v = (heads(name, x) for name in ("q", "k", "v"))
    k_far, q_far = heads("k", distances), heads("q", distances)
    scale = (3 * q.shape[-1]) ** -0.5
    wide = {"preferred_element_type": jnp.float32}
    from_keys = jnp.einsum("bhsd,hpd->bhsp", k, q_far, **wide)

    def attend(one: tuple[Array, Array]) -> Array:
        """The values `[B, H, d]` of one query `[B, H, d]` with its distances `[T]`."""
        query, row = one
        score = jnp.einsum("bhsd,bhd->bhs", k, query, **wide)
        score += jnp.take(jnp.einsum("bhd,hpd->bhp", query, k_far, **wide), row, axis=-1)
        score += jnp.take_along_axis(from_keys, row[None, None, :, None], axis=-1)[..., 0]
        share = jax.nn.softmax(jnp.where(seen[:, None], scale * score, _MASKED), axis=-1)
        return jnp.einsum("bhs,bhsd->bhd", share.astype(x.dtype), v)

    y = jax.lax.map(attend, (jnp.moveaxis(q, 2, 0), near), batch_size=min(_QUERIES, len(near)))
    return _map(weights, "o", jnp.moveaxis(y, 0, 1).reshape(x.shape))


def _map(weights: Any, name: str, x: Array) -> Array:
    """A linear map with its bias."""
    return x @ weights[name] + weights[f"{name}_bias"]


def _norm(encoder: Encoder, x: Array, weights: Any, name: str) -> Array:
    """Mean and variance of the last axis made 0 and 1, in float32, then scale and bias."""
    wide = x.astype(jnp.float32)
    wide = wide - jnp.mean(wide, axis=-1, keepdims=True)
    wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + encoder.norm_eps)
    return (wide * weights[name] + weights[f"{name}_bias"]).astype(x.dtype)

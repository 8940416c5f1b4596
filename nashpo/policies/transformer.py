"""A small causal decoder, the network that comes with `Token`."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

from nashpo.policies.answers import Answers
from nashpo.validation.numbers import is_whole


class Transformer(nnx.Module):
    """A pre-norm transformer decoder: contexts `[N, ...]` and tokens `[N, L]` to next-token logits `[N, L, V(+1)]`.

        h_0 = context W + position_0,   h_t = embedding[token_{t-1}] + position_t,
        h <- h + attention(norm(h)),   h <- h + mlp(norm(h))   (GELU, four times as wide),   logits = norm(h) head

    A position attends to itself and those before, and reads the token before its own. The head starts from
    N(0, scale^2 / width), so that the first policy is close to uniform over next tokens; with `scale=0` it is exactly
    that. Parameters are `param_dtype`; computed is in `dtype`, by default in that of the parameters.

    Raises `ValueError` for sizes below 1 or a width that heads do not divide.

    >>> answers = Answers(vocabulary=3, length=4, end=True)
    >>> decoder = Transformer(answers, features=2, width=8, heads=2, layers=1, rngs=nnx.Rngs(0))
    >>> decoder(jnp.eye(2), jnp.zeros((2, 4), int)).shape
    (2, 4, 4)
    """

    def __init__(
        self,
        answers: Answers,
        features: int,
        *,
        rngs: nnx.Rngs,
        width: int = 32,
        heads: int = 2,
        layers: int = 2,
        scale: float = 0.1,
        dtype: Any = None,
        param_dtype: Any = jnp.float32,
    ) -> None:
        """Draw the parameters; `features` is how many numbers the context of one prompt has."""
        answers.check()
        for name, value in (("features", features), ("width", width), ("heads", heads), ("layers", layers)):
            if not is_whole(value, 1):
                raise ValueError(f"{name}={value}: must be a whole number, at least 1.")
        if width % heads:
            raise ValueError(f"width={width} is no multiple of heads={heads}: every head is equally wide.")
        types: Any = {"dtype": dtype, "param_dtype": param_dtype, "rngs": rngs}
        normal = nnx.initializers.normal
        self.dtype = dtype
        self.context = nnx.Linear(features, width, **types)
        self.embedding = nnx.Param(normal(1.0)(rngs.params(), (answers.symbols, width), param_dtype))
        self.position = nnx.Param(normal(0.02)(rngs.params(), (answers.length, width), param_dtype))
        self.blocks = nnx.List([Block(width, heads, types) for _ in range(layers)])
        self.norm = nnx.LayerNorm(width, use_fast_variance=False, **types)
        self.head = nnx.Linear(width, answers.symbols, kernel_init=normal(scale / math.sqrt(width)), **types)

    def __call__(self, contexts: Array, tokens: Array) -> Array:
        """Next-token logits `[N, L, V(+1)]`."""
        dtype = self.dtype or self.context.kernel[...].dtype
        first = self.context(jnp.asarray(contexts, dtype).reshape(len(contexts), 1, -1))
        before = self.embedding[...].astype(dtype)[tokens[:, :-1]]
        h = jnp.concatenate([first, before], axis=1) + self.position[...].astype(dtype)
        for block in self.blocks:
            h = block(h)
        return self.head(self.norm(h))


class Block(nnx.Module):
    """Attention and a perceptron, each added to what it reads, `[N, L, width]`."""

    def __init__(self, width: int, heads: int, types: Any) -> None:
        self.heads = heads
        self.before_attention = nnx.LayerNorm(width, use_fast_variance=False, **types)
        self.attention = nnx.Linear(width, 3 * width, **types)
        self.joined = nnx.Linear(width, width, **types)
        self.before_mlp = nnx.LayerNorm(width, use_fast_variance=False, **types)
        self.up = nnx.Linear(width, 4 * width, **types)
        self.down = nnx.Linear(4 * width, width, **types)

    def __call__(self, h: Array) -> Array:
        """The same shape."""
        h = h + self.joined(_attend(self.attention(self.before_attention(h)), self.heads))
        return h + self.down(jax.nn.gelu(self.up(self.before_mlp(h))))


def _attend(mixed: Array, heads: int) -> Array:
    """Causal attention `[N, L, width]` of queries, keys and values `[N, L, 3 width]`."""
    rows, length, width = mixed.shape
    query, key, value = jnp.moveaxis(mixed.reshape(rows, length, 3, heads, -1), 2, 0)
    scores = jnp.einsum("nthd,nshd->nhts", query, key) / math.sqrt(query.shape[-1])
    past = np.tril(np.ones((length, length), bool))
    weights = jax.nn.softmax(jnp.where(past, scores, -jnp.inf), axis=-1)
    return jnp.einsum("nhts,nshd->nthd", weights, value).reshape(rows, length, width // 3)

"""From next-token logits to the law that tokens are drawn from, and a draw from it."""

import dataclasses

import jax
import jax.numpy as jnp
from jax import Array

from nashpo.logspace import LOG_ZERO, log_softmax
from nashpo.validation.numbers import is_number, is_whole

_LEAST = 1e-30
"""The least temperature and mass: float32 does not hold logits over less."""


@dataclasses.dataclass(frozen=True)
class Decoding:
    """How completions are drawn; structure, not data: hashable, part of the compiled program.

        next token ~ filter(softmax(logits / temperature))

    `temperature=0` is greedy: the likeliest token, the first of equals. `top_k` keeps the k likeliest tokens and those
    equally likely as the last of them; `top_p` then keeps the fewest of the likeliest whose probabilities, among those
    kept so far, sum to `top_p` or more, again with ties (nucleus sampling, Holtzman et al. 2019, arXiv:1904.09751).
    What is kept is normalised. A completion is closed by any of the `end` tokens, which is part of it, or has
    `new_tokens` tokens.

    Raises `ValueError` for fewer than one new token, a negative temperature, `top_k` below 1, `top_p` outside (0, 1],
    either below what float32 tells from 0, or end tokens that are no token numbers.

    >>> Decoding(new_tokens=8, temperature=0.7, top_p=0.9, end=(2,)).plain
    False
    >>> Decoding(new_tokens=8, top_p=1.5)
    Traceback (most recent call last):
        ...
    ValueError: top_p=1.5: the mass that is kept must be at least 1e-30 and at most 1, or None.
    """

    new_tokens: int
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    end: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "end", tuple(int(token) for token in self.end))
        checks = (
            (is_whole(self.new_tokens, 1), "new_tokens", "must be a whole number, at least 1"),
            (
                is_number(self.temperature, 0) and not 0 < self.temperature < _LEAST,
                "temperature",
                f"must be 0, or a finite number that is at least {_LEAST:g}",
            ),
            (self.top_k is None or is_whole(self.top_k, 1), "top_k", "must be a whole number, at least 1, or None"),
            (
                self.top_p is None or is_number(self.top_p, _LEAST, 1),
                "top_p",
                f"the mass that is kept must be at least {_LEAST:g} and at most 1, or None",
            ),
            (all(token >= 0 for token in self.end), "end", "tokens are numbered from 0"),
        )
        for valid, name, reason in checks:
            if not valid:
                raise ValueError(f"{name}={getattr(self, name)}: {reason}.")

    @property
    def plain(self) -> bool:
        """Whether tokens are drawn from the policy itself."""
        return self.temperature == 1 and self.top_k is None and self.top_p in (None, 1)


def next_token_law(logits: Array, decoding: Decoding) -> Array:
    """Log-probabilities `[..., V]` of the law that `decoding` makes of logits `[..., V]`; -1e9 for what is left out.

    >>> law = next_token_law(jnp.log(jnp.array([0.5, 0.3, 0.2])), Decoding(new_tokens=1, top_p=0.6))
    >>> [round(p, 3) for p in jnp.exp(law).tolist()]
    [0.625, 0.375, 0.0]
    """
    if decoding.temperature == 0:
        best = jnp.argmax(logits, axis=-1, keepdims=True)
        return jnp.where(jnp.arange(logits.shape[-1]) == best, 0.0, LOG_ZERO).astype(logits.dtype)
    if decoding.temperature != 1:
        logits = logits / decoding.temperature
    if decoding.top_k is not None and decoding.top_k < logits.shape[-1]:
        logits = _kept(logits, jnp.ones_like(logits), decoding.top_k)
    if decoding.top_p is not None and decoding.top_p < 1:
        logits = _kept(logits, jax.nn.softmax(logits), decoding.top_p)
    return jnp.maximum(log_softmax(logits), LOG_ZERO)


def draw_token(log_probs: Array, uniforms: Array) -> Array:
    """One token `[R]` of each law `[R, V]` from uniform numbers `[R, 2]`, by inverting the distribution function.

    First a block of tokens is drawn, then a token of it: two numbers a draw, where noise on every logit takes V, and
    sums short enough for float32. What has probability 0 is never drawn.

    >>> draw_token(jnp.log(jnp.array([[0.5, 0.0, 0.5]])), jnp.array([[0.6, 0.1]])).tolist()
    [2]
    """
    rows, size = log_probs.shape
    block = 1 << (max(size - 1, 1).bit_length() + 1) // 2
    padded = jnp.pad(log_probs, ((0, 0), (0, -size % block)), constant_values=-jnp.inf)
    weights = jnp.exp(padded).reshape(rows, -1, block)
    chosen = _invert(jnp.sum(weights, axis=-1), uniforms[:, 0])
    within = _invert(jnp.take_along_axis(weights, chosen[:, None, None], axis=1)[:, 0], uniforms[:, 1])
    return (chosen * block + within).astype(jnp.int32)


def _invert(weights: Array, uniforms: Array) -> Array:
    """The first index `[R]` at which the running sum of `weights [R, n]` exceeds its part `uniforms [R]`."""
    below = jnp.where(weights > 0, jnp.cumsum(weights, axis=-1), -1.0)
    return jnp.argmax(below > uniforms[:, None] * jnp.max(below, axis=-1, keepdims=True), axis=-1)


def _kept(logits: Array, weights: Array, least: float) -> Array:
    """The logits of the likeliest tokens that together weigh `least` or more, -inf for others.

    The least logit that is kept is found by bisection, over all float32 numbers in their order as integers: 32 sums,
    where sorting a vocabulary takes 25 times as long on a CPU.
    """
    ordered = jax.lax.bitcast_convert_type(logits.astype(jnp.float32), jnp.int32)
    ordered = jnp.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered)

    def halve(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low >> 1) + (high >> 1) + (low & high & 1)
        enough = jnp.sum(jnp.where(ordered >= middle[..., None], weights, 0), axis=-1) >= least
        return jnp.where(enough, middle, low), jnp.where(enough, high, middle)

    shape = logits.shape[:-1]
    ends = jnp.full(shape, -(2**31), jnp.int32), jnp.full(shape, 2**31 - 1, jnp.int32)
    low, _ = jax.lax.fori_loop(0, 32, halve, ends)
    return jnp.where(ordered >= low[..., None], logits, -jnp.inf)

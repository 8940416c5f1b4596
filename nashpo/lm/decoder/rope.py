"""Rotary position embeddings: frequencies as data, computed once on the host."""

import dataclasses
import math

import jax.numpy as jnp
import numpy as np
from jax import Array

KINDS = ("default", "linear", "llama3", "yarn")


@dataclasses.dataclass(frozen=True)
class Rope:
    """How one kind of layer turns positions into angles: `angle = position * frequency`, `frequency = base^(-2i/d)`.

    `kind` is "default", "linear" (all frequencies divided by `factor`), "llama3" (low frequencies divided, those in
    between blended; Llama 3.1) or "yarn" (Peng et al. 2023, arXiv:2309.00071, section 3.3). `original` is the context
    length before scaling; cosines and sines are multiplied by `amplitude`.

    >>> Rope(base=100.0).frequencies(4)
    array([1. , 0.1], dtype=float32)
    >>> Rope(base=100.0, kind="linear", factor=2.0).frequencies(4)
    array([0.5 , 0.05], dtype=float32)
    """

    base: float = 10000.0
    kind: str = "default"
    factor: float = 1.0
    original: int = 0
    low: float = 1.0
    """llama3: wavelengths above `original / low` are divided by `factor`. yarn: `beta_slow`."""
    high: float = 1.0
    """llama3: wavelengths below `original / high` stay as they are. yarn: `beta_fast`."""
    amplitude: float = 1.0
    whole: bool = True
    """yarn: the ends of the ramp are rounded to whole dimensions."""

    def frequencies(self, head_dim: int) -> np.ndarray:
        """Angles per position, float32 `[head_dim / 2]`."""
        plain = 1.0 / self.base ** (np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim))
        if self.kind == "linear":
            plain = plain / self.factor
        if self.kind == "llama3":
            turns = self.original * plain / (2 * math.pi)
            width = self.high - self.low
            kept = np.clip((turns - self.low) / (width if width else 1e-9), 0.0, 1.0)
            plain = (1 - kept) * plain / self.factor + kept * plain
        if self.kind == "yarn":
            first, last = (self._dimension(turns, head_dim) for turns in (self.high, self.low))
            if self.whole:
                first, last = math.floor(first), math.ceil(last)
            first, last = max(first, 0), min(last, head_dim - 1)
            ramp = (np.arange(head_dim // 2) - first) / (last - first if last != first else 0.001)
            kept = 1 - np.clip(ramp, 0.0, 1.0)
            plain = (1 - kept) * plain / self.factor + kept * plain
        return plain.astype(np.float32)

    def _dimension(self, turns: float, head_dim: int) -> float:
        """The dimension that turns so many times within the original context."""
        return head_dim * math.log(self.original / (turns * 2 * math.pi)) / (2 * math.log(self.base))


def rotations(ropes: tuple[Rope, ...], head_dim: int, positions: Array) -> tuple[Array, Array]:
    """Cosines and sines `[R, B, T, 1, head_dim / 2]`, float32, of R ropes at positions `[B, T]`."""
    frequencies = jnp.asarray(np.stack([rope.frequencies(head_dim) for rope in ropes]))
    amplitude = jnp.asarray([rope.amplitude for rope in ropes], jnp.float32)[:, None, None, None, None]
    angles = positions.astype(jnp.float32)[None, :, :, None, None] * frequencies[:, None, None, None, :]
    return jnp.cos(angles) * amplitude, jnp.sin(angles) * amplitude


def rotate(x: Array, cosine: Array, sine: Array) -> Array:
    """Turn the two halves of every head of `x [B, T, heads, head_dim]`; computed in float32."""
    left, right = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([left * cosine - right * sine, right * cosine + left * sine], axis=-1).astype(x.dtype)

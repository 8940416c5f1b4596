"""How much memory a run will need, from shapes alone."""

import dataclasses
import math
import os
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nashpo.learners.descent import start_descent
from nashpo.lm.decoder import Decoder, LoRA, init_adapter, init_params
from nashpo.lm.decoder.attention import QUERIES

_FLOAT = 4
"""Bytes of float32, in which scores, norms and logits are."""


class Part(NamedTuple):
    """Bytes that are needed for one thing, and what makes them fewer."""

    name: str
    bytes: float
    advice: str


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a run needs of the memory of one device at its worst moment, in bytes.

    >>> Cost((Part("weights", 3e9, "lora = true"),), (), 2e9, "cpu").total
    3000000000.0
    """

    resident: tuple[Part, ...]
    """What is there all the time."""
    moment: tuple[Part, ...]
    """What comes to it at the worst moment."""
    limit: float | None
    """The memory of a device; None where it is not known."""
    device: str

    @property
    def total(self) -> float:
        """Bytes at the worst moment."""
        return sum(part.bytes for part in self.parts)

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts, the largest first."""
        return tuple(sorted((*self.resident, *self.moment), key=lambda part: -part.bytes))

    def sentence(self) -> str:
        """The total, what there is, and the largest parts.

        >>> Cost((Part("weights", 2**30, ""),), (), 2**34, "cpu").sentence()
        'memory: about 1.0 GiB of the 16.0 GiB of cpu (weights 1.0 GiB)'
        """
        there = "" if self.limit is None else f" of the {size(self.limit)} of {self.device}"
        parts = [part for part in self.parts if part.bytes > 0.02 * self.total][:4]
        return f"memory: about {size(self.total)}{there} ({', '.join(f'{p.name} {size(p.bytes)}' for p in parts)})"

    def check(self) -> None:
        """Raise `ValueError` where the memory does not suffice, with the largest parts and what to change.

        >>> Cost((Part("weights", 2**31, "lora = true"),), (), 2**30, "cpu").check()
        Traceback (most recent call last):
            ...
        ValueError: the run needs about 2.0 GiB of memory, and cpu has 1.0 GiB: weights take 2.0 GiB (lora = true \
helps); --force runs it all the same.
        """
        if self.limit is None or self.total <= self.limit:
            return
        largest = [part for part in self.parts if part.bytes > 0.1 * self.total][:3]
        said = ", ".join(f"{part.name} take {size(part.bytes)} ({part.advice} helps)" for part in largest)
        raise ValueError(
            f"the run needs about {size(self.total)} of memory, and {self.device} has {size(self.limit)}: {said}; "
            "--force runs it all the same."
        )


class Shape(NamedTuple):
    """The sizes that memory depends on."""

    decoder: Decoder
    lora: LoRA | None
    dtype: Any
    """Of the weights; adapters are float32."""
    context: int
    new_tokens: int
    rows: int
    """Completions in one piece of a gradient step."""
    collected: int
    """Completions of a whole fit."""
    count: int
    """Completions to a prompt."""
    mixed: int = 1
    """Policies that speak together."""
    chunk: int = 32
    remat: bool = True

    @property
    def item(self) -> int:
        """Bytes of a number of the weights' dtype."""
        return jnp.dtype(self.dtype).itemsize


def weights_of(shape: Shape) -> Any:
    """Shapes and dtypes of the weights."""
    return jax.eval_shape(lambda key: init_params(shape.decoder, key, shape.dtype), jax.random.key(0))


def trained_of(shape: Shape) -> Any:
    """Shapes and dtypes of what is trained: an adapter, or all weights."""
    if shape.lora is None:
        return weights_of(shape)
    lora = shape.lora
    return jax.eval_shape(lambda key: init_adapter(shape.decoder, lora, key), jax.random.key(0))


def nbytes(tree: Any) -> int:
    """Bytes of a pytree of arrays or of their shapes.

    >>> nbytes(jax.ShapeDtypeStruct((2, 3), jnp.bfloat16))
    12
    """
    return sum(math.prod(leaf.shape) * jnp.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(tree))


def optimizer_bytes(shape: Shape, optimizer: Any) -> int:
    """Bytes of the state of `optimizer`, which makes a transformation of a learning rate.

    >>> import optax
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> shape = Shape(decoder, None, jnp.float32, 4, 4, 2, 2, 2)
    >>> optimizer_bytes(shape, optax.adam) - 2 * nbytes(weights_of(shape))
    4
    """
    return nbytes(jax.eval_shape(lambda params: start_descent(optimizer, 1e-3, params), trained_of(shape)))


def layer_bytes(shape: Shape, rows: int) -> float:
    """What is inside one layer that reads `rows` texts whole, but for scores: queries, keys, values and the MLP."""
    d, length = shape.decoder, shape.context + shape.new_tokens
    wide = 2 * (d.heads + d.kv_heads) * d.head_dim + 4 * d.inner
    return rows * length * (wide * shape.item + 6 * d.width * _FLOAT)


def score_bytes(shape: Shape, rows: int) -> float:
    """Attention scores of one layer, of as many queries as are scored at a time."""
    length = shape.context + shape.new_tokens
    return 3 * _FLOAT * rows * shape.decoder.heads * min(length, QUERIES) * length


def reading_bytes(shape: Shape, rows: int) -> float:
    """What is there at once when `rows` texts are read without a gradient: attention or the MLP, and the states."""
    d, tokens = shape.decoder, rows * (shape.context + shape.new_tokens)
    attention = tokens * 2 * (d.heads + d.kv_heads) * d.head_dim * shape.item + score_bytes(shape, rows)
    return tokens * 3 * d.width * _FLOAT + max(attention, tokens * 3 * d.inner * shape.item)


def fit_bytes(shape: Shape) -> dict[str, float]:
    """What a gradient step makes: activations and logits of one piece, by name.

    With `remat` the states between layers are kept and one layer is open at a time, else all of them are; scores of
    more than QUERIES queries are never kept.
    """
    d, length = shape.decoder, shape.context + shape.new_tokens
    between = d.layers * shape.rows * length * d.width * shape.item
    opened = 1 if shape.remat else d.layers
    scored = opened if length <= QUERIES else 1
    inside = opened * layer_bytes(shape, shape.rows) + scored * score_bytes(shape, shape.rows)
    logits = 3 * _FLOAT * shape.rows * min(shape.chunk, shape.new_tokens) * d.vocabulary
    return {"activations": between + inside, "logits": logits}


def cache_bytes(shape: Shape) -> float:
    """Keys and values of all completions, of every policy that speaks, and of the contexts they were repeated from."""
    d, length = shape.decoder, shape.context + shape.new_tokens
    slot = 2 * d.layers * d.kv_heads * d.head_dim * shape.item
    prompts = -(-shape.collected // shape.count)
    return shape.mixed * slot * (shape.collected * length + prompts * shape.context)


def device_memory() -> tuple[float | None, str]:
    """The memory of a device, and what it is: that of an accelerator, else of this machine.

    >>> device_memory()[1]
    'cpu'
    """
    device = jax.local_devices()[0]
    stats = device.memory_stats() or {}
    if device.platform != "cpu":
        return stats.get("bytes_limit"), device.device_kind
    try:
        total = float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (ValueError, OSError, AttributeError):
        return None, "cpu"
    allowed = Path("/sys/fs/cgroup/memory.max")
    with_limit = allowed.read_text().strip() if allowed.is_file() else ""
    return (min(total, float(with_limit)) if with_limit.isdigit() else total), "cpu"


def size(count: float) -> str:
    """Bytes in a unit that suits them.

    >>> size(3 * 2**20), size(5e12)
    ('3.0 MiB', '4656.6 GiB')
    """
    unit, name = next(((u, n) for u, n in ((2**30, "GiB"), (2**20, "MiB")) if count >= u), (2**10, "KiB"))
    return f"{count / unit:.1f} {name}"

"""Parameters: a plain nested dict of arrays, the layers stacked on a leading axis."""

from typing import Any

import jax
import jax.numpy as jnp

from nashpo.lm.decoder.architecture import Decoder
from nashpo.typing import Key


def init_params(decoder: Decoder, key: Key, dtype: Any = jnp.float32, scale: float = 0.02) -> dict[str, Any]:
    """Random parameters: matrices N(0, scale^2), norms the identity, biases zero.

    `{"embed": [V, D], "norm": [D], "head": [V, D] unless tied, "layers": {"q": [N, D, heads * head_dim], ...}}`; linear
    maps are `[in, out]`, biases are named like "q_bias", see `Decoder.shapes`.

    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=2, heads=2, kv_heads=1, head_dim=2, inner=6, tied=True)
    >>> params = init_params(decoder, jax.random.key(0))
    >>> sorted(params), params["layers"]["down"].shape
    (['embed', 'layers', 'norm'], (2, 6, 4))
    """
    shapes = decoder.shapes
    layer = {name: (decoder.layers, *shape) for name, shape in shapes["layer"].items()}
    names = [*shapes["top"], *layer]

    def draw(name: str, shape: tuple[int, ...]) -> jax.Array:
        if name.endswith("norm"):
            return jnp.full(shape, 0.0 if decoder.norm_offset else 1.0, dtype)
        if name.endswith("bias"):
            return jnp.zeros(shape, dtype)
        drawn = jax.random.normal(jax.random.fold_in(key, names.index(name)), shape, jnp.float32)
        return (scale * drawn).astype(dtype)

    top = {name: draw(name, shape) for name, shape in shapes["top"].items()}
    return {**top, "layers": {name: draw(name, shape) for name, shape in layer.items()}}

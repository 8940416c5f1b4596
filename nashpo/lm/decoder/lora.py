"""Low-rank adapters: a small change of some linear maps, trained instead of them."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from nashpo.lm.decoder.architecture import Decoder
from nashpo.typing import Key
from nashpo.validation.numbers import is_positive, is_whole

TARGETS = ("q", "k", "v", "o", "gate", "up", "down")


@dataclasses.dataclass(frozen=True)
class LoRA:
    """The form of an adapter: `x W + scale (x a) b` with `a [in, rank]`, `b [rank, out]`, `scale = alpha / rank`.

    Hu et al. 2021, arXiv:2106.09685, equation 3. `rslora` divides by the root of the rank instead (Kalajdzievski 2023,
    arXiv:2312.03732). `targets` are the maps that are changed, of q, k, v, o, gate, up, down.

    Raises `ValueError` for a rank below 1, an alpha that is not positive, no targets, or targets that are not there.

    >>> LoRA(rank=4, alpha=8.0).scale, LoRA(rank=4, alpha=8.0, rslora=True).scale
    (2.0, 4.0)
    >>> LoRA(rank=4, alpha=8.0, targets=("q", "key"))
    Traceback (most recent call last):
        ...
    ValueError: targets holds 'key': an adapter changes q, k, v, o, gate, up, down.
    """

    rank: int
    alpha: float
    targets: tuple[str, ...] = TARGETS
    rslora: bool = False

    def __post_init__(self) -> None:
        if not is_whole(self.rank, 1):
            raise ValueError(f"rank={self.rank}: must be a whole number, at least 1.")
        if not is_positive(self.alpha):
            raise ValueError(f"alpha={self.alpha}: must be a positive finite number; without it nothing is trained.")
        object.__setattr__(self, "targets", tuple(self.targets))
        wrong = next((name for name in self.targets if name not in TARGETS), None)
        if wrong is not None or not self.targets:
            what = "is empty" if wrong is None else f"holds {wrong!r}"
            raise ValueError(f"targets {what}: an adapter changes {', '.join(TARGETS)}.")

    @property
    def scale(self) -> float:
        """What `(x a) b` is multiplied by."""
        return self.alpha / (self.rank**0.5 if self.rslora else self.rank)


def init_adapter(decoder: Decoder, lora: LoRA, key: Key, dtype: Any = jnp.float32) -> dict[str, dict[str, jax.Array]]:
    """An adapter that changes nothing yet: `a [N, in, rank]` uniform in +-1/sqrt(in), `b [N, rank, out]` zero.

    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=2, heads=2, kv_heads=1, head_dim=2, inner=6)
    >>> adapter = init_adapter(decoder, LoRA(rank=3, alpha=6.0, targets=("q", "down")), jax.random.key(0))
    >>> jax.tree.map(jnp.shape, adapter)
    {'down': {'a': (2, 6, 3), 'b': (2, 3, 4)}, 'q': {'a': (2, 4, 3), 'b': (2, 3, 4)}}
    """
    adapter = {}
    for number, name in enumerate(sorted(lora.targets)):
        inputs, outputs = decoder.shapes["layer"][name]
        bound = inputs**-0.5
        draw = jax.random.uniform(
            jax.random.fold_in(key, number), (decoder.layers, inputs, lora.rank), jnp.float32, -bound, bound
        )
        adapter[name] = {"a": draw.astype(dtype), "b": jnp.zeros((decoder.layers, lora.rank, outputs), dtype)}
    return adapter


def merge(decoder: Decoder, params: Any, lora: LoRA, adapter: Any) -> Any:
    """The parameters with the adapter in them, `W + scale a b`, added in float32 and kept in the dtype of W.

    >>> from nashpo.lm.decoder import init_params
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=2, heads=2, kv_heads=1, head_dim=2, inner=6)
    >>> lora, params = LoRA(rank=3, alpha=6.0), init_params(decoder, jax.random.key(0))
    >>> merged = merge(decoder, params, lora, init_adapter(decoder, lora, jax.random.key(1)))
    >>> all(jax.tree.leaves(jax.tree.map(jnp.array_equal, params, merged)))
    True
    """
    layers = dict(params["layers"])
    for name, change in (adapter or {}).items():
        a, b = (change[part].astype(jnp.float32) for part in ("a", "b"))
        whole = layers[name].astype(jnp.float32) + lora.scale * jnp.einsum("nir,nro->nio", a, b)
        layers[name] = whole.astype(layers[name].dtype)
    return {**params, "layers": layers}

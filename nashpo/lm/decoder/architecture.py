"""What a decoder is made of, as data: the family differences are fields, the code is one."""

import dataclasses
import functools

from nashpo.lm.decoder.rope import Rope

ACTIVATIONS = ("silu", "gelu", "gelu_tanh")


@dataclasses.dataclass(frozen=True)
class Decoder:
    """The architecture of a decoder-only transformer: Llama, Mistral, Qwen2, Qwen3, Gemma 1, 2 and 3 (text).

        h = embedding[token] * embedding_scale
        h <- h + out_norm(attention(norm(h))),   h <- h + out_norm(mlp(norm(h)))     (out_norm with `sandwich` only)
        logits = cap(final_norm(h) head)

    Static and hashable: it is part of the compiled program. `load` reads one from a checkpoint's `config.json`.

    Raises `ValueError` for heads that key-value heads do not divide, per-layer entries that are not one for each
    layer, an odd `head_dim`, or an activation that is not in ACTIVATIONS.

    >>> Decoder("llama", vocabulary=32, width=16, layers=2, heads=4, kv_heads=2, head_dim=4, inner=24).groups
    2
    >>> Decoder("llama", vocabulary=32, width=16, layers=2, heads=4, kv_heads=3, head_dim=4, inner=24)
    Traceback (most recent call last):
        ...
    ValueError: heads=4 is no multiple of kv_heads=3: every key-value head serves equally many queries.
    """

    family: str
    """`model_type` of the configuration, which names the tensors of its files."""
    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    inner: int
    """Width of the MLP inside."""
    activation: str = "silu"
    norm_eps: float = 1e-6
    norm_offset: bool = False
    """Norms multiply by `1 + scale`, in float32 (Gemma)."""
    sandwich: bool = False
    """Attention and MLP are normed on their way out as well (Gemma 2 and 3)."""
    qk_norm: bool = False
    """Queries and keys are normed head by head before they are turned (Qwen3, Gemma 3)."""
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    attention_cap: float | None = None
    """Attention scores become `cap * tanh(score / cap)` (Gemma 2)."""
    logit_cap: float | None = None
    query_scale: float | None = None
    """What attention scores are multiplied by; None for `head_dim ** -0.5`."""
    embedding_scale: float | None = None
    windows: tuple[int | None, ...] = ()
    """Per layer, how many positions back (its own included) a query sees; None for all. Empty for None everywhere."""
    ropes: tuple[Rope, ...] = ()
    """Per layer, how positions become angles. Empty for `Rope()` everywhere."""
    tied: bool = False
    """The head is the embedding; `params` have no "head"."""
    longest: int | None = None
    """`max_position_embeddings`, how long a text the model was made for."""

    def __post_init__(self) -> None:
        if self.heads % self.kv_heads:
            reason = "every key-value head serves equally many queries"
            raise ValueError(f"heads={self.heads} is no multiple of kv_heads={self.kv_heads}: {reason}.")
        if self.head_dim % 2:
            raise ValueError(f"head_dim={self.head_dim}: must be even, for positions turn its halves.")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation={self.activation!r}: must be one of {', '.join(ACTIVATIONS)}.")
        object.__setattr__(self, "windows", tuple(self.windows) or (None,) * self.layers)
        object.__setattr__(self, "ropes", tuple(self.ropes) or (Rope(),) * self.layers)
        for name in ("windows", "ropes"):
            if len(getattr(self, name)) != self.layers:
                raise ValueError(f"{name} has {len(getattr(self, name))} entries: give one for each of {self.layers}.")

    @property
    def groups(self) -> int:
        """How many query heads share a key-value head."""
        return self.heads // self.kv_heads

    @property
    def score_scale(self) -> float:
        """What attention scores are multiplied by."""
        return self.head_dim**-0.5 if self.query_scale is None else self.query_scale

    @functools.cached_property
    def shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Shapes of the parameters: `{"top": {name: shape}, "layer": {name: shape of one layer}}`."""
        return _shapes(self)

    def __hash__(self) -> int:
        return self._hash

    def __getstate__(self) -> dict[str, object]:
        """The fields alone: a hash means nothing to another process."""
        return {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}

    @functools.cached_property
    def _hash(self) -> int:
        """Computed once: every call of a compiled function asks for it."""
        return hash(tuple(getattr(self, field.name) for field in dataclasses.fields(self)))


def _shapes(d: Decoder) -> dict[str, dict[str, tuple[int, ...]]]:
    """The shapes of `Decoder.shapes`, in the order of the files."""
    queries, keys = d.heads * d.head_dim, d.kv_heads * d.head_dim
    layer: dict[str, tuple[int, ...]] = {"attention_norm": (d.width,)}
    layer |= {"q": (d.width, queries), "k": (d.width, keys), "v": (d.width, keys), "o": (queries, d.width)}
    if d.qkv_bias:
        layer |= {"q_bias": (queries,), "k_bias": (keys,), "v_bias": (keys,)}
    if d.o_bias:
        layer |= {"o_bias": (d.width,)}
    if d.qk_norm:
        layer |= {"q_norm": (d.head_dim,), "k_norm": (d.head_dim,)}
    layer |= {"mlp_norm": (d.width,)}
    layer |= {"gate": (d.width, d.inner), "up": (d.width, d.inner), "down": (d.inner, d.width)}
    if d.mlp_bias:
        layer |= {"gate_bias": (d.inner,), "up_bias": (d.inner,), "down_bias": (d.width,)}
    if d.sandwich:
        layer |= {"attention_out_norm": (d.width,), "mlp_out_norm": (d.width,)}
    top = {"embed": (d.vocabulary, d.width), "norm": (d.width,)}
    return {"top": top if d.tied else {**top, "head": (d.vocabulary, d.width)}, "layer": layer}

"""What an encoder is made of, as data."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Encoder:
    """The architecture of DeBERTa v3 (He et al. 2021, arXiv:2111.09543), whose attention knows distances only.

        h = norm(embedding[token])
        h <- norm(h + attention(h)),   h <- norm(h + down gelu(up h))

    Static and hashable: it is part of the compiled program. `load_encoder` reads one from a checkpoint.

    Raises `ValueError` for a width that the heads do not divide, and distances that make no buckets.

    >>> encoder = Encoder(vocabulary=32, width=16, layers=2, heads=4, inner=24, buckets=4, farthest=16)
    >>> encoder.shapes["top"]["distances"]
    (8, 16)
    """

    vocabulary: int
    width: int
    layers: int
    heads: int
    inner: int
    """Width of the MLP inside."""
    buckets: int = 256
    """Distances to either side are told apart by so many embeddings."""
    farthest: int = 512
    """The distance from which on all are one."""
    norm_eps: float = 1e-7
    longest: int | None = None
    """How long a text may be, None for any: distances have no end."""

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise ValueError(f"heads={self.heads}: must divide the width {self.width}.")
        if not 1 < self.buckets // 2 < self.farthest - 1:
            raise ValueError(f"buckets={self.buckets}, farthest={self.farthest}: need 1 < buckets / 2 < farthest - 1.")

    @property
    def kv_heads(self) -> int:
        """Every head has keys and values of its own."""
        return self.heads

    @property
    def head_dim(self) -> int:
        """Numbers of a key."""
        return self.width // self.heads

    @property
    def shapes(self) -> dict[str, dict[str, tuple[int, ...]]]:
        """Shapes of the parameters: `{"top": {name: shape}, "layer": {name: shape of one layer}}`."""
        width, inner = (self.width,), (self.inner,)
        top = {"embed": (self.vocabulary, self.width), "embed_norm": width, "embed_norm_bias": width}
        top |= {"distances": (2 * self.buckets, self.width), "distances_norm": width, "distances_norm_bias": width}
        layer: dict[str, tuple[int, ...]] = dict.fromkeys(("q", "k", "v", "o"), (self.width, self.width))
        layer |= {"up": (self.width, self.inner), "down": (self.inner, self.width), "up_bias": inner}
        norms = ("attention_norm", "attention_norm_bias", "mlp_norm", "mlp_norm_bias")
        layer |= dict.fromkeys((*(f"{name}_bias" for name in ("q", "k", "v", "o", "down")), *norms), width)
        return {"top": top, "layer": layer}


def bucket_of(distance: np.ndarray, encoder: Encoder) -> np.ndarray:
    """Which of the `2 buckets` embeddings stands for a distance: near ones have their own, far ones share.

        d <= m:  d,    d > m:  m + ceil((m - 1) log(d / m) / log((farthest - 1) / m)),    m = buckets / 2

    with the sign of the distance, plus `buckets`, and cut off at both ends.

    >>> encoder = Encoder(vocabulary=8, width=4, layers=1, heads=2, inner=4, buckets=8, farthest=32)
    >>> bucket_of(np.array([-40, -3, 0, 4, 5, 9, 40]), encoder).tolist()
    [0, 5, 8, 12, 13, 14, 15]
    """
    middle, size = encoder.buckets // 2, np.abs(distance)
    share = np.log(np.maximum(size, 1) / middle) / np.log((encoder.farthest - 1) / middle)
    far = np.sign(distance) * (middle + np.ceil(share * (middle - 1)))
    return np.clip(np.where(size <= middle, distance, far) + encoder.buckets, 0, 2 * encoder.buckets - 1).astype(int)

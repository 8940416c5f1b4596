"""Generation of many prompts, some at a time."""

import dataclasses
from typing import Any

import jax
import numpy as np

from nashpo.lm.decoder import Decoder, LoRA
from nashpo.lm.filters import Decoding
from nashpo.lm.generate import Completions, Generator, Parts, Weights, generate
from nashpo.lm.host import on_host
from nashpo.lm.mesh import by_rows, mesh_of
from nashpo.typing import Array, Key


@dataclasses.dataclass(frozen=True)
class InPieces:
    """A generator that completes `rows` contexts at a time, so that there are caches of so many only.

    Every completion is the one that `generator` makes of all contexts at once, but for the rounding of larger batches.

    >>> from nashpo.lm.decoder import init_params
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> asked = (decoder, None, (Parts(init_params(decoder, jax.random.key(0))),), [1.0], np.array([[3], [4], [5]]))
    >>> whole = generate(*asked, jax.random.key(0), 2, Decoding(new_tokens=4))
    >>> pieces = InPieces(2)(*asked, jax.random.key(0), 2, Decoding(new_tokens=4))
    >>> bool(np.all(whole.tokens == pieces.tokens))
    True
    """

    rows: int
    generator: Generator = generate

    def __call__(
        self,
        decoder: Decoder,
        lora: LoRA | None,
        parts: tuple[Parts, ...],
        weights: Weights,
        contexts: Array,
        key: Key,
        count: int,
        decoding: Decoding,
    ) -> Completions:
        """`count` completions to each context `[B, P]`, as `Generator` says."""
        total = len(contexts)
        if total <= self.rows:
            return self.generator(decoder, lora, parts, weights, contexts, key, count, decoding)
        mesh, told = mesh_of(parts), np.asarray(on_host(contexts))
        keys = key if np.ndim(key) else jax.vmap(jax.random.fold_in, (None, 0))(key, np.arange(total, dtype=np.uint32))
        found = []
        for begin in range(0, total, self.rows):
            # The last piece is filled up: another size would be another program.
            asked = np.arange(begin, begin + self.rows) % total
            some = by_rows(told[asked], mesh)
            made = self.generator(decoder, lora, parts, weights, some, keys[asked], count, decoding)
            kept = min(self.rows, total - begin)
            found.append([_kept(part, kept) for part in made])
        columns: list[Any] = list(zip(*found, strict=True))
        joined = [None if column[0] is None else np.concatenate(column) for column in columns]
        return Completions(np.asarray(joined[0]), *joined[1:])


def _kept(part: Any, count: int) -> Any:
    return None if part is None else np.asarray(on_host(part))[:count]

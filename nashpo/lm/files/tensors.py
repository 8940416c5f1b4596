"""The tensors of a directory of safetensors files, read one at a time."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from safetensors import SafetensorError, safe_open

READ = {"F32": "float32", "BF16": "bfloat16", "F16": "float16", "F64": "float64"}
"""Dtypes of parameters, as files name them and in words."""


class Tensors:
    """What a single file, or the shards named by an index, hold; files stay open and are read where asked.

    Raises `ValueError` for a folder without such files, a shard that is missing or a file that is damaged.
    """

    def __init__(self, folder: Path, single: str = "model.safetensors") -> None:
        self.folder = folder
        index = folder / f"{single}.index.json"
        if (folder / single).is_file():
            shards = {single: None}
        elif index.is_file():
            shards = _shards(index)
        else:
            raise ValueError(f"{folder}: has no {single} and no {index.name}; other kinds of files are not read.")
        self._files = {}
        for shard, names in shards.items():
            self._open(shard, names)

    def _open(self, shard: str, names: Sequence[str] | None) -> None:
        """Note what a shard holds; `names` is what the index says it does."""
        path = self.folder / shard
        if not path.is_file():
            raise ValueError(f"{path}: is missing, but the index names it; fetch it, or save the checkpoint again.")
        try:
            file = safe_open(path, "np")
        except (SafetensorError, OSError) as error:
            raise ValueError(f"{path}: is damaged or no safetensors file ({error}).") from None
        found = set(file.keys())
        absent = sorted(set(names or ()) - found)
        if absent:
            raise ValueError(f"{path}: has no {absent[0]}, but the index says so; save the checkpoint again.")
        others = found - self._files.keys()  # of a tensor that two shards hold, the one that the index names counts
        self._files |= dict.fromkeys(others, file) | dict.fromkeys(names or (), file)

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._files))

    def shape(self, name: str) -> tuple[int, ...]:
        """The shape of a tensor, without reading it."""
        return tuple(self._files[name].get_slice(name).get_shape())

    def dtype(self, name: str) -> np.dtype:
        """The dtype of a tensor that passes `check`, without reading it."""
        return jnp.dtype(READ[str(self._files[name].get_slice(name).get_dtype())])

    def check(self, name: str, shape: Sequence[int | None] | None = None) -> None:
        """Refuse a tensor that is none of `READ`, or not of `shape`, in which None is any length; nothing is read."""
        found = self.shape(name)
        if shape is not None and not _fits(found, shape):
            wanted = "(" + ", ".join("any" if n is None else str(n) for n in shape) + ("," * (len(shape) == 1)) + ")"
            raise ValueError(f"{self.folder}: {name} has shape {found}, but its config.json asks for {wanted}.")
        kind = str(self._files[name].get_slice(name).get_dtype())
        if kind not in READ:
            raise ValueError(f"{self.folder}: {name} is {kind}; parameters are read as {', '.join(READ.values())}.")

    def read(self, name: str, shape: Sequence[int | None] | None = None) -> np.ndarray:
        """One tensor, in its own dtype, that passes `check`; one that is not finite would make everything NaN."""
        self.check(name, shape)
        found = self._files[name].get_tensor(name)
        if not np.isfinite(found).all():
            raise ValueError(f"{self.folder}: {name} holds NaN or infinity; fetch the files again, or an earlier one.")
        return found


def _fits(found: Sequence[int], shape: Sequence[int | None]) -> bool:
    """Whether lengths are as asked, None being any."""
    return len(found) == len(shape) and all(b in (None, a) for a, b in zip(found, shape, strict=True))


def _shards(index: Path) -> dict[str, list[str]]:
    """File names of an index, and the tensors that each is to hold."""
    try:
        where = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        names = sorted(where.items())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{index}: is no index of safetensors files ({error!r}).") from None
    shards: dict[str, list[str]] = {}
    for name, shard in names:
        shards.setdefault(shard, []).append(name)
    return shards

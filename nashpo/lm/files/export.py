"""A decoder and its parameters written as a directory that transformers loads."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from nashpo.lm.decoder import Decoder
from nashpo.lm.files.configuration import config_of, present, read_config, write_config
from nashpo.lm.files.families import HEADS, TOP, layer_names
from nashpo.lm.files.folders import ALONG, GENERATION, copy_along, write_end, write_folder

SHARD = 5 * 10**9
"""Bytes of parameters in one file, by default."""


def save(
    path: str | os.PathLike[str],
    decoder: Decoder,
    params: Mapping[str, Any],
    source: str | os.PathLike[str] | None = None,
    shard_bytes: int = SHARD,
    heads: Mapping[str, Any] | None = None,
    end: Sequence[int] = (),
) -> Path:
    """Write a directory that transformers and `load` read back bit for bit; returns its path.

    `source` is the directory the model came from: its configuration (but for class, labels and dtype, which are those
    of what is written), tokenizer, chat templates and generation settings go along, with `end` for the tokens that end
    an answer if they are others. More than `shard_bytes` of
    parameters are split into several files with an index. `heads` are those of `Checkpoint`. The folder is written
    under a temporary name and then moved; a model that was there before is replaced.

    Raises `ValueError` for parameters of another shape than the decoder's, a source with another architecture, a
    decoder that its family cannot describe, or a place where no folder can be made; `OSError` where the disk refuses.

    >>> import tempfile, jax
    >>> from nashpo.lm.decoder import init_params
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     sorted(os.listdir(save(Path(folder, "model"), decoder, init_params(decoder, jax.random.key(0)))))
    ['config.json', 'model.safetensors']
    """
    heads = dict(heads or {})
    _check(decoder, params, heads)
    shapes = {name: tuple(head.shape) for name, head in heads.items()}
    dtype = np.dtype(params["embed"].dtype).name
    if source is None:
        config = write_config(decoder, shapes, dtype)
    else:
        given = config_of(Path(source))
        _check_source(source, read_config(given), decoder)
        config = present(given, decoder, shapes, dtype)

    def fill(folder: Path) -> None:
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        if source is not None:
            copy_along(Path(source), folder, (*ALONG, GENERATION))
            write_end(folder, Path(source), end)
        _write_tensors(folder, _sizes(decoder, params, heads), decoder, params, heads, shard_bytes)

    return write_folder(path, fill)


def _write_tensors(folder, sizes, decoder, params, heads, shard_bytes) -> None:
    """Write the shards; what is fetched from the device at any time is one shard."""
    shards: list[dict[str, int]] = [{}]
    for name, size in sizes.items():
        if shards[-1] and sum(shards[-1].values()) + size > shard_bytes:
            shards.append({})
        shards[-1][name] = size
    count = len(shards)
    index: dict[str, str] = {}
    tensors = _tensors(decoder, params, heads)
    for number, shard in enumerate(shards, start=1):
        file = "model.safetensors" if count == 1 else f"model-{number:05d}-of-{count:05d}.safetensors"
        save_file({name: next(tensors)[1] for name in shard}, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(shard, file)
    if count > 1:
        said = {"metadata": {"total_size": sum(sizes.values())}, "weight_map": index}
        text = json.dumps(said, indent=2) + "\n"
        (folder / "model.safetensors.index.json").write_text(text, encoding="utf-8")


def _names(decoder: Decoder, params: Mapping[str, Any], heads: Mapping[str, Any]) -> Iterator[tuple[str, Any, int]]:
    """Names in files, whole arrays here, and the layer (-1 for no layer's), in the order in which they are written."""
    for name in ("embed", "norm", "head"):
        if name in params:
            yield TOP[name], params[name], -1
    names = layer_names(decoder.sandwich)
    for number in range(decoder.layers):
        for name in decoder.shapes["layer"]:
            yield f"model.layers.{number}.{names[name]}", params["layers"][name], number
    for name, head in heads.items():
        yield HEADS[name], head, -1


def _tensors(decoder: Decoder, params: Mapping[str, Any], heads: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Tensors as files have them: matrices of layers `[out, in]`, contiguous, on the host."""
    for name, array, number in _names(decoder, params, heads):
        host = np.asarray(array if number < 0 else array[number])
        yield name, np.ascontiguousarray(host if number < 0 else host.T)


def _sizes(decoder: Decoder, params: Mapping[str, Any], heads: Mapping[str, Any]) -> dict[str, int]:
    """Bytes of each tensor."""
    return {
        name: array.nbytes if number < 0 else array.nbytes // decoder.layers
        for name, array, number in _names(decoder, params, heads)
    }


def _check(decoder: Decoder, params: Mapping[str, Any], heads: Mapping[str, Any]) -> None:
    """Refuse parameters that are not the decoder's."""
    wanted: dict[str, tuple[int, ...]] = dict(decoder.shapes["top"])
    wanted |= {f"layers.{name}": (decoder.layers, *shape) for name, shape in decoder.shapes["layer"].items()}
    found = {name: value for name, value in params.items() if name != "layers"}
    found |= {f"layers.{name}": value for name, value in params["layers"].items()}
    missing = [name for name in wanted if name not in found and not (name == "head" and heads)]
    unknown = [name for name in found if name not in wanted] + [name for name in heads if name not in HEADS]
    if missing or unknown:
        what = f"have no {missing[0]}" if missing else f"hold {unknown[0]}"
        raise ValueError(f"the parameters {what}, unlike those of this {decoder.family} decoder; nothing was written.")
    for name, value in found.items():
        if tuple(value.shape) != wanted[name]:
            raise ValueError(f"{name} has shape {tuple(value.shape)}, but this decoder's is {wanted[name]}.")


def _check_source(source: Any, there: Decoder, decoder: Decoder) -> None:
    """Refuse a source with another architecture: its configuration would not fit the tensors."""
    fields = [name for name in vars(there) if not name.startswith("_") and name != "shapes"]
    different = [name for name in fields if getattr(there, name) != getattr(decoder, name)]
    if different:
        name = different[0]
        values = f"{getattr(there, name)} there, {getattr(decoder, name)} here"
        raise ValueError(f"{source}: is a model with another {name} ({values}); give the directory it came from.")

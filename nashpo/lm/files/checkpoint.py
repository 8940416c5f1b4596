"""A Hugging Face directory read into a decoder, its parameters and its heads."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nashpo.lm.decoder import Decoder
from nashpo.lm.files.configuration import config_of, read_config
from nashpo.lm.files.families import HEADS, TOP, layer_names
from nashpo.lm.files.parameters import ParameterLooker, ParameterReader, on_device
from nashpo.lm.files.tensors import Tensors

IGNORED = (".rotary_emb.inv_freq", ".attn.bias", ".attn.masked_bias")
"""Ends of the names of tensors that old programs saved and that hold no parameters."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a directory holds: the architecture, the parameters, and the heads of reward and preference models.

    `heads` may hold "score" `[labels, D]`, "value_head" `[2k, D]` and "prompt_head" `[k, D]`. A model with heads need
    not have a language model's: `params` then have no "head" although the decoder is not tied.

    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> Checkpoint(decoder, {}, {}, Path("somewhere")).decoder.family
    'llama'
    """

    decoder: Decoder
    params: dict[str, Any]
    heads: dict[str, Any]
    path: Path


def load(
    path: str | os.PathLike[str],
    dtype: Any = None,
    place: Callable[[str, np.ndarray], Any] | None = None,
) -> Checkpoint:
    """The checkpoint in a directory: safetensors, one file or sharded, in any of the families.

    `dtype` is that of the parameters; None keeps the file's. `place(name, array)` puts a parameter where it belongs,
    by default on the default device; names are those of `params` joined by a dot, "embed" or "layers.q". Tensors are
    read one at a time into the stacked array of their kind, which is all that the host holds beside what was placed.

    Raises `ValueError` for a folder that is no checkpoint, an unknown family, a missing or damaged file, tensors that
    are missing, unknown or of another shape than the configuration says, and a head that is and is not tied.

    >>> import tempfile, jax
    >>> import jax.numpy as jnp
    >>> from nashpo.lm.decoder import init_params
    >>> from nashpo.lm.files import save
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(os.path.join(folder, "model"), decoder, init_params(decoder, jax.random.key(0)))
    ...     checkpoint = load(path, dtype=jnp.bfloat16)
    >>> checkpoint.decoder == decoder, checkpoint.params["layers"]["q"].dtype
    (True, dtype(bfloat16))
    """
    return _read(Path(path), lambda tensors: ParameterReader(tensors, dtype, place or on_device))


def check_files(path: str | os.PathLike[str]) -> Checkpoint:
    """The checkpoint in a directory, if its files are whole and hold its tensors; none is read, parameters are zero.

    Raises `ValueError` as `load` does, but for a head that is and is not tied.

    >>> check_files("nowhere")
    Traceback (most recent call last):
        ...
    ValueError: nowhere: has no config.json; give the directory of a Hugging Face checkpoint.
    """
    return _read(Path(path), lambda tensors: ParameterLooker(tensors, None, on_device))


def _read(folder: Path, reader: Callable[[Tensors], ParameterReader]) -> Checkpoint:
    """What a directory holds, as far as the reader reads it."""
    try:
        decoder = read_config(config_of(folder))
    except ValueError as error:
        said = str(error)
        raise ValueError(said if said.startswith(str(folder)) else f"{folder}: {said}") from None
    tensors = Tensors(folder)
    prefix = "" if TOP["embed"] not in tensors and _bare(TOP["embed"]) in tensors else "model."
    heads = {name for name, file in HEADS.items() if file in tensors}
    read = reader(tensors)
    params: dict[str, Any] = {}
    for name, shape in decoder.shapes["top"].items():
        file = _bare(TOP[name], prefix)
        if name != "head" or file in tensors or not heads:
            params[name] = read.single(name, file, shape)
    names = layer_names(decoder.sandwich)
    params["layers"] = {}
    for name, shape in decoder.shapes["layer"].items():
        files = [f"{prefix}layers.{number}.{names[name]}" for number in range(decoder.layers)]
        params["layers"][name] = read.stacked(f"layers.{name}", files, shape)
    found = {name: read.single(name, HEADS[name], (None, decoder.width)) for name in sorted(heads)}
    if decoder.tied and TOP["head"] in tensors:
        read.check_tied(TOP["head"], _bare(TOP["embed"], prefix), decoder.shapes["top"]["embed"])
    read.check_rest(decoder.family, IGNORED)
    return Checkpoint(decoder, params, found, folder)


def _bare(name: str, prefix: str = "") -> str:
    """A file's name of a parameter of the model, under another prefix; those of heads stay as they are."""
    return prefix + name.removeprefix("model.") if name.startswith("model.") else name

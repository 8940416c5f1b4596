"""A Hugging Face directory read into a decoder, its parameters and its heads."""

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from nashpo.lm.decoder import Decoder
from nashpo.lm.files.configuration import config_of, read_config
from nashpo.lm.files.families import HEADS, TOP, layer_names
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
    >>> from nashpo.lm.decoder import init_params
    >>> from nashpo.lm.files import save
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = save(os.path.join(folder, "model"), decoder, init_params(decoder, jax.random.key(0)))
    ...     checkpoint = load(path, dtype=jnp.bfloat16)
    >>> checkpoint.decoder == decoder, checkpoint.params["layers"]["q"].dtype
    (True, dtype(bfloat16))
    """
    return _read(Path(path), lambda tensors: _Reader(tensors, dtype, place or _on_device))


def check_files(path: str | os.PathLike[str]) -> Decoder:
    """The decoder in a directory, if its files are whole and hold its tensors; no tensor is read.

    Raises `ValueError` as `load` does, but for a head that is and is not tied.

    >>> check_files("nowhere")
    Traceback (most recent call last):
        ...
    ValueError: nowhere: has no config.json; give the directory of a Hugging Face checkpoint.
    """
    return _read(Path(path), lambda tensors: _Looker(tensors, None, _on_device)).decoder


def _read(folder: Path, reader: "Callable[[Tensors], _Reader]") -> Checkpoint:
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
    unknown = [name for name in tensors if name not in read.seen and not name.endswith(IGNORED)]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise ValueError(f"{folder}: {unknown[0]}{more} is no parameter of a {decoder.family} model as configured.")
    return Checkpoint(decoder, params, found, folder)


class _Reader:
    """Reads parameters into place, and remembers which tensors it has seen."""

    def __init__(self, tensors: Tensors, dtype: Any, place: Callable[[str, np.ndarray], Any]) -> None:
        self.tensors, self.place = tensors, place
        self.dtype = None if dtype is None else jnp.dtype(dtype)
        self.seen: set[str] = set()

    def look(self, file: str, shape: tuple[int | None, ...]) -> None:
        """Refuse a tensor that is missing or of another shape."""
        if file not in self.tensors:
            raise ValueError(f"{self.tensors.folder}: the tensor {file} is missing; the checkpoint is not complete.")
        self.seen.add(file)
        self.tensors.check(file, shape)

    def array(self, file: str, shape: tuple[int | None, ...]) -> np.ndarray:
        """One tensor of this shape."""
        self.look(file, shape)
        return self.tensors.read(file)

    def single(self, name: str, file: str, shape: tuple[int | None, ...]) -> Any:
        """A parameter that is one tensor."""
        array = self.array(file, shape)
        return self.place(name, array if self.dtype is None else array.astype(self.dtype, copy=False))

    def stacked(self, name: str, files: list[str], shape: tuple[int, ...]) -> Any:
        """A parameter of every layer; matrices are turned, for files have them `[out, in]`."""
        stack = None
        for number, file in enumerate(files):
            array = self.array(file, shape[::-1])
            if stack is None:
                stack = np.empty((len(files), *shape), array.dtype if self.dtype is None else self.dtype)
            stack[number] = array.T
        assert stack is not None
        return self.place(name, stack)

    def check_tied(self, head: str, embed: str, shape: tuple[int, ...]) -> None:
        """Refuse a head of its own in a model whose configuration says that it is the embedding."""
        if not np.array_equal(self.array(head, shape), self.array(embed, shape)):
            raise ValueError(
                f"{self.tensors.folder}: {head} differs from {embed}, but config.json says that they are tied; "
                "set tie_word_embeddings to false there."
            )


class _Looker(_Reader):
    """Looks at names and shapes only."""

    def single(self, name: str, file: str, shape: tuple[int | None, ...]) -> None:
        """Look at a parameter that is one tensor."""
        self.look(file, shape)

    def stacked(self, name: str, files: list[str], shape: tuple[int, ...]) -> None:
        """Look at a parameter of every layer."""
        for file in files:
            self.look(file, shape[::-1])

    def check_tied(self, head: str, embed: str, shape: tuple[int, ...]) -> None:
        """Look at a head beside a tied embedding."""
        self.look(head, shape)


def _on_device(name: str, array: np.ndarray) -> Any:
    """The array on the default device."""
    return jnp.asarray(array)


def _bare(name: str, prefix: str = "") -> str:
    """A file's name of a parameter of the model, under another prefix; those of heads stay as they are."""
    return prefix + name.removeprefix("model.") if name.startswith("model.") else name

"""The table `[model]`: the checkpoint that is trained and the one it is compared with."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.lm.config.making import made
from nashpo.lm.config.tables import Generation, Model, Spread
from nashpo.lm.decoder import Decoder, LoRA
from nashpo.lm.files import load_adapter
from nashpo.lm.files.checkpoint import check_files
from nashpo.lm.filters import Decoding
from nashpo.lm.text import Text
from nashpo.studies.document import Document


@dataclasses.dataclass(frozen=True)
class Plan:
    """What will be loaded, as far as is known without the weights."""

    path: Path
    decoder: Decoder
    lora: LoRA | None
    adapter: Any
    """The adapter that training starts from; None for a fresh one."""
    reference: Path | None
    """Another checkpoint; None for the policy that training starts from."""
    dtype: str | None
    """Of the weights; None for that of the files."""
    stored: str
    """The dtype of the weights once they are loaded, in words."""


def read_model(document: Document, model: Model) -> Plan:
    """The plan of `[model]`: configurations, names and shapes are read, and an adapter if one is named; weights not.

    All weights are trained in float32 unless `dtype` says otherwise, because small steps are rounded away in bfloat16;
    under an adapter, which is float32, they stay as they are in the file.

    Raises `ValueError` naming the line, for folders that are no checkpoints and architectures that do not fit.
    """
    path = document.folder / model.path
    decoder, stored = _architecture(document, ("model", "path"), path)
    lora, adapter = _lora(document, model, decoder)
    reference = None
    if model.reference is not None:
        reference = document.folder / model.reference
        other, _ = _architecture(document, ("model", "reference"), reference)
        if other != decoder:
            document.wrong(("model", "reference"), "is a model of another architecture than model.path.")
    dtype = model.dtype or (None if lora is not None else "float32")
    return Plan(path, decoder, lora, adapter, reference, dtype, dtype or stored)


def read_decoding(document: Document, generation: Generation, text: Text) -> Decoding:
    """How answers are drawn, and the tokens that end them: the checkpoint's own, and those of `stop`.

    Raises `ValueError` for a stop text that is not one token, and where nothing ends an answer.

    >>> from nashpo.lm.tiny import tiny_tokenizer
    >>> from nashpo.studies.document import read_document
    >>> read_decoding(read_document({}), Generation(8, stop=("red",)), tiny_tokenizer(["red"])).end
    (3, 7)
    """
    end = list(text.end)
    for stop in generation.stop:
        tokens = text.tokens(stop)
        if len(tokens) != 1:
            document.wrong(
                ("generation", "stop"),
                f"has {stop!r}, which is {len(tokens)} tokens; an answer is ended by a single token, as </s>.",
            )
        end += tokens
    if not end:
        document.wrong(("generation",), "needs stop: the checkpoint names no token that ends an answer.")
    law = (generation.new_tokens, generation.temperature, generation.top_k, generation.top_p)
    return Decoding(*law, end=tuple(dict.fromkeys(end)))


def read_lora(document: Document, place: tuple[str, ...], value: Any) -> LoRA | None:
    """The form of an adapter: `true`, a rank, or `{rank, alpha, targets, rslora}`; alpha is twice the rank by default.

    >>> from nashpo.studies.document import read_document
    >>> read_lora(read_document({}), ("model", "lora"), {"rank": 4, "targets": ["q", "v"]})
    LoRA(rank=4, alpha=8.0, targets=('q', 'v'), rslora=False)
    """
    if value is None or value is False:
        return None
    given: dict[str, Any] = dict(value) if isinstance(value, Mapping) else {}
    if isinstance(value, int) and not isinstance(value, bool):
        given = {"rank": value}
    elif not isinstance(value, Mapping) and value is not True:
        document.wrong(place, f"is {value!r}, but must be true, a rank, or {{rank = 16, alpha = 32}}.")
    rank = given.setdefault("rank", 16)
    given.setdefault("alpha", 2.0 * rank if isinstance(rank, int | float) else 32.0)
    if isinstance(given.get("targets"), list):
        given["targets"] = tuple(str(name).removesuffix("_proj") for name in given["targets"])
    return made(document, place, LoRA, given)


def placing(spread: Spread) -> Callable[[str, np.ndarray], Any] | None:
    """Where a parameter goes as it is loaded: over the devices of `[mesh]`, or None for the first one.

    Raises `ValueError` for a mesh that is not as many devices as there are.

    >>> placing(Spread()) is None
    True
    """
    if not spread.given:
        return None
    from nashpo.lm.mesh import make_mesh, place

    return functools.partial(place, mesh=make_mesh(spread.fsdp, spread.tensor or 1))


def _architecture(document: Document, place: tuple[str, ...], path: Path) -> tuple[Decoder, str]:
    """The decoder of a directory, and the dtype of its weights: of those in the files, for configurations err."""
    try:
        found = check_files(path)
        return found.decoder, str(found.params["embed"].dtype)
    except ValueError as error:
        document.wrong(place, f": {error}")


def _lora(document: Document, model: Model, decoder: Decoder) -> tuple[LoRA | None, Any]:
    """The form of the adapter that is trained, and the adapter that training starts from."""
    lora = read_lora(document, ("model", "lora"), model.lora)
    if model.adapter is None:
        return lora, None
    try:
        found, adapter = load_adapter(document.folder / model.adapter, decoder)
    except ValueError as error:
        document.wrong(("model", "adapter"), f": {error}")
    adapter = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), adapter)
    if lora is not None and lora != found:
        document.wrong(("model", "lora"), f"is {lora}, but the adapter to start from is {found}; leave lora out.")
    return found, adapter

"""Rankers of pairs in Hugging Face directories: a DeBERTa v3 with a head over three of its states."""

import dataclasses
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nashpo.lm.encoder import Encoder
from nashpo.lm.files.configuration import SIZES, config_of
from nashpo.lm.files.parameters import ParameterLooker, ParameterReader, on_device
from nashpo.lm.files.tensors import Tensors

LONGEST = 2048
"""Tokens of a prompt with two answers that PairRM was trained on; configurations do not say."""

_FIXED: Mapping[str, tuple[Any, Any]] = {
    "model_type": (None, "deberta-v2"),
    "relative_attention": (False, True),
    "share_att_key": (False, True),
    "norm_rel_ebd": ("none", "layer_norm"),
    "position_biased_input": (True, False),
    "type_vocab_size": (0, 0),
    "conv_kernel_size": (0, 0),
    "hidden_act": ("gelu", "gelu"),
}
"""Options of a configuration: what they are when absent, and what they are in the models read here."""

_NORMS = {"attention_norm": "attention.output.LayerNorm", "mlp_norm": "output.LayerNorm"}
_MAPS = {
    "q": "attention.self.query_proj",
    "k": "attention.self.key_proj",
    "v": "attention.self.value_proj",
    "o": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}
_TOP = {
    "embed": "embeddings.word_embeddings.weight",
    "embed_norm": "embeddings.LayerNorm.weight",
    "embed_norm_bias": "embeddings.LayerNorm.bias",
    "distances": "encoder.rel_embeddings.weight",
    "distances_norm": "encoder.LayerNorm.weight",
    "distances_norm_bias": "encoder.LayerNorm.bias",
}
_IGNORED = (".position_ids",)


@dataclasses.dataclass(frozen=True)
class Ranker:
    """What a directory holds: the encoder, its parameters, and the head over the states of prompt and answer.

        score = outer tanh(inner [prompt, answer] + inner_bias) + outer_bias

    `head` holds "inner" `[D, 2 D]`, "inner_bias" `[D]`, "outer" `[tasks, D]` and "outer_bias" `[tasks]`.

    >>> encoder = Encoder(vocabulary=8, width=4, layers=1, heads=2, inner=4, buckets=4, farthest=16)
    >>> Ranker(encoder, {}, {}, Path("somewhere")).encoder.width
    4
    """

    encoder: Encoder
    params: dict[str, Any]
    head: dict[str, Any]
    path: Path


def load_ranker(
    path: str | os.PathLike[str], dtype: Any = None, place: Callable[[str, np.ndarray], Any] | None = None
) -> Ranker:
    """The ranker in a directory, as `llm-blender/PairRM-hf` is published; arguments as in `nashpo.lm.files.load`.

    Raises `ValueError` for a folder that is no such checkpoint, options of the encoder that are not those of DeBERTa
    v3, and tensors that are missing, unknown, damaged or of another shape than the configuration says.

    >>> load_ranker("nowhere")
    Traceback (most recent call last):
        ...
    ValueError: nowhere: has no config.json; give the directory of a Hugging Face checkpoint.
    """
    return _read(Path(path), lambda tensors: ParameterReader(tensors, dtype, place or on_device))


def check_ranker(path: str | os.PathLike[str]) -> Ranker:
    """The ranker in a directory, if its files are whole and hold its tensors; none is read, parameters are zero.

    Raises `ValueError` as `load_ranker` does.

    >>> check_ranker("nowhere")
    Traceback (most recent call last):
        ...
    ValueError: nowhere: has no config.json; give the directory of a Hugging Face checkpoint.
    """
    return _read(Path(path), lambda tensors: ParameterLooker(tensors, None, on_device))


def read_encoder(config: Mapping[str, Any]) -> Encoder:
    """The encoder of a Hugging Face configuration.

    Raises `ValueError` for sizes that are missing, and options that are not those of DeBERTa v3.

    >>> read_encoder({"model_type": "bert"})
    Traceback (most recent call last):
        ...
    ValueError: model_type is 'bert': rankers are read with 'deberta-v2' only, as in DeBERTa v3.
    """
    for name, (absent, wanted) in _FIXED.items():
        if config.get(name, absent) != wanted:
            found = config.get(name, absent)
            raise ValueError(f"{name} is {found!r}: rankers are read with {wanted!r} only, as in DeBERTa v3.")
    terms = config.get("pos_att_type") or ()
    terms = terms.split("|") if isinstance(terms, str) else terms
    if {term.strip() for term in terms} != {"c2p", "p2c"}:
        raise ValueError(f"pos_att_type is {config.get('pos_att_type')!r}: rankers are read with 'p2c|c2p' only.")
    missing = [name for name in (*SIZES, "position_buckets") if not config.get(name)]
    if missing:
        raise ValueError(f"the configuration has no {', '.join(missing)}.")
    if config.get("embedding_size", config["hidden_size"]) != config["hidden_size"]:
        raise ValueError("embedding_size differs from hidden_size: such encoders are not read.")
    farthest = int(config.get("max_relative_positions") or -1)
    return Encoder(
        vocabulary=int(config["vocab_size"]),
        width=int(config["hidden_size"]),
        layers=int(config["num_hidden_layers"]),
        heads=int(config["num_attention_heads"]),
        inner=int(config["intermediate_size"]),
        buckets=int(config["position_buckets"]),
        farthest=farthest if farthest >= 1 else int(config.get("max_position_embeddings") or 512),
        norm_eps=float(config.get("layer_norm_eps", 1e-7)),
        longest=LONGEST,
    )


def _read(folder: Path, reader: Callable[[Tensors], ParameterReader]) -> Ranker:
    """What a directory holds, as far as the reader reads it."""
    config = config_of(folder)
    try:
        encoder = read_encoder(config)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    read = reader(Tensors(folder))
    shapes, width = encoder.shapes, encoder.width
    params = {name: read.single(name, f"pretrained_model.{file}", shapes["top"][name]) for name, file in _TOP.items()}
    layers = {}
    for name, shape in shapes["layer"].items():
        files = [f"pretrained_model.encoder.layer.{number}.{_file(name)}" for number in range(encoder.layers)]
        layers[name] = read.stacked(f"layers.{name}", files, shape)
    head = {"inner": (1, "weight", (width, 2 * width)), "inner_bias": (1, "bias", (width,))}
    head |= {"outer": (4, "weight", (None, width)), "outer_bias": (4, "bias", (None,))}
    found = {name: read.single(name, f"head_layer.{at}.{kind}", shape) for name, (at, kind, shape) in head.items()}
    read.check_rest("PairRM", _IGNORED)
    return Ranker(encoder, {**params, "layers": layers}, found, folder)


def _file(name: str) -> str:
    """A parameter of a layer, as files name it."""
    bare = name.removesuffix("_bias")
    return f"{(_MAPS | _NORMS)[bare]}.{'bias' if name != bare else 'weight'}"

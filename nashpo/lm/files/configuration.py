"""`config.json`, read in both of its spellings and written in the present one."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nashpo.lm.decoder import Decoder
from nashpo.lm.files.families import ACTIVATIONS, COMMON, FAMILIES, FULL, SLIDING, Family
from nashpo.lm.files.ropes import read_ropes, write_ropes
from nashpo.validation.numbers import is_whole

SIZES = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")

NUMBERS = ("rms_norm_eps", "rope_theta", "max_window_layers", "query_pre_attn_scalar")
"""Keys that may be absent where there is a usual value, but not null."""


def read_config(config: Mapping[str, Any]) -> Decoder:
    """The decoder of a Hugging Face configuration, in the spelling of transformers 5 or of those before.

    Raises `ValueError` for a family, activation or rope kind that is not known, sizes that are missing, and options
    that would change the result without being read.

    >>> sizes = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    >>> old = {"model_type": "llama", "num_attention_heads": 4, "rope_theta": 500.0, **sizes}
    >>> new = {"model_type": "llama", "num_attention_heads": 4, "rope_parameters": {"rope_theta": 500.0}, **sizes}
    >>> read_config(old) == read_config(new)
    True
    >>> read_config({"model_type": "mamba"})
    Traceback (most recent call last):
        ...
    ValueError: model_type 'mamba' is none of the families read here: llama, mistral, qwen2, qwen3, gemma, gemma2, \
gemma3_text.
    """
    kind: Any = config.get("model_type")
    if kind not in FAMILIES:
        hint = " (save its text model alone)" if isinstance(config.get("text_config"), Mapping) else ""
        raise ValueError(f"model_type {kind!r} is none of the families read here{hint}: {', '.join(FAMILIES)}.")
    family = FAMILIES[kind]
    usual = {**COMMON, **family.defaults}
    full = {**usual, **config}
    missing = [name for name in SIZES if not full.get(name)]
    missing += [name for name in NUMBERS if full.get(name) is None and usual.get(name) is not None]
    if missing:
        raise ValueError(f"the configuration has no {', '.join(missing)}.")
    if full.get("use_bidirectional_attention"):
        raise ValueError("use_bidirectional_attention is set: these decoders only look back.")
    if kind == "gemma3_text" and full["attn_logit_softcapping"]:
        raise ValueError("attn_logit_softcapping is set in a gemma3_text model, where programs disagree about it.")
    kinds = _layer_kinds(kind, full)
    width, heads = int(full["hidden_size"]), int(full["num_attention_heads"])
    scalar = full["query_pre_attn_scalar"]
    biased = bool(full["attention_bias"]) and kind not in ("mistral", "qwen2")
    fields: dict[str, Any] = {"qkv_bias": biased, "o_bias": biased, **family.fixed}
    return Decoder(
        family=kind,
        vocabulary=int(full["vocab_size"]),
        width=width,
        layers=int(full["num_hidden_layers"]),
        heads=heads,
        kv_heads=int(full["num_key_value_heads"] or heads),
        head_dim=int(full["head_dim"] or width // heads),
        inner=int(full["intermediate_size"]),
        activation=_activation(kind, family, full),
        norm_eps=float(full["rms_norm_eps"]),
        mlp_bias=kind == "llama" and bool(full["mlp_bias"]),
        attention_cap=_maybe(full["attn_logit_softcapping"]) if kind == "gemma2" else None,
        logit_cap=_maybe(full["final_logit_softcapping"]) if kind in ("gemma2", "gemma3_text") else None,
        query_scale=float(scalar) ** -0.5 if kind in ("gemma2", "gemma3_text") else None,
        embedding_scale=width**0.5 if family.scaled_embedding else None,
        windows=tuple(_window(full) if layer == SLIDING else None for layer in kinds),
        ropes=read_ropes(full, kinds, family.local_base),
        tied=bool(full["tie_word_embeddings"]),
        longest=full["max_position_embeddings"],
        **fields,
    )


def write_config(decoder: Decoder, heads: Mapping[str, tuple[int, ...]], dtype: str) -> dict[str, Any]:
    """The configuration of a decoder, in the spelling of transformers 5, for heads of these shapes and a dtype.

    Raises `ValueError` for a decoder that its family cannot describe.

    >>> decoder = Decoder("llama", vocabulary=32, width=16, layers=2, heads=4, kv_heads=2, head_dim=4, inner=24)
    >>> write_config(decoder, {}, "float32")["architectures"]
    ['LlamaForCausalLM']
    """
    if decoder.family not in FAMILIES:
        raise ValueError(f"family {decoder.family!r} has no files here; it must be one of {', '.join(FAMILIES)}.")
    family = FAMILIES[decoder.family]
    names = {ours: theirs for theirs, ours in reversed(ACTIVATIONS.items())}
    kinds = [FULL if window is None else SLIDING for window in decoder.windows]
    window = next((window for window in decoder.windows if window is not None), None)
    config: dict[str, Any] = {
        "model_type": decoder.family,
        "vocab_size": decoder.vocabulary,
        "hidden_size": decoder.width,
        "intermediate_size": decoder.inner,
        "num_hidden_layers": decoder.layers,
        "num_attention_heads": decoder.heads,
        "num_key_value_heads": decoder.kv_heads,
        "head_dim": decoder.head_dim,
        family.activation: names[decoder.activation],
        "rms_norm_eps": decoder.norm_eps,
        "tie_word_embeddings": decoder.tied,
        "rope_parameters": write_ropes(decoder.ropes, kinds, family.local_base),
        "use_cache": True,
    }
    if decoder.longest is not None:
        config["max_position_embeddings"] = decoder.longest
    if decoder.family in ("llama", "qwen3", "gemma", "gemma2", "gemma3_text"):
        config["attention_bias"] = decoder.qkv_bias
    if decoder.family == "llama":
        config["mlp_bias"] = decoder.mlp_bias
    if decoder.family in ("mistral", "qwen2", "qwen3", "gemma2", "gemma3_text"):
        config["sliding_window"] = window
    if decoder.family in ("qwen2", "qwen3", "gemma2", "gemma3_text"):
        config["layer_types"] = kinds
    if decoder.family in ("qwen2", "qwen3"):
        config["use_sliding_window"] = window is not None
    if decoder.family in ("gemma2", "gemma3_text"):
        config["query_pre_attn_scalar"] = _round(decoder.score_scale**-2)
        config["attn_logit_softcapping"] = decoder.attention_cap
        config["final_logit_softcapping"] = decoder.logit_cap
    again = read_config(config)
    asked = dataclasses.replace(decoder, query_scale=None if again.query_scale is None else decoder.score_scale)
    fields = [field.name for field in dataclasses.fields(Decoder)]
    different = [name for name in fields if getattr(again, name) != getattr(asked, name)]
    if different:
        raise ValueError(f"a decoder of family {decoder.family!r} cannot have this {', '.join(different)}.")
    return present(config, decoder, heads, dtype)


def present(
    config: Mapping[str, Any], decoder: Decoder, heads: Mapping[str, tuple[int, ...]], dtype: str
) -> dict[str, Any]:
    """A configuration that says of itself what is now in the files: class, number of labels and dtype.

    >>> decoder = Decoder("llama", vocabulary=32, width=16, layers=2, heads=4, kv_heads=2, head_dim=4, inner=24)
    >>> present({"torch_dtype": "bfloat16"}, decoder, {"score": (1, 16)}, "float32")["architectures"]
    ['LlamaForSequenceClassification']
    """
    said = {key: value for key, value in config.items() if key not in ("torch_dtype", "dtype")}
    classes = FAMILIES[decoder.family].classes()
    if not set(heads) - {"score"}:
        said["architectures"] = [classes["score" if "score" in heads else "causal"]]
    said["torch_dtype" if "torch_dtype" in config else "dtype"] = dtype
    labels = heads["score"][0] if "score" in heads else 0
    if labels and len(said.get("id2label") or {}) != labels:
        said["id2label"] = {str(number): f"LABEL_{number}" for number in range(labels)}
        said["label2id"] = {f"LABEL_{number}": number for number in range(labels)}
    return said


def config_of(folder: Path) -> dict[str, Any]:
    """The configuration in a folder; `ValueError` where there is none or it is not JSON."""
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder}: has no config.json; give the directory of a Hugging Face checkpoint.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: is no JSON ({error}).") from None
    if not isinstance(config, dict):
        raise ValueError(f"{path}: holds no JSON object.")
    return config


def _layer_kinds(kind: str, full: Mapping[str, Any]) -> tuple[str, ...]:
    """Which layers look at everything and which through a window."""
    layers = int(full["num_hidden_layers"])
    if kind in ("llama", "gemma"):
        return (FULL,) * layers
    if kind == "mistral":
        return (SLIDING,) * layers
    kinds = full["layer_types"]
    if kinds is None and "sliding_window_pattern" in full:
        kinds = [SLIDING if (i + 1) % int(full["sliding_window_pattern"]) else FULL for i in range(layers)]
    elif kinds is None:
        kinds = [SLIDING if i >= full["max_window_layers"] else FULL for i in range(layers)]
    if len(kinds) != layers:
        raise ValueError(f"layer_types has {len(kinds)} entries for num_hidden_layers={layers}.")
    unknown = next((layer for layer in kinds if layer not in (FULL, SLIDING)), None)
    if unknown is not None:
        raise ValueError(f"layer_types holds {unknown!r}: layers are {FULL} or {SLIDING} here.")
    return tuple(kinds)


def _window(full: Mapping[str, Any]) -> int | None:
    """The window of the sliding layers."""
    window = full["sliding_window"] if full.get("use_sliding_window", True) else None
    if window is not None and not is_whole(window, 1):
        raise ValueError(f"sliding_window is {window!r}, but must be a whole number of tokens, at least 1, or null.")
    return window


def _activation(kind: str, family: Family, full: Mapping[str, Any]) -> str:
    """The activation of the configuration, in our name."""
    name = full[family.activation]
    if kind == "gemma" and name == "gelu":
        name = "gelu_pytorch_tanh"  # what the first Gemma files mean by it
    if name not in ACTIVATIONS:
        raise ValueError(f"{family.activation} {name!r} is none of the activations known: {', '.join(ACTIVATIONS)}.")
    return ACTIVATIONS[name]


def _maybe(value: Any) -> float | None:
    """A number, or None."""
    return None if value is None else float(value)


def _round(value: float) -> float | int:
    """The whole number nearby, if there is one: powers of square roots lose it."""
    return round(value) if abs(value - round(value)) < 1e-9 * abs(value) else value

"""Adapter directories of PEFT, in and out."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors.numpy import save_file

from nashpo.lm.decoder import Decoder, LoRA
from nashpo.lm.decoder.lora import TARGETS
from nashpo.lm.files.families import layer_names
from nashpo.lm.files.folders import copy_along, write_end, write_folder
from nashpo.lm.files.tensors import Tensors

FILE = "adapter_model.safetensors"
TENSOR = re.compile(r"base_model\.model\.(?:model\.)?layers\.(\d+)\.(\w+\.\w+)\.lora_([AB])\.(?:default\.)?weight")
READ = ("peft_type", "r", "lora_alpha", "use_rslora", "target_modules", "bias", "init_lora_weights")
HARMLESS = (
    "auto_mapping",
    "base_model_name_or_path",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "lora_dropout",
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
)
"""Options that do not change what the tensors mean; any other that is set is refused."""


def load_adapter(path: str | os.PathLike[str], decoder: Decoder) -> tuple[LoRA, dict[str, dict[str, Any]]]:
    """The form and the arrays of a PEFT adapter of this decoder; a dtype is that of its file.

    Which maps are changed is read from the tensors, so that `target_modules` may be a list, a pattern or "all-linear".

    Raises `ValueError` for a folder that holds none, another method than LoRA, options under which the tensors mean
    something else (rank and alpha patterns, DoRA, biases, saved modules, initialisations that change the base), maps
    that are not changed in every layer, and shapes that are not the decoder's.

    >>> import jax, tempfile
    >>> from nashpo.lm.decoder import init_adapter
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> lora = LoRA(rank=2, alpha=4.0, targets=("q", "v"))
    >>> adapter = init_adapter(decoder, lora, jax.random.key(0))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = save_adapter(Path(folder, "adapter"), decoder, lora, adapter, base="somewhere")
    ...     load_adapter(Path(folder, "adapter"), decoder)[0]
    LoRA(rank=2, alpha=4.0, targets=('q', 'v'), rslora=False)
    """
    folder = Path(path)
    config = adapter_config(folder)
    rank, alpha = int(config.get("r", 8)), float(config.get("lora_alpha", 8))
    tensors = Tensors(folder, FILE)
    found = _found(folder, tensors, decoder)
    targets = tuple(name for name in TARGETS if name in found)
    adapter: dict[str, dict[str, Any]] = {}
    for name in targets:
        inputs, outputs = decoder.shapes["layer"][name]
        layers = [found[name].get(number, {}) for number in range(decoder.layers)]
        bare = next((number for number, parts in enumerate(layers) if set(parts) != {"A", "B"}), None)
        if bare is not None:
            raise ValueError(f"{folder}: {name} is not changed in layer {bare}; adapters must change every layer here.")
        a = np.stack([tensors.read(parts["A"], (rank, inputs)).T for parts in layers])
        b = np.stack([tensors.read(parts["B"], (outputs, rank)).T for parts in layers])
        adapter[name] = {"a": jnp.asarray(a), "b": jnp.asarray(b)}
    return LoRA(rank, alpha, targets, bool(config.get("use_rslora"))), adapter


def save_adapter(
    path: str | os.PathLike[str],
    decoder: Decoder,
    lora: LoRA,
    adapter: Mapping[str, Mapping[str, Any]],
    base: str | os.PathLike[str],
    end: Sequence[int] = (),
) -> Path:
    """Write an adapter as PEFT does; `base` is the model it belongs to. Returns the path.

    Where `base` is a directory, its tokenizer and chat templates go along, and the tokens `end` that end an answer if
    they are others than its own. The folder is written under a temporary
    name and then moved; an adapter that was there before is replaced.

    Raises `ValueError` for arrays that are not those of `lora`, and as `save` does.

    >>> import jax, tempfile
    >>> from nashpo.lm.decoder import init_adapter
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> lora = LoRA(rank=2, alpha=4.0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     adapter = init_adapter(decoder, lora, jax.random.key(0))
    ...     sorted(os.listdir(save_adapter(Path(folder, "adapter"), decoder, lora, adapter, base="somewhere")))
    ['adapter_config.json', 'adapter_model.safetensors']
    """
    _check(decoder, lora, adapter)
    names = layer_names(decoder.sandwich)
    config = {
        "base_model_name_or_path": str(base),
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": int(lora.alpha) if float(lora.alpha).is_integer() else lora.alpha,
        "lora_dropout": 0.0,
        "peft_type": "LORA",
        "r": lora.rank,
        "target_modules": [f"{name}_proj" for name in lora.targets],
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": lora.rslora,
    }

    def fill(folder: Path) -> None:
        (folder / "adapter_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        tensors = {}
        for name in lora.targets:
            file = "base_model.model.model.layers.{}." + names[name].removesuffix(".weight")
            for part in ("a", "b"):
                for number, array in enumerate(np.asarray(adapter[name][part])):
                    full = f"{file.format(number)}.lora_{part.upper()}.weight"
                    tensors[full] = np.ascontiguousarray(array.T)
        save_file(tensors, folder / FILE, metadata={"format": "pt"})
        if Path(base).is_dir():
            copy_along(Path(base), folder)
            write_end(folder, Path(base), end)

    return write_folder(path, fill)


def adapter_config(folder: Path) -> dict[str, Any]:
    """The options of an adapter, all of them understood; `ValueError` where they are not."""
    path = folder / "adapter_config.json"
    if not path.is_file():
        raise ValueError(f"{folder}: has no adapter_config.json; give the directory of a PEFT adapter.")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        kind = config.get("peft_type")
    except (ValueError, AttributeError) as error:
        raise ValueError(f"{path}: is no JSON object ({error}).") from None
    if kind != "LORA":
        raise ValueError(f"{path}: peft_type is {kind!r}; only LORA is read.")
    absent = [name for name in ("r", "lora_alpha") if config.get(name, 8) is None]
    if absent:
        raise ValueError(f"{path}: has no {absent[0]}, without which the tensors mean nothing.")
    start = config.get("init_lora_weights", True)
    if not isinstance(start, bool | None) and start not in ("gaussian", "orthogonal", "eva"):
        raise ValueError(f"{path}: init_lora_weights is {start!r}, which changes the base; convert it to plain LoRA.")
    given = {name for name, value in config.items() if value not in (None, False) and value != {} and value != []}
    if config.get("bias", "none") != "none":
        given.add("bias=" + config["bias"])
    unread = sorted(given.difference(READ, HARMLESS))
    if unread:
        raise ValueError(f"{path}: {', '.join(unread)} is set; only plain LoRA of linear maps is read.")
    return config


def _found(folder: Path, tensors: Tensors, decoder: Decoder) -> dict[str, dict[int, dict[str, str]]]:
    """Names of tensors by map, layer and part."""
    maps = {file.removesuffix(".weight"): name for name, file in layer_names(decoder.sandwich).items()}
    found: dict[str, dict[int, dict[str, str]]] = {}
    for file in tensors:
        match = TENSOR.fullmatch(file)
        name = maps.get(match[2]) if match else None
        if match is None or name not in TARGETS:
            raise ValueError(f"{folder}: {file} changes no linear map of a layer; that is not read.")
        if int(match[1]) >= decoder.layers:
            raise ValueError(f"{folder}: {file} belongs to a layer that this decoder of {decoder.layers} has not.")
        found.setdefault(name, {}).setdefault(int(match[1]), {})[match[3]] = file
    if not found:
        raise ValueError(f"{folder}: {FILE} holds no tensors.")
    return found


def _check(decoder: Decoder, lora: LoRA, adapter: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse arrays that are not those of `lora`."""
    if set(adapter) != set(lora.targets):
        raise ValueError(f"the adapter changes {', '.join(sorted(adapter))}, but lora {', '.join(lora.targets)}.")
    for name in lora.targets:
        inputs, outputs = decoder.shapes["layer"][name]
        wanted = {"a": (decoder.layers, inputs, lora.rank), "b": (decoder.layers, lora.rank, outputs)}
        for part, shape in wanted.items():
            if tuple(adapter[name][part].shape) != shape:
                raise ValueError(f"{name}.{part} has shape {tuple(adapter[name][part].shape)}, not {shape}.")

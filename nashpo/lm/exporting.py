"""A trained policy as a directory that transformers, or PEFT, loads."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, Literal

import jax

from nashpo.lm.files import save, save_adapter
from nashpo.lm.files.folders import MIXTURE, write_folder
from nashpo.lm.host import first, on_host, wait

How = Literal["auto", "adapter", "merged", "full"]


def export(policy: Any, folder: str | os.PathLike[str], source: str | os.PathLike[str], how: How = "auto") -> Path:
    """Write a language model as a Hugging Face directory, its tokenizer, template and end tokens included.

        adapter   what PEFT loads over `source`
        merged    all weights, the adapter added to them
        full      all weights, of a model that was trained without an adapter
        auto      adapter for a policy with one, else full

    `source` is the checkpoint that it came from. The average of a run (`Pool`), the arithmetic mixture of several
    policies that no single directory holds, becomes a folder of them, `policy0`, `policy1`, ..., with their weights
    in mixture.json: draw a policy for every answer. Of several processes all call it, each holds on its host what is
    written, and the first one writes.

    Raises `ValueError` for a way that the policy cannot be written, and for a folder with other things in it; `OSError`
    where the disk refuses.

    >>> import tempfile, jax, numpy as np
    >>> from nashpo.lm.decoder import Decoder, init_params
    >>> from nashpo.lm.filters import Decoding
    >>> from nashpo.lm.model import LanguageModel
    >>> decoder = Decoder("llama", vocabulary=8, width=4, layers=1, heads=2, kv_heads=1, head_dim=2, inner=4)
    >>> weights = init_params(decoder, jax.random.key(0))
    >>> model = LanguageModel(weights, {}, np.array([[3]]), decoder, Decoding(new_tokens=3))
    >>> with tempfile.TemporaryDirectory() as room:
    ...     source = save(Path(room, "source"), decoder, weights)
    ...     sorted(os.listdir(export(model, Path(room, "trained"), source)))
    ['config.json', 'model.safetensors']
    """
    reason = unfit(how, adapter=bool(getattr(policy, "frame", policy).base))
    if reason:
        raise ValueError(f'{folder}: cannot be written as "{how}", for {reason}.')
    if jax.process_count() == 1:
        return _write(policy, folder, source, how)
    whole = _whole(policy, how)
    if first():
        _write(whole, folder, source, how)
    wait(f"exported {folder}")
    return Path(folder)


def unfit(how: str, adapter: bool) -> str:
    """Why a policy, with an adapter or without, cannot be written in this way; nothing where it can.

    >>> unfit("full", adapter=True), unfit("merged", adapter=True)
    ('an adapter is trained; take "adapter" or "merged"', '')
    """
    ways = ("adapter", "merged") if adapter else ("full",)
    if how in (*ways, "auto", "none"):
        return ""
    trained = "an adapter is" if adapter else "all weights are"
    return f"{trained} trained; take " + " or ".join(f'"{way}"' for way in ways)


def _whole(policy: Any, how: How) -> Any:
    """The policy with what is written of it in NumPy."""
    if hasattr(policy, "members") or how in ("merged", "full"):
        return on_host(policy)
    return dataclasses.replace(policy, params=on_host(policy.params))


def _write(policy: Any, folder: str | os.PathLike[str], source: str | os.PathLike[str], how: How) -> Path:
    """`export` by one process."""
    if hasattr(policy, "members"):
        return _write_mixture(policy, folder, source, how)
    if how == "adapter" or (how == "auto" and policy.base):
        if not policy.params:
            raise ValueError(f'{folder}: the adapter is switched off, and there is nothing to write; export "merged".')
        base = Path(source).resolve()
        return save_adapter(folder, policy.decoder, policy.lora, policy.params, base, policy.decoding.end)
    return save(folder, policy.decoder, policy.merged(), source=source, end=policy.decoding.end)


def _write_mixture(policy: Any, folder: str | os.PathLike[str], source: str | os.PathLike[str], how: How) -> Path:
    """A folder of policies and their weights."""
    filled = [number for number, weight in enumerate(policy.weights) if weight > 0]
    weights = [float(policy.weights[number]) for number in filled]

    def fill(room: Path) -> None:
        for place, number in enumerate(filled):
            _write(policy.member(number), room / f"policy{place}", source, how)
        (room / MIXTURE).write_text(json.dumps({"weights": weights}, indent=1) + "\n", encoding="utf-8")

    return write_folder(folder, fill)

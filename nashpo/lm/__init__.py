"""Language models: Hugging Face checkpoints sampled, judged and trained by the same update rules; imported when used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nashpo.lm.decoder import Decoder, LoRA

__all__ = ["Decoder", "LoRA"]

_HOME = {"Decoder": "decoder", "LoRA": "decoder"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nashpo.lm' has no attribute {name!r}")
    return getattr(importlib.import_module(f"nashpo.lm.{_HOME[name]}"), name)

"""The decoder of language models: an architecture as data, parameters as a plain dict, functions of both."""

from nashpo.lm.decoder.architecture import Decoder
from nashpo.lm.decoder.forward import Cache, empty_cache, hidden, logits
from nashpo.lm.decoder.lora import LoRA, init_adapter, merge
from nashpo.lm.decoder.params import init_params
from nashpo.lm.decoder.rope import Rope

__all__ = [
    "Cache",
    "Decoder",
    "LoRA",
    "Rope",
    "empty_cache",
    "hidden",
    "init_adapter",
    "init_params",
    "logits",
    "merge",
]

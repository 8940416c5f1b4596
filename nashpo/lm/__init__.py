"""Language models: Hugging Face checkpoints sampled, judged and trained by the same update rules."""

from typing import TYPE_CHECKING

from nashpo.lazy import lazy

if TYPE_CHECKING:
    from nashpo.lm.decoder import Decoder, LoRA
    from nashpo.lm.files import Checkpoint, load, load_adapter, save, save_adapter
    from nashpo.lm.filters import Decoding
    from nashpo.lm.generate import Completions, Generator, Parts
    from nashpo.lm.model import LanguageModel
    from nashpo.lm.pool import Pool
    from nashpo.lm.preferences import Preferences
    from nashpo.lm.prompts import Prompts
    from nashpo.lm.text import Text

__all__ = [
    "Checkpoint",
    "Completions",
    "Decoder",
    "Decoding",
    "Generator",
    "LanguageModel",
    "LoRA",
    "Parts",
    "Pool",
    "Preferences",
    "Prompts",
    "Text",
    "load",
    "load_adapter",
    "save",
    "save_adapter",
]

_HOME = {
    "Checkpoint": "files",
    "Completions": "generate",
    "Decoder": "decoder",
    "Decoding": "filters",
    "Generator": "generate",
    "LanguageModel": "model",
    "LoRA": "decoder",
    "Parts": "generate",
    "Pool": "pool",
    "Preferences": "preferences",
    "Prompts": "prompts",
    "Text": "text",
    "load": "files",
    "load_adapter": "files",
    "save": "files",
    "save_adapter": "files",
}

__getattr__ = lazy(__name__, _HOME)

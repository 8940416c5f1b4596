"""Language models: Hugging Face checkpoints sampled, judged and trained by the same update rules."""

from typing import TYPE_CHECKING

from nashpo.lazy import lazy

if TYPE_CHECKING:
    from nashpo.lm.config import Setup, read_config
    from nashpo.lm.decoder import Decoder, LoRA
    from nashpo.lm.exporting import export
    from nashpo.lm.files import Checkpoint, load, load_adapter, save, save_adapter
    from nashpo.lm.filters import Decoding
    from nashpo.lm.generate import Completions, Generator, Parts
    from nashpo.lm.live import Live
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
    "Live",
    "LoRA",
    "Parts",
    "Pool",
    "Preferences",
    "Prompts",
    "Setup",
    "Text",
    "export",
    "load",
    "load_adapter",
    "read_config",
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
    "Live": "live",
    "LoRA": "decoder",
    "Parts": "generate",
    "Pool": "pool",
    "Preferences": "preferences",
    "Prompts": "prompts",
    "Setup": "config",
    "Text": "text",
    "export": "exporting",
    "load": "files",
    "load_adapter": "files",
    "read_config": "config",
    "save": "files",
    "save_adapter": "files",
}

__getattr__ = lazy(__name__, _HOME)

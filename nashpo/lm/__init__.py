"""Language models: Hugging Face checkpoints sampled, judged and trained by the same update rules."""

from typing import TYPE_CHECKING

from nashpo.lazy import lazy

if TYPE_CHECKING:
    from nashpo.lm.config import Setup, read_config
    from nashpo.lm.decoder import Decoder, LoRA
    from nashpo.lm.evaluation import Evaluation
    from nashpo.lm.exporting import export
    from nashpo.lm.files import Checkpoint, load, load_adapter, save, save_adapter
    from nashpo.lm.filters import Decoding
    from nashpo.lm.gains import EachJudge
    from nashpo.lm.generate import Completions, Generator, Parts
    from nashpo.lm.learner import Generated
    from nashpo.lm.live import Live
    from nashpo.lm.mesh import make_mesh
    from nashpo.lm.model import LanguageModel
    from nashpo.lm.oracle import TextOracle
    from nashpo.lm.pool import Pool
    from nashpo.lm.preferences import Preferences
    from nashpo.lm.prompts import Prompts
    from nashpo.lm.text import Text
    from nashpo.lm.training import Trained, train

__all__ = [
    "Checkpoint",
    "Completions",
    "Decoder",
    "Decoding",
    "EachJudge",
    "Evaluation",
    "Generated",
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
    "TextOracle",
    "Trained",
    "export",
    "load",
    "load_adapter",
    "make_mesh",
    "read_config",
    "save",
    "save_adapter",
    "train",
]

_HOME = {
    "Checkpoint": "files",
    "Completions": "generate",
    "Decoder": "decoder",
    "Decoding": "filters",
    "EachJudge": "gains",
    "Evaluation": "evaluation",
    "Generated": "learner",
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
    "TextOracle": "oracle",
    "Trained": "training",
    "export": "exporting",
    "load": "files",
    "load_adapter": "files",
    "make_mesh": "mesh",
    "read_config": "config",
    "save": "files",
    "save_adapter": "files",
    "train": "training",
}

__getattr__ = lazy(__name__, _HOME)

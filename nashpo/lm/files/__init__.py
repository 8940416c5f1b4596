"""Hugging Face directories in and out: full models and adapters, in every family of `FAMILIES`."""

from nashpo.lm.files.adapters import load_adapter, save_adapter
from nashpo.lm.files.checkpoint import Checkpoint, load
from nashpo.lm.files.configuration import read_config, write_config
from nashpo.lm.files.export import save
from nashpo.lm.files.families import FAMILIES

__all__ = [
    "FAMILIES",
    "Checkpoint",
    "load",
    "load_adapter",
    "read_config",
    "save",
    "save_adapter",
    "write_config",
]

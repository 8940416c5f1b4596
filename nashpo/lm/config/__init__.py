"""Runs of language models from TOML: what `nashpo lm train` reads."""

from nashpo.lm.config.reading import read_config
from nashpo.lm.config.setup import Setup

__all__ = ["Setup", "read_config"]

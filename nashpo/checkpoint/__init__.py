"""Runs that survive: checkpoints of any solver's state, the trace so far and the configuration."""

from nashpo.checkpoint.run import Checkpoints, Reached
from nashpo.checkpoint.shelf import CheckpointWarning

__all__ = ["CheckpointWarning", "Checkpoints", "Reached"]

"""Runs that survive: checkpoints of any solver's state, the trace so far and the configuration."""

from nashpo.checkpoint.run import Checkpoints, CheckpointWarning, Reached

__all__ = ["CheckpointWarning", "Checkpoints", "Reached"]

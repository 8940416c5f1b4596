"""What is minimised over samples."""

from nashpo.learners.losses.base import Loss, Samples, Terms, differences
from nashpo.learners.losses.mirror import PairLabel, Pointwise, PolicyGradient, SoftLogistic, SquaredGains

__all__ = [
    "Loss",
    "PairLabel",
    "Pointwise",
    "PolicyGradient",
    "Samples",
    "SoftLogistic",
    "SquaredGains",
    "Terms",
    "differences",
]

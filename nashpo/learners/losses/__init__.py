"""What is minimised over samples."""

from nashpo.learners.losses.base import Loss, Samples, Terms, differences, one_pair
from nashpo.learners.losses.field import CDPO, DPO, IPO, RDPO, RPO, VPO, HyPO
from nashpo.learners.losses.mirror import PairLabel, Pointwise, PolicyGradient, SoftLogistic, SquaredGains
from nashpo.learners.losses.others import GPO, HingeNorm, SigmoidNorm
from nashpo.learners.losses.proximal import ProximalPolicyGradient

__all__ = [
    "CDPO",
    "DPO",
    "GPO",
    "IPO",
    "RDPO",
    "RPO",
    "VPO",
    "HingeNorm",
    "HyPO",
    "Loss",
    "PairLabel",
    "Pointwise",
    "PolicyGradient",
    "ProximalPolicyGradient",
    "Samples",
    "SigmoidNorm",
    "SoftLogistic",
    "SquaredGains",
    "Terms",
    "differences",
    "one_pair",
]

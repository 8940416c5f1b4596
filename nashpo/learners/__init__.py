"""How policies reach what an update rule asks for; those that need optax are imported when they are first used."""

from typing import TYPE_CHECKING

from nashpo.lazy import lazy
from nashpo.learners.base import Learner
from nashpo.learners.exact import Exact

if TYPE_CHECKING:
    from nashpo.learners.extrapolate import Extrapolate
    from nashpo.learners.gains import Batch, Fresh, Listed
    from nashpo.learners.heuristics import BestAgainstWorst, GoldMargin, LargeMargin, Replay
    from nashpo.learners.queue import Queue
    from nashpo.learners.regression import Regression
    from nashpo.learners.rejection import Rejection
    from nashpo.learners.sampled import Sampled
    from nashpo.learners.samplers import FromOpponent, FromReference, FromStart, Uniform

__all__ = [
    "Batch",
    "BestAgainstWorst",
    "Exact",
    "Extrapolate",
    "Fresh",
    "FromOpponent",
    "FromReference",
    "FromStart",
    "GoldMargin",
    "LargeMargin",
    "Learner",
    "Listed",
    "Queue",
    "Regression",
    "Rejection",
    "Replay",
    "Sampled",
    "Uniform",
]

_HOME = {
    "Batch": "gains",
    "BestAgainstWorst": "heuristics",
    "Extrapolate": "extrapolate",
    "Fresh": "gains",
    "FromOpponent": "samplers",
    "FromReference": "samplers",
    "FromStart": "samplers",
    "GoldMargin": "heuristics",
    "LargeMargin": "heuristics",
    "Listed": "gains",
    "Queue": "queue",
    "Regression": "regression",
    "Rejection": "rejection",
    "Replay": "heuristics",
    "Sampled": "sampled",
    "Uniform": "samplers",
}


__getattr__ = lazy(__name__, _HOME)

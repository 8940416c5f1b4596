"""How policies reach what an update rule asks for."""

from nashpo.learners.base import Learner
from nashpo.learners.exact import Exact

__all__ = ["Exact", "Learner"]

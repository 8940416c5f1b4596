"""Conformance checks: whether an oracle, policy, rule, learner or solver of your own keeps the library's laws.

Each check runs in seconds, needs nothing but the library, and raises `AssertionError` with one sentence that says
which law is broken, where, by how much and what to do. The library's own parts are held to the same checks.
"""

from nashpo.testing.law import BrokenLaw
from nashpo.testing.learners import check_learner
from nashpo.testing.oracles import check_oracle
from nashpo.testing.policies import check_policy
from nashpo.testing.rules import check_rule
from nashpo.testing.solvers import check_solver

__all__ = ["BrokenLaw", "check_learner", "check_oracle", "check_policy", "check_rule", "check_solver"]

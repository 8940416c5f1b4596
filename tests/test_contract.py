"""What is true of every solver, crossed with the table of cases: the laws that `nashpo.testing` exports."""

import jax
import pytest
from cases import SOLVERS

from nashpo.testing import check_rule, check_solver


@pytest.mark.parametrize("name", SOLVERS)
def test_every_law_holds(name):
    case = SOLVERS[name]
    solver = case.make(0.3)
    check = check_rule if hasattr(solver, "stages") else check_solver
    with jax.numpy_dtype_promotion("strict"):
        check(solver, rest=case.rest, certain=case.certain, affine=case.affine)

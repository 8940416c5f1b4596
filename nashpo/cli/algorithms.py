"""Solvers by name, with a step size that suits the game where none is given."""

import math
from typing import Any

import numpy as np

from nashpo.cli.expression import build, parse
from nashpo.game import Game
from nashpo.metrics import payoff_bound
from nashpo.solvers.named import find_solver


def make_solver(spec: str, game: Game, eta: float | None, steps: int) -> Any:
    """The solver that `name:key=value,...` describes.

    `eta`, where given, is the step size. Else it is the largest one for which convergence is proven, and for
    solvers that answer with an average `sqrt(8 log A / steps)`, the best step for that many steps.

    >>> game = Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.5)
    >>> make_solver("egpo", game, eta=None, steps=100)
    EGPO(eta=1.0)
    """
    written = parse(spec, "solver")
    if eta is None:
        default = math.sqrt(8.0 * math.log(max(2, game.shape[1])) / max(1, steps))
        solver = build(written, find_solver, "solver", {"eta": default})
        if "eta" in written.settings:
            return solver
        proven = _proven(solver, game)
        return solver if proven is None else build(written, find_solver, "solver", {"eta": proven})
    if "eta" in written.settings:
        raise ValueError(f"the step size is given twice: --eta {eta:g} and --solver {spec}.")
    solver = build(written, find_solver, "solver", {"eta": eta})
    if not hasattr(solver, "eta"):
        raise ValueError(f"--eta {eta:g}: {type(solver).__name__} has no step size.")
    return solver


def _proven(solver: Any, game: Game) -> float | None:
    limit = getattr(solver, "proven_step", None)
    beta = float(np.asarray(game.beta))
    value = limit(beta, payoff_bound(game)) if limit is not None else None
    return value if value is not None and 0 < value < math.inf else None

"""A solver's runs on the small games, as its laws look at them."""

import functools
from typing import Any, Literal

import jax
import numpy as np

from nashpo.game import Game
from nashpo.metrics import duality_gap
from nashpo.results import Result, describe
from nashpo.run import as_solver, solve
from nashpo.solver import Status
from nashpo.testing.games import GAMES
from nashpo.testing.law import Law

Rest = Literal["original", "regularised", "any"]
STEPS, EVERY = 12, 4
AXES, MEASURED = ("prompt", "response"), ("measurement",)
EXACT = {"atol": 1e-14, "rtol": 1e-10}
"""For probabilities from the same arithmetic in another shape."""
PROBS = {"atol": 1e-14, "rtol": 1e-9}
"""For probabilities from sums in another order."""
GAPS = {"atol": 1e-15, "rtol": 1e-9}


class Runs:
    """One solver, the same with other numbers, and its runs on the small games."""

    def __init__(self, name: str, solver: Any, other: Any, **options: Any) -> None:
        self.name = name
        self.solver, self.other = (as_solver(one, **options) for one in (solver, other))

    def __call__(self, game: Game, solver: Any = None, every: int = EVERY, **options: Any) -> Result:
        """The run of a game, 12 steps."""
        return solve(game, self.solver if solver is None else solver, steps=STEPS, every=every, **options)

    @functools.cached_property
    def usual(self) -> Result:
        """The run that others are compared with."""
        return self(GAMES["random"]())


def scaled(solver: Any, factor: float) -> Any:
    """The same solver with every leaf named `eta` times `factor`.

    >>> from nashpo.solvers import EGPO
    >>> scaled(EGPO(eta=0.5), 2.0)
    EGPO(eta=1.0)
    """

    def multiply(path: tuple[Any, ...], leaf: Any) -> Any:
        named = bool(path) and getattr(path[-1], "name", None) == "eta"
        return leaf * factor if named and not callable(leaf) else leaf

    return jax.tree_util.tree_map_with_path(multiply, solver)


def probs(policy: Any) -> np.ndarray:
    """Probabilities `[X, A]` of any policy that can list its log-probabilities.

    >>> from nashpo.policies import Tabular
    >>> probs(Tabular(np.zeros((1, 2)))).tolist()
    [[0.5, 0.5]]
    """
    return np.exp(np.asarray(policy.log_probs()))


def label(solver: Any) -> str:
    """A solver in a sentence: its settings where they are short, else its class.

    >>> from nashpo.solvers import EGPO
    >>> label(EGPO(eta=0.5))
    'EGPO(eta=0.5)'
    """
    text = describe(solver)
    return text if len(text) <= 60 and "\n" not in text else type(solver).__name__


def sound(law: Law, result: Result, game: Game) -> None:
    """The answer, the last iterate and the trace are what they must be."""
    for what, policy in (("the answer", result.policy), ("the last iterate", result.last)):
        law.shape(policy.log_probs(), game.shape, what)
        total = probs(policy).sum(-1)
        law.close(total, np.ones_like(total), f"the sum of {what}", AXES, atol=1e-12)
    law.require(result.status is Status.FINISHED, f"the run ended as {result.status.name} after {result.steps} steps")
    expected = np.arange(EVERY, STEPS + 1, EVERY)
    law.close(result.trace["step"], expected, "the step of the trace", MEASURED)
    gaps = result.trace["duality_gap"]
    law.require(np.all(gaps >= 0), f"the duality gap is {gaps.min()}")
    law.close(gaps[-1], duality_gap(game, result.policy), "the last duality gap of the trace", **GAPS)

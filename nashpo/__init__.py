"""nashpo: what a population of cyclic, contradictory preferences really wants.

The names below are the library; each is imported when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nashpo import (
        callbacks,
        estimates,
        learners,
        maxmin,
        metrics,
        oracles,
        players,
        plots,
        policies,
        preferences,
        solvers,
        studies,
        tables,
        testing,
    )
    from nashpo.checkpoint import CheckpointWarning
    from nashpo.driver import drive
    from nashpo.equilibria import Equilibrium, equilibrium, equilibrium_path
    from nashpo.game import Game
    from nashpo.metrics import best_response, duality_gap, exploitability
    from nashpo.results import Result
    from nashpo.run import solve
    from nashpo.solver import SolveError, Status
    from nashpo.stacking import stack
    from nashpo.stage import StepSizeWarning
    from nashpo.sweeps import Sweep, sweep
    from nashpo.tables import load_table

__version__ = "0.1.0"

_HOME = {
    "CheckpointWarning": "checkpoint",
    "Equilibrium": "equilibria",
    "Game": "game",
    "Result": "results",
    "SolveError": "solver",
    "Status": "solver",
    "StepSizeWarning": "stage",
    "Sweep": "sweeps",
    "best_response": "metrics",
    "drive": "driver",
    "duality_gap": "metrics",
    "equilibrium": "equilibria",
    "equilibrium_path": "equilibria",
    "exploitability": "metrics",
    "load_table": "tables",
    "solve": "run",
    "stack": "stacking",
    "sweep": "sweeps",
}
_ROOMS = (
    "callbacks",
    "estimates",
    "learners",
    "maxmin",
    "metrics",
    "oracles",
    "players",
    "plots",
    "policies",
    "preferences",
    "solvers",
    "studies",
    "tables",
    "testing",
)

__all__ = [
    "CheckpointWarning",
    "Equilibrium",
    "Game",
    "Result",
    "SolveError",
    "Status",
    "StepSizeWarning",
    "Sweep",
    "best_response",
    "callbacks",
    "drive",
    "duality_gap",
    "equilibrium",
    "equilibrium_path",
    "estimates",
    "exploitability",
    "learners",
    "load_table",
    "maxmin",
    "metrics",
    "oracles",
    "players",
    "plots",
    "policies",
    "preferences",
    "solve",
    "solvers",
    "stack",
    "studies",
    "sweep",
    "tables",
    "testing",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        value = getattr(importlib.import_module(f"nashpo.{_HOME[name]}"), name)
    elif name in _ROOMS:
        value = importlib.import_module(f"nashpo.{name}")
    else:
        raise AttributeError(f"module 'nashpo' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])

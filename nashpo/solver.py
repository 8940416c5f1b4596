"""What runs: the contract between an algorithm and everything that runs, sweeps and saves it."""

from enum import IntEnum
from typing import Any, Protocol, runtime_checkable

from nashpo.policies.base import Policy
from nashpo.typing import Array, Key


class Status(IntEnum):
    """How a run ended."""

    FINISHED = 0
    """Every step was taken; no tolerance was asked for."""
    CONVERGED = 1
    """The duality gap reached `tol`."""
    NOT_CONVERGED = 2
    """Every step was taken and the duality gap is still above `tol`."""
    NONFINITE = 3
    """A step produced an infinite or undefined number; the run stopped before it."""
    STOPPED = 4
    """A callback asked to stop before the last step; or the run is still under way."""


class SolveError(RuntimeError):
    """A run did not end the way it was asked to."""


@runtime_checkable
class Solver(Protocol):
    """An algorithm that can be run: pure functions of a state that is a pytree."""

    def init(self, game: Any, start: Policy) -> Any:
        """The state before the first step."""
        ...

    def step(self, game: Any, state: Any, key: Key) -> tuple[Any, dict[str, Array]]:
        """The state after one more step, and what there is to say about it."""
        ...

    def policy(self, state: Any) -> Policy:
        """The algorithm's answer."""
        ...

    def last(self, state: Any) -> Policy:
        """The last iterate."""
        ...

"""How a class of policies gets to where a stage points."""

from typing import Any, Protocol, runtime_checkable

from nashpo.game import Game
from nashpo.policies.base import Policy
from nashpo.stage import Slot, Stage
from nashpo.typing import Array, Key


@runtime_checkable
class Learner(Protocol):
    """Turns stages into policies of the one class that it trains; arguments typed `Any` are of that class.

    A learner may have `check(rule, game)`, which raises `ValueError` for a rule or a game that it cannot learn, and
    `partial = True` where a fit goes only a part of the way, so that proven step sizes of rules say nothing about it.
    """

    def init(self, policy: Any, like: Array) -> Policy:
        """The policy in the form that this learner trains; tables get the precision of `like`."""
        ...

    def carry(self, policy: Any) -> Any:
        """What the learner remembers from fit to fit, an optimizer's state for example."""
        ...

    def fit(
        self, carry: Any, key: Key, start: Any, slots: dict[Slot, Any], stage: Stage, game: Game
    ) -> tuple[Any, Policy, dict[str, Array]]:
        """The new carry, the policy of the stage trained from `start`, and what there is to say about it."""
        ...

    def mean(self, policy: Any, like: Array) -> Policy:
        """The arithmetic mean of no policies yet, a container for policies such as this one."""
        ...

    def average(self, average: Any, policy: Any, count: Array) -> Policy:
        """The arithmetic mean of `count + 1` policies, from the mean of `count` and one more."""
        ...

"""Gains where every opponent has a judge of its own."""

from typing import Any, ClassVar

from nashpo.game import Game
from nashpo.learners.gains import against_fresh
from nashpo.learners.samplers import Scene
from nashpo.struct import record, static
from nashpo.typing import Array, Key
from nashpo.validation.numbers import whole_number


@record
class EachJudge:
    """`g(y) = sum_j w_j P_j(y beats nu_j)`: opponent j of a stage is met before judge j of an ensemble.

    For heterogeneous players (HT-MNPO, Wu et al. 2025, arXiv:2509.23102): a policy of the past stands for each group,
    and plays by its taste. The judge of the game is an `Ensemble`, whose `players` are used one by one; where a stage
    has more opponents than there are judges they start again with the first. Not the game of the mean judge: where
    the opponents differ there need be no equilibrium that this converges to.

    `count` fresh completions of every opponent are compared with all responses to a prompt, as with `Fresh`.

    >>> EachJudge(count=2).count
    2
    """

    count: int = static(default=1)
    laws: ClassVar[frozenset[str] | None] = None

    def __post_init__(self) -> None:
        """At least one sample is needed."""
        whole_number("count", self.count, 1, of="EachJudge")

    def check(self, learner: Any, game: Game) -> None:
        """Refuse a judge that is not several."""
        if len(getattr(game.oracle, "players", ())) < 2:
            raise ValueError("EachJudge(): the judge must be an Ensemble of at least two; use Fresh() for one judge.")

    def estimate(self, key: Key, prompts: Array, responses: Any, scene: Scene) -> Array:
        """`[B, K]`."""
        oracle: Any = scene.game.oracle
        return against_fresh(oracle.players, self.count, key, prompts, responses, scene)

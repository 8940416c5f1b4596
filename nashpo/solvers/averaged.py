"""Any rule, answered by the average of its iterates."""

from nashpo.game import Game
from nashpo.stage import Move, Slot, Stage, UpdateRule
from nashpo.struct import record
from nashpo.typing import Array, Scalar


@record
class Averaged(UpdateRule):
    """`rule` itself, with another answer: the arithmetic mean of the policies before the last.

    answer = (1/T) sum_{t<T} now_t

    Self-play without KL penalty converges in this average and not in its last iterate (Freund and Schapire 1999,
    Games and Economic Behavior 29). The mean is over probabilities, for every prompt apart.

    >>> import nashpo
    >>> from nashpo.solvers import DNO
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    >>> result = nashpo.solve(game, Averaged(DNO(eta=0.1)), steps=1000, every=1000)
    >>> bool(result.trace["duality_gap"][-1] < 0.05 < nashpo.duality_gap(game, result.last))
    True
    """

    rule: UpdateRule
    report = "average"

    @property
    def memory(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]  only read
        """What `rule` remembers."""
        return self.rule.memory

    @property
    def stored(self) -> tuple[Slot, ...]:  # pyright: ignore[reportIncompatibleVariableOverride]  only read
        """The slots of `rule`."""
        return self.rule.stored

    @property
    def penalised(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride]  only read
        """Whether `rule` is."""
        return self.rule.penalised

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """The stages of `rule`."""
        return self.rule.stages(beta, step)

    def moves(self, step: Array) -> dict[Slot, Move]:
        """The moves of `rule`."""
        return self.rule.moves(step)

    def check(self, game: Game, bound: float) -> None:
        """Refuse what is no rule; and the checks of `rule`."""
        if not hasattr(self.rule, "stages"):
            raise ValueError("Averaged takes an update rule with its settings, for example Averaged(EGPO(eta=0.5)).")
        self.rule.check(game, bound)

"""Preferences written out as a table."""

import numpy as np

from nashpo.logspace import matvec
from nashpo.oracles.base import Enumerable, require_array
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scale
from nashpo.validation import validate


@record
class Table(Enumerable):
    """The payoff of every response against every other, `[X, A, A]`.

    `win_rates(q)[x, i] = sum_j payoff[x, i, j] q[x, j]`.

    Raises `ValueError` (when a game is made of it) for a payoff that `Game.from_table` refuses.

    >>> import numpy as np
    >>> rock_paper = Table(np.array([[[0.5, 0.0], [1.0, 0.5]]]))
    >>> rock_paper.win_rates(np.array([[1.0, 0.0]])).tolist()
    [[0.5, 1.0]]
    """

    payoff: Array
    scale: Scale = static(default="probability")

    @property
    def shape(self) -> tuple[int, int]:
        """`(X, A)`."""
        return self.payoff.shape[-3], self.payoff.shape[-1]

    def check(self) -> None:
        """Raise `ValueError` for a payoff that is no `[X, A, A]`, not constant-sum, not finite or out of range."""
        if np.ndim(self.payoff) != 3:
            shape = np.shape(self.payoff)
            raise ValueError(f"payoff has shape {shape}, but must be [prompts, responses, responses] (payoff[None]?).")
        require_array(self.payoff, "payoff", "[prompts, responses, responses]")
        validate(self.payoff, scale=self.scale)

    def win_rates(self, opponent: Array, key: Key | None = None) -> Array:
        """Expected payoff `[X, A]` of every response against an opponent's probabilities `[X, A]`."""
        return matvec(self.payoff, opponent)

    def table(self) -> Array:
        """Every pairwise payoff, `[X, A, A]`."""
        return self.payoff

    def compare(self, key: Key, prompts: Array, left: Array, right: Array) -> Array:
        """The payoff `[B, K]` of response `left[b, k]` against `right[b, k]` for prompt `prompts[b]`."""
        return self.payoff[prompts[:, None], left, right]

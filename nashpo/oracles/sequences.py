"""An oracle over numbered responses that is asked about token sequences."""

from typing import Any

import numpy as np

from nashpo.logspace import namespace
from nashpo.oracles.base import VALUE, EnumerableOracle, require_oracles
from nashpo.policies.answers import Answers
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scale


@record
class Sequences:
    """`oracle`, whose responses are numbers, over the token sequences that `answers` numbers.

    `compare` takes tokens `[B, K, L]`; everything else is the listed oracle's, response i being `answers.tokens(i)`.
    A comparison with something that is no answer is NaN.

    Raises `ValueError` (when a game is made of it) where the oracle does not have one response for every answer.

    >>> from nashpo.oracles import Table
    >>> ab = Sequences(Table(np.array([[[0.5, 0.9], [0.1, 0.5]]])), Answers(vocabulary=2, length=1))
    >>> ab.compare(None, np.array([0]), left=np.array([[[0], [1], [7]]]), right=np.array([[[1], [1], [0]]])).tolist()
    [[0.9, 0.5, nan]]
    >>> ab.shape
    (1, 2)
    """

    oracle: EnumerableOracle
    answers: Answers = static()

    @property
    def scale(self) -> Scale:
        """`"probability"` or `"score"`, the listed oracle's."""
        return self.oracle.scale

    @property
    def value(self) -> float:
        """What either player gets at equilibrium: 1/2 for win probabilities, 0 for scores."""
        return VALUE[self.scale]

    @property
    def shape(self) -> tuple[int, int]:
        """`(X, A)`."""
        return self.oracle.shape

    def check(self) -> None:
        """Raise `ValueError` for an oracle or answers that no game can be made of."""
        require_oracles([self.oracle], "Sequences", listed=True)
        responses = self.shape[1]
        if responses != self.answers.count:
            raise ValueError(
                f"{type(self.oracle).__name__} compares {responses} responses, but there are {self.answers.count} "
                f"answers ({self.answers}): give it one response for every answer."
            )
        getattr(self.oracle, "check", lambda: None)()

    def win_rates(self, opponent: Array, key: Key | None = None) -> Array:
        """Expected payoff `[X, A]` of every answer against an opponent's probabilities `[X, A]`."""
        return self.oracle.win_rates(opponent, key)

    def scores(self, opponent: Array) -> Array:
        """Expected log-odds `[X, A]` against an opponent's probabilities `[X, A]`."""
        return self._listed().scores(opponent)

    def table(self) -> Array:
        """Every pairwise payoff, `[X, A, A]`."""
        return self.oracle.table()

    def bound(self) -> float:
        """`max |payoff - value|` or an upper bound of it, the listed oracle's."""
        return self._listed().bound()

    def compare(self, key: Key, prompts: Array, left: Array, right: Array) -> Array:
        """The payoff `[B, K]` of tokens `left[b, k]` against tokens `right[b, k]` for prompt `prompts[b]`."""
        first, second = self.answers.index(left), self.answers.index(right)
        xp = namespace(first, second)
        known = (first >= 0) & (second >= 0)
        payoff = self.oracle.compare(key, prompts, xp.maximum(first, 0), xp.maximum(second, 0))
        return namespace(payoff, known).where(known, payoff, np.asarray(np.nan, payoff.dtype))

    def _listed(self) -> Any:
        """The listed oracle, with what `Enumerable` adds to the protocol."""
        return self.oracle

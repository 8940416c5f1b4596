"""What an oracle can be asked: who wins.

A payoff is a win probability (`scale = "probability"`, `P + P^T = 1`, value of the game 1/2) or a score, the
log-odds (`scale = "score"`, `S + S^T = 0`, value 0). The scale is part of an oracle's type.
"""

from typing import Any, Protocol, runtime_checkable

from nashpo.typing import Array, Key, Scale

VALUE: dict[str, float] = {"probability": 0.5, "score": 0.0}
"""What either player of the symmetric game gets at equilibrium, by scale."""


@runtime_checkable
class Oracle(Protocol):
    """Compares responses."""

    @property
    def scale(self) -> Scale:
        """`"probability"` or `"score"`."""
        ...

    def compare(self, key: Key, prompts: Array, left: Any, right: Any) -> Array:
        """The payoff `[B, K]` of `left[b, k]` against `right[b, k]` for prompt `prompts[b]`."""
        ...


@runtime_checkable
class EnumerableOracle(Oracle, Protocol):
    """An oracle over responses that can be listed."""

    def win_rates(self, opponent: Array, key: Key | None = None) -> Array:
        """Expected payoff `[X, A]` of every response against an opponent's probabilities `[X, A]`.

        With a key, an oracle that is noisy draws; without one it returns the expectation.
        """
        ...

    def table(self) -> Array:
        """Every pairwise payoff, `[X, A, A]`."""
        ...

    @property
    def shape(self) -> tuple[int, int]:
        """`(X, A)`."""
        ...

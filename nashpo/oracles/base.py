"""What an oracle can be asked: who wins.

A payoff is a win probability (`scale = "probability"`, `P + P^T = 1`, value of the game 1/2) or a score, the
log-odds (`scale = "score"`, `S + S^T = 0`, value 0). The scale is part of an oracle's type.
"""

from collections.abc import Iterable
from typing import Any, Protocol, runtime_checkable

import numpy as np

from nashpo.logspace import LOG_ZERO, matvec, namespace
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


def require_oracles(oracles: Iterable[Any], what: str, listed: bool = False) -> None:
    """Raise `ValueError` for what neither compares responses nor has win rates, a bare table for example.

    With `listed` also for an oracle whose responses are not listed, a judge for example.

    >>> require_oracles([np.full((1, 2, 2), 0.5)], "Noisy")
    Traceback (most recent call last):
        ...
    ValueError: Noisy takes oracles, not a ndarray: make one with Table(P[None]), or take the oracle of a game.
    """
    wrong = next((one for one in oracles if not (hasattr(one, "compare") or hasattr(one, "win_rates"))), None)
    if wrong is not None:
        raise ValueError(
            f"{what} takes oracles, not a {type(wrong).__name__}: make one with Table(P[None]), or take the oracle of "
            "a game."
        )
    wrong = next((one for one in oracles if listed and not hasattr(one, "win_rates")), None)
    if wrong is not None:
        raise ValueError(
            f"{what} takes oracles over responses that are listed, not a {type(wrong).__name__}: write the table out, "
            "as with Table(judge.tabulate(prompts, answers))."
        )


def require_array(value: Any, name: str, axes: str) -> None:
    """Raise `ValueError` for a list in place of an array, of which no oracle computes anything.

    >>> require_array([[0.0, 1.0]], "rewards", "[prompts, responses]")
    Traceback (most recent call last):
        ...
    ValueError: rewards must be an array [prompts, responses], of NumPy or JAX.
    """
    if not hasattr(value, "shape"):
        raise ValueError(f"{name} must be an array {axes}, of NumPy or JAX.")


def floating(values: Any) -> Any:
    """An array of whole numbers as one of floating-point numbers; differences of unsigned ones would wrap round.

    >>> floating(np.array([3, 1], np.uint8))
    array([3., 1.])
    """
    kind = getattr(getattr(values, "dtype", None), "kind", None)
    return values.astype(float) if kind in ("b", "i", "u") else values


def require_opponent(opponent: Array, shape: tuple[int, int]) -> None:
    """Raise `ValueError` unless an opponent is an array of probabilities `[X, A]`.

    >>> require_opponent(np.array([0.5, 0.5]), (1, 2))
    Traceback (most recent call last):
        ...
    ValueError: opponent has shape (2,), but must be probabilities [prompts, responses] = (1, 2).
    """
    require_array(opponent, "opponent", "[prompts, responses]")
    if opponent.shape != shape:
        raise ValueError(
            f"opponent has shape {tuple(opponent.shape)}, but must be probabilities [prompts, responses] = {shape}."
        )


class Enumerable:
    """What every oracle over listed responses derives from its scale and its table.

    >>> from nashpo.oracles import Table
    >>> table = Table(np.array([[[0.5, 0.9], [0.1, 0.5]]]))
    >>> table.value, round(table.bound(), 3)
    (0.5, 0.4)
    """

    @property
    def value(self) -> float:
        """What either player gets at equilibrium: 1/2 for win probabilities, 0 for scores."""
        return VALUE[self.scale]  # type: ignore[attr-defined]  of the class it is mixed into

    def scores(self, opponent: Array) -> Array:
        """Expected log-odds `[X, A]` of the table against an opponent; a certain win counts 1e9."""
        if self.scale == "score":  # type: ignore[attr-defined]  of the class it is mixed into
            return self.win_rates(opponent)  # type: ignore[attr-defined]  of the class it is mixed into
        table = self.table()  # type: ignore[attr-defined]  of the class it is mixed into
        xp = namespace(table, opponent)
        reverse = xp.swapaxes(table, -1, -2)  # and not one minus the table, which rounds where a win is nearly certain
        possible = (table > 0) & (reverse > 0)
        log_odds = xp.log(xp.where(possible, table, 0.5)) - xp.log(xp.where(possible, reverse, 0.5))
        return matvec(xp.where(possible, log_odds, xp.where(table <= 0, LOG_ZERO, -LOG_ZERO)), opponent)

    def bound(self) -> float:
        """`max |payoff - value|`, or an upper bound where the exact number would need a whole large table."""
        table = np.asarray(self.table())  # type: ignore[attr-defined]  of the class it is mixed into
        return float(np.max(np.abs(table - self.value), initial=0.0))


def logistic(scores: Array) -> Array:
    """`1 / (1 + exp(-s))`, the win probability of log-odds `s`, without overflow.

    >>> logistic(np.array([-1e4, 0.0, 1e4])).tolist()
    [0.0, 0.5, 1.0]
    """
    xp = namespace(scores)
    small = xp.exp(-xp.abs(scores))
    return xp.where(scores >= 0, 1.0, small) / (1.0 + small)

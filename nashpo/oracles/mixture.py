"""Annotators who disagree: the weighted mean of several oracles."""

import functools
import operator
from collections.abc import Iterable, Sequence

import jax
import numpy as np
from jax.core import Tracer

from nashpo.oracles.base import Enumerable, EnumerableOracle, require_oracles
from nashpo.struct import record
from nashpo.typing import Array, Key, Scale
from nashpo.validation import validate_distribution


@record
class Mixture(Enumerable):
    """The average annotator: `payoff[i, j] = sum_g weights[g] annotators[g].payoff[i, j]`.

    Each group stays reachable as `annotators[g]`. Annotators that are transitive each can be cyclic together
    (the Condorcet paradox). Votes of annotators drawn at random are `Noisy(Mixture(...), votes)`.

    Raises `ValueError` (when a game is made of it) where annotators differ in scale or shape.

    >>> from nashpo.oracles import BradleyTerry
    >>> rankings = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [2.0, 1.0, 3.0]])
    >>> society = Mixture.of([BradleyTerry(40 * r[None]) for r in rankings])
    >>> society.table()[0].round(2).tolist()
    [[0.5, 0.67, 0.33], [0.33, 0.5, 0.67], [0.67, 0.33, 0.5]]
    """

    annotators: tuple[EnumerableOracle, ...]
    weights: Array
    """`[G]`, summing to one."""

    @classmethod
    def of(cls, annotators: Sequence[EnumerableOracle], weights: Array | None = None) -> "Mixture":
        """The mixture of any number of annotators; `weights` `[G]` are equal if None.

        Raises `ValueError` for no annotators, annotators that differ in scale or shape, or weights that are
        negative or do not sum to one.

        >>> from nashpo.oracles import Table
        >>> tables = [Table(np.full((1, 2, 2), 0.5)), Table(np.array([[[0.5, 1.0], [0.0, 0.5]]]))]
        >>> Mixture.of(tables, weights=[0.75, 0.25]).win_rates(np.array([[0.0, 1.0]])).tolist()
        [[0.625, 0.5]]
        """
        annotators = tuple(annotators) if isinstance(annotators, Iterable) else (annotators,)
        require_oracles(annotators, "Mixture.of", listed=True)
        if not annotators:
            raise ValueError("Mixture.of([]): give at least one annotator.")
        if weights is None:
            kinds = [leaf.dtype for leaf in jax.tree.leaves(annotators) if getattr(leaf, "ndim", 0)]
            kinds = [float if kind.kind in "biu" else kind for kind in kinds]
            weights = np.full(len(annotators), 1.0 / len(annotators), np.result_type(*kinds or [float]))
        elif not isinstance(weights, jax.Array):
            weights = validate_distribution(weights, "weights", (len(annotators),), allow_zero=True)
        mixture = cls(annotators, weights)
        mixture.check()
        return mixture

    @property
    def scale(self) -> Scale:
        """`"probability"` or `"score"`, the same for every annotator."""
        scales: list[Scale] = [annotator.scale for annotator in self.annotators]
        if len(set(scales)) > 1:
            other = next(g for g, scale in enumerate(scales) if scale != scales[0])
            raise ValueError(
                f"annotator 0 pays on the scale {scales[0]!r}, annotator {other} on {scales[other]!r}: win "
                "probabilities and log-odds have no mean, convert one of them."
            )
        return scales[0]

    @property
    def shape(self) -> tuple[int, int]:
        """`(X, A)`, the same for every annotator."""
        shapes = [annotator.shape for annotator in self.annotators]
        if len(set(shapes)) > 1:
            other = next(g for g, shape in enumerate(shapes) if shape != shapes[0])
            raise ValueError(
                f"annotator 0 knows [prompts, responses] = {shapes[0]}, annotator {other} knows {shapes[other]}: "
                "all must compare the same responses."
            )
        if np.shape(self.weights) != (len(shapes),):
            raise ValueError(
                f"weights has shape {np.shape(self.weights)}: give one weight to each of {len(shapes)} annotators."
            )
        return shapes[0]

    def check(self) -> None:
        """Raise `ValueError` for annotators that do not fit together, or that no game can be made of."""
        if not self.annotators or not isinstance(self.weights, np.ndarray | jax.Array):
            raise ValueError("Mixture needs annotators and an array of weights: Mixture.of(annotators, weights).")
        require_oracles(self.annotators, "Mixture", listed=True)
        _ = self.shape, self.scale
        if not isinstance(self.weights, Tracer):
            validate_distribution(self.weights, "weights", (len(self.annotators),), allow_zero=True)
        for annotator in self.annotators:
            getattr(annotator, "check", lambda: None)()

    def win_rates(self, opponent: Array, key: Key | None = None) -> Array:
        """Expected payoff `[X, A]` of every response against an opponent's probabilities `[X, A]`."""
        keys = self._keys(key)
        return self._mean([a.win_rates(opponent, k) for a, k in zip(self.annotators, keys, strict=True)])

    def table(self) -> Array:
        """Every pairwise payoff, `[X, A, A]`."""
        return self._mean([annotator.table() for annotator in self.annotators])

    def compare(self, key: Key, prompts: Array, left: Array, right: Array) -> Array:
        """The mean payoff `[B, K]` of response `left[b, k]` against `right[b, k]` for prompt `prompts[b]`."""
        keys = self._keys(key)
        return self._mean([a.compare(k, prompts, left, right) for a, k in zip(self.annotators, keys, strict=True)])

    def bound(self) -> float:
        """An upper bound of `max |payoff - value|`: the weighted mean of the annotators' bounds."""
        bounds = [annotator.bound() for annotator in self.annotators]  # type: ignore[attr-defined]  each has one
        return float(np.dot(np.asarray(self.weights), bounds))

    def _mean(self, payoffs: list[Array]) -> Array:
        return functools.reduce(operator.add, [self.weights[g] * payoff for g, payoff in enumerate(payoffs)])

    def _keys(self, key: Key | None) -> list:
        return [None if key is None else jax.random.fold_in(key, g) for g in range(len(self.annotators))]

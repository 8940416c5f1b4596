"""Several judges as one society, or as players of their own."""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from nashpo.lm.judges.base import Judge, checked, identity_of, matrix, name_of, told_first
from nashpo.lm.text import Prompt
from nashpo.validation import validate_distribution


class Ensemble:
    """The weighted mean of several judges: `P = sum_r weights[r] P_r`.

    Judges who are transitive each can be cyclic together (the Condorcet paradox). `players` are the judges alone, for
    games whose players differ in whom they have to please. Equal weights if None. Of several processes each asks every
    judge, and what the first one is told counts.

    Raises `ValueError` for no judges, or weights that are negative or do not sum to one.

    >>> from nashpo.lm.judges import Function
    >>> longer = Function(lambda prompts, left, right: [float(len(a) > len(b)) for a, b in zip(left, right)])
    >>> coin = Function(lambda prompts, left, right: [0.5 for _ in prompts])
    >>> Ensemble([longer, coin], weights=[0.75, 0.25]).compare(["p"], ["aa"], ["a"]).tolist()
    [0.875]
    """

    def __init__(self, judges: Sequence[Judge], weights: Any = None) -> None:
        self.players: tuple[Judge, ...] = tuple(judges)
        if not self.players:
            raise ValueError("Ensemble([]): give at least one judge.")
        for i, judge in enumerate(self.players):
            if not hasattr(judge, "compare"):
                raise ValueError(f"judges[{i}] is {judge!r}: a judge has compare(prompts, left, right).")
        count = len(self.players)
        given = np.full(count, 1.0 / count) if weights is None else np.asarray(weights, np.float64)
        self.weights = validate_distribution(given, "weights", (count,), allow_zero=True)
        self.name = f"Ensemble({', '.join(name_of(judge) for judge in self.players)})"

    def compare(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """`P(left[i] is preferred to right[i])` `[N]`.

        Raises `JudgeError` for a verdict that is no win probability.
        """

        def verdicts(judge: Judge) -> np.ndarray:
            return checked(judge.compare(prompts, left, right), prompts, name_of(judge))

        said = (told_first(functools.partial(verdicts, judge), (len(prompts),)) for judge in self.players)
        return np.asarray(sum(weight * p for weight, p in zip(self.weights, said, strict=True)), np.float64)

    def matrix(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> np.ndarray:
        """`P(answers[b][i] beats answers[b][j])` `[B, K, K]`, each judge in its cheapest way."""
        tables = (matrix(judge, prompts, answers) for judge in self.players)
        return np.asarray(sum(weight * p for weight, p in zip(self.weights, tables, strict=True)), np.float64)

    def identity(self) -> str:
        """The judges' and the weights."""
        return f"Ensemble {self.weights.tolist()} {[identity_of(judge) for judge in self.players]}"

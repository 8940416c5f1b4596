"""Policies against each other, by what they said: tables of win rates, one for every prompt."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from nashpo.estimates import bootstrap_interval
from nashpo.lm.judges.base import Judge, checked, matrix, name_of
from nashpo.lm.text import Prompt


def duels(judge: Judge, prompts: Sequence[Prompt], answers: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    """How often policy i beats policy j at each prompt, `[X, M, M]`, from `answers[i][x]`, the answers of policy i.

        P[x, i, j] = mean over k, l of P(answers[i][x][k] preferred to answers[j][x][l])

    Policies may differ in how many answers they give. The diagonal is 1/2 and `P + P^T = 1`.

    >>> from nashpo.lm.judges import Function
    >>> longer = Function(lambda prompts, left, right: [float(len(a) > len(b)) for a, b in zip(left, right)])
    >>> duels(longer, ["p"], [[["aa", "a"]], [["aaa"]]]).tolist()
    [[[0.5, 0.0], [1.0, 0.5]]]
    """
    if hasattr(judge, "matrix") and len({len(row) for policy in answers for row in policy}) == 1:
        return _from_matrix(judge, prompts, answers)
    count = len(answers)
    table = np.full((len(prompts), count, count), 0.5)
    for i in range(count):
        for j in range(i + 1, count):
            pairs = [(x, a, b) for x in range(len(prompts)) for a in answers[i][x] for b in answers[j][x]]
            asked = [prompts[x] for x, _, _ in pairs]
            said = judge.compare(asked, [a for _, a, _ in pairs], [b for _, _, b in pairs])
            values = checked(said, asked, name_of(judge))
            owners = np.array([x for x, _, _ in pairs])
            means = np.bincount(owners, values) / np.bincount(owners)
            table[:, i, j], table[:, j, i] = means, 1.0 - means
    return table


def _from_matrix(judge: Judge, prompts: Sequence[Prompt], answers: Sequence[Sequence[Sequence[str]]]) -> np.ndarray:
    """The same from a judge that reads each answer once."""
    policies, each = len(answers), len(answers[0][0])
    together = [[answer for policy in answers for answer in policy[x]] for x in range(len(prompts))]
    every = matrix(judge, prompts, together).reshape(len(prompts), policies, each, policies, each)
    table = every.mean((2, 4))
    own = np.arange(policies)
    table[:, own, own] = 0.5
    return (table + 1.0 - np.swapaxes(table, 1, 2)) / 2


class Estimate(NamedTuple):
    """A mean over prompts and its bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


def estimate(values: np.ndarray, key: Any, confidence: float = 0.9) -> Estimate:
    """The mean of independent values `[X]`, one for each prompt, and its interval; one value has none.

    >>> import jax
    >>> str(estimate(np.array([0.5, 0.5, 0.5]), jax.random.key(0)))
    '0.500 [0.500, 0.500]'
    """
    mean = float(np.mean(values))
    if len(values) < 2:
        return Estimate(mean, float("nan"), float("nan"))
    return Estimate(mean, *bootstrap_interval(key, np.asarray(values, np.float32), confidence=confidence))


def empirical_gap(table: np.ndarray, policy: int, key: Any, confidence: float = 0.9) -> tuple[int, Estimate]:
    """The strongest of the others against a policy, and `P(it beats the policy) - 1/2` from tables `[X, M, M]`.

    The rival is chosen on every second prompt and measured on the others, so that the choice does not bias it
    upwards. A lower bound of half the duality gap of the game without KL penalty: others may be stronger still.

    Raises `ValueError` for fewer than four prompts.

    >>> import jax
    >>> table = np.tile(np.array([[0.5, 0.25], [0.75, 0.5]]), (4, 1, 1))
    >>> empirical_gap(table, 0, jax.random.key(0))[1].mean
    0.25
    """
    advantages = np.delete(table[:, :, policy], policy, axis=1) - 0.5
    rival, found = strongest(advantages, key, confidence)
    return rival + (rival >= policy), found


def strongest(advantages: np.ndarray, key: Any, confidence: float = 0.9) -> tuple[int, Estimate]:
    """The rival with the largest mean of `advantages` `[X, M]`, one for each prompt, and that mean.

    Every second prompt chooses, the others measure.

    Raises `ValueError` for fewer than four prompts.

    >>> import jax
    >>> strongest(np.tile([0.1, 0.3], (4, 1)), jax.random.key(0))[1].mean
    0.3
    """
    if len(advantages) < 4:
        raise ValueError(f"{len(advantages)} prompts: half of them choose the strongest rival; give at least 4.")
    choosing = np.arange(len(advantages)) % 2 == 0
    rival = int(np.argmax(advantages[choosing].mean(0)))
    return rival, estimate(advantages[~choosing, rival], key, confidence)

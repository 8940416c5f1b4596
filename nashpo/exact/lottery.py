"""The unregularised equilibrium: the maximal lottery, or von Neumann winner, of a table."""

from typing import NamedTuple

import numpy as np

from nashpo.exact.factor import SMALL
from nashpo.exact.interior import central_path
from nashpo.exact.multiplicity import RANK, maximum_entropy, row_space, vertex
from nashpo.exact.solution import LOG_ZERO, Solution

_WHOLE = 192
_FIRST = 16
_SAMPLE = 64


class _Face(NamedTuple):
    """An equilibrium and what the others must satisfy."""

    p: np.ndarray
    support: np.ndarray
    rows: np.ndarray | None
    """Basis of the row space of the table on the support; None if there are no others."""
    steps: int


def maximal_lottery(payoff: np.ndarray, method: str = "auto", entropy: bool = True, value: float = 0.0) -> Solution:
    """The policy with `S p <= 0`, `payoff = S + value` with S skew: no response does better against it than itself.

    With several such policies it is the one of largest entropy, and `unique` is False; `entropy=False` is
    content with any of them, and `unique` is then True only where that was seen on the way. `method` is `"auto"`
    (an interior-point method, on a growing part of a large table), `"interior"` (on all of it) or `"highs"` (SciPy's
    linear programming as a cross-check, which reports whatever vertex it meets). `payoff`
    `[A, A]` float64, `value` 1/2 for win probabilities.

    >>> S = np.array([[0, 0.2, -0.1], [-0.2, 0, 0.3], [0.1, -0.3, 0]])
    >>> np.exp(maximal_lottery(S).log_policy).round(4).tolist()
    [0.5, 0.1667, 0.3333]
    """
    if method not in ("auto", "interior", "highs"):
        raise ValueError(f'method="{method}": choose "auto", "interior" or "highs".')
    part = method == "auto" and len(payoff) > _WHOLE
    scale = 1.0 if value else 2.0 * float(np.abs(payoff[:: 1 + len(payoff) // _SAMPLE]).max())
    if scale > 0 and not 0.1 <= scale <= 10.0:
        payoff = payoff / scale
    face = _grow(payoff, value, entropy) if part else None
    S = payoff - value if value and (face is None or face.rows is not None) else payoff
    if method == "highs":
        p = highs(S)
        return Solution(_log(p), "HiGHS", 0, vertex(S, np.flatnonzero(p > RANK)) is not None)
    face = _whole(S) if face is None else face
    if face.rows is None:
        return Solution(_log(face.p), "interior point, then its support", face.steps)
    if entropy:
        p = maximum_entropy(S, face.support, face.rows, face.p)
        if p is not None and (S @ p).max() <= max(1e-13, (S @ face.p).max()):
            return Solution(_log(p), "interior point, maximum entropy", face.steps, False)
    return Solution(_log(face.p), "interior point", face.steps, False)


def highs(S: np.ndarray) -> np.ndarray:
    """An equilibrium by SciPy's linear programming: minimise t subject to `S p <= t`, `p >= 0`, `sum p = 1`.

    >>> highs(np.array([[0, 0.5], [-0.5, 0]])).tolist()
    [1.0, 0.0]
    """
    from scipy.optimize import linprog

    n = len(S)
    found = linprog(
        np.append(np.zeros(n), 1.0),
        A_ub=np.column_stack([S, -np.ones(n)]),
        b_ub=np.zeros(n),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, None)] * n + [(None, None)],
        method="highs",
    )
    p = np.maximum(found.x[:n], 0.0)
    return p / p.sum()


def _log(p: np.ndarray) -> np.ndarray:
    """Log-probabilities, with a finite number for none at all."""
    return np.where(p > 0, np.log(np.where(p > 0, p, 1.0)), LOG_ZERO)


def _whole(S: np.ndarray) -> _Face:
    """Interior-point steps until the support shows, then one linear solve on it."""
    steps, last, point = -1, None, None
    for point in central_path(S):
        steps += 1
        support = point.support
        changes = 0 if last is None else np.count_nonzero(support != last)
        last = support
        if len(S) <= SMALL or changes <= len(S) // 256:
            indices = np.flatnonzero(support)
            p = vertex(S, indices)
            if p is not None:
                return _Face(p, indices, None, steps)
    assert point is not None
    support = np.flatnonzero(point.support)
    rows = row_space(S[np.ix_(support, support)])
    p = np.zeros(len(S))
    p[support] = point.p[support] - rows @ (rows.T @ point.p[support])
    p /= max(p.sum(), 1e-300)
    if len(support) == rows.shape[1] or p[support].min() <= 0 or (S @ p).max() > max(point.gap, 1e-14):
        p = point.p
    if max((S @ p).max(), point.gap) > 1e-11:
        return _rescue(S, steps)
    return _Face(p, support, rows if len(support) - rows.shape[1] > 1 else None, steps)


def _rescue(S: np.ndarray, steps: int) -> _Face:
    """The support from linear programming, where the central path was lost before it got there."""
    support = np.flatnonzero(highs(S) > RANK)
    p = vertex(S, support)
    if p is None:
        raise ArithmeticError(f"the interior-point method stalled on a table of {len(S)} responses with ties.")
    return _Face(p, support, None, steps)


def _grow(payoff: np.ndarray, value: float, entropy: bool) -> _Face | None:
    """The equilibrium of a part of the table that grows by its worst violators until nothing outside gains.

    Nothing is ever dropped. With `entropy` what ties outside joins too, since it may be played in another equilibrium.
    None where an eighth of all responses is not enough.
    """
    n = len(payoff)
    part = np.argsort(payoff[:: 1 + n // _SAMPLE].sum(0), kind="stable")[:_FIRST]
    steps = 0
    while len(part) <= n // 8:
        rows = payoff[part]
        face = _whole(np.ascontiguousarray(rows[:, part]) - value)
        steps += face.steps
        gains = value - face.p @ rows
        gains[part] = -np.inf
        worst = np.argsort(-gains, kind="stable")[: len(part)]
        worst = worst[gains[worst] > (-RANK if entropy else 1e-13)]
        if not len(worst):
            p = np.zeros(n)
            p[part] = face.p
            return _Face(p, part[face.support], face.rows, steps)
        part = np.concatenate([part, worst])
    return None

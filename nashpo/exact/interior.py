"""An interior-point method for symmetric zero-sum games that uses their skew symmetry.

With S skew the problem `p >= 0, sum p = 1, S p <= 0` is its own dual: every `p > 0` is feasible for both, with slacks
`s = t - S p` and `p . s = t`, so that t is both the gap and the barrier. The central path `p_i s_i = t / n` is
followed with Mehrotra's predictor and Gondzio's (1996) centrality correctors. A step costs one factorisation of
`diag(s / p) - S`, half of what the primal-dual pair of a general linear program needs. It leads to an equilibrium of
largest support, which is what the test of uniqueness needs (Goldman and Tucker 1956).
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from nashpo.exact.factor import SMALL, Solve, factorise

_CORRECTORS = 4
_LOW, _HIGH = 0.3, 3.0
_LIMIT = 80
_PATIENCE = 4
"""Steps in a row without a smaller gap that are borne: one that centres may raise it for a while."""
_ROUGH = 1e-6


class Iterate(NamedTuple):
    """A point on the way: probabilities, slacks, gap."""

    p: np.ndarray
    s: np.ndarray
    gap: float

    @property
    def support(self) -> np.ndarray:
        """The responses that look played: the probability outweighs the slack."""
        return self.p > self.s


def central_path(S: np.ndarray) -> Iterator[Iterate]:
    """Iterates `p, s` with `s = t - S p` up to rounding, `sum p = 1` and a falling gap `t`, from the uniform policy.

    `S` `[A, A]` is skew with entries of at most 1/2. Ends when the gap reaches 1e-15 or has stopped falling.
    """
    S = np.ascontiguousarray(S)
    n = len(S)
    p = np.full(n, 1.0 / n)
    gains = S @ p
    t = 2.0 * float(gains.max())
    if t <= 1e-15:
        yield Iterate(p, np.zeros(n), 0.0)
        return
    s = t - gains
    yield Iterate(p, s, t)
    single = S.astype(np.float32) if n > SMALL else None
    lowest, waited = t, 0
    for _ in range(_LIMIT):
        before, last = t, (p, s)
        rough = single if t > _ROUGH else None
        p, s = _step(S, p, s, factorise(S if rough is None else rough, s / p))
        t = float(p @ s)
        if rough is not None:
            s = t - S @ p
            if not (t < 0.7 * before and float((p * s).min()) > 1e-4 * t / n):
                single, t, (p, s) = None, before, last
                continue
        if t < 0.999 * lowest:
            lowest, waited = t, 0
            yield Iterate(p, s, t)
        else:
            waited += 1
        if t < 1e-15 or waited > _PATIENCE or not np.isfinite(t):
            return


def _step(S: np.ndarray, p: np.ndarray, s: np.ndarray, solve: Solve) -> tuple[np.ndarray, np.ndarray]:
    """One predictor, its corrector, and as many centrality correctors as lengthen the step.

    `solve` inverts `diag(s / p) - S`; what rounding has spoilt of `s = t - S p` is put right on the way.
    """
    n = len(p)
    ratio = s / p
    t = float(p @ s)
    drift = s + S @ p
    drift -= drift @ p
    affine, column = solve(np.column_stack([drift - s, np.ones(n)])).T
    column = np.ascontiguousarray(column)
    total = float(column.sum())

    def follow(rhs: np.ndarray, dp: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        dp = dp - (np.add.reduce(dp) / total) * column
        return dp, rhs - ratio * dp

    dp, ds = follow(-s, affine)
    length = _reach(p, s, dp, ds)
    target = max(float((p + length * dp) @ (s + length * ds)) / t, 1e-12) ** 3 * t / n
    rhs = target / p - s - dp * ds / p
    dp, ds, length = _correct(p, s, rhs, target, lambda r: follow(r, solve(r + drift)))
    if length < 0.2:
        target = 0.5 * t / n
        dp, ds, length = _correct(p, s, target / p - s, target, lambda r: follow(r, solve(r + drift)))
    length = min(1.0, 0.999 * length)
    p = p + length * dp
    return p / p.sum(), s + length * ds


def _correct(p: np.ndarray, s: np.ndarray, rhs: np.ndarray, target: float, direction: Callable):
    """The corrected direction and its length; products of `p` and `s` far from the target are pulled back."""
    dp, ds = direction(rhs)
    length = _reach(p, s, dp, ds)
    for _ in range(_CORRECTORS):
        if length > 0.95:
            break
        aim = min(1.0, 1.08 * length + 0.08)
        products = (p + aim * dp) * (s + aim * ds)
        pull = np.maximum(np.minimum(np.maximum(products, _LOW * target), _HIGH * target) - products, -_HIGH * target)
        trial_rhs = rhs + pull / p
        trial_p, trial_s = direction(trial_rhs)
        trial = _reach(p, s, trial_p, trial_s)
        if trial < length + 0.1 * (aim - length):
            break
        rhs, dp, ds, length = trial_rhs, trial_p, trial_s, trial
    return dp, ds, length


def _reach(p: np.ndarray, s: np.ndarray, dp: np.ndarray, ds: np.ndarray) -> float:
    """The largest step of at most 1 that keeps `p` and `s` non-negative."""
    return 1.0 / max(1.0, -float(np.minimum.reduce(dp / p)), -float(np.minimum.reduce(ds / s)))

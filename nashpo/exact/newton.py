"""The KL-regularised equilibrium by Newton's method with continuation in beta.

The equilibrium is the fixed point of `theta = log_reference + S softmax(theta) / beta` (with a uniform reference the
logit equilibrium of McKelvey and Palfrey 1995). Its Jacobian `I - S C / beta`, C the covariance of the
softmax, has eigenvalues `1 + i w`: it is never singular, so the only difficulty is how far a step may go. Beta comes
down by factors of 4, each solution starting the next; a component that the linear model lifts from nearly nothing
is lifted by the logarithm of what was asked; a step that does not lower the residual is halved.
"""

import functools
import math

import numpy as np

from nashpo.exact.krylov import newton_direction
from nashpo.exact.solution import Solution, largest, log_normalise, spread_of

_FACTOR, _CAREFUL = 4.0, 1.2
_DENSE = 64
_SINGLE = 256
_ABSENT = -1e8
_STEPS = 400
_EPS = float(np.finfo(float).eps)
_HOPELESS = 1e-10
"""Below this share of the payoffs' range small strides take minutes and stall as well."""
_SMALL = 1e-6
"""Below this beta it is asked whether float64 resolves it, and beside it and its inverse how large payoffs are."""


def kl_equilibrium(
    payoff: np.ndarray,
    log_reference: np.ndarray,
    beta: float,
    start: np.ndarray | None = None,
    tol: float = 0.0,
) -> Solution:
    """The policy with `log pi = log_reference + S pi / beta + const`, `payoff = S + const` with S skew, `beta > 0`.

    `payoff` `[A, A]`, `log_reference` and `start` (logits) `[A]`, all float64. Stops at duality gap `tol`; with
    `tol = 0` it goes on to the rounding error of float64. Responses without reference mass get none.

    Raises `ValueError` for a beta that float64 cannot tell from 0 beside such payoffs, `ArithmeticError` if the
    residual cannot be brought down, which has been seen with a beta below a millionth of the payoffs' range only.

    >>> rock_paper_scissors = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
    >>> solution = kl_equilibrium(rock_paper_scissors, np.log([0.5, 0.3, 0.2]), 0.01)
    >>> np.exp(solution.log_policy).round(4).tolist()
    [0.3308, 0.3394, 0.3298]
    """
    require_resolved(payoff, beta)
    if not _SMALL <= beta <= 1.0 / _SMALL and (unit := _unit(payoff)) != 1.0:
        return kl_equilibrium(payoff / unit, log_reference, beta / unit, start, tol / unit)
    if np.minimum.reduce(log_reference) < _ABSENT:
        return _among_present(payoff, log_reference, beta, start, tol)
    game = _Newton(payoff, log_reference)
    theta = None if start is None else game.solve(start, beta, tol)
    if theta is None:
        theta = _continuation(game, beta, tol)
    return Solution(log_normalise(theta), game.method, game.steps)


def require_resolved(payoff: np.ndarray, beta: float) -> None:
    """Raise `ValueError` where `payoff / beta` has no digits left."""
    if beta < _SMALL and beta < _EPS * (size := float(np.abs(payoff).max())):
        raise ValueError(
            f"beta={beta:g}: float64 cannot tell it from 0 beside payoffs of {size:g}; beta=0 is the maximal lottery."
        )


def _unit(payoff: np.ndarray) -> float:
    """A power of two that brings the payoffs' range near 1, without rounding; 1 where it is near already."""
    size = _range(payoff)
    return 1.0 if 1e-3 <= size <= 1e3 else 2.0 ** math.frexp(size)[1]


def _range(payoff: np.ndarray) -> float:
    """The range of a sample of the payoffs; 1 where they are all equal."""
    stride = 1 + len(payoff) // 100
    return float(np.ptp(payoff[::stride, ::stride])) or 1.0


def _among_present(
    payoff: np.ndarray, log_reference: np.ndarray, beta: float, start: np.ndarray | None, tol: float
) -> Solution:
    """The equilibrium over the responses that the reference can produce; the others keep its logits."""
    present = np.flatnonzero(log_reference >= _ABSENT)
    first = None if start is None else start[present]
    inner = kl_equilibrium(payoff[np.ix_(present, present)], log_reference[present], beta, first, tol)
    log_policy = log_reference.copy()
    log_policy[present] = inner.log_policy
    return inner._replace(log_policy=log_policy)


def _continuation(game: "_Newton", beta: float, tol: float) -> np.ndarray:
    """Logits at `beta`, by way of larger ones; hastily first, then exactly and in smaller strides."""
    for factor, between in ((_FACTOR, math.inf), (_FACTOR, 1e-12), (_CAREFUL, 1e-12)):
        hopeless = factor == _CAREFUL and beta < _HOPELESS * float(np.ptp(game.payoff))
        theta = None if hopeless else _descend(game, beta, tol, factor, between)
        if theta is not None:
            return theta
    raise ArithmeticError(
        f"Newton's method stalled on the way to beta={beta:g}, too small for float64 beside these payoffs and this "
        "reference: take a larger one, or beta=0, the maximal lottery."
    )


def _descend(game: "_Newton", beta: float, tol: float, factor: float, between: float) -> np.ndarray | None:
    """Logits at `beta` with gap `tol`, through solutions with gaps `between`; None if a stride fails.

    A finite `between` shortens a stride that fails instead of giving up.
    """
    reached, theta = game.easy_beta(), game.log_reference
    reached = reached if reached > 2.0 * beta else beta
    known, top = math.inf, 1e12 * reached
    while known == math.inf or factor > 1.001:
        found = game.solve(theta, reached, tol if reached <= beta else min(between, between * reached))
        if found is not None:
            if reached <= beta:
                return found
            known, theta = reached, found
        elif known == math.inf:
            if reached > top:
                return None
            reached *= 10.0
            continue
        elif between == math.inf:
            return None
        else:
            factor = math.sqrt(factor)
        reached = max(beta, known / factor)
    return None


class _Newton:
    """Damped Newton steps on one table, and what they cost so far."""

    def __init__(self, payoff: np.ndarray, log_reference: np.ndarray):
        self.payoff, self.log_reference = payoff, log_reference
        self.size = len(log_reference)
        self.ones = np.ones(self.size)
        self.krylov = self.size > _DENSE
        self.limit = int(min(self.size**1.5 / 120.0, 0.25 * self.size))
        self.single: np.ndarray | None = None
        self.first: np.ndarray | None = None
        self.scale: float | None = None
        self.steps = 0
        self.method = "Newton, LU"

    def easy_beta(self) -> float:
        """A beta at which the first best response moves no logit by more than 8."""
        self.first = self.evaluate(self.log_reference, 1.0)[2]
        return spread_of(self.first) / 8.0

    def ceiling(self, beta: float) -> float:
        """Up to this log-probability a component may rise as far as the linear model says."""
        if self.scale is None:
            self.scale = _range(self.payoff)
        return math.log(min(1.0 / self.size, beta / self.scale))

    def evaluate(self, theta: np.ndarray, beta: float):
        """`theta` shifted, its softmax p, its payoffs, the centred residual and the spread of the residual."""
        known = self.first if theta is self.log_reference else None
        theta = theta - largest(theta)
        p = np.exp(theta)
        p *= 1.0 / p.dot(self.ones)
        gains = self.payoff.dot(p) if known is None else known
        residual = gains * (-1.0 / beta)
        residual += theta
        residual -= self.log_reference
        residual -= p.dot(residual)
        return theta, p, gains, residual, spread_of(residual)

    def solve(self, start: np.ndarray, beta: float, tol: float) -> np.ndarray | None:
        """Logits with duality gap at most `tol` (0: the float64 floor; inf: good enough to go on); None if stuck."""
        point = self.evaluate(start, beta)
        for _ in range(_STEPS):
            last = point
            theta, p, gains, residual, spread = point
            variance = float(p.dot(residual * residual))
            if tol > 0 and self.close(p, residual, variance, spread) * beta <= 0.9 * min(tol, beta):
                return theta
            floor = 4.0 * _EPS * (1.0 + largest(-theta) + largest(np.abs(gains)) / beta)
            if spread <= floor:
                return theta
            direction = self.direction(p, gains, residual, beta, math.sqrt(variance), tol)
            self.steps += 1
            point = self.search(point, direction, beta)
            if point is None and not self.krylov:
                return theta if tol < math.inf and spread <= max(1e4 * floor, self.rounding(p, beta)) else None
            if point is None:
                self.krylov, point = False, last
            elif spread <= 100.0 * floor and point[-1] > 0.25 * spread:
                return point[0]
        return None

    def rounding(self, p: np.ndarray, beta: float) -> float:
        """A bound of the error of the residual, for payoffs that are large and cancel as those of scores do."""
        return 16.0 * _EPS * largest(np.abs(self.payoff).dot(p)) / beta

    def close(self, p: np.ndarray, residual: np.ndarray, variance: float, spread: float) -> float:
        """`2 KL(p || best response)`, which is the variance of a small residual."""
        if spread <= 0.1:
            return 1.1 * variance
        return 2.0 * math.log(p.dot(np.exp(np.minimum(-residual, 700.0))))

    def search(self, point, direction: np.ndarray, beta: float):
        """The next point: a full step, or the largest of its halves that lowers the residual."""
        theta, p, _, _, spread = point
        direction = direction - p.dot(direction)
        cautious = largest(direction) > 0.5
        ceiling = self.ceiling(beta) if cautious else 0.0
        share = 1.0
        for _ in range(12):
            step = direction if share == 1.0 else share * direction
            trial = self.evaluate(_lift(theta, step, ceiling) if cautious else theta + step, beta)
            if trial[-1] <= (1.0 - 0.1 * share) * spread:
                return trial
            share *= 0.5
        return None

    def direction(self, p, gains, residual, beta: float, size: float, tol: float) -> np.ndarray:
        """The Newton direction, by the skew recurrence while that is cheaper than a factorisation."""
        if self.krylov:
            if self.single is None:
                self.single = self.payoff.astype(np.float32) if self.size > _SINGLE else self.payoff
            target = 0.6 * math.sqrt(tol / beta) / max(size, 1e-150) if tol < math.inf else 0.3
            forcing = min(0.3, max(min(0.3, size), target, 1e-5))
            direction = newton_direction(self.single, p, -beta * residual, beta, forcing, self.limit)
            if direction is not None:
                self.method = "Newton, skew Krylov"
                return direction
            self.krylov = False
        self.method = "Newton, LU"
        return _factorised(self.payoff, p, gains, residual, beta, size > 1e-3 and beta >= 1e-3)


def _lift(theta: np.ndarray, step: np.ndarray, ceiling: float) -> np.ndarray:
    """`theta + step`, but a component that would rise above `ceiling` rises by `log(1 + step)` at most."""
    risen = theta + np.log1p(np.maximum(step, 0.0))
    return np.minimum(theta + step, np.maximum(risen, ceiling))


def _factorised(payoff, p, gains, residual, beta: float, single: bool) -> np.ndarray:
    """Solve `(beta I - S C) d = -beta residual` by LU, over the responses whose columns of C are not negligible.

    LAPACK reads columns, so it gets the rows of the transposed: `P^T = 2 P_00 - P`, `P_00` the payoff of a tie.
    """
    size = len(p)
    if size > _DENSE:
        kept = np.flatnonzero(p > 1e-10 * beta / size)
        if 5 * len(kept) < 4 * size:
            change = _factorised(payoff[np.ix_(kept, kept)], p[kept], gains[kept], residual[kept], beta, single)
            change -= (p[kept] @ change) / np.add.reduce(p[kept])
            full = np.zeros(size)
            full[kept] = p[kept] * change
            return payoff @ full / beta - residual
    kind = np.float32 if single and size > _DENSE else np.float64
    transposed = payoff.astype(kind, order="C")
    transposed += (gains - 2.0 * payoff[0, 0]).astype(kind)
    transposed *= p.astype(kind)[:, None]
    transposed.ravel()[:: size + 1] += kind(beta)
    if size <= _DENSE:  # and SciPy need not be imported
        return np.linalg.solve(transposed.T, -beta * residual)
    return _gesv(kind)(transposed.T, (-beta * residual).astype(kind), overwrite_a=1, overwrite_b=1)[2].astype(float)


@functools.cache
def _gesv(kind: type[np.floating]):
    """LAPACK's solver of one precision."""
    from scipy.linalg import get_lapack_funcs

    (gesv,) = get_lapack_funcs(("gesv",), dtype=kind)
    return gesv

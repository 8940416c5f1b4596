"""The KL-regularised equilibria of many tables in one compiled program, in float64 whatever JAX's precision is.

The same damped Newton method with continuation in beta as `nashpo.exact.newton`, one table after the other: a loop over
lanes that stop by themselves, because lanes in step would all wait for the slowest. With `s = sqrt(p)` the system
of a Newton step is `(I - K) y = -s r`, `y = s d`, where

    K_ij = s_i s_j (P_ij - v - h_i + h_j) / beta,    h = P p - v,    v the payoff of a tie,

is skew. The recurrence of Concus and Golub (1976) and Widlund (1978) solves it with one product a step and no stored
basis; where it is slow, the Cholesky factor of `I + K^T K` does. The time of a small table is the number of
kernels, not of operations: hence few reductions, and no branch but one.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from nashpo.compiling import Compiled

_ABSENT = -1e8
_FACTOR = 4.0
_SHORTEST = 2.0**-12
_STEPS = 400
_SAMPLE = 16
_EPS = float(np.finfo(float).eps)
_DEAD = 1e-250
"""Probabilities below this count as this much, so that their square roots do not vanish."""
_FORCING = 1e-8
_BOLD = 0.5
"""From this component of a step on its logarithm is taken."""
_AT_FIRST = 100.0
"""The pace that the recurrence is trusted with before it has been tried."""
_STALLED, _GOING, _SOLVED = -1, 0, 1


class _Table(NamedTuple):
    """What does not change while one table is solved."""

    payoff: jax.Array
    log_reference: jax.Array
    tie: jax.Array
    ceiling: jax.Array
    """Up to this log-probability a component may rise as far as the linear model says."""
    target: jax.Array
    """The beta of the game."""
    tol: jax.Array
    """The duality gap to reach at that beta."""


class _Point(NamedTuple):
    """Log-probabilities, probabilities, payoffs less v, `log p - log_reference` centred, and the residual's spread."""

    theta: jax.Array
    p: jax.Array
    h: jax.Array
    u: jax.Array
    spread: jax.Array


class _State(NamedTuple):
    """A lane on its way: where it is, and the step that it tries next."""

    point: _Point
    step: jax.Array
    share: jax.Array
    """How much of the Newton direction the step is; above 1 before the first evaluation."""
    beta: jax.Array
    dense: jax.Array
    """Whether directions at this beta come from a factorisation."""
    pace: jax.Array
    """By how much a product of the recurrence lowered the logarithm of its squared residual, last time."""
    status: jax.Array
    steps: jax.Array


@Compiled
def solve_all(payoff, log_reference, start, numbers) -> jax.Array:
    """`[X, A + 2]`: log-probabilities, then 1 for a lane that is solved (-1: given up), then Newton steps taken.

    `payoff` `[X, A, A]`, `log_reference` and `start` (logits) `[X, A]`; `numbers` holds beta, the duality gap to reach
    (0: the rounding floor), whether the start is worth trying at once (1) or is the reference (0), and how many lanes
    there are; those after them are left out.
    """
    beta, tol, warm, count = numbers

    def lane(x, answers):
        return answers.at[x].set(_solve(payoff[x], log_reference[x], start[x], beta, tol, warm))

    lanes, size = start.shape
    return lax.fori_loop(0, count.astype(jnp.int32), lane, jnp.zeros((lanes, size + 2), start.dtype))


def _solve(payoff, log_reference, start, beta, tol, warm) -> jax.Array:
    tie, stride = payoff[0, 0], 1 + len(start) // _SAMPLE
    scale = 2.0 * jnp.max(jnp.abs(payoff[::stride, ::stride] - tie))
    ceiling = jnp.log(jnp.minimum(1.0 / len(start), beta / jnp.where(scale > 0, scale, 1.0)))
    table = _Table(payoff, log_reference, tie, ceiling, beta, tol)
    zero = jnp.zeros_like(start)
    start = jnp.where(log_reference > _ABSENT, start, log_reference)
    point = _Point(start, zero, zero, zero, jnp.inf * beta)
    share = jnp.where(warm > 0, 1.0, 2.0)
    state = _State(point, zero, share, beta, beta < 0, jnp.full_like(beta, _AT_FIRST), jnp.int32(_GOING), jnp.int32(-1))
    state = lax.while_loop(lambda state: state.status == _GOING, functools.partial(_advance, table), state)
    answer = jnp.where(log_reference > _ABSENT, state.point.theta, log_reference)
    return jnp.concatenate([answer, jnp.stack([state.status, state.steps]).astype(answer.dtype)])


def _advance(table: _Table, state: _State) -> _State:
    """Take the step if it lowers the residual, else shorten it; go on to the next beta; find the next step."""
    old, beta, share = state.point, state.beta, state.share
    last = beta <= table.target
    trial, variance, floor, width = _evaluate(table, old.theta + state.step, beta)
    lowered = trial.spread <= (1.0 - 0.1 * jnp.minimum(share, 1.0)) * old.spread
    small = jnp.where(last, (1.1 * beta * variance <= 0.9 * table.tol) & (trial.spread <= 0.1), variance <= 0.4)
    slow = (old.spread <= 100.0 * floor) & (trial.spread > 0.25 * old.spread)
    tried = share < _SHORTEST
    reached = jnp.where(lowered, small | slow | (trial.spread <= floor), tried & (old.spread <= 1e4 * floor))
    lost = ~reached & (tried & state.dense | (state.steps >= _STEPS))
    status = jnp.where(reached & last, _SOLVED, jnp.where(lost, _STALLED, _GOING)).astype(jnp.int32)
    lower = jnp.maximum(table.target, beta / _FACTOR)
    easy = jnp.where((share > 1.0) & (width > 8.0 * beta), 0.25 * width, beta)
    beta = jnp.where(reached, lower, easy)
    theta, p, h, u = (jnp.where(lowered, new, kept) for new, kept in zip(trial[:4], old[:4], strict=True))
    residual = u - h / beta
    point = _Point(theta, p, h, u, _width(residual))
    dense = (state.dense & ~reached) | tried
    step, dense, pace = _direction(table, point, residual, beta, (dense, state.pace), status == _GOING)
    share = jnp.where(lowered | reached | tried, 1.0, 0.5 * share)
    return _State(point, _lift(table, theta, share * step), share, beta, dense, pace, status, state.steps + lowered)


def _evaluate(table: _Table, theta, beta):
    """The policy with these logits; its residual's variance and rounding error; half the width of its payoffs."""
    theta = theta - jnp.max(theta)
    p = jnp.exp(theta)
    total = jnp.sum(p)
    p = p / total
    theta = theta - jnp.log(total)
    h = table.payoff @ p - table.tie
    present = table.log_reference > _ABSENT
    u = jnp.where(present, theta - table.log_reference, 0.0)
    u = u - p @ u
    h = jnp.where(present, h, 0.0)
    u = jnp.where(present, u, 0.0)
    residual = u - h / beta
    width = jnp.max(jnp.abs(h))
    size = jnp.max(jnp.where(present, jnp.abs(theta), 0.0))
    floor = 4.0 * _EPS * (1.0 + size + (width + jnp.abs(table.tie)) / beta)
    return _Point(theta, p, h, u, _width(residual)), p @ (residual * residual), floor, width


def _width(residual):
    """The difference of its largest and its smallest entry; those of absent responses are 0 and in between."""
    return jnp.max(residual) - jnp.min(residual)


def _lift(table: _Table, theta, step):
    """The step, but a component that would rise above the ceiling rises by `log(1 + step)` at most."""
    risen = jnp.maximum(jnp.log1p(jnp.maximum(step, 0.0)), table.ceiling - theta)
    return jnp.where(step > _BOLD, jnp.minimum(step, risen), step)


def _direction(table: _Table, point: _Point, residual, beta, known, going):
    """The Newton direction, whether it takes a factorisation, and the pace of the recurrence; `known` the last two."""
    dense, pace = known
    s = jnp.sqrt(jnp.maximum(point.p, _DEAD))
    K = (s[:, None] * (s * (1.0 / beta))) * ((table.payoff - point.h[:, None]) + (point.h - table.tie))
    b = -s * residual
    size = b @ b
    tol = jnp.where(beta <= table.target, table.tol, beta)
    forcing = jnp.minimum(0.09, jnp.maximum(jnp.maximum(size, 0.36 * tol / (beta * size)), _FORCING**2))
    limit = len(s) // 3 + 8
    dense = going & (dense | (-jnp.log(forcing) > limit * pace))
    y, count, left = _recurrence(K, b, size, forcing * size, jnp.where(dense | ~going, 0, limit))
    dense = dense | (going & (left > forcing * size))
    y = lax.cond(dense, _factorised, lambda K, b, y: y, K, b, y)
    pace = jnp.where(count > 0, jnp.log(size / left) / count, pace)
    return jnp.where(table.log_reference > _ABSENT, y / s, 0.0), dense, pace


def _recurrence(K, b, square, enough, limit):
    """`y` with `|b - (I - K) y|^2 <= enough`, the products it took and what is left; `square = |b|^2`.

    After `limit` products it ends as it is.
    Two steps a turn, so that the older of two vectors is overwritten and none is copied.
    """

    def turn(carry):
        count, y, y_last, r, r_last, weight, square = carry
        r_last = (1.0 - weight) * r_last + weight * (K @ r)
        y_last = y_last + weight * (r + y - y_last)
        middle = r_last @ r_last
        weight = 1.0 / (1.0 + middle / (square * weight))
        r = (1.0 - weight) * r + weight * (K @ r_last)
        y = y + weight * (r_last + y_last - y)
        square = r @ r
        return count + 2, y, y_last, r, r_last, 1.0 / (1.0 + square / (middle * weight)), square

    zero = jnp.zeros_like(b)
    start = (jnp.int32(0), zero, zero, b, zero, jnp.ones_like(square), square)
    final = lax.while_loop(lambda carry: (carry[0] < limit) & (carry[-1] > enough), turn, start)
    return final[1], final[0], final[-1]


def _factorised(K, b, _):
    """`(I - K)^-1 b = (I + K^T K)^-1 (b + K b)`, K skew."""
    gram = K.T @ K + jnp.eye(len(b), dtype=b.dtype)
    factor = lax.linalg.cholesky(gram, symmetrize_input=False)
    rhs = (b + K @ b)[:, None]
    half = lax.linalg.triangular_solve(factor, rhs, left_side=True, lower=True)
    return lax.linalg.triangular_solve(factor, half, left_side=True, lower=True, transpose_a=True)[:, 0]

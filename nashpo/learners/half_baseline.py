"""The step of SPPO as published: a regression whose normaliser is a constant."""

import jax
import jax.numpy as jnp

from nashpo.game import Game
from nashpo.stage import Stage
from nashpo.typing import Array, Key

_OUTER, _INNER = 60, 8
_SMALLEST = -80.0


def win_rate_half_baseline(stage: Stage, anchor: Array, opponent: Array, game: Game, key: Key) -> Array:
    """`x` with `x + m exp(x) = eta (P(y beats opponent) - 1/2)` and one multiplier m that normalises.

    The minimiser over normalised policies of `E_{y ~ now} (log pi(y)/now(y) - eta (P(y beats now) - 1/2))^2`,
    `x = log pi/now`, `now = exp(anchor)` (arXiv:2405.00675, equation 4.7). The constant 1/2 is the win rate of `now`
    against itself, and is taken as that mean, so that `m = KL(now || pi) >= 0` with noisy win rates too.
    """
    gains = game.oracle.win_rates(opponent, key).astype(anchor.dtype)
    baseline = jnp.sum(jnp.exp(anchor) * gains, axis=-1, keepdims=True)
    return constrained_regression(anchor, stage.eta * (gains - baseline))


def constrained_regression(log_pi: Array, target: Array) -> Array:
    """`argmin_x sum pi (x - target)^2` subject to `sum pi exp(x) = 1`, `[X, A]`, for targets of mean 0 under `pi`.

    With `w = x + log m` every coordinate solves `w + exp(w) = target + log m`, and `log m` is the root of a decreasing
    function on `(-inf, log max target]`: Newton's method inside, Newton's method kept in a bracket outside.

    >>> log_pi = jnp.log(jnp.array([[0.5, 0.5]]))
    >>> x = constrained_regression(log_pi, jnp.array([[300.0, -300.0]]))
    >>> jnp.exp(log_pi + x).round(3).tolist()
    [[1.0, 0.0]]
    """
    largest = jnp.max(target, axis=-1, keepdims=True)
    high = jnp.log(jnp.maximum(largest, jnp.exp(_SMALLEST)))
    low = jnp.full_like(high, _SMALLEST)

    def step(carry):
        low, high, log_m, count, _ = carry
        w = _omega(target + log_m)
        total = jax.nn.logsumexp(log_pi + w, axis=-1, keepdims=True)
        excess = total - log_m
        low, high = jnp.where(excess > 0, log_m, low), jnp.where(excess > 0, high, log_m)
        newton = log_m + excess / jnp.sum(jnp.exp(log_pi + w - total) * jax.nn.sigmoid(w), axis=-1, keepdims=True)
        inside = (newton >= low) & (newton <= high)
        new = jnp.where(inside, newton, 0.5 * (low + high))
        return low, high, new, count + 1, jnp.max(jnp.abs(new - log_m) * jnp.exp(jnp.minimum(log_m, 0.0)))

    def going(carry):
        *_, count, change = carry
        return (count < _OUTER) & (change > 2 * jnp.finfo(target.dtype).eps)

    log_m = jax.lax.while_loop(going, step, (low, high, high, 0, jnp.full((), jnp.inf, target.dtype)))[2]
    w = _omega(target + log_m)
    return jnp.where(w > 0, w - log_m, target - jnp.exp(w))


def _omega(s: Array) -> Array:
    """`w` with `w + exp(w) = s` (the logarithm of Wright's omega function), from above, where Newton is monotone."""
    w = jnp.where(s > 1, jnp.log(jnp.maximum(s, 1.0)), jnp.minimum(s, 1.0))
    for _ in range(_INNER):
        power = jnp.exp(w)
        w = w - (w + power - s) / (1.0 + power)
    return w

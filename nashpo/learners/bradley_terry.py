"""The step of DPO on single labels: the Bradley-Terry reward that fits the preferences under an opponent."""

import jax
import jax.numpy as jnp

from nashpo.game import Game
from nashpo.logspace import LOG_ZERO
from nashpo.stage import Stage
from nashpo.typing import Array, Key

_STEPS = 100


def bradley_terry(stage: Stage, anchor: Array, opponent: Array, game: Game, key: Key) -> Array:
    """`eta r`, `sum_b mu_b (P_ab - sigmoid(r_a - r_b)) = 0` for every a, `mu` the opponent.

    Minimiser of the DPO loss with reference `exp(anchor)` and `beta_DPO = 1 / eta` over pairs drawn from `mu`, one
    label each (arXiv:2404.03715, section 3). In a game of scores `P = sigmoid(S)`.
    """
    table = game.oracle.table()
    table = jax.nn.sigmoid(table) if game.scale == "score" else table
    return stage.eta * fit_reward(table.astype(anchor.dtype), opponent, anchor > 0.5 * LOG_ZERO)


def fit_reward(table: Array, weights: Array, real: Array | None = None) -> Array:
    """The Bradley-Terry reward `[X, A]` of `table [X, A, A]` under `weights [X, A]`, with weighted mean 0.

    Newton's method on a convex function whose curvature changes by at most exp(d) when rewards change by at most d
    relative to each other; the step `log(1 + d) / d` therefore always descends (Sun and Tran-Dinh 2019, Mathematical
    Programming 178). Rows are divided by their weight, so that responses without any get the reward they would have.
    Responses that are not `real` are padding and get 0.

    >>> reward = jnp.array([[1.0, 0.0, -1.0]])
    >>> table = jax.nn.sigmoid(reward[:, :, None] - reward[:, None, :])
    >>> bool(jnp.max(jnp.abs(fit_reward(table, jnp.full((1, 3), 1 / 3)) - reward)) < 1e-5)
    True
    """
    real = jnp.ones(weights.shape, bool) if real is None else real
    weights = jnp.where(real, weights, 0.0)
    identity = jnp.eye(table.shape[-1], dtype=table.dtype)
    enough = jnp.sqrt(jnp.finfo(table.dtype).eps)

    def step(carry):
        reward, _, count = carry
        difference = reward[:, :, None] - reward[:, None, :]
        wins, losses = jax.nn.sigmoid(difference), jax.nn.sigmoid(-difference)
        excess = table * losses - jnp.swapaxes(table, -1, -2) * wins
        residual = jnp.where(real, jnp.einsum("xab,xb->xa", excess, weights), 0.0)
        slopes = wins * losses * weights[:, None, :]
        jacobian = identity * jnp.sum(slopes, -1, keepdims=True) - slopes + weights[:, None, :]
        jacobian = jnp.where(real[:, :, None], jacobian, identity)
        move = jnp.linalg.solve(jacobian, residual[..., None])[..., 0]
        spread = jnp.max(move, -1, keepdims=True) - jnp.min(move, -1, keepdims=True)
        damping = jnp.where(spread > enough, jnp.log1p(spread) / jnp.maximum(spread, enough), 1.0)
        return reward + damping * move, jnp.max(spread), count + 1

    def going(carry):
        _, spread, count = carry
        return (spread > enough) & (count < _STEPS)

    start = (jnp.zeros_like(weights), jnp.full((), jnp.inf, table.dtype), 0)
    return jax.lax.while_loop(going, step, start)[0]

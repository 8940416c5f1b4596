"""The step of softmax policy gradient, computed exactly from the whole table."""

import jax.numpy as jnp

from nashpo.game import Game
from nashpo.logspace import LOG_ZERO, kl
from nashpo.stage import Stage
from nashpo.typing import Array, Key


def policy_gradient(stage: Stage, anchor: Array, opponent: Array, game: Game, key: Key) -> Array:
    """`eta n pi (P mu - pi^T P mu - beta (h - KL(pi || reference)))`, `h = log pi - log reference`.

    `pi = exp(anchor)` is the policy that is stepped from, `mu` the opponent, `n` the number of responses that the
    reference allows. With `mu = pi` this is gradient descent in the logits on the online IPO loss

        E[(h(y) - h(y') - (P(y beats y') - 1/2) / beta)^2],  y, y' ~ pi  (the sampling law is not differentiated)

    with learning rate `lr = eta n beta / 4`, and `eta n` times the gradient of the game's value against a fixed
    opponent (Calandriello et al. 2024, arXiv:2403.08635, section 4). A response's step is scaled by its
    probability: where the policy is small it hardly learns.
    """
    log_reference = game.reference.log_probs()
    responses = jnp.sum(log_reference > 0.5 * LOG_ZERO, axis=-1, keepdims=True, dtype=anchor.dtype)
    probs = jnp.exp(anchor)
    gains = game.oracle.win_rates(opponent, key)
    gains = gains - jnp.sum(probs * gains, axis=-1, keepdims=True)
    penalty = anchor - log_reference - kl(anchor, log_reference)[..., None]
    return stage.eta * responses * probs * (gains - game.beta * penalty)

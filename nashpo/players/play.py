"""Self-play of n players on any of their games."""

import jax
import jax.numpy as jnp

from nashpo.players.gains import log_probs
from nashpo.players.games import PlayerGame, check_player_game
from nashpo.players.mnpo import mnpo_step
from nashpo.policies.tabular import Tabular
from nashpo.struct import record
from nashpo.summing import kahan_add
from nashpo.typing import Array, Scalar
from nashpo.validation.numbers import is_positive, is_whole


@record
class Play:
    """What n players did in T steps."""

    profile: Tabular
    """The last profile, logits `[n, X, A]`."""
    average: Tabular
    """Each player's mean over the profiles before the last, logits `[n, X, A]`."""
    regret: Array
    """Each player's average regret `[n]` over those profiles: `max_y mean_t [g_it(y) - <pi_it, g_it>]`."""


def play(game: PlayerGame, *, eta: Scalar, steps: int, starts: Array | Tabular | None = None) -> Play:
    """All players take `steps` steps of equation 10 of MNPO (arXiv:2509.23102) at once, on any game of n players.

    They begin at `starts` (probabilities `[n, A]` or `[n, X, A]`; the reference if None). Where players meet in
    pairs under one table with symmetric weights, what all are paid is constant, and the gains of the average profile
    add up to the average regrets (Cai, Daskalakis 2011, SODA, "On minmax theorems for multiplayer games"): as these
    vanish it becomes an equilibrium. Elsewhere (one against many, annotators that differ, weights that do) regrets
    that vanish only make the history of play a coarse correlated equilibrium, and the gains of the average profile
    need not vanish. Regrets and these gains leave KL penalties out. `eta > 0` multiplies win rates.

    >>> from nashpo.players import TensorGame, epsilon_nash
    >>> shares = TensorGame.from_rewards([0.0, 1.0, 2.0], players=3)
    >>> result = play(shares, eta=1.0, steps=400)
    >>> bool(epsilon_nash(shares, result.profile) < 1e-6)
    True
    """
    check_player_game(game, "play")
    if not is_positive(eta) or not is_whole(steps, 1):
        raise ValueError(
            f"play(eta={eta}, steps={steps}): eta must be positive and finite, and steps a whole number, at least 1."
        )
    if starts is None:
        start = jnp.broadcast_to(jnp.asarray(game.reference.log_probs()), game.shape)
    else:
        start = jnp.asarray(log_probs(game, starts))
    return _play(jax.tree.map(jnp.asarray, game), jnp.asarray(eta, start.dtype), start, steps)


@jax.jit
def _play(game: PlayerGame, eta: Array, start: Array, steps: Array) -> Play:
    weights = jnp.asarray(game.weights, start.dtype)

    def step(_: Array, carry: tuple[Array, Array, Array, Array]) -> tuple[Array, Array, Array, Array]:
        log, total, lost, regret = carry
        probs = jnp.exp(log)
        g = game.payoffs(probs)
        new = mnpo_step(game, weights, log, g, eta)
        # Regrets stay small by themselves, as the payoffs that they compare do not.
        regret = regret + g - jnp.sum(probs * g, axis=-1, keepdims=True)
        return new, *kahan_add(total, lost, probs), regret

    zeros = jnp.zeros_like(start)
    log, total, _, regret = jax.lax.fori_loop(0, steps, step, (start, zeros, zeros, zeros))
    average = Tabular(jnp.log(total / steps))
    return Play(Tabular(log, normalised=True), average, jnp.sum(jnp.max(regret, axis=-1) * game.prompts, -1) / steps)

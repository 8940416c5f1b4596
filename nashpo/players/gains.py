"""How much each of n players could win by leaving a profile."""

import jax.numpy as jnp
import numpy as np

from nashpo.logspace import kl, log_softmax, namespace
from nashpo.players.games import PlayerGame, check_player_game, is_traced
from nashpo.policies.base import EnumerablePolicy
from nashpo.policies.tabular import Tabular
from nashpo.typing import Array, Scalar
from nashpo.validation.wording import numeric


def gains(game: PlayerGame, profile: EnumerablePolicy | Array) -> Array:
    """What each player gains by its best deviation, `[n]`, `>= 0`; all zero exactly at a Nash equilibrium.

        gain_i = beta KL(pi_i || BR_i),  BR_i = reference exp(g_i / beta) / Z       g_i: player i's expected payoffs
        gain_i = sum_y pi_i(y) (max g_i - g_i(y))                                   without KL penalty

    Both are sums of non-negative terms, in units of the payoff, averaged over prompts: MNPO's gap for one player
    (Wu et al. 2025, arXiv:2509.23102, equation 9). `profile` holds probabilities `[n, A]` or `[n, X, A]`, or is a
    `Tabular` with logits `[n, X, A]` such as `result.state.profile`. Raises `ValueError` for another shape.

    >>> import nashpo
    >>> rock = nashpo.players.PairwiseGame.among(nashpo.Game.from_table([[0.5, 1.0], [0.0, 0.5]]), players=3)
    >>> gains(rock, np.array([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]])).tolist()
    [0.0, 0.0, 0.25]
    """
    check_player_game(game, "gains")
    log_profile = log_probs(game, profile)
    payoffs = game.payoffs(namespace(log_profile).exp(log_profile))
    xp = namespace(payoffs, log_profile, game.beta)
    penalised = xp.asarray(game.beta) > 0
    safe = xp.where(penalised, game.beta, 1.0)
    response = log_softmax(game.reference.log_probs() + payoffs / safe)
    best = xp.max(payoffs, axis=-1, keepdims=True)
    free = xp.sum(xp.exp(log_profile) * (best - payoffs), axis=-1)
    gain = xp.where(penalised, game.beta * kl(log_profile, response), free)
    return xp.sum(gain * game.prompts, axis=-1)


def epsilon_nash(game: PlayerGame, profile: EnumerablePolicy | Array) -> Scalar:
    """The largest gain: the profile is an epsilon-Nash equilibrium for exactly this epsilon.

    >>> import nashpo
    >>> rock = nashpo.players.PairwiseGame.among(nashpo.Game.from_table([[0.5, 1.0], [0.0, 0.5]]), players=2)
    >>> float(epsilon_nash(rock, np.array([[1.0, 0.0], [0.5, 0.5]])))
    0.25
    """
    gain = gains(game, profile)
    return namespace(gain).max(gain)


def nash_conv(game: PlayerGame, profile: EnumerablePolicy | Array) -> Scalar:
    """The sum of all gains; for two players of one table the duality gap `Gap(p, q)` of the pair.

    >>> import nashpo
    >>> rock = nashpo.players.PairwiseGame.among(nashpo.Game.from_table([[0.5, 1.0], [0.0, 0.5]]), players=2)
    >>> float(nash_conv(rock, np.array([[0.5, 0.5], [0.5, 0.5]])))
    0.5
    """
    gain = gains(game, profile)
    return namespace(gain).sum(gain)


def log_probs(game: PlayerGame, profile: EnumerablePolicy | Array) -> Array:
    """Log-probabilities `[n, X, A]` of a profile; `ValueError` where it does not fit the game.

    >>> import nashpo
    >>> rock = nashpo.players.PairwiseGame.among(nashpo.Game.from_table([[0.5, 1.0], [0.0, 0.5]]), players=2)
    >>> log_probs(rock, [[1.0, 0.0], [0.5, 0.5]]).shape
    (2, 1, 2)
    """
    if hasattr(profile, "log_probs"):
        log = profile.log_probs()  # type: ignore[union-attr]  it has what `hasattr` asked for
    else:
        profile = jnp.asarray(profile) if is_traced(profile) else profile
        _require_probabilities(profile)
        log = Tabular.from_probs(profile).log_probs()  # type: ignore[arg-type]  it is an array
    log = log[:, None] if log.ndim == 2 and game.shape[1] == 1 else log
    if log.shape != tuple(game.shape):
        raise ValueError(
            f"profile has shape {tuple(log.shape)}, the game [players, prompts, responses] = {tuple(game.shape)}."
        )
    return log


def _require_probabilities(profile: object) -> None:
    if is_traced(profile):
        return
    probs = numeric(profile, None, "a profile")
    if probs.ndim < 2 or np.any(~(probs >= 0)) or not np.allclose(probs.sum(-1), 1.0, atol=1e-5):
        raise ValueError(
            f"a profile is one row of probabilities per player, [n, A] or [n, X, A], each summing to 1; got shape "
            f"{probs.shape}."
        )

"""The value of one policy against another, from samples."""

import functools
from typing import Any

import jax
import jax.numpy as jnp

from nashpo.game import Game, enumerable_game
from nashpo.oracles.base import VALUE
from nashpo.policies.base import Policy, enumerable, listed_shape
from nashpo.policies.listed import spoken
from nashpo.policies.tabular import answering
from nashpo.preferences.rows import as_key
from nashpo.typing import Array, Key
from nashpo.validation.numbers import is_whole


def sampled_advantages(
    game: Game, response: Policy, policy: Policy, *, key: Key | int, rows: int = 512, responses: int = 8
) -> Array:
    """Independent unbiased estimates `[rows]` of how far one policy beats another, `V(response, policy) - value`.

        V(nu, pi) = E[payoff(y, y')] - beta KL(nu || reference) + beta KL(pi || reference),    y ~ nu, y' ~ pi

    Each row is a prompt drawn with the game's weights, and the mean over `responses` pairs (y, y'), each compared once;
    divergences are means of sampled log-ratios. Nothing is listed: policies are sampled and evaluated, the oracle
    compares. The same key, or seed, gives the same prompts and the same y' whatever `response` is. A policy may also be
    a result or probabilities `[A]` or `[X, A]`.

    Raises `ValueError` for fewer than one row or response, or a policy over other responses than the game's.

    >>> from nashpo.policies import Tabular
    >>> game = Game.from_table([[0.5, 1.0], [0.0, 0.5]], beta=0.1)
    >>> first, second = (Tabular.from_probs(probs) for probs in ([1.0, 0.0], [0.0, 1.0]))
    >>> sampled_advantages(game, first, second, key=jax.random.key(0), rows=3).tolist()
    [0.5, 0.5, 0.5]
    """
    for name, count in (("rows", rows), ("responses", responses)):
        if not is_whole(count, 1):
            raise ValueError(f"{name}={count}: draw at least one, a whole number.")
    speakers = (speaker(game, policy) for policy in (response, policy, game.reference))
    return _advantages(game.nameless(), *speakers, as_key(key), rows=rows, responses=responses)


def speaker(game: Game, policy: Any) -> Any:
    """A policy, that of a result, or the table of probabilities, in the responses that a game's oracle compares.

    >>> speaker(Game.from_table([[0.5, 1.0], [0.0, 0.5]]), [0.2, 0.3, 0.5])
    Traceback (most recent call last):
        ...
    ValueError: a policy has shape (1, 3), the game [prompts, responses] = (1, 2).
    """
    policy = answering(policy, len(game.prompts), game.items)
    if enumerable_game(game) and enumerable(policy) and listed_shape(policy) != tuple(game.shape):
        raise ValueError(
            f"a policy has shape {listed_shape(policy)}, the game [prompts, responses] = {tuple(game.shape)}."
        )
    return spoken(policy, game.oracle)


@functools.partial(jax.jit, static_argnames=("rows", "responses"))
def _advantages(
    game: Game, response: Any, policy: Any, reference: Any, key: Key, *, rows: int, responses: int
) -> Array:
    scene, ours, asked = jax.random.split(key, 3)
    prompts, other, toll = opponents(game, policy, reference, scene, rows, responses)
    mine = response.sample(ours, prompts, responses)
    payoff = game.oracle.compare(asked, prompts, mine, other)
    cost = penalty(game, response.log_prob(prompts, mine) - reference.log_prob(prompts, mine))
    return jnp.mean(jnp.asarray(payoff) - cost + toll, axis=-1) - VALUE[game.oracle.scale]


def opponents(game: Game, policy: Any, reference: Any, key: Key, rows: int, responses: int) -> tuple[Array, Any, Array]:
    """Prompts `[B]` drawn with the game's weights, the policy's responses `[B, K, ...]` and what they cost it `[B, K]`.

    >>> from nashpo.policies import Tabular
    >>> game = Game.from_table([[0.5, 1.0], [0.0, 0.5]], beta=1.0)
    >>> prompts, drawn, toll = opponents(game, Tabular.from_probs([1.0, 0.0]), game.reference, jax.random.key(0), 2, 3)
    >>> drawn.tolist(), f"{float(toll[0, 0]):.4f}"
    ([[0, 0, 0], [0, 0, 0]], '0.6931')
    """
    where, drawn = jax.random.split(key)
    prompts = jax.random.categorical(where, jnp.log(jnp.asarray(game.prompts)), shape=(rows,))
    other = policy.sample(drawn, prompts, responses)
    log_ratio = policy.log_prob(prompts, other) - reference.log_prob(prompts, other)
    return prompts, other, penalty(game, log_ratio)


def penalty(game: Game, log_ratio: Array) -> Array:
    """`beta log_ratio`, nothing at beta = 0 even where a log-ratio is infinite.

    >>> penalty(Game.from_table([[0.5, 1.0], [0.0, 0.5]]), jnp.array([1.0, jnp.inf])).tolist()
    [0.0, 0.0]
    """
    log_ratio = jnp.asarray(log_ratio)
    beta = jnp.asarray(game.beta).astype(log_ratio.dtype)
    return jnp.where(beta > 0, beta * log_ratio, 0.0)

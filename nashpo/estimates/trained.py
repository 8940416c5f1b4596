"""A lower bound of the gap from a response that is trained against the policy."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import optax

from nashpo.compiling import Compiled
from nashpo.estimates.bound import GapLowerBound, bound_of
from nashpo.estimates.value import opponents, penalty, sampled_advantages, speaker
from nashpo.game import Game, precision
from nashpo.learners.descent import start_descent, step
from nashpo.learners.losses.base import mean_of_others
from nashpo.policies.base import Policy, Trainable
from nashpo.policies.listed import spoken
from nashpo.policies.trained import parameters, trained
from nashpo.preferences.rows import as_key
from nashpo.typing import Array, Key, Schedule
from nashpo.validation.numbers import whole_number
from nashpo.validation.optimizers import check_optimizer


def trained_lower_bound(
    game: Game,
    policy: Policy,
    start: Trainable,
    *,
    key: Key | int,
    steps: int = 500,
    learning_rate: Schedule = 1e-2,
    optimizer: Any = optax.adam,
    prompts: int = 64,
    responses: int = 8,
    rows: int = 1024,
    confidence: float = 0.9,
    resamples: int = 1000,
) -> GapLowerBound:
    """A lower bound of the duality gap: what a response trained against `policy` gains, twice.

        max over nu of V(nu, pi), by ascent on E[(payoff(y, y') - beta (log nu(y) - log reference(y)) - b) log nu(y)]

    with `y ~ nu` and `y' ~ pi`, the score-function gradient of V with b the mean over the other responses to the same
    prompt. `policy` is frozen; the response begins at `start` and takes `steps` steps of `optimizer`, each from fresh
    samples: `responses` to each of `prompts` prompts. `rows` fresh rows then measure it (`sampled_advantages`), so that
    the bound is not biased upwards; training that is too short or stuck makes it loose, never wrong.

    Raises `ValueError` for settings that cannot be run, a `start` without parameters, or a run that diverges.

    >>> from nashpo.policies import Tabular
    >>> game = Game.from_table([[0.5, 1.0], [0.0, 0.5]])
    >>> even = Tabular.from_probs([0.5, 0.5])
    >>> bound = trained_lower_bound(game, even, even, key=jax.random.key(0), steps=100, learning_rate=0.1)
    >>> bound.low < 0.5 < bound.high
    True
    """
    least = {"steps": (steps, 0), "prompts": (prompts, 1), "responses": (responses, 2), "rows": (rows, 2)}
    for name, (count, smallest) in least.items():
        whole_number(name, count, smallest)
    check_optimizer("trained_lower_bound", optimizer, learning_rate)
    learning, measuring, resampling = jax.random.split(as_key(key), 3)
    rate = jax.tree_util.Partial(learning_rate) if callable(learning_rate) else jnp.asarray(learning_rate)
    frozen, reference = (speaker(game, one) for one in (policy, game.reference))
    counts = {"optimizer": optimizer, "prompts": prompts, "responses": responses}
    begin = trained(start, precision(game))
    parameters(begin)
    response = begin.with_params(_ascend(game.nameless(), frozen, reference, begin, learning, rate, steps, **counts))
    measured = sampled_advantages(game, response, policy, key=measuring, rows=rows, responses=responses)
    return bound_of(measured, resampling, confidence, resamples, responses, response, "the trained response")


@functools.partial(Compiled, static_argnames=("optimizer", "prompts", "responses"))
def _ascend(game, policy, reference, start, key, rate, steps, *, optimizer, prompts: int, responses: int) -> Any:
    """The parameters of the response after `steps` gradient steps."""

    def once(number: Array, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        scene, ours, asked = jax.random.split(jax.random.fold_in(key, number), 3)
        rows, other, _ = opponents(game, policy, reference, scene, prompts, responses)
        speaker = spoken(start.with_params(carry[0]), game.oracle)
        mine = speaker.sample(ours, rows, responses)
        payoff = jnp.asarray(game.oracle.compare(asked, rows, mine, other))
        allowed = reference.log_prob(rows, mine)

        def loss(params: Any) -> Array:
            log_nu = spoken(start.with_params(params), game.oracle).log_prob(rows, mine)
            reward = payoff - penalty(game, jax.lax.stop_gradient(log_nu) - allowed)
            return -jnp.mean((reward - mean_of_others(reward)) * log_nu)

        return step(optimizer, rate, jax.grad(loss)(carry[0]), *carry)

    carry = (start.params, start_descent(optimizer, rate, start.params))
    return jax.lax.fori_loop(0, steps, once, carry)[0]

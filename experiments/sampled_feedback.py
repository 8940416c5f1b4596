"""The five algorithms of EGPO's simulations, learning by gradient steps from sampled comparisons.

A step is `theta <- theta - lr * gradient` in the logits of a table of A responses, with a gradient estimated from
`SAMPLES` triples (y, y', y''). The learning rate is given as `eta = 4 lr / (A beta)`, the mirror step that a gradient
step with exact feedback is. Formulas: github.com/zhourunlong/EGPO, simulations/loss_funcs.py, written anew from their
meaning.
"""

import jax
import jax.numpy as jnp

from nashpo import Game
from nashpo.logspace import log_softmax
from nashpo.policies import Tabular
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scalar

SAMPLES = 100


def learning_rate(eta: Scalar, game: Game) -> Scalar:
    """`lr = eta A beta / 4`."""
    return eta * game.shape[1] * game.beta / 4


class OneTable:
    """A solver whose state is its policy; subclasses say the direction `[X, A]` in which the logits go."""

    def init(self, game: Game, start: Tabular) -> Tabular:
        """The start itself."""
        return Tabular(jnp.asarray(start.log_probs()), normalised=True)

    def step(self, game: Game, state: Tabular, key: Key) -> tuple[Tabular, dict[str, Array]]:
        """One gradient step."""
        log_probs = state.log_probs()
        return Tabular(log_softmax(log_probs + self.move(game, log_probs, key)), normalised=True), {}

    def move(self, game: Game, log_probs: Array, key: Key) -> Array:
        """What is added to the logits."""
        raise NotImplementedError

    def policy(self, state: Tabular) -> Tabular:
        """The iterate."""
        return state

    def last(self, state: Tabular) -> Tabular:
        """The iterate."""
        return state


@record
class NashMDPG(OneTable):
    """Nash-MD-PG with exact expectations: ascent on `E_{y ~ now} [sg(P(y beats mu) - beta h(y)) log pi(y)]`.

    `mu = now^(1 - mix) ref^mix`, `h = log now/ref`; the gradient is `now (a - E_now a)`, `a` the bracket.
    """

    eta: Scalar
    mix: Scalar

    def move(self, game: Game, log_probs: Array, key: Key) -> Array:
        """The exact gradient times the learning rate."""
        reference = game.reference.log_probs()
        gains = game.oracle.win_rates(jnp.exp(_mixture(log_probs, reference, self.mix)))
        gains = gains - game.beta * (log_probs - reference)
        probs = jnp.exp(log_probs)
        return learning_rate(self.eta, game) * probs * (gains - jnp.sum(probs * gains, axis=-1, keepdims=True))


@record
class SampledNashMDPG(OneTable):
    """Nash-MD-PG from `SAMPLES` pairs (y ~ now, y'' ~ mu), without a baseline, as the authors run it."""

    eta: Scalar
    mix: Scalar

    def move(self, game: Game, log_probs: Array, key: Key) -> Array:
        """The sampled gradient times the learning rate."""
        reference = jnp.asarray(game.reference.log_probs())

        def one(key: Key, log_pi: Array, log_ref: Array, table: Array) -> Array:
            draws = jax.random.uniform(key, (2, SAMPLES), jnp.float32)
            left, other = _draw(draws[0], log_pi), _draw(draws[1], _mixture(log_pi, log_ref, self.mix))
            gains = table[left, other] - game.beta * (log_pi - log_ref)[left]
            return _scattered(gains, left, log_pi) - jnp.sum(gains) * jnp.exp(log_pi)

        return learning_rate(self.eta, game) / SAMPLES * _every_prompt(one, key, log_probs, reference, game)


@record
class SampledIPO(OneTable):
    """Online IPO, Nash-MD and EGPO: gradient descent on squared differences of log-ratios.

        (1 / SAMPLES) sum (h(y) - h(y') - (P[y, y''] - P[y', y'']) / beta)^2,     h = log pi/ref

    y and y' are uniform and `y'' ~ mu = now^(1 - mix) ref^mix`. With `look_ahead` (EGPO) mu is the policy after such
    a step, and the step is then taken from where it was, with fresh samples. With `on_policy` (Online IPO 2) y and y'
    are drawn from the policy and compared with each other: the difference is `P[y, y'] - 1/2`.
    """

    eta: Scalar
    mix: Scalar = 0.0
    look_ahead: bool = static(default=False)
    on_policy: bool = static(default=False)

    def move(self, game: Game, log_probs: Array, key: Key) -> Array:
        """Minus the sampled gradient times the learning rate."""
        opponent = _mixture(log_probs, jnp.asarray(game.reference.log_probs()), self.mix)
        if self.look_ahead:
            first, key = jax.random.split(key)
            opponent = log_softmax(log_probs + self._toward(game, log_probs, opponent, first))
        return self._toward(game, log_probs, opponent, key)

    def _toward(self, game: Game, log_probs: Array, opponent: Array, key: Key) -> Array:
        def one(key: Key, log_pi: Array, ratio: Array, other: Array, table: Array) -> Array:
            draws = jax.random.uniform(key, (2 if self.on_policy else 3, SAMPLES), jnp.float32)
            sampled_from = log_pi if self.on_policy else jnp.zeros_like(log_pi)
            left, right = _draw(draws[0], sampled_from), _draw(draws[1], sampled_from)
            if self.on_policy:
                wins = table[left, right] - 0.5
            else:
                judge = _draw(draws[2], other)
                wins = table[left, judge] - table[right, judge]
            residual = ratio[left] - ratio[right] - wins / game.beta
            return _scattered(residual, right, log_pi) - _scattered(residual, left, log_pi)

        ratio = log_probs - jnp.asarray(game.reference.log_probs())
        keys = jax.random.split(key, len(log_probs))
        found = jax.vmap(one)(keys, log_probs, ratio, opponent, jnp.asarray(game.oracle.table()))
        return 2.0 * learning_rate(self.eta, game) / SAMPLES * found


def _every_prompt(one, key: Key, log_probs: Array, reference: Array, game: Game) -> Array:
    keys = jax.random.split(key, len(log_probs))
    return jax.vmap(one)(keys, log_probs, reference, jnp.asarray(game.oracle.table()))


def _mixture(log_probs: Array, reference: Array, mix: Scalar) -> Array:
    return log_softmax((1.0 - mix) * log_probs + mix * reference)


def _draw(uniform: Array, logits: Array) -> Array:
    """Responses drawn with the probabilities `softmax(logits)`, one for each uniform number."""
    heights = jnp.cumsum(jnp.exp(log_softmax(logits)))[:-1].astype(uniform.dtype)
    return jnp.sum(uniform[:, None] > heights, axis=-1)


def _scattered(values: Array, places: Array, like: Array) -> Array:
    """The sum of `values` at each of the `places`, in the shape of `like`."""
    hot = places[:, None] == jnp.arange(len(like))
    return jnp.sum(jnp.where(hot, values[:, None], 0.0), axis=0)

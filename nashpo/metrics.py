"""How far a policy is from equilibrium, and other numbers of a (game, policy) pair.

Every metric is a function of a game and a policy, can be handed to `solve(metrics=...)`, and averages over
prompts with the game's weights.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.game import Game, check_enumerable, check_game, check_one_beta, enumerable_game
from nashpo.logspace import LOG_ZERO, kl, log_softmax, namespace
from nashpo.policies.base import EnumerablePolicy
from nashpo.policies.tabular import Tabular, as_policy
from nashpo.struct import record
from nashpo.typing import Array, Scalar


def best_response(game: Game, policy: EnumerablePolicy) -> Tabular:
    """The best answer to an opponent, `BR(q) = reference exp(P q / beta) / Z`.

    Without KL penalty (`beta = 0`) it is uniform over the responses with the highest payoff. `policy` has
    log-probabilities `[X, A]` (or is an array of probabilities); so has the answer. The formula is the Gibbs
    variational principle (Munos et al. 2023, arXiv:2312.00886, section 3).

    >>> game = Game.from_table([[0.5, 1.0], [0.0, 0.5]], beta=0.0)
    >>> best_response(game, [0.5, 0.5]).probs().tolist()
    [[1.0, 0.0]]
    """
    log_pi = _listed(game, policy)
    gains = game.oracle.win_rates(namespace(log_pi).exp(log_pi))
    return Tabular(_by_beta(game, lambda: _gibbs(game, gains), lambda: _greedy(gains)), normalised=True)


def duality_gap(game: Game, policy: EnumerablePolicy) -> Scalar:
    """The duality gap `max_p V(p, pi) - min_q V(pi, q) >= 0`, zero exactly at equilibrium.

    `2 beta KL(pi || BR(pi))`, and `2 sum_i pi_i (max_y g_y - g_i)` with `g = P pi` where `beta = 0`; both are sums
    of non-negative terms. In units of the payoff, averaged over prompts. `policy` has log-probabilities
    `[X, A]` or is an array of probabilities.

    >>> game = Game.from_table([[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]], beta=0.1)
    >>> float(duality_gap(game, [1 / 3, 1 / 3, 1 / 3]))
    0.0
    """
    return _over_prompts(game, gap_by_prompt(game, policy))


def gap_by_prompt(game: Game, policy: EnumerablePolicy) -> Array:
    """The duality gap of every prompt, `[X]`."""
    log_pi = _listed(game, policy)
    gains = game.oracle.win_rates(namespace(log_pi).exp(log_pi))
    return _by_beta(game, lambda: 2.0 * game.beta * kl(log_pi, _gibbs(game, gains)), lambda: _regret(log_pi, gains))


def _regret(log_pi: Array, gains: Array) -> Array:
    xp = namespace(log_pi, gains)
    return 2.0 * xp.sum(xp.exp(log_pi) * (xp.max(gains, axis=-1, keepdims=True) - gains), axis=-1)


def exploitability(game: Game, policy: EnumerablePolicy) -> Scalar:
    """How far the best response without KL penalty beats the policy: `max_y (P pi)_y - value`, `>= 0`.

    Half the duality gap of the same game at `beta = 0`.

    >>> game = Game.from_table([[0.5, 1.0], [0.0, 0.5]], beta=0.1)
    >>> float(exploitability(game, [0.5, 0.5]))
    0.25
    """
    log_pi = _fitting(game, policy)
    return _over_prompts(game, 0.5 * _regret(log_pi, game.oracle.win_rates(namespace(log_pi).exp(log_pi))))


def reference_kl(game: Game, policy: EnumerablePolicy) -> Scalar:
    """`KL(pi || reference)` in nats, averaged over prompts.

    >>> game = Game.from_table(np.full((2, 2), 0.5), beta=0.1)
    >>> round(float(reference_kl(game, [1.0, 0.0])), 6)
    0.693147
    """
    return _over_prompts(game, kl(_fitting(game, policy), game.reference.log_probs()))


def entropy(game: Game, policy: EnumerablePolicy) -> Scalar:
    """`-sum pi log pi` in nats, averaged over prompts.

    >>> game = Game.from_table(np.full((2, 2), 0.5), beta=0.1)
    >>> round(float(entropy(game, [0.5, 0.5])), 6)
    0.693147
    """
    log_pi = _fitting(game, policy)
    return _over_prompts(game, -namespace(log_pi).sum(namespace(log_pi).exp(log_pi) * log_pi, axis=-1))


def reference_win_rate(game: Game, policy: EnumerablePolicy) -> Scalar:
    """The payoff of the policy against the reference: `P(pi beats reference)`, averaged over prompts.

    >>> game = Game.from_table([[0.5, 1.0], [0.0, 0.5]], beta=0.1)
    >>> float(reference_win_rate(game, [1.0, 0.0]))
    0.75
    """
    log_pi, gains = _fitting(game, policy), game.oracle.win_rates(policy_probs(game.reference))
    xp = namespace(log_pi, gains)
    return _over_prompts(game, xp.sum(xp.exp(log_pi) * gains, axis=-1))


def probs(game: Game, policy: EnumerablePolicy) -> Array:
    """The policy itself, probabilities `[X, A]`: records a trajectory."""
    return policy_probs(as_policy(policy, game.items))


@record
class KLFrom:
    """`KL(target || pi)` in nats, averaged over prompts: the distance that mirror methods shrink.

    >>> game = Game.from_table(np.full((2, 2), 0.5), beta=0.1)
    >>> float(KLFrom(Tabular.from_probs([0.5, 0.5]))(game, [0.5, 0.5]))
    0.0
    """

    target: EnumerablePolicy

    def __call__(self, game: Game, policy: EnumerablePolicy) -> Scalar:
        """The metric of `policy`."""
        return _over_prompts(game, kl(_fitting(game, self.target), _fitting(game, policy)))


@record
class Last:
    """`metric` of the last iterate, for solvers whose answer is another policy."""

    metric: Callable[[Game, EnumerablePolicy], Scalar]

    def __call__(self, game: Game, policy: EnumerablePolicy) -> Scalar:
        """The metric of `policy`, which the run takes to be the last iterate."""
        return self.metric(game, policy)


def policy_probs(policy: EnumerablePolicy) -> Array:
    """Probabilities `[X, A]` of any policy that can be listed."""
    log_probs = policy.log_probs()
    return namespace(log_probs).exp(log_probs)


def payoff_bound(game: Game) -> float:
    """`max |payoff - value|` as far as it is known: 1/2 for win probabilities, the largest score of a table, or NaN."""
    if game.scale == "probability":
        return 0.5
    if not enumerable_game(game):
        return math.nan
    bound = getattr(game.oracle, "bound", None)
    return float(bound()) if bound else float(np.max(np.abs(np.asarray(game.oracle.table()))))


def _listed(game: Game, policy: object) -> Array:
    """Log-probabilities that fit a game whose responses can be listed."""
    check_enumerable(game, "the duality gap or best response", "see nashpo.estimates for lower bounds of the gap")
    return _fitting(game, policy)


def _fitting(game: Game, policy: object) -> Array:
    """Log-probabilities `[X, A]` of a policy, which must have a row for every prompt, or one for all of them."""
    check_game(game, "a metric")
    check_one_beta(game, "a metric")
    log_pi = as_policy(policy, game.items).log_probs()
    shape, contexts = tuple(np.shape(log_pi)), len(game.prompts)
    responses = game.shape[1] if enumerable_game(game) else shape[-1]
    if shape not in ((responses,), (1, responses), (contexts, responses)):
        raise ValueError(f"the policy has shape {shape}, the game [prompts, responses] = {(contexts, responses)}.")
    return log_pi if shape == (contexts, responses) else namespace(log_pi).broadcast_to(log_pi, (contexts, responses))


def _gibbs(game: Game, gains: Array) -> Array:
    """`log_softmax(log reference + gains / beta)`; meaningless, but finite, where beta is 0."""
    xp = namespace(gains, game.beta)
    beta = xp.where(game.beta > 0, game.beta, 1.0) if isinstance(game.beta, jax.Array) else (game.beta or 1.0)
    return log_softmax(game.reference.log_probs() + gains / beta)


def _greedy(gains: Array) -> Array:
    """The log-probabilities that are uniform over the highest gains."""
    xp = namespace(gains)
    return log_softmax(xp.where(gains >= xp.max(gains, axis=-1, keepdims=True), 0.0 * gains, LOG_ZERO))


def _by_beta(game: Game, regularised: Callable[[], Array], pure: Callable[[], Array]) -> Array:
    """The one of two that holds for the game's beta; both are computed where beta is traced."""
    if not isinstance(game.beta, jax.Array):
        return regularised() if game.beta > 0 else pure()
    return jnp.where(game.beta > 0, regularised(), pure())


def _over_prompts(game: Game, values: Array) -> Scalar:
    return namespace(values, game.prompts).sum(game.prompts * values)

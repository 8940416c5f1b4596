"""Losses whose minimiser is the point of a stage."""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp

from nashpo.learners.losses.base import Samples, Terms, differences, mean_of_others
from nashpo.struct import record
from nashpo.typing import Array

_MIRROR = frozenset({"win_rate"})
_GAINS = frozenset({"win_rate", "score"})


@record
class SquaredGains:
    """`E (h(y, y') - eta (g(y) - g(y')))^2`, `h = [log pi - anchor](y) - [log pi - anchor](y')`.

    Its minimiser is the point of the stage for independent pairs of any law with full support; with sampled gains the
    gradient is unbiased, the value too large by the gains' variance. In a stage with the target `"score"` gains are
    log-odds. EGPO, online IPO, INPO, MNPO (arXiv:2503.08942; arXiv:2509.23102, equation 14).
    """

    reads: ClassVar[str] = "gains"
    paired: ClassVar[bool] = True
    laws: ClassVar[frozenset[str] | None] = None
    targets: ClassVar[frozenset[str] | None] = _GAINS

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        error = differences(log_pi - samples.anchor - terms.eta * jnp.asarray(samples.gains), samples)
        return jnp.sum(samples.pairs * error**2, -1)


@record
class PairLabel:
    """`E (h(y, y') - eta (payoff(y, y') - value))^2`; with labels 0 and 1 that is `(h(winner, loser) - eta / 2)^2`.

    One comparison a pair and no further samples, but right only for pairs drawn independently from the opponent, where
    it differs from `SquaredGains` by a constant (INPO, arXiv:2407.00617, proposition 6; IPO, arXiv:2310.12036). With
    several opponents the pairs come from their mixture.
    """

    reads: ClassVar[str] = "labels"
    laws: ClassVar[frozenset[str] | None] = frozenset({"opponent"})
    targets: ClassVar[frozenset[str] | None] = _MIRROR

    def check(self, learner: Any, game: Any) -> None:
        """Refuse winners that a selection takes for certain in a game of scores: their log-odds are infinite."""
        if game.scale == "score" and learner.selection is not None and getattr(learner.selection, "certain", True):
            raise ValueError(
                f"{type(learner.selection).__name__}: winners taken for certain have no finite score, which PairLabel "
                "is to match; pass certain=False, or make a game of win probabilities."
            )

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        error = differences(log_pi - samples.anchor, samples) - terms.eta * (jnp.asarray(samples.labels) - terms.value)
        return jnp.sum(samples.pairs * error**2, -1)


@record
class SoftLogistic:
    """`-E [z log zhat + (1 - z) log(1 - zhat)]`, `z = sigmoid(g(y) - g(y'))`, `zhat = sigmoid(h(y, y') / eta)`.

    The loss of DNO (arXiv:2404.03715, algorithm 1): its minimiser is the point of the stage for pairs of any law, with
    exact gains. The sigmoid of an estimate is not unbiased: with gains from M samples the target is off by O(1 / M).
    """

    reads: ClassVar[str] = "gains"
    paired: ClassVar[bool] = True
    laws: ClassVar[frozenset[str] | None] = None
    targets: ClassVar[frozenset[str] | None] = _MIRROR

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        ratio = differences(log_pi - samples.anchor, samples) / terms.eta
        label = jax.nn.sigmoid(differences(jnp.asarray(samples.gains), samples))
        cross_entropy = label * jax.nn.softplus(-ratio) + (1 - label) * jax.nn.softplus(ratio)
        return jnp.sum(samples.pairs * cross_entropy, -1)


@record
class Pointwise:
    """`E (log pi(y) - anchor(y) - eta (g(y) - value))^2`, one error a response.

    The loss of SPPO (arXiv:2405.00675, equation 4.7) where the anchor is the policy before the step. The normaliser is
    replaced by the value of the game, so that its minimiser over normalised policies is the half-baseline step
    (`SPPO(baseline="half")`), O(eta^3) away from the mirror step; right for responses of the policy that is trained.
    """

    reads: ClassVar[str] = "gains"
    laws: ClassVar[frozenset[str] | None] = frozenset({"start"})
    targets: ClassVar[frozenset[str] | None] = frozenset({"win_rate_half_baseline"})

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        error = log_pi - samples.anchor - terms.eta * (jnp.asarray(samples.gains) - terms.value)
        return jnp.mean(error**2, -1)


@record
class PolicyGradient:
    """The score-function gradient of `eta E_pi g - KL(pi || anchor)` at the policy that was sampled.

        -E [advantage(y) log pi(y)],   advantage = eta g(y) - (log pi(y) - anchor(y)) - mean over the other responses

    with the KL divergence of whole responses. At the start of a stage of a mirror method the second term is
    `eta beta (log pi - log reference)`, so this is eta times the gradient of the game's value against the opponent
    (SPO, arXiv:2401.04056; Nash-MD-PG, arXiv:2312.00886, section 7); stages with the target `"policy_gradient"` say
    so themselves. Right for responses of the policy that is trained, and for one step. A step of plain gradient descent
    is not the mirror step: it is multiplied by pi. A single response to each prompt has `eta value` for a baseline.
    """

    reads: ClassVar[str] = "gains"
    paired: ClassVar[bool] = True
    laws: ClassVar[frozenset[str] | None] = frozenset({"start"})
    targets: ClassVar[frozenset[str] | None] = frozenset({"win_rate", "policy_gradient"})
    updates: ClassVar[int] = 1
    fewest: ClassVar[int] = 1

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        now = jax.lax.stop_gradient(log_pi)
        if terms.target == "policy_gradient":
            penalty = terms.eta * terms.beta * (now - samples.reference)
        else:
            penalty = now - samples.anchor
        reward = terms.eta * jnp.asarray(samples.gains) - penalty
        baseline = mean_of_others(reward) if reward.shape[-1] > 1 else terms.eta * terms.value
        return -jnp.mean((reward - baseline) * log_pi, -1)

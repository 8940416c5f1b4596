"""The preference losses of the field, on labelled pairs.

Throughout `delta = [log pi - anchor](left) - [log pi - anchor](right)`, `z` is the probability, or the vote, that
left is preferred, and `eta` divides: it is `1 / beta` of DPO, rDPO, RPO, VPO and HyPO, `1 / gamma` of RSO, `1 / tau`
of IPO. Anchored at the reference (`nashpo.solvers.Offline`) they are the published offline losses, anchored at the
policy before the step (`nashpo.solvers.IterativeDPO`) the iterative ones. What is not here because it is elsewhere:
IPO is `PairLabel`, DNO `SoftLogistic`, SPPO `Pointwise`; RSO's and GPO's are in `losses.others`.
"""

from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.learners.losses.base import Samples, Terms, differences
from nashpo.learners.losses.mirror import PairLabel
from nashpo.learners.samplers import FromReference, FromStart
from nashpo.struct import record, static
from nashpo.typing import Array, Scalar
from nashpo.validation.numbers import whole_number
from nashpo.validation.wording import numeric

_OPPONENT = frozenset({"opponent"})
_REWARD = frozenset({"bradley_terry"})

IPO = PairLabel
"""Identity preference optimization (Azar et al. 2023, arXiv:2310.12036): `(delta - eta / 2)^2` from winner to loser is
`PairLabel` on labels 0 and 1, and differs from it by a constant on probabilities. Anchored at the reference, with pairs
from mu, its minimiser is `reference exp(P(. beats mu) / tau) / Z`."""


@record
class DPO:
    """`-E [z log sigmoid(delta / eta) + (1 - z) log sigmoid(-delta / eta)]`.

    Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290, equation 7); a label of the oracle is a
    probability, or a vote where the oracle votes (`oracles.Noisy`), with the same expectation. Minimiser on independent
    pairs from mu:

        log pi = anchor + eta r,   sum_b mu_b (P_ab - sigmoid(r_a - r_b)) = 0 for every a,

    the point of a stage with the target `"bradley_terry"`. It depends on mu unless the preferences are Bradley-Terry.
    Where some responses always lose to the others there is no minimiser: margins grow without end.

    >>> from nashpo.learners.losses import Terms, one_pair
    >>> round(float(DPO()(jnp.log(jnp.array([[0.5, 0.5]])), one_pair(0.8), Terms(1.0, 0.0, 0.5, ""))[0]), 6)
    0.693147
    """

    reads: ClassVar[str] = "labels"
    laws: ClassVar[frozenset[str] | None] = _OPPONENT
    targets: ClassVar[frozenset[str] | None] = _REWARD

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        return logistic_loss(log_pi, samples, terms, wins(samples, terms))


@record
class CDPO:
    """DPO with smoothed labels, `(1 - 2 smoothing) z + smoothing` in place of `z`.

    Conservative DPO (Mitchell 2023; Chowdhury et al. 2024, arXiv:2403.00409, section 3). Minimiser: DPO's for the
    preferences `(1 - 2 smoothing) P + smoothing`, always finite. On labels of which a share `smoothing` is turned
    round it is not the clean minimiser, and further from it than DPO's: `RDPO` is unbiased.

    >>> from nashpo.learners.losses import Terms, one_pair
    >>> log_pi, terms = jnp.log(jnp.array([[0.75, 0.25]])), Terms(1.0, 0.0, 0.5, "")
    >>> bool(abs(CDPO(0.1)(log_pi, one_pair(1.0), terms) - DPO()(log_pi, one_pair(0.9), terms))[0] < 1e-6)
    True
    """

    smoothing: Scalar
    reads: ClassVar[str] = "labels"
    laws: ClassVar[frozenset[str] | None] = _OPPONENT
    targets: ClassVar[frozenset[str] | None] = None

    def check(self, learner: Any, game: Any) -> None:
        """Refuse smoothing that says nothing."""
        check_share("CDPO", "smoothing", self.smoothing)

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        return logistic_loss(log_pi, samples, terms, (1 - 2 * self.smoothing) * wins(samples, terms) + self.smoothing)


@record
class RDPO:
    """DPO on labels of which a share `flip` is turned round, corrected: `(z - flip) / (1 - 2 flip)` in place of `z`.

        [(1 - flip) DPO(winner, loser) - flip DPO(loser, winner)] / (1 - 2 flip)

    Robust DPO (Chowdhury et al. 2024, arXiv:2403.00409, section 3). Its expectation over the flips is DPO's loss of
    the clean labels, and so are its gradient and its minimiser, on an oracle such as `Noisy(..., flip,
    corrected=False)`; a corrected oracle needs plain DPO. Of finitely many labels the loss may be unbounded
    below where a pair has corrected labels outside [0, 1]: stop early, or collect anew each step.

    >>> from nashpo.learners.losses import Terms, one_pair
    >>> log_pi, terms = jnp.log(jnp.array([[0.75, 0.25]])), Terms(1.0, 0.0, 0.5, "")
    >>> votes = 0.9 * RDPO(0.1)(log_pi, one_pair(1.0), terms) + 0.1 * RDPO(0.1)(log_pi, one_pair(0.0), terms)
    >>> bool(abs(votes - DPO()(log_pi, one_pair(1.0), terms))[0] < 1e-6)
    True
    """

    flip: Scalar
    reads: ClassVar[str] = "labels"
    laws: ClassVar[frozenset[str] | None] = _OPPONENT
    targets: ClassVar[frozenset[str] | None] = _REWARD

    def check(self, learner: Any, game: Any) -> None:
        """Refuse flips after which labels say nothing."""
        check_share("RDPO", "flip", self.flip)

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        return logistic_loss(log_pi, samples, terms, (wins(samples, terms) - self.flip) / (1 - 2 * self.flip))


@record
class RPO:
    """`DPO - coefficient E log pi(chosen)`, the second term supervised fine-tuning on the preferred response.

    Regularised preference optimization (Liu et al. 2024, arXiv:2405.16436), whose coefficient is `eta beta` in its
    symbols. It is offline `VPO` (sign -1) calibrated on the chosen responses, with `alpha = coefficient eta`, but for
    a constant. The minimiser on independent pairs is finite for any preferences: the term keeps every preferred
    response likely.

    Raises `ValueError` for a coefficient that is negative or not finite.

    >>> from nashpo.learners.losses import Terms, one_pair
    >>> log_pi, pair, terms = jnp.log(jnp.array([[0.75, 0.25]])), one_pair(1.0), Terms(1.0, 0.0, 0.5, "")
    >>> round(float((RPO(2.0)(log_pi, pair, terms) - DPO()(log_pi, pair, terms) + 2.0 * log_pi[:, 0])[0]), 6)
    0.0
    """

    coefficient: Scalar
    reads: ClassVar[str] = "labels"
    laws: ClassVar[frozenset[str] | None] = _OPPONENT
    targets: ClassVar[frozenset[str] | None] = None

    def check(self, learner: Any, game: Any) -> None:
        """Refuse a coefficient that cannot be."""
        check_coefficient("RPO", "coefficient", self.coefficient)

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        share = wins(samples, terms)
        left, right = (jnp.take_along_axis(log_pi, side, -1) for side in (samples.left, samples.right))
        chosen = jnp.sum(samples.pairs * (share * left + (1 - share) * right), -1)
        return logistic_loss(log_pi, samples, terms, share) - self.coefficient * chosen


@record
class VPO:
    """`DPO + sign (alpha / eta) E_{y ~ calibration} [log pi(y) - anchor(y)]`.

    Value-incentivised preference optimization (Cen et al. 2024, arXiv:2405.19320): the likelihood of a reward, plus
    `alpha` times the value that it promises, in a reward calibrated to mean zero. `sign=1` is optimism, for learning
    online, `sign=-1` pessimism, for learning offline. `count` further responses to each prompt come from
    `calibration` and are compared with nothing. Pessimism is finite on any preferences; optimism is unbounded below
    where alpha is so large that it pays to give up a set of responses whose comparisons are lost.

    Raises `ValueError` for an alpha that is negative or not finite, a sign that is not 1 or -1, or a count below 1.

    >>> from nashpo.learners.losses import Terms, one_pair
    >>> log_pi, pair, terms = jnp.log(jnp.array([[0.5, 0.25, 0.25]])), one_pair(1.0, extra=1), Terms(1.0, 0.0, 0.5, "")
    >>> bonus = VPO(2.0)(log_pi, pair, terms) - DPO()(log_pi, pair, terms)
    >>> bool(abs(bonus - 2.0 * jnp.log(0.25) + 2.0 * jnp.log(0.5))[0] < 1e-6)
    True
    """

    alpha: Scalar
    sign: Scalar = 1.0
    calibration: Any = FromReference()
    count: int = static(default=1)
    reads: ClassVar[str] = "labels"
    laws: ClassVar[frozenset[str] | None] = _OPPONENT
    targets: ClassVar[frozenset[str] | None] = None

    def check(self, learner: Any, game: Any) -> None:
        """Refuse settings that cannot be."""
        check_coefficient("VPO", "alpha", self.alpha)
        if not np.all(np.abs(numeric(self.sign, None, "VPO: sign")) == 1):
            raise ValueError(f"VPO(sign={self.sign}): must be 1, optimism, or -1, pessimism.")
        whole_number("count", self.count, 1, of="VPO")
        if isinstance(self.calibration, type) or not hasattr(self.calibration, "draw"):
            raise ValueError(f"VPO(calibration={self.calibration!r}): give a sampler, for example FromReference().")

    @property
    def extra(self) -> tuple[Any, int]:
        """The sampler of the last responses to each prompt, and how many they are."""
        return self.calibration, self.count

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        ratio = (log_pi - samples.anchor)[:, -self.count :]
        bonus = self.sign * self.alpha / terms.eta * jnp.mean(ratio, -1)
        return logistic_loss(log_pi, samples, terms, wins(samples, terms)) + bonus


@record
class HyPO:
    """`DPO + coefficient KL(pi || reference)`: offline pairs, and a penalty estimated on samples of the policy itself.

    Hybrid preference optimization (Song et al. 2024, arXiv:2406.01462). `count` further responses to each
    prompt come from the policy that is trained, and the term's gradient is the score-function one,

        E_{y ~ pi} [(log pi(y) / reference(y) - mean over the others) grad log pi(y)] = grad KL(pi || reference),

    right only at the policy that was sampled: for one step. The value of the loss is therefore not the sum above. The
    divergence is that of whole responses. With `eta` above 1 and a small coefficient margins of certain wins grow
    without end.

    Raises `ValueError` for a coefficient that is negative or not finite, or a count below 1.

    >>> from nashpo.learners.losses import Terms, one_pair
    >>> log_pi, pair, terms = jnp.log(jnp.array([[0.5, 0.25, 0.25]])), one_pair(1.0, extra=1), Terms(1.0, 0.0, 0.5, "")
    >>> grad = jax.grad(lambda x: jnp.sum(HyPO(3.0, count=1)(x, pair, terms) - DPO()(x, pair, terms)))(log_pi)
    >>> bool(abs(grad[0, 2] - 3.0 * (jnp.log(0.25) - jnp.log(0.5))) < 1e-6)
    True
    """

    coefficient: Scalar
    count: int = static(default=2)
    reads: ClassVar[str] = "labels"
    laws: ClassVar[frozenset[str] | None] = _OPPONENT
    targets: ClassVar[frozenset[str] | None] = None
    updates: ClassVar[int] = 1

    def check(self, learner: Any, game: Any) -> None:
        """Refuse settings that cannot be."""
        check_coefficient("HyPO", "coefficient", self.coefficient)
        whole_number("count", self.count, 1, of="HyPO")

    @property
    def extra(self) -> tuple[Any, int]:
        """The sampler of the last responses to each prompt, and how many they are."""
        return FromStart(), self.count

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`, with the right gradient."""
        own = log_pi[:, -self.count :]
        ratio = jax.lax.stop_gradient(own - samples.reference[:, -self.count :])
        others = (jnp.sum(ratio, -1, keepdims=True) - ratio) / max(self.count - 1, 1)
        penalty = self.coefficient * jnp.mean((ratio - others) * own, -1)
        return logistic_loss(log_pi, samples, terms, wins(samples, terms)) + penalty


def wins(samples: Samples, terms: Terms) -> Array:
    """How likely left is preferred in every pair, `[B, M]`, also where labels are log-odds."""
    labels = jnp.asarray(samples.labels)
    return labels if terms.value else jax.nn.sigmoid(labels)


def check_share(loss: str, name: str, value: Scalar) -> None:
    """Refuse a share of labels outside [0, 1/2).

    >>> check_share("RDPO", "flip", 0.5)
    Traceback (most recent call last):
        ...
    ValueError: RDPO(flip=0.5): must be at least 0 and below 1/2, where labels say nothing.
    """
    shares = numeric(value, None, f"{loss}: {name}")
    if not np.all((shares >= 0) & (shares < 0.5)):
        raise ValueError(f"{loss}({name}={value}): must be at least 0 and below 1/2, where labels say nothing.")


def check_coefficient(loss: str, name: str, value: Scalar) -> None:
    """Refuse a weight of a term that is negative or not finite.

    >>> check_coefficient("RPO", "coefficient", -0.5)
    Traceback (most recent call last):
        ...
    ValueError: RPO(coefficient=-0.5): must be finite and at least 0.
    """
    weights = numeric(value, None, f"{loss}: {name}")
    if not np.all((weights >= 0) & np.isfinite(weights)):
        raise ValueError(f"{loss}({name}={value}): must be finite and at least 0.")


def logistic_loss(log_pi: Array, samples: Samples, terms: Terms, share: Array) -> Array:
    """The cross-entropy of labels `share [B, M]` and `sigmoid(delta / eta)`, `[B]`."""
    ratio = differences(log_pi - samples.anchor, samples) / terms.eta
    return jnp.sum(samples.pairs * (share * jax.nn.softplus(-ratio) + (1 - share) * jax.nn.softplus(ratio)), -1)

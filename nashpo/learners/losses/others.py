"""Losses on the pairs of rejection sampling, and on log-odds."""

from typing import ClassVar

import jax
import jax.numpy as jnp

from nashpo.learners.losses.base import Samples, Terms, differences
from nashpo.learners.losses.field import DPO, wins
from nashpo.struct import record
from nashpo.typing import Array


@record
class SigmoidNorm(DPO):
    """`DPO` on pairs of any law: RSO's sigmoid-norm loss, `gamma = 1 / eta`, for pairs of the `Rejection` sampler.

    Statistical rejection sampling optimization (Liu et al. 2023, arXiv:2309.06657). Minimiser on independent
    pairs from mu: DPO's for that mu, whoever the opponents of the stage are. TRL's `sigmoid_norm` is another loss, DPO
    on log-ratios divided by lengths.

    >>> from nashpo.learners.losses import Terms, one_pair
    >>> round(float(SigmoidNorm()(jnp.log(jnp.array([[0.5, 0.5]])), one_pair(1.0), Terms(1.0, 0.0, 0.5, ""))[0]), 6)
    0.693147
    """

    laws: ClassVar[frozenset[str] | None] = None
    targets: ClassVar[frozenset[str] | None] = None


@record
class HingeNorm:
    """`E [z max(0, 1 - delta / eta) + (1 - z) max(0, 1 + delta / eta)]`: RSO's hinge-norm loss, `gamma = 1 / eta`.

    Zhao et al. 2023 (arXiv:2305.10425) with a reference; Liu et al. 2023 (arXiv:2309.06657). Its minimum is
    attained on any preferences, but it does not tell how likely a win is: with two responses
    `delta = eta sign(P - 1/2)` at the minimum, and anything in [-eta, eta] where P = 1/2.

    >>> from nashpo.learners.losses import Terms, one_pair
    >>> log_pi = jnp.log(jnp.array([[0.75, 0.25]]))
    >>> round(float(HingeNorm()(log_pi, one_pair(1.0), Terms(2.0, 0.0, 0.5, ""))[0]), 4)
    0.4507
    """

    reads: ClassVar[str] = "labels"
    laws: ClassVar[frozenset[str] | None] = None
    targets: ClassVar[frozenset[str] | None] = None

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        ratio, share = differences(log_pi - samples.anchor, samples) / terms.eta, wins(samples, terms)
        hinges = share * jax.nn.relu(1 - ratio) + (1 - share) * jax.nn.relu(1 + ratio)
        return jnp.sum(samples.pairs * hinges, -1)


@record
class GPO:
    """`E (log pi(y) - anchor(y) - eta s(y))^2`, `s` the expected log-odds against the opponent.

    General preference optimization (Zhang et al. 2024, arXiv:2410.02197, equation 5.3), `eta = 1 / beta`, with the
    constant `log Z` set to 0 as the authors do. In a stage with the target `"score"` gains are log-odds. Its
    minimiser over normalised policies solves `x + m exp(x) = eta s(y)`, `x = log pi - anchor`, with one multiplier m:
    O(eta^3) away from the point of the stage, `anchor + eta s - log Z`, which `SquaredGains` has exactly. Right for
    responses of the policy that is trained. A certain preference has infinite log-odds, and no minimiser.

    >>> from nashpo.learners.losses import Terms, one_pair
    >>> pair = one_pair(0.5)._replace(gains=jnp.array([[1.0, -1.0]]))
    >>> GPO()(pair.anchor, pair, Terms(2.0, 0.0, 0.5, "score")).tolist()
    [4.0]
    """

    reads: ClassVar[str] = "gains"
    laws: ClassVar[frozenset[str] | None] = frozenset({"start"})
    targets: ClassVar[frozenset[str] | None] = frozenset({"score"})

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        return jnp.mean((log_pi - samples.anchor - terms.eta * jnp.asarray(samples.gains)) ** 2, -1)

"""Policy gradients that take several steps on the same samples."""

from typing import ClassVar

import jax.numpy as jnp

from nashpo.learners.losses.base import Samples, Terms, mean_of_others
from nashpo.struct import record
from nashpo.typing import Array


@record
class ProximalPolicyGradient:
    """`KL(pi || now) - eta E_pi g` from responses of `now`, weighted by importance: `r = pi / now`.

        E_{y ~ now} [r(y) (log r(y) - 1 - eta (g(y) - b))],   b = mean gain of the other responses

    Its gradient at `r = 1` is the score-function policy gradient of `PolicyGradient`, but further steps on the same
    samples lead on to `now exp(eta g) / Z`, the point of the stage: the first step is one of plain gradient descent and
    the limit one of natural gradients (mirror descent policy optimization, Tomar et al. 2020, arXiv:2005.09814). In
    self-play that matters: plain policy-gradient steps are multiplied by pi, so that what has become rare hardly comes
    back, and their average need not approach a minimax winner.

    The anchor of the stage must be the policy that is trained, as in rules without KL penalty (SPO, arXiv:2401.04056);
    other rules are refused.

    >>> import nashpo
    >>> from nashpo.learners.gains import Batch
    >>> from nashpo.learners.sampled import Sampled
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    >>> learner = Sampled(0.05, loss=ProximalPolicyGradient(), gains=Batch(), responses=64, updates=8)
    >>> found = nashpo.solve(game, nashpo.solvers.SPO(eta=0.5), learner=learner, steps=100, key=0)
    >>> bool(found.trace["duality_gap"][-1] < 0.15)
    True
    """

    reads: ClassVar[str] = "gains"
    paired: ClassVar[bool] = True
    laws: ClassVar[frozenset[str] | None] = frozenset({"start"})
    targets: ClassVar[frozenset[str] | None] = frozenset({"win_rate"})
    anchored: ClassVar[bool] = True

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]`."""
        gains = jnp.asarray(samples.gains)
        log_ratio = log_pi - samples.anchor
        return jnp.mean(jnp.exp(log_ratio) * (log_ratio - 1.0 - terms.eta * (gains - mean_of_others(gains))), -1)

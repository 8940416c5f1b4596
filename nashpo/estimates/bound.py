"""A lower bound of a duality gap, with its uncertainty."""

import dataclasses
from typing import Any

import numpy as np

from nashpo.estimates.interval import bootstrap_interval
from nashpo.typing import Array, Key


@dataclasses.dataclass(frozen=True)
class GapLowerBound:
    """How much one response policy gains against a policy, twice: the duality gap is at least that.

        duality_gap(pi) = 2 (max_nu V(nu, pi) - value) >= 2 (V(response, pi) - value)

    `value` estimates the right-hand side without bias from samples that had no part in choosing the response; it may be
    above the gap by sampling error and below zero where the response is no better than the policy. It does not say how
    far below the gap it is.

    >>> bound = GapLowerBound(0.21, 0.17, 0.25, confidence=0.9, rows=512, responses=8, policy=None, member=2)
    >>> print(bound)
    duality gap >= 0.17 (estimate 0.21, 90% interval 0.17 to 0.25; pool[2], 512 rows of 8 responses)
    """

    value: float
    """In units of the payoff."""
    low: float
    high: float
    confidence: float
    """How often intervals such as `low` to `high` are to hold the exact `2 (V(response, pi) - value)`. Of 90% intervals
    88% to 90% did with 512 rows, 87% with 16, 75% with 4; fewer where rare rows decide (`bootstrap_interval`)."""
    rows: int
    """How many prompts, drawn with the game's weights, `value` is a mean over."""
    responses: int
    """How many responses of either side each of them had."""
    policy: Any
    """The response."""
    member: int | None = None
    """Its place in the pool, if it comes from one."""
    screening: np.ndarray | None = None
    """`[M]`: what the members of the pool gained on the samples that chose between them; the largest is too large."""

    def __str__(self) -> str:
        """One line for people: what the samples support is the lower end of the interval, not the estimate."""
        which = "a trained response" if self.member is None else f"pool[{self.member}]"
        return (
            f"duality gap >= {max(self.low, 0.0):.3g} (estimate {self.value:.3g}, {100 * self.confidence:g}% interval "
            f"{self.low:.3g} to {self.high:.3g}; {which}, {self.rows} rows of {self.responses} responses)"
        )


def bound_of(
    rows: Array, key: Key, confidence: float, resamples: int, responses: int, policy: Any, name: str
) -> GapLowerBound:
    """The bound of a response whose advantage was sampled in every row; `name` is what an error calls it.

    >>> import jax
    >>> bound_of(np.array([0.1, 0.3]), jax.random.key(0), 0.9, 200, 4, None, "pool[0]").value
    0.4
    """
    rows = np.asarray(rows)
    wrong = int(np.sum(~np.isfinite(rows)))
    if wrong:
        raise ValueError(
            f"{name}: {wrong} of {len(rows)} sampled values are not finite; look for a comparison that is NaN (an "
            "oracle that answers outside its scale) or parameters that diverged (a smaller learning rate)."
        )
    low, high = bootstrap_interval(key, rows, confidence=confidence, resamples=resamples)
    return GapLowerBound(2.0 * float(rows.mean()), 2.0 * low, 2.0 * high, confidence, len(rows), responses, policy)

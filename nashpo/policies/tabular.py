"""One logit per prompt and response."""

import dataclasses
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nashpo.logspace import LOG_ZERO, log_softmax, namespace
from nashpo.policies.base import EnumerablePolicy, Policy
from nashpo.policies.draws import draw
from nashpo.struct import record, static
from nashpo.typing import Array, Key
from nashpo.validation.distributions import validate_distribution
from nashpo.validation.items import check_labels
from nashpo.validation.wording import numeric


@record
class Tabular:
    """A softmax over every response: `pi(y|x) = exp(logits[x, y]) / sum_y' exp(logits[x, y'])`.

    NumPy logits stay in NumPy and in their precision; JAX logits stay in JAX.

    >>> Tabular.from_probs([0.2, 0.8]).probs().round(3).tolist()
    [[0.2, 0.8]]
    """

    logits: Array
    """`[X, A]`."""
    normalised: bool = static(default=False)
    """Whether the logits are log-probabilities already."""

    @classmethod
    def from_probs(cls, probs: Array) -> "Tabular":
        """The policy with the given probabilities, `[A]` or `[X, A]`; NaN stays NaN.

        Raises `ValueError` for a negative entry and a sum other than 1, except in arrays of JAX, which are not read.
        """
        if not isinstance(probs, jax.Array):
            probs = np.asarray(probs, dtype=float)
            if not np.isnan(probs).any():
                probs = validate_distribution(probs, "probs", probs.shape, allow_zero=True)
        xp = namespace(probs)
        log = xp.log(xp.where(probs <= 0, 1.0, probs))
        return cls(xp.atleast_2d(xp.where(probs <= 0, LOG_ZERO, log)))

    def log_probs(self) -> Array:
        """Normalised log-probabilities, `[X, A]`."""
        return self.logits if self.normalised else log_softmax(self.logits)

    def probs(self) -> Array:
        """Probabilities, `[X, A]`."""
        return namespace(self.logits).exp(self.log_probs())

    @property
    def params(self) -> Array:
        """What a gradient moves: the logits."""
        return self.logits

    def with_params(self, params: Array) -> "Tabular":
        """The policy with other logits."""
        return Tabular(params)

    def response(self, index: Array) -> Array:
        """A response is its number."""
        return index

    def index(self, responses: Array) -> Array:
        """A response is its number."""
        return responses

    def log_prob(self, prompts: Array, responses: Array) -> Array:
        """Log-probabilities `[B, K]` of response indices `[B, K]` to prompt indices `[B]`."""
        return self.log_probs()[prompts[:, None], responses]

    def sample(self, key: Key, prompts: Array, count: int) -> Array:
        """Response indices `[B, count]`, independent draws for each prompt index of `[B]`."""
        return draw(key, jnp.asarray(self.logits)[prompts], count)


def tabulate(policy: EnumerablePolicy, like: Array) -> Tabular:
    """The table of any policy that can be listed, in JAX and in the precision of `like`.

    >>> tabulate(Tabular.from_probs([0.25, 0.75]), jnp.zeros(2)).normalised
    True
    """
    return Tabular(jnp.asarray(policy.log_probs(), like.dtype), normalised=True)


def mean_of_one(policy: EnumerablePolicy, like: Array) -> Tabular:
    """The mean of one policy, in JAX and in the precision of `like`: where a `running_mean` begins.

    >>> mean_of_one(Tabular.from_probs([0.25, 0.75]), jnp.zeros(2)).normalised
    False
    """
    return Tabular(tabulate(policy, like).logits)


def running_mean(average: Tabular, policy: Tabular, count: Array) -> Tabular:
    """The arithmetic mean of `count + 1` policies from the mean of `count` and one more, in log space.

    Its logits add up to a total that rounding moves away from one, the same for all responses; so a mean is
    normalised where it is read, and begins as `mean_of_one`.

    >>> first, second = (Tabular.from_probs(jnp.array(probs)) for probs in ([0.2, 0.8], [0.4, 0.6]))
    >>> [round(p, 3) for p in running_mean(first, second, jnp.ones(())).probs()[0].tolist()]
    [0.3, 0.7]
    """
    log_count = jnp.log(count.astype(policy.logits.dtype))
    log_total = jnp.log1p(count.astype(policy.logits.dtype))
    old = average.logits + (log_count - log_total)
    return dataclasses.replace(average, logits=jnp.logaddexp(old, policy.log_probs() - log_total))


def as_policy(policy: object, items: Sequence[str] | None = None) -> EnumerablePolicy:
    """`policy` itself if it can list its log-probabilities, that of a result, or the table of the probabilities given.

    Raises `ValueError` for what is neither, and for probabilities that pandas or xarray label as those of other items.

    >>> as_policy([0.25, 0.75]).probs().round(2).tolist()
    [[0.25, 0.75]]
    """
    if hasattr(policy, "log_probs"):
        return policy  # type: ignore[return-value]  it has what `hasattr` asked for
    if hasattr(getattr(policy, "policy", None), "log_probs"):
        return policy.policy  # type: ignore[attr-defined]  it has what `hasattr` asked for
    if not isinstance(policy, Tracer):
        check_labels(policy, items, "a policy")
        probs = numeric(policy, None, "a policy")
        if probs.ndim not in (1, 2) or np.any(probs < 0) or not np.allclose(probs.sum(-1), 1.0, atol=1e-5):
            raise ValueError(
                f"a policy is a record with log_probs() or probabilities [A] or [X, A] that sum to one; got shape "
                f"{probs.shape} with sums {np.atleast_1d(probs.sum(-1) if probs.ndim else probs)[:3]}."
            )
    return Tabular.from_probs(policy)  # type: ignore[arg-type]  an array, or like one


def answering(policy: object, prompts: int, items: Sequence[str] | None = None) -> Policy:
    """A policy, that of a result or an equilibrium, or the table of probabilities, with one row serving every prompt.

    Raises `ValueError` as `as_policy` does.

    >>> answering([0.25, 0.75], prompts=3).probs().shape
    (3, 2)
    """
    found = policy if hasattr(policy, "log_prob") else getattr(policy, "policy", policy)
    found = found if hasattr(found, "log_prob") else as_policy(found, items)
    if isinstance(found, Tabular) and np.ndim(found.logits) == 2 and len(found.logits) == 1:
        logits = found.logits
        shape = (prompts, np.shape(logits)[1])
        found = dataclasses.replace(found, logits=namespace(logits).broadcast_to(logits, shape))
    return found  # type: ignore[return-value]  it has what `hasattr` asked for

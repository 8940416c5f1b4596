"""What a policy can be asked. A policy is a pytree: parameters are leaves."""

from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from nashpo.typing import Array, Key


@runtime_checkable
class Policy(Protocol):
    """A distribution over responses for every prompt, evaluated and sampled."""

    def log_prob(self, prompts: Array, responses: Any) -> Array:
        """Log-probabilities `[B, K]` of responses `[B, K, ...]` to prompts `[B]`."""
        ...

    def sample(self, key: Key, prompts: Array, count: int) -> Any:
        """`count` responses to each prompt, `[B, K, ...]`."""
        ...


@runtime_checkable
class EnumerablePolicy(Policy, Protocol):
    """A policy whose responses can be listed, and are numbered from 0 to A - 1."""

    def log_probs(self) -> Array:
        """Normalised log-probabilities `[X, A]`."""
        ...

    def response(self, index: Array) -> Any:
        """The responses `[..., ...]` of numbers `[...]`."""
        ...

    def index(self, responses: Any) -> Array:
        """The numbers `[...]` of responses `[..., ...]`."""
        ...


@runtime_checkable
class Trainable(Policy, Protocol):
    """A policy with parameters that a gradient can move."""

    @property
    def params(self) -> Any:
        """What is trained: a pytree of arrays."""
        ...

    def with_params(self, params: Any) -> "Trainable":
        """The policy with other parameters of the same structure."""
        ...


def enumerable(policy: Any) -> bool:
    """Whether the responses of a policy can be listed: it has `log_probs`, and no more answers than a table holds.

    >>> from nashpo.policies import Tabular
    >>> enumerable(Tabular.from_probs([0.2, 0.8]))
    True
    """
    answers = getattr(policy, "answers", None)
    return hasattr(policy, "log_probs") and (answers is None or answers.listed)


def listed_shape(policy: Any) -> tuple[int, ...]:
    """`(X, A)`: how many prompts and responses a policy lists; nothing is computed.

    >>> from nashpo.policies import Tabular
    >>> listed_shape(Tabular.from_probs([0.2, 0.8]))
    (1, 2)
    """
    logits = getattr(policy, "logits", None)
    if isinstance(logits, jax.Array | np.ndarray):
        return np.shape(logits)
    return jax.eval_shape(_log_probs, policy).shape


def _log_probs(policy: Any) -> Array:
    """A function of its own, so that policies of one form are traced once."""
    return policy.log_probs()

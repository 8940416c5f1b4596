"""What a policy can be asked. A policy is a pytree: parameters are leaves."""

from typing import Any, Protocol, runtime_checkable

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
    """A policy whose responses can be listed."""

    def log_probs(self) -> Array:
        """Normalised log-probabilities `[X, A]`."""
        ...

"""A policy over numbers, spoken in the responses that the numbers stand for."""

from typing import Any

from nashpo.struct import record, static
from nashpo.typing import Array, Key


@record
class Listed:
    """`policy`, whose responses are numbers, over the token sequences `[L]` that `answers` numbers.

    >>> import numpy as np
    >>> from nashpo.policies import Answers, Tabular
    >>> policy = Listed(Tabular(np.log([[0.1, 0.2, 0.3, 0.4]])), Answers(vocabulary=2, length=2))
    >>> np.exp(policy.log_prob(np.array([0]), np.array([[[0, 1], [1, 1]]]))).round(3).tolist()
    [[0.2, 0.4]]
    """

    policy: Any
    answers: Any = static()

    def log_probs(self) -> Array:
        """Normalised log-probabilities `[X, A]`."""
        return self.policy.log_probs()

    def log_prob(self, prompts: Array, responses: Array) -> Array:
        """Log-probabilities `[B, K]` of token sequences `[B, K, L]` to prompts `[B]`."""
        return self.policy.log_prob(prompts, self.index(responses))

    def sample(self, key: Key, prompts: Array, count: int) -> Array:
        """Token sequences `[B, count, L]`."""
        return self.response(self.policy.sample(key, prompts, count))

    def response(self, index: Array) -> Array:
        """The token sequences of numbers."""
        return self.answers.tokens(index)

    def index(self, responses: Array) -> Array:
        """The numbers of token sequences."""
        return self.answers.index(responses)


def spoken(policy: Any, oracle: Any) -> Any:
    """The policy in the responses that an oracle compares: token sequences where the oracle numbers its `answers`.

    >>> from nashpo.policies import Tabular
    >>> spoken(Tabular.from_probs([0.2, 0.8]), oracle=None).probs().round(1).tolist()
    [[0.2, 0.8]]
    """
    answers = getattr(oracle, "answers", None)
    return policy if answers is None or hasattr(policy, "answers") else Listed(policy, answers)

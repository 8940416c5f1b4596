"""What a loss is asked, and what it is told."""

from typing import Any, ClassVar, NamedTuple, Protocol

from nashpo.typing import Array, Scalar


class Samples(NamedTuple):
    """What was collected for a stage: everything that does not depend on the parameters that are trained."""

    prompts: Array
    """Prompt numbers `[B]`."""
    weights: Array
    """`[B]`, summing to one."""
    responses: Any
    """`[B, K, ...]`."""
    anchor: Array
    """`sum_k a_k log pi_k(y)`, `[B, K]`, up to a constant per prompt."""
    reference: Array
    """Log-probabilities of the reference, `[B, K]`."""
    gains: Array | None
    """Estimates of `sum_j w_j payoff(y, nu_j)`, `[B, K]`, for losses that read gains."""
    left: Array
    """Positions among the K responses, `[B, M]`: one side of every pair."""
    right: Array
    """The other side."""
    pairs: Array
    """The weight of every pair, `[B, M]`, summing to one for every prompt."""
    labels: Array | None
    """Payoffs `[B, M]` of left against right, for losses that read labels."""


class Terms(NamedTuple):
    """The numbers of the stage and the game that a loss needs."""

    eta: Scalar
    beta: Scalar
    value: float
    """The value of the game: 1/2 for win probabilities, 0 for scores."""
    target: str
    """The target of the stage."""


class Loss(Protocol):
    """A function of log-probabilities, right for some laws of the samples."""

    reads: ClassVar[str]
    """`"gains"` or `"labels"`."""
    laws: ClassVar[frozenset[str] | None]
    """The laws of responses under which its minimiser is the point of the stage; None for any law."""
    targets: ClassVar[frozenset[str] | None]
    """The targets of stages that it fits (`nashpo.stage.Target`); None for a loss with a minimiser of its own."""

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]` at log-probabilities `[B, K]` of the responses."""
        ...


def differences(values: Array, samples: Samples) -> Array:
    """`values[left] - values[right]` for every pair, `[B, M]`, of values `[B, K]`.

    >>> import numpy as np
    >>> samples = Samples(*(None,) * 6, np.array([[0]]), np.array([[1]]), None, None)
    >>> differences(np.array([[3.0, 1.0]]), samples).tolist()
    [[2.0]]
    """
    import jax.numpy as jnp

    left, right = (jnp.take_along_axis(values, side, -1) for side in (samples.left, samples.right))
    return left - right

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
    """A function of log-probabilities, right for some laws of the samples.

    A loss that reads gains may have `paired = True`: it takes gains of responses to one prompt from each other, as
    errors of pairs or for a baseline.

    A loss may have `extra = (sampler, count)`: as many further responses to each prompt, the last ones, that are in no
    pair; `updates`, the most gradient steps it is right for; `fewest`, the fewest responses to a prompt (2 if it has
    none); `anchored = True`, where it is right for stages only that step from the policy that is trained; and
    `check(learner, game)`, which raises `ValueError` for settings that cannot be run.
    """

    reads: ClassVar[str]
    """`"gains"` or `"labels"`. Gains are log-odds in a stage with the target `"score"`."""
    laws: ClassVar[frozenset[str] | None]
    """The laws of responses under which its minimiser is the point of the stage; None for any law."""
    targets: ClassVar[frozenset[str] | None]
    """The targets of stages that it fits (`nashpo.stage.Target`); None for a loss with a minimiser of its own."""

    def __call__(self, log_pi: Array, samples: Samples, terms: Terms) -> Array:
        """The loss of every prompt `[B]` at log-probabilities `[B, K]` of the responses."""
        ...


def one_pair(label: float, extra: int = 0) -> Samples:
    """One prompt, responses 0 and 1 with a label, `extra` further ones, and 1/2 of each for an anchor: to try a loss.

    >>> one_pair(0.5).labels.tolist()
    [[0.5]]
    """
    import jax.numpy as jnp

    half = jnp.log(jnp.full((1, 2 + extra), 0.5))
    left, right, pairs = jnp.array([[0]]), jnp.array([[1]]), jnp.ones((1, 1))
    responses = jnp.arange(2 + extra)[None]
    return Samples(jnp.zeros(1, int), jnp.ones(1), responses, half, half, None, left, right, pairs, label * pairs)


def mean_of_others(values: Array) -> Array:
    """For each of the K values of a row the mean of the K - 1 others, `[..., K]`.

    >>> import numpy as np
    >>> mean_of_others(np.array([1.0, 2.0, 6.0])).tolist()
    [4.0, 3.5, 1.5]
    """
    import jax.numpy as jnp

    return (jnp.sum(values, -1, keepdims=True) - values) / (values.shape[-1] - 1)


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

"""A network that scores every response of a list."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nashpo.logspace import log_softmax
from nashpo.struct import record, static
from nashpo.typing import Array, Key


@record
class Neural:
    """A softmax over the outputs of a Flax network: `pi(y|x) = softmax(module(contexts))[x, y]`.

    `params` are the variables of type `nnx.Param` as a nested dict, the only ones that are trained; `rest` is what else
    the module holds (statistics, keys), which stays as it was. Policies of one architecture share their structure, so
    that new parameters never compile again.

    >>> network = Neural.from_module(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), np.eye(2, dtype=np.float32))
    >>> network.probs().shape
    (2, 3)
    """

    params: Any
    """Nested dict of arrays."""
    contexts: Array
    """`[X, ...]`: what the network sees of each prompt."""
    rest: Any
    """Nested dict of arrays."""
    graph: Any = static()
    """The module without its arrays."""

    @classmethod
    def from_module(cls, module: nnx.Module, contexts: Array, responses: int | None = None) -> "Neural":
        """The policy of `module(contexts) -> logits [X, A]`; the module itself is not changed.

        `responses` is A, where it is known. Raises `ValueError` for a module whose output has another shape or is no
        floating-point array.

        >>> Neural.from_module(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), np.eye(2, dtype=np.float32), responses=5)
        Traceback (most recent call last):
            ...
        ValueError: Linear maps contexts of shape (2, 2) to (2, 3), but a policy over 5 responses needs logits (2, 5).
        """
        policy = cls(*split_module(module, contexts))
        shape, name = jax.eval_shape(lambda p: p.outputs(p.contexts), policy), type(module).__name__
        given = np.shape(contexts)
        wanted = (*given[:1], shape.shape[-1] if responses is None and shape.shape else responses)
        if shape.shape != wanted or len(wanted) != 2:
            raise ValueError(
                f"{name} maps contexts of shape {given} to {shape.shape}, but a policy over "
                f"{responses or 'A'} responses needs logits {(*given[:1], responses or 'A')}."
            )
        if not jnp.issubdtype(shape.dtype, jnp.floating):
            raise ValueError(f"{name} returns {shape.dtype}, but logits are floating-point numbers.")
        return policy

    def module(self) -> nnx.Module:
        """The Flax module with the present parameters."""
        return nnx.merge(self.graph, self.params, self.rest)

    def with_params(self, params: Any) -> "Neural":
        """The policy with other parameters of the same structure."""
        return Neural(params, self.contexts, self.rest, self.graph)

    def outputs(self, contexts: Array) -> Array:
        """The network's outputs `[B, A]` for contexts `[B, ...]`."""
        return self.module()(contexts)  # type: ignore[operator]  a module is called

    def log_probs(self) -> Array:
        """Normalised log-probabilities, `[X, A]`."""
        return log_softmax(self.outputs(jnp.asarray(self.contexts)))

    def probs(self) -> Array:
        """Probabilities, `[X, A]`."""
        return jnp.exp(self.log_probs())

    def log_prob(self, prompts: Array, responses: Array) -> Array:
        """Log-probabilities `[B, K]` of response numbers `[B, K]` to prompt numbers `[B]`."""
        log_probs = log_softmax(self.outputs(jnp.asarray(self.contexts)[prompts]))
        return jnp.take_along_axis(log_probs, responses, axis=-1)

    def sample(self, key: Key, prompts: Array, count: int) -> Array:
        """Response numbers `[B, count]`, independent draws for each prompt number of `[B]`."""
        logits = self.outputs(jnp.asarray(self.contexts)[prompts])
        return jax.random.categorical(key, logits[:, None, :], shape=(len(prompts), count))

    def response(self, index: Array) -> Array:
        """A response is its number."""
        return index

    def index(self, responses: Array) -> Array:
        """A response is its number."""
        return responses


def split_module(module: nnx.Module, contexts: Array) -> tuple[Any, Array, Any, Any]:
    """Trained parameters, contexts, other variables and the bare module; dicts of arrays.

    >>> params, *_ = split_module(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), np.eye(2))
    >>> sorted(params)
    ['bias', 'kernel']
    """
    if not isinstance(module, nnx.Module):
        raise ValueError(
            f"{module!r} is no flax.nnx module: give an instance, for example nnx.Linear(10, 3, rngs=nnx.Rngs(0))."
        )
    graph, params, rest = nnx.split(module, nnx.Param, ...)
    return nnx.to_pure_dict(params), contexts, nnx.to_pure_dict(rest), graph

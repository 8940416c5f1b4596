"""A network that scores every response of a list."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer

from nashpo.logspace import log_softmax
from nashpo.policies.draws import draw
from nashpo.struct import record, static
from nashpo.typing import Array, Key

_MODAL = (nnx.Dropout, nnx.MultiHeadAttention, nnx.BatchNorm)
"""What Flax runs in one way in training and in another in evaluation."""


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
    """`[X, ...]`: what the network sees of each prompt; ones and zeros are quicker than a number that picks a row."""
    rest: Any
    """Nested dict of arrays."""
    graph: Any = static()
    """The module without its arrays."""

    @classmethod
    def from_module(cls, module: nnx.Module, contexts: Array, responses: int | None = None) -> "Neural":
        """The policy of `module(contexts) -> logits [X, A]`; the module itself is not changed.

        `responses` is A, where it is known. That every prompt is answered by itself is tried.

        Raises `ValueError` for a module that does not take such contexts, whose output has another shape or is no
        floating-point array, or whose answer to a prompt moves with the others of a batch, as with dropout and batch
        statistics in training mode.

        >>> Neural.from_module(nnx.Linear(2, 3, rngs=nnx.Rngs(0)), np.eye(2, dtype=np.float32), responses=5)
        Traceback (most recent call last):
            ...
        ValueError: Linear maps contexts of shape (2, 2) to (2, 3), but a policy over 5 responses needs logits (2, 5).
        """
        given, name = np.shape(contexts), type(module).__name__
        policy = cls(*split_module(module, contexts))
        if not given or not given[0]:
            raise ValueError(f"contexts has shape {given}: give one row for each prompt, [X, ...].")
        try:
            shape = jax.eval_shape(_forward, policy, np.arange(given[0]))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{name} does not take contexts of shape {given}: {error}") from error
        if not hasattr(shape, "shape"):
            raise ValueError(f"{name} returns a {type(shape).__name__}, but a policy needs one array of logits [X, A].")
        wanted = (given[0], shape.shape[-1] if responses is None and shape.shape else responses)
        if shape.shape != wanted:
            raise ValueError(
                f"{name} maps contexts of shape {given} to {shape.shape}, but a policy over "
                f"{responses or 'A'} responses needs logits {(given[0], responses or 'A')}."
            )
        check_floating(shape, name)
        check_evaluating(policy, lambda bare: _forward(bare, np.arange(given[0])))
        check_alone(policy, lambda rows: _forward(policy, rows % given[0]), name)
        return policy

    def module(self) -> nnx.Module:
        """The Flax module with the present parameters."""
        return nnx.merge(self.graph, self.params, self.rest)

    def with_params(self, params: Any) -> "Neural":
        """The policy with other parameters of the same structure."""
        return dataclasses.replace(self, params=params)

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
        if len(prompts) >= len(self.contexts):
            return self.log_probs()[prompts[:, None], responses]
        return jnp.take_along_axis(log_softmax(self._rows(prompts)), responses, axis=-1)

    def sample(self, key: Key, prompts: Array, count: int) -> Array:
        """Response numbers `[B, count]`, independent draws for each prompt number of `[B]`."""
        return draw(key, self._rows(prompts), count)

    def _rows(self, prompts: Array) -> Array:
        """Outputs `[B, A]` for prompt numbers `[B]`; with more rows than prompts, each prompt is seen once."""
        contexts = jnp.asarray(self.contexts)
        if len(prompts) >= len(contexts):
            return self.outputs(contexts)[prompts]
        return self.outputs(contexts[prompts])

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


def check_floating(logits: Any, name: str) -> None:
    """Refuse an output of the module `name` that is no floating-point array.

    >>> check_floating(np.arange(2, dtype=np.int32), "Linear")
    Traceback (most recent call last):
        ...
    ValueError: Linear returns int32, but logits are floating-point numbers.
    """
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise ValueError(f"{name} returns {logits.dtype}, but logits are floating-point numbers.")


@jax.jit
def _forward(policy: Neural, prompts: Array) -> Array:
    """The network's outputs `[B, A]` for prompt numbers `[B]`."""
    return policy.outputs(jnp.asarray(policy.contexts)[prompts])


def check_alone(network: Any, outputs: Callable[[np.ndarray], Array], name: str, row: str = "prompt") -> None:
    """Refuse the network `name` where an output moves with the others of a batch.

    `outputs` are those of the rows with numbers 0, 1 or 2, asked for alone and among others. What is being traced
    cannot be tried.

    >>> check_alone(None, lambda rows: rows - rows.mean(), "Centred")
    Traceback (most recent call last):
        ...
    ValueError: Centred answers prompt 0 differently when other prompts are in the batch, but every prompt is answered \
by itself: call module.eval() where there is dropout or a batch statistic.
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(network)):
        return
    alone, among = outputs(np.arange(1)), outputs(np.arange(4) % 3)[np.array([0, 3])]
    allowed = jnp.finfo(among.dtype).eps ** 0.5 * jnp.max(jnp.abs(among))
    if jnp.any(jnp.abs(among - alone) > allowed):
        raise ValueError(_together(name, row))


def check_evaluating(network: Any, call: Callable[[Any], Any], row: str = "prompt") -> None:
    """Refuse a network whose call uses dropout or batch statistics in training mode, whatever its flags say.

    `network` is a record of `params`, `rest` and `graph`. `call(network)` is traced once more without the random
    numbers of dropout and without a choice of statistics, so that Flax itself refuses what is in training mode; a call
    that says `deterministic=True` is in order.

    >>> policy = Neural(*split_module(nnx.Dropout(0.5, rngs=nnx.Rngs(0)), np.eye(2)))
    >>> check_evaluating(policy, Neural.log_probs)
    Traceback (most recent call last):
        ...
    ValueError: Dropout answers prompt 0 differently when other prompts are in the batch, but every prompt is \
answered by itself: call module.eval() where there is dropout or a batch statistic.
    """
    module = nnx.merge(network.graph, network.params, network.rest)
    parts = [part for _, part in nnx.iter_modules(module) if isinstance(part, _MODAL)]
    if not parts:
        return
    for part in parts:
        if isinstance(part, nnx.BatchNorm):
            part.use_running_average = part.use_running_average or None
        else:
            part.rngs = nnx.data(None)
    params, _, rest, graph = split_module(module, np.zeros(0))
    bare = dataclasses.replace(network, params=params, rest=rest, graph=graph)
    try:
        jax.eval_shape(call, bare)
    except ValueError:
        raise ValueError(_together(type(module).__name__, row)) from None


def _together(name: str, row: str) -> str:
    return (
        f"{name} answers {row} 0 differently when other {row}s are in the batch, but every {row} is answered by "
        "itself: call module.eval() where there is dropout or a batch statistic."
    )

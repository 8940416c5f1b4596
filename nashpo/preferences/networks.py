"""Flax networks on features of prompts and responses."""

import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer

from nashpo.policies.neural import check_alone, check_evaluating
from nashpo.struct import record, static
from nashpo.typing import Array


class Perceptron(nnx.Module):
    """A multilayer perceptron on everything it is called with, side by side; without `hidden` layers it is linear.

        f(c, y, ...) = W_L tanh(... tanh(W_1 [c, y, ...] + b_1) ...) + b_L,      [N, outputs]

    `inputs` counts the features of all arguments together; parameters are of type `dtype`.

    >>> network = Perceptron(3, 2, rngs=nnx.Rngs(0))
    >>> network(jnp.ones((5, 1)), jnp.ones((5, 2))).shape
    (5, 2)
    """

    def __init__(
        self,
        inputs: int,
        outputs: int = 1,
        hidden: Sequence[int] = (64,),
        *,
        rngs: nnx.Rngs,
        dtype: Any = jnp.float32,
    ) -> None:
        sizes = itertools.pairwise((inputs, *hidden, outputs))
        self.layers = nnx.List([nnx.Linear(a, b, rngs=rngs, param_dtype=dtype) for a, b in sizes])

    def __call__(self, *parts: Array) -> Array:
        """The outputs `[N, outputs]` for features `[N, ...]`."""
        values = jnp.concatenate(parts, axis=-1)
        for layer in self.layers[:-1]:
            values = jnp.tanh(layer(values))
        return self.layers[-1](values)


@record
class Network:
    """A Flax module taken apart into parameters and structure, with the features of the prompts `[X, C]`.

    >>> network = Network.from_module(Perceptron(2, 1, rngs=nnx.Rngs(0)))
    >>> network(jnp.zeros(3, int), jnp.ones((3, 2))).shape
    (3, 1)
    """

    params: Any
    """Nested dict of arrays: what is trained."""
    rest: Any
    """Nested dict of what the module holds besides."""
    contexts: Array | None
    """`[X, C]`, or None where a response's features say all."""
    graph: Any = static()
    """The module's structure."""

    @classmethod
    def from_module(cls, module: nnx.Module, contexts: Any = None) -> "Network":
        """The parts of a module that is called as `module(context, *responses)`, without contexts `module(*responses)`.

        Raises `ValueError` for contexts that are not `[X, C]` and finite.
        """
        if contexts is not None:
            contexts = jnp.asarray(contexts)
            if contexts.ndim != 2 or not np.isfinite(np.asarray(contexts)).all():
                raise ValueError(f"contexts has shape {contexts.shape}, but must be finite, [prompts, features].")
        graph, params, rest = nnx.split(module, nnx.Param, ...)
        return cls(nnx.to_pure_dict(params), nnx.to_pure_dict(rest), contexts, graph)

    def __call__(self, prompts: Array, *responses: Array) -> Array:
        """The module's output for prompts `[N]` and features `[N, D]`.

        Raises `ValueError` for item numbers in place of features, for prompts without a context, or for a module whose
        answer to a response moves with the others of a batch, as with dropout and batch statistics in training mode.
        """
        if any(jnp.ndim(response) != 2 for response in responses):
            raise ValueError("a network reads features, but these are item numbers: compare with_features(...).")
        last = -1 if isinstance(prompts, Tracer) or self.contexts is None else int(np.max(prompts))
        if self.contexts is not None and last >= len(self.contexts):
            raise ValueError(f"prompt {last} has no context, there are {len(self.contexts)}: give one to each prompt.")
        output = self._output(prompts, responses)
        check_evaluating(self, lambda bare: bare._output(prompts, responses), "response")

        def outputs(rows: np.ndarray) -> Array:
            rows = rows % len(prompts)
            return self._output(prompts[rows], [response[rows] for response in responses])

        check_alone((self, prompts, responses), outputs, type(self._module()).__name__, "response")
        return output

    def _output(self, prompts: Array, responses: Sequence[Array]) -> Array:
        context = () if self.contexts is None else (self.contexts[prompts],)
        return self._module()(*context, *responses)

    def _module(self) -> Any:
        return nnx.merge(self.graph, self.params, self.rest)

    def __repr__(self) -> str:
        """The shapes of the parameters."""
        shapes = jax.tree.map(jnp.shape, self.params)
        return f"Network(params={shapes}, contexts={None if self.contexts is None else self.contexts.shape})"

    def outputs(self, candidates: Array) -> Array:
        """The output `[X, A, ...]` for the features `[X, A, D]` of every response to every prompt."""
        contexts, responses, width = candidates.shape
        prompts = jnp.repeat(jnp.arange(contexts), responses)
        found = self(prompts, candidates.reshape(-1, width))
        return found.reshape(contexts, responses, *found.shape[1:])


def one_number(output: Array, rows: int) -> Array:
    """An output `[N, 1]` or `[N]` as `[N]`.

    Raises `ValueError` for any other shape.

    >>> one_number(jnp.ones((3, 1)), 3).shape
    (3,)
    """
    if output.shape not in ((rows,), (rows, 1)):
        raise ValueError(f"the module's output has shape {output.shape}, but must be one number a row, {(rows, 1)}.")
    return output.reshape(rows)


def pairs(prompts: Array, left: Array, right: Array) -> tuple[Array, Array, Array, tuple[int, int]]:
    """`[B]` prompts and `[B, K, D]` features as rows `[B K]` and `[B K, D]`, and `(B, K)`.

    >>> pairs(jnp.arange(2), jnp.ones((2, 3, 4)), jnp.ones((2, 3, 4)))[1].shape
    (6, 4)
    """
    shape = left.shape[:2]
    rows = jnp.repeat(jnp.asarray(prompts), shape[1])
    first, second = (jnp.asarray(side).reshape(shape[0] * shape[1], *side.shape[2:]) for side in (left, right))
    return rows, first, second, (shape[0], shape[1])


def checked_candidates(candidates: Any) -> jax.Array:
    """Features `[X, A, D]` of responses that can be listed.

    Raises `ValueError` for any other shape, or features that are not finite.

    >>> checked_candidates(np.eye(2))
    Traceback (most recent call last):
        ...
    ValueError: candidates has shape (2, 2), but must be finite features [prompts, responses, features].
    """
    array = jnp.asarray(candidates)
    if array.ndim != 3 or not np.isfinite(np.asarray(array)).all():
        raise ValueError(
            f"candidates has shape {array.shape}, but must be finite features [prompts, responses, features]."
        )
    return array

"""Gradient steps on the parameters of a policy."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from nashpo.blame import BAD_PARAMETER, first_bad
from nashpo.typing import Array


def start_descent(optimizer: Any, learning_rate: Any, params: Any) -> Any:
    """The optimizer's state before the first step.

    >>> start_descent(optax.sgd, 0.1, jnp.zeros(2))
    (EmptyState(), EmptyState())
    """
    return optimizer(_rate(learning_rate, params)).init(params)


def descend(
    optimizer: Any,
    learning_rate: Any,
    slope: Callable[[Any, Array], tuple[Array, Any]],
    params: Any,
    state: Any,
    updates: int,
) -> tuple[Any, Any, dict[str, Array]]:
    """`updates` steps: the new parameters and state, and what the last step says (`report`, before it was taken).

    `slope` is the loss and its gradient at parameters, in step number 0, 1, ...

    >>> def slope(x, number):
    ...     return jax.value_and_grad(lambda x: jnp.sum(x**2))(x)
    >>> params, state, info = descend(optax.sgd, 0.25, slope, jnp.ones(2), optax.sgd(0.25).init(jnp.ones(2)), 2)
    >>> params.tolist(), float(info["loss"])
    ([0.25, 0.25], 0.5)
    """

    def once(carried: Any, number: Array) -> tuple[Any, dict[str, Array]]:
        value, gradient = slope(carried[0], number)
        return step(optimizer, learning_rate, gradient, *carried), report(value, gradient)

    if updates == 1:
        (params, state), info = once((params, state), jnp.zeros((), jnp.int32))
        return params, state, info
    (params, state), infos = jax.lax.scan(once, (params, state), jnp.arange(updates))
    return params, state, jax.tree.map(lambda values: values[-1], infos)


def step(optimizer: Any, learning_rate: Any, gradient: Any, params: Any, state: Any) -> tuple[Any, Any]:
    """The parameters and the optimizer's state after a step along a gradient.

    >>> step(optax.sgd, 0.5, jnp.ones(2), jnp.ones(2), optax.sgd(0.5).init(jnp.ones(2)))[0].tolist()
    [0.5, 0.5]
    """
    updates, state = optimizer(_rate(learning_rate, params)).update(gradient, state, params)
    return optax.apply_updates(params, updates), state


def accumulated(
    loss: Callable[[Any, Any], Array], params: Any, batch: Any, microbatch: int | None
) -> tuple[Array, Any]:
    """The loss of a batch, a sum over its rows, and its gradient, in pieces of `microbatch` rows.

    >>> def loss(x, rows):
    ...     return jnp.sum((x * rows) ** 2)
    >>> [float(part) for part in accumulated(loss, jnp.ones(()), jnp.arange(4.0), microbatch=2)]
    [14.0, 28.0]
    """
    rows = len(jax.tree.leaves(batch)[0])
    if microbatch is None or microbatch >= rows:
        return jax.value_and_grad(loss)(params, batch)
    pieces = jax.tree.map(lambda leaf: leaf.reshape(rows // microbatch, microbatch, *leaf.shape[1:]), batch)

    def add(total: Any, piece: Any) -> tuple[Any, None]:
        return jax.tree.map(jnp.add, total, jax.value_and_grad(loss)(params, piece)), None

    shapes = jax.eval_shape(jax.value_and_grad(loss), params, jax.tree.map(lambda leaf: leaf[0], pieces))
    zero = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.scan(add, zero, pieces)[0]


def report(value: Array, gradient: Any) -> dict[str, Array]:
    """The loss, the norm of its gradient, and the first parameter whose gradient is not finite (-1 if none is).

    >>> {name: float(number) for name, number in report(jnp.ones(()), jnp.array([3.0, 4.0])).items()}
    {'loss': 1.0, 'gradient_norm': 5.0, 'bad_parameter': -1.0}
    """
    return {"loss": value, "gradient_norm": optax.tree.norm(gradient), BAD_PARAMETER: first_bad(gradient)}


def _rate(learning_rate: Any, params: Any) -> Any:
    """A schedule as it is, a number in the precision of the parameters."""
    if callable(learning_rate):
        return learning_rate
    dtype = jnp.result_type(*jax.tree.leaves(params))
    return jnp.asarray(learning_rate, dtype)

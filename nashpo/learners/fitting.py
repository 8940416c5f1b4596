"""Gradient steps on samples that were collected before."""

from collections.abc import Callable
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from nashpo.learners.descent import accumulated, descend
from nashpo.learners.losses.base import Loss, Samples, Terms
from nashpo.typing import Array, Key


class Steps(Protocol):
    """How samples are gone through: a learner, or a part of one."""

    @property
    def optimizer(self) -> Any:
        """A function from a learning rate to an optax transformation."""
        ...

    @property
    def updates(self) -> int:
        """How many gradient steps are taken."""
        ...

    @property
    def minibatch(self) -> int | None:
        """How many prompts a step sees; None for all."""
        ...

    @property
    def microbatch(self) -> int | None:
        """Over how many prompts at a time its gradient is computed; None for all at once."""
        ...


def fit_samples(
    how: Steps,
    learning_rate: Any,
    loss: Loss,
    policy: Callable[[Any], Any],
    params: Any,
    state: Any,
    samples: Samples,
    terms: Terms,
    key: Key,
) -> tuple[Any, Any, dict[str, Array]]:
    """The parameters and the optimizer's state after `how.updates` steps on `loss`, and what the last one says.

    `policy` makes a policy of parameters. Each step sees `how.minibatch` prompts in an order that `key` draws, its
    gradient is accumulated over pieces of `how.microbatch` prompts; None is all of them.

    >>> import optax
    >>> from nashpo.learners import Sampled
    >>> from nashpo.learners.losses.base import one_pair
    >>> from nashpo.learners.losses import IPO
    >>> from nashpo.policies import Tabular
    >>> how, terms = Sampled(0.1, optimizer=optax.sgd), Terms(1.0, 0.5, 0.5, "win_rate")
    >>> begin = how.carry(Tabular(jnp.zeros((1, 2))))
    >>> found = fit_samples(how, 0.1, IPO(), Tabular, jnp.zeros((1, 2)), begin, one_pair(1.0), terms, jax.random.key(0))
    >>> bool(found[0][0, 0] > found[0][0, 1])
    True
    """

    def total(params: Any, some: Samples) -> Array:
        log_pi = policy(params).log_prob(some.prompts, some.responses)
        return jnp.sum(some.weights * loss(log_pi, some, terms))

    def slope(params: Any, number: Array) -> tuple[Array, Any]:
        return accumulated(total, params, minibatch(how.minibatch, key, samples, number), how.microbatch)

    return descend(how.optimizer, learning_rate, slope, params, state, how.updates)


def minibatch(size: int | None, key: Key, samples: Samples, number: Array) -> Samples:
    """The samples of step `number`: `size` of the prompts, a pass over all of them in an order of its own; None is all.

    >>> from nashpo.learners.losses.base import one_pair
    >>> minibatch(None, jax.random.key(0), one_pair(0.5), 0).labels.tolist()
    [[0.5]]
    """
    total = len(samples.prompts)
    if size is None or size >= total:
        return samples
    steps = total // size
    order = jax.random.permutation(jax.random.fold_in(key, number // steps), total)
    rows = jax.lax.dynamic_slice_in_dim(order, (number % steps) * size, size)
    some = jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], samples)
    return some._replace(weights=some.weights * (total / size))

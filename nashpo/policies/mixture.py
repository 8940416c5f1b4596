"""Arithmetic averages of policies: opponent pools, and the average of a whole run."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.scipy.special import logsumexp

from nashpo.policies.base import Trainable
from nashpo.struct import record
from nashpo.typing import Array, Key
from nashpo.validation import validate_distribution
from nashpo.validation.numbers import is_whole


@record
class Mixture:
    """The arithmetic average `pi(y|x) = sum_m weights[m] members[m](y|x)`.

    Only parameters are stacked: `members` is one policy whose `params` have a leading axis M, while everything else in
    it (contexts, reference sets) is held once and shared. A response is drawn from a member drawn for it alone, so that
    in a game of several tokens or steps no single policy of the class need play like the mixture. Everything is
    computed in JAX. Members that can be listed make a mixture that can be listed.

    Averages of this kind are what self-play without KL penalty converges in (Swamy et al. 2024, arXiv:2401.04056).

    >>> from nashpo.policies import Tabular
    >>> pool = Mixture.of([Tabular.from_probs([0.2, 0.8]), Tabular.from_probs([0.4, 0.6])], weights=[0.5, 0.5])
    >>> [round(p, 3) for p in pool.probs()[0].tolist()]
    [0.3, 0.7]
    """

    members: Any
    """A `Trainable` whose parameters have a leading axis M."""
    weights: Array
    """`[M]`, summing to one; a member of weight 0 is an empty place."""

    @classmethod
    def of(cls, policies: Sequence[Trainable], weights: Array | None = None) -> "Mixture":
        """The mixture of any number of policies of one class; `weights` `[M]` are equal if None.

        Raises `ValueError` for no policies, policies that differ in more than their parameters, or weights that are
        negative or do not sum to one.

        >>> from nashpo.policies import Tabular
        >>> Mixture.of([Tabular.from_probs([0.2, 0.8]), Tabular.from_probs([0.2, 0.3, 0.5])])
        Traceback (most recent call last):
            ...
        ValueError: policies[1] is a Tabular with parameters [(1, 3)], policies[0] a Tabular with [(1, 2)]: members \
of a mixture differ in the values of their parameters only.
        """
        policies = [policy.with_params(jax.tree.map(jnp.asarray, policy.params)) for policy in policies]
        if not policies:
            raise ValueError("Mixture.of([]): give at least one policy.")
        for number, policy in enumerate(policies):
            _check_fits(policies[0], policy, number)
        stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *[policy.params for policy in policies])
        dtype = _precision(stacked)
        if weights is None:
            weights = np.full(len(policies), 1.0 / len(policies))
        elif not isinstance(weights, Tracer):
            weights = validate_distribution(np.asarray(weights, float), "weights", (len(policies),), allow_zero=True)
        return cls(policies[0].with_params(stacked), jnp.asarray(weights, dtype))

    @classmethod
    def empty(cls, policy: Trainable, capacity: int) -> "Mixture":
        """Room for the average of a run, at most `capacity` policies such as `policy`; `add` fills it.

        Until the first is added the mixture is `policy` itself. Raises `ValueError` for a capacity below 2.

        >>> from nashpo.policies import Tabular
        >>> Mixture.empty(Tabular.from_probs([0.2, 0.8]), capacity=4).weights.tolist()
        [1.0, 0.0, 0.0, 0.0]
        """
        if not is_whole(capacity, 2):
            raise ValueError(f"capacity={capacity!r}: an average has room for a whole number of policies, at least 2.")
        stacked = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], capacity, axis=0), policy.params)
        return cls(policy.with_params(stacked), jnp.zeros(capacity, _precision(stacked)).at[0].set(1.0))

    def add(self, policy: Trainable, count: Array | int) -> "Mixture":
        """The running average after one more policy, the one that `count` others came before.

        Policies `0, s, 2 s, ...` are kept with equal weights, where the stride s is the smallest power of two for which
        they fit. Up to `capacity` policies nothing is left out and the average is exact; when it is full every second
        one is dropped and the stride doubles. Which places are used follows from `count` alone, which may be traced.

        >>> from nashpo.policies import Tabular
        >>> average = Mixture.empty(Tabular.from_probs([0.5, 0.5]), capacity=2)
        >>> for count, p in enumerate([0.1, 0.2, 0.4, 0.8]):
        ...     average = average.add(Tabular.from_probs([p, 1 - p]), count)
        >>> [round(float(average.member(m).probs()[0, 0]), 3) for m in range(2)]
        [0.1, 0.4]
        """
        capacity, count = len(self.weights), jnp.asarray(count, jnp.int32)
        old, stride = _stride(count, capacity), _stride(count + 1, capacity)
        place = jnp.minimum(count // stride, capacity - 1)
        every_second = jnp.minimum(2 * jnp.arange(capacity), capacity - 1)

        def thinned(params: Any) -> Any:
            return jax.tree.map(lambda leaf: leaf[every_second], params)

        def written(leaf: jax.Array, new: Array) -> Array:
            kept = jnp.where(count % stride == 0, jnp.asarray(new, leaf.dtype), leaf[place])
            return leaf.at[place].set(kept)

        params = jax.lax.cond(stride > old, thinned, lambda params: params, self.members.params)
        kept = count // stride + 1
        weights = jnp.where(jnp.arange(capacity) < kept, 1.0 / kept, 0.0).astype(self.weights.dtype)
        return Mixture(self.members.with_params(jax.tree.map(written, params, policy.params)), weights)

    def member(self, number: Array | int) -> Any:
        """The policy in place `number`."""
        return self.members.with_params(jax.tree.map(lambda leaf: leaf[number], self.members.params))

    def log_prob(self, prompts: Array, responses: Any) -> Array:
        """Log-probabilities `[B, K]` of responses `[B, K, ...]`: `log sum_m weights[m] exp(log_prob_m)`."""
        return self._mean(lambda member: member.log_prob(prompts, responses))

    def sample(self, key: Key, prompts: Array, count: int) -> Any:
        """`count` responses to each prompt, `[B, count, ...]`, each from a member of its own.

        A row's draws depend on its place and not on how many rows there are. The cost is that of sampling from every
        member that was drawn.
        """
        rows = jax.vmap(lambda row: jax.random.fold_in(key, row))(jnp.arange(len(prompts)))
        drawn = jax.vmap(lambda row: jax.random.categorical(row, jnp.log(self.weights), shape=(count,)))(rows)

        def from_member(number: Array) -> Any:
            member = self.member(number)

            def one(row: Key, prompt: Array) -> Any:
                found = member.sample(jax.random.fold_in(row, 1), prompt[None], count)
                return jax.tree.map(lambda leaf: leaf[0], found)

            return jax.vmap(one)(rows, prompts)

        def visit(chosen: Any, number: Array) -> tuple[Any, None]:
            def place(new: Array, old: Array) -> Array:
                mine = (drawn == number).reshape(drawn.shape + (1,) * (new.ndim - 2))
                return jnp.where(mine, new, old)

            def use(chosen: Any) -> Any:
                return jax.tree.map(place, from_member(number), chosen)

            return jax.lax.cond(jnp.any(drawn == number), use, lambda chosen: chosen, chosen), None

        blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(from_member, drawn[0, 0]))
        return jax.lax.scan(visit, blank, jnp.arange(len(self.weights)))[0]

    @property
    def log_probs(self) -> Callable[[], Array]:
        """A function without arguments that returns normalised log-probabilities `[X, A]`.

        It is absent (`AttributeError`) where the responses of the members cannot be listed.
        """
        _ = self.members.log_probs
        return lambda: self._mean(lambda member: member.log_probs())

    @property
    def answers(self) -> Any:
        """What the responses are, where the members speak token sequences (`AttributeError` where they do not)."""
        return self.members.answers

    def probs(self) -> Array:
        """Probabilities, `[X, A]`."""
        return jnp.exp(self.log_probs())

    def response(self, index: Array) -> Any:
        """The responses `[..., ...]` of numbers `[...]`, as the members number them."""
        return self.member(0).response(index)

    def index(self, responses: Any) -> Array:
        """The numbers `[...]` of responses `[..., ...]`, as the members number them."""
        return self.member(0).index(responses)

    def _mean(self, log_prob: Callable[[Any], Array]) -> Array:
        """`log sum_m weights[m] exp(log_prob(member m))`."""
        each = jax.vmap(lambda params: log_prob(self.members.with_params(params)))(self.members.params)
        return logsumexp(each, axis=0, b=self.weights.reshape(-1, *[1] * (each.ndim - 1)).astype(each.dtype))


def _stride(count: Array, capacity: int) -> Array:
    """The smallest power of two s with `ceil(count / s) <= capacity`."""
    ratio = jnp.maximum((count + capacity - 1) // capacity, 1)
    return jnp.left_shift(jnp.int32(1), 32 - jax.lax.clz(ratio - 1))


def _precision(params: Any) -> Any:
    """The floating-point type of the weights that go with parameters."""
    return jnp.result_type(*[leaf for leaf in jax.tree.leaves(params) if jnp.issubdtype(leaf.dtype, jnp.floating)])


def _check_fits(first: Any, policy: Any, number: int) -> None:
    """Raise unless a policy differs from the first in the values of its parameters only."""
    shapes = [[np.shape(leaf) for leaf in jax.tree.leaves(one.params)] for one in (first, policy)]
    fits = jax.tree.structure(policy.params) == jax.tree.structure(first.params) and shapes[0] == shapes[1]
    if type(policy) is not type(first) or not fits:
        raise ValueError(
            f"policies[{number}] is a {type(policy).__name__} with parameters {shapes[1]}, policies[0] a "
            f"{type(first).__name__} with {shapes[0]}: members of a mixture differ in the values of their parameters "
            "only."
        )
    same = policy.with_params(first.params)
    equal = jax.tree.structure(same) == jax.tree.structure(first) and all(
        isinstance(a, Tracer) or isinstance(b, Tracer) or np.array_equal(np.asarray(a), np.asarray(b))
        for a, b in zip(jax.tree.leaves(same), jax.tree.leaves(first), strict=True)
    )
    if not equal:
        raise ValueError(
            f"policies[{number}] differs from policies[0] in more than its parameters (contexts, or what else a "
            f"{type(first).__name__} holds); members of a mixture share all that."
        )

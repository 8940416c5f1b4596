"""Policies that act: a network chooses every step of a trajectory."""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from nashpo.logspace import LOG_ZERO, log_softmax
from nashpo.policies.answers import LARGEST, Answers
from nashpo.policies.neural import check_alone, check_evaluating, check_floating, split_module
from nashpo.struct import record, static
from nashpo.typing import Array, Key


@runtime_checkable
class World(Protocol):
    """Deterministic dynamics with finitely many actions, a pytree; N trajectories go on side by side.

    A trajectory is a function of its prompt and its actions, so that a response is the actions `[H]` and nothing else.
    What is random in the dynamics has to be part of the prompt.
    """

    @property
    def actions(self) -> int:
        """How many actions there are at every step, U."""
        ...

    @property
    def horizon(self) -> int:
        """How many steps a trajectory has, H."""
        ...

    def start(self, prompts: Array) -> Any:
        """The states before the first step, for prompts `[N]`."""
        ...

    def step(self, states: Any, actions: Array) -> Any:
        """The states after actions `[N]`."""
        ...

    def observe(self, states: Any, time: Array) -> Array:
        """What a policy sees, `[N, F]`, at step `time` (counted from 0)."""
        ...


@record
class Rollout:
    """A policy over trajectories: `log pi(actions | x) = sum_t log softmax(module(observe(s_t, t)))[a_t]`.

    `module(observations [N, F]) -> logits [N, U]` is any Flax network. Responses are int32 actions `[B, K, H]`, and are
    numbered like the answers `Answers(U, H)`, so that where these are few the policy can be listed and its gap is
    exact. `params` are the variables of type `nnx.Param`, the only ones that are trained.

    >>> class Line:
    ...     actions, horizon = 2, 3
    ...     def start(self, prompts):
    ...         return jnp.zeros(len(prompts))
    ...     def step(self, states, actions):
    ...         return states + 2 * actions - 1
    ...     def observe(self, states, time):
    ...         return jnp.stack([states, jnp.full(states.shape, time)], axis=-1)
    >>> line = jax.tree_util.register_static(Line)()
    >>> walker = Rollout.from_module(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), line, prompts=1)
    >>> walker.sample(jax.random.key(0), jnp.zeros(4, int), count=5).shape, walker.probs().shape
    ((4, 5, 3), (1, 8))
    """

    params: Any
    """Nested dict of arrays."""
    world: Any
    """A `World`."""
    rest: Any
    """Nested dict of arrays."""
    graph: Any = static()
    """The module without its arrays."""
    prompts: int = static(default=1)
    """How many prompts the world knows, X."""

    @classmethod
    def from_module(cls, module: nnx.Module, world: Any, prompts: int) -> "Rollout":
        """The policy of a module `observations [N, F] -> logits [N, U]` in a world with X prompts.

        Raises `ValueError` for a module whose output has another shape or is no floating-point array, or whose choice
        moves with the other trajectories of a batch, as with dropout and batch statistics in training mode.

        >>> class Still:
        ...     actions, horizon = 2, 3
        ...     def start(self, prompts):
        ...         return jnp.zeros((len(prompts), 4))
        ...     def observe(self, states, time):
        ...         return states
        >>> Rollout.from_module(nnx.Linear(4, 5, rngs=nnx.Rngs(0)), jax.tree_util.register_static(Still)(), 1)
        Traceback (most recent call last):
            ...
        ValueError: Linear maps observations of shape (1, 4) to (1, 5), but a choice between 2 actions needs (1, 2).
        """
        params, _, rest, graph = split_module(module, np.zeros((1, 1)))
        policy = cls(params, world, rest, graph, prompts)
        seen = jax.eval_shape(lambda world: world.observe(world.start(jnp.zeros(1, int)), jnp.zeros((), int)), world)
        found, name = jax.eval_shape(lambda policy, seen: policy.logits(seen), policy, seen), type(module).__name__
        if found.shape != (1, world.actions):
            raise ValueError(
                f"{name} maps observations of shape {seen.shape} to {found.shape}, but a choice between "
                f"{world.actions} actions needs {(1, world.actions)}."
            )
        check_floating(found, name)
        check_evaluating(policy, lambda bare: jax.eval_shape(bare.logits, seen))
        _check_rows(policy, name)
        return policy

    @property
    def answers(self) -> Answers:
        """How trajectories are numbered: as sequences of H actions."""
        return Answers(self.world.actions, self.world.horizon)

    @property
    def contexts(self) -> np.ndarray:
        """`[X]`: the numbers of the prompts, which is what the world is told of them."""
        return np.arange(self.prompts)

    def with_params(self, params: Any) -> "Rollout":
        """The policy with other parameters of the same structure."""
        return dataclasses.replace(self, params=params)

    def logits(self, observations: Array) -> Array:
        """The network's outputs `[N, U]` for observations `[N, F]`, taken in the precision of the parameters."""
        seen = jnp.asarray(observations)
        if jnp.issubdtype(seen.dtype, jnp.floating):
            seen = seen.astype(jnp.result_type(*jax.tree.leaves(self.params)))
        return nnx.merge(self.graph, self.params, self.rest)(seen)

    def log_prob(self, prompts: Array, responses: Array) -> Array:
        """Log-probabilities `[B, K]` of actions `[B, K, H]` under prompts `[B]`: sums over steps; -1e9 for others."""
        batch, count = np.shape(responses)[:2]
        given = jnp.asarray(responses).reshape(batch * count, -1)
        known, actions = self.answers.valid(given), jnp.clip(given, 0, self.world.actions - 1)
        states = self.world.start(jnp.repeat(jnp.asarray(prompts), count))

        def go(states: Any, now: tuple[Array, Array]) -> tuple[Any, Array]:
            time, action = now
            return self.world.step(states, action), self.world.observe(states, time)

        _, seen = jax.lax.scan(go, states, (jnp.arange(actions.shape[1]), actions.T))
        log_probs = log_softmax(self.logits(seen.reshape(-1, seen.shape[-1])))
        chosen = jnp.take_along_axis(log_probs, actions.T.reshape(-1, 1), axis=-1)
        total = jnp.sum(chosen.reshape(actions.T.shape), axis=0)
        return jnp.where(known, total, jnp.asarray(LOG_ZERO, total.dtype)).reshape(batch, count)

    def sample(self, key: Key, prompts: Array, count: int) -> Array:
        """Actions `[B, count, H]`, independent draws for each prompt of `[B]`.

        Draw k of row b comes from `fold_in(fold_in(key, b), k)` alone: more rows or more draws do not change it.
        """
        batch, horizon = len(prompts), self.world.horizon
        rows = jax.vmap(lambda b: jax.random.fold_in(key, b))(jnp.arange(batch))
        keys = jax.vmap(lambda row: jax.vmap(lambda k: jax.random.fold_in(row, k))(jnp.arange(count)))(rows)
        states = self.world.start(jnp.repeat(jnp.asarray(prompts), count))
        dtype = jax.eval_shape(lambda states: self.logits(self.world.observe(states, jnp.zeros((), int))), states).dtype
        noise = jax.vmap(lambda one: jax.random.gumbel(one, (horizon, self.world.actions), dtype))(keys.reshape(-1))

        def go(states: Any, now: tuple[Array, Array]) -> tuple[Any, Array]:
            time, gumbel = now
            logits = self.logits(self.world.observe(states, time))
            action = jnp.argmax(logits + gumbel, axis=-1).astype(jnp.int32)
            return self.world.step(states, action), action

        _, actions = jax.lax.scan(go, states, (jnp.arange(horizon), jnp.swapaxes(noise, 0, 1)))
        return actions.T.reshape(batch, count, horizon)

    @property
    def log_probs(self) -> Callable[[], Array]:
        """A function without arguments that returns normalised log-probabilities `[X, A]`, `A = U^H`.

        It is absent (`AttributeError`) where they are more than 2^20.
        """
        if self.answers.count > LARGEST:
            raise AttributeError(f"{self.answers.count} trajectories are too many to list.")
        return self._log_probs

    def _log_probs(self) -> Array:
        every = self.answers.tokens()
        return self.log_prob(jnp.arange(self.prompts), jnp.broadcast_to(every, (self.prompts, *every.shape)))

    def probs(self) -> Array:
        """Probabilities `[X, A]` of all trajectories."""
        return jnp.exp(self.log_probs())

    def response(self, index: Array) -> Array:
        """The actions `[..., H]` of numbers `[...]`."""
        return self.answers.tokens(index)

    def index(self, responses: Array) -> Array:
        """The numbers `[...]` of actions `[..., H]`."""
        return self.answers.index(responses)


_log_prob = jax.jit(Rollout.log_prob)


def _check_rows(policy: Rollout, name: str) -> None:
    """Refuse choices of a trajectory that move with the others of a batch."""
    answers = policy.answers
    actions = np.random.default_rng(0).integers(0, answers.vocabulary, (3, 1, answers.length), np.int32)
    check_alone(policy, lambda rows: _log_prob(policy, rows % policy.prompts, actions[rows]), name)

"""The compiled loop: step, measure, stop."""

import functools
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from nashpo.game import enumerable_game
from nashpo.metrics import Last, duality_gap
from nashpo.policies.base import enumerable
from nashpo.typing import Array


class Run(NamedTuple):
    """What a compiled run leaves: the state, the measurements and how it ended."""

    state: Any
    trace: dict[str, Array]
    """Each metric `[chunks + 1, ...]`: at the start and after every chunk."""
    done: Array
    """Chunks completed."""
    failed: Array
    """The step that produced a number that is not finite, or -1."""


def march(game, solver, state, key, tol, metrics, first, last, *, every: int, capacity: int) -> Run:
    """Step and measure from step `first` to `last`, or to the tolerance, or to a number that is not finite; traced."""
    probe = functools.partial(measure, metrics, game, solver)
    measured, said = jax.eval_shape(probe, state), _unsaid(game, solver, key, state)
    twice = sorted({"step", *measured} & said.keys())
    if twice:
        raise ValueError(
            f"{twice[0]!r} is measured, and a step of the solver says something of that name as well: give the metric, "
            "or the solver's info, another name."
        )
    trace: dict[str, Array] = {
        name: jnp.zeros((capacity + 1, *value.shape), value.dtype) for name, value in {**measured, **said}.items()
    }

    def going(carry):
        _, _, _, ended, failed, _ = carry
        return ~ended & (failed < 0)

    def body(carry):
        # The state is measured before it is advanced: both need its win rates, and one product serves both.
        state, trace, index, _, _, said = carry
        now = {**probe(state), **said}
        trace = {name: values.at[index].set(now[name]) for name, values in trace.items()}
        begin = first + index * every
        ended = begin >= last
        if tol is not None:
            ended |= now["duality_gap"] <= tol
        end = jnp.where(ended, begin, jnp.minimum(last, begin + every))
        new, failed, said = chunk(game, solver, key, state, begin, end, said, single=every == 1)
        failed = jnp.where(ended, -1, failed)
        stay = ended | (failed >= 0)
        state = jax.tree.map(lambda old, new: jnp.where(stay, old, new), state, new)
        return state, trace, index + jnp.where(stay, 0, 1), ended, failed, said

    carry = (state, trace, jnp.zeros((), jnp.int32), jnp.zeros((), bool), jnp.full((), -1, jnp.int32), said)
    state, trace, done, _, failed, _ = jax.lax.while_loop(going, body, carry)
    return Run(state, trace, done, failed)


def chunk(game, solver, key, state, first, last, said, *, single: bool):
    """The state after steps `first, ..., last - 1`, the first of them that was not finite (or -1), the last one's info.

    `said` is the info where no step is taken.
    """

    def one(step, carry):
        state, failed, _ = carry
        state, info = solver.step(game, state, jax.random.fold_in(key, step))
        bad = ~finite(state) & (failed < 0)
        return state, jnp.where(bad, step, failed).astype(jnp.int32), {name: info[name] for name in said}

    carry = (state, jnp.full((), -1, jnp.int32), said)
    return one(first, carry) if single else jax.lax.fori_loop(first, last, one, carry)


def _unsaid(game, solver, key, state) -> dict[str, Array]:
    """What a step says about itself in floating-point numbers, undefined before the first one."""
    info = jax.eval_shape(solver.step, game, state, key)[1]
    floating = {name: value for name, value in info.items() if jnp.issubdtype(value.dtype, jnp.floating)}
    return {name: jnp.full(value.shape, jnp.nan, value.dtype) for name, value in floating.items()}


def measure(metrics, game, solver, state) -> dict[str, Array]:
    """The duality gap, where it is known, and every metric of the answer that `state` holds."""
    policy, last = solver.policy(state), solver.last(state)
    values: dict[str, Array] = {}
    if enumerable_game(game) and enumerable(policy):
        values["duality_gap"] = jnp.asarray(duality_gap(game, policy))
    for name, metric in metrics.items():
        values[name] = _numbers(name, metric(game, last if isinstance(metric, Last) else policy))
    return values


def _numbers(name: str, value: Any) -> Array:
    try:
        found = jnp.asarray(value)
        if not any(jnp.issubdtype(found.dtype, kind) for kind in (jnp.complexfloating, jax.dtypes.extended)):
            return found
        kind = str(found.dtype)
    except (TypeError, ValueError):
        kind = type(value).__name__
    raise ValueError(f"metrics: {name!r} returns a {kind}: a metric is a number or an array of numbers, real ones.")


def finite(tree: Any) -> Array:
    """Whether no number of a pytree is infinite or undefined."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return functools.reduce(operator.and_, [jnp.all(jnp.isfinite(leaf)) for leaf in leaves], jnp.ones((), bool))

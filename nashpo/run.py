"""Run a solver: one compiled loop that steps, measures and stops."""

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.game import Game
from nashpo.learners.base import Learner
from nashpo.metrics import Last, duality_gap, payoff_bound
from nashpo.mirror import Mirror
from nashpo.policies.base import EnumerablePolicy
from nashpo.policies.tabular import as_policy
from nashpo.results import Result
from nashpo.solver import Solver
from nashpo.stage import UpdateRule
from nashpo.struct import record
from nashpo.typing import Array, Key

Metric = Callable[[Game, Any], Array]


def solve(
    game: Game,
    rule_or_solver: UpdateRule | Solver,
    *,
    steps: int,
    every: int = 1,
    start: EnumerablePolicy | Array | None = None,
    learner: Learner | None = None,
    key: Key | int | None = None,
    tol: float | None = None,
    metrics: Mapping[str, Metric] | Sequence[Metric] = (),
) -> Result:
    """Run an update rule or a solver for `steps` steps and measure every `every` steps.

    The run begins at `start` (a policy or probabilities; the reference if None) and ends after `steps` steps, or
    as soon as a measured duality gap is at most `tol` (payoff units). The trace holds `"step"`, `"duality_gap"`
    and each of `metrics` (functions of a game and a policy, or a mapping from names to them) of the algorithm's
    answer, at steps `every, 2 every, ..., steps`. A rule runs with `learner` (exact if None). `key` is a JAX
    random key or an int; only noisy oracles draw from it.

    A new number (step size, beta, table of the same shape, key) does not compile again. Raises `ValueError` for
    a setting that cannot be run; a run that goes wrong says so in `Result.status` and `Result.check()`.

    >>> from nashpo.solvers import EGPO
    >>> game = Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> result = solve(game, EGPO(eta=1.0), steps=100, tol=1e-5)
    >>> result.status.name, bool(result.trace["duality_gap"][-1] <= 1e-5)
    ('CONVERGED', True)
    """
    steps, every = _count("steps", steps, 0), _count("every", every, 1)
    if tol is not None and not tol >= 0:
        raise ValueError(f"tol={tol}: the duality gap to stop at must be at least 0.")
    solver = as_solver(rule_or_solver, learner)
    check = getattr(solver, "check", None)
    if check is not None:
        check(game, payoff_bound(game))
    start = game.reference if start is None else as_policy(start)
    _check_shape(game, start)
    chunks = -(-steps // every)
    run = _run(game.nameless(), solver, start, _seed(key), tol, _named(metrics), steps, every=every, chunks=chunks)
    return Result(game, solver, run, every)


def as_solver(rule_or_solver: Any, learner: Learner | None = None) -> Any:
    """A rule with its learner, or the solver itself; functions among their numbers become pytrees.

    >>> from nashpo.solvers import SPO
    >>> type(as_solver(SPO(eta=0.1))).__name__
    'Mirror'
    """
    if isinstance(rule_or_solver, type):
        name = rule_or_solver.__name__
        raise ValueError(f"{name} is a class: give an instance with its settings, for example {name}(eta=0.5).")
    if hasattr(rule_or_solver, "stages"):
        solver = Mirror(rule_or_solver) if learner is None else Mirror(rule_or_solver, learner)
    elif hasattr(rule_or_solver, "step"):
        if learner is not None:
            raise ValueError(f"{type(rule_or_solver).__name__} is a solver of its own: it takes no learner.")
        solver = rule_or_solver
    else:
        raise ValueError(
            f"{rule_or_solver!r} is neither an update rule (stages) nor a solver (init, step, policy, last)."
        )
    return jax.tree.map(_leaf, solver)


@record
class Run:
    """What a compiled run leaves: the state, the measurements and how it ended."""

    state: Any
    policy: Any
    last: Any
    trace: dict[str, Array]
    """Each metric `[chunks + 1, ...]`: at the start and after every chunk."""
    done: Array
    """Chunks completed."""
    steps: Array
    """Steps completed."""
    failed: Array
    """The step that produced a number that is not finite, or -1."""
    tol: Array | None


@functools.partial(jax.jit, static_argnames=("every", "chunks"))
def _run(game, solver, start, seed, tol, metrics, steps, *, every: int, chunks: int) -> Run:
    key = seed if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) else jax.random.key(seed)
    game = jax.tree.map(jnp.asarray, game)
    state = solver.init(game, start)
    measure = functools.partial(_measure, metrics, game, solver)
    trace = {
        name: jnp.zeros((chunks + 1, *value.shape), value.dtype)
        for name, value in jax.eval_shape(measure, state).items()
    }

    def going(carry):
        _, _, _, ended, failed = carry
        return ~ended & (failed < 0)

    def body(carry):
        # The state is measured before it is advanced: both need its win rates, and one product serves both.
        state, trace, index, _, _ = carry
        now = measure(state)
        trace = {name: values.at[index].set(now[name]) for name, values in trace.items()}
        ended = index == chunks
        if tol is not None:
            ended |= now["duality_gap"] <= tol
        first = index * every
        last = jnp.where(ended, first, jnp.minimum(steps, first + every))
        new, failed = _chunk(game, solver, key, state, first, last, single=every == 1)
        failed = jnp.where(ended, -1, failed)
        stay = ended | (failed >= 0)
        state = jax.tree.map(lambda old, new: jnp.where(stay, old, new), state, new)
        return state, trace, index + jnp.where(stay, 0, 1), ended, failed

    carry = (state, trace, jnp.zeros((), jnp.int32), jnp.zeros((), bool), jnp.full((), -1, jnp.int32))
    state, trace, done, _, failed = jax.lax.while_loop(going, body, carry)
    taken = jnp.minimum(steps, done * every)
    return Run(state, solver.policy(state), solver.last(state), trace, done, taken, failed, tol)


def _chunk(game, solver, key, state, first, last, *, single: bool):
    """The state after steps `first, ..., last - 1`, and the first of them that was not finite, or -1."""

    def one(step, carry):
        state, failed = carry
        state, _ = solver.step(game, state, jax.random.fold_in(key, step))
        bad = ~_finite(state) & (failed < 0)
        return state, jnp.where(bad, step, failed).astype(jnp.int32)

    carry = (state, jnp.full((), -1, jnp.int32))
    return one(first, carry) if single else jax.lax.fori_loop(first, last, one, carry)


def _measure(metrics, game, solver, state) -> dict[str, Array]:
    policy, last = solver.policy(state), solver.last(state)
    values = {"duality_gap": duality_gap(game, policy)}
    for name, metric in metrics.items():
        values[name] = jnp.asarray(metric(game, last if isinstance(metric, Last) else policy))
    return values


def _finite(tree: Any) -> Array:
    leaves = [leaf for leaf in jax.tree.leaves(tree) if jnp.issubdtype(leaf.dtype, jnp.inexact)]
    return functools.reduce(operator.and_, [jnp.all(jnp.isfinite(leaf)) for leaf in leaves], jnp.ones((), bool))


def _leaf(leaf: Any) -> Any:
    if isinstance(leaf, int) and not isinstance(leaf, bool):
        return float(leaf)
    return jax.tree_util.Partial(leaf) if callable(leaf) else leaf


def _named(metrics: Mapping[str, Metric] | Sequence[Metric]) -> dict[str, Any]:
    pairs = metrics.items() if isinstance(metrics, Mapping) else [(_name(m), m) for m in metrics]
    named = {name: m for name, m in pairs if name != "duality_gap"}
    wrong = next((name for name, m in named.items() if not callable(m)), None)
    if wrong is not None or "step" in named:
        raise ValueError(f"metrics: {wrong or 'step'!r} must be a function of a game and a policy, under a free name.")
    return {name: jax.tree_util.Partial(m) if jax.tree_util.all_leaves([m]) else m for name, m in named.items()}


def _name(metric: Any) -> str:
    if isinstance(metric, Last):
        return f"last_{_name(metric.metric)}"
    return getattr(metric, "__name__", type(metric).__name__)


def _seed(key: Key | int | None) -> Any:
    return np.uint32(key or 0) if key is None or isinstance(key, int) else key


def _count(name: str, value: int, least: int) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        raise ValueError(f"{name}={value!r}: must be a whole number.") from None
    if count < least:
        raise ValueError(f"{name}={count}: must be at least {least}.")
    return count


def _check_shape(game: Game, start: EnumerablePolicy) -> None:
    shape = tuple(np.shape(getattr(start, "logits", ()))) or game.shape
    if shape != tuple(game.shape):
        raise ValueError(f"start has shape {shape}, the game [prompts, responses] = {tuple(game.shape)}.")

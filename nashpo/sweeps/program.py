"""The compiled program of a sweep: blocks of lanes, one after the other, on every device."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.sharding import Mesh, PartitionSpec

from nashpo.compiling import Compiled
from nashpo.game import Game
from nashpo.logspace import LOG_ZERO, log_softmax
from nashpo.march import finite, march, measure
from nashpo.policies.tabular import Tabular
from nashpo.typing import Array, Key


class Setting(NamedTuple):
    """What a lane runs, apart from its game."""

    solver: Any
    beta: Any
    """None: the game's."""
    seed: Any
    start: Any
    """Logits `[X, A]`, or a policy; None: the reference."""


class Lane(NamedTuple):
    """What a lane leaves."""

    log_probs: Array
    """The answer, `[X, A]`."""
    trace: dict[str, Array]
    """Each metric `[chunks + 1, ...]`: at the start and after every chunk."""
    done: Array
    """Chunks completed."""
    failed: Array
    """A step by which a number was not finite, or -1."""


class Length(NamedTuple):
    """How long the runs are; part of the compiled program, but for the number of steps."""

    every: int
    chunks: int
    masked: bool
    """Whether starts leave out the responses that the reference does not allow."""


@functools.partial(Compiled, static_argnames=("length", "mesh", "split"))
def run_blocks(
    games: Game, settings: Setting, tol: Any, metrics: Any, steps: Any, *, length: Length, mesh: Mesh, split: str
) -> Lane:
    """Every block of games `[NG, G, ...]` with every block of settings `[NS, S, ...]`; arrays `[NG, NS, G, S, ...]`.

    Each device of `mesh` gets a share of the blocks of `split`, `"games"` or `"settings"`.
    """

    def every_block(games, settings, tol, metrics, steps):
        one = functools.partial(_block, tol=tol, metrics=metrics, steps=steps, length=length)
        return jax.lax.map(lambda game: jax.lax.map(lambda setting: one(game, setting), settings), games)

    shared, (axis,) = PartitionSpec(), mesh.axis_names
    shares = (PartitionSpec(axis), shared) if split == "games" else (shared, PartitionSpec(axis))
    joined = PartitionSpec(axis) if split == "games" else PartitionSpec(None, axis)
    run = jax.shard_map(
        every_block, mesh=mesh, in_specs=(*shares, shared, shared, shared), out_specs=joined, check_vma=False
    )
    return run(games, settings, tol, metrics, steps)


def _block(games: Game, settings: Setting, *, tol: Any, metrics: Any, steps: Any, length: Length) -> Lane:
    """The lanes of a block together; an axis of one is left out, so that a table shared by settings stays a matrix."""
    run = functools.partial(_lane, tol=tol, metrics=metrics, steps=steps, length=length)
    run = _along(run, settings, argument=1)
    return _along(run, games, argument=0)(games, settings)


def _along(run: Any, batch: Any, argument: int) -> Any:
    """`run` over the leading axis of one of its two arguments."""
    if len(jax.tree.leaves(batch)[0]) > 1:
        return jax.vmap(run, in_axes=(0, None) if argument == 0 else (None, 0))

    def single(*arguments):
        squeezed = [jax.tree.map(lambda leaf: leaf[0], a) if i == argument else a for i, a in enumerate(arguments)]
        return jax.tree.map(lambda leaf: leaf[None], run(*squeezed))

    return single


def _lane(game: Game, setting: Setting, *, tol: Any, metrics: Any, steps: Any, length: Length) -> Lane:
    """One run, as `solve` would do it."""
    solver = setting.solver
    game = game if setting.beta is None else dataclasses.replace(game, beta=setting.beta)
    key = jax.random.key(setting.seed)
    state = solver.init(game, _start(game, setting, length.masked))
    if tol is None:
        state, trace, done, failed = _march_all(game, solver, state, key, metrics, steps, length)
    else:
        state, trace, done, failed = march(
            game, solver, state, key, tol, metrics, 0, steps, every=length.every, capacity=length.chunks
        )
    return Lane(solver.policy(state).log_probs(), trace, done, failed)


def _start(game: Game, setting: Setting, masked: bool) -> Any:
    if setting.start is None:
        return game.reference
    if hasattr(setting.start, "log_prob"):
        return setting.start
    return Tabular(_allowed(game, setting.start) if masked else setting.start)


def _allowed(game: Game, logits: Array) -> Array:
    return jnp.where(jnp.asarray(game.reference.log_probs()) > 0.5 * LOG_ZERO, logits, LOG_ZERO)


def random_start(game: Game, key: Key) -> Tabular:
    """A policy drawn uniformly from the simplex of the responses that the reference allows, one for every prompt.

    A response's draw depends on its position only, not on how many there are.

    >>> game = Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    >>> random_start(game, jax.random.key(0)).probs().shape
    (1, 3)
    """
    log_reference = jnp.asarray(game.reference.log_probs())
    logits = random_logits(key, shape=log_reference.shape, dtype=log_reference.dtype)
    return Tabular(log_softmax(_allowed(game, logits)), normalised=True)


@functools.partial(jax.jit, static_argnames=("shape", "dtype"))
def random_logits(key: Key, *, shape: tuple[int, int], dtype: Any) -> Array:
    """Logits `[X, A]` whose softmax is uniform on the simplex: logarithms of independent exponential variables."""
    contexts, responses = shape
    keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, 2**32 - 1), jnp.arange(responses))
    drawn = jax.vmap(lambda one: jax.random.exponential(one, (contexts,), dtype))(keys).T
    return jnp.log(jnp.maximum(drawn, jnp.finfo(dtype).tiny))


def _march_all(game, solver, state, key, metrics, steps, length: Length):
    """Step to the end without looking at the gap; a run that goes wrong stays where it was a chunk before.

    The last round of the loop only measures: it has no steps left.
    """

    def body(carry, index):
        state, done, failed = carry
        now = measure(metrics, game, solver, state)
        begin = jnp.minimum(index * length.every, steps)
        end = jnp.minimum(begin + length.every, steps)
        new = jax.lax.fori_loop(
            begin, end, lambda step, state: solver.step(game, state, jax.random.fold_in(key, step))[0], state
        )
        good = finite(new) & (failed < 0)
        failed = jnp.where(good | (failed >= 0), failed, end)
        state = jax.tree.map(lambda new, old: jnp.where(good, new, old), new, state)
        return (state, done + (good & (begin < end)), failed), now

    start = (state, jnp.zeros((), jnp.int32), jnp.full((), -1, jnp.int32))
    rounds = jnp.arange(length.chunks + 1, dtype=jnp.int32)
    (state, done, failed), trace = jax.lax.scan(body, start, rounds)
    return state, trace, done, failed

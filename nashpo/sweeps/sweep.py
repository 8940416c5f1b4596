"""Games times settings times seeds, in one compiled program a rule."""

import dataclasses
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, get_origin

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.game import Game
from nashpo.learners.base import Learner
from nashpo.metrics import payoff_bound
from nashpo.policies.base import Policy
from nashpo.policies.tabular import Tabular
from nashpo.run import Metric, as_solver, check_start, check_tolerance, named_metrics, step_counts
from nashpo.signature import annotations
from nashpo.solver import Solver
from nashpo.stage import UpdateRule
from nashpo.sweeps.blocks import Plan, run_grid
from nashpo.sweeps.games import batches, check_names, named_games, swept_betas
from nashpo.sweeps.labels import Runs, joined, labelled
from nashpo.sweeps.program import Length, Setting, random_logits
from nashpo.sweeps.result import Sweep
from nashpo.sweeps.settings import grid
from nashpo.typing import Array
from nashpo.validation.numbers import is_positive
from nashpo.validation.wording import numeric

Rules = UpdateRule | Solver | Sequence[UpdateRule | Solver] | Mapping[str, UpdateRule | Solver]


def sweep(
    games: Game | Sequence[Game] | Mapping[str, Game],
    rules: Rules,
    *,
    steps: int,
    every: int = 1,
    betas: Sequence[float] | Array | None = None,
    starts: Literal["random"] | Array | Policy | Sequence[Policy] | None = None,
    seeds: int | Sequence[int] = 1,
    learner: Learner | None = None,
    tol: float | None = None,
    metrics: Mapping[str, Metric] | Sequence[Metric] | None = (),
    memory: int = 2**31,
    devices: Sequence[Any] | None = None,
) -> Sweep:
    """Run every rule on every game, for all values of every number that is an array, and for every seed.

    `games` and `rules` are one, several, or a mapping from names. A number of a rule that is a list or an array is an
    axis of the result, `EGPO(eta=jnp.geomspace(0.1, 2, 8))`; so is beta, as `betas` in place of the games' own. All
    numbers of an axis differ: they are its labels.
    `seeds` (a number of them, or a list) seed noisy oracles and random starts as `key` does in `solve`. A run begins at
    the reference, at a random policy of its seed (`starts="random"`, uniform on the simplex), or at the probabilities
    `starts[k]`, `[A]` or `[X, A]`, of the k-th seed. With a `learner` of networks `starts` is a policy, or one for
    every seed, all of one architecture; lists among the learner's numbers are axes too, `Regression([0.01, 0.03])`.
    `steps`, `every`, `tol` and `metrics` are those of `solve`, and each run is the one that `solve` would make, but for
    rounding.

    One program a rule is compiled, for any number of games, settings and seeds; tables of different sizes are padded,
    which changes nothing. About `memory` bytes are used at once, and the lanes are shared among `devices` (all local
    ones if None); on the CPU the result depends on neither.

    Raises `ValueError` for settings that cannot be run; a lane that goes wrong says so in `status` and leaves the
    others alone.

    >>> from nashpo.solvers import EGPO
    >>> game = Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    >>> found = sweep(game, EGPO(eta=[0.2, 0.6]), betas=[0.1, 1.0], steps=50, every=10)
    >>> dict(found.data["final_gap"].sizes)
    {'solver': 1, 'game': 1, 'beta': 2, 'eta': 2, 'seed': 1}
    """
    steps, every = step_counts(steps, every)
    check_tolerance(tol)
    if not is_positive(memory):
        raise ValueError(f"memory={memory}: give a number of bytes above 0.")
    named, solvers = named_games(games), _named_rules(rules, learner)
    betas = swept_betas(list(named.values()), betas)
    numbers = _seeds(seeds)
    places = jax.local_devices() if devices is None else list(devices) if isinstance(devices, Iterable) else [devices]
    if not places or not all(isinstance(place, jax.Device) for place in places):
        raise ValueError(f"devices={devices!r}: give a list of at least one of jax.devices().")
    stacked = batches(list(named.values()))
    starts = _references(games) if starts is None and learner is not None else starts
    begins = [_starts(starts, numbers, batch.games) for batch in stacked]
    length = Length(every, -(-steps // every), isinstance(starts, str))
    plan = Plan(tol, named_metrics(metrics), steps, length, memory, places)
    for solver in solvers.values():
        _check(named, betas, solver)
    grids = {name: [grid(s, betas, numbers, _dtype(batch.games)) for batch in stacked] for name, s in solvers.items()}
    reserved = {axis for found in grids.values() for axis in found[0].axes}
    parts = {}
    for name, solver in solvers.items():
        runs = []
        for batch, begin, settings in zip(stacked, begins, grids[name], strict=True):
            seed = settings.seed
            first = jax.tree.map(lambda leaf: leaf[seed], begin)  # noqa: B023  used at once
            setting = Setting(settings.solver, settings.beta, numbers[seed].astype(np.uint32), first)
            runs.append(Runs(batch.places, run_grid(batch.games, setting, plan)))
        axes = grids[name][0].axes
        parts[name] = labelled(solver, named, axes, runs, steps=steps, every=every, tol=tol, reserved=reserved)
    return Sweep(joined(parts, steps=steps, every=every, tol=tol))


def _named_rules(rules: Any, learner: Learner | None) -> dict[str, Any]:
    """Every solver by a name: the mapping's, or the class's with a number where there are several of it."""
    if not isinstance(rules, Mapping):
        several = list(rules) if isinstance(rules, Sequence) else [rules]
        names: dict[str, Any] = {}
        for rule in several:
            name = type(rule).__name__
            count = 1 + sum(type(other) is type(rule) for other in names.values())
            names[name if count == 1 else f"{name} {count}"] = rule
        rules = names
    if not rules:
        raise ValueError("sweep: give at least one rule.")
    check_names({str(name) for name in rules}, rules, "rules")
    return {str(name): as_solver(_arrays(rule), _arrays(learner)) for name, rule in rules.items()}


def _arrays(rule: Any) -> Any:
    """The rule or learner with every list of numbers an array."""
    return jax.tree.map(lambda leaf: np.asarray(leaf) if isinstance(leaf, list) else leaf, rule, is_leaf=_listed)


def _listed(leaf: Any) -> bool:
    return isinstance(leaf, list)


def _seeds(seeds: Any) -> np.ndarray:
    """The list of seeds."""
    numbers = np.arange(seeds) if np.ndim(seeds) == 0 and not isinstance(seeds, str) else np.asarray(seeds)
    whole = numbers.ndim == 1 and len(numbers) and np.issubdtype(numbers.dtype, np.integer)
    if not whole or numbers.min() < 0 or numbers.max() >= 2**32 or len(set(numbers.tolist())) < len(numbers):
        raise ValueError(f"seeds={seeds}: give how many, at least 1, or a list of different whole numbers from 0 on.")
    return numbers


def _dtype(games: Game) -> np.dtype:
    """The precision of the games' numbers; an oracle itself may hold whole ones."""
    return np.asarray(games.prompts).dtype


def _references(games: Any) -> Any:
    """The reference that a learner trains where no start is given; None where all are tables."""
    if isinstance(games, Game):
        return None if isinstance(games.reference, Tabular) else games.reference
    several = games.values() if isinstance(games, Mapping) else games
    if all(isinstance(game.reference, Tabular) for game in several if isinstance(game, Game)):
        return None
    raise ValueError("sweep: the references of several games are not all tables: give `starts`, the policies to train.")


def _starts(starts: Any, seeds: np.ndarray, games: Game) -> Any:
    """The logits `[seeds, X, A]`, or policies with a leading axis `[seeds]`, to begin from; None for the reference."""
    if starts is None:
        return None
    if hasattr(starts, "log_prob"):
        starts = [starts] * len(seeds)
    if isinstance(starts, Sequence) and len(starts) and hasattr(starts[0], "log_prob"):
        return _policies(starts, len(seeds), games)
    _, *sizes = games.reference.log_probs().shape
    shape = sizes[0], sizes[1]
    if isinstance(starts, str):
        if starts != "random":
            raise ValueError(f'starts="{starts}": give "random", or probabilities for every seed.')
        dtype = jax.dtypes.canonicalize_dtype(_dtype(games))
        return np.stack([random_logits(jax.random.key(seed), shape=shape, dtype=dtype) for seed in seeds])
    probs = numeric(starts, None, "starts").astype(float)
    probs = probs[:, None, :] if probs.ndim == 2 else probs
    count = len(seeds)
    fits = probs.ndim == 3 and len(probs) == count and probs.shape[1] in (1, shape[0]) and probs.shape[2] == shape[1]
    if not fits or np.any(probs < 0) or not np.allclose(probs.sum(-1), 1.0, atol=1e-5):
        raise ValueError(
            f"starts has shape {np.shape(starts)}: give probabilities [seeds, responses] or [seeds, prompts, "
            f"responses] that sum to one, for {count} seeds and a game of {shape[0]} prompts and {shape[1]} responses."
        )
    return np.broadcast_to(np.asarray(Tabular.from_probs(probs).logits), (count, *shape))


def _policies(starts: Sequence[Any], count: int, games: Game) -> Any:
    """Policies of one structure, stacked, for the games of a batch."""
    first = jax.tree.map(lambda leaf: leaf[0], games)
    for policy in starts:
        check_start(first, policy)
    if len(starts) != count:
        raise ValueError(f"starts holds {len(starts)} policies: give one, or one for each of the {count} seeds.")
    kinds = {(jax.tree.structure(policy), *map(_kind, jax.tree.leaves(policy))) for policy in starts}
    if len(kinds) > 1:
        raise ValueError(
            "starts: all policies must have one architecture, shapes and precisions included, so that one program runs "
            "them."
        )
    return jax.tree.map(lambda *leaves: _stack(leaves), *starts)


def _kind(leaf: Any) -> tuple[Any, Any]:
    return np.shape(leaf), jnp.result_type(leaf)


def _stack(leaves: Sequence[Any]) -> Any:
    """Arrays along a new axis; random keys, which are none to NumPy, too."""
    keys = jnp.issubdtype(jnp.result_type(leaves[0]), jax.dtypes.prng_key)
    return jnp.stack(leaves) if keys else np.stack([np.asarray(leaf) for leaf in leaves])


def _swept_tuple(solver: Any) -> str:
    """What to say where a list was given for a setting that is a tuple of numbers."""
    rule = getattr(solver, "rule", solver)
    tuples = [name for name, kind in annotations(type(rule)).items() if get_origin(kind) is tuple]
    swept = next((name for name in tuples if hasattr(getattr(rule, name, None), "ndim")), None)
    return "" if swept is None else f" In a sweep a list or an array is an axis: write {swept}=(...), a tuple."


def _check(games: Mapping[str, Game], betas: np.ndarray | None, solver: Any) -> None:
    """Let the solver refuse a game or a setting; step sizes above a proven limit make one warning."""
    check = getattr(solver, "check", None)
    if check is None:
        return
    settings = grid(solver, None, np.arange(1), np.dtype(float))
    each = [jax.tree.map(lambda leaf, i=i: leaf[i].item(), settings.solver) for i in range(len(settings.seed))]
    weights = [None] if betas is None else [float(beta) for beta in betas]
    bounded = [(game, payoff_bound(game)) for game in games.values()]
    runs = [(*game, each[0], weights[0]) for game in bounded]
    runs += [(*bounded[0], one, beta) for one in each for beta in weights]
    said: dict[type[Warning], dict[str, None]] = {}
    for game, bound, one, beta in runs:
        game = game if beta is None else dataclasses.replace(game, beta=beta)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                one.check(game, bound)
            except ValueError as error:
                raise ValueError(f"{error}{_swept_tuple(solver)}") from None
        for warning in caught:
            said.setdefault(warning.category, {})[str(warning.message)] = None
    for category, messages in said.items():
        more = f" ({len(messages) - 1} more settings like this)" if len(messages) > 1 else ""
        warnings.warn(next(iter(messages)) + more, category, stacklevel=3)

"""Run a solver: one compiled loop that steps, measures and stops."""

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.blame import blame
from nashpo.compiling import Compiled
from nashpo.game import Game, check_game, check_one_beta, enumerable_game
from nashpo.learners.base import Learner
from nashpo.march import Run, march
from nashpo.metrics import Last, duality_gap, payoff_bound
from nashpo.mirror import Mirror
from nashpo.policies.base import EnumerablePolicy, enumerable, listed_shape
from nashpo.policies.tabular import answering
from nashpo.results import Result
from nashpo.solver import Solver
from nashpo.stage import UpdateRule
from nashpo.typing import Array, Key, Scalar
from nashpo.validation.keys import seed
from nashpo.validation.numbers import is_number, whole_number

Metric = Callable[[Game, Any], Scalar]
MOST_STEPS = 2**30
"""Steps are counted in 32 bits."""


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
    metrics: Mapping[str, Metric] | Sequence[Metric] | None = (),
) -> Result:
    """Run an update rule or a solver for `steps` steps and measure every `every` steps.

    The run begins at `start` (a policy, a result, or probabilities; the reference if None) and ends after `steps`
    steps, or as soon as a measured duality gap is at most `tol` (payoff units). The trace holds `"step"`,
    `"duality_gap"` (where responses can be listed) and each of `metrics` (functions of a game and a policy, or a
    mapping from names to them) of the algorithm's answer, at steps `every, 2 every, ..., steps`, and what the last step
    before said about itself, `"now_loss"` for example. A rule runs with `learner` (exact if None). `key` is a JAX
    random key or an int; noisy oracles and learners from samples draw from it.

    A new number (step size, beta, table of the same shape, key) does not compile again. Raises `ValueError` for
    a setting that cannot be run; a run that goes wrong says so in `Result.status` and `Result.check()`.

    >>> from nashpo.solvers import EGPO
    >>> game = Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> result = solve(game, EGPO(eta=1.0), steps=100, tol=1e-5)
    >>> result.status.name, bool(result.trace["duality_gap"][-1] <= 1e-5)
    ('CONVERGED', True)
    """
    plan = prepare(game, rule_or_solver, steps, every, start, learner, key, tol, metrics)
    return Result(game, plan.solver, _Finished(plan, plan.advance(None, 0, plan.steps)))


def as_solver(rule_or_solver: Any, learner: Learner | None = None) -> Any:
    """A rule with its learner, or the solver itself; functions among their numbers become pytrees.

    >>> from nashpo.solvers import SPO
    >>> type(as_solver(SPO(eta=0.1))).__name__
    'Mirror'
    """
    if isinstance(rule_or_solver, type):
        name = rule_or_solver.__name__
        raise ValueError(f"{name} is a class: give an instance with its settings, for example {name}(eta=0.5).")
    if isinstance(learner, type) or (learner is not None and not hasattr(learner, "fit")):
        raise ValueError(f"learner={learner!r}: give an instance, for example Regression(learning_rate=0.1).")
    if hasattr(rule_or_solver, "stages"):
        solver = Mirror(rule_or_solver) if learner is None else Mirror(rule_or_solver, learner)
    elif hasattr(rule_or_solver, "step"):
        if learner is not None:
            raise ValueError(f"{type(rule_or_solver).__name__} is a solver of its own: it takes no learner.")
        solver = rule_or_solver
    else:
        raise ValueError(
            f"{rule_or_solver!r} is neither an update rule (stages) nor a solver (init, step, policy, last): give one "
            "of nashpo.solvers with its settings, for example EGPO(eta=0.5)."
        )
    if any(callable(leaf) or isinstance(leaf, int) for leaf in jax.tree.leaves(solver)):
        solver = jax.tree.map(_leaf, solver)
    return solver


class Plan(NamedTuple):
    """A run whose settings have been checked: what stays the same from its first step to its last."""

    game: Game
    solver: Any
    start: EnumerablePolicy | None
    seed: Any
    tol: float | None
    metrics: dict[str, Any]
    steps: int
    every: int

    @property
    def begin(self) -> EnumerablePolicy:
        """The policy of step 0."""
        return self.game.reference if self.start is None else self.start

    def advance(self, state: Any, first: int, last: int) -> Run:
        """Run from `state`, which has taken `first` steps (None: from the start), until `last` are taken."""
        chunks = -(-(last - first) // self.every)
        capacity = 1 << max(chunks - 1, 0).bit_length()
        return _run(
            self.game, self.solver, self.start, state, self.seed, self.tol, self.metrics, first, last,
            every=self.every, capacity=capacity,
        )  # fmt: skip

    def blame(self, state: Any, first: int, failed: int) -> str:
        """What was not finite in step `failed` of the run that stood at `state` after `first` steps."""
        return blame(self.game, self.solver, _random_key(self.seed), state, first, failed)


def prepare(game, rule_or_solver, steps, every, start, learner, key, tol, metrics) -> Plan:
    """Check the arguments of `solve` and bring them into the form that is compiled."""
    check_game(game, "a run")
    check_one_beta(game, "a run")
    steps, every = step_counts(steps, every)
    check_tolerance(tol)
    if tol is not None and not enumerable_game(game):
        raise ValueError(
            f"tol={tol}: the duality gap is not known, because {type(game.oracle).__name__} cannot list its responses; "
            "leave tol out, and see nashpo.estimates for lower bounds."
        )
    solver = as_solver(rule_or_solver, learner)
    check = getattr(solver, "check", None)
    if check is not None:
        check(game, payoff_bound(game))
    if start is not None:
        start = _start(game, start)
    return Plan(game.nameless(), solver, start, _seed(key), tol, named_metrics(metrics), steps, every)


class _Finished:
    """A compiled run as the outcome that a result shows; nothing leaves the device before it is asked for."""

    def __init__(self, plan: Plan, run: Run) -> None:
        self._plan, self._run = plan, run
        self.start, self.state, self.tol, self.planned = plan.begin, run.state, plan.tol, plan.steps

    @property
    def policy(self) -> Any:
        """The answer."""
        return self._plan.solver.policy(self.state)

    @property
    def last(self) -> Any:
        """The last iterate."""
        return self._plan.solver.last(self.state)

    @functools.cached_property
    def failed(self) -> int:
        """The step that was not finite, or -1."""
        return int(self._run.failed)

    def blame(self) -> str:
        """What was not finite in the step that failed."""
        return self._plan.blame(self.state, int(self.trace["step"][-1]), self.failed)

    @functools.cached_property
    def trace(self) -> dict[str, np.ndarray]:
        """The measurements after each chunk; the one of the start where there is no other."""
        return measurements(self._run, 0, self._plan)


def measurements(run: Run, first: int, plan: Plan) -> dict[str, np.ndarray]:
    """The trace of a run that set out after `first` steps; the measurement it set out from stands alone only."""
    done = int(run.done)
    begin = min(1, done)
    step = np.minimum(first + np.arange(begin, done + 1) * plan.every, plan.steps)
    return {"step": step, **{name: np.asarray(values)[begin : done + 1] for name, values in run.trace.items()}}


@functools.partial(Compiled, static_argnames=("every", "capacity"))
def _run(game, solver, start, state, seed, tol, metrics, first, last, *, every: int, capacity: int) -> Run:
    key = _random_key(seed)
    game = jax.tree.map(jnp.asarray, game)
    if state is None:
        state = solver.init(game, game.reference if start is None else start)
    return march(game, solver, state, key, tol, metrics, first, last, every=every, capacity=capacity)


def _random_key(seed: Any) -> Key:
    return seed if jnp.issubdtype(seed.dtype, jax.dtypes.prng_key) else jax.random.key(seed)


def _leaf(leaf: Any) -> Any:
    if isinstance(leaf, int) and not isinstance(leaf, bool):
        return float(leaf)
    return jax.tree_util.Partial(leaf) if callable(leaf) else leaf


def named_metrics(metrics: Mapping[str, Metric] | Sequence[Metric] | None) -> dict[str, Any]:
    """Metrics by name, in the form that is compiled, without the duality gap, which is always measured."""
    if not isinstance(metrics, Iterable | None) or isinstance(metrics, str):
        raise ValueError(f"metrics={metrics!r}: give a list of functions, or a mapping from names to functions.")
    pairs = metrics.items() if isinstance(metrics, Mapping) else [(_name(m), m) for m in metrics or ()]
    named: dict[str, Any] = {}
    for name, metric in pairs:
        if not callable(metric) or name == "step" or name in named:
            raise ValueError(f"metrics: {name!r} must be a function of a game and a policy, under a free name.")
        if not isinstance(name, str) or not name or "/" in name:
            raise ValueError(f"metrics: {name!r} is no name: give text without '/', which files keep for folders.")
        named[name] = metric
    if named.pop("duality_gap", duality_gap) is not duality_gap:
        raise ValueError("metrics: the duality gap is always measured under the name 'duality_gap'; give another name.")
    return {name: jax.tree.map(_leaf, m) for name, m in named.items()}


def _name(metric: Any) -> str:
    if isinstance(metric, Last):
        return f"last_{_name(metric.metric)}"
    return getattr(metric, "__name__", type(metric).__name__)


def _seed(key: Key | int | None) -> Any:
    if key is None or isinstance(key, int | np.integer):
        return seed(0 if key is None else key)
    kind, shape = getattr(key, "dtype", np.dtype(object)), np.shape(key)
    if shape == () and (jnp.issubdtype(kind, jax.dtypes.prng_key) or jnp.issubdtype(kind, jnp.integer)):
        return key
    if kind != np.uint32 or shape != (2,):
        raise ValueError(f"key={key!r}: give a whole number, or one key of jax.random.key.")
    return jax.random.wrap_key_data(key)


def step_counts(steps: int, every: int) -> tuple[int, int]:
    """How many steps a run takes and after how many it is measured; a sentence about what cannot be counted."""
    return whole_number("steps", steps, 0, MOST_STEPS), min(whole_number("every", every, 1), MOST_STEPS)


def check_tolerance(tol: Any) -> None:
    """Refuse what is no duality gap to stop at."""
    if tol is not None and not is_number(tol, 0) and not (np.ndim(tol) == 0 and tol == np.inf):
        raise ValueError(f"tol={tol!r}: the duality gap to stop at must be a number that is at least 0.")


def _start(game: Game, start: Any) -> EnumerablePolicy:
    """The policy to begin from, that of a result or an equilibrium too; one row serves every prompt."""
    policy: Any = answering(start, len(game.prompts), game.items)
    check_start(game, policy)
    return policy


def check_start(game: Game, policy: Any) -> None:
    """Refuse a policy that has not the prompts, or not the responses, of the game.

    >>> from nashpo.policies import Tabular
    >>> check_start(Game.from_table(np.full((2, 2), 0.5)), Tabular.from_probs([0.2, 0.3, 0.5]))
    Traceback (most recent call last):
        ...
    ValueError: start has shape (1, 3), the game [prompts, responses] = (1, 2).
    """
    prompts = len(game.prompts)
    rows = len(getattr(policy, "contexts", game.prompts))
    if rows != prompts:
        raise ValueError(f"start answers {rows} prompts, the game has {prompts}.")
    if enumerable_game(game) and enumerable(policy):
        shape, size = listed_shape(policy), tuple(game.shape)
        if shape != size:
            raise ValueError(f"start has shape {shape}, the game [prompts, responses] = {size}.")

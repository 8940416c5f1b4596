"""What a solver owes: its parts, its state, and its runs."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.game import Game
from nashpo.oracles.table import Table
from nashpo.policies.tabular import Tabular
from nashpo.run import _run
from nashpo.solver import Status
from nashpo.solvers import PenaltyIgnoredWarning
from nashpo.stage import StepSizeWarning
from nashpo.testing import agreement
from nashpo.testing.games import GAMES, REFERENCE, interior_table, random_table
from nashpo.testing.law import Law, check_fields
from nashpo.testing.runs import AXES, Rest, Runs, probs, scaled, sound


def check_solver(
    solver: Any, *, other: Any = None, rest: Rest | None = None, certain: bool = True, affine: bool = True
) -> None:
    """Hold a solver to the contract of `nashpo.solver.Solver` and to what runs and sweeps rely on.

    It is run for 12 steps on small games (`nashpo.testing.games`) and must: begin at its start; answer with finite,
    normalised policies; keep the structure, shapes and types of its state; take the same steps with the same key,
    whatever `every` is and wherever `drive` interrupts it; compile once for all numbers, also batched; solve prompts
    as if alone, relabelled responses as relabelled, and padded games (`nashpo.stack`) as if not padded; play a response
    that beats all others more than its start does; agree with itself in float32; and end as `NONFINITE` on payoffs
    that are not finite.

    `other` is the same solver with other numbers (by default one with `eta` times 0.7, wherever a leaf has that name).
    The remaining options say which claims are made: `rest`, which equilibrium it does not move from (of the game
    without KL penalty, `"original"`; of the game with it, `"regularised"`, or both, `"any"`); `certain`, that win
    rates of 0 and 1 are borne (if not, they must be refused); `affine`, that payoffs `2P - 1` with `2 beta` and
    `eta / 2` give the same run. Warnings about step sizes and ignored penalties are not shown.

    Raises `AssertionError`: one sentence with the law, the place, the size of the error and what to do.

    >>> import nashpo
    >>> class Idle:
    ...     pass
    >>> check_solver(Idle())
    Traceback (most recent call last):
        ...
    nashpo.testing.law.BrokenLaw: Idle breaks the law "it has init, step, policy and last": init is missing; \
see nashpo.solver.Solver for what each part returns.
    """
    name = type(solver).__name__
    with Law(name, "it has init, step, policy and last", "see nashpo.solver.Solver for what each part returns") as law:
        for part in ("init", "step", "policy", "last"):
            law.require(callable(getattr(solver, part, None)), f"{part} is missing")
    check_fields(name, solver)
    check_runs(Runs(name, solver, scaled(solver, 0.7) if other is None else other), rest, certain, affine)


def check_runs(runs: Runs, rest: Rest | None, certain: bool, affine: bool) -> None:
    """Every law of a run; the cheap and the telling ones first."""
    laws = [_starts, _state, _answers, _repeats, _numbers, agreement.prompts, agreement.labels, _favours]
    laws.append(agreement.certain if certain else _refuses)
    if affine:
        laws.append(agreement.units)
    if rest is not None:
        laws.append(lambda runs: _rests(runs, rest))
    laws += [agreement.thinned, agreement.driven, agreement.single, agreement.batched, _undefined]
    with jax.enable_x64(True), warnings.catch_warnings():
        for category in (StepSizeWarning, PenaltyIgnoredWarning):
            warnings.simplefilter("ignore", category)
        for law in laws:
            law(runs)


def _starts(runs: Runs) -> None:
    remedy = "let init put the start where the first step looks for it"
    with Law(runs.name, "a run begins at its start", remedy) as law:
        game = jax.tree.map(jnp.asarray, GAMES["random"]())
        start = np.array([[0.3, 0.1, 0.2, 0.15, 0.25]])
        state = runs.solver.init(game, Tabular.from_probs(start))
        found = np.exp(np.asarray(runs.solver.last(state).log_probs()))
        law.close(found, start, "last(init(game, start))", AXES, atol=1e-12)


def _state(runs: Runs) -> None:
    remedy = "return from step what init returned: the same structure, shapes and dtypes, arrays and no Python numbers"
    with Law(runs.name, "the state keeps its structure", remedy) as law:
        game = jax.tree.map(jnp.asarray, GAMES["random"]())
        before = jax.eval_shape(lambda: runs.solver.init(game, game.reference))
        after, info = jax.eval_shape(lambda state: runs.solver.step(game, state, jax.random.key(0)), before)
        law.require(isinstance(info, dict), f"the second value of step is a {type(info).__name__}, not a dict")
        structures = jax.tree.structure(before), jax.tree.structure(after)
        law.require(structures[0] == structures[1], f"{structures[0]} becomes {structures[1]} in one step")
        for (path, old), new in zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True):
            found = f"{jax.tree_util.keystr(path)} is {_type(old)} before a step and {_type(new)} after it"
            law.require((old.shape, old.dtype) == (new.shape, new.dtype), found)


def _type(leaf: Any) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def _answers(runs: Runs) -> None:
    remedy = "normalise in log space and keep every probability finite"
    for key in ("random", "original", "tiny_beta", "huge_beta", "prompts"):
        game = GAMES[key]()
        with Law(runs.name, f"answers are policies (game {key!r})", remedy) as law:
            sound(law, runs(game), game)


def _repeats(runs: Runs) -> None:
    remedy = "let step depend on its arguments alone; random numbers come from its key"
    with Law(runs.name, "the same run gives the same bits", remedy) as law:
        game = jax.tree.map(jnp.asarray, GAMES["random"]())
        state = runs.solver.init(game, game.reference)
        first, second = (runs.solver.step(game, state, jax.random.key(0))[0] for _ in range(2))
        for (path, one), two in zip(jax.tree_util.tree_leaves_with_path(first), jax.tree.leaves(second), strict=True):
            same = np.array_equal(np.asarray(one), np.asarray(two), equal_nan=True)
            law.require(same, f"two steps from one state with one key differ in {jax.tree_util.keystr(path)}")
        again = runs(GAMES["random"]())
        law.close(again.policy.log_probs(), runs.usual.policy.log_probs(), "the answer of a second run", AXES)


def _numbers(runs: Runs) -> None:
    remedy = "numbers are leaves of the solver's pytree: no static field, no closure, no new function at each call"
    with Law(runs.name, "new numbers do not compile again", remedy) as law:
        _ = runs.usual
        for what, game, solver, key in (
            ("run of the same kind", "random", runs.solver, None),
            ("new table and beta", "tiny_beta", runs.solver, None),
            ("new key", "random", runs.solver, 3),
            ("new step size", "random", runs.other, None),
        ):
            before = _compiled()
            runs(GAMES[game](), solver, key=key)
            law.require(_compiled() == before, f"a {what} compiled another program")


def _compiled() -> int:
    """How many programs have been compiled for runs."""
    return _run.program._cache_size()


def _refuses(runs: Runs) -> None:
    remedy = "raise ValueError in check(game, bound), or say certain=True if such tables are solved"
    with Law(runs.name, "win rates of 0 and 1 are refused", remedy) as law:
        try:
            runs(GAMES["certain"]())
        except ValueError:
            return
        raise law.broken("a table of certain wins was run, although certain=False")


def _favours(runs: Runs) -> None:
    """A response that beats all others."""
    remedy = "add win rates and do not subtract them: win_rates(q)[x, i] is the mean payoff of i against q"
    with Law(runs.name, "a response that beats all others is played more", remedy) as law:
        table, best = random_table(0), 2
        table[best], table[:, best], table[best, best] = 0.9, 0.1, 0.5
        result = runs(Game.from_table(table, beta=0.1, reference=REFERENCE))
        for what, policy in (("the answer", result.policy), ("the last iterate", result.last)):
            found = probs(policy)[0, best]
            law.require(found > REFERENCE[best], f"{what} gives it {found:.6g}, the start {REFERENCE[best]:.6g}")


def _resting(beta: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A table, its equilibrium at `beta`, and another policy that is the reference of such a game."""
    table, equilibrium = interior_table()
    if beta == 0:
        return table, equilibrium, REFERENCE
    table = random_table(0)
    reference = equilibrium * np.exp(-table @ equilibrium / beta)
    return table, equilibrium, reference / reference.sum()


def _rests(runs: Runs, rest: Rest) -> None:
    with Law(runs.name, "the rest point is one of those that are known", "see check_solver") as law:
        known = {"original": (0.0,), "regularised": (0.1,), "any": (0.0, 0.1)}
        law.require(rest in known, f"rest is {rest!r}, none of {', '.join(map(repr, known))}")
    remedy = "check signs and opponents of the update, or say rest=None"
    for beta in known[rest]:
        with Law(runs.name, f"an equilibrium is not left (beta = {beta:g})", remedy) as law:
            table, equilibrium, reference = _resting(beta)
            game = Game.from_table(table, beta=beta, reference=reference)
            result = runs(game, start=equilibrium)
            for what, policy in (("the answer", result.policy), ("the last iterate", result.last)):
                law.close(probs(policy), equilibrium[None], f"{what} from the equilibrium", AXES, atol=1e-12)


def _undefined(runs: Runs) -> None:
    remedy = "let infinities and NaN reach the state (no nan_to_num, no clipping): then the run says where it failed"
    with Law(runs.name, "numbers that are not finite are reported", remedy) as law:
        game = GAMES["random"]()
        holes = np.array(game.oracle.table())
        holes[0, 1, 2] = np.nan
        result = runs(Game(Table(holes), game.reference, game.beta, game.prompts))
        found = f"a game with an undefined payoff ended as {result.status.name} after {result.steps} steps"
        law.require(result.status is Status.NONFINITE, found)

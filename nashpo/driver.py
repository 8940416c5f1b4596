"""The same run in segments, with the host in between: checkpoints and callbacks."""

import contextlib
import dataclasses
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from nashpo.callbacks import Callback
from nashpo.checkpoint import Checkpoints, Reached
from nashpo.files import locked, uninterrupted
from nashpo.game import Game
from nashpo.learners.base import Learner
from nashpo.policies.base import EnumerablePolicy
from nashpo.results import Outcome, Result
from nashpo.run import Metric, Plan, measurements, prepare
from nashpo.solver import Solver
from nashpo.stage import UpdateRule
from nashpo.typing import Array, Key
from nashpo.validation.numbers import whole_number


def drive(
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
    segment: int | None = None,
    callbacks: Callback | Sequence[Callback] = (),
    checkpoints: str | os.PathLike[str] | None = None,
    keep: int = 3,
) -> Result:
    """`solve` in segments of `segment` measurements, with a checkpoint and the callbacks after each.

    Steps, keys and measurements are those of `solve`, to the bit, wherever the run is broken off and resumed;
    `segment` (a hundredth of the run if None) only says how often the host looks.

    `checkpoints` names a folder; the last `keep` checkpoints are kept there. The same call goes on from the newest
    one that is whole (a damaged one is skipped with a `CheckpointWarning`), with more steps if `steps` is larger,
    and returns at once where the run is over. Ctrl-C waits until the segment is computed and saved; a second
    one breaks into the computation.

    `callbacks` (one, or several) are called with the result so far, in a resumed run first with where it stands; one
    that answers `True` stops the run, whose status then is `STOPPED`. `nashpo.callbacks` has a progress bar and a
    writer for TensorBoard.

    Raises `ValueError` for a setting that cannot be run, for checkpoints of another run, saying in what it differs,
    and for a folder that another run is writing to; `OSError` where a checkpoint cannot be written.

    >>> import tempfile
    >>> from nashpo.solvers import EGPO
    >>> game = Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> seen = []
    >>> def look(result):
    ...     seen.append(result.steps)
    ...     return result.steps == 20
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for _ in range(2):
    ...         settings = {"steps": 40, "segment": 10, "checkpoints": folder}
    ...         result = drive(game, EGPO(eta=1.0), **settings, callbacks=look if not seen else ())
    ...         print(result.status.name, result.steps)
    STOPPED 20
    FINISHED 40
    >>> seen
    [10, 20]
    """
    plan = prepare(game, rule_or_solver, steps, every, start, learner, key, tol, metrics)
    chunks = -(-plan.steps // plan.every)
    segment = max(1, chunks // 100) if segment is None else whole_number("segment", segment, 1)
    keep = whole_number("keep", keep, 1)
    callbacks = _several(callbacks)
    with contextlib.ExitStack() as stack:
        saved = None
        if checkpoints is not None:
            stack.enter_context(locked(checkpoints))
            saved = Checkpoints(checkpoints, plan, keep)
        for callback in callbacks:
            if hasattr(callback, "__enter__"):
                stack.enter_context(callback)  # type: ignore[arg-type]  it has what `hasattr` asked for
        try:
            return _drive(game, plan, segment * plan.every, callbacks, saved)
        except KeyboardInterrupt:
            if saved is None:
                raise
            raise KeyboardInterrupt(saved.advice()) from None


def _several(callbacks: Any) -> tuple[Callback, ...]:
    """One callback, or a list of them, as several."""
    several = tuple(callbacks) if isinstance(callbacks, Iterable) and not callable(callbacks) else (callbacks,)
    if not all(map(callable, several)):
        raise ValueError(f"callbacks={callbacks!r}: give a function of a result, or a list of such functions.")
    return several


def _drive(game: Game, plan: Plan, stride: int, callbacks: Sequence[Callback], saved: Checkpoints | None) -> Result:
    reached = None if saved is None else saved.latest()
    shown = None
    while True:
        if reached is not None:
            outcome = _outcome(plan, reached)
            asked = [_stops(callback(_result(game, plan, outcome))) for callback in callbacks if reached.steps != shown]
            if any(asked) or reached.over or reached.steps >= plan.steps:
                return _result(game, plan, outcome)
            shown = reached.steps
        with uninterrupted() if saved is not None else contextlib.nullcontext():
            reached = _segment(plan, reached, stride)
            if saved is not None:
                saved.save(reached)


def _outcome(plan: Plan, reached: Reached) -> Outcome:
    state, policy, last = reached.state, plan.solver.policy(reached.state), plan.solver.last(reached.state)
    blame = functools.partial(plan.blame, state, reached.steps, reached.failed)
    return Outcome(plan.begin, policy, last, state, reached.trace, reached.failed, plan.tol, plan.steps, blame)


def _result(game: Game, plan: Plan, outcome: Outcome) -> Result:
    """A result with a trace of its own, for callbacks may write into theirs."""
    trace = {name: values.copy() for name, values in outcome.trace.items()}
    return Result(game, plan.solver, dataclasses.replace(outcome, trace=trace))


def _stops(answer: object) -> bool:
    """Whether a callback's answer is True, from NumPy and JAX too; a number or a list is no answer."""
    return answer is not None and np.asarray(answer).dtype == bool and bool(np.all(np.asarray(answer)))


def _segment(plan: Plan, reached: Reached | None, stride: int) -> Reached:
    """The run after at most `stride` more steps."""
    first = 0 if reached is None else reached.steps
    until = min(plan.steps, first + stride)
    run = plan.advance(None if reached is None else reached.state, first, until)
    trace = measurements(run, first, plan)
    failed, last = int(run.failed), int(trace["step"][-1])
    if reached is not None:
        new = {name: values[trace["step"] > first] for name, values in trace.items()}
        trace = {name: np.concatenate([values, new[name]]) for name, values in reached.trace.items()}
    return Reached(run.state, trace, failed, last < until or failed >= 0)

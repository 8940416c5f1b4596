"""The same run in segments, with the host in between: progress, callbacks."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from nashpo.game import Game
from nashpo.learners.base import Learner
from nashpo.policies.base import EnumerablePolicy
from nashpo.results import Outcome, Result
from nashpo.run import Metric, measurements, prepare
from nashpo.solver import Solver
from nashpo.stage import UpdateRule
from nashpo.typing import Array, Key

Callback = Callable[[Result], None]


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
    callback: Callback | None = None,
) -> Result:
    """`solve`, interrupted every `segment` measurements to call `callback` with the result so far.

    The steps, keys and measurements are those of `solve`; `segment` (a hundredth of the run if None) only says how
    often the host looks. An exception of the callback, or Ctrl-C, ends the run.

    >>> from nashpo.solvers import EGPO
    >>> game = Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> seen = []
    >>> result = drive(game, EGPO(eta=1.0), steps=40, segment=20, callback=lambda result: seen.append(result.steps))
    >>> seen
    [20, 40]
    """
    plan = prepare(game, rule_or_solver, steps, every, start, learner, key, tol, metrics)
    chunks = -(-plan.steps // plan.every)
    segment = max(1, chunks // 100) if segment is None else max(1, segment)
    state, done, traces = None, 0, []
    while True:
        until = min(plan.steps, done + segment * plan.every)
        run = plan.advance(state, done, until)
        trace = measurements(run, done, plan)
        if int(run.done) or not traces:
            traces.append(trace)
        state, done, failed = run.state, int(trace["step"][-1]), int(run.failed)
        joined = {name: np.concatenate([part[name] for part in traces]) for name in trace}
        outcome = Outcome(plan.solver.policy(state), plan.solver.last(state), state, joined, failed, plan.tol)
        result = Result(game, plan.solver, outcome)
        if callback is not None:
            callback(result)
        if done >= plan.steps or done < until or failed >= 0:
            return result

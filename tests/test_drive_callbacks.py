"""What is called while a run is under way."""

import io
import re

import jax.numpy as jnp
import numpy as np
import pytest
from cases import GAMES

import nashpo
from nashpo import metrics
from nashpo.callbacks import Progress, TensorBoard
from nashpo.learners import Sampled
from nashpo.oracles import Judge
from nashpo.policies import Tabular
from nashpo.solvers import EGPO


def drive(steps=12, **settings) -> nashpo.Result:
    return nashpo.drive(GAMES["random"](), EGPO(0.5), steps=steps, segment=3, **settings)


class Watcher:
    """A callback that is a context manager and notes what happens to it."""

    def __init__(self) -> None:
        self.events: list = []

    def __enter__(self):
        self.events.append("enter")

    def __call__(self, result):
        self.events.append(result.steps)

    def __exit__(self, kind, *_):
        self.events.append(kind)


class Writer:
    """What a TensorBoard writer would have written."""

    def __init__(self) -> None:
        self.points: dict[tuple[str, int], list[float]] = {}
        self.flushed = 0

    def add_scalar(self, tag, value, step):
        assert type(value) is float and type(step) is int
        self.points.setdefault((tag, step), []).append(value)

    def flush(self):
        self.flushed += 1


def test_what_a_callback_does_to_a_trace_stays_with_it(tmp_path):
    def scribble(result):
        result.trace["duality_gap"] /= result.trace["duality_gap"][0]
        result.trace["rate"] = np.diff(result.trace.pop("step"))

    alone = drive()
    for callbacks in ([scribble, scribble], scribble, ()):  # the later ones from the checkpoint
        found = drive(callbacks=callbacks, checkpoints=tmp_path)
        assert list(found.trace) == list(alone.trace)
        for name, values in alone.trace.items():
            np.testing.assert_array_equal(found.trace[name], values)


def test_several_are_called_in_order_and_context_managers_are_left():
    seen, watcher = [], Watcher()
    callbacks = [lambda r: seen.append(("first", r.steps)), watcher, lambda r: seen.append(("last", r.steps))]
    drive(callbacks=callbacks)
    assert seen == [(who, s) for s in (3, 6, 9, 12) for who in ("first", "last")]
    assert watcher.events == ["enter", 3, 6, 9, 12, None]


def test_one_that_fails_ends_the_run_and_loses_nothing(tmp_path):
    def fail(result):
        raise ZeroDivisionError

    watcher = Watcher()
    with pytest.raises(ZeroDivisionError):
        drive(callbacks=[watcher, fail], checkpoints=tmp_path)
    assert watcher.events == ["enter", 3, ZeroDivisionError]
    seen = []
    drive(callbacks=lambda r: seen.append(r.steps), checkpoints=tmp_path)
    assert seen == [3, 6, 9, 12]


@pytest.mark.parametrize("true", [True, np.True_, jnp.asarray(True)])
def test_true_stops_the_run(true):
    seen = []
    result = drive(callbacks=[lambda r: true if r.steps == 6 else None, lambda r: seen.append(r.steps)])
    assert result.steps == 6 and result.planned == 12 and seen == [3, 6]
    assert result.status is nashpo.Status.STOPPED
    assert result.check() is result
    np.testing.assert_array_equal(
        result.policy.probs(), nashpo.solve(GAMES["random"](), EGPO(0.5), steps=6).policy.probs()
    )


@pytest.mark.parametrize("answer", [None, False, 1, 7.0, "yes", {"stop": True}])
def test_nothing_else_does(answer):
    assert drive(callbacks=lambda r: answer).steps == 12


def test_a_stopped_run_is_asked_about_first_when_it_is_called_again(tmp_path):
    def flat(result):
        return result.steps >= 6

    first, again = (drive(callbacks=flat, checkpoints=tmp_path) for _ in range(2))
    assert first.steps == again.steps == 6
    onwards = drive(checkpoints=tmp_path)
    assert onwards.steps == 12 and onwards.status is nashpo.Status.FINISHED


def test_a_stopped_result_is_saved_as_one(tmp_path):
    stopped = drive(tol=1e-12, callbacks=lambda r: True)
    assert stopped.status is nashpo.Status.STOPPED
    again = nashpo.Result.load(stopped.save(tmp_path / "run.nc"))
    assert (again.status, again.planned, again.steps) == (nashpo.Status.STOPPED, 12, 3)


def test_the_tolerance_counts_before_a_callback():
    met = drive(tol=10.0, callbacks=lambda r: True)
    assert met.steps == 0 and met.status is nashpo.Status.CONVERGED


def test_tensorboard_gets_every_number_once():
    writer = Writer()
    result = drive(callbacks=TensorBoard(writer, "run/"), every=2, metrics=[metrics.entropy, metrics.probs])
    wanted = {
        (f"run/{name}", int(step)): [float(value)]
        for name in ("duality_gap", "entropy")
        for step, value in zip(result.trace["step"], result.trace[name], strict=True)
    }
    assert writer.points == wanted
    assert writer.flushed == 2


def test_tensorboard_of_a_resumed_run_writes_the_same_numbers(tmp_path):
    whole, parts = Writer(), Writer()
    drive(callbacks=TensorBoard(whole))
    drive(callbacks=[TensorBoard(parts), lambda r: r.steps == 6], checkpoints=tmp_path)
    drive(callbacks=TensorBoard(parts), checkpoints=tmp_path)
    assert {point: set(values) for point, values in parts.points.items()} == {
        p: set(v) for p, v in whole.points.items()
    }


def test_one_writer_callback_serves_one_run_after_another():
    writer = Writer()
    callback = TensorBoard(writer)
    drive(callbacks=callback)
    drive(steps=6, callbacks=callback)
    assert {step: len(values) for (_, step), values in writer.points.items()} == {s: 1 + (s <= 6) for s in range(1, 13)}
    for segment in (3, 12):
        nashpo.drive(GAMES["random"](), EGPO(0.5), steps=12, segment=segment, callbacks=callback)
    assert {step: len(values) for (_, step), values in writer.points.items()} == {s: 3 + (s <= 6) for s in range(1, 13)}


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


def watched(monkeypatch) -> Screen:
    """Somebody sits before a terminal. (Not a fixture: pytest puts stderr back before a test begins.)"""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    screen = Screen()
    monkeypatch.setattr("sys.stderr", screen)
    return screen


def test_progress_shows_steps_gap_and_time_left(monkeypatch):
    screen = watched(monkeypatch)
    result = drive(callbacks=Progress())
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "compiling" in shown
    assert "12/12 steps" in shown and f"gap {result.trace['duality_gap'][-1]:.1e}" in shown
    assert "0:00:00" in shown


def test_progress_of_a_resumed_run_starts_where_it_stands(monkeypatch, tmp_path):
    watched(monkeypatch)
    drive(callbacks=lambda r: r.steps == 9, checkpoints=tmp_path)
    bar, steps = Progress(), []

    def look(result):
        task = bar._bar.tasks[0]
        steps.append((task.completed, task.total, task.speed))

    drive(callbacks=[bar, look], checkpoints=tmp_path)
    assert steps[0] == (9, 12, None), "what an earlier run has done says nothing about the time left"
    assert steps[-1][:2] == (12, 12)


def test_progress_is_taken_down_when_the_run_breaks_off(monkeypatch):
    watched(monkeypatch)
    bar = Progress()
    with pytest.raises(ZeroDivisionError):
        drive(callbacks=[bar, lambda r: 1 / 0])
    assert bar._bar is None
    drive(callbacks=bar)


def test_progress_is_silent_where_nobody_watches(capfd):
    drive(callbacks=Progress())
    assert capfd.readouterr() == ("", "")
    with pytest.raises(ValueError, match="enter it first"):
        Progress()(drive())


def test_progress_of_a_game_whose_gap_is_not_known(monkeypatch):
    screen = watched(monkeypatch)
    longer = Judge(lambda prompts, left, right: jnp.where(left > right, 0.8, jnp.where(left < right, 0.2, 0.5)))
    game = nashpo.Game.from_oracle(longer, beta=0.1, reference=Tabular(np.zeros((1, 3))), prompts=[1.0])
    nashpo.drive(game, EGPO(0.5), learner=Sampled(0.01), steps=2, callbacks=Progress())
    assert "2/2" in screen.getvalue() and "gap" not in screen.getvalue()


@pytest.mark.parametrize("callbacks", [[1], "bar", 3.5, None])
def test_what_cannot_be_called_back(callbacks):
    with pytest.raises(ValueError, match="give a function of a result, or a list of such functions"):
        drive(callbacks=callbacks)

"""A run that is broken off goes on where it stood, and ends as if nothing had happened."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cases import EVERY, GAMES, SOLVERS, STEPS

import nashpo
from nashpo import metrics
from nashpo.oracles import Noisy, Table
from nashpo.run import Plan
from nashpo.solvers import EGPO
from nashpo.struct import record

ROOT = Path(__file__).resolve().parents[1]
every_solver = pytest.mark.parametrize("name", SOLVERS)
pytestmark = pytest.mark.filterwarnings(
    "ignore::nashpo.StepSizeWarning", "ignore::nashpo.solvers.regret_matching.PenaltyIgnoredWarning"
)


def game() -> nashpo.Game:
    return GAMES["random"]()


def same(found: nashpo.Result, expected: nashpo.Result) -> None:
    """Equal to the bit: state, answer, last iterate, trace."""
    for one, other in zip(jax.tree.leaves(found.state), jax.tree.leaves(expected.state), strict=True):
        assert bits(one) == bits(other)
    assert bits(found.policy.log_probs()) == bits(expected.policy.log_probs())
    assert bits(found.last.log_probs()) == bits(expected.last.log_probs())
    assert list(found.trace) == list(expected.trace)
    for name, values in expected.trace.items():
        assert bits(found.trace[name]) == bits(values), name
    assert found.status is expected.status


def bits(values) -> tuple:
    if jnp.issubdtype(values.dtype, jax.dtypes.prng_key):
        values = jax.random.key_data(values)
    values = np.asarray(values)
    return values.shape, str(values.dtype), values.tobytes()


def breaking_off(at: int):
    """A callback during which somebody presses Ctrl-C, once the run has taken `at` steps."""

    def callback(result):
        if result.steps >= at:
            raise KeyboardInterrupt

    return callback


@every_solver
def test_every_solver_resumes_to_the_same_bits(name, tmp_path):
    solver, settings = SOLVERS[name].make(0.3), {"steps": STEPS, "every": EVERY, "metrics": [metrics.entropy]}
    expected = nashpo.solve(game(), solver, **settings)
    at = EVERY * (1 + len(name) % 2)
    with pytest.raises(KeyboardInterrupt, match=f"step {at} of {STEPS} is saved in .*; the same call goes on"):
        nashpo.drive(game(), solver, **settings, segment=1, checkpoints=tmp_path, callbacks=breaking_off(at))
    seen = []
    found = nashpo.drive(
        game(), solver, **settings, segment=1, checkpoints=tmp_path, callbacks=lambda r: seen.append(r.steps)
    )
    assert seen == list(range(at, STEPS + 1, EVERY))
    same(found, expected)


SETTINGS = {
    "plain": {"steps": 23, "every": 3},
    "tolerance": {"steps": 400, "every": 2, "tol": 1e-4},
    "start, key and metrics": {
        "steps": 17, "every": 1, "start": [0.2, 0.1, 0.3, 0.15, 0.25], "key": 7, "metrics": [metrics.probs]
    },
    "a key": {"steps": 10, "every": 5, "key": jax.random.key(3)},
}  # fmt: skip


@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] * (n != "plain")) for n in SETTINGS])
def test_broken_off_again_and_again_at_random(name, tmp_path, monkeypatch):
    settings, chance = SETTINGS[name], random.Random(name)
    noisy = nashpo.Game.from_oracle(Noisy(Table(np.asarray(game().oracle.table())), 3, 0.1), beta=0.5)
    one = noisy if "key" in settings else game()
    expected = nashpo.solve(one, EGPO(0.5), **settings)
    run = Plan.advance

    def advance(plan, *arguments):
        if chance.random() < 0.4:
            raise KeyboardInterrupt
        return run(plan, *arguments)

    monkeypatch.setattr(Plan, "advance", advance)
    for _ in range(200):
        try:
            segment = chance.choice([1, 2, 3])
            found = nashpo.drive(one, EGPO(0.5), **settings, segment=segment, checkpoints=tmp_path, keep=2)
            break
        except KeyboardInterrupt:
            pass
    same(found, expected)
    assert len([path for path in tmp_path.iterdir() if path.name.isdigit()]) <= 2


@record
class Walk:
    """A solver whose state is of many kinds: keys, numbers, lists, a mapping, arrays with nothing in them."""

    size: float

    def init(self, game, start):
        return {
            "keys": jax.random.split(jax.random.key(5), 2),
            "pair": [jnp.asarray(start.log_probs()), (jnp.zeros((0, 3)), jnp.zeros((), jnp.bfloat16))],
            "flag": jnp.asarray(False),
            "none": None,
        }

    def step(self, game, state, key):
        logits, (empty, half) = state["pair"]
        noise = jax.vmap(lambda k: jax.random.normal(k, logits.shape))(state["keys"]).sum(0)
        keys = jax.vmap(lambda k: jax.random.split(k)[0])(state["keys"])
        pair = [jax.nn.log_softmax(logits + self.size * noise), (empty, half + jnp.asarray(0.1, jnp.bfloat16))]
        return {"keys": keys, "pair": pair, "flag": ~state["flag"], "none": None}, {}

    def policy(self, state):
        return nashpo.policies.Tabular(state["pair"][0])

    last = policy


@pytest.mark.parametrize("double", [True, False])
def test_any_state_resumes(double, tmp_path):
    with jax.enable_x64(double):
        expected = nashpo.solve(game(), Walk(0.1), steps=9)
        with pytest.raises(KeyboardInterrupt):
            nashpo.drive(game(), Walk(0.1), steps=9, segment=2, checkpoints=tmp_path, callbacks=breaking_off(4))
        same(nashpo.drive(game(), Walk(0.1), steps=9, segment=3, checkpoints=tmp_path), expected)


def test_a_finished_run_returns_at_once(tmp_path, monkeypatch):
    def impossible(*_):
        raise AssertionError("no step is taken")

    for name, settings in {"steps": {"steps": 10}, "tol": {"steps": 50, "tol": 1e-3}}.items():
        settings |= {"segment": 4, "checkpoints": tmp_path / name}
        first = nashpo.drive(game(), EGPO(1.0), **settings)
        with monkeypatch.context() as patch:
            patch.setattr(Plan, "advance", impossible)
            seen = []
            again = nashpo.drive(game(), EGPO(1.0), **settings, callbacks=lambda r, seen=seen: seen.append(r.steps))
        same(again, first)
        assert seen == [first.steps]


def test_a_run_that_went_wrong_returns_at_once(tmp_path):
    unstable = nashpo.Game.from_table(np.array([[0.0, 1e200], [-1e200, 0.0]]), beta=0.0, scale="score")
    settings = {"steps": 40, "segment": 5}
    expected = nashpo.solve(unstable, EGPO(1e200), steps=40)
    assert expected.status is nashpo.Status.NONFINITE
    for _ in range(2):
        found = nashpo.drive(unstable, EGPO(1e200), **settings, checkpoints=tmp_path)
        assert found.status is expected.status
        with pytest.raises(nashpo.SolveError, match="not finite"):
            found.check()


def test_a_start_within_the_tolerance_is_the_end(tmp_path):
    settings = {"steps": 10, "tol": 10.0}
    for _ in range(2):
        same(
            nashpo.drive(game(), EGPO(1.0), **settings, checkpoints=tmp_path),
            nashpo.solve(game(), EGPO(1.0), **settings),
        )


def test_a_run_can_be_taken_further(tmp_path):
    settings = {"every": 4, "segment": 1, "checkpoints": tmp_path}
    nashpo.drive(game(), EGPO(0.5), steps=8, **settings)
    same(nashpo.drive(game(), EGPO(0.5), steps=14, **settings), nashpo.solve(game(), EGPO(0.5), steps=14, every=4))
    further = nashpo.drive(game(), EGPO(0.5), steps=16, **settings)
    same(further, nashpo.solve(game(), EGPO(0.5), steps=16, every=4))
    with pytest.raises(ValueError, match=r"the run there has taken 16 steps already, more than steps=8\."):
        nashpo.drive(game(), EGPO(0.5), steps=8, **settings)


def test_a_run_that_ended_between_two_measurements_is_not_taken_further(tmp_path):
    settings = {"every": 4, "checkpoints": tmp_path, "keep": 1}
    nashpo.drive(game(), EGPO(0.5), steps=6, **settings)
    with pytest.raises(ValueError, match="after 6 steps, which is no multiple of every=4: it cannot go on to steps=12"):
        nashpo.drive(game(), EGPO(0.5), steps=12, **settings)


PROGRAM = """
import sys, warnings
warnings.simplefilter("error")
import jax
jax.config.update("jax_enable_x64", True)
import nashpo
from nashpo.oracles import Noisy, Table
from nashpo.solvers import EGPO
P = [[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]]
game = nashpo.Game.from_oracle(Noisy(nashpo.Game.from_table(P).oracle, 3, 0.1), beta=0.5)
settings = dict(steps=60, every=2, key=1)
def tell(result):
    print(result.steps, flush=True)
if __name__ == "__main__":
    nashpo.drive(game, EGPO(0.1), **settings, segment=1, checkpoints=sys.argv[1], callbacks=tell)
"""


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    path = tmp_path_factory.mktemp("program") / "program.py"
    path.write_text(PROGRAM)
    return path


def start(program: Path, folder: Path) -> subprocess.Popen:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(program), str(folder)]
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def wait_for(process: subprocess.Popen, lines: int) -> int:
    """Read until the run has told where it stands so many times; the step it told last."""
    step = 0
    for _ in range(lines):
        line = process.stdout.readline()
        if not line:
            raise AssertionError(process.stderr.read())
        step = int(line)
    return step


def expected_of(program: Path) -> nashpo.Result:
    names: dict = {"__name__": "program"}
    exec(compile(program.read_text(), str(program), "exec"), names)
    return nashpo.solve(names["game"], EGPO(0.1), **names["settings"])


@pytest.mark.parametrize("kills", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_killed_at_random_moments(program, tmp_path, kills):
    chance = random.Random(kills)
    for _ in range(kills):
        process = start(program, tmp_path)
        told = wait_for(process, chance.randint(1, 4))
        time.sleep(chance.uniform(0.0, 0.06))
        process.kill()
        process.communicate()
        saved = max(int(path.name) for path in tmp_path.iterdir() if path.name.isdigit())
        assert saved >= told
    finished = start(program, tmp_path)
    out, err = finished.communicate()
    assert finished.returncode == 0 and err == ""
    assert int(out.split()[0]) >= saved and out.split()[-1] == "60"
    expected = expected_of(program)
    names: dict = {"__name__": "program"}
    exec(compile(program.read_text(), str(program), "exec"), names)
    same(nashpo.drive(names["game"], EGPO(0.1), **names["settings"], checkpoints=tmp_path), expected)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".lock", "00000056", "00000058", "00000060"]


def test_ctrl_c_saves_the_segment_and_says_how_to_go_on(program, tmp_path):
    process = start(program, tmp_path)
    told = wait_for(process, 2)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert process.returncode != 0
    last = err.strip().splitlines()[-1]
    saved = max(int(path.name) for path in tmp_path.iterdir() if path.name.isdigit())
    assert last == (
        f"KeyboardInterrupt: broken off: step {saved} of 60 is saved in {tmp_path}; the same call goes on from there."
    )
    assert saved >= told


def test_two_runs_do_not_share_a_folder(tmp_path):
    refused = []

    def second(result):
        with pytest.raises(ValueError, match="another run is writing to this folder") as error:
            nashpo.drive(game(), EGPO(0.5), steps=4, checkpoints=tmp_path)
        refused.append(error)

    nashpo.drive(game(), EGPO(0.5), steps=4, segment=2, checkpoints=tmp_path, callbacks=second)
    assert len(refused) == 2


def test_nothing_is_printed_and_no_thread_is_left(tmp_path, capfd):
    import threading

    before = set(threading.enumerate())
    for _ in range(2):
        nashpo.drive(game(), EGPO(0.5), steps=6, segment=2, checkpoints=tmp_path)
    assert set(threading.enumerate()) == before
    assert capfd.readouterr() == ("", "")


def test_in_a_running_event_loop(tmp_path):
    import asyncio

    async def cell():
        return nashpo.drive(game(), EGPO(0.5), steps=6, segment=2, checkpoints=tmp_path)

    same(asyncio.run(cell()), nashpo.solve(game(), EGPO(0.5), steps=6))


@pytest.mark.parametrize("setting", [{"segment": 0}, {"segment": 1.5}, {"keep": 0}])
def test_counts_are_checked(setting, tmp_path):
    name, value = next(iter(setting.items()))
    with pytest.raises(ValueError, match=f"{name}={value}"):
        nashpo.drive(game(), EGPO(0.5), steps=4, checkpoints=tmp_path, **setting)

"""Studies in processes of their own: killed at any moment, interrupted, two at once."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nashpo.studies import read_study, run_study

STUDY = """
[study]
steps = 6
every = 3
starts = "random"

[games.random]
generator = "nashpo_games:random_constant_sum"
n = [3, 5, 9]
seeds = 2

[solvers.egpo]
solver = "egpo"
eta = [0.1, 0.3]
"""
CELLS = 6
SCRIPT = """
import os, signal, sys, time
from nashpo.studies import run_study

study, folder, pause, moves = sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4])
replace = os.replace

def die_before_moving(source, target):
    global moves
    if str(target).startswith(folder):
        moves -= 1
        if moves == 0:
            os.kill(os.getpid(), signal.SIGKILL)
    replace(source, target)

def report(cell, state):
    print(cell.game_name, state, flush=True)
    if state == "computing":
        time.sleep(pause)

os.replace = die_before_moving if moves else replace
found = run_study(study, folder, report=report)
print(f"{found.computed} computed, {found.kept} kept", flush=True)
"""


@pytest.fixture
def study(tmp_path) -> Path:
    path = tmp_path / "study.toml"
    path.write_text(STUDY)
    return path


def environment() -> dict[str, str]:
    return os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}


def start(study: Path, folder: Path, pause: float = 0.0, moves: int = 0, devices: int = 1) -> subprocess.Popen:
    """A process that runs the study, waits in every cell, and kills itself before it moves a file for the n-th time."""
    command = [sys.executable, "-c", SCRIPT, str(study), str(folder), str(pause), str(moves)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    several = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={devices}"
    return subprocess.Popen(command, env=environment() | {"XLA_FLAGS": several}, text=True, **pipes)  # pyright: ignore


def finish(process: subprocess.Popen) -> list[str]:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err[-2000:]
    return out.splitlines()


def results(folder: Path) -> bytes:
    return (folder / "results.nc").read_bytes()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> bytes:
    """The results of a run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "study.toml").write_text(STUDY)
    assert finish(start(folder / "study.toml", folder / "out"))[-1] == f"{CELLS} computed, 0 kept"
    return results(folder / "out")


def kill_at_random(study: Path, folder: Path, seed: int, kills: int) -> None:
    draw = random.Random(seed)
    for _ in range(kills):
        process = start(study, folder, pause=0.1)
        assert process.stdout is not None
        for _ in range(draw.randrange(1, 2 * CELLS)):
            if not process.stdout.readline():
                break
        time.sleep(draw.uniform(0.0, 0.12))
        process.kill()
        process.communicate()


@pytest.mark.parametrize(("seed", "kills"), [(1, 2), pytest.param(2, 12, marks=pytest.mark.slow)])
def test_killed_at_random_moments_the_results_are_those_of_an_undisturbed_run(study, tmp_path, whole, seed, kills):
    folder = tmp_path / "killed"
    kill_at_random(study, folder, seed, kills)
    saved = len(list((folder / "cells").glob("*.nc")))
    found = run_study(study, folder)
    assert (found.computed, found.kept) == (CELLS - saved, saved)
    assert results(folder) == whole
    assert sorted(path.name for path in folder.iterdir()) == ["cells", "results.nc", "study.json"]
    assert len(list((folder / "cells").iterdir())) == CELLS + 1


@pytest.mark.parametrize("moves", [3, pytest.param(1, marks=pytest.mark.slow), pytest.param(8, marks=pytest.mark.slow)])
def test_killed_while_it_writes_a_file(study, tmp_path, whole, moves):
    # The moves are those of study.json, of six cells, and of results.nc.
    process = start(study, tmp_path / "killed", moves=moves)
    process.communicate(timeout=300)
    assert process.returncode == -signal.SIGKILL
    folder = tmp_path / "killed"
    saved = len(list((folder / "cells").glob("*.nc")))
    assert saved == max(0, moves - 2) and not (folder / "results.nc").exists()
    found = run_study(study, folder)
    assert (found.computed, found.kept) == (CELLS - saved, saved)
    assert results(folder) == whole
    assert not [path for path in folder.rglob(".*") if path.name != ".locks"]


def test_two_processes_share_the_cells_and_both_end_with_all(study, tmp_path, whole):
    folder = tmp_path / "shared"
    first, second = (start(study, folder, pause=0.3) for _ in range(2))
    ends = [finish(process) for process in (first, second)]
    computed = [sum(line.endswith("computed") for line in lines[:-1]) for lines in ends]
    assert sum(computed) == CELLS
    assert [lines[-1] for lines in ends] == [f"{own} computed, {CELLS - own} kept" for own in computed]
    keys = {f"{cell.key}.nc" for cell in read_study(study).cells}
    assert {path.name for path in (folder / "cells").glob("*.nc")} == keys
    assert results(folder) == whole


def test_ctrl_c_says_how_to_go_on(study, tmp_path):
    command = [sys.executable, "-m", "nashpo", "sweep", str(study)]
    study.write_text(STUDY.replace("seeds = 2", "seeds = 100"))
    process = subprocess.Popen(command, env=environment(), text=True, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    folder = tmp_path / "study"
    while process.poll() is None and not list(folder.glob("cells/*.nc")):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    saved = len(list(folder.glob("cells/*.nc")))
    message = f"interrupted; {saved} of 300 cells are done and kept in {folder}. The same command goes on from there."
    assert out == "" and message in err and "Traceback" not in err
    study.write_text(STUDY)
    assert run_study(study, folder).kept > 0


@pytest.mark.slow
def test_the_number_of_devices_changes_nothing(study, tmp_path, whole):
    finish(start(study, tmp_path / "eight", devices=8))
    assert results(tmp_path / "eight") == whole

"""The experiments run short, the benchmark runs, whichever of its peers are installed, and checks what it times."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nashpo.cli.reproduce import find_scripts, load_script

ROOT = Path(__file__).resolve().parents[1]
BENCHMARKS = ROOT / "experiments" / "benchmarks"
EXPERIMENTS = [path.stem for path in find_scripts().values()]
LONG = {
    "egpo_neural",
    "egpo_simulations",
    "language_styles",
    "minimax_winner_control",
    "noise_floors",
    "policy_classes",
    "preference_losses",
    "stability_maps",
}
"""Experiments that compile for more than a few seconds even when they run short."""


def run(*arguments: str, script: str = "tabular.py") -> subprocess.CompletedProcess:
    paths = [str(ROOT), str(ROOT / "games"), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path), "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(BENCHMARKS / script), "--smoke", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment)


def load(name: str):
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def peers():
    yield load("peers")
    sys.modules.pop("peers")


@pytest.fixture
def timing():
    yield load("timing")
    sys.modules.pop("timing")


def test_sections_run_and_answers_are_good(tmp_path):
    done = run("--sections", "kl,lottery,steps", "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines()[2:])) <= 100
    written = json.loads((tmp_path / "figures.json").read_text())
    assert [path.name for path in tmp_path.iterdir()] == ["figures.json"]
    races = [row for row in written["rows"] if row["section"] in ("kl", "lottery")]
    assert {(row["game"], row["beta"]) for row in races} == {
        (game, beta) for game in ("uniform", "embedded") for beta in (0.0, 0.01, 0.1)
    }
    for row in races:
        assert row["candidates"]["nashpo"]["good"] and row["candidates"]["public"]["good"]
        assert row["seconds"] > 0
    assert sum(row["section"] == "steps" for row in written["rows"]) == 12


@pytest.mark.slow
def test_processes_are_measured(tmp_path):
    done = run("--sections", "start,memory", "--json", str(tmp_path / "figures.json"))
    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row["value"] for row in json.loads((tmp_path / "figures.json").read_text())["rows"]}
    assert rows["import nashpo"] > 0 and rows["peak of the same program with 2 responses"] > 0


@pytest.mark.slow
def test_language_models_are_measured_without_peers_and_without_a_gpu(tmp_path):
    done = run("--sections", "generation,memory,gpu", "--json", str(tmp_path / "figures.json"), script="lm.py")
    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row["value"] for row in json.loads((tmp_path / "figures.json").read_text())["rows"]}
    assert rows["memory: in chunks, layers made again"] < rows["memory: all logits at once"] / 3
    assert np.isnan(rows["GPU"])


def test_unknown_section_is_named():
    done = run("--sections", "kl,speed")
    assert done.returncode == 2 and "'speed' is not one of" in done.stderr


def test_peers_that_need_no_extra_find_the_equilibrium(peers):
    table = np.array([[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]])
    for peer in (p for p in peers.KL_PEERS if p.package in ("scipy", "numpy")):
        p = peer.solve(peer.prepare(table), 0.1, 1e-12)
        q = np.exp(table @ p / 0.1)
        assert np.allclose(p, q / q.sum(), atol=1e-5), peer.name
    for peer in (p for p in peers.LOTTERY_PEERS if p.package == "scipy"):
        assert np.max((table - 0.5) @ peer.solve(table - 0.5)) <= 1e-9, peer.name


def test_a_peer_that_is_absent_says_so(peers):
    assert peers.Peer("none", "package_that_nobody_has", peers.egpo_numpy).installed is False
    assert peers.Peer("numpy", "numpy", peers.egpo_numpy).installed is True


def test_candidates_take_turns_and_failures_are_reported(timing):
    calls = []

    def fail():
        raise ArithmeticError("no luck")

    found = timing.side_by_side(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b"), "c": fail}, repeats=3, budget=1.0
    )
    assert found["c"].note == "failed: ArithmeticError no luck" and found["c"].rounds == 0
    assert found["a"].rounds == found["b"].rounds == 3
    turns = [calls[0], *(now for before, now in itertools.pairwise(calls) if now != before)]
    assert turns == ["a", "b"] * 4


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name in LONG else name for name in EXPERIMENTS]
)
def test_an_experiment_runs_short_and_finds_what_is_proven(name):
    path = find_scripts()[name]
    script = load_script(path)
    findings = script.main(smoke=True)
    assert findings and all(one.claim and one.source and one.expected for one in findings)
    assert [one for one in findings if one.exact and not one.holds] == []
    written = {file.suffix for file in (path.parent / "results" / name / "smoke").iterdir()}
    assert ".png" in written, "every experiment has a picture"
    assert "--smoke" in path.read_text() or "command(main" in path.read_text()

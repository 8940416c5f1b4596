"""Sweeps: every lane is the run that `solve` makes, whatever it shares a program with."""

import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import jax
import numpy as np
import pytest
from cases import EVERY, GAMES, REFERENCE, SOLVERS, STEPS, random_table

import nashpo
from nashpo import metrics
from nashpo.learners import Exact
from nashpo.oracles import BradleyTerry, GeneralPreference, Noisy, Table
from nashpo.solver import SolveError, Status
from nashpo.solvers import APO, EGPO, INPO, MNPO, SPO, FictitiousPlay, NashMD
from nashpo.stage import Harmonic, StepSizeWarning
from nashpo.sweeps import Sweep, blocks, random_start
from nashpo.sweeps.program import run_blocks


def game(seed: int, size: int = 5, beta: float = 0.1, **options) -> nashpo.Game:
    return nashpo.Game.from_table(random_table(seed, size), beta=beta, **options)


def quietly(function, *arguments, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return function(*arguments, **options)


def only(found: Sweep, **place):
    """One lane; axes of length one need no value."""
    lane = found.data.sel(place)
    return lane.squeeze([dim for dim in found.data["final_gap"].dims if dim in lane.dims])


def agree(lane, run: nashpo.Result, rtol: float = 1e-9) -> None:
    contexts, responses = run.game.shape
    policy = lane["policy"].values
    np.testing.assert_allclose(policy[:contexts, :responses], run.policy.probs(), rtol=rtol, atol=1e-14)
    assert np.all(np.isnan(policy[contexts:])) and np.all(np.isnan(policy[:, responses:]))
    gaps = lane["duality_gap"].dropna("step")
    assert gaps["step"].values.tolist() == run.trace["step"][run.trace["step"] > 0].tolist()
    np.testing.assert_allclose(gaps.values, run.trace["duality_gap"][run.trace["step"] > 0], rtol=1e-6, atol=1e-14)
    assert int(lane["steps"]) == run.steps and Status(int(lane["status"])) is run.status


@pytest.mark.parametrize("name", SOLVERS)
def test_every_lane_is_the_run_that_solve_makes(name):
    case = SOLVERS[name]
    allowed = [key for key in GAMES if case.certain or key != "certain"]
    games = {key: GAMES[key]() for key in allowed}
    rule = case.make(0.2)
    found = quietly(nashpo.sweep, games, rule, steps=STEPS, every=EVERY)
    for key, one in games.items():
        run = quietly(nashpo.solve, one, rule, steps=STEPS, every=EVERY)
        agree(only(found, game=key), run)


def test_ragged_games_prompts_betas_step_sizes_and_random_starts_cross():
    several = nashpo.Game.from_table(
        np.stack([random_table(seed, 4) for seed in (3, 4)]), beta=0.3, reference=[0.4, 0.3, 0.2, 0.1]
    )
    games = {"small": game(1, 3), "large": game(2, 7), "prompts": several}
    found = nashpo.sweep(
        games, EGPO(eta=[0.1, 0.4]), betas=[0.1, 1.0], steps=10, every=5, seeds=[3, 8], starts="random"
    )
    assert found.data["final_gap"].dims == ("solver", "game", "beta", "eta", "seed")
    for key, one in games.items():
        for beta in (0.1, 1.0):
            for eta in (0.1, 0.4):
                for seed in (3, 8):
                    own = nashpo.Game(one.oracle, one.reference, beta, one.prompts)
                    start = random_start(own, jax.random.key(seed))
                    run = nashpo.solve(own, EGPO(eta), steps=10, every=5, start=start, key=seed)
                    agree(only(found, game=key, beta=beta, eta=eta, seed=seed), run)


def test_a_game_with_an_array_for_beta_is_swept_over_it():
    table = random_table(1)
    found = nashpo.sweep(nashpo.Game.from_table(table, beta=np.array([0.1, 0.5])), EGPO(0.3), steps=5)
    other = nashpo.sweep(nashpo.Game.from_table(table), EGPO(0.3), steps=5, betas=[0.1, 0.5])
    assert found.data["beta"].values.tolist() == [0.1, 0.5]
    assert found.data.drop_vars("own_beta").equals(other.data.drop_vars("own_beta"))
    with pytest.raises(ValueError, match="must all have the same"):
        nashpo.sweep([nashpo.Game.from_table(table, beta=np.array([0.1, 0.5])), game(2)], EGPO(0.3), steps=5)


def test_arrays_in_several_fields_are_axes_and_one_that_stands_twice_is_one():
    rules = {
        "crossed": APO(eta=np.array([0.1, 0.2]), momentum=np.array([0.0, 0.3, 0.5])),
        "shared": APO(np.array([0.1, 0.2]), 0.3, base=INPO),
        "history": MNPO(0.2, history=(1.0, np.array([0.0, 1.0]))),
    }
    found = nashpo.sweep(game(1), rules, steps=6, every=3)
    assert set(found.data["final_gap"].dims) == {"solver", "game", "beta", "eta", "momentum", "history_1", "seed"}
    count = (found.data["status"] >= 0).sum(["game", "beta", "eta", "momentum", "history_1", "seed"])
    assert count.values.tolist() == [6, 2, 2]
    for momentum in (0.0, 0.3, 0.5):
        run = nashpo.solve(game(1), APO(0.2, momentum), steps=6, every=3)
        agree(only(found, solver="crossed", eta=0.2, momentum=momentum, history_1=np.nan), run)
    run = nashpo.solve(game(1), APO(0.1, 0.3, base=INPO), steps=6, every=3)
    agree(only(found, solver="shared", eta=0.1, momentum=np.nan, history_1=np.nan), run)
    run = nashpo.solve(game(1), MNPO(0.2, history=(1.0, 1.0)), steps=6, every=3)
    agree(only(found, solver="history", eta=0.2, momentum=np.nan, history_1=1.0), run)


def test_rules_of_one_class_schedules_and_solvers_without_a_step_size_stand_side_by_side():
    rules = [NashMD(Harmonic()), NashMD([0.1, 0.2]), FictitiousPlay()]
    found = nashpo.sweep(game(1), rules, steps=6)
    assert found.data["solver"].values.tolist() == ["NashMD", "NashMD 2", "FictitiousPlay"]
    assert (found.data["status"] >= 0).sum("eta").values.ravel().tolist() == [1, 2, 1]
    agree(only(found, solver="NashMD", eta=np.nan), nashpo.solve(game(1), NashMD(Harmonic()), steps=6))


@pytest.mark.parametrize("rule", [EGPO([0.1, 0.2, 0.3, 0.4, 0.5]), FictitiousPlay()])
def test_neither_the_memory_nor_the_other_lanes_change_a_bit(rule):
    games = [game(seed, size) for seed, size in enumerate([4, 6, 3, 6, 5])]
    whole = nashpo.sweep(games, rule, steps=7, every=2, seeds=3, starts="random")
    pieces = nashpo.sweep(games, rule, steps=7, every=2, seeds=3, starts="random", memory=1)
    assert whole.data.equals(pieces.data)


def test_runs_stop_at_the_tolerance_each_at_its_own_step():
    games = {"a": game(1, 4), "b": game(2, 6)}
    found = nashpo.sweep(games, EGPO([0.05, 0.5]), steps=300, every=7, tol=1e-3, betas=[0.5])
    for key, one in games.items():
        for eta in (0.05, 0.5):
            own = nashpo.Game(one.oracle, one.reference, 0.5, one.prompts)
            run = nashpo.solve(own, EGPO(eta), steps=300, every=7, tol=1e-3)
            agree(only(found, game=key, eta=eta), run)
    assert found.check() is found
    missed = nashpo.sweep(games, EGPO(0.05), steps=3, tol=1e-9)
    with pytest.raises(SolveError, match=r"2 of 2 runs ended above the tolerance.*game=a"):
        missed.check()


def test_a_start_that_meets_the_tolerance_takes_no_step():
    even = nashpo.Game.from_table(np.full((3, 3), 0.5), beta=0.1)
    lane = only(nashpo.sweep(even, EGPO(0.5), steps=5, tol=1e-6))
    assert (int(lane["steps"]), Status(int(lane["status"]))) == (0, Status.CONVERGED)
    assert lane["final_gap"] == 0 and np.all(np.isnan(lane["duality_gap"]))


@pytest.mark.parametrize("tol", [None, 1e-12])
def test_a_lane_that_goes_wrong_leaves_the_others_alone(tol):
    etas = [0.1, 1e308, 0.2]
    found = quietly(nashpo.sweep, game(1, beta=2.0), SPO(etas), steps=9, every=3, tol=tol)
    assert found.data["status"].values.ravel().tolist()[1] == Status.NONFINITE
    bad = only(found, eta=1e308)
    run = quietly(nashpo.solve, game(1, beta=2.0), SPO(1e308), steps=9, every=3, tol=tol)
    agree(bad, run)
    with pytest.raises(SolveError, match="step 4 produced"):
        run.check()
    assert int(bad["failed"]) == (4 if tol else 6)
    for eta in (0.1, 0.2):
        run = quietly(nashpo.solve, game(1, beta=2.0), SPO(eta), steps=9, every=3, tol=tol)
        agree(only(found, eta=eta), run)
    with pytest.raises(SolveError, match=r"1 of 3 runs produced a number that is not finite.*eta=1e\+308"):
        found.check()


def test_noisy_oracles_draw_by_seed_and_other_oracles_keep_their_structure():
    table = Table(random_table(1)[None])
    games = {
        "noisy": nashpo.Game.from_oracle(Noisy(table, votes=3), beta=0.1),
        "small": nashpo.Game.from_oracle(Noisy(Table(random_table(2, 3)[None]), votes=3), beta=0.1),
        "embedded": nashpo.Game.from_oracle(
            GeneralPreference(np.random.default_rng(0).normal(size=(1, 6, 4)), scale="score"), beta=0.1
        ),
    }
    found = nashpo.sweep(games, EGPO(0.1), steps=6, every=2, seeds=[1, 9])
    for key, one in games.items():
        for seed in (1, 9):
            run = quietly(nashpo.solve, one, EGPO(0.1), steps=6, every=2, key=seed)
            agree(only(found, game=key, seed=seed), run)
    noisy = found.data["final_gap"].sel(game="noisy").values.ravel()
    assert noisy[0] != noisy[1]
    assert found.data.attrs["scale"] == "mixed"


def test_payoffs_in_whole_numbers_are_swept_as_they_are_solved():
    oracles = {
        "table": Table(np.array([[[0, 2, -1], [-2, 0, 1], [1, -1, 0]]]), "score"),
        "rewards": BradleyTerry(np.array([[3, 1, 0]])),
        "embeddings": GeneralPreference(np.array([[[1, 0], [0, 1], [2, 1]]])),
        "votes": Noisy(BradleyTerry(np.array([[2, 1, 0]])), votes=2),
    }
    games = {name: nashpo.Game.from_oracle(oracle, beta=0.3) for name, oracle in oracles.items()}
    found = nashpo.sweep(games, EGPO([0.2, 0.4]), steps=6)
    for name, one in games.items():
        agree(only(found, game=name, eta=0.4), nashpo.solve(one, EGPO(0.4), steps=6, key=0))
    assert nashpo.sweep(games, EGPO(0.2), steps=2, starts="random").data["policy"].min() > 0


def test_metrics_have_the_axes_they_have_in_a_result():
    measured = [metrics.probs, metrics.exploitability, metrics.Last(metrics.entropy)]
    games = {"a": game(1, 4), "b": game(2, 4)}
    found = nashpo.sweep(games, EGPO([0.1, 0.2]), steps=6, every=3, metrics=measured)
    assert found.data["probs"].dims[-3:] == ("step", "prompt", "item")
    run = nashpo.solve(games["b"], EGPO(0.2), steps=6, every=3, metrics=measured)
    lane = only(found, game="b", eta=0.2)
    for name in ("probs", "exploitability", "last_entropy"):
        np.testing.assert_allclose(lane[name].values, run.trace[name], rtol=1e-9)


def test_metrics_of_padding_are_absent():
    two = nashpo.Game.from_table(np.stack([random_table(3, 4), random_table(4, 4)]), beta=0.1)
    games = {"two prompts": two, "more responses": game(1, 6)}
    found = nashpo.sweep(games, EGPO(0.2), steps=6, every=3, metrics=[metrics.probs, metrics.gap_by_prompt])
    for key, one in games.items():
        contexts, responses = one.shape
        run = nashpo.solve(one, EGPO(0.2), steps=6, every=3, metrics=[metrics.probs, metrics.gap_by_prompt])
        lane = only(found, game=key)
        for name, cut in (("probs", np.s_[:, :contexts, :responses]), ("gap_by_prompt", np.s_[:, :contexts])):
            np.testing.assert_allclose(lane[name].values[cut], run.trace[name], rtol=1e-8, atol=1e-14)
            assert np.isnan(lane[name].values).sum() == lane[name].size - run.trace[name].size


def test_no_steps_measure_the_start_only():
    found = nashpo.sweep(game(1), EGPO([0.1, 0.2]), steps=0)
    run = nashpo.solve(game(1), EGPO(0.1), steps=0)
    assert found.data.sizes["step"] == 0 and found.data["steps"].values.tolist() == [[[[[0], [0]]]]]
    np.testing.assert_allclose(found.data["final_gap"].values.ravel(), run.trace["duality_gap"][[0, 0]])


def test_every_may_be_more_than_all_steps():
    found = nashpo.sweep(game(1), EGPO(0.1), steps=2, every=2**40)
    assert found.data["step"].values.tolist() == [2] and found.data["steps"].values.ravel().tolist() == [2]


def test_starts_are_given_by_seed():
    starts = np.array([[0.2, 0.2, 0.2, 0.2, 0.2], REFERENCE, [1.0, 0, 0, 0, 0]])
    found = nashpo.sweep(game(1), EGPO(0.2), steps=4, seeds=3, starts=starts)
    for seed, start in enumerate(starts):
        agree(only(found, seed=seed), nashpo.solve(game(1), EGPO(0.2), steps=4, start=start))


def test_one_compilation_a_rule_for_new_numbers_and_games():
    def run(seed, etas, betas):
        return nashpo.sweep([game(seed, 6), game(seed + 1, 4)], EGPO(etas), betas=betas, steps=8 + seed % 2, every=4)

    run(0, [0.1, 0.2, 0.3, 0.4], [0.1])
    before = run_blocks.program._cache_size()
    run(1, [0.3, 0.4, 0.5, 0.6], [0.7])
    assert run_blocks.program._cache_size() == before + 1  # steps 8 and 9 are two and three measurements
    run(2, [0.15, 0.2, 0.3, 0.4], [0.2])
    run(3, [0.15, 0.2, 0.3, 0.4], [0.2])
    assert run_blocks.program._cache_size() == before + 1


def test_ctrl_c_is_heard_while_a_sweep_is_computed(monkeypatch):
    def interrupt(seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(blocks.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        nashpo.sweep(game(0, size=100), EGPO(0.1), steps=10_000, every=10_000)


def test_a_sweep_is_saved_and_read_again(tmp_path):
    games = [game(seed, items=["tea", "coffee", "milk"], size=3) for seed in range(2)]
    found = nashpo.sweep(games, [EGPO([0.1, 0.2]), FictitiousPlay()], steps=6, every=3, metrics=[metrics.probs])
    again = Sweep.load(found.save(tmp_path / "sweep.nc"))
    assert again.data.equals(found.data) and again.data.attrs.keys() == found.data.attrs.keys()
    assert repr(again) == "Sweep(2 solvers, 2 games, 6 runs: 6 finished)"
    assert json.loads(again.data.attrs["solvers"])["FictitiousPlay"] == "FictitiousPlay()"
    assert again.data["item"].values.tolist() == ["tea", "coffee", "milk"]
    frame = again.to_dataframe()
    assert len(frame) == 6 * 2 and set(frame.columns) == {"duality_gap", "final_gap", "status"}
    with pytest.raises(ValueError, match="not a sweep"):
        Sweep.load(nashpo.solve(games[0], EGPO(0.1), steps=2).save(tmp_path / "run.nc"))
    (tmp_path / "text.nc").write_text("no netCDF")
    with pytest.raises(ValueError, match=r"text\.nc: cannot be read as netCDF; give what .*Sweep\.save wrote"):
        Sweep.load(tmp_path / "text.nc")
    with pytest.raises(FileNotFoundError, match=r"nowhere\.nc"):
        Sweep.load(tmp_path / "nowhere.nc")
    with pytest.raises(ValueError, match="does not exist"):
        found.save(tmp_path / "missing" / "sweep.nc")


def test_numbers_are_single_precision_where_the_tables_are():
    single = nashpo.Game.from_table(random_table(1).astype(np.float32), beta=0.1)
    found = nashpo.sweep(single, EGPO([0.1, 0.2]), steps=20, every=10, betas=[0.1])
    run = nashpo.solve(single, EGPO(0.2), steps=20, every=10)
    assert run.trace["duality_gap"].dtype == np.float32
    gaps = found.data["duality_gap"].sel(eta=0.2).values.ravel()
    np.testing.assert_allclose(gaps, run.trace["duality_gap"], rtol=1e-4)
    assert np.array_equal(gaps, gaps.astype(np.float32))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"games": []}, "at least one game"),
        ({"games": {"x": 3}}, "'x' is 3, not a Game"),
        ({"games": np.full((9, 9), 0.5)}, "'game 0' is a ndarray, not a Game"),
        ({"games": "pokemon_types"}, "'game 0' is 'pokemon_types', not a Game"),
        ({"rules": []}, "at least one rule"),
        ({"rules": EGPO([])}, r"EGPO: eta has shape \(0,\)"),
        ({"rules": EGPO(np.ones((2, 2)))}, r"EGPO: eta has shape \(2, 2\)"),
        ({"rules": EGPO([0.1, -1.0])}, "eta must be a positive finite number"),
        ({"betas": [0.1, -1.0]}, "finite numbers that are at least 0"),
        ({"betas": []}, "finite numbers that are at least 0"),
        ({"seeds": 0}, "seeds=0"),
        ({"seeds": [1, 1]}, "different whole numbers"),
        ({"starts": "somewhere"}, 'starts="somewhere"'),
        ({"starts": np.full((2, 5), 0.2)}, "for 1 seeds"),
        ({"tol": -1.0}, "tol=-1.0"),
        ({"steps": 2.5}, "steps=2.5"),
        ({"steps": 2**30 + 1}, "steps=1073741825: must be a whole number, from 0 to 1073741824"),
        ({"memory": 0}, "memory=0"),
        ({"games": {1: game(1), "1": game(2)}}, "two games are called '1'"),
        ({"rules": {1: EGPO(0.1), "1": EGPO(0.2)}}, "two rules are called '1'"),
        ({"tol": "small"}, "tol='small'"),
        ({"betas": ["a"]}, "betas must be a full array of real numbers"),
        ({"devices": []}, r"devices=\[\]: give a list of at least one"),
        ({"devices": "cpu"}, "devices='cpu': give a list of at least one"),
        ({"devices": 1}, "devices=1: give a list of at least one"),
        ({"starts": ["random"]}, "starts must be a full array of real numbers"),
        ({"starts": [[0.5, 0.5], [0.2, 0.3, 0.5]], "seeds": 2}, "starts must be a full array of real numbers"),
        ({"learner": Exact(), "rules": FictitiousPlay()}, "takes no learner"),
    ],
)
def test_what_cannot_be_run_is_refused_in_a_sentence(options, sentence):
    arguments = {"games": game(1), "rules": EGPO(0.1), "steps": 3} | options
    with pytest.raises(ValueError, match=sentence):
        nashpo.sweep(arguments.pop("games"), arguments.pop("rules"), **arguments)


def test_step_sizes_above_a_proven_limit_make_one_warning():
    with pytest.warns(StepSizeWarning, match=r"EGPO\(eta=3\).*1 more settings like this") as caught:
        nashpo.sweep(game(1), EGPO([0.1, 3.0, 5.0]), steps=2)
    assert len(caught) == 1 and caught[0].filename == __file__


EIGHT = """
import sys, numpy as np, nashpo, jax
from nashpo.solvers import EGPO
sys.path.insert(0, {tests!r})
from cases import random_table
assert jax.local_device_count() == 8
games = [nashpo.Game.from_table(random_table(s, 3 + s % 4), beta=0.1) for s in range(11)]
etas = EGPO(np.geomspace(0.1, 0.4, 130))
for rule, some, tol in ((EGPO(0.3), games, None), (EGPO(0.3), games, 1e-3), (etas, games[:1], None)):
    one, eight = (
        nashpo.sweep(some, rule, steps=9, every=3, seeds=3, starts="random", tol=tol, devices=devices)
        for devices in (jax.devices()[:1], None)
    )
    assert one.data.equals(eight.data)
print("equal")
"""


def test_eight_devices_give_the_numbers_of_one():
    tests = str(Path(__file__).parent)
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_ENABLE_X64": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    done = subprocess.run(
        [sys.executable, "-c", EIGHT.format(tests=tests)], env=environment, capture_output=True, text=True, check=False
    )
    assert done.stdout == "equal\n", done.stderr[-2000:]

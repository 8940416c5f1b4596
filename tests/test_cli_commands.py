"""What the commands compute, print and write."""

import csv
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import nashpo
from nashpo.cli import main
from nashpo.cli.inputs import load_policy

GAME = "nashpo_games:biased_rps"


@pytest.fixture(autouse=True)
def no_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NASHPO_CACHE", "off")
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)


def run(capsys, *arguments):
    code = main([str(a) for a in arguments])
    out, err = capsys.readouterr()
    return code, out, err


def exact(spec=GAME, beta=0.1):
    from nashpo.catalog import build_game

    return nashpo.equilibrium(build_game(spec, beta=beta)).probs()


def test_solve_prints_the_equilibrium_and_its_certificate(capsys):
    code, out, err = run(capsys, "solve", GAME)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "nashpo_games:biased_rps: 3 items, payoff win probability, beta 0.1, reference uniform"
    assert lines[1].startswith("EGPO(eta=1.66667), ") and "tolerance 1e-12 reached" in lines[1]
    table = {cells[0]: cells[1:] for cells in (line.split() for line in lines[4:7])}
    for name, probability in zip(("rock", "paper", "scissors"), exact()[0], strict=True):
        assert table[name][0] == f"{probability:.4f}"
        assert table[name][3] == f"{probability:.4f}"
    assert "exact equilibrium: gap " in out and "unique (Newton" in out
    assert "\x1b" not in out and not set("│─━┃█▌") & set(out)


def test_json_holds_everything_in_full_precision(capsys):
    code, out, _ = run(capsys, "solve", GAME, "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["status"], document["payoff"], document["beta"]) == ("CONVERGED", "win probability", 0.1)
    assert document["duality_gap"] <= 1e-12 == document["tol"]
    assert document["trace"]["step"][-1] == document["steps"]
    assert document["trace"]["duality_gap"][-1] == pytest.approx(document["duality_gap"], rel=1e-6)
    policy = np.array([row["probability"] for row in document["policy"]])
    np.testing.assert_allclose(policy, exact()[0], atol=2e-6)
    certificate = document["certificate"]
    np.testing.assert_allclose([row["equilibrium"] for row in document["policy"]], exact()[0], atol=1e-14)
    assert certificate["largest_probability_difference"] == np.abs(policy - exact()[0]).max()
    assert certificate["unique"] and certificate["duality_gap"] < 1e-25 and certificate["support"] == [3]


def test_outputs_are_read_back(capsys, tmp_path):
    for suffix in ("csv", "json", "nc", "png"):
        option = "--plot" if suffix == "png" else "--output"
        assert run(capsys, "solve", GAME, option, f"out.{suffix}")[0] == 0
    assert sorted(os.listdir(tmp_path)) == ["out.csv", "out.json", "out.nc", "out.png"]
    document = json.loads((tmp_path / "out.json").read_text())
    wanted = [row["probability"] for row in document["policy"]]
    with open("out.csv", newline="") as file:
        assert [float(row["probability"]) for row in csv.DictReader(file)] == wanted
    for name in ("out.csv", "out.json"):
        np.testing.assert_array_equal(load_policy(name, nashpo_game(0.1))[0], [wanted])
    saved = nashpo.Result.load("out.nc")
    np.testing.assert_allclose(saved.policy.probs()[0], wanted, rtol=1e-14)
    assert saved.trace["duality_gap"].tolist() == document["trace"]["duality_gap"]
    assert (tmp_path / "out.png").read_bytes()[:4] == b"\x89PNG"


def test_a_failed_write_leaves_the_old_file_and_no_rubbish(capsys, tmp_path, monkeypatch):
    (tmp_path / "out.json").write_text("old")
    monkeypatch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    code, _, err = run(capsys, "solve", GAME, "--output", "out.json")
    assert code == 2 and "out.json: cannot be written (No space left on device)" in err
    assert os.listdir() == ["out.json"] and (tmp_path / "out.json").read_text() == "old"


def test_not_converged_is_code_one_and_still_writes(capsys, tmp_path):
    code, out, err = run(capsys, "solve", GAME, "--steps", 3, "--output", "out.json")
    assert code == 1
    assert "3 steps" in out and "missed" in out
    assert err.startswith("nashpo: EGPO(eta=1.66") and "above tol" in err and err.count("\n") == 1
    assert json.loads((tmp_path / "out.json").read_text())["status"] == "NOT_CONVERGED"


def test_a_step_above_the_proven_limit_is_warned_of_in_one_line(capsys):
    code, _, err = run(capsys, "solve", GAME, "--eta", 1.7)
    assert code == 0
    assert err.startswith("nashpo: warning: EGPO(eta=1.7): convergence is proven up to eta = 1.66667")
    assert err.count("\n") == 1


def test_start_reference_and_file_of_options(capsys, tmp_path):
    (tmp_path / "prior.csv").write_text("item,probability\nscissors,0.7\nrock,0.2\npaper,0.1\n")
    (tmp_path / "run.toml").write_text(f'table = "{GAME}"\nbeta = 0.5\nreference = "prior.csv"\nsolver = "inpo"\n')
    code, out, _ = run(capsys, "solve", "--config", "run.toml", "--json", "--solver", "egpo")
    document = json.loads(out)
    assert code == 0 and document["beta"] == 0.5 and document["solver"].startswith("EGPO")
    assert [row["reference"] for row in document["policy"]] == pytest.approx([0.2, 0.1, 0.7])
    again = json.loads(run(capsys, "solve", GAME, "--start", "prior.csv", "--beta", 0.1, "--json")[1])
    assert again["trace"]["duality_gap"][0] != document["trace"]["duality_gap"][0]
    assert [row["reference"] for row in again["policy"]] == pytest.approx([1 / 3] * 3)
    uniform = run(capsys, "solve", "--config", "run.toml", "--reference", "uniform", "--json")[1]
    assert [row["reference"] for row in json.loads(uniform)["policy"]] == pytest.approx([1 / 3] * 3)


def test_tables_bring_their_own_beta(capsys, tmp_path):
    from nashpo.tables import PreferenceTable, write_table

    P = [[0.5, 0.9, 0.4], [0.1, 0.5, 0.7], [0.6, 0.3, 0.5]]
    write_table(PreferenceTable(P, items=["a", "b", "c"], beta=0.25), tmp_path / "t.npz")
    write_table(PreferenceTable(P, items=["a", "b", "c"]), tmp_path / "t.csv")
    assert json.loads(run(capsys, "solve", "t.npz", "--json")[1])["beta"] == 0.25
    assert json.loads(run(capsys, "solve", "t.npz", "--beta", 0.5, "--json")[1])["beta"] == 0.5
    assert json.loads(run(capsys, "solve", "t.csv", "--json")[1])["beta"] == 0.1


def test_verify_accepts_what_solve_wrote_and_refuses_what_is_off(capsys, tmp_path):
    for name in ("out.json", "out.csv", "out.nc"):
        run(capsys, "solve", GAME, "--output", name)
        assert run(capsys, "verify", GAME, name)[0] == 0
    (tmp_path / "bad.json").write_text('{"rock": 0.5, "paper": 0.25, "scissors": 0.25}')
    code, out, err = run(capsys, "verify", GAME, "bad.json", "--json")
    document = json.loads(out)
    game = nashpo_game(0.1)
    policy = np.array([[0.5, 0.25, 0.25]])
    gap = float(nashpo.duality_gap(game, policy))
    response = nashpo.best_response(game, policy).probs()[0]
    assert code == 1 and "above the tolerance 1e-06" in err
    assert document["duality_gap"] == pytest.approx(gap, rel=1e-12) and not document["verified"]
    move = document["best_deviation"]
    assert move["gain"] == pytest.approx(gap / 2, rel=1e-12)
    assert move["item"] == game.items[int(np.argmax(response - policy[0]))]
    assert run(capsys, "verify", GAME, "bad.json", "--tol", 1)[0] == 0


def nashpo_game(beta):
    from nashpo.catalog import build_game

    return build_game(GAME, beta=beta)


def test_verify_takes_beta_from_the_policy_and_plays_without_penalty(capsys, tmp_path):
    run(capsys, "solve", GAME, "--beta", 0.5, "--output", "out.json")
    assert run(capsys, "verify", GAME, "out.json")[0] == 0
    assert run(capsys, "verify", GAME, "out.json", "--beta", 0.1)[0] == 1
    (tmp_path / "pure.csv").write_text("item,probability\nrock,1\n")
    document = json.loads(run(capsys, "verify", GAME, "pure.csv", "--beta", 0, "--json")[1])
    assert document["best_deviation"]["item"] == "paper"
    assert document["best_deviation"]["gain"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", ["out.json", "out.csv", "out.nc"])
def test_verify_takes_the_reference_from_the_policy(capsys, tmp_path, name):
    (tmp_path / "drawn.csv").write_text("item,probability\nrock,0.2\npaper,0.3\nscissors,0.5\n")
    run(capsys, "solve", GAME, "--reference", "drawn.csv", "--output", name)
    code, out, _ = run(capsys, "verify", GAME, name)
    assert code == 0 and "reference given" in out
    assert run(capsys, "verify", GAME, name, "--reference", "uniform")[0] == 1


def test_solve_does_not_replace_the_table_that_it_reads(capsys, tmp_path):
    table = "item,a,b\na,0.5,0.75\nb,0.25,0.5\n"
    (tmp_path / "drinks.csv").write_text(table)
    code, _, err = run(capsys, "solve", "drinks.csv", "--output", "drinks.csv")
    assert code == 2 and "is the file that is read" in err
    assert (tmp_path / "drinks.csv").read_text() == table


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("item,probability\nrock,0.5\nlizard,0.5\n", "line 3 is the item 'lizard', which the game does not have"),
        ("item,probability\nrock,0.5\nrock,0.5\n", "the item 'rock' is used twice (line 2 and line 3)"),
        ("item,probability\nrock,half\n", "line 2: probability is 'half', not a number"),
        ("item,probability\nrock,0.5\n", "probability sums to 0.5, but must sum to 1"),
        ("name,p\nrock,1\n", "needs the columns item and probability (found: name, p)"),
        ("item,probability,Probability\nrock,0.5,1\n", "line 1 has the column probability twice"),
        ("item,probability\n", "has no probabilities; a policy is a CSV with the columns"),
        (" ", "the file is empty; a policy is a CSV with the columns item and probability, or a JSON"),
        ("item,probability\nrock,1.5\npaper,-0.5\n", "('paper') is not a probability"),
        (f"item,probability\nrock,{'1' * 200_000}\n", "after line 1: cannot be read as CSV (field larger"),
    ],
)
def test_mistakes_in_a_policy_are_named(content, message, capsys, tmp_path):
    (tmp_path / "p.csv").write_text(content)
    code, _, err = run(capsys, "verify", GAME, "p.csv")
    assert code == 2 and err.startswith("nashpo: p.csv: ") and message in err


def test_an_infinite_beta_of_a_policy_is_refused(capsys, tmp_path):
    (tmp_path / "p.json").write_text('{"beta": Infinity, "policy": [{"item": "rock", "probability": 1}]}')
    assert "p.json: beta is inf, not a finite number" in run(capsys, "verify", GAME, "p.json")[2]


def test_a_reference_without_mass_is_refused(capsys, tmp_path):
    (tmp_path / "prior.csv").write_text("item,probability\nrock,0.5\npaper,0.5\n")
    code, _, err = run(capsys, "solve", GAME, "--reference", "prior.csv")
    assert code == 2 and "('scissors') has no mass" in err and err.count("\n") == 1


def test_several_prompts(capsys, tmp_path):
    spec = "nashpo_games:rps_contexts:prompts=5"
    code, out, _ = run(capsys, "solve", spec, "--output", "out.csv")
    assert code == 0 and "3 items, 5 prompts" in out and "prompt 3, weight 0.267" in out and "1 more prompts" in out
    assert run(capsys, "verify", spec, "out.csv")[0] == 0
    nashpo.solve(nashpo_game(0.1), nashpo.solvers.EGPO(eta=1.0), steps=200).save("out.nc")
    assert run(capsys, "verify", spec, "out.nc", "--tol", 1)[0] == 0, "one row serves every prompt"
    assert "none.nc: no such file" in run(capsys, "verify", spec, "none.nc")[2]
    (tmp_path / "out.csv").write_text((tmp_path / "out.csv").read_text().replace("\n4,rock", "\n5,rock"))
    assert "prompt is '5', but the game has the prompts 0 to 4" in run(capsys, "verify", spec, "out.csv")[2]


def test_describe_agrees_with_the_stored_statistics(capsys, data):
    stored = json.loads((data / "f1_2007.json").read_text())["statistics"]
    lottery = json.loads((data / "solutions" / "f1_2007.solutions.json").read_text())["maximal_lottery"]["p"]
    document = json.loads(run(capsys, "describe", data / "f1_2007.csv", "--json")[1])
    assert document["cyclic_triples"] == stored["cyclic_triples"]
    assert sorted(document["smith_set"]) == sorted(stored["smith_set"])
    assert document["condorcet_winner"] is None
    found = [row["probability"] for row in document["maximal_lottery"]["policy"]]
    np.testing.assert_allclose(found, list(lottery.values()) if isinstance(lottery, dict) else lottery, atol=1e-10)
    code, out, _ = run(capsys, "describe", data / "f1_2007.csv", "--top", 3)
    assert code == 0
    assert "cyclic triples:   5 of 1540" in out and "90.4% transitive, 9.6% cyclic" in out
    assert "maximal lottery: 3 of 22 items, unique" in out and "19 more items" in out


def test_files_are_read_as_the_options_say(capsys, tmp_path):
    (tmp_path / "drinks.csv").write_text("item,tea,coffee\ntea,0,3\ncoffee,1,0\n")
    assert run(capsys, "describe", "drinks.csv")[0] == 2
    plain = json.loads(run(capsys, "describe", "drinks.csv", "--format", "wins", "--json")[1])
    assert plain["largest_margin"] == 0.25 and plain["condorcet_winner"] == "tea"
    shrunk = json.loads(run(capsys, "describe", "drinks.csv", "--format", "wins", "--prior", 2, "--json")[1])
    assert shrunk["largest_margin"] == pytest.approx(5 / 8 - 0.5)
    (tmp_path / "scores.csv").write_text("item,tea,coffee\ntea,0,3\ncoffee,-3,0\n")
    code, out, _ = run(capsys, "solve", "scores.csv", "--scale", "score")
    assert code == 0 and "payoff score (log-odds)" in out and "[score (log-odds)]" in out
    assert "--prior says how a file is read" in run(capsys, "solve", GAME, "--prior", 1)[2]
    assert "--ties is 'hlaf', but must be one of half, drop, error" in run(capsys, "solve", GAME, "--ties", "hlaf")[2]


def test_describe_draws_the_table(capsys, tmp_path):
    code, out, _ = run(capsys, "describe", GAME, "--plot", "table.png")
    assert code == 0 and out.endswith("written: table.png\n")
    assert (tmp_path / "table.png").read_bytes()[:4] == b"\x89PNG"


def test_games_and_solvers_are_listed(capsys, monkeypatch):
    import nashpo_games
    from nashpo import catalog

    monkeypatch.setattr(catalog, "_modules", lambda: [nashpo_games])
    listed = json.loads(run(capsys, "games", "--json")[1])
    assert any(game["name"] == "pokemon_types" and game["parameters"] == "" for game in listed)
    assert all(game["summary"] for game in listed)
    assert "\nn_cycle:n=" in run(capsys, "games")[1]
    solvers = {row["name"]: row["settings"] for row in json.loads(run(capsys, "solvers", "--json")[1])}
    assert solvers["mnpo"] == "eta,history=(1.0,),opponents=mixture"
    assert "egpo:eta" in run(capsys, "solvers")[1]


def test_a_game_by_its_plain_name(capsys, monkeypatch):
    import nashpo_games
    from nashpo import catalog

    monkeypatch.setattr(catalog, "_modules", lambda: [nashpo_games])
    assert run(capsys, "solve", "biased_rps")[1].startswith("biased_rps: 3 items")
    assert "there is no game 'pokemon_typs'; did you mean" in run(capsys, "solve", "pokemon_typs")[2]


def test_the_progress_run_is_the_same_run(capsys):
    from nashpo.cli.progress import drive_with_progress, long

    game, solver = nashpo_game(0.1), nashpo.solvers.EGPO(eta=1.0)
    settings = {"steps": 40, "every": 1, "tol": 1e-15, "start": None, "key": 0}
    watched, plain = drive_with_progress(game, solver, settings), nashpo.solve(game, solver, **settings)
    np.testing.assert_allclose(watched.policy.probs(), plain.policy.probs(), rtol=1e-13)
    assert long(game, 10**9) and not long(game, 10**6)


def test_an_equilibrium_that_float64_does_not_reach_takes_no_result_away(capsys, monkeypatch):
    def stall(game):
        raise ArithmeticError("Newton's method stalled.")

    monkeypatch.setattr("nashpo.equilibria.equilibrium", stall)
    code, out, err = run(capsys, "solve", GAME, "--tol", "1")
    assert code == 0 and "duality gap" in out
    assert err == "nashpo: warning: no exact equilibrium: Newton's method stalled.\n"


def test_a_long_run_hears_ctrl_c_after_every_second_although_nobody_watches(capsys, monkeypatch):
    asked = {}

    def drive(game, solver, **settings):
        asked.update(settings)
        raise KeyboardInterrupt

    monkeypatch.setattr("nashpo.driver.drive", drive)
    assert run(capsys, "solve", GAME, "--steps", "1e9")[::2] == (130, "nashpo: interrupted\n")
    assert 1e9 < asked["segment"] * asked["every"] * 2 * 3 * 3 <= 2e9


def test_games_too_large_for_a_table_are_solved_without_one(capsys, monkeypatch):
    from nashpo.cli import report

    monkeypatch.setattr(report, "LARGEST_TABLE", 8)
    code, out, err = run(capsys, "solve", GAME)
    assert code == 0 and "exact" not in out
    assert err == "nashpo: warning: no exact equilibrium: a table of 3 items is too large to write out.\n"
    assert "too large to write out" in run(capsys, "describe", GAME)[2]


SCRIPT = """
import sys
from nashpo.cli import main
from nashpo.cli.inputs import load_policy
code = main(["solve", "nashpo_games:biased_rps", "--no-certificate"])
import jax
print(jax.config.jax_enable_x64, jax.config.jax_compilation_cache_dir)
sys.exit(code)
"""


@pytest.mark.parametrize("folder", ["cache", "a file/cache"])
def test_the_cache_folder_is_used_or_done_without(folder, tmp_path):
    (tmp_path / "a file").write_text("")
    named = str(tmp_path / folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")} | {"NASHPO_CACHE": named}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[-1] == f"True {named if folder == 'cache' else None}"
    assert bool(list(tmp_path.glob("cache/*"))) == (folder == "cache")

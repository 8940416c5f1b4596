"""Studies: what a file says is what is run, every cell once, and nothing finished is lost."""

import dataclasses
import json
import os
import re
import resource
import tomllib
from pathlib import Path

import h5py
import jax
import numpy as np
import pytest
import xarray
from cases import random_table

import nashpo
from nashpo.solver import SolveError, Status
from nashpo.stage import StepSizeWarning
from nashpo.studies import StudyWarning, cells, games, read_study, run_study, settings, store, version
from nashpo.studies.summary import best_settings
from nashpo.studies.values import SPACED
from nashpo.sweeps import Sweep
from nashpo.sweeps.program import run_blocks
from nashpo.tables import PreferenceTable, write_table

ROOT = Path(__file__).resolve().parents[1]
STUDY = {
    "study": {"steps": 6, "every": 3},
    "games": {"random": {"game": "nashpo_games:random_constant_sum", "n": [3, 5], "seed": 1}},
    "solvers": {"egpo": {"solver": "egpo", "eta": [0.1, 0.3]}},
}
"""Two cells of one small program."""


def varied(**changes) -> dict:
    """The study with `study_seeds=2`, `games_random_n=[4]`, ...; None takes a key away."""
    found = {
        table: {name: dict(v) if isinstance(v, dict) else v for name, v in STUDY[table].items()} for table in STUDY
    }
    for path, value in changes.items():
        *tables, key = path.split("_", 1) if path.startswith("study") else path.split("_", 2)
        place = found
        for table in tables:
            place = place.setdefault(table, {})
        if value is None:
            place.pop(key)
        else:
            place[key] = value
    return found


def keys(study: dict) -> list[str]:
    return [cell.key for cell in read_study(study).cells]


def same(one: xarray.Dataset, other: xarray.Dataset) -> bool:
    """Every array, bit for bit."""
    return set(one.variables) == set(other.variables) and all(
        one[name].dims == other[name].dims and one[name].values.tobytes() == other[name].values.tobytes()
        for name in one.variables
        if one[name].dtype.kind in "fi"
    )


def test_a_study_is_the_sweep_of_everything_at_once(tmp_path):
    prompts = np.stack([random_table(seed, 4) for seed in (1, 2, 3)])
    write_table(PreferenceTable(prompts, prompts=[0.5, 0.2, 0.3], beta=0.4), tmp_path / "prompts.npz")
    study = {
        "study": {
            "steps": 7, "every": 3, "betas": [0.1, 1.0], "seeds": [4, 7], "starts": "random",
            "metrics": ["last_entropy", "gap_by_prompt"],
        },
        "games": {
            "cycle": {"game": "nashpo_games:n_cycle", "n": [3, 5]},
            "random": {"generator": "nashpo_games:random_constant_sum", "n": 6, "seeds": 2},
            "file": {"tables": str(tmp_path / "prompts.npz")},
        },
        "solvers": {
            "egpo": {"solver": "egpo", "eta": {"linspace": [0.1, 0.5, 3]}},
            "apo": {"solver": "apo", "eta": 0.1, "momentum": [0.0, 0.5], "base": "spo"},
        },
    }  # fmt: skip
    resolved = read_study(study)
    assert list(resolved.games) == ["cycle n=3", "cycle n=5", "random seed=0", "random seed=1", "file"]
    assert [cell.runs for cell in resolved.cells] == 5 * [3 * 2 * 2] + 5 * [2 * 2 * 2]
    found = run_study(study, tmp_path / "out")
    whole = nashpo.sweep(
        resolved.games, resolved.solvers, steps=7, every=3, betas=[0.1, 1.0], seeds=[4, 7], starts="random",
        metrics=resolved.settings.functions(),
    ).data  # fmt: skip
    data = found.sweep.data
    assert {**data.attrs, "tol": None} == {**whole.attrs, "tol": None}
    for name in whole.variables:
        assert (data[name].dims, data[name].dtype.kind) == (whole[name].dims, whole[name].dtype.kind)
    # A prompt that a game does not have is absent here; the sweep's padding measures 0 there.
    absent = data["gap_by_prompt"].isnull() & whole["gap_by_prompt"].notnull()
    assert not absent.sel(game="file").any() and not absent.isel(prompt=0).any()
    whole["gap_by_prompt"] = whole["gap_by_prompt"].where(~absent)
    xarray.testing.assert_allclose(data, whole, rtol=1e-9, atol=1e-14)
    assert Sweep.load(tmp_path / "out" / "results.nc").data.equals(data)
    assert found.check() is found and (found.computed, found.kept) == (10, 0)


def test_games_keep_their_own_betas_and_common_names(tmp_path):
    for number in (1, 2):
        table = PreferenceTable(random_table(number, 3), items=["tea", "coffee", "milk"], beta=0.1 * number)
        write_table(table, tmp_path / f"t{number}.npz")
    path = tmp_path / "study.toml"
    path.write_text(
        '[study]\nsteps = 6\nevery = 3\n[games.mine]\ntables = "*.npz"\n'
        '[solvers.egpo]\nsolver = "egpo"\neta = [0.1, 0.3]\n'
    )
    found = run_study(path)
    assert found.folder == tmp_path / "study"
    data = found.sweep.data
    assert data["game"].values.tolist() == ["mine t1", "mine t2"]
    assert data["own_beta"].values.tolist() == [0.1, 0.2] and np.isnan(data["beta"].values).all()
    assert data["item"].values.tolist() == ["tea", "coffee", "milk"]
    again = nashpo.sweep(read_study(path).games, nashpo.solvers.EGPO([0.1, 0.3]), steps=6, every=3).data
    np.testing.assert_allclose(data["final_gap"].values, again["final_gap"].values, rtol=1e-9)


def test_ragged_games_share_one_program_a_rule(tmp_path):
    study = varied(games_random_n=[3, 8, 17, 32], solvers_inpo_solver="inpo", solvers_inpo_eta=[0.1, 0.2])
    study["games"]["more"] = {"generator": "nashpo_games:random_constant_sum", "n": [4, 9, 30], "seeds": 4}
    assert len(read_study(study).games) == 16
    # Five measurements: a program that no other test here has compiled.
    study["study"] |= {"steps": 10, "every": 2}
    before = run_blocks.program._cache_size()
    run_study(study, tmp_path / "one")
    assert run_blocks.program._cache_size() == before + 2


def test_nothing_is_computed_twice_and_a_change_keeps_what_fits(tmp_path):
    def counts(study):
        found = run_study(study, tmp_path)
        return found.computed, found.kept

    assert counts(STUDY) == (2, 0)
    assert counts(STUDY) == (0, 2)
    assert counts(varied(games_random_n=[3, 5, 4])) == (1, 2)
    renamed = varied()
    renamed["games"]["another name"] = renamed["games"].pop("random")
    assert counts(renamed) == (0, 2)
    assert counts(varied(study_seeds=[0])) == (0, 2)
    assert counts(varied(solvers_egpo_eta=[0.1, 0.4])) == (2, 0)
    assert counts(STUDY) == (0, 2)
    assert {path.name for path in tmp_path.iterdir()} == {"cells", "results.nc", "study.json"}


def test_a_cell_does_not_depend_on_the_others(tmp_path):
    whole = run_study(varied(games_random_n=[3, 5, 17]), tmp_path / "whole").sweep.data
    alone = run_study(varied(games_random_n=[5]), tmp_path / "alone").sweep.data
    for name in ("duality_gap", "final_gap", "policy"):
        one, other = whole[name].sel(game="random n=5"), alone[name].sel(game="random n=5")
        assert one.values[..., :5].tobytes() == other.values[..., :5].tobytes()
    assert np.isnan(whole["policy"].sel(game="random n=5").values[..., 5:]).all()


CHANGES = [
    {"study_steps": 7},
    {"study_every": 2},
    {"study_seeds": 2},
    {"study_betas": [0.1]},
    {"study_starts": "random"},
    {"study_tol": 1e-3},
    {"study_metrics": ["entropy"]},
    {"study_precision": "float32"},
    {"games_random_seed": 2},
    {"games_random_beta": float(np.nextafter(0.1, 1))},
    {"solvers_egpo_eta": [0.1, float(np.nextafter(0.3, 1))]},
    {"solvers_egpo_solver": "inpo"},
]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: next(iter(change)))
def test_whatever_changes_the_numbers_changes_the_key(change):
    assert not set(keys(varied(**change))) & set(keys(STUDY))


def test_the_key_is_the_same_in_words_that_mean_the_same():
    written = varied(study_seeds=[0], study_metrics=["duality_gap"], games_random_beta=0.1, solvers_egpo_solver="EGPO")
    assert keys(written) == keys(STUDY)
    with jax.enable_x64(False):
        assert keys(STUDY) == keys(varied())


def test_other_code_has_other_keys(monkeypatch, tmp_path):
    before = keys(STUDY)
    monkeypatch.setattr(cells, "code_version", lambda: {**version.code_version(), "source": "another"})
    assert not set(keys(STUDY)) & set(before)
    rule = "from nashpo.solvers import SPO\nclass Mine(SPO):\n    '''{}'''\n"
    monkeypatch.syspath_prepend(tmp_path)
    found = []
    for text in ("one", "two"):
        (tmp_path / f"rule_{text}.py").write_text(rule.format(text))
        study = varied(solvers_egpo_solver=f"rule_{text}:Mine")
        described = read_study(study).cells[0].configuration
        found.append(described["foreign"])
    assert list(found[0]) == ["rule_one"] and list(found[1]) == ["rule_two"]
    assert found[0]["rule_one"] != found[1]["rule_two"]


def test_float32_is_float32_whatever_jax_is_set_to(tmp_path):
    study = varied(study_precision="float32")
    with jax.enable_x64(False):
        plain = run_study(study, tmp_path / "plain").sweep.data
        double = run_study(STUDY, tmp_path / "double").sweep.data
    assert same(plain, run_study(study, tmp_path / "again").sweep.data)
    gaps = plain["duality_gap"].values
    assert np.array_equal(gaps, gaps.astype(np.float32))
    assert not np.array_equal(double["duality_gap"].values, double["duality_gap"].values.astype(np.float32))


def test_a_cell_that_fails_hides_nothing_and_is_tried_again(tmp_path, monkeypatch):
    compute = cells.Cell.compute

    def broken(cell):
        if cell.game_name == "random n=3" and cell.solver_name == "egpo":
            raise RuntimeError("no luck\nat all")
        return compute(cell)

    study = varied(solvers_inpo_solver="inpo", solvers_inpo_eta=[0.1, 0.2])
    with monkeypatch.context() as patch:
        patch.setattr(cells.Cell, "compute", broken)
        found = run_study(study, tmp_path / "all")
        fast = run_study(study, tmp_path / "fast", fail_fast=True)
    assert [str(failure) for failure in found.failed] == ["egpo on random n=3: RuntimeError: no luck at all"]
    assert found.computed == 3 and (fast.computed, fast.sweep, len(fast.failed)) == (0, None, 1)
    with pytest.raises(SolveError, match=r"1 cell failed\. The first: egpo on random n=3"):
        found.check()
    status = found.sweep.data["status"].sel(solver="egpo", eta=0.1).squeeze(["beta", "seed"])
    assert status["game"].values.tolist() == ["random n=3", "random n=5"] and status.values.tolist() == [-1, 0]
    again = run_study(study, tmp_path / "all")
    assert (again.computed, again.kept, again.failed) == (1, 3, ())
    assert same(again.sweep.data, run_study(study, tmp_path / "whole").sweep.data)


def test_a_run_that_goes_wrong_is_a_status_and_warnings_are_said_once(tmp_path):
    study = varied(games_random_beta=2.0, solvers_egpo_solver="spo", solvers_egpo_eta=[0.1, 1e308])
    found = run_study(study, tmp_path)
    assert not found.failed
    assert found.sweep.data["status"].sel(eta=1e308).values.ravel().tolist() == 2 * [Status.NONFINITE]
    with pytest.warns(StepSizeWarning, match=r"EGPO\(eta=9\).*1 more cells like this") as caught:
        run_study(varied(solvers_egpo_eta=[0.1, 9.0]), tmp_path)
    assert len(caught) == 1


def test_the_best_setting_reaches_enough_in_the_fewest_steps_and_never_went_wrong(tmp_path):
    study = varied(study_steps=60, study_seeds=3, study_starts="random", games_random_beta=2.0)
    study["solvers"]["egpo"] |= {"solver": "inpo", "eta": [0.1, 0.3, 1e308]}
    with pytest.warns(StepSizeWarning):
        found = run_study(study, tmp_path).sweep
    loose, tight = best_settings(found, enough=0.01), best_settings(found, enough=1e-40)
    assert [row.game for row in loose] == ["random n=3", "random n=5"]
    for row, other in zip(loose, tight, strict=True):
        assert row.counts == {Status.FINISHED: 6, Status.NONFINITE: 3} and row.beta == 2.0
        lane = found.data["duality_gap"].sel(game=row.game, eta=row.settings["eta"]).squeeze()
        assert row.steps == np.median([gaps["step"].values[gaps.values <= 0.01][0] for gaps in lane])
        medians = found.data["final_gap"].sel(game=row.game).squeeze().median("seed")
        medians = medians.sel(eta=[0.1, 0.3])
        assert other.gap == float(medians.min()) and not np.isfinite(other.steps)
        assert other.settings["eta"] == float(medians["eta"][int(np.argmin(medians.values))])


def flip(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["policy"][0, 0, 0, 0, 0] += 1e-16


DAMAGE = {
    "truncated": lambda path, other: path.write_bytes(path.read_bytes()[:-1000]),
    "half": lambda path, other: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "empty": lambda path, other: path.write_bytes(b""),
    "another's": lambda path, other: path.write_bytes(other.read_bytes()),
    "a bit": lambda path, other: flip(path),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_cell_is_computed_again_with_a_message(how, tmp_path):
    whole = run_study(STUDY, tmp_path).sweep.data
    first, second = (tmp_path / "cells" / f"{key}.nc" for key in keys(STUDY))
    DAMAGE[how](first, second)
    with pytest.warns(StudyWarning, match=rf"{first.name}: is damaged \(.*computed again"):
        found = run_study(STUDY, tmp_path)
    assert (found.computed, found.kept) == (1, 1)
    assert same(found.sweep.data, whole)


def test_a_full_disk_leaves_the_earlier_cells(tmp_path):
    whole = run_study(STUDY, tmp_path / "whole").sweep.data
    written = []
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)

    def report(cell, state):
        if state == "computed":
            written.append(cell.key)
            # From now on the system refuses to write more than a kilobyte into a file.
            resource.setrlimit(resource.RLIMIT_FSIZE, (1024, limits[1]))

    try:
        with pytest.raises(OSError, match=r"\.nc: cannot be written \(.+\)\."):
            run_study(STUDY, tmp_path / "full", report=report)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    there = [path.name for path in (tmp_path / "full" / "cells").glob("*.nc")]
    assert there == [f"{key}.nc" for key in written] and len(written) == 1
    found = run_study(STUDY, tmp_path / "full")
    assert (found.computed, found.kept) == (1, 1) and same(found.sweep.data, whole)


def test_a_folder_that_cannot_be_made_is_refused_before_anything_runs(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="file/out: the folder cannot be written to"):
        run_study(STUDY, tmp_path / "file" / "out")
    monkeypatch.setattr(os, "open", lambda *a: (_ for _ in ()).throw(PermissionError(13, "Permission denied")))
    with pytest.raises(ValueError, match=r"the folder cannot be written to \(Permission denied\)"):
        store.Store(tmp_path)
    with pytest.raises(ValueError, match="say where the results go"):
        run_study(STUDY)


def test_what_a_killed_process_left_is_swept_up(tmp_path):
    left = tmp_path / "cells" / f".{keys(STUDY)[0]}.nc.abcdef"
    left.mkdir(parents=True)
    (left / "half.nc").write_bytes(b"half")
    run_study(STUDY, tmp_path)
    assert not left.exists()


def test_the_resolved_study_is_saved_beside_the_results(tmp_path):
    run_study(varied(study_seeds=2), tmp_path)
    document = json.loads((tmp_path / "study.json").read_text(encoding="utf-8"))
    assert document["study"] == {
        "steps": 6, "every": 3, "seeds": [0, 1], "betas": None, "starts": "reference", "tol": None, "metrics": [],
        "precision": "float64",
    }  # fmt: skip
    assert document["games"]["random n=3"]["responses"] == 3 and "EGPO" in document["solvers"]["egpo"]
    assert [cell["key"] for cell in document["cells"]] == keys(varied(study_seeds=2))
    assert {"nashpo", "source", "jax", "python", "numpy"} <= set(document["versions"])


def test_every_key_is_documented_and_the_documented_study_is_one():
    text = (ROOT / "docs" / "studies.md").read_text(encoding="utf-8")
    rows = {name for row in re.findall(r"^\| ([^|]+) \|", text, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)}
    known = {*settings.KINDS, *games.KINDS, *games.READING, *SPACED, "seeds", "beta", "solver"}
    assert known <= rows
    assert set(settings.METRICS) <= set(re.findall(r"`(\w+)`", text))
    defaults = {field.name for field in dataclasses.fields(settings.Settings)}
    assert defaults == set(settings.KINDS)
    assert all(tomllib.loads(block) for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL))


@pytest.mark.parametrize("path", sorted((ROOT / "experiments" / "studies").glob("*.toml")), ids=lambda path: path.stem)
def test_the_studies_that_ship_can_be_read(path, tmp_path, monkeypatch):
    text = path.read_text(encoding="utf-8")
    text = re.sub(r'(game|generator) = "(\w+)"', r'\1 = "nashpo_games:\2"', text)
    (tmp_path / path.name).write_text(text)
    assert read_study(tmp_path / path.name).runs > 0

"""The labels of a sweep: numbers as one writes them, and one name for one thing."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
from cases import random_table

import nashpo
from nashpo import metrics
from nashpo.solvers import APO, EGPO, INPO, MNPO
from nashpo.studies.joined import join
from nashpo.studies.settings import Settings
from nashpo.sweeps import Sweep
from nashpo.sweeps.labels import OF_GAMES
from nashpo.sweeps.settings import decimals, grid

TABLE = random_table(1, 3)
GAME = nashpo.Game.from_table(TABLE, beta=0.1)
SINGLE = np.array([0.1, 0.31622776, 1.0], np.float32)


def test_labels_of_single_precision_are_the_decimals_that_one_writes():
    found = nashpo.sweep(
        GAME, [EGPO(jnp.asarray(SINGLE)), INPO(np.float32(0.1))], steps=2, betas=np.array([0.1, 0.3], np.float32)
    )
    assert found.data["eta"].values.tolist() == [0.1, 0.31622776, 1.0]
    assert found.data["beta"].values.tolist() == [0.1, 0.3]
    assert (found.data["status"].sel(eta=0.1, beta=0.3) == 0).all()


def test_the_numbers_that_run_are_those_given():
    rule, betas = EGPO(jnp.asarray(SINGLE)), np.array([0.1, 0.3], np.float32)
    for dtype in (np.dtype(np.float64), np.dtype(np.float32)):
        found = grid(rule, betas, np.arange(1), dtype)
        assert found.solver.eta.tobytes() == np.tile(SINGLE, 2).astype(dtype).tobytes()
        assert found.beta is not None and found.beta.tobytes() == np.repeat(betas, 3).astype(dtype).tobytes()
    one = nashpo.sweep(GAME, rule, steps=5, betas=betas).data
    double = nashpo.sweep(GAME, EGPO(SINGLE.astype(float)), steps=5, betas=betas.astype(float)).data
    assert one["policy"].values.tobytes() == double["policy"].values.tobytes()


def test_games_of_one_beta_in_two_precisions_have_it_on_the_axis():
    games = {"double": GAME, "single": nashpo.Game.from_table(TABLE, beta=jnp.float32(0.1))}
    data = nashpo.sweep(games, EGPO(0.2), steps=2).data
    assert data["beta"].values.tolist() == [0.1] and data["own_beta"].values.tolist() == [0.1, 0.1]
    cell = data.isel(solver=0, game=0, drop=True).drop_vars(["responses", "prompts", "own_beta"])
    cells = {("EGPO", name): cell.assign_attrs(solver="EGPO(eta=0.2)", scale="probability") for name in games}
    joined = join(cells, ["EGPO"], games, Settings(steps=2, every=1)).data
    assert joined["beta"].values.tolist() == [0.1] and joined["own_beta"].values.tolist() == [0.1, 0.1]


@pytest.mark.parametrize(
    ("rules", "betas", "sentence"),
    [
        (EGPO(0.2), [0.1, 0.3, 0.1], r"^sweep: betas holds 0\.1 more than once: runs are found by these numbers"),
        (EGPO(0.2), [0.0, -0.0], "betas holds 0.0 more than once"),
        (EGPO([0.5, 0.2, 0.5, 0.2]), None, "eta of EGPO holds 0.2, 0.5 more than once"),
        (EGPO([1, 1]), None, "eta of EGPO holds 1 more than once"),
        ([EGPO([0.5, 0.5]), INPO([0.5, 0.3])], None, "eta of EGPO holds 0.5 more than once"),
        (
            APO(0.2, momentum=np.repeat(SINGLE, 2)),
            None,
            r"momentum of APO holds 0\.1, 0\.31622776, 1\.0 more",
        ),
        (EGPO(np.repeat(np.arange(1.0, 6.0), 2)), None, r"holds 1\.0, 2\.0, 3\.0, \.\.\. more than once"),
    ],
)
def test_a_number_that_stands_twice_is_refused_for_its_label_would_select_several_runs(rules, betas, sentence):
    with pytest.raises(ValueError, match=sentence):
        nashpo.sweep(GAME, rules, steps=2, betas=betas)
    twice = nashpo.Game.from_table(TABLE, beta=np.array([0.1, 0.1]))
    with pytest.raises(ValueError, match=r"betas holds 0\.1 more than once"):
        nashpo.sweep(twice, EGPO(0.2), steps=2)


def test_only_numbers_are_swept():
    with pytest.raises(ValueError, match=r"APO: base holds .*EGPO.*: only numbers are swept; give sweep a mapping"):
        nashpo.sweep(GAME, APO(0.2, 0.1, base=[EGPO, INPO]), steps=2)


def test_a_metric_without_numbers_has_none(tmp_path):
    found = nashpo.sweep(GAME, EGPO([0.1, 0.2]), steps=4, every=2, metrics={"none": lambda game, policy: jnp.zeros(0)})
    assert found.data["none"].shape[-1] == 0 and found.data["none"].sizes["step"] == 2
    assert Sweep.load(found.save(tmp_path / "sweep.nc")).data.equals(found.data)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_label_rounds_to_its_number(dtype):
    values = np.geomspace(1e-3, 1e3, 37).astype(dtype)
    labels = decimals(values)
    assert labels.dtype == np.float64 and np.array_equal(labels.astype(dtype), values)
    assert decimals(np.asarray(0.1, dtype)).item() == 0.1


def test_names_of_items_are_kept_where_games_differ_in_them(tmp_path):
    four = random_table(2, 4)
    games = {
        "named": nashpo.Game.from_table(TABLE, beta=0.1, items=["x", "y", "z"]),
        "larger": nashpo.Game.from_table(four, beta=0.1, items=["a", "b", "c", "d"]),
        "plain": nashpo.Game.from_table(four, beta=0.1),
    }
    found = nashpo.sweep(games, [EGPO(0.2), INPO(0.2)], steps=2)
    names = [["x", "y", "z", ""], ["a", "b", "c", "d"], ["0", "1", "2", "3"]]
    assert found.data["items"].dims == ("game", "item") and found.data["items"].values.tolist() == names
    assert found.data["item"].values.tolist() == [0, 1, 2, 3]
    assert Sweep.load(found.save(tmp_path / "sweep.nc")).data.equals(found.data)
    cell = found.data.isel(solver=0, game=0, drop=True).drop_vars(OF_GAMES)
    cells = {("EGPO", name): cell.assign_attrs(solver="EGPO(eta=0.2)", scale="probability") for name in games}
    joined = join(cells, ["EGPO"], games, Settings(steps=2, every=1)).data
    assert joined["items"].equals(found.data["items"])
    alike = nashpo.sweep({"one": games["named"], "two": games["named"]}, EGPO(0.2), steps=2).data
    assert "items" not in alike and alike["item"].values.tolist() == ["x", "y", "z"]


def test_names_of_any_kind_and_all_types_come_back_from_a_file(tmp_path):
    names = ("a,b", 'say "hi"', "line\nbreak", "東京 🍵", "=1+1", "NaN", "  lead")
    games = {name: nashpo.Game.from_table(random_table(3, 7), items=names) for name in ("", 'g,"1"\n', "ü")}
    rules = {"": EGPO([0.2, 0.4]), "r\n,": INPO(0.3), "日本": APO(0.1, momentum=[0.0, 0.3])}  # pyright: ignore[reportArgumentType]
    found = nashpo.sweep(games, rules, steps=4, every=3, betas=[0.1, 1.0], seeds=[3, 7], metrics=[metrics.probs]).data
    again = Sweep.load(Sweep(found).save(tmp_path / "sweep.nc")).data
    assert again.identical(found) and again["item"].values.tolist() == list(names)
    assert {name: values.dtype.kind for name, values in again.variables.items()} == {
        name: values.dtype.kind for name, values in found.variables.items()
    }
    assert again.sel(game="", solver="r\n,", eta=0.3, beta=0.1)["final_gap"].dropna("momentum").sizes == {
        "momentum": 1,
        "seed": 2,
    }


def test_a_metric_with_the_name_of_something_else_is_a_trace(tmp_path):
    named: dict = dict.fromkeys(("eta", "item", "game", "responses", "status", "momentum", "entropy"), metrics.entropy)
    rules = [EGPO(0.2), APO(0.2, momentum=np.array([0.0, 0.3]))]
    found = nashpo.sweep(GAME, rules, steps=4, every=2, metrics=named | {"trace_eta": metrics.exploitability})
    assert not found.data["trace_trace_eta"].equals(found.data["entropy"])
    traces = {f"trace_{name}" for name in named if name != "entropy"}
    assert traces | {"entropy"} < set(found.data.data_vars)
    for name in traces:
        assert found.data[name].equals(found.data["entropy"])
    assert Sweep.load(found.save(tmp_path / "sweep.nc")).data.equals(found.data)
    assert traces < set(found.to_dataframe().columns)


def test_a_list_where_a_tuple_belongs_is_explained_before_anything_runs(monkeypatch):
    monkeypatch.setattr(sys.modules["nashpo.sweeps.sweep"], "run_grid", lambda *a: pytest.fail("something ran"))
    with pytest.raises(ValueError, match=r"give one weight .* is an axis: write history=\(\.\.\.\), a tuple\.$"):
        nashpo.sweep(GAME, [EGPO(0.2), MNPO(0.2, history=[1.0, 0.5])], steps=2)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"must be a positive finite number[^:]*$"):
        nashpo.sweep(GAME, MNPO([0.2, -1.0], history=(1.0, 0.5)), steps=2)

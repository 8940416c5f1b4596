"""Results: labelled, saved whole or not at all, read back the same."""

import jax.numpy as jnp
import numpy as np
import pytest
import xarray
from cases import GAMES, random_table

import nashpo
from nashpo import metrics
from nashpo.netcdf import checksum
from nashpo.solvers import EGPO


@pytest.fixture(scope="module")
def result():
    game = nashpo.Game.from_table(random_table(0), beta=0.1, items=["ä", "b b", "c,c", "d", "e"])
    return nashpo.solve(game, EGPO(1.0), steps=8, every=2, tol=1e-3, metrics=[metrics.probs, metrics.entropy])


def test_arrays_are_labelled(result):
    data = result.to_xarray()
    assert data["policy"].sel(item="b b").shape == (1,)
    np.testing.assert_array_equal(data["duality_gap"].sel(step=4), result.trace["duality_gap"][1])
    assert data["probs"].dims == ("step", "prompt", "item")
    assert data.attrs["scale"] == "probability"
    assert data.attrs["solver"] == "EGPO(eta=1.0)"
    assert data.attrs["beta"] == 0.1


@pytest.mark.parametrize("run", [nashpo.solve, nashpo.drive])
def test_a_result_knows_where_it_began(run):
    game, start = GAMES["random"](), [0.3, 0.1, 0.1, 0.2, 0.3]
    np.testing.assert_allclose(run(game, EGPO(0.1), steps=2, start=start).start.probs(), [start])
    begin = run(game, EGPO(0.1), steps=2).start.probs()
    np.testing.assert_array_equal(begin, game.reference.probs())


def test_the_trace_is_a_table(result):
    frame = result.to_dataframe()
    assert frame.index.name == "step"
    assert list(frame.index) == [2, 4, 6, 8]
    np.testing.assert_array_equal(frame["duality_gap"], result.trace["duality_gap"])
    np.testing.assert_array_equal(frame["probs[0,1]"], result.trace["probs"][:, 0, 1])


def test_a_file_gives_everything_back(result, tmp_path):
    again = nashpo.Result.load(result.save(tmp_path / "run.nc"))
    np.testing.assert_array_equal(again.policy.log_probs(), result.policy.log_probs())
    np.testing.assert_array_equal(again.last.log_probs(), result.last.log_probs())
    np.testing.assert_array_equal(again.start.log_probs(), result.start.log_probs())
    assert set(again.trace) == set(result.trace)
    for name, values in result.trace.items():
        np.testing.assert_array_equal(again.trace[name], values)
    assert again.status is result.status
    assert again.game.items == result.game.items
    assert again.game.scale == result.game.scale
    assert repr(again) == repr(result)
    xarray.testing.assert_identical(again.to_xarray(), result.to_xarray())
    np.testing.assert_array_equal(again.game.oracle.table(), result.game.oracle.table())
    again.save(tmp_path / "twice.nc")
    assert nashpo.Result.load(tmp_path / "twice.nc").steps == result.steps


def test_a_game_without_names_stays_without_names(tmp_path):
    result = nashpo.solve(GAMES["prompts"](), EGPO(1.0), steps=8, every=4)
    again = nashpo.Result.load(result.save(tmp_path / "run.nc"))
    assert again.game.items is None
    assert again.status is nashpo.Status.FINISHED
    assert again.game.shape == (3, 5)


def test_nothing_half_written_is_left(result, tmp_path, monkeypatch):
    target = tmp_path / "run.nc"
    target.write_text("precious")

    def fail(*args, **options):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        result.save(target)
    assert target.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [target]


def test_a_metric_may_have_the_name_of_another_array(tmp_path):
    named = dict.fromkeys(("policy", "last", "log_policy", "payoff", "prompt_weight", "item"), metrics.probs)
    named["trace_last"] = metrics.entropy
    result = nashpo.solve(GAMES["prompts"](), EGPO(1.0), steps=4, metrics=named)
    again = nashpo.Result.load(result.save(tmp_path / "run.nc"))
    np.testing.assert_array_equal(again.policy.log_probs(), result.policy.log_probs())
    np.testing.assert_array_equal(again.game.oracle.table(), result.game.oracle.table())
    for name in named:
        np.testing.assert_array_equal(again.trace[name], result.trace[name])
    assert result.to_xarray()["trace_last"].dims == ("step", "prompt", "item")


def test_a_folder_that_does_not_exist_is_named(result, tmp_path):
    with pytest.raises(ValueError, match="does not exist; create it first"):
        result.save(tmp_path / "nowhere" / "run.nc")


def test_a_table_too_large_to_write_is_refused_before_anything_is_built(tmp_path):
    oracle = nashpo.oracles.GeneralPreference(np.random.default_rng(0).normal(size=(1, 20_000, 2)))
    result = nashpo.solve(nashpo.Game.from_oracle(oracle, beta=0.1), EGPO(0.01), steps=1)
    with pytest.raises(ValueError, match="20000 responses would be written out"):
        result.save(tmp_path / "run.nc")
    assert not list(tmp_path.iterdir())


def test_numbers_that_netcdf_lacks_are_widened(tmp_path):
    game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1)

    def run(metric):
        return nashpo.solve(game, nashpo.solvers.EGPO(1.0), steps=4, every=2, metrics={"own": metric})

    half = run(lambda game, policy: jnp.asarray(policy.log_probs(), jnp.bfloat16))
    again = nashpo.Result.load(half.save(tmp_path / "half.nc"))
    assert half.trace["own"].dtype == jnp.bfloat16 and again.trace["own"].dtype == np.float32
    np.testing.assert_array_equal(again.trace["own"], half.trace["own"].astype(np.float32))
    data = half.to_xarray()
    assert checksum(data) == checksum(data.assign(own=data["own"].astype(np.float32)))


def test_what_is_no_saved_result_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.nc: no such file"):
        nashpo.Result.load(tmp_path / "none.nc")
    (tmp_path / "words.nc").write_text("words")
    with pytest.raises(ValueError, match=r"words\.nc: cannot be read as netCDF"):
        nashpo.Result.load(tmp_path / "words.nc")
    xarray.Dataset({"gap": ("eta", [0.5])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match=r"other\.nc: not a result"):
        nashpo.Result.load(tmp_path / "other.nc")
    with pytest.raises(FileNotFoundError):
        nashpo.Result.load(tmp_path / "none.nc")


@pytest.mark.parametrize("eta", [np.float64(0.1), np.float32(0.1), jnp.float32(0.1), 0.1])
def test_settings_are_shown_as_one_writes_them(eta):
    assert repr(nashpo.solve(GAMES["random"](), EGPO(eta), steps=1)).startswith("Result(EGPO(eta=0.1), FINISHED")

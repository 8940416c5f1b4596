"""Equilibria of games and their certificates."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from cases import REFERENCE, interior_table, random_table, tournament
from conftest import TABLES
from hypothesis import given
from hypothesis import strategies as st

import nashpo
from nashpo.exact import certify
from nashpo.policies import Tabular

TIES = np.full((4, 4), 0.5)


def solved(data, name):
    """A real table and its stored solutions."""
    table = np.loadtxt(data / f"{name}.csv", delimiter=",", skiprows=1, usecols=range(1, 1 + items(data, name)))
    return table, json.loads((data / "solutions" / f"{name}.solutions.json").read_text())


def items(data, name) -> int:
    """How many items a real table has."""
    return (data / f"{name}.csv").read_text(encoding="utf-8").split("\n", 1)[0].count(",")


@pytest.mark.parametrize("name", TABLES)
def test_real_tables_regularised(data, name):
    table, stored = solved(data, name)
    for beta, solution in stored["kl_equilibrium"].items():
        found = nashpo.equilibrium(nashpo.Game.from_table(table, beta=float(beta)))
        np.testing.assert_allclose(found.probs()[0], solution["pi"], rtol=0, atol=1e-13)
        np.testing.assert_allclose(found.log_probs()[0], solution["log_pi"], rtol=0, atol=1e-12)
        assert found.gap < 1e-28 and found.residual < 1e-12 and found.unique


@pytest.mark.parametrize("name", TABLES)
def test_real_tables_with_another_reference(data, name):
    table, stored = solved(data, name)
    reference = np.arange(len(table), 0, -1.0)
    game = nashpo.Game.from_table(table, beta=0.1, reference=reference / reference.sum())
    solution = stored["kl_equilibrium_nonuniform_reference"]
    np.testing.assert_allclose(nashpo.equilibrium(game).probs()[0], solution["pi"], rtol=0, atol=1e-13)


@pytest.mark.parametrize("method", ["auto", "highs"])
@pytest.mark.parametrize("name", TABLES)
def test_real_tables_unregularised(data, name, method):
    table, stored = solved(data, name)
    found = nashpo.equilibrium(nashpo.Game.from_table(table), method=method)
    solution = np.array(stored["maximal_lottery"]["p"])
    np.testing.assert_allclose(found.probs()[0], solution, rtol=0, atol=1e-13 if method == "auto" else 1e-9)
    assert found.unique
    assert found.support == (tuple(np.flatnonzero(solution).tolist()),)
    assert found.gap < (1e-15 if method == "auto" else 1e-9)


def test_a_start_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"start has shape \(1, 2\), the game .* \(1, 3\)"):
        nashpo.equilibrium(nashpo.Game.from_table(np.full((3, 3), 0.5), beta=0.1), start=[0.5, 0.5])


def test_only_the_choice_of_largest_entropy_is_called_that():
    ties = nashpo.Game.from_table(np.full((3, 3), 0.5))
    assert "one of many: the one of largest entropy" in repr(nashpo.equilibrium(ties))
    assert "one of many)" in repr(nashpo.equilibrium(ties, method="highs"))


@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_prompts_are_solved_one_by_one(beta):
    tables = np.stack([random_table(0), tournament(1), interior_table()[0]])
    game = nashpo.Game.from_table(tables, beta=beta, reference=REFERENCE, prompts=[1, 2, 3])
    found = nashpo.equilibrium(game)
    assert len(found.support) == 3
    for x, table in enumerate(tables):
        alone = nashpo.equilibrium(nashpo.Game.from_table(table, beta=beta, reference=REFERENCE))
        assert np.array_equal(found.log_probs()[x], alone.log_probs()[0])
        assert found.support[x] == alone.support[0]


def test_the_library_s_own_gap_agrees():
    for beta in (1.0, 0.01, 0.0):
        game = nashpo.Game.from_table(random_table(2), beta=beta, reference=REFERENCE)
        found = nashpo.equilibrium(game)
        assert float(nashpo.duality_gap(game, found.policy)) < 1e-14
        assert np.allclose(nashpo.best_response(game, found.policy).probs(), found.probs()) or beta == 0


@given(seed=st.integers(0, 1000), beta=st.sampled_from([0.0, 0.02, 0.5]), size=st.floats(1e-3, 1.0))
def test_a_disturbed_answer_is_found_out(seed, beta, size):
    payoff, _ = interior_table()
    log_reference = np.log(REFERENCE)
    found = nashpo.equilibrium(nashpo.Game.from_table(payoff, beta=beta, reference=REFERENCE)).log_probs()[0]
    noise = size * np.random.default_rng(seed).normal(size=5)
    disturbed = found + noise - np.logaddexp.reduce(found + noise)
    gap, residual = certify(payoff, 0.5, log_reference, beta, disturbed)
    moved = float(np.exp(found) @ (disturbed - found) ** 2)
    assert gap > 0.01 * max(beta, 0.01) * moved
    assert residual > 0
    exact = certify(payoff, 0.5, log_reference, beta, found)
    assert exact[0] < 1e-15 and exact[1] < 1e-12


def test_the_certificate_computes_the_gap_of_the_definition():
    """`max_p V(p, pi) - min_q V(pi, q)`, the two optima found by a search over policies."""
    payoff, beta = random_table(3), 0.3
    pi = np.array([0.3, 0.1, 0.2, 0.25, 0.15])
    gap, _ = certify(payoff, 0.5, np.log(REFERENCE), beta, np.log(pi))
    kl = float(pi @ np.log(pi / REFERENCE))

    def value(p):
        return float(p @ payoff @ pi) - beta * float(p @ np.log(p / REFERENCE)) + beta * kl

    best = REFERENCE * np.exp(payoff @ pi / beta)
    tries = np.random.default_rng(0).dirichlet(np.ones(5), 2000)
    assert 2 * value(best / best.sum()) - 1 == pytest.approx(gap, abs=1e-14)
    assert max(value(p) for p in tries) <= 0.5 + gap / 2


def test_the_certificate_sees_missing_mass():
    payoff, known = interior_table()
    assert certify(payoff, 0.5, np.log(REFERENCE), 0.0, np.log(0.9 * known))[1] > 0.09


@pytest.mark.parametrize("betas", [(0.001, 1.0, 0.03), (0.1, 0.0), (5.0,), (0.2, 0.2)])
def test_a_path_equals_its_points(betas):
    game = nashpo.Game.from_table(random_table(4), beta=9.0, reference=REFERENCE)
    path = nashpo.equilibrium_path(game, betas)
    assert path.betas == betas and path.probs().shape == (len(betas), 1, 5)
    for beta, found in zip(betas, path, strict=True):
        alone = nashpo.equilibrium(nashpo.Game.from_table(random_table(4), beta=beta, reference=REFERENCE))
        assert found.beta == beta
        np.testing.assert_allclose(found.log_probs(), alone.log_probs(), rtol=0, atol=1e-11)


def test_scores_are_games_of_value_zero():
    scores = np.array([[0.0, 2.0, -1.0], [-2.0, 0.0, 3.0], [1.0, -3.0, 0.0]])
    found = nashpo.equilibrium(nashpo.Game.from_table(scores, scale="score"))
    np.testing.assert_allclose(found.probs(), [[1 / 2, 1 / 6, 1 / 3]], rtol=0, atol=1e-15)
    assert found.residual < 1e-15
    half = nashpo.equilibrium(nashpo.Game.from_table(0.5 + scores / 10, beta=0.01))
    full = nashpo.equilibrium(nashpo.Game.from_table(scores, beta=0.1, scale="score"))
    np.testing.assert_allclose(full.log_probs(), half.log_probs(), rtol=0, atol=1e-11)
    assert full.gap < 1e-25


def test_the_reference_does_not_matter_without_beta():
    plain = nashpo.equilibrium(nashpo.Game.from_table(TIES))
    tilted = nashpo.equilibrium(nashpo.Game.from_table(TIES, reference=[0.1, 0.2, 0.3, 0.4]))
    assert np.array_equal(plain.probs(), tilted.probs())
    assert not plain.unique and "largest entropy" in repr(plain)
    assert nashpo.equilibrium(nashpo.Game.from_table(TIES, beta=1e-3)).unique


def test_single_precision_tables_are_solved_in_double():
    table = random_table(5).astype(np.float32)
    for payoff in (table, jnp.asarray(table)):
        for beta in (0.0, 0.05):
            found = nashpo.equilibrium(nashpo.Game.from_table(payoff, beta=beta))
            exact = nashpo.equilibrium(nashpo.Game.from_table(random_table(5), beta=beta))
            assert found.log_probs().dtype == np.float64 and isinstance(found.log_probs(), np.ndarray)
            assert found.gap < 1e-14
            np.testing.assert_allclose(found.probs(), exact.probs(), rtol=0, atol=1e-5)


def test_padded_games():
    games = [nashpo.Game.from_table(random_table(6, n), beta=0.05) for n in (3, 5)]
    found = nashpo.equilibrium(nashpo.stack(games))
    alone = nashpo.equilibrium(games[0])
    np.testing.assert_allclose(found.probs()[0, :3], alone.probs()[0], rtol=0, atol=1e-14)
    assert found.probs()[0, 3:].sum() == 0 and found.gap < 1e-25
    lottery = nashpo.equilibrium(nashpo.stack([nashpo.Game.from_table(random_table(6, n)) for n in (3, 5)]))
    assert lottery.probs()[0, 3:].sum() == 0 and lottery.residual < 1e-14


def test_starting_points():
    game = nashpo.Game.from_table(random_table(7), beta=0.01)
    found = nashpo.equilibrium(game)
    for start in (found.policy, found.probs(), REFERENCE, Tabular(jnp.zeros((1, 5)))):
        again = nashpo.equilibrium(game, start=start)
        np.testing.assert_allclose(again.log_probs(), found.log_probs(), rtol=0, atol=1e-11)


def test_a_tolerance_stops_short_and_a_bad_one_is_named():
    game = nashpo.Game.from_table(random_table(8, 9), beta=0.01)
    short, exact = nashpo.equilibrium(game, tol=1e-6), nashpo.equilibrium(game)
    assert exact.gap < 1e-28 < short.gap <= 1e-6
    with pytest.raises(ValueError, match=r"tol=-1\.0: the duality gap to reach"):
        nashpo.equilibrium(game, tol=-1.0)


def test_names_and_words():
    game = nashpo.Game.from_table(interior_table()[0], items=["a", "b", "c", "d", "e"])
    found = nashpo.equilibrium(game)
    assert found.played == (("a", "b", "c", "d", "e"),)
    assert found.certificate.support == found.support == ((0, 1, 2, 3, 4),)
    assert repr(found).splitlines()[0] == "Equilibrium(beta=0, unique)"
    assert "b 0.2518" in repr(found)
    assert nashpo.equilibrium(nashpo.Game.from_table(TIES)).played == (("0", "1", "2", "3"),)
    many = nashpo.Game.from_table(np.stack([random_table(s, 7) for s in range(5)]), beta=1.0)
    assert "and 2 more prompts" in repr(nashpo.equilibrium(many))


@pytest.mark.parametrize("beta", [-0.1, float("nan"), float("inf")])
def test_a_bad_beta_is_named(beta):
    with pytest.raises(ValueError, match="weight of the KL penalty"):
        nashpo.equilibrium_path(nashpo.Game.from_table(TIES), [0.1, beta])


def test_a_method_that_does_not_apply_is_named():
    with pytest.raises(ValueError, match=r'method="highs" does not solve a game with beta=0\.1'):
        nashpo.equilibrium(nashpo.Game.from_table(TIES, beta=0.1), method="highs")
    with pytest.raises(ValueError, match='choose "auto" or "interior" or "highs"'):
        nashpo.equilibrium(nashpo.Game.from_table(TIES), method="newton")


def test_paths_with_labelled_axes(tmp_path):
    xarray = pytest.importorskip("xarray")
    tables = np.stack([random_table(1, 3), random_table(2, 3)])
    game = nashpo.Game.from_table(tables, items=["a", "b", "c"])
    path = nashpo.equilibrium_path(game, [0.1, 1.0, 0.0])
    data = path.to_xarray()
    for beta, found in zip(path.betas, path, strict=True):
        one = data.sel(beta=beta)
        np.testing.assert_array_equal(one["policy"].values, found.probs())
        np.testing.assert_array_equal(one["log_policy"].values, found.log_probs())
        assert (one["gap"].item(), one["method"].item()) == (found.gap, found.method)
        assert one.identical(found.to_xarray())
    data.to_netcdf(tmp_path / "path.nc", engine="h5netcdf")
    again = xarray.load_dataset(tmp_path / "path.nc", engine="h5netcdf")
    np.testing.assert_array_equal(again["policy"], data["policy"])
    assert again["item"].values.tolist() == ["a", "b", "c"] and again["unique"].values.all()
    with pytest.raises(ValueError, match="a path without any beta"):
        nashpo.equilibrium_path(game, []).to_xarray()


@pytest.mark.parametrize(
    ("betas", "sentence"),
    [
        (0.1, r"betas=0\.1: give a list of weights"),
        ("0.1", "betas='0.1': give a list of weights"),
        ([0.1, "x"], "beta=x: the weight of the KL penalty must be a finite number"),
        ([0.1, -1.0], r"beta=-1\.0: the weight"),
    ],
)
def test_what_is_no_list_of_weights_is_refused(betas, sentence):
    with pytest.raises(ValueError, match=sentence):
        nashpo.equilibrium_path(nashpo.Game.from_table(random_table(0)), betas)

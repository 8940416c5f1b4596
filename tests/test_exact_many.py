"""KL-regularised equilibria of many tables in one compiled program."""

import jax
import numpy as np
import pytest
from cases import random_table, tournament
from conftest import TABLES
from test_equilibrium import solved

import nashpo
from nashpo.exact import LOG_ZERO, certify, compiled, kl_equilibria, kl_equilibrium, many

SIZE = 7
ABSENT = LOG_ZERO / 10


def transitive(seed: int, size: int = SIZE) -> np.ndarray:
    """Bradley-Terry win probabilities, most of them next to 0 or 1."""
    rewards = 5.0 * np.random.default_rng(seed).normal(size=size)
    return 1.0 / (1.0 + np.exp(rewards - rewards[:, None]))


def scores(seed: int, size: int = SIZE) -> np.ndarray:
    """A skew table of large entries."""
    table = 3.0 * np.random.default_rng(seed).normal(size=(size, size))
    return table - table.T


def nearly_tied(seed: int, size: int = SIZE) -> np.ndarray:
    return 0.5 + 1e-3 * (random_table(seed, size) - 0.5)


def references(seed: int, count: int, size: int = SIZE) -> np.ndarray:
    """Some lopsided, some flat."""
    return np.log(np.random.default_rng(seed).dirichlet(np.full(size, 0.3), count) + 1e-12)


def one_by_one(payoff, log_reference, beta, tol=0.0):
    return [kl_equilibrium(*lane, beta, tol=tol) for lane in zip(payoff, log_reference, strict=True)]


@pytest.mark.parametrize("beta", [1e-4, 1e-3, 0.01, 0.1, 1.0, 50.0])
@pytest.mark.parametrize("make", [random_table, tournament, transitive, scores, nearly_tied])
def test_agrees_with_the_method_for_one_table(make, beta):
    payoff = np.stack([make(seed, SIZE) for seed in range(many.LANES + 3)])
    log_reference = references(1, len(payoff))
    log_reference -= np.logaddexp.reduce(log_reference, axis=1, keepdims=True)
    found = kl_equilibria(payoff, log_reference, beta, method="compiled")
    alone = np.stack([solution.log_policy for solution in one_by_one(payoff, log_reference, beta)])
    value = 0.0 if make is scores else 0.5
    gap, residual = certify(payoff, value, log_reference, beta, found.log_policy)
    assert found.methods == (many.COMPILED,)
    assert gap.max() < 1e-24 and residual.max() < 2e-15 * (50 + np.abs(payoff).max() / beta)
    np.testing.assert_allclose(np.exp(found.log_policy), np.exp(alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize("beta", [1e-3, 0.1])
def test_stops_at_the_gap_asked_for(beta):
    payoff = np.stack([random_table(seed, SIZE) for seed in range(20)])
    log_reference = np.full((20, SIZE), -np.log(SIZE))
    exact = kl_equilibria(payoff, log_reference, beta, method="compiled")
    quick = kl_equilibria(payoff, log_reference, beta, tol=1e-8, method="compiled")
    gap = certify(payoff, 0.5, log_reference, beta, quick.log_policy)[0]
    assert gap.max() <= 1e-8 and gap.max() > 1e-16
    assert quick.steps.sum() < exact.steps.sum()


def test_real_tables_in_one_stack(data):
    for beta in ("1", "0.1", "0.01"):
        stored = [solved(data, name) for name in TABLES]
        game = nashpo.stack([nashpo.Game.from_table(table, beta=float(beta)) for table, _ in stored])
        found = nashpo.equilibrium(game, method="compiled")
        assert found.method == many.COMPILED and found.gap < 1e-28 and found.residual < 1e-12
        for row, (table, solutions) in zip(found.log_probs(), stored, strict=True):
            (solution,) = (s for key, s in solutions["kl_equilibrium"].items() if float(key) == float(beta))
            np.testing.assert_allclose(row[: len(table)], solution["log_pi"], rtol=0, atol=1e-12)
            assert np.all(row[len(table) :] < ABSENT)


@pytest.mark.parametrize("scale", ["probability", "score"])
def test_ragged_games_padded(scale):
    make = random_table if scale == "probability" else scores
    games = [nashpo.Game.from_table(make(n, n), beta=0.02, scale=scale) for n in (3, 5, SIZE, 4)]
    found = nashpo.equilibrium(nashpo.stack(games), method="compiled")
    assert found.method == many.COMPILED and found.gap < 1e-26
    for row, game in zip(found.log_probs(), games, strict=True):
        size = game.shape[1]
        alone = nashpo.equilibrium(game, method="newton").log_probs()[0]
        np.testing.assert_allclose(row[:size], alone, rtol=0, atol=1e-11)
        assert np.all(row[size:] < ABSENT)


def test_names_of_responses_do_not_matter():
    payoff, log_reference = tournament(3, SIZE), references(3, 1)
    order = np.random.default_rng(0).permutation(SIZE)
    plain = kl_equilibria(payoff[None], log_reference, 0.01, method="compiled").log_policy[0]
    moved = kl_equilibria(payoff[np.ix_(order, order)][None], log_reference[:, order], 0.01, method="compiled")
    np.testing.assert_allclose(moved.log_policy[0], plain[order], rtol=0, atol=1e-11)


def many_prompts(beta: float = 0.05) -> nashpo.Game:
    tables = np.stack([random_table(seed, SIZE) for seed in range(many.PAYS_FROM)])
    return nashpo.Game.from_table(tables, beta=beta, reference=np.exp(references(2, len(tables))))


def test_many_prompts_are_compiled_and_few_are_not():
    game = many_prompts()
    found, alone = nashpo.equilibrium(game), nashpo.equilibrium(game, method="newton")
    assert found.method == many.COMPILED and many.COMPILED not in alone.method
    np.testing.assert_allclose(found.log_probs(), alone.log_probs(), rtol=0, atol=1e-12)
    assert found.support == alone.support and found.gap < 1e-28
    few = nashpo.Game.from_table(random_table(0, SIZE), beta=0.05)
    assert many.COMPILED not in nashpo.equilibrium(few).method
    assert nashpo.equilibrium(few, method="compiled").method == many.COMPILED


def test_large_tables_are_left_to_numpy(monkeypatch):
    monkeypatch.setattr(many, "PAYS_TO", SIZE - 1)
    assert many.COMPILED not in nashpo.equilibrium(many_prompts()).method


def test_a_path_of_many_prompts():
    game = many_prompts()
    path = nashpo.equilibrium_path(game, [0.02, 1.0, 0.2])
    assert all(found.method == many.COMPILED for found in path)
    for found in path:
        alone = nashpo.equilibrium_path(game, [found.beta])[0]
        np.testing.assert_allclose(found.log_probs(), alone.log_probs(), rtol=0, atol=1e-11)


def test_float64_whatever_jax_is_set_to():
    game = many_prompts()
    double = nashpo.equilibrium(game)
    with jax.enable_x64(False):
        single = nashpo.equilibrium(game)
        assert jax.numpy.zeros(1).dtype == np.float32
    assert single.log_probs().dtype == np.float64
    assert np.array_equal(single.log_probs(), double.log_probs())


def test_new_numbers_do_not_compile_again():
    def run(seed, beta, count, tol=0.0, start=None):
        payoff = np.stack([random_table(seed + x, SIZE) for x in range(count)])
        return kl_equilibria(payoff, references(seed, count), beta, start, tol, method="compiled")

    found = run(0, 0.1, 2)
    before = compiled.solve_all.program._cache_size()
    for settings in [(1, 0.1, 2), (0, 0.003, many.LANES), (0, 0.1, 2 * many.LANES + 5), (5, 20.0, 3, 1e-6)]:
        run(*settings)
    run(0, 0.1, 2, 0.0, found.log_policy)
    assert compiled.solve_all.program._cache_size() == before


def test_a_start_shortens_the_way():
    payoff = np.stack([random_table(seed, SIZE) for seed in range(5)])
    log_reference = np.full((5, SIZE), -np.log(SIZE))
    cold = kl_equilibria(payoff, log_reference, 0.01, method="compiled")
    warm = kl_equilibria(payoff, log_reference, 0.01, cold.log_policy + 3.0, method="compiled")
    assert warm.steps.max() <= 1 < cold.steps.min()
    np.testing.assert_allclose(warm.log_policy, cold.log_policy, rtol=0, atol=1e-12)


def test_a_hopeless_start_does_no_harm():
    payoff = np.stack([random_table(seed, SIZE) for seed in range(3)])
    log_reference = np.full((3, SIZE), -np.log(SIZE))
    start = np.where(np.arange(SIZE) == 0, 0.0, LOG_ZERO) * np.ones((3, 1))
    exact = kl_equilibria(payoff, log_reference, 0.01, method="newton")
    found = kl_equilibria(payoff, log_reference, 0.01, start, method="compiled")
    np.testing.assert_allclose(found.log_policy, exact.log_policy, rtol=0, atol=1e-11)


def test_lanes_that_are_given_up_are_solved_in_numpy(monkeypatch):
    def lazy(payoff, log_reference, start, numbers):
        out = np.array(compiled_program(payoff, log_reference, start, numbers))
        out[1::2, :SIZE], out[1::2, SIZE] = np.nan, -1.0
        return out

    compiled_program = compiled.solve_all
    monkeypatch.setattr(compiled, "solve_all", lazy)
    game = many_prompts()
    found, alone = nashpo.equilibrium(game), nashpo.equilibrium(game, method="newton")
    assert found.method == f"{many.COMPILED}; {alone.method}"
    assert np.array_equal(found.log_probs()[1::2], alone.log_probs()[1::2])
    assert found.gap < 1e-28


def test_a_table_that_cannot_be_solved_is_given_up():
    payoff, log_reference = random_table(0, SIZE)[None].copy(), np.full((1, SIZE), -np.log(SIZE))
    payoff[0, 2, 3] = np.nan
    out = np.asarray(compiled.solve_all(payoff, log_reference, log_reference, np.array([0.1, 0.0, 0.0, 1.0])))
    assert out[0, SIZE] == -1.0


def test_without_a_cpu_in_jax_numpy_does_it_all(monkeypatch):
    monkeypatch.setattr(many, "_cpu", lambda: None)
    found = nashpo.equilibrium(many_prompts())
    assert many.COMPILED not in found.method and found.gap < 1e-28


def test_one_response_and_an_unknown_method():
    one = kl_equilibria(np.full((2, 1, 1), 0.5), np.zeros((2, 1)), 0.1, method="compiled")
    assert np.array_equal(one.log_policy, np.zeros((2, 1)))
    with pytest.raises(ValueError, match='method="quick": choose "auto", "compiled" or "newton"'):
        kl_equilibria(np.full((1, 1, 1), 0.5), np.zeros((1, 1)), 0.1, method="quick")


@pytest.mark.parametrize("beta", [0.0, 0.05])
def test_certificates_of_many_are_those_of_each(beta):
    payoff = np.stack([random_table(seed, SIZE) for seed in range(6)])
    log_reference, log_policy = references(1, 6), references(2, 6)
    log_reference[0, -2:] = log_policy[0, -2:] = LOG_ZERO
    gaps, residuals = certify(payoff, 0.5, log_reference, beta, log_policy)
    for x in range(6):
        gap, residual = certify(payoff[x], 0.5, log_reference[x], beta, log_policy[x])
        assert gaps[x] == pytest.approx(gap, rel=1e-13) and residuals[x] == pytest.approx(residual, rel=1e-13)

"""The KL-regularised equilibrium of one table."""

import itertools

import numpy as np
import pytest
from cases import REFERENCE, random_table, tournament
from hypothesis import given
from hypothesis import strategies as st

import nashpo
from nashpo.exact import certify, kl_equilibrium
from nashpo.exact.krylov import newton_direction

UNIFORM = {n: np.full(n, -np.log(n)) for n in (2, 3, 5, 10, 30, 150, 300)}


def embedded(seed: int, size: int, rank: int = 8) -> np.ndarray:
    """Win probabilities of a low-dimensional skew-symmetric score."""
    v = np.random.default_rng(seed).normal(size=(size, rank))
    rotation = np.kron(np.eye(rank // 2), [[0.0, 1.0], [-1.0, 0.0]])
    return 1.0 / (1.0 + np.exp(-v @ rotation @ v.T / np.sqrt(rank)))


def fixed_point_error(payoff: np.ndarray, log_reference: np.ndarray, beta: float, log_policy: np.ndarray) -> float:
    """How unevenly `beta (log pi - log reference) - P pi` is spread: zero at the equilibrium."""
    return float(np.ptp(beta * (log_policy - log_reference) - payoff @ np.exp(log_policy)))


@pytest.mark.parametrize("beta", [1e6, 10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4])
@pytest.mark.parametrize("size", [2, 3, 10, 30, 150])
@pytest.mark.parametrize("make", [random_table, tournament, embedded])
def test_solves_the_fixed_point_for_every_beta(make, size, beta):
    payoff = make(size, size)
    solution = kl_equilibrium(payoff, UNIFORM[size], beta)
    assert np.exp(solution.log_policy).sum() == pytest.approx(1.0, abs=1e-13)
    assert fixed_point_error(payoff, UNIFORM[size], beta, solution.log_policy) < 2e-14 * max(1.0, 8.0 * beta)


@pytest.mark.parametrize("seed", range(6))
def test_reaches_the_smallest_betas(seed):
    payoff = tournament(seed, 10)
    solution = kl_equilibrium(payoff, UNIFORM[10], 1e-6)
    assert certify(payoff, 0.5, UNIFORM[10], 1e-6, solution.log_policy)[0] < 1e-18
    assert float((payoff @ np.exp(solution.log_policy)).max()) - 0.5 < 1e-6 * np.log(10)


@pytest.mark.parametrize("beta", [1e-17, 1e-20, 1e-300])
def test_a_beta_that_float64_cannot_resolve_is_refused(beta):
    payoff, uniform = random_table(0, 12), np.full(12, -np.log(12))
    assert certify(payoff, 0.5, uniform, 1e-15, kl_equilibrium(payoff, uniform, 1e-15).log_policy)[0] < 1e-13
    with pytest.raises(ValueError, match=f"beta={beta:g}: float64 cannot tell it from 0"):
        kl_equilibrium(payoff, uniform, beta)
    with pytest.raises(ValueError, match="beta=0 is the maximal lottery"):
        nashpo.equilibrium(nashpo.Game.from_table(payoff, beta=beta))


def test_a_residual_on_impossible_responses_alone():
    rewards = 5.0 * np.random.default_rng(1).normal(size=80)
    payoff = 1.0 / (1.0 + np.exp(rewards - rewards[:, None]))
    solution = kl_equilibrium(payoff, np.full(80, -np.log(80)), 1e-4)
    assert certify(payoff, 0.5, np.full(80, -np.log(80)), 1e-4, solution.log_policy)[1] < 1e-11


@given(
    seed=st.integers(0, 10_000),
    size=st.integers(1, 12),
    levels=st.sampled_from([2, 3, 9]),
    log_beta=st.floats(-9.0, 9.0),
    skew=st.floats(0.0, 30.0),
)
def test_tables_of_few_levels_and_lopsided_references(seed, size, levels, log_beta, skew):
    rng = np.random.default_rng(seed)
    upper = np.triu(rng.integers(0, levels, (size, size)) / (levels - 1), 1)
    payoff = upper + np.tril(1.0 - upper.T, -1) + 0.5 * np.eye(size)
    logits = skew * rng.normal(size=size)
    log_reference = logits - np.logaddexp.reduce(logits)
    beta = float(np.exp(log_beta))
    solution = kl_equilibrium(payoff, log_reference, beta)
    error = fixed_point_error(payoff, log_reference, beta, solution.log_policy)
    assert error < 1e-13 * max(1.0, beta * (1.0 + np.ptp(log_reference)))


def test_a_constant_added_to_the_table_changes_nothing():
    payoff = random_table(1, 30)
    centred = kl_equilibrium(payoff - 0.5, UNIFORM[30], 0.02)
    np.testing.assert_allclose(
        centred.log_policy, kl_equilibrium(payoff, UNIFORM[30], 0.02).log_policy, rtol=0, atol=1e-12
    )


@pytest.mark.parametrize("beta", [1e-5, 1e-6])
def test_scores_that_cancel_are_solved_to_what_their_sum_resolves(beta):
    """At an interior equilibrium of scores every payoff is zero, but not its rounding error."""
    scores = np.array([[0.0, 12.0, -7.0], [-12.0, 0.0, 9.0], [7.0, -9.0, 0.0]])
    reference = np.log([0.2, 0.3, 0.5])
    found = kl_equilibrium(scores, reference, beta).log_policy
    np.testing.assert_allclose(np.exp(found), np.array([9, 7, 12]) / 28, rtol=0, atol=beta)
    _, residual = certify(scores, 0.0, reference, beta, found)
    assert residual < 1e-14 / beta


@pytest.mark.parametrize(("seed", "size"), [(75, 12), (28, 20)])
def test_references_of_nearly_no_mass(seed, size):
    rng = np.random.default_rng(seed)
    table = np.tril(rng.choice([0.0, 0.5, 1.0], (size, size)), -1)
    table = table + np.triu(1.0 - table.T, 1) + 0.5 * np.eye(size)
    reference = rng.uniform(-690.0, 0.0, size)
    found = kl_equilibrium(table, reference, 1e-5).log_policy
    assert certify(table, 0.5, reference, 1e-5, found)[1] < 1e-9


def test_small_strides_arrive_where_larger_ones_stall():
    upper = np.zeros((6, 6))
    upper[np.triu_indices(6, 1)] = [
        *(0.068, 0.134, -0.362, 0.5, -0.088), *(-0.457, 0.153, -0.251, -0.244), *(0.011, -0.069, 0.184), 0.332, -0.11,
        -0.484,
    ]  # fmt: skip
    table, log_reference = 0.5 + upper - upper.T, np.array([0.0, 0.0, -690.0, -1.0, 0.0, -1.0])
    found = kl_equilibrium(table, log_reference, 3e-7)
    gap, residual = certify(table, 0.5, log_reference, 3e-7, found.log_policy)
    assert gap < 1e-20 and residual < 1e-8


def test_double_the_payoff_is_half_the_beta():
    score = random_table(2, 10) - 0.5
    once = kl_equilibrium(score, UNIFORM[10], 0.05).log_policy
    np.testing.assert_allclose(kl_equilibrium(2.0 * score, UNIFORM[10], 0.1).log_policy, once, rtol=0, atol=1e-11)
    np.testing.assert_allclose(kl_equilibrium(1e3 * score, UNIFORM[10], 50.0).log_policy, once, rtol=0, atol=1e-11)


@pytest.mark.parametrize("unit", [1e-200, 1e-20, 1e9, 1e20, 1e40, 1e300])
@pytest.mark.parametrize("size", [5, 100, 300])
def test_the_unit_of_scores_does_not_matter(size, unit, rng):
    scores = rng.normal(size=(size, size))
    scores -= scores.T
    for beta in (1.0, 1e-2, 1e-4):
        plain = nashpo.equilibrium(nashpo.Game.from_table(scores, scale="score", beta=beta))
        found = nashpo.equilibrium(nashpo.Game.from_table(scores * unit, scale="score", beta=beta * unit))
        np.testing.assert_allclose(found.probs(), plain.probs(), rtol=1e-9)


@pytest.mark.parametrize("size", [10, 150])
def test_the_order_of_a_table_in_memory_does_not_matter(size):
    payoff = random_table(3, size)
    answer = kl_equilibrium(payoff, UNIFORM[size], 1e-3)
    other = kl_equilibrium(np.asfortranarray(payoff), UNIFORM[size], 1e-3)
    assert abs(other.steps - answer.steps) <= 1
    np.testing.assert_allclose(np.exp(other.log_policy), np.exp(answer.log_policy), rtol=0, atol=1e-12)


def test_relabelling_the_responses_relabels_the_answer(rng):
    payoff = tournament(3, 30)
    order = rng.permutation(30)
    answer = kl_equilibrium(payoff, UNIFORM[30], 1e-3).log_policy
    relabelled = kl_equilibrium(payoff[np.ix_(order, order)], UNIFORM[30], 1e-3).log_policy
    np.testing.assert_allclose(np.exp(relabelled), np.exp(answer)[order], rtol=0, atol=1e-12)


def test_a_finished_answer_is_left_alone():
    payoff = random_table(4, 30)
    answer = kl_equilibrium(payoff, UNIFORM[30], 0.01)
    again = kl_equilibrium(payoff, UNIFORM[30], 0.01, start=answer.log_policy)
    assert again.steps <= 1
    np.testing.assert_allclose(again.log_policy, answer.log_policy, rtol=0, atol=1e-12)


@pytest.mark.parametrize("beta", [0.1, 0.01])
@pytest.mark.parametrize("make", [random_table, tournament, embedded])
def test_stops_at_the_gap_asked_for(make, beta):
    payoff = make(5, 300)
    solution = kl_equilibrium(payoff, UNIFORM[300], beta, tol=1e-10)
    gap, _ = certify(payoff, 0.5, UNIFORM[300], beta, solution.log_policy)
    assert 1e-25 < gap <= 1e-10


def test_large_easy_tables_need_no_factorisation():
    payoff = embedded(6, 300)
    solution = kl_equilibrium(payoff, UNIFORM[300], 0.1)
    assert solution.method == "Newton, skew Krylov"
    assert kl_equilibrium(payoff, UNIFORM[300], 1e-4).method == "Newton, LU"


def test_a_start_from_afar_still_arrives():
    payoff = random_table(7, 10)
    far = 30.0 * np.random.default_rng(0).normal(size=10)
    np.testing.assert_allclose(
        kl_equilibrium(payoff, UNIFORM[10], 0.003, start=far).log_policy,
        kl_equilibrium(payoff, UNIFORM[10], 0.003).log_policy,
        rtol=0,
        atol=1e-11,
    )


def test_responses_without_reference_mass_get_none():
    payoff = random_table(8, 7)
    log_reference = np.append(np.log(REFERENCE), [-1e9, -1e9])
    padded = kl_equilibrium(payoff, log_reference, 0.05)
    inner = kl_equilibrium(payoff[:5, :5], np.log(REFERENCE), 0.05)
    assert np.array_equal(padded.log_policy[:5], inner.log_policy)
    assert np.exp(padded.log_policy[5:]).sum() == 0.0


@pytest.mark.parametrize("beta", [0.5, 0.05, 0.005])
def test_krylov_directions_solve_the_newton_system(beta, rng):
    payoff = random_table(9, 40)
    p = rng.dirichlet(np.ones(40))
    b = rng.normal(size=40)
    direction = newton_direction(payoff, p, b, beta, 1e-12, 2000)
    assert direction is not None
    covariance = np.diag(p) - np.outer(p, p)
    rest = beta * direction - (payoff - 0.5) @ covariance @ direction - b
    assert p @ (rest - p @ rest) ** 2 < 1e-22 * (p @ (b - p @ b) ** 2)


def test_krylov_gives_up_where_a_factorisation_is_cheaper(rng):
    p, b = rng.dirichlet(np.ones(40)), rng.normal(size=40)
    assert newton_direction(random_table(9, 40), p, b, 1e-6, 1e-12, 20) is None


def test_all_ties_give_the_reference():
    for size, beta in itertools.product((1, 2, 5), (1e3, 0.1, 1e-5)):
        log_reference = np.log(np.arange(1.0, size + 1) / np.arange(1.0, size + 1).sum())
        answer = kl_equilibrium(np.full((size, size), 0.5), log_reference, beta)
        np.testing.assert_allclose(answer.log_policy, log_reference, rtol=0, atol=1e-14)

"""The unregularised equilibrium of one table: exactness, uniqueness, and the choice among many."""

import numpy as np
import pytest
from cases import interior_table, random_table, tournament
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from nashpo.exact import kl_equilibrium, maximal_lottery
from nashpo.exact.interior import central_path
from nashpo.exact.multiplicity import _entropy_step

CYCLE = np.array([[0.0, -0.5, 0.5], [0.5, 0.0, -0.5], [-0.5, 0.5, 0.0]])


def low_rank(seed: int, size: int, rank: int = 4) -> np.ndarray:
    """Scores of low-dimensional embeddings that surround the origin: many equilibria."""
    v = np.random.default_rng(seed).normal(size=(size, rank))
    scores = v @ np.kron(np.eye(rank // 2), [[0.0, 1.0], [-1.0, 0.0]]) @ v.T
    return scores / np.abs(scores).max()


def few_levels(rng: np.random.Generator, size: int, levels: int) -> np.ndarray:
    """A skew table with many exact ties."""
    upper = np.triu(rng.integers(0, levels, (size, size)) / (levels - 1) - 0.5, 1)
    return upper - upper.T


def extent(S: np.ndarray, direction: np.ndarray) -> float:
    """How far the set of equilibria reaches along a direction, by linear programming."""
    n = len(S)
    ends = [
        linprog(sign * direction, A_ub=S, b_ub=np.zeros(n), A_eq=np.ones((1, n)), b_eq=[1.0], bounds=(0, None)).fun
        for sign in (1.0, -1.0)
    ]
    return -ends[1] - ends[0]


@pytest.mark.parametrize("size", [2, 3, 10, 30, 100, 250])
@pytest.mark.parametrize("make", [random_table, tournament])
def test_no_response_gains_and_linear_programming_agrees(make, size):
    S = make(size, size) - 0.5
    found, checked = maximal_lottery(S), maximal_lottery(S, "highs")
    p = np.exp(found.log_policy)
    assert p.sum() == pytest.approx(1.0, abs=1e-14)
    assert float((S @ p).max()) < 1e-14
    assert found.unique and checked.unique
    np.testing.assert_allclose(np.exp(checked.log_policy), p, rtol=0, atol=1e-9)


def test_a_known_interior_equilibrium():
    payoff, known = interior_table()
    np.testing.assert_allclose(np.exp(maximal_lottery(payoff - 0.5).log_policy), known, rtol=0, atol=1e-15)


def test_a_condorcet_winner_takes_all():
    S = random_table(0, 10) - 0.5
    S[4], S[:, 4] = 0.25, -0.25
    S[4, 4] = 0.0
    found = maximal_lottery(S)
    assert found.unique
    assert np.array_equal(np.exp(found.log_policy), np.eye(10)[4])


@given(seed=st.integers(0, 10_000), size=st.integers(1, 10), levels=st.sampled_from([2, 3, 5]))
def test_uniqueness_agrees_with_the_extent_of_the_set_of_equilibria(seed, size, levels):
    rng = np.random.default_rng(seed)
    S = few_levels(rng, size, levels)
    found = maximal_lottery(S)
    p = np.exp(found.log_policy)
    assert float((S @ p).max()) < 1e-13
    reach = max(extent(S, rng.normal(size=size)) for _ in range(2))
    assert found.unique == (reach < 1e-7)


@given(seed=st.integers(0, 10_000), size=st.integers(2, 9), levels=st.sampled_from([2, 3, 5]))
def test_the_choice_is_the_limit_of_the_regularised_equilibria(seed, size, levels):
    S = few_levels(np.random.default_rng(seed), size, levels)
    limit = np.exp(maximal_lottery(S).log_policy)
    uniform = np.full(size, -np.log(size))
    near, nearer = (np.exp(kl_equilibrium(S, uniform, beta).log_policy) for beta in (1e-4, 1e-5))
    assert np.abs(nearer - limit).max() < 1e-3
    assert np.abs(nearer - limit).max() <= 0.2 * np.abs(near - limit).max() + 1e-9


def test_all_ties_are_split_evenly():
    found = maximal_lottery(np.zeros((7, 7)))
    assert not found.unique
    np.testing.assert_allclose(np.exp(found.log_policy), np.full(7, 1 / 7), rtol=0, atol=1e-15)
    assert maximal_lottery(np.zeros((1, 1))).unique


def test_a_duplicate_shares_its_twins_probability():
    S = random_table(3, 5) - 0.5
    single = maximal_lottery(S)
    twin = int(np.argmax(single.log_policy))
    order = [*range(5), twin]
    found = maximal_lottery(S[np.ix_(order, order)])
    p = np.exp(found.log_policy)
    assert single.unique and not found.unique
    assert p[twin] == pytest.approx(p[5], abs=1e-12)
    rest = np.delete(p[:5], twin)
    expected = np.exp(single.log_policy)
    assert np.abs(rest / rest.sum() - np.delete(expected, twin) / (1.0 - expected[twin])).max() < 1e-10


def test_two_cycles_that_tie_are_mixed_evenly():
    S = np.zeros((6, 6))
    S[:3, :3] = CYCLE
    S[3:, 3:] = CYCLE
    found = maximal_lottery(S)
    assert not found.unique
    np.testing.assert_allclose(np.exp(found.log_policy), np.full(6, 1 / 6), rtol=0, atol=1e-13)


def test_an_outsider_that_only_ties_is_not_forgotten():
    """Response 3 ties with the cycle and loses to nobody in it, so the cycle alone is not the only answer."""
    S = np.zeros((4, 4))
    S[:3, :3] = CYCLE
    found = maximal_lottery(S)
    assert not found.unique
    np.testing.assert_allclose(np.exp(found.log_policy), np.full(4, 1 / 4), rtol=0, atol=1e-13)


def test_inequalities_can_bind_at_the_largest_entropy():
    """1 and 2 tie with each other; 3 loses to 1 and beats 2 by more, so 1 must keep at least two thirds."""
    S = np.array([[0.0, 0.0, 0.1], [0.0, 0.0, -0.2], [-0.1, 0.2, 0.0]])
    found = maximal_lottery(S)
    assert not found.unique
    np.testing.assert_allclose(np.exp(found.log_policy), [2 / 3, 1 / 3, 0.0], rtol=0, atol=1e-12)


@pytest.mark.parametrize("scale", [1e-3, 7.0, 1e4])
def test_scores_of_any_size(scale):
    S = random_table(4, 10) - 0.5
    np.testing.assert_allclose(
        np.exp(maximal_lottery(scale * S).log_policy), np.exp(maximal_lottery(S).log_policy), rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("make", [random_table, tournament, low_rank])
def test_growing_a_part_agrees_with_the_whole(make):
    S = make(5, 250)
    S = S - np.mean(np.diag(S))
    grown, whole = maximal_lottery(S), maximal_lottery(S, "interior")
    assert grown.unique == whole.unique == (make is not low_rank)
    np.testing.assert_allclose(np.exp(grown.log_policy), np.exp(whole.log_policy), rtol=0, atol=1e-11)


def test_any_equilibrium_of_a_low_rank_game_is_found_in_a_small_part():
    S = low_rank(6, 400)
    found = maximal_lottery(S, entropy=False)
    p = np.exp(found.log_policy)
    assert float((S @ p).max()) < 1e-13
    assert np.count_nonzero(p) <= 100
    assert not maximal_lottery(S).unique


@pytest.mark.parametrize("size", [10, 100, 250])
def test_the_order_of_a_table_in_memory_does_not_matter(size):
    payoff = random_table(10, size)
    answer = maximal_lottery(payoff, value=0.5)
    for other in (np.asfortranarray(payoff), payoff[::-1, ::-1][::-1, ::-1]):
        assert np.array_equal(maximal_lottery(other, value=0.5).log_policy, answer.log_policy)
        centred = np.exp(maximal_lottery(other - 0.5).log_policy)
        np.testing.assert_allclose(centred, np.exp(answer.log_policy), rtol=0, atol=1e-13)


def test_relabelling_the_responses_relabels_the_answer(rng):
    for S in (tournament(7, 30) - 0.5, low_rank(8, 30), few_levels(rng, 12, 3)):
        order = rng.permutation(len(S))
        answer = np.exp(maximal_lottery(S).log_policy)
        relabelled = np.exp(maximal_lottery(S[np.ix_(order, order)]).log_policy)
        np.testing.assert_allclose(relabelled, answer[order], rtol=0, atol=1e-10)


def test_the_central_path_is_feasible_and_centred():
    S = random_table(9, 30) - 0.5
    points = list(central_path(S))
    assert len(points) < 20
    assert points[-1].gap < 1e-15
    for point in points:
        assert point.p.sum() == pytest.approx(1.0, abs=1e-12)
        assert point.p.min() > 0 and point.s.min() > 0
        np.testing.assert_allclose(point.s, point.gap - S @ point.p, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", [253, 380])
def test_two_rankings_tie_in_what_nobody_beats_in_both(seed):
    """On the way there a step that centres raises the gap: it is not the end of the path."""
    rng = np.random.default_rng(seed)
    ranks = np.array([rng.permutation(100) for _ in range(2)])
    S = sum(np.sign(rank[:, None] - rank) for rank in ranks) / 4
    unbeaten = (S >= 0).all(1)
    found = maximal_lottery(S)
    assert not found.unique and unbeaten.sum() > 1
    np.testing.assert_allclose(np.exp(found.log_policy), unbeaten / unbeaten.sum(), rtol=0, atol=1e-12)


def test_a_path_that_is_cut_short_claims_nothing(monkeypatch):
    """Two unbeaten responses; the better one alone is an equilibrium, and looks like the only one on the way."""
    monkeypatch.setattr("nashpo.exact.interior._LIMIT", 1)
    rng = np.random.default_rng(253)
    ranks = np.array([rng.permutation(100) for _ in range(2)])
    with pytest.raises(ArithmeticError, match="stalled on a table of 100 responses with ties"):
        maximal_lottery(sum(np.sign(rank[:, None] - rank) for rank in ranks) / 4)


@pytest.mark.parametrize("margin", [1e-12, 1e-11, 1e-10, 1e-9, 1e-8])
def test_margins_that_are_hardly_ties_leave_an_equilibrium_and_no_false_claim(margin, monkeypatch):
    """Copies of a cycle that differ by a margin: entropy was maximised only where the method says so."""
    ended = []

    def followed(*arguments):
        ended.append(_entropy_step(*arguments)[-1] < 1e-12)
        return _entropy_step(*arguments)

    monkeypatch.setattr("nashpo.exact.multiplicity._entropy_step", followed)
    for seed in range(12):
        noise = np.triu(np.random.default_rng(seed).integers(-1, 2, (6, 6)), 1)
        S = np.tile(CYCLE, (2, 2)) + margin * (noise - noise.T)
        found = maximal_lottery(S)
        p = np.exp(found.log_policy)
        assert (S @ p).max() <= 1e-12 and abs(p.sum() - 1) < 1e-14
        if "entropy" in found.method:
            assert ended[-1]


def test_a_system_that_cannot_be_solved_leaves_any_equilibrium(monkeypatch):
    def singular(*arguments):
        raise np.linalg.LinAlgError

    monkeypatch.setattr("nashpo.exact.multiplicity._entropy_step", singular)
    found = maximal_lottery(np.zeros((3, 3)))
    assert found.method == "interior point" and not found.unique


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match='method="simplex": choose'):
        maximal_lottery(CYCLE, "simplex")

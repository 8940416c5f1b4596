"""MaxMin over groups: strong duality, groups that count, and what no policy can reach."""

import numpy as np
import pytest
from scipy.special import logsumexp

from nashpo.maxmin import maxmin_game, maxmin_rewards
from nashpo.oracles import BradleyTerry, Mixture, Table

CONDORCET = np.array([[3.0, 2.0, 1.0], [1.0, 3.0, 2.0], [2.0, 1.0, 3.0]])


def _tables(rng, *shape, certain=False):
    draws = rng.integers(0, 2, shape).astype(float) if certain else rng.random(shape)
    upper = np.triu(draws, 1)
    return upper + np.tril(1 - upper.swapaxes(-1, -2), -1) + 0.5 * np.eye(shape[-1])


def _primal(rewards, beta, reference, prompts, pi):
    penalty = np.sum(np.where(pi > 0, pi * np.log(np.maximum(pi, 1e-300) / reference), 0.0), axis=-1)
    return np.min(np.einsum("gxa,xa,x->g", rewards, pi, prompts)) - beta * penalty @ prompts


@pytest.mark.parametrize("beta", [10.0, 1.0, 0.1, 0.01, 0.001])
@pytest.mark.parametrize("whole", [False, True])
def test_the_dual_and_the_primal_meet(rng, beta, whole):
    for _ in range(6):
        groups, contexts, responses = rng.integers((1, 1, 2), (6, 4, 10))
        shape = (groups, contexts, responses)
        rewards = rng.integers(0, 3, shape).astype(float) if whole else rng.standard_normal(shape)
        reference, prompts = rng.dirichlet(np.ones(responses)), rng.dirichlet(np.ones(contexts))
        answer = maxmin_rewards(rewards, beta, reference, prompts)
        assert abs(answer.gap) < 1e-8
        pi = answer.policy.probs()
        assert answer.value == pytest.approx(_primal(rewards, beta, reference, prompts, pi), abs=1e-9)
        assert answer.weights.sum() == pytest.approx(1.0)
        assert answer.weights.min() >= 0
        tilted = np.log(reference) + np.tensordot(answer.weights, rewards, 1) / beta
        dual = beta * prompts @ logsumexp(tilted, axis=-1)
        assert dual == pytest.approx(answer.value, abs=1e-8)
        for other in rng.dirichlet(np.ones(responses), (20, contexts)):
            assert _primal(rewards, beta, reference, prompts, other) <= answer.value + 1e-8


@pytest.mark.parametrize("beta", [1.0, 0.05])
def test_groups_that_count_are_equally_well_off(rng, beta):
    counted = 0
    for _ in range(10):
        answer = maxmin_rewards(rng.standard_normal((4, 8)), beta)
        used = answer.weights > 0
        np.testing.assert_allclose(answer.group_values[used], answer.group_values.min(), atol=1e-8)
        assert (answer.group_values[~used] > answer.group_values.min()).all()
        counted += used.sum() > 1
    assert counted > 3


def test_one_group_alone_gets_its_best_response(rng):
    rewards = rng.standard_normal((1, 6))
    answer = maxmin_rewards(rewards, 0.3)
    np.testing.assert_allclose(answer.policy.logits[0], rewards[0] / 0.3 - np.log(np.sum(np.exp(rewards / 0.3))))


def test_a_group_that_is_served_anyway_has_no_weight():
    answer = maxmin_rewards([[0.0, 1.0], [5.0, 6.0]], 0.1)
    assert answer.weights.tolist() == [1.0, 0.0]


def test_equal_groups_share_their_weight_and_nothing_else_changes(rng):
    rewards = rng.standard_normal((2, 5))
    once, twice = (maxmin_rewards(r, 0.2) for r in (rewards, np.concatenate([rewards, rewards[:1]])))
    np.testing.assert_allclose(once.policy.probs(), twice.policy.probs(), atol=1e-9)
    assert once.value == pytest.approx(twice.value, abs=1e-10)


def test_a_weight_in_single_precision_is_computed_with_in_double(rng):
    rewards = rng.standard_normal((3, 5))
    single, double = (maxmin_rewards(rewards, beta) for beta in (np.float32(0.1), float(np.float32(0.1))))
    assert (single.value, single.gap, type(single.value)) == (double.value, double.gap, float)
    np.testing.assert_array_equal(single.policy.log_probs(), double.policy.log_probs())


def test_a_condorcet_cycle_of_groups_is_served_uniformly():
    answer = maxmin_rewards(CONDORCET, 0.1)
    np.testing.assert_allclose(answer.policy.probs(), 1 / 3, atol=1e-12)
    np.testing.assert_allclose(answer.group_values, 2.0, atol=1e-12)
    society = Mixture.of([BradleyTerry(100 * ranking[None]) for ranking in CONDORCET])
    game = maxmin_game(society)
    assert game.value == pytest.approx(1 / 6)
    assert abs(game.gap) < 1e-12


@pytest.mark.parametrize("certain", [False, True])
def test_the_program_of_the_game_is_certified_and_at_most_one_half(rng, certain):
    for _ in range(6):
        groups, contexts, responses = rng.integers((1, 1, 2), (5, 4, 8))
        tables = _tables(rng, groups, contexts, responses, responses, certain=certain)
        prompts = rng.dirichlet(np.ones(contexts))
        answer = maxmin_game(tables, prompts)
        assert abs(answer.gap) < 1e-8
        assert answer.value <= 0.5 + 1e-12
        worst = np.einsum("gxab,xa->gxb", tables, answer.policy.probs()).min(axis=-1) @ prompts
        np.testing.assert_allclose(answer.group_values, worst, atol=1e-12)
        for other in rng.dirichlet(np.ones(responses), (20, contexts)):
            assert np.min(np.einsum("gxab,xa->gxb", tables, other).min(axis=-1) @ prompts) <= answer.value + 1e-9


def test_one_group_gets_the_maximal_lottery():
    rock = np.array([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    answer = maxmin_game(rock[None])
    assert answer.value == pytest.approx(0.5, abs=1e-12)
    np.testing.assert_allclose(answer.policy.probs()[0], np.array([3, 2, 4]) / 9, atol=1e-9)


def test_groups_of_scores_are_at_most_zero(rng):
    skew = rng.standard_normal((2, 1, 4, 4))
    answer = maxmin_game(Mixture.of([Table(S - S.swapaxes(1, 2), "score") for S in skew]))
    assert answer.value <= 1e-12
    assert abs(answer.gap) < 1e-8


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: maxmin_rewards([[1.0, 2.0]], 0.0), "beta=0"),
        (lambda: maxmin_rewards([[1.0, 2.0]], [0.1, 0.2]), r"beta=\[0.1, 0.2\]: the dual needs"),  # type: ignore[arg-type]
        (lambda: maxmin_rewards([[1.0, 2.0]], None), "beta=None: the dual needs"),  # type: ignore[arg-type]
        (lambda: maxmin_rewards([[1.0, 2.0]], "low"), "beta must be a full array of real numbers"),  # type: ignore[arg-type]
        (lambda: maxmin_rewards([1.0, 2.0], 0.1), r"shape \(2,\)"),
        (lambda: maxmin_rewards([[1.0, np.nan]], 0.1), r"rewards\[0, 0, 1\] is nan"),
        (lambda: maxmin_rewards([[1e300, -1e300], [0.0, 1.0]], 1.0), r"rewards are 2e\+300 apart, too far for float64"),
        (lambda: maxmin_rewards([[1.7e308, -1.7e308]], 1e308), "rewards are inf apart, too far for float64"),
        (lambda: maxmin_rewards([[1.0, 2.0]], 0.1, reference=[0.0, 1.0]), r"reference\[0\] = 0 has no mass"),
        (lambda: maxmin_game([np.full((2, 2), 0.5), np.full((3, 3), 0.5)]), "all of the same shape"),
        (lambda: maxmin_game([[[0.5, 0.9], [0.3, 0.5]]]), "sum"),
        (lambda: maxmin_game([]), "at least one"),
        (lambda: maxmin_game(0.5), "not a float: for a game"),  # type: ignore[arg-type]
    ],
)
def test_bad_groups_are_refused(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()

"""Bradley-Terry: maximum likelihood, and when there is none."""

import jax.numpy as jnp
import numpy as np
import pytest

from nashpo.oracles import BradleyTerry, GeneralPreference
from nashpo.oracles.base import logistic


def _slope(wins, rewards):
    played = wins + wins.T
    return np.sum(wins - played * logistic(rewards[:, None] - rewards[None, :]), axis=1)


def _zermelo(wins, steps):
    """Zermelo's iteration (the MM algorithm): strength <- wins / sum_j played_ij / (p_i + p_j)."""
    strength, played = np.ones(len(wins)), wins + wins.T
    for _ in range(steps):
        strength = wins.sum(axis=1) / np.sum(played / (strength[:, None] + strength[None, :]), axis=1)
        strength /= np.exp(np.mean(np.log(strength)))
    return np.log(strength)


def test_exact_probabilities_give_back_their_rewards(rng):
    rewards = rng.standard_normal((2, 6)) * 2
    rewards -= rewards.mean(axis=-1, keepdims=True)
    wins = BradleyTerry(rewards).table() * rng.integers(1, 50, (1, 1, 1))
    wins[:, np.arange(6), np.arange(6)] = 0
    np.testing.assert_allclose(BradleyTerry.fit(wins).rewards, rewards, atol=1e-12)


def test_the_likelihood_is_stationary_and_agrees_with_zermelo(rng):
    wins = rng.poisson(2.0, (7, 7)).astype(float)
    np.fill_diagonal(wins, 0)
    rewards = BradleyTerry.fit(wins).rewards[0]
    assert np.abs(_slope(wins, rewards)).max() < 1e-11
    np.testing.assert_allclose(rewards, _zermelo(wins, 5000), atol=1e-10)


def test_a_chain_of_single_upsets_still_has_an_answer():
    wins = 1000.0 * np.eye(8, k=1)
    wins[7, 0] = 1.0
    rewards = BradleyTerry.fit(wins).rewards[0]
    assert np.abs(_slope(wins, rewards)).max() < 1e-8
    assert (np.diff(rewards) < 0).all()


def test_the_fit_does_not_depend_on_the_order_of_items(rng):
    wins = rng.poisson(3.0, (6, 6)) * (1 - np.eye(6))
    order = rng.permutation(6)
    np.testing.assert_allclose(
        BradleyTerry.fit(wins[np.ix_(order, order)]).rewards, BradleyTerry.fit(wins).rewards[:, order], atol=1e-12
    )


def test_a_symmetric_cycle_fits_as_a_coin_flip():
    cycle = np.array([[0, 9, 1], [1, 0, 9], [9, 1, 0]])
    np.testing.assert_allclose(BradleyTerry.fit(cycle).rewards, 0, atol=1e-15)


@pytest.mark.parametrize(
    ("wins", "sentence"),
    [
        ([[0, 1, 1], [0, 0, 1], [0, 1, 0]], "'a' never lost to 'b', 'c'"),
        ([[0, 1, 0], [1, 0, 0], [0, 0, 0]], "never lost to 'c'|'c' never lost to 'a', 'b'"),
        ([[0, 2, 1], [2, 0, 1], [0, 0, 0]], "'a', 'b' never lost to 'c'"),
    ],
)
def test_items_without_a_finite_reward_are_named(wins, sentence):
    with pytest.raises(ValueError, match=sentence):
        BradleyTerry.fit(wins, items=["a", "b", "c"])
    rewards = BradleyTerry.fit(wins, prior=0.5).rewards[0]
    assert np.isfinite(rewards).all()


def test_a_prior_is_pseudo_wins_on_both_sides():
    wins = np.array([[0.0, 4.0], [0.0, 0.0]])
    assert np.ptp(BradleyTerry.fit(wins, prior=1.0).rewards) == pytest.approx(np.log(5.0))


def test_a_single_item_has_the_reward_zero():
    assert BradleyTerry.fit([[0]]).rewards.tolist() == [[0.0]]
    assert BradleyTerry.fit(np.zeros((2, 1, 1)), prior=1.0).rewards.tolist() == [[0.0], [0.0]]


@pytest.mark.parametrize(
    ("wins", "prior", "sentence"),
    [
        ([[0, -1], [1, 0]], 0.0, r"wins\[0, 1\] is -1"),
        ([[0, np.nan], [1, 0]], 0.0, r"wins\[0, 1\] is nan"),
        ([[0, 1, 2], [1, 0, 2]], 0.0, r"shape \(2, 3\)"),
        ([[0.5, 0.9], [0.1, 0.5]], 0.0, r"wins\[0, 0\] is 0.5: nobody wins against itself, put 0 there"),
        ([[0, 1], [1, 0]], -1.0, "prior is -1.0"),
        ([["x", 1], [1, 0]], 0.0, "real numbers"),
    ],
)
def test_bad_counts_are_refused(wins, prior, sentence):
    with pytest.raises(ValueError, match=sentence):
        BradleyTerry.fit(wins, prior=prior)


def test_bad_rewards_are_refused():
    with pytest.raises(ValueError, match=r"shape \(3,\)"):
        _ = BradleyTerry(np.zeros(3)).shape
    with pytest.raises(ValueError, match=r"rewards\[0, 1\] is inf"):
        BradleyTerry(np.array([[0.0, np.inf]])).check()


@pytest.mark.parametrize("kind", [np.uint8, np.uint64, np.int8, bool])
@pytest.mark.parametrize("jax_too", [False, True])
def test_rewards_in_whole_numbers_are_those_in_floats(kind, jax_too):
    whole, v = np.array([[1, 0, 1]], kind), np.array([[[1, 0], [0, 1], [1, 1]]], kind)
    row, as_array = np.array([[0.2, 0.3, 0.5]]), jnp.asarray if jax_too else np.asarray
    for make, numbers in ((BradleyTerry, whole), (GeneralPreference, v)):
        for scale in ("probability", "score"):
            found, expected = make(as_array(numbers), scale), make(as_array(numbers.astype(float)), scale)
            np.testing.assert_array_equal(found.table(), expected.table())
            np.testing.assert_array_equal(found.win_rates(as_array(row)), expected.win_rates(as_array(row)))
    assert float(BradleyTerry(as_array(np.array([[0, 3]], np.uint8))).table()[0, 0, 1]) < 0.05


@pytest.mark.parametrize("scale", ["probability", "score"])
def test_rewards_and_opponents_of_another_shape_are_refused_without_a_game(scale):
    one, row = np.array([1.0, 0.0, 2.0]), np.full((1, 3), 1 / 3)
    for rewards in (one, jnp.asarray(one)):
        with pytest.raises(ValueError, match=r"rewards has shape \(3,\), but must be \[prompts, responses\] \(rewards"):
            BradleyTerry(rewards, scale).win_rates(row)
    with pytest.raises(ValueError, match="rewards must be an array"):
        BradleyTerry(one.tolist(), scale).win_rates(row)  # pyright: ignore[reportArgumentType]
    for opponent in (row[0], row[:, :2], np.full((2, 3), 1 / 3)):
        with pytest.raises(ValueError, match=r"opponent has shape .* probabilities \[prompts, responses\] = \(1, 3\)"):
            BradleyTerry(one[None], scale).win_rates(opponent)


def test_a_million_responses_are_scored_in_linear_memory():
    rewards = np.linspace(-1.0, 1.0, 1_000_000)[None]
    rates = BradleyTerry(rewards, "score").win_rates(np.full_like(rewards, 1e-6))
    np.testing.assert_allclose(rates, rewards, atol=1e-12)


def test_real_votes_are_fitted(data):
    wins = np.loadtxt(
        data / "agent_arena_llms.wins.csv", delimiter=",", skiprows=1, usecols=range(1, 17), dtype=np.float64
    )
    rewards = BradleyTerry.fit(wins).rewards[0]
    assert np.abs(_slope(wins, rewards)).max() < 1e-10

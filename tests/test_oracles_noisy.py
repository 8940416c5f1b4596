"""Noisy votes: constant-sum draws, unbiased corrections, fresh randomness."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo
from nashpo.oracles import BradleyTerry, GeneralPreference, Noisy, Table

P = np.array([[[0.5, 0.9, 0.2], [0.1, 0.5, 1.0], [0.8, 0.0, 0.5]]])
QUERY = np.array([[0.2, 0.3, 0.5]])


def _draws(oracle, count):
    return np.asarray(jax.jit(jax.vmap(oracle.draw))(jax.random.split(jax.random.key(1), count)))


@pytest.mark.parametrize("corrected", [True, False])
def test_every_draw_is_constant_sum_and_a_share_of_votes(corrected):
    judge = Noisy(Table(P), votes=4, flip=0.1, corrected=corrected)
    draws = _draws(judge, 50)
    np.testing.assert_allclose(draws + draws.swapaxes(-1, -2), 1.0, atol=1e-15)
    np.testing.assert_array_equal(draws[..., range(3), range(3)], 0.5)
    shares = draws[:, 0, 0, 1] * (0.8 if corrected else 1.0) + (0.1 if corrected else 0.0)
    np.testing.assert_allclose(4 * shares, np.round(4 * shares), atol=1e-12)


@pytest.mark.parametrize("corrected", [True, False])
def test_the_mean_is_the_truth_where_corrected_and_the_flipped_truth_where_not(corrected):
    judge = Noisy(Table(P), votes=3, flip=0.2, corrected=corrected)
    expected = P if corrected else 0.6 * P + 0.2
    np.testing.assert_allclose(judge.table(), expected, atol=1e-15)
    np.testing.assert_allclose(judge.win_rates(QUERY), np.einsum("xij,xj->xi", expected, QUERY), atol=1e-15)
    count = 20_000
    draws = _draws(judge, count)
    flipped = 0.6 * P + 0.2
    deviation = np.sqrt(flipped * (1 - flipped) / (3 * count)) / (0.6 if corrected else 1.0)
    deviation[:, range(3), range(3)] = 1e-12
    assert (np.abs(draws.mean(axis=0) - expected) < 5 * deviation).all()
    biased = 0.6 * P + 0.2 if corrected else P
    assert (np.abs(draws.mean(axis=0) - biased) > 5 * deviation).any()


def test_without_flips_certain_wins_stay_certain():
    draws = _draws(Noisy(Table(P), votes=2), 20)
    np.testing.assert_array_equal(draws[:, 0, 1, 2], 1.0)


def test_keys_decide_the_draw():
    judge = Noisy(Table(np.full((1, 3, 3), 0.5)), votes=1)
    draws = np.array([judge.win_rates(QUERY, jax.random.key(seed)) for seed in (*range(8), 0)])
    np.testing.assert_array_equal(draws[0], draws[-1])
    assert len(np.unique(draws, axis=0)) > 2


def test_comparisons_are_votes_and_nobody_beats_themselves():
    judge = Noisy(Table(P), votes=2, flip=0.1)
    prompts, left, right = np.zeros(4000, int), np.tile([[0, 1, 2]], (4000, 1)), np.tile([[1, 1, 0]], (4000, 1))
    votes = np.asarray(judge.compare(jax.random.key(0), prompts, left, right))
    np.testing.assert_array_equal(votes[:, 1], 0.5)
    np.testing.assert_allclose(votes.mean(axis=0), [0.9, 0.5, 0.8], atol=0.04)
    assert set(np.unique(np.round(votes[:, 0] * 0.8 + 0.1, 9))) == {0.0, 0.5, 1.0}


def test_a_solver_draws_afresh_at_every_step_and_reports_the_exact_gap():
    game = nashpo.Game.from_oracle(Noisy(Table(P), votes=8), beta=0.1)
    exact = nashpo.Game.from_table(P, beta=0.1)
    result = nashpo.solve(game, nashpo.solvers.EGPO(eta=0.05), steps=400, every=100, key=3)
    again = nashpo.solve(game, nashpo.solvers.EGPO(eta=0.05), steps=400, every=100, key=3)
    other = nashpo.solve(game, nashpo.solvers.EGPO(eta=0.05), steps=400, every=100, key=4)
    np.testing.assert_array_equal(result.policy.probs(), again.policy.probs())
    assert not np.allclose(result.policy.probs(), other.policy.probs())
    gap = nashpo.duality_gap(exact, np.asarray(result.policy.probs()))
    assert result.trace["duality_gap"][-1] == pytest.approx(gap, rel=1e-9)
    assert 1e-9 < gap < 0.05


def test_votes_and_flips_are_leaves():
    draw = jax.jit(lambda judge: judge.win_rates(QUERY, jax.random.key(0)))
    for votes, flip in ((1, 0.0), (5, 0.1), (100, 0.3)):
        draw(Noisy(Table(P), votes=votes, flip=flip))
    assert draw._cache_size() == 1


def test_float32_stays_float32():
    judge = Noisy(Table(jnp.asarray(P, jnp.float32)), votes=2, flip=0.1)
    assert judge.draw(jax.random.key(0)).dtype == jnp.float32
    assert judge.compare(jax.random.key(0), np.array([0]), np.array([[1]]), np.array([[0]])).dtype == jnp.float32


def test_any_oracle_of_probabilities_can_be_voted_on(rng):
    for inner in (BradleyTerry(rng.standard_normal((1, 3))), GeneralPreference(np.ones((1, 3, 2)), "probability")):
        assert Noisy(inner, votes=3).win_rates(QUERY, jax.random.key(0)).shape == (1, 3)


def test_what_cannot_be_voted_on_is_refused():
    with pytest.raises(ValueError, match="BradleyTerry pays scores, but votes are drawn from win probabilities"):
        _ = Noisy(BradleyTerry(np.zeros((1, 3)), "score")).scale
    for votes in (0, 1.5, np.nan, np.ones(3)):
        with pytest.raises(ValueError, match="votes="):
            Noisy(Table(P), votes=votes).check()
    for flip in (-0.1, 0.5, np.nan, np.full(3, 0.1)):
        with pytest.raises(ValueError, match="flip="):
            Noisy(Table(P), flip=flip).check()


def test_votes_on_token_sequences_are_shares_of_pairs():
    from nashpo.oracles import Sequences
    from nashpo.policies import Answers

    answers = Answers(vocabulary=2, length=2)
    judge = Noisy(Sequences(Table(np.full((1, 4, 4), 0.5)), answers), votes=3)
    tokens = jnp.array([[[0, 1], [1, 1]]])
    shares = judge.compare(jax.random.key(0), jnp.zeros(1, int), tokens, jnp.array([[[0, 1], [0, 0]]]))
    assert judge.answers == answers and not hasattr(Noisy(Table(np.full((1, 2, 2), 0.5))), "answers")
    assert shares.shape == (1, 2)
    assert shares[0, 0] == 0.5
    assert round(float(shares[0, 1]) * 3, 6) in (0, 1, 2, 3)

"""n-player games: payoffs, gains, and what tensors know that pairs do not."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo
from nashpo.players import HeterogeneousGame, PairwiseGame, TensorGame, epsilon_nash, gains, nash_conv, play

X, A = 2, 4


def _tables(rng, *shape):
    upper = np.triu(rng.random((*shape, A, A)), 1)
    return upper + np.tril(1 - upper.swapaxes(-1, -2), -1) + 0.5 * np.eye(A)


def _game(rng, beta):
    return nashpo.Game.from_table(_tables(rng, X), beta, rng.dirichlet(np.ones(A)), prompts=[0.25, 0.75])


@pytest.mark.parametrize("beta", [0.0, 0.3])
@pytest.mark.parametrize("players", [2, 3, 5])
def test_at_a_symmetric_profile_everybody_gains_half_the_duality_gap(rng, players, beta):
    game = _game(rng, beta)
    policy = rng.dirichlet(np.ones(A), X)
    gain = gains(PairwiseGame.among(game, players), np.broadcast_to(policy, (players, X, A)))
    np.testing.assert_allclose(gain, nashpo.duality_gap(game, policy) / 2, rtol=1e-12)


def test_the_gains_of_two_players_are_the_gap_of_the_pair(rng):
    beta, game = 0.3, _game(rng, 0.3)
    p, q = rng.dirichlet(np.ones(A), (2, X))
    P, r = game.oracle.payoff, game.reference.probs()

    def best(g):
        return beta * np.log(np.sum(r * np.exp(g / beta), axis=-1))

    kl = [np.sum(x * np.log(x / r), axis=-1) for x in (p, q)]
    gap = best(np.einsum("xij,xj->xi", P, q)) + best(np.einsum("xij,xj->xi", P, p)) + beta * sum(kl) - 1
    assert nash_conv(PairwiseGame.among(game, 2), np.stack([p, q])) == pytest.approx(gap @ game.prompts, abs=1e-14)


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_gains_are_what_the_best_deviation_wins(rng, beta):
    tables = _tables(rng, 3, X)
    weights = rng.dirichlet(np.ones(3), 3)
    game = HeterogeneousGame.from_tables(tables, beta, weights=weights)
    profile = rng.dirichlet(np.ones(A), (3, X))

    def utility(player, policy):
        opponent = np.einsum("j,jxa->xa", weights[player], profile)
        value = np.einsum("xi,xij,xj->x", policy, tables[player], opponent)
        return np.mean(value - beta * np.sum(policy * np.log(policy * A + 1e-300), axis=-1))

    gain = gains(game, profile)
    assert epsilon_nash(game, profile) == gain.max()
    for player, other in itertools.product(range(3), rng.dirichlet(np.ones(A), (200, X))):
        assert utility(player, other) - utility(player, profile[player]) <= gain[player] + 1e-12
    payoff = game.payoffs(profile)
    response = np.exp(payoff / beta) if beta else (payoff == payoff.max(-1, keepdims=True)).astype(float)
    response /= response.sum(-1, keepdims=True)
    won = [utility(i, response[i]) - utility(i, profile[i]) for i in range(3)]
    np.testing.assert_allclose(gain, won, atol=1e-13)


def test_gains_compile_and_agree_with_numpy(rng):
    game = PairwiseGame.among(_game(rng, 0.3), 3)
    profile = rng.dirichlet(np.ones(A), (3, X))
    compiled = jax.jit(gains)(jax.tree.map(jnp.asarray, game), jnp.asarray(profile))
    np.testing.assert_allclose(compiled, gains(game, profile), rtol=1e-12)


def test_one_table_for_all_is_the_pairwise_game(rng):
    table, profile = _tables(rng), rng.dirichlet(np.ones(A), 3)
    one = PairwiseGame.among(nashpo.Game.from_table(table, 0.2), 3)
    same = HeterogeneousGame.from_tables(np.stack([table] * 3), 0.2)
    np.testing.assert_allclose(gains(one, profile), gains(same, profile), atol=1e-15)


def test_a_tensor_of_two_players_is_a_preference_table(rng):
    table, profile = _tables(rng), rng.dirichlet(np.ones(A), 2)
    pair = PairwiseGame.among(nashpo.Game.from_table(table, 0.2), 2)
    np.testing.assert_allclose(gains(TensorGame.from_tensor(table, 0.2), profile), gains(pair, profile), atol=1e-14)


def test_payoffs_of_a_tensor_are_expectations_over_the_others(rng):
    game = TensorGame.from_rewards(rng.standard_normal(A), players=3)
    profile = rng.dirichlet(np.ones(A), (3, 1))
    p, q, r = profile[:, 0]
    shares = game.payoffs(profile)
    np.testing.assert_allclose(shares[0, 0], np.einsum("abc,b,c->a", game.payoff, q, r), atol=1e-15)
    np.testing.assert_allclose(shares[1, 0], np.einsum("abc,b,c->a", game.payoff, p, r), atol=1e-15)
    assert np.sum(profile * shares) == pytest.approx(1.0)


def test_under_plackett_luce_the_highest_reward_is_the_equilibrium(rng):
    rewards = rng.standard_normal(A)
    game = TensorGame.from_rewards(rewards, players=4)
    pure = np.tile(np.eye(A)[np.argmax(rewards)], (4, 1))
    assert epsilon_nash(game, pure) == 0
    for profile in rng.dirichlet(np.ones(A), (10, 4)):
        payoffs = game.payoffs(profile[:, None])[:, 0]
        assert (np.diff(payoffs[:, np.argsort(rewards)], axis=-1) > 0).all()
        assert epsilon_nash(game, profile) > 0


def test_rewards_however_far_apart_have_shares():
    for highest in (100.0, 740.0, 1e4, 1.7e308):
        payoff = TensorGame.from_rewards([-highest, highest, highest], players=3).payoff
        np.testing.assert_allclose(payoff[0, 0], [1 / 3, 0, 0], atol=1e-80)
        np.testing.assert_allclose(payoff[1], [[1, 1 / 2, 1 / 2], [1 / 2, 1 / 3, 1 / 3], [1 / 2, 1 / 3, 1 / 3]])


def _counterexample():
    """Three players, three responses: play settles on a cycle around no equilibrium.

    Entries are tenths: `alone[a, b]` is what b gets against two times a; `apart[a]` what a gets against the other two.
    """
    alone, apart = np.array([[0, 0, 4], [7, 0, 5], [0, 5, 0]]) / 10, np.array([4, 6, 0]) / 10
    payoff = np.full((3, 3, 3), 1 / 3)
    for a, b in itertools.permutations(range(3), 2):
        payoff[b, a, a] = alone[a, b]
        payoff[a, a, b] = payoff[a, b, a] = (1 - alone[a, b]) / 2
    for a, b, c in itertools.permutations(range(3)):
        payoff[a, b, c] = apart[a]
    return TensorGame.from_tensor(payoff)


def test_one_against_many_a_vanishing_regret_leaves_the_average_no_equilibrium():
    """MNPO's claim for average policies holds for pairs, not for its one-versus-many objective."""
    game = _counterexample()
    short, long = play(game, eta=0.4, steps=4000), play(game, eta=0.05, steps=256_000)
    assert np.asarray(long.regret).max() < 8e-5 < 5e-4 < np.asarray(short.regret).max()
    for result in (short, long):
        assert epsilon_nash(game, result.average) == pytest.approx(0.0177, abs=1e-3)
    assert np.ptp(np.asarray(long.average.probs()), axis=0).max() < 1e-12


def test_among_pairs_a_vanishing_regret_makes_the_average_an_equilibrium():
    cycle = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    game = PairwiseGame.among(cycle, 3)
    result = play(game, eta=0.05, steps=4000)
    regret = np.asarray(result.regret)
    np.testing.assert_allclose(gains(game, result.average), regret, rtol=1e-9)
    assert regret.max() < np.log(3) / (0.05 * 4000) + 0.05 / 8


@pytest.mark.parametrize(("weights", "constant"), [("symmetric", True), ("in a ring", False)])
def test_gains_of_the_average_add_up_to_regrets_where_payoffs_add_up_to_a_constant(rng, weights, constant):
    cycle = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]])
    meet = {"symmetric": [[0, 0.8, 0.2], [0.8, 0, 0.2], [0.2, 0.2, 0.6]], "in a ring": np.roll(np.eye(3), 1, axis=1)}
    game = PairwiseGame.among(cycle, weights=meet[weights])
    result = play(game, eta=2.0, steps=20, starts=rng.dirichlet(np.ones(3), 3))
    difference = np.sum(gains(game, result.average)) - np.sum(result.regret)
    assert (abs(difference) < 1e-12) if constant else (abs(difference) > 1e-3)


def test_regrets_of_many_steps_are_right_in_single_precision():
    cycle = np.array([[0.5, 0.9, 0.2], [0.1, 0.5, 0.8], [0.8, 0.2, 0.5]])
    game = PairwiseGame.among(nashpo.Game.from_table(cycle.astype(np.float32)), 2)
    result = play(game, eta=0.02, steps=1_000_000)
    assert result.regret.dtype == np.float32 and np.sum(result.regret) == pytest.approx(3.343e-4, rel=0.01)
    assert np.sum(gains(game, result.average)) == pytest.approx(3.343e-4, rel=0.01)


@pytest.mark.parametrize(
    ("build", "sentence"),
    [
        (lambda: PairwiseGame.among(nashpo.Game.from_table(np.full((2, 2), 0.5)), 1), "at least two players"),
        (
            lambda: PairwiseGame.among(nashpo.Game.from_table(np.full((2, 2), 0.5)), weights=[[0.5, 0.6], [1, 0]]),
            r"weights sums to 1\.1 in row 0",
        ),
        (lambda: HeterogeneousGame.among(nashpo.Game.from_table(np.full((2, 2), 0.5))), "Table has no annotators"),
        (lambda: TensorGame.from_tensor(np.zeros((2, 3))), r"shape \(2, 3\)"),
        (lambda: TensorGame.from_tensor(np.full((2, 2, 2), 0.5)), r"payoff\[0, 0, 0\] and the other players' shares"),
        (lambda: TensorGame.from_tensor(np.arange(8.0).reshape(2, 2, 2)), "order of the opponents"),
        (lambda: TensorGame.from_tensor(np.array([[0.5, 1.5], [-0.5, 0.5]])), r"payoff\[1, 0\] is -0.5: a share is"),
        (lambda: TensorGame.from_rewards([0.0, 1.0], players=3, beta=-1.0), "beta=-1"),
        (lambda: TensorGame.from_rewards([[0.0, 1.0], [2.0, 3.0]], players=2), r"rewards has shape \(2, 2\), but must"),
        (lambda: TensorGame.from_rewards([0.0, np.inf], players=2), "must be finite numbers"),
        (lambda: TensorGame.from_rewards([0.0, 1.0], players=1), "players=1: a game needs a whole number of players"),
        (lambda: PairwiseGame.among(nashpo.Game.from_table(np.full((2, 2), 0.5)), 2.5), r"players=2\.5: a game needs"),  # type: ignore[arg-type]
        (
            lambda: nash_conv(nashpo.Game.from_table(np.full((2, 2), 0.5)), [[0.5, 0.5]]),
            "gains takes a game of n players",
        ),  # type: ignore[arg-type]
        (lambda: gains(TensorGame.from_rewards([0.0, 1.0], 3), [["a", "b"]] * 3), "a profile must be a full array"),  # type: ignore[arg-type]
        (lambda: gains(TensorGame.from_rewards([0.0, 1.0], 3), np.full((2, 2), 0.5)), r"profile has shape \(2, 1, 2\)"),
        (lambda: gains(TensorGame.from_rewards([0.0, 1.0], 3), np.full((3, 2), 0.6)), "each summing to 1"),
        (lambda: PairwiseGame.among(np.full((2, 2), 0.5), 2), "PairwiseGame.among takes a Game, not a ndarray"),  # type: ignore[arg-type]
        (
            lambda: play(nashpo.Game.from_table(np.full((2, 2), 0.5)), eta=1.0, steps=5),
            "a game of n players, not a Game",
        ),  # type: ignore[arg-type]
        (lambda: play(TensorGame.from_rewards([0.0, 1.0], 3), eta=0.0, steps=5), "eta must be positive"),
        (lambda: play(TensorGame.from_rewards([0.0, 1.0], 3), eta=np.inf, steps=5), "eta must be positive and finite"),
        (lambda: play(TensorGame.from_rewards([0.0, 1.0], 3), eta=1.0, steps=2.5), "and steps a whole number"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_game_or_no_profile_is_refused(build, sentence):
    with pytest.raises(ValueError, match=sentence):
        build()

"""MNPO with n players: when it is self-play, when players swap, where heterogeneous ones end."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo
from nashpo.oracles import Mixture, Table
from nashpo.players import HeterogeneousGame, HeterogeneousMNPO, MultiplayerMNPO, PairwiseGame, gains, play
from nashpo.solvers import INPO, SPO

A = 4
STARTS = np.random.default_rng(11).dirichlet(np.ones(A), 4)


def _tables(rng, *shape):
    upper = np.triu(rng.random((*shape, A, A)), 1)
    return upper + np.tril(1 - upper.swapaxes(-1, -2), -1) + 0.5 * np.eye(A)


def _profiles(game, solver, steps):
    """Every profile of a run, probabilities `[steps + 1, n, X, A]`."""

    @jax.jit
    def run(game, solver):
        def step(state, _):
            return solver.step(game, state, None)[0], state.profile.probs()

        return jax.lax.scan(step, solver.init(game, game.reference), length=steps + 1)[1]

    return np.asarray(run(game, solver))


@pytest.mark.parametrize("players", [2, 3, 4])
def test_players_that_start_equal_are_inpo(rng, players):
    game = nashpo.Game.from_table(_tables(rng, 2), beta=0.2, reference=rng.dirichlet(np.ones(A)))
    many = nashpo.solve(game, MultiplayerMNPO(eta=0.3, players=players), steps=60)
    one = nashpo.solve(game, INPO(eta=0.3), steps=60)
    assert np.abs(np.asarray(many.policy.log_probs()) - np.asarray(one.policy.log_probs())).max() < 1e-12
    np.testing.assert_allclose(many.trace["duality_gap"], one.trace["duality_gap"], atol=1e-13)
    profile = many.state.profile.probs()
    np.testing.assert_allclose(profile, np.broadcast_to(profile[0], profile.shape), rtol=1e-12)


def test_without_penalty_players_that_start_equal_are_spo(rng):
    game = nashpo.Game.from_table(_tables(rng))
    many = nashpo.solve(game, MultiplayerMNPO(eta=0.3, players=3, answer="average"), steps=60)
    one = nashpo.solve(game, SPO(eta=0.3), steps=60)
    np.testing.assert_allclose(many.policy.probs(), one.policy.probs(), rtol=1e-12)
    np.testing.assert_allclose(many.last.probs(), one.last.probs(), rtol=1e-12)


def test_two_players_that_start_apart_swap_two_runs_of_self_play(rng):
    game = nashpo.Game.from_table(_tables(rng))
    both = _profiles(game, MultiplayerMNPO(eta=0.4, players=2, starts=STARTS[:2]), 9)
    runs = [_profiles(game, MultiplayerMNPO(eta=0.4, players=2, starts=STARTS[[i, i]]), 9)[:, 0] for i in (0, 1)]
    for t, profile in enumerate(both):
        np.testing.assert_allclose(profile[t % 2], runs[0][t], rtol=1e-12)
        np.testing.assert_allclose(profile[1 - t % 2], runs[1][t], rtol=1e-12)
    assert np.abs(runs[0][-1] - runs[1][-1]).max() > 0.05


@pytest.mark.parametrize("players", [3, 4])
def test_differences_between_players_shrink_by_one_over_the_others(rng, players):
    game = nashpo.Game.from_table(_tables(rng))
    log = np.log(_profiles(game, MultiplayerMNPO(eta=1e-3, starts=STARTS[:players], players=players), 6))[:, :, 0]
    apart = log[:, 0] - log[:, 1]
    apart -= apart.mean(axis=-1, keepdims=True)
    rate = np.sum(apart[1:] * apart[:-1], axis=-1) / np.sum(apart[:-1] ** 2, axis=-1)
    np.testing.assert_allclose(rate, -1 / (players - 1), atol=1e-3)


@pytest.mark.parametrize("eta", [0.1, 1.0])
def test_the_average_over_players_and_steps_obeys_a_hedge_bound(rng, eta):
    """For doubly stochastic weights the geometric mean G of the players runs Hedge against their arithmetic mean."""
    P = _tables(rng)
    game = nashpo.Game.from_table(P)
    weights = np.array([[0.2, 0.5, 0.3], [0.5, 0.1, 0.4], [0.3, 0.4, 0.3]])
    solver = MultiplayerMNPO(eta=eta, weights=weights, starts=STARTS[:3], answer="average")
    for steps in (10, 1000):
        profiles = _profiles(game, solver, steps - 1)[:, :, 0]
        geometric = np.exp(np.log(profiles).mean(axis=1))
        geometric /= geometric.sum(axis=-1, keepdims=True)
        mean = profiles.mean(axis=1)
        ahead = np.einsum("ti,ij,tj->t", geometric, P, mean) - 0.5
        bound = np.max(-np.log(geometric[0])) / (eta * steps) + eta / 8 + ahead.mean()
        average = mean.mean(axis=0)
        assert nashpo.metrics.exploitability(game, average) <= bound
        answer = nashpo.solve(game, solver, steps=steps, every=steps)
        np.testing.assert_allclose(answer.policy.probs()[0], average, atol=1e-12)


def test_equal_annotators_are_the_homogeneous_game(rng):
    P = _tables(rng, 2)
    mixture = nashpo.Game.from_oracle(Mixture.of([Table(P), Table(P), Table(P)]), beta=0.2)
    plain = nashpo.Game.from_table(P, beta=0.2)
    first = nashpo.solve(mixture, HeterogeneousMNPO(eta=0.3, starts=STARTS[:3, None].repeat(2, 1)), steps=30)
    second = nashpo.solve(plain, MultiplayerMNPO(eta=0.3, players=3, starts=STARTS[:3, None].repeat(2, 1)), steps=30)
    np.testing.assert_allclose(first.state.profile.log_probs(), second.state.profile.log_probs(), atol=1e-12)


def _society(rng):
    """Three annotators with one ranking each, softened: together a cycle."""
    rewards = 2.0 * np.array([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.2, 0.0, 2.0]])
    oracles = [nashpo.oracles.BradleyTerry(r[None]) for r in rewards]
    return nashpo.Game.from_oracle(Mixture.of(oracles), beta=0.1)


@pytest.mark.parametrize("pairs", ["opponents", "self"])
def test_heterogeneous_players_track_the_mean_annotator_and_not_their_own_game(rng, pairs):
    game = _society(rng)
    exact = nashpo.solve(game, nashpo.solvers.EGPO(eta=1.0), steps=400, every=400).policy.probs()
    distances = []
    for eta in (0.04, 0.02):
        result = nashpo.solve(game, HeterogeneousMNPO(eta=eta, pairs=pairs), steps=int(200 / eta), every=int(200 / eta))
        profile = np.asarray(result.state.profile.probs())
        distances.append(np.abs(profile - exact).max())
    assert distances[0] < 0.004
    assert distances[1] / distances[0] == pytest.approx(0.5, abs=0.03)
    own = HeterogeneousGame.among(game)
    assert np.asarray(gains(own, result.state.profile)).min() > 0.15
    assert result.trace["duality_gap"][-1] < 1e-9


def test_a_new_step_size_or_start_does_not_compile_again(rng):
    game = nashpo.Game.from_table(_tables(rng))
    step = jax.jit(lambda solver: solver.step(game, solver.init(game, game.reference), None)[0].profile.logits)
    for eta in (0.1, 0.2):
        step(MultiplayerMNPO(eta=eta, players=3, starts=jnp.asarray(STARTS[:3] if eta == 0.1 else STARTS[1:])))
    assert step._cache_size() == 1


@pytest.mark.parametrize(
    ("solver", "sentence"),
    [
        (MultiplayerMNPO(eta=-1.0, players=3), r"MultiplayerMNPO\(eta=-1.0\): eta must be a positive"),
        (MultiplayerMNPO(eta="fast", players=3), r"eta=fast\): eta must be a positive"),  # type: ignore[arg-type]
        (MultiplayerMNPO(eta=1.0), "at least two players"),
        (MultiplayerMNPO(eta=1.0, players=3, weights=[[0.0, 1.0], [1.0, 0.0]]), r"must be \[3, 3\]"),
        (MultiplayerMNPO(eta=1.0, players=3, starts=STARTS[:2]), "profile has shape"),
        (MultiplayerMNPO(eta=1.0, players=3, answer="best"), "must be 'last' or 'average'"),  # type: ignore[arg-type]
        (HeterogeneousMNPO(eta=1.0), "Table has no annotators"),
        (HeterogeneousMNPO(eta=1.0, pairs="both"), "must be 'opponents' or 'self'"),  # type: ignore[arg-type]
    ],
)
def test_bad_settings_are_refused_before_anything_runs(rng, solver, sentence):
    with pytest.raises(ValueError, match=sentence):
        nashpo.solve(nashpo.Game.from_table(_tables(rng)), solver, steps=3)


def test_tables_in_single_precision_stay_in_it(rng):
    tables = [Table(P) for P in _tables(rng, 3, 1).astype(np.float32)]
    society = nashpo.Game.from_oracle(Mixture.of(tables), beta=0.1)
    pair = nashpo.Game.from_oracle(tables[0], beta=0.1)
    for game, solver in ((pair, MultiplayerMNPO(np.float64(0.3), players=3)), (society, HeterogeneousMNPO(0.3))):
        assert nashpo.solve(game, solver, steps=3).policy.log_probs().dtype == np.float32
    for game in (PairwiseGame.among(pair, players=3), HeterogeneousGame.among(society)):
        assert play(game, eta=0.3, steps=3).average.logits.dtype == np.float32

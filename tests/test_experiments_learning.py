"""What the experiments on EGPO, step sizes and noise build on: sampled gradients, eigenvalues, the noise of votes."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo
from nashpo.mirror import Mirror
from nashpo.oracles import Noisy
from nashpo.policies import Tabular
from nashpo.solvers import EGPO, INPO, NashMD, OnlineIPO
from nashpo_games import biased_rps, random_constant_sum

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

import linearisation
import sampled_feedback
from sampled_feedback import NashMDPG, SampledIPO, SampledNashMDPG

BETA, ETA, MIX = 0.1, 0.4, 0.3


@pytest.fixture
def game(rng):
    reference = rng.dirichlet(np.full(5, 2.0))
    table = random_constant_sum(5, seed=3).oracle.table()[0]
    return jax.tree.map(jnp.asarray, nashpo.Game.from_table(table, beta=BETA, reference=reference))


@pytest.fixture
def start(rng):
    return Tabular.from_probs(jnp.asarray(rng.dirichlet(np.full(5, 2.0))))


def exact_move(rule, game, start):
    solver = Mirror(rule)
    new, _ = solver.step(game, solver.init(game, start), jax.random.key(0))
    return centred(solver.last(new).log_probs() - start.log_probs())


def centred(move):
    move = np.asarray(move)
    return move - move.mean(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("sampled", "exact"),
    [
        (SampledIPO(ETA), OnlineIPO(ETA)),
        (SampledIPO(ETA, on_policy=True), OnlineIPO(ETA, variant=2)),
        (SampledIPO(ETA, mix=MIX), NashMD(ETA, mix=MIX)),
        (SampledNashMDPG(ETA, MIX), NashMDPG(ETA, MIX)),
    ],
    ids=["Online IPO 1", "Online IPO 2", "Nash-MD", "Nash-MD-PG"],
)
def test_sampled_gradients_are_unbiased(sampled, exact, game, start):
    keys = jax.random.split(jax.random.key(1), 4000)
    moves = centred(jax.vmap(lambda key: sampled.move(game, start.log_probs(), key))(keys))[:, 0]
    if hasattr(exact, "stages"):
        expected = exact_move(exact, game, start)[0]
    else:
        expected = centred(exact.move(game, start.log_probs(), None))[0]
    error = np.abs(moves.mean(axis=0) - expected) / (moves.std(axis=0) / np.sqrt(len(keys)))
    assert error.max() < 5
    assert np.abs(expected).max() > 20 * moves.std(axis=0).max() / np.sqrt(len(keys))


def test_many_samples_with_a_look_ahead_are_egpo(game, start, monkeypatch):
    monkeypatch.setattr(sampled_feedback, "SAMPLES", 400_000)
    large = 10 * ETA  # so that the look ahead makes a difference
    move = centred(SampledIPO(large, look_ahead=True).move(game, start.log_probs(), jax.random.key(2)))
    expected, other = exact_move(EGPO(large), game, start), exact_move(INPO(large), game, start)
    assert np.abs(move - expected).max() < 0.2 * np.abs(other - expected).max()


def test_nash_md_pg_is_policy_gradient_without_a_mixture(game, start):
    """Where the opponent is the policy itself, at the learning rate that EGPO's authors give both losses."""
    move = centred(NashMDPG(ETA, 0.0).move(game, start.log_probs(), None))
    gradient = exact_move(OnlineIPO(ETA, variant=2), game, start)
    assert np.allclose(move, BETA / 4 * gradient, atol=1e-12)


@pytest.mark.parametrize("beta", [0.01, 0.1, 1.0])
@pytest.mark.parametrize("w", [0.1, 0.29, 0.5])
def test_limits_are_where_the_factor_is_one(beta, w):
    for limit, factor in (
        (linearisation.inpo_limit(beta, w), linearisation.inpo_factor),
        (linearisation.egpo_limit(beta, w), linearisation.egpo_factor),
    ):
        assert factor(limit, beta, w) == pytest.approx(1, abs=1e-9)
        assert factor(0.99 * limit, beta, w) < 1 < factor(1.01 * limit, beta, w)


def test_frequencies_are_the_eigenvalues_of_a_step():
    """INPO's step differentiated at the equilibrium, against the formula that uses frequencies."""
    game = biased_rps(beta=0.1)
    solver, probs = Mirror(INPO(ETA)), nashpo.equilibrium(game).probs()
    arrays = jax.tree.map(jnp.asarray, game.nameless())

    def step(log_probs):
        new, _ = solver.step(arrays, solver.init(arrays, Tabular(log_probs[None])), jax.random.key(0))
        return solver.last(new).log_probs()[0]

    moduli = np.abs(np.linalg.eigvals(np.asarray(jax.jacobian(step)(jnp.log(jnp.asarray(probs[0]))))))
    expected = linearisation.inpo_factor(ETA, 0.1, linearisation.frequency(game))
    assert np.sort(moduli)[-2:] == pytest.approx(expected, rel=1e-9)


def test_the_noise_of_votes_is_that_of_drawn_tables(rng):
    table, probs = random_constant_sum(4, seed=1).oracle.table(), rng.dirichlet(np.ones(4))
    oracle, keys = Noisy(nashpo.oracles.Table(jnp.asarray(table)), votes=1), jax.random.split(jax.random.key(0), 20_000)
    drawn = np.asarray(jax.vmap(lambda key: oracle.win_rates(jnp.asarray(probs)[None], key))(keys))[:, 0]
    expected = linearisation._vote_noise(np.array(table[0]), probs)
    assert np.allclose(np.cov(drawn.T), expected, atol=5 * expected.max() / np.sqrt(len(keys)))

"""Policies over trajectories, the grid with goals, and self-play on it."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import nashpo
from nashpo.estimates import pool_lower_bound
from nashpo.learners import Sampled
from nashpo.learners.gains import Batch
from nashpo.learners.losses import PolicyGradient, ProximalPolicyGradient
from nashpo.policies import Mixture, Rollout, Tabular
from nashpo.policies.base import enumerable
from nashpo.solvers import SPO
from nashpo.testing import check_policy
from nashpo_games.control import GOALS, STARTS, first_goal_cycle, goal_cycle, goal_cycle_equilibrium, goal_return
from nashpo_games.grid import MOVES, Grid

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

import minimax_winner_control as experiment

CYCLES = {"last": goal_cycle, "first": first_goal_cycle}


def policy_of(game, seed=0, scale=1.0):
    """A linear network: a table of logits for every cell and time."""
    world = game.oracle.world
    layer = nnx.Linear(25 * world.horizon, 5, rngs=nnx.Rngs(seed), use_bias=False)
    policy = Rollout.from_module(layer, world, prompts=len(world.starts))
    return policy.with_params(jax.tree.map(lambda leaf: scale * leaf, policy.params))


def walked(start, actions):
    """The cells of a walk, one move at a time."""
    cells = [np.array(start)]
    for action in actions:
        cells.append(np.clip(cells[-1] + MOVES[action], 0, 4))
    return [tuple(int(i) for i in cell) for cell in cells]


def outcome_of(reading, cells):
    visited = [GOALS.index(cell) for cell in cells[1:] if cell in GOALS]
    if reading == "time":
        return sum(cell == GOALS[0] for cell in cells[1:])
    if reading == "last":
        return GOALS.index(cells[-1]) if cells[-1] in GOALS else 3
    return visited[0] if visited else 3


@pytest.mark.parametrize(("reading", "make"), [*CYCLES.items(), ("time", goal_return)])
def test_outcomes_are_those_of_the_walk(reading, make):
    oracle = make(prompts=2).oracle
    every = np.asarray(oracle.answers.tokens())
    found = np.asarray(oracle.outcomes())
    for x in range(2):
        assert [outcome_of(reading, walked(STARTS[x], actions)) for actions in every] == found[x].tolist()


def test_the_first_goal_counts_and_the_path_matters():
    oracle = first_goal_cycle().oracle
    there_and_away, never = np.array([1, 1, 2, 4]), np.array([4, 4, 3, 1])
    assert oracle.outcome(np.zeros(2, int), np.stack([there_and_away, never])).tolist() == [0, 3]
    assert walked((2, 2), there_and_away)[-1] == walked((2, 2), np.array([4, 1, 0, 0]))[-1] == (1, 3)


@pytest.mark.parametrize("make", [goal_cycle, goal_return])
def test_the_oracle_is_its_table(make, rng):
    oracle = make(prompts=2).oracle
    table = np.asarray(oracle.table())
    opponent = rng.dirichlet(np.ones(625), 2)
    np.testing.assert_allclose(oracle.win_rates(opponent), np.einsum("xij,xj->xi", table, opponent), atol=1e-13)
    left, right = rng.integers(0, 625, (2, 3, 7))
    prompts = np.array([1, 0, 1])
    found = oracle.compare(None, prompts, *(oracle.answers.tokens(side) for side in (left, right)))
    np.testing.assert_allclose(found, table[prompts[:, None], left, right], atol=1e-15)
    assert oracle.bound() == pytest.approx(np.abs(table - 0.5).max())


def test_noisy_comparisons_are_votes_with_the_right_mean():
    oracle = goal_return(flip=0.2).oracle
    walks = oracle.answers.tokens(np.array([[6, 0]]))
    left = jnp.broadcast_to(jnp.array([1, 1, 0, 0]), (1, 4000, 4))
    right = jnp.broadcast_to(walks[:, 1:], (1, 4000, 4))
    votes = np.asarray(oracle.compare(jax.random.key(0), np.zeros(1, int), left, right))
    assert set(np.unique(votes)) == {0.0, 1.0}
    assert abs(votes.mean() - 0.8) < 4 * 0.4 / np.sqrt(4000)


@pytest.mark.parametrize("make", CYCLES.values(), ids=CYCLES)
@pytest.mark.parametrize("wins", [(0.8, 0.65, 0.75), (0.9, 0.6, 0.7)])
def test_the_minimax_winner_over_goals_has_no_gap(make, wins):
    game = make(*wins, prompts=4)
    winner = goal_cycle_equilibrium(*wins)
    outcomes = np.asarray(game.oracle.outcomes())
    counts = np.stack([np.bincount(row, minlength=4) for row in outcomes])
    assert counts.min() > 0
    policy = Tabular.from_probs(np.take_along_axis(winner / counts, outcomes, axis=-1))
    np.testing.assert_allclose(game.oracle.distribution(policy.probs()), np.tile(winner, (4, 1)), atol=1e-13)
    assert float(nashpo.duality_gap(game, policy)) < 1e-13
    assert float(nashpo.duality_gap(game, game.reference)) > 0.5


def test_a_rollout_is_a_policy_over_listed_trajectories(rng):
    game = goal_cycle(prompts=2)
    policy = policy_of(game, scale=3.0)
    probs = np.asarray(policy.probs())
    np.testing.assert_allclose(probs.sum(-1), 1, rtol=1e-6)
    table = jax.nn.log_softmax(policy.params["kernel"]).reshape(5, 5, 4, 5)
    for x, number in ((0, 7), (1, 400), (1, 624)):
        actions = np.asarray(policy.response(np.array(number)))
        cells = walked(STARTS[x], actions)
        expected = sum(float(table[(*cells[t], t, actions[t])]) for t in range(4))
        assert np.log(probs[x, number]) == pytest.approx(expected, rel=1e-5)
    numbers = rng.integers(0, 625, (2, 9))
    np.testing.assert_array_equal(policy.index(policy.response(numbers)), numbers)
    found = policy.log_prob(np.array([1, 0]), policy.response(numbers))
    np.testing.assert_allclose(np.exp(found), probs[[[1], [0]], numbers], rtol=1e-5)


def test_a_rollout_samples_what_it_says():
    game = goal_cycle(prompts=2)
    policy = policy_of(game, scale=3.0)
    drawn = policy.sample(jax.random.key(0), jnp.array([0, 1, 1]), 4000)
    assert drawn.shape == (3, 4000, 4) and drawn.dtype == jnp.int32
    expected = np.asarray(game.oracle.distribution(policy.probs()))
    for row, x in enumerate((0, 1, 1)):
        outcomes = np.asarray(game.oracle.outcome(np.full(4000, x), drawn[row]))
        found = np.bincount(outcomes, minlength=4) / 4000
        assert np.abs(found - expected[x]).max() < 4 * 0.5 / np.sqrt(4000)
    np.testing.assert_array_equal(policy.sample(jax.random.key(0), jnp.array([0]), 5)[0], drawn[0, :5])
    assert np.any(drawn[1] != drawn[2])


def test_a_short_rollout_keeps_the_laws_of_policies():
    world = Grid(np.array(STARTS[:2]), np.array(GOALS), horizon=1)
    layer = nnx.Linear(25, 5, rngs=nnx.Rngs(0))
    check_policy(Rollout.from_module(layer, world, prompts=2), extreme=None)


def test_long_trajectories_are_not_listed():
    world = Grid(np.array(STARTS[:1]), np.array(GOALS), horizon=20)
    policy = Rollout.from_module(nnx.Linear(500, 5, rngs=nnx.Rngs(0)), world, prompts=1)
    assert not enumerable(policy) and enumerable(policy_of(goal_cycle()))
    drawn = policy.sample(jax.random.key(0), jnp.zeros(1, int), 3)
    assert np.all(np.isfinite(policy.log_prob(np.zeros(1, int), drawn)))


def test_a_pool_of_walkers_bounds_the_exact_gap():
    game = goal_cycle()
    pool = [policy_of(game, seed, scale=8.0) for seed in range(4)]
    gap = float(nashpo.duality_gap(game, pool[0]))
    bound = pool_lower_bound(game, Mixture.of(pool[:1]), pool, key=jax.random.key(0), rows=1024, confidence=0.999)
    member = game.oracle.win_rates(pool[0].probs())[0] @ pool[bound.member].probs()[0]
    assert bound.low <= 2 * float(member) - 1 <= bound.high
    assert bound.low <= gap


def test_the_proximal_loss_has_the_mirror_step_as_its_minimiser(rng):
    """Over all responses, weighted by the start's probabilities, its gradient vanishes at `start exp(eta g) / Z`."""
    from nashpo.learners.losses import Samples, Terms

    eta, start, gains = 0.7, rng.dirichlet(np.ones(4)), rng.uniform(size=4)
    counts = 5000
    responses = np.repeat(np.arange(4), np.round(counts * start).astype(int))[None]
    law = np.bincount(responses[0]) / responses.size
    samples = Samples(*(None,) * 10)._replace(anchor=jnp.log(law)[responses], gains=jnp.asarray(gains)[responses])

    def loss(logits):
        return ProximalPolicyGradient()(
            jax.nn.log_softmax(logits)[responses], samples, Terms(eta, 0.0, 0.5, "win_rate")
        )[0]

    step = jnp.log(law) + eta * gains
    assert np.abs(jax.grad(loss)(step)).max() < 1e-3 * np.abs(jax.grad(loss)(jnp.log(law))).max()
    first = jax.grad(loss)(jnp.log(law))
    np.testing.assert_allclose(first, -eta * law * (gains - law @ gains), rtol=2e-3)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
def test_the_average_of_self_play_is_the_known_minimax_winner(seed):
    run = experiment.learn(goal_cycle(), seed, ProximalPolicyGradient(), steps=400, batch=256)
    assert experiment.distance(run.trace["average"][-1]) < 0.08
    assert run.trace["duality_gap"][-1] < 0.1
    late = run.trace["last"][20:]
    assert experiment.distance(late).mean() > 0.15  # the last policy goes on round the circle
    assert len(set(np.argmax(late[:, :3], axis=-1))) == 3 or late[:, :3].max() - late[:, :3].min() > 0.4


@pytest.mark.slow
def test_a_reward_model_ends_on_one_goal():
    game = goal_cycle()
    modelled = experiment.reward_model(game, experiment.network(game, 0))
    run = experiment.learn(modelled, 0, ProximalPolicyGradient(), steps=400, batch=256)
    assert run.trace["last"][-1, 0] > 0.9
    assert float(nashpo.duality_gap(game, run.last)) > 0.2


@pytest.mark.slow
def test_plain_policy_gradient_ends_on_one_goal():
    """Its steps are multiplied by the policy: the goal that is found first keeps everything."""
    run = experiment.learn(goal_cycle(), 0, PolicyGradient(), steps=400, batch=256, updates=1)
    assert run.trace["last"][-1].max() > 0.9 and experiment.distance(run.trace["average"][-1]) > 0.4


@pytest.mark.slow
@pytest.mark.parametrize("flip", [0.0, 0.2])
def test_the_last_policy_maximises_a_return(flip):
    run = experiment.learn(goal_return(flip=flip), 0, ProximalPolicyGradient(), steps=300, batch=256)
    assert float(run.trace["last_gap"][-1]) < 0.05
    assert run.trace["last"][-1, 3] > 0.9  # two moves to walk there, after three of four moves it is there


@pytest.mark.slow
def test_non_markovian_preferences_have_the_same_winner():
    run = experiment.learn(first_goal_cycle(), 0, ProximalPolicyGradient(), steps=400, batch=256)
    assert experiment.distance(run.trace["average"][-1]) < 0.08


def test_what_does_not_fit_is_refused():
    game = goal_cycle()
    with pytest.raises(ValueError, match=r"Linear maps observations of shape \(1, 100\) to \(1, 3\)"):
        Rollout.from_module(nnx.Linear(100, 3, rngs=nnx.Rngs(0)), game.oracle.world, prompts=1)
    with pytest.raises(ValueError, match="horizon is 3, but must be a whole number, 4 or more"):
        goal_cycle(horizon=3)
    with pytest.raises(ValueError, match="prompts is 5, but must lie between 1 and 4"):
        goal_cycle(prompts=5)
    with pytest.raises(ValueError, match=r"flip is 0\.7"):
        goal_return(flip=0.7)
    with pytest.raises(ValueError, match="too large: ask win_rates"):
        goal_cycle(horizon=6).oracle.table()
    with pytest.raises(ValueError, match="ProximalPolicyGradient is biased for responses from Uniform"):
        from nashpo.learners.samplers import Uniform

        Sampled(0.1, loss=ProximalPolicyGradient(), sampler=Uniform(), gains=Batch())


def test_self_play_is_reproducible():
    runs = [
        nashpo.solve(
            goal_cycle(),
            SPO(0.5),
            steps=3,
            learner=Sampled(0.01, loss=ProximalPolicyGradient(), gains=Batch(), responses=8),
            start=experiment.network(goal_cycle(), 0),
            key=key,
        ).trace["duality_gap"]
        for key in (0, 0, 1)
    ]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.any(runs[0] != runs[2])

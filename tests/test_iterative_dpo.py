"""Iterative DPO: the Bradley-Terry reward under the current policy, and what follows from it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from cyclic import biased_cycle, interior_games
from recursions import ROCK_PAPER_SCISSORS, kl, normalise, path, random_games, win_rates
from scipy.optimize import minimize
from scipy.special import expit

import nashpo
from nashpo.learners.bradley_terry import fit_reward
from nashpo.solvers import APO, SPO, Averaged, IterativeDPO

STEPS = 200


def residual(P, weights, reward):
    return np.einsum("xab,xb->xa", P - expit(reward[:, :, None] - reward[:, None, :]), weights)


def certain_free(seed, count=12):
    P, log_ref = random_games(seed, count)
    return 0.5 + 0.98 * (P - 0.5), log_ref


def test_the_reward_solves_its_equation_for_every_response():
    P, log_ref = certain_free(41)
    for tilt in (0.0, 3.0, 30.0):
        weights = np.exp(normalise(log_ref * (1 + tilt) + tilt * P[:, 0]))
        reward = np.asarray(jax.jit(fit_reward)(P, weights))
        np.testing.assert_allclose(residual(P, weights, reward), 0.0, atol=1e-14)
        np.testing.assert_allclose(np.sum(weights * reward, axis=-1), 0.0, atol=1e-12)


def test_the_step_minimises_the_dpo_loss():
    P, log_ref = certain_free(42)
    logs = path(P, log_ref, 0.0, IterativeDPO(0.4), STEPS)[1]
    for table, start, log in zip(P, log_ref, logs, strict=True):
        pairs = np.exp(start)[:, None] * np.exp(start)[None, :] * table

        def loss(logits, pairs=pairs, start=start):
            margin = (logits - start)[:, None] - (logits - start)[None, :]
            weights = pairs * expit(-margin / 0.4) / 0.4
            return np.sum(pairs * np.logaddexp(0, -margin / 0.4)), weights.sum(0) - weights.sum(1)

        fitted = minimize(loss, start, jac=True, method="BFGS", options={"gtol": 1e-11, "maxiter": 2000}).x
        np.testing.assert_allclose(np.exp(log), np.exp(normalise(fitted)), atol=1e-6)


def test_bradley_terry_preferences_give_their_own_reward_under_every_opponent():
    rng = np.random.default_rng(43)
    log_ref = random_games(43)[1]
    reward = rng.normal(size=log_ref.shape)
    P = expit(reward[:, :, None] - reward[:, None, :])
    logs = path(P, log_ref, 0.0, IterativeDPO(0.05), STEPS)
    for steps in (1, 10, STEPS):
        expected = normalise(log_ref + 0.05 * steps * reward)
        np.testing.assert_allclose(np.exp(logs[steps]), np.exp(expected), atol=1e-10)


def test_the_reward_is_zero_exactly_where_every_response_wins_half_of_the_time():
    P, probs = interior_games(44)
    np.testing.assert_allclose(jax.jit(fit_reward)(P, probs), 0.0, atol=1e-13)
    rule = IterativeDPO(1.0)
    np.testing.assert_allclose(path(P, np.log(probs), 0.0, rule, STEPS)[1], np.log(probs), atol=1e-12)
    elsewhere = normalise(np.log(probs) + 0.1 * np.cos(np.arange(5)))
    moved = path(P, np.log(probs), 0.0, rule, STEPS, start=elsewhere)[1]
    assert np.all(np.max(np.abs(moved - elsewhere), axis=-1) > 1e-4)


def test_near_indifference_it_is_spo_with_four_times_the_step():
    P, log_ref = random_games(45)
    errors = []
    for size in (1e-2, 1e-3):
        table = 0.5 + size * (P - 0.5)
        reward = np.asarray(jax.jit(fit_reward)(table, np.exp(log_ref)))
        errors.append(np.max(np.abs(reward - 4 * (win_rates(table, log_ref) - 0.5)), axis=-1))
        assert np.all(errors[-1] < 2 * size**2)
    assert np.all(errors[1] <= errors[0] / 90)
    table = 0.5 + 1e-3 * (P - 0.5)
    dpo, spo = path(table, log_ref, 0.0, IterativeDPO(1.0), STEPS), path(table, log_ref, 0.0, SPO(4.0), STEPS)
    np.testing.assert_allclose(dpo, spo, atol=2e-3 * np.max(np.abs(spo[-1] - spo[0])))


def test_the_last_iterate_leaves_an_interior_equilibrium():
    P, probs = interior_games(46)
    start = normalise(np.log(probs) + 1e-3 * np.cos(np.arange(5)))
    distance = kl(np.log(probs), path(P, np.log(probs), 0.0, IterativeDPO(0.25), STEPS, start=start))
    assert np.all(distance[-1] > distance[0])
    spo = kl(np.log(probs), path(P, np.log(probs), 0.0, SPO(1.0), STEPS, start=start))
    np.testing.assert_allclose(distance[-1], spo[-1], rtol=0.2)


def test_certain_cycles_have_a_finite_reward_and_certain_rankings_are_refused():
    uniform = np.log(np.full((1, 3), 1 / 3))
    log = path(ROCK_PAPER_SCISSORS, uniform, 0.0, IterativeDPO(0.5), STEPS)
    np.testing.assert_allclose(log[-1], uniform, atol=1e-12)
    weights = np.array([[1 - 2e-12, 1e-12, 1e-12]])
    reward = np.asarray(jax.jit(fit_reward)(ROCK_PAPER_SCISSORS, weights))
    # Paper, row 1, beats rock and loses to scissors: exp(-(r_paper - r_rock)) = 1e-12 sigma(r_paper - r_scissors).
    exact = -np.log(1e-12 * expit(reward[0, 1] - reward[0, 2]))
    assert reward[0, 1] - reward[0, 0] == pytest.approx(exact, rel=1e-10)
    items = ("tea", "milk", "water", "mud")
    table = np.full((4, 4), 0.5)
    table[:2, 2:], table[2:, :2] = 1.0, 0.0
    rules = (IterativeDPO(0.5), APO(0.5, 0.3, IterativeDPO), Averaged(IterativeDPO(0.5)))
    for rule in rules:
        with pytest.raises(ValueError, match=r"'tea', 'milk' always beat 'water', 'mud': move these"):
            nashpo.solve(nashpo.Game.from_table(table, items=items), rule, steps=1)
    with pytest.raises(ValueError, match=r"response 2, response 3 always beat response 0, response 1"):
        nashpo.solve(nashpo.Game.from_table(np.stack([0 * table + 0.5, 1 - table])), rules[0], steps=1)


def test_single_precision_padding_and_collapsed_policies_stay_finite():
    P, log_ref = certain_free(47)
    single = jax.jit(fit_reward)(jnp.float32(P), jnp.float32(np.exp(log_ref)))
    assert single.dtype == jnp.float32
    np.testing.assert_allclose(single, jax.jit(fit_reward)(P, np.exp(log_ref)), atol=3e-5)
    collapsed = np.zeros((1, 3))
    collapsed[0, 0] = 1.0
    reward = np.asarray(jax.jit(fit_reward)(biased_cycle(0.9, 0.7, 0.6)[None], collapsed))
    np.testing.assert_allclose(reward[0] - reward[0, 0], [0.0, -np.log(9), np.log(0.6 / 0.4)], atol=1e-12)
    small, large = nashpo.Game.from_table(P[0, :4, :4]), nashpo.Game.from_table(P[1])
    together = nashpo.solve(nashpo.stack([small, large]), IterativeDPO(0.3), steps=20)
    alone = nashpo.solve(small, IterativeDPO(0.3), steps=20)
    np.testing.assert_allclose(together.policy.probs()[0, :4], alone.policy.probs()[0], atol=1e-13)

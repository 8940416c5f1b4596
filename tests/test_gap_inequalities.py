"""The duality gap: its forms agree, and it brackets the distance to equilibrium."""

import numpy as np
import pytest
from recursions import equilibrium, gap, kl, normalise, random_games
from scipy.optimize import minimize
from scipy.special import log_softmax

import nashpo
from nashpo.metrics import gap_by_prompt
from nashpo.policies import Tabular

BETAS = (0.01, 0.1, 1.0)
SEEDS = range(5)


def games_and_policies(seed, count=12):
    """Tables, references and policies between nearly uniform and nearly pure."""
    P, log_ref = random_games(seed, count)
    spread = np.geomspace(0.1, 6.0, count)[:, None]
    return P, log_ref, normalise(spread * np.random.default_rng(100 + seed).normal(size=log_ref.shape))


def library_gap(P, log, log_ref, beta):
    return gap_by_prompt(nashpo.Game.from_table(P, beta=beta, reference=np.exp(log_ref)), Tabular(log))


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("seed", SEEDS)
def test_kl_form_is_the_difference_of_values(seed, beta):
    P, log_ref, log = games_and_policies(seed)
    np.testing.assert_allclose(library_gap(P, log, log_ref, beta), gap(P, log, log_ref, beta), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("beta", (0.05, 0.5))
def test_gap_is_the_best_that_either_player_can_gain(beta):
    P, log_ref, log = games_and_policies(0, count=6)
    starts = np.random.default_rng(1).normal(size=(3, P.shape[-1]))
    for x in range(len(P)):
        rates, penalty = P[x] @ np.exp(log[x]), kl(log[x], log_ref[x])

        def loss(logits, rates=rates, penalty=penalty, x=x):
            answer = log_softmax(logits)
            return -(np.exp(answer) @ rates - beta * kl(answer, log_ref[x]) + beta * penalty)

        best = -min(minimize(loss, start, tol=1e-10).fun for start in starts)
        # The second player's best is 1 - best, as V(p, q) + V(q, p) = 1.
        np.testing.assert_allclose(library_gap(P, log, log_ref, beta)[x], best - (1 - best), atol=1e-7)


@pytest.mark.parametrize("seed", SEEDS)
def test_without_penalty_the_gap_is_the_best_pure_deviation(seed):
    P, log_ref, log = games_and_policies(seed)
    pure = np.stack([np.einsum("xj,xj->x", P[:, y], np.exp(log)) for y in range(P.shape[-1])], axis=-1)
    np.testing.assert_allclose(library_gap(P, log, log_ref, 0.0), 2 * pure.max(-1) - 1, atol=1e-14)


@pytest.mark.parametrize("beta", BETAS)
def test_gap_vanishes_at_equilibrium_and_is_never_negative(beta):
    P, log_ref = random_games(3)
    log_star = equilibrium(P, log_ref, beta)
    at_equilibrium = library_gap(P, log_star, log_ref, beta)
    assert np.all(at_equilibrium >= 0)
    assert np.all(at_equilibrium < 1e-20)
    nearby = normalise(log_star + 1e-9 * np.random.default_rng(0).normal(size=log_star.shape))
    assert np.all(library_gap(P, nearby, log_ref, beta) > at_equilibrium)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("seed", SEEDS)
def test_gap_brackets_the_distance_to_equilibrium(seed, beta):
    P, log_ref, log = games_and_policies(seed)
    log_star = equilibrium(P, log_ref, beta)
    measured = library_gap(P, log, log_ref, beta)
    distance = kl(log, log_star)
    spread = np.abs(np.exp(log) - np.exp(log_star)).sum(-1)
    assert np.all(2 * beta * distance <= measured + 1e-13)
    assert np.all(measured <= 2 * beta * distance + spread**2 / (4 * beta) + 1e-13)
    assert np.all(measured <= (2 * beta + 1 / (2 * beta)) * distance + 1e-13)


@pytest.mark.parametrize("beta", BETAS)
@pytest.mark.parametrize("seed", SEEDS)
def test_gap_without_penalty_is_bounded_by_the_one_with(seed, beta):
    P, log_ref, log = games_and_policies(seed)
    spare = np.max(-log_ref, axis=-1) - kl(log, log_ref)
    bound = library_gap(P, log, log_ref, beta) + 2 * beta * spare
    assert np.all(library_gap(P, log, log_ref, 0.0) <= bound + 1e-13)


def test_bias_of_the_penalised_equilibrium_is_at_most_twice_beta_log_n():
    P, _ = random_games(4)
    uniform = np.full(P.shape[:2], -np.log(P.shape[-1]))
    for beta in BETAS:
        bias = library_gap(P, equilibrium(P, uniform, beta), uniform, 0.0)
        assert np.all(bias <= 2 * beta * np.log(P.shape[-1]) + 1e-13)


@pytest.mark.parametrize("beta", BETAS)
def test_relabelling_the_responses_changes_nothing(beta):
    P, log_ref, log = games_and_policies(2)
    order = np.random.default_rng(5).permutation(P.shape[-1])
    moved = library_gap(P[:, order][:, :, order], log[:, order], log_ref[:, order], beta)
    np.testing.assert_allclose(moved, library_gap(P, log, log_ref, beta), rtol=1e-12)


def test_game_gap_averages_over_prompts():
    P, log_ref, log = games_and_policies(1)
    weights = np.arange(1.0, len(P) + 1)
    game = nashpo.Game.from_table(P, beta=0.1, reference=np.exp(log_ref), prompts=weights)
    expected = weights / weights.sum() @ gap(P, log, log_ref, 0.1)
    np.testing.assert_allclose(nashpo.duality_gap(game, Tabular(log)), expected, rtol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_antisymmetric_forms_obey_the_two_facts_of_every_step_condition(seed):
    P, _, log = games_and_policies(seed)
    A, (x, y, z) = P - 0.5, np.random.default_rng(seed).normal(size=(3, *log.shape))
    x, z = x - x.mean(-1, keepdims=True), z - z.mean(-1, keepdims=True)
    np.testing.assert_allclose(np.einsum("gi,gij,gj->g", y, A, y), 0.0, atol=1e-14)
    form = np.abs(np.einsum("gi,gij,gj->g", z, A, x))
    assert np.all(form <= np.abs(x).sum(-1) * np.abs(z).sum(-1) / 2)

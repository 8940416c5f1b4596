"""The gap and its relatives: properties over random games, closed forms, an independent optimiser."""

from decimal import Decimal, localcontext

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
from cases import REFERENCE, interior_table, random_table, tournament
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import logsumexp, softmax

import nashpo
from nashpo import metrics
from nashpo.logspace import kl
from nashpo.oracles import BradleyTerry, GeneralPreference, Mixture, Noisy
from nashpo.policies import Tabular

SIZES = st.integers(2, 6)
BETAS = st.sampled_from([0.0, 1e-6, 1e-3, 0.1, 1.0, 1e4])
SEEDS = st.integers(0, 10_000)


@st.composite
def pairs(draw):
    """A game and a policy: uniform or 0/1 tables, any beta, references and policies far from uniform."""
    size, beta, seed = draw(SIZES), draw(BETAS), draw(SEEDS)
    rng = np.random.default_rng(seed)
    table = random_table(seed, size, low=0.0) if draw(st.booleans()) else tournament(seed, size)
    reference = softmax(draw(st.sampled_from([0.0, 1.0, 10.0])) * rng.normal(size=size))
    policy = softmax(draw(st.sampled_from([0.0, 1.0, 30.0])) * rng.normal(size=size))
    return nashpo.Game.from_table(table, beta=beta, reference=reference), policy


@given(pairs())
def test_the_gap_is_never_negative_and_zero_only_at_a_best_response_to_itself(pair):
    game, policy = pair
    gap = nashpo.duality_gap(game, policy)
    assert gap >= 0
    response = nashpo.best_response(game, policy).probs()[0]
    if gap < 1e-14 and game.beta > 1e-2:
        np.testing.assert_allclose(policy, response, atol=1e-5)
    if np.array_equal(policy, response):
        assert gap < 1e-14


@given(pairs(), st.randoms(use_true_random=False))
def test_the_gap_does_not_depend_on_labels(pair, random):
    game, policy = pair
    order = np.arange(len(policy))
    random.shuffle(order)
    table, reference = game.oracle.table()[0], game.reference.probs()[0]
    other = nashpo.Game.from_table(table[np.ix_(order, order)], beta=game.beta, reference=reference[order])
    np.testing.assert_allclose(
        nashpo.duality_gap(other, policy[order]), nashpo.duality_gap(game, policy), rtol=1e-9, atol=1e-13
    )


@given(pairs())
def test_scores_of_twice_the_margin_with_twice_beta_double_the_gap(pair):
    game, policy = pair
    scores = nashpo.Game.from_table(
        2 * game.oracle.table() - 1, beta=2 * game.beta, reference=game.reference.probs(), scale="score"
    )
    np.testing.assert_allclose(
        nashpo.duality_gap(scores, policy), 2 * nashpo.duality_gap(game, policy), rtol=1e-9, atol=1e-13
    )


@given(pairs())
def test_the_kl_form_equals_the_logsumexp_form(pair):
    game, policy = pair
    if game.beta == 0:
        expected = 2 * np.max(game.oracle.table()[0] @ policy) - 1
    else:
        log_reference, beta = game.reference.log_probs()[0], game.beta
        divergence = np.sum(policy * (np.log(np.maximum(policy, 1e-300)) - log_reference))
        value = beta * logsumexp(log_reference + game.oracle.table()[0] @ policy / beta)
        expected = 2 * (value + beta * divergence - 0.5)
    np.testing.assert_allclose(nashpo.duality_gap(game, policy), expected, rtol=1e-7, atol=1e-12 * max(1, game.beta))


@given(pairs())
def test_jax_and_numpy_agree(pair):
    game, policy = pair
    traced = jax.tree.map(jnp.asarray, game)
    np.testing.assert_allclose(
        nashpo.duality_gap(traced, jnp.asarray(policy)), nashpo.duality_gap(game, policy), rtol=1e-9, atol=1e-14
    )


@pytest.mark.parametrize("beta", [0.05, 0.5])
def test_no_deviation_found_by_an_optimiser_beats_the_gap(beta, rng):
    game = nashpo.Game.from_table(random_table(3), beta=beta, reference=REFERENCE)
    table, policy = game.oracle.table()[0], rng.dirichlet(np.ones(5))

    def value(p, q):
        return p @ table @ q - beta * np.sum(p * np.log(p / REFERENCE)) + beta * np.sum(q * np.log(q / REFERENCE))

    best = minimize(lambda z: -value(softmax(z), policy), np.zeros(5), options={"gtol": 1e-10})
    worst = minimize(lambda z: value(policy, softmax(z)), np.zeros(5), options={"gtol": 1e-10})
    np.testing.assert_allclose(nashpo.duality_gap(game, policy), -best.fun - worst.fun, atol=1e-8)


def test_prompts_are_averaged_with_their_weights():
    tables = np.stack([random_table(0), random_table(1)])
    game = nashpo.Game.from_table(tables, beta=0.1, prompts=[3, 1])
    policy = np.full((2, 5), 0.2)
    gaps = [nashpo.duality_gap(nashpo.Game.from_table(table, beta=0.1), policy[0]) for table in tables]
    np.testing.assert_allclose(metrics.gap_by_prompt(game, policy), gaps, rtol=1e-12)
    np.testing.assert_allclose(nashpo.duality_gap(game, policy), 0.75 * gaps[0] + 0.25 * gaps[1], rtol=1e-12)


def test_at_an_interior_equilibrium_that_is_the_reference_every_gap_is_zero():
    table, equilibrium = interior_table()
    for beta in (0.0, 1e-3, 1.0):
        game = nashpo.Game.from_table(table, beta=beta, reference=equilibrium)
        assert nashpo.duality_gap(game, equilibrium) < 1e-15


def test_the_gap_resolves_far_below_the_rounding_error_of_one():
    table, equilibrium = interior_table()
    game = nashpo.Game.from_table(table, beta=1.0, reference=equilibrium)
    nudge = np.array([1.0, -1.0, 0.0, 0.0, 0.0])
    coarse, fine = (nashpo.duality_gap(game, equilibrium + size * nudge) for size in (1e-4, 1e-10))
    np.testing.assert_allclose(coarse / fine, 1e12, rtol=1e-3)


@given(st.integers(0, 1000), st.sampled_from([1e-12, 1e-6, 1e-3, 0.05, 0.1, 1.0, 20.0]))
def test_kl_is_accurate_at_every_distance(seed, distance):
    rng = np.random.default_rng(seed)
    log_p = np.log(rng.dirichlet(np.ones(4)))
    log_q = log_p + distance * rng.normal(size=4)
    log_q = log_q - logsumexp(log_q)
    with localcontext(prec=50):
        p, q = ([Decimal(float(v)).exp() for v in logs] for logs in (log_p, log_q))
        d = [Decimal(float(a)) - Decimal(float(b)) for a, b in zip(log_p, log_q, strict=True)]
        exact = float(sum(x * gap - x + y for x, y, gap in zip(p, q, d, strict=True)))
    np.testing.assert_allclose(kl(log_p, log_q), exact, rtol=2e-12)


def test_exploitability_is_half_the_gap_without_penalty():
    regularised, original = (nashpo.Game.from_table(random_table(2), beta=beta) for beta in (0.3, 0.0))
    assert metrics.exploitability(regularised, REFERENCE) == 0.5 * nashpo.duality_gap(original, REFERENCE)


def test_best_response_maximises_the_regularised_payoff(rng):
    game = nashpo.Game.from_table(random_table(4), beta=0.2, reference=REFERENCE)
    opponent = rng.dirichlet(np.ones(5))
    response = nashpo.best_response(game, opponent).probs()[0]
    gains = game.oracle.table()[0] @ opponent

    def payoff(p):
        return p @ gains - 0.2 * np.sum(p * np.log(p / REFERENCE))

    assert all(payoff(response) >= payoff(rng.dirichlet(np.ones(5))) for _ in range(200))


def test_a_pure_best_response_shares_between_ties():
    table = np.full((3, 3), 0.5)
    table[0, 2], table[2, 0] = 1.0, 0.0
    game = nashpo.Game.from_table(table)
    np.testing.assert_allclose(nashpo.best_response(game, [1.0, 0.0, 0.0]).probs(), [[0.5, 0.5, 0.0]])


def test_metrics_that_need_no_game_have_their_closed_forms():
    game = nashpo.Game.from_table(np.full((4, 4), 0.5), beta=0.1)
    policy = [0.5, 0.5, 0.0, 0.0]
    np.testing.assert_allclose(metrics.reference_kl(game, policy), np.log(2), rtol=1e-12)
    np.testing.assert_allclose(metrics.entropy(game, policy), np.log(2), rtol=1e-12)
    np.testing.assert_allclose(metrics.reference_win_rate(game, policy), 0.5, rtol=1e-12)
    np.testing.assert_allclose(metrics.KLFrom(game.reference)(game, [0.25] * 4), 0.0, atol=1e-15)


@pytest.mark.parametrize("policy", [[0.5, 0.6], [-0.1, 1.1], [[[1.0]]], 1.0])
def test_what_is_no_policy_is_refused(policy):
    with pytest.raises(ValueError, match="probabilities"):
        nashpo.duality_gap(nashpo.Game.from_table(np.full((2, 2), 0.5)), policy)


def test_one_row_serves_every_prompt_whatever_the_oracle(rng):
    rewards, v = rng.normal(size=(3, 4)), rng.normal(size=(3, 4, 2))
    oracles = [BradleyTerry(rewards), BradleyTerry(jnp.asarray(rewards)), GeneralPreference(v, "probability")]
    row = np.array([0.1, 0.2, 0.3, 0.4])
    for oracle in (*oracles, GeneralPreference(v), Noisy(oracles[0]), Mixture.of(oracles[:1] * 2)):
        game = nashpo.Game.from_oracle(oracle, beta=0.3)
        for measure in (nashpo.duality_gap, metrics.exploitability, metrics.gap_by_prompt, metrics.entropy):
            np.testing.assert_array_equal(measure(game, row), measure(game, np.tile(row, (3, 1))))
        best = nashpo.best_response(game, row).log_probs()
        np.testing.assert_array_equal(best, nashpo.best_response(game, np.tile(row, (3, 1))).log_probs())


@pytest.mark.parametrize("shape", [(3,), (2, 2), (4, 2)])
def test_a_policy_of_another_shape_than_the_game_is_refused(shape):
    game, policy = nashpo.Game.from_table(np.full((3, 2, 2), 0.5), beta=0.1), np.full(shape, 1 / shape[-1])
    measures = (nashpo.duality_gap, nashpo.best_response, nashpo.exploitability, metrics.reference_kl, metrics.entropy)
    for measure in (*measures, metrics.reference_win_rate, metrics.KLFrom(game.reference)):
        with pytest.raises(ValueError, match=r"the policy has shape .* the game \[prompts, responses\] = \(3, 2\)"):
            measure(game, policy)


def test_rows_for_other_prompts_are_not_summed_up():
    game, rows = nashpo.Game.from_table(np.full((2, 2), 0.5), beta=0.1), np.full((3, 2), 0.5)
    for measure in (metrics.exploitability, metrics.reference_kl, metrics.entropy, metrics.reference_win_rate):
        with pytest.raises(ValueError, match=r"has shape \(3, 2\), the game \[prompts, responses\] = \(1, 2\)"):
            measure(game, rows)
        with pytest.raises(ValueError, match="a metric takes a Game, not a list"):
            measure([[0.5, 0.9], [0.1, 0.5]], rows)
    with pytest.raises(ValueError, match=r"has shape \(3, 2\)"):
        metrics.KLFrom(Tabular.from_probs(rows))(game, [0.5, 0.5])


@pytest.mark.parametrize("asked", [nashpo.duality_gap, nashpo.best_response, metrics.entropy])
def test_labels_of_a_policy_are_those_of_the_items(asked):
    game = nashpo.Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1, items=["tea", "coffee"])
    labelled = pandas.Series([0.2, 0.8], index=["tea", "coffee"])
    np.testing.assert_array_equal(_numbers(asked(game, labelled)), _numbers(asked(game, [0.2, 0.8])))
    with pytest.raises(ValueError, match="the labels of a policy are in the order"):
        asked(game, labelled[::-1])


def _numbers(answer):
    return answer.probs() if hasattr(answer, "probs") else answer

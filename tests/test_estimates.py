"""Lower bounds of the duality gap from samples, beside the exact gap of games that can be listed."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import nashpo
from nashpo.estimates import bootstrap_interval, pool_lower_bound, sampled_advantages, trained_lower_bound
from nashpo.oracles import Sequences, Table
from nashpo.policies import Answers, Mixture, Neural, Tabular, Token, Transformer

SEEDS = 60
CERTAIN = 0.999
"""The confidence of an interval that one seed must find the truth in."""


def table(rng, prompts=2, responses=4):
    upper = np.triu(rng.uniform(0.05, 0.95, (prompts, responses, responses)), 1)
    lower = np.swapaxes(np.where(upper > 0, 1 - upper, 0), -1, -2)
    return upper + lower + 0.5 * np.eye(responses)


def tabular_game(rng, beta):
    return nashpo.Game.from_table(
        table(rng), beta, reference=rng.dirichlet(np.full(4, 3.0), 2), prompts=np.array([0.3, 0.7])
    )


def random_policy(rng):
    return Tabular.from_probs(rng.dirichlet(np.ones(4), 2))


def exact_bound(game, response, policy):
    """`2 (V(response, policy) - value)` from the table."""
    p, q, r = (np.asarray(one.probs()) for one in (response, policy, game.reference))
    payoff = np.einsum("xi,xij,xj->x", p, np.asarray(game.oracle.table()), q)

    def kl(a):
        return np.sum(np.where(a > 0, a * np.log(np.where(a > 0, a, 1) / r), 0), -1)

    return 2 * float(np.sum(game.prompts * (payoff - 0.5 - game.beta * (kl(p) - kl(q)))))


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_advantages_are_unbiased(rng, beta):
    game, response, policy = tabular_game(rng, beta), random_policy(rng), random_policy(rng)
    rows = np.asarray(sampled_advantages(game, response, policy, key=jax.random.key(1), rows=20_000, responses=2))
    error = (2 * rows.mean() - exact_bound(game, response, policy)) / (2 * rows.std() / np.sqrt(len(rows)))
    assert abs(error) < 4


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_intervals_cover_what_the_chosen_member_gains(rng, beta):
    game, policy = tabular_game(rng, beta), random_policy(rng)
    pool = [*(random_policy(rng) for _ in range(4)), game.reference]
    gap = float(nashpo.duality_gap(game, policy))
    bounds = [pool_lower_bound(game, policy, pool, key=jax.random.key(s), rows=512, responses=4) for s in range(SEEDS)]
    truth = [exact_bound(game, pool[b.member], policy) for b in bounds]
    covered = sum(b.low <= t <= b.high for b, t in zip(bounds, truth, strict=True))
    assert 46 <= covered <= 60  # 54 expected at 90%, give or take 2.3
    errors = np.array([b.value for b in bounds]) - truth
    assert abs(errors.mean()) < 4 * errors.std() / np.sqrt(SEEDS)
    assert max(truth) <= gap + 1e-12
    assert sum(b.low > gap for b in bounds) <= 9  # at most 3 expected, 5%, where the bound is tight


def test_choosing_the_best_does_not_bias_the_bound():
    """Three responses that gain nothing: the largest on the screening samples is above zero, the bound is not."""
    game = nashpo.Game.from_table([[0.5, 1.0, 0.0], [0.0, 0.5, 1.0], [1.0, 0.0, 0.5]])
    even, pure = Tabular.from_probs(np.full(3, 1 / 3)), [Tabular.from_probs(p) for p in np.eye(3)]
    bounds = [pool_lower_bound(game, even, pure, key=jax.random.key(s), rows=64, responses=1) for s in range(80)]
    values, screened = np.array([b.value for b in bounds]), np.array([b.screening.max() for b in bounds])
    assert abs(values.mean()) < 3 * values.std() / np.sqrt(len(values))
    assert screened.mean() > 8 * screened.std() / np.sqrt(len(values))


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_with_the_exact_best_response_the_bound_is_tight(rng, beta):
    game, policy = tabular_game(rng, beta), random_policy(rng)
    best = nashpo.best_response(game, policy)
    pool = [random_policy(rng), Tabular(best.logits), random_policy(rng)]
    gap = float(nashpo.duality_gap(game, policy))
    bound = pool_lower_bound(game, policy, pool, key=jax.random.key(0), rows=8192, confidence=CERTAIN)
    assert bound.member == 1
    assert exact_bound(game, best, policy) == pytest.approx(gap, rel=1e-9)
    assert bound.low <= gap <= bound.high and bound.high - bound.low < 0.2 * gap


def test_at_equilibrium_nothing_is_found(rng):
    game = tabular_game(rng, 0.3)
    solution = Tabular.from_probs(nashpo.equilibrium(game).probs())
    bound = trained_lower_bound(
        game, solution, random_policy(rng), key=jax.random.key(0), steps=300, learning_rate=0.05, rows=2048
    )
    assert bound.low <= 0 and abs(bound.value) < 0.05


@pytest.mark.parametrize("beta", [0.0, 0.3])
def test_a_trained_response_nearly_finds_the_gap(rng, beta):
    game, policy = tabular_game(rng, beta), random_policy(rng)
    gap = float(nashpo.duality_gap(game, policy))
    start = Tabular.from_probs(np.full((2, 4), 0.25))
    bound = trained_lower_bound(
        game, policy, start, key=jax.random.key(3), steps=400, learning_rate=0.05, rows=4096, confidence=CERTAIN
    )
    truth = exact_bound(game, bound.policy, policy)
    assert 0.95 * gap < truth <= gap + 1e-12
    assert bound.low <= truth <= bound.high
    untrained = trained_lower_bound(game, policy, start, key=jax.random.key(3), steps=0, rows=4096)
    assert untrained.value < 0.7 * bound.value


def test_steps_and_learning_rates_do_not_compile_again(rng):
    from nashpo.estimates.trained import _ascend

    game, policy = tabular_game(rng, 0.3), random_policy(rng)
    start = Tabular.from_probs(np.full((2, 4), 0.25))
    trained_lower_bound(game, policy, start, key=jax.random.key(0), steps=3, learning_rate=0.05)
    before = _ascend.program._cache_size()
    again = dataclasses.replace(game, beta=0.1)
    trained_lower_bound(again, policy, start, key=jax.random.key(1), steps=5, learning_rate=0.02)
    assert _ascend.program._cache_size() == before


def token_game(rng):
    answers = Answers(vocabulary=2, length=2)
    network = Transformer(answers, features=2, width=8, heads=1, layers=1, rngs=nnx.Rngs(0))
    contexts = np.eye(2, dtype=np.float32)
    reference = Token.from_module(network, contexts, answers)
    oracle = Sequences(Table(table(rng).astype(np.float32)), answers)
    return nashpo.Game.from_oracle(oracle, beta=0.1, reference=reference)


def test_tokens_and_tables_bound_each_other(rng):
    game = token_game(rng)
    policy = game.reference
    gap = float(nashpo.duality_gap(game, policy.probs()))
    best = Tabular(nashpo.best_response(game, policy.probs()).log_probs())
    pooled = pool_lower_bound(game, policy, [policy, best], key=jax.random.key(0), rows=4096, confidence=CERTAIN)
    assert pooled.member == 1 and pooled.low <= gap <= pooled.high
    trained = trained_lower_bound(
        game,
        policy,
        game.reference,
        key=jax.random.key(1),
        steps=300,
        learning_rate=0.01,
        rows=4096,
        confidence=CERTAIN,
    )
    truth = exact_bound(game, trained.policy, policy)
    assert 0.7 * gap < truth <= gap * (1 + 1e-4)
    assert trained.low <= truth <= trained.high


def test_members_may_be_of_any_class(rng):
    game, policy = tabular_game(rng, 0.1), random_policy(rng)
    network = Neural.from_module(nnx.Linear(2, 4, rngs=nnx.Rngs(0)), np.eye(2, dtype=np.float32))
    pool = [network, Mixture.of([policy, random_policy(rng)]), random_policy(rng)]
    bound = pool_lower_bound(game, Mixture.of([policy, policy]), pool, key=jax.random.key(0), rows=256)
    assert bound.screening.shape == (3,) and bound.policy is pool[bound.member]
    assert str(bound).startswith("duality gap >= ") and "90% interval" in str(bound)
    assert "99.9% interval" in str(dataclasses.replace(bound, confidence=0.999))


def test_the_bootstrap_covers_a_mean():
    rng = np.random.default_rng(0)
    covered = 0
    for seed in range(200):
        low, high = bootstrap_interval(jax.random.key(seed), rng.exponential(size=100), resamples=200)
        covered += low <= 1 <= high
    assert 165 <= covered <= 195


def test_the_bootstrap_is_too_short_for_few_values_and_where_rare_ones_matter():
    rng = np.random.default_rng(0)

    def covered(draw, mean):
        intervals = [bootstrap_interval(seed, draw(), resamples=200) for seed in range(200)]
        return np.mean([low <= mean <= high for low, high in intervals])

    assert 0.66 < covered(lambda: rng.normal(size=4), 0.0) < 0.84
    assert 0.68 < covered(lambda: (rng.random(512) < 0.003).astype(float), 0.003) < 0.86


class Broken:
    """An oracle that has no answer to response 1."""

    scale = "probability"

    def compare(self, key, prompts, left, right):
        return jnp.where(left == 1, jnp.nan, 0.5)


jax.tree_util.register_static(Broken)


def test_results_probabilities_and_seeds_are_taken(rng):
    game, policy = tabular_game(rng, 0.1), random_policy(rng)
    found = nashpo.solve(game, nashpo.solvers.INPO(0.1), steps=1)
    plain = sampled_advantages(game, found.policy, policy, key=jax.random.key(3), rows=8)
    np.testing.assert_array_equal(sampled_advantages(game, found, np.asarray(policy.probs()), key=3, rows=8), plain)


def test_bad_input_is_refused(rng):
    game, policy, key = tabular_game(rng, 0.1), random_policy(rng), jax.random.key(0)
    five = Tabular.from_probs(np.full(5, 0.2))
    for make in (
        lambda: pool_lower_bound(game, policy, [five], key=key),
        lambda: trained_lower_bound(game, five, policy, key=key),
    ):
        with pytest.raises(ValueError, match=r"a policy has shape \(2, 5\), the game .* = \(2, 4\)"):
            make()
    with pytest.raises(ValueError, match=r"steps=2\.5: must be a whole number, at least 0"):
        trained_lower_bound(game, policy, policy, key=key, steps=2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="the pool is empty"):
        pool_lower_bound(game, policy, [], key=key)
    with pytest.raises(ValueError, match="rows=3: half of them choose"):
        pool_lower_bound(game, policy, [policy], key=key, rows=3)
    with pytest.raises(ValueError, match="responses=1: must be a whole number, at least 2"):
        trained_lower_bound(game, policy, policy, key=key, responses=1)
    with pytest.raises(ValueError, match=r"learning_rate=-1"):
        trained_lower_bound(game, policy, policy, key=key, learning_rate=-1.0)
    with pytest.raises(ValueError, match="confidence=90"):
        bootstrap_interval(key, np.zeros(5), confidence=90)
    with pytest.raises(ValueError, match=r"values has shape \(1,\)"):
        bootstrap_interval(key, np.zeros(1))
    for odd in (np.nan, np.inf):
        with pytest.raises(ValueError, match="all of them are finite"):
            bootstrap_interval(key, np.array([1.0, odd]))
    with pytest.raises(ValueError, match=r"resamples=2\.5"):
        bootstrap_interval(key, np.zeros(5), resamples=2.5)  # type: ignore[arg-type]
    assert bootstrap_interval(3, np.arange(5.0)) == bootstrap_interval(jax.random.key(3), np.arange(5.0))
    with pytest.raises(ValueError, match="resamples=1"):
        bootstrap_interval(key, np.zeros(5), resamples=1)
    with pytest.raises(ValueError, match="has no parameters to train"):
        trained_lower_bound(game, policy, Mixture.of([policy]), key=key)
    broken = dataclasses.replace(game, oracle=Broken())
    with pytest.raises(ValueError, match=r"pool\[0\]: a comparison or a log-probability is NaN"):
        pool_lower_bound(broken, policy, [policy], key=key, rows=64)
    with pytest.raises(ValueError, match=r"the trained response: .* of 64 sampled values are not finite"):
        trained_lower_bound(broken, policy, policy, key=key, steps=1, rows=64)

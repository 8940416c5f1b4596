"""Arithmetic averages: what is in them, what is drawn from them, what is left out of a long run."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import nashpo
from nashpo.oracles import Sequences, Table
from nashpo.policies import Answers, Mixture, Neural, Tabular, Token, Transformer
from nashpo.policies.base import enumerable
from nashpo.policies.listed import spoken
from nashpo.policies.tabular import running_mean
from nashpo.testing import check_policy


@pytest.fixture
def probs(rng):
    """Eleven policies over two prompts and three responses."""
    return rng.dirichlet(np.ones(3), (11, 2))


def tables(probs):
    return [Tabular.from_probs(p) for p in probs]


def filled(policies, capacity):
    average = Mixture.empty(policies[0], capacity)
    for count, policy in enumerate(policies):
        average = average.add(policy, count)
    return average


def networks(count, contexts):
    return [Neural.from_module(nnx.Linear(2, 3, rngs=nnx.Rngs(seed)), contexts) for seed in range(count)]


def test_it_is_the_weighted_mean_of_probabilities(probs):
    weights = np.array([0.5, 0.0, 0.2, 0.3])
    mixture = Mixture.of(tables(probs[:4]), weights)
    expected = np.einsum("m,mxa->xa", weights, probs[:4])
    np.testing.assert_allclose(mixture.probs(), expected, rtol=1e-14)
    np.testing.assert_allclose(np.exp(mixture.log_probs()).sum(-1), 1, rtol=1e-14)
    prompts, responses = jnp.array([1, 0, 1]), jnp.array([[0, 2], [1, 1], [2, 0]])
    np.testing.assert_allclose(
        np.exp(mixture.log_prob(prompts, responses)), expected[prompts[:, None], responses], rtol=1e-14
    )
    np.testing.assert_allclose(Mixture.of(tables(probs)).probs(), probs.mean(axis=0), rtol=1e-13)


def test_it_keeps_the_laws_of_policies(probs):
    check_policy(Mixture.of(tables(probs[:3]), [0.2, 0.5, 0.3]), extreme=None)


def test_impossible_responses_and_empty_places_leave_finite_gradients(probs):
    certain = Mixture.of(tables(np.array([[[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]], [[0.2, 0.3, 0.5]]])), [0.5, 0.5, 0.0])
    np.testing.assert_allclose(certain.probs(), [[0.5, 0.5, 0.0]], atol=1e-15)

    def value(params):
        mixture = Mixture(certain.members.with_params(params), certain.weights)
        return mixture.log_prob(jnp.array([0]), jnp.array([[0, 1]])).sum()

    slope = jax.grad(value)(certain.members.params)
    assert np.all(np.isfinite(slope)) and np.all(slope[2] == 0)


def test_draws_have_the_frequencies_of_the_mixture(probs):
    mixture = Mixture.of(tables(probs[:4]), [0.5, 0.0, 0.2, 0.3])
    count = 20_000
    drawn = np.asarray(mixture.sample(jax.random.key(0), jnp.array([0, 1]), count))
    for x in range(2):
        expected = np.asarray(mixture.probs())[x]
        found = np.bincount(drawn[x], minlength=3) / count
        assert np.abs(found - expected).max() < 4.5 * np.sqrt(0.25 / count)


def test_every_response_has_a_member_of_its_own():
    mixture = Mixture.of(tables(np.eye(3)[:, None]), [0.2, 0.3, 0.5])
    drawn = np.asarray(mixture.sample(jax.random.key(3), jnp.zeros(500, int), 2))
    pairs = np.zeros((3, 3))
    np.add.at(pairs, (drawn[:, 0], drawn[:, 1]), 1 / 500)
    assert np.abs(pairs - np.outer([0.2, 0.3, 0.5], [0.2, 0.3, 0.5])).max() < 0.1


def test_a_row_is_drawn_the_same_however_many_there_are(probs):
    mixture = Mixture.of(tables(probs[:4]))
    prompts = jnp.array([1, 0, 1, 1, 0])
    many = mixture.sample(jax.random.key(7), prompts, 6)
    np.testing.assert_array_equal(mixture.sample(jax.random.key(7), prompts[:2], 6), many[:2])
    assert len({tuple(row) for row in np.asarray(many)}) > 1


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_it_keeps_the_precision_of_its_members(probs, dtype):
    policies = [Tabular(jnp.asarray(np.log(p), dtype)) for p in probs[:3]]
    for mixture in (Mixture.of(policies), filled(policies, 2)):
        assert mixture.weights.dtype == dtype
        assert mixture.log_probs().dtype == dtype
        assert mixture.log_prob(jnp.array([0]), jnp.array([[1]])).dtype == dtype


def test_only_parameters_are_stacked(rng):
    contexts = jnp.asarray(rng.normal(size=(4, 2)))
    members = networks(3, contexts)
    mixture = Mixture.of(members)
    assert mixture.members.contexts.shape == (4, 2)
    np.testing.assert_allclose(mixture.probs(), np.mean([m.probs() for m in members], axis=0), rtol=1e-6)
    np.testing.assert_array_equal(mixture.member(1).probs(), members[1].probs())
    np.testing.assert_array_equal(mixture.index(mixture.response(jnp.arange(3))), jnp.arange(3))


def test_an_average_that_fits_is_the_running_mean_of_tables(probs):
    policies = tables(jnp.asarray(probs))
    mean = policies[0]
    for count, policy in enumerate(policies):
        mean = running_mean(mean, policy, jnp.asarray(float(count)))
    np.testing.assert_allclose(filled(policies, 16).probs(), mean.probs(), rtol=1e-12)
    np.testing.assert_allclose(filled(policies, 11).probs(), probs.mean(axis=0), rtol=1e-12)


def kept(count, capacity):
    """Which of `count` policies are left, by keeping a list and dropping every second one when it is full."""
    held, stride = [], 1
    for number in range(count):
        if number % stride:
            continue
        if len(held) == capacity:
            held, stride = held[::2], 2 * stride
            if number % stride:
                continue
        held.append(number)
    return held


@pytest.mark.parametrize("capacity", [2, 3, 4, 5, 8])
def test_what_a_long_run_keeps_is_evenly_spaced(capacity):
    seen = 70
    numbers = jnp.arange(seen, dtype=float)

    def step(average, number):
        average = average.add(Tabular(jnp.full((1, 1), number)), number.astype(int))
        return average, average

    empty = Mixture.empty(Tabular(jnp.zeros((1, 1))), capacity)
    _, after = jax.jit(lambda start: jax.lax.scan(step, start, numbers))(empty)
    for count in range(1, seen + 1):
        held = np.asarray(after.members.params)[count - 1, :, 0, 0][np.asarray(after.weights)[count - 1] > 0]
        assert held.tolist() == kept(count, capacity)
        assert len(set(np.diff(held))) <= 1 and len(held) >= min(count, capacity / 2)
        weights = np.asarray(after.weights)[count - 1]
        np.testing.assert_allclose(weights.sum(), 1, rtol=1e-14)
        assert len(set(weights[weights > 0])) == 1


def test_before_the_first_policy_the_average_is_the_start(probs):
    empty = Mixture.empty(Tabular.from_probs(probs[0]), 4)
    np.testing.assert_allclose(empty.probs(), probs[0], rtol=1e-13)
    np.testing.assert_allclose(empty.add(Tabular.from_probs(probs[1]), 0).probs(), probs[1], rtol=1e-13)


def test_metrics_take_it(probs):
    game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    pool = Mixture.of(tables(probs[:4, :1]))
    expected = nashpo.duality_gap(game, probs[:4, 0].mean(axis=0))
    assert float(nashpo.duality_gap(game, pool)) == pytest.approx(float(expected), rel=1e-12)


class Coin:
    """A policy that can be drawn from and no more."""

    params = np.zeros(1)

    def with_params(self, params):
        return self


def test_members_that_speak_tokens_make_a_mixture_that_does():
    answers = Answers(vocabulary=2, length=2)
    layers = {"features": 1, "width": 4, "heads": 1, "layers": 1}
    members = [
        Token.from_module(Transformer(answers, **layers, rngs=nnx.Rngs(s)), np.ones((1, 1), np.float32), answers)
        for s in range(2)
    ]
    mixture, oracle = Mixture.of(members), Sequences(Table(np.full((1, 4, 4), 0.5)), answers)
    assert spoken(mixture, oracle) is mixture
    tokens = mixture.sample(jax.random.key(0), jnp.zeros(2, int), 5)
    expected = np.asarray(mixture.probs())[0, np.asarray(mixture.index(tokens))]
    np.testing.assert_allclose(np.exp(mixture.log_prob(jnp.zeros(2, int), tokens)), expected, rtol=1e-5)
    table = Mixture.of(tables(np.full((2, 1, 4), 0.25)))
    assert not hasattr(table, "answers")
    assert spoken(table, oracle).sample(jax.random.key(0), np.zeros(1, int), 3).shape == (1, 3, 2)


def test_members_that_cannot_be_listed_make_a_mixture_that_cannot():
    assert enumerable(Mixture.of(tables(np.eye(2)[:, None])))
    assert not enumerable(Mixture(Coin(), np.ones(1)))


def test_what_does_not_fit_is_refused(probs, rng):
    first, contexts = Tabular.from_probs(probs[0]), rng.normal(size=(4, 2))
    network = networks(1, contexts)[0]
    with pytest.raises(ValueError, match="at least one policy"):
        Mixture.of([])
    with pytest.raises(
        ValueError, match=r"policies\[1\] is a Tabular with parameters \[\(1, 3\)\], policies\[0\] a Tab"
    ):
        Mixture.of([first, Tabular.from_probs([0.2, 0.3, 0.5])])
    with pytest.raises(ValueError, match=r"policies\[2\] is a Neural"):
        Mixture.of([first, first, network])
    with pytest.raises(ValueError, match=r"policies\[1\] differs from policies\[0\] in more than its parameters"):
        Mixture.of([network, networks(1, contexts + 1)[0]])
    with pytest.raises(ValueError, match=r"weights\[1\] = -0.5 is not a probability"):
        Mixture.of([first, first], [1.5, -0.5])
    with pytest.raises(ValueError, match="weights has shape"):
        Mixture.of([first, first], [1.0])
    for capacity in (1, 2.5, True):
        with pytest.raises(ValueError, match=f"capacity={capacity}: an average has room for a whole number"):
            Mixture.empty(first, capacity)

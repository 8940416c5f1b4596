"""Numbered answers, autoregressive policies and the decoder that comes with them."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from nashpo.logspace import LOG_ZERO
from nashpo.policies import Answers, Tabular, Token, Trainable, Transformer, sample_blend
from nashpo.policies.base import EnumerablePolicy
from nashpo.policies.listed import Listed
from nashpo.testing import check_policy

ANSWERS = Answers(vocabulary=2, length=3, end=True)
CLOSED = Answers(vocabulary=3, length=2)
CONTEXTS = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, -1.0]])
LEVEL = 1e-6
"""A sound sampler fails a chi-square test once in a million seeds; seeds here are fixed."""


def decoder(answers=ANSWERS, seed=0, scale=3.0, param_dtype=jnp.float64):
    sizes = {"width": 8, "heads": 2, "layers": 1}
    return Transformer(answers, 2, rngs=nnx.Rngs(seed), scale=scale, param_dtype=param_dtype, **sizes)


@pytest.fixture(scope="module")
def policy():
    return Token.from_module(decoder(), CONTEXTS, ANSWERS)


@pytest.fixture(scope="module")
def closed():
    return Token.from_module(decoder(CLOSED), CONTEXTS, CLOSED)


def fits(numbers, probs):
    """Whether drawn numbers follow probabilities: Pearson's chi-square at `LEVEL`, rare answers as one class."""
    counts, expected = np.bincount(numbers, minlength=len(probs)), len(numbers) * np.asarray(probs)
    rare = expected < 5
    observed, wanted = (np.append(v[~rare], v[rare].sum())[: None if rare.any() else -1] for v in (counts, expected))
    return np.sum((observed - wanted) ** 2 / wanted) < chi2.isf(LEVEL, len(wanted) - 1)


# Answers

SIZES = st.builds(Answers, st.integers(1, 4), st.integers(1, 4), st.booleans())


@given(SIZES)
def test_answers_are_numbered_from_first_to_last(answers):
    tokens = np.asarray(answers.tokens())
    assert tokens.shape == (answers.count, answers.length)
    assert tokens.dtype == np.int32
    np.testing.assert_array_equal(answers.index(tokens), np.arange(answers.count))
    assert isinstance(answers.index(tokens), np.ndarray)
    assert len({tuple(row) for row in tokens.tolist()}) == answers.count
    order = [(length, *row) for length, row in zip(answers.lengths().tolist(), tokens.tolist(), strict=True)]
    assert order == sorted(order)
    np.testing.assert_array_equal(answers.lengths(), np.sum(tokens < answers.vocabulary, axis=-1))


@given(SIZES, st.data())
def test_numbers_come_back_from_their_tokens(answers, data):
    numbers = st.lists(st.integers(-2, answers.count + 1), min_size=1, max_size=6)
    index = np.array(data.draw(numbers)).reshape(1, -1)
    there = np.where((index >= 0) & (index < answers.count), index, -1)
    np.testing.assert_array_equal(answers.index(answers.tokens(index)), there)
    known = index[there >= 0]
    np.testing.assert_array_equal(answers.tokens(known), np.asarray(answers.tokens())[known])


@given(SIZES, st.data())
def test_what_stands_after_the_end_does_not_matter_and_what_is_no_token_has_no_number(answers, data):
    row = data.draw(st.lists(st.integers(-2, answers.vocabulary + 2), min_size=answers.length, max_size=answers.length))
    said = row
    if answers.end and answers.vocabulary in row:
        said = row[: row.index(answers.vocabulary)]
    number = int(answers.index(np.array(row)))
    if all(0 <= token < answers.vocabulary for token in said):
        padded = said + [answers.vocabulary] * (answers.length - len(said))
        assert np.asarray(answers.tokens())[number].tolist() == padded
        assert int(answers.lengths(np.array(row))) == len(said)
    else:
        assert number == -1


@pytest.mark.parametrize("answers", [ANSWERS, CLOSED])
def test_answers_in_jax_are_those_in_numpy(answers):
    numbers = np.arange(-2, answers.count + 2)
    rows = np.concatenate([answers.tokens(numbers), np.array([[0, 5, 0], [1, -3, 1]])[:, : answers.length]])
    np.testing.assert_array_equal(answers.tokens(jnp.asarray(numbers)), answers.tokens(numbers))
    np.testing.assert_array_equal(answers.index(jnp.asarray(rows)), answers.index(rows))
    assert isinstance(answers.index(jnp.asarray(rows)), jax.Array)


def test_answers_work_inside_compiled_programs():
    there_and_back = jax.jit(lambda index: ANSWERS.index(ANSWERS.tokens(index)))
    np.testing.assert_array_equal(there_and_back(jnp.arange(ANSWERS.count)), np.arange(ANSWERS.count))
    np.testing.assert_array_equal(jax.jit(lambda i: ANSWERS.tokens()[i])(jnp.array([3])), [[0, 0, 2]])
    assert Answers(2, 3, True) == ANSWERS
    assert len({ANSWERS, Answers(2, 3, True), CLOSED}) == 2


def test_large_answers_are_counted_but_not_listed():
    assert Answers(50_000, 1000, end=True).count > 10**4000
    assert Answers(2, 20).count == 2**20
    assert Answers(2, 20).index(np.ones(20, int)) == 2**20 - 1
    assert Answers(1, 3, end=True).count == 4


@pytest.mark.parametrize("end", [False, True])
def test_uniform_next_tokens_are_a_distribution(end):
    answers = Answers(3, 3, end)
    np.testing.assert_allclose(np.exp(answers.uniform()).sum(), 1, rtol=1e-14)
    silent = decoder(answers, scale=0.0)
    silent.head.bias[...] = jnp.zeros(answers.symbols)
    even = Token.from_module(silent, CONTEXTS, answers)
    np.testing.assert_allclose(even.log_probs(), np.tile(answers.uniform(), (3, 1)), atol=1e-14)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Answers(0, 2).count, r"vocabulary=0: answers need a whole number of tokens, at least 1"),
        (lambda: Answers(2, 0).tokens(), r"length=0: answers need a whole number of positions, at least 1"),
        (lambda: Answers(2, 1.5).check(), r"length=1.5: answers need a whole number of positions"),
        (lambda: Answers(2, 21).tokens(), r"length=21 make 2,097,152 answers, but at most 1,048,576 are listed"),
        (lambda: Answers(2, 30, True).index(np.zeros(30, int)), r"are listed: shorten them"),
        (lambda: CLOSED.index(np.zeros((4, 3), int)), r"shape \(4, 3\), but every answer has 2 positions"),
        (lambda: Answers(3, 1).names("ab"), r"letters: 2 for 3 tokens"),
    ],
)
def test_answers_refuse_what_they_cannot_number(call, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        call()
    assert "\n" not in str(caught.value)


# The policy


@pytest.mark.parametrize("name", ["policy", "closed"])
def test_all_answers_have_probability_one_together(name, request):
    policy = request.getfixturevalue(name)
    probs = np.asarray(policy.probs())
    assert probs.shape == (3, policy.answers.count)
    np.testing.assert_allclose(probs.sum(-1), 1, atol=1e-12)
    assert 0.5 * np.abs(probs[0] - probs[1]).sum() > 0.05


@pytest.mark.parametrize("name", ["policy", "closed"])
def test_the_probability_of_an_answer_is_the_one_in_the_list(name, request):
    policy = request.getfixturevalue(name)
    prompts = np.array([2, 0, 1, 0])
    every = jnp.tile(policy.answers.tokens(), (4, 1, 1))
    np.testing.assert_allclose(policy.log_prob(prompts, every), policy.log_probs()[prompts], atol=1e-12)
    product = chain(policy, 2, [0, 1])
    np.testing.assert_allclose(policy.log_prob(np.array([2]), every[:1, [number(policy, [0, 1])]]), [[product]])


def number(policy, said):
    row = said + [policy.answers.vocabulary] * (policy.answers.length - len(said))
    return int(policy.answers.index(np.array(row)))


def chain(policy, prompt, said):
    """The log-probability of an answer token by token, from its definition, in NumPy."""
    V, L, total = policy.answers.vocabulary, policy.answers.length, 0.0
    steps = [*said, V][:L] if policy.answers.end else said
    for t, token in enumerate(steps):
        seen = np.zeros((1, L), int)
        seen[0, :t] = steps[:t]
        logits = np.asarray(policy.logits(jnp.asarray(CONTEXTS[[prompt]]), jnp.asarray(seen)))[0, t]
        total += logits[token] - np.logaddexp.reduce(logits)
    return total


def test_tokens_after_the_end_change_no_probability_and_unknown_tokens_have_none(policy):
    rows = jnp.array([[[0, 2, 2], [0, 2, 1], [0, 2, -7], [0, 3, 0], [-1, 0, 0]]])
    found = np.asarray(policy.log_prob(np.array([1]), rows))[0]
    np.testing.assert_array_equal(found[:3], found[0])
    np.testing.assert_array_equal(found[3:], LOG_ZERO)
    assert found[0] > -20


@pytest.mark.parametrize("name", ["policy", "closed"])
def test_samples_follow_the_probabilities(name, request):
    policy = request.getfixturevalue(name)
    draws = jax.jit(lambda p, key: p.sample(key, np.array([1, 0]), 20_000))(policy, jax.random.key(3))
    assert draws.dtype == jnp.int32
    numbers = np.asarray(policy.index(draws))
    assert numbers.min() >= 0
    np.testing.assert_array_equal(policy.response(numbers[:, :50]), draws[:, :50])
    probs = np.asarray(policy.probs())
    assert fits(numbers[0], probs[1])
    assert fits(numbers[1], probs[0])
    assert not fits(numbers[0], probs[0])


def test_a_draw_depends_on_its_own_row_alone(policy):
    key = jax.random.key(7)
    many = policy.sample(key, np.array([0, 1, 2]), 6)
    np.testing.assert_array_equal(policy.sample(key, np.array([0, 1]), 6), many[:2])
    np.testing.assert_array_equal(policy.sample(key, np.array([0, 1, 2]), 4), many[:, :4])
    same = policy.sample(key, np.array([1, 1]), 40)
    assert (same[0] != same[1]).any()
    jax.tree.map(np.testing.assert_array_equal, jax.jit(lambda p: p.sample(key, np.array([0, 1, 2]), 6))(policy), many)


def test_a_policy_that_never_ends_is_cut_at_full_length():
    endless = decoder()
    endless.head.bias[...] = jnp.array([0.0, 0.0, -1e6])
    policy = Token.from_module(endless, CONTEXTS, ANSWERS)
    draws = policy.sample(jax.random.key(0), np.array([0, 1]), 50)
    assert draws.shape == (2, 50, 3)
    assert (np.asarray(draws) < 2).all()
    broken = policy.with_params(jax.tree.map(lambda leaf: leaf * jnp.nan, policy.params))
    assert broken.sample(jax.random.key(0), np.array([0]), 2).shape == (1, 2, 3)


def test_every_law_of_policies_holds(policy):
    assert isinstance(policy, EnumerablePolicy)
    assert isinstance(policy, Trainable)
    check_policy(policy, extreme=30.0, draws=2000)


def test_other_parameters_and_many_of_them_use_one_program(policy):
    traces = []

    @jax.jit
    def listed(policy):
        traces.append(policy)
        return policy.log_probs()

    others = [Token.from_module(decoder(seed=seed), CONTEXTS, Answers(2, 3, True)) for seed in (1, 2)]
    found = [listed(other) for other in others]
    listed(policy.with_params(others[0].params))
    assert len(traces) == 1
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(other.params for other in others))
    together = jax.jit(jax.vmap(lambda params: policy.with_params(params).log_probs()))(stacked)
    np.testing.assert_allclose(together, np.stack(found), atol=1e-12)
    key, prompts = jax.random.key(2), np.array([0, 1])
    draws = jax.vmap(lambda params: policy.with_params(params).sample(key, prompts, 5))(stacked)
    np.testing.assert_array_equal(draws[1], others[1].sample(key, prompts, 5))


def test_policies_can_be_made_while_tracing():
    @jax.vmap
    def listed(key):
        return Token.from_module(decoder(seed=key), CONTEXTS, ANSWERS).log_probs()

    probs = np.exp(listed(jax.random.split(jax.random.key(0), 2)))
    np.testing.assert_allclose(probs.sum(-1), 1, atol=1e-12)
    assert np.abs(probs[0] - probs[1]).max() > 1e-3


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64])
def test_the_precision_is_that_of_the_parameters(dtype):
    policy = Token.from_module(decoder(param_dtype=dtype), CONTEXTS, ANSWERS)
    assert {leaf.dtype for leaf in jax.tree.leaves(policy.params)} == {np.dtype(dtype)}
    assert policy.log_probs().dtype == dtype
    responses = ANSWERS.tokens()[None]
    assert policy.log_prob(np.array([0]), responses).dtype == dtype
    slopes = jax.grad(lambda params: policy.with_params(params).log_prob(np.array([0]), responses).sum())(policy.params)
    assert all(np.isfinite(slope).all() for slope in jax.tree.leaves(slopes))
    assert any((slope != 0).any() for slope in jax.tree.leaves(slopes))


def test_the_module_comes_back_as_it_was(policy):
    tokens = ANSWERS.tokens()[:3]
    np.testing.assert_allclose(policy.module()(jnp.asarray(CONTEXTS), tokens), decoder()(CONTEXTS, tokens), atol=1e-12)


# Modules that are refused


class Bad(nnx.Module):
    """Logits that fail in one way."""

    def __init__(self, kind):
        self.kind = kind
        self.weight = nnx.Param(jnp.array([0.3, -0.2, 0.5]))

    def __call__(self, contexts, tokens):
        hot = jax.nn.one_hot(tokens, 3) * self.weight[...]
        if self.kind == "sees its own token":
            return hot
        if self.kind == "sees the last token":
            return jnp.zeros_like(hot) + hot[:, -1:]
        if self.kind == "sees it through a silent head":
            return hot * 0.0 * self.weight[...].sum() + hot * (self.weight[...] - jnp.array([0.3, -0.2, 0.5]))
        if self.kind == "too few symbols":
            return hot[..., :2]
        if self.kind == "integers":
            return tokens[..., None] * jnp.ones(3, jnp.int32)
        return hot * jnp.nan


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("sees its own token", r"Bad is not causal: its logits at position 0 move with tokens from position 0 on"),
        ("sees the last token", r"position 0 move with tokens from position 0"),
        ("sees it through a silent head", r"Bad is not causal"),
        (
            "too few symbols",
            r"logits of shape \(4, 3, 2\), but next-token logits over 3 symbols have shape \(4, 3, 3\)",
        ),
        ("integers", r"Bad returns int32, but logits are floating-point"),
        ("not finite", r"Bad returns logits that are not finite"),
    ],
)
def test_modules_that_are_no_policy_are_refused(kind, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        Token.from_module(Bad(kind), CONTEXTS, ANSWERS)
    assert "\n" not in str(caught.value)


class Read(nnx.Module):
    """A causal module whose reading of the contexts goes through a layer."""

    def __init__(self, layer):
        self.embed, self.read = nnx.Embed(4, 3, rngs=nnx.Rngs(0)), nnx.Linear(2, 3, rngs=nnx.Rngs(0))
        self.layer = layer

    def __call__(self, contexts, tokens):
        before = jnp.concatenate([jnp.full((len(tokens), 1), 3, tokens.dtype), tokens[:, :-1]], axis=1)
        return self.embed(before) + self.layer(self.read(contexts))[:, None]


@pytest.mark.parametrize(
    "layer",
    [
        nnx.BatchNorm(3, rngs=nnx.Rngs(0)),
        nnx.Dropout(0.05, rngs=nnx.Rngs(0)),
        lambda values: values - values.mean(0),
    ],
    ids=["batch norm", "dropout", "by hand"],
)
def test_rows_that_see_each_other_are_refused_and_not_for_another_reason(layer):
    module, contexts = Read(layer), CONTEXTS.astype(np.float32)
    with pytest.raises(ValueError, match=r"Read answers prompt 0 differently .* module.eval\(\)"):
        Token.from_module(module, contexts, ANSWERS)
    if isinstance(layer, nnx.Module):
        module.eval()
        listed, every = Token.from_module(module, contexts, ANSWERS), ANSWERS.tokens()
        np.testing.assert_allclose(listed.log_prob(np.array([0]), every[None])[0], listed.log_probs()[0], rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: Token.from_module(len, CONTEXTS, ANSWERS), r"is no flax.nnx module"),
        (lambda: Token.from_module(decoder(), CONTEXTS[:0], ANSWERS), r"contexts has shape \(0, 2\)"),
        (lambda: Token.from_module(decoder(), CONTEXTS, Answers(2, 0)), r"length=0"),
        (lambda: Transformer(ANSWERS, 2, width=6, heads=4, rngs=nnx.Rngs(0)), r"width=6 is no multiple of heads=4"),
        (lambda: Transformer(ANSWERS, 2, width=6.5, rngs=nnx.Rngs(0)), r"width=6.5: must be a whole number"),
        (lambda: Transformer(ANSWERS, 0, rngs=nnx.Rngs(0)), r"features=0"),
    ],
)
def test_bad_arguments_get_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()


def test_answers_too_many_to_list_can_still_be_drawn_and_rated():
    answers = Answers(vocabulary=8, length=8, end=True)
    policy = Token.from_module(decoder(answers), CONTEXTS, answers)
    draws = policy.sample(jax.random.key(0), np.array([0, 2]), 3)
    assert policy.log_prob(np.array([0, 2]), draws).shape == (2, 3)
    with pytest.raises(ValueError, match="19,173,961 answers"):
        policy.log_probs()


# The decoder


def test_the_first_policy_is_close_to_uniform():
    answers = Answers(3, 3, end=True)
    policy = Token.from_module(Transformer(answers, 2, rngs=nnx.Rngs(0)), CONTEXTS, answers)
    distance = 0.5 * np.abs(np.asarray(policy.probs()) - np.exp(answers.uniform())).sum(-1)
    assert (distance < 0.15).all()
    assert (distance > 1e-3).all()


def test_the_decoder_computes_where_it_is_told_to():
    half = Transformer(ANSWERS, 2, width=4, heads=1, layers=1, rngs=nnx.Rngs(0), dtype=jnp.bfloat16)
    assert half(jnp.asarray(CONTEXTS), ANSWERS.tokens()[:3]).dtype == jnp.bfloat16
    assert half.head.kernel[...].dtype == jnp.float32


def test_the_decoder_can_learn_any_answer():
    """One answer for each prompt, so that prompt, position and past tokens must all be heard."""
    optax = pytest.importorskip("optax")
    policy = Token.from_module(decoder(scale=0.1), CONTEXTS, ANSWERS)
    wanted = jnp.array([[[0, 1, 0]], [[1, 1, 2]], [[2, 2, 2]]])
    descent = optax.adam(0.02)

    @jax.jit
    def train(params):
        def step(_, carry):
            params, state = carry
            slope = jax.grad(lambda p: -policy.with_params(p).log_prob(np.arange(3), wanted).mean())(params)
            change, state = descent.update(slope, state, params)
            return optax.apply_updates(params, change), state

        return jax.lax.fori_loop(0, 200, step, (params, descent.init(params)))[0]

    probs = policy.with_params(train(policy.params)).probs()
    assert np.all(np.take_along_axis(np.asarray(probs), np.asarray(ANSWERS.index(wanted)), -1) > 0.95)


# Blends


class Blended(nnx.Module):
    """The token-by-token mixture as a module, whose answers can be listed."""

    def __init__(self, first, second, weights):
        self.first, self.second, self.weights = first, second, weights

    def __call__(self, contexts, tokens):
        first, second = (jax.nn.log_softmax(m(contexts, tokens)) for m in (self.first, self.second))
        return self.weights[0] * first + self.weights[1] * second


@pytest.mark.parametrize("weights", [(0.4, 0.6), (1.5, -0.5)])
def test_blends_are_normalised_token_by_token_and_differ_from_the_mixture_of_answers(weights):
    modules = [decoder(seed=seed, scale=8.0) for seed in (0, 5)]
    policies = [Token.from_module(module, CONTEXTS, ANSWERS) for module in modules]
    by_token = np.asarray(Token.from_module(Blended(*modules, weights), CONTEXTS, ANSWERS).probs())
    logits = sum(w * np.asarray(policy.log_probs()) for w, policy in zip(weights, policies, strict=True))
    by_answer = np.asarray(Tabular(logits).probs())
    distance = 0.5 * np.abs(by_token - by_answer).sum(-1)
    assert distance.max() > 0.05
    prompt = int(distance.argmax())
    draws = sample_blend(policies, weights, jax.random.key(1), np.array([prompt]), 20_000)
    numbers = np.asarray(ANSWERS.index(draws))[0]
    assert fits(numbers, by_token[prompt])
    assert not fits(numbers, by_answer[prompt])


def test_a_blend_of_one_policy_is_the_policy(policy):
    key, prompts = jax.random.key(9), np.array([2, 0])
    np.testing.assert_array_equal(sample_blend([policy], [1.0], key, prompts, 30), policy.sample(key, prompts, 30))
    blended = jax.jit(lambda weights: sample_blend([policy, policy], weights, key, prompts, 30))
    np.testing.assert_array_equal(blended(jnp.array([0.25, 0.75])), policy.sample(key, prompts, 30))


@pytest.mark.parametrize(
    ("change", "weights", "sentence"),
    [
        ({}, [1.0], r"weights has shape \(1,\): give one weight to each of 2 policies"),
        ({"answers": CLOSED}, [0.5, 0.5], r"policy 0 speaks .*, policy 1 .*: they must agree"),
    ],
)
def test_blends_of_what_does_not_fit_are_refused(policy, change, weights, sentence):
    other = dataclasses.replace(policy, **change)
    with pytest.raises(ValueError, match=sentence):
        sample_blend([policy, other], weights, jax.random.key(0), np.array([0]), 1)


def test_a_table_over_numbers_speaks_the_same_tokens(policy):
    table = Listed(Tabular(policy.log_probs(), normalised=True), ANSWERS)
    draws = policy.sample(jax.random.key(4), np.array([0, 1]), 9)
    prompts = np.array([0, 1])
    np.testing.assert_allclose(table.log_prob(prompts, draws), policy.log_prob(prompts, draws), atol=1e-12)
    assert jax.jit(lambda t: t.sample(jax.random.key(0), prompts, 3))(table).shape == (2, 3, 3)

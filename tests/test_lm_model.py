"""Language models as policies: what they score and sample, adapters, compiled programs, other engines, devices."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo.lm.generate as generating
from nashpo.lm.decoder import Decoder, LoRA, init_params
from nashpo.lm.files import Checkpoint
from nashpo.lm.filters import Decoding
from nashpo.lm.generate import Completions, Parts, generate
from nashpo.lm.logprobs import completion_log_probs
from nashpo.lm.model import LanguageModel
from nashpo.policies import Policy, Trainable

DECODER = Decoder("llama", vocabulary=13, width=8, layers=2, heads=2, kv_heads=1, head_dim=4, inner=12, longest=24)
DECODING = Decoding(new_tokens=4, end=(0, 1))
LORA = LoRA(rank=2, alpha=4.0, targets=("q", "down"))
CONTEXTS = np.full((5, 16), -1, np.int32)
for number, row in enumerate(([4], [5, 6, 7], [8, 9], [2, 3, 4, 5, 6, 7, 8], list(range(2, 13)))):
    CONTEXTS[number, -len(row) :] = row
RESPONSES = np.array([[[3, 4, 0, -1], [5, 6, 7, 8]], [[1, -1, -1, -1], [2, 1, -1, -1]]], np.int32)


@pytest.fixture(scope="module")
def model():
    params = init_params(DECODER, jax.random.key(0), scale=0.5)
    return LanguageModel.from_checkpoint(Checkpoint(DECODER, params, {}, Path("model")), CONTEXTS, DECODING)


def moved(params, seed):
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed), len(leaves))
    return tree.unflatten(
        [leaf + 0.3 * jax.random.normal(key, leaf.shape, leaf.dtype) for leaf, key in zip(leaves, keys, strict=True)]
    )


@pytest.fixture(scope="module")
def adapted(model):
    start = model.with_adapter(LORA, jax.random.key(1))
    return start.with_params(moved(start.params, 2))


def test_it_is_a_policy_that_is_trained(model):
    assert isinstance(model, Policy) and isinstance(model, Trainable) and not hasattr(model, "log_probs")


def test_scores_are_sums_over_tokens_or_means(model):
    prompts = np.array([1, 3])
    tokens = model.token_log_probs(prompts, RESPONSES)
    exact = completion_log_probs(DECODER, None, Parts(model.params), CONTEXTS[[1, 3]], RESPONSES)
    assert tokens.shape == RESPONSES.shape
    np.testing.assert_allclose(tokens, exact, atol=2e-6)
    np.testing.assert_allclose(model.log_prob(prompts, RESPONSES), exact.sum(-1), atol=5e-6)
    mean = dataclasses.replace(model, reduction="mean").log_prob(prompts, RESPONSES)
    np.testing.assert_allclose(mean, exact.sum(-1) / np.array([[3, 4], [1, 2]]), atol=5e-6)


def test_short_completions_are_scored_without_their_padding_and_keep_their_shape(model):
    short = np.pad(RESPONSES[1:], ((0, 0), (0, 0), (0, 12)), constant_values=-1)
    found = model.token_log_probs(np.array([3]), short)
    assert found.shape == (1, 2, 16)
    np.testing.assert_allclose(found[..., :4], model.token_log_probs(np.array([3]), RESPONSES[1:]), atol=2e-6)
    assert not np.any(found[..., 2:])


def test_rows_are_the_same_prompts_in_less_width(model):
    rows = np.array([3, 1])
    few = model.at(rows)
    assert few.contexts.shape == (2, 8) and model.at(np.array([0])).contexts.shape == (1, 1)
    assert model.at([4, 0]).contexts.shape == (2, 12)
    key = jax.random.key(3)
    assert np.array_equal(few.sample(key, np.arange(2), 2), model.sample(key, rows, 2))
    scored = jax.jit(lambda policy, prompts, said: policy.log_prob(prompts, said))(model, rows, RESPONSES)
    np.testing.assert_allclose(few.log_prob(np.arange(2), RESPONSES), scored, atol=5e-6)


def test_an_adapter_changes_nothing_until_it_is_trained_and_its_reference_is_the_base(model, adapted):
    start, prompts = model.with_adapter(LORA, jax.random.key(1)), np.array([1, 3])
    expected = model.log_prob(prompts, RESPONSES)
    np.testing.assert_allclose(start.log_prob(prompts, RESPONSES), expected, atol=1e-6)
    assert jnp.max(jnp.abs(adapted.log_prob(prompts, RESPONSES) - expected)) > 0.01
    reference = adapted.with_params({})
    np.testing.assert_array_equal(reference.log_prob(prompts, RESPONSES), expected)
    assert reference.base is model.params and reference.merged() is model.params and model.merged() is model.params
    whole = model.with_params(adapted.merged())
    np.testing.assert_allclose(whole.log_prob(prompts, RESPONSES), adapted.log_prob(prompts, RESPONSES), atol=2e-5)
    again = model.with_adapter(LORA, adapter=adapted.params)
    np.testing.assert_array_equal(again.log_prob(prompts, RESPONSES), adapted.log_prob(prompts, RESPONSES))


def test_gradients_go_to_what_is_trained(adapted):
    def loss(params, policy):
        return jnp.sum(policy.with_params(params).log_prob(np.array([1, 3]), RESPONSES))

    found = jax.jit(jax.grad(loss))(adapted.params, adapted)
    assert jax.tree.structure(found) == jax.tree.structure(adapted.params)
    assert all(bool(jnp.any(leaf != 0)) for leaf in jax.tree.leaves(found))


def test_mixtures_ask_all_policies_the_same_prompts(model, adapted):
    prompts, key = np.array([1, 3]), jax.random.key(0)
    reference = adapted.with_params({})
    found = reference.sample_mixed([reference, adapted], [0.25, 0.75], key, prompts, 2)
    parts = (Parts(model.params), Parts(model.params, adapted.params))
    expected = generate(DECODER, LORA, parts, [0.25, 0.75], CONTEXTS[prompts], key, 2, DECODING)
    assert np.array_equal(found, expected.tokens)
    other = dataclasses.replace(model, decoder=dataclasses.replace(DECODER, norm_eps=0.1))
    with pytest.raises(ValueError, match=r"policies\[1\] has another decoder"):
        model.sample_mixed([model, other], [0.5, 0.5], key, prompts, 2)
    form = model.with_adapter(dataclasses.replace(LORA, alpha=1.0), key)
    with pytest.raises(ValueError, match="adapters of 2 forms"):
        model.sample_mixed([adapted, form], [0.5, 0.5], key, prompts, 2)


def test_a_second_call_compiles_nothing(model, adapted):
    def programs():
        return completion_log_probs._cache_size(), generating._generate.program._cache_size()

    def everything(policy, prompts, seed):
        policy.log_prob(prompts, np.roll(RESPONSES, seed, axis=0))
        policy.sample(jax.random.key(seed), prompts, 2)
        policy.at(prompts).sample(jax.random.key(seed), np.arange(2), 2)
        policy.sample_mixed([policy, policy.with_params({})], [0.5 + seed, 0.5], jax.random.key(seed), prompts, 2)

    everything(adapted, np.array([1, 2]), 0)
    before = programs()
    everything(adapted.with_params(moved(adapted.params, 5)), np.array([2, 1]), 1)
    everything(jax.tree.map(jnp.asarray, adapted), jnp.array([1, 1]), 2)
    assert programs() == before


def test_another_engine_takes_over(model, adapted):
    @dataclasses.dataclass(frozen=True)
    class Engine:
        calls: list = dataclasses.field(default_factory=list, compare=False)

        def __call__(self, decoder, lora, parts, weights, contexts, key, count, decoding):
            self.calls.append((lora, [part.adapter for part in parts], list(weights), contexts.tolist(), count))
            tokens = np.full((len(contexts), count, decoding.new_tokens), -1, np.int32)
            tokens[..., 0] = decoding.end[0]
            return Completions(tokens)

    engine = Engine()
    policy = dataclasses.replace(adapted, generator=engine)
    key = jax.random.key(0)
    assert policy.sample(key, np.array([1]), 2).tolist() == [[[0, -1, -1, -1]] * 2]
    mixed = policy.sample_mixed([policy, policy.with_params({})], [1.5, -0.5], key, np.array([0, 2]), 1)
    assert mixed.shape == (2, 1, 4)
    assert engine.calls == [
        (LORA, [adapted.params], [1.0], [CONTEXTS[1, -3:].tolist()], 2),
        (LORA, [adapted.params, {}], [1.5, -0.5], [[-1, 4], [8, 9]], 1),
    ]
    assert policy.complete(key, np.array([1]), 2).log_probs is None


def test_entropies_estimate_that_of_the_policy(model):
    completions = model.complete(jax.random.key(1), np.array([1, 2]), 500)
    entropy = model.entropy(np.array([1, 2]), completions.tokens).sum(-1)
    surprise = -completions.log_probs.sum(-1)
    noise = 4 * jnp.std(surprise, -1) / 500**0.5
    assert np.all(np.abs(entropy.mean(-1) - surprise.mean(-1)) < noise)
    assert np.all(jnp.std(entropy - surprise, -1) > 0.1)


@pytest.mark.parametrize(
    ("contexts", "decoding", "message"),
    [
        (np.array([[-1, 3], [3, -1]]), DECODING, r"contexts\[1\] \(1 tokens\) ends with padding"),
        (np.array([[3, -1, 4]]), DECODING, r"contexts\[0\] \(2 tokens\) has padding after its first token"),
        (np.array([[-1, 3], [3, 13]]), DECODING, r"contexts\[1\] .* outside the vocabulary of 13"),
        (np.full((1, 21), 3), DECODING, r"\(21 tokens\) and 4 new tokens are more than the 24"),
        (np.ones((1, 2)), DECODING, r"contexts is float64 \(1, 2\): give token numbers"),
        (np.zeros((0, 2), int), DECODING, "give token numbers"),
        (np.array([[3]]), Decoding(2, end=(13,)), "end token 13 is outside the vocabulary of 13"),
    ],
)
def test_contexts_that_cannot_be_read_are_refused(contexts, decoding, message):
    checkpoint = Checkpoint(DECODER, {"head": None}, {}, Path("model"))
    with pytest.raises(ValueError, match=message):
        LanguageModel.from_checkpoint(checkpoint, contexts, decoding)


def test_settings_that_mean_nothing_are_refused(model):
    checkpoint = Checkpoint(DECODER, {"head": None}, {}, Path("model"))
    for options, message in (({"reduction": "max"}, "choose sum, or mean"), ({"chunk": 0}, "chunk=0")):
        with pytest.raises(ValueError, match=message):
            LanguageModel.from_checkpoint(checkpoint, CONTEXTS, DECODING, **options)
    with pytest.raises(ValueError, match="give a key for a fresh adapter, or an adapter"):
        model.with_adapter(LORA)
    with pytest.raises(ValueError, match="the model has an adapter"):
        model.with_adapter(LORA, jax.random.key(0)).with_adapter(LORA, jax.random.key(0))


SPREAD = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec as P
from nashpo.lm.decoder import Decoder, init_params
from nashpo.lm.filters import Decoding
from nashpo.lm.model import LanguageModel

assert jax.device_count() == 4
decoder = Decoder("llama", vocabulary=16, width=16, layers=2, heads=4, kv_heads=4, head_dim=4, inner=16, tied=True)
params = init_params(decoder, jax.random.key(0), scale=0.4)
contexts = np.array([[-1, 4, 5], [6, 7, 8]], np.int32)
one = LanguageModel(params, {}, contexts, decoder, Decoding(5, temperature=0.0, end=(2,)))
mesh = Mesh(np.array(jax.devices()).reshape(2, 2), ("fsdp", "tensor"))
def place(leaf):
    axes = [None] * (leaf.ndim - 2) + ["fsdp", "tensor"]
    return jax.device_put(leaf, NamedSharding(mesh, P(*axes[-leaf.ndim :])))

four = one.with_params(jax.tree.map(place, params))
key, rows = jax.random.key(1), np.arange(2)
made = one.sample(key, rows, 2)
assert np.array_equal(made, four.sample(key, rows, 2))
np.testing.assert_allclose(one.log_prob(rows, made), four.log_prob(rows, made), atol=1e-5)
slope = lambda model: jax.jit(jax.grad(lambda p: model.with_params(p).log_prob(rows, made).sum()))(model.params)
for a, b in zip(jax.tree.leaves(slope(one)), jax.tree.leaves(slope(four))):
    np.testing.assert_allclose(a, b, atol=1e-4)
    assert len(b.devices()) == 4
"""


@pytest.mark.slow
def test_weights_that_are_spread_over_devices_give_the_same():
    root = Path(__file__).resolve().parents[1]
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=4"
    environment = {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "PYTHONPATH": root}
    done = subprocess.run(
        [sys.executable, "-c", SPREAD], capture_output=True, text=True, env={k: str(v) for k, v in environment.items()}
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_many_prompts_are_scored_some_at_a_time(model, monkeypatch):
    prompts = np.array([0, 1, 2, 3, 4])
    responses = np.asarray(model.sample(jax.random.key(0), prompts, 2))
    sizes, usual = [], LanguageModel._cut
    monkeypatch.setattr(LanguageModel, "_cut", lambda self, rows: sizes.append(len(rows)) or usual(self, rows))
    found = dataclasses.replace(model, rows=2).log_prob(prompts, responses)
    assert sizes == [2, 2, 2]
    np.testing.assert_allclose(found, model.log_prob(prompts, responses), atol=1e-5)

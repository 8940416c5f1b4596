"""Log-probabilities of completions: against the whole logits, their gradient, and the memory that it takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo.lm.logprobs as logprobs
from nashpo.lm.decoder import Decoder, LoRA, hidden, init_adapter, init_params, logits
from nashpo.lm.filters import Decoding
from nashpo.lm.generate import Parts, generate
from nashpo.lm.logprobs import completion_entropies, completion_log_probs
from nashpo.lm.sequences import positions

DECODER = Decoder(
    "gemma2", vocabulary=13, width=16, layers=2, heads=4, kv_heads=2, head_dim=4, inner=24, windows=(3, None),
    logit_cap=5.0, sandwich=True, tied=True,
)  # fmt: skip
LORA = LoRA(rank=2, alpha=4.0)
CONTEXTS = np.array([[-1, -1, 4, 5], [6, 7, 8, 9]], np.int32)
RESPONSES = np.array(
    [[[1, 2, 3, 4, 5, 6, 0], [2, 0, -1, -1, -1, -1, -1]], [[0, -1, -1, -1, -1, -1, -1], [7, 8, 9, 10, 0, -1, -1]]],
    np.int32,
)


@pytest.fixture(scope="module")
def part():
    adapter = init_adapter(DECODER, LORA, jax.random.key(1))
    adapter = jax.tree.map(lambda leaf: leaf + 0.2, adapter)
    return Parts(init_params(DECODER, jax.random.key(0), scale=0.4), adapter)


def whole_laws(part, contexts, responses):
    """log pi(. | x, y_<t), `[B, K, T, V]`, from all logits at once."""
    batch, count, length = responses.shape
    tokens = jnp.asarray(np.concatenate([np.repeat(contexts, count, 0), responses.reshape(batch * count, -1)], 1))
    states, _ = hidden(DECODER, part.params, tokens, positions(tokens), adapter=part.adapter, lora=LORA)
    laws = jax.nn.log_softmax(logits(DECODER, part.params, states))[:, contexts.shape[1] - 1 : -1]
    return laws.reshape(batch, count, length, -1)


def expected_log_probs(part):
    laws = whole_laws(part, CONTEXTS, RESPONSES)
    found = jnp.take_along_axis(laws, np.maximum(RESPONSES, 0)[..., None], -1)[..., 0]
    return jnp.where(RESPONSES >= 0, found, 0.0)


def test_tokens_are_scored_as_by_all_logits_in_chunks_of_any_size(part):
    expected = expected_log_probs(part)
    for chunk, remat in ((1, False), (3, True), (7, False), (64, True)):
        found = completion_log_probs(DECODER, LORA, part, CONTEXTS, RESPONSES, chunk=chunk, remat=remat)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_entropies_are_those_of_the_laws(part):
    laws = whole_laws(part, CONTEXTS, RESPONSES)
    expected = np.where(RESPONSES >= 0, -jnp.sum(jnp.exp(laws) * laws, -1), 0.0)
    found = completion_entropies(DECODER, LORA, part, CONTEXTS, RESPONSES, chunk=3)
    np.testing.assert_allclose(found, expected, atol=3e-6)


def test_gradients_are_those_of_all_logits(part):
    weights = np.random.default_rng(0).normal(size=RESPONSES.shape).astype(np.float32)

    def ours(part):
        return jnp.sum(weights * completion_log_probs(DECODER, LORA, part, CONTEXTS, RESPONSES, chunk=3))

    found = jax.jit(jax.grad(ours))(part)
    expected = jax.jit(jax.grad(lambda part: jnp.sum(weights * expected_log_probs(part))))(part)
    for path, leaf in jax.tree.leaves_with_path(found):
        other = dict(jax.tree.leaves_with_path(expected))[path]
        np.testing.assert_allclose(leaf, other, atol=2e-5 * float(jnp.max(jnp.abs(other)) + 1), err_msg=str(path))
        assert jnp.any(leaf != 0), path


def test_padding_of_contexts_and_other_rows_change_nothing(part):
    expected = completion_log_probs(DECODER, LORA, part, CONTEXTS, RESPONSES)
    wider = np.pad(CONTEXTS, ((0, 0), (3, 0)), constant_values=-1)
    np.testing.assert_allclose(completion_log_probs(DECODER, LORA, part, wider, RESPONSES), expected, atol=2e-6)
    alone = completion_log_probs(DECODER, LORA, part, CONTEXTS[:1, 2:], RESPONSES[:1, 1:, :2])
    # Products of other sizes add up in another order; one program compiled in two ways differs by 3e-6 from itself.
    np.testing.assert_allclose(alone, expected[:1, 1:, :2], atol=5e-6)


def test_what_generation_says_of_its_tokens_is_what_scoring_says(part):
    decoding = Decoding(7, temperature=0.7, end=(0,))
    made = generate(DECODER, LORA, (part,), [1.0], CONTEXTS, jax.random.key(3), 2, decoding)
    found = completion_log_probs(DECODER, LORA, part, CONTEXTS, made.tokens)
    np.testing.assert_allclose(found, made.unfiltered, atol=5e-6)


def test_bfloat16_weights_are_scored_in_float32():
    params = init_params(DECODER, jax.random.key(0), jnp.bfloat16, scale=0.4)
    found = completion_log_probs(DECODER, None, Parts(params), CONTEXTS, RESPONSES)
    exact = completion_log_probs(
        DECODER, None, Parts(jax.tree.map(lambda x: x.astype(jnp.float32), params)), CONTEXTS, RESPONSES
    )
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, exact, atol=0.1)


def temporaries(loss, *shapes) -> int:
    """Bytes that the gradient of a loss takes beside its arguments and itself."""
    return jax.jit(jax.grad(loss)).lower(*shapes).compile().memory_analysis().temp_size_in_bytes


def test_the_gradient_takes_a_tenth_of_the_memory_of_all_logits():
    """The shape of the benchmark's page, 8 layers and 32000 tokens, in small."""
    rows, width, length = 8, 16, 112
    decoder = Decoder(
        "qwen2", vocabulary=4096, width=32, layers=4, heads=2, kv_heads=2, head_dim=16, inner=64, tied=True
    )

    def whole(params, contexts, responses):
        tokens = jnp.concatenate([contexts, responses[:, 0]], axis=1)
        states, _ = hidden(decoder, params, tokens, positions(tokens))
        laws = jax.nn.log_softmax(logits(decoder, params, states))[:, width - 1 : -1]
        return jnp.sum(jnp.take_along_axis(laws, responses[:, 0, :, None], axis=-1))

    def ours(params, contexts, responses):
        return jnp.sum(completion_log_probs(decoder, None, Parts(params), contexts, responses, chunk=8))

    shapes = (
        jax.eval_shape(lambda: init_params(decoder, jax.random.key(0))),
        jax.ShapeDtypeStruct((rows, width), jnp.int32),
        jax.ShapeDtypeStruct((rows, 1, length), jnp.int32),
    )
    assert temporaries(ours, *shapes) <= 0.1 * temporaries(whole, *shapes)


def test_completions_are_read_with_their_context_together_or_apart(part, monkeypatch):
    """One reading of a context for all its completions where that is less work; the numbers are the same."""
    found = {}
    for together in (True, False):
        jax.clear_caches()
        monkeypatch.setattr(logprobs, "_together", lambda *_, choice=together: choice)

        def loss(part):
            return jnp.sum(completion_log_probs(DECODER, LORA, part, CONTEXTS, RESPONSES, chunk=3) ** 2)

        found[together] = jax.value_and_grad(loss)(part)
    for one, other in zip(*map(jax.tree.leaves, found.values()), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5 * float(np.max(np.abs(other)) + 1))
    jax.clear_caches()


def test_long_contexts_are_read_once_and_long_completions_apart():
    assert logprobs._together(DECODER, width=64, count=4, length=4)
    assert not logprobs._together(DECODER, width=4, count=4, length=512)
    assert not logprobs._together(DECODER, width=64, count=1, length=4)

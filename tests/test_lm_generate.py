"""Completions: against a loop that recomputes everything, padding, seeds, ends, mixtures and their law."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo.lm.generate as room
from nashpo.lm.decoder import Decoder, LoRA, hidden, init_adapter, init_params, logits, merge
from nashpo.lm.filters import Decoding, next_token_law
from nashpo.lm.generate import Parts, generate
from nashpo.lm.sequences import positions

LLAMA = Decoder("llama", vocabulary=13, width=16, layers=2, heads=4, kv_heads=2, head_dim=4, inner=24)
GEMMA = dataclasses.replace(LLAMA, windows=(3, None), logit_cap=5.0, attention_cap=20.0, sandwich=True, tied=True)
PROMPTS = [[4], [5, 6, 7, 1, 2], [8, 9, 3]]


def left_padded(rows, width=None):
    width = max(map(len, rows)) if width is None else width
    return np.array([[-1] * (width - len(row)) + row for row in rows], np.int32)


def weights_of(decoder: Decoder, seed: int):
    return init_params(decoder, jax.random.key(seed), scale=0.4)


@functools.partial(jax.jit, static_argnums=(0, 1))
def _scores(decoder, lora, part, tokens):
    states, _ = hidden(decoder, part.params, tokens, positions(tokens), adapter=part.adapter, lora=lora)
    return logits(decoder, part.params, states)


def scores(decoder, parts, weights, rows, lora=None):
    """Mixed logits after every row of tokens, without a cache."""
    width = 16
    tokens = np.full((len(rows), width), -1, np.int32)
    for number, row in enumerate(rows):
        tokens[number, : len(row)] = row
    each = [np.asarray(_scores(decoder, lora, part, tokens)) for part in parts]
    last = [len(row) - 1 for row in rows]
    mixed = sum(w * z for w, z in zip(weights, each, strict=True))
    return mixed[np.arange(len(rows)), last]


def naive_greedy(decoder, parts, weights, prompts, steps, end=(), lora=None):
    rows, ended = [list(prompt) for prompt in prompts], [False] * len(prompts)
    for _ in range(steps):
        for number, best in enumerate(scores(decoder, parts, weights, rows, lora).argmax(-1).tolist()):
            if not ended[number]:
                rows[number].append(best)
                ended[number] = best in end
    said = [row[len(prompt) :] for row, prompt in zip(rows, prompts, strict=True)]
    return [row + [-1] * (steps - len(row)) for row in said]


@pytest.mark.parametrize("decoder", [LLAMA, GEMMA], ids=["llama", "gemma"])
def test_greedy_is_the_loop_without_a_cache_however_prompts_are_padded(decoder):
    parts = (Parts(weights_of(decoder, 0)),)
    greedy = Decoding(8, temperature=0.0)
    expected = naive_greedy(decoder, parts, [1.0], PROMPTS, 8)
    assert len({token for row in expected for token in row}) > 3
    for width in (5, 9):
        found = generate(decoder, None, parts, [1.0], left_padded(PROMPTS, width), jax.random.key(0), 2, greedy)
        assert found.tokens[:, 0].tolist() == expected and found.tokens[:, 1].tolist() == expected
        assert not np.any(found.log_probs)


@pytest.mark.parametrize("decoder", [LLAMA, GEMMA], ids=["llama", "gemma"])
def test_a_mixture_keeps_a_cache_for_each_policy(decoder):
    parts = tuple(Parts(weights_of(decoder, seed)) for seed in (1, 2, 3))
    weights = [1.5, -0.7, 0.2]
    expected = naive_greedy(decoder, parts, weights, PROMPTS, 8, end=(0, 4))
    assert expected != naive_greedy(decoder, parts[:1], [1.0], PROMPTS, 8, end=(0, 4))
    greedy = Decoding(8, temperature=0.0, end=(0, 4))
    found = generate(decoder, None, parts, weights, left_padded(PROMPTS), jax.random.key(0), 1, greedy)
    assert found.tokens[:, 0].tolist() == expected


def adapted(seed: int, lora: LoRA):
    adapter = init_adapter(LLAMA, lora, jax.random.key(seed))
    return jax.tree.map(lambda leaf: leaf + 0.3 * jax.random.normal(jax.random.key(seed + 1), leaf.shape), adapter)


def test_adapters_over_one_base_are_mixed_as_merged_weights_are_and_share_the_base():
    lora, base = LoRA(rank=2, alpha=4.0), weights_of(LLAMA, 0)
    adapters = [None, adapted(4, lora), adapted(7, lora)]
    weights = [0.5, 0.9, -0.4]
    merged = tuple(Parts(merge(LLAMA, base, lora, adapter)) for adapter in adapters)
    expected = naive_greedy(LLAMA, merged, weights, PROMPTS, 8)
    parts = tuple(Parts(base, adapter) for adapter in adapters)
    greedy = Decoding(8, temperature=0.0)
    found = generate(LLAMA, lora, parts, weights, left_padded(PROMPTS), jax.random.key(0), 1, greedy)
    assert found.tokens[:, 0].tolist() == expected
    distinct, base_of = room._shared([part.params for part in parts])
    assert len(distinct) == 1 and base_of == (0, 0, 0)
    assert room._shared([base, {**base}, weights_of(LLAMA, 0)])[1] == (0, 0, 1)


FILTERED = Decoding(6, temperature=0.8, top_k=7, top_p=0.9, end=(0, 9))


@pytest.fixture(scope="module")
def sampled():
    parts = (Parts(weights_of(LLAMA, 0)), Parts(weights_of(LLAMA, 1)))
    contexts = left_padded(PROMPTS)
    return parts, generate(LLAMA, None, parts, [0.6, 0.4], contexts, jax.random.key(5), 4, FILTERED)


def test_log_probs_are_those_of_the_law_and_of_the_mixture_itself(sampled):
    parts, found = sampled
    tokens = np.asarray(found.tokens)
    for time in range(FILTERED.new_tokens):
        rows = [[*prompt, *tokens[b, k, :time]] for b, prompt in enumerate(PROMPTS) for k in range(4)]
        going = tokens[..., time].reshape(-1) >= 0
        z = jnp.asarray(
            scores(LLAMA, parts, [0.6, 0.4], [row if on else [1] for row, on in zip(rows, going, strict=True)])
        )
        token = np.maximum(tokens[..., time].reshape(-1), 0)[:, None]
        for out, law in (
            (found.log_probs, next_token_law(z, FILTERED)),
            (found.unfiltered, jax.nn.log_softmax(z)),
        ):
            expected = np.where(going, np.take_along_axis(np.asarray(law), token, -1)[:, 0], 0.0)
            np.testing.assert_allclose(out[..., time].reshape(-1), expected, atol=2e-5)


def test_completions_stop_at_any_end_token_and_hold_it(sampled):
    tokens = np.asarray(sampled[1].tokens).reshape(-1, FILTERED.new_tokens)
    kinds = set()
    for row in tokens.tolist():
        said = [token for token in row if token >= 0]
        assert row == said + [-1] * (len(row) - len(said)) and said
        assert not {0, 9} & set(said[:-1])
        kinds.add(said[-1] if said[-1] in (0, 9) else "cut")
        assert len(said) == len(row) or said[-1] in (0, 9)
    assert kinds == {0, 9, "cut"}


def test_a_draw_does_not_depend_on_other_rows_draws_or_padding(sampled):
    parts, found = sampled
    contexts, longer = left_padded(PROMPTS, 9), dataclasses.replace(FILTERED, new_tokens=9)
    fewer = generate(LLAMA, None, parts, [0.6, 0.4], contexts[:2], jax.random.key(5), 2, longer)
    assert np.array_equal(fewer.tokens[..., :6], found.tokens[:2, :2])
    rows = jnp.stack([jax.random.fold_in(jax.random.key(5), b) for b in (2, 1)])
    swapped = generate(LLAMA, None, parts, [0.6, 0.4], contexts[[2, 1]], rows, 2, FILTERED)
    assert np.array_equal(swapped.tokens, found.tokens[jnp.array([2, 1]), :2])
    assert len(np.unique(found.tokens.reshape(-1, 6), axis=0)) > 8


def test_it_stops_when_all_rows_have_ended(monkeypatch):
    steps = []

    def counted(decoder, params, tokens, *rest, **options):
        if tokens.shape[1] == 1:
            jax.debug.callback(lambda _: steps.append(1), tokens)
        return hidden(decoder, params, tokens, *rest, **options)

    monkeypatch.setattr(room, "hidden", counted)
    parts = (Parts(weights_of(LLAMA, 0)),)
    greedy = Decoding(50, temperature=0.0)
    row = naive_greedy(LLAMA, parts, [1.0], PROMPTS[1:2], 6)[0]
    greedy = dataclasses.replace(greedy, end=(row[3],))
    found = generate(LLAMA, None, parts, [1.0], left_padded(PROMPTS[1:2]), jax.random.key(0), 1, greedy)
    jax.effects_barrier()
    assert len(steps) == row.index(row[3]) == np.sum(found.tokens >= 0) - 1


def test_weights_parameters_and_keys_are_no_new_program():
    parts = [(Parts(weights_of(LLAMA, seed)), Parts(weights_of(LLAMA, seed + 1))) for seed in (0, 5)]
    decoding, contexts = Decoding(2), left_padded(PROMPTS)
    generate(LLAMA, None, parts[0], [0.5, 0.5], contexts, jax.random.key(0), 2, decoding)
    size = room._generate.program._cache_size()
    generate(LLAMA, None, parts[1], np.array([2.0, -1]), jnp.asarray(contexts), jax.random.key(1), 2, Decoding(2))
    assert room._generate.program._cache_size() == size


def test_what_is_no_mixture_is_refused():
    with pytest.raises(ValueError, match=r"weights has shape \(2,\): give one weight to each of 1 policies"):
        generate(LLAMA, None, (Parts({}),), [1.0, 2.0], left_padded([[1]]), jax.random.key(0), 1, Decoding(1))


def test_the_law_of_a_mixture_is_token_level_and_not_that_of_whole_completions():
    """3 tokens and an end, up to 3 tokens: 40 answers and the 27 that are cut off; all are listed."""
    decoder = dataclasses.replace(LLAMA, vocabulary=4, width=8, head_dim=2, inner=8)
    parts = tuple(Parts(init_params(decoder, jax.random.key(seed), scale=0.9)) for seed in (0, 9))
    weights, decoding, prompt = [0.5, 0.5], Decoding(3, end=(3,)), [1, 2]
    answers = [
        [*words, 3] if length < 3 else list(words)
        for length in range(4)
        for words in itertools.product(range(3), repeat=length)
    ]
    laws = [_listed(decoder, (part,), [1.0], prompt, answers) for part in parts]
    token_level = _listed(decoder, parts, weights, prompt, answers)
    np.testing.assert_allclose([np.exp(law).sum() for law in (*laws, token_level)], 1, rtol=1e-5)
    whole = np.exp(0.5 * laws[0] + 0.5 * laws[1])
    whole /= whole.sum()

    count = 20_000
    found = generate(decoder, None, parts, weights, np.array([prompt], np.int32), jax.random.key(1), count, decoding)
    numbers = {tuple(answer + [-1] * (3 - len(answer))): n for n, answer in enumerate(answers)}
    drawn = np.bincount([numbers[tuple(row)] for row in found.tokens[0].tolist()], minlength=len(answers)) / count

    noise = 0.5 * np.sum(np.sqrt(np.exp(token_level) / count))
    assert 0.5 * np.abs(drawn - np.exp(token_level)).sum() < 1.5 * noise < 0.03
    assert 0.5 * np.abs(drawn - whole).sum() > 0.1


def _listed(decoder, parts, weights, prompt, answers):
    """Log-probabilities of answers under the token-level mixture, each from its own pass."""
    total = np.zeros(len(answers))
    for time in range(3):
        rows = [[*prompt, *answer[:time]] for answer in answers]
        law = np.asarray(jax.nn.log_softmax(scores(decoder, parts, weights, rows)), np.float64)
        total += [law[n, answer[time]] if time < len(answer) else 0.0 for n, answer in enumerate(answers)]
    return total

"""The decoder: what is seen and what is not, caches, adapters, precision."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashpo.lm.decoder import Decoder, LoRA, Rope, empty_cache, hidden, init_adapter, init_params, logits, merge

PLAIN = Decoder("llama", vocabulary=40, width=16, layers=2, heads=4, kv_heads=2, head_dim=4, inner=24)
WINDOWED = dataclasses.replace(PLAIN, windows=(3, None), ropes=(Rope(100.0), Rope(5000.0, "linear", 8.0)))
RICH = dataclasses.replace(
    WINDOWED,
    norm_offset=True,
    sandwich=True,
    qk_norm=True,
    qkv_bias=True,
    o_bias=True,
    mlp_bias=True,
    attention_cap=2.0,
    logit_cap=3.0,
    embedding_scale=4.0,
    tied=True,
)
TOKENS = jnp.asarray(np.random.default_rng(0).integers(1, 40, (2, 7)), jnp.int32)
PLACES = jnp.asarray(np.tile(np.arange(7), (2, 1)), jnp.int32)

run = jax.jit(hidden, static_argnames=("decoder", "lora", "remat"))


def weights(decoder, seed=0):
    """Parameters in which every part counts."""
    params = init_params(decoder, jax.random.key(seed), scale=0.3)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(seed + 1), len(leaves))
    noisy = [x + 0.1 * jax.random.normal(key, x.shape, x.dtype) for x, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, noisy)


@pytest.mark.parametrize("decoder", [WINDOWED, RICH], ids=["windowed", "rich"])
def test_padding_is_not_seen(decoder):
    params = weights(decoder)
    alone, _ = run(decoder, params, TOKENS, PLACES)
    assert alone.dtype == jnp.float32
    for before, after in ((3, 0), (0, 3), (2, 1)):
        around = ((0, 0), (before, after))
        for filler in (-1, 7):
            tokens = jnp.pad(TOKENS, around, constant_values=filler)
            padded, _ = run(decoder, params, tokens, jnp.pad(PLACES, around, constant_values=-1))
            assert np.isfinite(padded).all()
            np.testing.assert_allclose(padded[:, before : before + 7], alone, rtol=0, atol=2e-6)


def test_what_comes_later_is_not_seen():
    params = weights(WINDOWED)
    states, _ = run(WINDOWED, params, TOKENS, PLACES)
    other, _ = run(WINDOWED, params, TOKENS.at[:, 4].add(1), PLACES)
    np.testing.assert_array_equal(states[:, :4], other[:, :4])
    assert (np.abs(states - other)[:, 4:].max(axis=-1) > 1e-4).all()


def test_a_window_counts_its_own_position():
    decoder = dataclasses.replace(PLAIN, layers=1, windows=(3,), ropes=())
    decoder = dataclasses.replace(decoder, ropes=(Rope(),))
    params = weights(decoder)
    states, _ = run(decoder, params, TOKENS, PLACES)
    other, _ = run(decoder, params, TOKENS.at[:, 1].add(1), PLACES)
    moved = np.abs(states - other).max(axis=(0, 2))
    assert (moved[1:4] > 1e-4).all()
    assert (moved[[0, 4, 5, 6]] == 0).all()


@pytest.mark.parametrize("decoder", [WINDOWED, RICH], ids=["windowed", "rich"])
def test_a_cache_filled_in_pieces_gives_the_same(decoder):
    params = weights(decoder)
    places = PLACES.at[1].add(-2).clip(-1)
    whole, _ = run(decoder, params, TOKENS, places)
    cache = empty_cache(decoder, 2, 11, jnp.float32)
    said = []
    for start, length in ((0, 4), (4, 1), (5, 1), (6, 1)):
        part = slice(start, start + length)
        states, cache = run(decoder, params, TOKENS[:, part], places[:, part], cache=cache, at=jnp.int32(start))
        assert cache is not None
        said.append(states)
    pieces = np.concatenate(said, axis=1)
    real = np.asarray(places) >= 0
    np.testing.assert_allclose(pieces[real], whole[real], rtol=0, atol=2e-6)
    np.testing.assert_array_equal(cache.positions[:, :7], places)
    np.testing.assert_array_equal(cache.positions[:, 7:], -1)
    assert np.all(np.asarray(cache.k)[:, :, 7:] == 0)


def test_slots_may_be_written_in_any_order():
    params = weights(WINDOWED)
    whole, _ = run(WINDOWED, params, TOKENS, PLACES)
    cache = empty_cache(WINDOWED, 2, 11, jnp.float32)
    for t, slot in enumerate((10, 2, 7, 0, 5, 1, 9)):
        one = slice(t, t + 1)
        states, cache = run(WINDOWED, params, TOKENS[:, one], PLACES[:, one], cache=cache, at=jnp.int32(slot))
        np.testing.assert_allclose(states[:, 0], whole[:, t], rtol=0, atol=2e-6)


def test_neither_remat_nor_queries_in_parts_change_a_gradient(monkeypatch):
    params = weights(RICH)
    places = PLACES.at[1].set(-1).at[0, :2].set(-1).at[0, 2:].add(-2)

    def gradient(remat):
        def loss(params):
            states, _ = hidden(RICH, params, TOKENS, places, remat=remat)
            return jnp.sum(jnp.where(places[..., None] >= 0, states, 0.0) ** 3)

        return jax.jit(jax.value_and_grad(loss))(params), str(jax.make_jaxpr(loss)(params)).count("scan[")

    plain, loops = gradient(remat=False)
    again, same_loops = gradient(remat=True)
    monkeypatch.setattr("nashpo.lm.decoder.attention.QUERIES", 3)
    parts, more_loops = gradient(remat=True)
    assert loops == same_loops < more_loops
    for a, b, c in zip(*map(jax.tree.leaves, (plain, again, parts)), strict=True):
        assert np.isfinite(a).all()
        rounding = 1e-5 * np.abs(a).max()
        np.testing.assert_allclose(b, a, rtol=0, atol=rounding)
        np.testing.assert_allclose(c, a, rtol=0, atol=rounding)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(plain[1]["layers"]))


def test_logits_are_tied_and_capped():
    params = weights(RICH)
    assert "head" not in params
    states = 10 * jax.random.normal(jax.random.key(3), (2, 16))
    wanted = 3 * np.tanh(np.asarray(states, np.float64) @ np.asarray(params["embed"], np.float64).T / 3)
    np.testing.assert_allclose(logits(RICH, params, states), wanted, atol=1e-5)
    untied = weights(PLAIN)
    np.testing.assert_allclose(logits(PLAIN, untied, states), states @ untied["head"].T, atol=1e-5)


@pytest.mark.parametrize("rslora", [False, True])
def test_an_adapter_is_what_it_is_merged_to(rslora):
    params = weights(RICH)
    lora = LoRA(rank=3, alpha=5.0, targets=("v", "q", "down", "gate"), rslora=rslora)
    adapter = init_adapter(RICH, lora, jax.random.key(4))
    plain, _ = run(RICH, params, TOKENS, PLACES)
    for off, atol in ((None, 0), ({}, 0), (adapter, 2e-6)):
        same, _ = run(RICH, params, TOKENS, PLACES, adapter=off, lora=lora)
        np.testing.assert_allclose(same, plain, rtol=0, atol=atol)
    adapter = jax.tree.map(lambda x: x + 0.2 * jax.random.normal(jax.random.key(5), x.shape, x.dtype), adapter)
    changed, _ = run(RICH, params, TOKENS, PLACES, adapter=adapter, lora=lora)
    merged, _ = run(RICH, merge(RICH, params, lora, adapter), TOKENS, PLACES)
    assert np.abs(changed - plain).max() > 0.1
    np.testing.assert_allclose(changed, merged, rtol=0, atol=2e-5)
    assert lora.scale == 5.0 / (3**0.5 if rslora else 3)


def test_adapters_stack():
    params, lora = weights(PLAIN), LoRA(rank=2, alpha=4.0, targets=("q", "v"))
    several = [
        jax.tree.map(lambda x, s=seed: x + 0.1 * s, init_adapter(PLAIN, lora, jax.random.key(seed))) for seed in (1, 2)
    ]
    stacked = jax.tree.map(lambda *parts: jnp.stack(parts), *several)
    together = jax.vmap(lambda adapter: hidden(PLAIN, params, TOKENS, PLACES, adapter=adapter, lora=lora)[0])(stacked)
    for states, adapter in zip(together, several, strict=True):
        alone, _ = run(PLAIN, params, TOKENS, PLACES, adapter=adapter, lora=lora)
        np.testing.assert_allclose(states, alone, rtol=0, atol=2e-6)


def test_an_adapter_needs_its_lora():
    adapter = init_adapter(PLAIN, LoRA(rank=1, alpha=1.0), jax.random.key(0))
    with pytest.raises(ValueError, match="adapter is given without lora"):
        hidden(PLAIN, weights(PLAIN), TOKENS, PLACES, adapter=adapter)


def test_bfloat16_is_kept_but_for_logits():
    wide = weights(RICH)
    params = jax.tree.map(lambda x: x.astype(jnp.bfloat16), wide)
    states, cache = run(RICH, params, TOKENS, PLACES, cache=empty_cache(RICH, 2, 8, jnp.bfloat16))
    assert states.dtype == cache.k.dtype == cache.v.dtype == jnp.bfloat16
    said = logits(RICH, params, states)
    assert said.dtype == jnp.float32
    exact = jax.tree.map(lambda x: x.astype(jnp.float32), params)
    wanted = logits(RICH, exact, run(RICH, exact, TOKENS, PLACES)[0])
    assert 1e-5 < np.abs(said - wanted).max() < 0.15
    lora = LoRA(rank=2, alpha=4.0)
    adapted, _ = run(RICH, params, TOKENS, PLACES, adapter=init_adapter(RICH, lora, jax.random.key(0)), lora=lora)
    assert adapted.dtype == jnp.bfloat16
    np.testing.assert_allclose(*(np.asarray(x, np.float32) for x in (adapted, states)), rtol=0, atol=0.1)


def test_a_decoder_is_a_value():
    again = pickle.loads(pickle.dumps(RICH))
    assert again == RICH and hash(again) == hash(RICH) and again != WINDOWED
    assert len({PLAIN, dataclasses.replace(PLAIN), WINDOWED}) == 2
    assert "_hash" not in RICH.__getstate__()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kv_heads": 3}, "heads=4 is no multiple of kv_heads=3"),
        ({"head_dim": 5}, "head_dim=5: must be even"),
        ({"activation": "relu"}, "activation='relu': must be one of silu, gelu, gelu_tanh"),
        ({"windows": (3,)}, "windows has 1 entries: give one for each of 2"),
        ({"ropes": (Rope(),) * 3}, "ropes has 3 entries: give one for each of 2"),
    ],
)
def test_impossible_decoders_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PLAIN, **change)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rank": 0}, "rank=0"),
        ({"rank": 2.5}, "rank=2.5: must be a whole number"),
        ({"alpha": 0}, "alpha=0: must be a positive finite number"),
        ({"targets": ()}, "targets is empty"),
        ({"targets": ("head",)}, "targets holds 'head'"),
    ],
)
def test_impossible_adapters_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        LoRA(**{"rank": 2, "alpha": 4.0, **options})


def test_a_rope_whose_factors_are_equal_cuts_without_blending():
    rope = Rope(500.0, "llama3", 8.0, 64, 2.0, 2.0)
    ratio = Rope(500.0).frequencies(32) / rope.frequencies(32)
    turns = 64 * Rope(500.0).frequencies(32) / (2 * np.pi)
    np.testing.assert_allclose(ratio, np.where(turns > 2.0, 1.0, 8.0), rtol=1e-6)


def test_scaled_ropes_keep_what_turns_fast():
    plain = Rope(500.0).frequencies(32)
    for rope in (Rope(500.0, "llama3", 8.0, 64, 1.0, 4.0), Rope(500.0, "yarn", 8.0, 64, 1.0, 32.0)):
        ratio = plain / rope.frequencies(32)
        np.testing.assert_allclose(ratio[0], 1.0, rtol=1e-6)
        np.testing.assert_allclose(ratio[-1], 8.0, rtol=1e-6)
        assert (np.diff(ratio) > -1e-5).all() and ((ratio > 1.01) & (ratio < 7.9)).any()

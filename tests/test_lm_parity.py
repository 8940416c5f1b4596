"""The decoder against transformers and PEFT, from what `parity/lm_fixtures.py` wrote; torch is not needed."""

import importlib.util
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nashpo.lm.decoder import empty_cache, hidden, init_adapter, logits, merge
from nashpo.lm.encoder import encode
from nashpo.lm.files import load, load_adapter
from nashpo.lm.files.encoders import load_ranker
from nashpo.lm.judges import PairRM
from nashpo.lm.judges.ranker import MARKS
from nashpo.lm.tiny import tiny_tokenizer

ROOT = Path(__file__).resolve().parent
FIXTURES = ROOT / "fixtures" / "lm"
SCRIPT = ROOT / "parity" / "lm_fixtures.py"
EXPECTED = {path.parent.name: dict(np.load(path)) for path in sorted(FIXTURES.glob("*/expected.npz"))}
MODELS = [name for name, found in EXPECTED.items() if "cached" in found]
SCORES = [name for name, found in EXPECTED.items() if "scores" in found]
ADAPTERS = {"llama_lora": "llama", "qwen2_rslora": "qwen2"}
ATOL = 5e-5

_hidden = jax.jit(hidden, static_argnames=("decoder", "lora", "remat"))
_logits = jax.jit(logits, static_argnames="decoder")


def outputs(decoder, params, tokens, positions, **more):
    """Logits and cache."""
    states, cache = _hidden(decoder, params, jnp.asarray(tokens), jnp.asarray(positions), **more)
    return np.asarray(_logits(decoder, params, states)), cache


def test_every_family_has_a_fixture():
    assert len(MODELS) >= 11
    families = {load(FIXTURES / name).decoder.family for name in MODELS}
    assert families == {"llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text"}


@pytest.mark.parametrize("name", MODELS)
def test_logits_are_those_of_transformers(name):
    found, checkpoint = EXPECTED[name], load(FIXTURES / name, dtype=jnp.float32)
    said, _ = outputs(checkpoint.decoder, checkpoint.params, found["tokens"], found["positions"])
    assert said.dtype == np.float32
    real = found["positions"] >= 0
    assert np.std(found["logits"][real]) > 0.5
    np.testing.assert_allclose(said[real], found["logits"][real], rtol=0, atol=ATOL)


@pytest.mark.parametrize("name", MODELS)
def test_the_cache_gives_the_logits_of_transformers_with_its_own(name):
    found, checkpoint = EXPECTED[name], load(FIXTURES / name, dtype=jnp.float32)
    decoder, params = checkpoint.decoder, checkpoint.params
    tokens, positions = found["tokens"], found["positions"]
    rows, length = tokens.shape
    steps = found["cached"].shape[1]
    cache = empty_cache(decoder, rows, length + 3, jnp.float32)
    first = length - steps
    _, cache = outputs(decoder, params, tokens[:, :first], positions[:, :first], cache=cache, at=0)
    for number, t in enumerate(range(first, length)):
        one = slice(t, t + 1)
        said, cache = outputs(decoder, params, tokens[:, one], positions[:, one], cache=cache, at=jnp.int32(t))
        np.testing.assert_allclose(said[:, 0], found["cached"][:, number], rtol=0, atol=ATOL)


@pytest.mark.parametrize("name", SCORES)
def test_scores_are_those_of_transformers(name):
    found, checkpoint = EXPECTED[name], load(FIXTURES / name)
    tokens, positions = (jnp.asarray(found[key]) for key in ("tokens", "positions"))
    states, _ = _hidden(checkpoint.decoder, checkpoint.params, tokens, positions)
    assert set(checkpoint.heads) == {"score"}
    np.testing.assert_allclose(states[:, -1] @ checkpoint.heads["score"].T, found["scores"], rtol=0, atol=ATOL)


def test_margins_of_a_ranker_are_those_of_transformers():
    found, ranker = EXPECTED["pairrm"], load_ranker(FIXTURES / "pairrm")
    text = tiny_tokenizer([f"word{i}" for i in range(30)])
    text.tokenizer.add_tokens(list(MARKS), special_tokens=True)
    judge = PairRM(ranker, text, batch=2)
    rows = [row[there].tolist() for row, there in zip(found["tokens"], found["positions"] >= 0, strict=True)]
    at = np.array([[row.index(45 + mark) for mark in range(3)] for row in rows], np.int32)
    np.testing.assert_allclose(judge._read(rows, at), found["margins"], rtol=0, atol=ATOL)
    whole = encode(ranker.encoder, ranker.params, jnp.asarray(found["tokens"]), jnp.asarray(found["positions"]))
    assert np.std(np.asarray(whole)[found["positions"] >= 0]) > 0.5


@pytest.mark.parametrize("name", ADAPTERS)
def test_adapters_are_those_of_peft(name):
    found, checkpoint = EXPECTED[name], load(FIXTURES / ADAPTERS[name])
    decoder, params = checkpoint.decoder, checkpoint.params
    lora, adapter = load_adapter(FIXTURES / name, decoder)
    real = found["positions"] >= 0
    said, _ = outputs(decoder, params, found["tokens"], found["positions"], adapter=adapter, lora=lora)
    np.testing.assert_allclose(said[real], found["logits"][real], rtol=0, atol=ATOL)
    merged = merge(decoder, params, lora, adapter)
    whole, _ = outputs(decoder, merged, found["tokens"], found["positions"])
    np.testing.assert_allclose(whole[real], found["logits"][real], rtol=0, atol=ATOL)
    plain, _ = outputs(decoder, params, found["tokens"], found["positions"])
    assert np.abs(plain - said)[real].max() > 0.1
    fresh = init_adapter(decoder, lora, jax.random.key(0))
    same, _ = outputs(decoder, params, found["tokens"], found["positions"], adapter=fresh, lora=lora)
    np.testing.assert_array_equal(same, plain)


def script():
    """The script that made the fixtures, as a module."""
    spec = importlib.util.spec_from_file_location("lm_fixtures", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_fixture_is_made_again(tmp_path):
    for needed in ("torch", "peft"):
        pytest.importorskip(needed)
    made = script()
    assert set(made.CASES) | set(made.ADAPTERS) | set(made.RANKERS) == set(EXPECTED)
    made.write("gemma2", tmp_path / "gemma2")
    assert made.differences("gemma2", tmp_path / "gemma2") == []


def test_the_fixtures_are_small():
    files = [path for path in FIXTURES.rglob("*") if path.is_file()]
    assert sum(os.path.getsize(path) for path in files) < 1_500_000

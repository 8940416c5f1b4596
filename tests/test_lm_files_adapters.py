"""Adapter directories of PEFT: read, refused and written."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from nashpo.lm.decoder import Decoder, LoRA, hidden, init_adapter, logits
from nashpo.lm.files import load, load_adapter, save_adapter

FIXTURES = Path(__file__).resolve().parent / "fixtures" / "lm"
SMALL = Decoder("llama", vocabulary=20, width=8, layers=2, heads=2, kv_heads=1, head_dim=4, inner=12)
LORA = LoRA(rank=2, alpha=3.0, targets=("q", "down"), rslora=True)


@pytest.fixture
def adapted(tmp_path):
    """An adapter directory that a test may spoil."""
    adapter = init_adapter(SMALL, LORA, jax.random.key(1))
    adapter = jax.tree.map(lambda x: x + 0.1, adapter)
    return save_adapter(tmp_path / "adapter", SMALL, LORA, adapter, base="base"), adapter


def test_adapters_come_back(adapted):
    path, adapter = adapted
    lora, again = load_adapter(path, SMALL)
    assert lora == LORA
    assert jax.tree.structure(again) == jax.tree.structure(adapter)
    jax.tree.map(np.testing.assert_array_equal, again, adapter)
    config = json.loads((path / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["target_modules"]) == (2, 3, ["q_proj", "down_proj"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type is 'IA3'"),
        ({"lora_alpha": None}, "has no lora_alpha"),
        ({"rank_pattern": {"q_proj": 4}}, "rank_pattern is set; only plain LoRA"),
        ({"alpha_pattern": {"q_proj": 4}}, "alpha_pattern is set"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save is set"),
        ({"use_dora": True}, "use_dora is set"),
        ({"bias": "all"}, "bias=all is set"),
        ({"some_new_option": 1}, "some_new_option is set"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights is 'pissa', which changes the base"),
        ({"r": 3}, r"lora_A\.weight has shape \(2, 8\), but its config\.json asks for \(3, 8\)"),
    ],
)
def test_other_adapters_are_refused(adapted, options, message):
    path, _ = adapted
    config = json.loads((path / "adapter_config.json").read_text())
    (path / "adapter_config.json").write_text(json.dumps(config | options))
    with pytest.raises(ValueError, match=message):
        load_adapter(path, SMALL)


def test_adapters_of_other_models_are_refused(adapted):
    path, adapter = adapted
    with pytest.raises(ValueError, match="belongs to a layer that this decoder of 1 has not"):
        load_adapter(path, dataclasses.replace(SMALL, layers=1, windows=(), ropes=()))
    with pytest.raises(ValueError, match="q is not changed in layer 2"):
        load_adapter(path, dataclasses.replace(SMALL, layers=3, windows=(), ropes=()))
    with pytest.raises(ValueError, match="the adapter changes down, but lora q, down"):
        save_adapter(path, SMALL, LORA, {"down": adapter["down"]}, base="base")
    file = path / "adapter_model.safetensors"
    save_file({"base_model.model.lm_head.lora_A.weight": np.ones((2, 8), np.float32)}, file)
    with pytest.raises(ValueError, match=r"lm_head\.lora_A\.weight changes no linear map of a layer"):
        load_adapter(path, SMALL)


@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")
def test_peft_reads_what_is_saved(tmp_path):
    torch = pytest.importorskip("torch")
    peft = pytest.importorskip("peft")
    import transformers

    checkpoint = load(FIXTURES / "qwen3")
    decoder, lora = checkpoint.decoder, LoRA(rank=3, alpha=4.5, targets=("q", "o", "up"), rslora=True)
    adapter = jax.tree.map(lambda x: x + 0.1, init_adapter(decoder, lora, jax.random.key(0)))
    path = save_adapter(tmp_path / "adapter", decoder, lora, adapter, base=FIXTURES / "qwen3")
    base = transformers.AutoModelForCausalLM.from_pretrained(FIXTURES / "qwen3")
    model = peft.PeftModel.from_pretrained(base, path).eval()
    tokens = np.random.default_rng(1).integers(0, decoder.vocabulary, (2, 6))
    with torch.no_grad():
        wanted = model(torch.from_numpy(tokens)).logits.numpy()
    places = np.tile(np.arange(6), (2, 1))
    states, _ = hidden(decoder, checkpoint.params, jnp.asarray(tokens), jnp.asarray(places), adapter=adapter, lora=lora)
    np.testing.assert_allclose(logits(decoder, checkpoint.params, states), wanted, rtol=0, atol=5e-5)

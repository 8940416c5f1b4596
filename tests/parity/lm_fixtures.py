"""Small checkpoints of every family with what transformers computes from them, for tests that need no torch.

    pip install -e .[parity]
    python tests/parity/lm_fixtures.py            # writes tests/fixtures/lm
    python tests/parity/lm_fixtures.py --check    # makes them anew and compares

A case is a directory as `save_pretrained` writes it (config.json, safetensors), with `expected.npz` beside: `tokens`
and `positions` (-1 is padding, on the left), `logits` of one pass over them, `cached` those of the last STEPS tokens,
each passed alone with transformers' cache of the ones before; or `scores` of a model with a head of scores; or the
`margins` that a ranker of pairs gives to texts padded on the right.
"""

import argparse
import json
import shutil
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
import transformers
from peft import LoraConfig, get_peft_model

FOLDER = Path(__file__).resolve().parents[1] / "fixtures" / "lm"
VOCABULARY, STEPS, LENGTHS = 48, 2, (12, 9, 5)
SMALL = {
    "vocab_size": VOCABULARY,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
YARN = {"rope_type": "yarn", "rope_theta": 100.0, "factor": 4.0, "original_max_position_embeddings": 16}
SPLIT = {
    "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 5000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 100.0},
}
GEMMA = {"hidden_activation": "gelu_pytorch_tanh", "sliding_window": 4, "query_pre_attn_scalar": 12}
CASES = {
    "llama": ("Llama", {"num_key_value_heads": 4, "head_dim": None}),
    "llama3": (
        "Llama",
        {
            "tie_word_embeddings": True,
            "rope_parameters": {**LLAMA3, "rope_theta": 500.0, "original_max_position_embeddings": 16},
        },
    ),
    "llama_linear": (
        "Llama",
        {
            "attention_bias": True,
            "mlp_bias": True,
            "rope_parameters": {"rope_type": "linear", "factor": 2.0, "rope_theta": 1000.0},
        },
    ),
    "llama_yarn": ("Llama", {"rope_parameters": YARN}),
    "mistral": ("Mistral", {"sliding_window": 4, "rms_norm_eps": 1e-5}),
    "mistral_shards": ("Mistral", {"sliding_window": None, "dtype": "bfloat16"}),
    "qwen2": ("Qwen2", {"tie_word_embeddings": True, "head_dim": None}),
    "qwen2_window": (
        "Qwen2",
        {"head_dim": None, "use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1},
    ),
    "qwen3": ("Qwen3", {"rope_parameters": {"rope_type": "default", "rope_theta": 3000.0}}),
    "gemma": ("Gemma", {"num_key_value_heads": 1}),
    "gemma2": ("Gemma2", {**GEMMA, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0}),
    "gemma3": ("Gemma3Text", {**GEMMA, "num_hidden_layers": 3, "sliding_window_pattern": 3, "rope_parameters": SPLIT}),
    "gemma3_layers": (
        "Gemma3Text",
        {
            **GEMMA,
            "layer_types": ["full_attention", "sliding_attention"],
            "final_logit_softcapping": 4.0,
            "tie_word_embeddings": False,
        },
    ),
    "qwen2_score": ("Qwen2", {"head_dim": None, "num_labels": 1}),
    "gemma3_score": ("Gemma3Text", {**GEMMA, "num_labels": 2}),
}
ADAPTERS = {
    "llama_lora": ("llama", {"r": 3, "lora_alpha": 6, "target_modules": "all-linear"}),
    "qwen2_rslora": (
        "qwen2",
        {
            "r": 4,
            "lora_alpha": 2,
            "use_rslora": True,
            "target_modules": r".*layers\.\d+\.(self_attn\.[qv]|mlp\.down)_proj",
        },
    ),
}


RANKERS = {
    "pairrm": {
        "vocab_size": VOCABULARY,
        "hidden_size": 16,
        "intermediate_size": 24,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 16,
        "max_relative_positions": -1,
        "position_buckets": 6,
        "relative_attention": True,
        "share_att_key": True,
        "norm_rel_ebd": "layer_norm",
        "pos_att_type": "p2c|c2p",
        "position_biased_input": False,
        "n_tasks": 2,
        "source_prefix_id": 45,
        "cand1_prefix_id": 46,
        "cand2_prefix_id": 47,
    }
}


class DebertaV2PairRM(transformers.DebertaV2PreTrainedModel):
    """The ranker of arXiv:2306.02561, with the names of its published weights."""

    def __init__(self, config):
        super().__init__(config)
        width = config.hidden_size
        self.pretrained_model = transformers.DebertaV2Model(config)
        head = [torch.nn.Dropout(), torch.nn.Linear(2 * width, width), torch.nn.Tanh(), torch.nn.Dropout()]
        self.head_layer = torch.nn.Sequential(*head, torch.nn.Linear(width, config.n_tasks))
        self.post_init()

    def forward(self, ids, mask):
        """By how much the first answer beats the second, the mean over tasks."""
        states = self.pretrained_model(ids, attention_mask=mask).last_hidden_state
        names = ("source_prefix_id", "cand1_prefix_id", "cand2_prefix_id")
        prompt, first, second = (states[ids == getattr(self.config, name)] for name in names)
        scores = [self.head_layer(torch.cat([prompt, answer], dim=-1)) for answer in (first, second)]
        return (scores[0] - scores[1]).mean(dim=-1)


def inputs() -> tuple[np.ndarray, np.ndarray]:
    """Tokens and positions `[3, 12]`, padded on the left."""
    width = max(LENGTHS)
    tokens = np.random.default_rng(5).integers(3, VOCABULARY, (len(LENGTHS), width)).astype(np.int32)
    positions = np.stack([np.arange(width) - (width - length) for length in LENGTHS]).astype(np.int32)
    return np.where(positions < 0, 0, tokens), np.maximum(positions, -1)


def fill(model: torch.nn.Module) -> None:
    """Weights that depend on their names alone, large enough for every part to count."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            drawn = rng.standard_normal(tuple(weight.shape)).astype(np.float32)
            if weight.ndim == 2:
                drawn *= weight.shape[1] ** -0.5
            else:
                drawn = 0.3 * drawn + (0.0 if "bias" in name or "Gemma" in type(model).__name__ else 1.0)
            weight.copy_(torch.from_numpy(drawn))


def build(name: str) -> torch.nn.Module:
    """The model of a case, computed in float32 with weights that its file's dtype can hold."""
    title, options = CASES[name]
    options = {key: value for key, value in {**SMALL, **options}.items() if (key, value) != ("head_dim", None)}
    dtype = options.pop("dtype", "float32")
    config = getattr(transformers, f"{title}Config")(**options)
    kind = "ForSequenceClassification" if "num_labels" in options else "ForCausalLM"
    if title == "Gemma3Text" and kind == "ForCausalLM":
        title = "Gemma3"
    config._attn_implementation = "eager"
    model = getattr(transformers, title + kind)(config).eval()
    fill(model)
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_(weight.to(getattr(torch, dtype)))
    return model


def run(model: torch.nn.Module) -> dict[str, np.ndarray]:
    """What the model makes of the inputs."""
    tokens, positions = inputs()
    ids, places = torch.from_numpy(tokens).long(), torch.from_numpy(positions).long().clamp(min=0)
    mask = torch.from_numpy(positions >= 0).long()
    found = {"tokens": tokens, "positions": positions}
    with torch.no_grad():
        if "ForSequenceClassification" in type(model).__name__:
            return {**found, "scores": model(ids, attention_mask=mask, position_ids=places).logits.numpy()}
        found["logits"] = model(ids, attention_mask=mask, position_ids=places).logits.numpy()
        first = ids.shape[1] - STEPS
        past = model(ids[:, :first], attention_mask=mask[:, :first], position_ids=places[:, :first], use_cache=True)
        steps = []
        for t in range(first, ids.shape[1]):
            one = slice(t, t + 1)
            past = model(
                ids[:, one],
                attention_mask=mask[:, : t + 1],
                position_ids=places[:, one],
                past_key_values=past.past_key_values,
                use_cache=True,
            )
            steps.append(past.logits[:, 0].numpy())
    return {**found, "cached": np.stack(steps, axis=1)}


def pairs() -> tuple[np.ndarray, np.ndarray]:
    """Tokens and positions `[3, 23]` of prompts with two answers, padded on the right."""
    rng, rows = np.random.default_rng(6), []
    for lengths in ((9, 3, 2), (2, 4, 1), (1, 1, 0)):
        parts = [[1, 45 + i, *rng.integers(3, 45, n), 2] for i, n in enumerate(lengths)]
        rows.append([token for part in parts for token in part])
    width = max(map(len, rows))
    tokens = np.array([row + [0] * (width - len(row)) for row in rows], np.int32)
    positions = np.array([[t if t < len(row) else -1 for t in range(width)] for row in rows], np.int32)
    return tokens, positions


def write_ranker(name: str, folder: Path) -> None:
    """Make one case of a ranker of pairs."""
    model = DebertaV2PairRM(transformers.DebertaV2Config(**RANKERS[name])).eval()
    fill(model)
    tokens, positions = pairs()
    with torch.no_grad():
        margins = model(torch.from_numpy(tokens).long(), torch.from_numpy(positions >= 0).long()).numpy()
    model.save_pretrained(folder)
    np.savez_compressed(folder / "expected.npz", tokens=tokens, positions=positions, margins=margins)


def write(name: str, folder: Path) -> None:
    """Make one case."""
    shutil.rmtree(folder, ignore_errors=True)
    if name in RANKERS:
        write_ranker(name, folder)
        return
    if name in ADAPTERS:
        base, options = ADAPTERS[name]
        model = get_peft_model(build(base), LoraConfig(task_type="CAUSAL_LM", **options))
        fill_adapter(model)
        expected = run(model.eval())
        model.save_pretrained(folder)
        (folder / "README.md").unlink(missing_ok=True)
        config = folder / "adapter_config.json"
        text = json.loads(config.read_text())
        if isinstance(text["target_modules"], list):
            text["target_modules"].sort()
        config.write_text(json.dumps(text, indent=2) + "\n")
        np.savez_compressed(
            folder / "expected.npz", **{key: expected[key] for key in ("tokens", "positions", "logits")}
        )
        return
    model = build(name)
    expected = run(model)
    dtype = CASES[name][1].get("dtype")
    if dtype:
        model = model.to(getattr(torch, dtype))
        model.config.dtype = getattr(torch, dtype)
    model.save_pretrained(folder, max_shard_size="6KB" if name.endswith("shards") else "1GB")
    (folder / "generation_config.json").unlink(missing_ok=True)
    np.savez_compressed(folder / "expected.npz", **expected)


def fill_adapter(model: torch.nn.Module) -> None:
    """Give the adapter weights, both of its factors."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                rng = np.random.default_rng(zlib.crc32(name.encode()))
                weight.copy_(torch.from_numpy(0.3 * rng.standard_normal(tuple(weight.shape)).astype(np.float32)))


def differences(name: str, folder: Path, atol: float = 2e-5) -> list[str]:
    """How the case in `folder` differs from the committed one."""
    from safetensors.torch import load_file

    wrong = []
    for path in sorted((FOLDER / name).iterdir()):
        other = folder / path.name
        if not other.is_file():
            wrong.append(f"{name}: {path.name} is not made any more")
        elif path.suffix == ".npz":
            old, new = np.load(path), np.load(other)
            wrong += [f"{name}: {key} differs" for key in old if not np.allclose(old[key], new[key], rtol=0, atol=atol)]
        elif path.suffix == ".safetensors":
            old, new = load_file(path), load_file(other)
            same = old.keys() == new.keys() and all(torch.equal(old[key], new[key]) for key in old)
            wrong += [] if same else [f"{name}: {path.name} differs"]
        elif "config" in path.name:
            old, new = json.loads(path.read_text()), json.loads(other.read_text())
            keys = (old.keys() & new.keys()) - {"transformers_version", "peft_version"}
            wrong += [f"{name}: {path.name}: {key} differs" for key in sorted(keys) if old[key] != new[key]]
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with the committed ones and write nothing")
    check = parser.parse_args().check
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    wrong = []
    names = (*CASES, *ADAPTERS, *RANKERS)
    for name in names:
        if check:
            with tempfile.TemporaryDirectory() as room:
                write(name, Path(room, name))
                wrong += differences(name, Path(room, name))
        else:
            write(name, FOLDER / name)
    print("\n".join(wrong) or f"{len(names)} cases {'agree' if check else 'written'}")
    return len(wrong) > 0


if __name__ == "__main__":
    sys.exit(main())

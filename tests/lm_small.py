"""A model of a few thousand weights with prompts, a cyclic judge and a configuration, on disk."""

import json
from pathlib import Path

import jax

from nashpo.lm.decoder import Decoder, init_params
from nashpo.lm.files import save
from nashpo.lm.tiny import tiny_tokenizer

WORDS = ("red", "green", "blue", "one", "two")

JUDGE = """
ORDER = ["red", "green", "blue"]


def prefer(prompts, left, right):
    return [verdict(a.split()[:1], b.split()[:1]) for a, b in zip(left, right)]


def verdict(a, b):
    if not (a and b and a[0] in ORDER and b[0] in ORDER):
        return 0.5 + 0.3 * (bool(a and a[0] in ORDER) - bool(b and b[0] in ORDER))
    return [0.5, 0.9, 0.1][(ORDER.index(b[0]) - ORDER.index(a[0])) % 3]


def broken(prompts, left, right):
    return [float("nan") for _ in left]
"""

CONFIG = """[model]
path = "model"

[data]
prompts = "prompts.jsonl"
held_out = 4

[judge]
kind = "function"
function = "small_judge:prefer"

[algorithm]
solver = "inpo"
eta = 0.5

[learner]
prompts = 4
responses = 2
learning_rate = 0.01

[generation]
new_tokens = 3

[evaluation]
every = 2
history = 2

[run]
steps = 3
"""


def decoder(**changes) -> Decoder:
    """The architecture of every model here."""
    sizes = {"width": 16, "layers": 2, "heads": 2, "kv_heads": 1, "head_dim": 8, "inner": 24, "longest": 64}
    return Decoder("llama", vocabulary=len(WORDS) + 7, **(sizes | changes))


def make_model(folder: Path, seed: int, extra=None, **changes) -> Path:
    """A checkpoint with its tokenizer."""
    found = decoder(**changes)
    save(folder, found, init_params(found, jax.random.key(seed), scale=0.3), heads=extra)
    tiny_tokenizer(WORDS).save(folder)
    return folder


def make_world(folder: Path) -> Path:
    """Two checkpoints, prompts, a judge and `run.toml`."""
    folder.mkdir(parents=True, exist_ok=True)
    make_model(folder / "model", seed=0)
    make_model(folder / "other", seed=1)
    prompts = [{"prompt": f"{a} {b}"} for a in WORDS[:4] for b in WORDS[:3]]
    (folder / "prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in prompts))
    (folder / "small_judge.py").write_text(JUDGE)
    (folder / "run.toml").write_text(CONFIG)
    (folder / "judge.toml").write_text('[judge]\nkind = "function"\nfunction = "small_judge:prefer"\n')
    return folder

"""Models of the shapes of Qwen2.5 on a GPU: a training step and generation, random weights in bfloat16."""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nashpo.lm.decoder import Decoder, init_params
from nashpo.lm.filters import Decoding
from nashpo.lm.generate import Parts, generate
from nashpo.lm.logprobs import completion_log_probs

SHAPES = {
    "0.5B": Decoder("qwen2", 151_936, 896, 24, 14, 2, 64, 4864, qkv_bias=True, tied=True),
    "1.5B": Decoder("qwen2", 151_936, 1536, 28, 12, 2, 128, 8960, qkv_bias=True, tied=True),
}
PEAKS = {"A100": 312e12, "H100": 989e12, "H200": 989e12, "B200": 2250e12}
"""Dense bfloat16 products a second, by the name of the device (the makers' data sheets)."""


def figures(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """Rows of figures, or one that says why there are none."""
    jax.config.update("jax_enable_x64", False)
    if jax.default_backend() != "gpu":
        why = "not measured: JAX finds no GPU (JAX_PLATFORMS=cuda asks for one)"
        return [{"what": "GPU", "value": float("nan"), "unit": "", "note": why}]
    kind = jax.devices()[0].device_kind
    peak = next((peak for name, peak in PEAKS.items() if name in kind), float("nan"))
    rows = []
    for name, decoder in SHAPES.items():
        prompt, new, batch, spoken = (16, 16, 2, 4) if smoke else (512, 512, 8, 64)
        seconds, count = _train(decoder, prompt, new, batch, repeats)
        rows.append({"what": f"{name}: gradient and AdamW, {batch} x {prompt + new} tokens", "value": seconds})
        rows[-1] |= {"unit": "s/step", "note": kind}
        done = 6 * count * batch * (prompt + new) / seconds
        rows.append({"what": f"{name}: tokens read and learnt from", "value": batch * (prompt + new) / seconds})
        rows[-1] |= {"unit": "tokens/s"}
        rows.append({"what": f"{name}: 6 x parameters x tokens over the peak", "value": 100 * done / peak, "unit": "%"})
        seconds = _generate(decoder, prompt, new, spoken, repeats)
        rows.append({"what": f"{name}: generation, {spoken} x {new} tokens", "value": spoken * new / seconds})
        rows[-1] |= {"unit": "tokens/s"}
    return rows


def _train(decoder: Decoder, prompt: int, new: int, batch: int, repeats: int) -> tuple[float, int]:
    """Seconds of a step on all weights, and how many they are: layers made again, logits in chunks."""
    optimizer = optax.adamw(1e-6)
    params = init_params(decoder, jax.random.key(0), jnp.bfloat16)
    state = optimizer.init(params)
    rng = np.random.default_rng(0)
    contexts = rng.integers(0, decoder.vocabulary, (batch, prompt)).astype(np.int32)
    responses = rng.integers(0, decoder.vocabulary, (batch, 1, new)).astype(np.int32)

    def loss(params: Any) -> Any:
        return -jnp.mean(jnp.sum(completion_log_probs(decoder, None, Parts(params), contexts, responses), -1))

    def once(params: Any, state: Any) -> tuple[Any, Any]:
        updates, state = optimizer.update(jax.grad(loss)(params), state, params)
        return optax.apply_updates(params, updates), state

    step = jax.jit(once, donate_argnums=(0, 1))
    held = [step(params, state)]

    def run() -> None:
        held[0] = jax.block_until_ready(step(*held[0]))

    return _median(run, repeats), sum(leaf.size for leaf in jax.tree.leaves(held[0][0]))


def _generate(decoder: Decoder, prompt: int, new: int, batch: int, repeats: int) -> float:
    """Seconds of a batch of completions."""
    parts = (Parts(init_params(decoder, jax.random.key(0), jnp.bfloat16)),)
    contexts = np.random.default_rng(0).integers(0, decoder.vocabulary, (batch, prompt)).astype(np.int32)
    keys = iter(jax.random.split(jax.random.key(1), 1000))

    def run() -> None:
        found = generate(decoder, None, parts, [1.0], contexts, next(keys), 1, Decoding(new_tokens=new))
        jax.block_until_ready(found.tokens)

    run()
    return _median(run, repeats)


def _median(run: Callable[[], None], repeats: int) -> float:
    samples = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        run()
        samples.append(time.perf_counter() - begin)
    return statistics.median(samples[1:])

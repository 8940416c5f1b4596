"""Times language models side by side with transformers and TRL, in one run, and prints ratios.

    python experiments/benchmarks/lm.py                            everything, about ten minutes
    python experiments/benchmarks/lm.py --sections generation      some of it
    python experiments/benchmarks/lm.py --smoke                    a minute or two; the figures mean nothing
    PEER_PYTHON=/path/to/python python experiments/benchmarks/lm.py    the peers have an environment of their own
    JAX_PLATFORMS=cuda python experiments/benchmarks/lm.py --sections gpu

README.md explains the figures.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sections import Section
from sections import run as run_sections

SIZES = {"layers": 4, "width": 256, "vocabulary": 4096, "prompt": 32, "new": 64, "batch": 16}
SMOKE = {"layers": 2, "width": 64, "vocabulary": 256, "prompt": 8, "new": 8, "batch": 4}
MEMORY = {"layers": 8, "width": 256, "vocabulary": 32_000, "batch": 8, "length": 512}


def line(what: str, value: float, unit: str, note: str = "") -> str:
    """One figure."""
    return f"  {what:<66}{value:9.4g} {unit:<10}{note}"


class PeerError(RuntimeError):
    """The peer is not installed, or failed."""


class Peer:
    """`torch_lm.py` in a process of its own, on the same core; it waits while nashpo runs."""

    def __init__(self, folder: Path, sizes: dict[str, int]) -> None:
        program = [os.environ.get("PEER_PYTHON", sys.executable), str(Path(__file__).with_name("torch_lm.py"))]
        pipe, self._told = subprocess.PIPE, folder / "peer.txt"
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        with open(self._told, "w") as told:
            self._process = subprocess.Popen(
                [*program, str(folder)], stdin=pipe, stdout=pipe, stderr=told, text=True, env=environment
            )
        answer = self._ask(sizes)
        self.prompts, self.versions = answer["prompts"], answer["versions"]

    def seconds(self, what: str) -> float:
        """CPU-seconds of one `what`."""
        return self._ask({"what": what, "times": 1})["seconds"][0]

    def mixture(self) -> list[float]:
        """The share of right greedy tokens of TRL's mixture, with its cache and without."""
        return self._ask({"what": "mixture"})["right"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise PeerError((self._told.read_text().splitlines() or ["it ended"])[-1])
        found = json.loads(answer)
        if "failed" in found:
            raise PeerError(found["failed"])
        return found


@contextmanager
def opened(smoke: bool) -> Iterator[tuple[Peer, Path, dict[str, int]]]:
    """The peer, which has drawn a policy and a reward model, their folder, and the sizes."""
    import jax

    from nashpo.lm.tiny import SPECIAL, tiny_tokenizer

    jax.config.update("jax_enable_x64", False)
    sizes = SMOKE if smoke else SIZES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        words = [f"w{number}" for number in range(sizes["vocabulary"] - len(SPECIAL))]
        for part in ("policy", "reward"):
            tiny_tokenizer(words, folder / part)
        peer = Peer(folder, sizes)
        print("  peer:", *(f"{name} {version}" for name, version in peer.versions.items()))
        try:
            yield peer, folder, sizes
        finally:
            peer.close()


def in_turn(runs: dict[str, Callable[[], float]], repeats: int) -> dict[str, float]:
    """Medians of the CPU-seconds that each run says it took, A B A B ...; each has run before."""
    samples: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(repeats):
        for name, run in runs.items():
            samples[name].append(run())
    return {name: statistics.median(values) for name, values in samples.items()}


def cpu(run: Callable[[], Any]) -> float:
    """CPU-seconds of this process, all threads."""
    import jax

    begin = time.process_time()
    jax.block_until_ready(run())
    return time.process_time() - begin


def generation(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """A batch of completions from one policy, 16 x 64 tokens, keys and values cached on both sides."""
    import jax
    import numpy as np

    from nashpo.lm.files import load
    from nashpo.lm.filters import Decoding
    from nashpo.lm.generate import Parts, generate

    with opened(smoke) as (peer, folder, sizes):
        made = load(folder / "policy")
        contexts = np.array(peer.prompts[: sizes["batch"]], np.int32)
        settings, parts = Decoding(new_tokens=sizes["new"]), Parts(made.params)
        keys = iter(jax.random.split(jax.random.key(0), 1000))

        def ours() -> Any:
            return generate(made.decoder, None, (parts,), [1.0], contexts, next(keys), 1, settings).tokens

        ours()
        runs = {"nashpo": lambda: cpu(ours), "transformers": lambda: peer.seconds("generate")}
        times = in_turn(runs, repeats)
    tokens = sizes["batch"] * sizes["new"]
    rows = [{"what": f"generation: {name}", "value": tokens / s, "unit": "tokens/s"} for name, s in times.items()]
    ratio = times["transformers"] / times["nashpo"]
    return [*rows, {"what": "generation: transformers over nashpo", "value": ratio, "unit": "x"}]


def nash_md(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """Whole Nash-MD steps: generated, judged, fitted; and what TRL's mixture is worth with its cache and without."""
    with opened(smoke) as (peer, folder, sizes):
        cached, exact = peer.mixture()
        peers = {
            f"TRL, cache on: {100 * cached:.0f}% of greedy tokens right": "nash_md, cache",
            f"TRL, cache off: {100 * exact:.0f}% right": "nash_md, no cache",
        }
        return _steps("Nash-MD", peer, folder, sizes, repeats, ("nash_md", "nash_md, LoRA"), peers)


def online_dpo(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """Whole steps of online DPO."""
    with opened(smoke) as (peer, folder, sizes):
        return _steps("online DPO", peer, folder, sizes, repeats, ("online_dpo",), {"TRL": "online_dpo"})


def _steps(
    name: str, peer: Peer, folder: Path, sizes: dict[str, int], repeats: int, ours: tuple[str, ...], peers: dict
) -> list[dict[str, Any]]:
    from lm_steps import stepper

    names = {what: "nashpo" + what.removeprefix("nash_md").removeprefix("online_dpo") for what in ours}
    runs = {names[what]: stepper(folder, peer.prompts, sizes, what) for what in ours}
    times = in_turn(runs | {label: lambda w=what: peer.seconds(w) for label, what in peers.items()}, repeats)
    rows = [{"what": f"{name}: {label}", "value": value, "unit": "CPU-s/step"} for label, value in times.items()]
    ratios = {label: times[label] / times["nashpo"] for label in peers}
    return rows + [{"what": f"{name}: {label}, over nashpo", "value": r, "unit": "x"} for label, r in ratios.items()]


def memory(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """Temporary memory of the gradient of log-probabilities of completions: all logits at once, and in chunks."""
    import jax
    import jax.numpy as jnp

    from nashpo.lm.decoder import Decoder, hidden, init_params, logits
    from nashpo.lm.generate import Parts
    from nashpo.lm.logprobs import completion_log_probs

    jax.config.update("jax_enable_x64", False)
    sizes = MEMORY | ({"vocabulary": 512, "length": 32} if smoke else {})
    heads, width = sizes["width"] // 64, sizes["width"]
    decoder = Decoder(
        "qwen2", sizes["vocabulary"], width, sizes["layers"], heads, heads // 2, 64, 11 * width // 4, qkv_bias=True
    )
    params = jax.eval_shape(lambda: init_params(decoder, jax.random.key(0)))
    contexts = jax.ShapeDtypeStruct((sizes["batch"], 1), jnp.int32)
    responses = jax.ShapeDtypeStruct((sizes["batch"], 1, sizes["length"]), jnp.int32)

    def plain(params: Any, contexts: Any, responses: Any) -> Any:
        tokens = jnp.concatenate([contexts, responses[:, 0]], axis=1)
        places = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)
        states, _ = hidden(decoder, params, tokens, places)
        law = jax.nn.log_softmax(logits(decoder, params, states[:, :-1]))
        return jnp.sum(jnp.take_along_axis(law, tokens[:, 1:, None], axis=-1))

    def ours(params: Any, contexts: Any, responses: Any, remat: bool) -> Any:
        return jnp.sum(completion_log_probs(decoder, None, Parts(params), contexts, responses, remat=remat))

    losses = {
        "all logits at once": plain,
        "in chunks of 32 tokens": lambda *given: ours(*given, remat=False),
        "in chunks, layers made again": lambda *given: ours(*given, remat=True),
    }
    found: dict[str, int] = {}
    for name, loss in losses.items():
        program: Any = jax.jit(jax.grad(loss)).lower(params, contexts, responses).compile().memory_analysis()
        found[name] = program.temp_size_in_bytes
    rows = [{"what": f"memory: {name}", "value": size / 2**20, "unit": "MiB"} for name, size in found.items()]
    ratio = found["all logits at once"] / found["in chunks, layers made again"]
    return [*rows, {"what": "memory: all at once over chunks and layers made again", "value": ratio, "unit": "x"}]


def gpu(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """Models of the shapes of Qwen2.5 0.5B and 1.5B in bfloat16, where JAX finds a GPU."""
    from lm_gpu import figures

    return figures(repeats, smoke)


def against_peer(section: Section) -> Section:
    """The section, or one line that says why there is nothing to compare with."""

    def run(repeats: int, smoke: bool) -> list[dict[str, Any]]:
        try:
            return section(repeats, smoke)
        except PeerError as error:
            return [{"what": f"{section.__name__}: not measured", "value": math.nan, "unit": "", "note": str(error)}]

    return run


SECTIONS: dict[str, Section] = {
    **{part.__name__: against_peer(part) for part in (generation, nash_md, online_dpo)},
    "memory": memory,
    "gpu": gpu,
}

if __name__ == "__main__":
    run_sections(__doc__, SECTIONS, line, repeats=5)

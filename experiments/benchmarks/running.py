"""What a run costs: a step against memory bandwidth, the log, the first answer, memory."""

import os
import statistics
import tempfile
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from timing import as_a_user, child, side_by_side

import nashpo
from nashpo.solvers import EGPO
from nashpo_games import random_constant_sum

BETA = 0.1
ETA = 1 / (BETA + 0.5)
LARGE_GAME = """
import re
from pathlib import Path
from nashpo_games import embedded
import nashpo
game = embedded(n={n}, d=8, beta=0.1, scale="score")
result = nashpo.solve(game, nashpo.solvers.EGPO(0.02), steps=100, every=10)
assert result.policy.probs().shape == (1, {n})
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024
print(float(result.trace["duality_gap"][-1]), peak)
"""
SMALL_GAME = """
import statistics, time
import jax
jax.config.update("jax_enable_x64", True)
import numpy as np
import nashpo
from nashpo_games import random_constant_sum
P = np.asarray(random_constant_sum(10, seed=1).oracle.table()[0])
seconds = []
for _ in range(2000):
    begin = time.perf_counter()
    result = nashpo.solve(nashpo.Game.from_table(P, beta={beta}), nashpo.solvers.EGPO({eta}), steps=100, every=100)
    result.policy.probs()
    seconds.append(time.perf_counter() - begin)
print(statistics.median(seconds[100:]))
"""
IMPORTS = {
    "import jax": "import jax",
    "import nashpo": "import nashpo",
    "import nashpo and what solves a game": "import nashpo; nashpo.Game, nashpo.solve, nashpo.solvers",
}


def figure(section: str, what: str, value: float, unit: str, ratio: float | None = None, limit: float | None = None):
    """One line of a table; the limit is on the ratio where there is one."""
    line: dict[str, Any] = {"section": section, "what": what, "value": value, "unit": unit, "ratio": ratio}
    if limit is not None:
        line |= {"limit": limit, "met": bool((value if ratio is None else ratio) <= limit)}
    return line


def steps(n: int, megabytes: int, count: int, repeats: int, budget: float) -> list[dict[str, Any]]:
    """A compiled EGPO step, with the gap measured at the end and at every step, against two reads of the table."""
    rows = []
    for dtype in (np.float32, np.float64):
        name = np.dtype(dtype).name
        bandwidth = read_bandwidth(dtype, megabytes, repeats)
        two_reads = 2 * n * n * np.dtype(dtype).itemsize / bandwidth
        P = np.asarray(random_constant_sum(n, seed=1).oracle.table()[0], dtype)
        table, x = jnp.asarray(P), np.full(n, 1 / n, dtype)
        game = nashpo.Game.from_table(table, beta=BETA)
        product = jax.jit(jnp.matmul)

        def run(every: int, game=game):
            result = nashpo.solve(game, EGPO(ETA), steps=count, every=every)
            return jax.block_until_ready(result.policy.log_probs())

        run(count)
        run(1)
        times = side_by_side(
            {
                "end": lambda run=run: run(count),
                "every": lambda run=run: run(1),
                "numpy": lambda P=P, x=x: P @ x,
                "jax": lambda table=table, x=x, product=product: jax.block_until_ready(product(table, x)),
            },
            repeats,
            budget,
        )
        step, logged = times["end"].seconds / count, times["every"].seconds / count
        micro = 1e6
        rows += [
            figure("steps", f"{name}: read bandwidth", bandwidth / 1e9, "GB/s"),
            figure("steps", f"{name}: two products at that bandwidth", two_reads * micro, "us"),
            figure("steps", f"{name}: two products in NumPy", 2 * times["numpy"].seconds * micro, "us"),
            figure("steps", f"{name}: two products in JAX", 2 * times["jax"].seconds * micro, "us"),
            figure("steps", f"{name}: a compiled EGPO step", step * micro, "us", step / two_reads, 1.5),
            figure("steps", f"{name}: with the gap logged every step", logged * micro, "us", logged / step, 1.25),
        ]
    return rows


def read_bandwidth(dtype: type, megabytes: int, repeats: int) -> float:
    """Bytes a second of the quickest of three ways to read a table larger than the cache: sum, dot, product."""
    side = int((megabytes * 2**20 / np.dtype(dtype).itemsize) ** 0.5)
    big = np.full((side, side), 0.5, dtype)
    flat, x = big.ravel(), np.ones(side, dtype)
    times = side_by_side(
        {"sum": lambda: np.add.reduce(flat), "dot": lambda: flat @ flat, "product": lambda: big @ x}, repeats, 60.0
    )
    return big.nbytes / min(t.seconds for t in times.values())


def start(repeats: int, command_line: bool = True) -> list[dict[str, Any]]:
    """Imports and first answers of whole processes with a user's settings, and a small game again and again."""
    rows = []
    with as_a_user() as environment:
        samples = {name: [] for name in IMPORTS}
        for turn in range(repeats + 1):
            for name, program in IMPORTS.items():
                seconds = child(["-c", program], environment)[0]
                if turn:
                    samples[name].append(seconds)
        medians = {name: statistics.median(values) for name, values in samples.items()}
        jax_alone = medians["import jax"]
        for name, seconds in medians.items():
            limit = 1.2 if name == "import nashpo" else None
            ratio = None if name == "import jax" else seconds / jax_alone
            rows.append(figure("start", name, 1e3 * seconds, "ms", ratio, limit))
        if command_line:
            cold, warm = zip(*[_pokemon(environment) for _ in range(repeats)], strict=True)
            solve = "nashpo solve pokemon_types"
            rows.append(figure("start", f"{solve}, no compiled programs yet", statistics.median(cold), "s", limit=3.0))
            rows.append(figure("start", f"{solve}, again", statistics.median(warm), "s", limit=1.5))
        free = _small(environment, repeats)
    what = "10 actions from NumPy, 100 steps of EGPO, policy"
    rows.append(figure("start", what, 1e6 * free, "us", limit=300.0))
    rows.append(figure("start", f"{what}; on one pinned core", 1e6 * _small(dict(os.environ), repeats), "us"))
    return rows


def _pokemon(environment: dict[str, str]) -> tuple[float, float]:
    with tempfile.TemporaryDirectory() as folder:
        environment = {**environment, "NASHPO_CACHE": folder}
        environment.pop("JAX_COMPILATION_CACHE_DIR", None)
        arguments = ["-m", "nashpo", "solve", "pokemon_types"]
        return child(arguments, environment)[0], child(arguments, environment)[0]


def _small(environment: dict[str, str], repeats: int) -> float:
    """Seconds of a small solve in processes of their own."""
    program = SMALL_GAME.format(beta=BETA, eta=ETA)
    return statistics.median(float(child(["-c", program], environment)[1]) for _ in range(repeats))


def memory(n: int) -> list[dict[str, Any]]:
    """Peak resident memory of a process that runs EGPO on a score game of `n` responses in 8 dimensions.

    From Linux's own account of the process; a child's `ru_maxrss` would start at its parent's.
    """
    with as_a_user() as environment:
        nothing = float(child(["-c", LARGE_GAME.format(n=2)], environment)[1].split()[-1])
        begin = time.perf_counter()
        gap, peak = map(float, child(["-c", LARGE_GAME.format(n=n)], environment)[1].split())
        seconds = time.perf_counter() - begin
    return [
        figure("memory", "peak of the same program with 2 responses", nothing, "MiB"),
        figure("memory", f"peak with {n:,} responses, d = 8, 100 steps of EGPO", peak, "MiB", limit=1024.0),
        figure("memory", "wall time of that process", seconds, "s"),
        figure("memory", "its duality gap at the end", gap, "score"),
    ]

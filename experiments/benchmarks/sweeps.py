"""Times `nashpo.sweep` side by side with what others would write, in one run, and prints ratios.

    python experiments/benchmarks/sweeps.py                      everything, a few minutes
    python experiments/benchmarks/sweeps.py --sections games     some of it
    python experiments/benchmarks/sweeps.py --smoke              seconds; the figures mean nothing

README.md explains the figures.
"""

import time
from pathlib import Path
from typing import Any

from sections import run as run_sections
from timing import CORES, as_a_user, child, side_by_side

ETA, BETA = 0.4, 0.1
CORES_PROGRAM = """
import os, sys, time
os.environ["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2 --xla_cpu_multi_thread_eigen=false"
sys.path.insert(0, {folder!r})
import jax, nashpo, batches
games = [nashpo.Game.from_table(P, beta={beta}) for P in batches.random_tables({count}, 64)]
def run(devices):
    begin = time.perf_counter()
    nashpo.sweep(games, nashpo.solvers.EGPO({eta}), steps={steps}, every=10, devices=devices)
    return time.perf_counter() - begin
one, two = jax.devices()[:1], jax.devices()
run(one), run(two)
ratios = sorted(run(one) / run(two) for _ in range({repeats}))
print(ratios[len(ratios) // 2])
"""


def line(what: str, value: float, unit: str, ratio: float | None = None, target: float | None = None) -> str:
    """One figure. `ratio` is nashpo's rate over this one's, or what `what` says; it should be at least `target`."""
    shown = "" if ratio is None else f"{ratio:8.2f}x"
    goal = "" if target is None or ratio is None else f"  >= {target:g}x {'yes' if ratio >= target else 'NO'}"
    return f"  {what:<58}{value:9.4g} {unit:<12}{shown:>9}{goal}"


def games(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """Many games of 64 responses, 1,000 iterations of EGPO each, the gap every 10; a rate in game-iterations."""
    import batches
    import numpy as np

    import nashpo

    count, steps = (20, 20) if smoke else (1000, 1000)
    P = batches.random_tables(count, 64)
    some = [nashpo.Game.from_table(table, beta=BETA) for table in P]

    def sweep():
        found = nashpo.sweep(some, nashpo.solvers.EGPO(ETA), steps=steps, every=10)
        return found.data["duality_gap"].values.reshape(count, -1)

    fused = batches.Fused()
    few, fewer = max(2, count // 50), max(2, count // 500)
    runs = {
        "nashpo.sweep": (sweep, count, None),
        "C, one fused loop": (lambda: fused(P, ETA, BETA, steps, 10), count, 0.55),
        "NumPy, matmul over all games": (lambda: batches.numpy_batched(P, ETA, BETA, steps, 10), count, 2.0),
        "NumPy, one game after the other": (
            lambda: batches.numpy_loop(P[:few], ETA, BETA, steps, 10), few, 20.0,
        ),
        "PyTorch, as the authors' simulations": (
            lambda: batches.torch_loop(P[:fewer], ETA, BETA, steps, 10), fewer, 100.0,
        ),
    }  # fmt: skip
    if fused.library is None:
        del runs["C, one fused loop"]
    times = side_by_side({name: run for name, (run, _, _) in runs.items()}, repeats, 60.0)
    rates = {name: runs[name][1] * steps / timing.seconds / 1e6 for name, timing in times.items()}
    rows = []
    for name, rate in rates.items():
        timing, target = times[name], runs[name][2]
        if timing.note:
            print(f"  {name}: {timing.note}")
            continue
        own = times["nashpo.sweep"].answer[: len(timing.answer)]
        if not np.allclose(own, timing.answer, rtol=1e-2, atol=1e-5):
            print(f"  {name}: its gaps differ from nashpo's by up to {np.abs(own - timing.answer).max():.1e}")
        ratio = None if target is None else rates["nashpo.sweep"] / rate
        rows.append({"what": name, "value": rate, "unit": "M its/s", "ratio": ratio, "target": target})
    return rows


def shared(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """One table, 256 settings: matrix times matrix, against a vmap over matrix times vector and the peak of sgemm."""
    import batches
    import jax
    import numpy as np

    import nashpo

    big = np.random.default_rng(0).uniform(size=(1024, 1024)).astype(np.float32)
    alone = side_by_side({"sgemm": lambda: big @ big}, max(repeats, 3), 10.0)["sgemm"].seconds
    peak = 2 * len(big) ** 3 / alone / 1e9
    rows = [{"what": "NumPy's product of two matrices of 1024", "value": peak, "unit": "GFlop/s"}]
    for n, steps, target in ((64, 1000, 2.5), (1024, 50, 10.0)):
        n, steps = (16, 10) if smoke else (n, steps)
        P = batches.random_tables(1, n)[0]
        etas = np.geomspace(0.05, ETA, 256).astype(np.float32)
        game = nashpo.Game.from_table(P, beta=BETA)
        on_device = jax.device_put(P), jax.device_put(etas)

        def sweep(game=game, etas=etas, steps=steps):
            return nashpo.sweep(game, nashpo.solvers.EGPO(etas), steps=steps, every=steps)

        def plain(on_device=on_device, steps=steps):
            return jax.block_until_ready(batches.matrix_vector(*on_device, BETA, steps))

        runs = {"sweep": sweep, "plain": plain}
        times = {name: timing.seconds for name, timing in side_by_side(runs, repeats, 60.0).items()}
        own = 4 * n * n * len(etas) * steps / times["sweep"] / 1e9
        rows.append({"what": f"n = {n}, 256 settings: nashpo.sweep, over the product", "value": own, "unit": "GFlop/s",
                     "ratio": own / peak, "target": 0.8})  # fmt: skip
        other = own * times["sweep"] / times["plain"]
        rows.append({"what": f"n = {n}: vmapped matrix times vector", "value": other, "unit": "GFlop/s",
                     "ratio": own / other, "target": target})  # fmt: skip
    return rows


def compile(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """What the first call takes longer than the second: tracing and compiling, nothing cached."""
    import batches
    import jax

    import nashpo
    from nashpo import solvers

    rules = {"SPO": solvers.SPO(0.1), "EGPO": solvers.EGPO(0.3), "MNPO": solvers.MNPO(0.1, (0.5, 0.3, 0.2))}
    rows = []
    nashpo.sweep(nashpo.Game.from_table(batches.random_tables(1, 8)[0], beta=BETA), rules["EGPO"], steps=1)
    sizes = ((10, 100),) if smoke else ((10, 100), (300, 100), (10, 10_000))
    for name, rule in rules.items():
        for count, steps in sizes:
            some = [nashpo.Game.from_table(P, beta=BETA) for P in batches.random_tables(count, 32)]
            seconds = []
            for _ in range(min(3, repeats)):
                jax.clear_caches()
                begin = time.perf_counter()
                nashpo.sweep(some, rule, steps=steps, every=10)
                middle = time.perf_counter()
                nashpo.sweep(some, rule, steps=steps, every=10)
                seconds.append(2 * middle - begin - time.perf_counter())
            what = f"compile {name}: {count} games, {steps} steps"
            rows.append({"what": what, "value": sorted(seconds)[len(seconds) // 2], "unit": "s (< 1)"})
    return rows


def cores(repeats: int, smoke: bool) -> list[dict[str, Any]]:
    """The same sweep over two host devices and over one, in a process of its own with two cores."""
    if len(CORES) < 2:
        return []
    count, steps = (8, 10) if smoke else (512, 1000)
    program = CORES_PROGRAM.format(
        folder=str(Path(__file__).parent), count=count, steps=steps, repeats=repeats, beta=BETA, eta=ETA
    )
    with as_a_user() as environment:
        ratio = float(child(["-c", program], environment)[1])
    return [{"what": "two host devices against one", "value": ratio, "unit": "", "ratio": ratio, "target": 1.5}]


if __name__ == "__main__":
    run_sections(__doc__, {"games": games, "shared": shared, "compile": compile, "cores": cores}, line, repeats=7)

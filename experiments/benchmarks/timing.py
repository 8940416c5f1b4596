"""Candidates timed side by side, and the machine they run on."""

import contextlib
import dataclasses
import gc
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
VERSIONS = ("numpy", "scipy", "jax", "torch", "nashpy", "quantecon", "numba", "pygambit", "open_spiel", "pref_voting")
SAMPLE = 0.01
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


@dataclasses.dataclass
class Timing:
    """A candidate's answer and the median of its times."""

    seconds: float = float("nan")
    rounds: int = 0
    answer: Any = None
    note: str = ""


@dataclasses.dataclass
class _Plan:
    run: Callable[[], Any]
    number: int
    rounds: int
    answer: Any
    samples: list[float]


def side_by_side(runs: dict[str, Callable[[], Any]], repeats: int, budget: float) -> dict[str, Timing]:
    """Time every candidate `repeats` times in turn, A B A B ..., so that a machine that drifts slows all of them.

    A first call, not counted unless it alone takes half of `budget` seconds, gives the answer. A candidate stops
    taking part when its budget is used up; one that raises is reported with its error.
    """
    timings: dict[str, Timing] = {}
    plans: dict[str, _Plan] = {}
    for name, run in runs.items():
        begin = time.perf_counter()
        try:
            answer = run()
        except Exception as error:  # a peer's failure is a result
            timings[name] = Timing(note=f"failed: {type(error).__name__} {error}"[:60])
            continue
        first = time.perf_counter() - begin
        samples = [first] if first > budget / 2 else []
        plans[name] = _Plan(run, 0, max(1, min(repeats, int(budget / first))), answer, samples)
    gc.collect()
    gc.disable()
    try:
        for turn in range(repeats):
            for plan in plans.values():
                if len(plan.samples) < plan.rounds:
                    plan.number = plan.number or _number(plan.run)
                    plan.samples.append(_time(plan.run, plan.number))
            if turn % 2:
                gc.collect()
    finally:
        gc.enable()
    for name, plan in plans.items():
        timings[name] = Timing(statistics.median(plan.samples), len(plan.samples), plan.answer)
    return {name: timings[name] for name in runs}


def _number(run: Callable[[], Any]) -> int:
    return max(1, min(1000, int(SAMPLE / max(_time(run, 1), 1e-7))))


def _time(run: Callable[[], Any], number: int) -> float:
    begin = time.perf_counter()
    for _ in range(number):
        run()
    return (time.perf_counter() - begin) / number


def limit_threads(threads: int) -> None:
    """Every library in this process gets `threads` threads, on as many cores; must come before they are imported."""
    for variable in THREAD_VARIABLES:
        os.environ[variable] = str(threads)
    os.environ["JAX_ENABLE_X64"] = "1"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    if threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}".strip()
    _pin(CORES[-threads:])


@contextlib.contextmanager
def as_a_user() -> Iterator[dict[str, str]]:
    """All cores, and an environment for child processes without the limits on threads."""
    pinned = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    dropped = {*THREAD_VARIABLES, "XLA_FLAGS", "JAX_ENABLE_X64"}
    _pin(CORES)
    try:
        yield {name: value for name, value in os.environ.items() if name not in dropped}
    finally:
        _pin(pinned)


def _pin(cores) -> None:
    if hasattr(os, "sched_setaffinity") and cores:
        os.sched_setaffinity(0, cores)


def child(arguments: list[str], environment: dict[str, str]) -> tuple[float, str]:
    """The wall time of a Python process and what it printed. It runs in an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.abspath(path) for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path]
        environment = {**environment, "PYTHONPATH": os.pathsep.join(paths)}
        begin = time.perf_counter()
        done = subprocess.run([sys.executable, *arguments], env=environment, cwd=folder, capture_output=True, text=True)
        seconds = time.perf_counter() - begin
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)[:60]} ended with {done.returncode}: {done.stderr[-300:]}")
    return seconds, done.stdout


def machine(threads: int) -> dict[str, Any]:
    """What the figures depend on."""
    return {
        "processor": _processor(),
        "cores": len(CORES),
        "threads": threads,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in VERSIONS},
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"

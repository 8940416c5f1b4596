"""Settings that every test shares: float64, fixed seeds, no display."""

import getpass
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "agg")

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if "XLA_FLAGS" not in os.environ:
    # Most of a test's time is compilation, of which XLA needs a fifth with these: an older code generator, nothing that
    # LLVM can leave out, and a program in one part, for other tests keep the other cores busy. Tests that compute as
    # much as they compile are quicker at level 1. XLA ends a program that gives it a flag it does not know, so another
    # one asks first.
    level = os.environ.get("NASHPO_TESTS_OPTIMIZATION", "0")
    flags = os.environ | {
        "XLA_FLAGS": f"--xla_cpu_use_fusion_emitters=false --xla_backend_optimization_level={level} "
        "--xla_llvm_disable_expensive_passes=true --xla_cpu_parallel_codegen_split_count=1"
    }
    asked = subprocess.run([sys.executable, "-c", "import jax; jax.devices()"], env=flags, capture_output=True)
    os.environ["XLA_FLAGS"] = "" if asked.returncode else flags["XLA_FLAGS"]

# Compiled programs are shared between workers, the programs that tests start, and runs.
SHARED = {
    "jax_compilation_cache_dir": os.path.join(tempfile.gettempdir(), f"nashpo-tests-{getpass.getuser()}"),
    "jax_persistent_cache_min_compile_time_secs": 0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}
for name, value in SHARED.items():
    jax.config.update(name, value)
    os.environ[name.upper()] = str(value)
jax.config.update("jax_enable_x64", True)

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell starts its background jobs deaf to Ctrl-C, and everything that they start; tests press it.
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile(
    "nashpo", deadline=None, max_examples=25, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("nashpo")

DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"
TABLES = ("agent_arena_llms", "mujoco_soccer", "pokemon_types", "f1_2007", "atari_agents")


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real tables; tests that need it are skipped where it is absent."""
    if not DATA.is_dir():
        pytest.skip(f"the real tables are not at {DATA}")
    return DATA


@pytest.fixture
def rng() -> np.random.Generator:
    """A fresh generator with a fixed seed."""
    return np.random.default_rng(2025)


@pytest.fixture(scope="module", autouse=True)
def compiled_programs():
    """Let go of a file's compiled programs: each holds memory maps, of which a process may have 65,530 on Linux."""
    yield
    jax.clear_caches()

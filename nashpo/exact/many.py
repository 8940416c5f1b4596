"""KL-regularised equilibria of many tables at once: compiled where that pays, one by one where it does not."""

import contextlib
import functools
import importlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from nashpo.exact.newton import kl_equilibrium, require_resolved

LANES = 32
"""Tables in one call of the compiled program: whatever their number, a size has this program and that of one table."""
PAYS_FROM = 128
"""So many tables are worth a compilation, a second for each size, sooner or later: it takes as long as one to two
thousand tables one by one, and what follows is four times as quick."""
PAYS_TO = 256
"""Up to this size; beyond, the products take the time, and NumPy's are as quick."""
COMPILED = "Newton, compiled"


class Solutions(NamedTuple):
    """The equilibria of several tables as a method found them, before anybody certified them."""

    log_policy: np.ndarray
    """Normalised log-probabilities `[X, A]`, float64."""
    methods: tuple[str, ...]
    """How they were found, each way once."""
    steps: np.ndarray
    """Newton steps taken for each, `[X]`."""


def kl_equilibria(
    payoff: np.ndarray,
    log_reference: np.ndarray,
    beta: float,
    start: np.ndarray | None = None,
    tol: float = 0.0,
    method: str = "auto",
) -> Solutions:
    """The policies with `log pi = log_reference + S pi / beta + const`, `payoff = S + const` with S skew, `beta > 0`.

    `payoff` `[X, A, A]`, `log_reference` and `start` (logits) `[X, A]`, all float64; responses with a reference
    log-probability of -1e9 are padding. Stops at duality gap `tol`; with `tol = 0` it goes on to the rounding error of
    float64. `method` is `"compiled"` (one JAX program for all tables, on the CPU and in float64 whatever JAX is set
    to), `"newton"` (NumPy, one by one) or `"auto"`. A table that the compiled program gives up is solved in NumPy.

    Raises `ValueError` for another method, and what `kl_equilibrium` raises.

    >>> rock_paper_scissors = np.array([[0.5, 0, 1], [1, 0.5, 0], [0, 1, 0.5]])
    >>> references = np.log([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    >>> found = kl_equilibria(np.stack([rock_paper_scissors] * 2), references, 0.01)
    >>> np.exp(found.log_policy).round(4).tolist()
    [[0.3308, 0.3394, 0.3298], [0.3405, 0.3259, 0.3336]]
    """
    if method not in ("auto", "compiled", "newton"):
        raise ValueError(f'method="{method}": choose "auto", "compiled" or "newton".')
    require_resolved(payoff, beta)
    count, size = log_reference.shape
    pays = count >= PAYS_FROM and size <= PAYS_TO
    log_policy, steps, solved = np.empty((count, size)), np.zeros(count, int), np.zeros(count, bool)
    if method == "compiled" or (method == "auto" and pays):
        _run(payoff, log_reference, start, (beta, tol), (log_policy, steps, solved))
    methods = [COMPILED] if solved.any() else []
    for x in np.flatnonzero(~solved):
        found = kl_equilibrium(payoff[x], log_reference[x], beta, None if start is None else start[x], tol)
        log_policy[x], steps[x] = found.log_policy, found.steps
        methods.append(found.method)
    return Solutions(log_policy, tuple(dict.fromkeys(methods)), steps)


def _run(payoff, log_reference, start, numbers, answers) -> None:
    """Write policies, steps and which lanes are solved; nothing without a CPU in JAX."""
    log_policy, steps, solved = answers
    device = _cpu()
    if device is None:
        return
    from nashpo.exact.compiled import solve_all

    count, size = log_reference.shape
    lanes = 1 if count == 1 else LANES
    first = log_reference if start is None else start
    for begin in range(0, count, lanes):
        rows = slice(begin, min(begin + lanes, count))
        settings = np.array([*numbers, start is not None, rows.stop - begin], float)
        tables = (_filled(array[rows], lanes) for array in (payoff, log_reference, first))
        with _float64_on(device):
            out = np.asarray(solve_all(next(tables), next(tables), next(tables), settings))[: rows.stop - begin]
        log_policy[rows], solved[rows], steps[rows] = out[:, :size], out[:, size] == 1.0, out[:, size + 1]


def _filled(array: np.ndarray, lanes: int) -> np.ndarray:
    """The array with as many lanes as the program has; it does not look at the last ones."""
    if len(array) == lanes:
        return array
    filled = np.empty((lanes, *array.shape[1:]))
    filled[: len(array)] = array
    return filled


@functools.cache
def _cpu() -> Any:
    """JAX's CPU; None where JAX was told to do without."""
    import jax

    try:
        return jax.local_devices(backend="cpu")[0]
    except RuntimeError:
        return None


@contextlib.contextmanager
def _float64_on(device: Any) -> Iterator[None]:
    """What is compiled and run here is so in float64 and on this device, which costs nothing where it is the usual."""
    import jax

    home = jax if hasattr(jax, "enable_x64") else importlib.import_module("jax.experimental")
    usual = jax.default_backend() == device.platform and getattr(jax.config, "jax_default_device", None) is None
    with home.enable_x64(True), contextlib.nullcontext() if usual else jax.default_device(device):
        yield

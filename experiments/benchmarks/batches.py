"""EGPO on many games as others would run it: the peers of the sweeps' benchmark. Each gives gaps `[games, T]`."""

import ctypes
import functools
import importlib
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def random_tables(count: int, n: int, dtype: type = np.float32) -> np.ndarray:
    """Independent uniform entries below the diagonal, complements above, `[count, n, n]`."""
    lower = np.tril(np.random.default_rng(7).uniform(size=(count, n, n)), -1)
    upper = np.triu(1.0 - np.swapaxes(lower, 1, 2), 1)
    return (lower + upper + 0.5 * np.eye(n)).astype(dtype)


def _log_softmax(x: np.ndarray) -> np.ndarray:
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def numpy_batched(P: np.ndarray, eta: float, beta: float, steps: int, every: int) -> np.ndarray:
    """NumPy with one `matmul` for all games, `[G, n, n]`, or one game, `[n, n]`."""
    one = P.dtype.type
    log_reference = np.full(P.shape[:-1], -np.log(P.shape[-1]), P.dtype)
    a, eta, beta = one(1 - eta * beta), one(eta), one(beta)
    pull, log_pi, gaps = (one(1) - a) * log_reference, log_reference, []

    def gains(log_pi):
        return (P @ np.exp(log_pi)[..., None])[..., 0]

    for step in range(steps + 1):
        won = gains(log_pi)
        if step and step % every == 0:
            d = log_pi - _log_softmax(log_reference + won / beta)
            gaps.append(2 * beta * np.sum(np.exp(log_pi) * (np.expm1(-d) + d), -1))
        if step < steps:
            half = _log_softmax(a * log_pi + pull + eta * won)
            log_pi = _log_softmax(a * log_pi + pull + eta * gains(half))
    return np.stack(gaps, -1)


def numpy_loop(P: np.ndarray, eta: float, beta: float, steps: int, every: int) -> np.ndarray:
    """One game after the other."""
    return np.stack([numpy_batched(table, eta, beta, steps, every) for table in P])


def torch_loop(P: np.ndarray, eta: float, beta: float, steps: int, every: int) -> np.ndarray:
    """As the paper's simulations do it: autograd through the squared loss of all pairs, SGD, the half step undone."""
    torch = importlib.import_module("torch")
    rows = []
    for table in torch.tensor(P):
        n = len(table)
        theta = torch.zeros(n, dtype=table.dtype, requires_grad=True)
        optimizer = torch.optim.SGD([theta], lr=eta * beta * n / 4)
        gaps = []

        def gains(table=table, theta=theta):
            with torch.no_grad():
                return table @ torch.softmax(theta, 0)

        def descend(won, theta=theta, optimizer=optimizer):
            optimizer.zero_grad()
            u = torch.log_softmax(theta, 0) - won / beta
            ((u[:, None] - u[None, :]) ** 2).mean().backward()
            optimizer.step()

        for step in range(steps + 1):
            won = gains()
            if step and step % every == 0:
                with torch.no_grad():
                    log_pi = torch.log_softmax(theta, 0)
                    d = log_pi - torch.log_softmax(won / beta, 0)
                    gaps.append(float(2 * beta * torch.sum(torch.exp(log_pi) * (torch.expm1(-d) + d))))
            if step < steps:
                descend(won)
                stored = theta.grad.clone()
                other = gains()
                theta.grad.copy_(-stored)
                optimizer.step()
                descend(other)
        rows.append(gaps)
    return np.array(rows)


class Fused:
    """The same in C with everything in one loop, compiled here; absent where there is no compiler."""

    def __init__(self) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
        self.library: Any = None
        if compiler:
            self._folder = tempfile.TemporaryDirectory()
            target = Path(self._folder.name, "fused.so")
            source = Path(__file__).with_name("fused.c")
            flags = ["-Ofast", "-march=native", "-shared", "-fPIC"]
            if subprocess.run([compiler, *flags, str(source), "-o", str(target), "-lm"], check=False).returncode == 0:
                self.library = ctypes.CDLL(str(target))

    def __call__(self, P: np.ndarray, eta: float, beta: float, steps: int, every: int) -> np.ndarray:
        """The gaps, the start's left out."""
        games, n, _ = P.shape
        policy = np.zeros((games, n), np.float32)
        gaps = np.zeros((games, steps // every + 1), np.float32)
        address = [array.ctypes.data_as(ctypes.c_void_p) for array in (P, policy, gaps)]
        self.library.egpo(*address, games, n, steps, every, ctypes.c_float(eta), ctypes.c_float(beta))
        return gaps[:, 1:]


def _egpo_step(P: jax.Array, log_pi: jax.Array, eta: jax.Array, beta: float) -> jax.Array:
    log_reference = -jnp.log(jnp.asarray(P.shape[-1], P.dtype))
    anchor = (1 - eta * beta) * log_pi + eta * beta * log_reference
    half = jax.nn.log_softmax(anchor + eta * (P @ jnp.exp(log_pi)))
    return jax.nn.log_softmax(anchor + eta * (P @ jnp.exp(half)))


@functools.partial(jax.jit, static_argnames=("steps",))
def matrix_vector(P: jax.Array, etas: jax.Array, beta: float, steps: int) -> jax.Array:
    """One table, many settings, as a plain `vmap` over copies of the table: matrix times vector for each."""
    tables = jnp.broadcast_to(P, (len(etas), *P.shape))
    start = jnp.full((len(etas), len(P)), -jnp.log(len(P)), P.dtype)
    step = jax.vmap(_egpo_step, (0, 0, 0, None))
    return jax.lax.fori_loop(0, steps, lambda _, log_pi: step(tables, log_pi, etas, beta), start)

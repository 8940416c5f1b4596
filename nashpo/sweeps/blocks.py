"""The host's side of a sweep: cut it into blocks, send as many as the memory holds, collect what comes back."""

import time
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from nashpo.game import Game
from nashpo.sweeps.layout import layout
from nashpo.sweeps.program import Lane, Length, Setting, run_blocks


class Plan(NamedTuple):
    """What is the same for every lane."""

    tol: float | None
    metrics: dict[str, Any]
    steps: int
    length: Length
    memory: int
    devices: Sequence[Any]


def run_grid(games: Game, settings: Setting, plan: Plan) -> Lane:
    """Every game `[G]` with every setting `[S]`; arrays `[G, S, ...]` on the host."""
    count, width = _length(games), _length(settings)
    lane_bytes = _lane_bytes(games, plan)
    table_bytes = _bytes(games) // count
    backend = plan.devices[0].platform
    row_bytes = max(1, _bytes(games.reference) // count)
    block = layout(backend, count, width, table_bytes, row_bytes, plan.tol is not None, len(plan.devices))
    block = block.within(plan.memory, table_bytes, lane_bytes) if backend != "cpu" else block
    groups, sets = -(-count // block.games), -(-width // block.settings)
    split = "games" if groups >= min(len(plan.devices), sets) else "settings"
    devices = plan.devices[: max(groups if split == "games" else sets, 1)]
    mesh = Mesh(np.asarray(devices), ("lanes",))
    strip = block.games * (table_bytes + block.settings * lane_bytes)
    at_once = max(1, plan.memory // strip)
    sets_at_once = _share(sets, at_once, len(devices) if split == "settings" else 1)
    groups_at_once = _share(groups, at_once // sets_at_once, len(devices) if split == "games" else 1)
    rows = []
    for g in range(0, groups, groups_at_once):
        some = _cut(games, g, groups_at_once, block.games)
        row = [
            run_blocks(
                some, _cut(settings, s, sets_at_once, block.settings), plan.tol, plan.metrics, np.int32(plan.steps),
                length=plan.length, mesh=mesh, split=split,
            )
            for s in range(0, sets, sets_at_once)
        ]  # fmt: skip
        _wait(row)
        rows.append(jax.tree.map(lambda *parts: np.concatenate([_flat(part) for part in parts], 1), *row))
    return jax.tree.map(lambda *parts: np.concatenate(parts)[:count, :width], *rows)


def _wait(row: Any) -> None:
    """Until everything is computed, looking up often enough to hear Ctrl-C, which JAX's own waiting does not."""
    pause = 1e-4
    for leaf in jax.tree.leaves(row):
        while not leaf.is_ready():
            time.sleep(pause)
            pause = min(0.05, 1.1 * pause)


def _share(blocks: int, most: int, devices: int) -> int:
    """How many blocks go into one call: all, or as many as fit; a multiple of the devices among which they go."""
    if blocks > most:
        blocks = -(-blocks // -(-blocks // max(1, most)))
    return -(-blocks // devices) * devices


def _cut(tree: Any, first: int, blocks: int, size: int) -> Any:
    """`blocks` blocks of `size` entries from block `first` on, `[blocks, size, ...]`; the last entry fills up."""
    last = _length(tree) - 1
    index = np.minimum(np.arange(first * size, (first + blocks) * size), last).reshape(blocks, size)
    return jax.tree.map(lambda leaf: leaf[index], tree)


def _flat(part: Any) -> np.ndarray:
    """`[NG, NS, G, S, ...]` to `[NG G, NS S, ...]`."""
    part = np.asarray(part).swapaxes(1, 2)
    groups, games, sets, settings = part.shape[:4]
    return part.reshape(groups * games, sets * settings, *part.shape[4:])


def _length(tree: Any) -> int:
    return len(jax.tree.leaves(tree)[0])


def _bytes(tree: Any) -> int:
    return sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(tree))


def _lane_bytes(games: Game, plan: Plan) -> int:
    """About how much memory a lane needs: its trace, its state and what a step works with."""
    contexts, responses = games.reference.log_probs().shape[1:]
    item = np.asarray(jax.tree.leaves(games.oracle)[0]).dtype.itemsize
    return item * ((plan.length.chunks + 1) * (1 + len(plan.metrics)) + 16 * contexts * responses)

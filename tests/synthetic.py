"""A sweep's labelled arrays made by hand, so that what a picture must show is known."""

import numpy as np
import xarray

from nashpo import Status

DIMS = ("solver", "game", "beta", "eta", "seed")
ABSENT = -1


def sweep(solvers=("EGPO",), games=("rps",), betas=(0.1,), etas=(0.5,), seeds=3, steps=40, scale="probability"):
    """Runs that fall as `10^(-eta beta step (1 + seed))`, all finished."""
    shape = (len(solvers), len(games), len(betas), len(etas), seeds)
    step = np.arange(4, steps + 1, 4)
    beta, eta = np.array(betas, float)[:, None, None], np.array(etas, float)[None, :, None]
    rate = np.broadcast_to(eta * beta * (1.0 + np.arange(seeds)), shape)
    gap = 10.0 ** (-rate[..., None] * step)
    policy = np.broadcast_to(np.array([0.5, 0.3, 0.2]), (*shape, 1, 3)).copy()
    coordinates = {
        "solver": list(solvers),
        "game": list(games),
        "beta": list(map(float, betas)),
        "eta": list(map(float, etas)),
        "seed": np.arange(seeds),
        "step": step,
        "prompt": [0],
        "item": ["rock", "scissors", "paper"],
    }
    data = {
        "duality_gap": ((*DIMS, "step"), gap),
        "final_gap": (DIMS, gap[..., -1].copy()),
        "status": (DIMS, np.full(shape, int(Status.FINISHED))),
        "steps": (DIMS, np.full(shape, steps)),
        "failed": (DIMS, np.full(shape, -1)),
        "policy": ((*DIMS, "prompt", "item"), policy),
    }
    return xarray.Dataset(data, coordinates, {"kind": "sweep", "scale": scale, "tol": float("nan")})


def fail(data, measurements=3, **where):
    """The runs at these coordinates ended with a number that is not finite after so many measurements."""
    mask = _at(data, where)
    data["status"] = data["status"].where(~mask, int(Status.NONFINITE))
    later = data["step"] > int(data["step"][measurements - 1])
    data["duality_gap"] = data["duality_gap"].where(~(mask & later))
    data["final_gap"] = data["final_gap"].where(~mask, data["duality_gap"].isel(step=measurements - 1))
    return data


def remove(data, **where):
    """The runs at these coordinates were not made."""
    mask = _at(data, where)
    data["status"] = data["status"].where(~mask, ABSENT)
    for name in ("duality_gap", "final_gap", "policy"):
        data[name] = data[name].where(~mask)
    return data


def _at(data, where):
    mask = xarray.ones_like(data["status"], bool)
    for dim, value in where.items():
        mask = mask & (data[dim] == value)
    assert mask.any()
    return mask

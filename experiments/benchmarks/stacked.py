"""Many equilibria at once against loops of other programs over the same games."""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from equilibria import GAMES, KL_GAP
from peers import STACKED_PEERS
from timing import Timing, side_by_side

import nashpo
from nashpo.exact import certify, kl_equilibria, kl_equilibrium
from nashpo_games import embedded, random_constant_sum

TARGETS = {"hybr": 5.0, "newton": 3.0}
OWN = ("nashpo", "public", "exact", "numpy")


def tables(game: str, n: int, count: int) -> np.ndarray:
    """`count` games of `n` actions, `[count, n, n]`."""
    if game == "uniform":
        made = [random_constant_sum(n, seed=seed) for seed in range(count)]
    else:
        made = [embedded(n, d=8, seed=seed, scale="probability") for seed in range(count)]
    return np.ascontiguousarray(np.concatenate([np.asarray(one.oracle.table()) for one in made]))


def stacked(
    sizes: tuple[int, ...], betas: tuple[float, ...], count: int, repeats: int, budget: float
) -> list[dict[str, Any]]:
    """Times per game of `count` games; nashpo's program is compiled before the clock starts."""
    rows = []
    for beta in betas:
        for game in GAMES:
            for n in sizes:
                P = tables(game, n, count)
                print("stacked", game, beta, n, file=sys.stderr)
                runs = _runs(P, beta)
                runs["nashpo"]()
                times = side_by_side(runs, repeats, budget)
                rows.append(_report(times, P, beta) | {"section": "stacked", "game": game, "n": n, "beta": beta})
    return rows


def _runs(P: np.ndarray, beta: float) -> dict[str, Callable[[], np.ndarray]]:
    """One program for all games, and loops over them."""
    reference = np.full(P.shape[:2], -np.log(P.shape[1]))
    made = nashpo.Game.from_table(P, beta=beta)

    def compiled():
        return np.exp(kl_equilibria(P, reference, beta, tol=KL_GAP, method="compiled").log_policy)

    def loop():
        return np.exp([kl_equilibrium(one, reference[0], beta, tol=KL_GAP).log_policy for one in P])

    runs: dict[str, Callable[[], np.ndarray]] = {
        "nashpo": compiled,
        "public": lambda: nashpo.equilibrium(made, method="compiled", tol=KL_GAP).probs(),
        "exact": lambda: nashpo.equilibrium(made, method="compiled").probs(),
        "numpy": loop,
    }
    for peer in STACKED_PEERS:
        if peer.installed:
            runs[peer.name] = lambda solve=peer.solve: np.stack([solve(one, beta, KL_GAP) for one in P])
    return runs


def _report(times: dict[str, Timing], P: np.ndarray, beta: float) -> dict[str, Any]:
    """Medians per game and ratios to ours; the largest gap, and the share of the games that miss the tolerance."""
    count, ours = len(P), times["nashpo"].seconds
    reference = np.full(P.shape[:2], -np.log(P.shape[1]))
    candidates: dict[str, dict[str, Any]] = {}
    for name, timing in times.items():
        if timing.answer is None:
            candidates[name] = {"note": timing.note}
            continue
        with np.errstate(divide="ignore"):
            gaps = certify(P, 0.5, reference, beta, np.maximum(np.log(timing.answer), -1e9))[0]
        missed = float(np.mean(~(gaps <= KL_GAP)))
        candidates[name] = {
            "seconds": timing.seconds / count, "rounds": timing.rounds, "ratio": timing.seconds / ours,
            "gap": float(np.max(gaps)), "missed": missed, "good": missed == 0.0,
        }  # fmt: skip
    public = candidates["public"]["ratio"]
    met = {
        name: candidates[name]["ratio"] / public >= target
        for name, target in TARGETS.items()
        if "ratio" in candidates[name]
    }
    rivals = {name: c["ratio"] for name, c in candidates.items() if name not in OWN and c.get("good")}
    best = min(rivals, key=lambda name: rivals[name]) if rivals else None
    return {"seconds": ours / count, "candidates": candidates, "best": best, "targets": TARGETS, "targets_met": met}

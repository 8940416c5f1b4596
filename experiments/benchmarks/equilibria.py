"""Exact equilibria against other programs: every answer is checked before its time counts."""

import math
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from peers import KL_PEERS, LOTTERY_PEERS, Peer
from timing import Timing, side_by_side

import nashpo
from nashpo.exact import certify, kl_equilibria, kl_equilibrium, maximal_lottery
from nashpo_games import embedded, random_constant_sum

KL_GAP = 1e-10
LOTTERY_GAP = 1e-12
SAME_POINT = 1e-8
KL_TARGETS = {0.01: {100: 6.0, 300: 8.0, 1000: 7.0}, 0.1: {100: 2.5, 300: 2.5, 1000: 2.5}}
GAMBIT_TARGETS = {10: 40.0, 30: 200.0, 100: 1500.0}
LOTTERY_TARGETS = {"uniform": {1000: 6.0, 3000: 7.0}, "embedded": {1000: 6.0, 3000: 15.0}}
OWN = ("nashpo", "point", "public", "compiled", "c point")
COMPILED_TO = 300
"""The largest table for which the compiled program is timed."""
GAMES = ("uniform", "embedded")


def table(game: str, n: int) -> np.ndarray:
    """Uniform random win probabilities, or those of random embeddings in 8 dimensions."""
    made = random_constant_sum(n, seed=1) if game == "uniform" else embedded(n, d=8, seed=1, scale="probability")
    return np.ascontiguousarray(made.oracle.table()[0])


def kl(sizes: tuple[int, ...], betas: tuple[float, ...], repeats: int, budget: float) -> list[dict[str, Any]]:
    """`beta > 0`: the array function to a gap of 1e-10, and the public call to the rounding floor."""
    race = _Race(KL_PEERS, budget)
    rows = []
    compilation = {n: _first_call(n) for n in sizes if n <= COMPILED_TO}
    for beta in betas:
        for game in GAMES:
            for n in sizes:
                P = table(game, n)
                made = nashpo.Game.from_table(P, beta=beta)
                exact = nashpo.equilibrium(made).probs()[0]
                reference = np.full(n, -math.log(n))
                same = SAME_POINT**2 * beta
                own: dict[str, Callable[[], np.ndarray]] = {
                    "nashpo": lambda P=P, r=reference, b=beta: np.exp(kl_equilibrium(P, r, b, tol=KL_GAP).log_policy),
                    "point": lambda P=P, r=reference, b=beta, t=same: np.exp(kl_equilibrium(P, r, b, tol=t).log_policy),
                    "public": lambda made=made: nashpo.equilibrium(made).probs()[0],
                }
                if n <= COMPILED_TO:
                    own |= {"compiled": _compiled(P, beta, KL_GAP), "c point": _compiled(P, beta, same)}
                times = race.run(own, (game, beta), n, P, (beta, KL_GAP), repeats)
                row = {"section": "kl", "game": game, "n": n, "beta": beta, "compilation": compilation.get(n)}
                row |= _report(times, P, beta, KL_GAP, exact, KL_TARGETS.get(beta, {}).get(n))
                rows.append(row | _against_gambit(row))
    return rows


def _compiled(P: np.ndarray, beta: float, tol: float) -> Callable[[], np.ndarray]:
    """The compiled program on one table."""
    reference = np.full((1, len(P)), -math.log(len(P)))
    return lambda: np.exp(kl_equilibria(P[None], reference, beta, tol=tol, method="compiled").log_policy[0])


def _first_call(n: int) -> float:
    """How long the compiled program takes the first time that it sees a size."""
    run = _compiled(table("uniform", n), 1.0, KL_GAP)
    begin = time.perf_counter()
    run()
    return time.perf_counter() - begin


def _against_gambit(row: dict[str, Any]) -> dict[str, Any]:
    """Whether pygambit's targets are met, and what meets the others by the compiled program."""
    seconds = {name: c["seconds"] for name, c in row["candidates"].items() if "seconds" in c}
    found: dict[str, Any] = {}
    if "compiled" in seconds and row.get("target") and row["best"]:
        ratio = seconds[row["best"]] / seconds["compiled"]
        found |= {"compiled_ratio": ratio, "compiled_met": ratio >= row["target"]}
    target = GAMBIT_TARGETS.get(row["n"]) if row["beta"] == 0.01 else None
    if target and "gambit" in seconds:
        found |= {"gambit_target": target, "gambit_met": seconds["gambit"] / seconds["point"] >= target}
        if "c point" in seconds:
            ratio = seconds["gambit"] / seconds["c point"]
            found |= {"gambit_compiled_ratio": ratio, "gambit_compiled_met": ratio >= target}
    return found


def lottery(sizes: tuple[int, ...], repeats: int, budget: float) -> list[dict[str, Any]]:
    """`beta = 0`, to 1e-12: any equilibrium, and the public call, which gives the one of largest entropy.

    Embedded games are score games here: of rank 8, they have equilibria of at most 9 responses among many others.
    """
    race = _Race(LOTTERY_PEERS, budget)
    rows = []
    for game in GAMES:
        for n in sizes:
            if game == "uniform":
                S = table(game, n) - 0.5
            else:
                S = np.ascontiguousarray(embedded(n, d=8, seed=1, scale="score").oracle.table()[0])
            made = nashpo.Game.from_table(S, scale="score")
            own: dict[str, Callable[[], np.ndarray]] = {
                "nashpo": lambda S=S: np.exp(maximal_lottery(S, entropy=False).log_policy),
                "public": lambda made=made: nashpo.equilibrium(made).probs()[0],
            }
            times = race.run(own, (game, 0.0), n, S, (), repeats)
            row = {"section": "lottery", "game": game, "n": n, "beta": 0.0}
            target = LOTTERY_TARGETS[game].get(n)
            rows.append(row | _report(times, S, 0.0, LOTTERY_GAP, times["nashpo"].answer, target))
    return rows


class _Race:
    """Peers on tables of growing size; one that would take too long on the next size is left out."""

    def __init__(self, peers: tuple[Peer, ...], budget: float) -> None:
        self.peers, self.budget = peers, budget
        self.seen: dict[tuple, tuple[int, float]] = {}
        self.warm: set[str] = set()

    def run(self, own: dict[str, Callable], kind: tuple, n: int, P: np.ndarray, extra: tuple, repeats: int):
        runs, absent = dict(own), {}
        for peer in self.peers:
            reason = self._reason_to_skip(peer, kind, n)
            if reason:
                absent[peer.name] = Timing(note=reason)
            else:
                self._compile(peer, extra)
                runs[peer.name] = partial(peer.solve, peer.prepare(P), *extra)
        print(*kind, n, file=sys.stderr)
        times = side_by_side(runs, repeats, self.budget)
        for name, timing in times.items():
            if timing.rounds:
                self.seen[(name, *kind)] = (n, timing.seconds)
        return times | absent

    def _reason_to_skip(self, peer: Peer, kind: tuple, n: int) -> str:
        if not peer.installed:
            return "not installed"
        if n > peer.largest:
            return "too large"
        before, seconds = self.seen.get((peer.name, *kind), (n, 0.0))
        return "too slow" if seconds * (n / before) ** 2 > 6 * self.budget else ""

    def _compile(self, peer: Peer, extra: tuple) -> None:
        """Imports and just-in-time compilation are not timed."""
        if peer.name not in self.warm:
            self.warm.add(peer.name)
            try:
                peer.solve(peer.prepare(table("uniform", 5) - (0.0 if extra else 0.5)), *extra)
            except Exception:  # it will be reported where it is timed
                return


def _report(
    times: dict[str, Timing], P: np.ndarray, beta: float, wanted: float, exact: np.ndarray, target: float | None
) -> dict[str, Any]:
    """Medians, ratios to ours, and how good each answer is; only answers that are good enough compete."""
    ours = times["nashpo"].seconds
    candidates: dict[str, dict[str, Any]] = {}
    for name, timing in times.items():
        if timing.answer is None:
            candidates[name] = {"note": timing.note}
            continue
        p = np.maximum(np.asarray(timing.answer, float), 0.0)
        with np.errstate(divide="ignore"):
            log_policy = np.maximum(np.log(p / p.sum()), -1e9)
        gap = certify(P, 0.5 if beta else 0.0, np.full(len(p), -math.log(len(p))), beta, log_policy)[0]
        candidates[name] = {
            "seconds": timing.seconds, "rounds": timing.rounds, "ratio": timing.seconds / ours,
            "gap": gap, "distance": float(np.max(np.abs(p - exact))), "good": bool(gap <= wanted),
        }  # fmt: skip
    if not candidates["nashpo"]["good"]:
        raise ArithmeticError(
            f"nashpo's own answer has gap {candidates['nashpo']['gap']:.1e}, {wanted:g} was asked for."
        )
    for name, candidate in candidates.items():
        if name.startswith("gambit") and "gap" in candidate:
            candidate["good"] = candidate["distance"] <= SAME_POINT
            candidate["ratio"] = candidate["seconds"] / times["point"].seconds
    rivals = [name for name in candidates if name not in OWN and not name.startswith("gambit")]
    good = {name: candidates[name]["ratio"] for name in rivals if candidates[name].get("good")}
    best = min(good, key=lambda name: good[name]) if good else None
    report: dict[str, Any] = {"seconds": ours, "candidates": candidates, "best": best}
    if best is not None:
        report["ratio"] = good[best]
        if target is not None:
            report |= {"target": target, "met": good[best] >= target}
    return report

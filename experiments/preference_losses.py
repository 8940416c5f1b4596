"""The preference losses of the field as baselines in one table: where each of them ends, on a ranking and on cycles.

Seven responses, a uniform reference, win probabilities `(1 - dial) sigmoid(r_i - r_j) + dial C` with C a 0/1
tournament of cycles: a Bradley-Terry game at dial 0 and, at dial 1/2, one in which rewards still count but no ranking
holds. Every loss learns a table of logits by Adam from sampled comparisons: offline, on pairs of the reference (of
the optimal policy of a reward for RSO), or online, on pairs of the policy itself. Step sizes are `1 / beta` for
losses on win rates and `1 / (4 beta)` for losses on log-odds, which near indifference is the same step. The duality
gap is exact. To be expected:

* where the minimiser of a loss is known in closed form, sampling ends there, up to its noise;
* on the Bradley-Terry game all losses agree in direction: they beat the reference and come close to equilibrium;
* with cycles one offline fit answers the reference alone: its gap is that of a best response, and online methods with
  the penalty of the game go on to the equilibrium;
* of 20% flipped labels rDPO recovers what DPO learns from clean ones, and smoothing (cDPO) does not.

python experiments/preference_losses.py [--smoke]
"""

import csv
import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import nashpo
from nashpo.learners import FromReference, Listed, Rejection, Sampled
from nashpo.learners.bradley_terry import fit_reward
from nashpo.learners.losses import CDPO, DPO, IPO, RDPO, RPO, VPO, HingeNorm, HyPO, Pointwise, SigmoidNorm, SquaredGains
from nashpo.learners.losses import GPO as OnScores
from nashpo.oracles import Noisy
from nashpo.plots.style import colour
from nashpo.reproduction import Finding, command, results_folder
from nashpo.solvers import EGPO, GPO, INPO, SPPO, IterativeDPO, Offline
from nashpo_games import transitive_plus_cyclic

jax.config.update("jax_enable_x64", True)

RESPONSES, BETA, FLIP, PAIRS, RATE = 7, 0.05, 0.2, 256, 0.05
STEPS, UPDATES = 3000, 20
GAMES = {"Bradley-Terry": 0.0, "half cyclic": 0.5}
WIN, ODDS = 1 / BETA, 1 / (4 * BETA)
FIT = jax.jit(fit_reward)
ON_SCORES = Offline(ODDS, "bradley_terry")


@dataclasses.dataclass(frozen=True)
class Method:
    """A rule, the loss that learns it, and the log-ratio to the reference that it should end at, if that is known."""

    rule: Any
    loss: Any
    ends: Callable[[np.ndarray], np.ndarray] | None = None
    flip: float = 0.0
    sampler: Any = None
    offline: bool = True


def reward(table: np.ndarray, law: np.ndarray | None = None) -> np.ndarray:
    """The Bradley-Terry reward `[A]` of a table under a law of pairs, uniform if None."""
    law = np.full(len(table), 1 / len(table)) if law is None else law
    return np.asarray(FIT(jnp.asarray(table)[None], jnp.asarray(law)[None]))[0]


def optimal(table: np.ndarray) -> np.ndarray:
    """What RSO samples from: the optimal policy of the reward, at the temperature of the losses."""
    odds = np.exp(ODDS / 5 * reward(table))
    return odds / odds.sum()


def methods(table: np.ndarray) -> dict[str, Method]:
    """The baselines, in the order of the picture."""

    def fitted(table: np.ndarray) -> np.ndarray:
        return ODDS * reward(table)

    def flipped(table: np.ndarray) -> np.ndarray:
        return (1 - 2 * FLIP) * table + FLIP

    accepted = Rejection(reward(table)[None], 5 / ODDS, proposals=128)
    half = SPPO(1.0, baseline="half")
    return {
        "IPO": Method(Offline(WIN), IPO(), lambda P: WIN * P.mean(1)),
        "DPO": Method(ON_SCORES, DPO(), fitted),
        "DPO, flipped labels": Method(ON_SCORES, DPO(), lambda P: fitted(flipped(P)), FLIP),
        "cDPO, flipped labels": Method(ON_SCORES, CDPO(FLIP), lambda P: fitted(flipped(flipped(P))), FLIP),
        "rDPO, flipped labels": Method(ON_SCORES, RDPO(FLIP), fitted, FLIP),
        "RPO": Method(ON_SCORES, RPO(0.02)),
        "VPO, pessimistic": Method(ON_SCORES, VPO(0.1, sign=-1.0)),
        "HyPO": Method(ON_SCORES, HyPO(0.02)),
        "RSO, sigmoid": Method(ON_SCORES, SigmoidNorm(), lambda P: ODDS * reward(P, optimal(P)), sampler=accepted),
        "RSO, hinge": Method(ON_SCORES, HingeNorm(), sampler=accepted),
        "iterative DPO": Method(IterativeDPO(0.1), DPO(), offline=False),
        "VPO, optimistic": Method(IterativeDPO(0.1), VPO(0.02, calibration=FromReference()), offline=False),
        "SPPO": Method(half, Pointwise(), offline=False),
        "GPO": Method(GPO(0.25), OnScores(), offline=False),
        "INPO": Method(INPO(1.0), SquaredGains(), offline=False),
        "EGPO": Method(EGPO(1.0), SquaredGains(), offline=False),
    }


def game_of(dial: float) -> nashpo.Game:
    """The game without noise."""
    table = transitive_plus_cyclic(RESPONSES, dial=dial).oracle.table()[0]
    return nashpo.Game.from_table(table, beta=BETA)


@functools.cache
def decaying(steps: int) -> Any:
    """The learning rate at every gradient step; one function for all runs, which then share their programs."""
    return optax.cosine_decay_schedule(RATE, steps, alpha=0.01)


def learned(method: Method, game: nashpo.Game, smoke: bool) -> np.ndarray:
    """The probabilities `[A]` that a method ends at."""
    steps = 50 if smoke else STEPS
    oracle: Any = Noisy(game.oracle, votes=1, flip=method.flip, corrected=False) if method.flip else game.oracle
    fuzzy = nashpo.Game.from_oracle(oracle, beta=BETA)
    partial = method.loss.reads == "labels" and not method.offline
    updates = UPDATES if partial else 1
    schedule = RATE / 5 if partial else decaying(steps)
    learner = Sampled(
        schedule, loss=method.loss, sampler=method.sampler, gains=Listed(), prompts=PAIRS, responses=2, updates=updates
    )
    count = max(steps // (10 * updates), 5) if partial else steps
    run = nashpo.solve(fuzzy, method.rule, learner=learner, steps=count, every=count, key=0).check()
    return np.asarray(run.policy.probs())[0]


def measures(method: Method, game: nashpo.Game, probs: np.ndarray) -> dict[str, float]:
    """The gaps, the win rate against the reference, the distance to equilibrium and to the closed form."""
    table = np.asarray(game.oracle.table())[0]
    policy = nashpo.policies.Tabular.from_probs(probs)
    solution = nashpo.equilibrium(game).probs()[0]
    found = {
        "gap": float(nashpo.duality_gap(game, policy)),
        "gap, beta = 0": float(nashpo.duality_gap(dataclasses.replace(game, beta=0.0), policy)),
        "beats the reference": float(probs @ table.mean(1)),
        "from equilibrium": 0.5 * float(np.abs(probs - solution).sum()),
        "from its closed form": np.nan,
    }
    if method.ends is not None:
        closed = np.exp(method.ends(table) - method.ends(table).max())
        found["from its closed form"] = 0.5 * float(np.abs(probs - closed / closed.sum()).sum())
    return found


def draw(rows: dict[tuple[str, str], dict[str, float]], names: list[str], path: Path) -> None:
    """The gap of every method on both games, beside the reference's."""
    figure, axes = plt.subplots(1, len(GAMES), figsize=(13.0, 6.0), sharey=True, layout="constrained")
    places = np.arange(len(names))
    for index, (axis, game) in enumerate(zip(axes, GAMES, strict=True)):
        gaps = [max(rows[game, name]["gap"], 1e-9) for name in names]
        axis.barh(places, gaps, color=colour(index), height=0.7)
        axis.axvline(rows[game, "reference"]["gap"], color="#555555", linestyle="--", linewidth=1.0)
        axis.set_xscale("log")
        axis.set_title(f"{game}: dashed, the reference", fontsize="medium")
        axis.set_xlabel(f"duality gap at beta = {BETA} [win probability]")
        axis.grid(True, axis="x", alpha=0.3)
    axes[0].set_yticks(places, names)
    axes[0].invert_yaxis()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def findings(rows: dict[tuple[str, str], dict[str, float]], offline: list[str]) -> list[Finding]:
    """What is claimed beside what was measured."""
    ranked, cyclic = GAMES

    def worst(game: str, column: str, names: list[str], pick: Callable = max) -> tuple[float, str]:
        return pick((rows[game, name][column], name) for name in names)

    online = ["INPO", "EGPO"]
    closed = [(rows[key]["from its closed form"], key) for key in rows if rows[key]["from its closed form"] >= 0]
    least = worst(ranked, "beats the reference", [name for game, name in rows if game == ranked][1:], min)
    clean, flips = ["DPO"], [f"{name}, flipped labels" for name in ("rDPO", "DPO", "cDPO")]
    gap_reference = rows[cyclic, "reference"]["gap"]
    best_offline, best_online = worst(cyclic, "gap", offline, min), worst(cyclic, "gap", online)
    robust, plain, smooth = (rows[ranked, name]["from clean DPO"] for name in flips)
    return [
        Finding(
            "losses with a minimiser in closed form end there, both games, largest total variation",
            "derived: the stationary points of the expected losses", "<= 0.05",
            f"{max(closed)[0]:.3f}, {' '.join(max(closed)[1])}",
            max(closed)[0] <= 0.05,
        ),
        Finding(
            "Bradley-Terry preferences: every method beats the reference",
            "derived: one ranking is right for all", "win rate > 0.6", f"least {least[0]:.3f}, {least[1]}",
            least[0] > 0.6,
        ),
        Finding(
            "Bradley-Terry preferences: gap of offline DPO over the reference's",
            "derived: what is best against the reference is best against most", "below 0.05",
            rows[ranked, clean[0]]["gap"] / rows[ranked, "reference"]["gap"],
            rows[ranked, clean[0]]["gap"] < 0.05 * rows[ranked, "reference"]["gap"],
        ),
        Finding(
            "cycles: the best of the offline losses over the worse of INPO and EGPO, duality gaps",
            "derived: one best response is no equilibrium", "above 20",
            f"{best_offline[0]:.3g} ({best_offline[1]}) over {best_online[0]:.3g} ({best_online[1]})",
            best_offline[0] > 20 * best_online[0],
        ),
        Finding(
            "cycles: the gap of offline IPO, with the step that is a best response, over the reference's",
            "derived: a best response may be worse than the reference", "above 1",
            rows[cyclic, "IPO"]["gap"] / gap_reference,
            rows[cyclic, "IPO"]["gap"] > gap_reference,
        ),
        Finding(
            "20% flipped labels: rDPO comes nearer to DPO of clean labels than DPO, and DPO nearer than cDPO",
            "rDPO arXiv:2403.00409, section 3; that smoothing helps fails", "rDPO < DPO < cDPO, total variation",
            f"{robust:.3f}, {plain:.3f}, {smooth:.3f}", robust < plain < smooth,
        ),
    ]  # fmt: skip


def main(smoke: bool = False) -> list[Finding]:
    """Run, save, compare."""
    folder = results_folder(__file__, smoke)
    rows: dict[tuple[str, str], dict[str, float]] = {}
    names: list[str] = []
    for name_of_game, dial in GAMES.items():
        game = game_of(dial)
        table = np.asarray(game.oracle.table())[0]
        every = methods(table)
        names = list(every)
        rows[name_of_game, "reference"] = measures(every["HyPO"], game, np.full(RESPONSES, 1 / RESPONSES))
        ends = {name: learned(method, game, smoke) for name, method in every.items()}
        for name, method in every.items():
            away = 0.5 * float(np.abs(ends[name] - ends["DPO"]).sum())
            rows[name_of_game, name] = measures(method, game, ends[name]) | {"from clean DPO": away}
    with open(folder / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        columns = list(rows[next(iter(GAMES)), "DPO"])
        writer.writerow(["game", "method", *columns])
        writer.writerows([*key, *(found.get(column, "") for column in columns)] for key, found in rows.items())
    draw(rows, names, folder / "preference_losses.png")
    offline = [name for name, method in methods(np.full((RESPONSES, RESPONSES), 0.5)).items() if method.offline]
    return findings(rows, offline)


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

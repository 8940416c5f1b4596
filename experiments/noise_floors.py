"""Where the gap levels off when every win rate comes from votes: as 1 / votes, and as the step size.

Each time an algorithm asks, every pair is voted on afresh (`nashpo.oracles.Noisy`); the gap is that of the true game.
Zhou, Fazel, Du (2025, arXiv:2503.08942) say of EGPO that it is robust to noise. To be expected:

* The gap of a constant step falls to a floor, in proportion to 1 / votes, and for small steps to eta. Linearised at
  the equilibrium, the errors of the log-policy have a covariance that solves a Lyapunov equation; from it comes the
  floor of each game, step and number of votes in absolute numbers (`linearisation.predicted_floor`).
* EGPO's mean KL to the equilibrium is at most `(1 - eta beta)^t` of the start's and
  `eta E max_y |xi_half - xi|^2 / (2 beta (1 - eta/2))`, proven for `eta <= 1 / (beta + 1/2)`; far from tight.
* It is a small step that makes a method robust, not the look ahead: far below its limit INPO has EGPO's floor. Close to
  its limit INPO's errors hardly decay and its floor is many times EGPO's, as it would be without any cycling.
* Nash-MD with a fixed mixture ends at its own bias, however many votes there are; with the paper's mixture and its
  decaying step 2 / (beta (t + 2)) there is no floor: the gap falls as 1 / t.
"""

import warnings
from typing import Any

import matplotlib

matplotlib.use("agg")

import jax
import matplotlib.pyplot as plt
import numpy as np
from linearisation import frequency, inpo_limit, predicted_floor
from matplotlib.figure import Figure

import nashpo
from nashpo.logspace import kl
from nashpo.metrics import KLFrom
from nashpo.oracles import Noisy
from nashpo.plots.style import colour, ink
from nashpo.reproduction import Finding, command, results_folder
from nashpo.solvers import EGPO, INPO, NashMD
from nashpo.stage import Harmonic
from nashpo_games import random_constant_sum

jax.config.update("jax_enable_x64", True)

RESPONSES, GAME_SEED, BETA = 6, 6, 0.05
SEEDS = 8
VOTES = np.array([1, 2, 4, 8, 16, 32])
ETA = 0.3
"""The step at which the votes are varied."""
FRACTIONS = np.array([0.06, 0.12, 0.25, 0.5, 0.7, 0.9])
"""Steps, as parts of INPO's limit, with the largest number of votes."""
DECAY_VOTES, DECAY_SEEDS = 8, 64
"""For the decaying step, whose errors forget their past only as t doubles: few votes and many seeds."""
MIX = 0.125
"""Weight of the reference in Nash-MD's opponent, as in published language-model runs."""
STEPS, EVERY = 6_000, 20
SMALL = 0.03
"""The predicted floor of KL, in nats, up to which the linearisation is held to."""


def exact_game() -> nashpo.Game:
    """The true game: every response is played at its equilibrium."""
    return random_constant_sum(RESPONSES, seed=GAME_SEED, beta=BETA)


def run(votes: int, rules: dict, smoke: bool, seeds: int = SEEDS) -> nashpo.Sweep:
    """Every rule with every seed, seeing the game through votes."""
    game = exact_game()
    metrics: dict[str, Any] = {"distance": KLFrom(nashpo.equilibrium(game).policy)}
    noisy = nashpo.Game.from_oracle(Noisy(game.oracle, votes=votes), BETA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nashpo.StepSizeWarning)
        return nashpo.sweep(noisy, rules, steps=60 if smoke else STEPS, every=EVERY, seeds=seeds, metrics=metrics)


def floors(sweep: nashpo.Sweep, solver: str) -> np.ndarray:
    """The mean gap over seeds and the second half of the steps, `[etas of this solver]`."""
    gaps = sweep.data["duality_gap"].sel(solver=solver).isel(game=0, beta=0)
    tail = gaps.isel(step=slice(gaps.sizes["step"] // 2, None)).mean(("step", "seed")).values
    return tail[np.isfinite(tail)]


def slope(x: np.ndarray, y: np.ndarray) -> float:
    """The exponent of a power law."""
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def vote_findings(sweeps: dict[int, nashpo.Sweep]) -> list[Finding]:
    """The scaling in votes at one step."""
    found = []
    for name in ("EGPO", "INPO"):
        values = np.array([floors(sweep, name)[0] for sweep in sweeps.values()])
        exponent = slope(VOTES[2:], values[2:])
        found.append(
            Finding(
                f"{name}, eta {ETA:g}: exponent of the floor in the number of votes, from {VOTES[2]} on",
                "derived: the gap is quadratic in errors of variance 1 / votes", "-1, within 0.05",
                f"{exponent:.3f}", abs(exponent + 1) <= 0.05,
            )
        )  # fmt: skip
    return [*found, bias_finding(sweeps)]


def bias_finding(sweeps: dict[int, nashpo.Sweep]) -> Finding:
    """Nash-MD's floor, a straight line in 1 / votes, against the gap that it ends with when nothing is noisy."""
    biased = np.array([floors(sweep, "Nash-MD, mix 1/8")[0] for sweep in sweeps.values()])
    reached = nashpo.solve(exact_game(), NashMD(ETA, mix=MIX), steps=4_000, every=4_000).trace["duality_gap"][-1]
    ratio = float(np.polyfit(1 / VOTES[2:], biased[2:], 1)[1] / reached)
    return Finding(
        f"Nash-MD, mixture {MIX:g}: the floor extrapolated to infinitely many votes over the gap without noise",
        "derived: the limit is the best response to a mixture, not the equilibrium", "1, within 20%",
        ratio, abs(ratio - 1) <= 0.2,
    )  # fmt: skip


def decay_finding(sweep: nashpo.Sweep) -> Finding:
    """Nash-MD with a decaying step has no floor."""
    mean, step = sweep.data["duality_gap"].squeeze().mean("seed").values, sweep.data["step"].values
    late = step >= 300
    exponent = slope(step[late], mean[late]) if late.sum() > 2 else np.nan
    return Finding(
        f"Nash-MD with a decaying step, {DECAY_VOTES} votes: exponent of the gap in t",
        "Nash-MD arXiv:2312.00886, theorem 1: KL <= 8 / (beta^2 (T + 1)) with exact win rates", "-1, within 0.15",
        f"{exponent:.3f}", abs(exponent + 1) <= 0.15,
    )  # fmt: skip


def bound_finding(sweeps: dict[int, nashpo.Sweep]) -> Finding:
    """EGPO's proven floor of KL; `E max |difference|^2` is at most twice the largest column sum of variances."""
    table = np.asarray(exact_game().oracle.table())[0]
    largest = 2 * (table * (1 - table) * (1 - np.eye(RESPONSES))).sum(axis=0).max()
    start = float(kl(np.log(nashpo.equilibrium(exact_game()).probs()), exact_game().reference.log_probs())[0])
    worst, close = 0.0, np.inf
    for votes, sweep in sweeps.items():
        measured = sweep.data["distance"].sel(solver="EGPO").isel(game=0, beta=0).mean("seed").max("eta").values
        floor = ETA * largest / votes / (2 * BETA * (1 - ETA / 2))
        bound = (1 - ETA * BETA) ** sweep.data["step"].values * start + floor
        worst = max(worst, float((measured / bound).max()))
        close = min(close, float(floor / measured[len(measured) // 2 :].mean()))
    return Finding(
        "EGPO's mean KL to the equilibrium is at most (1 - eta beta)^t KL(start) + eta E|.|^2 / (2 beta (1 - eta/2))",
        "derived: proven for eta <= 1 / (beta + 1/2)", "worst ratio <= 1",
        f"{worst:.3f}; at the end the bound is {close:.0f} times the floor or more", worst <= 1, exact=True,
    )  # fmt: skip


def step_findings(sweep: nashpo.Sweep, limit: float) -> list[Finding]:
    """The scaling in eta, and EGPO beside INPO."""
    etas, egpo, inpo = FRACTIONS * limit, floors(sweep, "EGPO"), floors(sweep, "INPO")
    exponent = slope(etas[:3], egpo[:3])
    formula = predicted_scaling(limit)[0]
    expected = slope(etas[:3], formula[:3])
    return [
        Finding(
            f"EGPO, {VOTES[-1]} votes: exponent of the floor in eta, up to eta = {etas[2]:.2f}",
            "derived: Lyapunov equation; 1 as eta goes to 0", f"{expected:.2f}, within 0.1", f"{exponent:.2f}",
            abs(exponent - expected) <= 0.1,
        ),
        Finding(
            f"INPO's floor over EGPO's at {FRACTIONS[0]:g} of INPO's limit: a small step is robust, look ahead or not",
            "derived: Lyapunov equation", "0.8 to 1.3", float(inpo[0] / egpo[0]), 0.8 <= inpo[0] / egpo[0] <= 1.3,
        ),
        Finding(
            f"INPO's floor over EGPO's at {FRACTIONS[-1]:g} of INPO's limit",
            "derived: INPO's errors decay by 1 - eta/limit more slowly", "more than 5", float(inpo[-1] / egpo[-1]),
            inpo[-1] / egpo[-1] > 5,
        ),
    ]  # fmt: skip


def predicted_scaling(limit: float) -> np.ndarray:
    """The predicted floors `[EGPO and INPO, etas]`."""
    game = exact_game()
    return np.array(
        [[predicted_floor(game, f * limit, VOTES[-1], ahead) for f in FRACTIONS] for ahead in (True, False)]
    )


def prediction_finding(sweeps: dict[int, nashpo.Sweep], scaled: nashpo.Sweep, limit: float) -> Finding:
    """Every measured floor against the Lyapunov equation."""
    pairs = []
    for ahead, name in ((True, "EGPO"), (False, "INPO")):
        for votes, sweep in sweeps.items():
            pairs.append((predicted_floor(exact_game(), ETA, votes, ahead), floors(sweep, name)[0]))
        pairs += list(zip(predicted_scaling(limit)[0 if ahead else 1], floors(scaled, name), strict=True))
    expected, measured = np.array(pairs).T
    small = expected <= 2 * BETA * SMALL
    worst = float(np.abs(measured[small] / expected[small] - 1).max())
    return Finding(
        f"floors in absolute numbers, {small.sum()} of EGPO and INPO where KL is below {SMALL:g} nats",
        "derived: covariance from a discrete Lyapunov equation", "within 15%", f"worst {worst:.1%} off", worst <= 0.15,
    )  # fmt: skip


def draw(sweeps: dict[int, nashpo.Sweep], scaled: nashpo.Sweep, decaying: nashpo.Sweep, limit: float) -> Figure:
    """Curves, floors against votes, floors against eta; lines are predictions."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(17.0, 5.0), layout="constrained")
    nashpo.plots.gap(sweeps[DECAY_VOTES], ax=left)
    mean = decaying.data["duality_gap"].squeeze().mean("seed")
    left.plot(mean["step"], mean, color=ink(), linewidth=1.2, label="Nash-MD, decaying step")
    left.legend(frameon=False, fontsize="small")
    left.set_title(f"{DECAY_VOTES} votes", fontsize="medium")
    game, many = exact_game(), np.geomspace(VOTES[0], VOTES[-1], 30)
    for index, (name, ahead) in enumerate((("EGPO", True), ("INPO", False))):
        style = {"color": colour(index), "linewidth": 1.0}
        middle.plot(many, [predicted_floor(game, ETA, v, ahead) for v in many], **style)
        middle.plot(VOTES, [floors(s, name)[0] for s in sweeps.values()], "os"[index], color=colour(index), label=name)
        right.plot(FRACTIONS * limit, predicted_scaling(limit)[index], **style)
        right.plot(FRACTIONS * limit, floors(scaled, name), "os"[index], color=colour(index), label=name)
    biased = [floors(s, "Nash-MD, mix 1/8")[0] for s in sweeps.values()]
    middle.plot(VOTES, biased, "^:", color=colour(2), label="Nash-MD, mix 1/8")
    right.axvline(limit, color="#888888", linewidth=1.0, linestyle="--", label="INPO's limit")
    for ax, name, title, ticks in (
        (middle, "votes", f"eta = {ETA:g}", VOTES),
        (right, "eta", f"{VOTES[-1]} votes", FRACTIONS * limit),
    ):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.set_xticks(ticks, [f"{tick:.2g}" for tick in ticks])
        ax.minorticks_off()
        ax.set_xlabel(name)
        ax.set_ylabel("mean duality gap at the floor [win probability]")
        ax.set_title(f"{title}; lines: predicted", fontsize="medium")
        ax.grid(True, alpha=0.3)
        ax.legend(frameon=False)
    return figure


def main(smoke: bool = False) -> list[Finding]:
    """Run, save, compare."""
    folder = results_folder(__file__, smoke)
    limit = inpo_limit(BETA, frequency(exact_game()))
    rules = {
        "EGPO": EGPO(ETA),
        "INPO": INPO(ETA),
        "Nash-MD, mix 1/8": NashMD(ETA, mix=MIX),
    }
    sweeps = {int(votes): run(int(votes), rules, smoke) for votes in VOTES}
    etas = FRACTIONS * limit
    scaled = run(int(VOTES[-1]), {"EGPO": EGPO(etas), "INPO": INPO(etas)}, smoke)
    decaying = run(DECAY_VOTES, {"Nash-MD, decaying": NashMD(Harmonic())}, smoke, DECAY_SEEDS)
    decaying.save(folder / "decaying.nc")
    for votes, sweep in sweeps.items():
        sweep.save(folder / f"votes_{votes}.nc")
    scaled.save(folder / "steps.nc")
    figure = draw(sweeps, scaled, decaying, limit)
    figure.savefig(folder / "floors.png", dpi=110)
    plt.close(figure)
    return [
        bound_finding(sweeps),
        prediction_finding(sweeps, scaled, limit),
        *vote_findings(sweeps),
        decay_finding(decaying),
        *step_findings(scaled, limit),
    ]


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

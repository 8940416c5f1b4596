"""One rule on three policy classes: a table, a network over listed answers, a transformer over tokens.

EGPO (Zhou, Fazel, Du 2025, arXiv:2503.08942) and INPO (Zhang et al. 2024, arXiv:2407.00617), at one step size, on a
token game of two prompts and 13 answers whose most frequent tokens play rock-paper-scissors. A stage of a rule is

* computed, for a table (`Exact`);
* fitted on all answers, for the networks (`Regression`): no sampling error, but 16 steps of Adam;
* fitted on 64 sampled answers a prompt, whose win rates are means over 256 sampled rivals (`Sampled`).

Every run begins at a policy drawn at random, and its gap is the exact one. To be expected:

* on the table EGPO's `KL(equilibrium || policy)` falls at least by the factor 1 - eta beta in every step, while INPO
  circles, because the step is above its local limit `2 beta / (beta^2 + w^2)`, w the frequency of the rotation;
* both hold for every class: what a rule does depends on the rule, not on what represents the policy;
* fitted on all answers, EGPO reaches the equilibrium; from samples it stays at a floor, which is about inversely
  proportional to the number of rivals and nearly gone where win rates are exact, although the answers are still
  sampled. The learning rate falls to zero; floors are means over steps 40 to 80 of 100, before that averages the noise.

python experiments/policy_classes.py [--smoke]
"""

from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("agg")

import jax
import numpy as np
import optax
from flax import nnx
from matplotlib.figure import Figure

import nashpo
from nashpo.learners import Fresh, Listed, Regression, Sampled
from nashpo.logspace import kl
from nashpo.metrics import probs
from nashpo.plots.style import colour, dash
from nashpo.policies import Neural, Token, Transformer
from nashpo.preferences import Perceptron
from nashpo.reproduction import Finding, command, results_folder
from nashpo.solvers import EGPO, INPO
from nashpo_games import token_majority

jax.config.update("jax_enable_x64", True)

BETA, ETA = 0.05, 1.8
RULES = {"EGPO": EGPO(ETA), "INPO": INPO(ETA)}
CLASSES = ("table", "network, all answers", "transformer, all answers", "network, samples", "transformer, samples")
RIVALS = (64, 256, 1024)
CONTEXTS = np.eye(2, dtype=np.float32)


def the_game() -> nashpo.Game:
    """Two prompts, answers of up to two of three tokens and an end."""
    return token_majority(length=2, prompts=2, gain=6.0, brevity=1.0, beta=BETA)


def limit(game: nashpo.Game) -> float:
    """The largest step with which INPO is locally stable for the prompt that rotates most."""
    pi, table = nashpo.equilibrium(game).probs(), np.asarray(game.oracle.table()) - 0.5
    root = np.sqrt(pi)
    turns = [np.abs(np.linalg.eigvals(r[:, None] * t * r)).max() for r, t in zip(root, table, strict=True)]
    return 2 * BETA / (BETA**2 + max(turns) ** 2)


def network(seed: int) -> Neural:
    """A perceptron from prompts to the logits of 13 answers."""
    return Neural.from_module(Perceptron(2, the_game().shape[1], hidden=(32, 32), rngs=nnx.Rngs(seed)), CONTEXTS)


def transformer(seed: int) -> Token:
    """A decoder of one layer."""
    oracle: Any = the_game().oracle
    sizes = {"width": 16, "heads": 2, "layers": 1, "scale": 1.0}
    decoder = Transformer(oracle.answers, features=2, rngs=nnx.Rngs(seed), **sizes)
    return Token.from_module(decoder, CONTEXTS, oracle.answers)


def learner(name: str, steps: int, gains: Any = None, updates: int = 16) -> Any:
    """What fits a class; the rate falls to zero, the optimizer's steps in look-aheads do not count."""
    if name == "table":
        return None
    rate = optax.cosine_decay_schedule(1e-2, steps * updates)
    if name.endswith("all answers"):
        return Regression(rate, optimizer=optax.adam, updates=updates)
    return Sampled(rate, responses=64, gains=gains or Fresh(256), updates=updates)


def run(rule: Any, name: str, steps: int, seeds: int, gains: Any = None) -> nashpo.Sweep:
    """One rule on one class, from random policies."""
    made = {"network": network, "transformer": transformer}.get(name.split(",")[0])
    starts: Any = "random" if made is None else [made(seed) for seed in range(seeds)]
    learning = learner(name, steps, gains)
    metrics = {"probs": probs}
    return nashpo.sweep(
        the_game(), {"rule": rule}, starts=starts, seeds=seeds, learner=learning, steps=steps, metrics=metrics
    )


def gaps(found: nashpo.Sweep) -> np.ndarray:
    """Duality gaps `[seeds, steps]`, from that after the first step on."""
    return found.data["duality_gap"].squeeze(drop=True).transpose("seed", "step").values


def floor(values: np.ndarray) -> float:
    """The mean gap between two and four fifths of the steps, over all seeds."""
    steps = values.shape[1]
    return float(values[:, 2 * steps // 5 : 4 * steps // 5].mean())


def first_below(values: np.ndarray, gap: float) -> float:
    """The first step with a gap of at most `gap`, the median over seeds; infinite where there is none."""
    below = values <= gap
    return float(np.median(np.where(below.any(axis=1), 1 + below.argmax(axis=1), np.inf)))


def main(smoke: bool = False) -> list[Finding]:
    """Train, measure, save, draw, and say what held."""
    import warnings

    folder = results_folder(__file__, smoke)
    steps, seeds = (6, 2) if smoke else (100, 3)
    classes, rivals = (CLASSES[:2], ()) if smoke else (CLASSES, RIVALS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nashpo.StepSizeWarning)  # INPO's step is too large, on purpose
        runs = {(rule, name): run(RULES[rule], name, steps, seeds) for name in classes for rule in RULES}
    floors = {f"{count} rivals": gaps(run(RULES["EGPO"], CLASSES[3], steps, seeds, Fresh(count))) for count in rivals}
    floors["exact win rates"] = gaps(run(RULES["EGPO"], CLASSES[3], steps, seeds, Listed()))
    curves = {key: gaps(found) for key, found in runs.items()}
    save(folder, curves, floors)
    draw(curves, floors).savefig(folder / "policy_classes.png", dpi=110)
    return findings(curves, floors, worst_factor(runs["EGPO", "table"]))


def worst_factor(found: nashpo.Sweep) -> float:
    """The largest factor by which a step multiplied KL(equilibrium || policy), for divergences above rounding."""
    exact = np.log(nashpo.equilibrium(the_game()).probs())
    pi = found.data["probs"].squeeze(drop=True).transpose("seed", "step", ...).values
    away = kl(exact, np.log(pi))
    before, after = away[:, :-1], away[:, 1:]
    return float((after / before)[before > 1e-12].max())


def findings(curves: dict[tuple[str, str], np.ndarray], floors: dict[str, np.ndarray], factor: float) -> list[Finding]:
    """What was expected beside what was measured."""
    return [*step_findings(factor), *class_findings(curves), *floor_findings(floors)]


def step_findings(factor: float) -> list[Finding]:
    """What the step does on the table."""
    game = the_game()
    return [
        Finding(
            "EGPO on the table: KL(equilibrium || policy) after a step over before, at most",
            "arXiv:2503.08942, theorem 1",
            f"<= {1 - ETA * BETA:.3g}",
            factor,
            factor <= 1 - ETA * BETA + 1e-9,
            exact=True,
        ),
        Finding(
            "The step over the largest with which INPO is locally stable",
            "derived: the eigenvalues of a step",
            "> 1",
            ETA / limit(game),
            limit(game) < ETA,
            exact=True,
        ),
    ]


def class_findings(curves: dict[tuple[str, str], np.ndarray]) -> list[Finding]:
    """What each class of policies reaches."""
    game = the_game()
    classes = [name for rule, name in curves if rule == "EGPO"]
    egpo, inpo = ({name: floor(curves[rule, name]) for name in classes} for rule in RULES)
    whole = [name for name in classes if name.endswith("all answers")]
    sampled = [name for name in classes if name.endswith("samples")]
    ends = [float(np.max(curves["EGPO", name][:, -1])) for name in whole]
    tenth = float(nashpo.duality_gap(game, game.reference)) / 10
    waits = {name: first_below(curves["EGPO", name], tenth) for name in classes}
    return [
        Finding(
            "EGPO fitted on all answers: final gap of the networks, worst seed",
            "derived: the rate of the table",
            "<= 1e-6",
            max(ends, default=float("nan")),
            max(ends, default=1.0) <= 1e-6,
        ),
        Finding(
            "EGPO from samples: its floor",
            "measured",
            "<= 0.01",
            listed(egpo, sampled),
            all(egpo[name] <= 0.01 for name in sampled),
        ),
        Finding(
            "INPO at the same step: its mean gap over EGPO's, smallest class",
            "derived: the step is above its limit, whatever the class",
            ">= 8",
            min(inpo[name] / egpo[name] for name in classes),
            all(inpo[name] >= 8 * egpo[name] for name in classes),
        ),
        Finding(
            "EGPO: steps until a tenth of the reference's gap",
            "measured: about as many for every class",
            "within a factor 3",
            listed(waits, classes),
            max(waits.values()) <= 3 * min(waits.values()) < np.inf,
        ),
    ]


def floor_findings(floors: dict[str, np.ndarray]) -> list[Finding]:
    """What the floor of a network that learns from samples depends on."""
    known = [name for name in floors if name.endswith("rivals")]
    levels = [floor(floors[name]) for name in known]
    counts = [int(name.split()[0]) for name in known]
    slope = float(np.polyfit(np.log(counts), np.log(levels), 1)[0]) if len(known) > 1 else float("nan")
    ideal = floor(floors["exact win rates"])
    return [
        Finding(
            "EGPO, network, samples: exponent of the number of rivals in the floor",
            "derived: the variance of a win rate",
            "-1.4 to -0.6",
            slope,
            -1.4 <= slope <= -0.6,
        ),
        Finding(
            "The same floor with exact win rates, over the lowest of these",
            "derived: a regression does not care which answers it sees",
            "<= 0.2",
            ideal / min(levels, default=float("nan")),
            bool(levels) and ideal <= 0.2 * min(levels),
        ),
    ]


def listed(values: dict[str, float], names: Sequence[str]) -> str:
    """Numbers by name, in one line."""
    return "; ".join(f"{name}: {values[name]:.3g}" for name in names)


def save(folder: Any, curves: dict[tuple[str, str], np.ndarray], floors: dict[str, np.ndarray]) -> None:
    """Every gap in one file."""
    import xarray

    classes = [name for rule, name in curves if rule == "EGPO"]
    data = np.array([[curves[rule, name] for name in classes] for rule in RULES])
    places = {"rule": list(RULES), "class": classes, "win_rates": list(floors)}
    arrays = {
        "duality_gap": (("rule", "class", "seed", "step"), data),
        "floor_gap": (("win_rates", "seed", "step"), np.array(list(floors.values()))),
    }
    xarray.Dataset(arrays, places).to_netcdf(folder / "gaps.nc", engine="h5netcdf")


def draw(curves: dict[tuple[str, str], np.ndarray], floors: dict[str, np.ndarray]) -> Figure:
    """Gaps against steps: both rules on every class, and the floors of a network from samples."""
    figure = Figure(figsize=(13.5, 4.6), layout="constrained")
    axes = figure.subplots(1, 3, sharey=True)
    classes = [name for rule, name in curves if rule == "EGPO"]
    panels = [{name: curves[rule, name] for name in classes} for rule in RULES] + [floors]
    titles = [f"{rule}, eta = {ETA:g}" for rule in RULES] + ["EGPO, network, samples"]
    for ax, lines, title in zip(axes, panels, titles, strict=True):
        for place, (name, values) in enumerate(lines.items()):
            shown = np.where(values > 0, values, np.nan)
            step = 1 + np.arange(shown.shape[1])
            ax.fill_between(step, shown.min(0), shown.max(0), color=colour(place), alpha=0.15, linewidth=0.0)
            ax.plot(step, np.median(shown, axis=0), color=colour(place), linestyle=dash(place), label=name)
        ax.set(yscale="log", xlabel="step", title=title, ylim=(1e-9, 1.0))
        ax.grid(True, which="major", alpha=0.3, linewidth=0.6)
    axes[0].set_ylabel("duality gap [win probability]")
    axes[0].legend(frameon=False, fontsize="small", loc="lower left")
    axes[2].legend(frameon=False, fontsize="small", loc="lower left")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

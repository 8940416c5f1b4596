"""A language model, trained from scratch here, and a judge of styles who goes round in circles.

A decoder of two layers learns to answer "describe the river" in three styles, all from a small grammar: terse ("calm
river"), flowery ("oh calm river bright as silk"), precise ("seven miles of calm river"), any of them after "certainly"
in a third of the texts. It is written as a Hugging Face directory and loaded from there. The judge is a Python function
of texts: terse beats flowery with probability 0.9, flowery beats precise with 0.8, precise beats terse with 0.95; it
takes 0.5 off the log-odds of an answer that begins with "certainly", and whatever is no answer to the prompt loses to
every answer with log-odds -3. The KL weight is 0.05, half of the topics are never trained on, and what is measured is
measured on those.

EGPO (Zhou, Fazel, Du 2025, arXiv:2503.08942), MNPO (Wu et al. 2025, arXiv:2509.23102) and self-play without penalty
(SPO, Swamy et al. 2024, arXiv:2401.04056) train LoRA adapters from samples and verdicts. All answers of the grammar can
be listed, 445 to a prompt with one for everything else: so probabilities, gaps and the equilibrium are exact, though
no learner knows the list. To be expected:

* the shares of the styles under EGPO and MNPO approach those of the equilibrium that `nashpo.equilibrium` computes;
* the last iterate of self-play goes from style to style, a round-about; its average is much harder to beat;
* with a step as large as the others' it ends in a corner: a style that is not sampled any more is never learned again;
* the empirical gap, a lower bound from samples, stays below what the best of all answers wins.

python experiments/language_styles.py [--smoke]
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import numpy as np
import optax
from matplotlib.figure import Figure
from styles_world import BETA, STYLES, World, pretrained, the_world

import nashpo
from nashpo.learners import Fresh
from nashpo.lm.evaluation import Evaluation
from nashpo.lm.learner import Generated
from nashpo.lm.training import train
from nashpo.plots.style import colour, dash
from nashpo.policies import Tabular
from nashpo.reproduction import Finding, command, results_folder
from nashpo.solvers import EGPO, MNPO, SPO

ETA, RATE, UPDATES = 1.8, 2e-3, 8
FAST = f"SPO, eta = {ETA:g}"
RULES = {
    "EGPO": EGPO(ETA),
    "MNPO": MNPO(ETA, history=(1 / 3, 1 / 3, 1 / 3), opponents="current"),
    "SPO": SPO(0.8),
    FAST: SPO(ETA),
}


@dataclasses.dataclass(frozen=True)
class Run:
    """What one rule did, measured on the topics that are not trained on."""

    iterates: np.ndarray
    """Probabilities `[steps + 1, X, 445]` of the answers under the last iterate."""
    average: np.ndarray
    """`[X, 445]`, of the rule's answer."""
    trace: dict[str, np.ndarray]


def run(world: World, rule: Any, steps: int) -> Run:
    """A LoRA run: 32 completions to each of 8 prompts a stage, 32 rivals of each opponent, 8 steps of Adam.

    The learning rate falls to zero but for a rule that answers with its average: it has to stay on the move.
    """
    averaged = rule.report == "average"
    rate = RATE if averaged else optax.cosine_decay_schedule(RATE, steps * UPDATES)
    fit = Generated(rate, gains=Fresh(32), optimizer=optax.adam, prompts=8, responses=32, updates=UPDATES, pool=64)
    probs = [world.probs(world.start)]
    found = train(
        world.game,
        rule,
        learner=fit,
        steps=steps,
        start=world.start,
        evaluation=Evaluation(responses=16, every=4),
        callbacks=lambda so_far: probs.append(world.probs(so_far.last)),
    )
    return Run(np.stack(probs), world.probs(found.policy), found.trace)


def exploitability(probs: np.ndarray, world: World, beta: float = 0.0) -> float:
    """The duality gap of answers' probabilities `[X, 445]` in the listed game, at a KL weight."""
    game = nashpo.Game.from_table(world.listed.oracle.table(), beta=beta, reference=world.reference)
    return float(nashpo.duality_gap(game, Tabular.from_probs(probs)))


def distance(shares: np.ndarray, expected: np.ndarray) -> float:
    """Total variation of the shares of styles."""
    return float(0.5 * np.abs(shares - expected).sum())


def main(smoke: bool = False) -> list[Finding]:
    """Pretrain, train with every rule, measure, save, draw, and say what held."""
    folder = results_folder(__file__, smoke)
    steps, pretraining = (2, 30) if smoke else (40, 800)
    with tempfile.TemporaryDirectory() as room:
        path, lost = pretrained(Path(room, "model"), pretraining)
        world = the_world(path)
        runs = {name: run(world, rule, steps) for name, rule in RULES.items()}
    save_figures(folder, world, runs, lost)
    draw(world, runs).savefig(folder / "language_styles.png", dpi=110)
    return findings(world, runs)


def findings(world: World, runs: dict[str, Run]) -> list[Finding]:
    """What was expected beside what was measured."""
    exact = nashpo.equilibrium(world.listed)
    expected = world.shares(exact.probs())
    start = exploitability(runs["EGPO"].iterates[0], world, BETA)
    away = distance(world.shares(runs["EGPO"].iterates[0]), expected)
    names = ", ".join(f"{share:.3f}" for share in expected[:3])
    found = [
        Finding(
            "The equilibrium of the listed game: its duality gap",
            "nashpo.equilibrium, Newton's method",
            "<= 1e-9",
            float(exact.gap),
            bool(exact.gap <= 1e-9),
            exact=True,
        ),
        Finding(
            "Probabilities of all listed answers under the reference: the least sum over a prompt",
            "by construction: nothing is counted twice",
            "0 to 1",
            float(runs["EGPO"].iterates[0][:, :-1].sum(-1).min()),
            bool(np.all(runs["EGPO"].iterates[0][:, :-1].sum(-1) <= 1)),
            exact=True,
        ),
    ]
    for name in ("EGPO", "MNPO"):
        last = runs[name].iterates[-1]
        shares, gap = world.shares(last), exploitability(last, world, BETA)
        found += [
            Finding(
                f"{name}: shares of terse, flowery, precise on topics never trained on",
                f"nashpo.equilibrium from the reference's probabilities: {names}",
                f"total variation <= 0.1; that of the reference is {away:.2f}",
                f"{', '.join(f'{share:.3f}' for share in shares[:3])}: {distance(shares, expected):.3f}",
                distance(shares, expected) <= 0.1,
            ),
            Finding(
                f"{name}: exact duality gap over that of the reference, {start:.3f}",
                "measured",
                "<= 0.2",
                gap / start,
                gap <= 0.2 * start,
            ),
        ]
    return [*found, *cycle_findings(world, runs), bound_finding(world, runs)]


def cycle_findings(world: World, runs: dict[str, Run]) -> list[Finding]:
    """What self-play without penalty does."""
    spo = runs["SPO"]
    most = np.array([world.shares(probs) for probs in spo.iterates])[:, :3].max(0)
    second = spo.iterates[len(spo.iterates) // 2 :]
    last = float(np.mean([exploitability(probs, world) for probs in second]))
    average = exploitability(spo.average, world)
    end = float(world.shares(runs[FAST].iterates[-1])[:3].max())
    return [
        Finding(
            "Self-play: the largest share that each style had in some iterate",
            "derived: the last iterate moves away from the equilibrium",
            "each >= 0.5",
            ", ".join(f"{style} {share:.2f}" for style, share in zip(STYLES, most, strict=True)),
            bool(np.all(most >= 0.5)),
        ),
        Finding(
            f"Self-play: gap without penalty of the average over that of late iterates, {last:.3f}",
            "arXiv:2401.04056, theorem 1: the average converges",
            "<= 0.5",
            average / last,
            average <= 0.5 * last,
        ),
        Finding(
            f"{FAST}: the largest share of a style at the end",
            "measured: what is not sampled is not learned",
            ">= 0.9",
            end,
            end >= 0.9,
        ),
    ]


def bound_finding(world: World, runs: dict[str, Run]) -> Finding:
    """The empirical gap of the last iterates beside the win rate of the best answer to each prompt."""
    over = []
    for one in (runs["EGPO"], runs["MNPO"]):
        for step in np.flatnonzero(~np.isnan(one.trace["empirical_gap_low"])):
            over.append(one.trace["empirical_gap_low"][step] - exploitability(one.iterates[step], world) / 2)
    return Finding(
        "Lower end of the empirical gap's interval less the exact one (half the gap without penalty), largest",
        "derived: whoever is in the pool wins no more than the best answer",
        "<= 0.05",
        float(max(over)),
        max(over) <= 0.05,
    )


def save_figures(folder: Path, world: World, runs: dict[str, Run], lost: float) -> None:
    """Shares and gaps after every step, and what the runs said of themselves, in one file."""
    import xarray

    styles = [*STYLES, "none"]
    shares = np.array([[world.shares(probs) for probs in one.iterates] for one in runs.values()])
    gaps = {
        name: np.array([[exploitability(probs, world, beta) for probs in one.iterates] for one in runs.values()])
        for name, beta in (("duality_gap", BETA), ("duality_gap_without_penalty", 0.0))
    }
    arrays: dict[str, Any] = {"shares": (("rule", "step", "style"), shares)}
    arrays |= {name: (("rule", "step"), values) for name, values in gaps.items()}
    for name in ("win_rate_reference", "win_rate_history", "kl_reference", "empirical_gap"):
        missing = np.full(len(shares[0]), np.nan)
        arrays[name] = (("rule", "step"), np.array([one.trace.get(name, missing) for one in runs.values()]))
    arrays["average"] = (("rule", "style"), np.array([world.shares(one.average) for one in runs.values()]))
    arrays["equilibrium"] = (("style",), world.shares(nashpo.equilibrium(world.listed).probs()))
    places = {"rule": list(runs), "style": styles}
    data = xarray.Dataset(arrays, places, {"pretraining_loss": lost})
    data.to_netcdf(folder / "styles.nc", engine="h5netcdf")


def draw(world: World, runs: dict[str, Run]) -> Figure:
    """Shares of the styles against steps, gaps, and what a run sees of itself."""
    figure = Figure(figsize=(15, 7.2), layout="constrained")
    axes = figure.subplots(2, len(runs))
    expected = world.shares(nashpo.equilibrium(world.listed).probs())
    for ax, (name, one) in zip(axes[0], runs.items(), strict=True):
        shares = np.array([world.shares(probs) for probs in one.iterates])
        averaged = RULES[name].report == "average"
        for place, style in enumerate([*STYLES, "none of them"]):
            ax.plot(shares[:, place], color=colour(place), linestyle=dash(place), label=style)
            if averaged:
                ax.plot(len(shares) - 1, world.shares(one.average)[place], "o", color=colour(place))
            elif place < len(STYLES):
                ax.axhline(expected[place], color=colour(place), linewidth=0.7, alpha=0.7)
        ax.set(title=f"{name} ({'dots: average' if averaged else 'lines: equilibrium'})", xlabel="step", ylim=(0, 1))
    axes[0, 0].set_ylabel("share of answers, last iterate")
    axes[0, 0].legend(frameon=False, fontsize="small")
    for place, (name, one) in enumerate(runs.items()):
        settings = {"color": colour(place), "linestyle": dash(place), "label": name}
        measured = np.flatnonzero(~np.isnan(one.trace["win_rate_reference"]))
        axes[1, 0].plot([exploitability(probs, world, BETA) for probs in one.iterates], **settings)
        axes[1, 1].plot([exploitability(probs, world) / 2 for probs in one.iterates], **settings)
        axes[1, 2].plot(measured, one.trace["empirical_gap"][measured], marker=".", **settings)
        axes[1, 3].plot(measured, one.trace["kl_reference"][measured], marker=".", **settings)
    axes[1, 0].set(title="last iterate: exact duality gap", yscale="log")
    axes[1, 1].set(title="last iterate: best answer's win rate - 1/2")
    axes[1, 2].set(title="the answer: empirical gap")
    axes[1, 3].set(title="the answer: KL to the reference [nats]")
    axes[1, 0].legend(frameon=False, fontsize="small")
    for ax in axes.flat:
        ax.grid(True, alpha=0.3, linewidth=0.6)
    for ax in axes[1]:
        ax.set_xlabel("step")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

"""Learned against true preferences: how far to optimise an oracle that was learned from n votes.

Votes are drawn from a known intransitive game of 20 responses (a reward and two cyclic blocks, so that the general
preference model of arXiv:2410.02197 with three blocks can be the truth and Bradley-Terry cannot). Both models are
fitted to the same votes, the learned game is solved exactly for every beta, and the answer is measured in the true
game. What Gao et al. 2022 (arXiv:2210.10760) show of rewards is asked here of preferences: the curve of the learned
value and of the true one against KL(pi || reference), reference uniform. To be expected:

* a policy's exploitability in the true game and in the learned one differ by at most max |P - P_learned|;
* with few votes the true exploitability has its smallest value before the end of the path;
* with many votes it falls at beta = 0 as 1 / sqrt(n) for the general preference model, and stays for Bradley-Terry;
* the single winner of Bradley-Terry beats the reference more often than the true equilibrium does: a win rate against
  a fixed opponent does not show that a policy can be exploited.

python experiments/learned_oracle.py [--smoke]
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import jax
import numpy as np
from matplotlib.figure import Figure

import nashpo
from nashpo.oracles import GeneralPreference, Table
from nashpo.oracles.base import EnumerableOracle
from nashpo.plots.style import colour, dash
from nashpo.preferences import fit_bradley_terry, fit_general_preference, sample_comparisons
from nashpo.reproduction import Finding, command, results_folder

RESPONSES = 20
BETAS = (*np.geomspace(3.0, 1e-3, 17).tolist(), 0.0)
COUNTS = (300, 1000, 3000, 10_000, 30_000, 100_000)
MODELS = ("Bradley-Terry", "general preference model")
MEASURES = ("kl", "learned win rate", "true win rate", "learned exploitability", "true exploitability", "error")
PENALTY = 0.5
"""Precision of the normal prior on rewards and embeddings."""


def true_oracle(seed: int) -> GeneralPreference:
    """A reward of spread 1 and two cyclic blocks of spread 1.5 in the log-odds."""
    rng = np.random.default_rng(seed)
    rewards = rng.normal(size=(1, RESPONSES, 1))
    cycles = np.sqrt(0.75) * rng.normal(size=(1, RESPONSES, 4))
    return GeneralPreference(np.concatenate([rewards, np.ones_like(rewards), cycles], axis=-1), scale="probability")


def learned(model: str, oracle: EnumerableOracle, count: int, seed: int) -> EnumerableOracle:
    """What a model makes of `count` votes; both models see the same."""
    votes = sample_comparisons(oracle, jax.random.key(seed), count)
    if model == MODELS[0]:
        return fit_bradley_terry(votes, penalty=PENALTY)
    return fit_general_preference(votes, jax.random.key(seed), blocks=3, penalty=PENALTY)


def curve(oracle: EnumerableOracle, truth: EnumerableOracle, betas: tuple[float, ...]) -> np.ndarray:
    """The `MEASURES` of the learned game's equilibria, `[beta, measure]`."""
    P, Q = np.asarray(truth.table())[0], np.asarray(oracle.table())[0]
    path = nashpo.equilibrium_path(nashpo.Game.from_oracle(Table(Q[None])), betas)
    rows = []
    for answer in path:
        pi = answer.probs()[0]
        kl = float(np.sum(pi * np.log(np.where(pi > 0, pi, 1.0) * RESPONSES)))
        beaten = [float((table @ pi).max()) - 0.5 for table in (Q, P)]
        rows.append([kl, pi @ Q.mean(axis=1), pi @ P.mean(axis=1), *beaten, np.abs(P - Q).max()])
    return np.array(rows)


def measure(counts: tuple[int, ...], betas: tuple[float, ...], seeds: int) -> tuple[np.ndarray, np.ndarray]:
    """Curves `[model, count, seed, beta, measure]` of learned games, `[seed, beta, measure]` of the true ones."""
    truths = [true_oracle(seed) for seed in range(seeds)]
    known = np.stack([curve(truth, truth, betas) for truth in truths])
    found = [
        [
            [curve(learned(model, truth, count, seed), truth, betas) for seed, truth in enumerate(truths)]
            for count in counts
        ]
        for model in MODELS
    ]
    return np.array(found), known


def main(smoke: bool = False) -> list[Finding]:
    """Learn, solve, measure, save, draw, and say what held."""
    folder = results_folder(__file__, smoke)
    counts, betas = (COUNTS[::3], BETAS[::4] + BETAS[-1:]) if smoke else (COUNTS, BETAS)
    found, known = measure(counts, betas, 3 if smoke else 20)
    save(folder, found, known, counts, betas)
    draw(found, known, counts).savefig(folder / "over_optimisation.png", dpi=110)
    return findings(found, known, counts)


def findings(found: np.ndarray, known: np.ndarray, counts: tuple[int, ...]) -> list[Finding]:
    """What was expected beside what was measured: medians over the games."""
    part = {name: found[..., i] for i, name in enumerate(MEASURES)}
    away = np.abs(part["true exploitability"] - part["learned exploitability"]) - part["error"]
    true = np.median(part["true exploitability"], axis=2)
    slope = float(np.polyfit(np.log(counts), np.log(true[1, :, -1]), 1)[0])
    rewards, embedded = true
    winner = float(np.median(part["true win rate"][0, -1, :, -1] - known[:, -1, 2]))
    least, most = counts[0], counts[-1]
    return [
        Finding(
            "Exploitability, true against learned: their difference less max |P - P_learned|, at most",
            "derived: the payoffs of every policy differ by no more",
            "<= 1e-9",
            float(away.max()),
            bool(away.max() <= 1e-9),
            exact=True,
        ),
        Finding(
            f"{MODELS[1]}, {least} votes: true exploitability at the end over its least along the path",
            "as arXiv:2210.10760 for rewards",
            ">= 1.2",
            float(embedded[0, -1] / embedded[0].min()),
            bool(embedded[0, -1] >= 1.2 * embedded[0].min()),
        ),
        Finding(
            f"{MODELS[1]}, {most} votes: the same ratio",
            "measured",
            "<= 1.2",
            float(embedded[-1, -1] / embedded[-1].min()),
            bool(embedded[-1, -1] <= 1.2 * embedded[-1].min()),
        ),
        Finding(
            f"{MODELS[1]}: exponent of n in the true exploitability at beta = 0",
            "derived: the error of a maximum likelihood fit",
            "-0.7 to -0.4",
            slope,
            -0.7 <= slope <= -0.4,
        ),
        Finding(
            f"{MODELS[0]}, {most} votes: true exploitability at beta = 0 over its least along the path",
            "derived: the learned equilibrium is one response, whatever the votes",
            ">= 1.2",
            float(rewards[-1, -1] / rewards[-1].min()),
            bool(rewards[-1, -1] >= 1.2 * rewards[-1].min()),
        ),
        Finding(
            f"True exploitability at beta = 0 with {most} votes: {MODELS[0]} over {MODELS[1]}",
            "measured",
            ">= 10",
            float(rewards[-1, -1] / embedded[-1, -1]),
            bool(rewards[-1, -1] >= 10 * embedded[-1, -1]),
        ),
        Finding(
            f"{MODELS[0]}, {most} votes, beta = 0: win rate against the reference less the true equilibrium's",
            "derived: a win rate against one opponent is what a reward maximises",
            "> 0",
            winner,
            winner > 0,
        ),
    ]


def save(folder: Path, found: np.ndarray, known: np.ndarray, counts: tuple[int, ...], betas: tuple[float, ...]) -> None:
    """Every measurement in one file."""
    import xarray

    dims = ("seed", "beta", "measure")
    data = {"learned": (("model", "votes", *dims), found), "truth": (dims, known)}
    places = {"model": list(MODELS), "votes": list(counts), "beta": list(betas), "measure": list(MEASURES)}
    xarray.Dataset(data, places).to_netcdf(folder / "curves.nc", engine="h5netcdf")


def draw(found: np.ndarray, known: np.ndarray, counts: tuple[int, ...]) -> Figure:
    """Exploitability along KL with few and with many votes, and at the end of the path against the votes."""
    figure = Figure(figsize=(13.5, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    for ax, place in zip(axes, (0, -1), strict=False):
        for index, model in enumerate(MODELS):
            kl, _, _, said, true, _ = np.median(found[index, place], axis=0).T
            ax.plot(kl, true, color=colour(index), label=f"{model}, true")
            ax.plot(kl, said, color=colour(index), linestyle=dash(1), label=f"{model}, as learned")
        kl, *_, true, _ = np.median(known, axis=0).T
        ax.plot(kl, true, color="#888888", linestyle=dash(3), label="the true game solved")
        ax.set(xlabel="KL(policy || reference) [nats]", title=f"{counts[place]:,} votes", ylim=(-0.01, None))
    axes[0].set_ylabel("exploitability [win probability]")
    axes[0].legend(frameon=False, fontsize="small")
    for index, model in enumerate(MODELS):
        low, middle, high = np.quantile(found[index, :, :, -1, 4], (0.1, 0.5, 0.9), axis=1)
        axes[2].fill_between(counts, low, high, color=colour(index), alpha=0.2, linewidth=0.0)
        axes[2].plot(counts, middle, color=colour(index), label=model)
    axes[2].set(xlabel="votes", xscale="log", yscale="log", title="true exploitability at beta = 0")
    axes[2].legend(frameon=False, fontsize="small")
    for ax in axes:
        ax.grid(True, which="major", alpha=0.3, linewidth=0.6)
    return figure


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

"""MaxMin against mean aggregation: annotators of three groups, the smallest of which wants something else.

Groups of 60%, 25% and 15% of the annotators have Bradley-Terry rewards of their own over 10 responses. Who belongs to
which is unknown: MaxMin-RLHF (Chakraborty et al. 2024, arXiv:2402.08925) finds groups by expectation maximisation and
maximises the value of the worst-off one, `max_pi min_u E_pi[r_u] - beta KL(pi || uniform)`. Beside it: the mean of the
groups' rewards, one Bradley-Terry model of all votes, and the equilibrium of the mean preferences. All are measured by
the true rewards, which sum to zero in every group (a constant added to one group's reward would change who is worst
off, and no vote tells it). To be expected:

* no policy gives the worst-off group more than MaxMin with the true rewards does;
* with enough votes the groups are found, and MaxMin with learned rewards comes as close as one likes to that;
* one reward for all cannot serve the minority, and serves the average better.

python experiments/annotator_groups.py [--smoke]
"""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("agg")

import jax
import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import linear_sum_assignment

import nashpo
from nashpo.maxmin import maxmin_rewards
from nashpo.oracles import BradleyTerry, Mixture, Table
from nashpo.plots.style import colour, dash
from nashpo.preferences import Comparisons, fit_annotator_groups, fit_bradley_terry, sample_annotators
from nashpo.reproduction import Finding, command, results_folder

RESPONSES, ANNOTATORS = 10, 60
SIZES = (0.6, 0.25, 0.15)
SPREAD = 2.0
"""Standard deviation of a group's rewards, in nats of odds."""
BETA = 0.1
VOTES = (10, 30, 100, 300, 1000)
"""Votes of each annotator."""
POLICIES = (
    "MaxMin, true rewards",
    "MaxMin, learned groups",
    "mean of learned groups",
    "one Bradley-Terry model",
    "equilibrium of the mean",
)
MEASURES = ("objective", "worst win rate", "mean win rate", "right group")


def population(seed: int) -> Mixture:
    """Three groups with independent normal rewards that sum to zero."""
    rewards = SPREAD * np.random.default_rng(seed).normal(size=(len(SIZES), 1, RESPONSES))
    rewards -= rewards.mean(axis=-1, keepdims=True)
    return Mixture.of([BradleyTerry(r) for r in rewards], weights=np.array(SIZES))


def rewards_of(groups: Mixture) -> np.ndarray:
    """The groups' rewards, `[G, 1, A]`."""
    annotators: Any = groups.annotators
    return np.stack([np.asarray(group.rewards) for group in annotators])


def policies(truth: Mixture, votes: Comparisons, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The `POLICIES` as probabilities `[policy, A]`, and the group `[U]` to which each annotator was put."""
    found = fit_annotator_groups(votes, len(SIZES), jax.random.key(seed))
    pooled = np.asarray(fit_bradley_terry(votes, penalty=0.1).rewards)
    mean = np.asarray(np.einsum("g,gxa->xa", np.asarray(found.oracle.weights), found.rewards))
    answers = [maxmin_rewards(r, BETA).policy for r in (rewards_of(truth), found.rewards, mean[None], pooled[None])]
    game = nashpo.Game.from_oracle(Table(np.asarray(found.oracle.table())), beta=BETA / 10)
    answers.append(nashpo.equilibrium(game).policy)
    return np.stack([np.asarray(answer.probs())[0] for answer in answers]), found.groups()


def measures(truth: Mixture, pi: np.ndarray) -> list[float]:
    """The worst-off group's value with the KL penalty paid, and win rates against the uniform reference."""
    kl = float(np.sum(pi * np.log(np.where(pi > 0, pi, 1.0) * RESPONSES)))
    values = rewards_of(truth)[:, 0] @ pi
    rates = np.array([np.asarray(group.table())[0].mean(axis=1) @ pi for group in truth.annotators])
    return [float(values.min()) - BETA * kl, float(rates.min()), float(rates @ np.array(SIZES))]


def agreement(true: np.ndarray, found: np.ndarray) -> float:
    """The share of annotators in the right group, under the best naming of the groups."""
    counts = np.zeros((len(SIZES), len(SIZES)))
    np.add.at(counts, (true, found), 1)
    return float(counts[linear_sum_assignment(-counts)].sum() / len(true))


def measure(votes: tuple[int, ...], seeds: int) -> np.ndarray:
    """The `MEASURES` of every policy, `[votes, seed, policy, measure]`."""
    rows = []
    for count in votes:
        for seed in range(seeds):
            truth = population(seed)
            data, groups = sample_annotators(truth, jax.random.key(seed), ANNOTATORS, count)
            answers, found = policies(truth, data, seed)
            right = agreement(groups, found)
            rows.append([[*measures(truth, pi), right] for pi in answers])
    return np.array(rows).reshape(len(votes), seeds, len(POLICIES), len(MEASURES))


def main(smoke: bool = False) -> list[Finding]:
    """Vote, find groups, choose policies, save, draw, and say what held."""
    folder = results_folder(__file__, smoke)
    votes = VOTES[::3] if smoke else VOTES
    found = measure(votes, 3 if smoke else 20)
    save(folder, found, votes)
    draw(found, votes).savefig(folder / "worst_group.png", dpi=110)
    return findings(found, votes)


def findings(found: np.ndarray, votes: tuple[int, ...]) -> list[Finding]:
    """What was expected beside what was measured: medians over populations."""
    objective, worst, mean, right = np.moveaxis(found, -1, 0)
    beyond = float((objective - objective[..., :1]).max())
    lost = np.median(objective[..., 0] - objective[..., 1], axis=1)
    gain = {name: float(np.median(worst[-1, :, 1] - worst[-1, :, i])) for i, name in enumerate(POLICIES)}
    price = float(np.median(mean[-1, :, 2] - mean[-1, :, 1]))
    most = votes[-1]
    others = POLICIES[2:]
    return [
        Finding(
            "The worst-off group's value less that of MaxMin with the true rewards, at most",
            "derived: weak duality",
            "<= 1e-9",
            beyond,
            beyond <= 1e-9,
            exact=True,
        ),
        Finding(
            f"Annotators in the right group, {most} votes each",
            "arXiv:2402.08925, section 4",
            ">= 0.99",
            float(np.median(right[-1, :, 0])),
            bool(np.median(right[-1, :, 0]) >= 0.99),
        ),
        Finding(
            f"What learned MaxMin loses of that value: with {votes[0]} votes over with {most}",
            "derived: consistency of maximum likelihood",
            ">= 5",
            float(lost[0] / lost[-1]),
            bool(lost[0] >= 5 * lost[-1]),
        ),
        Finding(
            "Win rate of the worst-off group: MaxMin over each of the others",
            "arXiv:2402.08925: +33% for minority groups",
            ">= 0.05",
            ", ".join(f"{name} {gain[name]:+.3f}" for name in others),
            all(gain[name] >= 0.05 for name in others),
        ),
        Finding(
            "Mean win rate of all annotators: MaxMin less the mean of learned groups",
            "derived: the mean is what the others maximise; the paper reports no loss for the majority",
            "< 0",
            -price,
            price > 0,
        ),
    ]


def save(folder: Path, found: np.ndarray, votes: tuple[int, ...]) -> None:
    """Every measurement in one file."""
    import xarray

    places = {"votes": list(votes), "policy": list(POLICIES), "measure": list(MEASURES)}
    data = {"value": (("votes", "seed", "policy", "measure"), found)}
    xarray.Dataset(data, places).to_netcdf(folder / "values.nc", engine="h5netcdf")


def draw(found: np.ndarray, votes: tuple[int, ...]) -> Figure:
    """The worst-off group's value and win rate, and everybody's, against the votes of an annotator."""
    figure = Figure(figsize=(13.5, 4.2), layout="constrained")
    axes = figure.subplots(1, 3)
    titles = ("worst-off group: value less KL", "worst-off group: win rate", "all annotators: win rate")
    for index, (ax, title) in enumerate(zip(axes, titles, strict=True)):
        for place, policy in enumerate(POLICIES):
            low, middle, high = np.quantile(found[:, :, place, index], (0.25, 0.5, 0.75), axis=1)
            ax.fill_between(votes, low, high, color=colour(place), alpha=0.12, linewidth=0.0)
            ax.plot(votes, middle, color=colour(place), linestyle=dash(place), label=policy)
        ax.set(xscale="log", xlabel="votes of each annotator", title=title)
        ax.grid(True, which="major", alpha=0.3, linewidth=0.6)
    axes[0].set_ylabel("true reward [nats of odds]")
    axes[1].set_ylabel("against the reference")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

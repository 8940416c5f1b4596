"""Flipped votes: what plain, smoothed and corrected fits make of them, measured in the true game.

Votes on the intransitive games of `learned_oracle.py`, each turned round with a known chance e, are fitted by the
general preference model as they are, with label smoothing e (cDPO), with rDPO's corrected loss (Chowdhury et al. 2024,
arXiv:2403.00409) and with the likelihood of flipped votes; beside them a fit of as many clean votes. The learned game
is solved exactly at beta = 0.05, and the answer's duality gap measured in the true game. To be expected:

* flips turn P into P' = (1 - 2 e) P + e, so the equilibrium of P' at (1 - 2 e) beta is that of P at beta: flips do to
  the game what more regularisation does, and at beta = 0 they do nothing but cost votes;
* the gap of a plain fit does therefore not vanish, and smoothing, which flattens once more, makes it larger;
* the gaps of both corrections vanish, and need about 1 / (1 - 2 e)^2 times as many votes as clean ones.

python experiments/noise_robustness.py [--smoke]
"""

from pathlib import Path

import matplotlib

matplotlib.use("agg")

import jax
import numpy as np
from learned_oracle import PENALTY, true_oracle
from matplotlib.figure import Figure

import nashpo
from nashpo.oracles import Table
from nashpo.plots.style import colour, dash
from nashpo.policies import Tabular
from nashpo.preferences import Comparisons, bounding_penalty, fit_general_preference, sample_comparisons
from nashpo.reproduction import Finding, command, results_folder

BETA = 0.05
COUNTS = (3000, 10_000, 30_000, 100_000, 300_000)
FLIPS = (0.1, 0.2, 0.3)
FITS = ("clean votes", "plain", "smoothed", "corrected loss", "corrected likelihood")


def fitted(fit: str, clean: Comparisons, flipped: Comparisons, flip: float) -> np.ndarray:
    """The table `[A, A]` that a fit learns."""
    votes = clean if fit == FITS[0] else flipped
    key = jax.random.key(0)
    if fit == "smoothed":
        oracle = fit_general_preference(votes, key, blocks=3, penalty=PENALTY, smoothing=flip)
    elif fit == "corrected loss":
        least = max(PENALTY, bounding_penalty(votes, flip))
        oracle = fit_general_preference(votes, key, blocks=3, penalty=least, flip=flip)
    elif fit == "corrected likelihood":
        oracle = fit_general_preference(votes, key, blocks=3, penalty=PENALTY, flip=flip, correction="likelihood")
    else:
        oracle = fit_general_preference(votes, key, blocks=3, penalty=PENALTY)
    return np.asarray(oracle.table())[0]


def solved(table: np.ndarray, beta: float) -> np.ndarray:
    """The equilibrium `[A]` of a table."""
    return nashpo.equilibrium(nashpo.Game.from_oracle(Table(table[None]), beta=beta)).probs()[0]


def true_gap(table: np.ndarray, pi: np.ndarray, beta: float) -> float:
    """The duality gap of a policy in the game of a table."""
    return float(nashpo.duality_gap(nashpo.Game.from_oracle(Table(table[None]), beta=beta), Tabular.from_probs(pi)))


def measure(counts: tuple[int, ...], flips: tuple[float, ...], seeds: int) -> np.ndarray:
    """True gaps at `BETA`, `[flip, votes, seed, fit]`."""
    found = np.empty((len(flips), len(counts), seeds, len(FITS)))
    for seed in range(seeds):
        truth = true_oracle(seed)
        P = np.asarray(truth.table())[0]
        for e, flip in enumerate(flips):
            for n, count in enumerate(counts):
                first, second = jax.random.split(jax.random.fold_in(jax.random.key(seed), count))
                clean, flipped = sample_comparisons(truth, first, count), sample_comparisons(truth, second, count, flip)
                for place, fit in enumerate(FITS):
                    found[e, n, seed, place] = true_gap(P, solved(fitted(fit, clean, flipped, flip), BETA), BETA)
    return found


def same_game(flips: tuple[float, ...]) -> float:
    """The largest difference between the equilibrium of flipped preferences at (1 - 2 e) beta and the true one."""
    P = np.asarray(true_oracle(0).table())[0]
    return max(
        float(np.abs(solved((1 - 2 * e) * P + e, (1 - 2 * e) * beta) - solved(P, beta)).max())
        for e in flips
        for beta in (BETA, 0.0)
    )


def main(smoke: bool = False) -> list[Finding]:
    """Flip, fit, solve, measure, save, draw, and say what held."""
    folder = results_folder(__file__, smoke)
    counts, flips = (COUNTS[::2], FLIPS[1:2]) if smoke else (COUNTS, FLIPS)
    found = measure(counts, flips, 2 if smoke else 20)
    save(folder, found, counts, flips)
    draw(found, counts, flips).savefig(folder / "gaps.png", dpi=110)
    return findings(found, counts, flips)


def findings(found: np.ndarray, counts: tuple[int, ...], flips: tuple[float, ...]) -> list[Finding]:
    """What was expected beside what was measured: medians over the games, with the most votes."""
    gaps = np.median(found, axis=2)
    clean, plain, smoothed, loss, likelihood = np.moveaxis(gaps[:, -1], -1, 0)
    falls = gaps[:, 0] / gaps[:, -1]
    most = counts[-1]

    def listed(ratios: np.ndarray) -> str:
        return ", ".join(f"e = {e:g}: {ratio:.3g}" for e, ratio in zip(flips, ratios, strict=True))

    def ratio(claim: str, why: str, least: float, ratios: np.ndarray) -> Finding:
        return Finding(claim, why, f">= {least:g}", listed(ratios), bool(np.all(ratios >= least)))

    away = same_game(flips)
    dearer = likelihood / clean * (1 - 2 * np.array(flips)) ** 2
    return [
        Finding(
            "Equilibria of flipped preferences at (1 - 2 e) beta against the true ones: the largest difference",
            "derived: the flipped game is an affine map of the true one",
            "<= 1e-9",
            away,
            away <= 1e-9,
            exact=True,
        ),
        ratio(
            f"True gap with {most} votes: plain over corrected loss",
            "derived: the plain fit is biased",
            5,
            plain / loss,
        ),
        ratio(
            f"True gap with {most} votes: smoothed over plain", "derived: smoothing flattens again", 2, smoothed / plain
        ),
        ratio(f"True gap, corrected loss: {counts[0]} votes over {most}", "derived: consistent", 10, falls[:, 3]),
        ratio(f"True gap, corrected likelihood: {counts[0]} votes over {most}", "derived: consistent", 10, falls[:, 4]),
        Finding(
            f"True gap with {most} votes: corrected likelihood over clean votes, times (1 - 2 e)^2",
            "derived: a vote's information falls by about that factor, the gap as one over votes",
            "0.3 to 3",
            listed(dearer),
            bool(np.all((dearer >= 0.3) & (dearer <= 3))),
        ),
    ]


def save(folder: Path, found: np.ndarray, counts: tuple[int, ...], flips: tuple[float, ...]) -> None:
    """Every gap in one file."""
    import xarray

    places = {"flip": list(flips), "votes": list(counts), "fit": list(FITS)}
    data = {"duality_gap": (("flip", "votes", "seed", "fit"), found)}
    xarray.Dataset(data, places).to_netcdf(folder / "gaps.nc", engine="h5netcdf")


def draw(found: np.ndarray, counts: tuple[int, ...], flips: tuple[float, ...]) -> Figure:
    """The true gap against the votes, a panel for every chance of a flip."""
    figure = Figure(figsize=(4.6 * len(flips), 4.4), layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(flips), sharey=True))
    for ax, flip, values in zip(axes, flips, found, strict=True):
        for place, fit in enumerate(FITS):
            low, middle, high = np.quantile(values[..., place], (0.25, 0.5, 0.75), axis=1)
            ax.fill_between(counts, low, high, color=colour(place), alpha=0.15, linewidth=0.0)
            ax.plot(counts, middle, color=colour(place), linestyle=dash(place), label=fit)
        ax.set(xscale="log", yscale="log", xlabel="votes", title=f"votes flipped with chance {flip:g}")
        ax.grid(True, which="major", alpha=0.3, linewidth=0.6)
    axes[0].set_ylabel(f"true duality gap at beta = {BETA:g} [win probability]")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
    return figure


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

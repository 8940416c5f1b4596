"""EGPO's simulations: five algorithms, three KL weights, exact feedback and 100 samples an update.

Zhou, Fazel, Du, "Extragradient Preference Optimization (EGPO): Beyond Last-Iterate Convergence for Nash Learning from
Human Feedback" (2025, arXiv:2503.08942). The protocol is that of the authors' code (github.com/zhourunlong/EGPO,
simulations/): 10 games of 10 responses with uniform random preferences, a reference with normal logits, from which the
runs start, plain gradient descent with learning rate lr in the logits. A mirror step of size eta = 4 lr / (10 beta) is
such a gradient step with exact feedback; with sampled feedback the gradient is estimated from 100 triples.

The paper's figures are curves that could not be read off. The figures that are expected here come from another run of
the same protocol with other random games. They are medians over 10 games, and of quantities that differ by orders of
magnitude between games; such a figure is met if it is within a factor of 2 of the median here, or lies among the middle
eight of the 10 games. Beside it:

* EGPO's gap shrinks by (1 - eta beta)^2 an update or faster at every beta, whatever the game.
* Online IPO 1 (INPO) is as fast while eta is far below its limit 2 beta / (beta^2 + w^2), at beta = 0.1. At
  0.01 and 0.001 the configured steps are above the limit of the most cyclic games, and there it never arrives.
* Nash-MD levels off: its constant step has another limit. The code mixes the opponent with weight eta beta / 2, the
  paper with eta beta, which levels off about four times as high.
* Nash-MD-PG has the same learning rate on a gradient that is beta / 4 times as large: it does not fail, it is slow.
* With 100 samples an update EGPO is not better than Online IPO 1, contrary to what "robust to noise" may suggest: the
  step is so small there that nothing cycles, and both hover at the same sampling noise.
"""

import warnings
from dataclasses import dataclass, field

import matplotlib

matplotlib.use("agg")

import jax
import matplotlib.pyplot as plt
import numpy as np
from linearisation import frequency, inpo_limit
from matplotlib.figure import Figure
from sampled_feedback import NashMDPG, SampledIPO, SampledNashMDPG

import nashpo
from nashpo.logspace import kl
from nashpo.reproduction import Finding, command, results_folder
from nashpo.solvers import EGPO, NashMD, OnlineIPO
from nashpo_games import random_constant_sum

jax.config.update("jax_enable_x64", True)

RESPONSES, GAMES, SEED = 10, 10, 2018011309
TARGET = 1e-6
"""The gap at which the authors' pictures end."""


@dataclass(frozen=True)
class Setting:
    """One panel, and what the other run found: median gaps at the end, updates until the target."""

    beta: float
    lr: float
    updates: int
    every: int
    ends: dict[str, float]
    arrivals: dict[str, float] = field(default_factory=dict)

    @property
    def eta(self) -> float:
        """The mirror step that a gradient step is."""
        return 4 * self.lr / (RESPONSES * self.beta)


EXACT = (
    Setting(
        0.1, 0.1, 1_000, 1,
        {"Online IPO 2": 4e-6, "Nash-MD": 3e-5, "Nash-MD-PG": 2.7e-2},
        {"Online IPO 1": 152, "EGPO": 142},
    ),
    Setting(
        0.01, 0.02, 5_000, 5,
        {"Online IPO 1": 2.1e-2, "Online IPO 2": 0.18, "Nash-MD": 2.5e-2, "Nash-MD-PG": 0.4},
        {"EGPO": 635},
    ),
    Setting(
        0.001, 2e-4, 100_000, 100,
        {"Online IPO 1": 7.6e-2, "Online IPO 2": 0.66, "Nash-MD": 7.6e-2, "Nash-MD-PG": 0.42, "EGPO": 1.6e-8},
        {"EGPO": 76_000},
    ),
)  # fmt: skip
SAMPLED = Setting(
    0.01, 2e-4, 100_000, 100,
    {"Online IPO 1": 3.7e-3, "Online IPO 2": 1.2e-2, "Nash-MD": 3.4e-3, "Nash-MD-PG": 0.36, "EGPO": 4.1e-3},
)  # fmt: skip
PROTOCOL = "EGPO arXiv:2503.08942, authors' simulation code; figure from another run of it"


def games(beta: float) -> dict[str, nashpo.Game]:
    """The random games, the same tables and references for every beta."""
    made = {}
    for index in range(GAMES):
        table = random_constant_sum(RESPONSES, seed=SEED + index).oracle.table()[0]
        reference = np.exp(np.random.default_rng([SEED, index]).standard_normal(RESPONSES))
        made[f"game {index}"] = nashpo.Game.from_table(table, beta=beta, reference=reference / reference.sum())
    return made


def exact_solvers(setting: Setting) -> dict:
    """The algorithms with exact feedback; Nash-MD once with the mixture of the code, once with that of the paper."""
    eta, half = setting.eta, setting.eta * setting.beta / 2
    return {
        "Online IPO 1": OnlineIPO(eta),
        "Online IPO 2": OnlineIPO(eta, variant=2),
        "Nash-MD": NashMD(eta, mix=half),
        "Nash-MD-PG": NashMDPG(eta, half),
        "EGPO": EGPO(eta),
        "Nash-MD (paper)": NashMD(eta),
    }


def sampled_solvers(setting: Setting) -> dict:
    """The algorithms with 100 sampled triples an update."""
    eta, half = setting.eta, setting.eta * setting.beta / 2
    return {
        "Online IPO 1": SampledIPO(eta),
        "Online IPO 2": SampledIPO(eta, on_policy=True),
        "Nash-MD": SampledIPO(eta, mix=half),
        "Nash-MD-PG": SampledNashMDPG(eta, half),
        "EGPO": SampledIPO(eta, look_ahead=True),
    }


def run(setting: Setting, solvers: dict, smoke: bool, metrics: tuple = ()) -> nashpo.Sweep:
    """Every solver on every game."""
    steps, every = (20, 1) if smoke else (setting.updates, setting.every)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nashpo.StepSizeWarning)  # steps above a limit are part of the protocol
        return nashpo.sweep(games(setting.beta), solvers, steps=steps, every=every, metrics=metrics)


def curves(sweep: nashpo.Sweep, solver: str) -> np.ndarray:
    """The measured gaps `[games, measurements]`."""
    return sweep.data["duality_gap"].sel(solver=solver).squeeze(("beta", "eta", "seed")).values


def ends(sweep: nashpo.Sweep, solver: str, tail: float = 0.0) -> np.ndarray:
    """The final gap of every game, or its mean over the last `tail` of the updates, `[games]`."""
    gaps = curves(sweep, solver)
    return gaps[:, -max(1, int(tail * gaps.shape[1])) :].mean(axis=1)


def arrivals(sweep: nashpo.Sweep, solver: str) -> np.ndarray:
    """The first measured update with a gap of at most the target in each game, infinite where there is none."""
    below = curves(sweep, solver) <= TARGET
    return np.where(below.any(axis=1), sweep.data["step"].values[below.argmax(axis=1)], np.inf)


def among(claim: str, expected: float, values: np.ndarray) -> Finding:
    """A median of another run of the protocol, to be near the median of the 10 games or among the middle eight."""
    low, middle, high = np.sort(values)[1], np.median(values), np.sort(values)[-2]
    measured = f"{middle:.3g}, the middle eight games {low:.2g} to {high:.2g}"
    holds = min(low, middle / 2) <= expected <= max(high, middle * 2)
    return Finding(claim, PROTOCOL, f"{expected:.3g}, to a factor of 2 or among the games", measured, bool(holds))


def contraction(setting: Setting, sweep: nashpo.Sweep) -> Finding:
    """EGPO's proven rate, from the policies that it was measured at."""
    worst = 0.0
    for name, game in games(setting.beta).items():
        policies = sweep.data["probs"].sel(solver="EGPO", game=name).squeeze()
        target = np.log(nashpo.equilibrium(game).probs())  # [1, responses]
        first = kl(target, np.asarray(game.reference.log_probs()))[0]
        bound = (1 - setting.eta * setting.beta) ** sweep.data["step"].values * first
        exact = bound > 1e-22  # below, the rounding of the equilibrium itself is seen
        worst = max(worst, float((kl(target, np.log(policies.values))[exact] / bound[exact]).max()))
    return Finding(
        f"beta {setting.beta:g}: EGPO's KL to the equilibrium is at most (1 - eta beta)^t of the start's",
        "derived: proven for eta <= 1 / (beta + 1/2)", "ratio <= 1", worst, worst <= 1, exact=True,
    )  # fmt: skip


def egpo_rate(setting: Setting, sweep: nashpo.Sweep) -> Finding:
    """The factor by which EGPO's gap shrinks once it is small, against the eigenvalue."""
    slopes, step = [], sweep.data["step"].values
    for gaps in curves(sweep, "EGPO"):
        late = (gaps < 1e-5) & (gaps > 1e-20)
        slopes.append(np.polyfit(step[late], np.log(gaps[late]), 1)[0] if late.sum() > 10 else np.nan)
    expected, measured = 2 * np.log1p(-setting.eta * setting.beta), float(np.median(slopes))
    return Finding(
        f"beta {setting.beta:g}: EGPO's gap shrinks by (1 - eta beta)^2 an update or faster, median of the games",
        "derived: linearisation; faster while the gap is in directions of frequency w > 0",
        f"log at most {expected:.4g}", f"{measured:.4g}", measured <= expected * 0.99,
    )  # fmt: skip


def online_ipo(setting: Setting, sweep: nashpo.Sweep) -> Finding:
    """Online IPO 1 stalls on games whose limit is below the step."""
    gaps = ends(sweep, "Online IPO 1", tail=0.1)
    limits = np.array([inpo_limit(setting.beta, frequency(game)) for game in games(setting.beta).values()])
    above = setting.eta > limits
    wrong = int((above & (gaps < TARGET)).sum())
    stalled = f"{int(above.sum())} of {GAMES} games have a lower limit, {int(above.sum()) - wrong} of these stall"
    return Finding(
        f"beta {setting.beta:g}: Online IPO 1 stalls where its limit is below eta = {setting.eta:g}",
        "derived: locally stable iff eta < 2 beta / (beta^2 + w^2)", "stalls in all of them", stalled, wrong == 0,
    )  # fmt: skip


def exact_findings(setting: Setting, sweep: nashpo.Sweep) -> list[Finding]:
    """What is said of one beta with exact feedback."""
    label = f"beta {setting.beta:g}"
    found = [contraction(setting, sweep), egpo_rate(setting, sweep)]
    found += [online_ipo(setting, sweep)] if setting.beta < 0.1 else [mixtures(sweep)]
    for name, expected in setting.arrivals.items():
        found.append(among(f"{label}: {name}, updates until the gap is 1e-6", expected, arrivals(sweep, name)))
    for name, expected in setting.ends.items():
        found.append(among(f"{label}: {name}, gap after {setting.updates} updates", expected, ends(sweep, name)))
    return found


def mixtures(sweep: nashpo.Sweep) -> Finding:
    """Where Nash-MD levels off, with the paper's mixture and with that of the code."""
    ratio = float(np.median(ends(sweep, "Nash-MD (paper)") / ends(sweep, "Nash-MD")))
    return Finding(
        "beta 0.1: Nash-MD levels off higher with the paper's mixture than with the code's, half of it",
        "derived: the bias of the limit is linear in the mixture, the gap quadratic",
        "4 times, within 20%", ratio, abs(ratio / 4 - 1) <= 0.2,
    )  # fmt: skip


def sampled_findings(setting: Setting, sweep: nashpo.Sweep) -> list[Finding]:
    """What is said of sampled feedback."""
    last = {name: ends(sweep, name, tail=0.2) for name in setting.ends}
    found = [
        among(f"100 samples: {name}, mean gap over the last fifth", expected, last[name])
        for name, expected in setting.ends.items()
    ]
    ratio = float(last["EGPO"].mean() / last["Online IPO 1"].mean())
    claim = "100 samples: EGPO ends where Online IPO 1 does, at sampling noise"
    return [*found, Finding(claim, "derived: far below both limits", "0.5 to 2 times", ratio, 0.5 <= ratio <= 2)]


def draw(panels: list[tuple[str, nashpo.Sweep]]) -> Figure:
    """Median gap over games with the middle eight tenths, one panel a setting."""
    figure, axes = plt.subplots(2, 2, figsize=(13.5, 9.0), layout="constrained")
    for (title, sweep), ax in zip(panels, axes.ravel(), strict=True):
        nashpo.plots.gap(sweep.data.sel(solver=list(SAMPLED.ends)), over=("seed", "game"), ax=ax)
        ax.set_ylim(1e-12, 2.0)
        ax.axhline(TARGET, color="#888888", linewidth=0.8, linestyle=":")
        ax.set_title(title, fontsize="medium")
    return figure


def main(smoke: bool = False) -> list[Finding]:
    """Run the protocol, save curves and figure, compare."""
    folder, findings, panels = results_folder(__file__, smoke), [], []
    for setting in EXACT:
        sweep = run(setting, exact_solvers(setting), smoke, (nashpo.metrics.probs,))
        sweep.save(folder / f"exact_beta_{setting.beta:g}.nc")
        findings += exact_findings(setting, sweep)
        panels.append((f"exact feedback, beta = {setting.beta:g}, eta = {setting.eta:g}", sweep))
    sweep = run(SAMPLED, sampled_solvers(SAMPLED), smoke)
    sweep.save(folder / "sampled.nc")
    findings += sampled_findings(SAMPLED, sweep)
    panels.append((f"100 samples an update, beta = {SAMPLED.beta:g}, eta = {SAMPLED.eta:g}", sweep))
    figure = draw(panels)
    figure.savefig(folder / "gaps.png", dpi=110)
    plt.close(figure)
    return findings


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

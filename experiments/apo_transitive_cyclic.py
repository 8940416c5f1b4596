"""APO on transitive and on cyclic preferences: what momentum does, and what a larger step does.

He et al. 2024 (arXiv:2410.06293) claim that extrapolation with momentum alpha makes preference optimization faster by
1 / (1 - alpha): theorem 4.1 for Bradley-Terry rewards, appendix B for a response that dominates all others. Their
experiments are on a language model; there is no game in the paper. To be expected here:

* with a dominant response the rate of the last iterate is 1 / (1 - alpha) times that without momentum;
* Bradley-Terry rewards are maximised within -log p / gamma, p = start(best). The paper prints log((1 - p) / p) / gamma,
  which is false for p above 0.41: with two equally likely responses it promises a suboptimality of 0;
* the same base with the step eta / (1 - alpha) is never slower on Bradley-Terry preferences;
* on a cycle of frequency w the iterates leave the equilibrium at the rate log |z|, z the largest root of
  z^2 - (1 + alpha) c z + alpha c with c = 1 + i eta w, to leading order
  (eta w)^2 / 2 (1 - alpha + 2 alpha^2) / (1 - alpha)^3: faster than the larger step, whose factor is 1 / (1 - alpha)^2;
* the average of the iterates on biased cycles, for which the paper claims nothing: a small momentum helps a little, as
  the larger step alone does, a large one hurts, and in the median no momentum is better than the larger step.

python experiments/apo_transitive_cyclic.py [--smoke]
"""

import warnings
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure

import nashpo
from nashpo.metrics import KLFrom
from nashpo.policies import Tabular
from nashpo.reproduction import Finding, command, results_folder
from nashpo.solvers import APO, SPO, Averaged, IterativeDPO
from nashpo_games import biased_rps, random_constant_sum, rock_paper_scissors

jax.config.update("jax_enable_x64", True)

MOMENTA = np.linspace(0.0, 0.7, 8)
GAMES, ACTIONS = 12, 6
DOMINANT = {"eta": 0.1, "steps": 400, "window": 100}
REWARDS = {"eta": 0.05, "steps": 400, "deviation": 1.0}
CYCLE = {"win": 0.9, "eta": 0.05, "steps": 400, "transient": 100, "distance": 1e-3}
BIASED = {"eta": 0.1, "steps": 8000, "games": 20, "every": 10}
SOURCE = "He et al. 2024"


def dominant_games() -> nashpo.Game:
    """Twelve prompts; response 0 wins 0.9 against all others, among whom the table is random."""
    tables = 0.5 + 0.4 * (random_constant_sum(ACTIONS, seed=37, prompts=GAMES).oracle.table() - 0.5)
    tables[:, 0, 1:], tables[:, 1:, 0] = 0.9, 0.1
    return nashpo.Game.from_table(tables)


def dominant_rates(steps: int) -> np.ndarray:
    """Decay of `log(1 - pi(best))` a step at the end, `[momentum, prompt]`."""
    rule = APO(DOMINANT["eta"], MOMENTA)
    found = nashpo.sweep(dominant_games(), rule, steps=steps, metrics=[nashpo.metrics.probs]).check()
    others = found.data["probs"].isel(item=slice(1, None)).sum("item").squeeze()
    missing = np.log(others.transpose("step", "momentum", "prompt").values)
    window = min(DOMINANT["window"], steps // 4)
    return (missing[-1 - window] - missing[-1]) / window


def bradley_terry(steps: int) -> dict[str, np.ndarray]:
    """Suboptimality `[momentum, step, prompt]` of APO and of iterative DPO with the larger step, and gamma."""
    reward = REWARDS["deviation"] * np.random.default_rng(35).normal(size=(GAMES, ACTIONS))
    game = nashpo.Game.from_table(1 / (1 + np.exp(reward[:, None, :] - reward[:, :, None])))
    eta = REWARDS["eta"]
    rules = {"APO": APO(eta, MOMENTA, IterativeDPO), "larger": IterativeDPO(eta / (1 - MOMENTA))}
    missing = {}
    for name, rule in rules.items():
        found = nashpo.sweep(game, rule, steps=steps, metrics=[nashpo.metrics.probs]).check().data["probs"].squeeze()
        probs = found.transpose("momentum" if name == "APO" else "eta", "step", "prompt", "item").values
        missing[name] = reward.max(-1) - np.sum(probs * reward, -1)
    return missing | {"gamma": gamma(eta, MOMENTA, np.arange(1, steps + 1))}


def gamma(eta: float, momenta: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """`eta (T / (1 - a) - a (1 - a^T) / (1 - a)^2)`, `[momentum, step]`."""
    a = momenta[:, None]
    return eta * (steps / (1 - a) - a * (1 - a**steps) / (1 - a) ** 2)


def printed_constant() -> tuple[float, float]:
    """Two equally likely responses, one a little better: the suboptimality and the bound that the paper prints."""
    game = nashpo.Game.from_table(np.array([[0.5, 0.55], [0.45, 0.5]]))
    worse = nashpo.solve(game, APO(0.5, 0.3, IterativeDPO), steps=5).policy.probs()[0, 1]
    return float(np.log(0.55 / 0.45) * worse), 0.0


def cycle_growth(steps: int) -> np.ndarray:
    """How fast the distance to the equilibrium of a symmetric cycle grows a step, `[momentum]`."""
    start = 1 / 3 + CYCLE["distance"] / 3 * np.array([[1.0, 0.0, -1.0]])
    metrics: dict[str, Any] = {"kl": KLFrom(Tabular.from_probs(np.full((1, 3), 1 / 3)))}
    rule, game = APO(CYCLE["eta"], MOMENTA), rock_paper_scissors(CYCLE["win"])
    found = nashpo.sweep(game, rule, steps=steps, starts=start, metrics=metrics).check()
    late = found.data["kl"].squeeze().isel(step=slice(min(CYCLE["transient"], steps // 2), None))
    return np.polyfit(late["step"], np.log(late.transpose("step", "momentum").values) / 2, 1)[0]


def predicted_growth(step: float) -> tuple[np.ndarray, np.ndarray]:
    """`log |z|` of the largest root, and its leading order, `[momentum]`; `step = eta w`."""
    c = 1 + 1j * step
    roots = [np.abs(np.roots([1, -(1 + a) * c, a * c])).max() for a in MOMENTA]
    return np.log(roots), step**2 / 2 * (1 - MOMENTA + 2 * MOMENTA**2) / (1 - MOMENTA) ** 3


def biased_averages(steps: int) -> dict[str, np.ndarray]:
    """Gap of the average iterate on random biased cycles, its mean over the second half, `[momentum, game]`.

    APO, and SPO with the larger step. At a single step the gap depends on where on the cycle the run happens to be.
    """
    wins, eta = np.random.default_rng(0).uniform(0.55, 0.95, (BIASED["games"], 3)), BIASED["eta"]
    games = [biased_rps(*row) for row in wins]
    rules = {"APO": Averaged(APO(eta, MOMENTA)), "larger": Averaged(SPO(eta / (1 - MOMENTA)))}
    gaps = {}
    for name, rule in rules.items():
        found = nashpo.sweep(games, rule, steps=steps, every=BIASED["every"]).check().data["duality_gap"].squeeze()
        late = found.isel(step=slice(found.sizes["step"] // 2, None)).mean("step")
        gaps[name] = late.transpose(..., "game").values
    return gaps


def main(smoke: bool = False) -> list[Finding]:
    """Run everything, save the arrays and the picture, and say what held."""
    folder, share = results_folder(__file__, smoke), 4 if smoke else 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nashpo.StepSizeWarning)
        rates = dominant_rates(DOMINANT["steps"] // share)
        missing = bradley_terry(REWARDS["steps"] // share)
        constant = printed_constant()
        growth = cycle_growth(CYCLE["steps"] // share)
        average = biased_averages(BIASED["steps"] // share)
    frequency = (CYCLE["win"] - 0.5) / np.sqrt(3)
    exact, leading = predicted_growth(CYCLE["eta"] * frequency)
    save(folder, rates, missing, growth, exact, average)
    draw(rates, missing, growth, exact, leading, average).savefig(folder / "apo.png", dpi=130)
    return transitive_findings(rates, missing, constant) + cyclic_findings(growth, exact, leading, average)


def transitive_findings(rates: np.ndarray, missing: dict, constant: tuple[float, float]) -> list[Finding]:
    """What is proven for transitive preferences, and the comparison with a larger step."""
    worst = np.max(np.abs(rates / rates[0] * (1 - MOMENTA)[:, None] - 1))
    bound = np.max(missing["APO"] * missing["gamma"][..., None]) / np.log(ACTIONS)
    slower = float(np.max(missing["larger"] - missing["APO"]))
    return [
        Finding(
            "A dominant response: the rate times (1 - alpha) over the base's rate, largest deviation from 1",
            f"{SOURCE}, appendix B",
            "<= 0.01",
            float(worst),
            bool(worst <= 0.01),
        ),
        Finding(
            "Bradley-Terry: suboptimality times gamma over -log start(best), the largest at any step",
            "derived: mirror descent on a fixed reward",
            "<= 1",
            float(bound),
            bool(bound <= 1),
            exact=True,
        ),
        Finding(
            "Bradley-Terry, two responses, p = 1/2: suboptimality exceeds the printed log((1 - p) / p) / gamma",
            f"{SOURCE}, theorem 4.1 as printed; that it is a bound fails for p above 0.41",
            f"> {constant[1]:g}",
            constant[0],
            constant[0] > constant[1],
            exact=True,
        ),
        Finding(
            "Bradley-Terry: iterative DPO with the step eta / (1 - alpha) is never slower than APO",
            "derived: gamma <= eta T / (1 - alpha)",
            "suboptimality at most 1e-12 above APO's",
            slower,
            slower <= 1e-12,
            exact=True,
        ),
    ]


def cyclic_findings(growth: np.ndarray, exact: np.ndarray, leading: np.ndarray, average: dict) -> list[Finding]:
    """What momentum does on cycles."""
    off = np.max(np.abs(growth / exact - 1))
    order = np.max(np.abs(exact / leading - 1))
    times, larger = growth[-1] / growth[0], 1 / (1 - MOMENTA[-1]) ** 2
    ratio = np.median(average["APO"] / average["APO"][0], axis=1)
    beside = np.median(average["APO"] / average["larger"], axis=1)[1:]
    return [
        Finding(
            "Cycle: growth of the distance to the equilibrium a step over log |z|, largest deviation from 1",
            "derived: linearised at the equilibrium",
            "<= 0.02",
            float(off),
            bool(off <= 0.02),
        ),
        Finding(
            "Cycle: (eta w)^2 / 2 (1 - a + 2 a^2) / (1 - a)^3 is log |z| to leading order, largest deviation",
            "derived: expansion of the root",
            "<= 0.05",
            float(order),
            bool(order <= 0.05),
            exact=True,
        ),
        Finding(
            f"Cycle: momentum {MOMENTA[-1]:g} leaves so many times as fast as none",
            f"derived: 46 times; the larger step alone {larger:.0f} times",
            "41 to 51",
            float(times),
            bool(41 <= times <= 51),
        ),
        Finding(
            f"Biased cycles: the average's gap with momentum {MOMENTA[-1]:g} over that without, median of the games",
            "measured; the paper claims nothing",
            "> 2",
            float(ratio[-1]),
            bool(ratio[-1] > 2),
        ),
        Finding(
            f"Biased cycles: the same with momentum {MOMENTA[1]:g}",
            "measured; a small momentum does not hurt the average",
            "0.9 to 1",
            float(ratio[1]),
            bool(0.9 <= ratio[1] <= 1),
        ),
        Finding(
            "Biased cycles: the average's gap over that of the larger step, median, smallest of all alpha",
            "measured: the larger step is what helps",
            ">= 1",
            float(beside.min()),
            bool(beside.min() >= 1),
        ),
    ]


def save(folder, rates, missing, growth, exact, average) -> None:
    """Everything that the findings rest on."""
    import xarray

    data = {
        "dominant_rate": (("momentum", "prompt"), rates),
        "missing_apo": (("momentum", "step", "prompt"), missing["APO"]),
        "missing_larger_step": (("momentum", "step", "prompt"), missing["larger"]),
        "cycle_growth": ("momentum", growth),
        "cycle_growth_predicted": ("momentum", exact),
        "average_gap_apo": (("momentum", "game"), average["APO"]),
        "average_gap_larger_step": (("momentum", "game"), average["larger"]),
    }
    xarray.Dataset(data, {"momentum": MOMENTA}).to_netcdf(folder / "apo.nc", engine="h5netcdf")


def draw(rates, missing, growth, exact, leading, average) -> Figure:
    """Transitive above, cyclic below."""
    figure = Figure(figsize=(10, 7.4), layout="constrained")
    (fast, reward), (leave, mean) = figure.subplots(2, 2)
    fast.plot(MOMENTA, 1 / (1 - MOMENTA), color="#888888", label="1 / (1 - alpha)")
    fast.plot(MOMENTA, (rates / rates[0]).mean(1), "o", color="#0072B2", label="measured, mean of 12 games")
    fast.set(title="dominant response: rate over that of alpha = 0", xlabel="momentum alpha", ylim=(0, None))
    steps = np.arange(1, missing["gamma"].shape[1] + 1)
    for index, colour in ((0, "#888888"), (3, "#E69F00"), (6, "#0072B2")):
        label = f"alpha = {MOMENTA[index]:g}"
        reward.plot(steps, missing["APO"][index].mean(-1), color=colour, label=f"APO, {label}")
        if index:
            reward.plot(
                steps, missing["larger"][index].mean(-1), ":", color=colour, label=f"step / (1 - {MOMENTA[index]:g})"
            )
    reward.set(title="Bradley-Terry: suboptimality, mean of 12 games", xlabel="step", yscale="log")
    leave.plot(MOMENTA, exact / exact[0], color="#0072B2", label="largest root")
    leave.plot(MOMENTA, leading / leading[0], "--", color="#56B4E9", label="leading order")
    leave.plot(MOMENTA, 1 / (1 - MOMENTA) ** 2, ":", color="#D55E00", label="larger step alone")
    leave.plot(MOMENTA, growth / growth[0], "o", color="#0072B2", label="measured")
    leave.set(title="cycle: speed of leaving, times that of alpha = 0", xlabel="momentum alpha", yscale="log")
    for name, label, look in (
        ("APO", "APO", ("#0072B2", "o-")),
        ("larger", "SPO, step / (1 - alpha)", ("#D55E00", "s:")),
    ):
        ratio = np.quantile(average[name] / average["APO"][0], [0.1, 0.5, 0.9], axis=1)
        mean.plot(MOMENTA, ratio[1], look[1], color=look[0], label=label)
        mean.fill_between(MOMENTA, ratio[0], ratio[2], color=look[0], alpha=0.15, linewidth=0)
    mean.set(title="20 biased cycles: average's gap over alpha = 0's", xlabel="momentum alpha")
    for ax in (fast, reward, leave, mean):
        ax.legend(frameon=False, fontsize="small")
        ax.grid(True, alpha=0.3, linewidth=0.6)
    return figure


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

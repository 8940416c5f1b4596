"""MNPO's history weights: which of them make the last iterate converge without a KL penalty.

Wu et al. 2025 (arXiv:2509.23102, equations 10 to 17) anchor a step at a weighted geometric mean of past policies. They
prove a rate for the average of the iterates, say nothing about the last one, and report no game. Their code weighs the
current and the previous policy (0.25, 0.75). To be expected, with m_k = sum_j j^k w_j and a game of frequency w:

* against the current policy (`opponents="current"`, what pairs drawn from it deliver) the distance to an equilibrium
  without KL penalty grows by c (eta w)^2 / 2 a step, c = (1 - m_2) / (1 + m_1)^3: it shrinks if and only if m_2 > 1;
* for three weights (1, a, b) that is b > 1/3, whatever a is; two weights, the authors' among them, never shrink it;
* against the mixture (`opponents="mixture"`, equation 14) c = (1 - (m_2 - m_1^2) / (1 + m_1)^2) / (1 + m_1) > 0: it
  always grows.

python experiments/mnpo_history.py [--smoke]
"""

from typing import Any, Literal

import jax
import numpy as np
from matplotlib.colors import TwoSlopeNorm
from matplotlib.figure import Figure

import nashpo
from nashpo.metrics import KLFrom
from nashpo.policies import Tabular
from nashpo.reproduction import Finding, command, results_folder
from nashpo.solvers import MNPO
from nashpo_games import biased_rps, rock_paper_scissors

jax.config.update("jax_enable_x64", True)

WIN = 0.9
ETA = 0.1
STEPS = 1200
TRANSIENT = 200
DISTANCE = 1e-3
SECOND = np.linspace(0.0, 2.0, 11)
THIRD = np.linspace(0.0, 2.0, 13)
Opponents = Literal["current", "mixture"]
OPPONENTS: tuple[Opponents, ...] = ("current", "mixture")
NAMED = {"INPO (1)": (1.0,), "(1, 1)": (1.0, 1.0), "authors (0.25, 0.75)": (0.25, 0.75), "(1, 1, 1)": (1.0, 1.0, 1.0)}
"""The histories whose runs are drawn, on a biased cycle with a large step."""
FAR = {"eta": 2.0, "steps": 6000, "every": 10, "start": [0.4, 0.35, 0.25]}
SOURCE = "Wu et al. 2025"


def growth_map(opponents: Opponents, steps: int) -> np.ndarray:
    """Growth of the log-distance a step for the weights (1, a, b), `[a, b]`."""
    start = 1 / 3 + DISTANCE / 3 * np.array([[1.0, 0.0, -1.0]])
    rule = MNPO(ETA, (1.0, SECOND, THIRD), opponents)
    metrics: dict[str, Any] = {"kl": KLFrom(Tabular.from_probs(np.full((1, 3), 1 / 3)))}
    found = nashpo.sweep(rock_paper_scissors(WIN), rule, steps=steps, starts=start, metrics=metrics).check()
    late = found.data["kl"].squeeze().isel(step=slice(min(TRANSIENT, steps // 2), None))
    logs = np.log(late.transpose("step", "history_1", "history_2").values) / 2
    return np.polyfit(late["step"], logs.reshape(len(logs), -1), 1)[0].reshape(logs.shape[1:])


def leading_order(weights: np.ndarray, opponents: str, step: float) -> np.ndarray:
    """`c (eta w)^2 / 2` for weights `[..., K]`; `step = eta w`."""
    share = weights / weights.sum(-1, keepdims=True)
    ages = np.arange(share.shape[-1])
    m1, m2 = share @ ages, share @ ages**2
    current, mixture = (1 - m2) / (1 + m1) ** 3, (1 - (m2 - m1**2) / (1 + m1) ** 2) / (1 + m1)
    return (current if opponents == "current" else mixture) * step**2 / 2


def largest_root(weights: np.ndarray, opponents: str, step: float) -> float:
    """`log |z|` of the linearised recursion, weights `[K]`: without approximation in the step."""
    share = weights / weights.sum()
    turn = 1j * step * (share if opponents == "mixture" else np.eye(len(share))[0])
    return float(np.log(np.abs(np.roots(np.concatenate([[1.0], -(share + turn)]))).max()))


def runs(steps: int) -> dict[str, nashpo.Result]:
    """Histories against the current policy on a biased cycle, from far away, without KL penalty."""
    game = biased_rps(rock=0.9, paper=0.8, scissors=0.7)
    settings = {"steps": steps, "every": FAR["every"], "start": FAR["start"]}
    rules = {name: MNPO(FAR["eta"], history, "current") for name, history in NAMED.items()}
    return {name: nashpo.solve(game, rule, **settings) for name, rule in rules.items()}


def main(smoke: bool = False) -> list[Finding]:
    """Measure both maps and the runs, save them and the picture, and say what held."""
    folder, share = results_folder(__file__, smoke), 6 if smoke else 1
    step = ETA * (WIN - 0.5) / np.sqrt(3)
    weights = np.stack(np.broadcast_arrays(1.0, SECOND[:, None], THIRD), -1)
    measured = {name: growth_map(name, STEPS // share) for name in OPPONENTS}
    leading = {name: leading_order(weights, name, step) for name in OPPONENTS}
    exact = {name: np.array([[largest_root(one, name, step) for one in row] for row in weights]) for name in OPPONENTS}
    far = runs(FAR["steps"] // share)
    save(folder, measured, leading, exact, far)
    draw(measured["current"], leading, measured, far).savefig(folder / "history.png", dpi=130)
    return map_findings(measured, leading, exact, step) + run_findings(far)


def map_findings(measured: dict, leading: dict, exact: dict, step: float) -> list[Finding]:
    """What the two maps say about the sign and the size of the rates."""
    scale = step**2 / 2
    current, predicted = measured["current"] / scale, leading["current"] / scale
    clear = np.abs(THIRD - 1 / 3) > 1e-9
    right = (current < 0)[:, clear] == np.broadcast_to(THIRD > 1 / 3, current.shape)[:, clear]
    boundary = np.abs(current[:, ~clear]).max()
    off = max(np.abs(measured[name] / scale - exact[name] / scale).max() for name in OPPONENTS)
    order = max(np.abs(measured[name] / scale - leading[name] / scale).max() for name in OPPONENTS)
    return [
        Finding(
            "Current opponents: the distance shrinks without KL exactly for the weights with m_2 > 1, here b > 1/3",
            f"derived from {SOURCE}, equation 17: linearised at the equilibrium",
            f"{right.size} of {right.size} weights",
            f"{int(right.sum())} of {right.size} weights",
            bool(right.all()),
            exact=True,
        ),
        Finding(
            "On the boundary m_2 = 1: the largest |c| that is measured",
            "derived: c = 0",
            "<= 0.01",
            float(boundary),
            bool(boundary <= 0.01),
        ),
        Finding(
            "c = (1 - m_2) / (1 + m_1)^3 and that of the mixture: largest deviation of the measured c",
            f"derived from {SOURCE}, equations 14 and 17: to leading order in eta w",
            "<= 0.01",
            float(order),
            bool(order <= 0.01),
        ),
        Finding(
            "The largest root of the recursion: largest deviation of the measured c",
            "derived: exact in the step",
            "<= 0.003",
            float(off),
            bool(off <= 0.003),
        ),
        Finding(
            "Mixture of opponents: the smallest c of all weights",
            f"derived from {SOURCE}, equation 14: always moves away",
            "> 0",
            float(measured["mixture"].min() / scale),
            bool(measured["mixture"].min() > 0),
            exact=True,
        ),
        Finding(
            "The fastest contraction of the map, c at its weights (1, a, b)",
            "derived: the smallest c of the map by the formula",
            f"{predicted.min():.3f}",
            float(current.min()),
            bool(abs(current.min() - predicted.min()) <= 0.01),
        ),
    ]


def run_findings(far: dict[str, nashpo.Result]) -> list[Finding]:
    """Where the runs from far away end."""
    gaps = {name: run.trace["duality_gap"] for name, run in far.items()}
    best = float(gaps.pop("(1, 1, 1)")[-1])
    final = {name: float(gap[len(gap) // 2 :].min()) for name, gap in gaps.items()}
    smallest = min(final, key=lambda name: final[name])
    step = f"eta = {FAR['eta']:g}, no KL, a biased cycle"
    return [
        Finding(
            f"Three equal weights end at the equilibrium ({step})", "derived: m_2 = 5/3", "<= 1e-6", best, best <= 1e-6
        ),
        Finding(
            f"INPO, two equal weights and the authors' do not: the smallest gap of the second half, {smallest}",
            "derived: m_2 is 0, 0.5 and 0.75",
            ">= 0.05",
            final[smallest],
            final[smallest] >= 0.05,
        ),
    ]


def save(folder, measured, leading, exact, far) -> None:
    """The maps and the curves."""
    import xarray

    axes = {"a": SECOND, "b": THIRD}
    data = {f"growth_{name}": (("a", "b"), measured[name]) for name in OPPONENTS}
    data |= {f"leading_order_{name}": (("a", "b"), leading[name]) for name in OPPONENTS}
    data |= {f"largest_root_{name}": (("a", "b"), exact[name]) for name in OPPONENTS}
    gaps = np.stack([run.trace["duality_gap"] for run in far.values()])
    data["far_gap"] = (("history", "step"), gaps)
    axes |= {"history": list(far), "step": next(iter(far.values())).trace["step"]}
    xarray.Dataset(data, axes).to_netcdf(folder / "history.nc", engine="h5netcdf")


def draw(current, leading, measured, far) -> Figure:
    """The map against the current policy, measured against predicted, and runs from far away."""
    figure = Figure(figsize=(14, 4.4), layout="constrained")
    chart, line, curves = figure.subplots(1, 3)
    scale = (ETA * (WIN - 0.5) / np.sqrt(3)) ** 2 / 2
    values = current.T / scale
    image = chart.pcolormesh(
        SECOND, THIRD, values, cmap="RdBu_r", norm=TwoSlopeNorm(0.0, -0.15, 1.0), shading="nearest"
    )
    chart.axhline(1 / 3, color="black", linestyle="--", linewidth=1.2)
    chart.text(1.98, 1 / 3 + 0.03, "m_2 = 1: b = 1/3", ha="right", va="bottom", fontsize="small")
    chart.set(title="measured c, weights (1, a, b), current opponents", xlabel="a", ylabel="b")
    figure.colorbar(image, ax=chart, label="blue: converges without KL")
    for name, mark in (("current", "o"), ("mixture", "s")):
        shade = "#0072B2" if name == "current" else "#E69F00"
        line.plot(
            leading[name].ravel() / scale, measured[name].ravel() / scale, mark, color=shade, markersize=3.5, label=name
        )
    ends = [min(v.min() for v in leading.values()) / scale, 1.0]
    line.plot(ends, ends, color="#888888", linewidth=1, zorder=0)
    line.axhline(0, color="#888888", linewidth=0.6, zorder=0)
    line.set(title="growth a step over (eta w)^2 / 2", xlabel="predicted c", ylabel="measured c")
    line.legend(frameon=False)
    nashpo.plots.gap(list(far.values()), list(far), ax=curves)
    curves.set_title(f"biased cycle, no KL, eta = {FAR['eta']:g}")
    return figure


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

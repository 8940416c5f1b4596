"""Self-play of one response against many others at once: an average need not be an equilibrium.

The objective of MNPO (Wu et al. 2025, arXiv:2509.23102, equation 7) compares one response with n - 1 others at once, as
Plackett-Luce choices do; its update and its rate for the average policy are those of averages over pairs (equation 10).
To be expected where players really meet all at once, without KL penalty:

* the average regret of self-play vanishes, but payoffs are multilinear in the opponents, so that the average of the
  policies need not become an equilibrium: false for the tensor of three players below;
* on Plackett-Luce choices of one or several annotators no such failure was found; the last profile converges there;
* one Plackett-Luce annotator: the highest reward is the only equilibrium; with a penalty it depends on n, unlike in
  pairs.

python experiments/one_against_many.py [--smoke]
"""

import itertools

import jax
import numpy as np
from matplotlib.figure import Figure

from nashpo.players import TensorGame, epsilon_nash, play
from nashpo.reproduction import Finding, command, results_folder

jax.config.update("jax_enable_x64", True)

ALONE, APART = np.array([[0, 0, 4], [7, 0, 5], [0, 5, 0]]) / 10, np.array([4, 6, 0]) / 10
"""`ALONE[a, b]` is what b gets against two times a, `APART[a]` what a gets against the other two."""
TENSOR = {"etas": (0.4, 0.2, 0.1, 0.05), "steps": (4000, 16_000, 64_000, 256_000)}
CHOICES = {"populations": 40, "annotators": 4, "actions": 4, "scale": 4.0, "eta": 0.4, "steps": 20_000}
REWARDS, BETA = np.array([0.0, 0.5, 1.0, 1.5]), 0.1
"""One annotator."""
SOURCE = "Wu et al. 2025"


def tensor() -> TensorGame:
    """Three players, three responses, shares that do not depend on the order of the opponents."""
    payoff = np.full((3, 3, 3), 1 / 3)
    for a, b in itertools.permutations(range(3), 2):
        payoff[b, a, a] = ALONE[a, b]
        payoff[a, a, b] = payoff[a, b, a] = (1 - ALONE[a, b]) / 2
    for a, b, c in itertools.permutations(range(3)):
        payoff[a, b, c] = APART[a]
    return TensorGame.from_tensor(payoff)


def one_against_many(share: int) -> tuple[np.ndarray, np.ndarray]:
    """Average regret and the largest gain at the average, `[eta]`: self-play on the tensor, from the uniform policy."""
    runs = [
        play(tensor(), eta=eta, steps=steps // share)
        for eta, steps in zip(TENSOR["etas"], TENSOR["steps"], strict=True)
    ]
    regret = [float(np.max(run.regret)) for run in runs]
    return np.array(regret), np.array([float(epsilon_nash(tensor(), run.average)) for run in runs])


def choices(populations: int, steps: int) -> np.ndarray:
    """Plackett-Luce annotators, three players: regret, the average's gain and the last's, `[3, population]`."""
    rng, found = np.random.default_rng(5), []
    for _ in range(populations):
        rewards = CHOICES["scale"] * rng.normal(size=(CHOICES["annotators"], CHOICES["actions"]))
        payoff = np.mean([TensorGame.from_rewards(row, players=3).payoff for row in rewards], axis=0)
        game = TensorGame.from_tensor(payoff)
        first = np.tile(rng.dirichlet(np.ones(CHOICES["actions"])), (3, 1))
        run = play(game, eta=CHOICES["eta"], steps=steps, starts=first)
        found.append([np.max(run.regret), epsilon_nash(game, run.average), epsilon_nash(game, run.profile)])
    return np.array(found, float).T


def single_reward() -> tuple[float, float]:
    """One Plackett-Luce annotator: the last gain without penalty, and how far 2 and 4 players disagree with it."""
    free = TensorGame.from_rewards(REWARDS, players=4)
    gain = float(epsilon_nash(free, play(free, eta=1.0, steps=2000).profile))
    settled = [TensorGame.from_rewards(REWARDS, players=n, beta=BETA) for n in (2, 4)]
    last = [np.asarray(play(game, eta=0.5, steps=2000).profile.probs())[0, 0] for game in settled]
    return gain, float(0.5 * np.abs(last[0] - last[1]).sum())


def main(smoke: bool = False) -> list[Finding]:
    """Play everything, save it and the picture, and say what held."""
    folder, share = results_folder(__file__, smoke), 10 if smoke else 1
    many = one_against_many(share)
    population = choices(CHOICES["populations"] // share, CHOICES["steps"] // share)
    save(folder, many, population)
    draw(many, population).savefig(folder / "many.png", dpi=130)
    return many_findings(many, population)


def many_findings(many: tuple, population: np.ndarray) -> list[Finding]:
    """What the tensor and the choices say."""
    (regret, gain), (reward_gain, apart) = many, single_reward()
    ratio, last = float((population[1] / population[0]).max()), float(np.median(population[2]))
    return [
        Finding(
            "One against many: the average of self-play tends to an equilibrium; its largest gain, longest run",
            f"{SOURCE}, rate of the average policy, for the objective of equation 7: false for this tensor",
            "<= 1e-3",
            float(gain[-1]),
            bool(gain[-1] <= 1e-3),
        ),
        Finding(
            "One against many: the average regret of that run",
            "derived: mirror descent",
            "<= 1e-4",
            float(regret[-1]),
            bool(regret[-1] <= 1e-4),
        ),
        Finding(
            "One against many: the average's gain when the step is an eighth and the run 64 times as long, over before",
            "derived: regrets that vanish only make a coarse correlated equilibrium",
            "0.9 to 1.1",
            float(gain[-1] / gain[0]),
            bool(0.9 <= gain[-1] / gain[0] <= 1.1),
        ),
        Finding(
            f"{population.shape[1]} populations of Plackett-Luce annotators: the average's gain over its regret",
            "measured: no failure found",
            "<= 1",
            ratio,
            ratio <= 1,
        ),
        Finding("The same: the last profile's gain without KL, median", "measured", "<= 1e-6", last, last <= 1e-6),
        Finding(
            "One Plackett-Luce annotator, no KL: the last gain",
            "derived: the highest reward dominates",
            "<= 1e-6",
            reward_gain,
            reward_gain <= 1e-6,
            exact=True,
        ),
        Finding(
            "One Plackett-Luce annotator, with KL: total variation between the equilibria of 2 and of 4 players",
            "derived: shares among more players are flatter",
            "> 0.01",
            apart,
            apart > 0.01,
            exact=True,
        ),
    ]


def save(folder, many, population) -> None:
    """Everything that is drawn."""
    import xarray

    data = {
        "tensor_regret": (("eta",), many[0]),
        "tensor_gain": (("eta",), many[1]),
        "population": (("quantity", "game"), population),
    }
    axes = {"eta": list(TENSOR["etas"]), "quantity": ["regret", "average_gain", "last_gain"]}
    xarray.Dataset(data, axes).to_netcdf(folder / "many.nc", engine="h5netcdf")


def draw(many, population) -> Figure:
    """The tensor on which averages fail, and the populations on which they do not."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    steps = np.array(TENSOR["steps"])
    left.plot(steps, many[1], "o-", color="#D55E00", label="largest gain at the average")
    left.plot(steps, many[0], "s:", color="#0072B2", label="average regret")
    left.set(title="a tensor: one against two", xlabel="steps, eta falls from 0.4 to 0.05", xscale="log", yscale="log")
    ends = np.array([population[:2].min() / 1.5, population[:2].max() * 1.5])
    right.plot(ends, ends, color="#888888", linewidth=1, label="gain = regret")
    right.plot(population[0], population[1], "o", color="#009E73", label="a population of annotators")
    right.set(title="Plackett-Luce choices: one against two", xscale="log", yscale="log")
    right.set(xlabel="average regret", ylabel="largest gain at the average")
    for ax in (left, right):
        ax.legend(frameon=False, fontsize="small")
        ax.grid(True, alpha=0.3, linewidth=0.6)
    return figure


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

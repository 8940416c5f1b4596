"""Self-play of n players who meet in pairs: they agree, and then they are one player.

Wu et al. 2025 (arXiv:2509.23102) state MNPO for n players whose payoff is the average over pairs (equation 10). They
report no game. To be expected:

* at equal policies every gain is half the two-player duality gap, whatever n is, so the symmetric equilibria are those
  of two players; with a KL penalty all players end there;
* close to the equilibrium (frequency w) differences between players shrink by |1 - eta beta + i eta w| / (n - 1)
  a step: by 1 / (n - 1) for small steps, and for two players no faster than INPO itself converges;
* without penalty two players that start apart swap two runs of self-play at every step;
* with an annotator for each player, the players stay within O(eta) of the mean annotator's equilibrium, which is no
  equilibrium of their own game.

python experiments/n_player_consensus.py [--smoke]
"""

import itertools

import jax
import numpy as np
from matplotlib.figure import Figure

import nashpo
from nashpo.players import HeterogeneousGame, PairwiseGame, epsilon_nash, gains, play
from nashpo.policies import Tabular
from nashpo.reproduction import Finding, command, results_folder
from nashpo_games import random_constant_sum, rock_paper_scissors

jax.config.update("jax_enable_x64", True)

PLAYERS = (2, 3, 4, 5, 6)
ACTIONS, BETA, ETA, STEPS = 6, 0.1, 0.3, 2000
"""The random game that all players solve."""
LOCAL = {"win": 0.9, "beta": 0.1, "eta": 0.2, "steps": 8, "distance": 1e-3}
SWAP_STEPS = 50
ANNOTATORS = {"count": 3, "beta": 0.1, "etas": (0.04, 0.02, 0.01), "time": 100.0}
SOURCE = "Wu et al. 2025"


def starts(count: int, actions: int, seed: int = 0) -> np.ndarray:
    """Random policies `[count, actions]`, uniform on the simplex."""
    return np.random.default_rng(seed).dirichlet(np.ones(actions), count)


def equal_policies() -> float:
    """Largest deviation of a gain from half the duality gap, over n and random policies."""
    game = random_constant_sum(ACTIONS, beta=BETA)
    return max(
        float(
            np.abs(
                gains(PairwiseGame.among(game, n), np.tile(policy, (n, 1))) - nashpo.duality_gap(game, policy) / 2
            ).max()
        )
        for n, policy in itertools.product(PLAYERS, starts(20, ACTIONS))
    )


def consensus(steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """After the steps in the first array: the largest gain, spread and KL from the equilibrium, `[n, T]` each."""
    game = random_constant_sum(ACTIONS, beta=BETA)
    target = nashpo.equilibrium(game).log_probs()[0]
    times = np.unique(np.round(np.geomspace(1, steps, 30)).astype(int))
    found = np.zeros((3, len(PLAYERS), len(times)))
    for row, n in enumerate(PLAYERS):
        meeting = PairwiseGame.among(game, n)
        for column, time in enumerate(times):
            profile = play(meeting, eta=ETA, steps=int(time), starts=starts(n, ACTIONS)).profile
            profile = Tabular(np.asarray(profile.logits), normalised=True)
            log = np.asarray(profile.log_probs())[:, 0]
            kl = np.sum(np.exp(target) * (target - log) + np.exp(log) - np.exp(target), -1)
            found[:, row, column] = epsilon_nash(meeting, profile), spread(log), kl.max()
    return times, found[0], found[1], found[2]


def spread(log: np.ndarray) -> float:
    """The norm of the players' differences from their mean in log-probability, `[n, A]`."""
    away = log - log.mean(-1, keepdims=True)
    return float(np.linalg.norm(away - away.mean(0)))


def local_factors() -> np.ndarray:
    """By how much a step shrinks the differences close to the equilibrium of a symmetric cycle, `[n]`."""
    game = rock_paper_scissors(LOCAL["win"], beta=LOCAL["beta"])
    factors = []
    for n in PLAYERS:
        away = np.random.default_rng(n).normal(size=(n, 3))
        first = np.exp(LOCAL["distance"] * (away - away.mean(0)))
        first /= first.sum(-1, keepdims=True)
        meeting = PairwiseGame.among(game, n)
        profile = play(meeting, eta=LOCAL["eta"], steps=LOCAL["steps"], starts=first).profile
        after = spread(np.asarray(profile.log_probs())[:, 0])
        factors.append((after / spread(np.log(first))) ** (1 / LOCAL["steps"]))
    return np.array(factors)


def swap() -> float:
    """Largest difference, in log-probability, of two players that start apart from two runs of self-play."""
    pair = PairwiseGame.among(random_constant_sum(ACTIONS), 2)
    first = starts(2, ACTIONS)
    apart = np.asarray(play(pair, eta=ETA, steps=SWAP_STEPS, starts=first).profile.log_probs())
    alone = [play(pair, eta=ETA, steps=SWAP_STEPS, starts=np.tile(one, (2, 1))).profile.log_probs()[0] for one in first]
    return float(np.abs(apart - np.stack(alone)).max())


def annotators() -> tuple[np.ndarray, np.ndarray]:
    """An annotator for each player: distance from the mean annotator's equilibrium, own largest gain, `[eta]`."""
    tables = random_constant_sum(ACTIONS, seed=3, prompts=ANNOTATORS["count"]).oracle.table()
    game = HeterogeneousGame.from_tables(tables, beta=ANNOTATORS["beta"])
    target = nashpo.equilibrium(nashpo.Game.from_table(tables.mean(0), beta=ANNOTATORS["beta"])).probs()[0]
    away, own = [], []
    for eta in ANNOTATORS["etas"]:
        profile = play(game, eta=eta, steps=round(ANNOTATORS["time"] / (eta * ANNOTATORS["beta"]))).profile
        away.append(float(np.abs(np.asarray(profile.probs())[:, 0] - target).max()))
        own.append(float(epsilon_nash(game, profile)))
    return np.array(away), np.array(own)


def main(smoke: bool = False) -> list[Finding]:
    """Play everything, save it and the picture, and say what held."""
    folder, share = results_folder(__file__, smoke), 10 if smoke else 1
    agree = consensus(STEPS // share)
    factors, turn = local_factors(), LOCAL["eta"] * (LOCAL["win"] - 0.5) / np.sqrt(3)
    predicted = np.hypot(1 - LOCAL["eta"] * LOCAL["beta"], turn) / (np.array(PLAYERS) - 1)
    save(folder, agree, factors, predicted)
    draw(agree, factors, predicted).savefig(folder / "players.png", dpi=130)
    return pair_findings(agree, factors, predicted) + annotator_findings()


def pair_findings(agree: tuple, factors: np.ndarray, predicted: np.ndarray) -> list[Finding]:
    """Players who meet in pairs."""
    half, kl, off, swapped = equal_policies(), agree[3][:, -1].max(), np.abs(factors / predicted - 1).max(), swap()
    gain = agree[1][:, -1].max()
    shrink = np.abs(factors[1:] * (np.array(PLAYERS[1:]) - 1) - 1).max()
    return [
        Finding(
            "Pairs: at equal policies every gain is half the two-player gap, n = 2 to 6; largest deviation",
            f"derived from {SOURCE}, equation 9",
            "<= 1e-14",
            half,
            half <= 1e-14,
            exact=True,
        ),
        Finding(
            "Pairs with KL: the last players' largest KL from the two-player equilibrium, n = 2 to 6",
            f"derived from {SOURCE}, equation 10 with the pull that its objective asks for",
            "<= 1e-12",
            float(kl),
            bool(kl <= 1e-12),
        ),
        Finding(
            "Pairs with KL: the last players' largest gain",
            "derived: the same",
            "<= 1e-12",
            float(gain),
            bool(gain <= 1e-12),
        ),
        Finding(
            "Pairs: differences shrink by |1 - eta beta + i eta w| / (n - 1) a step, n = 2 to 6; largest deviation",
            "derived: linearised at the equilibrium",
            "<= 1e-3",
            float(off),
            bool(off <= 1e-3),
            exact=True,
        ),
        Finding(
            "Pairs: that factor times (n - 1), n = 3 to 6, largest deviation from 1",
            "derived: 1 / (n - 1) for small steps",
            "<= 0.03",
            float(shrink),
            bool(shrink <= 0.03),
            exact=True,
        ),
        Finding(
            "Two players that start apart, no KL: difference from two runs of self-play after an even number of steps",
            f"derived from {SOURCE}, equation 10: the own policy is not on its right side",
            "<= 1e-10",
            swapped,
            swapped <= 1e-10,
            exact=True,
        ),
    ]


def annotator_findings() -> list[Finding]:
    """A player for each annotator."""
    away, own = annotators()
    halves = away[:-1] / away[1:]
    return [
        Finding(
            "An annotator each: distance from the mean annotator's equilibrium, ratio when eta is halved, smallest",
            f"derived from {SOURCE}, equation 18: the anchor is the mean of the opponents",
            "1.9 to 2.1",
            float(halves.min()),
            bool(halves.min() >= 1.9 and halves.max() <= 2.1),
        ),
        Finding(
            f"An annotator each: a player's largest gain in the own game at eta = {ANNOTATORS['etas'][-1]:g}",
            "derived: no equilibrium of the own game",
            "> 0.01",
            float(own[-1]),
            bool(own[-1] > 0.01),
        ),
    ]


def save(folder, agree, factors, predicted) -> None:
    """Everything that is drawn."""
    import xarray

    times, gain, spreads, kl = agree
    data = {name: (("players", "step"), values) for name, values in (("gain", gain), ("spread", spreads), ("kl", kl))}
    data |= {"factor": ("players", factors), "factor_predicted": ("players", predicted)}
    xarray.Dataset(data, {"players": list(PLAYERS), "step": times}).to_netcdf(folder / "players.nc", engine="h5netcdf")


def draw(agree, factors, predicted) -> Figure:
    """Consensus, and the factor by which differences shrink."""
    figure = Figure(figsize=(10, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    times, gain, spreads, _ = agree
    for row, shade in ((0, "#0072B2"), (1, "#E69F00"), (3, "#009E73")):
        left.plot(times, gain[row], color=shade, label=f"{PLAYERS[row]} players: largest gain")
        left.plot(times, spreads[row], ":", color=shade, label="their differences")
    left.set(title=f"random game, beta = {BETA:g}", xlabel="step", xscale="log", yscale="log", ylim=(1e-15, 30))
    right.plot(PLAYERS, 1 / (np.array(PLAYERS) - 1), color="#888888", label="1 / (n - 1)")
    right.plot(PLAYERS, predicted, "+", color="#D55E00", markersize=13, label="|1 - eta beta + i eta w| / (n - 1)")
    right.plot(PLAYERS, factors, "o", color="#0072B2", label="measured")
    right.set(title="factor a step on differences", xlabel="players n", xticks=PLAYERS, ylim=(0, None))
    for ax in (left, right):
        ax.legend(frameon=False, fontsize="small")
        ax.grid(True, alpha=0.3, linewidth=0.6)
    return figure


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

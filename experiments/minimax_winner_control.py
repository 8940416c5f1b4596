"""Self-play on a control task: the average of the policies finds the minimax winner of cyclic preferences.

Swamy et al., "A Minimaximalist Approach to Reinforcement Learning from Human Feedback" (2024, arXiv:2401.04056): a
policy that is rewarded by how often its trajectories beat its own others finds a minimax winner, whatever the
preferences over trajectories are, where a reward model cannot. Here the task is a walk on a grid with three goals
(`nashpo_games.control`), small enough for the gap to be exact and the minimax winner over goals known. Networks learn
from sampled trajectories and comparisons alone. To be expected:

* preferences in a circle, by the last cell (intransitive) or the first goal (non-Markovian): the average of the
  policies approaches the minimax winner, the last one goes round;
* preferences by return, noisy votes too: the last policy walks straight to the goal;
* a Bradley-Terry reward that fits all comparisons of the start's own walks, maximised by the same learner: one goal;
* steps of plain policy gradient are multiplied by the probability of what they change: one goal takes it all as well.
  The learner that works takes several proximal steps on the same samples, which is a natural gradient.
"""

import dataclasses
from typing import Any

import matplotlib

matplotlib.use("agg")

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
from flax import nnx
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import nashpo
from nashpo.estimates import trained_lower_bound
from nashpo.learners import Sampled
from nashpo.learners.bradley_terry import fit_reward
from nashpo.learners.gains import Batch
from nashpo.learners.losses import PolicyGradient, ProximalPolicyGradient
from nashpo.metrics import Last
from nashpo.plots.style import colour
from nashpo.policies import Rollout, Tabular
from nashpo.reproduction import Finding, command, results_folder
from nashpo.solvers import SPO
from nashpo_games import first_goal_cycle, goal_cycle, goal_return
from nashpo_games.control import GOALS, goal_cycle_equilibrium
from nashpo_games.grid import SIZE

ETA, RATE, UPDATES = 0.5, 0.01, 8
"""SPO's step, Adam's, and how many of these a step of SPO is fitted with."""
BATCH, STEPS, EVERY, SEEDS = 256, 400, 10, 3
WINNER = goal_cycle_equilibrium()
OUTCOMES = ("goal 0", "goal 1", "goal 2", "nowhere")
SOURCE = "SPO arXiv:2401.04056"


def network(game: nashpo.Game, seed: int) -> Any:
    """A policy with one hidden layer of 32; it starts close to a random walk."""
    world: Any = game.oracle.world  # type: ignore[attr-defined]  that of goal_cycle
    rngs = nnx.Rngs(seed)
    layers = nnx.Linear(SIZE * SIZE * world.horizon, 32, rngs=rngs), nnx.tanh, nnx.Linear(32, world.actions, rngs=rngs)
    return Rollout.from_module(nnx.Sequential(*layers), world, prompts=len(world.starts))


def shares(game: Any, policy: Any) -> Any:
    """The distribution over outcomes at the first prompt: a metric."""
    return game.oracle.distribution(jnp.exp(policy.log_probs()))[0]


def learn(game: nashpo.Game, seed: int, loss: Any, *, steps: int, batch: int, updates: int = UPDATES) -> nashpo.Result:
    """SPO from sampled trajectories: `batch` of them a step, rewarded by how many of the others they beat."""
    learner = Sampled(RATE, loss=loss, gains=Batch(), responses=batch, updates=updates)
    metrics: dict[str, Any] = {"average": shares, "last": Last(shares), "last_gap": Last(nashpo.duality_gap)}
    return nashpo.solve(
        game, SPO(ETA), steps=steps, every=EVERY, learner=learner, start=network(game, seed), key=seed, metrics=metrics
    )


def reward_model(game: nashpo.Game, start: Rollout) -> nashpo.Game:
    """The game of the Bradley-Terry reward that fits unlimited comparisons of the start's own trajectories."""
    oracle: Any = game.oracle
    payoff = jnp.asarray(oracle.payoff)[None]
    reward = fit_reward(payoff, oracle.distribution(start.probs()).astype(payoff.dtype)[:1])[0]
    fitted = jax.nn.sigmoid(reward[:, None] - reward[None, :])
    return dataclasses.replace(game, oracle=dataclasses.replace(oracle, payoff=np.asarray(fitted)))


def distance(found: np.ndarray) -> np.ndarray:
    """Total variation from the minimax winner, along the last axis."""
    return 0.5 * np.abs(np.asarray(found) - WINNER).sum(-1)


def run_all(smoke: bool) -> dict[str, list[nashpo.Result]]:
    """Every task and learner, one run a seed."""
    steps, batch, seeds = (2 * EVERY, 32, 1) if smoke else (STEPS, BATCH, SEEDS)
    proximal, circle = ProximalPolicyGradient(), goal_cycle()
    tasks = {
        "cycle": lambda seed: (circle, proximal, UPDATES),
        "reward model": lambda seed: (reward_model(circle, network(circle, seed)), proximal, UPDATES),
        "plain gradient": lambda seed: (circle, PolicyGradient(), 1),
        "first goal": lambda seed: (first_goal_cycle(), proximal, UPDATES),
        "return": lambda seed: (goal_return(), proximal, UPDATES),
        "noisy return": lambda seed: (goal_return(flip=0.2), proximal, UPDATES),
    }
    found = {}
    for name, task in tasks.items():
        found[name] = []
        for seed in range(seeds):
            game, loss, updates = task(seed)
            found[name].append(learn(game, seed, loss, steps=steps, batch=batch, updates=updates))
    return found


def winner_gap() -> float:
    """The exact gap of a policy over trajectories that reaches each goal as the minimax winner does."""
    game = goal_cycle()
    outcomes = np.asarray(game.oracle.outcomes())[0]  # type: ignore[attr-defined]  that of goal_cycle
    counts = np.bincount(outcomes, minlength=len(WINNER))
    return float(nashpo.duality_gap(game, Tabular.from_probs((WINNER / counts)[outcomes])))


def found_from_samples(run: nashpo.Result, start: Any) -> tuple[float, float, float]:
    """The exact gap of a run's last policy in the true game, and what a response trained from samples finds of it."""
    game = goal_cycle()
    bound = trained_lower_bound(
        game,
        run.last,
        start,
        key=jax.random.key(0),
        steps=400,
        learning_rate=RATE,
        prompts=1,
        responses=BATCH,
        rows=4096,
    )
    return float(nashpo.duality_gap(game, run.last)), bound.value, bound.low


def findings(found: dict[str, list[nashpo.Result]]) -> list[Finding]:
    """What was expected beside what came out."""
    ends = {name: np.stack([run.trace["average"][-1] for run in runs]) for name, runs in found.items()}
    lasts = {name: np.stack([run.trace["last"] for run in runs]) for name, runs in found.items()}
    gaps = {name: max(float(run.trace["last_gap"][-1]) for run in runs) for name, runs in found.items()}
    late = distance(lasts["cycle"])[:, lasts["cycle"].shape[1] // 2 :]
    modelled, plain = (float(lasts[name][:, -1].max(-1).min()) for name in ("reward model", "plain gradient"))
    wins = np.argmax(lasts["reward model"][:, -1], axis=-1)
    exact = winner_gap()
    gap, value, low = found_from_samples(found["reward model"][0], found["cycle"][0].last)
    circle, first = (float(distance(ends[name]).max()) for name in ("cycle", "first goal"))
    count = len(found["cycle"])
    return [
        Finding(
            "the minimax winner over goals has no gap among all trajectories", "derived: who wins depends on the goal",
            "0", exact, exact < 1e-6, exact=True,
        ),
        Finding(
            f"intransitive: the average's total variation from the minimax winner, worst of {count} seeds", SOURCE,
            "at most 0.1", circle, circle <= 0.1,
        ),
        Finding(
            "intransitive: the last policy's mean total variation over the second half, least of the seeds",
            "derived: no last-iterate convergence", "above 0.15", float(late.mean(1).min()), late.mean(1).min() > 0.15,
        ),
        Finding(
            "intransitive, reward model: the share of the goal it ends on, least of the seeds (goals "
            f"{', '.join(map(str, wins))})", f"{SOURCE}: reward models cannot", "above 0.8", modelled, modelled > 0.8,
        ),
        Finding(
            "intransitive, plain policy gradient: the share of the goal it ends on, least of the seeds",
            "derived: its steps are multiplied by pi", "above 0.8", plain, plain > 0.8,
        ),
        Finding(
            "non-Markovian: the average's total variation from the minimax winner, worst of the seeds", SOURCE,
            "at most 0.1", first, first <= 0.1,
        ),
        Finding(
            "by return: the last policy's gap, worst of the seeds", SOURCE, "at most 0.1", gaps["return"],
            gaps["return"] <= 0.1,
        ),
        Finding(
            "by return, votes flipped in 20%: the last policy's gap, worst of the seeds", SOURCE, "at most 0.1",
            gaps["noisy return"], gaps["noisy return"] <= 0.1,
        ),
        Finding(
            "the reward model's gap, as found from samples by a trained response",
            "derived: a lower bound", f"at least 90% of the exact {gap:.3f}, above it by sampling error only", value,
            value >= 0.9 * gap and low <= gap,
        ),
    ]  # fmt: skip


def shaded(ax: Axes, steps: np.ndarray, parts: np.ndarray, title: str) -> None:
    """Shares of outcomes over steps, stacked, with the minimax winner's borders."""
    ax.stackplot(steps, parts.T, labels=OUTCOMES, colors=[colour(i) for i in range(3)] + ["#dddddd"], alpha=0.8)
    for border in np.cumsum(WINNER)[:2]:
        ax.axhline(border, color="black", linestyle="--", linewidth=1.0)
    ax.set(title=title, xlabel="step of SPO", ylabel="share of trajectories", ylim=(0, 1), xlim=(steps[0], steps[-1]))


def draw(found: dict[str, list[nashpo.Result]]) -> Figure:
    """Distance from the minimax winner; shares of the last policy and of the average; where the average walks."""
    figure, (first, second, third, fourth) = plt.subplots(1, 4, figsize=(21.0, 4.8), layout="constrained")
    curves = (("cycle", "average"), ("cycle", "last"), ("reward model", "last"), ("plain gradient", "average"))
    for index, (name, which) in enumerate(curves):
        for number, run in enumerate(found[name]):
            label = f"{name}, {which}" if number == 0 else None
            first.plot(run.trace["step"], distance(run.trace[which]), color=colour(index), label=label, linewidth=1.2)
    first.set(
        xlabel="step of SPO",
        ylabel="total variation from the minimax winner",
        yscale="log",
        title="three goals in a circle",
    )
    first.grid(True, alpha=0.3)
    first.legend(frameon=False, fontsize="small")
    run = found["cycle"][0]
    shaded(second, run.trace["step"], run.trace["last"], "last policy; dashed: minimax winner")
    shaded(third, run.trace["step"], run.trace["average"], "average of the policies")
    third.legend(loc="lower right", fontsize="small")
    walked(fourth, run)
    return figure


def walked(ax: Axes, run: nashpo.Result) -> None:
    """How often the average's trajectories are in each cell."""
    oracle: Any = run.game.oracle
    every = np.asarray(oracle.answers.tokens())
    paths = np.asarray(oracle.world.paths(np.zeros(len(every), int), every))
    weights = np.repeat(np.asarray(run.policy.probs())[0][:, None], paths.shape[1], axis=1)
    visits = np.zeros((SIZE, SIZE))
    np.add.at(visits, (paths[..., 0], paths[..., 1]), weights)
    ax.imshow(visits, cmap="Greys")
    ax.plot(*np.asarray(oracle.world.starts)[0][::-1], marker="o", color="white", markeredgecolor="black")
    for goal, (row, column) in enumerate(GOALS):
        ax.text(column, row, str(goal), color=colour(goal), ha="center", va="center", fontsize=18, fontweight="bold")
    ax.set(title="visits of the average; start and goals", xticks=[], yticks=[])


def main(smoke: bool = False) -> list[Finding]:
    """Run, save, compare."""
    folder = results_folder(__file__, smoke)
    found = run_all(smoke)
    for name, runs in found.items():
        for seed, run in enumerate(runs):
            run.save(folder / f"{name.replace(' ', '_')}_{seed}.nc")
    figure = draw(found)
    figure.savefig(folder / "control.png", dpi=110)
    plt.close(figure)
    return findings(found)


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

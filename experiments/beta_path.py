"""Equilibria along beta on real tables: from the reference to the maximal lottery.

The KL-regularised equilibrium of Munos et al. 2023 (arXiv:2312.00886) is `pi = softmax(log ref + P pi / beta)`. Papers
fix one beta; here it runs from 1 to 0. To be expected, derived from the variational inequality of the equilibrium:

* KL(pi || ref) never falls when beta does, so with a uniform reference the effective number of items, exp(entropy),
  never rises; a single item may come and go, and the favourite may change;
* as beta goes to 0 the equilibrium tends to the maximal lottery: in proportion to beta where several items are mixed,
  exponentially where one item beats all others;
* of several maximal lotteries it picks the one of largest entropy, or the closest to the reference if that is not
  uniform.

The tables are those of ../shared/data beside the project, and games that ship with it where that folder is absent.

python experiments/beta_path.py [--smoke]
"""

import json
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import numpy as np
from matplotlib.figure import Figure

import nashpo
from nashpo.equilibria import EquilibriumPath, equilibrium_path
from nashpo.plots.style import colour, dash
from nashpo.reproduction import Finding, command, results_folder
from nashpo_games import biased_rps, pokemon_types, smith_cycle, tennessee_capital, transitive_plus_cyclic

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
NAMES = ("agent_arena_llms", "mujoco_soccer", "pokemon_types", "f1_2007", "atari_agents")
SHIPPED = {
    "pokemon_types": pokemon_types,
    "transitive_plus_cyclic": transitive_plus_cyclic,
    "biased_rps": biased_rps,
    "smith_cycle": smith_cycle,
    "tennessee_capital": tennessee_capital,
}
BETAS = np.geomspace(1.0, 1e-5, 51)
SMALL = (1e-4, 1e-5)
"""Two weights between which the distance to the lottery is compared."""
PLAYED = 0.01
"""From this probability on an item counts as played."""
MANY = np.array([[0.5, 0.9, 0.5, 0.3], [0.1, 0.5, 0.7, 0.5], [0.5, 0.3, 0.5, 0.6], [0.7, 0.5, 0.4, 0.5]])
"""A cycle of four whose maximal lotteries are (t, 1/3 - t, 2 t, 2/3 - 2 t), 0 <= t <= 1/3."""
REFERENCE = np.array([0.4, 0.1, 0.2, 0.3])


def games() -> tuple[dict[str, nashpo.Game], str]:
    """The real tables and the words for them; the shipped games where there is no such folder."""
    if DATA.is_dir():
        return {name: nashpo.load_table(DATA / f"{name}.csv") for name in NAMES}, "the real tables"
    return {name: make() for name, make in SHIPPED.items()}, "games that ship; no real tables beside the project"


def distance(path: EquilibriumPath, lottery: np.ndarray) -> np.ndarray:
    """Total variation from the lottery, `[T]`."""
    return 0.5 * np.abs(path.probs()[:, 0] - lottery).sum(-1)


def effective(path: EquilibriumPath) -> np.ndarray:
    """The effective number of items, `exp(entropy)`, `[T]`."""
    return np.exp([-np.sum(np.exp(e.log_probs()[0]) * e.log_probs()[0]) for e in path])


def favourite(answer: nashpo.Equilibrium) -> int | None:
    """The most probable item; None where it leads by less than 1e-6."""
    second, first = np.argsort(answer.probs()[0])[-2:]
    return int(first) if np.diff(answer.probs()[0][[second, first]]) > 1e-6 else None


def closest_lottery(reference: np.ndarray) -> np.ndarray:
    """The maximal lottery of `MANY` with the smallest KL from the reference."""
    odds = (reference[0] * reference[2] ** 2 / (reference[1] * reference[3] ** 2)) ** (1 / 3)
    t = odds / (1 + odds) / 3
    return np.array([t, 1 / 3 - t, 2 * t, 2 / 3 - 2 * t])


def stored(name: str, path: EquilibriumPath) -> float:
    """The largest deviation of a probability from the solutions that come with the real tables."""
    found = json.loads((DATA / "solutions" / f"{name}.solutions.json").read_text())
    away = []
    for weight, solution in found["kl_equilibrium"].items():
        answer = path[int(np.argmin(np.abs(np.array(path.betas) - float(weight))))]
        away.append(np.abs(answer.probs()[0] - solution["pi"]).max())
    away.append(np.abs(path[path.betas.index(0.0)].probs()[0] - found["maximal_lottery"]["p"]).max())
    return float(max(away))


def main(smoke: bool = False) -> list[Finding]:
    """Follow every path, save it and the picture, and say what held."""
    folder = results_folder(__file__, smoke)
    tables, source = games()
    weights = [*(BETAS[::8] if smoke else BETAS).tolist(), *SMALL, 0.1, 0.01, 0.0]
    betas = sorted({round(beta, 12) for beta in weights}, reverse=True)
    paths = {name: equilibrium_path(game, betas) for name, game in tables.items()}
    lotteries = {name: path[-1] for name, path in paths.items()}
    save(folder, paths)
    draw(paths, tables).savefig(folder / "paths.png", dpi=110)
    found = path_findings(paths, lotteries, source) + limit_findings(paths, lotteries, source) + many_findings()
    return found + (table_findings(paths) if DATA.is_dir() else [])


def path_findings(paths: dict, lotteries: dict, source: str) -> list[Finding]:
    """What holds along the whole path."""
    gap = max(one.gap for path in paths.values() for one in path)
    rises = max(float(np.max(np.diff(effective(path)))) for path in paths.values())
    sizes = {
        name: (int((path[0].probs() > PLAYED).sum()), len(lotteries[name].support[0])) for name, path in paths.items()
    }
    changes = sum(len({clear for one in path if (clear := favourite(one)) is not None}) > 1 for path in paths.values())
    return [
        Finding(
            "The largest certified duality gap of all equilibria", source, "<= 1e-12", gap, gap <= 1e-12, exact=True
        ),
        Finding(
            "The effective number of items never rises as beta falls; its largest rise",
            "derived: variational inequality at two weights",
            "<= 1e-9",
            rises,
            rises <= 1e-9,
            exact=True,
        ),
        Finding(
            f"Items above {PLAYED:.0%} at beta = 1, and items in the maximal lottery",
            source,
            "no more at beta = 0",
            ", ".join(f"{name} {first} to {last}" for name, (first, last) in sizes.items()),
            all(last <= first for first, last in sizes.values()),
        ),
        Finding("Tables whose favourite changes along the path", source, ">= 1", float(changes), changes >= 1),
    ]


def limit_findings(paths: dict, lotteries: dict, source: str) -> list[Finding]:
    """How fast the equilibrium tends to the maximal lottery."""
    away = {name: distance(path, lotteries[name].probs()[0]) for name, path in paths.items()}
    places = [next(iter(paths.values())).betas.index(beta) for beta in SMALL]
    mixed = [name for name in paths if len(lotteries[name].support[0]) > 1 and away[name][places[0]] > 1e-12]
    ratios = {name: float(away[name][places[0]] / away[name][places[1]]) for name in mixed}
    odd = max(ratios, key=lambda name: abs(ratios[name] / 10 - 1))
    single = max((away[name][places[0]] for name in paths if len(lotteries[name].support[0]) == 1), default=0.0)
    last = max(float(values[places[1]]) for values in away.values())
    return [
        Finding(
            f"Total variation from the maximal lottery at beta = {SMALL[1]:g}, the largest",
            source,
            "<= 0.05",
            last,
            last <= 0.05,
        ),
        Finding(
            f"Mixed lotteries: that distance at beta = {SMALL[0]:g} over {SMALL[1]:g}; furthest from 10, {odd}",
            "derived: linear in beta on the support, exponentially small off it",
            "9 to 11",
            ratios[odd],
            9 <= ratios[odd] <= 11,
        ),
        Finding(
            f"One item that beats all others: the distance at beta = {SMALL[0]:g}",
            "derived: exp(-margin / beta)",
            "<= 1e-6",
            float(single),
            bool(single <= 1e-6),
        ),
    ]


def many_findings() -> list[Finding]:
    """A game with a segment of maximal lotteries."""
    largest, closest = closest_lottery(np.full(4, 0.25)), closest_lottery(REFERENCE)
    uniform = equilibrium_path(nashpo.Game.from_table(MANY), [SMALL[1], 0.0])
    pulled = equilibrium_path(nashpo.Game.from_table(MANY, reference=REFERENCE), [SMALL[1]])
    exact = float(np.abs(uniform[1].probs()[0] - largest).max())
    limits = [
        float(np.abs(path[0].probs()[0] - target).max()) for path, target in ((uniform, largest), (pulled, closest))
    ]
    text = f"largest deviation of a probability at beta = {SMALL[1]:g}"
    derived = "derived: the penalty picks among equilibria of equal value"
    return [
        Finding(
            "Many lotteries: `equilibrium` at beta = 0 gives that of largest entropy",
            derived,
            "<= 1e-9",
            exact,
            exact <= 1e-9,
            exact=True,
        ),
        Finding(
            f"Many lotteries, uniform reference: the limit has the largest entropy; {text}",
            derived,
            "<= 1e-4",
            limits[0],
            limits[0] <= 1e-4,
            exact=True,
        ),
        Finding(
            f"Many lotteries, another reference: the limit is the closest to it; {text}",
            derived,
            "<= 1e-4",
            limits[1],
            limits[1] <= 1e-4,
            exact=True,
        ),
    ]


def table_findings(paths: dict[str, EquilibriumPath]) -> list[Finding]:
    """What the notes beside the real tables say."""
    away = max(stored(name, path) for name, path in paths.items())

    def named(name: str, beta: float) -> str:
        answer = paths[name][paths[name].betas.index(beta)]
        return str(answer.items[favourite(answer)])

    drivers = [named("f1_2007", beta) for beta in (0.1, 0.01)]
    agents = [named("mujoco_soccer", beta) for beta in (0.01, 0.0)]
    return [
        Finding(
            "Largest deviation of a probability from the solutions in rational and 40-digit arithmetic",
            "solutions beside the tables",
            "<= 1e-12",
            away,
            away <= 1e-12,
            exact=True,
        ),
        Finding(
            "f1_2007: the favourite at beta 0.1, and at 0.01",
            "notes beside the tables",
            "kimi-raikkonen, lewis-hamilton",
            ", ".join(drivers),
            drivers == ["kimi-raikkonen", "lewis-hamilton"],
            exact=True,
        ),
        Finding(
            "mujoco_soccer: the favourite at beta 0.01, and of the maximal lottery",
            "notes beside the tables",
            "agent_8, agent_1",
            ", ".join(agents),
            agents == ["agent_8", "agent_1"],
            exact=True,
        ),
    ]


def save(folder: Path, paths: dict[str, EquilibriumPath]) -> None:
    """The probabilities of every path, a file a table."""
    import xarray

    for name, path in paths.items():
        items = list(path[0].items or range(path.probs().shape[-1]))
        data = {"policy": (("beta", "item"), path.probs()[:, 0]), "gap": ("beta", [one.gap for one in path])}
        xarray.Dataset(data, {"beta": list(path.betas), "item": items}).to_netcdf(
            folder / f"{name}.nc", engine="h5netcdf"
        )


def draw(paths: dict[str, EquilibriumPath], tables: dict[str, nashpo.Game]) -> Figure:
    """Every path, and the effective number of items along all of them."""
    figure = Figure(figsize=(17, 8.2), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    for ax, (name, path) in zip(axes, paths.items(), strict=False):
        nashpo.plots.beta_path(path, tables[name], top=6, ax=ax)
        ax.set_title(name)
    for index, (name, path) in enumerate(paths.items()):
        kept = np.array(path.betas) > 0
        axes[5].plot(np.array(path.betas)[kept], effective(path)[kept], dash(index), color=colour(index), label=name)
    axes[5].set(title="effective number of items", xlabel="beta", xscale="log", yscale="log", ylim=(0.9, None))
    axes[5].legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.01, 1.0))
    axes[5].grid(True, alpha=0.3, linewidth=0.6)
    return figure


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

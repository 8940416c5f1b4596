"""Which step sizes converge: INPO up to 2 beta / (beta^2 + w^2), EGPO up to 1 / (beta + 1/2) and not up to twice that.

Two algorithms on KL-regularised games with a constant step. To be expected, with w the highest frequency of the game
linearised at its equilibrium (`linearisation.py`):

* INPO (Zhang et al. 2024, arXiv:2407.00617, algorithm 1) converges iff `eta < 2 beta / (beta^2 + w^2)` close to the
  equilibrium, and from everywhere, by the factor 1 - eta beta a step, up to `4 beta / (1 + 4 beta^2)`. Above its
  limit it cycles. The paper's theorem 4 needs bounded log-ratios and a decaying step; this is stronger.
* EGPO (Zhou, Fazel, Du 2025, arXiv:2503.08942) has the proven step `1 / (beta + 1/2)`, which does not vanish with
  beta. Close to the equilibrium it is stable iff `|1 - eta beta + i eta w (1 - eta beta + i eta w)| < 1` for every w
  of the game. At twice the proven step the bound of a single step fails; whether the run fails is up to the game. At
  beta = 0.01 it does on most 0/1 tables of six responses (not where the equilibrium is a single response, w = 0), and
  on no table of uniform random win rates. At four times both kinds have many failures.

Nothing here is a published figure.
"""

import warnings

import matplotlib

matplotlib.use("agg")

import jax
import matplotlib.pyplot as plt
import numpy as np
from linearisation import egpo_factor, egpo_limit, frequencies, frequency, inpo_factor, inpo_limit
from matplotlib.figure import Figure

import nashpo
from nashpo.logspace import kl
from nashpo.plots.style import colour, dash
from nashpo.reproduction import Finding, command, results_folder
from nashpo.solvers import EGPO, INPO
from nashpo_games import random_constant_sum, random_tournament, rock_paper_scissors

jax.config.update("jax_enable_x64", True)

REFERENCE = np.array([0.5, 0.3, 0.2])
BETAS = np.geomspace(0.01, 1.0, 13)
ETAS = np.geomspace(0.02, 12.0, 30)
MAP_STEPS = 100_000
CONVERGED, CYCLES = 1e-10, 1e-6
"""Final gaps of runs that converge and of runs that do not; in between nothing is said."""
MARGIN = 1.05
"""A cell counts if its step is this factor away from the limit."""

TABLES, RESPONSES = 60, 6
MULTIPLES = np.array([0.5, 1.0, 1.25, 1.5, 1.75, 2.0, 2.5, 3.0, 4.0])
KINDS = {"0/1": random_tournament, "uniform": random_constant_sum}
SHARES = (("0/1", 0.01), ("0/1", 0.1), ("0/1", 1.0), ("uniform", 0.01))
SHARE_STEPS = 20_000


def cyclic_game(beta: float) -> nashpo.Game:
    """Rock-paper-scissors with a reference that is not its equilibrium."""
    table = rock_paper_scissors().oracle.table()[0]
    return nashpo.Game.from_table(table, beta=beta, reference=REFERENCE)


def tables(kind: str, beta: float) -> list[nashpo.Game]:
    """Random tables, 0/1 or uniform."""
    return [KINDS[kind](RESPONSES, seed=seed, beta=beta) for seed in range(TABLES)]


def swept(games, rules, **options) -> nashpo.Sweep:
    """A sweep that says nothing about steps above a limit: they are what is looked at."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nashpo.StepSizeWarning)
        return nashpo.sweep(games, rules, **options)


def local_limit(solver: str, beta: float) -> float:
    """The largest locally stable step on the cyclic game."""
    limit = inpo_limit if solver == "INPO" else egpo_limit
    return limit(beta, frequency(cyclic_game(beta)))


def map_finding(sweep: nashpo.Sweep, solver: str, formula: str) -> Finding:
    """How many cells of the map lie on the side of the limit where their gap says."""
    gaps = sweep.data["final_gap"].sel(solver=solver).squeeze().transpose("beta", "eta").values
    ratio = ETAS / np.array([local_limit(solver, beta) for beta in BETAS])[:, None]
    below, above = ratio <= 1 / MARGIN, ratio >= MARGIN
    right = int((gaps[below] <= CONVERGED).sum() + (gaps[above] >= CYCLES).sum())
    total = int(below.sum() + above.sum())
    return Finding(
        f"{solver} on rock-paper-scissors converges below its local limit and not above, at every beta and eta",
        f"derived: {formula}", f"{total} of {total} cells", f"{right} of {total} cells", right == total,
    )  # fmt: skip


def rate_finding(solver: str, smoke: bool) -> Finding:
    """The rate close to the equilibrium against the eigenvalue."""
    beta, rule = 0.1, INPO if solver == "INPO" else EGPO
    eta = 0.5 * local_limit(solver, beta)
    factor = (inpo_factor if solver == "INPO" else egpo_factor)(eta, beta, frequency(cyclic_game(beta)))
    steps = 40 if smoke else int(45 / (1 - factor**2))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nashpo.StepSizeWarning)
        gaps = nashpo.solve(cyclic_game(beta), rule(eta), steps=steps).trace["duality_gap"]
    late = np.flatnonzero((gaps < 1e-5) & (gaps > 1e-18))
    slope = np.polyfit(late, np.log(gaps[late]), 1)[0] if len(late) > 2 else np.nan
    measured = float(np.exp(slope))
    return Finding(
        f"{solver}'s gap on rock-paper-scissors shrinks by the eigenvalue squared a step (beta 0.1, half the limit)",
        "derived: linearisation", f"{factor**2:.4f}, within 0.5%", f"{measured:.4f}",
        abs(measured / factor**2 - 1) <= 0.005,
    )  # fmt: skip


def worst_ratio(rule, eta: float, beta: float, steps: int) -> float:
    """The largest KL(equilibrium || now') / ((1 - eta beta) KL(equilibrium || now)) of a step on the 0/1 tables."""
    games = tables("0/1", beta)
    sweep = swept(games, rule(eta), steps=steps, starts="random", metrics=(nashpo.metrics.probs,))
    policies = sweep.data["probs"].squeeze().values
    worst = 0.0
    for game, path in zip(games, policies, strict=True):
        distance = kl(np.log(nashpo.equilibrium(game).probs()), np.log(path))
        far = distance[:-1] > 1e-18
        worst = max(worst, float((distance[1:][far] / distance[:-1][far]).max()) / (1 - eta * beta))
    return worst


def step_findings(smoke: bool) -> list[Finding]:
    """The bound of a single step at the proven limits, and at twice EGPO's."""
    steps, beta, found = 20 if smoke else 300, 0.01, []
    egpo, inpo = 1 / (beta + 0.5), 4 * beta / (1 + 4 * beta**2)
    for name, rule, eta, source in (
        ("INPO", INPO, inpo, "derived: eta <= 4 beta / (1 + 4 beta^2)"),
        ("EGPO", EGPO, egpo, "derived: eta <= 1 / (beta + 1/2); EGPO arXiv:2503.08942 has the same factor"),
    ):
        worst = worst_ratio(rule, eta, beta, steps)
        claim = f"{name} at its proven step, beta 0.01: every step shrinks KL to the equilibrium by 1 - eta beta"
        found.append(Finding(claim, source, "worst ratio <= 1", f"{worst:.4f}", worst <= 1, exact=True))
    worst = worst_ratio(EGPO, 2 * egpo, beta, steps)
    claim = "EGPO at twice its proven step, beta 0.01: the bound of a single step fails"
    return [*found, Finding(claim, "derived: counterexamples", "worst ratio > 1", worst, worst > 1)]


def failures(smoke: bool) -> dict[tuple[str, float], np.ndarray]:
    """On which tables EGPO does not converge, `[multiple of the proven step, table]`, for every kind and beta."""
    found = {}
    for kind, beta in SHARES:
        steps = 200 if smoke else SHARE_STEPS
        sweep = swept(tables(kind, beta), EGPO(_etas(beta)), steps=steps, every=steps)
        found[kind, beta] = ~(sweep.data["final_gap"].squeeze().transpose("eta", "game").values <= 1e-8)
    return found


def unstable(kind: str, beta: float) -> np.ndarray:
    """On which tables EGPO has an eigenvalue outside the unit circle, `[multiple of the proven step, table]`."""
    games = tables(kind, beta)
    factors = [[max(egpo_factor(eta, beta, w) for w in frequencies(game)) for game in games] for eta in _etas(beta)]
    return np.array(factors) > 1


def _etas(beta: float) -> np.ndarray:
    return MULTIPLES / (beta + 0.5)


def failure_findings(failed: dict[tuple[str, float], np.ndarray]) -> list[Finding]:
    """Failures against eigenvalues, and how many at some multiples of the proven step."""
    same = sum(int((failed[key] == unstable(*key)).sum()) for key in failed)
    total = sum(one.size for one in failed.values())
    found = [
        Finding(
            "EGPO does not converge on exactly those tables on which an eigenvalue is outside the unit circle",
            "derived: linearisation", f"{total} of {total} runs", f"{same} of {total} runs", same == total,
        )
    ]  # fmt: skip
    for kind, multiple, some, source in (
        ("0/1", 1.0, False, "derived: proven"),
        ("0/1", 2.0, True, "derived: counterexamples"),
        ("uniform", 2.0, False, "derived: eigenvalues"),
        ("uniform", 4.0, True, "derived: eigenvalues"),
    ):
        count = int(failed[kind, 0.01][multiple == MULTIPLES].sum())
        claim = f"EGPO at {multiple:g} times its proven step, beta 0.01: {kind} tables without convergence"
        expected = f"some of {TABLES}" if some else f"none of {TABLES}"
        found.append(Finding(claim, source, expected, f"{count} of {TABLES}", (count > 0) == some))
    return found


def draw(sweep: nashpo.Sweep, failed: dict[tuple[str, float], np.ndarray]) -> Figure:
    """Both maps with their limits, and the share of tables on which EGPO fails."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(18.0, 5.6), layout="constrained")
    for ax, solver, rule in ((left, "INPO", INPO(0.1)), (middle, "EGPO", EGPO(0.1))):
        limits = {"proven": rule, "local limit": lambda beta, solver=solver: local_limit(solver, beta)}
        nashpo.plots.stability(sweep, limits, solver=solver, span=(1e-16, 1.0), ax=ax)
    for index, ((kind, beta), runs) in enumerate(failed.items()):
        style = {"color": colour(index), "linestyle": dash(index), "marker": "os^D"[index]}
        right.plot(MULTIPLES, runs.mean(axis=1), label=f"{kind} tables, beta = {beta:g}", **style)
    right.axvline(1.0, color="#888888", linewidth=1.0)
    right.set_xlabel("eta / proven step")
    right.set_ylabel(f"share of {TABLES} random tables without convergence")
    right.set_title("EGPO", fontsize="medium")
    right.legend(frameon=False)
    return figure


def main(smoke: bool = False) -> list[Finding]:
    """Sweep, count, save map and figure."""
    folder = results_folder(__file__, smoke)
    steps = 200 if smoke else MAP_STEPS
    sweep = swept(cyclic_game(0.1), [INPO(ETAS), EGPO(ETAS)], betas=BETAS, steps=steps, every=steps)
    sweep.save(folder / "map.nc")
    failed = failures(smoke)
    figure = draw(sweep, failed)
    figure.savefig(folder / "stability.png", dpi=110)
    plt.close(figure)
    return [
        map_finding(sweep, "INPO", "eta < 2 beta / (beta^2 + w^2)"),
        map_finding(sweep, "EGPO", "|1 - eta beta + i eta w (1 - eta beta + i eta w)| < 1"),
        rate_finding("INPO", smoke),
        rate_finding("EGPO", smoke),
        *step_findings(smoke),
        *failure_findings(failed),
    ]


if __name__ == "__main__":
    raise SystemExit(command(main, __file__, __doc__))

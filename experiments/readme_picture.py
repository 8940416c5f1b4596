"""Draws the picture of the README: one game, two algorithms, one measure.

python experiments/readme_picture.py                        writes docs/first_picture.png
python experiments/readme_picture.py --smoke -o /tmp/a.png  a short run
"""

import argparse
import warnings
from pathlib import Path

import matplotlib

matplotlib.use("agg")

import jax
import matplotlib.pyplot as plt
import mpltern  # noqa: F401  registers the ternary projection
from matplotlib.figure import Figure

import nashpo
from nashpo.solvers import EGPO, INPO
from nashpo_games import biased_rps

jax.config.update("jax_enable_x64", True)

BETA = 0.02
STEP = 1.6
START = [0.7, 0.1, 0.2]
RULES = {
    f"EGPO, step {STEP:g}": EGPO(eta=STEP),
    f"INPO, step {STEP / 4:g}": INPO(eta=STEP / 4),
    f"INPO, step {STEP:g}": INPO(eta=STEP),
}


def draw(steps: int) -> Figure:
    """Gap curves on the left, paths through the simplex on the right."""
    game = biased_rps(rock=0.95, paper=0.8, scissors=0.9, beta=BETA)
    options = {"steps": steps, "start": START, "metrics": [nashpo.metrics.probs]}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nashpo.StepSizeWarning)  # a step above INPO's limit is what is shown
        runs = {name: nashpo.solve(game, rule, **options) for name, rule in RULES.items()}
    figure = plt.figure(figsize=(10.5, 4.4), layout="constrained")
    left, right = figure.add_subplot(1, 2, 1), figure.add_subplot(1, 2, 2, projection="ternary")
    nashpo.plots.gap(list(runs.values()), list(runs), ax=left)
    nashpo.plots.simplex(list(runs.values()), list(runs), equilibrium=nashpo.equilibrium(game), ax=right)
    return figure


def main() -> None:
    """Draw and write the picture."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--smoke", action="store_true", help="ten steps only")
    default = Path(__file__).resolve().parents[1] / "docs" / "first_picture.png"
    parser.add_argument("-o", "--output", type=Path, default=default)
    options = parser.parse_args()
    draw(10 if options.smoke else 800).savefig(options.output, dpi=110)


if __name__ == "__main__":
    main()

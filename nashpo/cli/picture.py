"""The figures of `--plot`, drawn without a display."""

from pathlib import Path
from typing import TYPE_CHECKING

from nashpo.cli.report import Certificate
from nashpo.game import Game
from nashpo.policies import Tabular
from nashpo.results import Result

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(path: Path, result: Result, certificate: Certificate | None, title: str) -> None:
    """Draw how the gap fell and the policy it ended with side by side; the suffix of the path is the format."""
    from nashpo import plots
    from nashpo.results import describe

    game = result.game
    shown = min(game.shape[1], plots.MOST_BARS)
    figure = _figure(11.0, max(4.0, 1.6 + 0.3 * shown))
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    plots.gap(result, ax=left)
    answers, labels = [result.policy], [describe(result.solver).split("(")[0]]
    if certificate is not None:
        answers, labels = [*answers, Tabular.from_probs(certificate.policy)], [*labels, "exact equilibrium"]
    plots.policies(answers, game, labels=labels, ax=right)
    figure.suptitle(f"{title}, beta = {float(game.beta):g}", parse_math=False)
    figure.savefig(path, dpi=150)


def draw_table(path: Path, game: Game, title: str) -> None:
    """Draw the table as a heat map, the highest average payoff first."""
    from nashpo import plots

    size = min(12.0, max(4.0, 2.2 + 0.32 * game.shape[1]))
    figure = _figure(size + 1.2, size)
    plots.heatmap(game, order="win rate", ax=figure.subplots())
    figure.suptitle(title, parse_math=False)
    figure.savefig(path, dpi=150)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from nashpo.plots.style import layout

    figure = Figure(figsize=(width, height), layout=layout())
    FigureCanvasAgg(figure)
    return figure

"""The figure of `nashpo solve --plot`: how the gap fell, and the policy it ended with."""

from pathlib import Path

from nashpo.cli.report import Certificate
from nashpo.policies import Tabular
from nashpo.results import Result


def draw(path: Path, result: Result, certificate: Certificate | None, title: str) -> None:
    """Draw the gap and the policy side by side; the suffix of the path is the format."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from nashpo import plots
    from nashpo.plots.style import layout
    from nashpo.results import describe

    game = result.game
    shown = min(game.shape[1], plots.MOST_BARS)
    figure = Figure(figsize=(11, max(4.0, 1.6 + 0.3 * shown)), layout=layout())
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1, 1.1))
    plots.gap(result, ax=left)
    answers, labels = [result.policy], [describe(result.solver).split("(")[0]]
    if certificate is not None:
        answers, labels = [*answers, Tabular.from_probs(certificate.policy)], [*labels, "exact equilibrium"]
    plots.policies(answers, game, labels=labels, ax=right)
    figure.suptitle(f"{title}, beta = {float(game.beta):g}")
    figure.savefig(path, dpi=150)

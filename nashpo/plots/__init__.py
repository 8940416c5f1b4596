"""Pictures: each takes a result, a sweep or a game, draws into `ax` or a new figure, and returns the Axes.

Text, ticks and frames keep Matplotlib's current style, and the data colours are legible on light and dark
backgrounds and for the colour-blind (Okabe, Ito 2008), so `with plt.style.context("dark_background")` just works.
Matplotlib is imported when the first picture is drawn.
"""

from nashpo.plots.beta_path import beta_path
from nashpo.plots.calibration import calibration
from nashpo.plots.flow import flow
from nashpo.plots.gap import gap
from nashpo.plots.heatmap import heatmap
from nashpo.plots.iterations import iterations
from nashpo.plots.policies import MOST_BARS, policies
from nashpo.plots.simplex import simplex
from nashpo.plots.stability import stability
from nashpo.plots.tournament import MOST_ARROWS, tournament

__all__ = [
    "MOST_ARROWS",
    "MOST_BARS",
    "beta_path",
    "calibration",
    "flow",
    "gap",
    "heatmap",
    "iterations",
    "policies",
    "simplex",
    "stability",
    "tournament",
]

"""How far to trust a learned preference: what it said beside what happened."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.plots.style import COLOURS, axes, colour, cut, dash, ink, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nashpo.preferences import Calibration

_MARKERS = ("o", "s", "^", "D", "v", "P")


def calibration(
    curves: "Calibration | Sequence[Calibration]",
    labels: Sequence[str] | str | None = None,
    *,
    ax: "Axes | None" = None,
) -> "Axes":
    """The reliability curve: how often favourites won, against the probability that the oracle gave them.

    `curves` is one result of `nashpo.preferences.calibration`, or up to six. Dots are bins, bars their binomial
    intervals; what is on the diagonal is true, below it the oracle is overconfident, above it too shy. A dot's area
    grows with the votes of its bin. The legend names the expected calibration error
    (ECE). Returns the Axes.

    Raises `ValueError` for no curve or more than six, or another number of labels than curves.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> from nashpo.preferences import Comparisons, calibration as measured
    >>> data = Comparisons.from_pairs([0], [1], share=0.7, votes=50)
    >>> ax = calibration(measured(nashpo.oracles.BradleyTerry(np.log([[3.0, 1.0]])), data), "Bradley-Terry")
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['Bradley-Terry (ECE 0.050)']
    """
    many: list[Any] = [curves] if hasattr(curves, "predicted") else list(curves)
    if not 1 <= len(many) <= len(COLOURS):
        raise ValueError(
            f"calibration: there are {len(many)} curves, but between 1 and {len(COLOURS)} can be told apart."
        )
    names = listed(labels) if labels is not None else [f"oracle {i}" for i in range(len(many))] if many[1:] else [""]
    if len(names) != len(many):
        raise ValueError(f"there are {len(names)} labels for {len(many)} curves to draw: give each one.")
    ax = axes(ax, (5.0, 5.0))
    ax.plot([0.5, 1.0], [0.5, 1.0], color=ink(), linewidth=1.0, alpha=0.5, zorder=1)
    most = 28 if ax.get_window_extent().width > 3.5 * ax.figure.dpi else 16
    shown = [f"{cut(name, most)} (ECE {one.error:.3f})".strip() for name, one in zip(names, many, strict=True)]
    largest = max(float(one.votes.max()) for one in many)
    for index, (one, label) in enumerate(zip(many, shown, strict=True)):
        # Side by side: intervals of the same bin would hide each other.
        aside = 0.003 * (index - (len(many) - 1) / 2)
        said = np.asarray(one.predicted) + aside
        style = {"color": colour(index), "zorder": 2 + index}
        ax.vlines(said, one.low, one.high, linewidth=1.4, alpha=0.7, **style)
        ax.plot(
            said,
            one.observed,
            linestyle=dash(index),
            linewidth=1.2,
            marker=_MARKERS[index],
            markersize=4,
            label=label,
            **style,
        )
        ax.scatter(said, one.observed, s=15 + 65 * one.votes / largest, marker=_MARKERS[index], **style)
    ax.set_xlim(0.49, 1.01)
    ax.set_ylim(min(0.48, *(float(one.low.min()) - 0.02 for one in many)), 1.02)
    ax.set_xlabel("predicted probability of the favourite")
    ax.set_ylabel("its share of the votes")
    ax.grid(True, which="major", alpha=0.3, linewidth=0.6)
    above = {"loc": "lower left", "bbox_to_anchor": (0.0, 1.0), "borderpad": 0.2, "alignment": "left"}
    ax.legend(frameon=False, fontsize="small", title=f"bars: {100 * many[0].confidence:g}% intervals", **above)
    return ax

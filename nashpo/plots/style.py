"""What the pictures share: colours, line styles, labels and a place to draw."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.results import Result, describe
from nashpo.validation.numbers import is_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nashpo.game import Game

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00")
"""Okabe and Ito's colours without black and yellow, which vanish on one of the two backgrounds."""
DASHES = ("-", "--", "-.", ":")
HATCHES = (None, "//", "..", "\\\\", "xx")
UNITS = {"probability": "win probability", "score": "score (log-odds)"}


def colour(index: int) -> str:
    """The colour of the series with this index."""
    return COLOURS[index % len(COLOURS)]


def dash(index: int) -> str:
    """The line style of the series with this index: no two of 24 series agree in colour and style."""
    return DASHES[(index + index // 12) % len(DASHES)]


def hatch(index: int) -> str | None:
    """The hatching of the area with this index: none for the first of a colour."""
    return HATCHES[index // len(COLOURS) % len(HATCHES)]


def ink() -> Any:
    """The colour of text in Matplotlib's current style: black on light, white on dark."""
    import matplotlib

    return matplotlib.rcParams["text.color"]


def paper() -> Any:
    """The colour of the background in Matplotlib's current style."""
    import matplotlib

    return matplotlib.rcParams["axes.facecolor"]


def axes(ax: "Axes | None", size: tuple[float, float], projection: str | None = None) -> "Axes":
    """`ax`, or the Axes of a new figure of this size in inches."""
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    figure = plt.figure(figsize=size, layout=layout())
    return figure.add_subplot(projection=projection)


def layout() -> Any:
    """Constrained layout with a margin, so that no name touches the border."""
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1)


def listed(value: Any) -> list[Any]:
    """One object or several as a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def runs_of(results: Any, picture: str) -> list[Result]:
    """One result or several as a list.

    Raises `ValueError` where there is none, or something else among them.
    """
    runs = listed(results)
    if not runs:
        raise ValueError(f"{picture}: give at least one result.")
    wrong = next((run for run in runs if not isinstance(run, Result)), None)
    if wrong is not None:
        raise ValueError(f"{picture}: give a result of nashpo.solve, or a list of them, not a {type(wrong).__name__}.")
    return runs


def labelled(results: Sequence[Any], labels: Sequence[str] | str | None) -> list[str]:
    """One label for each; by default the solver that ran. A space keeps Matplotlib from hiding what begins with `_`.

    Raises `ValueError` if there are not as many labels as results.
    """
    names = [labels] if isinstance(labels, str) else labels
    if names is None:
        return [short(describe(r.solver)) if isinstance(r, Result) else type(r).__name__.lower() for r in results]
    if len(names) != len(results):
        raise ValueError(f"there are {len(names)} labels for {len(results)} things to draw: give each one.")
    return [" " * str(name).startswith("_") + str(name) for name in names]


def short(text: str) -> str:
    """The text with long numbers rounded to six digits.

    >>> short("EGPO(eta=1.6666666666666667)")
    'EGPO(eta=1.66667)'
    """
    return re.sub(r"\d+\.\d{6,}(e-?\d+)?", lambda number: f"{float(number[0]):.6g}", text)


def cut(text: str, most: int = 36) -> str:
    """The text, shortened to `most` characters in the middle: names often differ in their ends.

    >>> cut("a name that is too long 17", 14)
    'a name th…g 17'
    """
    if len(text) <= most:
        return text
    tail = (most - 1) // 3
    return f"{text[: most - 1 - tail].rstrip()}…{text[-tail:]}"


def literal(text: str) -> str:
    r"""The text so that Matplotlib shows it as it is: no formula, and in the legend for all underscores.

    >>> literal("_$5 or $6")
    ' _\\$5 or \\$6'
    """
    return " " * text.startswith("_") + text.replace("$", r"\$")


def item_names(game: "Game") -> list[str]:
    """Names of the responses; their indices where they have none."""
    return [str(name) for name in game.items or range(game.shape[1])]


def check_prompt(prompt: int, contexts: int) -> int:
    """`prompt` if the game has it.

    Raises `ValueError` if not.
    """
    if not is_whole(prompt, 0, contexts - 1):
        raise ValueError(f"prompt={prompt!r}: the game has the prompts 0 to {contexts - 1}.")
    return prompt


def fits_inside(labels: Sequence[str]) -> bool:
    """Whether a legend is small enough to stand in the picture.

    >>> fits_inside(["EGPO", "INPO"]), fits_inside(["one label that is too long for that"])
    (True, False)
    """
    return len(labels) <= 5 and max(map(len, labels), default=0) <= 28


def place_legend(ax: "Axes", labels: Sequence[str], title: str | None = None, inside: bool = True) -> None:
    """The legend in the order of `labels`: inside where it is small and there is room, else right of the picture.

    What was in `ax` before comes first.
    """
    order = {label: place for place, label in enumerate(labels)}
    known = sorted(zip(*ax.get_legend_handles_labels(), strict=True), key=lambda pair: order.get(str(pair[1]), -1))
    entries: Any = ([handle for handle, _ in known], [label for _, label in known])
    if inside and fits_inside(labels):
        narrow = ax.get_window_extent().width / ax.figure.dpi < 4.0
        ax.legend(*entries, frameon=False, title=title, fontsize="small" if narrow else None)
        return
    beside: Any = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.0}
    ax.legend(*entries, frameon=False, title=title, fontsize="small", **beside)


def average(values: np.ndarray, game: "Game") -> np.ndarray:
    """The mean over prompts with the game's weights, `[..., X, A]` to `[..., A]`."""
    return np.einsum("...xa,x->...a", values, np.asarray(game.prompts, float))


def name_values(axis: Any, values: np.ndarray, places: np.ndarray) -> None:
    """Ticks of a logarithmic axis: up to 8 values themselves, else powers of ten; 0 where it was given a place."""
    from matplotlib.ticker import NullFormatter, NullLocator

    low, high = np.log10(places[0]), np.log10(places[-1])
    if len(values) <= 8:
        axis.set_ticks(places, [f"{value:.3g}" for value in values])
    elif high - low > 1.3:
        powers = 10.0 ** np.arange(np.ceil(low + (0.3 if values[0] == 0 else -1e-9)), np.floor(high + 1e-9) + 1)
        zero = [(places[0], "0")] if values[0] == 0 else []
        ticks = [*zero, *((power, f"{power:g}") for power in powers)]
        axis.set_ticks([place for place, _ in ticks], [text for _, text in ticks])
    else:
        return
    axis.set_minor_formatter(NullFormatter())
    if len(values) <= 8 or values[0] == 0:
        axis.set_minor_locator(NullLocator())


def payoffs(game: "Game", prompt: int | None) -> np.ndarray:
    """The table `[A, A]` of one prompt, or the mean over the prompts with their weights where there is none."""
    tables = np.asarray(game.oracle.table(), float)
    if prompt is not None:
        return tables[check_prompt(prompt, len(tables))]
    return average(tables.reshape(len(tables), -1)[None], game)[0].reshape(tables.shape[1:])

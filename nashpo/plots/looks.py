"""What every line looks like, so that few are told apart one by one and many by what they have in common."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nashpo.plots.lanes import Series, quantile, rest_of, values_of
from nashpo.plots.style import DASHES, colour, cut, dash, ink, literal

LEGIBLE = 12
"""Up to this many series are told apart one by one."""
_SHADES = (0.2, 0.75)
"""The part of the viridis scale that stands out on white and on black."""


@dataclass(frozen=True)
class Look:
    """The style of every line and what the legend explains."""

    styles: list[dict[str, Any]]
    """Keywords of `plot`, label included."""
    labels: list[str] = field(default_factory=list)
    """What the legend says."""
    number: tuple[str, Any] | None = None
    """The name of a number that the colours stand for, and what a colour bar is made of."""


def looks(series: Sequence[Series]) -> Look:
    """Up to 12 series by colour and dash; more by the number that varies most, by solver, or the 11 best of them."""
    if len(series) <= LEGIBLE:
        labels = [cut(s.label, 60) + _losses(s) for s in series]
        styles = [_line(colour(i), dash(i), label) for i, label in enumerate(labels)]
        return Look(styles, labels)
    number = _number(series)
    if number is not None:
        return _by_number(series, number)
    for dim in ("solver", "game"):
        names = values_of(series, dim)
        if 1 < len(names) <= LEGIBLE:
            return _by_name(series, dim, names)
    return _best(series)


def _losses(series: Series) -> str:
    return f" ({series.failed} of {len(series.values)} failed)" if series.failed else ""


def _line(shade: Any, style: str, label: str, width: float = 1.8) -> dict[str, Any]:
    return {"color": shade, "linestyle": style, "label": label, "linewidth": width}


def _number(series: Sequence[Series]) -> str | None:
    """The swept number with the most values, if colour and four dashes tell all series apart by it."""
    counts = {}
    for dim in series[0].where:
        values = values_of(series, dim)
        if len(values) > 3 and all(isinstance(v, float) for v in values):
            counts[dim] = len(values)
    best = max(counts, key=lambda dim: counts[dim], default=None)
    if best is None or len({rest_of(s, best) for s in series}) > len(DASHES):
        return None
    return best


def _by_number(series: Sequence[Series], dim: str) -> Look:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import ListedColormap, LogNorm, Normalize

    values = np.array(values_of(series, dim))
    shades = ListedColormap(colormaps["viridis"](np.linspace(*_SHADES, 256)))
    scale = LogNorm if values.min() > 0 else Normalize
    number = ScalarMappable(scale(float(values.min()), float(values.max())), shades)
    groups = list(dict.fromkeys(rest_of(s, dim) for s in series))
    titles = [literal(", ".join(_word(pair) for pair in group)) for group in groups]
    styles, labels = [], []
    for one in series:
        group = groups.index(rest_of(one, dim))
        title = titles[group] if len(groups) > 1 and titles[group] not in labels else ""
        labels += [title] if title else []
        shade = number.to_rgba(one.where[dim]) if one.where[dim] == one.where[dim] else ink()
        styles.append(_line(shade, DASHES[group], title or "_", 1.4))
    return Look(styles, labels, (dim, number))


def _word(pair: tuple[str, Any]) -> str:
    return f"{pair[0]} = {pair[1]:.4g}" if isinstance(pair[1], float) else str(pair[1])


def _by_name(series: Sequence[Series], dim: str, names: list[Any]) -> Look:
    counts = {value: sum(s.where[dim] == value for s in series) for value in names}
    seen: list[str] = []
    styles = []
    for one in series:
        index = names.index(one.where[dim])
        many = f" ({counts[names[index]]} settings)" if counts[names[index]] > 1 else ""
        label = literal(f"{cut(names[index])}{many}")
        styles.append(_line(colour(index), dash(index), "_" if label in seen else label, 1.0) | {"alpha": 0.8})
        seen += [] if label in seen else [label]
    return Look(styles, seen)


def _best(series: Sequence[Series]) -> Look:
    """The 11 series with the smallest last median by colour and dash, the others in grey."""
    last = [float(quantile(s.values, 0.5)[-1]) for s in series]
    order = np.argsort([np.inf if v != v else v for v in last], kind="stable")[: LEGIBLE - 1].tolist()
    labels = [cut(series[i].label, 60) + _losses(series[i]) for i in sorted(order)] + [
        f"{len(series) - len(order)} others"
    ]
    grey = _line("#888888", "-", "_", 0.7) | {"alpha": 0.5, "zorder": 1.0}
    styles = [dict(grey) for _ in series]
    for rank, i in enumerate(sorted(order)):
        styles[i] = _line(colour(rank), dash(rank), labels[rank])
    styles[next(i for i in range(len(series)) if i not in order)]["label"] = labels[-1]
    return Look(styles, labels)

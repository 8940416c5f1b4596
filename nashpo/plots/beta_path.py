"""How the equilibrium changes with the KL weight."""

from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.plots.lanes import dataset, final_gaps, is_sweep, lanes, quantile
from nashpo.plots.style import axes, check_prompt, colour, cut, dash, hatch, name_values, paper
from nashpo.validation.numbers import is_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from nashpo.game import Game


def beta_path(
    path: Any,
    game: "Game | None" = None,
    *,
    top: int = 6,
    kind: str = "areas",
    prompt: int | None = None,
    solver: str | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """The policy against `beta`, on a logarithmic axis: stacked areas, or lines with `kind="lines"`.

    `path` is an `equilibrium_path` or a sweep over beta of one game: of `solver`, with the settings of the smallest
    median final gap at each beta, the mean over seeds. The `top` responses with the largest probability anywhere are
    named, the first of them at the bottom, the others grouped. A `beta` of 0 stands at the left. Several prompts are
    averaged, with the weights of `game` (equal ones without), unless `prompt` picks one. Returns the Axes.

    Raises `ValueError` for an unknown kind, a prompt that does not exist, or a sweep of several games.

    >>> import nashpo, matplotlib
    >>> matplotlib.use("agg")
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.2], [0.1, 0.5, 0.7], [0.8, 0.3, 0.5]], items=["a", "b", "c"])
    >>> ax = beta_path(nashpo.equilibrium_path(game, [1.0, 0.1, 0.01]), top=2)
    >>> [text.get_text() for text in ax.get_legend().get_texts()]
    ['1 other', 'a', 'c']
    """
    if kind not in ("areas", "lines"):
        raise ValueError(f'kind={kind!r}: choose "areas" or "lines".')
    if not is_whole(top, 1):
        raise ValueError(f"top={top!r}: name at least one response.")
    betas, probs, items = best_policies(path, solver) if is_sweep(path) else _from_path(path)
    if not len(betas) or not np.isfinite(betas).all():
        raise ValueError("beta_path: there is no beta along which to draw.")
    order = np.argsort(betas, kind="stable")
    betas, probs = betas[order], probs[order]
    chosen, which = _prompts(probs, game, prompt)
    names = list((game.items if game is not None else None) or items or map(str, range(chosen.shape[1])))
    ranked = np.argsort(-chosen.max(axis=0), kind="stable")[:top]
    ranked = ranked[np.argsort(-chosen[:, ranked].mean(axis=0), kind="stable")]
    values, labels = [chosen[:, i] for i in ranked], [cut(names[i]) for i in ranked]
    others = chosen.shape[1] - len(ranked)
    if others:
        values.append(np.delete(chosen, ranked, axis=1).sum(axis=1))
        labels.append(f"{others} other{'s' * (others > 1)}")
    ax = axes(ax, (7.0, 4.2))
    places = at = _places(betas)
    if len(betas) == 1:  # as wide as a factor of two: a line of one point is none
        at, values = places * np.array([2**-0.5, 2**0.5]), [np.repeat(value, 2) for value in values]
    (_areas if kind == "areas" else _lines)(ax, at, values, labels, bool(others))
    _finish(ax, betas, places, kind, which)
    ax.set_xlim(at[0], at[-1])
    return ax


def _from_path(path: Any) -> tuple[np.ndarray, np.ndarray, tuple[str, ...] | None]:
    if not hasattr(path, "betas"):
        raise ValueError(f"beta_path: give an equilibrium_path or a sweep, not {type(path).__name__}.")
    return np.asarray(path.betas, float), path.probs(), path[0].items


def best_policies(sweep: Any, solver: str | None) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Weights `[T]`, probabilities `[T, X, A]` and names: at each beta the setting that ended closest."""
    data = dataset(sweep, "beta_path")
    if "policy" not in data:
        raise ValueError("beta_path: the sweep has no 'policy'.")
    gaps, policy = final_gaps(data), lanes(data, "policy", ("prompt", "item"))
    for dim, chosen in (("solver", solver), ("game", None)):
        names = [str(name) for name in gaps[dim].values] if dim in gaps.coords else [""]
        if chosen is None and len(names) > 1:
            hint = "solver=..." if dim == "solver" else "sweep.data.sel(game=...)"
            raise ValueError(f"beta_path: pick one {dim}, {hint}, from {', '.join(names)}.")
        if chosen is not None and chosen not in names:
            raise ValueError(f"solver={chosen!r} was not swept; choose from {', '.join(names)}.")
        index = 0 if chosen is None else names.index(chosen)
        gaps, policy = gaps.isel({dim: index}), policy.isel({dim: index})
    runs = gaps.transpose("beta", ..., "seed").values
    probs = policy.transpose("beta", ..., "seed", "prompt", "item").values
    count, seeds = len(runs), runs.shape[-1]
    runs, probs = runs.reshape(count, -1, seeds), probs.reshape(count, -1, seeds, *probs.shape[-2:])
    betas, kept, found = np.asarray(gaps["beta"].values, float), [], []
    for index in range(count):
        usable = [j for j in range(runs.shape[1]) if np.isfinite(runs[index, j]).any()]
        if usable:
            medians = [float(quantile(row[~np.isnan(row)], 0.5)) for row in runs[index, usable]]
            best = usable[int(np.argmin(medians))]
            found.append(probs[index, best][np.isfinite(runs[index, best])].mean(axis=0))
            kept.append(index)
    if not found:
        raise ValueError("beta_path: no run of the sweep ended with a finite gap.")
    # Games of a sweep are padded to one size with NaN.
    real, prompts = (np.isfinite(np.stack(found)).any(axis=axes) for axes in ((0, 1), (0, 2)))
    items = data["items" if "items" in data else "item"].values.reshape(-1)
    names = tuple(str(name) for name in items[real])
    return betas[kept], np.stack(found)[:, prompts][:, :, real], names


def _prompts(probs: np.ndarray, game: "Game | None", prompt: int | None) -> tuple[np.ndarray, str]:
    """The probabilities `[T, A]` of one prompt or of all, and what to write on the axis."""
    contexts = probs.shape[1]
    if prompt is not None:
        return probs[:, check_prompt(prompt, contexts)], f", prompt {prompt}" if contexts > 1 else ""
    weights = np.full(contexts, 1 / contexts) if game is None else np.asarray(game.prompts, float)
    if len(weights) != contexts:
        raise ValueError(f"beta_path: the game has {len(weights)} prompts, the path {contexts}.")
    return np.einsum("txa,x->ta", probs, weights), f", mean of {contexts} prompts" if contexts > 1 else ""


def _places(betas: np.ndarray) -> np.ndarray:
    """Where the weights lie on a logarithmic axis: 0 half a decade below the smallest of the others."""
    positive = betas[betas > 0]
    return np.where(betas > 0, betas, positive.min(initial=np.inf) / 10**0.5 if len(positive) else 1.0)


def _areas(ax: "Axes", betas: np.ndarray, values: list[np.ndarray], labels: list[str], grouped: bool) -> None:
    heights, handles = np.cumsum([np.zeros_like(betas), *values], axis=0), []
    for index, label in enumerate(labels):
        rest = grouped and index == len(labels) - 1
        area = ax.fill_between(
            betas,
            heights[index],
            heights[index + 1],
            facecolor="#888888" if rest else colour(index),
            hatch=None if rest else hatch(index),
            edgecolor=paper(),
            linewidth=0.8,
            label=label,
        )
        handles.append(area)
    _legend(ax, handles[::-1], labels[::-1])
    ax.set_ylim(0.0, 1.0)


def _lines(ax: "Axes", betas: np.ndarray, values: list[np.ndarray], labels: list[str], grouped: bool) -> None:
    handles: list[Any] = []
    for index, (value, label) in enumerate(zip(values, labels, strict=True)):
        rest = grouped and index == len(labels) - 1
        look = ("#888888", "-", 1.2) if rest else (colour(index), dash(index), 1.8)
        handles += ax.plot(betas, value, color=look[0], linestyle=look[1], linewidth=look[2], label=label)
    _legend(ax, handles, labels)
    ax.set_ylim(bottom=0.0)
    ax.grid(True, which="major", alpha=0.3, linewidth=0.6)


def _legend(ax: "Axes", handles: list[Any], names: list[str]) -> None:
    """The names beside the picture as they are: neither formulas nor left out for an underscore in front."""
    beside: Any = {"loc": "upper left", "bbox_to_anchor": (1.01, 1.0)}
    for text in ax.legend(handles, names, frameon=False, fontsize="small", **beside).get_texts():
        text.set_parse_math(False)


def _finish(ax: "Axes", betas: np.ndarray, places: np.ndarray, kind: str, which: str) -> None:
    ax.set_xscale("log")
    name_values(ax.xaxis, betas, places)
    ax.set_xlabel("beta")
    ax.set_ylabel(f"probability{', stacked' * (kind == 'areas')}{which}")

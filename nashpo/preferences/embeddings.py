"""The general preference model of items that are numbered: one embedding each."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.oracles.embedding import GeneralPreference
from nashpo.preferences.comparisons import Comparisons
from nashpo.preferences.losses import Correction, check_correction, targets
from nashpo.preferences.rows import random, require_comparisons
from nashpo.preferences.training import Training, fit
from nashpo.struct import record
from nashpo.typing import Array, Key, Scalar, Scale
from nashpo.validation.numbers import is_positive, is_whole

_MOST_PAIRS = 2**16
_SPREAD = 0.5
"""Standard deviation of the embeddings that training starts from."""


def fit_general_preference(
    data: Comparisons,
    key: Key | int,
    blocks: int = 1,
    gate: bool = False,
    penalty: float = 0.1,
    flip: float = 0.0,
    smoothing: float = 0.0,
    correction: Correction = "loss",
    temperature: float = 1.0,
    training: Training | None = None,
    held_out: Comparisons | None = None,
    scale: Scale = "probability",
) -> GeneralPreference:
    """The general preference model that makes the votes most likely (Zhang et al. 2024, arXiv:2410.02197).

        max_v  sum_n votes_n (t_n s_n - log(1 + exp(s_n))) - penalty / 2 |v|^2
        s(i beats j) = <R v_i, v_j> / temperature = sum_l (v_i0 v_j1 - v_i1 v_j0) / temperature

    with `v` in `R^2k`, `k = blocks`, and `t = targets(share, flip, smoothing)`; `k = A // 2` holds every
    table. Every prompt has embeddings of its own, or, with `gate`, one set `v` for all prompts and scales
    `lambda_l(x) >= 0` for each: `v(x) = D(x) v`, `D = blockdiag(sqrt(lambda_l) I_2)`; the penalty is then on `v` and on
    the numbers whose softplus the scales are. The key draws the embeddings that training starts from; the likelihood is
    not concave, and several keys may find several maxima. A penalty keeps the log-odds of one-sided votes finite.
    Computed in float64; the embeddings are NumPy, `[X, A, 2k]`.

    With `flip` and `correction="loss"` (see `fit`) a corrected label outside [0, 1] pulls log-odds without end, as fast
    as the penalty, quadratic in `v`, holds them: below `bounding_penalty` the objective may have no maximum.

    Raises `ValueError` for comparisons of features, fewer than one block, or such a penalty; else as `fit`.

    >>> cycle = Comparisons.from_wins([[0, 80, 20], [20, 0, 80], [80, 20, 0]])
    >>> fit_general_preference(cycle, jax.random.key(0)).table()[0].round(2).tolist()
    [[0.5, 0.8, 0.2], [0.2, 0.5, 0.8], [0.8, 0.2, 0.5]]
    """
    require_comparisons(data, "fit_general_preference")
    data.require_items("fit_general_preference")
    noise = check_correction(correction, flip, smoothing)
    if not is_whole(blocks, 1):
        raise ValueError(f"blocks={blocks!r}: give at least one block of two entries, a whole number.")
    if not is_positive(temperature):
        raise ValueError(f"temperature={temperature}: must be a positive finite number.")
    if held_out is not None:
        _require_known(data, held_out)
    if flip and not noise:
        _require_bounded(data, flip, temperature, penalty, gate)
    contexts, items = data.shape
    draws = random(key).normal(0.0, _SPREAD, (1 if gate else contexts, items or 0, 2 * blocks))
    start = draws * np.sqrt(temperature)
    with jax.enable_x64(True):
        scales = np.full((contexts, blocks), np.log(np.e - 1)) if gate else None
        model = _Items(start, scales, temperature)
        check = None if held_out is None else _every_pair(held_out)
        found = fit(model, _every_pair(data), key, training, check, penalty, flip, smoothing, correction)
        embeddings = np.asarray(found.model.embeddings())
    return GeneralPreference(np.broadcast_to(embeddings, (contexts, *embeddings.shape[1:])).copy(), scale, temperature)


def _require_known(data: Comparisons, held_out: Comparisons) -> None:
    """Raise where the held-out comparisons are of prompts or items that no embedding is fitted for."""
    require_comparisons(held_out, "fit_general_preference(held_out)")
    held_out.require_items("fit_general_preference(held_out)")
    found = (int(held_out.prompts.max()), int(max(held_out.left.max(), held_out.right.max())))
    if found[0] >= data.shape[0] or found[1] >= (data.shape[1] or 0):
        raise ValueError(
            f"held_out: prompt {found[0]} and item {found[1]} were compared, but there are {data.shape} [prompts, "
            "items] to fit; give both parts the same shape."
        )


def bounding_penalty(data: Comparisons, flip: float, temperature: float = 1.0) -> float:
    """From this penalty on the loss corrected for flips has a minimum over embeddings.

        largest eigenvalue of C / temperature,     C[i, j] = votes_ij max(0, t_ij - 1, -t_ij)

    with `t = targets(share, flip)`, the largest of all prompts: `C` is how fast the loss of a pair falls with its
    log-odds, and they are at most `|v_i| |v_j| / temperature`. Of a single pair that is the least penalty; of several
    not all log-odds are as large at once, and a smaller one may do.

    >>> round(bounding_penalty(Comparisons.from_wins([[0, 9], [1, 0]]), flip=0.2), 6)
    1.666667
    >>> bounding_penalty(Comparisons.from_wins([[0, 7], [3, 0]]), flip=0.2)
    0.0
    """
    wins = data.wins()
    played = wins + wins.swapaxes(-1, -2)
    share = np.divide(wins, played, out=np.full_like(wins, 0.5), where=played > 0)
    label = np.asarray(targets(share, flip))
    slopes = played * np.maximum(0.0, np.maximum(label - 1, -label))
    return float(np.linalg.eigvalsh(slopes).max() / temperature) if slopes.any() else 0.0


def _require_bounded(data: Comparisons, flip: float, temperature: float, penalty: float, gate: bool) -> None:
    """Raise where a loss corrected for flips may have no minimum."""
    needed = bounding_penalty(data, flip, temperature)
    if needed > penalty or (gate and needed > 0):
        hint = "" if gate else f"a penalty of at least {needed:.4g}, or "
        raise ValueError(
            f"flip={flip}: some pairs are more one-sided than flips allow: the corrected loss may fall without end; "
            f'pass {hint}correction="likelihood".'
        )


def _every_pair(data: Comparisons) -> Comparisons:
    """The same votes with a row for every pair, if there are not too many: one compiled program for all votes."""
    wins = data.wins()
    contexts, items, _ = wins.shape
    left, right = np.triu_indices(items, 1)
    if contexts * len(left) > _MOST_PAIRS:
        return data
    won, lost = wins[:, left, right].ravel(), wins[:, right, left].ravel()
    votes = won + lost
    share = np.divide(won, votes, out=np.full_like(votes, 0.5), where=votes > 0)
    prompts = np.repeat(np.arange(contexts), len(left))
    return Comparisons(np.tile(left, contexts), np.tile(right, contexts), share, votes, prompts, data.shape)


@record
class _Items:
    """Embeddings `[X or 1, A, 2k]` of numbered items and, gated, numbers `[X, k]` whose softplus are scales."""

    vectors: Any
    gates: Any
    temperature: Scalar = 1.0

    @property
    def params(self) -> Any:
        return {"embeddings": self.vectors} | ({} if self.gates is None else {"gates": self.gates})

    def with_params(self, params: Any) -> "_Items":
        return dataclasses.replace(self, vectors=params["embeddings"], gates=params.get("gates"))

    def embeddings(self) -> Array:
        if self.gates is None:
            return self.vectors
        scales = jnp.sqrt(jax.nn.softplus(self.gates))
        return self.vectors * jnp.repeat(scales, 2, axis=-1)[:, None, :]

    def scores(self, prompts: Array, left: Array, right: Array) -> Array:
        v, w = (self.embeddings()[prompts, side] for side in (left, right))
        return jnp.sum(v[..., 0::2] * w[..., 1::2] - v[..., 1::2] * w[..., 0::2], axis=-1) / self.temperature

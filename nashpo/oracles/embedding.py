"""Cyclic preferences from embeddings: the general preference model."""

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.logspace import matvec, namespace
from nashpo.oracles.base import Enumerable, floating, logistic, require_array, require_opponent
from nashpo.oracles.blocks import blockwise
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scalar, Scale
from nashpo.validation import validate
from nashpo.validation.numbers import is_positive, is_whole
from nashpo.validation.wording import cell, numeric

_EXACT_BOUND = 2048
"""Up to this many responses the largest score is looked up, above it is bounded by lengths of embeddings."""


@record
class GeneralPreference(Enumerable):
    """The general preference model (Zhang et al. 2024, arXiv:2410.02197, definition 4.3).

        s(i beats j) = <R v_i, v_j> / temperature = sum_l (v_i0 v_j1 - v_i1 v_j0) / temperature

    with `R` block-diagonal of `[[0, -1], [1, 0]]`: entries `2l, 2l + 1` of an embedding are block l. The payoff is
    the log-odds `s` (`scale="score"`) or the win probability `1 / (1 + exp(-s))` (`scale="probability"`). The two
    games have different equilibria in general. Section 4.2 and theorem 4.4 of the paper print `v_i^T R v_j`
    instead, which is `-s`: here `v_i = (1, 0)` beats `v_j = (0, 1)`.

    Win rates of the score game cost O(A k) and never build an `A x A` table; those of the probability game go
    through the table in blocks, O(A) memory. NumPy embeddings are computed with in NumPy, JAX ones in JAX.

    Raises `ValueError` (when a game is made of it, or win rates are asked for) unless embeddings are `[X, A, 2k]`.

    >>> turn = 2 * np.pi * np.arange(3) / 3
    >>> cycle = GeneralPreference(np.stack([np.cos(turn), np.sin(turn)], axis=-1)[None])
    >>> (cycle.table()[0] / np.sin(turn[1])).round(6).astype(int).tolist()
    [[0, 1, -1], [-1, 0, 1], [1, -1, 0]]
    >>> cycle.win_rates(np.array([[1.0, 0.0, 0.0]])).round(3).tolist()
    [[0.0, -0.866, 0.866]]
    """

    embeddings: Array
    """`[X, A, 2k]`."""
    scale: Scale = static(default="score")
    temperature: Scalar = 1.0

    def __post_init__(self) -> None:
        """Whole numbers become floating-point ones."""
        object.__setattr__(self, "embeddings", floating(self.embeddings))

    @classmethod
    def from_score_table(
        cls, scores: Array, scale: Scale = "score", temperature: float = 1.0, dimensions: int | None = None
    ) -> "GeneralPreference":
        """The embeddings of a table of log-odds, `rank(S)` dimensions: the spectral form of theorem 4.4.

        `S = sum_l lambda_l (b_l a_l^T - a_l b_l^T)`, from the eigenvectors `a_l + i b_l` of `i S`. `scores` is `[A, A]`
        or `[X, A, A]`, skew-symmetric. With `dimensions` (even) only the largest blocks are kept, the best
        approximation of that rank. The embeddings are float64 NumPy. Raises `ValueError` for a table that is not
        square, finite and skew-symmetric, or an odd number of dimensions.

        >>> S = np.array([[0.0, 1.0, -2.0], [-1.0, 0.0, 3.0], [2.0, -3.0, 0.0]])
        >>> model = GeneralPreference.from_score_table(S)
        >>> model.embeddings.shape, bool(np.allclose(model.table()[0], S))
        ((1, 3, 2), True)
        """
        table = np.asarray(validate(scores, scale="score"), np.float64)
        if dimensions is not None and (not is_whole(dimensions, 2) or dimensions % 2):
            raise ValueError(f"dimensions={dimensions}: embeddings have an even number of entries, at least 2.")
        if not is_positive(temperature):
            raise ValueError(f"temperature={temperature}: must be a positive finite number.")
        parts = [_spectral(S * temperature) for S in (table[None] if table.ndim == 2 else table)]
        width = max(2, *(part.shape[-1] for part in parts))
        padded = np.stack([np.pad(part, ((0, 0), (0, width - part.shape[-1]))) for part in parts])
        return cls(padded[..., :dimensions], scale, temperature)

    @classmethod
    def from_rewards(cls, rewards: Array, scale: Scale = "score") -> "GeneralPreference":
        """Bradley-Terry as one block, `v = (reward, 1)`: `s(i beats j) = reward_i - reward_j`.

        `rewards` is `[A]` or `[X, A]`.

        >>> GeneralPreference.from_rewards(np.array([3.0, 1.0])).table()[0].tolist()
        [[0.0, 2.0], [-2.0, 0.0]]
        """
        rewards = rewards if isinstance(rewards, jax.Array) else np.asarray(rewards, float)
        xp = namespace(rewards)
        rewards = xp.atleast_2d(rewards)
        return cls(xp.stack([rewards, xp.ones_like(rewards)], axis=-1), scale)

    @property
    def shape(self) -> tuple[int, int]:
        """`(X, A)`."""
        require_array(self.embeddings, "embeddings", "[prompts, responses, 2k]")
        shape = self.embeddings.shape
        if len(shape) != 3 or shape[-1] % 2 or 0 in shape:
            raise ValueError(
                f"embeddings has shape {tuple(shape)}, but must be [prompts, responses, 2k]: one row of blocks of "
                "two entries per response (embeddings[None] for a single prompt)."
            )
        return shape[0], shape[1]

    def check(self) -> None:
        """Raise `ValueError` for embeddings or a temperature that no game can be made of."""
        _ = self.shape
        wrong = np.argwhere(~np.isfinite(numeric(self.embeddings, None, "embeddings")))
        if len(wrong):
            entry = tuple(wrong[0])
            raise ValueError(
                f"{cell(entry, 'embeddings')} is {np.asarray(self.embeddings)[entry]} (prompt {entry[0]}, "
                f"response {entry[1]}): embeddings must be finite."
            )
        if not is_positive(self.temperature):
            raise ValueError(f"temperature={self.temperature}: must be a positive finite number.")

    def win_rates(self, opponent: Array, key: Key | None = None) -> Array:
        """Expected payoff `[X, A]` of every response against an opponent's probabilities `[X, A]`."""
        require_opponent(opponent, self.shape)
        if self.scale == "score":
            return self.scores(opponent)
        return blockwise(self._probabilities, self.embeddings, opponent)

    def scores(self, opponent: Array) -> Array:
        """Expected log-odds `[X, A]` against an opponent: `<R v_i, sum_j q_j v_j> / temperature`, O(A k)."""
        xp = namespace(self.embeddings, opponent)
        mean = matvec(xp.swapaxes(self.embeddings, -1, -2), opponent)
        return matvec(self.embeddings, _turn(mean)) / self.temperature

    def table(self) -> Array:
        """Every pairwise payoff, `[X, A, A]`."""
        xp = namespace(self.embeddings)
        half = _products(self.embeddings, self.embeddings) / (2 * self.temperature)
        scores = half - xp.swapaxes(half, -1, -2)
        return scores if self.scale == "score" else logistic(scores)

    def compare(self, key: Key, prompts: Array, left: Array, right: Array) -> Array:
        """The payoff `[B, K]` of response `left[b, k]` against `right[b, k]` for prompt `prompts[b]`."""
        v, w = self.embeddings[prompts[:, None], left], self.embeddings[prompts[:, None], right]
        scores = namespace(v, w).sum(v * _turn(w), axis=-1) / self.temperature
        return scores if self.scale == "score" else logistic(scores)

    def bound(self) -> float:
        """`max |payoff - value|` exactly up to 2048 responses; an upper bound of it above.

        The bound is Cauchy-Schwarz, `|<R v_i, v_j>| <= max_i |v_i|^2`, and needs O(A k).
        """
        embeddings = np.asarray(self.embeddings)
        if self.shape[1] <= _EXACT_BOUND:
            largest = max(np.abs(_products(v, v)).max() for v in embeddings)
        else:
            largest = np.einsum("xak,xak->xa", embeddings, embeddings).max()
        score = np.asarray(largest / self.temperature)
        return float(score) if self.scale == "score" else float(logistic(score)) - 0.5

    def _probabilities(self, rows: Array, columns: Array) -> Array:
        return logistic(_products(rows, columns) / self.temperature)


def _turn(v: Array) -> Array:
    """`R^T v`: block by block `(v1, -v0)`."""
    return namespace(v).stack([v[..., 1::2], -v[..., 0::2]], axis=-1).reshape(v.shape)


def _products(left: Array, right: Array) -> Array:
    """`<R left_i, right_j>`, `[..., A, B]`, at the highest precision the device has."""
    if namespace(left, right) is np:
        return left @ np.swapaxes(_turn(right), -1, -2)
    return jnp.einsum("...ik,...jk->...ij", left, _turn(right), precision=jax.lax.Precision.HIGHEST)


def _spectral(scores: np.ndarray) -> np.ndarray:
    """Embeddings `[A, rank]` of one skew-symmetric table, largest block first."""
    values, vectors = np.linalg.eigh(1j * scores)
    kept = [i for i in np.argsort(-values) if values[i] > len(values) * np.finfo(float).eps * values.max(initial=0.0)]
    columns = [np.sqrt(2 * values[i]) * part(vectors[:, i]) for i in kept for part in (np.imag, np.real)]
    return np.stack(columns, axis=-1) if columns else np.zeros((len(scores), 0))

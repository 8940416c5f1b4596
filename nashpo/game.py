"""The preference game: who wins, where policies start from, and what it costs to move away."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nashpo.logspace import LOG_ZERO, log_softmax
from nashpo.oracles.base import VALUE, EnumerableOracle, Oracle
from nashpo.oracles.table import Table
from nashpo.policies.base import EnumerablePolicy, Policy, enumerable, listed_shape
from nashpo.policies.tabular import Tabular
from nashpo.struct import record, static
from nashpo.typing import Array, Scalar, Scale
from nashpo.validation import validate, validate_distribution, validate_items
from nashpo.validation.items import frame_items
from nashpo.validation.wording import numeric


@record
class Game:
    """The symmetric two-player game with a KL penalty,

    `V(p, q) = E[payoff(y, y')] - beta KL(p || reference) + beta KL(q || reference)`, `y ~ p`, `y' ~ q`,

    averaged over prompts. Payoffs are win probabilities (`P + P^T = 1`) or scores (`S + S^T = 0`); the oracle
    says which.
    """

    oracle: EnumerableOracle
    reference: EnumerablePolicy
    beta: Scalar
    prompts: Array
    """Weights `[X]` of the prompts; they sum to one."""
    items: tuple[str, ...] | None = static(default=None)
    """Names of the responses."""

    @classmethod
    def from_table(
        cls,
        P: Array,
        beta: Scalar = 0.0,
        reference: Policy | Array | None = None,
        prompts: Array | None = None,
        items: Sequence[str] | None = None,
        scale: Scale = "probability",
    ) -> "Game":
        """The game of a table `P`, `[A, A]` or `[X, A, A]`: `P[i, j]` is how likely i is preferred to j.

        `beta >= 0` is the weight of the KL penalty, `reference` the probabilities `[A]` or `[X, A]`, or the policy, it
        is measured from (uniform if None), `prompts` the weights `[X]` of the prompts (equal if None), `items` the
        names of the responses (a DataFrame's if None). With `scale="score"` the table holds log-odds, `P + P^T = 0`.
        Arrays stay in the library (NumPy or JAX) and precision in which they come.

        Raises `ValueError`, naming the row and column, for a table that is not square, not constant-sum, not
        finite or out of range, a reference without full support, or names that do not fit.

        >>> game = Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1, items=["tea", "coffee"])
        >>> game.shape
        (1, 2)
        """
        if (items := frame_items(P, items)) is not None:
            items = validate_items(items, np.shape(P)[-1] if np.ndim(P) else 0)
        table = P if isinstance(P, Tracer) else _like(P, validate(P, items=items, scale=scale))
        table = table[None] if table.ndim == 2 else table
        return cls._of(Table(table, scale=scale), beta, reference, prompts, items)

    @classmethod
    def from_oracle(
        cls,
        oracle: Oracle,
        beta: Scalar = 0.0,
        reference: Policy | Array | None = None,
        prompts: Array | None = None,
        items: Sequence[str] | None = None,
    ) -> "Game":
        """The game of any oracle; arguments as in `from_table`, and `reference` may be a policy.

        An oracle that cannot list its responses needs a policy as `reference` and the weights of its prompts.

        Raises `ValueError` for what `from_table` refuses, and for what the oracle itself refuses (its `check`).

        >>> from nashpo.oracles import Table
        >>> Game.from_oracle(Table(np.full((2, 3, 3), 0.5)), beta=0.1).shape
        (2, 3)
        """
        check = getattr(oracle, "check", None)
        if check is not None and not any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(oracle)):
            check()
        if oracle.scale not in VALUE:
            raise ValueError(f"{type(oracle).__name__}: scale is {oracle.scale!r}, must be 'probability' or 'score'.")
        return cls._of(oracle, beta, reference, prompts, items)

    @classmethod
    def _of(cls, oracle: Any, beta: Scalar, reference: Any, prompts: Any, items: Sequence[str] | None) -> "Game":
        """The game of an oracle that has been checked."""
        _check_beta(beta)
        beta = float(beta) if isinstance(beta, int) else beta
        if not hasattr(oracle, "win_rates"):
            return cls(oracle, *_unlisted(oracle, beta, reference, prompts))  # type: ignore[arg-type]  not listed
        contexts, responses = oracle.shape
        dtype = _float_type(oracle)
        if hasattr(reference, "log_prob"):
            start = _fitting(reference, (contexts, responses))
        elif reference is None:
            start = Tabular(np.full((contexts, responses), -math.log(responses), dtype), normalised=True)
        else:
            logits = _reference_logits(reference, (contexts, responses), items)  # type: ignore[arg-type]  probabilities
            start = Tabular(logits.astype(dtype), normalised=True)
        if prompts is None:
            weights = np.full(contexts, 1.0 / contexts, dtype)
        elif isinstance(prompts, Tracer):
            weights = prompts / jnp.sum(prompts)
        else:
            weights = _prompt_weights(prompts, contexts).astype(dtype)
        names = None if items is None else validate_items(items, responses)
        return cls(oracle, start, beta, weights, names)  # type: ignore[arg-type]  it lists its responses

    @property
    def shape(self) -> tuple[int, int]:
        """`(X, A)`: how many prompts and responses."""
        return self.oracle.shape

    @property
    def scale(self) -> Scale:
        """What a payoff is: `"probability"` or `"score"`."""
        return self.oracle.scale

    def nameless(self) -> "Game":
        """The same game without item names, so that names are no part of a compiled program."""
        return self if self.items is None else dataclasses.replace(self, items=None)

    def __repr__(self) -> str:
        """One line for people."""
        contexts, responses = self.shape if enumerable_game(self) else (len(self.prompts), "unlisted")
        scale = "win probabilities" if self.scale == "probability" else "scores (log-odds)"
        return f"Game({responses} responses, {contexts} prompt{'s' * (contexts > 1)}, beta={self.beta}, {scale})"


def precision(game: Game) -> Array:
    """A zero in the precision in which a game is computed, that of its prompts' weights.

    >>> str(precision(Game.from_table(np.full((2, 2), 0.5, np.float32))).dtype)
    'float32'
    """
    return jnp.zeros((), jnp.result_type(game.prompts))


def enumerable_game(game: Game) -> bool:
    """Whether the responses of a game can be listed, so that its duality gap is known.

    >>> enumerable_game(Game.from_table(np.full((2, 2), 0.5)))
    True
    """
    return hasattr(game.oracle, "win_rates")


def check_enumerable(game: Game, what: str, instead: str) -> None:
    """Raise `ValueError` where the responses of a game cannot be listed; `what` needs them, `instead` is advice.

    >>> check_enumerable(Game.from_table(np.full((2, 2), 0.5)), "the gap", "")
    """
    if not enumerable_game(game):
        raise ValueError(f"{what}: {type(game.oracle).__name__} cannot list its responses; {instead}.")


def _unlisted(oracle: Any, beta: Scalar, reference: Any, prompts: Any) -> tuple[Any, Scalar, np.ndarray]:
    """Reference, beta and weights of a game whose responses cannot be listed."""
    name = type(oracle).__name__
    if not hasattr(reference, "log_prob"):
        raise ValueError(f"{name} cannot list its responses: give the reference as a policy (log_prob, sample).")
    if prompts is None:
        raise ValueError(f"{name} does not say how many prompts there are: give their weights, for example [1.0].")
    return reference, beta, _prompt_weights(prompts, np.size(prompts)).astype(jnp.result_type(float))


def _fitting(policy: Any, shape: tuple[int, int]) -> Any:
    """A reference that lists its responses must have those of the game."""
    if enumerable(policy):
        found = listed_shape(policy)
        if found != shape:
            raise ValueError(f"reference: the policy's [prompts, responses] are {found}, those of the game {shape}.")
    return policy


def _like(original: object, cleaned: np.ndarray) -> Array:
    """A checked table, in JAX where the user's was and unchanged where nothing had to be repaired."""
    if not isinstance(original, jax.Array):
        return cleaned
    return original if np.array_equal(cleaned, np.asarray(original)) else jnp.asarray(cleaned, original.dtype)


def _float_type(oracle: Any) -> np.dtype:
    """The precision of an oracle's numbers: float64 where it holds whole numbers only."""
    types = [leaf.dtype for leaf in jax.tree.leaves(oracle) if hasattr(leaf, "dtype")]
    return next((dtype for dtype in types if jnp.issubdtype(dtype, jnp.floating)), np.dtype(np.float64))


def _check_beta(beta: Scalar) -> None:
    if isinstance(beta, Tracer):
        return
    if isinstance(beta, int | float):
        good = 0 <= beta < math.inf
    else:
        real = isinstance(beta, np.ndarray | np.generic | jax.Array) and not jnp.iscomplexobj(beta)
        good = real and all(0 <= value < math.inf for value in np.ravel(np.asarray(beta, float)))
    if not good:
        raise ValueError(f"beta={beta}: the weight of the KL penalty must be a finite number that is at least 0.")


def _reference_logits(reference: Array, shape: tuple[int, int], items: Sequence[str] | None) -> Array:
    if isinstance(reference, Tracer):
        return jnp.broadcast_to(log_softmax(jnp.log(reference)), shape)
    probs = validate_distribution(reference, "reference", shape, items=items)
    return np.broadcast_to(log_softmax(np.log(probs)), shape)


def _prompt_weights(prompts: Array, contexts: int) -> np.ndarray:
    weights = numeric(prompts, None, "prompts").astype(float)
    if weights.shape != (contexts,):
        raise ValueError(f"prompts has shape {weights.shape}: give one weight for each of the {contexts} prompts.")
    wrong = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
    if len(wrong):
        raise ValueError(f"prompts[{wrong[0]}] = {weights[wrong[0]]:g}: a prompt's weight is at least 0, and finite.")
    if not weights.any():
        raise ValueError("prompts: not every weight can be 0.")
    return weights / weights.sum()


def stack(games: Sequence[Game]) -> Game:
    """One game with the prompts of all, ragged ones padded so that no result changes.

    A padding response has reference probability 0 and loses to every real one, so that neither a policy nor a
    best response ever puts weight on it. Games must agree in scale and `beta`; every game counts as much as
    its prompts are many, and item names are dropped where they differ.

    >>> from nashpo.policies import Tabular
    >>> small, large = (Game.from_table(np.full((n, n), 0.5), beta=0.1) for n in (2, 3))
    >>> stack([small, large]).shape
    (2, 3)
    """
    games = list(games)
    if not games:
        raise ValueError("stack([]): give at least one game.")
    scales, betas = {g.scale for g in games}, {float(g.beta) for g in games}
    if len(scales) > 1 or len(betas) > 1:
        raise ValueError(f"stack: games must agree in scale and beta; these have {sorted(scales)} and {sorted(betas)}.")
    size = max(g.shape[1] for g in games)
    padded = [pad(g, size) for g in games]
    tables = np.concatenate([np.asarray(g.oracle.table()) for g in padded])
    logits = np.concatenate([np.asarray(g.reference.log_probs()) for g in padded])
    counts = [g.shape[0] for g in games]
    weights = np.concatenate([np.asarray(g.prompts) * c / sum(counts) for g, c in zip(games, counts, strict=True)])
    names = games[0].items if len({g.items for g in games}) == 1 else None
    return Game(Table(tables, games[0].scale), Tabular(logits, normalised=True), games[0].beta, weights, names)


def pad(game: Game, responses: int, prompts: int | None = None) -> Game:
    """The game's table with more responses (and prompts) in which nothing changes.

    A padding response has reference probability 0 and loses to every real one; a padding prompt has weight 0 and a
    uniform reference. Item names are kept where there is nothing to add and dropped where there is.

    Raises `ValueError` for fewer responses or prompts than the game has.

    >>> pad(Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1), 4).reference.probs().tolist()
    [[0.5, 0.5, 0.0, 0.0]]
    """
    contexts, count = game.shape
    prompts = contexts if prompts is None else prompts
    if responses < count or prompts < contexts:
        raise ValueError(f"pad: {game!r} does not fit into {responses} responses and {prompts} prompts.")
    if (contexts, count) == (prompts, responses):
        return game
    table = _pad_table(np.asarray(game.oracle.table()), responses, game.scale)
    logits = np.asarray(game.reference.log_probs())
    logits = np.pad(logits, ((0, 0), (0, responses - count)), constant_values=LOG_ZERO)
    draw = 0.5 if game.scale == "probability" else 0.0
    more = prompts - contexts
    table = np.pad(table, ((0, more), (0, 0), (0, 0)), constant_values=draw)
    logits = np.pad(logits, ((0, more), (0, 0)), constant_values=-math.log(responses))
    weights = np.pad(np.asarray(game.prompts), (0, more))
    items = game.items if count == responses else None
    return Game(Table(table, game.scale), Tabular(logits, normalised=True), game.beta, weights, items)


def _pad_table(table: np.ndarray, size: int, scale: Scale) -> np.ndarray:
    contexts, count, _ = table.shape
    win, draw = (1.0, 0.5) if scale == "probability" else (float(np.abs(table).max(initial=0.0)) or 1.0, 0.0)
    lose = 1.0 - win if scale == "probability" else -win
    padded = np.full((contexts, size, size), draw, table.dtype)
    padded[:, :count, count:] = win
    padded[:, count:, :count] = lose
    padded[:, :count, :count] = table
    return padded

"""The preference game: who wins, where policies start from, and what it costs to move away."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nashpo.logspace import log_softmax
from nashpo.oracles.base import VALUE, EnumerableOracle, Oracle, require_oracles
from nashpo.oracles.table import Table
from nashpo.policies.base import EnumerablePolicy, Policy, enumerable, listed_shape
from nashpo.policies.tabular import Tabular
from nashpo.struct import record, static
from nashpo.typing import Array, Scalar, Scale
from nashpo.validation import validate, validate_distribution, validate_items
from nashpo.validation.items import check_labels, frame_items
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
        require_oracles([oracle], "from_oracle")
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


def check_game(game: object, what: str) -> None:
    """Raise `ValueError` for what is no game of two players, a bare table for example.

    >>> check_game([[0.5, 0.9], [0.1, 0.5]], "solve")
    Traceback (most recent call last):
        ...
    ValueError: solve takes a Game, not a list: make one with Game.from_table(P) or load_table(path), and let \
nashpo.players.play games of n players.
    """
    if not hasattr(game, "oracle"):
        raise ValueError(
            f"{what} takes a Game, not a {type(game).__name__}: make one with Game.from_table(P) or load_table(path), "
            "and let nashpo.players.play games of n players."
        )


def check_one_beta(game: Game, what: str) -> None:
    """Raise `ValueError` for a game with several values of beta, which would count as those of single responses.

    >>> check_one_beta(Game.from_table(np.full((2, 2), 0.5), beta=np.array([0.1, 0.2])), "a run")
    Traceback (most recent call last):
        ...
    ValueError: a run takes one beta, not beta=[0.1 0.2]; nashpo.sweep runs a game at several.
    """
    if np.ndim(game.beta):
        raise ValueError(f"{what} takes one beta, not beta={game.beta}; nashpo.sweep runs a game at several.")


def check_enumerable(game: Game, what: str, instead: str) -> None:
    """Raise `ValueError` where the responses of a game cannot be listed; `what` needs them, `instead` is advice.

    >>> check_enumerable(Game.from_table(np.full((2, 2), 0.5)), "the gap", "")
    """
    check_game(game, what)
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
    if isinstance(beta, bool):
        good = False
    elif isinstance(beta, int | float):
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
    check_labels(prompts, None, "prompts")
    weights = numeric(prompts, None, "prompts").astype(float)
    if weights.shape != (contexts,):
        raise ValueError(f"prompts has shape {weights.shape}: give one weight for each of the {contexts} prompts.")
    wrong = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)))
    if len(wrong):
        raise ValueError(f"prompts[{wrong[0]}] = {weights[wrong[0]]:g}: a prompt's weight is at least 0, and finite.")
    if not weights.any():
        raise ValueError("prompts: not every weight can be 0.")
    return weights / weights.sum()

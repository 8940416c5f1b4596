"""Preference games of n players who meet in pairs: under one table, or each under its own."""

from collections.abc import Sequence
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nashpo.game import Game, check_game, check_one_beta
from nashpo.logspace import namespace
from nashpo.oracles.base import EnumerableOracle
from nashpo.oracles.mixture import Mixture
from nashpo.policies.base import EnumerablePolicy
from nashpo.struct import record
from nashpo.typing import Array, Scalar, Scale
from nashpo.validation import validate_distribution
from nashpo.validation.numbers import is_whole
from nashpo.validation.wording import numeric


class PlayerGame(Protocol):
    """What regrets, gains and play ask of a game of n players on `[X, A]` responses.

    Player i is paid `E[payoff_i(y_1, ..., y_n)] - beta KL(pi_i || reference)`, averaged over prompts.
    """

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(n, X, A)`."""
        ...

    @property
    def beta(self) -> Scalar:
        """The weight of every player's KL penalty."""
        ...

    @property
    def reference(self) -> EnumerablePolicy:
        """The policy that all penalties are measured from."""
        ...

    @property
    def prompts(self) -> Array:
        """Weights `[X]` of the prompts."""
        ...

    @property
    def weights(self) -> Array:
        """Who meets whom how often, `[n, n]`, rows summing to one."""
        ...

    def payoffs(self, profile: Array) -> Array:
        """Expected payoff `[n, X, A]` of each player's responses against the others' probabilities `[n, X, A]`."""
        ...


class Meetings:
    """What games of players who meet in pairs have in common: a two-player game and who meets whom."""

    game: Game
    weights: Array

    @property
    def shape(self) -> tuple[int, int, int]:
        """`(n, X, A)`."""
        return len(self.weights), *self.game.shape

    @property
    def beta(self) -> Scalar:
        """The weight of every player's KL penalty."""
        return self.game.beta

    @property
    def reference(self) -> EnumerablePolicy:
        """The policy that all penalties are measured from."""
        return self.game.reference

    @property
    def prompts(self) -> Array:
        """Weights `[X]` of the prompts."""
        return self.game.prompts


@record
class PairwiseGame(Meetings):
    """n players who meet in pairs: `payoff_i = sum_j weights[i, j] P(pi_i beats pi_j)`.

    The pairwise-average oracle of MNPO (Wu et al. 2025, arXiv:2509.23102, equations 9 and 10) with weights
    `1 / (n - 1)`. At a profile where all players are equal, everybody's gain is half of the two-player duality gap
    whatever n is: the symmetric equilibria are those of two players.

    >>> duel = PairwiseGame.among(Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1), players=3)
    >>> duel.payoffs(np.array([[[1.0, 0.0]], [[0.0, 1.0]], [[0.0, 1.0]]])).round(2).tolist()
    [[[0.9, 0.5]], [[0.7, 0.3]], [[0.7, 0.3]]]
    """

    game: Game
    weights: Array
    """`[n, n]`, rows sum to one."""

    @classmethod
    def among(cls, game: Game, players: int | None = None, weights: Array | None = None) -> "PairwiseGame":
        """The game of `players` players, each against the average of the others, or against `weights` `[n, n]`.

        A weight on the diagonal is a meeting with a copy of the player's present policy, which stays where it is when
        the player deviates.

        Raises `ValueError` for fewer than two players or weights whose rows do not sum to one.
        """
        check_game(game, "PairwiseGame.among")
        check_one_beta(game, "PairwiseGame.among")
        return cls(game, meeting_weights(players, weights))

    def payoffs(self, profile: Array) -> Array:
        """Expected payoff `[n, X, A]` of each player's responses against the others' probabilities `[n, X, A]`."""
        mixes = _meet(self.weights, profile)
        return namespace(profile).stack([self.game.oracle.win_rates(mix) for mix in mixes])


@record
class HeterogeneousGame(Meetings):
    """n players who meet in pairs, each judged by an annotator of its own.

        payoff_i = sum_j weights[i, j] P_i(pi_i beats pi_j)

    The game of HT-MNPO (arXiv:2509.23102, equation 18). It is general-sum: a profile is judged by the largest gain.
    `game` is the two-player game of the mean annotator, whose oracle is a `Mixture` with one annotator a player.

    >>> tables = np.array([[[0.5, 1.0], [0.0, 0.5]], [[0.5, 0.0], [1.0, 0.5]]])
    >>> HeterogeneousGame.from_tables(tables).payoffs(np.full((2, 1, 2), 0.5)).tolist()
    [[[0.75, 0.25]], [[0.25, 0.75]]]
    """

    game: Game
    weights: Array
    """`[n, n]`, rows sum to one."""

    @classmethod
    def among(cls, game: Game, weights: Array | None = None) -> "HeterogeneousGame":
        """One player for each annotator of `game.oracle`, each against the average of the others or `weights` `[n, n]`.

        Raises `ValueError` unless the oracle is a mixture of at least two annotators.
        """
        check_one_beta(game, "HeterogeneousGame.among")
        return cls(game, meeting_weights(len(annotators(game)), weights))

    @classmethod
    def from_tables(
        cls,
        tables: Array,
        beta: Scalar = 0.0,
        reference: Array | None = None,
        prompts: Array | None = None,
        weights: Array | None = None,
        items: Sequence[str] | None = None,
        scale: Scale = "probability",
    ) -> "HeterogeneousGame":
        """One player for each table of `[n, A, A]` or `[n, X, A, A]`; the rest as in `Game.from_table`."""
        oracles = [Game.from_table(table, items=items, scale=scale).oracle for table in tables]
        game = Game.from_oracle(Mixture.of(oracles), beta, reference, prompts, items)
        return cls.among(game, weights)

    def payoffs(self, profile: Array) -> Array:
        """Expected payoff `[n, X, A]` of each player's responses, by its own annotator, against the others'."""
        return self.judged(_meet(self.weights, profile))

    def judged(self, opponents: Array) -> Array:
        """Expected payoff `[n, X, A]`, by player i's annotator, against the mix `opponents[i]`, `[n, X, A]`."""
        judges = zip(annotators(self.game), opponents, strict=True)
        return namespace(opponents).stack([judge.win_rates(mix) for judge, mix in judges])


def meeting_weights(players: int | None, weights: Array | None) -> Array:
    """Who meets whom how often, `[n, n]`: `weights` checked, or everybody the others equally.

    >>> meeting_weights(3, None).tolist()
    [[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]]
    """
    if players is not None or weights is None:
        check_players(players)
    if weights is None:
        return (1.0 - np.eye(players)) / (players - 1)  # type: ignore[arg-type, operator]  a number, as was checked
    if is_traced(weights):
        return jnp.asarray(weights)
    rows = numeric(weights, None, "weights")
    if rows.ndim != 2 or rows.shape[0] != rows.shape[1] or len(rows) < 2 or (players or len(rows)) != len(rows):
        wanted = players or "players"
        raise ValueError(f"weights has shape {rows.shape}, but must be [{wanted}, {wanted}], at least two players.")
    return validate_distribution(rows, "weights", rows.shape, allow_zero=True)


def check_players(players: int | None) -> None:
    """Refuse what is no whole number of players, at least two.

    >>> check_players(1)
    Traceback (most recent call last):
        ...
    ValueError: players=1: a game needs a whole number of players, at least two players.
    """
    if not is_whole(players, 2):
        raise ValueError(f"players={players!r}: a game needs a whole number of players, at least two players.")


def check_player_game(game: object, what: str) -> None:
    """Refuse what is no game of n players.

    >>> check_player_game(Game.from_table([[0.5, 0.9], [0.1, 0.5]]), "play")
    Traceback (most recent call last):
        ...
    ValueError: play takes a game of n players, not a Game: make one with PairwiseGame.among(game, players=n).
    """
    if not hasattr(game, "payoffs"):
        raise ValueError(
            f"{what} takes a game of n players, not a {type(game).__name__}: make one with PairwiseGame.among(game, "
            "players=n)."
        )


def is_traced(value: object) -> bool:
    """Whether any number in `value` is known only when a compiled program runs: no time for checks.

    >>> is_traced([0.5, 0.5])
    False
    """
    return any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(value))


def annotators(game: Game) -> tuple[EnumerableOracle, ...]:
    """The annotators of a game's mixture; `ValueError` where there are not at least two."""
    groups = getattr(game.oracle, "annotators", ())
    if len(groups) < 2:
        raise ValueError(
            f"{type(game.oracle).__name__} has no annotators to give a player each: make the game of a Mixture "
            "of at least two."
        )
    return groups


def _meet(weights: Array, profile: Array) -> Array:
    """Every player's average opponent, `[n, X, A]`."""
    xp = namespace(weights, profile)
    return xp.einsum("ij,jxa->ixa", xp.asarray(weights, dtype=profile.dtype), profile)

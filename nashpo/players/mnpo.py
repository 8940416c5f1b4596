"""Multiplayer Nash preference optimization: n players, all moving at once."""

from typing import Literal

import jax.numpy as jnp
import numpy as np

from nashpo.game import Game
from nashpo.logspace import log_softmax
from nashpo.players.gains import log_probs
from nashpo.players.games import HeterogeneousGame, PairwiseGame, PlayerGame, annotators, meeting_weights
from nashpo.policies.base import EnumerablePolicy
from nashpo.policies.tabular import Tabular, running_mean
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scalar

Answer = Literal["last", "average"]


@record
class ProfileState:
    """What the next step of n players needs."""

    profile: Tabular
    """Logits `[n, X, A]`."""
    average: Tabular
    """The mean over players and over the profiles before this one, `[X, A]`."""
    step: Array


def mnpo_step(game: PlayerGame, weights: Array, log_profile: Array, payoffs: Array, eta: Scalar) -> Array:
    """One simultaneous step of all players, log-probabilities `[n, X, A]`.

        log pi_i' = eta beta log reference + (1 - eta beta) sum_j w_ij log pi_j + eta g_i - log Z

    Equation 10 of arXiv:2509.23102, with the pull towards the reference that the penalty in its objective asks for
    and equation 10 leaves out. A player's own policy is not on the right.

    >>> pair = PairwiseGame.among(Game.from_table([[0.5, 0.9], [0.1, 0.5]]), players=2)
    >>> even = jnp.full((2, 1, 2), -jnp.log(2.0))
    >>> new = mnpo_step(pair, pair.weights, even, pair.payoffs(jnp.exp(even)), eta=1.0)
    >>> [round(float(p), 3) for p in jnp.exp(new)[0, 0]]
    [0.599, 0.401]
    """
    pull = eta * game.beta
    opponents = jnp.einsum("ij,jxa->ixa", jnp.asarray(weights, log_profile.dtype), log_profile)
    new = pull * game.reference.log_probs() + (1 - pull) * opponents + eta * payoffs
    return log_softmax(new).astype(log_profile.dtype)


class _Players:
    """What both solvers of n players share: how a state begins, and what it answers."""

    eta: Scalar
    weights: Array | None
    starts: Array | None
    answer: Answer

    def _game(self, game: Game) -> PlayerGame:
        raise NotImplementedError

    def check(self, game: Game, bound: float) -> None:
        """Refuse settings that do not fit the game."""
        name, eta = type(self).__name__, self.eta
        step = np.asarray(eta)
        if step.dtype.kind not in "iuf" or not np.all((step > 0) & np.isfinite(step)):
            raise ValueError(f"{name}(eta={eta}): eta must be a positive finite number; it multiplies win rates.")
        if self.answer not in ("last", "average"):
            raise ValueError(f"{name}(answer={self.answer!r}): must be 'last' or 'average'.")
        players = self._game(game)
        if self.starts is not None:
            log_probs(players, self.starts)

    def init(self, game: Game, start: EnumerablePolicy) -> ProfileState:
        """The state before the first step: every player at `start`, or at its row of `starts`."""
        players, dtype = self._game(game), jnp.asarray(game.reference.log_probs()).dtype
        if self.starts is None:
            log = jnp.broadcast_to(jnp.asarray(start.log_probs(), dtype), players.shape)
        else:
            log = jnp.asarray(log_probs(players, self.starts), dtype)
        return ProfileState(_normalised(log), Tabular(_mean(log)), jnp.zeros((), jnp.int32))

    def policy(self, state: ProfileState) -> Tabular:
        """The mean of the players: of their last policies, or over all steps too."""
        return state.average if self.answer == "average" else self.last(state)

    def last(self, state: ProfileState) -> Tabular:
        """The arithmetic mean of the players' last policies."""
        return _normalised(_mean(state.profile.log_probs()))

    def _advance(self, state: ProfileState, new: Array) -> ProfileState:
        average = running_mean(state.average, self.last(state), state.step)
        return ProfileState(_normalised(new), average, state.step + 1)


@record
class MultiplayerMNPO(_Players):
    """Multiplayer Nash preference optimization (Wu et al. 2025, arXiv:2509.23102, equation 10).

        log pi_i' = eta beta log reference + sum_j w_ij [(1 - eta beta) log pi_j + eta P(. beats pi_j)] - log Z

    Players that start equal stay equal and run INPO (SPO without KL penalty), whatever n is. Two players that
    start apart swap two independent runs of self-play at every step; with three or more, differences shrink by
    the factor `-1 / (n - 1)` a step and one run of self-play is left. Like those runs, the last profile leaves
    an equilibrium of full support where `beta = 0`, and the average converges.

    Runs on the two-player game: the answer is the mean of the players, its duality gap the two-player one.
    `state.profile` has the players apart; `nashpo.players.gains` measures them. Options: `players` (or `weights`
    `[n, n]`, rows summing to one), `starts` (probabilities `[n, A]` or `[n, X, A]`), `answer` (`"last"` profile or
    `"average"` over steps).

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> starts = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    >>> result = nashpo.solve(game, MultiplayerMNPO(eta=0.3, players=3, starts=starts), steps=500)
    >>> bool(result.trace["duality_gap"][-1] < 1e-6)
    True
    """

    eta: Scalar
    players: int | None = static(default=None)
    weights: Array | None = None
    starts: Array | None = None
    answer: Answer = static(default="last")

    def step(self, game: Game, state: ProfileState, key: Key) -> tuple[ProfileState, dict[str, Array]]:
        """All players move at once."""
        players, log = self._game(game), state.profile.log_probs()
        new = mnpo_step(players, players.weights, log, players.payoffs(jnp.exp(log)), self.eta)
        return self._advance(state, new), {}

    def _game(self, game: Game) -> PairwiseGame:
        return PairwiseGame(game, meeting_weights(self.players, self.weights))


@record
class HeterogeneousMNPO(_Players):
    """HT-MNPO: each player is judged by an annotator of its own (arXiv:2509.23102, equation 18).

        log pi_i' = eta beta log reference + sum_j w_ij [(1 - eta beta) log pi_j + eta P_i(. beats pi_j)] - log Z

    One player for each annotator of the game's `Mixture`. Because the anchor is the mean of the *opponents*, the
    players stay within O(eta) of each other and of the regularised equilibrium of the **mean** annotator (the one
    whose duality gap the trace shows) and end at no equilibrium of their own game: `nashpo.players.gains` of
    the final profile are not zero. With `pairs="self"` both responses of a pair come from the player itself, as
    equation 18 samples them, which yields `P_i(. beats pi_i)` in place of the payoff.

    Other options as in `MultiplayerMNPO`. Raises `ValueError` for a game without annotators.

    >>> import nashpo
    >>> from nashpo.oracles import Mixture, Table
    >>> import numpy as np
    >>> tables = np.array([[[[0.5, 0.9], [0.1, 0.5]]], [[[0.5, 0.4], [0.6, 0.5]]]])
    >>> game = nashpo.Game.from_oracle(Mixture.of([Table(P) for P in tables]), beta=0.5)
    >>> result = nashpo.solve(game, HeterogeneousMNPO(eta=0.01), steps=2000)
    >>> own = nashpo.players.HeterogeneousGame.among(game)
    >>> bool(result.trace["duality_gap"][-1] < 1e-5)
    True
    >>> bool(nashpo.players.epsilon_nash(own, result.state.profile) > 0.01)
    True
    """

    eta: Scalar
    weights: Array | None = None
    pairs: Literal["opponents", "self"] = static(default="opponents")
    starts: Array | None = None
    answer: Answer = static(default="last")

    def check(self, game: Game, bound: float) -> None:
        """Refuse settings that do not fit the game."""
        if self.pairs not in ("opponents", "self"):
            raise ValueError(f"HeterogeneousMNPO(pairs={self.pairs!r}): must be 'opponents' or 'self'.")
        super().check(game, bound)

    def step(self, game: Game, state: ProfileState, key: Key) -> tuple[ProfileState, dict[str, Array]]:
        """All players move at once."""
        players, log = self._game(game), state.profile.log_probs()
        probs = jnp.exp(log)
        payoffs = players.judged(probs) if self.pairs == "self" else players.payoffs(probs)
        return self._advance(state, mnpo_step(players, players.weights, log, payoffs, self.eta)), {}

    def _game(self, game: Game) -> HeterogeneousGame:
        return HeterogeneousGame(game, meeting_weights(len(annotators(game)), self.weights))


def _normalised(log: Array) -> Tabular:
    return Tabular(log, normalised=True)


def _mean(log_profile: Array) -> Array:
    """The log of the players' mean, `[X, A]`."""
    peak = jnp.max(log_profile, axis=0)
    return peak + jnp.log(jnp.mean(jnp.exp(log_profile - peak), axis=0))

"""Trajectories that are compared: a grid with goals, on which preferences are by return, cyclic, or about the path.

A response is a trajectory of H moves on a 5 x 5 grid. Which of two trajectories is preferred depends on an outcome of
each (where it ends, which goal it visits first, how long it stays), so that the table of all `5^H` trajectories is one
of few outcomes, and the minimax winner is known over outcomes. Policies are `nashpo.policies.Rollout` in the game's
`oracle.world`.
"""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

import nashpo
from nashpo.oracles.base import Enumerable
from nashpo.policies import Answers
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scale
from nashpo_games.arguments import number_between, whole_number
from nashpo_games.cyclic import biased_rps, biased_rps_equilibrium

SIZE = 5
MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""Stay, up, down, left, right; who walks into the wall stays."""
GOALS = ((0, 2), (3, 4), (4, 1))
STARTS = ((2, 2), (2, 1), (3, 2), (2, 3))
"""All goals can be reached from each in four moves."""
_ARRIVED = 0.95
_LONGEST = 8
_LARGEST = 5000


@record
class Grid:
    """A walk of `horizon` moves on a 5 x 5 grid from `starts[x]`; a `nashpo.policies.rollout.World`.

    A policy sees its cell and the time, as one of `25 horizon` possibilities (a vector of zeros and a one, so that a
    linear network is a table), and nothing of where it has been.

    >>> grid = Grid(np.array([[2, 2]]), np.array(GOALS))
    >>> grid.paths(np.array([0]), np.array([[1, 1, 1, 4]]))[0].tolist()
    [[2, 2], [1, 2], [0, 2], [0, 2], [0, 3]]
    """

    starts: Array
    """`[X, 2]`, rows and columns."""
    goals: Array
    """`[G, 2]`."""
    horizon: int = static(default=4)

    @property
    def actions(self) -> int:
        """Five."""
        return len(MOVES)

    def start(self, prompts: Array) -> Array:
        """The cells `[N, 2]` of prompts `[N]`."""
        return jnp.asarray(self.starts)[prompts]

    def step(self, states: Array, actions: Array) -> Array:
        """The cells after actions `[N]`."""
        return jnp.clip(states + jnp.asarray(MOVES, states.dtype)[actions], 0, SIZE - 1)

    def observe(self, states: Array, time: Array) -> Array:
        """Cell and time, `[N, 25 horizon]`."""
        cell = states[:, 0] * SIZE + states[:, 1]
        return jax.nn.one_hot(cell * self.horizon + time, SIZE * SIZE * self.horizon)

    def paths(self, prompts: Array, responses: Array) -> Array:
        """The cells `[N, H + 1, 2]` that actions `[N, H]` lead through."""
        first = self.start(jnp.asarray(prompts))

        def go(states: Array, actions: Array) -> tuple[Array, Array]:
            after = self.step(states, actions)
            return after, after

        _, rest = jax.lax.scan(go, first, jnp.asarray(responses).T)
        return jnp.swapaxes(jnp.concatenate([first[None], rest]), 0, 1)


@record
class Outcomes(Enumerable):
    """Trajectories compared by their outcomes, `P(y beats y') = payoff[outcome(y), outcome(y')]`.

        "last":   the goal that the trajectory ends on                      (O = G + 1; outcome G is none)
        "first":  the goal that it visits first, wherever it goes then      (O = G + 1; outcome G is none)
        "time":   after how many of its moves it is on goal 0               (O = H + 1)

    Win rates cost O(A + O^2) and never build an `A x A` table.

    >>> oracle = goal_cycle().oracle
    >>> oracle.outcome(np.array([0, 0]), np.array([[1, 1, 0, 0], [1, 1, 2, 0]])).tolist()
    [0, 3]
    """

    payoff: Array
    """`[O, O]`."""
    world: Grid
    reading: Literal["last", "first", "time"] = static(default="last")

    votes: bool = static(default=False)
    """Whether a comparison is one vote, 1 with probability P and else 0, drawn with the key."""
    scale: Scale = static(default="probability")

    @property
    def answers(self) -> Answers:
        """How trajectories are numbered."""
        return Answers(self.world.actions, self.world.horizon)

    @property
    def shape(self) -> tuple[int, int]:
        """`(X, A)`."""
        return len(self.world.starts), self.answers.count

    def outcome(self, prompts: Array, responses: Array) -> Array:
        """The outcomes `[N]` of actions `[N, H]`."""
        cells = self.world.paths(prompts, responses)[:, 1:]
        on = jnp.all(cells[:, :, None] == jnp.asarray(self.world.goals), axis=-1)
        goals = on.shape[-1]
        if self.reading == "time":
            return jnp.sum(on[..., 0], axis=1)
        if self.reading == "last":
            return jnp.where(jnp.any(on[:, -1], -1), jnp.argmax(on[:, -1], -1), goals)
        somewhere = jnp.any(on, -1)
        there = jnp.take_along_axis(on, jnp.argmax(somewhere, axis=1)[:, None, None], axis=1)[:, 0]
        return jnp.where(jnp.any(somewhere, 1), jnp.argmax(there, -1), goals)

    def outcomes(self) -> Array:
        """The outcome of every trajectory, `[X, A]`."""
        contexts, responses = self.shape
        prompts = jnp.repeat(jnp.arange(contexts), responses)
        every = self.answers.tokens(jnp.tile(jnp.arange(responses), contexts))
        return self.outcome(prompts, every).reshape(contexts, responses)

    def distribution(self, probs: Array) -> Array:
        """The distribution `[X, O]` over outcomes of probabilities `[X, A]` of trajectories."""
        each = jax.nn.one_hot(self.outcomes(), len(self.payoff), dtype=jnp.result_type(probs))
        return jnp.einsum("xao,xa->xo", each, jnp.asarray(probs), precision=jax.lax.Precision.HIGHEST)

    def win_rates(self, opponent: Array, key: Key | None = None) -> Array:
        """Expected payoff `[X, A]` of every trajectory against an opponent's probabilities `[X, A]`."""
        rates = jnp.matmul(self.distribution(opponent), jnp.asarray(self.payoff).T, precision=jax.lax.Precision.HIGHEST)
        return jnp.take_along_axis(rates, self.outcomes(), axis=-1)

    def table(self) -> Array:
        """Every pairwise payoff, `[X, A, A]`; `ValueError` for more than 5,000 trajectories."""
        if self.shape[1] > _LARGEST:
            raise ValueError(f"a table of {self.shape[1]} x {self.shape[1]} trajectories is too large: ask win_rates.")
        found = self.outcomes()
        return jnp.asarray(self.payoff)[found[:, :, None], found[:, None, :]]

    def compare(self, key: Key, prompts: Array, left: Array, right: Array) -> Array:
        """The payoff `[B, K]` of actions `left[b, k]` against actions `right[b, k]` `[B, K, H]`."""
        shape = np.shape(left)[:2]
        who = jnp.repeat(jnp.asarray(prompts), shape[1])
        first, second = (self.outcome(who, jnp.asarray(side).reshape(len(who), -1)) for side in (left, right))
        payoff = jnp.asarray(self.payoff)[first, second].reshape(shape)
        if not self.votes:
            return payoff
        return (jax.random.uniform(key, shape, payoff.dtype) < payoff).astype(payoff.dtype)

    def bound(self) -> float:
        """`max |payoff - value|`."""
        return float(np.max(np.abs(np.asarray(self.payoff) - self.value)))


def goal_cycle(
    rock: float = 0.8,
    paper: float = 0.65,
    scissors: float = 0.75,
    horizon: int = 4,
    prompts: int = 1,
    beta: float = 0.0,
) -> "nashpo.Game":
    """Control task with intransitive preferences: three goals that beat each other in a circle, by where a walk ends.

        P[0, 2] = rock,   P[1, 0] = paper,   P[2, 1] = scissors,   P[goal, nowhere] = 0.95

    The minimax winner over (goal 0, 1, 2, nowhere) is that of `biased_rps`, (5, 6, 3) / 14 by default, and 0, for every
    prompt; how a goal is walked to does not matter. The task is that of SPO's intransitive preferences (Swamy et al.
    2024, arXiv:2401.04056), small enough for all trajectories to be listed.

    Args:
        rock: probability in [1/2, 1] that goal 0 beats goal 2.
        paper: probability in [1/2, 1] that goal 1 beats goal 0.
        scissors: probability in [1/2, 1] that goal 2 beats goal 1.
        horizon: number of moves, 4 to 8; there are `5^horizon` trajectories.
        prompts: number of starts, 1 to 4.
        beta: KL weight of the game.

    Raises:
        ValueError: a number is out of its range.

    >>> goal_cycle().shape
    (1, 625)
    """
    return _game(_circle(rock, paper, scissors), "last", horizon, prompts, beta)


def first_goal_cycle(
    rock: float = 0.8,
    paper: float = 0.65,
    scissors: float = 0.75,
    horizon: int = 4,
    prompts: int = 1,
    beta: float = 0.0,
) -> "nashpo.Game":
    """Control task with non-Markovian preferences: `goal_cycle`, by the goal that a walk visits first.

    What counts is neither where a walk ends nor any sum over its steps; the minimax winner is that of `goal_cycle`.

    Args:
        rock: probability in [1/2, 1] that goal 0 beats goal 2.
        paper: probability in [1/2, 1] that goal 1 beats goal 0.
        scissors: probability in [1/2, 1] that goal 2 beats goal 1.
        horizon: number of moves, 4 to 8.
        prompts: number of starts, 1 to 4.
        beta: KL weight of the game.

    Raises:
        ValueError: a number is out of its range.

    >>> game = first_goal_cycle()
    >>> game.oracle.outcome(np.array([0]), np.array([[1, 1, 2, 2]])).tolist()
    [0]
    """
    return _game(_circle(rock, paper, scissors), "first", horizon, prompts, beta)


def goal_cycle_equilibrium(rock: float = 0.8, paper: float = 0.65, scissors: float = 0.75) -> np.ndarray:
    """The minimax winner over outcomes `[4]` (goals 0, 1, 2, nowhere) of both cycles, at beta = 0.

    >>> (goal_cycle_equilibrium() * 14).round(9)
    array([5., 6., 3., 0.])
    """
    return np.append(biased_rps_equilibrium(rock, paper, scissors), 0.0)


def goal_return(flip: float = 0.0, horizon: int = 4, prompts: int = 1, beta: float = 0.0) -> "nashpo.Game":
    """Control task with preferences by return: the longer on goal 0 the better, but for votes that are flipped.

        P(y beats y') = 1 - flip if r(y) > r(y'),   1/2 if equal,   r = number of moves after which it is on goal 0

    Every walk that goes straight there and stays is a minimax winner. With `flip` above 0 comparisons are noisy: each
    is one vote, 0 or 1. The order of preferences stays the same.

    Args:
        flip: probability in [0, 1/2) that the smaller return wins.
        horizon: number of moves, 4 to 8.
        prompts: number of starts, 1 to 4.
        beta: KL weight of the game.

    Raises:
        ValueError: a number is out of its range.

    >>> goal_return(flip=0.2).oracle.payoff[0].round(1).tolist()
    [0.5, 0.2, 0.2, 0.2, 0.2]
    """
    flip = number_between("flip", flip, 0.0, 0.5)
    more = np.tri(whole_number("horizon", horizon, least=4) + 1, k=-1)
    return _game(0.5 + (0.5 - flip) * (more - more.T), "time", horizon, prompts, beta, votes=flip > 0)


def _circle(rock: float, paper: float, scissors: float) -> np.ndarray:
    """The payoffs `[4, 4]` of three goals in a circle and of none."""
    payoff = np.full((4, 4), 0.5)
    payoff[:3, :3] = np.asarray(biased_rps(rock, paper, scissors).oracle.table())[0]
    payoff[:3, 3], payoff[3, :3] = _ARRIVED, 1 - _ARRIVED
    return payoff


def _game(
    payoff: np.ndarray,
    reading: Literal["last", "first", "time"],
    horizon: int,
    prompts: int,
    beta: float,
    votes: bool = False,
) -> "nashpo.Game":
    """The game of outcomes; the reference draws every move with equal probability."""
    horizon, prompts = whole_number("horizon", horizon, least=4), whole_number("prompts", prompts, least=1)
    number_between("horizon", horizon, 4, _LONGEST)
    number_between("prompts", prompts, 1, len(STARTS))
    world = Grid(np.array(STARTS[:prompts]), np.array(GOALS), horizon)
    return nashpo.Game.from_oracle(Outcomes(payoff, world, reading, votes), beta=beta)

"""A grid with goals, and trajectories on it that are compared by their outcomes."""

from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.oracles.base import Enumerable
from nashpo.policies import Answers
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scale

SIZE = 5
MOVES = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
"""Stay, up, down, left, right; who walks into the wall stays."""
_LARGEST = 5000


@record
class Grid:
    """A walk of `horizon` moves on a 5 x 5 grid from `starts[x]`; a `nashpo.policies.rollout.World`.

    A policy sees its cell and the time, as one of `25 horizon` possibilities (a vector of zeros and a one, so that a
    linear network is a table), and nothing of where it has been.

    >>> grid = Grid(np.array([[2, 2]]), np.array([[0, 2]]))
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

    >>> from nashpo_games import goal_cycle
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

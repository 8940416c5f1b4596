"""Which pairs are compared, as released pipelines do it: heuristics, for each moves what minimises a loss.

A loss on pairs is right for independent pairs from its law. With pairs of weights `w(y, y')` a squared error with
targets `d(y, y')` has instead the minimiser `log pi = anchor + x`, `L x = sum_y' w(y, y') d(y, y')`, `L` the graph
Laplacian of `w`. Targets that are differences of gains are met for any w that connects the responses, so
`SquaredGains` with `Fresh` gains survives selection by anything but those gains; labels are not.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.game import Game, enumerable_game
from nashpo.learners.collect import with_responses
from nashpo.learners.gains import Batch
from nashpo.learners.losses.base import Samples, differences
from nashpo.learners.memory import blank, recalled, rows, stored
from nashpo.learners.samplers import Scene
from nashpo.logspace import LOG_ZERO
from nashpo.policies.listed import spoken
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Scalar
from nashpo.validation.wording import numeric


@record
class BestAgainstWorst:
    """One pair a prompt: the response that wins most often in its batch against the one that wins least.

    The win rate is the mean payoff against the other responses. Pairs whose win rates differ by less than `margin`
    are dropped, and the others weigh as much as all did. With `certain` the best is labelled the winner without
    asking (INPO, SPPO and MNPO as released); else the oracle is asked about the pair.

    Raises `ValueError` for a margin outside [0, 1] (on scores: negative or not finite).

    >>> from nashpo.learners import Sampled
    >>> from nashpo.learners.losses import DPO
    >>> Sampled(0.01, loss=DPO(), responses=8, selection=BestAgainstWorst()).selection.certain
    True
    """

    margin: Scalar = 0.0
    certain: bool = static(default=True)

    def check(self, learner: Any, game: Game) -> None:
        """Refuse a margin that no pair has."""
        _check_rate(self, "margin", game)

    def select(self, key: Key, samples: Samples, scene: Scene) -> Samples:
        """The samples with their one pair."""
        rates = Batch(own=False).estimate(key, samples.prompts, samples.responses, scene)
        left, right = (jnp.argmax(side, -1, keepdims=True) for side in (rates, -rates))
        one = jnp.ones(left.shape, samples.pairs.dtype)
        return _kept(samples._replace(left=left, right=right, pairs=one), rates, self.margin, self.certain, scene)


@record
class LargeMargin:
    """All pairs of a batch whose win rates differ by at least `margin`, with equal weights.

    The win rate is the mean payoff against the other responses; with `certain` the response with the larger one is
    labelled the winner without asking, else the oracle is asked about every pair.

    Raises `ValueError` for a margin outside [0, 1] (on scores: negative or not finite).

    >>> LargeMargin(0.25).certain
    True
    """

    margin: Scalar
    certain: bool = static(default=True)

    def check(self, learner: Any, game: Game) -> None:
        """Refuse a margin that no pair has."""
        _check_rate(self, "margin", game)

    def select(self, key: Key, samples: Samples, scene: Scene) -> Samples:
        """The samples with the pairs that are left."""
        rates = Batch(own=False).estimate(key, samples.prompts, samples.responses, scene)
        return _kept(samples, rates, self.margin, self.certain, scene)


@record
class GoldMargin:
    """The pairs of DNO-Prct: a gold answer joins the batch, and pairs with a large margin of win rates are kept.

    Rosset et al. 2024 (arXiv:2404.03715, algorithm 2): the win rate of a response is its mean payoff against the K
    other candidates, K samples and the gold answer less itself; pairs are kept whose win rates differ by at least
    `margin` and whose winner has at least `least`, and the winner is taken for certain. `gold` holds one answer to
    each prompt, `[X, ...]`, as the oracle reads them. It tilts what win rates are measured against away from the
    policy.

    Raises `ValueError` for another number of answers, answers that the game does not know, a margin or `least` that no
    pair has, or a loss that reads gains.

    >>> GoldMargin(gold=np.array([2, 0]), margin=0.3).least
    0.0
    """

    gold: Any
    margin: Scalar
    least: Scalar = 0.0

    def check(self, learner: Any, game: Game) -> None:
        """Refuse gold answers and margins that do not fit."""
        _check_rate(self, "margin", game)
        _check_rate(self, "least", game, -np.inf)
        leaves = jax.tree.leaves(self.gold)
        if not leaves or not all(map(np.ndim, leaves)):
            raise ValueError(f"GoldMargin(gold={self.gold!r}): give an array with one answer to each prompt, [X, ...].")
        given = len(leaves[0])
        if given != len(game.prompts):
            raise ValueError(
                f"GoldMargin(gold={given} answers): there are {len(game.prompts)} prompts; give one to each."
            )
        if enumerable_game(game):
            _check_known(self.gold, game)
        else:
            _check_shape(self.gold, blank(spoken(game.reference, game.oracle), 1, 1))
        if learner.loss.reads != "labels":
            name = type(learner.loss).__name__
            raise ValueError(
                f"GoldMargin: {name} reads gains, which gold answers do not have; use a loss on labels, DPO."
            )

    def select(self, key: Key, samples: Samples, scene: Scene) -> Samples:
        """The samples with the gold answers and the pairs that are left."""
        answers = jax.tree.map(lambda leaf: jnp.asarray(leaf)[samples.prompts][:, None], self.gold)
        answers = jax.tree.map(lambda leaf, like: leaf.astype(like.dtype), answers, samples.responses)
        samples = with_responses(samples, answers, scene)
        count = samples.reference.shape[1]
        sides = [jnp.broadcast_to(side, (len(samples.prompts), len(side))) for side in np.triu_indices(count, 1)]
        equal = jnp.full(sides[0].shape, 1.0 / sides[0].shape[1], samples.pairs.dtype)
        samples = samples._replace(left=sides[0], right=sides[1], pairs=equal)
        rates = Batch(own=False).estimate(key, samples.prompts, samples.responses, scene)
        left, right = (jnp.take_along_axis(rates, side, -1) for side in (samples.left, samples.right))
        good = jnp.maximum(left, right) >= self.least
        samples = samples._replace(pairs=jnp.where(good, samples.pairs, 0.0))
        return _kept(samples, rates, self.margin, True, scene)


class Remembered(NamedTuple):
    """What was drawn for earlier fits, the latest first."""

    prompts: Array
    """`[D, B]`."""
    weights: Array
    """`[D, B]`."""
    responses: Any
    """`[D, B, K, ...]`."""
    count: Array
    """How many fits there were."""


@record
class Replay:
    """Responses of earlier fits beside the new ones: those of t fits ago have the share `shares[t - 1]` of the weight.

    DNO-Prct replays at most 30% from one iteration ago and 15% from two (arXiv:2404.03715, section 3). Prompts and
    responses are kept in the learner's carry; anchors, gains and labels are taken afresh, so that a loss that is right
    for any law of responses stays right. Losses on labels are biased by what older policies said.

    Raises `ValueError` for shares that are not positive or leave nothing for the new responses.

    >>> Replay().shares
    (0.3, 0.15)
    """

    shares: tuple[Scalar, ...] = (0.3, 0.15)

    def check(self, learner: Any, game: Game) -> None:
        """Refuse shares that are no shares."""
        shares = numeric(self.shares, None, "Replay: shares")
        if shares.ndim != 1 or not len(shares) or np.any(shares <= 0) or np.sum(shares) >= 1:
            raise ValueError(
                f"Replay(shares={self.shares}): give positive shares whose sum is below 1, one for each age."
            )

    def begin(self, policy: Any, learner: Any) -> Remembered:
        """Nothing yet."""
        batch, ages = rows(learner, policy), len(self.shares)
        room = blank(policy, ages * batch, learner.responses)
        room = jax.tree.map(lambda leaf: leaf.reshape(ages, batch, *leaf.shape[1:]), room)
        weights = jnp.zeros((ages, batch), jnp.result_type(float))
        return Remembered(jnp.zeros((ages, batch), jnp.int32), weights, room, jnp.zeros((), jnp.int32))

    def mix(self, prompts: Array, weights: Array, responses: Any, scene: Scene) -> tuple[Array, Array, Any]:
        """The new prompts `[B]`, weights and responses, and below them the remembered ones, `[(D + 1) B]`."""
        memory: Remembered = scene.memory["replay"]
        shares = jnp.stack([jnp.asarray(share, weights.dtype) for share in self.shares])
        shares = jnp.where(jnp.arange(len(shares), dtype=jnp.int32) < memory.count, shares, 0.0)
        old = recalled(scene.start, jax.tree.map(_flat, memory.responses))
        together = jax.tree.map(lambda new, past: jnp.concatenate([new, past.astype(new.dtype)]), responses, old)
        weighted = _flat(shares[:, None] * memory.weights.astype(weights.dtype))
        return (
            jnp.concatenate([prompts, _flat(memory.prompts).astype(prompts.dtype)]),
            jnp.concatenate([(1 - jnp.sum(shares)) * weights, weighted]),
            together,
        )

    def remember(self, memory: Remembered, samples: Samples, policy: Any) -> Remembered:
        """The memory with the new responses of a fit, those that are in no earlier one."""
        ages, batch = memory.weights.shape
        count = jax.tree.leaves(memory.responses)[0].shape[2]
        new = jax.tree.map(lambda leaf: leaf[:batch, :count], samples.responses)
        weights = samples.weights[:batch] / jnp.sum(samples.weights[:batch])
        kept = stored(policy, new, memory.responses)

        def push(room: Array, leaf: Array) -> Array:
            return jnp.concatenate([leaf[None].astype(room.dtype), room[: ages - 1]])

        return Remembered(
            push(memory.prompts, samples.prompts[:batch]),
            push(memory.weights, weights),
            jax.tree.map(push, memory.responses, kept),
            memory.count + 1,
        )


def _check_known(gold: Any, game: Game) -> None:
    """Refuse gold answers that are none of a game's responses, each a number or spelled as the oracle reads it."""
    numbers = np.asarray(spoken(game.reference, game.oracle).index(np.asarray(gold)))
    if numbers.shape != (len(game.prompts),):
        raise ValueError(f"GoldMargin: gold has shape {np.shape(gold)}: give one response to each prompt.")
    responses = game.shape[1]
    wrong = np.flatnonzero(~((numbers >= 0) & (numbers < responses) & (numbers == np.floor(numbers))))
    if len(wrong):
        raise ValueError(
            f"GoldMargin: gold[{wrong[0]}] is {np.asarray(gold)[wrong[0]]}, which is none of the game's {responses} "
            "responses; they are numbered from 0."
        )


def _check_shape(gold: Any, drawn: Any) -> None:
    """Refuse gold answers of another shape than responses that are drawn `[1, 1, ...]`."""
    found, wanted = [[np.shape(leaf)[axes:] for leaf in jax.tree.leaves(r)] for r, axes in ((gold, 1), (drawn, 2))]
    if found != wanted:
        raise ValueError(f"GoldMargin: the gold answers have shape {found[0]}, the policies' responses {wanted[0]}.")


def _check_rate(selection: Any, name: str, game: Game, least: float = 0.0) -> None:
    """Refuse a win rate, or a difference of two, that cannot be; `least` is the smallest on scores."""
    value = numeric(getattr(selection, name), None, f"{type(selection).__name__}: {name}")
    known = game.scale == "probability"
    within = (value >= 0) & (value <= 1) if known else np.isfinite(value) & (value >= least)
    if not np.all(within):
        wanted = "between 0 and 1" if known else "finite" + ", at least 0" * (least == 0)
        raise ValueError(f"{type(selection).__name__}({name}={getattr(selection, name)}): must be {wanted}.")


def _flat(leaf: Array) -> Array:
    return leaf.reshape(-1, *leaf.shape[2:])


def _kept(samples: Samples, rates: Array, margin: Scalar, certain: bool, scene: Scene) -> Samples:
    """Pairs whose win rates differ by the margin, with the weight of all; the winner certain if so asked.

    In a game of scores labels are log-odds, and those of a certain winner as good as infinite.
    """
    gap = differences(rates, samples)
    pairs = jnp.where(jnp.abs(gap) >= margin, samples.pairs, 0.0)
    total = jnp.sum(samples.weights * jnp.sum(pairs, -1))
    pairs = pairs / jnp.where(total > 0, total, 1.0)
    won = -LOG_ZERO * jnp.sign(gap) if scene.game.scale == "score" else (jnp.sign(gap) + 1) / 2
    return samples._replace(pairs=pairs, labels=won if certain else None)

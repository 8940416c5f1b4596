"""Groups of annotators who vote alike, found by expectation maximisation."""

import dataclasses
from typing import Any, Literal

import numpy as np

from nashpo.logspace import log_softmax
from nashpo.oracles.mixture import Mixture
from nashpo.oracles.reward import BradleyTerry
from nashpo.preferences.bradley_terry import corrected_wins, penalised_rewards, reward_objective
from nashpo.preferences.comparisons import Comparisons
from nashpo.preferences.losses import check_noise
from nashpo.preferences.rows import random, require_comparisons
from nashpo.typing import Key, Scale
from nashpo.validation.numbers import is_number, is_positive, is_whole, whole_number


@dataclasses.dataclass(frozen=True, eq=False)
class AnnotatorGroups:
    """Groups of annotators, each with rewards of its own.

    >>> import jax
    >>> data = Comparisons.from_pairs([0, 0], [1, 1], [1, 0], votes=9, annotators=[0, 1])
    >>> found = fit_annotator_groups(data, 2, jax.random.key(0))
    >>> found.rewards.shape, bool(np.all(np.diff(found.objectives) >= 0))
    ((2, 1, 2), True)
    """

    oracle: Mixture
    """One Bradley-Terry model per group; `weights` `[G]` are the groups' sizes, the largest first."""
    responsibilities: np.ndarray
    """`[U, G]`: how likely annotator u belongs to group g; of a number without votes, the groups' sizes."""
    objectives: np.ndarray
    """`[T]`: the penalised log-likelihood after every iteration, in nats; it never falls."""
    converged: bool
    """Whether the last iteration changed it by less than the tolerance."""

    @property
    def rewards(self) -> np.ndarray:
        """The groups' rewards, `[G, X, A]`: what `nashpo.maxmin.maxmin_rewards` takes."""
        groups: Any = self.oracle.annotators
        return np.stack([np.asarray(group.rewards) for group in groups])

    def groups(self) -> np.ndarray:
        """The most likely group of every annotator, `[U]`."""
        return self.responsibilities.argmax(axis=1)


def fit_annotator_groups(
    data: Comparisons,
    groups: int,
    key: Key | int,
    assignment: Literal["soft", "hard"] = "soft",
    penalty: float = 0.1,
    flip: float = 0.0,
    smoothing: float = 0.0,
    restarts: int = 10,
    steps: int = 500,
    tol: float = 1e-8,
    scale: Scale = "probability",
) -> AnnotatorGroups:
    """A mixture of Bradley-Terry models over annotators (MaxMin-RLHF, Chakraborty et al. 2024, arXiv:2402.08925).

        max  sum_u log sum_g w_g exp(l_ug) - penalty / 2 sum |r_g|^2,     l_ug = log-likelihood of u's votes under r_g

        soft: responsibility of g for u = w_g exp(l_ug) / sum_h w_h exp(l_uh)     (expectation maximisation)
        hard: all of it to the g with the largest w_g exp(l_ug); the sum over g becomes a maximum (section 4 of the
        paper, without w_g)

    Then `w_g` is the mean responsibility and `r_g` the Bradley-Terry fit of votes weighted by it. Neither step can
    lower the objective. It has several maxima: the best of `restarts` random assignments is kept, each run until an
    iteration gains less than `tol` (relative) or `steps` are done. A penalty (precision of the prior) keeps the
    rewards of small groups finite. With `flip` the log-likelihood is the corrected one (see `targets`).

    Only annotators with votes count; numbers that no row has, as after `split(by="annotators")`, change nothing.

    Raises `ValueError` for comparisons without annotators or of features, fewer annotators with votes than groups, or a
    penalty that is not positive.

    >>> import jax
    >>> data = Comparisons.from_pairs([0] * 6, [1] * 6, [1, 1, 1, 0, 0, 1], votes=9, annotators=range(6))
    >>> found = fit_annotator_groups(data, 2, jax.random.key(0))
    >>> found.groups().tolist(), found.oracle.weights.round(3).tolist()
    ([0, 0, 0, 1, 1, 0], [0.667, 0.333])
    """
    if assignment not in ("soft", "hard"):
        raise ValueError(f'assignment={assignment!r}: choose "soft" or "hard".')
    if not is_positive(penalty):
        raise ValueError(f"penalty={penalty}: groups may be small, so the prior needs a positive precision.")
    check_noise(flip, smoothing)
    restarts, steps = whole_number("restarts", restarts, 1), whole_number("steps", steps, 0)
    if not is_number(tol, 0.0):
        raise ValueError(f"tol={tol!r}: the relative gain to stop at is a number that is at least 0.")
    counts = annotator_wins(data)
    voted = counts.any(axis=(1, 2, 3))
    wins = corrected_wins(counts[voted], flip, smoothing)
    if not is_whole(groups, 1, len(wins)):
        raise ValueError(
            f"groups={groups}: there are {len(wins)} annotators who voted, so choose between 1 and {len(wins)}."
        )
    generator = random(key)
    runs = []
    for _ in range(restarts):
        start = np.eye(groups)[generator.permutation(np.arange(len(wins)) % groups)]
        runs.append(_Run.from_start(wins, start, penalty, assignment == "hard").iterate(steps, tol))
    best = max(runs, key=lambda run: run.objectives[-1])
    order = np.argsort(-best.weights, kind="stable")
    oracle = Mixture.of([BradleyTerry(best.rewards[g], scale) for g in order], best.weights[order])
    responsibilities = np.tile(best.weights[order], (len(counts), 1))
    responsibilities[voted] = best.responsibilities[:, order]
    return AnnotatorGroups(oracle, responsibilities, np.array(best.objectives), best.converged)


def annotator_wins(data: Comparisons) -> np.ndarray:
    """How often each item beat each other in the eyes of each annotator, `[U, X, A, A]`.

    Raises `ValueError` for comparisons without annotators, or of features.

    >>> annotator_wins(Comparisons.from_pairs([0, 0], [1, 1], [1.0, 0.0], annotators=[0, 1])).tolist()
    [[[[0.0, 1.0], [0.0, 0.0]]], [[[0.0, 0.0], [1.0, 0.0]]]]
    """
    require_comparisons(data, "fit_annotator_groups")
    data.require_items("fit_annotator_groups")
    if data.annotators is None:
        raise ValueError("these comparisons do not say who voted: give annotators, a number for every row.")
    contexts, items = data.shape[0], data.shape[1] or 0
    most = int(data.annotators.max())
    try:
        counts = np.zeros((most + 1, contexts, items, items))
    except MemoryError:
        raise ValueError(
            f"annotators are numbered up to {most}, more than fit into memory: number those who voted 0, 1, 2, ..., "
            "with np.unique(annotators, return_inverse=True)[1]."
        ) from None
    won = data.share * data.votes
    np.add.at(counts, (data.annotators, data.prompts, data.left, data.right), won)
    np.add.at(counts, (data.annotators, data.prompts, data.right, data.left), data.votes - won)
    return counts


@dataclasses.dataclass(frozen=True)
class _Run:
    """Expectation maximisation from one start."""

    wins: np.ndarray
    penalty: float
    hard: bool
    weights: np.ndarray
    rewards: np.ndarray
    responsibilities: np.ndarray
    objectives: tuple[float, ...] = ()
    converged: bool = False

    @classmethod
    def from_start(cls, wins: np.ndarray, responsibilities: np.ndarray, penalty: float, hard: bool) -> "_Run":
        """The models of an assignment `[U, G]`."""
        rewards = np.zeros((responsibilities.shape[1], *wins.shape[1:-1]))
        return cls(wins, penalty, hard, np.ones(1), rewards, responsibilities).maximised()

    def maximised(self) -> "_Run":
        """The M step: sizes and rewards of the groups."""
        pooled = np.einsum("ug,uxij->gxij", self.responsibilities, self.wins)
        rewards = penalised_rewards(pooled, self.penalty, self.rewards)
        return dataclasses.replace(self, weights=self.responsibilities.mean(axis=0), rewards=rewards)

    def joint(self) -> np.ndarray:
        """`log w_g + l_ug`, `[U, G]`; a group of nobody gets no one."""
        behind = np.logaddexp(0.0, self.rewards[..., None, :] - self.rewards[..., :, None])
        likelihoods = -np.einsum("uxij,gxij->ug", self.wins, behind)
        log_weights = np.log(np.where(self.weights > 0, self.weights, 1.0))
        return likelihoods + np.where(self.weights > 0, log_weights, -1e12)

    def expected(self) -> "_Run":
        """The E step: responsibilities, and the objective before the next M step."""
        joint = self.joint()
        prior = float(np.sum(reward_objective(np.zeros_like(self.wins[0]), self.rewards, self.penalty)))
        if self.hard:
            found = np.eye(len(self.weights))[joint.argmax(axis=1)]
            total = float(joint.max(axis=1).sum())
        else:
            found = np.exp(log_softmax(joint))
            total = float(np.logaddexp.reduce(joint, axis=1).sum())
        return dataclasses.replace(self, responsibilities=found, objectives=(*self.objectives, total + prior))

    def iterate(self, steps: int, tol: float) -> "_Run":
        """E and M steps in turn until the objective stands still."""
        run = self.expected()
        for _ in range(steps):
            run = run.maximised().expected()
            if run.objectives[-1] - run.objectives[-2] <= tol * (1 + abs(run.objectives[-1])):
                return dataclasses.replace(run, converged=True)
        return run

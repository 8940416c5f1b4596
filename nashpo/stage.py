"""An update as data: which policies anchor it, against whom it plays, how far it steps.

Almost every Nash-learning algorithm is a short list of points in log-policy space,

    log pi_new(y|x) = sum_k a_k log pi_k(y|x) + eta * sum_j w_j P(y beats nu_j | x) + const(x),

and a `Stage` is one of them. A rule names policies by slot: `"reference"`, `"now"`, `"past1"` (the policy one
step ago), ..., and slots of its own.
"""

import math
import warnings
from typing import Any, Literal, TypeAlias, cast

import jax
import numpy as np
from jax.core import Tracer

from nashpo.struct import record, static
from nashpo.typing import Array, Scalar, Schedule

Slot: TypeAlias = str
Blend: TypeAlias = dict[Slot, Scalar]
"""Weights of a geometric mixture of slots. They sum to one; a blend of one slot is that slot."""

Target: TypeAlias = Literal["win_rate", "win_rate_half_baseline", "bradley_terry", "score", "policy_gradient"]
"""What `eta` multiplies. `learners.targets` states each formula."""


class StepSizeWarning(UserWarning):
    """A step size is above the largest one for which convergence is proven."""


@record
class Opponent:
    """Somebody to play against: a geometric mixture of slots, with a weight that may be negative."""

    weight: Scalar
    blend: Blend


@record
class Stage:
    """One point in log-policy space, and where it is written.

    `log pi_write = sum_k anchor_k log pi_k + eta * sum_j weight_j target(. against opponent_j) + const`.
    A tentative stage is a look ahead: whatever its learner did to an optimizer's state is thrown away.
    """

    anchor: Blend
    opponents: tuple[Opponent, ...] = ()
    eta: Scalar = 0.0
    write: Slot = static(default="now")
    start: Slot = static(default="now")
    tentative: bool = static(default=False)
    target: Target = static(default="win_rate")


@record
class Move:
    """After the stages, the slot that this move is listed under becomes `source` if `when` holds."""

    source: Slot = static()
    when: Scalar = True


def against(slot: Slot) -> tuple[Opponent, ...]:
    """The one opponent in `slot`.

    >>> against("half")
    (Opponent(weight=1.0, blend={'half': 1.0}),)
    """
    return (Opponent(1.0, {slot: 1.0}),)


def pull(eta: Scalar, beta: Scalar, slot: Slot = "now") -> Blend:
    """The anchor `pi^(1 - eta beta) ref^(eta beta)` of a mirror step with a KL penalty.

    >>> pull(0.5, 0.1)
    {'now': 0.95, 'reference': 0.05}
    """
    return {slot: 1.0 - eta * beta, "reference": eta * beta}


def step_size(eta: Schedule, beta: Scalar, step: Array) -> Scalar:
    """The step size at `step`: `eta` itself, or `eta(beta, step)` where it is a schedule."""
    return cast(Scalar, eta(beta, step) if callable(eta) else eta)


@record
class Harmonic:
    """The decaying step `eta_t = scale / (beta (t + 2))`, `t = 0, 1, ...`, of Nash-MD and INPO.

    >>> float(Harmonic()(0.1, 0))
    10.0
    """

    scale: Scalar = 2.0

    def __call__(self, beta: Scalar, step: Array) -> Scalar:
        """The step size at `step` in a game with KL weight `beta`."""
        return self.scale / (beta * (step + 2.0))


class UpdateRule:
    """What the next policy is. Subclasses are records whose numbers are leaves; everything here is structure."""

    memory: int = 0
    """How many past policies are kept, in `"past1"`, `"past2"`, ...; before the start they equal the start."""
    stored: tuple[Slot, ...] = ()
    """Slots of the rule's own that last from step to step; they begin at the start."""
    report: Slot = "now"
    """The slot that is the answer, or `"average"`: the arithmetic mean of the iterates before the last."""

    penalised: bool = True
    """Whether the rule solves the game with its KL penalty; if not, the one with `beta = 0`."""

    def stages(self, beta: Scalar, step: Array) -> tuple[Stage, ...]:
        """The points of one step, in order; a later stage sees what an earlier one wrote. `step` counts from 0."""
        raise NotImplementedError(f"{type(self).__name__} has no stages: define `stages(beta, step)`.")

    def moves(self, step: Array) -> dict[Slot, Move]:
        """What is copied between slots after the stages."""
        return {}

    def proven_step(self, beta: float, bound: float) -> float | None:
        """The largest step size for which convergence is proven, or None. `bound` is `max |payoff - value|`."""
        return None

    def check(self, game: Any, bound: float) -> None:
        """Refuse a setting or a game that cannot be run; `bound` is `max |payoff - value|` of the game."""
        check_step_size(self, game.beta, bound)


def check_step_size(rule: UpdateRule, beta: Scalar, bound: float) -> None:
    """Refuse a step size that is not positive and finite; warn of one above the proven limit at `beta`."""
    if not hasattr(rule, "eta"):
        return
    eta, name = rule.eta, type(rule).__name__  # type: ignore[attr-defined]  it has what `hasattr` asked for
    if callable(eta):
        _check_schedule(name, eta, beta)
        return
    if isinstance(eta, Tracer):
        return
    if isinstance(eta, list | tuple):
        raise ValueError(f"{name}(eta={eta}): a run has one step size; nashpo.sweep runs several, a list or an array.")
    try:
        smallest, largest = (eta, eta) if isinstance(eta, float) else (float(np.min(eta)), float(np.max(eta)))
    except (TypeError, ValueError):
        smallest, largest = math.nan, math.nan
    if not 0 < smallest <= largest < math.inf:
        raise ValueError(f"{name}(eta={eta}): eta must be a positive finite number; it multiplies win rates.")
    if isinstance(beta, Tracer):
        return
    least = beta if isinstance(beta, float) else float(np.min(beta))
    limit = rule.proven_step(least, bound)
    if limit is not None and largest > limit * (1 + 1e-6):
        warnings.warn(
            f"{name}(eta={largest:g}): convergence is proven up to eta = {limit:g} at beta = {least:g}; "
            "a larger step may cycle.",
            StepSizeWarning,
            stacklevel=6,
        )


def _check_schedule(name: str, eta: Schedule, beta: Scalar) -> None:
    """Refuse a schedule whose first step size is not positive and finite, as where it divides by `beta = 0`."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves((eta, beta))):
        return
    least = float(np.min(beta))
    with np.errstate(divide="ignore", invalid="ignore"):
        first = np.asarray(eta(np.float64(least), 0))
    if not np.all((first > 0) & (first < math.inf)):
        raise ValueError(
            f"{name}(eta={eta}): the schedule begins with {first} at beta = {least:g}; step sizes must be positive "
            "finite numbers."
        )

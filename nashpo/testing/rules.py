"""What an update rule owes: stages that make sense as data, and the runs that they lead to."""

import dataclasses
import warnings
from typing import Any

import jax
import numpy as np

from nashpo.learners.base import Learner
from nashpo.learners.targets import TARGETS
from nashpo.stage import Stage, StepSizeWarning
from nashpo.testing.games import GAMES
from nashpo.testing.law import Law, check_fields
from nashpo.testing.runs import Rest, Runs, label, probs, scaled
from nashpo.testing.solvers import check_runs

_MOMENTS = ((0.1, 0), (0.1, 1), (0.1, 7), (1.0, 0))
"""Pairs of `beta` and `step` at which the stages are read."""


def check_rule(
    rule: Any,
    *,
    other: Any = None,
    rest: Rest | None = None,
    certain: bool = True,
    affine: bool = True,
    learner: Learner | None = None,
) -> None:
    """Hold an update rule to what the learners that carry it out rely on, and its runs to all that `check_solver` asks.

    Its stages must be a non-empty tuple in which anchors and opponents' mixtures have weights that sum to one, name
    only slots that exist when they are read, and write `"now"`; `memory`, `stored`, `report` and `moves` must fit
    together; `proven_step` must be a positive number or None, in units of payoff; step sizes that are not positive and
    finite must be refused; `penalised` must say whether the game's KL penalty matters. `learner` (exact if None)
    carries the rule out; for the other options see `check_solver`.

    Raises `AssertionError`: one sentence with the law, the place, the size of the error and what to do.

    >>> from nashpo.stage import Stage, UpdateRule, against
    >>> from nashpo.struct import record
    >>> @record
    ... class Forgetful(UpdateRule):
    ...     eta: float
    ...     def stages(self, beta, step):
    ...         return (Stage({"now": 1.0 - self.eta * beta}, against("now"), self.eta),)
    >>> check_rule(Forgetful(eta=0.5))
    Traceback (most recent call last):
        ...
    nashpo.testing.law.BrokenLaw: Forgetful(eta=0.5) breaks the law "weights of a mixture sum to one": the anchor of \
stage 0 at beta = 0.1, step 0 is 0.95 instead of 1, off by 0.05 (allowed: 1e-09); give the missing weight to the \
policy that pulls, "reference" for example.
    """
    name = label(rule)
    with Law(name, "it is an update rule", "derive the class from nashpo.stage.UpdateRule and define stages") as law:
        for part in ("stages", "moves", "memory", "stored", "report", "penalised", "check", "proven_step"):
            law.require(hasattr(rule, part), f"{part} is missing")
    check_fields(name, rule)
    with jax.enable_x64(True), warnings.catch_warnings():
        warnings.simplefilter("ignore", StepSizeWarning)
        _structure(name, rule)
        for beta, step in _MOMENTS:
            _stages(name, rule, beta, step)
        _moves(name, rule)
        _proven(name, rule, affine)
        _refused(name, rule)
    runs = Runs(name, rule, scaled(rule, 0.7) if other is None else other, learner=learner)
    check_runs(runs, rest, certain, affine)
    _penalised(runs, rule)


def _kept(rule: Any) -> tuple[str, ...]:
    """The slots that last from step to step."""
    return ("now", *(f"past{age}" for age in range(1, rule.memory + 1)), *rule.stored)


def _structure(name: str, rule: Any) -> None:
    with Law(name, "memory, stored and report fit together", "see nashpo.stage.UpdateRule for what each one is") as law:
        memory, stored = rule.memory, rule.stored
        law.require(isinstance(memory, int) and memory >= 0, f"memory is {memory!r}, no whole number")
        sound = isinstance(stored, tuple) and all(isinstance(slot, str) for slot in stored)
        law.require(sound, f"stored is {stored!r}, no tuple of names")
        taken = [slot for slot in stored if slot in ("now", "reference", "average") or slot.startswith("past")]
        law.require(not taken, f"stored has {taken[:1]}, a name that the library uses")
        law.require(len(set(stored)) == len(stored), f"stored is {stored}: a name comes twice")
        known = (*_kept(rule), "average")
        law.require(rule.report in known, f"report is {rule.report!r}, none of the slots that last, {', '.join(known)}")


def _stages(name: str, rule: Any, beta: float, step: int) -> None:
    when = f"at beta = {beta:g}, step {step}"
    with Law(name, "stages are a tuple of Stage", "return (Stage(...), ...) from stages(beta, step)") as law:
        stages = rule.stages(np.float64(beta), np.float64(step))
        sound = isinstance(stages, tuple) and stages and all(isinstance(stage, Stage) for stage in stages)
        law.require(sound, f"{when} they are {stages!r:.80}")
        known = ", ".join(TARGETS)
        for index, stage in enumerate(stages):
            law.require(stage.target in TARGETS, f"the target of stage {index} is {stage.target!r}, none of {known}")
            law.require(np.all(np.isfinite(stage.eta)), f"eta of stage {index} is {np.asarray(stage.eta)} {when}")
    slots = ["reference", *_kept(rule)]
    for index, stage in enumerate(stages):
        _mixtures(name, stage, f"stage {index} {when}", slots)
        slots.append(stage.write)
    with Law(name, "the last iterate is written", 'let the last stage write "now"') as law:
        written = [*(stage.write for stage in stages), *rule.moves(np.float64(step))]
        law.require("now" in written, f"only {', '.join(written)} is written {when}")


def _mixtures(name: str, stage: Stage, where: str, slots: list[str]) -> None:
    """The anchor and the opponents of one stage, which may read `slots`."""
    remedy = 'write a slot in an earlier stage, keep it with `stored`, or raise `memory` for "past1", "past2", ...'
    with Law(name, "stages read slots that exist", remedy) as law:
        read = [*stage.anchor, *(slot for opponent in stage.opponents for slot in opponent.blend), stage.start]
        missing = [slot for slot in read if slot not in slots]
        known = ", ".join(dict.fromkeys(slots))
        law.require(not missing, f"{where} reads {missing[:1]}, where there are {known}")
        law.require(stage.write != "reference", f'{where} writes "reference", which belongs to the game')
    remedy = 'give the missing weight to the policy that pulls, "reference" for example'
    with Law(name, "weights of a mixture sum to one", remedy) as law:
        blends = [(f"the anchor of {where}", stage.anchor)]
        blends += [(f"opponent {i} of {where}", opponent.blend) for i, opponent in enumerate(stage.opponents)]
        for what, blend in blends:
            law.close(sum(np.asarray(weight) for weight in blend.values()), 1.0, what, atol=1e-9)


def _moves(name: str, rule: Any) -> None:
    with Law(name, "moves go between slots", "move from a slot that a stage wrote to one of `stored`") as law:
        written = [stage.write for stage in rule.stages(np.float64(0.1), np.float64(0))]
        kept = _kept(rule)
        for slot, move in rule.moves(np.float64(0)).items():
            law.require(slot in kept, f"{slot!r} is moved to, which is none of {', '.join(kept)}")
            known = ("reference", *kept, *written)
            law.require(move.source in known, f"{move.source!r} is moved from, which is none of {', '.join(known)}")


def _proven(name: str, rule: Any, affine: bool) -> None:
    remedy = "return a positive number or None; `bound` is max |payoff - value|, in the units of beta"
    with Law(name, "proven_step is a step size", remedy) as law:
        for beta in (0.1, 1.0):
            once, twice = (rule.proven_step(unit * beta, unit * 0.5) for unit in (1.0, 2.0))
            law.require(once is None or once > 0, f"it is {once} at beta = {beta:g}")
            if affine and once is not None:
                law.require(twice is not None, f"it is None at beta = {2 * beta:g} in twice the units")
                law.close(twice, once / 2, f"proven_step({2 * beta:g}, 1.0), twice the units", rtol=1e-9)


def _refused(name: str, rule: Any) -> None:
    if jax.tree.leaves(scaled(rule, 2.0)) == jax.tree.leaves(rule):
        return
    remedy = "call super().check(game, bound) in your check"
    with Law(name, "a step size is positive and finite, or refused", remedy) as law:
        for factor, what in ((0.0, "0"), (-1.0, "a negative number"), (np.nan, "NaN"), (np.inf, "infinity")):
            try:
                scaled(rule, factor).check(GAMES["random"](), 0.5)
            except ValueError as error:
                law.require("eta" in str(error), f"the refusal of {what} does not speak of eta ({error})")
            else:
                raise law.broken(f"{what} was accepted as eta")


def _penalised(runs: Runs, rule: Any) -> None:
    """Whether beta matters."""
    with Law(runs.name, "`penalised` says whether beta matters", f"set penalised = {not rule.penalised}") as law:
        game = GAMES["random"]()
        with jax.enable_x64(True), warnings.catch_warnings():
            warnings.simplefilter("ignore", StepSizeWarning)
            doubled = dataclasses.replace(game, beta=2 * game.beta)
            differs = not np.array_equal(probs(runs.usual.policy), probs(runs(doubled).policy))
        found = "differ" if differs else "are equal to the last bit"
        law.require(differs == rule.penalised, f"it is {rule.penalised} and answers at beta = 0.1 and 0.2 {found}")

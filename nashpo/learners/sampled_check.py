"""What a learner from samples refuses."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from nashpo.game import Game
from nashpo.learners.gains import compare_all
from nashpo.learners.samplers import FromOpponent, FromReference, FromStart, Uniform
from nashpo.policies.listed import spoken
from nashpo.stage import Stage
from nashpo.validation.numbers import whole_number

_SAMPLERS: dict[str, str] = {
    sampler.law: sampler.__name__ for sampler in (FromStart, FromOpponent, FromReference, Uniform)
}
_PROBES = 8
"""How many responses an oracle is tried on before a run."""


def completed(learner: Any) -> None:
    """Give a learner the sampler and the gains that its loss asks for, where it has none; refuse what is biased.

    For `__post_init__` of a frozen learner.

    >>> from nashpo.learners import Sampled
    >>> from nashpo.learners.losses import PairLabel
    >>> Sampled(0.1, loss=PairLabel()).sampler
    FromOpponent()
    """
    check_parts(learner)
    if learner.sampler is None:
        laws = learner.loss.laws
        chosen = FromOpponent() if laws is not None and "opponent" in laws else FromStart()
        object.__setattr__(learner, "sampler", chosen)
    if getattr(learner.gains, "own", False) is None:
        own = getattr(learner.loss, "paired", False)
        object.__setattr__(learner, "gains", dataclasses.replace(learner.gains, own=own))
    check_laws(learner)


def check_parts(learner: Any) -> None:
    """Refuse parts that are no parts, as a class in place of an instance.

    >>> from nashpo.learners import Sampled
    >>> Sampled(0.1, gains="fresh")
    Traceback (most recent call last):
        ...
    ValueError: Sampled(gains='fresh'): give an instance, see nashpo.learners and its losses.
    """
    methods = {"loss": "__call__", "sampler": "draw", "gains": "estimate", "selection": "select", "replay": "mix"}
    for field, method in methods.items():
        part = getattr(learner, field)
        if part is not None and (isinstance(part, type) or not hasattr(part, method)):
            raise ValueError(
                f"{_name(learner)}({field}={part!r}): give an instance, see nashpo.learners and its losses."
            )


def check_laws(learner: Any) -> None:
    """Refuse a loss, and gains, with samples from a law that they are biased for.

    >>> from nashpo.learners import Sampled
    >>> from nashpo.learners.losses import PairLabel
    >>> Sampled(0.1, loss=PairLabel(), sampler=Uniform())
    Traceback (most recent call last):
        ...
    ValueError: Sampled: PairLabel is biased for responses from Uniform; use FromOpponent, or a loss for samples of \
any law, such as SquaredGains.
    """
    for part in (learner.loss, learner.gains if learner.loss.reads == "gains" else None):
        laws = None if part is None else part.laws
        if laws is not None and learner.sampler.law not in laws:
            names = " or ".join(str(_SAMPLERS.get(law, law)) for law in sorted(laws))
            other = "a loss for samples of any law, such as SquaredGains" if part is learner.loss else "Fresh gains"
            raise ValueError(
                f"{_name(learner)}: {type(part).__name__} is biased for responses from "
                f"{type(learner.sampler).__name__}; use {names}, or {other}."
            )
    paired, name = getattr(learner.loss, "paired", False), type(learner.gains).__name__
    if learner.loss.reads == "gains" and getattr(learner.gains, "own", paired) != paired:
        how = "takes responses of a batch from each other, who met" if paired else "has an error for each response"
        raise ValueError(
            f"{_name(learner)}(gains={name}(own={not paired})): {type(learner.loss).__name__} {how}; use "
            f"own={paired}, or leave it to the loss."
        )
    most = getattr(learner.loss, "updates", None)
    if most is not None and learner.updates > most:
        raise ValueError(
            f"{_name(learner)}(updates={learner.updates}): {type(learner.loss).__name__} is biased after the first "
            "step, when the responses are no longer those of the policy that is trained; take updates=1 and more steps."
        )
    _check_heuristics(learner)
    fewest = 2 if hasattr(learner.gains, "own") else getattr(learner.loss, "fewest", 2)
    for name, least in (("responses", fewest), ("updates", 1), ("pool", 2)):
        whole_number(name, getattr(learner, name), least, of=_name(learner))
    for name in ("prompts", "minibatch", "microbatch"):
        if getattr(learner, name) is not None:
            whole_number(name, getattr(learner, name), 1, of=_name(learner), otherwise=", or None for all")
    _check_mesh(learner.mesh)


def _check_heuristics(learner: Any) -> None:
    """Refuse replay where only responses of the policy itself are right, and a selection of pairs that nobody reads."""
    loss, name = learner.loss, type(learner.loss).__name__
    if loss.laws == {"start"}:
        for field in ("selection", "replay"):
            part = getattr(learner, field)
            if part is not None:
                what = "responses of earlier policies" if field == "replay" else "pairs"
                raise ValueError(
                    f"{_name(learner)}({field}={type(part).__name__}): {name} reads responses of the policy that is "
                    f"trained one by one, and not {what}; leave it out, or use a loss on pairs, such as SquaredGains."
                )


def _check_mesh(mesh: Any) -> None:
    if mesh is None:
        return
    if not isinstance(mesh, Mesh):
        raise ValueError(
            f"Sampled(mesh={type(mesh).__name__}): give a jax.sharding.Mesh of one axis, for example "
            'jax.make_mesh((8,), ("batch",)).'
        )
    if len(mesh.axis_names) != 1:
        raise ValueError(
            f"Sampled(mesh={dict(mesh.shape)}): the prompts are spread along one axis, this mesh has "
            f"{len(mesh.axis_names)}."
        )


def check_sampled(learner: Any, rule: Any, game: Game) -> None:
    """Refuse a rule whose target the loss does not fit, sizes that do not divide, and answers that are no payoffs."""
    check_stages(learner, rule, game)
    total = learner.prompts or len(game.prompts)
    check_sizes(learner, total)
    if learner.mesh is not None and total % learner.mesh.size:
        raise ValueError(
            f"Sampled(prompts={total}): must be a multiple of the {learner.mesh.size} devices of the mesh."
        )
    check_oracle_answers(game)
    for part in (learner.loss, learner.sampler, learner.gains, learner.selection, learner.replay):
        check = getattr(part, "check", None)
        if check is not None:
            check(learner, game)


def check_stages(learner: Any, rule: Any, game: Game) -> None:
    """Refuse a rule whose target the loss does not fit, or whose opponents the samples are not right for.

    >>> from nashpo.learners import Sampled
    >>> from nashpo.solvers import EGPO
    >>> check_stages(Sampled(0.1), EGPO(eta=0.5), Game.from_table([[0.5, 0.9], [0.1, 0.5]], beta=0.1))
    """
    beta = np.float64(np.max(np.asarray(game.beta)))
    for step in sorted({0, rule.memory}):  # the first step, and the first that knows all past policies
        for stage in rule.stages(beta, np.float64(step)):
            _check_stage(learner, type(rule).__name__, stage)


def check_sizes(learner: Any, total: int) -> None:
    """Refuse minibatches and pieces that do not divide the `total` prompts of a fit.

    >>> from nashpo.learners import Sampled
    >>> check_sizes(Sampled(0.1, minibatch=3), 8)
    Traceback (most recent call last):
        ...
    ValueError: Sampled(minibatch=3): must divide the 8 prompts of a fit, or some are left out.
    """
    batch = min(learner.minibatch or total, total)
    if total % batch:
        raise ValueError(
            f"{_name(learner)}(minibatch={batch}): must divide the {total} prompts of a fit, or some are left out."
        )
    if learner.microbatch is not None and batch % learner.microbatch:
        raise ValueError(
            f"{_name(learner)}(microbatch={learner.microbatch}): must divide the {batch} prompts of a step."
        )


def _check_stage(learner: Any, rule: str, stage: Stage) -> None:
    loss, name = learner.loss, type(learner.loss).__name__
    if not stage.opponents:
        return
    if loss.targets is not None and stage.target not in loss.targets:
        raise ValueError(
            f"{_name(learner)}(loss={name}()): {rule} asks for the target {stage.target!r}, and {name} fits "
            f"{' or '.join(map(repr, sorted(loss.targets)))}."
        )
    if getattr(loss, "anchored", False) and any(np.any(a != 0) for k, a in stage.anchor.items() if k != stage.start):
        raise ValueError(
            f"{_name(learner)}(loss={name}()): {rule} steps from another point than the policy that is trained, as "
            f"with a KL penalty, and {name} is biased there; use SquaredGains, or a game with beta=0."
        )
    law, gains = learner.sampler.law, learner.gains
    own = len(stage.opponents) == 1 and list(stage.opponents[0].blend) == [stage.start]
    needs_opponent = law == "opponent" or (loss.reads == "gains" and gains.laws is not None)
    if law == "opponent" and any(np.any(np.asarray(opponent.weight) < 0) for opponent in stage.opponents):
        raise ValueError(
            f"{_name(learner)}(sampler=FromOpponent()): {rule} has an opponent with a negative weight, from whom "
            "nothing can be drawn; use another sampler with SquaredGains."
        )
    meets = loss if loss.reads == "labels" else gains
    total = sum(np.asarray(opponent.weight) for opponent in stage.opponents)
    fixed = loss.targets is not None and meets.laws is not None and stage.target != "bradley_terry"
    if fixed and np.any(np.abs(total - 1) > 1e-6):
        raise ValueError(
            f"{_name(learner)}: the opponents of {rule} have weights that sum to {np.max(total):g}, and "
            f"{type(meets).__name__} meets their mean; let them sum to 1, or use SquaredGains with Fresh gains."
        )
    if needs_opponent and law == "start" and not own:
        raise ValueError(
            f"{_name(learner)}(gains={type(gains).__name__}()): {rule} plays against another policy than the one "
            "that is sampled; use Fresh gains, or FromOpponent() with a loss for samples of any law."
        )


def check_oracle_answers(game: Game) -> None:
    """Try the oracle on a few responses of the reference; refuse answers that are no payoffs.

    >>> check_oracle_answers(Game.from_table([[0.5, 0.9], [0.1, 0.5]]))
    """
    oracle, name = game.oracle, type(game.oracle).__name__
    reference = jax.tree.map(jnp.asarray, spoken(game.reference, oracle))
    prompts = jnp.arange(min(len(game.prompts), _PROBES))
    key = jax.random.key(0)
    responses = reference.sample(key, prompts, 2)
    payoffs = np.asarray(compare_all(oracle, key, prompts, responses, responses))
    wrong = np.argwhere(~np.isfinite(payoffs))
    if len(wrong):
        prompt, left, right = (int(place) for place in wrong[0])
        chosen = [
            jax.tree.map(lambda leaf, k=k: np.asarray(leaf)[prompt, k].tolist(), responses) for k in (left, right)
        ]
        raise ValueError(
            f"{name}: the answer for prompt {prompt}, response {chosen[0]} against {chosen[1]}, is not a number in "
            "[0, 1]; a payoff is the probability that the left response is preferred."
        )


def _name(learner: Any) -> str:
    return type(learner).__name__

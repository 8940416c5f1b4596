"""What a learner owes."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.game import Game
from nashpo.logspace import kl
from nashpo.policies.tabular import Tabular
from nashpo.stacking import stack
from nashpo.stage import Stage
from nashpo.testing.games import GAMES
from nashpo.testing.law import Law, cast, check_fields
from nashpo.testing.stages import CLOSED, MISREAD, STAGES, Asking, target

_AXES = ("prompt", "response")


class _Learner(NamedTuple):
    name: str
    learner: Any
    game: Game
    slots: dict[str, Any]
    tolerance: float
    fits: int


def check_learner(
    learner: Any,
    *,
    start: Any = None,
    game: Game | None = None,
    exact: bool = True,
    tolerance: float = 1e-12,
    fits: int = 20,
) -> None:
    """Hold a learner to what `Mirror` relies on, in stages with pulls, momentum and negative opponents.

    `init` keeps the policy and takes the precision asked for; `fit` is a pure function that returns the policy of the
    stage, a carry of the structure it got, and a dict; a tentative stage is fitted like any other (that its carry is
    thrown away is the caller's business); `average` is the arithmetic mean. An `exact` learner hits
    `softmax(sum_k a_k log pi_k + eta P nu)` within `tolerance` in log-probability, every prompt apart and past padded
    responses, and keeps float32; another one must, in `fits` fits from `start`, at least halve the KL divergence from
    that target to its policy, on tables also from where it would end if it ignored weights, opponents, anchors or eta,
    and with a `start` of yours learn nothing from prompts of weight 0. All but mirror steps may be refused by `check`;
    a stage with another target, as log-odds in place of `P`, must be if it is not fitted. `start` (a random table if
    None) is the policy that it trains, `game` (three prompts, five responses if None) the game to train on.

    Raises `AssertionError`: one sentence with the law, the place, the size of the error and what to do.

    >>> from nashpo.learners import Exact
    >>> check_learner(Exact())
    >>> class Frozen(Exact):
    ...     pass
    >>> check_learner(Frozen())
    Traceback (most recent call last):
        ...
    nashpo.testing.law.BrokenLaw: Frozen breaks the law "it is a pytree": jax.tree.leaves(Frozen) is the object \
itself; make the class a pytree with @nashpo.struct.record.
    """
    name = type(learner).__name__
    remedy = "see nashpo.learners.Learner for what each returns"
    with Law(name, "it has init, carry, fit, mean and average", remedy) as law:
        for part in ("init", "carry", "fit", "mean", "average"):
            law.require(callable(getattr(learner, part, None)), f"{part} is missing")
    check_fields(name, learner)
    with jax.enable_x64(True):
        given: Game = jax.tree.map(jnp.asarray, GAMES["prompts"]() if game is None else game)
        rng = np.random.default_rng(0)
        now, past = (Tabular(jnp.asarray(rng.normal(size=given.shape))) for _ in range(2))
        policies = _kept(name, learner, given, now if start is None else cast(start, np.float64))
        slots = {**policies, "past1": _init(learner, given, past) if start is None else _other(policies["now"], rng)}
        subject = _Learner(name, learner, given, slots, tolerance, fits)
        laws = (_hits, _prompts, _padding, _single) if exact else (_improves, _reads if start is None else _weighed)
        for law in (_pure, _carried, _tentative, _mean, *laws):
            law(subject)


def _other(policy: Any, rng: np.random.Generator) -> Any:
    """A policy like the one that is trained, its parameters disturbed."""
    leaves, structure = jax.tree.flatten(policy.params)
    moved = [leaf + 0.3 * rng.normal(size=leaf.shape).astype(leaf.dtype) for leaf in leaves]
    return policy.with_params(jax.tree.unflatten(structure, moved))


def _init(learner: Any, game: Game, policy: Any) -> Any:
    return learner.init(policy, jnp.asarray(game.reference.log_probs()))


def _kept(name: str, learner: Any, game: Game, start: Any) -> dict[str, Any]:
    """The slots that exist before a step; `init` must not change a policy."""
    with Law(name, "init keeps the policy", "return the same distribution in the form that is trained") as law:
        slots = {}
        for slot, policy in (("reference", game.reference), ("now", start)):
            slots[slot] = _init(learner, game, policy)
            expected = np.asarray(policy.log_probs())
            law.close(slots[slot].log_probs(), expected, f"the log-probability of {slot!r}", _AXES, atol=1e-9)
    return slots


def _fit(s: _Learner, stage: Stage, start: Any = None, carry: Any = None, game: Game | None = None) -> tuple:
    start = s.slots["now"] if start is None else start
    carry = s.learner.carry(start) if carry is None else carry
    return s.learner.fit(carry, jax.random.key(0), start, s.slots, stage, s.game if game is None else game)


def _takes(s: _Learner, stage: Stage) -> bool:
    """Whether it takes a stage: it may refuse all but mirror steps, and nobody has log-odds of certain wins."""
    table = np.asarray(s.game.oracle.table())
    bounded = s.game.scale == "score" or bool(np.all((table > 0) & (table < 1)))
    if stage.target in ("score", "bradley_terry") and not bounded:
        return False
    try:
        getattr(s.learner, "check", lambda *_: None)(Asking(stage), s.game)
    except ValueError:
        return stage is STAGES["a mirror step"]
    return True


def _pure(s: _Learner) -> None:
    remedy = "keep nothing on the object: what lasts from fit to fit is the carry, random numbers come from the key"
    with Law(s.name, "fit is a pure function", remedy) as law:
        stage = STAGES["a mirror step"]
        results = [_fit(s, stage) for _ in range(2)]
        law.require(all(len(r) == 3 for r in results), "fit did not return (carry, policy, info)")
        law.require(isinstance(results[0][2], dict), f"its third value is a {type(results[0][2]).__name__}, not a dict")
        first, second = (np.asarray(policy.log_probs()) for _, policy, _ in results)
        law.close(second, first, "the policy of the same fit again", _AXES)
        program = jax.jit(lambda slots: _fit(s._replace(slots=slots), stage)[1])
        compiled = program(s.slots)
        law.close(compiled.log_probs(), first, "the policy of the same fit in jax.jit", _AXES, atol=1e-9)


def _carried(s: _Learner) -> None:
    remedy = "return what came in: the same structure, shapes and dtypes"
    with Law(s.name, "carry and policy keep their structure", remedy) as law:
        start = s.slots["now"]
        carry, policy, _ = _fit(s, STAGES["a mirror step"])
        for what, before, after in (("carry", s.learner.carry(start), carry), ("policy", start, policy)):
            structures = jax.tree.structure(before), jax.tree.structure(after)
            law.require(structures[0] == structures[1], f"the {what} {structures[0]} becomes {structures[1]} in a fit")
            for (path, old), new in zip(
                jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True
            ):
                kinds = [f"{jnp.result_type(leaf)}{list(jnp.shape(leaf))}" for leaf in (old, new)]
                found = f"{jax.tree_util.keystr(path)} of the {what} is {kinds[0]} before a fit and {kinds[1]} after it"
                law.require(kinds[0] == kinds[1], found)


def _tentative(s: _Learner) -> None:
    remedy = "do not look at stage.tentative: the caller throws the carry away"
    with Law(s.name, "a tentative stage is fitted like any other", remedy) as law:
        stage = STAGES["a mirror step"]
        look = Stage(stage.anchor, stage.opponents, stage.eta, tentative=True)
        ahead, whole = (np.asarray(_fit(s, each)[1].log_probs()) for each in (look, stage))
        law.close(ahead, whole, "the policy of the tentative stage", _AXES, atol=1e-12)


def _hits(s: _Learner) -> None:
    remedy = "see nashpo.learners.Exact, refuse the stage in check(rule, game), or say exact=False"
    for what, stage in {**STAGES, **CLOSED}.items():
        if _takes(s, stage):
            with Law(s.name, f"a fit hits its target ({what})", remedy) as law:
                found = np.asarray(_fit(s, stage)[1].log_probs())
                law.close(found, target(s.slots, s.game, stage), "the log-probability", _AXES, atol=s.tolerance)


def _improves(s: _Learner) -> None:
    remedy = "check the sign and the size of its steps, or allow more of them with `fits`; refuse the stage in check"
    for what, stage in STAGES.items():
        if _takes(s, stage):
            with Law(s.name, f"fits approach their target ({what})", remedy) as law:
                _halves(s, law, stage, s.slots["now"])


def _reads(s: _Learner) -> None:
    """Fits begin where a learner ends that takes a stage for another one."""
    remedy = "follow the whole stage, and `start` from where it says; if only more fits are needed, allow them"
    for what, (stage, wrong) in MISREAD.items():
        if _takes(s, stage):
            with Law(s.name, f"fits heed {what}", remedy) as law:
                start = _init(s.learner, s.game, Tabular(jnp.asarray(target(s.slots, s.game, wrong))))
                _halves(s._replace(slots={**s.slots, "begin": start}), law, stage, start)


def _halves(s: _Learner, law: Law, stage: Stage, policy: Any) -> None:
    """Raise unless fits from `policy` halve the KL divergence from the target of a stage."""
    goal = jnp.asarray(target(s.slots, s.game, stage))
    carry = s.learner.carry(policy)
    before = float(jnp.sum(kl(goal, policy.log_probs())))
    for index in range(s.fits):
        key = jax.random.fold_in(jax.random.key(0), index)
        carry, policy, _ = _program(s.learner, carry, key, policy, s.slots, stage, s.game)
    after = float(jnp.sum(kl(goal, policy.log_probs())))
    found = f"the KL divergence from the target is {after:.3g} after {s.fits} fits and was {before:.3g}"
    law.require(after <= 0.5 * before + 1e-12, found)


@jax.jit
def _program(learner: Any, carry: Any, key: Any, start: Any, slots: dict[str, Any], stage: Stage, game: Game) -> tuple:
    return learner.fit(carry, key, start, slots, stage, game)


def _weighed(s: _Learner) -> None:
    remedy = "weigh the errors of a prompt with game.prompts, or draw prompts by them"
    with Law(s.name, "a prompt of weight 0 teaches nothing", remedy) as law:
        stage, table = STAGES["a mirror step"], np.array(s.game.oracle.table())
        weights, reference = np.eye(len(table))[0], np.exp(np.asarray(s.game.reference.log_probs()))
        found = []
        for others in (table[1:], np.swapaxes(table[1:], 1, 2)):
            tables = np.concatenate([table[:1], others])
            made = Game.from_table(tables, s.game.beta, reference, prompts=weights, scale=s.game.scale)
            found.append(_fit(s, stage, game=jax.tree.map(jnp.asarray, made))[1].log_probs()[:1])
        before, after = found
        law.close(after, before, "after other answers of such prompts, the log-probability", _AXES, atol=1e-9)


def _mean(s: _Learner) -> None:
    remedy = "return the mean of probabilities, not of logits: (count * average + policy) / (count + 1)"
    with Law(s.name, "average is the arithmetic mean", remedy) as law:
        policies = [s.slots["now"], s.slots["past1"], s.slots["reference"]]
        average = s.learner.mean(s.slots["past1"], jnp.asarray(s.game.reference.log_probs()))
        for count, policy in enumerate(policies):
            average = s.learner.average(average, policy, jnp.asarray(count, jnp.int32))
        expected = np.mean([np.exp(np.asarray(policy.log_probs())) for policy in policies], axis=0)
        found = np.exp(np.asarray(average.log_probs()))
        law.close(found, expected, "the mean of three policies", _AXES, atol=1e-9)


def _prompts(s: _Learner) -> None:
    with Law(s.name, "prompts are fitted as if alone", "reduce over the last axis only") as law:
        stage = STAGES["a step against a mixture"]
        together = np.asarray(_fit(s, stage)[1].log_probs())
        for x in range(min(2, s.game.shape[0])):
            one = slice(x, x + 1)
            table = np.asarray(s.game.oracle.table())[one]
            reference = np.exp(np.asarray(s.game.reference.log_probs()))[one]
            game = jax.tree.map(jnp.asarray, Game.from_table(table, s.game.beta, reference, scale=s.game.scale))
            given = {slot: Tabular(policy.log_probs()[one]) for slot, policy in s.slots.items()}
            slots = {slot: _init(s.learner, game, policy) for slot, policy in given.items()}
            alone = _fit(s._replace(slots=slots, game=game), stage)[1].log_probs()
            law.close(together[one], alone, f"prompt {x} among others", _AXES, atol=1e-12)


def _padding(s: _Learner) -> None:
    with Law(s.name, "padded responses stay without probability", "see nashpo.stack") as law:
        game = jax.tree.map(jnp.asarray, stack([GAMES["random"](), Game.from_table(np.full((3, 3), 0.5), beta=0.1)]))
        reference = _init(s.learner, game, game.reference)
        slots = dict.fromkeys(s.slots, reference)
        found = np.exp(np.asarray(_fit(s._replace(slots=slots, game=game), STAGES["a mirror step"])[1].log_probs()))
        law.close(found[1, 3:], np.zeros(2), "the probability of padding", ("padding",))


def _single(s: _Learner) -> None:
    remedy = "compute in the dtype of the policies"
    with Law(s.name, "float32 stays float32 and agrees to its precision", remedy) as law:
        game = cast(s.game, np.float32)
        slots = {slot: _init(s.learner, game, policy) for slot, policy in s.slots.items()}
        stage = STAGES["a step against a mixture"]
        found = _fit(s._replace(slots=slots, game=game), stage)[1].log_probs()
        law.require(found.dtype == np.float32, f"the policy is {found.dtype} for a float32 game")
        law.close(found, target(s.slots, s.game, stage), "the log-probability in float32", _AXES, atol=2e-5)

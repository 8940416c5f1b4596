"""Everything that a stage needs from samples, computed once."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from nashpo.learners.losses.base import Loss, Samples
from nashpo.learners.samplers import Sampler, Scene, pick
from nashpo.learners.score import LogOdds
from nashpo.typing import Array, Key


class Recipe(NamedTuple):
    """How much is sampled, from where, and what is measured."""

    prompts: int | None
    responses: int
    sampler: Sampler
    gains: Any
    selection: Any
    loss: Loss
    replay: Any = None


def collect(recipe: Recipe, key: Key, scene: Scene) -> Samples:
    """Prompts, responses, the anchor's log-probabilities, and gains or labels; nothing here is differentiated."""
    if not scene.stage.opponents:
        _check_alone(recipe.loss)
    asked, drawn, judged, chosen = jax.random.split(key, 4)
    prompts, weights = _prompts(recipe, asked, scene)
    responses = _drawn(recipe.sampler, drawn, prompts, recipe.responses, scene)
    if recipe.replay is not None:
        prompts, weights, responses = recipe.replay.mix(prompts, weights, responses, scene)
    anchor, reference = _log_probs(prompts, responses, scene)
    samples = Samples(
        prompts=prompts,
        weights=weights,
        responses=responses,
        anchor=anchor,
        reference=reference,
        gains=None,
        labels=None,
        **_all_pairs(len(prompts), recipe.responses, weights.dtype),
    )
    if recipe.loss.reads == "gains":
        samples = samples._replace(gains=_gains(recipe, judged, samples, scene))
    if recipe.selection is not None:
        samples = recipe.selection.select(chosen, samples, scene)
    extra = getattr(recipe.loss, "extra", None)
    if extra is not None:
        sampler, count = extra
        more = _drawn(sampler, jax.random.fold_in(drawn, 1), prompts, count, scene)
        samples = with_responses(samples, more, scene)
    if recipe.loss.reads == "gains":
        samples = samples._replace(labels=None)
    elif samples.labels is None:
        samples = samples._replace(labels=_labels(judged, samples, scene))
    return jax.lax.stop_gradient(samples)


def _check_alone(loss: Loss) -> None:
    """Refuse a loss that does not end at the anchor of a stage without opponents."""
    fits = loss.targets is None or "win_rate" in loss.targets
    if loss.reads == "labels" or not fits or getattr(loss, "anchored", False):
        raise ValueError(
            f"{type(loss).__name__}: a stage of the rule has no opponents, as the extrapolation of APO, and this loss "
            "does not end at such a point; use SquaredGains, or Extrapolate(learner), which mixes parameters instead."
        )


def _drawn(sampler: Sampler, key: Key, prompts: Array, count: int, scene: Scene) -> Any:
    """The responses of a sampler, `[B, count, ...]` and no others."""
    responses = sampler.draw(key, prompts, count, scene)
    wrong = [shape for shape in map(jnp.shape, jax.tree.leaves(responses)) if shape[:2] != (len(prompts), count)]
    if wrong:
        raise ValueError(
            f"{type(sampler).__name__}: drew responses of shape {wrong[0]}, asked for {count} to each of "
            f"{len(prompts)} prompts, [{len(prompts)}, {count}, ...]."
        )
    return responses


def with_responses(samples: Samples, responses: Any, scene: Scene) -> Samples:
    """The samples with more responses `[B, J, ...]` at the end, in no pair and without gains."""

    def joined(old: Any, new: Any) -> Any:
        return jax.tree.map(lambda *parts: jnp.concatenate(parts, axis=1), old, new)

    anchor, reference = _log_probs(samples.prompts, responses, scene)
    return samples._replace(
        responses=joined(samples.responses, responses),
        anchor=joined(samples.anchor, anchor),
        reference=joined(samples.reference, reference),
    )


def bad_answers(samples: Samples) -> Array:
    """How many gains or labels are no numbers."""
    answers = samples.gains if samples.labels is None else samples.labels
    return jnp.zeros((), jnp.int32) if answers is None else jnp.sum(~jnp.isfinite(answers), dtype=jnp.int32)


def _prompts(recipe: Recipe, key: Key, scene: Scene) -> tuple[Array, Array]:
    """Every prompt with its weight, or as many draws as are asked for with equal ones."""
    weights = jnp.asarray(scene.game.prompts)
    if recipe.prompts is None:
        return jnp.arange(len(weights)), weights
    count = recipe.prompts
    drawn = jax.random.categorical(key, jnp.log(weights), shape=(count,)) if len(weights) > 1 else jnp.zeros(count, int)
    return drawn, jnp.full(count, 1.0 / count, weights.dtype)


def _gains(recipe: Recipe, key: Key, samples: Samples, scene: Scene) -> Array:
    """Estimates `[B, K]`, of log-odds where the stage asks for scores; 0 without opponents."""
    if not scene.stage.opponents:
        return jnp.zeros(samples.reference.shape, samples.weights.dtype)
    if scene.stage.target == "score" and scene.game.scale != "score":
        scene = scene._replace(game=dataclasses.replace(scene.game, oracle=LogOdds(scene.game.oracle)))
    return recipe.gains.estimate(key, samples.prompts, samples.responses, scene)


def _log_probs(prompts: Array, responses: Any, scene: Scene) -> tuple[Array, Array]:
    """`sum_k a_k log pi_k(y)` and the reference's log-probabilities, `[B, K]`, each policy asked once.

    A slot with a weight of exactly 0 is not evaluated.
    """
    weights = scene.stage.anchor.items()
    anchor = {name: a for name, a in weights if isinstance(a, Tracer) or np.ndim(a) or a != 0}
    log = {name: scene.slots[name].log_prob(prompts, responses) for name in dict.fromkeys(["reference", *anchor])}
    return functools.reduce(jnp.add, [weight * log[name] for name, weight in anchor.items()]), log["reference"]


def _all_pairs(batch: int, responses: int, dtype: Any) -> dict[str, Any]:
    """Every pair of the responses to a prompt, all alike."""
    left, right = np.triu_indices(responses, 1)
    shape = (batch, len(left))
    sides = {"left": left, "right": right}
    each = {name: jnp.broadcast_to(jnp.asarray(side), shape) for name, side in sides.items()}
    return each | {"pairs": jnp.full(shape, 1.0 / max(len(left), 1), dtype)}


def _labels(key: Key, samples: Samples, scene: Scene) -> Array:
    """Payoffs `[B, M]` of the left response of every pair against the right one."""
    left, right = (pick(samples.responses, side) for side in (samples.left, samples.right))
    return jnp.asarray(scene.game.oracle.compare(key, samples.prompts, left, right))

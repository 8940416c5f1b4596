"""What a policy over listed responses owes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.logspace import LOG_ZERO
from nashpo.testing.draws import CLASSES, agreeing, chi_square, quantile
from nashpo.testing.law import Law, cast, check_fields, is_floating

_EXACT, _SINGLE = 1e-12, 2e-6
_CLOSE = {"atol": _EXACT, "rtol": _EXACT}
_AXES = ("prompt", "response")
_NORMAL = 5.0
"""A chi-square test fails a sound sampler once in three million seeds, that from below once in fifty thousand."""
_STEP = 1e-4


class _Policy(NamedTuple):
    name: str
    policy: Any
    log_probs: np.ndarray
    draws: int
    key: Any

    def responses(self, numbers: np.ndarray) -> Any:
        """What the policy calls the responses with these numbers."""
        speak = getattr(self.policy, "response", None)
        return numbers if speak is None else speak(jnp.asarray(numbers))

    def sample(self, prompts: np.ndarray, draws: int) -> np.ndarray:
        """The numbers of samples."""
        found = self.policy.sample(self.key, prompts, draws)
        count = getattr(self.policy, "index", None)
        return np.asarray(found if count is None else count(found))


def check_policy(policy: Any, *, extreme: float | None = 1e4, draws: int = 4000, seed: int = 0) -> None:
    """Hold a policy over listed responses to what algorithms and metrics rely on.

    `log_probs()` is `[X, A]`, finite and normalised; `log_prob(prompts, responses)` picks from it (responses are
    numbers, or what `response` makes of them and `index` counts back); `sample` draws from it (chi-square over `draws`
    samples of every prompt, with a fixed seed), independently for every row and key; parameters are leaves of a pytree;
    compiled and float32 answers agree; gradients are finite, the same through `log_probs` and `log_prob`, and what a
    small step of the parameters does; where it has `params` and `with_params`, the policy of other parameters holds
    them and all else, and the old one stays. With `extreme`, log-probabilities and gradients must stay finite and
    normalised when every parameter is multiplied by it; None where parameters cannot be scaled, as logits that are
    declared to be normalised.

    Raises `AssertionError`: one sentence with the law, the place, the size of the error and what to do.

    >>> from nashpo.policies import Tabular
    >>> check_policy(Tabular(np.array([[0.0, 1.0, -1.0], [2.0, 0.0, 0.5]])))
    >>> check_policy(Tabular(np.array([[0.0, 1.0]]), normalised=True), extreme=None)
    Traceback (most recent call last):
        ...
    nashpo.testing.law.BrokenLaw: Tabular breaks the law "log_probs() is normalised": the sum of exp(log_probs()) is \
3.71828183 at prompt 0 instead of 1, off by 2.7 (allowed: 1e-12); subtract the log-sum-exp over responses.
    """
    name = type(policy).__name__
    check_fields(name, policy)
    with Law(name, "parameters are leaves", "hold them in fields of a @record, not in a closure or a global") as law:
        law.require(jax.tree.leaves(policy), "there are none")
    with jax.enable_x64(True):
        policy = cast(policy, np.float64)
        subject = _Policy(name, policy, _listed(name, policy, "as given"), draws, jax.random.key(seed))
        for law in (_picked, _compiled, _single, _samples, _rows):
            law(subject)
        _slopes(name, policy, subject.log_probs, "as given")
        _learns(subject)
        _replaced(subject)
        _moves(subject)
        if extreme is not None:
            large = jax.tree.map(lambda leaf: leaf * extreme if is_floating(leaf) else leaf, policy)
            what = f"with parameters {extreme:g} times as large"
            _slopes(name, large, _listed(name, large, what), what)


def _listed(name: str, policy: Any, case: str) -> np.ndarray:
    """The log-probabilities, which must be a finite, normalised table."""
    where = "" if case == "as given" else f" {case}"
    with Law(name, "log_probs() is [prompts, responses] and finite", "normalise in log space (log_softmax)") as law:
        log_probs = np.asarray(policy.log_probs())
        law.require(log_probs.ndim == 2, f"log_probs() has shape {log_probs.shape}{where}")
        wrong = np.argwhere(~np.isfinite(log_probs))
        if len(wrong):
            x, y = (int(index) for index in wrong[0])
            raise law.broken(f"it is {log_probs[x, y]} at prompt {x}, response {y}{where}")
    with Law(name, "log_probs() is normalised", "subtract the log-sum-exp over responses") as law:
        with np.errstate(over="ignore"):
            total = np.exp(log_probs).sum(-1)
        law.close(total, np.ones_like(total), f"the sum of exp(log_probs()){where}", _AXES, atol=_EXACT)
    return log_probs


def _pairs(s: _Policy) -> tuple[np.ndarray, np.ndarray]:
    """Every prompt, in reverse and one twice, and every response of it in reverse, the first one twice."""
    contexts, responses = s.log_probs.shape
    prompts = np.append(np.arange(contexts)[::-1], 0)
    return prompts, np.tile(np.append(np.arange(responses)[::-1], 0), (len(prompts), 1))


def _picked(s: _Policy) -> None:
    prompts, responses = _pairs(s)
    remedy = "return log_probs()[prompts[:, None], responses]"
    with Law(s.name, "log_prob picks from log_probs()", remedy) as law:
        expected = s.log_probs[prompts[:, None], responses]
        law.close(
            s.policy.log_prob(prompts, s.responses(responses)),
            expected,
            "log_prob",
            ("b", "k"),
            **_CLOSE,
        )


def _compiled(s: _Policy) -> None:
    remedy = "compute with jax.numpy where parameters may be JAX arrays, and branch on no value"
    with Law(s.name, "the same numbers come out compiled and batched", remedy) as law:
        traced = jax.tree.map(jnp.asarray, s.policy)
        both = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), traced)
        alone, batched = jax.jit(lambda one, two: (one.log_probs(), jax.vmap(lambda p: p.log_probs())(two)))(
            traced, both
        )
        law.close(alone, s.log_probs, "log_probs() in jax.jit", _AXES, **_CLOSE)
        law.close(batched[1], s.log_probs, "log_probs() in jax.vmap", _AXES, **_CLOSE)
        prompts, numbers = _pairs(s)
        pick = jax.jit(lambda policy, prompts, responses: policy.log_prob(prompts, responses))
        picked = pick(traced, prompts, s.responses(numbers))
        law.close(picked, s.log_probs[prompts[:, None], numbers], "log_prob in jax.jit", ("b", "k"), **_CLOSE)
        draw = jax.jit(lambda policy, key, prompts: policy.sample(key, prompts, 8))
        found, again = draw(traced, s.key, prompts), s.policy.sample(s.key, prompts, 8)
        law.require(np.array_equal(found, again), "sample draws others in jax.jit, with the same key")


def _single(s: _Policy) -> None:
    remedy = "make constants from the parameters' dtype"
    with Law(s.name, "float32 stays float32 and agrees to its precision", remedy) as law:
        small = cast(jax.tree.map(jnp.asarray, s.policy), np.float32).log_probs()
        law.require(small.dtype == np.float32, f"log_probs() of float32 parameters is {small.dtype}")
        law.close(small, s.log_probs, "log_probs() in float32", _AXES, atol=_SINGLE, rtol=_SINGLE)


def _samples(s: _Policy) -> None:
    contexts, responses = s.log_probs.shape
    prompts = np.arange(contexts)[::-1]
    with Law(s.name, "sample(key, prompts, count) is [B, count] response indices", "see nashpo.policies.Policy") as law:
        found = s.sample(prompts, s.draws)
        law.shape(found, (contexts, s.draws), "sample(...)")
        law.require(np.issubdtype(found.dtype, np.integer), f"samples are {found.dtype}")
        law.require(
            found.min() >= 0 and found.max() < responses,
            f"samples reach from {found.min()} to {found.max()}, of {responses} responses",
        )
        again = s.sample(prompts, s.draws)
        law.require(np.array_equal(found, again), "two calls with one key differ")
        other = s._replace(key=jax.random.fold_in(s.key, 1)).sample(prompts, s.draws)
        certain = s.log_probs.max(axis=-1).min() > np.log(0.99)
        law.require(certain or not np.array_equal(found, other), "another key draws the same samples")
    remedy = "draw from the probabilities of log_probs() of the prompt in the same row"
    with Law(s.name, "samples follow the probabilities", remedy) as law:
        total, degrees = 0.0, 0
        for row, prompt in enumerate(prompts):
            expected = s.draws * np.exp(s.log_probs[prompt])
            statistic, freedom = chi_square(np.bincount(found[row], minlength=responses), expected)
            limit = quantile(freedom, _NORMAL)
            far = f"chi-square of {s.draws} samples is {statistic:.3g} at prompt {prompt} (allowed: {limit:.3g})"
            law.require(statistic <= limit, far)
            if expected.min() >= 5:
                total, degrees = total + statistic, degrees + freedom
        least = quantile(max(degrees, 1), 1 - _NORMAL)
        even = f"chi-square of {s.draws} samples to each prompt is only {total:.3g} (at least: {least:.3g})"
        law.require(total >= least, f"{even}, as of draws that depend on each other")


def _rows(s: _Policy) -> None:
    """The prompt whose policy is the most even, asked twice, must not answer twice the same."""
    prompt = int(np.argmin(s.log_probs.max(axis=-1)))
    if s.log_probs[prompt].max() > np.log(0.99):
        return
    with Law(s.name, "rows and draws are independent", "draw for every row and sample apart, from one key") as law:
        classes = np.arange(s.log_probs.shape[1]) % CLASSES
        found = classes[s.sample(np.array([prompt, prompt]), max(s.draws, 2000))]
        chance = float(np.sum(np.bincount(classes, np.exp(s.log_probs[prompt])) ** 2))
        allowed = 8 * np.sqrt(chance * (1 - chance) / found.shape[1]) + 1e-2
        for other, what in ((0, "places before"), (1, "places before in another row of it")):
            shares = agreeing(found[0], found[other])
            shares[0] = shares[0] if other else chance
            what = f"at prompt {prompt} the share of samples that equal the one so many {what}"
            law.close(shares, np.full_like(shares, chance), what, ("distance",), atol=allowed)


def _learns(s: _Policy) -> None:
    """What a sampled loss differentiates is what a listed one differentiates."""
    remedy = "compute both from the parameters, without stop_gradient and rounding"
    with Law(s.name, "gradients go through log_probs() and through log_prob", remedy) as law:
        prompts, numbers = _pairs(s)
        rows, responses = prompts[:, None], s.responses(numbers)
        weights = _wave(numbers)
        listed = _gradient(s.policy, lambda policy: jnp.sum(weights * policy.log_probs()[rows, numbers]))
        picked = _gradient(s.policy, lambda policy: jnp.sum(weights * policy.log_prob(prompts, responses)))
        moved = not listed or any(np.any(slope) for slope in listed)
        law.require(moved or s.log_probs.shape[1] == 1, "no parameter has a gradient")
        for number, (one, other) in enumerate(zip(picked, listed, strict=True)):
            law.close(one, other, f"the gradient of log_prob for parameter {number}", atol=1e-9, rtol=1e-9)


def _replaced(s: _Policy) -> None:
    """What is trained can be taken out and put in."""
    if not _trains(s.policy):
        return
    remedy = "return a new policy that differs in `params` alone, as dataclasses.replace(self, ...) does"
    with Law(s.name, "with_params gives the policy of other parameters", remedy) as law:
        policy = jax.tree.map(jnp.asarray, s.policy)
        halved = jax.tree.map(lambda leaf: 0.5 * leaf if is_floating(leaf) else leaf, policy.params)
        other = policy.with_params(halved)
        found, wanted = (jax.tree_util.tree_leaves_with_path(params) for params in (other.params, halved))
        law.require(len(found) == len(wanted), f"{len(wanted)} parameters went in and {len(found)} came out")
        for (path, one), (_, given) in zip(found, wanted, strict=True):
            law.close(one, given, f"params{jax.tree_util.keystr(path)} after with_params(params / 2)")
        law.close(policy.log_probs(), s.log_probs, "log_probs() of the old policy", _AXES, **_CLOSE)
        again = other.with_params(policy.params)
        law.close(again.log_probs(), s.log_probs, "log_probs() with the old parameters again", _AXES, **_CLOSE)


def _moves(s: _Policy) -> None:
    """Where what is trained moves a little, log-probabilities move as the gradient says."""
    policy = s.policy
    params, build = (policy.params, policy.with_params) if _trains(policy) else (policy, lambda policy: policy)
    leaves, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, params))
    weights = jnp.where(s.log_probs > 0.5 * LOG_ZERO, 1 + _wave(s.log_probs), 0.0)

    def total(params):
        return jnp.sum(weights * build(params).log_probs())

    def after(step, ways):
        ways = iter(ways)
        near = [leaf + step * next(ways) if is_floating(leaf) else leaf for leaf in leaves]
        return total(jax.tree.unflatten(structure, near))

    remedy = "compute log_probs() from what is trained, its normaliser too, and without stop_gradient"
    with Law(s.name, "gradients are the slopes of log_probs()", remedy) as law:
        slopes = _gradient(params, total)
        steepest = max((float(jnp.abs(slope).max()) for slope in slopes if slope.size), default=0.0)
        law.require(steepest > 0 or s.log_probs.shape[1] == 1, "no parameter has a gradient")
        along = [slope / max(steepest, 1e-300) for slope in slopes]
        for what, ways in (("along the gradient", along), ("along a wave", [_wave(slope) for slope in slopes])):
            found = sum(jnp.sum(slope * way) for slope, way in zip(slopes, ways, strict=True))
            expected = (after(_STEP, ways) - after(-_STEP, ways)) / (2 * _STEP)
            law.close(found, expected, f"the slope {what}", atol=1e-2, rtol=1e-2)


def _trains(policy: Any) -> bool:
    """Whether it says which of its parameters are trained."""
    return hasattr(policy, "params") and hasattr(policy, "with_params")


def _wave(like: Any) -> Any:
    """Uneven numbers in the shape of an array."""
    return jnp.cos(jnp.arange(like.size)).reshape(like.shape)


def _gradient(policy: Any, function: Callable[[Any], Any]) -> list[Any]:
    """The gradient of a function of the policy for each of its real parameters."""
    leaves, structure = jax.tree.flatten(jax.tree.map(jnp.asarray, policy))
    real = [jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in leaves]

    def value(numbers):
        rest = iter(numbers)
        mixed = [next(rest) if is_real else leaf for leaf, is_real in zip(leaves, real, strict=True)]
        return function(jax.tree.unflatten(structure, mixed))

    return jax.grad(value)([leaf for leaf, is_real in zip(leaves, real, strict=True) if is_real])


def _slopes(name: str, policy: Any, log_probs: np.ndarray, case: str) -> None:
    with Law(name, "gradients of log-probabilities are finite", "differentiate log_softmax, not log(softmax)") as law:
        weights = jnp.where(log_probs > 0.5 * LOG_ZERO, 1.0, 0.0)
        slopes = _gradient(policy, lambda policy: jnp.sum(weights * policy.log_probs()))
        where = "" if case == "as given" else f" {case}"
        finite = all(np.isfinite(slope).all() for slope in slopes)
        law.require(finite, f"the gradient of the sum of log_probs() is not finite{where}")

"""Autoregressive policies: a network that scores the next token of an answer."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.core import Tracer

from nashpo.logspace import LOG_ZERO, log_softmax
from nashpo.policies.answers import Answers
from nashpo.policies.neural import check_alone, check_evaluating, check_floating, split_module
from nashpo.struct import record, static
from nashpo.typing import Array, Key


@record
class Token:
    """A softmax over the next token, answer after answer: `log pi(y|x) = sum_t log softmax(logits(x, y_<t))[y_t]`.

    The sum ends with the end token, which is part of it, or at full length. `module(contexts [N, ...], tokens [N, L])`
    returns next-token logits `[N, L, V]` (`V + 1` with an end token, the last one), those at position t from tokens
    before t only. Responses are int32 tokens `[B, K, L]`; see `Answers` for what they mean. What is no answer has
    log-probability -1e9, that of padding.

    `params` are the variables of type `nnx.Param` as a nested dict, the only ones that are trained; `rest` is what else
    the module holds, which stays as it was.

    >>> from nashpo.policies import Transformer
    >>> answers = Answers(vocabulary=2, length=3, end=True)
    >>> decoder = Transformer(answers, features=2, width=4, heads=1, layers=1, rngs=nnx.Rngs(0))
    >>> policy = Token.from_module(decoder, np.eye(2, dtype=np.float32), answers)
    >>> policy.probs().shape, policy.sample(jax.random.key(0), np.array([0, 1, 1]), count=4).shape
    ((2, 15), (3, 4, 3))
    """

    params: Any
    """Nested dict of arrays."""
    contexts: Array
    """`[X, ...]`: what the network sees of each prompt."""
    rest: Any
    """Nested dict of arrays."""
    graph: Any = static()
    """The module without its arrays."""
    answers: Answers = static()

    @classmethod
    def from_module(cls, module: nnx.Module, contexts: Array, answers: Answers) -> "Token":
        """The policy of a module `(contexts [N, ...], tokens [N, L]) -> logits [N, L, V(+1)]`; it is not changed.

        That every row is answered by itself is tried, and that position t ignores tokens t and later, with the
        parameters as they are and disturbed.

        Raises `ValueError` for an output of another shape or no floating-point array, a module whose answer to a prompt
        moves with the others of a batch, as with dropout and batch statistics in training mode, a module that sees
        tokens it is yet to choose, or answers that leave nothing to say.

        >>> class Tall(nnx.Module):
        ...     def __call__(self, contexts, tokens):
        ...         return jnp.zeros((len(tokens), 5))
        >>> Token.from_module(Tall(), np.eye(2, dtype=np.float32), Answers(vocabulary=2, length=3))
        Traceback (most recent call last):
            ...
        ValueError: Tall maps 3 contexts and tokens of shape (3, 3) to logits of shape (3, 5), but next-token logits \
over 2 symbols have shape (3, 3, 2).
        """
        answers.check()
        if not np.ndim(contexts) or not len(contexts):
            raise ValueError(f"contexts has shape {np.shape(contexts)}: give one row for each prompt, [X, ...].")
        policy = cls(*split_module(module, contexts), answers)
        _check_shape(policy, type(module).__name__)
        check_evaluating(
            policy, lambda bare: _forward(bare, np.zeros(1, int), jnp.zeros((1, answers.length), jnp.int32))
        )
        _check_rows(policy, type(module).__name__)
        _check_causal(policy, type(module).__name__)
        return policy

    def module(self) -> nnx.Module:
        """The Flax module with the present parameters."""
        return nnx.merge(self.graph, self.params, self.rest)

    def with_params(self, params: Any) -> "Token":
        """The policy with other parameters of the same structure."""
        return dataclasses.replace(self, params=params)

    def logits(self, contexts: Array, tokens: Array) -> Array:
        """Next-token logits `[N, L, V(+1)]` for contexts `[N, ...]` and tokens `[N, L]`."""
        return self.module()(contexts, tokens)  # type: ignore[operator]  a module is called

    @jax.jit
    def log_prob(self, prompts: Array, responses: Array) -> Array:
        """Log-probabilities `[B, K]` of answers `[B, K, L]` to prompt numbers `[B]`: sums over tokens."""
        answers, (batch, count) = self.answers, np.shape(responses)[:2]
        tokens = jnp.asarray(responses).reshape(batch * count, -1)
        inside = answers.inside(tokens)
        reached = jnp.pad(inside[:, :-1], ((0, 0), (1, 0)), constant_values=True)
        spoken = jnp.clip(tokens, 0, answers.symbols - 1)
        log_probs = log_softmax(self.logits(_rows(self.contexts, prompts, count), spoken))
        chosen = jnp.take_along_axis(log_probs, spoken[..., None], axis=-1)[..., 0]
        total = jnp.sum(jnp.where(reached, chosen, 0.0), axis=-1)
        return jnp.where(answers.valid(tokens), total, jnp.asarray(LOG_ZERO, total.dtype)).reshape(batch, count)

    @functools.partial(jax.jit, static_argnames="count")
    def sample(self, key: Key, prompts: Array, count: int) -> Array:
        """Answers `[B, count, L]`, independent draws for each prompt number of `[B]`.

        Draw k of row b comes from `fold_in(fold_in(key, b), k)` alone: more rows or more draws do not change it.
        """
        contexts = _rows(self.contexts, prompts, count)
        return _draw(lambda tokens: self.logits(contexts, tokens), self.answers, key, len(prompts), count)

    @jax.jit
    def log_probs(self) -> Array:
        """Normalised log-probabilities `[X, A]` of all answers; the network reads each prefix `[L - 1]` once.

        Raises `ValueError` for more than 2^20 answers.
        """
        self.answers.check_listed()
        V, L, end = self.answers.vocabulary, self.answers.length, self.answers.end
        prompts = len(self.contexts)
        prefixes = Answers(V, L - 1).tokens() if L > 1 else jnp.zeros((1, 0), jnp.int32)
        rows = jnp.tile(jnp.pad(prefixes, ((0, 0), (0, 1))), (prompts, 1))
        contexts = _rows(self.contexts, np.arange(prompts), len(prefixes))
        after = log_softmax(self.logits(contexts, rows)).reshape(prompts, len(prefixes), L, -1)
        total = jnp.zeros((prompts, 1), after.dtype)
        ended = []
        for t in range(L):
            step = after[:, :: V ** (L - 1 - t), t]
            ended += [total + step[..., V]] if end else []
            total = (total[..., None] + step[..., :V]).reshape(prompts, -1)
        return jnp.concatenate([*ended, total], axis=-1)

    def probs(self) -> Array:
        """Probabilities `[X, A]` of all answers."""
        return jnp.exp(self.log_probs())

    def response(self, index: Array) -> Array:
        """The answers `[..., L]` of numbers `[...]`."""
        return self.answers.tokens(index)

    def index(self, responses: Array) -> Array:
        """The numbers `[...]` of answers `[..., L]`."""
        return self.answers.index(responses)


def sample_blend(policies: Sequence[Token], weights: Array, key: Key, prompts: Array, count: int) -> Array:
    """Answers `[B, count, L]` of several policies mixed token by token, `softmax(sum_k weights[k] logits_k)`.

    This is NOT the geometric mixture of answers, `pi(y) ~ prod_k pi_k(y)^weights[k]`: every token is normalised by
    itself, so that it does not foresee what the next ones cost. The two agree for answers of one token, and where the
    policies do not look at tokens before. It is how Nash-MD is sampled from language models (Munos et al. 2023,
    arXiv:2312.00886). Weights `[M]` may be negative. Keys as in `Token.sample`.

    Raises `ValueError` for no policies, policies over different answers, or weights that do not fit.

    >>> from nashpo.policies import Transformer
    >>> answers = Answers(vocabulary=2, length=2)
    >>> decoder = Transformer(answers, features=1, width=4, heads=1, layers=1, rngs=nnx.Rngs(0))
    >>> policy = Token.from_module(decoder, np.ones((1, 1), np.float32), answers)
    >>> sample_blend([policy, policy], [0.3, 0.7], jax.random.key(0), np.array([0]), count=5).shape
    (1, 5, 2)
    """
    policies = list(policies)
    if not policies or np.shape(weights) != (len(policies),):
        raise ValueError(f"weights has shape {np.shape(weights)}: give one weight to each of {len(policies)} policies.")
    answers = policies[0].answers
    other = next((k for k, policy in enumerate(policies) if policy.answers != answers), None)
    if other is not None:
        raise ValueError(f"policy 0 speaks {answers}, policy {other} {policies[other].answers}: they must agree.")
    rows = [_rows(policy.contexts, prompts, count) for policy in policies]

    def blended(tokens: Array) -> Array:
        scores = [log_softmax(p.logits(c, tokens)) for p, c in zip(policies, rows, strict=True)]
        mix = jnp.asarray(weights, scores[0].dtype)
        return sum((mix[k] * score for k, score in enumerate(scores)), jnp.zeros_like(scores[0]))

    return _draw(blended, answers, key, len(prompts), count)


def _rows(contexts: Array, prompts: Array, count: int) -> Array:
    """The context of every row `[B * count, ...]`."""
    return jnp.repeat(jnp.asarray(contexts)[prompts], count, axis=0)


@jax.jit
def _forward(policy: Token, prompts: Array, tokens: Array) -> Array:
    """Next-token logits `[N, L, V(+1)]` for prompt numbers `[N]` and tokens `[N, L]`."""
    return policy.logits(_rows(policy.contexts, prompts, 1), tokens)


def _draw(logits: Callable[[Array], Array], answers: Answers, key: Key, batch: int, count: int) -> Array:
    """Answers `[B, count, L]` token by token, one forward pass of all rows for each position."""
    V, L, rows = answers.vocabulary, answers.length, batch * count
    empty = jnp.full((rows, L), V if answers.end else 0, jnp.int32)
    dtype = jax.eval_shape(logits, empty).dtype
    keys = jax.vmap(lambda b: jax.vmap(jax.random.fold_in, (None, 0))(jax.random.fold_in(key, b), jnp.arange(count)))(
        jnp.arange(batch)
    ).reshape(rows)
    noise = jax.vmap(lambda row: jax.random.gumbel(row, (L, answers.symbols), dtype))(keys)

    def choose(t: Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        tokens, ended = carry
        token = jnp.argmax(logits(tokens)[:, t] + noise[:, t], axis=-1).astype(jnp.int32)
        token = jnp.where(ended, V, token)
        return tokens.at[:, t].set(token), ended | (token == V)

    tokens, _ = jax.lax.fori_loop(0, L, choose, (empty, jnp.zeros(rows, bool)))
    return tokens.reshape(batch, count, L)


def _check_shape(policy: Token, name: str) -> None:
    """Refuse logits of another shape than `[N, L, V(+1)]`, for more rows than there are prompts."""
    rows, (length, symbols) = len(policy.contexts) + 1, (policy.answers.length, policy.answers.symbols)
    tokens = jax.ShapeDtypeStruct((rows, length), jnp.int32)
    found = jax.eval_shape(_forward, policy, np.arange(rows) % len(policy.contexts), tokens)
    if getattr(found, "shape", None) != (rows, length, symbols):
        raise ValueError(
            f"{name} maps {rows} contexts and tokens of shape {(rows, length)} to logits of shape "
            f"{getattr(found, 'shape', type(found).__name__)}, but next-token logits over {symbols} symbols have shape "
            f"{(rows, length, symbols)}."
        )
    check_floating(found, name)


def _check_rows(policy: Token, name: str) -> None:
    """Refuse logits of a row that move with the others of a batch."""
    tokens = np.random.default_rng(0).integers(0, policy.answers.symbols, (3, policy.answers.length), np.int32)
    check_alone(policy, lambda rows: _forward(policy, rows % len(policy.contexts), tokens[rows]), name)


def _check_causal(policy: Token, name: str) -> None:
    """Refuse logits at a position that move with tokens there or later; what is being traced cannot be tried."""
    leaves = jax.tree.leaves(policy)
    length, symbols = policy.answers.length, policy.answers.symbols
    if symbols == 1 or any(isinstance(leaf, Tracer) for leaf in leaves):
        return
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, symbols, (4, length))
    other = (drawn + rng.integers(1, symbols, drawn.shape)) % symbols
    later = np.arange(length) >= np.arange(length)[:, None]
    tried = np.where(later[:, None], other, drawn).reshape(-1, length)
    tokens = jnp.asarray(np.concatenate([drawn, tried]), jnp.int32)
    prompts = np.arange(len(tokens)) % 4 % len(policy.contexts)
    params, structure = jax.tree.flatten(policy.params)
    disturbed = [leaf + 0.3 * rng.standard_normal(np.shape(leaf)).astype(leaf.dtype) for leaf in params]
    for one in (policy, policy.with_params(jax.tree.unflatten(structure, disturbed))):
        logits = np.asarray(_forward(one, prompts, tokens)).reshape(1 + length, 4, length, symbols)
        if one is policy and not np.all(np.isfinite(logits)):
            raise ValueError(f"{name} returns logits that are not finite: mend the module or its parameters.")
        moved = np.abs(logits[1:] - logits[:1]).max(axis=(1, 3))
        leak = np.argwhere((moved > 1e-4 * np.abs(logits).max()) & (np.arange(length) <= np.arange(length)[:, None]))
        if len(leak):
            token, position = (int(i) for i in leak[0])
            raise ValueError(
                f"{name} is not causal: its logits at position {position} move with tokens from position {token} on, "
                "but may depend on tokens before their own position only; mask them, or shift the tokens by one."
            )

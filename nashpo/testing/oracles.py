"""What an oracle owes."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.logspace import LOG_ZERO
from nashpo.oracles.base import VALUE
from nashpo.testing.law import Law, cast, check_fields

_EXACT, _SINGLE, _SIGMAS = 1e-12, 3e-6, 5.0
_AXES = ("prompt", "response")


class _Oracle(NamedTuple):
    """An oracle in double precision, two opponents, and the size of its payoffs."""

    name: str
    oracle: Any
    noisy: bool
    draws: int
    key: Any
    first: np.ndarray
    second: np.ndarray
    table: np.ndarray
    size: float


def check_oracle(oracle: Any, *, noisy: bool = False, draws: int = 4000, seed: int = 0) -> None:
    """Hold an oracle over listed responses to what every game relies on.

    Shapes `[X, A]` and `[X, A, A]`; payoffs that sum to 1 (probabilities) or 0 (scores); win rates linear in the
    opponent, equal to the table's, of every prompt apart; comparisons that agree with the table; numbers as leaves;
    the same answers compiled, batched and, to its precision, in float32. An oracle that is not `noisy` must not look
    at the key; a noisy one draws afresh with every key, each draw is constant-sum, and the mean of `draws` draws is the
    answer without a key. Where it has `bound` or `scores`, they hold as well. Everything is measured in float64; `seed`
    fixes opponents and draws. Give an oracle of at least two prompts and three responses: else little can be confused.

    Raises `AssertionError`: one sentence with the law, the place, the size of the error and what to do.

    >>> from nashpo.oracles import Table
    >>> table = np.array([[[0.5, 0.9, 0.2], [0.1, 0.5, 0.8], [0.8, 0.2, 0.5]]])
    >>> check_oracle(Table(table))
    >>> table[0, 0, 1] = 0.7
    >>> check_oracle(Table(table))
    Traceback (most recent call last):
        ...
    nashpo.testing.law.BrokenLaw: Table breaks the law "payoffs are constant-sum": table() + its transpose is 0.8 at \
prompt 0, response 0, against 1 instead of 1, off by 0.2 (allowed: 1e-12); fill table[x, j, i] with \
1 - table[x, i, j] (scores: with -table[x, i, j]).
    """
    name = type(oracle).__name__
    check_fields(name, oracle)
    with jax.enable_x64(True):
        oracle = cast(oracle, np.float64)
        table = _payoffs(name, oracle)
        rng = np.random.default_rng(seed)
        first, second = rng.dirichlet(np.ones(table.shape[1]), size=(2, table.shape[0]))
        size = max(1.0, float(np.abs(table).max()))
        subject = _Oracle(name, oracle, noisy, draws, jax.random.key(seed), first, second, table, size)
        for law in (
            _constant_sum,
            _agreement,
            _linear,
            _alone,
            _comparisons,
            _keys,
            _compiled,
            _single,
            _extras,
            _sound,
        ):
            law(subject)
        if noisy:
            _fresh(subject)
            _fair(subject)
            _unbiased(subject)


def _payoffs(name: str, oracle: Any) -> np.ndarray:
    """The table, which must have the shape and the range that the oracle says."""
    remedy = "see nashpo.oracles.EnumerableOracle for what each part returns"
    with Law(name, "it has scale, shape, table, win_rates and compare", remedy) as law:
        for part in ("scale", "shape", "table", "win_rates", "compare"):
            law.require(hasattr(oracle, part), f"{part} is missing")
        law.require(oracle.scale in VALUE, f"scale is {oracle.scale!r}, neither 'probability' nor 'score'")
        shape = tuple(oracle.shape)
        law.require(len(shape) == 2, f"shape is {shape}, not (prompts, responses)")
    remedy = "return one row and one column for every response of every prompt"
    with Law(name, "table() is [prompts, responses, responses], finite and on its scale", remedy) as law:
        table = np.array(oracle.table())
        law.shape(table, (*shape, shape[1]), "table()")
        low, high = (0.0, 1.0) if oracle.scale == "probability" else (-np.inf, np.inf)
        wrong = np.argwhere(~(np.isfinite(table) & (table >= low) & (table <= high)))
        if len(wrong):
            x, i, j = (int(index) for index in wrong[0])
            raise law.broken(f"table()[{x}, {i}, {j}] is {table[x, i, j]}")
    return table


def _sound(s: _Oracle) -> None:
    remedy = "raise ValueError only for numbers that no game can be made of"
    with Law(s.name, "check() accepts a sound oracle", remedy):
        getattr(s.oracle, "check", lambda: None)()


def _constant_sum(s: _Oracle) -> None:
    total = 2 * VALUE[s.oracle.scale]
    remedy = "fill table[x, j, i] with 1 - table[x, i, j] (scores: with -table[x, i, j])"
    with Law(s.name, "payoffs are constant-sum", remedy) as law:
        both = s.table + np.swapaxes(s.table, 1, 2)
        axes = (*_AXES, "against")
        law.close(both, np.full_like(both, total), "table() + its transpose", axes, atol=_EXACT * s.size)
    remedy = "win_rates(q)[x, i] is the mean payoff of i AGAINST q, sum_j payoff[x, i, j] q[x, j]"
    with Law(s.name, "win rates of p against q and of q against p are constant-sum", remedy) as law:
        _sums(s, law, "their sum")


def _sums(s: _Oracle, law: Law, what: str, *key: Any) -> None:
    """Raise unless what p wins against q and q against p makes up the whole."""
    rates = [np.asarray(s.oracle.win_rates(opponent, *key)) for opponent in (s.first, s.second)]
    for found in rates:
        law.shape(found, s.first.shape, "win_rates(q)")
    both = np.sum(s.second * rates[0] + s.first * rates[1], axis=-1)
    law.close(both, np.full_like(both, 2 * VALUE[s.oracle.scale]), what, _AXES, atol=_EXACT * s.size)


def _agreement(s: _Oracle) -> None:
    remedy = "both describe one game: win_rates(q)[x, i] = sum_j table[x, i, j] q[x, j]"
    with Law(s.name, "win_rates agrees with table()", remedy) as law:
        expected = np.einsum("xij,xj->xi", s.table, s.first)
        law.close(s.oracle.win_rates(s.first), expected, "win_rates(q)", _AXES, atol=_EXACT * s.size)


def _linear(s: _Oracle) -> None:
    remedy = "do not normalise, clip or round the opponent: algorithms pass differences of policies"
    with Law(s.name, "win rates are linear in the opponent", remedy) as law:
        found = np.asarray(s.oracle.win_rates(2 * s.first - 3 * s.second))
        expected = 2 * np.asarray(s.oracle.win_rates(s.first)) - 3 * np.asarray(s.oracle.win_rates(s.second))
        law.close(found, expected, "win_rates(2 p - 3 q)", _AXES, atol=10 * _EXACT * s.size)


def _alone(s: _Oracle) -> None:
    remedy = "compute each row of win_rates from the same row of the opponent"
    with Law(s.name, "prompts are independent", remedy) as law:
        for changed in range(min(2, s.first.shape[0])):
            opponent = s.first.copy()
            opponent[changed] = s.second[changed]
            found, before = (np.array(s.oracle.win_rates(q)) for q in (opponent, s.first))
            found[changed] = before[changed]
            what = f"win_rates after the opponent changed at prompt {changed} alone"
            law.close(found, before, what, _AXES, atol=_EXACT * s.size)


def _asked(s: _Oracle) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Prompts `[B]`, in reverse and one twice, and pairs `[B, K]` that meet every pair of each."""
    contexts, responses = s.first.shape
    left, right = (index.ravel() for index in np.indices((responses, responses)))
    prompts = np.append(np.arange(contexts)[::-1], contexts - 1)
    return prompts, np.tile(left, (len(prompts), 1)), np.tile(right, (len(prompts), 1))


def _comparisons(s: _Oracle) -> None:
    prompts, left, right = _asked(s)
    remedy = "return payoff[prompts[b], left[b, k], right[b, k]], the payoff of LEFT, as [B, K]"
    with Law(s.name, "compare agrees with table()", remedy) as law:
        found = s.oracle.compare(s.key, prompts, left, right)
        expected = s.table[prompts[:, None], left, right]
        law.shape(found, expected.shape, "compare(...)")
        if not s.noisy:
            law.close(found, expected, "compare(...)", ("b", "k"), atol=_EXACT * s.size)


def _keys(s: _Oracle) -> None:
    with Law(s.name, "without a key the expectation is returned", "draw only if a key is given") as law:
        first, again = (np.asarray(s.oracle.win_rates(s.first)) for _ in range(2))
        law.close(again, first, "a second win_rates(q)", _AXES)
    with Law(s.name, "one key is one draw", "let the key alone decide what is drawn") as law:
        first, again = (np.asarray(s.oracle.win_rates(s.first, s.key)) for _ in range(2))
        law.close(again, first, "win_rates(q, key) at the second call", _AXES)
    if s.noisy:
        return
    remedy = "ignore the key, or call check_oracle(..., noisy=True) if answers are meant to be drawn"
    with Law(s.name, "only a noisy oracle uses its key", remedy) as law:
        expected = np.asarray(s.oracle.win_rates(s.first))
        law.close(s.oracle.win_rates(s.first, s.key), expected, "win_rates(q, key)", _AXES, atol=_EXACT * s.size)
        asked = _asked(s)
        expected = np.asarray(s.oracle.compare(s.key, *asked))
        law.close(s.oracle.compare(jax.random.key(99), *asked), expected, "compare with another key", ("b", "k"))


def _compiled(s: _Oracle) -> None:
    remedy = "compute with jax.numpy where leaves or opponents may be JAX arrays, and branch on no value"
    with Law(s.name, "the same numbers come out compiled and batched", remedy) as law:

        @jax.jit
        def program(oracle, opponents):
            several = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), oracle)
            shared = jax.vmap(oracle.win_rates)(opponents)
            own = jax.vmap(lambda one, opponent: one.win_rates(opponent))(several, opponents)
            return oracle.win_rates(opponents[0]), shared, own

        traced = jax.tree.map(jnp.asarray, s.oracle)
        alone, shared, own = program(traced, jnp.stack([s.first, s.second]))
        expected = np.stack([np.asarray(s.oracle.win_rates(q)) for q in (s.first, s.second)])
        atol = _EXACT * s.size
        law.close(alone, expected[0], "win_rates(q) in jax.jit", _AXES, atol=atol)
        law.close(shared, expected, "win_rates under jax.vmap over opponents", ("lane", *_AXES), atol=atol)
        law.close(own, expected, "win_rates under jax.vmap over oracles", ("lane", *_AXES), atol=atol)
        votes = jax.jit(lambda oracle, key, asked: oracle.compare(key, *asked))(traced, s.key, _asked(s))
        if not s.noisy:
            law.close(votes, s.oracle.compare(s.key, *_asked(s)), "compare in jax.jit", ("b", "k"), atol=atol)


def _single(s: _Oracle) -> None:
    remedy = "make constants from the leaves' dtype, as in jnp.asarray(0.5, payoff.dtype)"
    with Law(s.name, "float32 stays float32 and agrees to its precision", remedy) as law:
        small = cast(jax.tree.map(jnp.asarray, s.oracle), np.float32)
        answers = {
            "win_rates(q)": small.win_rates(jnp.asarray(s.first, jnp.float32)),
            "table()": small.table(),
            "compare(...)": small.compare(s.key, *_asked(s)),
        }
        for what, answer in answers.items():
            law.require(answer.dtype == np.float32, f"{what} of a float32 oracle is {answer.dtype}")
        expected = np.asarray(s.oracle.win_rates(s.first))
        law.close(answers["win_rates(q)"], expected, "win_rates(q) in float32", _AXES, atol=_SINGLE * s.size)
        law.close(answers["table()"], s.table, "table() in float32", (*_AXES, "against"), atol=_SINGLE * s.size)
        if not s.noisy:
            expected = np.asarray(s.oracle.compare(s.key, *_asked(s)))
            law.close(answers["compare(...)"], expected, "compare(...) in float32", ("b", "k"), atol=_SINGLE * s.size)


def _extras(s: _Oracle) -> None:
    """What an oracle need not have, but must have right."""
    value = VALUE[s.oracle.scale]
    if hasattr(s.oracle, "bound"):
        with Law(s.name, "bound() is a bound", "return max |payoff - value|, or more") as law:
            largest = float(np.abs(s.table - value).max())
            bound = float(s.oracle.bound())
            law.require(largest <= bound * (1 + _EXACT), f"bound() is {bound:.6g} and a payoff is {largest:.6g} away")
    if hasattr(s.oracle, "scores"):
        remedy = "return sum_j log(P_ij / P_ji) q_j, finite where a win is certain (1e9)"
        with Law(s.name, "scores are the expected log-odds of the table", remedy) as law:
            odds = s.table
            if s.oracle.scale == "probability":
                possible = np.where((odds > 0) & (odds < 1), odds, 0.5)
                certain = np.where(odds <= 0, LOG_ZERO, -LOG_ZERO)
                odds = np.where(possible == odds, np.log(possible) - np.log1p(-possible), certain)
            expected = np.einsum("xij,xj->xi", odds, s.first)
            largest = float(np.abs(odds).max())
            law.close(s.oracle.scores(s.first), expected, "scores(q)", _AXES, atol=_EXACT * max(1.0, largest))


def _fresh(s: _Oracle) -> None:
    responses = s.first.shape[1]
    remedy = "derive what is drawn from the key, with jax.random, for every comparison apart"
    with Law(s.name, "another key is another draw", remedy) as law:
        rates = [np.asarray(s.oracle.win_rates(s.first, jax.random.key(seed))) for seed in range(8)]
        law.require(np.ptp(rates, axis=0).any(), "eight keys gave win rates that are equal to the last bit")
        value = VALUE[s.oracle.scale]
        apart = np.array(s.table - value)
        apart[:, np.arange(responses), np.arange(responses)] = np.inf
        x, i, j = np.unravel_index(np.argmin(np.abs(apart)), apart.shape)
        asked = np.full(2, x), np.full((2, 40), i), np.full((2, 40), j)
        votes = np.array([s.oracle.compare(jax.random.key(seed), *asked) for seed in range(4)])
        who = f"comparisons of response {i} with {j} at prompt {x}"
        law.require(np.any(np.ptp(votes, axis=2)), f"40 {who} in one row came out alike for each of four keys")
        law.require(np.any(votes[:, 0] != votes[:, 1]), f"two rows of 40 {who} are equal for each of four keys")


def _fair(s: _Oracle) -> None:
    remedy = "draw every pair once: what one side gets of the votes, the other one does not"
    with Law(s.name, "every draw is constant-sum", remedy) as law:
        for seed in range(3):
            _sums(s, law, "what p and q win against each other in one draw", jax.random.key(seed))


def _unbiased(s: _Oracle) -> None:
    keys = jax.random.split(jax.random.fold_in(s.key, 1), s.draws)
    traced = jax.tree.map(jnp.asarray, s.oracle)
    remedy = "the expectation without a key and the mean of the draws describe one game: correct one of them"
    with Law(s.name, "draws have the stated expectation", remedy) as law:
        rates = jax.jit(jax.vmap(lambda key: traced.win_rates(jnp.asarray(s.first), key)))(keys)
        _mean(law, rates, s.oracle.win_rates(s.first), "the mean of win_rates(q, key)", _AXES, s.size)
        prompts, left, right = _asked(s)
        ask = functools.partial(traced.compare, prompts=prompts, left=left, right=right)
        votes = jax.jit(jax.vmap(lambda key: ask(key)))(keys)
        expected = s.table[prompts[:, None], left, right]
        _mean(law, votes, expected, "the mean of compare(key, ...)", ("b", "k"), s.size)


def _mean(law: Law, draws: Any, expected: Any, what: str, axes: tuple[str, ...], size: float) -> None:
    """Raise where the mean of the draws is five standard errors, and ten draws' worth, from what is expected."""
    draws = np.asarray(draws)
    allowed = _SIGMAS * draws.std(axis=0) / np.sqrt(len(draws)) + 10 * size / len(draws)
    law.close(draws.mean(axis=0), expected, f"{what} over {len(draws)} draws", axes, atol=allowed)

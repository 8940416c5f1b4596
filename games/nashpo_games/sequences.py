"""Token games: answers are sequences, judges go round in circles, and everything can still be enumerated.

In each of them an answer has 0 to `length` tokens; the end token closes it. The reference draws every next token, the
end included, with equal probability, which is where an untrained network starts: short answers are likely, an answer
of l tokens having probability (V + 1)^-(l + 1), or (V + 1)^-L at full length. `nashpo_games.judges` has the judges as
functions of tokens, for `nashpo.oracles.Judge`; the defaults there are those of the games.
"""

from typing import Any

import numpy as np

import nashpo
from nashpo_games.arguments import number_between, whole_number
from nashpo_games.judges import DuelJudge, FeatureJudge, LengthBiasedJudge, MajorityJudge

_LARGEST = 2500
"""Answers of the largest table that is written out, 50 MB a prompt."""


def token_majority(
    vocabulary: int = 3, length: int = 3, prompts: int = 2, gain: float = 2.0, brevity: float = 0.3, beta: float = 0.0
) -> "nashpo.Game":
    """Token game: the most frequent tokens play rock-paper-scissors, and the prompt asks for a length.

        log-odds(y, y') = gain R[a, a'] (m + m') / 2 - brevity (|l - n_x| - |l' - n_x|)

    with a the most frequent token of y, m by how many it leads the next (0 for a tie: then nobody wins), l its length,
    R = 1 where a beats a' (the (V - 1) // 2 tokens that follow it in the circle; of an even number of tokens the one
    opposite is a tie), and n_x = 1 + x mod L.

    Args:
        vocabulary: number of tokens V without the end token, 3 or more.
        length: most tokens of an answer.
        prompts: number of prompts.
        gain: log-odds of a lead of one.
        brevity: log-odds of every token more or less than asked for.
        beta: KL weight of the game.

    Raises:
        ValueError: a number is below 0 or too small, or there are more than 2,500 answers.

    >>> game = token_majority()
    >>> game.shape, game.items[:6]
    ((2, 40), ('-', 'a', 'b', 'c', 'aa', 'ab'))
    """
    judge = MajorityJudge(*_sizes(vocabulary, length), _least("gain", gain), _least("brevity", brevity))
    return _game(judge, prompts, beta)


def token_duels(
    vocabulary: int = 3,
    length: int = 3,
    prompts: int = 3,
    gain: float = 2.0,
    decay: float = 0.7,
    bonus: float = 0.6,
    cost: float = 0.1,
    beta: float = 0.0,
) -> "nashpo.Game":
    """Token game: rock-paper-scissors at every position; the prompt turns the circle round and has a favourite.

        log-odds(y, y') = gain (-1)^x sum_t decay^t R[y_t, y'_t] + bonus ([f_x in y] - [f_x in y']) - cost (l - l')

    with R as in `token_majority`, a tie where one of the answers has ended, l the length of y, and f_x = x mod V.
    Prompt x has a weight proportional to 1 + x. Without bonus and cost the reference is the equilibrium for every
    `beta`: against an opponent whose tokens are uniform whatever their number, all answers are equally good.

    Args:
        vocabulary: number of tokens V without the end token, 3 or more.
        length: most tokens of an answer.
        prompts: number of prompts.
        gain: log-odds of a win at the first position.
        decay: factor in [0, 1] from each position to the next.
        bonus: log-odds of having the favourite.
        cost: log-odds lost with every token.
        beta: KL weight of the game.

    Raises:
        ValueError: a number is out of range, or there are more than 2,500 answers.

    >>> game = token_duels(bonus=0.0, cost=0.0, beta=0.1)
    >>> bool(nashpo.duality_gap(game, game.reference) < 1e-30)
    True
    """
    sizes = _sizes(vocabulary, length)
    wins = _least("gain", gain), number_between("decay", decay, 0.0, 1.0)
    judge = DuelJudge(*sizes, *wins, _least("bonus", bonus), _least("cost", cost))
    return _game(judge, prompts, beta, weights=1.0 + np.arange(whole_number("prompts", prompts, least=1)))


def token_features(
    vocabulary: int = 3,
    length: int = 3,
    prompts: int = 2,
    d: int = 12,
    seed: int = 0,
    temperature: float = 0.3,
    beta: float = 0.0,
) -> "nashpo.Game":
    """Token game: a general preference model of random features of tokens and bigrams, other ones for every prompt.

        log-odds(y, y') = <R v_x(y), v_x(y')> / temperature,   v_x(y) = W_x phi(y) / |W_x phi(y)|,   W_x ~ N(0, 1)

    with phi(y) a constant 1 and the counts of tokens and of pairs of neighbours, and R as in `embedded` (Zhang et al.
    2025, arXiv:2410.02197, Definition 4.3). Many prompts have an answer that beats all others, in few dimensions as
    in many: about four of ten at length 3, half of them at length 2.

    Args:
        vocabulary: number of tokens V without the end token, 3 or more.
        length: most tokens of an answer.
        prompts: number of prompts.
        d: dimension of the embeddings, even.
        seed: seed of the features.
        temperature: what scores are divided by.
        beta: KL weight of the game.

    Raises:
        ValueError: d is odd, the temperature not positive, a size too small, or there are more than 2,500 answers.

    >>> token_features(length=2).shape
    (2, 13)
    """
    if whole_number("d", d, least=2) % 2:
        raise ValueError(f"d is {d}, but must be even: coordinates come in pairs.")
    if not 0 < temperature < np.inf:
        raise ValueError(f"temperature is {temperature}, but must be a positive number.")
    prompts = whole_number("prompts", prompts, least=1)
    judge = FeatureJudge(*_sizes(vocabulary, length), prompts, int(d), seed, float(temperature))
    return _game(judge, prompts, beta)


def token_length_bias(
    vocabulary: int = 3,
    length: int = 3,
    prompts: int = 2,
    gain: float = 2.0,
    decay: float = 0.7,
    bias: float = 0.2,
    beta: float = 0.0,
) -> "nashpo.Game":
    """Token game: `token_duels` without favourites, judged by someone who sometimes just takes the longer answer.

        P(y, y') = (1 - bias) sigmoid(gain (-1)^x sum_t decay^t R[y_t, y'_t]) + bias (1/2 + (l - l') / (2 L))

    Without bias no length pays; with bias = 1 only length does, and at beta = 0 any mix of full answers is an
    equilibrium.

    Args:
        vocabulary: number of tokens V without the end token, 3 or more.
        length: most tokens of an answer.
        prompts: number of prompts.
        gain: log-odds of a win at the first position.
        decay: factor in [0, 1] from each position to the next.
        bias: weight in [0, 1] of the length.
        beta: KL weight of the game.

    Raises:
        ValueError: a number is out of range, or there are more than 2,500 answers.

    >>> game = token_length_bias(bias=1.0)
    >>> table, full, empty = game.oracle.table()[0], game.items.index("abc"), game.items.index("-")
    >>> float(table[full, empty])
    1.0
    """
    wins = _least("gain", gain), number_between("decay", decay, 0.0, 1.0), number_between("bias", bias, 0.0, 1.0)
    return _game(LengthBiasedJudge(*_sizes(vocabulary, length), *wins), prompts, beta)


def _sizes(vocabulary: int, length: int) -> tuple[int, int]:
    """Vocabulary and length of a game whose table can be written out."""
    from nashpo.policies import Answers

    vocabulary, length = whole_number("vocabulary", vocabulary, least=3), whole_number("length", length, least=1)
    count = Answers(vocabulary, length, end=True).count if length < 64 else float("inf")
    if count > _LARGEST:
        raise ValueError(
            f"vocabulary {vocabulary} and length {length} make {count:,} answers: at most {_LARGEST:,} fit in a table."
        )
    return vocabulary, length


def _least(name: str, value: float) -> float:
    return number_between(name, value, 0.0, np.finfo(float).max)


def _game(judge: Any, prompts: int, beta: float, weights: np.ndarray | None = None) -> "nashpo.Game":
    """The game of a judge's table, float64, with the reference that is uniform over next tokens."""
    from nashpo.oracles import Sequences, Table
    from nashpo.policies import Answers

    rows = np.arange(whole_number("prompts", prompts, least=1))
    answers = Answers(judge.vocabulary, judge.length, end=True)
    tokens = np.asarray(answers.tokens())
    table = judge(rows, tokens[None, :, None], tokens[None, None])
    oracle = Sequences(Table(np.array(np.broadcast_to(table, (len(rows), len(tokens), len(tokens))))), answers)
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = answers.names(letters) if judge.vocabulary <= len(letters) else None
    return nashpo.Game.from_oracle(oracle, beta, np.exp(answers.uniform()), weights, names)

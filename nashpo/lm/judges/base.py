"""What a judge of texts is, and the questions that it is asked."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nashpo.fingerprint import fingerprint
from nashpo.lm.host import agreed
from nashpo.lm.text import Prompt

_ROUNDING = 1e-6
"""How far outside [0, 1] a verdict may be."""


class JudgeError(RuntimeError):
    """A judge failed, or its answer is no win probability; the sentence names the prompt.

    >>> raise JudgeError("the judge says nan of pair 0 (prompt 'hello').")
    Traceback (most recent call last):
        ...
    nashpo.lm.judges.base.JudgeError: the judge says nan of pair 0 (prompt 'hello').
    """


class Judge(Protocol):
    """Win probabilities of answers.

    A judge that can do better than one pair at a time has `matrix` as well, and `identity`, a text that is another
    one whenever its verdicts may be.
    """

    def compare(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """P(left[i] is preferred to right[i] | prompts[i]), `[N]` float64 in [0, 1], the same in both orders."""
        ...


@dataclass(frozen=True, eq=False)
class Questions:
    """Different pairs of answers among those asked about: the same pair once, in one order, whoever stands left.

    >>> asked = Questions.of(["p", "p", "p"], ["b", "a", "a"], ["a", "b", "a"])
    >>> asked.left, asked.right
    (['a'], ['b'])
    >>> asked.answers([0.9]).tolist()
    [0.09999999999999998, 0.9, 0.5]
    """

    prompts: list[Prompt]
    left: list[str]
    right: list[str]
    places: np.ndarray
    """`[N]`, the question of each pair; -1 for a text against itself, which is a draw."""
    turned: np.ndarray
    """`[N]`, whether left and right changed places."""

    @classmethod
    def of(cls, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> "Questions":
        """The questions in pairs of texts."""
        same_length(prompts, left, right)
        seen: dict[tuple[str, str, str], int] = {}
        kept: list[tuple[Prompt, str, str]] = []
        places, turned = np.full(len(left), -1), np.zeros(len(left), bool)
        for i, (prompt, first, second) in enumerate(zip(prompts, left, right, strict=True)):
            if first == second:
                continue
            turned[i] = first > second
            pair = (second, first) if turned[i] else (first, second)
            places[i] = seen.setdefault((written(prompt), *pair), len(kept))
            if places[i] == len(kept):
                kept.append((prompt, *pair))
        columns = [list(column) for column in zip(*kept, strict=True)] or [[], [], []]
        return cls(columns[0], columns[1], columns[2], places, turned)

    def answers(self, verdicts: Any) -> np.ndarray:
        """The probabilities `[N]` of the pairs, from those of the questions."""
        if not len(self.left):
            return np.full(len(self.places), 0.5)
        found = np.asarray(verdicts, np.float64)[self.places]
        return np.where(self.places < 0, 0.5, np.where(self.turned, 1.0 - found, found))


def matrix(judge: Judge, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> np.ndarray:
    """P(answers[b][i] beats answers[b][j]), `[B, K, K]`: every answer to a prompt against every other.

    A judge that has `matrix` is left to it; another one is asked about K(K - 1)/2 pairs of a prompt at most, in one
    call. `P + P^T = 1` and the diagonal is 1/2.

    Raises `ValueError` unless there are K answers to every prompt.

    >>> from nashpo.lm.judges import Function
    >>> longer = Function(lambda prompts, left, right: [float(len(a) > len(b)) for a, b in zip(left, right)])
    >>> matrix(longer, ["Say something."], [["a", "aaa", "aa"]]).tolist()
    [[[0.5, 0.0, 0.0], [1.0, 0.5, 1.0], [1.0, 0.0, 0.5]]]
    """
    answer_count(prompts, answers)
    own = getattr(judge, "matrix", None)
    if own is not None:
        return own(prompts, answers)
    return pairwise(judge, prompts, answers)


def pairwise(judge: Judge, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> np.ndarray:
    """`matrix` from `judge.compare` alone."""
    count = answer_count(prompts, answers)
    rows, columns = (side.tolist() for side in np.triu_indices(count, 1))
    every = [prompt for prompt in prompts for _ in rows]
    left = [row[i] for row in answers for i in rows]
    right = [row[j] for row in answers for j in columns]
    table = np.full((len(prompts), count, count), 0.5)
    asked = Questions.of(every, left, right)
    if asked.left:
        said = judge.compare(asked.prompts, asked.left, asked.right)
        above = asked.answers(checked(said, asked.prompts, name_of(judge))).reshape(len(prompts), -1)
        table[:, rows, columns] = above
        table[:, columns, rows] = 1.0 - above
    return table


def checked(said: Any, prompts: Sequence[Prompt], name: str) -> np.ndarray:
    """What a judge said of pairs, `[N]` float64 in [0, 1].

    Raises `JudgeError` for another number of verdicts, and for one that is no win probability.

    >>> checked([True, 0.25], ["p", "q"], "mine").tolist()
    [1.0, 0.25]
    >>> checked([0.5, float("nan")], ["p", "q"], "mine")
    Traceback (most recent call last):
        ...
    nashpo.lm.judges.base.JudgeError: the judge mine says nan of pair 1 (prompt 'q'): win probabilities lie between
    0 and 1.
    """
    values = numbers(said, len(prompts), name, "pairs")
    wrong = np.flatnonzero(~((values >= -_ROUNDING) & (values <= 1 + _ROUNDING)))
    if len(wrong):
        place = int(wrong[0])
        raise JudgeError(
            f"the judge {name} says {_shown(said[place])} of pair {place} (prompt {short(prompts[place])}): "
            "win probabilities lie between 0 and 1."
        )
    return np.clip(values, 0.0, 1.0)


def told_first(ask: Callable[[], np.ndarray], shape: tuple[int, ...]) -> np.ndarray:
    """Probabilities of this shape that `ask` returns; of several processes all ask, and the first one's answer counts.

    So nobody goes on to what all of them compute together while another one has failed.

    Raises what `ask` raises, in every process if it does in the first one.

    >>> told_first(lambda: np.array([0.25]), (1,)).tolist()
    [0.25]
    """
    failure, said = None, np.full(shape, np.nan)
    try:
        said = ask()
    except Exception as error:  # the other processes wait for an answer
        failure = error
    said = agreed(said)
    if np.isnan(said).any():
        raise failure or JudgeError("the judge of the first process failed.")
    return said


def numbers(said: Any, count: int, name: str, what: str) -> np.ndarray:
    """`count` float64 numbers, NaN for what is none.

    Raises `JudgeError` for another number of them.
    """
    shape = np.shape(said) if isinstance(said, np.ndarray) or hasattr(said, "shape") else None
    if (shape is not None and shape != (count,)) or not hasattr(said, "__len__") or len(said) != count:
        given = f"an array {list(shape)}" if shape is not None else _amount(said)
        raise JudgeError(f"the judge {name} returns {given} for {count} {what}: it must return one number for each.")
    return np.array([_number(value) for value in said], np.float64)


def same_length(prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> None:
    """Raise `ValueError` unless there are as many prompts as left and right answers."""
    if isinstance(prompts, str) or not len(prompts) == len(left) == len(right):
        count = "a text" if isinstance(prompts, str) else len(prompts)
        raise ValueError(f"compare takes lists of one length: prompts {count}, left {len(left)}, right {len(right)}.")


def answer_count(prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> int:
    """How many answers there are to every prompt.

    Raises `ValueError` where prompts differ in that.
    """
    if isinstance(prompts, str) or len(prompts) != len(answers) or not len(prompts):
        raise ValueError(f"matrix takes one list of answers for each prompt: {len(prompts)} and {len(answers)}.")
    for b, row in enumerate(answers):
        if isinstance(row, str) or len(row) != len(answers[0]) or not len(row):
            found = "a text" if isinstance(row, str) else f"{len(row)} answers"
            raise ValueError(f"answers[{b}] is {found}, but answers[0] has {len(answers[0])}: give K to every prompt.")
    return len(answers[0])


def written(prompt: Prompt) -> str:
    """A prompt as one text, the same for equal prompts."""
    return json.dumps(prompt, sort_keys=True, ensure_ascii=False, default=dict)


def short(prompt: Prompt) -> str:
    """A prompt as it is shown in a message, in quotes."""
    text = prompt if isinstance(prompt, str) else str(prompt[-1]["content"])
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def name_of(judge: Any) -> str:
    """What a judge is called in a message."""
    return str(getattr(judge, "name", type(judge).__name__))


def identity_of(judge: Any) -> str:
    """A text that is another one whenever the verdicts may be: the judge's `identity()`, or all that it consists of.

    >>> identity_of(object())
    '{"": "builtins.object"}'
    """
    own = getattr(judge, "identity", None)
    return str(own()) if callable(own) else json.dumps(fingerprint(judge), sort_keys=True)


def digest_of(*parts: str) -> bytes:
    """A checksum of texts, in order."""
    return hashlib.sha256(json.dumps(parts, ensure_ascii=False).encode("utf-8", "surrogatepass")).digest()


def _number(value: Any) -> float:
    """A number as a float; NaN for anything else."""
    plain = np.asarray(value)
    return float(plain) if plain.shape == () and plain.dtype.kind in "biuf" else math.nan


def _shown(value: Any) -> str:
    number = _number(value)
    return repr(value)[:60] if math.isnan(number) and not isinstance(value, float) else f"{number:g}"


def _amount(said: Any) -> str:
    return f"{len(said)} numbers" if isinstance(said, list | tuple) else f"a {type(said).__name__}"

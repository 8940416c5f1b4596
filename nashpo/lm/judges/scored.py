"""Judges that give every answer a score: K answers need K scores, however many pairs are asked about."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nashpo.lm.judges.base import JudgeError, answer_count, name_of, numbers, same_length, short, written
from nashpo.lm.text import Prompt
from nashpo.oracles.base import logistic


class Scored:
    """`P(y beats y') = 1 / (1 + exp(-(r(y) - r(y')) / temperature))`, for a judge that has `scores` (Bradley-Terry).

    >>> class Length(Scored):
    ...     temperature = 1.0
    ...     def scores(self, prompts, answers):
    ...         return [len(answer) for answer in answers]
    >>> Length().matrix(["p"], [["a", "aa"]]).round(3).tolist()
    [[[0.5, 0.269], [0.731, 0.5]]]
    """

    temperature: float

    def scores(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> Any:
        """The score of each answer, `[N]`."""
        raise NotImplementedError

    def compare(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """`P(left[i] beats right[i])` `[N]`; each answer is scored once.

        Raises `JudgeError` for a score that is not finite.
        """
        same_length(prompts, left, right)
        first, second = np.split(self._distinct([*prompts, *prompts], [*left, *right]), 2)
        return self._probability(first - second)

    def matrix(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> np.ndarray:
        """`P(answers[b][i] beats answers[b][j])` `[B, K, K]` from at most `B K` scores."""
        count = answer_count(prompts, answers)
        every = [prompt for prompt in prompts for _ in range(count)]
        scores = self._distinct(every, [answer for row in answers for answer in row]).reshape(-1, count)
        return self._probability(scores[:, :, None] - scores[:, None, :])

    def _probability(self, margin: np.ndarray) -> np.ndarray:
        return np.asarray(logistic(margin / self.temperature), np.float64)

    def _distinct(self, prompts: Sequence[Prompt], answers: Sequence[str]) -> np.ndarray:
        """The scores of answers, of which equal ones are scored once."""
        texts, places = distinct(prompts, answers)
        if not texts:
            return np.zeros(0)
        asked = [prompt for prompt, _ in texts]
        said = numbers(self.scores(asked, [answer for _, answer in texts]), len(texts), name_of(self), "answers")
        wrong = np.flatnonzero(~np.isfinite(said))
        if len(wrong):
            prompt, answer = texts[int(wrong[0])]
            raise JudgeError(
                f"the judge {name_of(self)} gives the answer {short(answer)} to the prompt {short(prompt)} the score "
                f"{said[wrong[0]]:g}: scores are finite numbers."
            )
        return said[places]


def distinct(prompts: Sequence[Prompt], answers: Sequence[str]) -> tuple[list[tuple[Prompt, str]], np.ndarray]:
    """The different (prompt, answer) and which of them each given one is.

    >>> distinct(["p", "q", "p"], ["a", "a", "a"])
    ([('p', 'a'), ('q', 'a')], array([0, 1, 0]))
    """
    seen: dict[tuple[str, str], int] = {}
    kept: list[tuple[Prompt, str]] = []
    places = []
    for prompt, answer in zip(prompts, answers, strict=True):
        places.append(seen.setdefault((written(prompt), answer), len(kept)))
        if places[-1] == len(kept):
            kept.append((prompt, answer))
    return kept, np.array(places, int)

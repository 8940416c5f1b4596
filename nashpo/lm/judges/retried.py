"""Judges that sometimes fail."""

import time
from collections.abc import Callable, Sequence

import numpy as np

from nashpo.lm.judges.base import Judge, JudgeError, checked, identity_of, matrix, name_of, numbers, pairwise
from nashpo.lm.text import Prompt


class Retried:
    """`judge`, asked again when it fails: once, and up to `retries` times more.

    A failure is an exception, or a verdict that is NaN, outside [0, 1] or missing; only pairs without a sound verdict
    are asked about again. Before try n it waits `wait 2^(n-1)` seconds, a minute at most.

    Raises `ValueError` for a negative number of retries or seconds.

    >>> class Moody:
    ...     calls = 0
    ...     def compare(self, prompts, left, right):
    ...         self.calls += 1
    ...         return [0.75 if self.calls > 1 else float("nan") for _ in prompts]
    >>> Retried(Moody(), wait=0).compare(["p"], ["a"], ["b"]).tolist()
    [0.75]
    """

    def __init__(self, judge: Judge, retries: int = 2, wait: float = 1.0) -> None:
        if retries < 0 or not wait >= 0:
            raise ValueError(f"retries={retries}, wait={wait}: neither can be negative.")
        self.judge, self.retries, self.wait = judge, retries, float(wait)
        self.name = name_of(judge)
        self.players = tuple(Retried(player, retries, wait) for player in getattr(judge, "players", ()))
        """Those of an ensemble, each asked again by itself."""

    def compare(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """`P(left[i] is preferred to right[i])` `[N]`.

        Raises `JudgeError` with the last failure when the retries are used up.
        """
        prompts, left, right = list(prompts), list(left), list(right)
        found = np.full(len(prompts), np.nan)

        def ask() -> np.ndarray:
            open_ = np.flatnonzero(np.isnan(found))
            asked = [prompts[i] for i in open_]
            said = self.judge.compare(asked, [left[i] for i in open_], [right[i] for i in open_])
            values = numbers(said, len(open_), self.name, "pairs")
            sound = (values >= 0) & (values <= 1)
            found[open_[sound]] = values[sound]
            found[open_] = checked(said, asked, self.name)
            return found

        return self._persistently(ask) if prompts else found

    def matrix(self, prompts: Sequence[Prompt], answers: Sequence[Sequence[str]]) -> np.ndarray:
        """`P(answers[b][i] beats answers[b][j])` `[B, K, K]`.

        Raises `JudgeError` with the last failure when the retries are used up.
        """
        if not hasattr(self.judge, "matrix"):
            return pairwise(self, prompts, answers)

        def ask() -> np.ndarray:
            table = np.asarray(matrix(self.judge, prompts, answers), np.float64)
            every = [prompt for prompt in prompts for _ in range(table[0].size)]
            return checked(table.ravel(), every, self.name).reshape(table.shape)

        return self._persistently(ask)

    def identity(self) -> str:
        """The judge's."""
        return identity_of(self.judge)

    def _persistently(self, ask: Callable[[], np.ndarray]) -> np.ndarray:
        """What `ask` returns, however often it failed before."""
        for attempt in range(self.retries):
            try:
                return ask()
            except Exception:  # whatever it is, the judge is asked again
                time.sleep(min(60.0, self.wait * 2**attempt))
        try:
            return ask()
        except Exception as error:
            tries = f"{self.retries + 1} times" if self.retries else "once"
            raise JudgeError(f"the judge {self.name} failed {tries}; last: {_sentence(error)}") from error


def _sentence(error: Exception) -> str:
    """What an exception says, as the end of a sentence."""
    said = str(error) if isinstance(error, JudgeError) else f"{type(error).__name__}: {error}"
    return said.rstrip(".") + "."

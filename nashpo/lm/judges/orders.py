"""Judges that see both answers at once, and whose verdict depends on which comes first."""

from collections.abc import Sequence

import numpy as np

from nashpo.lm.judges.base import Questions, checked
from nashpo.lm.text import Prompt
from nashpo.oracles.base import logistic


class TwoOrders:
    """A judge of pairs that is asked in both orders.

        P = (p(left, right) + 1 - p(right, left)) / 2,   p = 1 / (1 + exp(-margin / temperature))

    >>> class Longer(TwoOrders):
    ...     name, temperature = "longer", 1.0
    ...     def margins(self, prompts, left, right):
    ...         return np.array([len(a) - len(b) + 1.0 for a, b in zip(left, right)])
    >>> Longer().compare(["?", "?"], ["yes", "no"], ["no", "yes"]).round(3).tolist()
    [0.69, 0.31]
    """

    temperature: float
    name: str

    def compare(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """`P(left[i] is preferred to right[i])` `[N]`; equal pairs are read once, in both orders.

        Raises `JudgeError` for a text that is too long to be read.
        """
        asked = Questions.of(prompts, left, right)
        if not asked.left:
            return asked.answers([])
        first, second = [*asked.left, *asked.right], [*asked.right, *asked.left]
        margins = self.margins(asked.prompts * 2, first, second)
        forward, backward = np.split(np.asarray(logistic(margins / self.temperature)), 2)
        return asked.answers(checked((forward + 1.0 - backward) / 2, asked.prompts, self.name))

    def margins(self, prompts: Sequence[Prompt], left: Sequence[str], right: Sequence[str]) -> np.ndarray:
        """By how much log-odds `[N]` each left answer, which is read first, beats the right one."""
        raise NotImplementedError

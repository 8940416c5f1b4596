"""A judge of texts as the oracle of a game over token sequences."""

from collections.abc import Sequence
from typing import Any, ClassVar

import jax
import numpy as np

from nashpo.lm.host import on_host
from nashpo.lm.judges.base import Questions, checked, name_of, told_first
from nashpo.lm.sequences import finished
from nashpo.typing import Array, Key, Scale


@jax.tree_util.register_static
class TextOracle:
    """`judge`, which reads texts, asked about responses `[B, K, T]` of token numbers (-1 after the end).

        payoff = clip(P(left preferred) + unfinished_penalty ([right unfinished] - [left unfinished]), 0, 1)

    `prompts` are the prompts of the game as people wrote them, in the order of the policies' contexts; `text` decodes
    responses and knows the tokens that end one. Each text is decoded once and each pair of texts is judged once,
    in one order; a text against itself is a draw and not asked about. A response without an end token, cut off for its
    length, is unfinished. Everything here runs on the host; of several processes each asks, and what the first one was
    told counts.

    >>> class Letters:
    ...     end = (3,)
    ...     def decode(self, tokens):
    ...         return "".join("abc."[token] for token in tokens)
    >>> class Longer:
    ...     def compare(self, prompts, left, right):
    ...         return np.array([len(a) / (len(a) + len(b)) for a, b in zip(left, right)])
    >>> oracle = TextOracle(Longer(), ["say something"], Letters())
    >>> left, right = np.array([[[0, 1, 1, 3]]]), np.array([[[2, 3, -1, -1]]])
    >>> oracle.compare(None, np.array([0]), left, right).tolist()
    [[0.75]]
    """

    value: ClassVar[float] = 0.5

    def __init__(self, judge: Any, prompts: Sequence[Any], text: Any, unfinished_penalty: float = 0.0) -> None:
        self.judge, self.prompts, self.text = judge, list(prompts), text
        self.unfinished_penalty = float(unfinished_penalty)

    @property
    def scale(self) -> Scale:
        """Judges say win probabilities."""
        return "probability"

    def check(self) -> None:
        """Raise `ValueError` for a judge that cannot compare, or a penalty outside [0, 1]."""
        if not hasattr(self.judge, "compare"):
            raise ValueError(f"TextOracle(judge={self.judge!r}): a judge has compare(prompts, left, right).")
        if not 0 <= self.unfinished_penalty <= 1:
            raise ValueError(f"unfinished_penalty={self.unfinished_penalty}: is a win probability, between 0 and 1.")

    def at(self, rows: Array) -> "TextOracle":
        """The oracle of a batch: prompt i is `prompts[rows[i]]`."""
        prompts = [self.prompts[int(row)] for row in np.asarray(rows)]
        return TextOracle(self.judge, prompts, self.text, self.unfinished_penalty)

    @property
    def players(self) -> "tuple[TextOracle, ...]":
        """The judges of an ensemble, each one an oracle by itself; empty for a judge that is not several."""
        judges = getattr(self.judge, "players", ())
        return tuple(TextOracle(judge, self.prompts, self.text, self.unfinished_penalty) for judge in judges)

    def compare(self, key: Key | None, prompts: Array, left: Array, right: Array) -> np.ndarray:
        """The payoff `[B, K]` of responses `left[b, k]` against `right[b, k]` to prompt `prompts[b]`.

        Raises what the judge raises, in every process if it is that of the first one.
        """
        asked = [np.asarray(on_host(part)) for part in (prompts, left, right)]
        return told_first(lambda: self._judged(*asked), asked[1].shape[:2])

    def _judged(self, prompts: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        """`compare` by this process."""
        shape = left.shape[:2]
        texts: dict[bytes, str] = {}
        sides = [[self._text(row, texts) for row in side.reshape(-1, side.shape[-1])] for side in (left, right)]
        asked = Questions.of([self.prompts[row] for row in np.repeat(prompts, shape[1])], *sides)
        said = self.judge.compare(asked.prompts, asked.left, asked.right) if asked.left else []
        payoffs = asked.answers(checked(said, asked.prompts, name_of(self.judge)))
        if self.unfinished_penalty:
            gap = self.finished(left).astype(float) - self.finished(right)
            payoffs = np.clip(payoffs + self.unfinished_penalty * gap.reshape(-1), 0.0, 1.0)
        return payoffs.reshape(shape)

    def finished(self, responses: Array) -> np.ndarray:
        """Whether each response `[..., T]` ends with an end token."""
        return np.asarray(finished(np.asarray(on_host(responses)), self.text.end))

    def decode(self, responses: Array) -> list[str]:
        """The texts of responses `[N, T]`."""
        return [self._text(row, {}) for row in np.asarray(on_host(responses))]

    def _text(self, row: np.ndarray, known: dict[bytes, str]) -> str:
        name = row.tobytes()
        if name not in known:
            tokens = row[row >= 0]
            known[name] = self.text.decode([token for token in tokens.tolist() if token not in self.text.end])
        return known[name]

"""What a run is measured by: win rates, distance from the reference, and an empirical gap."""

import dataclasses
from typing import Any, NamedTuple

import jax
import numpy as np

from nashpo.game import Game
from nashpo.learners.gains import compare_all
from nashpo.lm.duels import strongest
from nashpo.lm.host import on_host
from nashpo.lm.judges import JudgeError
from nashpo.typing import Array, Key
from nashpo.validation.numbers import whole_number


class Rivals(NamedTuple):
    """Completions of the policies that a run is measured against, made once: the reference's, then those of its past.

    Arrays, so that a checkpoint holds them; a place that is not filled yet holds -1 throughout.
    """

    reference: np.ndarray
    """`[n, K, T]`."""
    past: np.ndarray
    """`[M, n, K, T]`, the oldest first."""
    steps: np.ndarray
    """`[M]`: after how many steps they were made, -1 for an empty place."""


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Measures a policy on `responses` completions to each of the prompts `rows` of the game, every `every` steps.

    `rows` (all prompts of weight 0, which are never trained on, or the first 16 if None) are always the same prompts.
    The pool of rivals is the reference, the best of the reference's completions to each prompt, and up to `history`
    earlier policies of the run (every second one is dropped when there are more). Their completions are kept, so that
    only the policy itself generates.

    The empirical gap is `max_m P(rival m beats the policy) - 1/2`. The rival is chosen on one half of the prompts, the
    best completion on one half of the policy's, and both are measured on the other, so that the choice does not bias
    it upwards; the interval is a bootstrap over prompts. It is a lower bound of half the duality gap of the game
    without KL penalty, and says nothing of responses that nobody in the pool gives.

    >>> Evaluation(responses=4).every
    1
    """

    rows: Any = None
    responses: int = 2
    history: int = 4
    every: int = 1
    confidence: float = 0.9

    def __post_init__(self) -> None:
        """Numbers that cannot be measured with are refused."""
        for name, least in (("responses", 2), ("history", 1), ("every", 1)):
            whole_number(name, getattr(self, name), least, of="Evaluation")
        if not 0 < self.confidence < 1:
            raise ValueError(f"Evaluation(confidence={self.confidence}): must lie between 0 and 1, for example 0.9.")

    def prompts(self, game: Game) -> np.ndarray:
        """The numbers of the prompts that are measured."""
        if self.rows is not None:
            rows = np.asarray(self.rows)
        else:
            held_out = np.flatnonzero(np.asarray(on_host(game.prompts)) == 0)
            rows = held_out if len(held_out) else np.arange(min(16, len(game.prompts)))
        if len(rows) < 4:
            raise ValueError(f"{len(rows)} prompts to measure on: half choose the strongest rival; give at least 4.")
        return rows

    def blank(self, game: Game) -> Rivals:
        """Room for the rivals."""
        reference: Any = game.reference
        empty = np.full((len(self.prompts(game)), self.responses, reference.decoding.new_tokens), -1, np.int32)
        return Rivals(empty, np.repeat(empty[None], self.history, axis=0), np.full(self.history, -1))

    def begin(self, game: Game, key: Key) -> Rivals:
        """The rivals before the first step: the reference."""
        rows = self.prompts(game)
        said = np.asarray(on_host(_completions(game.reference, rows, key, self.responses)))
        return self.blank(game)._replace(reference=said)

    def measure(
        self, game: Game, policy: Any, rivals: Rivals, step: int, key: Key
    ) -> tuple[dict[str, float], Rivals, np.ndarray]:
        """The measurements after `step` steps, the rivals with this policy among them, and its completions."""
        rows = self.prompts(game)
        generating, resampling = jax.random.split(key)
        responses = np.asarray(on_host(_completions(policy, rows, generating, self.responses)))
        filled = np.flatnonzero(rivals.steps >= 0)
        pool = np.concatenate([rivals.reference[None], rivals.past[filled]])
        wins = self._wins(game, rows, pool, responses)
        reference: Any = game.reference
        finished = getattr(game.oracle, "finished", None)
        row = {
            "win_rate_reference": float(1 - wins[0].mean()),
            **_divergence(policy.at(rows), reference.at(rows), responses),
            "length": float(np.sum(responses >= 0, -1).mean()),
        }
        if len(filled):
            row["win_rate_history"] = float(1 - wins[1:].mean())
        if finished is not None:
            row["finished"] = float(np.mean(finished(responses)))
        row |= self._gap(wins, resampling)
        return row, self._remembered(rivals, responses, step), responses

    def _wins(self, game: Game, rows: np.ndarray, pool: np.ndarray, responses: np.ndarray) -> np.ndarray:
        """How often completion k of rival m beats completion j of the policy, `[M, n, K, J]`; all asked at once."""
        members, count, each, length = pool.shape
        lefts = np.moveaxis(pool, 0, 1).reshape(count, members * each, length)
        oracle: Any = game.oracle
        key = jax.random.key(0)  # a judge of texts does not draw
        payoffs = np.asarray(compare_all(oracle.at(rows), key, np.arange(count), lefts, responses))
        if not np.all(np.isfinite(payoffs)):
            raise JudgeError(
                f"{int(np.sum(~np.isfinite(payoffs)))} of the judge's answers are not finite; mend the judge."
            )
        return np.moveaxis(payoffs.reshape(count, members, each, -1), 1, 0)

    def _gap(self, wins: np.ndarray, key: Key) -> dict[str, float]:
        """The empirical gap and its interval from `[M, n, K, J]`."""
        half = wins.shape[-1] // 2
        best = np.argmax(wins[0, ..., :half].mean(-1), -1)
        best_of = np.take_along_axis(wins[0, ..., half:], best[:, None, None], axis=1).mean((-1, -2))
        advantages = np.concatenate([wins.mean((-1, -2)), best_of[None]]) - 0.5
        _, found = strongest(advantages.T, key, self.confidence)
        return {"empirical_gap": found.mean, "empirical_gap_low": found.low, "empirical_gap_high": found.high}

    def _remembered(self, rivals: Rivals, responses: np.ndarray, step: int) -> Rivals:
        """The rivals with one more of the past; a full memory drops every second one."""
        steps, past = rivals.steps, rivals.past
        if np.all(steps >= 0):
            kept = np.arange(len(steps))[1::2] if len(steps) > 1 else np.array([], int)
            steps, past = np.full_like(steps, -1), np.full_like(past, -1)
            steps[: len(kept)], past[: len(kept)] = rivals.steps[kept], rivals.past[kept]
        else:
            steps, past = steps.copy(), past.copy()
        place = int(np.flatnonzero(steps < 0)[0])
        steps[place], past[place] = step, responses
        return Rivals(rivals.reference, past, steps)


def _completions(policy: Any, rows: np.ndarray, key: Key, count: int) -> Array:
    return policy.at(rows).sample(key, np.arange(len(rows)), count)


def _divergence(policy: Any, reference: Any, responses: np.ndarray) -> dict[str, float]:
    """KL divergence and entropy in nats an answer, from answers of the policy; none where these are not its own law."""
    if not reference.decoding.plain:
        return {}
    log_pi, log_ref = (_log_probs(one, responses) for one in (policy, reference))
    return {"kl_reference": float(np.mean(log_pi - log_ref)), "entropy": float(-np.mean(log_pi))}


def _log_probs(policy: Any, responses: np.ndarray) -> np.ndarray:
    """Log-probabilities `[n, K]` of whole answers, also of a policy that says means over their tokens."""
    found = np.asarray(on_host(policy.log_prob(np.arange(len(responses)), responses)), np.float64)
    means = getattr(policy, "frame", policy).reduction == "mean"
    return found * np.sum(responses >= 0, -1) if means else found

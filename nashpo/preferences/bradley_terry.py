"""Rewards from comparisons of items, by Newton's method in float64."""

import numpy as np

from nashpo.oracles.base import logistic
from nashpo.oracles.reward import BradleyTerry, most_likely
from nashpo.preferences.comparisons import Comparisons
from nashpo.preferences.losses import check_noise, check_penalty, targets
from nashpo.preferences.rows import require_comparisons
from nashpo.typing import Scale

_STEPS = 100


def fit_bradley_terry(
    data: Comparisons,
    penalty: float = 0.0,
    flip: float = 0.0,
    smoothing: float = 0.0,
    scale: Scale = "probability",
) -> BradleyTerry:
    """The Bradley-Terry rewards `[X, A]` that make the votes most likely.

        max_r  sum_n votes_n (t_n s_n - log(1 + exp(s_n))) - penalty / 2 sum_i r_i^2,     s_n = r_left - r_right

    with `t = targets(share, flip, smoothing)`. A penalty is the precision of a normal prior. Without one, and where no
    corrected count is negative, this is `oracles.BradleyTerry.fit`. Rewards of every prompt sum to zero.

    Raises `ValueError` for comparisons of features, where no finite reward fits (prompt and items are named), or where
    the correction of flips makes a count negative and there is no penalty.

    >>> fit_bradley_terry(Comparisons.from_wins([[0, 3], [1, 0]])).table()[0, 0, 1].round(6)
    np.float64(0.75)
    >>> fit_bradley_terry(Comparisons.from_wins([[0, 3], [1, 0]]), flip=0.1).table()[0, 0, 1].round(6)
    np.float64(0.8125)
    """
    require_comparisons(data, "fit_bradley_terry")
    data.require_items("fit_bradley_terry")
    check_penalty(penalty)
    check_noise(flip, smoothing)
    wins = corrected_wins(data.wins(), flip, smoothing)
    if penalty:
        return BradleyTerry(penalised_rewards(wins, penalty), scale)
    wrong = np.argwhere(wins < 0)
    if len(wrong):
        x, i, j = wrong[0].tolist()
        names = [repr(data.items[k]) if data.items else f"item {k}" for k in (i, j)]
        raise ValueError(
            f"flip={flip}: {names[0]} beat {names[1]} (prompt {x}) less often than flipped votes alone would have it, "
            "so that the corrected likelihood may have no maximum: pass a penalty above 0."
        )
    return BradleyTerry(most_likely(wins, data.items, "penalty"), scale)


def corrected_wins(wins: np.ndarray, flip: float = 0.0, smoothing: float = 0.0) -> np.ndarray:
    """Counts `[..., A, A]` with `targets` in place of shares; their sums `wins + wins^T` stay.

    >>> corrected_wins(np.array([[0.0, 9.0], [1.0, 0.0]]), flip=0.2).round(3).tolist()
    [[0.0, 11.667], [-1.667, 0.0]]
    """
    if not flip and not smoothing:
        return wins
    played = wins + wins.swapaxes(-1, -2)
    share = np.divide(wins, played, out=np.full_like(wins, 0.5), where=played > 0)
    return np.where(played > 0, played * targets(share, flip, smoothing), 0.0)


def penalised_rewards(wins: np.ndarray, penalty: float, start: np.ndarray | None = None) -> np.ndarray:
    """The rewards `[..., A]` of `max_r log-likelihood - penalty / 2 |r|^2` for counts `[..., A, A]`, penalty > 0.

    Counts may be negative where `wins + wins^T` is not: the objective is strictly concave all the same.
    Raises `ValueError` where Newton's method does not converge, or the penalty is lost in rounding.

    >>> penalised_rewards(np.array([[0.0, 5.0], [0.0, 0.0]]), penalty=1.0).round(4).tolist()
    [0.8168, -0.8168]
    """
    played = wins + wins.swapaxes(-1, -2)
    rewards = np.zeros(wins.shape[:-1]) if start is None else start
    value = reward_objective(wins, rewards, penalty)
    ridge = penalty * np.eye(wins.shape[-1])
    for _ in range(_STEPS):
        P = logistic(rewards[..., :, None] - rewards[..., None, :])
        # `wins - played P` would cancel where wins are nearly certain.
        slope = np.sum(wins * P.swapaxes(-1, -2) - wins.swapaxes(-1, -2) * P, axis=-1) - penalty * rewards
        weight = played * P * P.swapaxes(-1, -2)
        curvature = np.eye(wins.shape[-1]) * weight.sum(axis=-1)[..., None] - weight + ridge
        try:
            step = np.linalg.solve(curvature, slope[..., None])[..., 0]
        except np.linalg.LinAlgError:
            raise ValueError(
                f"the votes are too one-sided for so small a penalty: raise it above {penalty:g}."
            ) from None
        step -= step.mean(axis=-1, keepdims=True)
        size, gain = np.ones(value.shape), np.sum(slope * step, axis=-1)
        for _ in range(30):
            after = reward_objective(wins, rewards + size[..., None] * step, penalty)
            short = after < value + 1e-4 * size * gain - 1e-12 * np.abs(value)
            if not short.any():
                break
            size = np.where(short, size / 2, size)
        rewards, value = rewards + size[..., None] * step, after
        if np.all(np.abs(step) <= 1e-9 * np.maximum(1.0, np.abs(rewards).max(axis=-1, keepdims=True))):
            return rewards
    raise ValueError(f"the rewards still move after {_STEPS} Newton steps: raise the penalty above {penalty:g}.")


def reward_objective(wins: np.ndarray, rewards: np.ndarray, penalty: float) -> np.ndarray:
    """`sum_ij wins[i, j] log P(i beats j) - penalty / 2 |r|^2`, over the last axes.

    >>> float(reward_objective(np.array([[0.0, 1.0], [1.0, 0.0]]), np.zeros(2), 1.0).round(6))
    -1.386294
    """
    behind = np.logaddexp(0.0, rewards[..., None, :] - rewards[..., :, None])
    return -np.sum(wins * behind, axis=(-1, -2)) - penalty / 2 * np.sum(rewards**2, axis=-1)

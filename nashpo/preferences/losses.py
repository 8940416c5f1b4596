"""The likelihood of votes, as it is and corrected for votes that were turned round."""

from typing import Literal, TypeAlias

from nashpo.logspace import namespace
from nashpo.typing import Array
from nashpo.validation.numbers import is_number

Correction: TypeAlias = Literal["loss", "likelihood"]
"""What is corrected for flipped votes: the loss of every vote, or the probabilities of the model."""


def targets(share: Array, flip: float = 0.0, smoothing: float = 0.0) -> Array:
    """The label that cross-entropy is taken against, for votes some of which are wrong.

        plain: share        smoothing: (1 - 2 smoothing) share + smoothing        flip: (share - flip) / (1 - 2 flip)

    `smoothing` is cDPO's label smoothing: robust, and biased. `flip`, the probability that a vote was turned round, is
    rDPO's correction `[(1 - e) L(w, l) - e L(l, w)] / (1 - 2 e)` (Chowdhury et al. 2024, arXiv:2403.00409, section
    3): its expectation over flips is the loss of the clean label. Cross-entropy is linear in the label, so both are a
    change of label; a corrected one may leave [0, 1], where the loss stays convex but is bounded below no more.

    Raises `ValueError` for a flip or smoothing outside [0, 1/2), or both at once.

    >>> import numpy as np
    >>> targets(np.array([0.0, 0.5, 1.0]), flip=0.2).round(3).tolist()
    [-0.333, 0.5, 1.333]
    >>> targets(np.array([0.0, 0.5, 1.0]), smoothing=0.2).round(3).tolist()
    [0.2, 0.5, 0.8]
    """
    check_noise(flip, smoothing)
    if flip:
        return (share - flip) / (1 - 2 * flip)
    return (1 - 2 * smoothing) * share + smoothing


def cross_entropy(scores: Array, share: Array, flip: float = 0.0, smoothing: float = 0.0) -> Array:
    """Minus the log-likelihood of votes under log-odds `scores`, elementwise, in nats.

        log(1 + exp(s)) - t s,     t = targets(share, flip, smoothing)

    For `t` in {0, 1} that is `-log sigmoid(s)` and `-log sigmoid(-s)`, the DPO loss of the reward difference `s`.

    >>> import numpy as np
    >>> float(cross_entropy(np.array(0.0), np.array(1.0)).round(6))
    0.693147
    """
    xp = namespace(scores, share)
    return xp.logaddexp(xp.zeros_like(scores), scores) - targets(share, flip, smoothing) * scores


def check_noise(flip: float, smoothing: float) -> None:
    """Raise `ValueError` for a flip or smoothing that votes cannot have.

    >>> check_noise(0.5, 0.0)
    Traceback (most recent call last):
        ...
    ValueError: flip=0.5: must be at least 0 and below 1/2, where votes say nothing.
    """
    for name, value in (("flip", flip), ("smoothing", smoothing)):
        if not (is_number(value, 0.0, 0.5) and value < 0.5):
            raise ValueError(f"{name}={value}: must be at least 0 and below 1/2, where votes say nothing.")
    if flip and smoothing:
        raise ValueError(f"flip={flip} and smoothing={smoothing}: choose one of the two against wrong votes.")


def check_penalty(penalty: float) -> None:
    """Raise `ValueError` unless the precision of the prior is finite and not negative.

    >>> check_penalty(-1.0)
    Traceback (most recent call last):
        ...
    ValueError: penalty=-1.0: the precision of the prior is a finite number that is at least 0.
    """
    if not is_number(penalty, 0.0):
        raise ValueError(f"penalty={penalty}: the precision of the prior is a finite number that is at least 0.")


def check_correction(correction: Correction, flip: float, smoothing: float) -> float:
    """The flip that the model's probabilities get: 0 where the loss is corrected.

    Raises `ValueError` for an unknown correction, or noise that cannot be.

    >>> check_correction("likelihood", 0.1, 0.0), check_correction("loss", 0.1, 0.0)
    (0.1, 0.0)
    """
    check_noise(flip, smoothing)
    if correction not in ("loss", "likelihood"):
        raise ValueError(f'correction={correction!r}: choose "loss" or "likelihood".')
    return float(flip) if correction == "likelihood" else 0.0

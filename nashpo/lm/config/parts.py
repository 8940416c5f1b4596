"""Losses, gains, samplers, selections and optimizers by name."""

import dataclasses
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from nashpo.learners import gains, heuristics, samplers
from nashpo.learners import losses as library
from nashpo.lm.config.making import made
from nashpo.lm.gains import EachJudge
from nashpo.nearest import nearest
from nashpo.studies.document import Document

LOSSES: dict[str, Any] = {
    "squared": library.SquaredGains,
    "pair_label": library.PairLabel,
    "logistic": library.SoftLogistic,
    "pointwise": library.Pointwise,
    "policy_gradient": library.PolicyGradient,
    "proximal": library.ProximalPolicyGradient,
    "sigmoid_norm": library.SigmoidNorm,
    "hinge_norm": library.HingeNorm,
    "cdpo": library.CDPO,
    "dpo": library.DPO,
    "gpo": library.GPO,
    "hypo": library.HyPO,
    "ipo": library.IPO,
    "rdpo": library.RDPO,
    "rpo": library.RPO,
    "vpo": library.VPO,
}

DEFAULTS = {
    "win_rate": "squared",
    "score": "squared",
    "win_rate_half_baseline": "pointwise",
    "bradley_terry": "dpo",
    "policy_gradient": "policy_gradient",
}
"""The loss of a rule whose stages have a target."""

GAINS: dict[str, Any] = {"fresh": gains.Fresh, "batch": gains.Batch, "each_judge": EachJudge}

SAMPLERS: dict[str, Any] = {
    "start": samplers.FromStart,
    "opponent": samplers.FromOpponent,
    "reference": samplers.FromReference,
}

SELECTIONS: dict[str, Any] = {
    "best_against_worst": heuristics.BestAgainstWorst,
    "large_margin": heuristics.LargeMargin,
}


def read_part(document: Document, place: tuple[str, ...], value: Any, known: Mapping[str, Any]) -> Any:
    """What a name, or `{name = "...", ...}` with settings, stands for among `known`.

    Raises `ValueError` naming the line, with the nearest name.

    >>> from nashpo.studies.document import read_document
    >>> read_part(read_document({}), ("learner", "gains"), {"name": "fresh", "count": 4}, GAINS)
    Fresh(count=4)
    """
    settings = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = settings.pop("name", None)
    plain = str(name).lower().replace("-", "_")
    if not isinstance(name, str) or plain not in known:
        document.wrong(place, f"is {name!r}: there is no such {place[-1]}{nearest(str(name), known)}")
    return made(document, place, known[plain], settings, extra=("name",))


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """A transformation of optax by name, with its gradients clipped to a norm first; equal ones are one program.

    >>> Optimizer("sgd", (), clip=1.0)(0.1).init(0.0)
    (EmptyState(), (EmptyState(), EmptyState()))
    """

    name: str
    settings: tuple[tuple[str, Any], ...] = ()
    clip: float | None = None

    def __call__(self, learning_rate: Any) -> Any:
        """The transformation at a learning rate or a schedule of gradient steps."""
        import optax

        made = getattr(optax, self.name)(learning_rate, **dict(self.settings))
        return made if self.clip is None else optax.chain(optax.clip_by_global_norm(self.clip), made)


def read_optimizer(document: Document, place: tuple[str, ...], value: Any, clip: float | None) -> Optimizer:
    """The optimizer of a name, or of `{name = "adamw", weight_decay = 0.1, ...}`.

    Raises `ValueError` naming the line, with the nearest name.

    >>> from nashpo.studies.document import read_document
    >>> read_optimizer(read_document({}), ("learner", "optimizer"), "adam", None)
    Optimizer(name='adam', settings=(), clip=None)
    """
    settings = dict(value) if isinstance(value, Mapping) else {"name": value}
    name = settings.pop("name", None)
    known = optimizers()
    if name not in known:
        document.wrong(place, f"is {name!r}: optax has no such optimizer{nearest(str(name), known)}")
    if "key" in inspect.signature(known[name]).parameters:
        document.wrong(place, f"is {name!r}, which draws noise with a key that no checkpoint holds; take another one.")
    listed = {key: tuple(one) if isinstance(one, list) else one for key, one in settings.items()}
    transformation = made(document, place, known[name], listed, fixed={"learning_rate": 1e-3}, extra=("name",))
    if not _needs_gradients_only(transformation):
        document.wrong(place, f"is {name!r}, which asks for the loss itself; take one that needs gradients only.")
    return Optimizer(name, tuple(listed.items()), clip)


def _needs_gradients_only(transformation: Any) -> bool:
    """Whether a transformation needs nothing but gradients and parameters."""
    import jax

    leaf = jax.ShapeDtypeStruct((2,), "float32")
    try:
        jax.eval_shape(lambda params: transformation.update(params, transformation.init(params), params), leaf)
    except TypeError:
        return False
    return True


def optimizers() -> dict[str, Callable[..., Any]]:
    """The optimizers of optax that take a learning rate first.

    >>> "adamw" in optimizers(), "clip" in optimizers()
    (True, False)
    """
    import optax

    found = {}
    for name in dir(optax):
        thing = getattr(optax, name)
        if name.startswith(("_", "scale_by")) or not inspect.isfunction(thing):
            continue
        if next(iter(inspect.signature(thing).parameters), None) == "learning_rate":
            found[name] = thing
    return found

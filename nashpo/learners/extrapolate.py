"""Momentum in the space of parameters."""

import functools
from typing import Any

import jax

from nashpo.game import Game
from nashpo.policies.tabular import Tabular
from nashpo.policies.trained import trained
from nashpo.stage import Slot, Stage
from nashpo.struct import record
from nashpo.typing import Array, Key


@record
class Extrapolate:
    """`learner`, except that a stage without opponents mixes parameters: `theta = sum_k a_k theta_k`.

    The extrapolation of APO, `theta = theta_hat' + alpha (theta_hat' - theta_hat)` (He et al. 2024, arXiv:2410.06293,
    section 4.2), without samples and without a fit. It is the point of the stage for policies whose log-probabilities
    are linear in the parameters, tables among them, and a heuristic for others. The policies that are mixed must be of
    the class that is trained; a blend with a reference of another class is refused.

    >>> from nashpo.learners import Regression
    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.8, 0.9], [0.2, 0.5, 0.7], [0.1, 0.3, 0.5]])
    >>> learner = Extrapolate(Regression(learning_rate=0.75))
    >>> fitted, exact = (nashpo.solve(game, nashpo.solvers.APO(0.1, 0.5), learner=l, steps=20) for l in (learner, None))
    >>> bool(abs(fitted.policy.probs() - exact.policy.probs()).max() < 1e-6)
    True
    """

    learner: Any

    def __post_init__(self) -> None:
        """Refuse what is no learner."""
        if isinstance(self.learner, type) or not hasattr(self.learner, "fit"):
            raise ValueError(f"Extrapolate({self.learner!r}): give a learner, for example Regression(0.1).")

    @property
    def partial(self) -> bool:
        """Whether the learner's fits go only a part of the way."""
        return getattr(self.learner, "partial", False)

    def check(self, rule: Any, game: Game) -> None:
        """What the learner refuses."""
        check = getattr(self.learner, "check", None)
        if check is not None:
            check(rule, game)

    def init(self, policy: Any, like: Array) -> Any:
        """The policy in the form that is trained."""
        return self.learner.init(policy, like)

    def carry(self, policy: Any) -> Any:
        """What the learner remembers."""
        return self.learner.carry(policy)

    def fit(
        self, carry: Any, key: Key, start: Any, slots: dict[Slot, Any], stage: Stage, game: Game
    ) -> tuple[Any, Any, dict[str, Array]]:
        """The learner's fit where there are opponents, the mixture of parameters where there are none."""
        if stage.opponents:
            return self.learner.fit(carry, key, start, slots, stage, game)
        terms = []
        structure = jax.tree.structure(start.params)
        for name, weight in stage.anchor.items():
            policy = slots[name]
            if type(policy) is Tabular and type(start) is Tabular:
                policy = trained(policy, start.params)
            if not hasattr(policy, "params") or jax.tree.structure(policy.params) != structure:
                raise ValueError(
                    f"Extrapolate: {name!r} is a {type(policy).__name__} and has not the parameters of the "
                    f"{type(start).__name__} that is trained; start from a policy like it, or use the learner alone."
                )
            terms.append(jax.tree.map(lambda leaf, w=weight: (w * leaf).astype(leaf.dtype), policy.params))
        mixed = functools.reduce(lambda left, right: jax.tree.map(lambda a, b: a + b, left, right), terms)
        return carry, start.with_params(mixed), {}

    def mean(self, policy: Any, like: Array) -> Any:
        """The learner's."""
        return self.learner.mean(policy, like)

    def average(self, average: Any, policy: Any, count: Array) -> Any:
        """The learner's."""
        return self.learner.average(average, policy, count)

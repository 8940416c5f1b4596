"""The learner that fits a network to every response of the list."""

from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import optax

from nashpo.game import Game, check_enumerable
from nashpo.learners.blends import log_blend, opponent_probs
from nashpo.learners.descent import descend, start_descent
from nashpo.learners.targets import TARGETS
from nashpo.logspace import LOG_ZERO
from nashpo.policies.tabular import Tabular, mean_of_one, running_mean, tabulate
from nashpo.policies.trained import parameters, trained
from nashpo.stage import Slot, Stage
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Schedule
from nashpo.validation.numbers import whole_number
from nashpo.validation.optimizers import check_optimizer


@record
class Regression:
    """Squared log-ratio errors over all responses, by `updates` steps of an optax optimizer.

        L = sum_x w_x E_{y, y' ~ rho} (d(y) - d(y'))^2,    d = log pi - (sum_k a_k log pi_k + target)

    with the point of the stage in the bracket (`learners.targets`) and `w` the weights of the prompts; the gradient in
    the logits of a table is `4 w_x rho (d - E_rho d)`. With `rho` uniform over the n responses that the reference
    allows, one step of plain SGD from `now` goes `4 lr w_x / n` of the way: the mirror step with

        eta beta = (eta_rule beta) 4 lr / n,

    which for `eta_rule = 1 / beta` is online IPO with learning rate `lr` (Calandriello et al. 2024, arXiv:2403.08635;
    Zhou, Fazel, Du 2025, arXiv:2503.08942). `sampling` is the law rho: `"uniform"`, `"start"` (the policy that is
    trained) or `"reference"`; it changes the speed of each response, not the point. `learning_rate` is a number or an
    optax schedule; `optimizer` makes an optax transformation of it.

    Raises `ValueError` for settings that cannot be run.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.1)
    >>> rule = nashpo.solvers.EGPO(eta=10.0)
    >>> fitted = nashpo.solve(game, rule, learner=Regression(learning_rate=0.075), steps=100)
    >>> exact = nashpo.solve(game, nashpo.solvers.EGPO(eta=1.0), steps=100)
    >>> bool(abs(fitted.policy.probs() - exact.policy.probs()).max() < 1e-5)
    True
    """

    learning_rate: Schedule
    optimizer: Any = static(default=optax.sgd)
    updates: int = static(default=1)
    sampling: Literal["uniform", "start", "reference"] = static(default="uniform")

    partial: ClassVar[bool] = True

    def check(self, rule: Any, game: Game) -> None:
        """Refuse settings that cannot be run, and a game whose responses cannot be listed."""
        check_enumerable(game, "Regression", "train from samples, with Sampled")
        check_optimizer("Regression", self.optimizer, self.learning_rate)
        whole_number("updates", self.updates, 1, of="Regression")
        if self.sampling not in ("uniform", "start", "reference"):
            raise ValueError(
                f'Regression(sampling={self.sampling!r}): the options are "uniform", "start" and "reference".'
            )

    def init(self, policy: Any, like: Array) -> Any:
        """The policy itself; a table gets the precision of `like`."""
        return trained(policy, like)

    def carry(self, policy: Any) -> Any:
        """The optimizer's state."""
        return start_descent(self.optimizer, self.learning_rate, parameters(policy))

    def fit(
        self, carry: Any, key: Key, start: Any, slots: dict[Slot, Any], stage: Stage, game: Game
    ) -> tuple[Any, Any, dict[str, Array]]:
        """The policy after `updates` steps from `start`, with the loss and the gradient's norm before the last one."""
        target = log_blend(stage.anchor, slots)
        if stage.opponents:
            opponent = opponent_probs(stage.opponents, slots)
            target = target + TARGETS[stage.target](stage, target, opponent, game, key).astype(target.dtype)
        law = self._law(start, game)

        def loss(params: Any) -> Array:
            error = start.with_params(params).log_probs() - target
            centred = error - jnp.sum(law * error, -1, keepdims=True)
            return 2.0 * jnp.sum(game.prompts * jnp.sum(law * centred**2, -1))

        def slope(params: Any, _: Array) -> tuple[Array, Any]:
            return jax.value_and_grad(loss)(params)

        settings = self.optimizer, self.learning_rate, slope
        params, carry, info = descend(*settings, start.params, carry, self.updates)
        return carry, start.with_params(params), info

    def mean(self, policy: Any, like: Array) -> Tabular:
        """A table, for the mean of networks is no network."""
        return mean_of_one(policy, like)

    def average(self, average: Tabular, policy: Any, count: Array) -> Tabular:
        """The arithmetic mean of `count + 1` policies from the mean of `count` and one more."""
        return running_mean(average, tabulate(policy, average.logits), count)

    def _law(self, start: Any, game: Game) -> Array:
        """The law rho, `[X, A]`."""
        log_reference = game.reference.log_probs()
        if self.sampling == "uniform":
            allowed = (log_reference > 0.5 * LOG_ZERO).astype(log_reference.dtype)
            return allowed / jnp.sum(allowed, -1, keepdims=True)
        return jax.lax.stop_gradient(jnp.exp(log_reference if self.sampling == "reference" else start.log_probs()))

"""The learner that sees samples only."""

from typing import Any, ClassVar

import jax
import optax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from nashpo.blame import BAD_ANSWERS
from nashpo.game import Game
from nashpo.learners.collect import Recipe, bad_answers, collect
from nashpo.learners.descent import start_descent
from nashpo.learners.fitting import fit_samples
from nashpo.learners.gains import Fresh
from nashpo.learners.losses.base import Samples, Terms
from nashpo.learners.losses.mirror import SquaredGains
from nashpo.learners.memory import Carry, begin, remember
from nashpo.learners.sampled_check import check_sampled, completed
from nashpo.learners.samplers import Scene
from nashpo.oracles.base import VALUE
from nashpo.policies.base import enumerable
from nashpo.policies.listed import spoken
from nashpo.policies.mixture import Mixture
from nashpo.policies.tabular import mean_of_one, running_mean, tabulate
from nashpo.policies.trained import parameters, trained
from nashpo.stage import Slot, Stage
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Schedule
from nashpo.validation.optimizers import check_optimizer


@record
class Sampled:
    """Losses over sampled responses: first `collect` what depends on no parameter, then fit it by gradient steps.

    A fit draws `responses` responses to each prompt (`prompts` of them by their weights, or every prompt once if
    None) with `sampler`, asks the oracle, and evaluates the stage's anchor, once. Then it takes `updates` steps of
    `optimizer` on `loss`, each over `minibatch` prompts in a fresh order (all if None), whose gradient is accumulated
    over pieces of `microbatch` prompts (in one piece if None).

    `loss` says which law its samples must come from and which target it fits; `sampler` is the one that it asks for
    if None (`FromStart` where any will do). `gains` estimates how often a response wins. `selection` is a heuristic
    that changes which pairs are compared, and with it the minimiser, and `replay` adds responses of earlier fits
    (both in `nashpo.learners.heuristics`). `learning_rate` is a number or an optax schedule of gradient steps;
    `optimizer` makes an optax transformation of it. `pool` policies at most are kept for the average of a rule that
    reports it (`policies.Mixture`), where responses cannot be listed. `mesh` (a `jax.sharding.Mesh` of one axis)
    spreads the prompts of a batch over devices.

    Raises `ValueError`: when it is built, for a loss with a sampler or gains it is biased for; when a run begins, for a
    rule whose target is another one, and for an oracle whose answers are no payoffs.

    >>> import nashpo
    >>> game = nashpo.Game.from_table([[0.5, 0.9, 0.3], [0.1, 0.5, 0.8], [0.7, 0.2, 0.5]], beta=0.5)
    >>> learner = Sampled(learning_rate=0.05, prompts=64, updates=2)
    >>> found = nashpo.solve(game, nashpo.solvers.EGPO(eta=0.5), learner=learner, steps=200, key=0)
    >>> bool(found.trace["duality_gap"][-1] < 0.02)
    True
    """

    learning_rate: Schedule
    loss: Any = SquaredGains()
    sampler: Any = None
    gains: Any = Fresh()
    selection: Any = None
    replay: Any = None
    optimizer: Any = static(default=optax.adam)
    prompts: int | None = static(default=None)
    responses: int = static(default=2)
    updates: int = static(default=1)
    minibatch: int | None = static(default=None)
    microbatch: int | None = static(default=None)
    pool: int = static(default=32)
    mesh: Any = static(default=None)

    partial: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """The sampler and the gains that the loss asks for; wrong ones are refused."""
        completed(self)

    def check(self, rule: Any, game: Game) -> None:
        """Refuse settings that cannot be run, targets that the loss does not fit and answers that are no payoffs."""
        check_optimizer("Sampled", self.optimizer, self.learning_rate)
        check_sampled(self, rule, game)

    def init(self, policy: Any, like: Array) -> Any:
        """The policy itself; a table gets the precision of `like`."""
        return trained(policy, like)

    def carry(self, policy: Any) -> Any:
        """The optimizer's state, with what gains and replay remember where they do."""
        state = start_descent(self.optimizer, self.learning_rate, parameters(policy))
        memory = begin(self, policy)
        return Carry(state, memory) if memory else state

    def collect(
        self, key: Key, start: Any, slots: dict[Slot, Any], stage: Stage, game: Game, memory: Any = None
    ) -> Samples:
        """What a stage needs from samples: responses, anchors, gains or labels; `memory` is that of the carry."""
        said = {name: spoken(policy, game.oracle) for name, policy in slots.items()}
        scene = Scene(spoken(start, game.oracle), said, stage, game, begin(self, start) if memory is None else memory)
        recipe = Recipe(self.prompts, self.responses, self.sampler, self.gains, self.selection, self.loss, self.replay)
        return self._spread(collect(recipe, key, scene))

    def fit(
        self, carry: Any, key: Key, start: Any, slots: dict[Slot, Any], stage: Stage, game: Game
    ) -> tuple[Any, Any, dict[str, Array]]:
        """The policy after `updates` steps from `start`; the loss and the gradient's norm of the last one."""
        drawn, ordered = jax.random.split(key)
        state, memory = carry if isinstance(carry, Carry) else (carry, {})
        samples = self.collect(drawn, start, slots, stage, game, memory)
        eta = stage.eta if stage.opponents else 1.0
        terms = Terms(eta, game.beta, VALUE[game.scale], stage.target)

        def speaker(params: Any) -> Any:
            return spoken(start.with_params(params), game.oracle)

        parts = self.learning_rate, self.loss, speaker, start.params, state
        params, state, info = fit_samples(self, *parts, samples, terms, ordered)
        memory = remember(self, memory, samples, spoken(start, game.oracle))
        carry = Carry(state, memory) if memory else state
        return carry, start.with_params(params), info | {BAD_ANSWERS: bad_answers(samples)}

    def mean(self, policy: Any, like: Array) -> Any:
        """A table where responses can be listed, else a mixture of up to `pool` policies."""
        if enumerable(policy):
            return mean_of_one(policy, like)
        return Mixture.empty(policy, self.pool)

    def average(self, average: Any, policy: Any, count: Array) -> Any:
        """The arithmetic mean of `count + 1` policies from the mean of `count` and one more."""
        if enumerable(policy):
            return running_mean(average, tabulate(policy, average.logits), count)
        return average.add(policy, count)

    def _spread(self, samples: Samples) -> Samples:
        """The samples with their prompts spread over the devices of the mesh."""
        if self.mesh is None:
            return samples
        mesh = Mesh(self.mesh.devices, self.mesh.axis_names, axis_types=(AxisType.Auto,))
        sharding = NamedSharding(mesh, PartitionSpec(*mesh.axis_names))
        return jax.tree.map(lambda leaf: jax.lax.with_sharding_constraint(leaf, sharding), samples)

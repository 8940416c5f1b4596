"""The learner of language models: completions are generated and judged on the host, then fitted in one program."""

from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from nashpo.compiling import Compiled
from nashpo.game import Game
from nashpo.learners.collect import Recipe, bad_answers, collect
from nashpo.learners.descent import start_descent
from nashpo.learners.fitting import fit_samples
from nashpo.learners.gains import Fresh
from nashpo.learners.losses.base import Samples, Terms
from nashpo.learners.losses.mirror import SquaredGains
from nashpo.learners.sampled_check import check_sizes, check_stages, completed
from nashpo.learners.samplers import Scene
from nashpo.lm.heard import heard
from nashpo.lm.host import on_host
from nashpo.lm.judges import JudgeError
from nashpo.lm.mesh import by_rows, kept_there, mesh_of, settled, shardings
from nashpo.lm.pool import Pool
from nashpo.oracles.base import VALUE
from nashpo.policies.trained import parameters
from nashpo.stage import Slot, Stage
from nashpo.struct import record, static
from nashpo.typing import Array, Key, Schedule
from nashpo.validation.optimizers import check_optimizer

_START = "start of the fit"
"""A slot of no rule."""


class Progress(NamedTuple):
    """What lasts from fit to fit."""

    optimizer: Any
    """The optimizer's state."""
    cursor: Array
    """How many prompts have been used, over all passes."""


@record
class Generated:
    """Losses over completions of language models: the learner `Sampled`, with the host in between.

    A fit takes the next `prompts` prompts of a pass over all of them in random order (those of weight 0 are never
    trained on; a tentative stage does not count, so that the next one sees the same prompts), generates `responses`
    completions to each with `sampler`, asks the judge for `gains` or labels, and evaluates the anchor's policies, all
    once. Then one compiled program takes `updates` steps of `optimizer` on `loss`, over `minibatch` prompts each, its
    gradient accumulated over pieces of `microbatch` prompts. Losses, gains, samplers and selections are those of
    `nashpo.learners`, and what is biased is refused alike; a rule's opponents that are geometric mixtures are generated
    token by token (`LanguageModel.sample_mixed`).

    `updates=1` with few prompts is online training; many prompts with as many updates as there are minibatches is one
    iteration of an iterated method. `optimizer` makes an optax transformation of a learning rate or a schedule of
    gradient steps; chain `optax.clip_by_global_norm` in it to clip. `pool` policies at most are kept for the average of
    a rule that reports it. `seed` orders the prompts. `donate` frees the optimizer's old state during the last stage's
    fit: less memory, but after an error in that fit the run goes on from its last checkpoint only.

    Raises `ValueError`: when it is built, for a loss with a sampler or gains it is biased for; when a run begins, for a
    rule whose target is another one.

    >>> Generated(1e-5, prompts=8, responses=4).sampler
    FromStart()
    """

    learning_rate: Schedule
    loss: Any = SquaredGains()
    sampler: Any = None
    gains: Any = Fresh()
    selection: Any = None
    optimizer: Any = static(default=optax.adamw)
    prompts: int = static(default=8)
    responses: int = static(default=2)
    updates: int = static(default=1)
    minibatch: int | None = static(default=None)
    microbatch: int | None = static(default=None)
    pool: int = static(default=8)
    seed: int = static(default=0)
    donate: bool = static(default=False)

    partial: ClassVar[bool] = True
    replay: ClassVar[None] = None
    mesh: ClassVar[None] = None

    def __post_init__(self) -> None:
        """The sampler and the gains that the loss asks for; wrong ones are refused."""
        completed(self)

    def check(self, rule: Any, game: Game) -> None:
        """Refuse settings that cannot be run and targets that the loss does not fit."""
        check_optimizer("Generated", self.optimizer, self.learning_rate)
        check_stages(self, rule, game)
        check_sizes(self, self.prompts)
        usable = int(np.sum(np.asarray(game.prompts) > 0))
        if self.prompts > usable:
            raise ValueError(
                f"Generated(prompts={self.prompts}): there are {usable} prompts to train on; take at most as many for "
                "a step, or give more."
            )
        getattr(game.oracle, "check", lambda: None)()
        for part in (self.loss, self.sampler, self.gains, self.selection):
            getattr(part, "check", lambda learner, game: None)(self, game)

    def init(self, policy: Any, like: Array) -> Any:
        """The policy itself."""
        return policy

    def carry(self, policy: Any) -> Progress:
        """The optimizer's state before the first step."""
        params = parameters(policy)
        state = settled(start_descent(self.optimizer, self.learning_rate, params), mesh_of(params))
        return Progress(state, jnp.zeros((), jnp.int32))

    def fit(
        self, carry: Progress, key: Key, start: Any, slots: dict[Slot, Any], stage: Stage, game: Game
    ) -> tuple[Progress, Any, dict[str, Any]]:
        """The policy after `updates` steps from `start`, and what the completions were."""
        drawn, ordered = jax.random.split(key)
        rows, weights = self.rows(int(carry.cursor), game)
        samples = self.collect(drawn, rows, weights, start, slots, stage, game)
        eta = jnp.asarray(stage.eta if stage.opponents else 1.0, jnp.float32)
        terms = (eta, jnp.asarray(game.beta, jnp.float32))
        rate = None if callable(self.learning_rate) else self.learning_rate
        how = _How(
            self.optimizer,
            self.learning_rate if rate is None else None,
            self.updates,
            self.minibatch,
            self.microbatch,
            VALUE[game.scale],
            stage.target,
            shardings(start.params),
            shardings(carry.optimizer),
        )
        fit = _fit_donated if self.donate and not stage.tentative else _fit
        small = start.at(rows).spread()
        spread = by_rows(samples, mesh_of(start.parts))
        params, state, info = fit(how, rate, carry.optimizer, small, self.loss, spread, terms, ordered)
        said = {"rows": rows, "responses": samples.responses, "gains": samples.gains, "labels": samples.labels}
        return Progress(state, carry.cursor + len(rows)), start.with_params(params), info | {"samples": said}

    def collect(
        self, key: Key, rows: Array, weights: Array, start: Any, slots: dict[Slot, Any], stage: Stage, game: Game
    ) -> Samples:
        """What a stage needs from completions to the prompts `rows`, in NumPy."""
        oracle: Any = game.oracle
        asked = heard({**slots, _START: start}, rows)
        begin = asked.pop(_START)
        scene = Scene(begin, asked, stage, Game(oracle.at(rows), asked["reference"], game.beta, weights))
        recipe = Recipe(None, self.responses, self.sampler, self.gains, self.selection, self.loss)
        samples = on_host(collect(recipe, key, scene))
        bad = int(bad_answers(samples))
        if bad:
            raise JudgeError(f"{bad} of the judge's answers are not finite, or outside [0, 1]; mend the judge.")
        return samples

    def rows(self, cursor: int, game: Game) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the next prompts after `cursor` of them `[B]`, and their weights `[B]`."""
        law = np.asarray(on_host(game.prompts), np.float64)
        usable = np.flatnonzero(law > 0)
        places = np.arange(cursor, cursor + self.prompts)
        passes = {int(number): self._order(int(number), usable) for number in np.unique(places // len(usable))}
        rows = np.array([passes[place // len(usable)][place % len(usable)] for place in places.tolist()])
        return rows, (law[rows] * len(usable) / len(rows)).astype(np.float32)

    def mean(self, policy: Any, like: Array) -> Any:
        """Room for the average of a run: a mixture of up to `pool` policies."""
        return Pool.empty(policy, self.pool)

    def average(self, average: Any, policy: Any, count: Array) -> Any:
        """The arithmetic mean of `count + 1` policies from the mean of `count` and one more."""
        return average.add(policy, int(count))

    def _order(self, number: int, usable: np.ndarray) -> np.ndarray:
        return np.random.default_rng((self.seed, number)).permutation(usable)


class _How(NamedTuple):
    """What makes another compiled program."""

    optimizer: Any
    schedule: Any
    updates: int
    minibatch: int | None
    microbatch: int | None
    value: float
    target: str
    params: Any
    """Where the parameters lie; None on one device."""
    state: Any
    """Where the optimizer's state lies."""


def _descend(how: _How, rate: Any, state: Any, start: Any, loss: Any, samples: Samples, terms: Any, key: Key) -> Any:
    terms = Terms(terms[0], terms[1], how.value, how.target)
    rate = how.schedule if rate is None else rate
    params, state, info = fit_samples(how, rate, loss, start.with_params, start.params, state, samples, terms, key)
    return kept_there(params, how.params), kept_there(state, how.state), info


_fit = Compiled(_descend, static_argnums=0)
_fit_donated = Compiled(_descend, static_argnums=0, donate_argnums=2)

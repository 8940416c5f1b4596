"""The loop of a run: a step of the rule, its measurements, a checkpoint."""

import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nashpo.blame import BAD_PARAMETER, parameter_paths
from nashpo.files import locked, uninterrupted
from nashpo.fingerprint import fingerprint
from nashpo.game import Game
from nashpo.learners.base import Learner
from nashpo.lm.evaluation import Evaluation, Rivals
from nashpo.lm.host import first, on_host
from nashpo.lm.records import Records
from nashpo.lm.saved import SavedRuns
from nashpo.mirror import Mirror, MirrorState
from nashpo.stage import UpdateRule
from nashpo.typing import Key
from nashpo.validation.numbers import whole_number

_REFERENCE, _MEASUREMENT = 2**32 - 1, 2**32 - 2
"""What is drawn with other keys than those of steps."""

_NOTICE = "nashpo: interrupted; the step is finished and saved first. Ctrl-C again does not wait for it."

Callback = Callable[["Trained"], Any]
"""Called after every step with the run so far; `True` stops it."""


@dataclasses.dataclass(frozen=True)
class Trained:
    """A run of a language model, so far or at its end."""

    game: Game
    policy: Any
    """The rule's answer: the last iterate, or the average of the run."""
    last: Any
    """The last iterate."""
    steps: int
    """How many steps were taken."""
    planned: int
    metrics: list[dict[str, float]]
    """One row for every step: what the learner said of it, and the measurements of `Evaluation`, which are those of
    `policy`."""

    @property
    def trace(self) -> dict[str, np.ndarray]:
        """The metrics as columns; NaN where a row lacks one."""
        names = dict.fromkeys(name for row in self.metrics for name in row)
        return {name: np.array([row.get(name, np.nan) for row in self.metrics]) for name in names}


def train(
    game: Game,
    rule: UpdateRule,
    *,
    learner: Learner,
    steps: int,
    start: Any = None,
    beta: Callable[[int], float] | None = None,
    key: Key | int = 0,
    evaluation: Evaluation | None = None,
    folder: str | os.PathLike[str] | None = None,
    save_every: int | None = None,
    keep: int = 2,
    completions: int = 4,
    callbacks: Callback | Sequence[Callback] = (),
) -> Trained:
    """Run `rule` for `steps` steps on language models: `solve`, with the host in between.

    The run begins at `start`, a `LanguageModel` with parameters to train (the reference if None, for full fine-tuning).
    `learner` is a `Generated`; keys are `fold_in(key, step)`, as everywhere. `beta` is a schedule of the game's KL
    weight over steps. `evaluation` measures the answer before the first step and after every `evaluation.every`.

    `folder` gets `metrics.jsonl`, `completions.jsonl` (the first `completions` of each stage) and checkpoints every
    `save_every` steps (a tenth of the run if None) and at the end, of which the last `keep` stay. The same call goes on
    from the newest checkpoint that is whole, and ends with the bits, and the files, of a run that was never broken off.
    Ctrl-C waits for the end of the step and saves it. A judge that fails, and a step that is not finite, stop the run
    after the last good step was saved; the same call takes that step again.

    `callbacks` are called after every step; one that answers `True` stops the run, and one that is a context manager
    is entered before the first step.

    Raises `ValueError` for what cannot be run and for a folder with another run in it; `RuntimeError` for a step that
    is not finite; what the judge raises.
    """
    solver = Mirror(rule, learner)
    steps, keep = whole_number("steps", steps, 1), whole_number("keep", keep, 1)
    save_every = max(1, steps // 10) if save_every is None else whole_number("save_every", save_every, 1)
    callbacks = (callbacks,) if callable(callbacks) else tuple(callbacks)
    key = jax.random.key(key) if isinstance(key, int) else key
    run = _Run(game, solver, game.reference if start is None else start, beta, key, evaluation, completions)
    solver.check(run.at(0), bound=0.5)
    with contextlib.ExitStack() as stack:
        records, runs = Records(None), None
        if folder is not None:
            stack.enter_context(locked(folder) if first() else contextlib.nullcontext())
            records = Records(folder) if first() else records
            runs = SavedRuns(Path(folder, "checkpoints"), run.identity(), keep)
        for callback in callbacks:
            if hasattr(callback, "__enter__"):
                stack.enter_context(callback)  # type: ignore[arg-type]  it has what `hasattr` asked for
        return _train(run, records, runs, steps, save_every, callbacks)


def _train(
    run: "_Run", records: Records, runs: SavedRuns | None, steps: int, save_every: int, callbacks: Sequence[Callback]
) -> Trained:
    state, rivals = run.begin()
    found = None if runs is None else runs.latest(run.portable(state, rivals))
    if found is not None and found.steps > steps:
        raise ValueError(f"{records.folder}: the run there has taken {found.steps} steps, more than steps={steps}.")
    records.rewind({} if found is None else found.lengths)
    done, saved = 0, None
    if found is not None:
        done = saved = found.steps
        state, rivals = run.restored(found.tree, state)
    else:
        row, rivals = run.first_measurement(state)
        records.measured({"step": 0, **row})

    def save() -> None:
        nonlocal saved
        if runs is not None and saved != done:
            runs.save(done, run.portable(state, rivals), records.lengths())
            saved = done

    while done < steps:
        try:
            with uninterrupted(notice=_NOTICE):
                new, row, said = run.step(state, done)
                measured, new_rivals = run.measure(new, rivals, done + 1)
                state, rivals, done = new, new_rivals, done + 1
                records.measured({"step": done, **row, **measured})
                records.said(said)
                if done % save_every == 0 or done == steps:
                    save()
            trained = run.result(state, done, steps, records.rows)
            answers = [callback(trained) for callback in callbacks]
        except BaseException:
            if not _freed(state):
                save()
            raise
        if True in answers:
            break
    save()
    return run.result(state, done, steps, records.rows)


@dataclasses.dataclass(frozen=True)
class _Run:
    """What does not change while a run goes on."""

    game: Game
    solver: Mirror
    start: Any
    beta: Callable[[int], float] | None
    key: Key
    evaluation: Evaluation | None
    completions: int

    def at(self, step: int) -> Game:
        """The game of a step."""
        if self.beta is None:
            return self.game
        return dataclasses.replace(self.game, beta=float(self.beta(step)))

    def begin(self) -> tuple[MirrorState, Rivals | None]:
        """The state before the first step; nobody has spoken yet."""
        state = self.solver.init(self.at(0), self.start)
        return state, None if self.evaluation is None else self.evaluation.blank(self.game)

    def first_measurement(self, state: MirrorState) -> tuple[dict[str, float], Rivals | None]:
        """What is measured before the first step, once the reference has spoken."""
        if self.evaluation is None:
            return {}, None
        rivals = self.evaluation.begin(self.game, jax.random.fold_in(self.key, _REFERENCE))
        return self.measure(state, rivals, 0)

    def step(self, state: MirrorState, step: int) -> tuple[MirrorState, dict[str, float], list[dict[str, Any]]]:
        """The next state, what the learner says of the step, and the first completions of its stages."""
        new, info = self.solver.step(self.at(step), state, jax.random.fold_in(self.key, step))
        info: dict[str, Any] = dict(info)
        samples = {name: info.pop(name) for name in list(info) if name.endswith("_samples")}
        row = {name: float(np.asarray(on_host(value))) for name, value in info.items()}
        self._check(new, row, step)
        said = [one for name, sample in samples.items() for one in self._said(name, sample, step)]
        kept = {name: value for name, value in row.items() if not name.endswith(BAD_PARAMETER)}
        return new, kept, said

    def measure(self, state: MirrorState, rivals: Rivals | None, step: int) -> tuple[dict[str, float], Rivals | None]:
        """The measurements after `step` steps, if any are due."""
        if self.evaluation is None or rivals is None or step % self.evaluation.every:
            return {}, rivals
        key = jax.random.fold_in(jax.random.fold_in(self.key, _MEASUREMENT), step)
        row, rivals, _ = self.evaluation.measure(self.game, self.solver.policy(state), rivals, step, key)
        return row, rivals

    def result(self, state: MirrorState, done: int, planned: int, rows: list[dict[str, float]]) -> Trained:
        """The run so far."""
        policy, last = self.solver.policy(state), self.solver.last(state)
        return Trained(self.game, policy, last, done, planned, rows)

    def portable(self, state: MirrorState, rivals: Rivals | None) -> Any:
        """What a checkpoint holds: parameters and not what they share with the start."""
        policies: dict[str, Any] = dict(state.slots)
        slots = {name: policy.params for name, policy in policies.items()}
        mean: Any = state.average
        average = None if mean is None else (mean.members, mean.weights)
        return slots, average, state.carry, state.step, rivals

    def restored(self, tree: Any, state: MirrorState) -> tuple[MirrorState, Rivals | None]:
        """The state that was saved; `state` is one of the same run."""
        slots, average, carry, step, rivals = tree
        was: dict[str, Any] = dict(state.slots)
        policies = {name: was[name].with_params(params) for name, params in slots.items()}
        mean: Any = state.average
        if mean is not None:
            mean = dataclasses.replace(mean, members=average[0], weights=average[1])
        return MirrorState(policies, mean, carry, step), rivals

    def identity(self) -> dict[str, str]:
        """What makes this run another run; its number of steps does not."""
        found = {"precision": str(jnp.result_type(float))}
        parts = {
            "rule": self.solver.rule,
            "learner": self.solver.learner,
            "beta": self.game.beta if self.beta is None else self.beta,
            "prompts": self.game.prompts,
            "contexts": self.start.contexts,
            "decoding": self.start.decoding,
            "decoder": self.start.decoder,
            "weights": _corners(self.start.parts),
            "reference": _corners(self.game.reference),
            "key": self.key,
            "evaluation": self.evaluation,
        }
        for name, part in parts.items():
            found |= fingerprint(part, name)
        return found

    def _check(self, state: MirrorState, row: dict[str, float], step: int) -> None:
        """Raise for a step that is not finite."""
        for name, value in row.items():
            if name.endswith(BAD_PARAMETER) and value >= 0:
                last: Any = self.solver.last(state)
                path = parameter_paths(last.params)[int(value)]
                raise RuntimeError(
                    f"step {step}: the gradient in the parameter {path} is not finite; a smaller learning rate, or "
                    "clipping, may help."
                )
        wrong = [name for name, value in row.items() if not np.isfinite(value)]
        if wrong:
            raise RuntimeError(
                f"step {step}: {wrong[0]} is not finite; a smaller learning rate, or clipping, may help."
            )

    def _said(self, name: str, sample: dict[str, Any], step: int) -> list[dict[str, Any]]:
        """The first completions of a stage, for people."""
        oracle: Any = self.game.oracle
        decode = getattr(oracle, "decode", None)
        if decode is None:
            return []
        rows, responses, gains = sample["rows"].tolist(), sample["responses"], sample["gains"]
        places = [(place, k) for k in range(responses.shape[1]) for place in range(len(rows))][: self.completions]
        texts = decode(np.stack([responses[place] for place in places])) if places else []
        return [
            {
                "step": step + 1,
                "stage": name.removesuffix("_samples"),
                "prompt": oracle.prompts[rows[place[0]]],
                "completion": text,
                "gain": None if gains is None else float(gains[place]),
            }
            for place, text in zip(places, texts, strict=True)
        ]


def _freed(state: MirrorState) -> bool:
    """Whether a fit that was broken off has taken the memory of the optimizer's state."""
    return any(isinstance(leaf, jax.Array) and leaf.is_deleted() for leaf in jax.tree.leaves(state.carry))


def _corners(tree: Any) -> list[np.ndarray]:
    """The first numbers of every parameter, by which two checkpoints are told apart."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if np.size(leaf)]
    return [np.asarray(on_host(leaf[(0,) * (leaf.ndim - 1)][:64]), np.float32) for leaf in leaves if leaf.ndim]

"""A run of a language model, read from a configuration."""

import dataclasses
import functools
import json
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax

from nashpo.game import Game
from nashpo.lm.config.data import Asked
from nashpo.lm.config.judge import PlannedJudge, named
from nashpo.lm.config.model import Plan, placing
from nashpo.lm.config.schedules import Scheduled
from nashpo.lm.evaluation import Evaluation
from nashpo.lm.exporting import export
from nashpo.lm.files import load
from nashpo.lm.filters import Decoding
from nashpo.lm.host import first
from nashpo.lm.learner import Generated
from nashpo.lm.model import LanguageModel
from nashpo.lm.oracle import TextOracle
from nashpo.lm.pieces import InPieces
from nashpo.lm.text import Text
from nashpo.lm.training import Callback, Trained, train
from nashpo.studies.document import Document

CONFIG = "config.json"
"""The file of a run's folder that says what the run is."""

_ADAPTER = 2**32 - 3
"""A fresh adapter is drawn with another key than the run's steps and measurements."""

EXPORTED = "export"
"""The folder, inside that of the run, of the directory that transformers loads."""


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """Everything that a run needs; weights and judges are loaded when they are first used.

    `read_config` makes one. `run()` is `nashpo.lm.train` with all of it, and the export at the end.
    """

    document: Document
    tables: Mapping[str, Any]
    """The tables of plain values: `Model`, `Data`, `Generation`, `Run`, `Measuring`, `Spread`."""
    text: Text
    asked: Asked
    decoding: Decoding
    plan: Plan
    planned_judge: PlannedJudge
    rule: Any
    beta: float | Scheduled
    learner: Generated
    per_token: bool
    evaluation: Evaluation | None
    folder: Path | None

    @property
    def steps(self) -> int:
        """How many steps the run takes."""
        return self.tables["run"].steps

    @property
    def first_beta(self) -> float:
        """The KL weight of the game at the first step."""
        return float(self.beta(0)) if isinstance(self.beta, Scheduled) else self.beta

    @property
    def exported(self) -> Path | None:
        """The directory that transformers loads, if it was written."""
        path = None if self.folder is None else self.folder / EXPORTED
        return path if path is not None and path.is_dir() else None

    @property
    def saved(self) -> int:
        """The steps of the newest checkpoint in the folder, 0 where there is none."""
        folder = Path(self.folder or ".", "checkpoints")
        steps = [int(path.name) for path in folder.iterdir() if path.name.isdigit()] if folder.is_dir() else []
        return max(steps, default=0)

    @functools.cached_property
    def placing(self) -> Any:
        """Where parameters go as they are loaded; None for the first device."""
        try:
            return placing(self.tables["mesh"])
        except ValueError as error:
            self.document.wrong(("mesh",), f": {error}")

    @functools.cached_property
    def judge(self) -> Any:
        """The judge, loaded."""
        return self.planned_judge.build(self.placing)

    @functools.cached_property
    def start(self) -> LanguageModel:
        """The policy that training starts from."""
        model, adapter = self._loaded(self.plan.path), self.plan.adapter
        if self.plan.lora is None:
            return model
        if adapter is None:
            return model.with_adapter(
                self.plan.lora, jax.random.fold_in(jax.random.key(self.tables["run"].seed), _ADAPTER)
            )
        return model.with_adapter(self.plan.lora, adapter=adapter)

    @functools.cached_property
    def reference(self) -> LanguageModel:
        """The policy that the KL penalty is measured from."""
        if self.plan.reference is None:
            fresh = self.plan.lora is not None and self.plan.adapter is None
            return self.start.with_params({}) if fresh else self.start
        if self.plan.lora is not None and self.plan.reference.resolve() == self.plan.path.resolve():
            return self.start.with_params({})
        return self._loaded(self.plan.reference)

    @functools.cached_property
    def game(self) -> Game:
        """The preference game between answers to the prompts."""
        text = dataclasses.replace(self.text, end=self.decoding.end)
        oracle = TextOracle(self.judge, self.asked.prompts.items, text, self.planned_judge.unfinished_penalty)
        return Game.from_oracle(oracle, self.first_beta, self.reference, self.asked.weights)

    def run(self, callbacks: Callback | Sequence[Callback] = ()) -> Trained:
        """Train, from the newest checkpoint in the folder if there is one, and export the answer.

        Raises as `nashpo.lm.train` and `export` do.
        """
        run = self.tables["run"]
        callbacks = (callbacks,) if callable(callbacks) else tuple(callbacks)
        if self.folder is not None and first():
            callbacks = (_Noted(self), *callbacks)
        trained = self._train(self.game, run.steps, callbacks)
        if self.folder is not None and run.export != "none" and trained.steps == trained.planned:
            for left in self.folder.glob(f".{EXPORTED}.*") if first() else ():
                shutil.rmtree(left, ignore_errors=True)  # of an export that was killed
            export(trained.policy, self.folder / EXPORTED, self.plan.path, run.export)
        return trained

    def restored(self) -> Trained:
        """The run as its newest checkpoint has it; no step is taken and no judge is asked.

        Raises `ValueError` for a folder without a checkpoint, and one that another process writes to.
        """
        if not self.saved:
            raise ValueError(f"{self.folder}: has no checkpoint; a run saves one every tenth of its steps.")
        silent = TextOracle(Silent(), self.asked.prompts.items, self.text)
        game = Game.from_oracle(silent, self.first_beta, self.reference, self.asked.weights)
        return self._train(game, self.saved, ())

    def _train(self, game: Game, steps: int, callbacks: Sequence[Callback]) -> Trained:
        run = self.tables["run"]
        return train(
            game,
            self.rule,
            learner=self.learner,
            steps=steps,
            start=self.start,
            beta=self.beta if isinstance(self.beta, Scheduled) else None,
            key=run.seed,
            evaluation=self.evaluation,
            folder=self.folder,
            save_every=run.save_every,
            keep=run.keep,
            completions=run.completions,
            callbacks=callbacks,
        )

    def described(self) -> dict[str, Any]:
        """The configuration as given, with all defaults filled in, and versions; JSON can hold it."""
        from nashpo.results import describe

        resolved: dict[str, Any] = {name: dataclasses.asdict(table) for name, table in self.tables.items()}
        resolved["algorithm"] = describe(self.rule)
        resolved["beta"] = dataclasses.asdict(self.beta) if isinstance(self.beta, Scheduled) else self.beta
        resolved["learner"] = describe(self.learner)
        resolved["judge"] = named(self.document.entries["judge"], self.document.folder)
        resolved["prompts"] = {
            "trained": int((self.asked.weights > 0).sum()),
            "held_out": len(self.asked.held_out),
            "longest": int(self.asked.contexts.shape[1]),
        }
        given = {"base": str(self.document.folder.resolve()), "config": self.document.entries}
        content = {**given, "resolved": resolved, "versions": _versions()}
        return json.loads(json.dumps(content, default=repr))

    def _loaded(self, path: Path) -> LanguageModel:
        """The model in a directory, all weights trained."""
        checkpoint = load(path, dtype=self.plan.dtype, place=self.placing)
        model = LanguageModel.from_checkpoint(
            checkpoint,
            self.asked.contexts,
            self.decoding,
            chunk=self.tables["model"].chunk,
            remat=self.tables["model"].remat,
            reduction="mean" if self.per_token else "sum",
            generator=InPieces(self.tables["generation"].batch),
        )
        return dataclasses.replace(model, rows=self.tables["generation"].batch)


class Silent:
    """A judge that is not asked, alone or of so many players."""

    def __init__(self, players: int = 2) -> None:
        self.players = tuple(Silent(0) for _ in range(players))

    def compare(self, *_: object) -> Any:
        """Nobody asks where no step is taken."""
        raise RuntimeError("the newest checkpoint is damaged; let nashpo lm train go on from the one before it.")


class _Noted:
    """Writes down what the run is: before the first step of a new one, after the first step of one that goes on."""

    def __init__(self, setup: Setup) -> None:
        self.path = Path(setup.folder or ".", CONFIG)
        self.described, self.steps = setup.described(), (setup.saved, setup.steps)
        self.content = json.dumps(self.described, indent=1, ensure_ascii=False) + "\n"
        self.written = False

    def __enter__(self) -> "_Noted":
        if not self.path.exists():
            self(None)
        elif 0 < self.steps[0] < self.steps[1]:
            self._compare_judges()
        return self

    def _compare_judges(self) -> None:
        """Say that the judge has changed since the run was begun; that is allowed."""
        try:
            before = json.loads(self.path.read_text(encoding="utf-8"))["resolved"]["judge"]
        except (ValueError, KeyError, TypeError):
            return
        if before != self.described["resolved"]["judge"]:
            warnings.warn(
                f"{self.path.parent}: the judge is another one than that of the first {self.steps[0]:,} "
                f"step{'s' * (self.steps[0] > 1)}.",
                stacklevel=2,
            )

    def __call__(self, trained: Trained | None) -> None:
        if not self.written:
            from nashpo.files import atomic_write

            atomic_write(self.path, self.content)
            self.written = True

    def __exit__(self, *_: object) -> None:
        pass


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    from nashpo.studies.version import code_version, surroundings

    packages = ("flax", "optax", "orbax-checkpoint", "transformers", "safetensors")
    return {**code_version(), **surroundings(), **{name: version(name) for name in packages}}


def resolved_folder(document: Document, given: str | None) -> Path | None:
    """The folder of a run: as given, relative to the file, else the file's name without its suffix.

    That of a config.json is the folder that it lies in.

    >>> resolved_folder(Document({}, "config", Path()), None) is None
    True
    """
    path = Path(document.source)
    if path.suffix == ".json":
        return path.parent
    if given is not None:
        return Path(os.path.normpath(document.folder / given))
    return path.with_suffix("") if path.suffix == ".toml" else None

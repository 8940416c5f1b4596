"""From a file, or a mapping, to a run."""

import functools
import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from nashpo.game import Game
from nashpo.lm.config.algorithm import read_algorithm
from nashpo.lm.config.data import Asked, read_data
from nashpo.lm.config.judge import read_judge
from nashpo.lm.config.learner import Around, read_learner
from nashpo.lm.config.model import read_decoding, read_model
from nashpo.lm.config.readable import check_readable
from nashpo.lm.config.schedules import Scheduled
from nashpo.lm.config.setup import Setup, Silent, resolved_folder
from nashpo.lm.config.tables import KINDS, Measuring, read_table
from nashpo.lm.evaluation import Evaluation
from nashpo.lm.exporting import unfit
from nashpo.lm.learner import Generated
from nashpo.lm.oracle import TextOracle
from nashpo.lm.text import Text
from nashpo.stage import UpdateRule
from nashpo.studies.document import Document, read_document

TABLES = ("model", "data", "judge", "algorithm", "learner", "generation", "run", "evaluation", "mesh")


def read_config(config: str | os.PathLike[str] | Mapping[str, Any], changes: Mapping[str, Any] | None = None) -> Setup:
    """The run that a TOML file, a mapping of the same layout, or the config.json of a run describes.

    `changes` replace single keys, `{"run": {"steps": 100}}`, or the judge by an object with `compare`. In a mapping the
    prompts may be `Prompts`, and the judge such an object. Paths are relative to the file. Everything is checked;
    weights and judges are loaded when they are first used.

    Raises `ValueError`: one sentence with the file, the line, the key and the nearest valid name.

    >>> read_config({"model": {"path": "nowhere"}, "run": {"stpes": 10}})
    Traceback (most recent call last):
        ...
    ValueError: config: run.stpes is not known; did you mean 'steps'?
    """
    document = _with_changes(config_document(config), changes or {})
    for key in document.entries:
        if key not in TABLES:
            document.unknown((key,), TABLES)
    tables = {name: read_table(document, name) for name in ("run", *KINDS)}
    run = tables["run"]
    rule, beta = read_algorithm(document, run.steps)
    judge = read_judge(document)
    plan = read_model(document, tables["model"])
    _check_export(document, run.export, plan.lora is not None)
    try:
        text = Text.load(plan.path)
    except ValueError as error:
        document.wrong(("model", "path"), f": {error}")
    decoding = read_decoding(document, tables["generation"], text)
    asked = read_data(document, tables["data"], text)
    refuse = functools.partial(document.wrong, ("generation", "new_tokens"))
    asked.prompts.check_room(asked.contexts, plan.decoder.longest, decoding.new_tokens, refuse)
    for model in judge.models:
        check_readable(model, asked.prompts, decoding.new_tokens)
    first = float(beta(0)) if isinstance(beta, Scheduled) else beta
    usable = int((asked.weights > 0).sum())
    around = Around(rule, run.steps, usable, run.seed, plan.lora is not None, first)
    learner, per_token = read_learner(document, around)
    _check(document, rule, learner, _unloaded(document, asked, text, first))
    evaluation = read_evaluation(document, tables["evaluation"], run.steps, asked)
    folder = resolved_folder(document, run.folder)
    return Setup(
        document, tables, text, asked, decoding, plan, judge, rule, beta, learner, per_token, evaluation, folder
    )


def read_evaluation(document: Document, measuring: Measuring, steps: int, asked: Asked) -> Evaluation | None:
    """How the run is measured, on at most `prompts` of the prompts held out, or of all where none are; None: not.

    Raises `ValueError` for fewer than four prompts.
    """
    if measuring.every == 0:
        return None
    rows = asked.held_out if len(asked.held_out) else np.arange(len(asked.prompts))
    rows = rows[: measuring.prompts]
    if len(rows) < 4:
        document.wrong(
            ("evaluation",),
            f"has {len(rows)} prompts to measure on, and needs 4: hold more out, or set every = 0 for none.",
        )
    every = measuring.every or max(1, steps // 20)
    return Evaluation(rows, measuring.responses, measuring.history, every, measuring.confidence)


def config_document(config: str | os.PathLike[str] | Mapping[str, Any]) -> Document:
    """The document of a file or a mapping; that of a config.json is what it was written from.

    >>> config_document({"run": {"steps": 3}}).entries
    {'run': {'steps': 3}}
    """
    if isinstance(config, Mapping):
        return Document({name: _plain(table) for name, table in config.items()}, "config", Path())
    if Path(config).is_dir():
        raise ValueError(f"{config}: is a folder; give a TOML file, or the config.json of a run.")
    if Path(config).suffix != ".json":
        return read_document(config)
    try:
        content = json.loads(Path(config).read_text(encoding="utf-8"))
        return Document(dict(content["config"]), str(config), Path(content["base"]))
    except OSError as error:
        raise ValueError(f"{config}: {(error.strerror or 'cannot be read').lower()}.") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(
            f"{config}: is no config.json of a run; give a TOML file, or that of a run's folder."
        ) from None


def _unloaded(document: Document, asked: Asked, text: Text, beta: float) -> Game:
    """The game as far as it is known without weights: as many players as the judge has, and no reference."""
    given = document.entries["judge"]
    players = given.get("members", ()) if isinstance(given, Mapping) else getattr(given, "players", ())
    oracle: Any = TextOracle(Silent(len(players)), asked.prompts.items, text)
    reference: Any = None
    return Game(oracle, reference, beta, asked.weights)


def _check_export(document: Document, how: str, adapter: bool) -> None:
    """Refuse now a way in which the policy cannot be written at the end."""
    reason = unfit(how, adapter)
    if reason:
        document.wrong(("run", "export"), f'is "{how}", but {reason}{"" if adapter else ", or give model.lora"}.')


def _check(document: Document, rule: UpdateRule, learner: Generated, game: Game) -> None:
    """Refuse now what a run would refuse once everything is loaded."""
    parts = {"algorithm": lambda: rule.check(game, 0.5), "learner": lambda: learner.check(rule, game)}
    for table, check in parts.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the run itself will warn
                check()
        except ValueError as error:
            document.wrong((table,), f": {error}")


def _plain(table: Any) -> Any:
    return dict(table) if isinstance(table, Mapping) else table


def _with_changes(document: Document, changes: Mapping[str, Any]) -> Document:
    entries = dict(document.entries)
    for name, table in changes.items():
        old = entries.get(name, {})
        whole = not isinstance(table, Mapping)
        entries[name] = table if whole else {**(old if isinstance(old, Mapping) else {}), **table}
    return Document(entries, document.source, document.folder, document.text)

"""Folders that appear under their name when they are complete, and what goes along from one model to the next."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nashpo.files import why

MIXTURE = "mixture.json"
"""The weights of the models in a folder of several."""

MARKS = ("config.json", "adapter_config.json", MIXTURE)
"""What makes a folder one that was written here, or by programs like this one."""

GENERATION = "generation_config.json"
"""How a model is sampled, and the tokens that end its answers."""

ALONG = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates",
)
"""Files of a tokenizer and its templates."""


def write_folder(path: str | os.PathLike[str], fill: Callable[[Path], object]) -> Path:
    """A folder that `fill` writes under a temporary name beside `path`, moved there when it is complete.

    A model that was there before is replaced. Returns the path.

    Raises `ValueError` where the parent does not exist or `path` holds something else than a model, and `OSError`
    where the disk refuses; nothing is changed then.

    >>> with tempfile.TemporaryDirectory() as parent:
    ...     folder = write_folder(Path(parent, "model"), lambda new: (new / "config.json").write_text("{}"))
    ...     os.listdir(folder)
    ['config.json']
    """
    target = Path(os.path.abspath(path))
    if not target.parent.is_dir():
        raise ValueError(f"{path}: the folder {target.parent} does not exist; create it first.")
    if target.exists() and not target.is_dir():
        raise ValueError(f"{path}: is a file; give the name of a folder.")
    if target.is_dir() and any(target.iterdir()) and not any((target / mark).is_file() for mark in MARKS):
        raise ValueError(f"{path}: is a folder with other things in it; give the name of a new one, or of a model.")
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as room:
            new, old = Path(room, "new"), Path(room, "old")
            new.mkdir()
            fill(new)
            if target.is_dir():
                os.replace(target, old)
            os.replace(new, target)
    except OSError as error:
        raise OSError(f"{path}: cannot be written ({why(error)}).") from error
    return Path(path)


def copy_along(source: Path, target: Path, names: tuple[str, ...] = ALONG) -> None:
    """Copy those of these files that are in `source`, and every template, to `target`."""
    templates = [path.name for path in source.glob("*.jinja")]
    for name in dict.fromkeys((*names, *templates)):
        path = source / name
        if path.is_dir():
            shutil.copytree(path, target / name)
        elif path.is_file():
            shutil.copyfile(path, target / name)


def end_tokens(*folders: Path) -> list[Any]:
    """The tokens that end an answer as the first of these folders that names some has them, unchecked.

    Raises `ValueError` for files that are no JSON objects.

    >>> end_tokens()
    []
    """
    for file in (folder / name for folder in folders for name in (GENERATION, "config.json")):
        config = _settings(file)
        value = config.get("eos_token_id", (config.get("text_config") or {}).get("eos_token_id"))
        found = [] if value is None else value if isinstance(value, list) else [value]
        if found:
            return found
    return []


def write_end(folder: Path, source: Path, end: Sequence[int]) -> None:
    """Write in `folder` that answers end with these tokens, unless `source`, where the model came from, says so."""
    if end and {*end} != {*end_tokens(source)}:
        settings = _settings(source / GENERATION) | {"eos_token_id": list(end)}
        (folder / GENERATION).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _settings(file: Path) -> dict[str, Any]:
    """The JSON object in a file; empty where there is no file."""
    try:
        config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError as error:
        raise ValueError(f"{file}: is not valid JSON ({error}).") from None
    if not isinstance(config, dict):
        raise ValueError(f"{file}: holds no JSON object.")
    return config

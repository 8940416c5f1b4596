"""Tables in NumPy archives (`.npz`): exact, with everything a table carries."""

import io
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nashpo.tables.table import PreferenceTable

if TYPE_CHECKING:
    from nashpo.typing import Scale

KEYS = ("P", "items", "reference", "prompts", "beta", "scale", "prompt_names")
HOW = "save plain arrays with numpy.savez(path, P=P)"


def read_archive(path: Path) -> PreferenceTable:
    """Read a `.npz` with the array `P` and optionally items, reference, prompts, beta, scale, prompt_names.

    Raises:
        ValueError: the file is missing, damaged or no archive, has no `P`, holds pickled objects or an unknown name.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file; check the path (current folder: {Path.cwd()}).")
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: is not a NumPy archive; {HOW}.")
    arrays = _arrays(path)
    beta = arrays.get("beta")
    if beta is not None and (beta.size != 1 or beta.dtype.kind not in "fiu"):
        raise ValueError(f"{path}: beta is {beta.tolist()!r}, but must be one number.")
    return PreferenceTable(
        P=arrays["P"],
        items=_names(arrays.get("items")) or (),
        reference=arrays.get("reference"),
        prompts=arrays.get("prompts"),
        beta=None if beta is None else float(beta.item()),
        scale=_scale(arrays.get("scale"), str(path)),
        prompt_names=_names(arrays.get("prompt_names")),
        source=str(path),
    )


def _arrays(path: Path) -> dict[str, np.ndarray]:
    """Every array of the archive by name."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            found = archive.files
            if set(found) <= set(KEYS):
                arrays = {name: archive[name] for name in found}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError) as error:
        raise ValueError(f"{path}: is a damaged archive ({error}); copy or write it again.") from None
    except ValueError:
        raise ValueError(f"{path}: holds pickled objects; {HOW}.") from None
    if "P" not in found:
        raise ValueError(f"{path}: has no array P (found: {', '.join(found) or 'nothing'}); {HOW}.")
    for name in found:
        if name not in KEYS:
            raise ValueError(f"{path}: does not know the array {name!r}; known: {', '.join(KEYS)}.")
    return arrays


def archive_bytes(table: PreferenceTable) -> bytes:
    """The `.npz` file of a table."""
    arrays = {
        "P": table.P,
        "items": np.array(table.items),
        "reference": table.reference,
        "prompts": table.prompts,
        "beta": table.beta,
        "scale": np.array(table.scale),
        "prompt_names": None if table.prompt_names is None else np.array(table.prompt_names),
    }
    buffer = io.BytesIO()
    present: dict[str, Any] = {name: value for name, value in arrays.items() if value is not None}
    np.savez(buffer, **present)
    return buffer.getvalue()


def _names(array: np.ndarray | None) -> tuple[str, ...] | None:
    """An array of strings as a tuple."""
    return None if array is None else tuple(np.atleast_1d(array).astype(str).tolist())


def _scale(array: np.ndarray | None, source: str) -> "Scale":
    """The stored scale."""
    if array is None or str(array) == "probability":
        return "probability"
    if str(array) == "score":
        return "score"
    raise ValueError(f"{source}: scale is {str(array)!r}, but must be 'probability' or 'score'.")

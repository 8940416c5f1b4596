"""What must be set before the first array: the precision, and a folder for compiled programs."""

import os
import sys
from pathlib import Path


def prepare(double: bool = True) -> None:
    """Switch JAX to float64, let it keep what it compiles between runs, and find modules in the current folder.

    Without `double` the precision is left as it is: language models are float32 and bfloat16 whatever is switched on,
    and so take the same steps, to the bit, as from Python, where JAX's default is float32.

    The folder is `$NASHPO_CACHE`, else `nashpo` in the user's cache folder; `NASHPO_CACHE=off` turns it off, and so
    does a folder that cannot be written to. A cache that the user set up for JAX is left as it is.
    """
    import jax

    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())
    if double:
        jax.config.update("jax_enable_x64", True)
    if jax.config.jax_compilation_cache_dir:  # pyright: ignore[reportAttributeAccessIssue]  made at run time
        return
    folder = cache_folder()
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def cache_folder() -> Path | None:
    """The folder of compiled programs, created and writable, or None."""
    named = os.environ.get("NASHPO_CACHE")
    if named is not None and named.lower() in ("", "0", "off", "no", "none", "false"):
        return None
    try:
        folder = Path(named).expanduser() if named else _user_cache() / "nashpo"
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):
        return None
    return folder if os.access(folder, os.W_OK | os.X_OK) else None


def _user_cache() -> Path:
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")

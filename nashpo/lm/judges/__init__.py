"""Who wins, by judges that read texts; each kind is imported when it is first used."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nashpo.lm.judges.base import Judge, JudgeError, matrix
    from nashpo.lm.judges.cached import Cached
    from nashpo.lm.judges.ensemble import Ensemble
    from nashpo.lm.judges.function import Function, RewardFunction
    from nashpo.lm.judges.remote import Remote
    from nashpo.lm.judges.retried import Retried

__all__ = [
    "Cached",
    "Ensemble",
    "Function",
    "Judge",
    "JudgeError",
    "Remote",
    "Retried",
    "RewardFunction",
    "matrix",
]

_HOME = {
    "Cached": "cached",
    "Ensemble": "ensemble",
    "Function": "function",
    "Judge": "base",
    "JudgeError": "base",
    "Remote": "remote",
    "Retried": "retried",
    "RewardFunction": "function",
    "matrix": "base",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nashpo.lm.judges' has no attribute {name!r}")
    return getattr(importlib.import_module(f"nashpo.lm.judges.{_HOME[name]}"), name)

"""Who wins, by judges that read texts; each kind is imported when it is first used."""

from typing import TYPE_CHECKING

from nashpo.lazy import lazy

if TYPE_CHECKING:
    from nashpo.lm.judges.base import Judge, JudgeError, matrix
    from nashpo.lm.judges.cached import Cached
    from nashpo.lm.judges.ensemble import Ensemble
    from nashpo.lm.judges.function import Function, RewardFunction
    from nashpo.lm.judges.general import GeneralPreference
    from nashpo.lm.judges.layout import Layout
    from nashpo.lm.judges.pair import Choice, PairClassifier
    from nashpo.lm.judges.ranker import PairRM
    from nashpo.lm.judges.remote import Remote
    from nashpo.lm.judges.retried import Retried
    from nashpo.lm.judges.reward import Reward

__all__ = [
    "Cached",
    "Choice",
    "Ensemble",
    "Function",
    "GeneralPreference",
    "Judge",
    "JudgeError",
    "Layout",
    "PairClassifier",
    "PairRM",
    "Remote",
    "Retried",
    "Reward",
    "RewardFunction",
    "matrix",
]

_HOME = {
    "Cached": "cached",
    "Choice": "pair",
    "Ensemble": "ensemble",
    "Function": "function",
    "GeneralPreference": "general",
    "Judge": "base",
    "JudgeError": "base",
    "Layout": "layout",
    "PairClassifier": "pair",
    "PairRM": "ranker",
    "Remote": "remote",
    "Retried": "retried",
    "Reward": "reward",
    "RewardFunction": "function",
    "matrix": "base",
}

__getattr__ = lazy(__name__, _HOME)

"""Rotary embeddings in configurations: `rope_parameters`, or `rope_theta` and `rope_scaling` before transformers 5."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from nashpo.lm.decoder import Rope
from nashpo.lm.decoder.rope import KINDS
from nashpo.lm.files.families import FULL, SLIDING


def read_ropes(config: Mapping[str, Any], kinds: Sequence[str], local_base: float | None) -> tuple[Rope, ...]:
    """One `Rope` per layer; `local_base` is that of sliding layers by default, None if they have the others' rope.

    >>> read_ropes({"rope_theta": 100.0, "rope_scaling": {"type": "linear", "factor": 4.0}}, [FULL], None)[0].factor
    4.0
    """
    for name in ("rope_scaling", "rope_parameters"):
        if not isinstance(config.get(name) or {}, Mapping):
            raise ValueError(f"{name} is {config[name]!r}, but must be an object with a rope_type.")
    given = config.get("rope_scaling") or config.get("rope_parameters") or {}
    if local_base is None:
        if any(isinstance(value, Mapping) for value in given.values()):
            raise ValueError("rope_parameters are given per layer type in a family whose layers share one rope.")
        return (_rope(given, config, config["rope_theta"]),) * len(kinds)
    new = config.get("rope_parameters") or {}
    if new and not set(new) <= {FULL, SLIDING}:
        raise ValueError(f"rope_parameters name {', '.join(sorted(new))}: give them for {FULL} and {SLIDING}.")
    everywhere = {**(new.get(FULL) or {}), **(config.get("rope_scaling") or {})}
    ropes = {
        FULL: _rope(everywhere, config, config["rope_theta"]),
        SLIDING: _rope(new.get(SLIDING) or {}, config, config.get("rope_local_base_freq", local_base)),
    }
    return tuple(ropes[kind] for kind in kinds)


def write_ropes(ropes: Sequence[Rope], kinds: Sequence[str], local_base: float | None) -> dict[str, Any]:
    """`rope_parameters` of one `Rope` per layer.

    >>> write_ropes([Rope(base=100.0)], [FULL], None)
    {'rope_type': 'default', 'rope_theta': 100.0}
    """
    if local_base is None:
        return _written(ropes[0])
    found = dict(zip(kinds, ropes, strict=True))
    return {kind: _written(found.get(kind, Rope())) for kind in (FULL, SLIDING)}


def _rope(given: Mapping[str, Any], config: Mapping[str, Any], base: float) -> Rope:
    """The rope of one dictionary; `base` if it has none of its own."""
    kind = given.get("rope_type") or given.get("type") or "default"
    if kind not in KINDS:
        reason = " (its angles depend on the length of the text)" if kind in ("dynamic", "longrope") else ""
        raise ValueError(f"rope_type {kind!r}{reason} is none of the kinds known: {', '.join(KINDS)}.")
    part = given.get("partial_rotary_factor", config.get("partial_rotary_factor"))
    if part not in (None, 1, 1.0):
        raise ValueError(f"partial_rotary_factor={part}: heads are turned as a whole here.")
    base = float(given.get("rope_theta") or base)
    if kind == "default":
        return Rope(base)
    length = "original_max_position_embeddings"
    original = config.get(length) or given.get(length) or config.get("max_position_embeddings") or 0
    if kind != "linear" and not original:
        raise ValueError(f"rope_type {kind!r} needs original_max_position_embeddings.")
    if kind == "yarn" and given.get("factor") is None and config.get("max_position_embeddings"):
        given = {**given, "factor": config["max_position_embeddings"] / original}
    needed = ("factor", "low_freq_factor", "high_freq_factor") if kind == "llama3" else ("factor",)
    missing = [name for name in needed if given.get(name) is None]
    if missing:
        raise ValueError(f"rope_type {kind!r} needs {', '.join(missing)}.")
    factor = float(given["factor"])
    if kind == "linear":
        return Rope(base, kind, factor)
    if kind == "llama3":
        return Rope(
            base, kind, factor, int(original), float(given["low_freq_factor"]), float(given["high_freq_factor"])
        )
    low, high = float(given.get("beta_slow") or 1), float(given.get("beta_fast") or 32)
    return Rope(base, kind, factor, int(original), low, high, _amplitude(given, factor), given.get("truncate", True))


def _amplitude(given: Mapping[str, Any], factor: float) -> float:
    """What yarn multiplies cosines and sines by: `0.1 ln(factor) + 1` (Peng et al. 2023, equation 22) if not given."""
    if given.get("attention_factor") is not None:
        return float(given["attention_factor"])

    def grown(weight: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    if given.get("mscale") and given.get("mscale_all_dim"):
        return grown(given["mscale"]) / grown(given["mscale_all_dim"])
    return grown(1.0)


def _written(rope: Rope) -> dict[str, Any]:
    """The dictionary of one rope."""
    said: dict[str, Any] = {"rope_type": rope.kind, "rope_theta": rope.base}
    if rope.kind != "default":
        said["factor"] = rope.factor
    if rope.kind in ("llama3", "yarn"):
        said["original_max_position_embeddings"] = rope.original
    if rope.kind == "llama3":
        said |= {"low_freq_factor": rope.low, "high_freq_factor": rope.high}
    if rope.kind == "yarn":
        said |= {"beta_slow": rope.low, "beta_fast": rope.high, "attention_factor": rope.amplitude}
        said |= {"truncate": rope.whole}
    return said

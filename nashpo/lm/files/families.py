"""The families of decoders as data: what their configurations leave unsaid, and how they differ."""

import dataclasses
from collections.abc import Mapping
from typing import Any

ACTIVATIONS = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu_tanh",
    "gelu_new": "gelu_tanh",
}
"""Names of activations in configurations, and ours."""

FULL, SLIDING = "full_attention", "sliding_attention"


@dataclasses.dataclass(frozen=True)
class Family:
    """One `model_type`: the class that reads it elsewhere, what a missing key means, and fixed fields of the decoder.

    >>> FAMILIES["gemma2"].defaults["final_logit_softcapping"], FAMILIES["qwen2"].fixed["qkv_bias"]
    (30.0, True)
    """

    title: str
    """`{title}ForCausalLM` is the class of the language model."""
    classifier: str = ""
    """The class with a head of scores, where it is not `{title}ForSequenceClassification`."""
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Configuration keys and what they are when absent, beyond COMMON."""
    fixed: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    """Fields of `Decoder` that every member has."""
    activation: str = "hidden_act"
    """The key of the activation."""
    scaled_embedding: bool = False
    local_base: float | None = None
    """Rope base of sliding layers, where they have one of their own."""

    def classes(self) -> dict[str, str]:
        """The classes that read a causal model and one with a head of scores."""
        return {
            "causal": f"{self.title}ForCausalLM",
            "score": self.classifier or f"{self.title}ForSequenceClassification",
        }


COMMON: Mapping[str, Any] = {
    "hidden_act": "silu",
    "hidden_activation": "gelu_pytorch_tanh",
    "rms_norm_eps": 1e-6,
    "num_key_value_heads": None,
    "head_dim": None,
    "tie_word_embeddings": False,
    "attention_bias": False,
    "mlp_bias": False,
    "rope_theta": 10000.0,
    "sliding_window": None,
    "layer_types": None,
    "attn_logit_softcapping": None,
    "final_logit_softcapping": None,
    "query_pre_attn_scalar": None,
    "max_position_embeddings": None,
}
"""What absent keys mean in every family that says nothing else."""

_QWEN = {"sliding_window": 4096, "use_sliding_window": False, "max_window_layers": 28}
_GEMMA = {"head_dim": 256, "tie_word_embeddings": True, "hidden_act": "gelu_pytorch_tanh"}
_GEMMA2 = _GEMMA | {"num_key_value_heads": 4, "query_pre_attn_scalar": 256, "sliding_window": 4096}

FAMILIES: Mapping[str, Family] = {
    "llama": Family("Llama"),
    "mistral": Family("Mistral", defaults={"num_key_value_heads": 8, "sliding_window": 4096}),
    "qwen2": Family("Qwen2", defaults=_QWEN | {"num_key_value_heads": 32}, fixed={"qkv_bias": True}),
    "qwen3": Family("Qwen3", defaults=_QWEN | {"num_key_value_heads": 32, "head_dim": 128}, fixed={"qk_norm": True}),
    "gemma": Family(
        "Gemma",
        defaults=_GEMMA | {"num_key_value_heads": 16},
        fixed={"norm_offset": True},
        scaled_embedding=True,
    ),
    "gemma2": Family(
        "Gemma2",
        defaults=_GEMMA2
        | {"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "sliding_window_pattern": 2},
        fixed={"norm_offset": True, "sandwich": True},
        activation="hidden_activation",
        scaled_embedding=True,
    ),
    "gemma3_text": Family(
        "Gemma3",
        classifier="Gemma3TextForSequenceClassification",
        defaults=_GEMMA2 | {"rope_theta": 1000000.0, "sliding_window_pattern": 6},
        fixed={"norm_offset": True, "sandwich": True, "qk_norm": True},
        activation="hidden_activation",
        scaled_embedding=True,
        local_base=10000.0,
    ),
}
"""The families by `model_type`."""


def layer_names(sandwich: bool) -> dict[str, str]:
    """Names of a layer's parameters here, and in files after `model.layers.<number>.`.

    >>> layer_names(sandwich=True)["mlp_norm"], layer_names(sandwich=False)["mlp_norm"]
    ('pre_feedforward_layernorm.weight', 'post_attention_layernorm.weight')
    """
    names = {"attention_norm": "input_layernorm.weight"}
    for room, maps in {"self_attn": ("q", "k", "v", "o"), "mlp": ("gate", "up", "down")}.items():
        names |= {name: f"{room}.{name}_proj.weight" for name in maps}
        names |= {f"{name}_bias": f"{room}.{name}_proj.bias" for name in maps}
    names |= {name: f"self_attn.{name}.weight" for name in ("q_norm", "k_norm")}
    if not sandwich:
        return names | {"mlp_norm": "post_attention_layernorm.weight"}
    return names | {
        "attention_out_norm": "post_attention_layernorm.weight",
        "mlp_norm": "pre_feedforward_layernorm.weight",
        "mlp_out_norm": "post_feedforward_layernorm.weight",
    }


TOP = {"embed": "model.embed_tokens.weight", "norm": "model.norm.weight", "head": "lm_head.weight"}
"""Names of the other parameters here and in files."""

HEADS = {"score": "score.weight", "value_head": "value_head.weight", "prompt_head": "prompt_head.weight"}
"""Heads of reward and preference models, here and in files."""

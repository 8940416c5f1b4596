"""`config.json` in both spellings, and what is refused in it."""

import pytest

from nashpo.lm.decoder import Rope
from nashpo.lm.files import read_config, write_config
from nashpo.lm.files.families import FAMILIES

SIZES = {
    "vocab_size": 32,
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}
FULL, SLIDING = "full_attention", "sliding_attention"
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
SPELLINGS = {
    "llama": (
        {"model_type": "llama", "rope_theta": 5e5, "rope_scaling": {"rope_type": "llama3", **LLAMA3}},
        {"model_type": "llama", "rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, **LLAMA3}},
    ),
    "linear": (
        {"model_type": "llama", "rope_scaling": {"type": "linear", "factor": 2.0}},
        {"model_type": "llama", "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 2.0}},
    ),
    "yarn": (
        {"model_type": "qwen2", "rope_theta": 1e6, "rope_scaling": {"type": "yarn", "factor": 4.0}},
        {"model_type": "qwen2", "rope_parameters": {"rope_type": "yarn", "rope_theta": 1e6, "factor": 4.0}},
    ),
    "mistral": (
        {"model_type": "mistral", "rope_theta": 1e6, "sliding_window": None},
        {"model_type": "mistral", "rope_parameters": {"rope_theta": 1e6}, "sliding_window": None, "head_dim": 4},
    ),
    "qwen2": (
        {"model_type": "qwen2", "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 3},
        {
            "model_type": "qwen2",
            "use_sliding_window": True,
            "sliding_window": 8,
            "layer_types": [FULL, FULL, FULL, SLIDING],
        },
    ),
    "qwen3": (
        {"model_type": "qwen3", "rope_theta": 1e6, "sliding_window": None, "use_sliding_window": False},
        {"model_type": "qwen3", "rope_parameters": {"rope_theta": 1e6}, "head_dim": 128, "layer_types": [FULL] * 4},
    ),
    "gemma": (
        {"model_type": "gemma", "hidden_act": "gelu", "rope_theta": 1e4},
        {"model_type": "gemma", "hidden_act": "gelu_pytorch_tanh", "tie_word_embeddings": True, "head_dim": 256},
    ),
    "gemma2": (
        {"model_type": "gemma2", "sliding_window": 8},
        {
            "model_type": "gemma2",
            "sliding_window": 8,
            "layer_types": [SLIDING, FULL] * 2,
            "attn_logit_softcapping": 50.0,
            "final_logit_softcapping": 30.0,
        },
    ),
    "gemma3": (
        {
            "model_type": "gemma3_text",
            "rope_theta": 1e6,
            "rope_local_base_freq": 5e3,
            "rope_scaling": {"rope_type": "linear", "factor": 8.0},
            "sliding_window": 8,
            "sliding_window_pattern": 2,
        },
        {
            "model_type": "gemma3_text",
            "sliding_window": 8,
            "layer_types": [SLIDING, FULL] * 2,
            "rope_parameters": {
                FULL: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
                SLIDING: {"rope_type": "default", "rope_theta": 5e3},
            },
        },
    ),
}


@pytest.mark.parametrize("name", SPELLINGS)
def test_both_spellings_are_one_decoder(name):
    old, new = (read_config({**SIZES, **config}) for config in SPELLINGS[name])
    assert old == new
    assert read_config(write_config(old, {}, "float32")) == old


@pytest.mark.parametrize("name", SPELLINGS)
def test_transformers_reads_the_old_spelling_as_we_do(name):
    import transformers

    old, _ = SPELLINGS[name]
    kind = {**SIZES, **old}
    theirs = transformers.AutoConfig.for_model(kind.pop("model_type"), **kind)
    assert read_config(theirs.to_dict()) == read_config({**SIZES, **old})


def test_gemma_layers_differ_in_rope_and_window():
    decoder = read_config({**SIZES, **SPELLINGS["gemma3"][0]})
    assert decoder.windows == (8, None, 8, None)
    assert decoder.ropes == (Rope(5e3), Rope(1e6, "linear", 8.0)) * 2
    assert (decoder.score_scale, decoder.embedding_scale, decoder.tied) == (1 / 16, 4.0, True)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"model_type": "mamba"}, "model_type 'mamba' is none of the families"),
        ({"model_type": "gemma3", "text_config": {}}, r"save its text model alone"),
        ({"vocab_size": None}, "has no vocab_size"),
        ({"rope_theta": None}, "has no rope_theta"),
        ({"model_type": "gemma2", "query_pre_attn_scalar": None}, "has no query_pre_attn_scalar"),
        ({"rope_scaling": "dynamic"}, "rope_scaling is 'dynamic', but must be an object"),
        (
            {"max_position_embeddings": None, "rope_scaling": {"type": "yarn", "original_max_position_embeddings": 16}},
            "'yarn' needs factor",
        ),
        ({"hidden_act": "relu"}, "hidden_act 'relu' is none of the activations"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "rope_type 'dynamic' .its angles depend"),
        ({"rope_parameters": {"rope_type": "proportional"}}, "rope_type 'proportional' is none of the kinds"),
        ({"rope_parameters": {"rope_type": "llama3", "factor": 8.0}}, "needs low_freq_factor, high_freq_factor"),
        ({"rope_parameters": {"rope_type": "linear"}}, "'linear' needs factor"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor=0.5"),
        ({"rope_parameters": {FULL: {"rope_theta": 1e4}}}, "per layer type in a family whose layers share"),
        ({"model_type": "gemma3_text", "rope_parameters": {"rope_theta": 1e4}}, "rope_parameters name rope_theta"),
        ({"model_type": "gemma3_text", "attn_logit_softcapping": 50.0}, "attn_logit_softcapping is set"),
        ({"model_type": "gemma", "use_bidirectional_attention": True}, "only look back"),
        ({"model_type": "qwen2", "layer_types": [FULL]}, "layer_types has 1 entries for num_hidden_layers=4"),
        ({"model_type": "qwen2", "layer_types": [FULL] * 3 + ["chunked"]}, "layer_types holds 'chunked'"),
        ({"model_type": "mistral", "sliding_window": 0}, "sliding_window is 0, but must be a whole number of tokens"),
    ],
)
def test_configurations_that_are_not_understood_are_refused(config, message):
    with pytest.raises(ValueError, match=message):
        read_config({"model_type": "llama", **SIZES, **config})


def test_every_family_names_its_classes():
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("torch")
    for family in FAMILIES.values():
        assert all(hasattr(transformers, name) for name in family.classes().values())

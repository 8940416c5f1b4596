"""Hugging Face directories: read, refused and written; reloaded by transformers where torch is at hand."""

import dataclasses
import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from nashpo.lm.decoder import Decoder, init_params
from nashpo.lm.files import load, read_config, save

FIXTURES = Path(__file__).resolve().parent / "fixtures" / "lm"
MODELS = sorted(path.parent.name for path in FIXTURES.glob("*/config.json") if path.parent.name != "pairrm")
SMALL = Decoder("llama", vocabulary=20, width=8, layers=2, heads=2, kv_heads=1, head_dim=4, inner=12)


def small(dtype=jnp.float32):
    return init_params(SMALL, jax.random.key(0), dtype)


def same(a, b):
    """Whether two pytrees are equal bit for bit, dtypes included."""
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        assert x.dtype == y.dtype
        np.testing.assert_array_equal(np.asarray(x, np.float32), np.asarray(y, np.float32))
    return True


@pytest.fixture
def folder(tmp_path):
    """A checkpoint that a test may spoil."""
    return save(tmp_path / "model", SMALL, small())


def change(folder, **options):
    """Change entries of config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))


def rewrite(folder, edit):
    """Change the tensors of a single file."""
    tensors = load_file(folder / "model.safetensors")
    edit(tensors)
    save_file(tensors, folder / "model.safetensors")


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("with_source", [True, False])
def test_what_is_saved_is_what_was_loaded(name, with_source, tmp_path):
    first = load(FIXTURES / name)
    source = FIXTURES / name if with_source else None
    path = save(tmp_path / "again", first.decoder, first.params, source=source, heads=first.heads)
    again = load(path)
    assert again.decoder == first.decoder
    assert same((first.params, first.heads), (again.params, again.heads))
    tensors, config = load_file(path / "model.safetensors"), json.loads((path / "config.json").read_text())
    theirs = json.loads((FIXTURES / name / "config.json").read_text())
    assert config["architectures"] == theirs["architectures"] and config["dtype"] == theirs["dtype"]
    if (FIXTURES / name / "model.safetensors").is_file():
        original = load_file(FIXTURES / name / "model.safetensors")
        assert original.keys() == tensors.keys()
        assert all(np.array_equal(original[key], tensors[key]) for key in original)


def test_shards(tmp_path):
    params = small()
    path = save(tmp_path / "model", SMALL, params, shard_bytes=1500)
    index = json.loads((path / "model.safetensors.index.json").read_text())
    files = sorted(path.glob("model-*.safetensors"))
    assert [file.name for file in files] == sorted(set(index["weight_map"].values())) and len(files) > 2
    assert index["metadata"]["total_size"] == sum(leaf.nbytes for leaf in jax.tree.leaves(params))
    assert all(sum(array.nbytes for array in load_file(file).values()) <= 1500 for file in files)
    assert same(load(path).params, params)
    files[1].unlink()
    with pytest.raises(ValueError, match=rf"{files[1].name}: is missing, but the index names it"):
        load(path)


def test_of_a_tensor_in_two_shards_the_one_that_the_index_names_counts(tmp_path):
    path = save(tmp_path / "model", SMALL, small(), shard_bytes=1500)
    shards = sorted(path.glob("model-*.safetensors"))
    for place, other in ((0, 1), (-1, 0)):
        name = sorted(load_file(shards[place]))[0]
        held = load_file(shards[other])
        save_file(held | {name: load_file(shards[place])[name] + 1}, shards[other])
    assert same(load(path).params, small())


def test_dtype_is_kept_or_cast(tmp_path):
    params = small(jnp.bfloat16)
    path = save(tmp_path / "model", SMALL, params)
    assert json.loads((path / "config.json").read_text())["dtype"] == "bfloat16"
    assert same(load(path).params, params)
    assert same(load(path, dtype=jnp.float32).params, jax.tree.map(lambda x: x.astype(jnp.float32), params))


def test_arrays_are_placed_one_by_one(folder):
    placed = []

    def place(name, array):
        assert isinstance(array, np.ndarray) and array.dtype == jnp.bfloat16
        placed.append(name)
        return name, array.shape

    params = load(folder, dtype=jnp.bfloat16, place=place).params
    shapes = jax.tree.map(jnp.shape, small())
    layers = {name: (f"layers.{name}", shape) for name, shape in shapes.pop("layers").items()}
    assert params == {**{name: (name, shape) for name, shape in shapes.items()}, "layers": layers}
    assert sorted(placed) == sorted([*shapes, *(f"layers.{name}" for name in layers)])


def test_a_base_model_is_read_without_prefix(tmp_path):
    params = small()
    path = save(
        tmp_path / "model", dataclasses.replace(SMALL, tied=True), {k: v for k, v in params.items() if k != "head"}
    )

    def strip(tensors):
        for name in list(tensors):
            tensors[name.removeprefix("model.")] = tensors.pop(name)
        tensors["layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(2, np.float32)

    rewrite(path, strip)
    assert same(load(path).params, {k: v for k, v in params.items() if k != "head"})


def test_general_preference_heads(tmp_path):
    heads = {"value_head": jnp.ones((4, 8)), "prompt_head": jnp.ones((2, 8))}
    params = {name: value for name, value in small().items() if name != "head"}
    path = save(tmp_path / "model", SMALL, params, heads=heads)
    again = load(path)
    assert same((again.params, again.heads), (params, heads))


def test_a_decoder_that_its_family_cannot_describe_is_not_written(tmp_path):
    with pytest.raises(ValueError, match="family 'llama' cannot have this qk_norm"):
        save(
            tmp_path / "model",
            dataclasses.replace(SMALL, qk_norm=True),
            init_params(SMALL, jax.random.key(0))
            | {"layers": small()["layers"] | {"q_norm": jnp.ones((2, 4)), "k_norm": jnp.ones((2, 4))}},
        )
    assert list(tmp_path.iterdir()) == []


def _drop(tensors):
    del tensors["model.layers.1.mlp.up_proj.weight"]


def _add(tensors):
    tensors["model.layers.2.mlp.up_proj.weight"] = np.ones((12, 8), np.float32)


def _shape(tensors):
    tensors["model.layers.1.mlp.up_proj.weight"] = np.ones((9, 8), np.float32)


def _whole(tensors):
    tensors["model.norm.weight"] = np.ones(8, np.int32)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (_drop, r"the tensor model\.layers\.1\.mlp\.up_proj\.weight is missing"),
        (_add, r"model\.layers\.2\.mlp\.up_proj\.weight is no parameter of a llama model"),
        (_shape, r"up_proj\.weight has shape \(9, 8\), but its config\.json asks for \(12, 8\)"),
        (_whole, r"model\.norm\.weight is I32; parameters are read as float32"),
    ],
)
def test_spoilt_tensors_are_named(folder, edit, message):
    rewrite(folder, edit)
    with pytest.raises(ValueError, match=message):
        load(folder)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_a_tensor_that_is_not_finite_is_named(tmp_path, dtype):
    params = small(dtype)
    spoilt = params | {"norm": params["norm"].at[3].set(jnp.nan)}
    with pytest.raises(ValueError, match=r"model\.norm\.weight holds NaN or infinity"):
        load(save(tmp_path / "model", SMALL, spoilt))


def test_a_tied_head_must_be_the_embedding(folder):
    change(folder, tie_word_embeddings=True)
    with pytest.raises(ValueError, match=r"lm_head\.weight differs from model\.embed_tokens\.weight.*to false"):
        load(folder)
    rewrite(folder, lambda tensors: tensors.update({"lm_head.weight": tensors["model.embed_tokens.weight"]}))
    assert "head" not in load(folder).params


def test_folders_that_are_no_checkpoints_are_refused(folder, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: has no config\.json"):
        load(tmp_path / "nowhere")
    change(folder, model_type="mamba")
    with pytest.raises(ValueError, match=rf"^{folder}: model_type 'mamba'"):
        load(folder)
    change(folder, model_type="llama")
    (folder / "model.safetensors").write_bytes(b"\x00" * 20)
    with pytest.raises(ValueError, match=r"model\.safetensors: is damaged or no safetensors file"):
        load(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"has no model\.safetensors and no model\.safetensors\.index\.json"):
        load(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json: is no JSON"):
        load(folder)


def test_what_goes_along_with_a_model(folder, tmp_path):
    change(folder, torch_dtype="bfloat16", architectures=["LlamaModel"], eos_token_id=7, quirk=1)
    along = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "generation_config.json", "other.jinja")
    for name in (*along, "optimizer.bin", "README.md"):
        (folder / name).write_text(name)
    path = save(tmp_path / "new", SMALL, small(), source=folder)
    assert sorted(file.name for file in path.iterdir()) == sorted((*along, "config.json", "model.safetensors"))
    config = json.loads((path / "config.json").read_text())
    assert config["torch_dtype"] == "float32" and "dtype" not in config
    assert (config["architectures"], config["eos_token_id"], config["quirk"]) == (["LlamaForCausalLM"], 7, 1)


def test_nothing_is_half_written(folder, tmp_path, monkeypatch):
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(ValueError, match=r"layers\.q has shape \(2, 8, 4\), but this decoder's is \(2, 8, 8\)"):
        save(folder, SMALL, small() | {"layers": small()["layers"] | {"q": jnp.ones((2, 8, 4))}})
    with pytest.raises(ValueError, match="the parameters have no norm"):
        save(folder, SMALL, {name: value for name, value in small().items() if name != "norm"})
    with pytest.raises(ValueError, match=r"is a model with another inner .12 there, 16 here"):
        wider = dataclasses.replace(SMALL, inner=16)
        save(tmp_path / "new", wider, init_params(wider, jax.random.key(0)), source=folder)
    with pytest.raises(ValueError, match="does not exist; create it first"):
        save(tmp_path / "a" / "b", SMALL, small())
    monkeypatch.setattr("nashpo.lm.files.export.save_file", _full_disk)
    with pytest.raises(OSError, match=r"cannot be written .No space left on device"):
        save(folder, SMALL, small())
    assert sorted(tmp_path.rglob("*")) == before
    assert same(load(folder).params, small())


def _full_disk(*_, **__):
    raise OSError(28, "No space left on device")


def test_a_model_is_replaced_but_nothing_else(folder, tmp_path):
    params = jax.tree.map(lambda x: x + 1, small())
    (folder / "old.txt").write_text("gone")
    assert same(load(save(folder, SMALL, params)).params, params)
    assert sorted(file.name for file in folder.iterdir()) == ["config.json", "model.safetensors"]
    shutil.move(folder / "config.json", tmp_path / "notes.txt")
    with pytest.raises(ValueError, match="a folder with other things in it"):
        save(folder, SMALL, params)
    with pytest.raises(ValueError, match=r"notes\.txt: is a file"):
        save(tmp_path / "notes.txt", SMALL, params)


@pytest.mark.parametrize("name", ["llama3", "gemma3", "qwen2_window", "mistral_shards", "gemma3_score"])
@pytest.mark.parametrize("with_source", [True, False])
def test_transformers_reads_what_is_saved(name, with_source, tmp_path):
    torch = pytest.importorskip("torch")
    import transformers

    first = load(FIXTURES / name)
    source = FIXTURES / name if with_source else None
    path = save(tmp_path / "m", first.decoder, first.params, source=source, shard_bytes=8000, heads=first.heads)
    title = json.loads((path / "config.json").read_text())["architectures"][0]
    model, said = getattr(transformers, title).from_pretrained(path, output_loading_info=True)
    assert not any(said[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    original = getattr(transformers, title).from_pretrained(FIXTURES / name)
    theirs, ours = original.state_dict(), model.state_dict()
    assert theirs.keys() == ours.keys()
    assert all(torch.equal(theirs[key], ours[key]) and theirs[key].dtype == ours[key].dtype for key in theirs)
    assert read_config(model.config.to_dict()) == first.decoder

"""Configurations of language-model runs: what each key becomes, and one sentence for every mistake."""

import json
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from lm_small import CONFIG, decoder, make_model, make_world

from nashpo.learners import losses
from nashpo.lm import judges, read_config
from nashpo.lm.config.estimate import estimated
from nashpo.lm.config.judge import named
from nashpo.lm.decoder import LoRA, init_adapter
from nashpo.lm.files import save_adapter
from nashpo.lm.prompts import Prompts
from nashpo.lm.text import Text


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    made = make_world(tmp_path_factory.mktemp("config"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(made)  # a mapping lies in no folder in which its judge could be found
        yield made


@pytest.fixture
def read(world):
    """Reads the configuration with a table replaced, added to, or left out (None)."""

    def reader(**tables):
        return read_config(world / "run.toml", tables)

    return reader


def test_defaults_fill_a_short_file(world):
    setup = read_config(world / "run.toml")
    assert setup.folder == world / "run"
    assert (setup.steps, setup.first_beta, setup.learner.updates) == (3, 0.1, 1)
    assert isinstance(setup.learner.loss, losses.SquaredGains)
    assert setup.plan.dtype == "float32" and setup.plan.lora is None
    assert len(setup.asked.held_out) == 4 and setup.asked.weights.sum() == pytest.approx(1.0)
    assert setup.evaluation.every == 2 and setup.evaluation.rows.tolist() == [8, 9, 10, 11]
    assert setup.decoding.end == (3,)


def test_the_start_is_the_checkpoint_and_the_reference_is_the_start(read):
    setup = read()
    assert setup.start.params["embed"].dtype == jnp.float32
    assert setup.reference is setup.start and setup.game.reference is setup.start


def test_the_dtype_of_the_weights_is_that_of_the_files_whatever_their_configuration_says(world, tmp_path):
    shutil.copytree(world / "model", tmp_path / "model")
    said = tmp_path / "model" / "config.json"
    said.write_text(json.dumps(json.loads(said.read_text()) | {"dtype": "bfloat16"}))
    lora = {"path": str(tmp_path / "model"), "lora": 2}
    assert read_config(world / "run.toml", {"model": lora}).plan.stored == "float32"


def test_an_adapter_shares_its_weights_with_its_reference(read):
    setup = read(model={"lora": {"rank": 2, "targets": ["q_proj", "v"]}})
    assert setup.plan.lora == LoRA(2, 4.0, ("q", "v"))
    assert setup.reference.params == {} and setup.reference.base is setup.start.base
    assert setup.learner.learning_rate == 0.01


def test_training_may_go_on_from_an_adapter_and_keep_it_as_the_reference(world, read):
    lora = LoRA(2, 4.0, ("q",))
    adapter = init_adapter(decoder(), lora, jax.random.key(3), jnp.bfloat16)
    save_adapter(world / "adapter", decoder(), lora, adapter, base=world / "model")
    setup = read(model={"adapter": "adapter"})
    assert setup.plan.lora == lora and setup.start.params["q"]["a"].dtype == jnp.float32
    assert setup.reference is setup.start
    assert read(model={"adapter": "adapter", "reference": "model"}).reference.params == {}
    with pytest.raises(ValueError, match="leave lora out"):
        read(model={"adapter": "adapter", "lora": 4})


def test_another_reference_is_loaded(read):
    setup = read(model={"reference": "other"})
    assert not np.array_equal(setup.reference.params["embed"], setup.start.params["embed"])


def test_iterated_goes_through_all_prompts_in_minibatches(read):
    learner = read(learner={"regime": "iterated", "prompts": 8, "minibatch": 2, "passes": 3}).learner
    assert (learner.prompts, learner.minibatch, learner.updates) == (8, 2, 12)


def test_every_loss_has_a_name(read):
    for name, solver in (("pair_label", "inpo"), ("dpo", "iterative_dpo"), ("policy_gradient", "inpo")):
        assert read(learner={"loss": name}, algorithm={"solver": solver, "eta": 1.0}).learner.loss is not None
    assert read(learner={"loss": {"name": "cdpo", "smoothing": 0.1}}).learner.loss.smoothing == 0.1
    assert isinstance(read(algorithm={"solver": "iterative_dpo"}).learner.loss, losses.DPO)


def test_the_learner_takes_its_parts(read):
    learner = read(
        learner={
            "gains": {"name": "fresh", "count": 3},
            "sampler": "reference",
            "optimizer": {"name": "adamw", "b2": 0.95},
            "weight_decay": 0.1,
            "clip": 0,
            "per_token": True,
        }
    )
    assert learner.start.reduction == "mean"
    assert learner.learner.gains.count == 3 and type(learner.learner.sampler).__name__ == "FromReference"
    assert learner.learner.optimizer.clip is None
    assert dict(learner.learner.optimizer.settings) == {"b2": 0.95, "weight_decay": 0.1}


def test_every_player_may_have_a_judge_of_its_own(world, read):
    member = {"kind": "function", "function": "small_judge:prefer"}
    tables = _tables(world, judge={"kind": "ensemble", "members": [member, member]})
    each = {"gains": "each_judge", "prompts": 8}
    assert type(read_config({**tables, "learner": each}).learner.gains).__name__ == "EachJudge"
    kept = {"cache": str(world / "each"), "retries": 1}
    oracle = read_config({**tables, "learner": each, "judge": tables["judge"] | kept}).game.oracle
    assert [len(judge.players) for judge in (oracle, oracle.judge, oracle.judge.judge)] == [2, 2, 2]
    assert [type(player.judge).__name__ for player in oracle.players] == ["Cached", "Cached"]
    with pytest.raises(ValueError, match=r"learner: EachJudge\(\): the judge must be an Ensemble of at least two"):
        read_config({**tables, "learner": each, "judge": tables["judge"] | {"members": [member]}})


def test_schedules_are_as_long_as_the_run(read):
    cosine = {"schedule": "cosine_decay_schedule", "init_value": 1.0}
    setup = read(learner={"learning_rate": cosine}, algorithm={"beta": cosine, "eta": cosine}, run={"steps": 10})
    assert setup.beta(0) == 1.0 and setup.beta(10) == pytest.approx(0.0, abs=1e-6)
    assert setup.first_beta == 1.0
    assert setup.learner.learning_rate == setup.beta
    assert setup.rule.eta(0.1, 5) == pytest.approx(0.5)


def test_a_schedule_may_end_at_zero_but_not_beyond_what_the_number_may_be(read):
    def nash_md(first, last):
        return read(algorithm={"solver": "nash_md", "eta": 0.1, "mix": _linear(first, last)}, run={"steps": 10}).rule

    assert nash_md(1.0, 0.0).mix(0.1, 10) == 0.0
    with pytest.raises(ValueError, match=r"algorithm\.mix is 1\.05 at step 4 of the schedule, but must be"):
        nash_md(0.45, 1.95)


def test_schedules_of_files_may_have_steps_for_keys_and_tables_for_settings(read, tmp_path):
    scales = {"schedule": "piecewise_constant_schedule", "init_value": 1.0, "boundaries_and_scales": {"1": 0.5}}
    waves = {"init_value": 0.0, "peak_value": 1.0, "warmup_steps": 1, "decay_steps": 3}
    setup = read(
        learner={"learning_rate": {"schedule": "sgdr_schedule", "cosine_kwargs": [waves]}}, algorithm={"beta": scales}
    )
    assert (setup.beta(0), setup.beta(2)) == (1.0, 0.5)
    assert hash(setup.beta) == hash(read(algorithm={"beta": scales}).beta)
    assert setup.learner.learning_rate(1) == 1.0 and isinstance(hash(setup.learner.learning_rate), int)
    by_number = scales | {"boundaries_and_scales": {1: 0.5}}
    (tmp_path / "config.json").write_text(json.dumps(read(algorithm={"beta": by_number}).described()))
    assert read_config(tmp_path / "config.json").beta == setup.beta


def test_a_schedule_of_optax_whose_name_does_not_say_so_is_one(read):
    halved = {"schedule": "exponential_decay", "init_value": 1.0, "decay_rate": 0.5}
    assert read(algorithm={"eta": halved}, run={"steps": 10}).rule.eta(0.1, 10) == pytest.approx(0.5)


def test_stop_texts_and_long_prompts(world, read):
    assert read(generation={"stop": ["blue"]}).decoding.end == (3, 9)
    (world / "long.jsonl").write_text('{"prompt": "red red red red"}\n' + (world / "prompts.jsonl").read_text())
    with pytest.raises(ValueError, match=r"long\.jsonl: line 1: the prompt has 5 tokens, more than longest=3"):
        read(data={"prompts": "long.jsonl", "longest": 3})
    assert len(read(data={"prompts": "long.jsonl", "longest": 3, "overlong": "drop"}).asked.prompts) == 12
    assert read(data={"prompts": "long.jsonl", "longest": 3, "overlong": "truncate"}).asked.contexts.shape == (13, 3)


def test_prompts_that_leave_no_room_for_answers_are_named(world, read):
    (world / "room.jsonl").write_text('{"prompt": "red"}\n' * 8 + json.dumps({"prompt": "red " * 61}) + "\n")
    said = r"room\.jsonl: line 9: the prompt has 62 tokens and the answer up to 3, more than the 64 that the model was"
    with pytest.raises(ValueError, match=said):
        read(data={"prompts": "room.jsonl"})
    assert read(data={"prompts": "room.jsonl", "longest": 61, "overlong": "truncate"}).asked.contexts.shape == (9, 61)
    with pytest.raises(ValueError, match=r"line 22: generation\.new_tokens is 63, but the model was made for 64"):
        read(data={"prompts": "room.jsonl"}, generation={"new_tokens": 63})


def test_held_out_prompts_may_be_a_file_and_prompts_a_pattern(world, read):
    setup = read(data={"prompts": ["prompts*.jsonl"], "held_out": "prompts.jsonl"})
    assert setup.asked.held_out.tolist() == list(range(12, 24))


def test_judges_of_every_kind(world, read):
    make_model(world / "reward", seed=2, extra={"score": jnp.ones((1, 16))})
    reward = {"kind": "reward", "path": str(world / "reward"), "temperature": 2.0}
    members = [reward | {"weight": 3.0}, {"kind": "function", "function": "small_judge:prefer"}]
    config = {"kind": "ensemble", "members": members, "cache": "verdicts", "unfinished_penalty": 0.25}
    setup = read_config({**_tables(world), "judge": config | {"cache": str(world / "verdicts")}})
    assert isinstance(setup.judge, judges.Cached) and isinstance(setup.judge.judge, judges.Ensemble)
    assert setup.judge.judge.weights.tolist() == [0.75, 0.25]
    assert setup.game.oracle.unfinished_penalty == 0.25
    assert estimated(setup).parts


def test_a_judge_that_cannot_read_a_prompt_is_found_before_anything_is_loaded(world):
    path = str(make_model(world / "short", seed=2, extra={"score": jnp.ones((1, 16))}, longest=63))

    def judged(new_tokens=3, **judge):
        return read_config(_tables(world, judge=judge, generation={"new_tokens": new_tokens}))

    reward = {"kind": "reward", "path": path}
    said = r"prompts\.jsonl: line 1: the prompt has 3 tokens as judge reads it, without any answer, but it reads 2; "
    with pytest.raises(ValueError, match=said + r"leave the prompt out, or raise judge\.longest\."):
        judged(**reward, longest=2)
    about = r"judge reads 5 tokens; the prompt in .* has 3, and an answer about 3 at most: .* or raise judge\.longest\."
    with pytest.warns(UserWarning, match=about):
        judged(**reward, longest=5)
    assert judged(**reward, longest=6).planned_judge.models[0].path == world / "short"
    two = str(make_model(world / "two", seed=2, extra={"score": jnp.ones((2, 16))}, longest=63))
    pair = {"kind": "pair", "path": two, "template": "{prompt} {left} {right}"}
    assert judged(**pair, longest=9)
    with pytest.warns(UserWarning, match="has 3, and two answers about 6 at most"):
        judged(**pair, longest=8)
    with pytest.warns(UserWarning, match=r"judge\.members\.0 reads 63 tokens; .* leave long prompts out\.$"):
        judged(kind="ensemble", members=[reward], new_tokens=61)


def test_a_judge_of_the_wrong_kind_is_found_before_anything_is_loaded(world, monkeypatch):
    scored, paired, preferred = (
        str(make_model(world / name, seed=2, extra={head: jnp.ones((labels, 16))}))
        for name, head, labels in (("scored", "score", 1), ("paired", "score", 2), ("preferred", "value_head", 4))
    )
    template = "{prompt} {left} {right}"
    wrong = [
        ({"kind": "reward", "path": str(world / "model")}, "has no head but a language model's: a reward model needs"),
        ({"kind": "reward", "path": paired}, "the head score has 2 labels, but a reward is one number"),
        ({"kind": "reward", "path": preferred}, "the head score has 4 labels"),
        ({"kind": "pair", "path": scored, "template": template}, "the head score has 1 labels, but a classifier of"),
        ({"kind": "pair", "path": paired, "template": "{left}"}, "the template has {prompt} 0 times"),
        ({"kind": "preference", "path": scored, "convention": "scaled"}, "has only score"),
        ({"kind": "choice", "path": str(world / "model")}, "the label 'A' is unknown to the judge's tokenizer"),
        ({"kind": "pairrm", "path": str(world / "model")}, "model_type is 'llama'"),
        ({"kind": "reward", "path": scored, "temperature": 0}, "temperature=0.0: must be a positive finite number."),
    ]
    lora = LoRA(2, 4.0, ("q",))
    adapter = save_adapter(
        world / "judging", decoder(), lora, init_adapter(decoder(), lora, jax.random.key(0)), base=scored
    )
    wrong.append(({"kind": "reward", "path": str(adapter)}, "is an adapter; a judge is a whole checkpoint: merge"))
    for judge, said in wrong:
        with pytest.raises(ValueError, match="^config: judge.*" + re.escape(said)):
            read_config(_tables(world, judge=judge))
    read = []
    load = Text.load.__func__
    monkeypatch.setattr(Text, "load", classmethod(lambda cls, *paths: read.append(paths[0]) or load(cls, *paths)))
    members = [{"kind": "preference", "path": preferred, "convention": "scaled"}, {"kind": "reward", "path": scored}]
    setup = read_config(_tables(world, judge={"kind": "ensemble", "members": members}))
    assert [type(judge).__name__ for judge in setup.judge.players] == ["GeneralPreference", "Reward"]
    assert sorted(map(str, read)) == sorted([str(world / "model"), preferred, scored])


def _tables(world, **changes):
    import tomllib

    tables = tomllib.loads(CONFIG)
    tables["model"]["path"] = str(world / "model")
    tables["data"]["prompts"] = str(world / "prompts.jsonl")
    return {**tables, **changes}


def test_a_mapping_may_hold_prompts_and_a_judge(world):
    judge = judges.Function(lambda prompts, left, right: [0.5 for _ in left])
    tables = _tables(world, data={"prompts": Prompts.of(["red"] * 8)}, judge=judge)
    setup = read_config(tables)
    assert setup.judge is judge and setup.folder is None and len(setup.evaluation.rows) == 8


def test_the_config_of_a_run_is_a_configuration(world, read, tmp_path):
    setup = read(run={"steps": 7})
    folder = tmp_path / "moved"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(setup.described()))
    again = read_config(folder / "config.json")
    assert again.steps == 7 and again.folder == folder and again.plan.path == world / "model"
    assert {"nashpo", "jax", "transformers"} <= set(setup.described()["versions"])


def test_a_judge_is_told_from_another_by_its_weights(world):
    judge = {"kind": "reward", "path": "other"}
    first = named(judge, world)
    assert first == named(judge | {"path": "other", "longest": 5}, world)
    assert first["digest"] != named(judge | {"path": "model"}, world)["digest"]
    assert named({"kind": "ensemble", "members": [judge | {"weight": 2.0}]}, world)["members"][0]["weight"] == 2.0


def _linear(first, last):
    return {"schedule": "linear_schedule", "init_value": first, "end_value": last}


MISTAKES = [
    ("modle", "path", "model", "run.toml: modle is not known; did you mean 'model'?"),
    ("model", "pth", "model", "model.pth is not known; did you mean 'path'?"),
    ("model", "path", "nowhere", "line 2: model.path: "),
    ("model", "dtype", "float8", "model.dtype is 'float8', but must be one of float32, bfloat16, float16."),
    ("model", "lora", "yes", "model.lora is 'yes', but must be true, a rank, or {rank = 16, alpha = 32}."),
    ("model", "lora", {"rnk": 3}, "model.lora.rnk is not known; did you mean 'rank'?"),
    ("model", "lora", {"targets": ["key"]}, "targets holds 'key'"),
    ("data", "prompts", "none.jsonl", "line 5: data.prompts is 'none.jsonl', but there is no such file"),
    ("data", "held_out", 12, "line 6: data.held_out is 12, but there are 12 prompts; leave some."),
    ("data", "overlong", "drop", "needs longest: write longest = 1024."),
    ("learner", "pool", 1, "but must be a whole number, 2 or more."),
    ("data", "overlong", "truncate", "needs longest: write longest = 1024."),
    ("judge", "kind", "funtcion", "line 9: judge.kind is 'funtcion': there is no such judge; did you mean 'function'?"),
    ("judge", "function", "small_judge:prefr", "has no 'prefr'; did you mean 'prefer'?"),
    ("judge", "fnction", "x", "judge.fnction is not known; did you mean 'function'?"),
    ("judge", "retries", -1, "judge.retries is -1, but must be a whole number, 0 or more."),
    ("algorithm", "solver", "impo", "did you mean"),
    ("algorithm", "solver", "regret_matching", "needs responses that can be listed"),
    ("algorithm", "eta", [0.1, 0.2], "here there is one run, so give one number."),
    ("algorithm", "eta", -1, "algorithm.eta is -1, but must be a number above 0"),
    ("algorithm", "beta", {"schedule": "cosine"}, "there is no such schedule"),
    ("algorithm", "beta", {"schedule": "cosine_decay_schedule", "init_vale": 1}, "did you mean 'init_value'?"),
    ("algorithm", "beta", {"schedule": "scale_by_schedule", "step_size_fn": 1}, "there is no such schedule"),
    ("algorithm", "beta", _linear(0.1, -0.3), "line 12: algorithm.beta is -0.0333 at step 1 of the schedule, but"),
    ("algorithm", "eta", _linear(0.1, -0.3), "algorithm.eta is -0.0333 at step 1 of the schedule, but must be"),
    ("learner", "learning_rate", _linear(0.1, -1), "learner.learning_rate is -0.267 at step 1 of the schedule, but"),
    ("algorithm", "beta", _linear("x", 0), "algorithm.beta: linear_schedule cannot be computed: "),
    ("learner", "loss", "sqared", "learner.loss is 'sqared': there is no such loss; did you mean 'squared'?"),
    ("learner", "gains", {"name": "fresh", "cont": 2}, "did you mean 'count'?"),
    ("learner", "optimizer", "admw", "optax has no such optimizer; did you mean 'adamw'?"),
    ("learner", "optimizer", "lbfgs", "asks for the loss itself; take one that needs gradients only."),
    ("learner", "optimizer", "noisy_sgd", "draws noise with a key that no checkpoint holds; take another one."),
    ("learner", "learning_rate", 10**400, "but must be a number above 0"),
    ("learner", "learning_rate", "fast", "learner.learning_rate is 'fast', but must be a number above 0"),
    ("learner", "passes", 2, 'belongs to regime = "iterated"'),
    ("learner", "minibatch", 1.5, "learner.minibatch is 1.5, but must be a whole number, 1 or more."),
    ("learner", "minibatch", 3, "line 16: learner: Generated(minibatch=3): must divide the 4 prompts of a fit"),
    ("learner", "prompts", 9, "learner: Generated(prompts=9): there are 8 prompts to train on; take at most as many"),
    ("learner", "loss", "dpo", "asks for the target"),
    ("judge", "unfinished_penalty", 1.5, "judge.unfinished_penalty is 1.5, but must be a number from 0 to 1."),
    ("generation", "stop", ["red green"], "has 'red green', which is 2 tokens"),
    ("generation", "top_p", 2, "generation.top_p is 2, but must be a number above 0 and at most 1."),
    ("evaluation", "prompts", 3, "evaluation.prompts is 3, but must be a whole number, 4 or more."),
    ("evaluation", "confidence", 1, "evaluation.confidence is 1, but must be a number above 0 and below 1."),
    ("run", "steps", 0, "line 29: run.steps is 0, but must be a whole number, 1 or more."),
    ("run", "export", "all", "run.export is 'all', but must be one of auto, adapter, merged, full, none."),
    ("run", "export", "merged", 'run.export is "merged", but all weights are trained; take "full", or give'),
    ("mesh", "fsdp", 0, "mesh.fsdp is 0, but must be a whole number, 1 or more."),
]


@pytest.mark.parametrize(("table", "name", "value", "said"), MISTAKES)
def test_every_mistake_is_one_sentence(read, table, name, value, said):
    with pytest.raises(ValueError) as caught:
        read(**{table: {name: value}})
    message = str(caught.value)
    assert said in message and message.endswith((".", "?")) and "\n" not in message
    assert "run.toml" in message


def test_an_adapter_that_is_to_be_written_as_all_weights_is_refused_before_it_is_trained(read):
    with pytest.raises(ValueError, match=r'run\.export is "full", but an adapter is trained; take "adapter" or'):
        read(model={"lora": 4}, run={"export": "full"})
    assert read(model={"lora": 4}, run={"export": "merged"}).tables["run"].export == "merged"


@pytest.mark.parametrize("table", ["model", "judge"])
def test_damaged_checkpoints_are_found_before_anything_is_loaded(world, tmp_path, table):
    path = make_model(tmp_path / "damaged", seed=4, extra={"score": jnp.ones((1, 16))} if table == "judge" else None)
    weights = path / "model.safetensors"
    whole, config = weights.read_bytes(), json.loads((path / "config.json").read_text())
    given = _tables(world)[table] | {"path": str(path)} | ({"kind": "reward"} if table == "judge" else {})
    given.pop("function", None)

    def refused(said):
        with pytest.raises(ValueError, match=rf"config: {table}\.path: .*damaged.*{said}"):
            read_config(_tables(world, **{table: given}))

    assert read_config(_tables(world, **{table: given}))
    weights.write_bytes(whole[:-16])
    refused("is damaged or no safetensors file")
    weights.write_bytes(whole)
    (path / "config.json").write_text(json.dumps(config | {"intermediate_size": 25}))
    refused("mlp.gate_proj.weight has shape")
    (path / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    refused("is no parameter of a llama model as configured")


def test_mistakes_in_a_member_of_an_ensemble_name_its_line(world):
    config = world / "members.toml"
    member = '[[judge.members]]\nkind = "function"\nfunction = "small_judge:prefer"\n'
    given = (world / "run.toml").read_text().replace('kind = "function"\nfunction = "small_judge:prefer"\n', "")
    assert "small_judge" not in given
    text = given.replace("[judge]\n", '[judge]\nkind = "ensemble"\n' + member + member + "weight = -1\n")
    config.write_text(text)
    line = text.splitlines().index("weight = -1") + 1
    with pytest.raises(ValueError, match=rf"members\.toml, line {line}: judge\.members\.1\.weight is -1, but must be"):
        read_config(config)
    config.write_text(text.replace("weight = -1", "wait = -1"))
    with pytest.raises(ValueError, match=rf"members\.toml, line {line}: judge\.members\.1\.wait is -1, but must be"):
        read_config(config)


def test_what_is_missing_is_named(world):
    tables = _tables(world)
    for name, said in (("model", "[model] with path"), ("judge", "[judge] with kind"), ("run", "[run] with steps")):
        with pytest.raises(ValueError) as caught:
            read_config({key: table for key, table in tables.items() if key != name})
        assert said in str(caught.value)


def test_prompts_that_are_empty_or_need_a_template_are_named(world, read):
    (world / "empty.jsonl").write_text('{"prompt": "red"}\n{"prompt": " "}\n')
    with pytest.raises(ValueError, match=r"empty\.jsonl: line 2: the prompt is empty"):
        read(data={"prompts": "empty.jsonl"})
    shutil.copytree(world / "model", world / "plain")
    (world / "plain" / "chat_template.jinja").unlink()
    (world / "chat.jsonl").write_text('{"messages": [{"role": "user", "content": "red"}]}\n')
    with pytest.raises(ValueError, match=r"chat\.jsonl: line 1: the tokenizer has no chat template"):
        read(model={"path": "plain"}, data={"prompts": "chat.jsonl", "held_out": 0})

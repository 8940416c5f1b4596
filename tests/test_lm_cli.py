"""`nashpo lm` as users run it: runs, stopped and taken up again; answers, tables, mistakes."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import jax
import numpy as np
import pytest
from lm_small import WORDS, decoder, make_world

from nashpo.cli import main
from nashpo.lm.answering import text_of
from nashpo.lm.decoder import LoRA, init_adapter
from nashpo.lm.duels import duels
from nashpo.lm.files import load, save_adapter
from nashpo.lm.judges import Function, RewardFunction
from nashpo.lm.live import Live
from nashpo.lm.tiny import tiny_tokenizer
from nashpo.lm.training import Trained
from nashpo.tables import read_table

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return make_world(tmp_path_factory.mktemp("cli"))


@pytest.fixture(autouse=True)
def no_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("NASHPO_CACHE", "off")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys):
    def runner(*arguments):
        code = main(["lm", *map(str, arguments)])
        out, err = capsys.readouterr()
        return code, out, err

    return runner


@pytest.fixture(scope="module")
def trained(world):
    """A whole run of three steps."""
    assert main(["lm", "train", str(world / "run.toml")]) == 0
    return world / "run"


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def weights(folder):
    return np.concatenate([np.ravel(leaf) for leaf in _leaves(load(folder).params)])


def _leaves(tree):
    return [
        leaf for _, value in sorted(tree.items()) for leaf in (_leaves(value) if isinstance(value, dict) else [value])
    ]


def test_a_run_ends_in_a_directory_that_loads(world, trained):
    assert {"config.json", "metrics.jsonl", "completions.jsonl", "checkpoints", "export"} <= set(os.listdir(trained))
    rows = lines(trained / "metrics.jsonl")
    assert [row["step"] for row in rows] == [0, 1, 2, 3]
    assert "win_rate_reference" in rows[2] and "win_rate_reference" not in rows[3]
    assert "completion" in lines(trained / "completions.jsonl")[0]
    assert json.loads((trained / "config.json").read_text())["config"]["run"]["steps"] == 3
    assert not np.array_equal(weights(trained / "export"), weights(world / "model"))
    assert {"tokenizer.json", "chat_template.jinja"} <= set(os.listdir(trained / "export"))


def test_what_a_run_prints(world, trained, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # however long the folder's name is, no line breaks
    code, out, err = run("train", world / "run.toml", "--steps", 1, "--folder", "here")
    assert (code, err) == (0, "")
    shown = out.splitlines()
    assert shown[0].startswith("INPO(eta=0.5) on ") and shown[0].endswith(", 1 step")
    assert shown[2].startswith("memory: about ")
    assert any(line.startswith("step 0 of 1  win rate 0.") for line in shown)
    assert any(line.startswith("step 1 of 1  loss ") and line.endswith(" s)") for line in shown)
    assert any(line.startswith("after 1 step; measured after step 0: win rate 0.") for line in shown)
    assert shown[-1].startswith("transformers loads ")
    assert run("train", world / "run.toml", "--steps", 2, "--folder", "here")[1].count("after 2 steps: win rate ") == 1


def test_a_run_goes_on_to_the_bits_of_one_that_was_not_broken_off(world, trained, run):
    for steps in (1, 3):
        assert run("train", world / "run.toml", "--steps", steps, "--folder", "parts")[0] == 0
        left = list(Path("parts").glob(".export.*"))
        assert left == []
        Path("parts", ".export.killed", "new").mkdir(parents=True)
    assert (Path("parts", "metrics.jsonl")).read_bytes() == (trained / "metrics.jsonl").read_bytes()
    assert np.array_equal(weights(Path("parts", "export")), weights(trained / "export"))


def test_another_run_is_not_mixed_with_one_that_is_there(world, trained, run):
    code, _, err = run("train", world / "run.toml", "--eta", 0.25)
    assert code == 2 and "belongs to another run" in err and "rule.eta" in err
    assert json.loads((trained / "config.json").read_text())["config"]["algorithm"]["eta"] == 0.5


def test_going_on_with_another_judge_is_said(world, run):
    for name in ("first_judge", "second_judge"):
        config = _with_judge(world, name, "prefer = small_judge.prefer\n")
        config.write_text(config.read_text().replace("every = 2", "every = 0"))
    said = f"nashpo: warning: {Path('changed').absolute()}: the judge is another one than that of the first step.\n"
    for config, steps, heard in (("first", 1, ""), ("first", 2, ""), ("second", 2, ""), ("second", 3, said)):
        found = run("train", world / f"{config}_judge.toml", "--steps", steps, "--folder", "changed")
        assert (found[0], found[2].replace("2 steps", "step")) == (0, heard)


def _with_judge(world, name, body):
    """A configuration whose judge is a function of its own."""
    (world / f"{name}.py").write_text(f"import small_judge\n{body}")
    path = world / f"{name}.toml"
    path.write_text((world / "run.toml").read_text().replace("small_judge:", f"{name}:") + "save_every = 100\n")
    return path


def test_a_judge_that_fails_stops_the_run_and_the_same_command_goes_on(world, trained, run):
    broken = """
calls = 0


def prefer(prompts, left, right):
    global calls
    calls += 1
    if calls > 3:
        return [float("nan") for _ in left]
    return small_judge.prefer(prompts, left, right)
"""
    config = _with_judge(world, "moody_judge", broken)
    config.write_text(config.read_text().replace('kind = "function"', 'kind = "function"\nretries = 0'))
    code, _, err = run("train", config, "--folder", "moody")
    assert code == 1 and "says nan of pair" in err
    assert "Step 1 of 3 is saved in" in err and "The same command goes on from there" in err
    sys.modules["moody_judge"].prefer = sys.modules["small_judge"].prefer
    assert run("train", config, "--folder", "moody")[0] == 0
    assert np.array_equal(weights(Path("moody", "export")), weights(trained / "export"))


def test_ctrl_c_saves_the_step(world, run):
    body = """
import signal


def prefer(prompts, left, right):
    signal.raise_signal(signal.SIGINT)
    return small_judge.prefer(prompts, left, right)
"""
    config = _with_judge(world, "stopping_judge", body)
    config.write_text(config.read_text().replace("every = 2", "every = 0").replace('"inpo"', '"spo"'))
    code, _, err = run("train", config, "--folder", "stopped")
    assert code == 130
    assert err.startswith("nashpo: interrupted; the step is finished and saved first. Ctrl-C again does not wait for")
    assert err.endswith(
        "interrupted; step 1 of 3 is saved in " + f"{Path('stopped').absolute()}. "
        "The same command goes on from there.\n"
    )


def test_tensorboard_needs_a_writer_and_gets_what_was_measured(world, run, monkeypatch):
    written = []

    class SummaryWriter:
        def __init__(self, folder, purge_step):
            assert purge_step == 0  # or the points of a run that goes on would be there twice
            self.folder = Path(folder)

        def add_scalar(self, tag, value, step):
            written.append((self.folder.name, tag, step, value))

    asked = ("train", world / "run.toml", "--steps", 1, "--folder", "board", "--set", "run.tensorboard = true")
    monkeypatch.setattr("nashpo.lm.config.watching.WRITERS", ("no_such_writer",))
    code, _, err = run(*asked)
    assert code == 2 and "pip install tensorboardX, or leave it out" in err and not Path("board").exists()
    monkeypatch.setitem(sys.modules, "some_writer", types.SimpleNamespace(SummaryWriter=SummaryWriter))
    monkeypatch.setattr("nashpo.lm.config.watching.WRITERS", ("no_such_writer", "some_writer"))
    assert run(*asked)[0] == 0
    assert {("tensorboard", "now_loss", 1), ("tensorboard", "win_rate_reference", 0)} <= {one[:3] for one in written}
    assert np.isfinite([one[3] for one in written]).all()


def test_memory_is_estimated_before_anything_is_loaded(world, run, monkeypatch):
    monkeypatch.setattr("nashpo.lm.config.estimate.device_memory", lambda: (1024.0, "cpu"))
    code, _, err = run("train", world / "run.toml", "--folder", "small")
    assert code == 2 and "the run needs about" in err and "--force runs it all the same" in err
    assert not Path("small").exists()
    assert run("train", world / "run.toml", "--dry-run")[0] == 0


def test_a_device_that_is_out_of_memory_is_one_sentence(world, run, monkeypatch):
    def exhausted(*_, **__):
        raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.\nAllocator: ...\n")

    monkeypatch.setattr("nashpo.lm.config.setup.train", exhausted)
    code, _, err = run("train", world / "run.toml", "--folder", "full")
    assert code == 1 and err.count("\n") == 1
    assert (
        "the device is out of memory; the largest part is optimizer, where lora or another" in err
        and "begins again" in err
    )


def test_processes_that_cannot_be_connected(world, run):
    for where in ("here", "host:1,2", "host:1,2,2", "host,2,0"):
        code, _, err = run("train", world / "run.toml", "--processes", where)
        assert code == 2 and f"--processes {where}: must be auto, or ADDRESS:PORT,COUNT,NUMBER" in " ".join(err.split())
    code, _, err = run("train", world / "run.toml", "--processes", "localhost:1,1,0")  # JAX is in use here already
    assert code == 2 and "the processes cannot be connected" in " ".join(err.split())


def test_other_keys_are_set_from_the_command_line(world, run):
    keys = "learner.responses = 3; model.lora = {rank = 2}"
    code, out, _ = run("train", world / "run.toml", "--dry-run", "--set", keys, "--learning-rate", 0.1)
    assert code == 0 and "LoRA of rank 2" in out
    assert run("train", world / "run.toml", "--dry-run", "--set", "learner.respones = 3")[0] == 2
    code, _, err = run("train", world / "run.toml", "--dry-run", "--set", 'learner.responses = 3; run.folder = "a;b')
    assert code == 2 and "is not valid TOML" in err


def test_a_mesh_of_more_devices_than_there_are_says_where_it_is_written(world, run):
    code, _, err = run("train", world / "run.toml", "--steps", 1, "--folder", "spread", "--set", "mesh.fsdp = 1000")
    assert code == 2 and "run.toml: mesh: fsdp=1000 x tensor=1 is a mesh of 1000 devices" in " ".join(err.split())
    assert not (world / "spread").exists()


def test_sampled_answers_do_not_depend_on_batches(world, run):
    asked = ("sample", world / "model", world / "prompts.jsonl", "--new-tokens", 3)
    _, few, _ = run(*asked, "--count", 1, "--batch", 5)
    _, many, _ = run(*asked, "--count", 2)
    few, many = ([json.loads(line) for line in out.splitlines()] for out in (few, many))
    assert len(few) == len(many) == 12
    assert [row["answers"][0] for row in few] == [row["answers"][0] for row in many]
    assert all(len(row["finished"]) == 2 for row in many)


def test_a_mixture_speaks_as_its_greater_part(world, run):
    asked = ("sample", world / "model", world / "prompts.jsonl", "--new-tokens", 3, "--temperature", 0)
    alone = run(*asked)[1]
    assert run(*asked, "--mix", f"{world / 'other'}=0.000001")[1] == alone
    assert run(*asked, "--mix", f"{world / 'other'}=0.99")[1] != alone


def test_answers_are_judged_line_by_line(world, run):
    answers = Path("answers.jsonl")
    answers.write_text('{"prompt": "p", "answers": ["red", "green", "blue"]}\n')
    code, out, _ = run("judge", answers, "--judge", world / "judge.toml")
    table = np.array(json.loads(out)["matrix"])
    assert code == 0
    np.testing.assert_allclose(table, [[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]], atol=1e-12)


def test_policies_against_each_other_and_their_nash_mixture(world, run, capsys):
    for colour in ("red", "green", "blue"):
        Path(f"{colour}.jsonl").write_text(f'{{"prompt": "p", "answers": ["{colour}"]}}\n')
    files = [f"{colour}.jsonl" for colour in ("red", "green", "blue")]
    code, out, err = run("judge", *files, "--judge", world / "judge.toml", "--output", "table.csv")
    assert (code, err) == (0, "")
    np.testing.assert_allclose(read_table("table.csv").P, [[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]])
    assert out.count("0.333") == 3
    assert main(["solve", "table.csv", "--beta", "0.1"]) == 0
    assert "red.jsonl" in capsys.readouterr().out


def test_lines_that_repeat_a_prompt_keep_their_answers(world, run):
    for name, colours in (("one", ("red", "blue")), ("two", ("green", "green"))):
        rows = [json.dumps({"prompt": "p", "answers": [colour]}) + "\n" for colour in colours]
        Path(f"{name}.jsonl").write_text("".join(rows))
    code, _, err = run("judge", "one.jsonl", "two.jsonl", "--judge", world / "judge.toml", "--output", "table.npz")
    assert (code, err) == (0, "")
    np.testing.assert_allclose(read_table("table.npz").P[:, 0, 1], [0.9, 0.1])


def test_a_judge_of_single_answers_and_one_of_pairs_make_one_table():
    scored = RewardFunction(lambda prompts, answers: [len(answer) for answer in answers], temperature=2.0)
    paired = Function(lambda prompts, left, right: scored.compare(prompts, left, right))
    answers = [[["a", "aaa"], ["aa", "b"]], [["aaaa", "a"], ["", "aa"]], [["a", "a"], ["aaaaa", "b"]]]
    tables = [duels(judge, ["p", "q"], answers) for judge in (scored, paired)]
    np.testing.assert_allclose(*tables, atol=1e-12)
    np.testing.assert_allclose(tables[0] + np.swapaxes(tables[0], 1, 2), 1.0, atol=1e-12)


def test_checkpoints_against_each_other(world, run):
    code, out, _ = run(
        "judge",
        world / "model",
        world / "other",
        "--prompts",
        world / "prompts.jsonl",
        "--judge",
        world / "judge.toml",
        "--new-tokens",
        3,
        "--count",
        2,
        "--output",
        "table.npz",
    )
    table = read_table("table.npz")
    assert code == 0 and table.P.shape == (12, 2, 2) and table.items == ("model", "other")
    assert "Nash mixture" in out


def test_a_checkpoint_is_evaluated_against_others(world, run):
    code, out, _ = run(
        "evaluate",
        world / "other",
        world / "prompts.jsonl",
        "--against",
        world / "model",
        "--judge",
        world / "judge.toml",
        "--new-tokens",
        3,
        "--count",
        2,
        "--output",
        "found.json",
    )
    found = json.loads(Path("found.json").read_text())
    assert code == 0 and "KL to model" in out
    rate = found["win_rates"]["model"]
    assert rate["low"] <= rate["mean"] <= rate["high"]
    assert found["kl"]["mean"] > 0.1 and found["empirical_gap"]["rival"] == "model"


def test_one_prompt_has_no_interval(world, run):
    Path("one.jsonl").write_text('{"prompt": "red"}\n')
    asked = ("--judge", world / "judge.toml", "--new-tokens", 2)
    code, out, _ = run("evaluate", world / "other", "one.jsonl", "--against", world / "model", *asked)
    assert code == 0 and "1 prompt, 4 answers each" in " ".join(out.split()) and "nan" not in out
    for name in ("a", "b"):
        Path(f"{name}.jsonl").write_text(json.dumps({"prompt": "red", "answers": [name]}))
    code, out, _ = run("judge", "a.jsonl", "b.jsonl", "--judge", world / "judge.toml")
    assert code == 0 and out.startswith("2 policies on 1 prompt: how") and "nan" not in out


def test_an_adapter_ends_its_answers_as_its_base_does(world):
    shutil.copytree(world / "model", "base")
    Path("base", "generation_config.json").write_text('{"eos_token_id": [3, 8]}')
    lora = LoRA(2, 4.0, ("q",))
    save_adapter("adapter", decoder(), lora, init_adapter(decoder(), lora, jax.random.key(0)), base="base")
    assert text_of("adapter").end == text_of("base").end == (3, 8)
    assert not Path("adapter", "generation_config.json").exists()


def test_a_damaged_adapter_is_named(world, run):
    Path("adapter").mkdir()
    Path("adapter", "adapter_config.json").write_text("{")
    code, _, err = run("sample", "adapter", world / "prompts.jsonl")
    assert code == 2 and "adapter_config.json: is no JSON object" in err


def test_a_damaged_mixture_is_named(world, run):
    Path("average").mkdir()
    Path("average", "mixture.json").write_text("{}")
    code, _, err = run("sample", "average", world / "prompts.jsonl")
    assert code == 2 and "mixture.json: holds no weights of policies (KeyError('weights'))." in err


def test_why_there_is_no_kl_divergence_is_said(world, run):
    shutil.copytree(world / "other", "words")
    tiny_tokenizer([*WORDS[:4], "three"], "words")
    asked = ("evaluate", world / "model", world / "prompts.jsonl", "--judge", world / "judge.toml", "--new-tokens", 2)
    code, out, _ = run(*asked, "--against", "words")
    assert code == 0 and "no KL to words: the two have different tokenizers" in out
    code, out, _ = run(*asked, "--against", world / "other", "--temperature", 0.5)
    assert code == 0 and "no KL to other: answers drawn with a temperature or filters are not its own" in out


def test_the_policy_of_a_run_is_exported_when_asked(world, trained, run):
    code, out, _ = run("export", trained, "again")
    assert code == 0 and "after 3 of 3 steps" in out
    assert np.array_equal(weights(Path("again")), weights(trained / "export"))
    assert run("export", trained, "again", "--how", "merged")[0] == 2


@pytest.mark.parametrize("lora", ["true", "false"])
def test_what_a_run_exports_ends_its_answers_as_the_run_did(world, run, lora):
    config = world / f"stop_{lora}.toml"
    text = (world / "run.toml").read_text().replace("every = 2", "every = 0")
    text = text.replace("[generation]", '[generation]\nstop = ["two", "one"]')
    config.write_text(text.replace('path = "model"', f'path = "model"\nlora = {lora}'))
    assert run("train", config, "--steps", 1, "--folder", "stopped")[0] == 0
    assert text_of(Path("stopped", "export")).end == (3, 11, 10)
    assert run("export", "stopped", "again")[0] == 0
    assert text_of("again").end == (3, 11, 10)


def test_an_export_needs_no_judge(trained, run):
    config = json.loads((trained / "config.json").read_text())
    config["config"]["judge"] = {"kind": "reward", "path": "gone"}
    shutil.copytree(trained, "moved")
    Path("moved", "config.json").write_text(json.dumps(config))
    code, _, err = run("export", "moved", "again")
    assert (code, err) == (0, "")


def test_the_average_of_a_run_is_exported_as_a_mixture_that_speaks(world, run):
    config = world / "average.toml"
    config.write_text((world / "run.toml").read_text().replace('"inpo"', '"spo"').replace("every = 2", "every = 0"))
    code, out, _ = run("train", config, "--steps", 2, "--folder", "average")
    said = "is a mixture of 2 policies: transformers loads each of policy0 to policy1, nashpo lm sample, judge and"
    assert code == 0 and said in " ".join(out.split())
    mixture = Path("average", "export")
    assert json.loads((mixture / "mixture.json").read_text())["weights"] == [0.5, 0.5]
    code, out, _ = run("sample", mixture, world / "prompts.jsonl", "--new-tokens", 3)
    assert code == 0 and len(out.splitlines()) == 12


MISTAKES = {
    "trian x": "there is no command lm 'trian'; did you mean 'train'?",
    "train": "lm train needs CONFIG",
    "train nope.toml": "nope.toml: no such file or directory.",
    "train WORLD": "is a folder; give a TOML file, or the config.json of a run.",
    "train RUN --step 3": "lm train has no option --step; did you mean '--steps'?",
    "train RUN --set x=3": "--set x: name a key of a table",
    "train RUN --set model.lora.rank=8": "--set model.lora: single keys of it cannot be changed; write all of it",
    "sample nope PROMPTS": "nope: is not a folder",
    "sample MODEL nope.jsonl": "nope.jsonl: cannot be read (No such file or directory).",
    "sample MODEL PROMPTS --mix other": "--mix 'other': write CHECKPOINT=WEIGHT",
    "sample MODEL PROMPTS --mix a=0.5,b=0.5": "the weights sum to 1; leave some to CHECKPOINT.",
    "sample MODEL PROMPTS --overlong truncate": "--overlong truncate needs --longest: how many tokens are too many.",
    "sample MODEL PROMPTS --longest 2": "has 3 tokens, more than longest=2",
    "sample MODEL PROMPTS --new-tokens 62": "new_tokens is 62, but the model was made for 64 tokens, and the shortest",
    "sample MODEL LONG --new-tokens 3": "long.jsonl: line 2: the prompt has 62 tokens and the answer up to 3",
    "sample MODEL PROMPTS --output out.txt": "--output out.txt: .txt cannot be written",
    "judge MODEL": "is one checkpoint; give another to judge it against.",
    "judge PROMPTS --judge JUDGE": 'has no "answers", a list of at least one text.',
    "judge PROMPTS": "who judges? Give --judge FILE",
    "judge MODEL MODEL --judge JUDGE": "is named twice; give different policies.",
    "evaluate MODEL PROMPTS --against other,other --judge JUDGE": "nashpo: other: is named twice; give different",
    "judge MODEL OTHER --judge JUDGE": "checkpoints answer prompts: give --prompts FILE.",
    "evaluate MODEL PROMPTS": "against whom? Give --against REFERENCE",
    "export MODEL out": "is no config.json of a run;",
    "export nope out": "nope: is no folder of a run; it has no config.json.",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_every_mistake_is_one_sentence(world, run, words):
    places = {"WORLD": "", "RUN": "run.toml", "MODEL": "model", "OTHER": "other", "PROMPTS": "prompts.jsonl"}
    places["JUDGE"] = "judge.toml"
    places["LONG"] = "long.jsonl"
    (world / "long.jsonl").write_text('{"prompt": "red"}\n{"prompt": "' + "red " * 61 + '"}\n')
    code, _, err = run(*(str(world / places[word]) if word in places else word for word in words.split()))
    assert code == 2
    assert MISTAKES[words] in err
    assert err.startswith("nashpo: ") and err.count("\n") == 1


def test_help_needs_no_jax():
    script = "import sys; from nashpo.cli import main; main(['lm', 'train', '--help']); sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], stdout=subprocess.DEVNULL, check=False).returncode == 0


@pytest.mark.parametrize("command", ["train", "sample", "judge", "evaluate", "export"])
def test_help_of_a_command_fits_a_terminal(command, run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run(command, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: nashpo lm {command}")
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("command", [None, "train", "sample", "judge", "evaluate", "export"])
def test_help_on_a_narrow_terminal_is_broken_between_words(command, run, monkeypatch):
    said = {}
    for width in (60, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        code, said[width], _ = run(*([command] if command else []), "--help")
        assert code == 0
        assert max(map(len, said[width].splitlines())) <= width
    assert said[60].split() == said[200].split()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self):
        return True


@pytest.mark.parametrize("width", [30, 50, 100])
def test_the_live_table_fits_the_terminal(width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("NO_COLOR", "1")
    gap = {"empirical_gap": 0.1, "empirical_gap_low": 0.05, "empirical_gap_high": 0.15}
    rows = [{"step": n, "now_loss": 0.5 / (n + 1), "win_rate_reference": 0.5, "length": 9.0, **gap} for n in range(20)]
    shown = Terminal()
    with Live(stream=shown) as live:
        live(Trained(None, None, None, 19, 40, rows))
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.getvalue()).replace("\r", "\n")
    assert "19/40" in plain and "0.500" in plain
    assert max(map(len, plain.splitlines())) <= width
    assert max(len(line) for line in plain.splitlines() if " steps " in line) <= width - 3  # and ^C
    assert ("empirical gap" in plain) == (width >= 50)


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_one_that_was_not(world, tmp_path):
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'games'}", "NASHPO_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "nashpo", "lm", "train", str(world / "run.toml"), "--steps", "8"]
    quiet = {"env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    assert subprocess.run([*command, "--folder", "whole"], check=False, **quiet).returncode == 0
    killed = 0
    for saved in (2, 5):
        process = subprocess.Popen([*command, "--folder", "killed"], **quiet)
        while not (tmp_path / "killed" / "checkpoints" / f"{saved:08d}").is_dir() and process.poll() is None:
            time.sleep(0.02)
        killed += process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert subprocess.run([*command, "--folder", "killed"], check=False, **quiet).returncode == 0
    assert killed
    for name in ("metrics.jsonl", "completions.jsonl", "export/model.safetensors"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()

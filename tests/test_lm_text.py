"""Texts as tokens: special tokens once, chat templates, end tokens, silence of transformers."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nashpo.lm.text import Text
from nashpo.lm.tiny import SPECIAL, tiny_tokenizer

WORDS = ["red", "green", "blue"]
USER = [{"role": "user", "content": "red green"}]
ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def folder(tmp_path):
    tiny_tokenizer(WORDS, tmp_path / "model")
    return tmp_path / "model"


def test_importing_transformers_says_nothing(folder):
    program = f"from nashpo.lm.text import Text; print(Text.load({str(folder)!r}).encode('red'))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[2, 7]\n", "")


def test_importing_texts_prompts_and_judges_leaves_transformers_alone():
    program = (
        "import sys, nashpo.lm.text, nashpo.lm.prompts, nashpo.lm.preferences, nashpo.lm.tiny\n"
        "from nashpo.lm.judges import Cached, Ensemble, Function, Remote, Retried\n"
        "print([name for name in ('transformers', 'tokenizers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_plain_text_has_the_special_tokens_of_the_tokenizer_and_a_conversation_those_of_the_template(folder):
    text = Text.load(folder)
    start = SPECIAL.index("<s>")
    assert text.encode("red") == [start, 7]
    tokens = text.encode(USER)
    assert tokens == [start, SPECIAL.index("<user>"), 7, 8, SPECIAL.index("</s>"), SPECIAL.index("<assistant>")]
    assert tokens.count(start) == 1
    twice = text.tokenizer.encode(text.render(USER, answering=True))
    assert twice.count(start) == 2, "encoding a rendered conversation with special tokens is the mistake avoided here"
    assert text.encode(USER)[:-1] == text.tokens(text.render(USER))


def test_decoding_skips_special_tokens_and_padding(folder):
    text = Text.load(folder)
    assert text.decode(np.array([2, 7, 9, 3, -1], np.int32)) == "red blue"
    assert text.decode([]) == ""


def test_an_answer_ends(folder):
    text = Text.load(folder)
    assert text.answer("blue red") == [9, 7, 3]
    assert text.decode(text.answer("blue red")) == "blue red"


def test_an_answer_in_a_conversation_ends_as_the_template_ends_it(tmp_path):
    template = "{% for m in messages %}{{ m['content'] + ' green ' }}{% endfor %}"
    tiny_tokenizer(WORDS, tmp_path, template=template)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [3, 8]}')
    text = Text.load(tmp_path)
    assert text.end == (3, 8)
    assert text.answer("red") == [7, 3]
    assert text.answer("red", chat=True) == [7, 8]
    assert tiny_tokenizer(WORDS, template=None).answer("red", chat=True) == [7, 3]


@pytest.mark.parametrize(
    ("files", "end"),
    [
        ({}, (3,)),
        ({"config.json": {"eos_token_id": 9}}, (9,)),
        ({"config.json": {"text_config": None}}, (3,)),
        ({"config.json": {"text_config": {"eos_token_id": [8, 3]}}}, (3, 8)),
        ({"config.json": {"eos_token_id": 9}, "generation_config.json": {"eos_token_id": 8}}, (8,)),
        ({"config.json": {"eos_token_id": 9}, "generation_config.json": {"eos_token_id": [8, 3, 8]}}, (3, 8)),
        ({"config.json": {"eos_token_id": 9}, "generation_config.json": {"eos_token_id": None}}, (9,)),
    ],
    ids=["tokenizer", "config", "no nested config", "nested config", "generation", "several", "none in generation"],
)
def test_end_tokens(folder, files, end):
    for name, content in files.items():
        (folder / name).write_text(json.dumps({"model_type": "llama", **content}))
    assert Text.load(folder).end == end


def test_the_tokenizer_of_an_adapter_is_of_the_kind_that_its_base_says(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["<s>", "</s>", *"red12Ġ", "12"]
    bytewise = Tokenizer(models.BPE({word: place for place, word in enumerate(words)}, [("1", "2")]))
    bytewise.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)  # type: ignore[assignment]
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytewise, bos_token="<s>", eos_token="</s>")
    for name in ("base", "adapter"):
        tokenizer.save_pretrained(tmp_path / name)
    (tmp_path / "base" / "config.json").write_text('{"model_type": "qwen2", "eos_token_id": [3, 1]}')
    base, alone = Text.load(tmp_path / "base"), Text.load(tmp_path / "adapter")
    text = Text.load(tmp_path / "adapter", base=tmp_path / "base")
    assert text.encode("red 12") == base.encode("red 12") != alone.encode("red 12")
    assert text.end == base.end == (1, 3) and alone.end == (1,)


def test_saved_and_loaded_it_is_the_same(folder, tmp_path):
    (folder / "generation_config.json").write_text('{"eos_token_id": [8, 3]}')
    text = Text.load(folder)
    copy = Text.load(text.save(tmp_path / "copy"))
    assert copy.end == text.end == (3, 8)
    assert copy.encode(USER) == text.encode(USER)
    assert not [path.name for path in (tmp_path / "copy").iterdir() if path.name.startswith(".")]


def test_saving_keeps_the_generation_settings_there_are(folder, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "generation_config.json").write_text('{"eos_token_id": 9, "top_k": 5}')
    Text.load(folder).save(tmp_path / "out")
    assert json.loads((tmp_path / "out" / "generation_config.json").read_text()) == {"eos_token_id": 9, "top_k": 5}


def test_the_vocabulary_counts_every_token(folder):
    assert Text.load(folder).vocabulary == len(SPECIAL) + len(WORDS)


def test_no_folder(tmp_path):
    with pytest.raises(ValueError, match=r"nothing: is not a folder; give the directory of a checkpoint\."):
        Text.load(tmp_path / "nothing")


def test_no_tokenizer(tmp_path):
    with pytest.raises(ValueError, match=r"has no tokenizer \(tokenizer_config.json, tokenizer.json\)\."):
        Text.load(tmp_path)


def test_a_broken_tokenizer(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ValueError, match="the tokenizer cannot be read"):
        Text.load(folder)


def test_an_end_token_outside_the_vocabulary(folder):
    (folder / "generation_config.json").write_text('{"eos_token_id": [3, 151643]}')
    with pytest.raises(ValueError, match="the end token 151643 is none of the tokenizer's 10 tokens"):
        Text.load(folder)


def test_a_tokenizer_without_a_template(tmp_path):
    text = tiny_tokenizer(WORDS, tmp_path, template=None)
    assert text.encode("red") == [2, 7]
    with pytest.raises(ValueError, match="the tokenizer has no chat template: give plain prompts"):
        text.encode(USER)


def test_a_template_that_refuses(tmp_path):
    text = tiny_tokenizer(WORDS, tmp_path, template="{{ raise_exception('System role not supported.') }}")
    with pytest.raises(ValueError, match=r"refuses the conversation \(System role not supported\)\."):
        text.encode(USER)


@pytest.mark.parametrize("words", [["red", "red"], ["<s>"], ["two words"], [""]])
def test_words_of_a_tiny_tokenizer(words):
    with pytest.raises(ValueError, match=rf"words\[{len(words) - 1}\]"):
        tiny_tokenizer(words)

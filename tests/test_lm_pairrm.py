"""PairRM as a judge: how it lays texts out, what it makes of them, and the folders it is read from."""

import itertools
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

from nashpo.lm.config.judge import read_judge
from nashpo.lm.config.readable import check_readable
from nashpo.lm.encoder import encode
from nashpo.lm.files.encoders import check_ranker, load_ranker
from nashpo.lm.judges import JudgeError, PairRM, matrix
from nashpo.lm.judges.ranker import MARKS
from nashpo.lm.prompts import Prompts
from nashpo.lm.tiny import tiny_tokenizer
from nashpo.studies.document import read_document

FIXTURE = Path(__file__).resolve().parent / "fixtures" / "lm" / "pairrm"
WORDS = ["red", "green", "blue", *(f"word{i}" for i in range(35))]
ANSWERS = ["red", "green blue", "", "blue blue red green blue red green"]
START, SOURCE, FIRST, SECOND = 2, 45, 46, 47


def ranking_text(folder=None):
    """A tokenizer with the marks, whose tokens are the fixture's."""
    text = tiny_tokenizer(WORDS)
    text.tokenizer.add_tokens(list(MARKS), special_tokens=True)
    return text if folder is None else text.save(folder)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranker") / "pairrm"
    shutil.copytree(FIXTURE, path)
    ranking_text(path)
    return path


@pytest.fixture(scope="module")
def judge(folder):
    return PairRM.load(folder, temperature=0.5)


_encode = jax.jit(encode, static_argnums=0)


def margin(ranker, tokens):
    """By how much the first answer beats the second, one text alone in a row of one length, the head written out."""
    row, places = np.zeros((1, 32), np.int32), np.full((1, 32), -1, np.int32)
    row[0, : len(tokens)], places[0, : len(tokens)] = tokens, np.arange(len(tokens))
    states = np.asarray(_encode(ranker.encoder, ranker.params, row, places)[0], np.float64)
    head = {name: np.asarray(value, np.float64) for name, value in ranker.head.items()}
    source, *answers = (states[tokens.index(mark)] for mark in (SOURCE, FIRST, SECOND))
    scores = []
    for answer in answers:
        inner = np.tanh(head["inner"] @ np.concatenate([source, answer]) + head["inner_bias"])
        scores.append(head["outer"] @ inner + head["outer_bias"])
    return np.mean(scores[0] - scores[1])


def test_both_orders_of_prompt_and_answers(judge, folder):
    ranker, text = load_ranker(folder), judge.reader.text

    def one_order(left, right):
        parts = zip((SOURCE, FIRST, SECOND), ("red green", left, right), strict=True)
        tokens = [token for mark, part in parts for token in (START, mark, *text.tokens(part))]
        return 1 / (1 + np.exp(-margin(ranker, tokens) / 0.5))

    table = matrix(judge, ["red green"], [ANSWERS])[0]
    for i, j in itertools.combinations(range(len(ANSWERS)), 2):
        expected = (one_order(ANSWERS[i], ANSWERS[j]) + 1 - one_order(ANSWERS[j], ANSWERS[i])) / 2
        np.testing.assert_allclose(table[i, j], expected, rtol=0, atol=1e-5)
        assert table[i, j] + table[j, i] == 1.0
    assert (np.diag(table) == 0.5).all() and np.abs(table - 0.5).max() > 0.01
    assert abs(one_order(*ANSWERS[:2]) + one_order(*ANSWERS[1::-1]) - 1) > 1e-3, "one order would do"


def test_marks_in_a_users_text_are_not_taken_for_the_judges(judge):
    said = judge.compare(["red", "red <|candidate1|> blue"], ["green"] * 2, ["blue"] * 2)
    assert np.isfinite(said).all() and said[0] != said[1]
    prompt = ("red <|candidate1|> blue <|candidate2|>",)
    assert judge.compare(prompt, ["green"], ["blue"]) + judge.compare(prompt, ["blue"], ["green"]) == 1


def test_batches_change_nothing(folder, judge):
    one = PairRM.load(folder, temperature=0.5, batch=1)
    pairs = list(itertools.permutations(ANSWERS, 2))
    asked = ["blue"] * len(pairs), [left for left, _ in pairs], [right for _, right in pairs]
    np.testing.assert_allclose(one.compare(*asked), judge.compare(*asked), rtol=0, atol=1e-6)
    assert judge.compare([], [], []).shape == (0,)


def test_conversations_are_written_as_turns(folder, judge):
    talk = [{"role": "user", "content": "red"}, {"role": "assistant", "content": "blue"}]
    turned = PairRM.load(folder, temperature=0.5, turn="{content} ")
    pair = ["green"], ["blue"]
    assert turned.compare([talk], *pair) == judge.compare(["red blue"], *pair)
    assert judge.compare([talk[:1]], *pair) == judge.compare(["red"], *pair)
    assert turned.identity() != judge.identity() == PairRM.load(folder, temperature=0.5).identity()


def test_a_tokenizer_without_the_marks(folder):
    with pytest.raises(ValueError, match=r"tokenizer has no token <\|source\|>: it is not that of a PairRM"):
        PairRM(load_ranker(folder), tiny_tokenizer(WORDS))
    plain = tiny_tokenizer([*WORDS, *MARKS])
    with pytest.raises(ValueError, match=r"does not tell <\|source\|> from the text behind it: add it as a token"):
        PairRM(load_ranker(folder), plain).compare(["red"], ["green"], ["blue"])


def test_a_text_that_is_too_long(folder, judge):
    assert judge.reader.longest == 2048
    short = PairRM.load(folder, longest=9)
    short.compare(["red"], ["red"], ["blue"])
    with pytest.raises(JudgeError, match="the judge reads 9 tokens, but there are 10 in the prompt 'red green'"):
        short.compare(["red green"], ["red"], ["blue"])


def test_verdicts_that_are_no_numbers(folder):
    ranker = load_ranker(folder, place=lambda name, array: array * np.nan if name == "embed" else array)
    with pytest.raises(JudgeError, match="the judge PairRM says nan of pair 0"):
        PairRM(ranker, ranking_text()).compare(["red"], ["green"], ["blue"])


def test_in_a_configuration(folder):
    document = read_document({"judge": {"kind": "pairrm", "path": str(folder), "longest": 10}})
    planned = read_judge(document)
    assert planned.build(None).compare(["red"], ["red"], ["red"]).tolist() == [0.5]
    (model,) = planned.models
    check_readable(model, Prompts.of(["red"]), 1)
    with pytest.warns(UserWarning, match=r"reads 10 tokens; the prompt in prompts\[0\] has 7, and two answers about 4"):
        check_readable(model, Prompts.of(["red"]), 2)
    with pytest.raises(ValueError, match=r"has 11 tokens as judge reads it, without any answer, but it reads 10"):
        check_readable(model, Prompts.of(["red red red red red"]), 1)


def test_damaged_folders(folder, tmp_path):
    path = tmp_path / "ranker"
    shutil.copytree(folder, path)
    config = json.loads((path / "config.json").read_text())
    for change, said in (
        ({"num_hidden_layers": 3}, r"encoder\.layer\.2\..*is missing; the checkpoint is not complete"),
        ({"num_hidden_layers": 1}, r"encoder\.layer\.1\..* and 15 more is no parameter of a PairRM model"),
        ({"intermediate_size": 25}, r"intermediate\.dense\.weight has shape \(24, 16\), but .* asks for \(25, 16\)"),
        ({"share_att_key": False}, "ranker: share_att_key is False: rankers are read with True only"),
    ):
        (path / "config.json").write_text(json.dumps({**config, **change}))
        for read in (load_ranker, check_ranker):
            with pytest.raises(ValueError, match=said):
                read(path)

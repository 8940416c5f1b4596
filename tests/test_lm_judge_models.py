"""Judges that are language models, against what their formulas say, one text at a time and without padding."""

import itertools
import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import nashpo
from nashpo.lm.decoder import Decoder, hidden, init_params, logits
from nashpo.lm.files import load, save
from nashpo.lm.judges import (
    Cached,
    Choice,
    GeneralPreference,
    JudgeError,
    Layout,
    PairClassifier,
    Retried,
    Reward,
    matrix,
)
from nashpo.lm.judges.layout import filled
from nashpo.lm.judges.reader import Reader, _read, as_head
from nashpo.lm.tiny import SPECIAL, tiny_tokenizer

FIXTURES = Path(__file__).resolve().parent / "fixtures" / "lm"
WORDS = ["red", "green", "blue", "A", "B", "Prompt", "or"]
SIZE = len(SPECIAL) + len(WORDS)
WIDTH = 8
DECODER = Decoder(
    "llama", vocabulary=SIZE, width=WIDTH, layers=2, heads=2, kv_heads=1, head_dim=4, inner=12, longest=64
)
TEMPLATE = "Prompt {prompt} A {left} or B {right}"
ANSWERS = ["red", "green blue", "blue blue red green", "", "red green red green blue red green blue red green blue"]
CHAT = [{"role": "user", "content": "blue green"}]
SYSTEM = [{"role": "system", "content": "red"}, {"role": "user", "content": "blue"}]

EXAMPLE = [
    [0.5, 0.452417, 0.449137, 0.762229],
    [0.547583, 0.5, 0.531891, 0.609795],
    [0.550863, 0.468109, 0.5, 0.755649],
    [0.237771, 0.390206, 0.244351, 0.5],
]
"""P from gpm_example_usage.py of general-preference/general-preference-model at a376d95, run in float32 with torch."""


@pytest.fixture(scope="module")
def text():
    return tiny_tokenizer(WORDS)


@pytest.fixture(scope="module")
def params():
    return init_params(DECODER, jax.random.key(0), jnp.float32, scale=0.5)


def draw(seed, rows):
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)


_hidden = jax.jit(hidden, static_argnums=0)


def states(params, tokens, decoder=DECODER):
    """Final states `[T, D]` of one text alone, at the end of a row of one length, so that one program does for all."""
    row, places = np.full((1, 40), 9, np.int32), np.full((1, 40), -1, np.int32)
    row[0, 40 - len(tokens) :], places[0, 40 - len(tokens) :] = tokens, np.arange(len(tokens))
    return np.asarray(_hidden(decoder, params, row, places)[0][0, 40 - len(tokens) :], np.float64)


def sigmoid(x):
    return 1 / (1 + np.exp(-np.asarray(x, np.float64)))


def close(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-5, rtol=0)


@pytest.fixture
def count_rows(monkeypatch):
    """How many texts were read."""
    read, counts = Reader.read, []

    def counting(self, head, rows, at, cap=None):
        counts.append(len(rows))
        return read(self, head, rows, at, cap)

    monkeypatch.setattr(Reader, "read", counting)
    return counts


class TestReader:
    def test_padding_and_company_change_nothing(self, params, text, rng):
        rows = [rng.integers(0, SIZE, length).tolist() for length in (3, 25, 1, 8, 12, 7, 30, 9, 2)]
        at = np.array([[len(row) - 1, len(row) // 2] for row in rows], np.int32)
        head = draw(1, 3)
        found = Reader(DECODER, params, text, batch=4).read(head, rows, at)
        for row, places, said in zip(rows, at, found, strict=True):
            close(said, states(params, row)[places] @ head.T.astype(np.float64))

    def test_few_programs_are_compiled(self, params, text):
        reader, head = Reader(DECODER, params, text, batch=4), draw(1, 1)
        compiled = _read.program._cache_size
        before = compiled()
        for lengths in itertools.product((1, 3, 5, 8), repeat=2):
            rows = [[7] * length for length in (*lengths, 2, 4)]
            reader.read(head, rows, np.zeros((4, 1), np.int32))
        assert compiled() - before <= 1

    def test_a_vocabulary_that_does_not_fit(self, text):
        small = Decoder("llama", vocabulary=SIZE - 1, width=4, layers=1, heads=1, kv_heads=1, head_dim=4, inner=4)
        with pytest.raises(ValueError, match=f"tokenizer has {SIZE} tokens, but its embedding {SIZE - 1} rows"):
            Reward(small, {}, np.zeros((1, 4)), text)

    def test_an_added_token_without_an_embedding_is_no_matter_until_a_text_has_it(self, params):
        more = tiny_tokenizer(WORDS)
        more.tokenizer.add_tokens(["<image>"], special_tokens=True)
        assert more.vocabulary == SIZE + 1
        judge, plain = (Reward(DECODER, params, draw(1, 1), one) for one in (more, tiny_tokenizer(WORDS)))
        pair = ["red"], ["green"], ["blue"]
        assert judge.compare(*pair) == plain.compare(*pair)
        with pytest.raises(JudgeError, match=rf"prompt 'red' has the token '<image>' \({SIZE}\), but its embedding"):
            judge.compare(["red"], ["green"], [" <image>"])
        with pytest.raises(ValueError, match="must be two different tokens, with an embedding each"):
            Choice(DECODER, params, more, template=TEMPLATE, labels=("A", "<image>"))

    def test_a_text_that_is_too_long(self, params, text):
        judge = Reward(DECODER, params, draw(1, 1), text, longest=5)
        judge.compare(["red"], ["red"], [" red red"])
        with pytest.raises(JudgeError, match=r"reads 5 tokens, but there are 6 in the prompt 'red green' with what"):
            judge.compare(["red", "red green"], ["red", " red red red"], ["blue", "blue"])
        unlimited = Reward(DECODER, params, draw(1, 1), text)
        with pytest.raises(JudgeError, match=r"allow shorter answers only, or raise judge\.longest"):
            judge.compare(["red green"], [" red red red"], ["blue"])
        with pytest.raises(JudgeError, match=r"reads 64 tokens, but there are 66.*allow shorter answers only\."):
            unlimited.compare(["red"], [" red" * 64], ["red"])

    def test_sizes(self, params, text):
        with pytest.raises(ValueError, match="batch=0, longest=None: both are at least 1"):
            Reward(DECODER, params, draw(1, 1), text, batch=0)

    @pytest.mark.parametrize(("name", "labels"), [("qwen2_score", 1), ("gemma3_score", 2)])
    def test_scores_are_those_of_transformers(self, text, name, labels):
        found, checkpoint = np.load(FIXTURES / name / "expected.npz"), load(FIXTURES / name)
        pairs = zip(found["tokens"], found["positions"], strict=True)
        rows = [tokens[positions >= 0].tolist() for tokens, positions in pairs]
        last = np.array([[len(row) - 1] for row in rows], np.int32)
        reader = Reader(checkpoint.decoder, checkpoint.params, text, batch=2)
        said = reader.read(as_head(checkpoint.heads["score"], checkpoint.decoder.width, "score"), rows, last)
        assert said.shape == (len(rows), 1, labels)
        np.testing.assert_allclose(said[:, 0], found["scores"], atol=5e-5, rtol=0)


class TestLayout:
    def test_plain_text_is_one_text(self, text):
        assert Layout().answered(text, "red green", " blue") == ([2, 7, 8, 9], 2)
        assert Layout(end="added").answered(text, "red", " blue") == ([2, 7, 9, 3], 1)

    def test_conversations(self, text):
        user, assistant, end = SPECIAL.index("<user>"), SPECIAL.index("<assistant>"), SPECIAL.index("</s>")
        whole = [2, user, 9, 8, end, assistant, 7, end]
        assert Layout().answered(text, CHAT, "red") == (whole, 4)
        assert Layout(chat=True).answered(text, "blue green", "red") == (whole, 4)
        assert Layout(end="added").answered(text, CHAT, "red") == (whole, 4)
        assert Layout(begin="removed").answered(text, CHAT, "red") == (whole[1:], 3)
        assert Layout(begin="added").answered(text, CHAT, "red") == ([2, *whole], 5)
        bare = tiny_tokenizer(WORDS, template="{% for m in messages %}{{ m['content'] + ' or ' }}{% endfor %}")
        assert Layout(end="kept").answered(bare, CHAT, "red") == ([9, 8, 13, 7, 13], 2)
        assert Layout(end="replaced").answered(bare, CHAT, "red") == ([9, 8, 13, 7, 3], 2)
        assert Layout(end="added").answered(bare, CHAT, "red") == ([9, 8, 13, 7, 13, 3], 2)

    def test_questions(self, text):
        assert Layout(chat=True).asked(text, "red", answering=True) == text.encode([{"role": "user", "content": "red"}])
        assert Layout(chat=True).asked(text, "red", answering=False)[-1] == SPECIAL.index("</s>")
        assert Layout().asked(text, "red", answering=True) == [2, 7]

    @pytest.mark.parametrize("wrong", [{"begin": "none"}, {"end": "eos"}])
    def test_words(self, wrong):
        with pytest.raises(ValueError, match="choose from"):
            Layout(**wrong)

    @pytest.mark.parametrize("template", ["{prompt} {left}", "{prompt} {left} {right} {left}"])
    def test_templates_have_every_place_once(self, params, text, template):
        with pytest.raises(ValueError, match=r"the template has \{\w+\} \d times: it needs each place once"):
            PairClassifier(DECODER, params, draw(1, 2), text, template=template)


class TestReward:
    def test_bradley_terry_of_the_last_token(self, params, text):
        head = draw(1, 1)
        judge = Reward(DECODER, params, head, text, temperature=2.0, batch=3)
        for prompt in ("red green", CHAT, SYSTEM):
            rows = [Layout().answered(text, prompt, f" {answer}")[0] for answer in ANSWERS]
            scores = np.array([states(params, row)[-1] @ head[0] for row in rows])
            answers = [f" {answer}" for answer in ANSWERS]
            close(judge.scores([prompt] * 5, answers), scores)
            expected = sigmoid((scores[:, None] - scores[None]) / 2.0)
            close(judge.matrix([prompt], [answers])[0], expected)
            close(judge.compare([prompt] * 4, answers[:4], answers[1:]), expected[range(4), range(1, 5)])

    def test_the_last_token_may_be_the_padding_token(self, params, text):
        head = draw(1, 1)
        judge = Reward(DECODER, params, head, text)
        ends = ["red", "red <pad>", "red <pad> <pad>"]
        expected = [states(params, text.tokens(f"blue {end}", special=True))[-1] @ head[0] for end in ends]
        assert len({round(float(score), 4) for score in expected}) == 3
        close(judge.scores(["blue"] * 3, [f" {end}" for end in ends]), expected)

    def test_each_answer_is_read_once(self, params, text, count_rows):
        judge = Reward(DECODER, params, draw(1, 1), text)
        table = judge.matrix(["red", CHAT], [["red", "green", "red"], ["red", "green", "blue"]])
        assert sum(count_rows) == 2 + 3
        close(table + table.swapaxes(1, 2), 1.0)
        judge.compare(["red"] * 6, ["a", "a", "b", "b", "c", "c"], ["b", "c", "a", "c", "a", "b"])
        assert sum(count_rows) == 5 + 3

    @pytest.mark.parametrize(
        ("shape", "message"),
        [
            ((2, WIDTH), "the head score has 2 labels, but a reward is one number"),
            ((1, WIDTH + 1), rf"the head score has shape \[1, {WIDTH + 1}\], but must be \[labels, {WIDTH}\]"),
            ((WIDTH,), rf"the head score has shape \[{WIDTH}\]"),
        ],
    )
    def test_heads(self, params, text, shape, message):
        with pytest.raises(ValueError, match=message):
            Reward(DECODER, params, np.zeros(shape), text)

    def test_a_model_that_is_broken(self, params, text):
        judge = Reward(DECODER, {**params, "norm": params["norm"] * jnp.nan}, draw(1, 1), text)
        with pytest.raises(
            JudgeError, match="the judge Reward gives the answer 'red' to the prompt 'blue' the score nan"
        ):
            judge.compare(["blue"], ["red"], ["green"])
        with pytest.raises(JudgeError, match="failed 2 times; last: the judge Reward gives"):
            matrix(Retried(judge, retries=1, wait=0), ["blue"], [["red", "green"]])


class TestPairClassifier:
    def test_both_orders_of_one_text(self, params, text):
        head = draw(2, 2)
        judge = PairClassifier(DECODER, params, head, text, template=TEMPLATE, temperature=0.5)

        def one_order(left, right):
            tokens = text.tokens(f"Prompt red A {left} or B {right}", special=True)
            z = head.astype(np.float64) @ states(params, tokens)[-1]
            return sigmoid((z[0] - z[1]) / 0.5)

        table = matrix(judge, ["red"], [ANSWERS])[0]
        for i, j in itertools.combinations(range(len(ANSWERS)), 2):
            expected = (one_order(ANSWERS[i], ANSWERS[j]) + 1 - one_order(ANSWERS[j], ANSWERS[i])) / 2
            close(table[i, j], expected)
            assert table[i, j] + table[j, i] == 1.0
        assert (np.diag(table) == 0.5).all()

    def test_the_other_label(self, params, text):
        head = draw(2, 2)
        first = PairClassifier(DECODER, params, head, text, template=TEMPLATE)
        second = PairClassifier(DECODER, params, head, text, template=TEMPLATE, left_label=1)
        pair = ["red"], ["green"], ["blue blue"]
        close(first.compare(*pair) + second.compare(*pair), 1.0)
        with pytest.raises(ValueError, match="left_label=2: must be 0 or 1"):
            PairClassifier(DECODER, params, head, text, template=TEMPLATE, left_label=2)

    def test_how_often_it_reads(self, params, text, count_rows):
        judge = PairClassifier(DECODER, params, draw(2, 2), text, template=TEMPLATE)
        matrix(judge, ["red"], [["red", "green", "blue"]])
        assert count_rows == [3 * 2]
        p = judge.compare(["red"] * 4, ["red", "green", "red", "red"], ["green", "red", "green", "red"])
        assert count_rows == [6, 2]
        assert p[0] == p[2] == 1 - p[1]
        assert p[3] == 0.5
        assert judge.compare([], [], []).shape == (0,)

    def test_conversations_in_a_template(self, params, text):
        talk = [*CHAT, {"role": "assistant", "content": "red"}, {"role": "user", "content": "blue"}]
        assert filled("{prompt}", talk, "", "") == "user: blue green\nassistant: red\nuser: blue"
        assert filled("{prompt}", talk, "", "", turn="<{role}> {content} ") == (
            "<user> blue green <assistant> red <user> blue "
        )
        head = draw(2, 2)
        single = PairClassifier(DECODER, params, head, text, template=TEMPLATE)
        pair = ["red"], ["blue"]
        assert single.compare([CHAT], *pair) == single.compare(["blue green"], *pair)
        turned = PairClassifier(DECODER, params, head, text, template=TEMPLATE, turn="<{role}> {content}")
        assert turned.compare([CHAT], *pair) == single.compare(["<user> blue green"], *pair)

    def test_a_text_that_looks_like_a_place(self):
        assert filled(TEMPLATE, "{left}", "{right}", "{prompt}") == "Prompt {left} A {right} or B {prompt}"

    @pytest.mark.parametrize("labels", [1, 3])
    def test_labels(self, params, text, labels):
        with pytest.raises(ValueError, match=f"has {labels} labels, but a classifier of pairs has two"):
            PairClassifier(DECODER, params, draw(2, labels), text, template=TEMPLATE)


class TestChoice:
    @pytest.mark.parametrize("tied", [False, True])
    def test_the_softmax_of_two_logits(self, text, tied):
        decoder = Decoder(
            "gemma2", vocabulary=SIZE, width=WIDTH, layers=2, heads=2, kv_heads=1, head_dim=4, inner=12, tied=tied,
            logit_cap=2.0,
        )  # fmt: skip
        params = init_params(decoder, jax.random.key(3), jnp.float32, scale=0.5)
        judge = Choice(decoder, params, text, template=TEMPLATE)

        def one_order(left, right):
            question = [{"role": "user", "content": f"Prompt red A {left} or B {right}"}]
            state = jnp.asarray(states(params, text.encode(question), decoder)[-1], jnp.float32)
            z = np.asarray(logits(decoder, params, state), np.float64)
            a, b = z[text.tokens("A")[0]], z[text.tokens("B")[0]]
            assert np.abs(z).max() > 0.5, "the cap would not be seen"
            return np.exp(a) / (np.exp(a) + np.exp(b))

        expected = (one_order("green", "blue red") + 1 - one_order("blue red", "green")) / 2
        close(judge.compare(["red"], ["green"], ["blue red"]), expected)
        close(judge.compare(["red"], ["blue red"], ["green"]), 1 - expected)

    def test_a_first_place_that_always_wins_wins_nothing(self, params, text):
        biased = dict(params, head=params["head"].at[text.tokens("A")[0]].multiply(0.0))
        biased["head"] = biased["head"].at[text.tokens("B")[0]].set(0.0)
        assert Choice(DECODER, biased, text, template=TEMPLATE).compare(["red"], ["green"], ["blue"]).tolist() == [0.5]

    def test_other_labels_and_no_beginning_of_an_answer(self, params, text):
        plain = Choice(
            DECODER, params, text, template=TEMPLATE, labels=("red", "green"), layout=Layout(), answering=False
        )
        tokens = text.tokens("Prompt red A green or B blue", special=True)
        z = [np.asarray(params["head"], np.float64)[[7, 8]] @ states(params, tokens)[-1]]
        tokens = text.tokens("Prompt red A blue or B green", special=True)
        z.append(np.asarray(params["head"], np.float64)[[7, 8]] @ states(params, tokens)[-1])
        expected = (sigmoid(z[0][0] - z[0][1]) + 1 - sigmoid(z[1][0] - z[1][1])) / 2
        close(plain.compare(["red"], ["green"], ["blue"]), expected)

    @pytest.mark.parametrize(
        ("labels", "message"),
        [
            (("A B", "B"), "the label 'A B' is 2 tokens to the judge's tokenizer"),
            (("A", "C"), "the label 'C' is unknown to the judge's tokenizer"),
            (("A", "A"), "must be two different tokens"),
        ],
    )
    def test_labels_are_single_tokens(self, params, text, labels, message):
        with pytest.raises(ValueError, match=message):
            Choice(DECODER, params, text, labels=labels)

    def test_no_head(self, params, text):
        bare = {name: value for name, value in params.items() if name != "head"}
        with pytest.raises(ValueError, match=r"no language model's head: a Choice needs lm_head\.weight"):
            Choice(DECODER, bare, text)


class TestGeneralPreference:
    @pytest.mark.parametrize("gated", [False, True])
    @pytest.mark.parametrize("convention", ["normalised", "scaled"])
    @pytest.mark.parametrize("prompt", ["red green", SYSTEM], ids=["plain", "conversation"])
    def test_the_formula(self, params, text, prompt, convention, gated):
        value, gate = draw(4, 6), 3 * draw(5, 3) if gated else None
        judge = GeneralPreference(DECODER, params, value, text, convention=convention, prompt_head=gate)
        messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        v, before = [], len(text.tokens(text.render(messages), special=True))
        for answer in ANSWERS:
            tokens = text.tokens(text.render([*messages, {"role": "assistant", "content": answer}]), special=True)
            state = states(params, [*tokens[:-1], SPECIAL.index("</s>")])
            v.append(value.astype(np.float64) @ state[-1])
        v, g = np.array(v), np.ones(3)
        if convention == "normalised":
            v /= np.linalg.norm(v, axis=-1, keepdims=True)
        if gate is not None:
            x = gate.astype(np.float64) @ state[before - 1]
            x = x / np.sqrt(WIDTH) if convention == "scaled" else x
            g = np.exp(x) / np.exp(x).sum() * (3 if convention == "scaled" else 1)
        R = np.kron(np.diag(g), [[0, -1], [1, 0]])
        scores = np.array([[(R @ a) @ b for b in v] for a in v])
        expected = sigmoid(scores / 0.1)
        table = judge.matrix([prompt], [ANSWERS])[0]
        np.testing.assert_allclose(table, expected, atol=5e-5, rtol=0)
        pairs = list(itertools.product(range(5), repeat=2))
        p = judge.compare([prompt] * 25, [ANSWERS[i] for i, _ in pairs], [ANSWERS[j] for _, j in pairs])
        np.testing.assert_allclose(p.reshape(5, 5), table, atol=1e-12)
        assert np.abs(scores).max() > 0.05

    def test_what_the_authors_example_program_says(self):
        decoder = Decoder(
            "llama", vocabulary=27, width=16, layers=2, heads=4, kv_heads=2, head_dim=4, inner=24, longest=256
        )
        params = init_params(decoder, jax.random.key(1), jnp.float32, scale=0.4)
        rng = np.random.default_rng(0)
        value, gate = (rng.normal(size=(rows, 16)).astype(np.float32) for rows in (6, 3))
        words = tiny_tokenizer([f"w{i}" for i in range(20)])
        judge = GeneralPreference(decoder, params, value, words, convention="normalised", prompt_head=gate)
        answers = ["w1 w2 w3", "w4", "w5 w6 w7 w8 w9 w10 w11", "w12 w1"]
        close(judge.matrix(["w3 w2 w1"], [answers])[0], EXAMPLE)

    @pytest.mark.parametrize("convention", ["normalised", "scaled"])
    def test_the_table_of_its_embeddings(self, params, text, convention):
        judge = GeneralPreference(
            DECODER, params, draw(4, 4), text, convention=convention, prompt_head=draw(5, 2), temperature=0.3
        )
        prompts, answers = ["red", CHAT], [ANSWERS[:3], ANSWERS[2:]]
        oracle = nashpo.oracles.GeneralPreference(judge.embeddings(prompts, answers), "probability", 0.3)
        np.testing.assert_allclose(oracle.table(), judge.matrix(prompts, answers), atol=1e-14)
        np.testing.assert_allclose(matrix(judge, prompts, answers), judge.matrix(prompts, answers))

    def test_each_answer_is_read_once(self, params, text, count_rows):
        judge = GeneralPreference(DECODER, params, draw(4, 2), text, convention="scaled")
        table = judge.matrix(["red", "blue"], [["red", "green", "red"], ["red", "green", "blue"]])
        assert count_rows == [2 + 3]
        close(table + table.swapaxes(1, 2), 1.0)
        assert judge.compare([], [], []).shape == (0,)

    def test_a_cycle_that_no_reward_could_have(self, text):
        decoder = Decoder("llama", vocabulary=SIZE, width=4, layers=1, heads=1, kv_heads=1, head_dim=4, inner=4)
        flat = jax.tree.map(jnp.zeros_like, init_params(decoder, jax.random.key(0)))
        turn = 2 * np.pi * np.arange(3) / 3
        points = np.zeros((SIZE, 4), np.float32)
        points[7:10, :2] = np.stack([np.cos(turn), np.sin(turn)], -1)
        params = {**flat, "embed": jnp.asarray(points), "norm": jnp.ones(4)}
        judge = GeneralPreference(
            decoder, params, np.eye(2, 4), text, convention="normalised", layout=Layout(), temperature=1.0
        )
        table = judge.matrix(["A"], [[" red", " green", " blue"]])[0]
        s = np.sin(turn[1])
        close(table, sigmoid(np.array([[0, s, -s], [-s, 0, s], [s, -s, 0]])))

    @pytest.mark.parametrize(
        ("value", "gate", "message"),
        [
            (3, None, r"value_head has 3 labels, but embeddings have blocks of two\."),
            (1, None, "value_head has 1 labels.*; a model with one is a Reward"),
            (4, 4, "prompt_head has 4 labels, but value_head 4: it needs half as many"),
        ],
    )
    def test_heads(self, params, text, value, gate, message):
        gate = None if gate is None else draw(5, gate)
        with pytest.raises(ValueError, match=message):
            GeneralPreference(DECODER, params, draw(4, value), text, convention="scaled", prompt_head=gate)

    def test_the_convention_must_be_said(self, params, text):
        with pytest.raises(TypeError, match="convention"):
            GeneralPreference(DECODER, params, draw(4, 2), text)  # pyright: ignore[reportCallIssue]
        with pytest.raises(ValueError, match="convention='l2': choose from normalised, scaled"):
            GeneralPreference(DECODER, params, draw(4, 2), text, convention="l2")  # pyright: ignore[reportArgumentType]

    def test_a_model_that_is_broken(self, params, text):
        broken = {**params, "norm": params["norm"] * jnp.nan}
        judge = GeneralPreference(DECODER, broken, draw(4, 2), text, convention="scaled")
        with pytest.raises(JudgeError, match="gives the answer 'red' to the prompt 'blue' an embedding"):
            judge.compare(["blue"], ["red"], ["green"])


class TestFolders:
    @pytest.fixture
    def stored(self, tmp_path, params):
        def write(**heads):
            path = save(tmp_path / "judge", DECODER, params, heads=heads)
            tiny_tokenizer(WORDS, path)
            return path

        return write

    def test_every_kind_is_read_from_a_folder(self, stored, params, text):
        pair, head = (["red"], ["green"], ["blue blue"]), draw(1, 1)
        made = Reward(DECODER, params, head, text, temperature=3.0)
        assert Reward.load(stored(score=head), temperature=3.0).compare(*pair) == made.compare(*pair)
        assert Reward.load(stored(value_head=head), temperature=3.0).compare(*pair) == made.compare(*pair)
        head = draw(2, 2)
        made = PairClassifier(DECODER, params, head, text, template=TEMPLATE)
        assert PairClassifier.load(stored(score=head), template=TEMPLATE).compare(*pair) == made.compare(*pair)
        value, gate = draw(4, 4), draw(5, 2)
        made = GeneralPreference(DECODER, params, value, text, convention="scaled", prompt_head=gate)
        found = GeneralPreference.load(stored(value_head=value, prompt_head=gate), convention="scaled")
        assert found.compare(*pair) == made.compare(*pair)
        made = Choice(DECODER, params, text, template=TEMPLATE)
        assert Choice.load(stored(), template=TEMPLATE).compare(*pair) == made.compare(*pair)

    def test_folders_without_the_head(self, stored):
        with pytest.raises(ValueError, match=r"has no head but a language model's: a reward model needs score\.weight"):
            Reward.load(stored())
        with pytest.raises(ValueError, match="has only value_head: a classifier of pairs needs score"):
            PairClassifier.load(stored(value_head=draw(1, 2)), template=TEMPLATE)

    def test_verdicts_of_another_model_are_not_taken_for_its_own(self, stored, params, text, tmp_path):
        path = stored(score=draw(1, 1))
        first = Reward.load(path)
        kinds = {
            first.identity(),
            Reward.load(path, temperature=2.0).identity(),
            Reward.load(path, layout=Layout(chat=True)).identity(),
            Reward(DECODER, params, draw(1, 1), text).identity(),
            Reward(DECODER, params, draw(2, 1), text).identity(),
            Reward(DECODER, jax.tree.map(lambda leaf: leaf + 1, params), draw(1, 1), text).identity(),
            Reward(DECODER, params, draw(1, 1), tiny_tokenizer(WORDS[::-1])).identity(),
            PairClassifier(DECODER, params, draw(2, 2), text, template=TEMPLATE).identity(),
            PairClassifier(DECODER, params, draw(2, 2), text, template=TEMPLATE, left_label=1).identity(),
            Choice(DECODER, params, text).identity(),
            Choice(DECODER, params, text, labels=("B", "A")).identity(),
            GeneralPreference(DECODER, params, draw(1, 2), text, convention="scaled").identity(),
            GeneralPreference(DECODER, params, draw(1, 2), text, convention="normalised").identity(),
        }
        assert len(kinds) == 13
        assert Reward.load(path).identity() == first.identity()
        os.utime(path / "model.safetensors", ns=(1, 1))
        assert Reward.load(path).identity() != first.identity()
        cached = Cached(first, tmp_path / "verdicts")
        pair = ["red"], ["green"], ["blue"]
        assert cached.compare(*pair) == cached.compare(*pair) == first.compare(*pair)
        assert (cached.hits, cached.misses) == (1, 1)

    def test_a_tokenizer_that_is_too_large(self, stored):
        path = stored(score=draw(1, 1))
        tiny_tokenizer([*WORDS, "more"], path)
        with pytest.raises(ValueError, match=f"tokenizer has {SIZE + 1} tokens, but its embedding {SIZE} rows"):
            Reward.load(path)

    def test_no_template_for_conversations(self, stored):
        path = stored(score=draw(1, 1))
        for file in ("chat_template.jinja",):
            (path / file).unlink()
        config = json.loads((path / "tokenizer_config.json").read_text())
        assert "chat_template" not in config
        judge = Reward.load(path)
        judge.compare(["red"], ["green"], ["blue"])
        with pytest.raises(ValueError, match="the tokenizer has no chat template"):
            judge.compare([CHAT], ["green"], ["blue"])

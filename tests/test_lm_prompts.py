"""Prompts and preferences: every form that is read, and what is said of those that cannot be."""

import json
import re

import numpy as np
import pytest

from nashpo.lm.preferences import Preferences
from nashpo.lm.prompts import Prompts
from nashpo.lm.tiny import tiny_tokenizer

WORDS = ["red", "green", "blue"]


def says(role, content):
    return {"role": role, "content": content}


SKY = says("user", "What colour is the sky?")
BLUE, GREEN = says("assistant", "Blue."), says("assistant", "Green.")


@pytest.fixture(scope="module")
def text():
    return tiny_tokenizer(WORDS)


@pytest.fixture
def lines(tmp_path):
    """Write rows, or lines as they stand, to a file."""

    def write(*rows):
        file = tmp_path / "rows.jsonl"
        file.write_text("\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows), encoding="utf-8")
        return file

    return write


class Dataset:
    """What of a `datasets.Dataset` is used."""

    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        if isinstance(row, str):
            return [r[row] for r in self.rows]
        return self.rows[row]


def test_every_form_of_a_line(lines):
    conversation = [says("system", "Be brief."), SKY, BLUE, says("user", "Sure?")]
    file = lines({"prompt": "red"}, "", {"prompt": [SKY]}, {"messages": conversation}, json.dumps("green"), [SKY])
    prompts = Prompts.read(file)
    assert prompts.items == ["red", [SKY], conversation, "green", [SKY]]
    assert [where.rsplit(": ", 1)[1] for where in prompts.where] == ["line 1", "line 3", "line 4", "line 5", "line 6"]


def test_a_byte_order_mark_and_windows_line_ends(tmp_path):
    (tmp_path / "p.jsonl").write_bytes(b'\xef\xbb\xbf{"prompt": "na\xc3\xafve"}\r\n{"prompt": "two"}\r\n')
    assert Prompts.read(tmp_path / "p.jsonl").items == ["naïve", "two"]


def test_lists_generators_and_data_sets():
    rows = [{"prompt": "red", "id": 1}, {"prompt": [SKY], "id": 2}]
    for given in (rows, tuple(rows), Dataset(rows), (row for row in rows)):
        assert Prompts.of(given).items == ["red", [SKY]]
    assert Prompts.of(Dataset([{"question": "red"}]), key="question").items == ["red"]
    assert Prompts.of(["red", [SKY]])[1] == [SKY]


def test_keys_without_a_value_are_not_part_of_a_message():
    padded = {**SKY, "tool_calls": None, "name": None}
    assert Prompts.of([[padded]]).items == [[SKY]]


def test_tools_answer_the_assistant():
    call, answer = says("assistant", ""), says("tool", "Blue.")
    assert len(Prompts.of([[SKY, call, answer, answer]])) == 1


WRONG = {
    '{"prompt": ""}': "line 2: the prompt is empty",
    '{"prompt": "  \\n"}': "line 2: the prompt is empty",
    '{"prompt": []}': "line 2: the prompt has no messages",
    '{"text": "red", "prompt": null}': "line 2 has no 'prompt', only 'text'",
    "{}": "line 2 has no 'prompt'.",
    '{"prompt": 3}': "line 2: the prompt is a int, but must be a text or a list of messages",
    '{"prompt": "red"': "line 2 is not valid JSON",
    "[1": "line 2 is not valid JSON",
    '["red", "blue"]': "line 2 is a list, but not of messages with a role: write one prompt a row",
    '[{"prompt": "red"}, {"prompt": "blue"}]': "line 2 is a list, but not of messages with a role",
    '{"prompt": ["red"]}': "line 2: message 0 is a str",
    '{"prompt": [{"role": "user"}]}': "line 2: message 0 has no content that is a text",
    '{"prompt": [{"content": "red"}]}': "line 2: message 0 has no role that is a text",
    '{"prompt": [{"role": "human", "content": "red"}]}': "line 2: message 0 has the role 'human': choose from system",
    '{"prompt": [{"role": "user", "content": " "}]}': "line 2: message 0 is empty",
}


@pytest.mark.parametrize(("line", "message"), WRONG.items())
def test_wrong_lines(lines, line, message):
    with pytest.raises(ValueError, match=rf"rows\.jsonl: {re.escape(message)}"):
        Prompts.read(lines({"prompt": "red"}, line))


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        (["assistant", "user"], "message 0 is the assistant's: a conversation begins with the user"),
        (["system", "assistant", "user"], "message 1 is the assistant's"),
        (["user", "user"], "message 1 is the user's, as the one before: roles alternate"),
        (["user", "assistant", "assistant", "user"], "message 2 is the assistant's, as the one before"),
        (["user", "system", "user"], "message 1 is the system's: it can only be the first"),
        (["user", "assistant"], "the last message is the assistant's: a prompt ends with the user's"),
        (["system"], "the last message is the system's"),
        (["user", "tool"], "message 1 is the tool's: it answers the assistant"),
    ],
)
def test_roles_in_the_wrong_order(roles, message):
    with pytest.raises(ValueError, match=rf"prompts\[1\]: {message}"):
        Prompts.of(["red", [says(role, "red") for role in roles]])


def test_files_and_lists_without_rows(tmp_path, lines):
    with pytest.raises(ValueError, match=r"none\.jsonl: cannot be read \(No such file or directory\)\."):
        Prompts.read(tmp_path / "none.jsonl")
    with pytest.raises(ValueError, match=r"rows\.jsonl: has no rows\."):
        Prompts.read(lines("", " "))
    with pytest.raises(ValueError, match=r"prompts: has no rows\."):
        Prompts.of([])
    with pytest.raises(ValueError, match="prompts is a single str: give a list of rows"):
        Prompts.of("red")
    with pytest.raises(ValueError, match="prompts is a single dict"):
        Prompts.of({"prompt": ["red"]})
    with pytest.raises(ValueError, match="prompts is a int"):
        Prompts.of(3)


def test_not_text(tmp_path):
    (tmp_path / "p.jsonl").write_bytes(b'{"prompt": "red"}\n\xff\xfe\n')
    with pytest.raises(ValueError, match=r"p\.jsonl: line 2 is not UTF-8 text\."):
        Prompts.read(tmp_path / "p.jsonl")


def test_contexts_are_padded_on_the_left(text):
    contexts = Prompts.of(["red", [says("user", "red blue")]]).contexts(text)
    assert contexts.dtype == np.int32
    assert contexts.tolist() == [[-1, -1, -1, -1, 2, 7], [2, 5, 7, 9, 3, 6]]


def test_over_long_prompts(lines, text):
    prompts = Prompts.read(lines({"prompt": "red"}, "", {"prompt": "red green blue"}))
    message = r"rows\.jsonl: line 3: the prompt has 4 tokens, more than longest=3; raise longest, drop or truncate it\."
    with pytest.raises(ValueError, match=message):
        prompts.contexts(text, longest=3)
    assert prompts.contexts(text, longest=4).tolist() == [[-1, -1, 2, 7], [2, 7, 8, 9]]
    assert prompts.contexts(text, longest=3, truncate=True).tolist() == [[-1, 2, 7], [7, 8, 9]]
    kept = prompts.within(text, longest=3)
    assert (kept.items, kept.where) == (prompts.items[:1], prompts.where[:1])
    with pytest.raises(ValueError, match="no prompt has at most 1 tokens"):
        prompts.within(text, longest=1)
    with pytest.raises(ValueError, match="longest=0"):
        prompts.contexts(text, longest=0)


def test_a_prompt_that_cannot_be_encoded_is_named():
    bare = tiny_tokenizer(WORDS, template=None)
    with pytest.raises(ValueError, match=r"prompts\[1\]: the tokenizer has no chat template"):
        Prompts.of(["red", [SKY]]).contexts(bare)


PAIRS = {
    "plain": ({"prompt": "The sky is", "chosen": " blue.", "rejected": " green."}, "The sky is", " blue.", " green."),
    "conversational": ({"prompt": [SKY], "chosen": [BLUE], "rejected": [GREEN]}, [SKY], "Blue.", "Green."),
    "texts": ({"prompt": [SKY], "chosen": "Blue.", "rejected": "Green."}, [SKY], "Blue.", "Green."),
    "implicit": ({"chosen": [SKY, BLUE], "rejected": [SKY, GREEN]}, [SKY], "Blue.", "Green."),
    "both": ({"prompt": [SKY], "chosen": [SKY, BLUE], "rejected": [SKY, GREEN]}, [SKY], "Blue.", "Green."),
    "named": (
        {"prompt": SKY["content"], "chosen": [SKY, BLUE], "rejected": [SKY, GREEN]},
        [SKY],
        "Blue.",
        "Green.",
    ),
    "null": ({"prompt": None, "chosen": [SKY, BLUE], "rejected": [SKY, GREEN]}, [SKY], "Blue.", "Green."),
}


def test_half_a_surrogate_pair_is_named(lines, text):
    half = r"has '\\ud800' in it, half of a surrogate pair"
    with pytest.raises(ValueError, match=rf"line 2: the text {half}"):
        Prompts.read(lines('{"prompt": "red"}', '{"prompt": "red \\ud800"}')).contexts(text)
    pairs = Preferences.of([{"prompt": "red", "chosen": "blue", "rejected": "\ud800"}])
    with pytest.raises(ValueError, match=rf"preferences\[0\]: the rejected answer: the text {half}"):
        pairs.responses(text)


@pytest.mark.parametrize(("row", "prompt", "chosen", "rejected"), PAIRS.values(), ids=PAIRS)
def test_every_form_of_a_pair(lines, row, prompt, chosen, rejected):
    for pairs in (Preferences.read(lines(row)), Preferences.of(Dataset([row]))):
        assert (pairs.prompts.items, pairs.chosen, pairs.rejected) == ([prompt], [chosen], [rejected])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "red", "chosen": "a"}, "line 2 has no 'rejected', only 'prompt', 'chosen'"),
        ({"chosen": "a", "rejected": "b"}, "line 2 has no 'prompt', which answers that are plain texts need"),
        ({"chosen": [BLUE], "rejected": [GREEN]}, "line 2 has no 'prompt', and chosen holds the answer alone"),
        ({"prompt": "red", "chosen": "", "rejected": "b"}, "line 2: the chosen answer is empty"),
        ({"prompt": [SKY], "chosen": [SKY], "rejected": [GREEN]}, "chosen is one message, which must be the assis"),
        ({"chosen": [SKY, BLUE], "rejected": [says("user", "?"), GREEN]}, "answer are to different prompts"),
        ({"chosen": [SKY, BLUE, SKY], "rejected": [SKY, GREEN]}, "chosen must end with the assistant's message"),
        ({"prompt": [says("user", "?")], "chosen": [SKY, BLUE], "rejected": [SKY, GREEN]}, "does not begin with"),
        ({"prompt": "sky", "chosen": [BLUE], "rejected": [GREEN]}, "a plain text, but chosen is a list of messages"),
        (["chosen", "rejected"], "line 2 is a list: a pair has a prompt"),
    ],
)
def test_wrong_pairs(lines, row, message):
    with pytest.raises(ValueError, match=message):
        Preferences.read(lines({"prompt": "red", "chosen": "a", "rejected": "b"}, row))


def test_answers_as_tokens(text):
    pairs = Preferences.of([{"prompt": "red", "chosen": "red blue green", "rejected": "blue"}])
    assert len(pairs) == 1
    assert pairs.responses(text).tolist() == [[[7, 9, 8, 3], [9, 3, -1, -1]]]
    assert pairs.responses(text, longest=2, truncate=True).tolist() == [[[7, 9], [9, 3]]]
    with pytest.raises(ValueError, match=r"preferences\[0\]: the chosen answer has 4 tokens, more than longest=3"):
        pairs.responses(text, longest=3)

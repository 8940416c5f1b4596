"""Judges that are functions, far away, kept on disk, tried again or several at once."""

import http.server
import json
import math
import multiprocessing
import os
import signal
import sqlite3
import threading
import types

import numpy as np
import pytest

from nashpo.lm.judges import Cached, Ensemble, Function, JudgeError, Remote, Retried, RewardFunction, matrix
from nashpo.lm.judges.base import Questions, identity_of
from nashpo.lm.oracle import TextOracle

PROMPT = "Say something."
BEATS = {("rock", "scissors"), ("scissors", "paper"), ("paper", "rock")}


def wins(prompts, left, right):
    """Rock, paper, scissors; named by the tests as package.module:name."""
    return [0.5 if a == b else float((a, b) in BEATS) for a, b in zip(left, right, strict=True)]


class Counting:
    """A judge that remembers what it was asked."""

    def __init__(self, judge=wins):
        self.judge, self.asked = judge, []

    def compare(self, prompts, left, right):
        self.asked += [(str(p), a, b) for p, a, b in zip(prompts, left, right, strict=True)]
        return self.judge(prompts, left, right)


class TestFunction:
    def test_both_orders_are_averaged(self):
        def likes_the_first(prompts, left, right):
            return [min(1.0, 0.2 + p) for p in wins(prompts, left, right)]

        judge = Function(likes_the_first)
        p = judge.compare([PROMPT] * 2, ["rock", "paper"], ["scissors", "scissors"])
        np.testing.assert_allclose(p, [0.9, 0.1])
        np.testing.assert_array_equal(judge.compare([PROMPT] * 2, ["scissors"] * 2, ["rock", "paper"]), 1 - p)
        once = Function(likes_the_first, symmetrise=False)
        assert once.compare([PROMPT], ["paper"], ["scissors"]).tolist() == [0.2]

    def test_the_function_is_called_once_with_lists(self):
        calls = []

        def judge(prompts, left, right):
            calls.append((prompts, left, right))
            return [True] * len(prompts)

        assert Function(judge).compare((PROMPT,), ("a",), ("b",)).tolist() == [0.5]
        assert calls == [([PROMPT, PROMPT], ["a", "b"], ["b", "a"])]

    @pytest.mark.parametrize(
        "said", [[True, False], [1, 0], np.array([1.0, 0.0], np.float32), (np.True_, np.False_), [1.0 + 1e-9, -1e-9]]
    )
    def test_verdicts_of_every_kind(self, said):
        judge = Function(lambda prompts, left, right: said, symmetrise=False)
        p = judge.compare(["p", "q"], ["a", "a"], ["b", "b"])
        assert p.dtype == np.float64
        assert p.tolist() == [1.0, 0.0]

    @pytest.mark.parametrize(
        ("said", "message"),
        [
            ([0.5, math.nan], "the judge bad says nan of pair 1 (prompt 'q'): win probabilities lie between 0 and 1."),
            ([1.5, 0.5], "the judge bad says 1.5 of pair 0 (prompt 'p'): win"),
            ([-0.1, 0.5], "the judge bad says -0.1 of pair 0 (prompt 'p'): win"),
            ([0.5, "A"], "the judge bad says 'A' of pair 1 (prompt 'q'): win"),
            ([0.5, None], "the judge bad says None of pair 1 (prompt 'q'): win"),
            ([0.5], "the judge bad returns 1 numbers for 2 pairs: it must return one number for each."),
            (np.full((2, 2), 0.5), "the judge bad returns an array [2, 2] for 2 pairs: it"),
            (None, "the judge bad returns a NoneType for 2 pairs: it"),
            (0.5, "the judge bad returns a float for 2 pairs: it"),
        ],
    )
    def test_answers_that_are_no_verdicts(self, said, message):
        def bad(prompts, left, right):
            return said

        with pytest.raises(JudgeError) as error:
            Function(bad, symmetrise=False).compare(["p", "q"], ["a", "a"], ["b", "b"])
        assert str(error.value).startswith(message)

    def test_the_pair_is_named_in_the_other_order_too(self):
        judge = Function(lambda prompts, left, right: [0.5, 0.5, 0.5, math.nan])
        with pytest.raises(JudgeError, match=r"in the other order, says nan of pair 1 \(prompt 'q'\)"):
            judge.compare(["p", "q"], ["a", "a"], ["b", "b"])

    def test_a_function_that_fails(self):
        with pytest.raises(JudgeError, match=r"the judge .* failed \(ZeroDivisionError: division by zero\)\."):
            Function(lambda prompts, left, right: 1 / 0).compare(["p"], ["a"], ["b"])

    def test_by_name(self):
        judge = Function(f"{__name__}:wins")
        assert judge.compare([PROMPT], ["rock"], ["scissors"]).tolist() == [1.0]
        assert judge.name == f"{__name__}:wins"

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("wins", "write package.module:name"),
            (f"{__name__}:win", "has no 'win'; did you mean 'wins'?"),
            ("no_such_module:wins", "module 'no_such_module' cannot be imported"),
            (f"{__name__}:PROMPT", "is no function"),
            (3, "the judge 3 is no function: give one that can be called"),
        ],
    )
    def test_names_of_nothing(self, name, message):
        with pytest.raises(ValueError, match=message.replace("?", r"\?")):
            Function(name)

    def test_nothing_asked(self):
        assert Function(lambda *columns: 1 / 0).compare([], [], []).shape == (0,)

    def test_lists_of_different_lengths(self):
        with pytest.raises(ValueError, match="lists of one length: prompts 1, left 2, right 1"):
            Function(wins).compare(["p"], ["a", "b"], ["a"])
        with pytest.raises(ValueError, match="prompts a text, left 1, right 1"):
            Function(wins).compare("p", ["a"], ["b"])


class TestRewardFunction:
    def test_bradley_terry(self):
        judge = RewardFunction(lambda prompts, answers: [len(answer) for answer in answers], temperature=2.0)
        p = judge.compare(["p", "p"], ["aaa", "a"], ["a", "aaa"])
        np.testing.assert_allclose(p, [1 / (1 + math.exp(-1)), 1 / (1 + math.exp(1))], rtol=1e-15)

    def test_each_answer_is_scored_once(self):
        scored = []

        def length(prompts, answers):
            scored.extend(zip(prompts, answers, strict=True))
            return np.array([len(answer) for answer in answers])

        table = RewardFunction(length).matrix(["p", "q"], [["a", "aa", "a"], ["a", "aa", "aaa"]])
        assert sorted(scored) == [("p", "a"), ("p", "aa"), ("q", "a"), ("q", "aa"), ("q", "aaa")]
        np.testing.assert_allclose(table + table.swapaxes(1, 2), 1.0, rtol=1e-15)
        assert table[0, 0, 2] == 0.5

    def test_a_score_that_is_not_finite(self):
        judge = RewardFunction(lambda prompts, answers: [1.0, math.inf])
        with pytest.raises(JudgeError, match="gives the answer 'b' to the prompt 'p' the score inf"):
            judge.compare(["p"], ["a"], ["b"])

    @pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan, "1"])
    def test_temperature(self, temperature):
        with pytest.raises(ValueError, match=r"temperature=.*: must be a positive finite number"):
            RewardFunction(len, temperature)


class TestMatrix:
    def test_every_pair_is_asked_about_once(self):
        judge = Counting()
        table = matrix(judge, ["p", "q"], [["rock", "paper", "scissors"], ["rock", "rock", "paper"]])
        assert len(judge.asked) == 3 + 1
        assert table[0].tolist() == [[0.5, 0.0, 1.0], [1.0, 0.5, 0.0], [0.0, 1.0, 0.5]]
        assert table[1].tolist() == [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0], [1.0, 1.0, 0.5]]

    def test_one_answer(self):
        assert matrix(Counting(), ["p"], [["rock"]]).tolist() == [[[0.5]]]

    def test_conversations(self):
        prompt = [{"role": "user", "content": PROMPT}]
        assert matrix(Counting(), [prompt], [["rock", "scissors"]])[0, 0, 1] == 1.0

    def test_a_bad_verdict(self):
        with pytest.raises(JudgeError, match="the judge Counting says nan of pair 0"):
            matrix(Counting(lambda *columns: [math.nan]), ["p"], [["a", "b"]])

    @pytest.mark.parametrize(
        ("prompts", "answers", "message"),
        [
            (["p"], [["a"], ["b"]], "one list of answers for each prompt: 1 and 2"),
            (["p", "q"], [["a", "b"], ["a"]], r"answers\[1\] is 1 answers, but answers\[0\] has 2"),
            (["p"], ["ab"], r"answers\[0\] is a text"),
            ([], [], "one list of answers"),
        ],
    )
    def test_answers_of_the_wrong_shape(self, prompts, answers, message):
        with pytest.raises(ValueError, match=message):
            matrix(Counting(), prompts, answers)

    def test_questions_put_everything_back(self, rng):
        words = ["rock", "paper", "scissors"]
        prompts = rng.choice(["p", "q"], 50).tolist()
        left, right = rng.choice(words, 50).tolist(), rng.choice(words, 50).tolist()
        asked = Questions.of(prompts, left, right)
        assert len(asked.left) == 6
        answers = asked.answers(wins(asked.prompts, asked.left, asked.right))
        assert answers.tolist() == wins(prompts, left, right)


class TestEnsemble:
    def test_the_mean_of_judges(self):
        first, second = (
            Function(wins),
            Function(lambda p, left, right: [0.25 + 0.5 * (a < b) for a, b in zip(left, right, strict=True)]),
        )
        both = Ensemble([first, second], [0.75, 0.25])
        pair = [PROMPT], ["rock"], ["scissors"]
        assert both.compare(*pair).tolist() == [0.75 * 1.0 + 0.25 * 0.75]
        table = both.matrix([PROMPT], [["rock", "scissors"]])
        assert table.tolist() == [[[0.5, 0.9375], [0.0625, 0.5]]]
        assert both.players == (first, second)
        assert Ensemble([first, second]).compare(*pair).tolist() == [0.875]

    @pytest.mark.parametrize(
        ("judges", "weights", "message"),
        [
            ([], None, "give at least one judge"),
            ([Function(wins)], [0.5], "weights"),
            ([Function(wins)] * 2, [1.5, -0.5], "weights"),
            ([Function(wins)] * 2, [1.0], "weights"),
            ([wins], None, r"judges\[0\] is .*: a judge has compare"),
        ],
    )
    def test_wrong_weights(self, judges, weights, message):
        with pytest.raises(ValueError, match=message):
            Ensemble(judges, weights)

    def test_a_player_that_fails_is_named(self):
        with pytest.raises(JudgeError, match="the judge Counting says nan"):
            Ensemble([Counting(lambda *columns: [math.nan])]).compare(["p"], ["a"], ["b"])

    def test_of_several_processes_all_ask_every_player_whoever_fails_in_one(self, monkeypatch):
        """A player on a mesh is computed by all processes together: one that stayed away would hold up the others."""
        first = iter([np.array([0.75]), np.array([0.25])])
        monkeypatch.setattr("nashpo.lm.judges.base.agreed", lambda values: next(first))
        there = Counting(lambda *columns: [0.5])
        both = Ensemble([Counting(lambda *columns: 1 / 0), there])
        assert both.compare(["p"], ["a"], ["b"]).tolist() == [0.5] and len(there.asked) == 1


class TestRetried:
    def test_only_what_is_missing_is_asked_again(self):
        said = iter([[math.nan, 0.25, 2.0], [0.75, math.nan], [0.125]])
        judge = Counting(lambda *columns: next(said))
        p = Retried(judge, retries=2, wait=0).compare(["p"] * 3, ["a", "b", "c"], ["x"] * 3)
        assert p.tolist() == [0.75, 0.25, 0.125]
        assert [left for _, left, _ in judge.asked] == ["a", "b", "c", "a", "c", "c"]

    def test_what_is_no_number_is_named(self):
        with pytest.raises(JudgeError, match="failed once; last: the judge Counting says None of pair 0"):
            Retried(Counting(lambda *columns: [None]), retries=0).compare(["p"], ["a"], ["b"])

    def test_exceptions_and_their_end(self):
        calls = []

        def fails(prompts, left, right):
            calls.append(1)
            raise OSError("no route")

        judge = Retried(Function(fails), retries=3, wait=0)
        with pytest.raises(JudgeError, match=r"the judge fails failed 4 times; last: .*OSError: no route\)\."):
            judge.compare(["p"], ["a"], ["b"])
        assert len(calls) == 4

    def test_waiting_doubles(self, monkeypatch):
        waited = []
        monkeypatch.setattr("nashpo.lm.judges.retried.time.sleep", waited.append)
        with pytest.raises(JudgeError, match="failed 8 times"):
            Retried(Counting(lambda *columns: [math.nan]), retries=7, wait=2).compare(["p"], ["a"], ["b"])
        assert waited == [2, 4, 8, 16, 32, 60, 60]

    def test_a_wrong_number_of_verdicts(self):
        said = iter([[0.5], [0.5, 1.0]])
        p = Retried(Counting(lambda *columns: next(said)), wait=0).compare(["p"] * 2, ["a", "b"], ["x"] * 2)
        assert p.tolist() == [0.5, 1.0]

    def test_rounding_is_cut_off_as_elsewhere(self):
        judge = Counting(lambda *columns: [1 + 5e-7, -5e-7])
        assert Retried(judge, wait=0).compare(["p"] * 2, ["a", "b"], ["x"] * 2).tolist() == [1.0, 0.0]
        assert len(judge.asked) == 2

    def test_matrices_of_both_kinds(self):
        said = iter([[math.nan], [1.0]])
        table = matrix(Retried(Counting(lambda *columns: next(said)), wait=0), ["p"], [["a", "b"]])
        assert table.tolist() == [[[0.5, 1.0], [0.0, 0.5]]]
        scores = iter([[math.inf, 0.0], [0.0, 0.0]])
        table = matrix(Retried(RewardFunction(lambda *columns: next(scores)), wait=0), ["p"], [["a", "b"]])
        assert table.tolist() == [[[0.5, 0.5], [0.5, 0.5]]]

    def test_negative(self):
        with pytest.raises(ValueError, match="neither can be negative"):
            Retried(Counting(), retries=-1)


def write_verdicts(folder, ready, stay):
    """In another process: judge pairs until killed."""
    cached = Cached(Function(wins), folder, identity="same", batch=1)
    for i in range(100_000):
        cached.compare(["p"], [f"{i}"], ["x"])
        if i == 20:
            ready.set()
        if not stay and i == 50:
            return


class TestCached:
    def test_no_pair_is_judged_twice_in_either_order(self, tmp_path):
        judge = Counting()
        for _ in range(2):
            cached = Cached(judge, tmp_path, identity="wins")
            p = cached.compare(["p"] * 4, ["rock", "scissors", "rock", "paper"], ["scissors", "rock", "rock", "rock"])
            assert p.tolist() == [1.0, 0.0, 0.5, 1.0]
        assert (cached.hits, cached.misses) == (2, 0)
        assert len(judge.asked) == 2

    def test_prompts_and_judges_are_told_apart(self, tmp_path):
        judge = Counting(lambda prompts, left, right: [0.25 if p == "p" else 1.0 for p in prompts])
        pair = ["a"], ["b"]
        assert Cached(judge, tmp_path, identity="one").compare(["p"], *pair).tolist() == [0.25]
        assert Cached(judge, tmp_path, identity="one").compare(["q"], *pair).tolist() == [1.0]
        conversation = [{"role": "user", "content": "p"}]
        assert Cached(judge, tmp_path, identity="one").compare([conversation], *pair).tolist() == [1.0]
        assert Cached(Function(wins), tmp_path, identity="two").compare(["p"], *pair).tolist() == [0.5]

    def test_another_function_is_another_judge(self, tmp_path):
        one, two = Function(lambda p, a, b: [0.9] * len(p)), Function(lambda p, a, b: [0.1] * len(p))
        assert identity_of(one) != identity_of(two)
        assert identity_of(Function(wins)) == identity_of(Function(f"{__name__}:wins"))
        assert identity_of(Function(wins)) != identity_of(Function(wins, symmetrise=False))
        assert identity_of(Ensemble([one])) != identity_of(Ensemble([two]))
        assert identity_of(Retried(one)) == identity_of(one)

    def test_what_was_judged_before_a_failure_is_kept(self, tmp_path):
        said = iter([[1.0, 0.0], [math.nan, 0.5]])
        cached = Cached(Counting(lambda *columns: next(said)), tmp_path, identity="x", batch=2)
        columns = ["p"] * 4, ["a", "b", "c", "d"], ["x"] * 4
        with pytest.raises(JudgeError, match="says nan"):
            cached.compare(*columns)
        assert cached.misses == 2
        again = Cached(Counting(lambda prompts, left, right: [0.25] * len(left)), tmp_path, identity="x")
        assert again.compare(*columns).tolist() == [1.0, 0.0, 0.25, 0.25]
        assert (again.hits, again.misses) == (2, 2)

    def test_threads_share_a_judge(self, tmp_path):
        cached, wrong = Cached(Function(wins), tmp_path), []

        def work(start):
            left = [f"{(start + i) % 40}" for i in range(40)]
            if cached.compare(["p"] * 40, left, ["x"] * 40).tolist() != [0.0] * 40:
                wrong.append(start)

        cached.compare(["p"], ["rock"], ["scissors"])
        cached.judge = Function(
            lambda prompts, left, right: [0.0 if b == "x" else 1.0 for b in right], symmetrise=False
        )
        threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wrong == []
        with sqlite3.connect(tmp_path / "verdicts.sqlite") as database:
            assert database.execute("SELECT COUNT(*) FROM verdicts").fetchone() == (41,)
        database.close()

    @pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="the system cannot kill")
    def test_killed_and_shared(self, tmp_path):
        spawn = multiprocessing.get_context("spawn")
        ready, other = spawn.Event(), spawn.Event()
        doomed = spawn.Process(target=write_verdicts, args=(tmp_path, ready, True))
        friend = spawn.Process(target=write_verdicts, args=(tmp_path, other, False))
        doomed.start()
        friend.start()
        assert ready.wait(60)
        assert doomed.pid is not None
        os.kill(doomed.pid, signal.SIGKILL)
        doomed.join(60)
        friend.join(60)
        assert friend.exitcode == 0
        cached = Cached(Function(wins), tmp_path, identity="same")
        cached.compare(["p"] * 51, [f"{i}" for i in range(51)], ["x"] * 51)
        assert (cached.hits, cached.misses) == (51, 0)

    def test_what_the_first_process_lacks_is_judged_by_all(self, tmp_path, monkeypatch):
        """A model that is spread over processes is read by all of them, or all of them wait."""
        judge = Counting()
        for _ in range(2):
            cached = Cached(judge, tmp_path, identity="wins")
            assert cached.compare(["p"], ["rock"], ["scissors"]).tolist() == [1.0]
            monkeypatch.setattr("nashpo.lm.judges.cached.agreed", lambda values: np.full_like(values, math.nan))
        assert len(judge.asked) == 2 and (cached.hits, cached.misses) == (0, 1)

    def test_another_kind_of_file(self, tmp_path):
        (tmp_path / "verdicts.sqlite").write_text("not a database" * 100)
        with pytest.raises(ValueError, match=r"verdicts\.sqlite: cannot be used as a store of verdicts"):
            Cached(Function(wins), tmp_path)
        (tmp_path / "file").write_text("")
        with pytest.raises(ValueError, match="the folder cannot be made"):
            Cached(Function(wins), tmp_path / "file")


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers with what the server has in store: (status, body, headers); then as `wins` says."""

    server: "Server"

    def do_POST(self):
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.requests.append((request, dict(self.headers)))
            planned = self.server.replies.pop(0) if self.server.replies else None
        if planned is None:
            pairs = request["pairs"]
            said = wins(None, [pair["left"] for pair in pairs], [pair["right"] for pair in pairs])
            planned = (200, json.dumps({"probabilities": said}), {})
        status, body, headers = planned
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    """Remembers requests and has replies in store."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock, self.requests, self.replies = threading.Lock(), [], []
        self.released = threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/compare"


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.released.set()
    server.shutdown()
    thread.join()
    server.server_close()


class TestRemote:
    def test_batches_in_both_orders(self, server):
        judge = Remote(server.url, batch=2, workers=3, payload={"model": "m"})
        p = judge.compare([PROMPT] * 3, ["rock", "paper", "rock"], ["scissors", "scissors", "rock"])
        assert p.tolist() == [1.0, 0.0, 0.5]
        assert sorted(len(request["pairs"]) for request, _ in server.requests) == [1, 1, 2, 2]
        request = next(request for request, _ in server.requests if request["pairs"][0]["left"] == "scissors")
        assert request["pairs"][0] == {"prompt": PROMPT, "left": "scissors", "right": "rock"}
        assert request["model"] == "m"
        assert judge.compare([], [], []).shape == (0,)

    def test_conversations_are_sent_as_messages(self, server):
        prompt = [{"role": "user", "content": PROMPT}]
        Remote(server.url, symmetrise=False).compare([prompt], ["rock"], ["paper"])
        assert server.requests[0][0]["pairs"][0]["prompt"] == prompt

    def test_the_key_comes_from_the_environment_and_is_shown_nowhere(self, server, monkeypatch):
        judge = Remote(server.url + "?token=hidden", key="NASHPO_TEST_KEY", headers={"X-Team": "games"}, retries=0)
        with pytest.raises(JudgeError, match="set the environment variable NASHPO_TEST_KEY"):
            judge.compare(["p"], ["rock"], ["paper"])
        monkeypatch.setenv("NASHPO_TEST_KEY", "secret")
        judge.compare(["p"], ["rock"], ["paper"])
        headers = server.requests[0][1]
        assert (headers["Authorization"], headers["X-Team"]) == ("Bearer secret", "games")
        server.replies += [(500, "", {})] * 2
        with pytest.raises(JudgeError) as error:
            judge.compare(["p"], ["rock"], ["paper"])
        for shown in (str(error.value), judge.identity(), judge.name, str(vars(judge)).replace(judge.url, "")):
            assert "secret" not in shown
            assert "hidden" not in shown

    @pytest.mark.parametrize(
        "reply",
        [
            (503, "", {}),
            (529, "", {}),
            (429, "", {"Retry-After": "0"}),
            (429, "", {"Retry-After": "\u00b2"}),
            (200, "[" * 100_000, {}),
            (200, "not json", {}),
            (200, '{"probabilities": [NaN]}', {}),
            (200, '{"probabilities": []}', {}),
            (200, '{"verdicts": [1]}', {}),
            (200, '{"probabilities": [1.5]}', {}),
        ],
    )
    def test_a_passing_failure(self, server, reply):
        server.replies += [reply, reply]
        judge = Remote(server.url, symmetrise=False, retries=2, wait=0)
        assert judge.compare([PROMPT], ["rock"], ["scissors"]).tolist() == [1.0]
        assert len(server.requests) == 3

    @pytest.mark.parametrize(
        ("reply", "message"),
        [
            ((500, "", {}), "failed 3 times; last: status 500"),
            ((200, '{"probabilities": [NaN]}', {}), r"failed 3 times; last: .* says nan of pair 0 \(prompt 'Say some"),
            ((200, '{"probabilities": [0.5, 0.5]}', {}), "failed 3 times; last: .* returns 2 numbers for 1 pairs"),
            ((200, "<html>busy", {}), "failed 3 times; last: .* replies '<html>busy', which is no JSON"),
        ],
    )
    def test_a_lasting_failure(self, server, reply, message):
        server.replies += [reply] * 9
        with pytest.raises(JudgeError, match=message):
            Remote(server.url, symmetrise=False, retries=2, wait=0).compare([PROMPT], ["rock"], ["scissors"])
        assert len(server.requests) == 3

    @pytest.mark.parametrize("reply", [(401, "", {}), (404, "", {}), (302, "", {"Location": "http://127.0.0.1:9/"})])
    def test_a_refusal_is_final(self, server, reply):
        server.replies += [reply] * 9
        with pytest.raises(JudgeError, match=rf"refuses the request \(status {reply[0]}\)"):
            Remote(server.url, symmetrise=False, retries=2, wait=0).compare([PROMPT], ["rock"], ["scissors"])
        assert len(server.requests) == 1

    def test_waiting_doubles_or_is_what_the_server_asks_for(self, server, monkeypatch):
        waited = []
        monkeypatch.setattr("nashpo.lm.judges.remote.time.sleep", waited.append)
        server.replies += [(503, "", {}), (429, "", {"Retry-After": "7"}), (503, "", {"Retry-After": "3600"})]
        judge = Remote(server.url, symmetrise=False, retries=3, wait=0.5)
        assert judge.compare([PROMPT], ["rock"], ["scissors"]).tolist() == [1.0]
        assert waited == [0.5, 7.0, 60.0]

    def test_nobody_there(self, server):
        port = server.server_port
        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as free:
            port = free.server_port
        with pytest.raises(JudgeError, match=r"failed 2 times; last: .*[Cc]onnection refused"):
            Remote(f"http://127.0.0.1:{port}/", retries=1, wait=0).compare(["p"], ["a"], ["b"])

    def test_an_answer_that_comes_drop_by_drop_is_late_too(self, server, monkeypatch):
        def drip(handler):
            handler.send_response(200)
            handler.end_headers()
            while not server.released.wait(0.02):
                handler.wfile.write(b" ")

        monkeypatch.setattr(Handler, "do_POST", drip)
        with pytest.raises(JudgeError, match=r"failed once; last: timed out\."):
            Remote(server.url, symmetrise=False, timeout=0.1, retries=0).compare(["p"], ["a"], ["b"])

    def test_ctrl_c_does_not_wait_for_a_server_that_hangs(self, server, monkeypatch):
        ended, main = [], threading.get_ident()

        def hang(handler):
            signal.pthread_kill(main, signal.SIGINT)
            server.released.wait(2)
            ended.append(handler)

        monkeypatch.setattr(Handler, "do_POST", hang)
        with pytest.raises(KeyboardInterrupt):
            Remote(server.url, symmetrise=False, retries=0).compare(["p"], ["a"], ["b"])
        assert not ended

    def test_cached_and_far_away(self, server, tmp_path):
        for _ in range(2):
            Cached(Remote(server.url), tmp_path).compare([PROMPT], ["rock"], ["scissors"])
        assert len(server.requests) == 2

    @pytest.mark.parametrize(
        ("options", "message"),
        [({"batch": 0}, "batch=0"), ({"retries": -1}, "retries=-1"), ({"timeout": 0}, "timeout=0")],
    )
    def test_numbers_out_of_range(self, options, message):
        with pytest.raises(ValueError, match=message):
            Remote("http://127.0.0.1/", **options)


class TestTextOracle:
    """Of several processes the judge of the first one counts, its failure too."""

    def ask(self, judge):
        letters = types.SimpleNamespace(end=(3,), decode=lambda tokens: "".join("abc"[token] for token in tokens))
        return TextOracle(judge, ["p"], letters).compare(None, [0], np.array([[[0, 3]]]), np.array([[[1, 3]]]))

    def test_the_judge_of_the_first_process_fails(self, monkeypatch):
        monkeypatch.setattr("nashpo.lm.judges.base.agreed", lambda values: np.full_like(values, math.nan))
        with pytest.raises(JudgeError, match="the judge of the first process failed"):
            self.ask(Counting(lambda *columns: [0.75]))

    def test_the_judge_of_another_process_fails(self, monkeypatch):
        asked = []
        monkeypatch.setattr(
            "nashpo.lm.judges.base.agreed", lambda values: asked.append(values) or np.full_like(values, 0.5)
        )
        assert self.ask(Counting(lambda *columns: [math.nan])).tolist() == [[0.5]]
        assert np.isnan(asked[0]).all()

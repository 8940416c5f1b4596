"""The loop of a language model's run: what it measures, writes down, saves, and how it goes on."""

import dataclasses
import json
import shutil
import signal

import jax
import numpy as np
import optax
import pytest
from lm_worlds import SMALL, TokenOracle, listed_probs, world

import nashpo
from nashpo.checkpoint import CheckpointWarning
from nashpo.learners import Batch, Fresh
from nashpo.learners.losses import Pointwise
from nashpo.lm.evaluation import Evaluation
from nashpo.lm.learner import Generated
from nashpo.lm.pool import Pool
from nashpo.lm.training import train
from nashpo.solvers import EGPO, MNPO, MPO, SPO, SPPO, NashMD
from nashpo_games import token_majority

TABLE = token_majority(length=2, prompts=2, gain=3.0, brevity=1.0, beta=0.2)
RULE = EGPO(1.0)
ROWS = np.array([0, 1, 0, 1])


def learner(**settings):
    usual = {"responses": 4, "prompts": 2, "updates": 2, "optimizer": optax.adam}
    return Generated(1e-2, **{**usual, **settings})


def run(steps=6, rule=RULE, lora=SMALL, game=None, **settings):
    made, start, _ = world(TABLE, lora)
    usual = {"learner": learner(), "start": start, "key": 5, "evaluation": Evaluation(rows=ROWS)}
    return train(made if game is None else game, rule, steps=steps, **{**usual, **settings})


def same(left, right):
    pairs = zip(*(jax.tree.leaves((found.policy, found.last)) for found in (left, right)), strict=True)
    for one, other in pairs:
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rule", [RULE, SPO(0.5), MNPO(1.0, history=(0.5, 0.5)), MPO(1.0, every=2)], ids=repr)
def test_a_run_that_was_broken_off_ends_with_the_same_bits_and_files(rule, tmp_path):
    whole = run(rule=rule, folder=tmp_path / "whole", save_every=2)
    for until in (1, 3, 4):
        part = run(rule=rule, folder=tmp_path / "parts", save_every=2, callbacks=lambda r, n=until: r.steps == n)
        assert part.steps == until
    end = run(rule=rule, folder=tmp_path / "parts", save_every=2)
    same(whole, end)
    assert (end.metrics, end.steps) == (whole.metrics, 6)
    for name in ("metrics.jsonl",):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    again = run(rule=rule, folder=tmp_path / "parts")
    same(whole, again)
    longer = run(rule=rule, folder=tmp_path / "parts", steps=7)
    assert [row["step"] for row in longer.metrics] == list(range(8))


def test_what_was_written_after_the_last_checkpoint_is_written_once(tmp_path):
    whole = run(folder=tmp_path / "whole")
    run(steps=4, folder=tmp_path / "run", save_every=2)
    lines = tmp_path / "run" / "metrics.jsonl"
    lines.write_bytes(lines.read_bytes() + b'{"step": 5, "now_lo')
    end = run(folder=tmp_path / "run")
    same(whole, end)
    assert lines.read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()
    shutil.copytree(tmp_path / "run", tmp_path / "short")
    (tmp_path / "short" / "metrics.jsonl").write_bytes(b"")
    with pytest.raises(ValueError, match="is shorter than when the checkpoint was written"):
        run(steps=7, folder=tmp_path / "short")


def test_a_damaged_checkpoint_is_skipped(tmp_path):
    whole = run(folder=tmp_path, save_every=3)
    newest = tmp_path / "checkpoints" / "00000006"
    (newest / "run.json").write_text("{")
    with pytest.warns(CheckpointWarning, match=r"run\.json has changed"):
        end = run(folder=tmp_path, save_every=3)
    same(whole, end)


def test_a_damaged_checkpoint_ahead_does_not_push_out_the_good_one(tmp_path):
    run(steps=4, folder=tmp_path, save_every=2, keep=2)
    room = tmp_path / "checkpoints"
    (room / "00000004" / "run.json").write_text("{")
    with pytest.warns(CheckpointWarning, match=r"run\.json has changed"):
        run(steps=3, folder=tmp_path, save_every=3, keep=1)
    assert [path.name for path in room.iterdir()] == ["00000003"]


@pytest.mark.parametrize(
    "other", [{"rule": EGPO(0.9)}, {"key": 6}, {"learner": learner(responses=3)}, {"evaluation": None}], ids=" ".join
)
def test_a_folder_belongs_to_one_run(other, tmp_path):
    run(steps=1, folder=tmp_path)
    with pytest.raises(ValueError, match="belongs to another run, which differs in"):
        run(steps=2, folder=tmp_path, **other)


def test_fewer_steps_than_taken_are_refused(tmp_path):
    run(steps=2, folder=tmp_path)
    with pytest.raises(ValueError, match="has taken 2 steps, more than steps=1"):
        run(steps=1, folder=tmp_path)


class Failing(TokenOracle):
    """Answers what `wrong` says from the call number `after` on."""

    def __init__(self, oracle, wrong, after, rows=(0, 1), calls=None):
        super().__init__(oracle, rows)
        self.wrong, self.after, self.calls = wrong, after, [] if calls is None else calls

    def at(self, rows):
        return Failing(self.oracle, self.wrong, self.after, self.rows[np.asarray(rows)], self.calls)

    def compare(self, key, prompts, left, right):
        self.calls.append(1)
        right_answer = super().compare(key, prompts, left, right)
        if len(self.calls) <= self.after:
            return right_answer
        if self.wrong == "Ctrl-C":
            if len(self.calls) == self.after + 1:
                signal.raise_signal(signal.SIGINT)
            return right_answer
        if self.wrong == "raise":
            raise RuntimeError("the judge is not there")
        return np.full_like(right_answer, np.nan)


jax.tree_util.register_static(Failing)


@pytest.mark.parametrize(
    ("wrong", "says"), [("raise", "the judge is not there"), ("nan", "of the judge's answers are not finite")]
)
def test_a_judge_that_fails_stops_the_run_and_nothing_is_lost(wrong, says, tmp_path):
    made, _, _ = world(TABLE, SMALL)
    broken = dataclasses.replace(made, oracle=Failing(TABLE.oracle, wrong, after=9))
    with pytest.raises(RuntimeError, match=says):
        run(game=broken, folder=tmp_path / "run", save_every=100)
    saved = [int(path.name) for path in (tmp_path / "run" / "checkpoints").iterdir()]
    assert len(saved) == 1 and 0 < saved[0] < 6
    same(run(folder=tmp_path / "run"), run())


def test_ctrl_c_waits_for_the_end_of_the_step_and_saves_it(tmp_path):
    made, _, _ = world(TABLE, SMALL)
    pressed = dataclasses.replace(made, oracle=Failing(TABLE.oracle, "Ctrl-C", after=5))
    with pytest.raises(KeyboardInterrupt):
        run(game=pressed, folder=tmp_path, save_every=100)
    saved = [int(path.name) for path in (tmp_path / "checkpoints").iterdir()]
    assert len(saved) == 1 and 0 < saved[0] < 6
    rows = [json.loads(line)["step"] for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == list(range(saved[0] + 1))
    same(run(folder=tmp_path), run())


def test_other_weights_are_another_run(tmp_path):
    _, start, _ = world(TABLE, SMALL)
    run(steps=1, folder=tmp_path)
    other = start.with_params(jax.tree.map(lambda leaf: leaf + 1e-3, start.params))
    with pytest.raises(ValueError, match="belongs to another run, which differs in weights"):
        run(steps=2, folder=tmp_path, start=other)


def test_metrics_are_what_they_say():
    """Against exact values on the listed game: win rate, distance and entropy within the noise of 512 completions."""
    game, start, listed = world(TABLE)
    policy = start.with_params(jax.tree.map(lambda leaf: leaf * 1.3, start.params))
    probs, reference = (listed_probs(model, TABLE.oracle.answers) for model in (policy, start))
    evaluation = Evaluation(rows=np.tile([0, 1], 32), responses=16)
    rivals = evaluation.begin(game, jax.random.key(0))
    row, rivals, responses = evaluation.measure(game, policy, rivals, 3, jax.random.key(1))
    table = np.asarray(listed.oracle.table())
    win_rate = np.einsum("xi,xij,xj->x", probs, table, reference).mean()
    assert abs(row["win_rate_reference"] - win_rate) < 0.03
    assert abs(row["kl_reference"] - np.sum(probs * np.log(probs / reference), -1).mean()) < 0.06
    assert abs(row["entropy"] + np.sum(probs * np.log(probs), -1).mean()) < 0.1
    assert row["finished"] == np.mean(np.any(responses == 3, -1))
    assert row["length"] == np.mean(np.sum(responses >= 0, -1))
    assert row["empirical_gap_low"] <= row["empirical_gap"] <= row["empirical_gap_high"]
    best = np.max(np.einsum("xij,xj->xi", table, probs), -1).mean() - 0.5
    assert row["empirical_gap"] < best + 0.03
    assert rivals.steps.tolist() == [3, -1, -1, -1]


@pytest.mark.parametrize("pooled", [False, True])
def test_distances_are_in_nats_an_answer_whatever_is_trained(pooled):
    game, start, _ = world(TABLE)
    found = []
    for reduction in ("sum", "mean"):
        policy = dataclasses.replace(start, reduction=reduction)
        policy = policy.with_params(jax.tree.map(lambda leaf: leaf * 1.3, start.params))
        policy = Pool.empty(policy, 2) if pooled else policy
        here = dataclasses.replace(game, reference=dataclasses.replace(start, reduction=reduction))
        evaluation = Evaluation(rows=ROWS)
        rivals = evaluation.begin(here, jax.random.key(0))
        found.append(evaluation.measure(here, policy, rivals, 1, jax.random.key(1))[0])
    assert abs(found[0]["kl_reference"]) > 0.01
    for name in ("kl_reference", "entropy"):
        assert found[0][name] == pytest.approx(found[1][name], rel=1e-4)


def test_what_is_drawn_with_a_temperature_is_no_sample_for_kl_and_entropy():
    game, start, _ = world(TABLE)
    decoding = dataclasses.replace(start.decoding, temperature=0.5)
    start, reference = (dataclasses.replace(model, decoding=decoding) for model in (start, game.reference))
    found = run(steps=1, game=dataclasses.replace(game, reference=reference), start=start, lora=None)
    assert "win_rate_reference" in found.metrics[-1]
    assert not {"kl_reference", "entropy"} & {*found.metrics[-1]}


def test_the_strongest_rival_is_found_and_measured_without_bias():
    """A policy that loses to its past: the bound is the win rate of that past, whatever else is in the pool."""
    game, start, listed = world(TABLE)
    table = np.asarray(listed.oracle.table())
    evaluation = Evaluation(rows=np.tile([0, 1], 64), responses=8)
    strong = start.with_params(jax.tree.map(lambda leaf: leaf * 1.5, start.params))
    weak = start.with_params(jax.tree.map(lambda leaf: leaf * -1.0, start.params))
    probs = [listed_probs(model, TABLE.oracle.answers) for model in (strong, weak, start)]
    wins = [np.einsum("xi,xij,xj->x", one, table, probs[1]).mean() - 0.5 for one in (probs[0], probs[2])]
    rivals = evaluation.begin(game, jax.random.key(0))
    _, rivals, _ = evaluation.measure(game, strong, rivals, 1, jax.random.key(1))
    row, _, _ = evaluation.measure(game, weak, rivals, 2, jax.random.key(2))
    assert row["empirical_gap"] > max(wins) - 0.04
    assert row["empirical_gap_high"] - row["empirical_gap_low"] < 0.1


def test_the_past_is_thinned_when_it_is_full():
    game, start, _ = world(TABLE)
    evaluation = Evaluation(rows=ROWS, history=2)
    rivals = evaluation.begin(game, jax.random.key(0))
    seen = []
    for step in range(5):
        _, rivals, _ = evaluation.measure(game, start, rivals, step, jax.random.key(step))
        seen.append(rivals.steps.tolist())
    assert seen == [[0, -1], [0, 1], [1, 2], [2, 3], [3, 4]]


def test_prompts_are_visited_once_a_pass_and_those_of_weight_zero_never():
    game, _, _ = world(TABLE)
    wide = dataclasses.replace(game, prompts=np.array([0.2, 0.0, 0.3, 0.1, 0.0, 0.2, 0.2]))
    reader = learner(prompts=5)
    batches = [reader.rows(cursor, wide) for cursor in range(0, 25, 5)]
    for rows, weights in batches:
        assert sorted(rows) == [0, 2, 3, 5, 6]
        np.testing.assert_allclose(weights, np.asarray(wide.prompts)[rows] * 5 / 5)
    assert len({tuple(rows) for rows, _ in batches}) > 1
    uneven = learner(prompts=3)
    seen = np.concatenate([uneven.rows(cursor, wide)[0] for cursor in range(0, 15, 3)])
    assert np.bincount(seen, minlength=7).tolist() == [3, 0, 3, 3, 0, 3, 3]


def test_a_look_ahead_sees_the_same_prompts_and_keeps_no_moments():
    game, start, _ = world(TABLE, SMALL)
    solver = nashpo.mirror.Mirror(RULE, learner(prompts=1))
    state = solver.init(game, start)
    for _ in range(2):
        before = int(state.carry.cursor)
        state, info = solver.step(game, state, jax.random.key(before))
        assert info["half_samples"]["rows"].tolist() == info["now_samples"]["rows"].tolist()
        assert int(state.carry.cursor) == before + 1
    counts = [leaf for leaf in jax.tree.leaves(state.carry.optimizer) if leaf.dtype == np.int32 and leaf.ndim == 0]
    assert int(counts[0]) == 4


def test_beta_follows_its_schedule():
    seen = []

    class Watched(EGPO):
        def stages(self, beta, step):
            seen.append(float(beta))
            return super().stages(beta, step)

    run(steps=3, rule=Watched(1.0), beta=lambda step: 0.3 - 0.1 * step, evaluation=None)
    assert seen[-3:] == pytest.approx([0.3, 0.2, 0.1])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"prompts": 3}, r"Generated\(prompts=3\): there are 2 prompts to train on"),
        ({"gains": Batch()}, r"Generated\(gains=Batch\(\)\): EGPO plays against another policy"),
        ({"loss": Pointwise()}, r"Generated\(loss=Pointwise\(\)\): EGPO asks for the target 'win_rate'"),
        ({"minibatch": 4, "prompts": 2, "microbatch": 3}, r"Generated\(microbatch=3\): must divide the 2 prompts"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_run_are_refused(settings, says):
    with pytest.raises(ValueError, match=says):
        run(learner=learner(**settings))


def test_pieces_of_a_batch_are_the_batch():
    whole, pieces = (run(steps=2, learner=learner(microbatch=size), evaluation=None) for size in (None, 1))
    for one, other in zip(jax.tree.leaves(whole.policy.params), jax.tree.leaves(pieces.policy.params), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_a_donated_state_changes_nothing():
    same(run(steps=3), run(steps=3, learner=learner(donate=True)))


def test_a_second_step_compiles_nothing(monkeypatch):
    game, start, _ = world(TABLE, SMALL)
    solver = nashpo.mirror.Mirror(NashMD(0.5), learner(gains=Fresh(2)))
    state = solver.init(game, start)
    for step in range(2):
        state, _ = solver.step(game, state, jax.random.key(step))
    with jax.log_compiles(), monkeypatch.context() as patch:
        said = []
        patch.setattr("logging.Logger.warning", lambda self, message, *args: said.append(str(message)))
        solver.step(game, state, jax.random.key(2))
    assert not [message for message in said if "ompiling" in message]


def test_completions_are_written_down(tmp_path):
    class Letters(TokenOracle):
        prompts = ("first", "second")

        def at(self, rows):
            return Letters(self.oracle, self.rows[np.asarray(rows)])

        def decode(self, responses):
            return ["".join("abc."[token] for token in row if token >= 0) for row in np.asarray(responses)]

    jax.tree_util.register_static(Letters)
    made, _, _ = world(TABLE, SMALL)
    game = dataclasses.replace(made, oracle=Letters(TABLE.oracle))
    run(steps=2, game=game, folder=tmp_path, completions=3)
    rows = [json.loads(line) for line in (tmp_path / "completions.jsonl").read_text().splitlines()]
    assert [row["stage"] for row in rows] == ["half"] * 3 + ["now"] * 3 + ["half"] * 3 + ["now"] * 3
    assert {row["prompt"] for row in rows} == {"first", "second"}
    assert all(0 <= row["gain"] <= 1 and row["step"] in (1, 2) for row in rows)


def test_the_half_baseline_of_sppo_is_fitted():
    found = run(steps=2, rule=SPPO(0.5, baseline="half"), learner=learner(loss=Pointwise()))
    assert np.isfinite(found.trace["now_loss"][1:]).all()


@pytest.mark.parametrize(("dtype", "reads"), [("float32", 1), ("bfloat16", 2)])
def test_what_was_generated_is_not_read_again(dtype, reads, monkeypatch):
    """The policy that is trained knows how likely its completions are, where that is precise; the reference reads."""
    game, start, _ = world(TABLE)
    half = jax.tree.map(lambda leaf: leaf.astype(dtype), start.params)
    start = start.with_params(half)
    game = dataclasses.replace(game, reference=start.with_params(jax.tree.map(lambda leaf: leaf * 0.9, half)))
    asked = []
    usual = type(start).log_prob
    monkeypatch.setattr(type(start), "log_prob", lambda *given: asked.append(1) or usual(*given))
    slots = {"now": start, "reference": game.reference}
    stage = RULE.stages(0.2, 0.0)[0]
    rows, weights = learner().rows(0, game)
    samples = learner().collect(jax.random.key(0), rows, weights, start, slots, stage, game)
    assert len(asked) == reads
    own, other = (policy.at(rows).log_prob(np.arange(2), samples.responses) for policy in (start, game.reference))
    np.testing.assert_allclose(samples.anchor, 0.8 * own + 0.2 * other, atol=1e-5)

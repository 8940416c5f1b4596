"""Preferences learned from features by networks, groups of annotators, calibration and its picture."""

import dataclasses

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
import pytest
from flax import nnx
from pictures import close_figures, drawn, texts  # noqa: F401  the fixture runs by itself

import nashpo
from nashpo.oracles import BradleyTerry, GeneralPreference, Mixture, Noisy, Table
from nashpo.preferences import (
    Comparisons,
    EmbeddingModel,
    PairwiseModel,
    Perceptron,
    RewardModel,
    Training,
    accuracy,
    calibration,
    cyclic_comparisons,
    fit,
    fit_annotator_groups,
    fit_bradley_terry,
    fit_general_preference,
    log_likelihood,
    sample_annotators,
    sample_comparisons,
    win_probabilities,
)
from nashpo.struct import record

KEY = jax.random.key(0)
FEATURES = np.random.default_rng(1).normal(size=(2, 5, 3))
CONTEXTS = np.eye(2)


def module(inputs, outputs=1, hidden=(8,), seed=0):
    return Perceptron(inputs, outputs, hidden, rngs=nnx.Rngs(seed))


MODELS = {
    "reward": lambda contexts: RewardModel.from_module(module(3 + (contexts is not None) * 2), contexts),
    "embedding": lambda contexts: EmbeddingModel.from_module(module(3 + (contexts is not None) * 2, 4), contexts),
    "pairwise": lambda contexts: PairwiseModel.from_module(module(6 + (contexts is not None) * 2), contexts),
    "gated": lambda contexts: EmbeddingModel.from_module(
        module(5, 4), CONTEXTS, gate=module(2, 2, ()), temperature=0.5
    ),
}


@pytest.mark.parametrize("contexts", [None, CONTEXTS], ids=["responses", "prompts"])
@pytest.mark.parametrize("name", MODELS)
def test_a_model_is_the_oracle_of_its_candidates(name, contexts):
    model = MODELS[name](contexts)
    oracle = model.over(FEATURES)
    assert oracle.shape == (2, 5)
    nashpo.testing.check_oracle(oracle)
    x, i, j = np.indices((2, 5, 5)).reshape(3, -1)
    shown = model.compare(None, x, FEATURES[x, i][:, None], FEATURES[x, j][:, None])[:, 0].reshape(2, 5, 5)
    np.testing.assert_allclose(shown, oracle.table(), atol=1e-6)
    np.testing.assert_allclose(oracle.table() + np.swapaxes(oracle.table(), -1, -2), 1.0, atol=1e-12)
    scores = dataclasses.replace(model, scale="score")
    assert scores.over(FEATURES).scale == "score"
    np.testing.assert_allclose(jax.nn.sigmoid(scores.over(FEATURES).table()), oracle.table(), atol=1e-6)
    game = nashpo.Game.from_oracle(oracle, beta=0.1)
    assert nashpo.equilibrium(game).gap < 1e-6


def test_the_sign_of_embeddings_is_that_of_the_oracle():
    model = EmbeddingModel.from_module(module(2, 2, ()), temperature=0.5)
    identity = {"layers": {0: {"kernel": jnp.eye(2), "bias": jnp.zeros(2)}}}
    model = model.with_params({"embedding": identity})
    assert float(model.scores(jnp.zeros(1, int), jnp.eye(2)[:1], jnp.eye(2)[1:])[0]) == 2.0


def test_a_linear_reward_is_the_fit_of_the_items():
    wins = np.random.default_rng(2).integers(1, 30, (4, 4)) * (1 - np.eye(4))
    data = Comparisons.from_wins(wins)
    for dtype, error in ((jnp.float32, 1e-5), (jnp.float64, 1e-8)):
        model = RewardModel.from_module(Perceptron(4, 1, (), rngs=nnx.Rngs(0), dtype=dtype))
        training = Training(tol=1e-6 if dtype == jnp.float32 else 1e-10)
        for penalty in (0.0, 2.0):
            found = fit(model, data.with_features(np.eye(4)), KEY, training, penalty=penalty)
            expected = fit_bradley_terry(data, penalty=penalty).table()
            assert found.converged
            np.testing.assert_allclose(found.model.over(np.eye(4)[None]).table(), expected, atol=error)
        assert np.all(np.diff(found.losses) <= 1e-7)


@pytest.mark.parametrize("flip", [0.0, 0.2])
def test_planted_rewards_of_features_are_found(flip):
    weights = np.array([1.0, -0.7, 0.4])
    features = np.random.default_rng(3).normal(size=(40, 3))
    truth = BradleyTerry((features @ weights)[None])
    data = sample_comparisons(truth, KEY, 40_000, flip=flip).with_features(features)
    model = fit(RewardModel.from_module(module(3, hidden=())), data, KEY, flip=flip).model
    found = np.asarray(model.params["layers"][0]["kernel"])[:, 0]
    # The Fisher information of 40,000 votes with E[p q] >= 0.1 and E[z z^T] = 2 I: standard errors below 0.012.
    np.testing.assert_allclose(found, weights, atol=5 * 0.012 / (1 - 2 * flip))


def test_networks_foretell_pairs_that_were_never_seen():
    rng = np.random.default_rng(4)
    features = rng.normal(size=(30, 2))
    truth = GeneralPreference(2 * features[None], scale="probability")
    votes = sample_comparisons(truth, KEY, 6000)
    train, held = (part.with_features(features) for part in votes.split(KEY, 0.3, by="pairs"))
    likelihoods = {}
    for name, model in {
        "reward": RewardModel.from_module(module(2)),
        "embedding": EmbeddingModel.from_module(module(2, 2)),
        "pairwise": PairwiseModel.from_module(module(4, hidden=(16,))),
    }.items():
        likelihoods[name] = log_likelihood(fit(model, train, KEY, Training(steps=100), penalty=0.1).model, held)
    best = log_likelihood(truth, votes.split(KEY, 0.3, by="pairs")[1])
    assert best - 0.03 < likelihoods["embedding"] <= best + 0.03
    assert likelihoods["reward"] < likelihoods["pairwise"] - 0.05
    assert likelihoods["reward"] < likelihoods["embedding"] - 0.05


@pytest.mark.parametrize("name", ["embedding", "pairwise", "reward"])
def test_cycles_of_features(name):
    data = cyclic_comparisons(4, votes=10).with_features(np.eye(4))
    inputs, outputs = {"reward": (4, 1), "embedding": (4, 2), "pairwise": (8, 1)}[name]
    kind = {"reward": RewardModel, "embedding": EmbeddingModel, "pairwise": PairwiseModel}[name]
    found = fit(kind.from_module(module(inputs, outputs)), data, KEY, Training(steps=100), penalty=0.01).model
    assert accuracy(found, data) == 1.0 if name != "reward" else accuracy(found, data) <= 0.75


def test_batches_repeat_with_the_key_and_reach_the_same_place():
    data = Comparisons.from_wins(np.array([[0, 30, 12], [10, 0, 25], [20, 15, 0]])).with_features(np.eye(3))
    model = RewardModel.from_module(module(3, hidden=()))
    training = Training(steps=600, optimizer=optax.adam, learning_rate=0.02, batch=8)
    one, same, other = (fit(model, data, jax.random.key(k), training) for k in (0, 0, 1))
    np.testing.assert_array_equal(one.losses, same.losses)
    assert not np.array_equal(one.losses, other.losses)
    exact = fit(model, data, KEY).model.over(np.eye(3)[None]).table()
    np.testing.assert_allclose(one.model.over(np.eye(3)[None]).table(), exact, atol=0.05)


def test_training_stops_where_the_held_out_likelihood_is_best():
    truth = BradleyTerry(np.random.default_rng(5).normal(size=(1, 12)))
    features = np.random.default_rng(6).normal(size=(12, 6))
    train, held = (p.with_features(features) for p in sample_comparisons(truth, KEY, 200).split(KEY, 0.4))
    model = PairwiseModel.from_module(module(12, hidden=(32,)))
    training = Training(steps=2000, optimizer=optax.adam, learning_rate=0.02, every=20, patience=3)
    found = fit(model, train, KEY, training, held_out=held)
    best = int(np.argmin(found.held_out))
    assert found.converged
    assert len(found.held_out) == best + 4 < 100
    assert len(found.losses) == 20 * len(found.held_out)
    assert -log_likelihood(found.model, held) == pytest.approx(found.held_out[best], rel=1e-6)


@record
class _Broken:
    """A model whose gradient is not finite where its scores are: the root of nothing."""

    slope: jax.Array

    @property
    def params(self):
        return {"slope": self.slope}

    def with_params(self, params):
        return _Broken(params["slope"])

    def scores(self, prompts, left, right):
        return jnp.sqrt(jnp.abs(0 * self.slope[0])) + left[:, 0]


def test_training_says_what_is_wrong():
    data = Comparisons.from_pairs(np.eye(2), np.eye(2)[::-1])
    model = RewardModel.from_module(module(2))
    huge = Comparisons.from_pairs(np.array([[3e38, 3e38]]), np.zeros((1, 2)))
    linear = RewardModel.from_module(module(2, hidden=()))
    linear = linear.with_params(jax.tree.map(lambda leaf: 0 * leaf + 9.0, linear.params))
    wide = RewardModel.from_module(module(2, 3))
    odd = EmbeddingModel.from_module(module(2, 3))
    gated = EmbeddingModel.from_module(module(3, 4), np.ones((1, 1)), gate=module(1, 3))
    asked = RewardModel.from_module(module(3), np.ones((1, 1)))
    one, two = (Comparisons.from_pairs(np.eye(2), np.eye(2)[::-1], prompts=[0, x]) for x in (0, 1))
    for make, message in (
        (lambda: fit(model, data, KEY, Training(batch=2)), "batch=2: L-BFGS needs all rows"),
        (lambda: fit(model, data, KEY, Training(steps=0)), "steps=0"),
        (lambda: fit(model, data, KEY, Training(every=2.5)), "every=2.5: must be a whole number"),
        (lambda: fit(model, data, KEY, Training(optimizer=optax.adam, batch=0)), "batch=0: must be a whole number"),
        (lambda: fit(model, data, KEY, Training(patience="x")), "patience='x': must be a whole number"),
        (lambda: fit(model, data, KEY, Training(tol="x")), "tol='x': the slope to stop at"),
        (lambda: fit(model, data, KEY, Training(optimizer=optax.adam(0.1))), "give a function from a learning rate"),
        (
            lambda: fit(model, data, KEY, Training(learning_rate="x")),
            r"Training\(learning_rate=x\): must be a positive",
        ),
        (lambda: fit(model, data, KEY, Training(optimizer=lambda a, b: a)), "cannot be called with a learning rate al"),
        (lambda: fit(model, data, KEY, flip="x"), "flip=x: must be at least 0"),
        (lambda: fit(model, data, KEY, penalty="x"), "penalty=x: the precision"),
        (lambda: fit(model, data, KEY, held_out=[data]), r"fit\(held_out\): give Comparisons"),
        (lambda: fit(asked, one, KEY, held_out=two), "prompt 1 has no context, there are 1"),
        (lambda: fit(model, data, KEY, flip=0.7), "flip=0.7"),
        (lambda: fit(model, data, KEY, penalty=-1), "penalty=-1"),
        (lambda: fit(linear, huge, KEY), "step 1: the loss is not finite"),
        (lambda: fit(_Broken(jnp.ones(2)), data, KEY), r"step 1: the gradient of params\['slope'\] is not finite"),
        (lambda: fit(wide, data, KEY), r"output has shape \(2, 3\), but must be one number a row"),
        (lambda: fit(odd, data, KEY), r"output has shape \(2, 3\), but embeddings are \[rows, 2k\]"),
        (lambda: fit(gated, data, KEY), r"gate's output has shape \(2, 3\), but must be \(2, 2\)"),
        (lambda: fit(model, Comparisons.from_pairs([0], [1]), KEY), "reads features, but these are item numbers"),
        (lambda: EmbeddingModel.from_module(module(2, 2), gate=module(1, 1)), "give contexts"),
        (lambda: EmbeddingModel.from_module(module(2, 2), temperature=0.0), "temperature=0.0"),
        (lambda: RewardModel.from_module(module(2), contexts=np.ones(3)), r"contexts has shape \(3,\)"),
        (lambda: model.over(np.ones((2, 2))), r"candidates has shape \(2, 2\)"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


class Layered(nnx.Module):
    """A layer between two others, called as told."""

    def __init__(self, inputs, layer, **options):
        self.first, self.last = nnx.Linear(inputs, 4, rngs=nnx.Rngs(0)), nnx.Linear(4, 2, rngs=nnx.Rngs(1))
        self.layer, self.options = layer, options

    def __call__(self, *parts):
        return self.last(self.layer(self.first(jnp.concatenate(parts, axis=-1)), **self.options))


@pytest.mark.parametrize(
    "make", [lambda: nnx.Dropout(0.05, rngs=nnx.Rngs(0)), lambda: nnx.BatchNorm(4, rngs=nnx.Rngs(0))]
)
def test_networks_in_training_mode_are_refused(make):
    data = Comparisons.from_wins([[0, 3, 1], [1, 0, 2], [2, 1, 0]]).with_features(np.eye(3))
    contexts, features = np.ones((1, 2), np.float32), np.eye(3, dtype=np.float32)[None]
    network, gate = Layered(5, make()), Layered(2, make())
    moving = EmbeddingModel.from_module(network, contexts)
    refused = r"Layered answers response 0 differently .* module.eval\(\)"
    for use in (lambda: fit(moving, data, KEY), lambda: moving.over(features)):
        with pytest.raises(ValueError, match=refused):
            use()
    with pytest.raises(ValueError, match=refused):
        EmbeddingModel.from_module(module(5, 4), contexts, gate).over(features)
    network.eval()
    EmbeddingModel.from_module(network, contexts).over(features)


@pytest.mark.parametrize("make", [RewardModel, PairwiseModel])
def test_responses_that_see_each_other_are_refused(make):
    data = Comparisons.from_wins([[0, 3, 1], [1, 0, 2], [2, 1, 0]]).with_features(np.eye(3))
    centred = nnx.Sequential(
        lambda *parts: jnp.concatenate(parts, -1), lambda v: v - v.mean(0), module(3 if make is RewardModel else 6, 1)
    )
    model = make.from_module(centred)
    for use in (lambda: fit(model, data, KEY), lambda: model.over(np.eye(3)[None])):
        with pytest.raises(ValueError, match="Sequential answers response 0 differently when other responses are in"):
            use()


@pytest.mark.parametrize("gated", [False, True])
def test_prompts_without_a_context_are_refused(gated):
    contexts = np.eye(2, dtype=np.float32)
    model = EmbeddingModel.from_module(module(4, 2), contexts, gate=module(2, 1) if gated else None)
    data = Comparisons.from_pairs(np.eye(2)[[0, 1, 0, 0]], np.eye(2)[[1, 0, 1, 1]], prompts=[0, 1, 1, 4])
    for use, last in ((lambda: fit(model, data, KEY), 4), (lambda: model.over(np.stack([np.eye(2)] * 3)), 2)):
        with pytest.raises(ValueError, match=f"prompt {last} has no context, there are 2: give one to each prompt"):
            use()


def test_networks_that_the_call_puts_in_evaluation_mode_are_in_order():
    told = Layered(3, nnx.Dropout(0.5, rngs=nnx.Rngs(0)), deterministic=True)
    features = np.eye(3, dtype=np.float32)
    found = EmbeddingModel.from_module(told).over(features[None])
    np.testing.assert_allclose(found.embeddings[0], told(features), rtol=1e-6)


def society(spread=1.5):
    rewards = spread * np.stack([np.roll([[1.0, 0.5, 0.0, -0.5, -1.0]], turn) for turn in (0, 2, 3)])
    return Mixture.of([BradleyTerry(r) for r in rewards], weights=[0.5, 0.3, 0.2])


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_planted_groups_are_found(assignment):
    true = society()
    data, groups = sample_annotators(true, KEY, annotators=60, votes=80)
    found = fit_annotator_groups(data, 3, KEY, assignment)
    assert found.converged
    match = [int(np.bincount(found.groups()[groups == g]).argmax()) for g in range(3)]
    assert sorted(match) == [0, 1, 2]
    assert np.mean(np.array(match)[groups] == found.groups()) >= 58 / 60
    for g, group in enumerate(true.annotators):
        error = np.abs(found.oracle.annotators[match[g]].table() - group.table()).max()
        # A group has at least 9 annotators, 72 votes a pair; the fit of four numbers to ten pairs is not worse.
        assert error < 5 * np.sqrt(0.25 / 72)
    sizes = np.bincount(groups, minlength=3) / 60
    np.testing.assert_allclose(found.oracle.weights[match], sizes, atol=0.05)
    assert np.all(np.diff(found.oracle.weights) <= 0)


@pytest.mark.parametrize("flip", [0.0, 0.1])
@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_the_likelihood_never_falls(assignment, flip):
    data, _ = sample_annotators(society(0.5), KEY, annotators=30, votes=12, flip=flip)
    for seed in range(5):
        found = fit_annotator_groups(data, 3, jax.random.key(seed), assignment, restarts=1, tol=0.0, flip=flip)
        assert np.diff(found.objectives).min() > -1e-9
        assert found.objectives[-1] > found.objectives[0] + 0.1
        np.testing.assert_allclose(found.responsibilities.sum(axis=1), 1.0)


def test_one_group_is_bradley_terry_and_many_starts_are_no_worse():
    data, _ = sample_annotators(society(), KEY, annotators=20, votes=30)
    one = fit_annotator_groups(data, 1, KEY, penalty=0.5)
    np.testing.assert_allclose(one.rewards[0], fit_bradley_terry(data, penalty=0.5).rewards, atol=1e-8)
    single, best = (fit_annotator_groups(data, 3, KEY, restarts=n).objectives[-1] for n in (1, 10))
    assert best >= single > one.objectives[-1]
    again = fit_annotator_groups(data, 3, KEY).responsibilities
    np.testing.assert_array_equal(again, fit_annotator_groups(data, 3, KEY).responsibilities)


def test_the_objective_by_hand():
    data = Comparisons.from_pairs([0] * 4, [1] * 4, [1, 1, 0, 0], votes=3, annotators=range(4))
    found = fit_annotator_groups(data, 2, KEY, penalty=0.2)
    r, w = found.rewards[:, 0], found.oracle.weights
    likelihood = [np.log(sum(w * np.exp(-3 * np.logaddexp(0, s * (r[:, 1] - r[:, 0]))))) for s in (1, 1, -1, -1)]
    assert found.objectives[-1] == pytest.approx(sum(likelihood) - 0.1 * np.sum(r**2))


@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_numbers_without_votes_are_no_annotators(assignment):
    numbers = [3, 4, 7, 8, 12]
    left, right, annotators = np.tile([0, 1, 0], 5), np.tile([1, 2, 2], 5), np.repeat(numbers, 3)

    def voted(who):
        share = np.where(annotators % 2, 0.9, 0.1)
        return Comparisons.from_pairs(left, right, share, votes=20, annotators=who)

    found = fit_annotator_groups(voted(annotators), 2, KEY, assignment)
    dense = fit_annotator_groups(voted(np.repeat(range(5), 3)), 2, KEY, assignment)
    np.testing.assert_array_equal(found.objectives, dense.objectives)
    np.testing.assert_allclose(found.oracle.weights, [0.6, 0.4], atol=1e-6)
    np.testing.assert_array_equal(found.responsibilities[numbers], dense.responsibilities)
    absent = np.setdiff1d(range(13), numbers)
    np.testing.assert_array_equal(found.responsibilities[absent], np.tile(found.oracle.weights, (8, 1)))
    with pytest.raises(ValueError, match="groups=6: there are 5 annotators who voted"):
        fit_annotator_groups(voted(annotators), 6, KEY, assignment)


def test_groups_say_what_they_need():
    data, _ = sample_annotators(society(), KEY, annotators=4, votes=5)
    for make, message in (
        (lambda: fit_annotator_groups(Comparisons.from_pairs([0], [1]), 1, KEY), "do not say who voted"),
        (lambda: fit_annotator_groups(data, 5, KEY), "groups=5: there are 4 annotators"),
        (lambda: fit_annotator_groups(data, 2, KEY, penalty=0.0), "penalty=0.0"),
        (lambda: fit_annotator_groups(data, 2, KEY, "firm"), "assignment='firm'"),
        (lambda: fit_annotator_groups(data, 2, KEY, restarts=0), "restarts=0: must be a whole number"),
        (lambda: fit_annotator_groups(data, 2, KEY, steps="x"), "steps='x': must be a whole number"),
        (lambda: fit_annotator_groups(data, 2, KEY, tol="x"), "tol='x': the relative gain"),
        (lambda: sample_annotators(society(), KEY, annotators=0, votes=5), "annotators=0"),
        (lambda: sample_comparisons(society(), KEY, 0), "count=0"),
        (lambda: sample_comparisons(society(), KEY, 2.5), "count=2.5"),
        (lambda: sample_annotators(society(), KEY, annotators="x", votes=5), "annotators=x"),
    ):
        with pytest.raises(ValueError, match=message):
            make()


def test_calibration_does_not_depend_on_what_is_left():
    truth = Table(np.array([[[0.5, 0.8, 0.3], [0.2, 0.5, 0.6], [0.7, 0.4, 0.5]]]))
    data = sample_comparisons(truth, KEY, 900)
    turned = Comparisons.from_pairs(data.right, data.left, 1 - data.share, data.votes)
    model = BradleyTerry(np.array([[0.5, 0.0, 0.2]]))
    for one, two in zip(calibration(model, data), calibration(model, turned), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-12)


def test_the_truth_is_calibrated_and_its_intervals_cover():
    scores = np.random.default_rng(8).normal(size=(1, 12, 12))
    truth = Table(1 / (1 + np.exp(np.swapaxes(scores, -1, -2) - scores)))
    covered, errors = [], []
    for seed in range(40):
        data = sample_comparisons(truth, jax.random.key(seed), 3000)
        found = calibration(truth, data)
        assert found.votes.sum() == 3000
        assert np.all((found.low <= found.observed) & (found.observed <= found.high))
        covered += ((found.low <= found.predicted) & (found.predicted <= found.high)).tolist()
        errors.append(found.error)
        wild = calibration(Table(1 / (1 + np.exp(3 * (np.swapaxes(scores, -1, -2) - scores)))), data)
        assert wild.error > 3 * found.error
    assert 0.95 - 4 * np.sqrt(0.95 * 0.05 / len(covered)) < np.mean(covered) <= 1.0
    assert np.mean(errors) < 0.03


def test_penalties_lost_in_rounding_and_numbers_beyond_the_memory_are_one_sentence():
    certain = Comparisons.from_pairs([0, 0, 0], [1, 1, 1], [1, 0, 1], votes=1e6, annotators=range(3))
    with pytest.raises(ValueError, match="too one-sided for so small a penalty: raise it above 1e-12"):
        fit_annotator_groups(certain, 2, 0, penalty=1e-12)
    badges = Comparisons.from_pairs([0, 0], [1, 1], annotators=[0, 10**12])
    with pytest.raises(ValueError, match="annotators are numbered up to 1000000000000, more than fit into memory"):
        fit_annotator_groups(badges, 2, 0)


def test_calibration_by_hand():
    from scipy.stats import binom

    data = Comparisons.from_pairs([0, 0, 1], [1, 2, 2], share=[0.9, 0.25, 0.5], votes=[10, 4, 6])
    oracle = Table(np.array([[[0.5, 0.9, 0.4], [0.1, 0.5, 0.5], [0.6, 0.5, 0.5]]]))
    found = calibration(oracle, data, bins=5, confidence=0.9)
    np.testing.assert_allclose(found.predicted, [0.5, 0.6, 0.9])
    np.testing.assert_allclose(found.observed, [0.5, 0.75, 0.9])
    np.testing.assert_allclose(found.votes, [6, 4, 10])
    assert found.error == pytest.approx(0.15 * 4 / 20)
    # Clopper-Pearson: at its ends, results as extreme as this have a chance of 5%.
    assert binom.sf(8, 10, found.low[2]) == pytest.approx(0.05)
    assert binom.cdf(9, 10, found.high[2]) == pytest.approx(0.05)
    sure = calibration(oracle, Comparisons.from_pairs([0], [1], votes=5))
    assert (sure.observed[0], sure.high[0]) == (1.0, 1.0)
    with pytest.raises(ValueError, match="bins=0"):
        calibration(oracle, data, bins=0)


def test_the_picture_of_calibration():
    truth = BradleyTerry(np.random.default_rng(9).normal(size=(1, 6)))
    data = sample_comparisons(truth, KEY, 500)
    found = calibration(truth, data)
    ax = drawn(nashpo.plots.calibration(found))
    assert texts(ax.get_legend()) == [f"(ECE {found.error:.3f})"]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), found.observed)
    _, narrow = plt.subplots(figsize=(3.2, 2.8), layout="constrained")
    ax = drawn(
        nashpo.plots.calibration([found, found], ["one", "a name that is much too long for a picture"], ax=narrow)
    )
    assert ax.get_tightbbox().x1 <= ax.figure.bbox.x1
    one, two = ax.lines[1].get_xdata(), ax.lines[2].get_xdata()
    assert np.all(two > one)
    with pytest.raises(ValueError, match="there are 1 labels for 2 curves"):
        nashpo.plots.calibration([found, found], ["one"])
    with pytest.raises(ValueError, match="there are 0 curves"):
        nashpo.plots.calibration([])


def test_oracles_that_answer_at_random_are_asked_with_a_key():
    oracle = Noisy(Table(np.array([[[0.5, 0.9], [0.1, 0.5]]])), votes=11)
    found = win_probabilities(oracle, Comparisons.from_pairs([0], [1]))
    assert found.shape == (1, 2)
    np.testing.assert_array_equal(found, win_probabilities(oracle, Comparisons.from_pairs([0], [1])))


def test_probabilities_of_features_need_no_list():
    model = MODELS["pairwise"](None)
    data = Comparisons.from_pairs(FEATURES[0, :3], FEATURES[0, 1:4])
    np.testing.assert_allclose(win_probabilities(model, data).sum(axis=1), 1.0, atol=1e-6)
    assert fit_general_preference(cyclic_comparisons(3), KEY).shape == (1, 3)

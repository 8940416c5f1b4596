"""Pair selection, gold answers, replay, rejection sampling and the queue: what they draw, and what they move."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from recursions import normalise, path
from scipy.stats import binom, chisquare

import nashpo
from nashpo.learners import (
    Batch,
    BestAgainstWorst,
    FromReference,
    GoldMargin,
    LargeMargin,
    Listed,
    Queue,
    Rejection,
    Replay,
    Sampled,
)
from nashpo.learners.collect import Recipe, collect
from nashpo.learners.losses import CDPO, DPO, RPO, VPO, PairLabel, Pointwise, SigmoidNorm, SquaredGains
from nashpo.learners.memory import Carry
from nashpo.learners.samplers import FromStart, Scene
from nashpo.oracles import Sequences, Table
from nashpo.policies import Answers, Tabular
from nashpo.solvers import INPO, SPO, IterativeDPO
from nashpo.stage import Opponent, Stage, UpdateRule, against
from nashpo.struct import record, static

A, ETA = 4, 0.7
STAGE = Stage({"now": 1.0}, against("now"), ETA)


@pytest.fixture
def world():
    """A game, the policy `[A]` that is sampled, and the scene of a step of self-play from it."""
    rng = np.random.default_rng(5)
    upper = np.triu(rng.uniform(0.1, 0.9, (A, A)), 1)
    P = upper + np.tril(1 - upper.T, -1) + 0.5 * np.eye(A)
    now = normalise(rng.normal(size=A))
    game = jax.tree.map(jnp.asarray, nashpo.Game.from_table(P))
    policy = Tabular(jnp.asarray(now)[None])
    return P, now, Scene(policy, {"now": policy, "reference": game.reference}, STAGE, game)


@record
class Every:
    """Not a sample but every tuple of responses, one a row."""

    law = "opponent"

    def draw(self, key, prompts, count, scene):
        return jnp.asarray(list(itertools.product(range(A), repeat=count)))


def selected(world, selection, loss=PairLabel(), count=3):  # noqa: B008 - a frozen record
    """Every tuple with its weight under the policy, after a selection."""
    _, now, scene = world
    recipe = Recipe(A**count, count, Every(), Listed(), selection, loss)
    samples = collect(recipe, jax.random.key(0), scene)
    return samples._replace(weights=np.prod(np.exp(now)[np.asarray(samples.responses[:, :count])], axis=1))


def pair_law(samples):
    """`W[a, b]`, the weight of pairs with left a and right b, and the mean target of each in units of eta."""
    W, D = np.zeros((A, A)), np.zeros((A, A))
    sides = [np.take_along_axis(np.asarray(samples.responses), np.asarray(s), 1) for s in (samples.left, samples.right)]
    weights = samples.weights[:, None] * np.asarray(samples.pairs)
    np.add.at(W, tuple(sides), weights)
    np.add.at(D, tuple(sides), weights * (np.asarray(samples.labels) - 0.5))
    return W, D


def laplacian_point(W, D):
    """The minimiser of `sum W (x_a - x_b - D / W)^2`."""
    both = W + W.T
    return np.linalg.lstsq(np.diag(both.sum(1)) - both, D.sum(1) - D.sum(0), rcond=None)[0]


def slope(loss, samples, log_pi):
    """The gradient in the logits of the expected loss."""
    terms = nashpo.learners.losses.Terms(ETA, 0.0, 0.5, "win_rate")

    def f(theta):
        return jnp.sum(samples.weights * loss(jax.nn.log_softmax(theta)[samples.responses], samples, terms))

    return np.asarray(jax.jit(jax.grad(f))(jnp.asarray(log_pi)))


# Selection


def test_labels_of_the_best_against_the_worst_end_at_the_laplacian_solution_of_their_pairs(world):
    P, now, _ = world
    step = normalise(now + ETA * P @ np.exp(now))
    whole = selected(world, None)
    np.testing.assert_allclose(normalise(now + ETA * laplacian_point(*pair_law(whole))), step, atol=1e-12)
    distances = {}
    for certain in (True, False):
        samples = selected(world, BestAgainstWorst(certain=certain))
        point = normalise(now + ETA * laplacian_point(*pair_law(samples)))
        np.testing.assert_allclose(slope(PairLabel(), samples, point), 0.0, atol=1e-13)
        assert np.max(np.abs(slope(PairLabel(), samples, step))) > 1e-3
        distances[certain] = 0.5 * np.abs(np.exp(point) - np.exp(step)).sum()
    taken = 0.5 * np.abs(np.exp(step) - np.exp(now)).sum()
    assert distances[True] > taken
    assert 0.2 * distances[True] > distances[False] > 1e-3


@pytest.mark.parametrize("selection", [BestAgainstWorst(), LargeMargin(0.0)])
def test_a_certain_winner_of_scores_is_certain(world, selection):
    P, now, scene = world
    scores = nashpo.Game.from_table(np.log(P / P.T), scale="score")
    other = selected((P, now, scene._replace(game=jax.tree.map(jnp.asarray, scores))), selection, DPO(), count=2)
    plain = selected(world, selection, DPO(), count=2)
    np.testing.assert_array_equal(jax.nn.sigmoid(other.labels), plain.labels)
    assert {0.5, 1.0} <= set(np.unique(plain.labels))
    with pytest.raises(ValueError, match="winners taken for certain have no finite score, which PairLabel is to match"):
        nashpo.solve(scores, SPO(0.1), learner=Sampled(0.1, loss=PairLabel(), selection=selection), steps=1)


def test_exact_gains_survive_any_selection_that_connects_the_responses(world):
    P, now, _ = world
    step = normalise(now + ETA * P @ np.exp(now))
    for selection in (None, BestAgainstWorst(), LargeMargin(0.2)):
        samples = selected(world, selection, SquaredGains())
        assert samples.labels is None
        np.testing.assert_allclose(slope(SquaredGains(), samples, step), 0.0, atol=1e-13)


def test_the_best_wins_most_and_the_worst_least(world):
    P, *_ = world
    samples = selected(world, BestAgainstWorst(margin=0.1), count=3)
    for row, left, right, pairs, label in zip(
        *(np.asarray(part) for part in (samples.responses, samples.left, samples.right, samples.pairs, samples.labels)),
        strict=True,
    ):
        rates = np.array([np.mean(np.delete(P[a, row], k)) for k, a in enumerate(row)])
        assert rates[left[0]] == pytest.approx(rates.max()) and rates[right[0]] == pytest.approx(rates.min())
        assert (pairs[0] > 0) == (np.ptp(rates) >= 0.1 - 1e-12)
        assert label[0] == (1.0 if np.ptp(rates) > 1e-12 else 0.5)


def test_pairs_that_are_left_weigh_as_much_as_all_and_none_weigh_nothing(world):
    *_, scene = world
    for selection in (BestAgainstWorst(0.3), LargeMargin(0.3)):
        recipe = Recipe(A**3, 3, Every(), Listed(), selection, PairLabel())
        samples = collect(recipe, jax.random.key(0), scene)
        each = np.sum(samples.pairs, axis=1)
        assert 0 < np.sum(each == 0) < len(each)
        assert np.sum(samples.weights * each) == pytest.approx(1.0)
        none = collect(recipe._replace(selection=dataclasses.replace(selection, margin=2.0)), jax.random.key(0), scene)
        assert np.all(np.asarray(none.pairs) == 0)


def test_gold_answers_join_the_batch_and_the_winner_is_certain(world):
    P, now, scene = world
    gold, margin, least = 2, 0.15, 0.55
    recipe = Recipe(A**2, 2, Every(), None, GoldMargin(np.array([gold]), margin, least), DPO())
    samples = collect(recipe, jax.random.key(0), scene)
    assert samples.responses.shape == (A**2, 3) and np.all(np.asarray(samples.responses[:, 2]) == gold)
    np.testing.assert_allclose(samples.anchor, now[np.asarray(samples.responses)], atol=1e-12)
    kept = 0
    for row, *pairs in zip(
        *(np.asarray(part) for part in (samples.responses, samples.left, samples.right, samples.pairs, samples.labels)),
        strict=True,
    ):
        rates = np.array([np.mean(np.delete(P[a, row], k)) for k, a in enumerate(row)])
        for left, right, weight, label in zip(*pairs, strict=True):
            gap = rates[left] - rates[right]
            assert (weight > 0) == (abs(gap) >= margin and max(rates[left], rates[right]) >= least)
            assert label == (0.5 if gap == 0 else float(gap > 0))
            kept += weight > 0
    assert 0 < kept < samples.pairs.size


def test_gold_answers_that_do_not_fit_are_refused(world):
    game = world[2].game
    with pytest.raises(ValueError, match=r"GoldMargin\(gold=2 answers\): there are 1 prompts"):
        learner = Sampled(0.1, loss=DPO(), selection=GoldMargin(np.array([0, 1]), 0.1))
        nashpo.solve(game, IterativeDPO(0.1), learner=learner, steps=1)
    with pytest.raises(ValueError, match="SquaredGains reads gains, which gold answers do not have"):
        nashpo.solve(game, SPO(0.1), learner=Sampled(0.1, selection=GoldMargin(np.array([0]), 0.1)), steps=1)


@pytest.mark.parametrize("gold", [None, "x", [0]], ids=["nothing", "word", "list"])
def test_gold_answers_are_an_array(world, gold):
    refused(world[2].game, GoldMargin(gold, 0.1), "give an array with one answer to each prompt")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"replay": Replay("ab")}, "Replay: shares must be a full array of real numbers"),
        ({"selection": LargeMargin("wide")}, "LargeMargin: margin must be a full array of real numbers"),
        ({"loss": CDPO("much")}, "CDPO: smoothing must be a full array of real numbers"),
        ({"loss": RPO("much")}, "RPO: coefficient must be a full array of real numbers"),
        ({"loss": VPO(1.0, sign="up")}, "VPO: sign must be a full array of real numbers"),
        ({"loss": VPO(1.0, calibration="reference")}, r"VPO\(calibration='reference'\): give a sampler"),
    ],
    ids=["shares", "margin", "smoothing", "coefficient", "sign", "calibration"],
)
def test_words_in_place_of_numbers_are_refused(world, options, sentence):
    with pytest.raises(ValueError, match=sentence):
        nashpo.solve(world[2].game, IterativeDPO(0.1), learner=Sampled(0.1, **{"loss": DPO(), **options}), steps=1)


def refused(game, selection, sentence):
    learner = Sampled(0.1, loss=DPO(), selection=selection)
    with pytest.raises(ValueError, match=sentence):
        nashpo.solve(game, IterativeDPO(0.1), learner=learner, steps=1)


@pytest.mark.parametrize("gold", [[A], [-1], [-5], [0.5]])
def test_gold_answers_that_the_game_does_not_know_are_refused(world, gold):
    refused(world[2].game, GoldMargin(np.array(gold), 0.1), rf"gold\[0\] is {gold[0]}, which is none of the game's {A}")


def test_gold_answers_are_spelled_as_the_oracle_reads_them(world):
    answers = Answers(vocabulary=2, length=2)
    game = nashpo.Game.from_oracle(Sequences(world[2].game.oracle, answers))
    learner = Sampled(0.1, loss=DPO(), selection=GoldMargin(np.array([[1, 0]]), 0.1), responses=2, prompts=2)
    nashpo.solve(game, IterativeDPO(0.1), learner=learner, steps=1)
    refused(game, GoldMargin(np.array([[1, 2]]), 0.1), r"gold\[0\] is \[1 2\], which is none of the game's 4")
    refused(world[2].game, GoldMargin(np.array([[1, 2]]), 0.1), r"gold has shape \(1, 2\): give one response")


def test_margins_that_no_pair_has_are_refused(world):
    game = world[2].game
    gold = functools.partial(GoldMargin, np.array([0]))
    for make, margin in itertools.product((LargeMargin, BestAgainstWorst, gold), (np.nan, np.inf, 5.0, -0.1)):
        refused(game, make(margin), rf"(Margin|Worst)\(margin={margin}\): must be between 0 and 1")
    refused(game, gold(0.1, least=1.5), r"GoldMargin\(least=1.5\): must be between 0 and 1")
    scores = nashpo.Game.from_table([[0.0, 3.0], [-3.0, 0.0]], scale="score")
    learner = Sampled(0.1, loss=DPO(), selection=gold(2.0, least=-1.0), responses=2, prompts=2)
    nashpo.solve(scores, IterativeDPO(0.1), learner=learner, steps=1)
    refused(scores, LargeMargin(np.inf), r"LargeMargin\(margin=inf\): must be finite, at least 0")
    refused(scores, gold(0.1, least=np.nan), r"GoldMargin\(least=nan\): must be finite\.")


@pytest.mark.parametrize(
    "options",
    [
        {"loss": DPO(), "selection": BestAgainstWorst(0.1), "responses": 4},
        {"loss": DPO(), "selection": GoldMargin(np.array([0]), 0.1), "responses": 3, "replay": Replay((0.2,))},
    ],
    ids=["best against worst", "DNO-Prct"],
)
def test_released_pipelines_run_and_repeat(world, options):
    game = world[2].game
    learner = Sampled(0.05, prompts=16, **options)
    runs = [nashpo.solve(game, IterativeDPO(1.0), learner=learner, steps=8, key=3) for _ in range(2)]
    first, second = (np.asarray(run.policy.probs()) for run in runs)
    assert np.array_equal(first, second) and np.all(np.isfinite(first)) and np.ptp(first) > 0.05


# Replay


@jax.jit
def seen_and_fitted(learner, carry, key, scene):
    """What a fit sees, and the carry after it."""
    start, slots, stage, game, _ = scene
    samples = learner.collect(jax.random.split(key)[0], start, slots, stage, game, carry.memory)
    return samples, learner.fit(carry, key, start, slots, stage, game)[0]


def fitted(learner, scene, times):
    """The carry after the last fit, and the samples that each fit saw."""
    carry, seen = learner.carry(scene.start), []
    for step in range(times):
        samples, carry = seen_and_fitted(learner, carry, jax.random.key(step), scene)
        seen.append(samples)
    return carry, seen


@pytest.mark.parametrize("spelled", [False, True], ids=["numbers", "tokens"])
def test_replay_adds_the_last_fits_with_their_shares(world, spelled):
    P, _, scene = world
    if spelled:
        oracle = Sequences(Table(jnp.asarray(P)[None]), Answers(vocabulary=2, length=2))
        scene = scene._replace(game=nashpo.Game.from_oracle(oracle))
    learner = Sampled(0.1, replay=Replay((0.3, 0.15)), prompts=5, responses=3)
    carry, seen = fitted(learner, scene, 4)
    assert isinstance(carry, Carry) and int(carry.memory["replay"].count) == 4
    for age, samples in enumerate(seen):
        assert samples.responses.shape == (15, 3, 2) if spelled else (15, 3)
        weights = np.asarray(samples.weights).reshape(3, 5).sum(1)
        old = np.where(np.arange(2) < age, [0.3, 0.15], 0.0)
        np.testing.assert_allclose(weights, [1 - old.sum(), *old], atol=1e-12)
        for back in range(1, min(age, 2) + 1):
            part = slice(5 * back, 5 * back + 5)
            assert np.array_equal(samples.responses[part], seen[age - back].responses[:5])
    now = np.asarray(scene.slots["now"].log_probs())[0]
    numbers = np.asarray(seen[3].responses)
    numbers = numbers @ [2, 1] if spelled else numbers
    np.testing.assert_allclose(seen[3].anchor, now[numbers], atol=1e-12)


def test_replay_of_nothing_is_no_replay_and_shares_are_checked(world):
    scene = world[2]
    _, (joined,) = fitted(Sampled(0.1, prompts=5, replay=Replay()), scene, 1)
    plain = Sampled(0.1, prompts=5)
    drawn = plain.collect(jax.random.split(jax.random.key(0))[0], *scene[:4])
    assert np.array_equal(joined.responses[:5], drawn.responses)
    np.testing.assert_allclose(joined.weights, [*drawn.weights, *np.zeros(10)])
    assert not isinstance(plain.carry(scene.start), Carry)
    with pytest.raises(ValueError, match=r"Replay\(shares=\(0.6, 0.4\)\): give positive shares whose sum is below 1"):
        nashpo.solve(scene.game, SPO(0.1), learner=Sampled(0.1, replay=Replay((0.6, 0.4))), steps=1)


# Rejection sampling

REWARDS, TEMPERATURE = np.array([[1.0, 0.2, -0.5, 0.6]]), 0.5


@functools.partial(jax.jit, static_argnames="count")
def drawn_by(sampler, scene, count):
    return sampler.draw(jax.random.key(0), jnp.zeros(20_000, jnp.int32), count, scene)


def rejecting(scene, count=2, **options):
    return np.asarray(drawn_by(Rejection(REWARDS, TEMPERATURE, **options), scene, count))


def optimal(reference):
    return np.exp(normalise(np.log(reference) + REWARDS[0] / TEMPERATURE))


@pytest.fixture
def proposing(world):
    """A scene whose reference is not uniform, and the reference."""
    _, now, scene = world
    return scene._replace(slots={**scene.slots, "reference": scene.start}), np.exp(now)


def counts(drawn):
    return np.bincount(drawn.ravel(), minlength=A)


def test_accepted_responses_have_the_optimal_law(proposing):
    scene, reference = proposing
    drawn = rejecting(scene, proposals=40)
    law = optimal(reference)
    assert chisquare(counts(drawn), law * drawn.size).pvalue > 1e-4
    assert chisquare(counts(drawn), reference * drawn.size).pvalue < 1e-12
    pairs = np.bincount(A * drawn[:, 0] + drawn[:, 1], minlength=A * A)
    assert chisquare(pairs, np.outer(law, law).ravel() * len(drawn)).pvalue > 1e-4, "two responses are independent"


def first_accepted(reference, proposals):
    """The law of the first accepted of a pool, the largest reward of which is always accepted."""
    law = np.zeros(A)
    for pool in itertools.product(range(A), repeat=proposals):
        chance = np.exp((REWARDS[0, list(pool)] - REWARDS[0, list(pool)].max()) / TEMPERATURE)
        still = np.prod(reference[list(pool)])
        for response, accept in zip(pool, chance, strict=True):
            law[response] += still * accept
            still *= 1 - accept
    return law


def test_the_maximum_of_a_pool_is_biased_towards_the_reference(proposing):
    scene, reference = proposing
    law, distance = optimal(reference), []
    for proposals in (2, 4, 6):
        biased = first_accepted(reference, proposals)
        assert biased.sum() == pytest.approx(1)
        drawn = rejecting(scene, count=1, proposals=proposals, maximum="pool")
        assert chisquare(counts(drawn), biased * drawn.size).pvalue > 1e-4
        distance.append(0.5 * np.abs(biased - law).sum())
        assert (chisquare(counts(drawn), law * drawn.size).pvalue < 1e-12) == (proposals < 6)
    assert distance[0] > 4 * distance[1] > 16 * distance[2] > 0


def test_missing_responses_are_drawn_by_weight_and_too_few_proposals_refused(proposing):
    scene, reference = proposing
    once = rejecting(scene, count=1, proposals=1)
    assert chisquare(counts(once), reference * once.size).pvalue > 1e-4, "of one proposal there is no choice"
    game = nashpo.Game.from_table(world_table(), reference=reference)
    rate = np.sum(reference * np.exp((REWARDS[0] - 1) / TEMPERATURE))
    least = next(n for n in range(2, 1000) if binom.cdf(1, n, rate) <= 0.01)

    def learner(**options):
        sampler = Rejection(REWARDS, TEMPERATURE, **options)
        return Sampled(0.1, loss=SigmoidNorm(), sampler=sampler)

    learner(proposals=least).check(IterativeDPO(0.1), game)
    with pytest.raises(ValueError, match=rf"acceptance rate of prompt 0 is {rate:.3g}, and 2 are .* at least {least} "):
        learner(proposals=least - 1).check(IterativeDPO(0.1), game)
    with pytest.raises(ValueError, match=r"Rejection\(proposals=1\): 2 responses are needed"):
        learner(proposals=1, maximum="pool").check(IterativeDPO(0.1), game)
    with pytest.raises(ValueError, match='the options are "all" and "pool"'):
        learner(maximum="best").check(IterativeDPO(0.1), game)
    with pytest.raises(ValueError, match="DPO is biased for responses from Rejection"):
        Sampled(0.1, loss=DPO(), sampler=Rejection(REWARDS, TEMPERATURE))
    for wrong, message in (
        (Rejection(REWARDS[:, :2], 1.0), r"rewards of shape \(1, 2\)"),
        (Rejection(REWARDS * np.inf, 1.0), r"rewards\[0, 0\] = inf"),
        (Rejection(REWARDS, 0.0), r"beta=0.0\): must be positive"),
        (Rejection(REWARDS, TEMPERATURE, proposals=40.5), r"proposals=40.5\): must be a whole number"),  # type: ignore[arg-type]
        (Rejection("high", TEMPERATURE), "rewards must be a full array of real numbers"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=message):
            Sampled(0.1, loss=SigmoidNorm(), sampler=wrong).check(IterativeDPO(0.1), game)


def world_table():
    return 0.5 * np.ones((A, A))


# The queue


@pytest.mark.parametrize("own", [False, True])
def test_a_queue_of_one_batch_is_the_batch(world, own):
    scene = world[2]
    loss = SquaredGains() if own else Pointwise()
    learner = Sampled(0.1, loss=loss, gains=Queue(size=6, own=own), responses=6)
    batch = Sampled(0.1, loss=loss, gains=Batch(own), responses=6)
    carry, plain = learner.carry(scene.start), batch.carry(scene.start)
    fit = jax.jit(lambda learner, carry, key: learner.fit(carry, key, scene.start, scene.slots, STAGE, scene.game))
    for step in range(3):
        key = jax.random.key(step)
        drawn = jax.random.split(key)[0]
        with_queue = learner.collect(drawn, scene.start, scene.slots, STAGE, scene.game, carry.memory)
        without = batch.collect(drawn, scene.start, scene.slots, STAGE, scene.game)
        np.testing.assert_allclose(with_queue.gains, without.gains, atol=1e-14)
        (carry, left, _), (plain, right, _) = fit(learner, carry, key), fit(batch, plain, key)
        np.testing.assert_allclose(left.logits, right.logits, atol=1e-14)


def test_the_first_in_is_the_first_out(world):
    P, _, scene = world
    size, count = 7, 3
    learner = Sampled(0.1, loss=Pointwise(), gains=Queue(size), responses=count)
    _, seen = fitted(learner, scene, 5)
    arrived = []
    for samples in seen:
        new = np.asarray(samples.responses)[0].tolist()
        arrived += new
        kept = arrived[-size:]
        for k, response in enumerate(new):
            others = kept[: len(kept) - count + k] + kept[len(kept) - count + k + 1 :]
            assert float(samples.gains[0, k]) == pytest.approx(P[response, others].mean(), abs=1e-12)


def test_every_prompt_has_a_queue_and_repeated_prompts_come_in_order():
    rng = np.random.default_rng(2)
    table = rng.uniform(size=(3, A, A))
    table = np.triu(table, 1) + np.tril(1 - np.swapaxes(np.triu(table, 1), 1, 2), -1) + 0.5 * np.eye(A)
    game = jax.tree.map(jnp.asarray, nashpo.Game.from_table(table))
    policy = Tabular(jnp.zeros((3, A)))
    learner = Sampled(0.1, loss=Pointwise(), gains=Queue(size=5), prompts=8, responses=2)
    scene = Scene(policy, {"now": policy, "reference": game.reference}, STAGE, game)
    _, seen = fitted(learner, scene, 3)
    arrived: dict[int, list[int]] = {x: [] for x in range(3)}
    for samples in seen:
        prompts, responses = np.asarray(samples.prompts), np.asarray(samples.responses)
        places = []
        for x, row in zip(prompts.tolist(), responses.tolist(), strict=True):
            places.append(len(arrived[x]))
            arrived[x] += row
        for x, row, place, gains in zip(prompts.tolist(), responses, places, np.asarray(samples.gains), strict=True):
            first = max(0, len(arrived[x]) - 5)
            for k, response in enumerate(row):
                met = [a for i, a in enumerate(arrived[x]) if i >= first and i != place + k]
                assert gains[k] == pytest.approx(table[x, response, met].mean(), abs=1e-12)
    assert max(np.bincount(np.asarray(seen[0].prompts))) > 2, "more of one prompt than its queue holds"


def test_queues_that_cannot_be_kept_are_refused(world):
    game = world[2].game
    for learner, message in (
        (Sampled(0.1, gains=Queue(size=3), responses=4), r"Queue\(size=3\): must hold at least the 4 responses"),
        (Sampled(0.1, gains=Queue(size=9), replay=Replay()), "replayed responses would be queued again"),
        (Sampled(0.1, gains=Queue(size=9.5)), r"Queue\(size=9.5\): must hold at least"),  # type: ignore[arg-type]
    ):
        with pytest.raises(ValueError, match=message):
            nashpo.solve(game, SPO(0.1), learner=learner, steps=1)
    with pytest.raises(ValueError, match="Queue is biased for responses from FromReference"):
        Sampled(0.1, gains=Queue(size=4), sampler=FromReference())


@record
class Stale(UpdateRule):
    """Self-play against the mean of the last `length` policies: what a queue of them does, without noise."""

    eta: float
    length: int = static(default=1)
    penalised = True

    @property
    def memory(self):
        return self.length - 1

    def stages(self, beta, step):
        slots = ["now", *(f"past{age}" for age in range(1, self.length))]
        opponents = tuple(Opponent(1.0 / self.length, {slot: 1.0}) for slot in slots)
        anchor = {"now": 1.0 - self.eta * beta, "reference": self.eta * beta}
        return (Stage(anchor, opponents, self.eta),)


def growth(eta, frequency, length, beta=0.0):
    """The largest modulus of a step around an equilibrium: `z = 1 - eta beta + i eta w mean_j z^-j`."""
    steps = np.zeros(length + 1, complex)
    steps[0], steps[1] = 1.0, -(1 - eta * beta)
    steps[1:] -= 1j * eta * frequency / length
    return np.max(np.abs(np.roots(steps)))


def test_a_stale_opponent_makes_the_last_iterate_leave_faster():
    """`log |z| = length (eta w)^2 / 2` to leading order, and the run does what the roots say."""
    table = np.array([[[0.5, 0.9, 0.1], [0.1, 0.5, 0.9], [0.9, 0.1, 0.5]]])
    uniform, frequency, eta = np.log(np.full((1, 3), 1 / 3)), 0.4 / np.sqrt(3), 0.1
    start = normalise(uniform + 1e-6 * np.array([[1.0, 0.0, -1.0]]))
    for length in (1, 4, 8):
        small = 0.1 * eta
        leading = length * (small * frequency) ** 2 / 2
        assert np.log(growth(small, frequency, length)) == pytest.approx(leading, rel=1e-3)
        expected = np.log(growth(eta, frequency, length))
        away = np.max(np.abs(path(table, uniform, 0.0, Stale(eta, length), 2000, start=start) - uniform), axis=(1, 2))
        turn = 2 * np.pi / (eta * frequency)
        tops = [away[int(k * turn) : int((k + 1) * turn)].max() for k in (1, 6)]
        assert np.log(tops[1] / tops[0]) / (5 * turn) == pytest.approx(expected, rel=0.1)
    beta = 0.05
    limit = {
        length: next(e for e in np.arange(0.01, 9, 0.01) if growth(e, frequency, length, beta) >= 1)
        for length in (1, 8)
    }
    assert limit[1] == pytest.approx(2 * beta / (beta**2 + frequency**2), rel=0.02)
    assert limit[8] == pytest.approx(limit[1] / 8, rel=0.15)


def test_a_queue_still_finds_the_equilibrium_at_a_small_step(world):
    P, *_ = world
    game = nashpo.Game.from_table(P, beta=0.5)
    learner = Sampled(0.02, gains=Queue(size=128), responses=16)
    run = nashpo.solve(game, INPO(eta=0.5), learner=learner, steps=600, every=600, key=0)
    assert run.trace["duality_gap"][-1] < 5e-3 < float(nashpo.duality_gap(game, game.reference)) / 4


@pytest.mark.parametrize(("loss", "own"), [(SquaredGains(), False), (Pointwise(), True)])
def test_gains_of_the_batch_fit_their_loss(loss, own):
    assert Sampled(0.1, loss=loss, gains=Batch(), sampler=FromStart()).gains.own is not own
    with pytest.raises(ValueError, match=rf"Batch\(own={own}\).*use own={not own}, or leave it to the loss"):
        Sampled(0.1, loss=loss, gains=Batch(own=own), sampler=FromStart())

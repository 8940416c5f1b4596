"""Comparisons of items, and what is learned from them: rewards, embeddings, robust to wrong votes."""

import itertools

import jax
import numpy as np
import optax
import pandas as pd
import pytest

import nashpo
from nashpo.oracles import BradleyTerry, GeneralPreference, Noisy, Table
from nashpo.preferences import (
    Comparisons,
    Training,
    accuracy,
    bounding_penalty,
    cross_entropy,
    cyclic_accuracy,
    cyclic_comparisons,
    fit_annotator_groups,
    fit_bradley_terry,
    fit_general_preference,
    log_likelihood,
    sample_annotators,
    sample_comparisons,
    targets,
    win_probabilities,
)

KEY = jax.random.key(0)
WINS = np.array([[0, 7, 2, 4], [3, 0, 5, 1], [8, 5, 0, 6], [6, 9, 4, 0.0]])


def standard_error(P, votes):
    return np.sqrt(np.maximum(P * (1 - P), 1e-3) / votes)


def every_pair_of(P, votes):
    """Wins as they are expected, `[X, A, A]`."""
    return votes * P * (1 - np.eye(P.shape[-1]))


def cyclic_table(size, seed=0, spread=1.0):
    scores = np.random.default_rng(seed).normal(size=(size, size)) * spread
    return 1 / (1 + np.exp(scores.T - scores))


def test_wins_and_comparisons_are_each_others_inverse():
    tables = np.stack([WINS, WINS.T])
    data = Comparisons.from_wins(tables, items=list("abcd"))
    assert (len(data), data.shape, data.items) == (12, (2, 4), tuple("abcd"))
    np.testing.assert_allclose(data.wins(), tables)
    flipped = Comparisons.from_pairs(data.right, data.left, 1 - data.share, data.votes, data.prompts, shape=(2, 4))
    np.testing.assert_allclose(flipped.wins(), tables)


def test_matches_are_counted_as_tables_do():
    matches = [("b", "a", "a"), ("a", "b", "left"), ("a", "c", "tie"), ("c", "b", "0")]
    data = Comparisons.from_matches(matches)
    table = nashpo.tables.from_matches(matches)
    assert data.items == tuple(table.items) == ("b", "a", "c")
    wins = data.wins()[0]
    met = wins + wins.T > 0
    np.testing.assert_allclose(wins[met] / (wins + wins.T)[met], table.P[met])
    assert Comparisons.from_matches(matches, ties="drop").votes.sum() == 3
    named = Comparisons.from_matches([(*match, who) for match, who in zip(matches, "xyxz", strict=True)])
    assert named.annotators.tolist() == [0, 1, 0, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Comparisons.from_pairs([0, 1], [1, 1]), r"left\[1\] and right\[1\] are both item 1"),
        (lambda: Comparisons.from_pairs([0, 1.5], [1, 2]), r"left\[1\] is 1.5: items are numbered"),
        (lambda: Comparisons.from_pairs([0], [3], shape=(1, 3)), r"right\[0\] is 3, but there are only 3 items"),
        (lambda: Comparisons.from_pairs([0], [1], prompts=-1), r"prompts\[0\] is -1"),
        (lambda: Comparisons.from_pairs([0, 1], [1, 0], share=[0.5, np.nan]), r"share\[1\] is nan"),
        (lambda: Comparisons.from_pairs([0, 1], [1, 0], votes=[1, 0]), r"votes\[1\] is 0"),
        (lambda: Comparisons.from_pairs([0, 1], [1, 0], votes=[1, 2, 3]), r"votes has shape \(3,\), but there are 2"),
        (lambda: Comparisons.from_pairs([[0.0], [np.inf]], [[1.0], [0.0]]), r"left\[1\] is \[inf\]"),
        (lambda: Comparisons.from_pairs([0, 1], [[1.0], [0.0]]), r"left has shape \(2,\) and right \(2, 1\)"),
        (lambda: Comparisons.from_pairs([0], [1], annotators=[0.5]), r"annotators\[0\] is 0.5"),
        (lambda: Comparisons.from_wins([[0, -1], [1, 0]]), "wins of item 0 against item 1 is -1"),
        (lambda: Comparisons.from_wins(np.zeros((2, 2))), "there is nothing to learn from"),
        (lambda: Comparisons.from_matches([("a", "b", "c")]), "match 1: 'c' is neither side"),
        (lambda: Comparisons.from_matches([("a", "b", "tie")], ties="drop"), "every match is a tie"),
        (lambda: Comparisons.from_matches([("a", "b", "a", "Ann"), ("a", "b", "b")]), "some matches name an annotator"),
        (lambda: Comparisons.from_matches([("a", "b")]), "match 1 has 2 entries"),
        (lambda: Comparisons.from_wins(WINS).split(KEY, 1.0), "fraction=1.0"),
        (lambda: Comparisons.from_wins(WINS).split(KEY, "x"), "fraction=x"),
        (lambda: Comparisons.from_pairs([0], [1], shape=(1,)), r"shape=\(1,\): give how many prompts and items"),
        (lambda: Comparisons.from_pairs([0], [1], shape=(1, "x")), r"shape=\(1, 'x'\): give how many prompts"),
        (lambda: Comparisons.from_pairs([0], [1], shape=3), "shape=3: give how many prompts and items"),
        (lambda: cyclic_comparisons(3.5), "length=3.5"),
        (lambda: Comparisons.from_wins(WINS).split(KEY, by="rows"), "by='rows'"),
        (lambda: Comparisons.from_wins(WINS).split(KEY, by="annotators"), "do not say who voted"),
        (lambda: Comparisons.from_wins(WINS / 3).split(KEY), "row 0 has 2.33333 of 3.33333 votes"),
        (lambda: Comparisons.from_pairs([0], [1]).split(KEY), "one of the parts is empty"),
        (lambda: Comparisons.from_pairs([[0.0]], [[1.0]]).wins(), "wins: these comparisons are of features"),
        (lambda: Comparisons.from_wins(WINS).with_features(np.eye(3)), r"features has shape \(3, 3\)"),
    ],
)
def test_bad_comparisons_are_refused_in_a_sentence(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("by", ["votes", "pairs"])
def test_a_split_loses_nothing_and_takes_its_share(by):
    wins = np.random.default_rng(1).integers(0, 40, (3, 8, 8)) * (1 - np.eye(8))
    data = Comparisons.from_wins(wins)
    train, held = data.split(KEY, 0.25, by=by)
    np.testing.assert_allclose(train.wins() + held.wins(), data.wins())
    if by == "votes":
        assert held.votes.sum() == pytest.approx(0.25 * data.votes.sum(), abs=1)
        taken = held.wins() + held.wins().swapaxes(-1, -2)
        every = data.wins() + data.wins().swapaxes(-1, -2)
        assert np.abs(taken - 0.25 * every).max() <= 1
    else:
        assert not np.any((train.wins() > 0) & (held.wins() + held.wins().swapaxes(-1, -2) > 0))
        assert set(np.bincount(held.prompts, minlength=3)) <= {6, 7, 8}
    again, other = data.split(KEY, 0.25, by=by)[1], data.split(jax.random.key(1), 0.25, by=by)[1]
    np.testing.assert_array_equal(again.wins(), held.wins())
    assert not np.array_equal(other.wins(), held.wins())


def test_a_seed_is_a_key():
    data = Comparisons.from_pairs([0, 1, 0], [1, 2, 2], share=[0.8, 0.6, 0.7], votes=10, annotators=[0, 1, 2])
    truth = BradleyTerry(np.array([[1.0, 0.0, -1.0]]))
    batches = Training(steps=3, optimizer=optax.adam, batch=2)
    for draw in (
        lambda key: data.split(key, 0.5)[0].share,
        lambda key: fit_general_preference(data, key, training=batches).embeddings,
        lambda key: fit_annotator_groups(data, 2, key, restarts=1).responsibilities,
        lambda key: sample_comparisons(truth, key, 50).share,
        lambda key: sample_annotators(nashpo.oracles.Mixture.of([truth]), key, 2, 5)[0].share,
    ):
        np.testing.assert_array_equal(draw(7), draw(jax.random.key(7)))
    with pytest.raises(ValueError, match=r"key=-1: a whole number is a seed from 0"):
        data.split(-1, 0.5)


def test_votes_held_out_are_drawn_without_favour():
    data = Comparisons.from_wins([[0, 30], [10, 0]])
    won = [data.split(jax.random.key(seed), 0.5)[1].wins()[0, 0, 1] for seed in range(300)]
    # Hypergeometric: mean 15, variance 20 * 3/4 * 1/4 * 20/39.
    assert abs(np.mean(won) - 15) < 4 * np.sqrt(20 * 3 / 16 * 20 / 39 / 300)


def test_whole_annotators_are_held_out():
    society = nashpo.oracles.Mixture.of([Table(cyclic_table(4)[None])])
    data, _ = sample_annotators(society, KEY, annotators=10, votes=5)
    train, held = data.split(KEY, 0.3, by="annotators")
    assert len(set(held.annotators)) == 3
    assert not set(train.annotators) & set(held.annotators)


def test_ties_are_split_as_halves():
    data = Comparisons.from_wins([[0, 2.5], [1.5, 0]])
    train, held = data.split(KEY, 0.5)
    np.testing.assert_allclose(train.wins() + held.wins(), data.wins())
    assert held.votes.tolist() == [2.0]


def test_sampled_votes_have_the_law_of_the_oracle():
    oracle = Table(np.stack([cyclic_table(4, 1), cyclic_table(4, 2)]))
    votes = sample_comparisons(oracle, KEY, 120_000, flip=0.2)
    expected = np.asarray(Noisy(oracle, flip=0.2, corrected=False).table())
    wins = votes.wins()
    every = np.maximum(wins + wins.swapaxes(-1, -2), 1.0)
    met = ~np.eye(4, dtype=bool)[None].repeat(2, axis=0)
    assert np.all(np.abs(wins / every - expected)[met] < 5 * standard_error(expected, every)[met])
    assert votes.votes.sum() == 120_000
    scores = GeneralPreference(np.random.default_rng(0).normal(size=(1, 3, 2)), scale="score")
    same = GeneralPreference(scores.embeddings, scale="probability")
    np.testing.assert_array_equal(sample_comparisons(scores, KEY, 50).wins(), sample_comparisons(same, KEY, 50).wins())


@pytest.mark.parametrize("flip", [0.0, 0.1, 0.3])
def test_the_corrected_loss_is_the_clean_loss_on_average(flip):
    scores = np.linspace(-6, 6, 25)
    for share in (0.0, 0.3, 1.0):
        turned = [cross_entropy(scores, np.float64(1 - share), flip), cross_entropy(scores, np.float64(share), flip)]
        mean = flip * turned[0] + (1 - flip) * turned[1]
        np.testing.assert_allclose(mean, cross_entropy(scores, np.float64(share)), rtol=1e-12, atol=1e-12)


def test_the_corrected_loss_is_that_of_the_paper_and_smoothing_is_biased():
    s, e = np.linspace(-5, 5, 11), 0.2
    won, lost = np.logaddexp(0, -s), np.logaddexp(0, s)
    np.testing.assert_allclose(cross_entropy(s, np.ones(11), flip=e), ((1 - e) * won - e * lost) / (1 - 2 * e))
    np.testing.assert_allclose(cross_entropy(s, np.ones(11), smoothing=e), (1 - e) * won + e * lost)
    mean = (1 - e) * cross_entropy(s, np.ones(11), smoothing=e) + e * cross_entropy(s, np.zeros(11), smoothing=e)
    assert np.abs(mean - won).max() > 0.5


def test_the_corrected_loss_stays_convex_and_has_no_bottom():
    s = np.linspace(-30, 60, 2001)
    loss = cross_entropy(s, np.ones(2001), flip=0.2)
    assert np.diff(loss, 2).min() > -1e-12
    assert loss[-1] < -15
    assert np.argmin(loss) == len(s) - 1


def test_noise_is_named_where_it_cannot_be():
    for arguments in ({"flip": 0.5}, {"smoothing": -0.1}, {"flip": 0.1, "smoothing": 0.1}):
        with pytest.raises(ValueError, match=r"wrong votes|where votes say nothing"):
            targets(np.ones(1), **arguments)


def test_bradley_terry_is_that_of_the_oracles():
    data = Comparisons.from_wins(np.stack([WINS, WINS.T]))
    np.testing.assert_allclose(fit_bradley_terry(data).rewards, BradleyTerry.fit(data.wins()).rewards, atol=1e-10)
    loose = fit_bradley_terry(data, penalty=1e-9).rewards
    np.testing.assert_allclose(loose, BradleyTerry.fit(data.wins()).rewards, atol=1e-8)
    assert fit_bradley_terry(data, scale="score").scale == "score"
    with pytest.raises(ValueError, match=r"^'a' never lost .* pass a penalty above 0"):
        fit_bradley_terry(Comparisons.from_wins([[0, 2], [0, 0]], items=["a", "b"]))
    with pytest.raises(ValueError, match=r"^prompt 1: item 0 never lost to item 1.* pass a penalty above 0"):
        fit_bradley_terry(Comparisons.from_wins([[[0, 2], [1, 0]], [[0, 2], [0, 0]]]))
    with pytest.raises(ValueError, match=r"'b' beat 'a'.*pass a penalty"):
        fit_bradley_terry(Comparisons.from_wins([[0, 99], [1, 0]], items=["a", "b"]), flip=0.1)
    with pytest.raises(ValueError, match=r"penalty=nan"):
        fit_bradley_terry(data, penalty=np.nan)


@pytest.mark.parametrize("flip", [0.0, 0.2])
def test_a_penalised_fit_is_stationary(flip):
    wins, penalty = np.stack([WINS, 5 * np.triu(np.ones((4, 4)), 1)]), 0.3
    model = fit_bradley_terry(Comparisons.from_wins(wins), penalty=penalty, flip=flip)
    P, r = np.asarray(model.table()), np.asarray(model.rewards)
    played = wins + wins.swapaxes(-1, -2)
    label = (np.divide(wins, played, out=np.full_like(wins, 0.5), where=played > 0) - flip) / (1 - 2 * flip)
    np.testing.assert_allclose(np.sum(played * (label - P), axis=-1), penalty * r, atol=1e-8)
    np.testing.assert_allclose(r.sum(axis=-1), 0.0, atol=1e-9)


@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_a_planted_reward_is_found(noise):
    true = BradleyTerry(np.random.default_rng(3).normal(size=(2, 6)))
    data = sample_comparisons(true, KEY, 600_000, flip=noise)
    found = fit_bradley_terry(data, flip=noise)
    # A fit of five numbers a prompt is no worse than the share of a pair's own 20,000 votes.
    error = np.abs(found.table() - true.table()) / standard_error(true.table(), 20_000)
    assert error.max() < 5 / (1 - 2 * noise)
    if noise:
        plain = np.abs(fit_bradley_terry(data).table() - true.table()) / standard_error(true.table(), 20_000)
        smoothed = np.abs(fit_bradley_terry(data, smoothing=noise).table() - true.table())
        assert plain.max() > 20
        assert smoothed.max() > np.abs(fit_bradley_terry(data).table() - true.table()).max()


@pytest.mark.parametrize("noise", [0.0, 0.15])
def test_planted_embeddings_are_found(noise):
    true = GeneralPreference(np.random.default_rng(4).normal(size=(2, 6, 4)), scale="probability")
    data = sample_comparisons(true, KEY, 600_000, flip=noise)
    found = fit_general_preference(data, KEY, blocks=2, penalty=1e-3, flip=noise)
    error = np.abs(found.table() - true.table()) / standard_error(true.table(), 20_000)
    assert error.max() < 5 / (1 - 2 * noise)
    assert np.abs(fit_bradley_terry(data, flip=noise, penalty=1e-3).table() - true.table()).max() > 0.1


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_a_corrected_loss_has_a_bottom_from_a_penalty_on(temperature):
    votes = Comparisons.from_wins(np.where(np.eye(4), 0, np.tril(np.full((4, 4), 9.0)) + np.triu(np.ones((4, 4)))))
    least = bounding_penalty(votes, 0.2, temperature)
    settings = {"flip": 0.2, "temperature": temperature, "blocks": 2}
    found = fit_general_preference(votes, KEY, penalty=1.01 * least, **settings)
    assert np.abs(found.embeddings).max() < 100
    with pytest.raises(ValueError, match=f"pass a penalty of at least {least:.4g}, or correction"):
        fit_general_preference(votes, KEY, penalty=0.99 * least, **settings)
    with pytest.raises(ValueError, match=r"end; pass correction"):
        fit_general_preference(votes, KEY, penalty=99.0, gate=True, **settings)
    # Along the eigenvector that the bound is made of, the objective has no bottom below it: one pair shows it.
    pair = Comparisons.from_wins([[0, 9], [1, 0]])
    least = bounding_penalty(pair, 0.2)
    sizes = np.array([1e3, 1e4])
    for penalty, falls in ((0.99 * least, True), (1.01 * least, False)):
        losses = 10 * cross_entropy(sizes**2, np.full(2, 0.9), flip=0.2) + penalty * sizes**2
        assert (losses[1] < losses[0]) == falls


def test_the_likelihood_of_flipped_votes_needs_no_penalty():
    true = GeneralPreference(np.random.default_rng(4).normal(size=(2, 6, 4)), scale="probability")
    data = sample_comparisons(true, KEY, 600_000, flip=0.15)
    found = fit_general_preference(data, KEY, blocks=2, penalty=1e-3, flip=0.15, correction="likelihood")
    error = np.abs(found.table() - true.table()) / standard_error(true.table(), 20_000)
    assert error.max() < 5 / (1 - 2 * 0.15)
    certain = Comparisons.from_wins(np.triu(np.full((3, 3), 40.0), 1))
    found = fit_general_preference(certain, KEY, penalty=1e-3, flip=0.2, correction="likelihood")
    assert np.isfinite(found.embeddings).all()
    assert accuracy(found, certain) == 1.0
    with pytest.raises(ValueError, match="correction='both'"):
        fit_general_preference(data, KEY, flip=0.15, correction="both")


def test_embeddings_of_full_rank_are_the_votes_themselves():
    P = cyclic_table(5, 2)
    found = fit_general_preference(Comparisons.from_wins(every_pair_of(P, 100)), KEY, blocks=2, penalty=1e-6)
    np.testing.assert_allclose(found.table()[0], P, atol=1e-5)


def test_one_block_learns_rewards_too_and_temperature_only_rescales():
    true = BradleyTerry(np.array([[1.0, 0.3, -0.4, -0.9]]))
    data = Comparisons.from_wins(every_pair_of(np.asarray(true.table()), 100))
    for temperature in (1.0, 0.1):
        found = fit_general_preference(data, KEY, penalty=1e-6, temperature=temperature)
        np.testing.assert_allclose(found.table(), true.table(), atol=1e-4)
        assert found.temperature == temperature


def test_a_gate_shares_embeddings_among_prompts():
    rng = np.random.default_rng(5)
    v, scales = rng.normal(size=(1, 6, 4)), np.array([[1.0, 0.2], [0.3, 2.0], [1.5, 1.5]])
    true = GeneralPreference(v * np.repeat(np.sqrt(scales), 2, axis=-1)[:, None], scale="probability")
    data = Comparisons.from_wins(every_pair_of(np.asarray(true.table()), 200))
    found = fit_general_preference(data, KEY, blocks=2, gate=True, penalty=1e-6)
    np.testing.assert_allclose(found.table(), true.table(), atol=2e-3)
    ratio = np.asarray(found.embeddings)[1:] / np.asarray(found.embeddings)[:1]
    np.testing.assert_allclose(ratio, np.broadcast_to(ratio[:, :1], ratio.shape), rtol=1e-9)


def test_the_same_key_learns_the_same_embeddings():
    data = Comparisons.from_wins(WINS)
    first, again, other = (fit_general_preference(data, jax.random.key(k)).embeddings for k in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, other)


def test_certain_wins_are_learned_with_finite_numbers():
    for table in (np.tril(np.ones((4, 4)), -1), np.roll(np.eye(4), 1, axis=1)):
        wins = 3 * table * (1 - np.eye(4))
        for penalty in (0.1, 1e-8):
            found = fit_general_preference(Comparisons.from_wins(wins), KEY, blocks=2, penalty=penalty)
            assert np.isfinite(found.embeddings).all()
            assert accuracy(found, Comparisons.from_wins(wins)) == 1.0
        slope = jax.grad(lambda s, t: cross_entropy(s, t).sum())(
            np.array([0.0, 800.0, -800.0]), np.array([0, 1.0, 1.0])
        )
        np.testing.assert_allclose(slope, [0.5, 0.0, -1.0], atol=1e-12)


def test_comparisons_are_shown_in_a_line():
    assert repr(Comparisons.from_wins(WINS)) == "Comparisons(6 rows, 60 votes, 1 prompts, 4 items)"


def test_extreme_counts_have_a_penalised_fit():
    wins = np.array([[0, 1e9, 0], [0, 0, 1], [0, 0, 0]])
    for penalty, flip in itertools.product((1e-9, 1e-3, 1e3), (0.0, 0.4)):
        found = fit_bradley_terry(Comparisons.from_wins(wins), penalty=penalty, flip=flip)
        assert np.isfinite(found.rewards).all()
        assert found.rewards[0].argmax() == 0
        if not flip:
            slope = wins * found.table()[0].T - wins.T * found.table()[0]
            np.testing.assert_allclose(slope.sum(axis=1), penalty * found.rewards[0], rtol=1e-6)


def test_a_data_frame_names_its_items():
    frame = pd.DataFrame([[0, 3], [1, 0]], index=["tea", "coffee"], columns=["tea", "coffee"])
    assert Comparisons.from_wins(frame).items == ("tea", "coffee")
    assert Comparisons.from_wins(frame, items=["a", "b"]).items == ("a", "b")
    with pytest.raises(ValueError, match="the rows of the DataFrame are"):
        BradleyTerry.fit(frame[["coffee", "tea"]])
    assert Comparisons.from_wins(frame.to_numpy()).items is None


def test_items_are_needed_to_fit_items():
    data = Comparisons.from_pairs([[0.0]], [[1.0]])
    with pytest.raises(ValueError, match="fit_general_preference: these comparisons are of features"):
        fit_general_preference(data, KEY)
    with pytest.raises(ValueError, match="BradleyTerry: these comparisons are of features"):
        log_likelihood(BradleyTerry(np.zeros((1, 2))), data)
    with pytest.raises(ValueError, match=r"fit_bradley_terry: give Comparisons, made with from_wins, .* and no list"):
        fit_bradley_terry([[0, 3], [1, 0]])  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"blocks=1\.5: give at least one block"):
        fit_general_preference(Comparisons.from_wins(WINS), KEY, blocks=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="blocks=0"):
        fit_general_preference(Comparisons.from_wins(WINS), KEY, blocks=0)
    with pytest.raises(ValueError, match="temperature=0"):
        fit_general_preference(Comparisons.from_wins(WINS), KEY, temperature=0.0)


@pytest.mark.parametrize("length", [3, 4, 5])
def test_cycles_are_learned_by_embeddings_and_by_no_reward(length):
    data = cyclic_comparisons(length, cycles=2, votes=20)
    learned = fit_general_preference(data, KEY)
    assert cyclic_accuracy(learned, length, cycles=2) == 1.0
    rewards = fit_bradley_terry(data)
    np.testing.assert_allclose(rewards.rewards, 0.0, atol=1e-12)
    assert cyclic_accuracy(rewards, length, cycles=2) == 0.5
    orders = [BradleyTerry(np.array([order], float)) for order in itertools.permutations(range(length))]
    best = max(cyclic_accuracy(order, length) for order in orders)
    assert best == pytest.approx((length - 1) / length)
    assert min(cyclic_accuracy(order, length) for order in orders) == pytest.approx(1 / length)


def test_cycles_with_uneven_votes_leave_rewards_below_the_best_order():
    votes = np.random.default_rng(0).integers(5, 50, (20, 5))
    for counts in votes:
        data = cyclic_comparisons(5, votes=1)
        data = Comparisons.from_pairs(data.left, data.right, 1.0, counts)
        assert cyclic_accuracy(fit_bradley_terry(data), 5) <= 0.8 + 1e-12
        assert cyclic_accuracy(fit_general_preference(data, KEY), 5) == 1.0


def test_embeddings_foretell_a_cyclic_game_better_than_rewards():
    true = Table(cyclic_table(8, 7)[None])
    train, held = sample_comparisons(true, KEY, 4000).split(jax.random.key(1), 0.3)
    learned = [
        log_likelihood(oracle, held)
        for oracle in (
            fit_bradley_terry(train, penalty=0.1),
            fit_general_preference(train, KEY, blocks=4, penalty=0.1),
            true,
        )
    ]
    assert learned[0] + 0.05 < learned[1] < learned[2] < -0.3
    society = Comparisons.from_wins(every_pair_of(np.asarray(true.table()), 100))
    assert log_likelihood(true, society) > log_likelihood(fit_bradley_terry(society), society)


def test_likelihood_by_hand():
    data = Comparisons.from_pairs([0, 1], [1, 0], share=[0.75, 0.0], votes=[4, 2])
    oracle = Table(np.array([[[0.5, 0.8], [0.2, 0.5]]]))
    assert log_likelihood(oracle, data) == pytest.approx((5 * np.log(0.8) + np.log(0.2)) / 6)
    assert accuracy(oracle, data) == pytest.approx(5 / 6)
    sure = BradleyTerry(np.array([[100.0, 0.0]]))
    assert log_likelihood(sure, Comparisons.from_pairs([1], [0])) == pytest.approx(-100)
    assert log_likelihood(Table(np.array([[[0.5, 1.0], [0.0, 0.5]]])), data) == -np.inf
    score = BradleyTerry(np.array([[1.5, 0.0]]), scale="score")
    np.testing.assert_allclose(
        win_probabilities(score, data), win_probabilities(BradleyTerry(score.rewards), data), rtol=1e-12
    )
    with pytest.raises(ValueError, match="prompt 0 and item 3 were compared, but the oracle knows 1 prompts and 2"):
        log_likelihood(oracle, Comparisons.from_pairs([3], [0]))


def real_votes(folder, name):
    rows = (folder / f"{name}.wins.csv").read_text(encoding="utf-8").splitlines()
    wins = np.array([row.split(",")[1:] for row in rows[1:]], float)
    return Comparisons.from_wins(wins, items=rows[0].split(",")[1:]), wins


@pytest.mark.parametrize(("name", "likelihood", "right"), [("f1_2007", -0.55, 0.73), ("atari_agents", -0.38, 0.82)])
def test_real_votes_are_foretold(data, name, likelihood, right):
    votes, wins = real_votes(data, name)
    np.testing.assert_allclose(votes.wins()[0], wins)
    train, held = votes.split(KEY, 0.3)
    embedded = fit_general_preference(train, KEY, penalty=4.0)
    for oracle in (fit_bradley_terry(train, penalty=1.0), embedded):
        assert log_likelihood(oracle, held) > likelihood
        assert accuracy(oracle, held) > right
    game = nashpo.Game.from_oracle(embedded, beta=0.1, items=votes.items)
    assert nashpo.equilibrium(game).gap < 1e-9


def test_cycles_among_few_real_votes_are_noise(data):
    votes, _ = real_votes(data, "agent_arena_llms")
    found = []
    for seed in range(4):
        train, held = votes.split(jax.random.key(seed), 0.3, by="pairs")
        models = (fit_bradley_terry(train, penalty=4.0), fit_general_preference(train, KEY, blocks=2, penalty=1.0))
        found.append([log_likelihood(model, held) for model in models])
    rewards, embedded = np.mean(found, axis=0)
    assert embedded < np.log(0.5) < rewards < np.log(0.5) + 0.02


def test_held_out_items_that_are_not_fitted_are_refused():
    data = Comparisons.from_wins([[0, 30], [20, 0]])
    for held_out in (Comparisons.from_pairs([0], [2]), Comparisons.from_pairs([0], [1], prompts=1)):
        with pytest.raises(ValueError, match=r"held_out: prompt . and item . were compared, but there are \(1, 2\)"):
            fit_general_preference(data, KEY, held_out=held_out)
    with pytest.raises(ValueError, match=r"fit_general_preference\(held_out\): give Comparisons"):
        fit_general_preference(data, KEY, held_out=[[0, 1]])

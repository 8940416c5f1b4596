"""Games that ship: constant sum, known equilibria, the claims in their docstrings."""

import itertools
import json
import re
from fractions import Fraction

import numpy as np
import pytest

import nashpo
import nashpo_games
from nashpo.tables import read_table
from nashpo_games import (
    annotators,
    colonel_blotto,
    contexts,
    control,
    cyclic,
    dominated,
    generators,
    low_rank,
    nested,
    pokemon,
    sequences,
    voting,
)
from nashpo_games.tensors import one_versus_many_counterexample

SMALL = {
    "embedded": {"n": 7, "d": 4},
    "blotto": {"soldiers": 4},
}

KNOWN = {
    # constructor, its arguments, the equilibrium at beta = 0
    "rps": (cyclic.rock_paper_scissors, {}, cyclic.rock_paper_scissors_equilibrium()),
    "rps weak": (cyclic.rock_paper_scissors, {"win": 0.6}, cyclic.rock_paper_scissors_equilibrium()),
    "biased rps": (cyclic.biased_rps, {}, cyclic.biased_rps_equilibrium()),
    "biased rps, scores": (
        cyclic.biased_rps,
        {"scale": "score"},
        cyclic.biased_rps_equilibrium(scale="score"),
    ),
    "biased rps, one sure": (
        cyclic.biased_rps,
        {"rock": 1.0, "paper": 0.6, "scissors": 0.5},
        cyclic.biased_rps_equilibrium(1.0, 0.6, 0.5),
    ),
    "4-cycle": (cyclic.n_cycle, {"n": 4, "win": 0.9}, cyclic.uniform_equilibrium(4)),
    "5-cycle": (cyclic.n_cycle, {"n": 5}, cyclic.uniform_equilibrium(5)),
    "rotation 6": (cyclic.rotational_tournament, {"n": 6}, cyclic.uniform_equilibrium(6)),
    "rotation 7": (cyclic.rotational_tournament, {"n": 7, "win": 0.8}, cyclic.uniform_equilibrium(7)),
    "lizard": (cyclic.rock_paper_scissors_lizard_spock, {}, cyclic.uniform_equilibrium(5)),
    "nested": (nested.nested_rps, {"depth": 4, "win": 0.9}, nested.nested_rps_equilibrium(4)),
    "dominated": (dominated.dominated_action, {}, dominated.dominated_action_equilibrium()),
    "transitive": (
        generators.transitive_plus_cyclic,
        {"dial": 0.0, "seed": 3},
        generators.transitive_plus_cyclic_equilibrium(9, 0.0, seed=3),
    ),
    "cyclic": (
        generators.transitive_plus_cyclic,
        {"n": 8, "dial": 1.0},
        generators.transitive_plus_cyclic_equilibrium(8, 1.0),
    ),
    "paradox": (voting.condorcet_paradox, {}, voting.condorcet_paradox_equilibrium()),
    "Tennessee": (voting.tennessee_capital, {}, voting.tennessee_capital_equilibrium()),
    "Smith cycle": (voting.smith_cycle, {}, voting.smith_cycle_equilibrium()),
    "contexts": (contexts.rps_contexts, {"prompts": 5}, contexts.rps_contexts_equilibrium(5)),
    "annotators": (
        annotators.cyclic_annotators,
        {"groups": 5, "agreement": 0.9},
        annotators.cyclic_annotators_equilibrium(5),
    ),
}

UNIFORM_AT_EVERY_BETA = ["rps", "rps weak", "4-cycle", "5-cycle", "rotation 6", "rotation 7", "lizard", "paradox"]


@pytest.mark.parametrize("name", nashpo_games.__all__)
def test_every_listed_game_is_constant_sum_and_keeps_beta(name):
    game = getattr(nashpo_games, name)(**SMALL.get(name, {}), beta=0.25)
    table = np.asarray(game.oracle.table())
    total = 1.0 if game.scale == "probability" else 0.0
    np.testing.assert_allclose(table + table.swapaxes(-1, -2), total, atol=1e-15)
    assert float(game.beta) == 0.25
    assert table.shape == (game.shape[0], game.shape[1], game.shape[1])
    assert game.items is None or len(game.items) == game.shape[1]


@pytest.mark.parametrize("name", KNOWN)
def test_known_equilibrium_has_no_better_response(name):
    constructor, arguments, equilibrium = KNOWN[name]
    game = constructor(**arguments)
    p = np.atleast_2d(equilibrium)
    np.testing.assert_allclose(p.sum(axis=-1), 1, rtol=1e-15)
    table = np.asarray(game.oracle.table())
    payoff = np.einsum("xij,xj->xi", table, p)
    value = 0.5 if game.scale == "probability" else 0.0
    assert payoff.max() <= value + 1e-14
    off = np.full_like(p, 1 / p.shape[-1])
    if name not in ("4-cycle",) and not np.allclose(p, off):
        assert np.einsum("xij,xj->xi", table, off).max() > value + 1e-3


@pytest.mark.parametrize("name", UNIFORM_AT_EVERY_BETA)
@pytest.mark.parametrize("beta", [0.01, 1.0])
def test_uniform_equilibria_hold_for_every_beta(name, beta):
    constructor, arguments, equilibrium = KNOWN[name]
    game = constructor(**arguments, beta=beta)
    policy = nashpo.policies.Tabular.from_probs(np.atleast_2d(equilibrium))
    assert float(nashpo.duality_gap(game, policy)) < 1e-28


@pytest.mark.parametrize("beta", [0.02, 0.1, 1.0])
@pytest.mark.parametrize("win", [0.5, 0.8, 1.0])
def test_dominated_action_is_solved_for_every_beta(win, beta):
    pi = dominated.dominated_action_equilibrium(win, 3.0, beta)
    reference = np.array([np.exp(-3.0), -np.expm1(-3.0)])
    table = np.array([[0.5, win], [1 - win, 0.5]])
    weights = np.log(reference) + table @ pi / beta
    np.testing.assert_allclose(pi, np.exp(weights - np.logaddexp.reduce(weights)), rtol=1e-12)


def test_biased_rps_disagrees_between_probabilities_and_scores():
    np.testing.assert_allclose(cyclic.biased_rps_equilibrium(), [2 / 7, 4 / 7, 1 / 7], rtol=1e-12)
    score = cyclic.biased_rps_equilibrium(scale="score")
    np.testing.assert_allclose(score, [0.246, 0.637, 0.118], atol=5e-4)
    table = cyclic.biased_rps().oracle.table()[0]
    np.testing.assert_allclose(2 * (table @ score).max() - 1, 0.058, atol=5e-4)


def test_even_cycles_have_many_equilibria():
    table = cyclic.n_cycle(4, win=0.9).oracle.table()[0]
    assert (table @ np.array([0.5, 0.0, 0.5, 0.0])).max() <= 0.5 + 1e-15
    odd = cyclic.n_cycle(5).oracle.table()[0]
    margin = odd - 0.5
    assert np.linalg.matrix_rank(margin) == 4


@pytest.mark.parametrize("name", nashpo_games.__all__)
def test_the_ranges_of_a_docstring_are_those_of_the_game(name):
    game = getattr(nashpo_games, name)
    said = game.__doc__.split("Args:")[1].split("Raises:")[0]
    shares = re.findall(r"^ +(\w+): .*? in \[([\d/]+), ([\d/]+)\]", said, re.MULTILINE)
    assert len(shares) == said.count(" in [")
    for argument, *ends in shares + re.findall(r"^ +(\w+): number of .*?, (\d+) to (\d+)[;.]", said, re.MULTILINE):
        low, high = (float(Fraction(end)) for end in ends)
        for value in (low, high):
            assert game(**{argument: value}).shape
        for value in (low - 1, high + 1):
            with pytest.raises(ValueError, match=f"^{argument} is "):
                game(**{argument: value})


@pytest.mark.parametrize(
    ("game", "unique"),
    [
        (cyclic.n_cycle(5, win=0.6), True),
        (cyclic.n_cycle(6), False),
        (cyclic.rotational_tournament(5, win=0.6), True),
        (cyclic.rotational_tournament(6), False),
        (cyclic.biased_rps(), True),
        (cyclic.biased_rps(rock=0.5), False),
        (nested.nested_rps(3, win=0.6), True),
        (nested.nested_rps(2, win=0.5), False),
        (generators.random_tournament(7), True),
    ],
    ids=lambda value: str(value) if isinstance(value, bool) else "",
)
def test_an_equilibrium_is_the_only_one_where_it_is_said_to_be(game, unique):
    assert nashpo.equilibrium(game).unique == unique


@pytest.mark.parametrize("d", [2, 64])
def test_features_have_answers_that_beat_all_others_in_any_dimension(d):
    table = np.asarray(sequences.token_features(length=2, d=d, prompts=100).oracle.table())
    share = np.mean(np.any(np.sum(table > 0.5, -1) == table.shape[-1] - 1, -1))
    assert 0.4 < share < 0.65


def test_five_action_tournaments_that_use_every_action_have_two_kinds_of_weights():
    pairs = np.triu_indices(5, 1)
    found = set()
    for bits in itertools.product([-1.0, 1.0], repeat=10):
        margin = np.zeros((5, 5))
        margin[pairs] = bits
        margin -= margin.T
        _, sizes, directions = np.linalg.svd(margin)
        weights = directions[-1] / directions[-1].sum()
        if sizes[-2] > 1e-6 and weights.min() > 1e-9:
            found.add(tuple(np.round(np.sort(weights)[::-1] * 45).astype(int).tolist()))
    assert found == {(9, 9, 9, 9, 9), (15, 15, 5, 5, 5)}
    np.testing.assert_allclose(nested.nested_rps_equilibrium(2) * 45, (15, 15, 5, 5, 5))


def test_random_tables_follow_their_seed():
    first, again = generators.random_constant_sum(6, seed=1, prompts=2), generators.random_constant_sum(6, 1, 2)
    other = generators.random_constant_sum(6, seed=2, prompts=2)
    np.testing.assert_array_equal(first.oracle.table(), again.oracle.table())
    assert (first.oracle.table() != other.oracle.table()).any()
    below = generators.random_constant_sum(200, seed=0).oracle.table()[0][np.tril_indices(200, -1)]
    assert abs(below.mean() - 0.5) < 0.01
    assert abs(below.var() - 1 / 12) < 0.002
    cube = generators.random_tournament(20, seed=0, prompts=2).oracle.table()
    assert set(np.unique(cube)) == {0.0, 0.5, 1.0}
    assert (cube[0] != cube[1]).any()


@pytest.mark.parametrize("seed", range(5))
def test_tournaments_have_an_odd_support(seed):
    from scipy.optimize import linprog

    margin = generators.random_tournament(7, seed=seed).oracle.table()[0] - 0.5
    n = len(margin)
    constraints = np.hstack([margin, -np.ones((n, 1))])
    answer = linprog(
        np.r_[np.zeros(n), 1.0],
        A_ub=constraints,
        b_ub=np.zeros(n),
        A_eq=np.r_[np.ones(n), 0.0][None],
        b_eq=[1.0],
        bounds=[(0, None)] * n + [(None, None)],
    )
    assert abs(answer.fun) < 1e-9
    assert int((answer.x[:n] > 1e-9).sum()) % 2 == 1


def test_dial_moves_from_transitive_to_cyclic():
    def triples(dial):
        beats = generators.transitive_plus_cyclic(9, dial, seed=1).oracle.table()[0] > 0.5
        return int(np.trace(beats.astype(int) @ beats @ beats)) // 3

    counts = [triples(dial) for dial in (0.0, 0.3, 1.0)]
    assert counts[0] == 0
    assert counts[2] == 30
    assert counts[0] < counts[1] < counts[2]


def test_blotto_is_symmetric_in_the_fields():
    plans = colonel_blotto.allocations(5, 3)
    assert (plans.sum(axis=1) == 5).all()
    assert len(np.unique(plans, axis=0)) == len(plans) == 21
    game = colonel_blotto.blotto(5, 3)
    table = game.oracle.table()[0]
    order = [plans.tolist().index(plan) for plan in plans[:, [2, 0, 1]].tolist()]
    np.testing.assert_array_equal(table[np.ix_(order, order)], table)
    assert table[game.items.index("2-2-1"), game.items.index("5-0-0")] == 1.0
    assert table[game.items.index("1-2-2"), game.items.index("2-1-2")] == 0.5


def test_pokemon_is_the_published_chart(data):
    stored = read_table(data / "pokemon_types.csv")
    game = pokemon.pokemon_types()
    np.testing.assert_array_equal(game.oracle.table()[0], stored.P)
    assert game.items == stored.items
    solution = json.loads((data / "solutions" / "pokemon_types.solutions.json").read_text())
    p = np.array(solution["maximal_lottery"]["p"], dtype=float)
    assert (game.oracle.table()[0] @ p).max() <= 0.5 + 1e-14
    assert int((p > 0).sum()) == 13


def test_pokemon_facts_of_the_docstring():
    table = pokemon.pokemon_types().oracle.table()[0]
    beats = table > 0.5
    assert int(np.trace(beats.astype(int) @ beats @ beats)) // 3 == 42
    assert not (beats.sum(axis=1) == len(table) - 1).any()
    assert (table * 8 == np.round(table * 8)).all()


@pytest.mark.parametrize("scale", ["score", "probability"])
def test_embedded_games_are_what_they_say(scale):
    game = low_rank.embedded(n=300, d=6, seed=1, prompts=2, scale=scale)
    v = low_rank.embeddings(300, 6, 1, 2)
    rotated = np.stack([-v[..., 1::2], v[..., 0::2]], axis=-1).reshape(v.shape)
    scores = rotated @ v.swapaxes(-1, -2)
    np.testing.assert_allclose(scores, -scores.swapaxes(-1, -2), atol=1e-12)
    expected = scores if scale == "score" else 1 / (1 + np.exp(-scores))
    np.testing.assert_allclose(game.oracle.table(), expected, atol=1e-12)
    assert game.scale == scale
    assert abs(scores.var() - 1) < 0.1


def test_contexts_have_their_own_equilibria_and_weights():
    game = contexts.rps_contexts(prompts=4, seed=2)
    np.testing.assert_allclose(game.prompts, np.array([1, 2, 3, 4]) / 10)
    table = game.oracle.table()
    assert table[0, 0, 2] > 0.5 > table[1, 0, 2]
    assert np.abs(np.diff(contexts.rps_contexts_equilibrium(4, seed=2), axis=0)).max() > 0.01


def test_annotators_are_transitive_and_their_mean_is_not():
    tables = annotators.annotator_tables(5, 0.9)
    for table in tables:
        beats = table > 0.5
        assert np.trace(beats.astype(int) @ beats @ beats) == 0
    game = annotators.cyclic_annotators(groups=5, agreement=0.9)
    mean = np.asarray(game.oracle.table())[0]
    np.testing.assert_allclose(mean, tables.mean(axis=0), atol=1e-15)
    ahead = (np.arange(5)[None, :] - np.arange(5)[:, None]) % 5
    np.testing.assert_allclose(mean, np.where(ahead, 0.5 + 0.4 * (1 - 2 * ahead / 5), 0.5), atol=1e-15)
    assert len(game.oracle.annotators) == 5
    shares = annotators.group_weights(5, seed=1)
    assert shares.min() >= 0.1
    np.testing.assert_allclose(shares.sum(), 1)


def test_three_player_self_play_average_is_no_equilibrium():
    T = one_versus_many_counterexample()
    total = T + np.transpose(T, (2, 0, 1)) + np.transpose(T, (1, 2, 0))
    np.testing.assert_allclose(total, 1, rtol=1e-15)
    np.testing.assert_array_equal(T, T.swapaxes(1, 2))
    logits, eta, steps = np.log([0.5, 0.3, 0.2]), 0.1, 8000
    average, gains, value = np.zeros(3), np.zeros(3), 0.0
    for _ in range(steps):
        pi = np.exp(logits - np.logaddexp.reduce(logits))
        g = T @ pi @ pi
        average, gains, value = average + pi / steps, gains + g / steps, value + pi @ g / steps
        logits = logits + eta * g - (eta * g).max()
    regret = gains.max() - value
    g = T @ average @ average
    assert regret < 0.002
    assert g.max() - average @ g > 0.05


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: cyclic.n_cycle(2), r"n is 2, but must be a whole number, 3 or more"),
        (lambda: cyclic.n_cycle(3.5), r"n is 3.5"),
        (lambda: cyclic.n_cycle("5"), r"n is '5', but must be a whole number"),
        (lambda: cyclic.n_cycle(win="high"), r"win is 'high', but must lie between"),
        (lambda: control.goal_return(horizon=10**6), r"horizon is 1000000, but must lie between 4 and 8"),
        (lambda: generators.random_constant_sum(seed=-1), r"seed is -1, but must be a whole number, 0 or more"),
        (lambda: generators.random_tournament(seed=1.5), r"seed is 1.5"),
        (lambda: generators.transitive_plus_cyclic(seed=-1), r"seed is -1"),
        (lambda: low_rank.embedded(5, seed=None), r"seed is None"),
        (lambda: contexts.rps_contexts(seed=-1), r"seed is -1"),
        (lambda: annotators.cyclic_annotators(seed=-1), r"seed is -1"),
        (lambda: sequences.token_features(length=1, seed=-1), r"seed is -1"),
        (lambda: cyclic.n_cycle(3, win=1.1), r"win is 1.1, but must lie between 0.5 and 1"),
        (lambda: cyclic.biased_rps(rock=float("nan")), r"rock is nan"),
        (lambda: cyclic.biased_rps(rock=1.0, scale="score"), r"rock is 1.0: its log-odds are infinite"),
        (lambda: cyclic.biased_rps(scale="odds"), r"scale is 'odds'"),
        (lambda: generators.transitive_plus_cyclic(dial=2), r"dial is 2, but must lie between 0 and 1"),
        (lambda: generators.transitive_plus_cyclic_equilibrium(3, 0.5), r"dial is 0.5: the equilibrium"),
        (lambda: generators.random_constant_sum(0), r"n is 0"),
        (lambda: colonel_blotto.blotto(100, 6), r"96,560,646 allocations: at most 20,000"),
        (lambda: dominated.dominated_action(divergence=-1), r"divergence is -1"),
        (lambda: low_rank.embeddings(5, 3), r"d is 3, but must be even"),
        (lambda: annotators.cyclic_annotators(2), r"groups is 2"),
        (lambda: voting.election({}), r"ballots is empty"),
        (lambda: voting.election({"A>B": 1, "A>C": 1}), r"the ballot 'A>C' must rank each of A, B exactly once"),
        (lambda: voting.election({"A>B": -1}), r"has -1 voters"),
        (lambda: voting.election({"A>B": np.inf, "B>A": 1}), r"has inf voters, but must have a number of them"),
        (lambda: voting.election({"A>B": "1"}), r"has '1' voters"),
        (lambda: voting.election({"A>B": 0}), r"no ballot has a voter"),
        (lambda: voting.election({"A>A": 1}), r"'A' is used twice"),
    ],
)
def test_bad_arguments_get_one_sentence(call, sentence):
    with pytest.raises(ValueError, match=sentence):
        call()

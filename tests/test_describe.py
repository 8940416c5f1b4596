"""Table statistics against the stored ones of real tables, against brute force, and on edge cases."""

import itertools
import json

import numpy as np
import pytest
from conftest import TABLES

from nashpo import describe as d


def random_table(rng, n, ties=True):
    upper = rng.choice([0.0, 0.25, 0.5, 0.75, 1.0] if ties else [0.0, 0.3, 0.6, 1.0], size=(n, n))
    P = np.triu(upper, 1)
    return P + np.tril(1 - P.T, -1) + 0.5 * np.eye(n)


def brute_smith(P):
    n = len(P)
    for size in range(1, n + 1):
        for chosen in itertools.combinations(range(n), size):
            outside = [j for j in range(n) if j not in chosen]
            if all(P[i, j] > 0.5 for i in chosen for j in outside):
                return chosen
    raise AssertionError("the whole set always dominates")


@pytest.mark.parametrize("name", TABLES)
def test_statistics_of_real_tables(name, data):
    import pandas

    frame = pandas.read_csv(data / f"{name}.csv", index_col=0)
    items = list(frame.index)
    stored = json.loads((data / f"{name}.json").read_text())["statistics"]
    report = d.describe(frame.to_numpy())
    winner = None if report.condorcet_winner is None else items[report.condorcet_winner]
    assert winner == stored["condorcet_winner"]
    assert sorted(items[i] for i in report.smith_set) == sorted(stored["smith_set"])
    assert sorted(items[i] for i in report.copeland_winners) == sorted(stored["copeland_winners"])
    assert report.triples == stored["triples"]
    assert report.cyclic_triples == stored["cyclic_triples"]
    assert report.tied_pairs == stored["tied_pairs"]
    assert report.cyclic_share == pytest.approx(stored["cyclic_share_of_variance"], abs=5e-7)
    assert report.largest_margin == pytest.approx(stored["max_abs_margin"], abs=1e-12)


@pytest.mark.parametrize("ties", [True, False])
def test_smith_set_and_triples_against_brute_force(ties, rng):
    for n in (1, 2, 3, 4, 5, 6):
        for _ in range(20):
            P = random_table(rng, n, ties)
            assert d.smith_set(P) == brute_smith(P)
            beats = P > 0.5
            cycles = sum(
                (beats[i, j] and beats[j, k] and beats[k, i]) or (beats[j, i] and beats[k, j] and beats[i, k])
                for i, j, k in itertools.combinations(range(n), 3)
            )
            assert d.cyclic_triples(P) == cycles
            assert d.tied_pairs(P) == sum(P[i, j] == 0.5 for i, j in itertools.combinations(range(n), 2))


def test_condorcet_winner_is_the_whole_smith_set(rng):
    P = random_table(rng, 5, ties=False)
    P[2, :], P[:, 2], P[2, 2] = 0.9, 0.1, 0.5
    assert d.condorcet_winner(P) == 2
    assert d.smith_set(P) == (2,)


def test_split_is_orthogonal_and_relabelling_does_not_matter(rng):
    P = random_table(rng, 6)
    M, smooth = d.margins(P), d.transitive_part(P)
    assert np.sum(smooth * (M - smooth)) == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose((M - smooth).sum(axis=1), 0.0, atol=1e-12)
    order = rng.permutation(6)
    shuffled, plain = d.describe(P[np.ix_(order, order)]), d.describe(P)
    assert shuffled.cyclic_share == pytest.approx(plain.cyclic_share, abs=1e-12)
    assert sorted(order[list(shuffled.smith_set)]) == list(plain.smith_set)


def test_scores_are_compared_with_zero():
    S = np.array([[0.0, 2.0, 1.0], [-2.0, 0.0, 3.0], [-1.0, -3.0, 0.0]])
    assert d.describe(S, value=0.0).condorcet_winner == 0
    assert d.describe(S, value=0.0).largest_margin == 3.0


def test_a_table_of_ties_has_no_variance():
    report = d.describe(np.full((4, 4), 0.5))
    assert (report.cyclic_share, report.tied_pairs, report.smith_set) == (0.0, 6, (0, 1, 2, 3))


def test_several_prompts_are_refused():
    with pytest.raises(ValueError, match=r"shape \(2, 3, 3\).*one prompt"):
        d.describe(np.full((2, 3, 3), 0.5))

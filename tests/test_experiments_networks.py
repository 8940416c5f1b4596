"""What the experiments on networks build on: limits, floors, the same game for every class, findings that can fail."""

import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import nashpo
from nashpo.policies import Neural, Token

sys.path.append(str(Path(__file__).resolve().parents[1] / "experiments"))

import linearisation
import policy_classes


def test_the_limit_is_that_of_the_prompt_that_rotates_most():
    game = policy_classes.the_game()
    limits = []
    for table, reference in zip(game.oracle.table(), game.reference.probs(), strict=True):
        alone = nashpo.Game.from_table(table, beta=policy_classes.BETA, reference=reference)
        limits.append(linearisation.inpo_limit(policy_classes.BETA, linearisation.frequency(alone)))
    assert policy_classes.limit(game) == pytest.approx(min(limits), rel=1e-9)
    assert limits[0] < policy_classes.ETA < limits[1]
    assert policy_classes.RULES["EGPO"].proven_step(policy_classes.BETA, 0.5) >= policy_classes.ETA


def test_on_the_table_egpo_contracts_and_inpo_does_not():
    runs = {}
    with pytest.warns(nashpo.StepSizeWarning):
        for name, rule in policy_classes.RULES.items():
            runs[name] = policy_classes.run(rule, "table", 40, 2)
    factor = {name: policy_classes.worst_factor(found) for name, found in runs.items()}
    assert factor["EGPO"] <= 1 - policy_classes.ETA * policy_classes.BETA < 1 < factor["INPO"]
    gaps = {name: policy_classes.gaps(found) for name, found in runs.items()}
    assert gaps["EGPO"].shape == (2, 40)
    assert (gaps["EGPO"][:, -1] < 1e-4).all() and (gaps["INPO"][:, -1] > 1e-2).all()


def test_both_networks_answer_the_same_prompts_with_the_same_answers():
    game = policy_classes.the_game()
    network, transformer = policy_classes.network(0), policy_classes.transformer(0)
    assert isinstance(network, Neural) and isinstance(transformer, Token)
    assert network.probs().shape == transformer.probs().shape == game.shape
    assert float(nashpo.duality_gap(game, network)) > 0.01 < float(nashpo.duality_gap(game, transformer))
    other = policy_classes.network(1)
    assert not np.allclose(network.probs(), other.probs(), atol=1e-3)
    assert jax.tree.structure(network) == jax.tree.structure(other)


def test_floors_and_waits_by_hand():
    falls = np.array([[1.0, 0.4, 0.2, 0.4, 0.0], [1.0, 0.8, 0.6, 0.8, 0.0]])
    assert policy_classes.floor(falls) == pytest.approx(0.5)
    assert policy_classes.first_below(falls, 0.5) == 3.5
    assert policy_classes.first_below(falls, -1.0) == np.inf


def test_findings_can_fail():
    flat = {(rule, name): np.full((3, 11), 0.1) for rule in policy_classes.RULES for name in policy_classes.CLASSES}
    floors = {"64 rivals": np.full((3, 11), 0.1), "256 rivals": np.full((3, 11), 0.1)}
    floors["exact win rates"] = np.full((3, 11), 0.1)
    found = policy_classes.findings(flat, floors, factor=1.01)
    held = [one.claim for one in found if one.holds]
    assert len(held) == 1 and held[0].startswith("The step over the largest")

"""Rules and games of the user's own in studies: their source is part of the key, and what they raise is reported."""

import numpy as np
import pytest

from nashpo.studies import read_study, run_study, version

RULE = """
from nashpo.stage import Stage, UpdateRule, against
from nashpo.struct import record
{imports}

@record
class Mine(UpdateRule):
    eta: float

    def stages(self, beta, step):
        return (Stage({{"now": 1.0}}, against("now"), self.eta * {factor}),)
{more}
"""


def study(rule: str) -> dict:
    return {
        "study": {"steps": 4, "every": 2},
        "games": {"random": {"game": "nashpo_games:random_constant_sum", "n": 3, "seed": 1}},
        "solvers": {"mine": {"solver": rule, "eta": 0.1}},
    }


def foreign(rule: str) -> dict[str, str]:
    return read_study(study(rule)).cells[0].configuration["foreign"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_an_edit_of_what_a_rule_imports_changes_the_key(folder):
    (folder / "factors_a.py").write_text("FACTOR = 1.0\n")
    (folder / "rule_a.py").write_text(RULE.format(imports="from factors_a import FACTOR", factor="FACTOR", more=""))
    before, key = foreign("rule_a:Mine"), read_study(study("rule_a:Mine")).cells[0].key
    assert sorted(before) == ["factors_a", "rule_a"]
    (folder / "factors_a.py").write_text("FACTOR = 3.0\n")
    after = foreign("rule_a:Mine")
    assert after["rule_a"] == before["rule_a"] and after["factors_a"] != before["factors_a"]
    assert read_study(study("rule_a:Mine")).cells[0].key != key


def test_imports_are_followed_through_packages_functions_and_relative_names(folder):
    lazy = "\n    def help(self):\n        import pack_b.deep\n"
    package = folder / "pack_b"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "deep" / "__init__.py").write_text("from ..numbers_b import *\nfrom . import leaf, absent\n")
    (package / "numbers_b.py").write_text("import json, numpy.linalg, jax.numpy as jnp, pytest\nFACTOR = 1.0\n")
    (package / "deep" / "leaf.py").write_text("import pack_b.deep\n")
    (package / "deep" / "absent.py").write_text("import nowhere_b\nfrom pack_b import broken\n")
    (package / "broken.py").write_text("this is no Python")
    (package / "rule.py").write_text(RULE.format(imports="import nashpo_games", factor="1.0", more=lazy))
    names = ["", ".broken", ".deep", ".deep.absent", ".deep.leaf", ".numbers_b", ".rule"]
    assert sorted(foreign("pack_b.rule:Mine")) == [f"pack_b{name}" for name in names]


def test_what_is_installed_is_known_by_its_version():
    assert version.foreign_sources({"game": "nashpo.game.Game", "a": "[0.5, 0.25] float64", "b": "'tea.csv'"}) == {}
    assert list(version.foreign_sources({"rule": f"{np.__name__}.float64", "f": "json.dumps code:12"})) == ["json"]


PLAIN = """
from nashpo.struct import record

@record
class Plain:
    eta: float

    def stages(self, beta, step):
        return ()
"""
CHECK = "\n    def check(self, game, bound):\n        raise TypeError('no\\nluck')\n"


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("rule_c:Mine", RULE.format(imports="", factor="1.0", more=CHECK), "TypeError: no luck"),
        ("rule_d:Plain", PLAIN, "AttributeError: 'Plain' object has no attribute 'check'"),
    ],
)
def test_a_mistake_in_the_check_of_a_rule_is_a_failed_cell_and_hides_nothing(name, text, why, folder):
    (folder / f"{name.split(':')[0]}.py").write_text(text)
    both = study(name)
    both["solvers"]["egpo"] = {"solver": "egpo", "eta": 0.1}
    found = run_study(both, folder / "out")
    assert [str(failure) for failure in found.failed] == [f"mine on random: {why}"]
    assert found.computed == 1 and found.sweep is not None
    assert found.sweep.data["status"].sel(solver="egpo").values.ravel().tolist() == [0]

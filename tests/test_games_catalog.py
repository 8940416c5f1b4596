"""Games by name: lookup, parameters, the nearest name in the error."""

import ast
import importlib.metadata
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import nashpo
import nashpo_games
from nashpo import catalog

ROOT = Path(nashpo.__file__).parent


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """The entry point of the games, also where the package is not installed."""
    point = importlib.metadata.EntryPoint("nashpo_games", "nashpo_games", catalog.GROUP)
    monkeypatch.setattr(catalog, "entry_points", lambda group: [point] if group == catalog.GROUP else [])


def test_games_are_found_by_name():
    assert catalog.find_game("pokemon_types") is nashpo_games.pokemon_types
    assert catalog.find_game("nashpo_games.voting:election") is nashpo_games.voting.election
    assert catalog.build_game("pokemon_types", beta=0.5).items[0] == "normal"


def test_parameters_are_parsed_and_passed():
    game = catalog.build_game(" n_cycle:n=4,win=1 ", beta=0.1)
    assert game.oracle.table()[0, 0].tolist() == [0.5, 1.0, 0.5, 0.0]
    assert float(game.beta) == 0.1
    assert catalog.build_game("nashpo_games.cyclic:n_cycle:n=6").shape == (1, 6)
    assert catalog.build_game("n_cycle:n=6.0").shape == (1, 6)
    assert catalog.build_game("biased_rps:scale=score").scale == "score"
    assert catalog.build_game("cyclic_annotators:groups=4,seed=None").shape == (1, 4)


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("pokemon_type", r"there is no game 'pokemon_type'; did you mean 'pokemon_types'\?"),
        ("xyzzy", r"there is no game 'xyzzy'; choose from .*biased_rps"),
        ("no_such_module:game", r"module 'no_such_module' cannot be imported"),
        ("nashpo_games:n_cycl", r"module 'nashpo_games' has no 'n_cycl'; did you mean 'n_cycle'\?"),
        ("n_cycle:m=4", r"n_cycle has no parameter 'm'; choose from n, win\."),
        ("n_cycle:winn=0.9", r"n_cycle has no parameter 'winn'; did you mean 'win'\?"),
        ("n_cycle:n=4,n=5", r"the parameter 'n' is given twice"),
        ("n_cycle:n=4,win", r"'win' is no parameter; write n_cycle:key=value"),
        ("n_cycle:n=", r"'n=' is no parameter"),
        ("n_cycle:n=4.5", r"n=4.5, but n must be a whole number"),
        ("n_cycle:win=high", r"win=high, but win must be a number"),
        ("n_cycle:beta=0.1", r"beta is no parameter of the table"),
        ("n_cycle:n=2", r"n is 2, but must be a whole number, 3 or more"),
        ("nashpo_games.voting:election:votes=1", r"no parameter 'votes'"),
    ],
)
def test_bad_specifications_get_one_sentence(spec, sentence):
    with pytest.raises(ValueError, match=sentence) as caught:
        catalog.build_game(spec)
    assert "\n" not in str(caught.value)


def test_a_missing_parameter_is_named():
    with pytest.raises(ValueError, match="needs the parameter 'ballots'"):
        catalog.build_game("nashpo_games.voting:election")


def test_without_games_the_error_says_so(monkeypatch):
    monkeypatch.setattr(catalog, "entry_points", lambda group: [])
    assert catalog.list_games() == []
    with pytest.raises(ValueError, match="no games are installed"):
        catalog.find_game("pokemon_types")


def test_every_listed_game_has_one_line_and_defaults():
    listed = dict(catalog.list_games())
    assert list(listed) == list(nashpo_games.__all__) == sorted(nashpo_games.__all__)
    for name, line in listed.items():
        assert line.endswith((".", ")")), name
        parameters = inspect.signature(getattr(nashpo_games, name)).parameters
        assert "beta" in parameters, name
        assert all(p.default is not inspect.Parameter.empty for p in parameters.values()), name
    assert catalog.describe_parameters("n_cycle") == "n=5,win=1.0"


def test_nashpo_never_imports_its_games():
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name.split(".")[0] == "nashpo_games" for name in names), file


def test_listing_games_and_reading_tables_needs_no_jax():
    code = "import sys, nashpo_games, nashpo.tables, nashpo.catalog; sys.exit('jax' in sys.modules)"
    paths = [str(ROOT.parent), str(Path(nashpo_games.__file__).parents[1])]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}; {code}"]
    assert subprocess.run(command, check=False).returncode == 0

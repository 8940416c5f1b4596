"""Objects named as `package.module:name`, in modules that fail in every way."""

import sys

import pytest

from nashpo.importing import imported

BROKEN = {
    "def f(:\n": r"module 'broken' cannot be imported \(.*broken\.py, line 1\)\)\.",
    "x = 1\nf = y\n": r"cannot be imported \(NameError: name 'y' is not defined; .*broken\.py, line 2\)\.",
    "import no_such_dependency\n": r"cannot be imported \(No module named 'no_such_dependency'\)\.",
    "def prefers(): ...\n": r"the judge 'broken:prefer': module 'broken' has no 'prefer'; did you mean 'prefers'\?",
}


@pytest.mark.parametrize(("source", "sentence"), BROKEN.items())
def test_modules_of_users_that_fail_get_one_sentence(source, sentence, tmp_path, monkeypatch):
    (tmp_path / "broken.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "broken", raising=False)
    with pytest.raises(ValueError, match=sentence) as caught:
        imported("broken:prefer", "the judge")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("path", ["", "math", ":pi", "math:", "pi:"])
def test_paths_of_another_form(path):
    with pytest.raises(ValueError, match=r"the number '.*' cannot be found: write package\.module:name"):
        imported(path, "the number")


def test_what_is_there():
    assert imported("json.decoder:JSONDecoder", "the class").__name__ == "JSONDecoder"

"""`nashpo reproduce` lists experiments, runs one and says what does not hold."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import nashpo
from nashpo.cli import main
from nashpo.reproduction import Finding, failed, report

SCRIPT = '''"""Whether {name} holds.

More about it.
"""

from pathlib import Path

from nashpo.reproduction import Finding


def main(smoke: bool = False) -> list[Finding]:
    folder = Path(__file__).parent / "results" / "{name}"
    folder.mkdir(parents=True, exist_ok=True)
    return [
        Finding("the gap falls", "a paper, theorem 1", "<= 1e-6", 1e-9, holds=True, exact=True),
        Finding("the figure is met", "derived: rate", "about 2", 7.0 if smoke else 2.0, holds={full} and not smoke),
    ]
'''


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A folder with two experiments and two files that are none."""
    folder = tmp_path / "experiments"
    folder.mkdir()
    (folder / "good.py").write_text(SCRIPT.format(name="good", full=True))
    (folder / "wrong.py").write_text(SCRIPT.format(name="wrong", full=False))
    (folder / "helper.py").write_text('"""No experiment."""\n\nraise RuntimeError("nobody imports this")\n')
    (folder / "picture.py").write_text('"""No experiment either."""\n\n\ndef main():\n    pass\n')
    monkeypatch.setenv("NASHPO_CACHE", "off")
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.chdir(tmp_path)
    return folder


def run(capsys, *arguments):
    code = main(["reproduce", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_without_a_name_experiments_are_listed_with_one_line_each(clone, capsys):
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert out.splitlines() == ["good", "  Whether good holds.", "wrong", "  Whether wrong holds."]
    assert json.loads(run(capsys, "--json")[1])[1] == {"name": "wrong", "summary": "Whether wrong holds."}


def test_expected_stands_beside_measured(clone, capsys):
    code, out, err = run(capsys, "good")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "good: 2 of 2 hold"
    assert lines[1].split(maxsplit=1) == ["holds", "the gap falls"]
    assert [line.strip() for line in lines[2:5]] == ["expected <= 1e-6", "measured 1e-09", "(a paper, theorem 1)"]
    assert lines[-1] == f"pictures and data: {clone / 'results' / 'good'}"


def test_a_finding_that_does_not_hold_is_exit_code_1(clone, capsys):
    code, out, err = run(capsys, "wrong")
    assert code == 1 and "FAILS  the figure is met" in out
    assert err == "nashpo: wrong: does not hold: the figure is met.\n"


def test_a_short_run_judges_only_what_is_exact(clone, capsys):
    code, out, err = run(capsys, "wrong", "--smoke")
    assert (code, err) == (0, "")
    assert out.startswith("wrong: 1 of 1 holds (1 not judged in a short run)") and "FAILS" not in out


def test_json_has_every_field(clone, capsys):
    code, out, _ = run(capsys, "good", "--json")
    first = json.loads(out)[0]
    assert code == 0
    assert first == {
        "claim": "the gap falls", "source": "a paper, theorem 1", "expected": "<= 1e-6", "measured": 1e-9,
        "holds": True, "exact": True,
    }  # fmt: skip


def test_a_typo_names_the_nearest(clone, capsys):
    code, _, err = run(capsys, "godo")
    assert code == 2 and err == "nashpo: there is no experiment 'godo'; did you mean 'good'?\n"


def test_without_the_source_tree_one_sentence_says_so(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(nashpo, "__file__", str(tmp_path / "site-packages" / "nashpo" / "__init__.py"))
    code, _, err = run(capsys)
    assert code == 2 and "belong to the source tree" in err and err.count("\n") == 1


def test_outside_a_clone_they_are_found_beside_an_editable_install(clone, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(nashpo, "__file__", str(tmp_path / "nashpo" / "__init__.py"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert run(capsys)[1].startswith("good")


def test_a_file_that_is_no_python_is_named(clone, capsys):
    (clone / "broken.py").write_text("def main(smoke=False:\n")
    code, _, err = run(capsys, "good")
    assert code == 2 and "broken.py: is not Python" in err


def test_reports_fit_60_columns():
    long = Finding("a claim that is much longer than a line " * 3, "a source " * 12, "0.199", "measured " * 9, True)
    lines = report("name", [long]).splitlines()
    assert len(lines) > 8 and max(map(len, lines)) <= 60


def test_failed_of_a_full_run_is_everything_that_does_not_hold():
    findings = [Finding("a", "b", "c", 1.0, holds=False), Finding("a", "b", "c", 1.0, holds=False, exact=True)]
    assert failed(findings) == findings and failed(findings, smoke=True) == findings[1:]


def test_a_script_runs_by_itself(clone):
    script = clone / "alone.py"
    tail = '\n\nif __name__ == "__main__":\n    from nashpo.reproduction import command\n\n'
    tail += "    raise SystemExit(command(main, __file__, __doc__))\n"
    shutil.copy(clone / "wrong.py", script)
    script.write_text(script.read_text() + tail)
    paths = {"PYTHONPATH": str(Path(__file__).resolve().parents[1])}
    short = subprocess.run([sys.executable, script, "--smoke"], capture_output=True, text=True, env=paths)
    full = subprocess.run([sys.executable, script], capture_output=True, text=True, env=paths)
    assert (short.returncode, full.returncode) == (0, 1), short.stderr + full.stderr
    assert full.stdout.startswith("alone: 1 of 2 hold")

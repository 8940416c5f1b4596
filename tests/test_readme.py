"""The README and the documentation are true: their programs run, their files and commands exist."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "games").rglob("*.md")])
PYTHON = re.compile(r"^( *)```python\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)")
PATH = re.compile(r"`((?:nashpo|games|tests|experiments|notebooks|docs|\.ci)/[\w./-]*)(?:::(\w+))?`")


def short(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("page", [page for page in PAGES if PYTHON.search(page.read_text(encoding="utf-8"))], ids=short)
def test_programs_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict = {"__name__": "__main__"}
    for _, block in PYTHON.findall(page.read_text(encoding="utf-8")):
        exec(compile(textwrap.dedent(block), short(page), "exec"), names)
    if page == ROOT / "README.md":
        assert names["result"].trace["duality_gap"][-1] < 1e-6
        assert np.allclose(names["result"].policy.probs().sum(), 1.0)


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_links_and_paths_lead_somewhere(page):
    text = page.read_text(encoding="utf-8")
    links = [link for link in LINK.findall(text) if not link.startswith(("http://", "https://", "mailto:"))]
    missing = [link for link in links if not (page.parent / link).exists()]
    missing += [path for path, _ in PATH.findall(text) if not (ROOT / path).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=short)
def test_tests_that_are_named_exist(page):
    named = PATH.findall(page.read_text(encoding="utf-8"))
    missing = [f"{path}::{test}" for path, test in named if test and f"def {test}(" not in (ROOT / path).read_text()]
    assert missing == []


def test_two_commands_of_one_line_each():
    lines = [line for line in README.splitlines() if line.startswith("python3 -m venv .venv && ")]
    assert len(lines) == 2
    assert "nashpo solve pokemon_types" in lines[0]
    assert "pytest" in lines[1]
    assert "README.md" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")

"""The documentation: every algorithm has a whole page, every public name has its place, links lead somewhere."""

import ast
import importlib
import importlib.util
import re
import zlib
from pathlib import Path

import pytest

import nashpo

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
ALGORITHMS = sorted((DOCS / "algorithms").glob("*.md"))
PAGES = [*DOCS.glob("*.md"), *ALGORITHMS]
SECTIONS = ("What is proven", "What fails", "Its symbols elsewhere", "Tests")
INCLUDE = re.compile(r"```\{literalinclude\} (\S+)\n:pyobject: (\S+)\n")
LINK = re.compile(r"\]\(([^)\s]*?)#([^)\s]+)\)")
ROLE = re.compile(r"\{py:(?:class|func|mod)\}`~?([\w.]+)`")

_spec = importlib.util.spec_from_file_location("docs_pages", DOCS / "pages.py")
assert _spec and _spec.loader
pages = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pages)


def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def name(page: Path) -> str:
    return page.stem


def headings(page: Path) -> list[str]:
    return re.findall(
        r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text(page), flags=re.MULTILINE | re.DOTALL), re.MULTILINE
    )


def test_every_algorithm_shows_its_code():
    shown = {thing.split(".")[0] for page in ALGORITHMS for _, thing in INCLUDE.findall(text(page))}
    solvers = {label for label in nashpo.solvers.__all__ if not label.endswith("Warning")}
    assert solvers - shown == {"Averaged"}


@pytest.mark.parametrize("page", ALGORITHMS, ids=name)
def test_an_algorithm_s_page_is_whole_and_listed(page):
    own = headings(page)
    assert [heading for heading in own if heading in SECTIONS] == list(SECTIONS)
    assert "$$" in text(page)
    assert "::test_" in text(page).split("## Tests")[1]
    overview = text(DOCS / "algorithms.md")
    assert f"\nalgorithms/{page.stem}\n" in overview
    assert f"| [{own[0]}](algorithms/{page.name}) |" in overview


@pytest.mark.parametrize("page", ALGORITHMS, ids=name)
def test_code_that_is_shown_exists(page):
    included = INCLUDE.findall(text(page))
    assert included
    for path, thing in included:
        scope = ast.parse((page.parent / path).read_text(encoding="utf-8")).body
        for part in thing.split("."):
            scope = next((node.body for node in scope if getattr(node, "name", None) == part), None)
            assert scope is not None, f"{path} has no {thing}"


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_anchors_and_names_lead_somewhere(page):
    for path, anchor in LINK.findall(text(page)):
        if "://" not in path:
            target = page.parent / path if path else page
            assert anchor in {re.sub(r"[^\w\- ]", "", h).strip().lower().replace(" ", "-") for h in headings(target)}
    for label in ROLE.findall(text(page)):
        try:
            importlib.import_module(label)
        except ModuleNotFoundError:
            room, _, thing = label.rpartition(".")
            assert hasattr(importlib.import_module(room), thing), label


def test_every_public_name_has_one_place():
    rooms = pages.rooms()
    listed = [(room, label) for room, labels in rooms.items() for label in labels]
    assert len(listed) == len(set(listed))
    modules = [label for label in nashpo.__all__ if f"nashpo.{label}" in rooms]
    assert set(rooms["nashpo"]) | set(modules) == set(nashpo.__all__)
    top = [getattr(nashpo, label) for label in rooms["nashpo"]]
    for label in modules:
        public = pages.public(getattr(nashpo, label))
        missing = set(public) - set(rooms[f"nashpo.{label}"])
        assert all(any(getattr(getattr(nashpo, label), m) is thing for thing in top) for m in missing)
    assert {"Stage", "Blend"} <= set(rooms["nashpo.stage"])
    assert "EGPO" in rooms["nashpo.solvers"]


def test_the_reference_is_written_once_and_forgets_what_is_gone(tmp_path):
    pages.write_reference(tmp_path)
    written = {page: page.stat().st_mtime_ns for page in tmp_path.glob("*.rst")}
    assert {page.stem for page in written} == {"index", *pages.rooms()}
    for room, labels in pages.rooms().items():
        page = text(tmp_path / f"{room}.rst")
        assert all(re.search(rf"^\.\. \S+:: {label}$", page, re.MULTILINE) for label in labels)
    (tmp_path / "nashpo.gone.rst").write_text("gone")
    pages.write_reference(tmp_path)
    assert {page: page.stat().st_mtime_ns for page in tmp_path.glob("*.rst")} == written


def test_aliases_and_constants_keep_their_notes(tmp_path):
    pages.write_reference(tmp_path)
    blend = text(tmp_path / "nashpo.stage.rst").split(".. py:type:: Blend\n")[1]
    assert blend.startswith("   :canonical: dict[Slot, Scalar]\n\n   Weights of a geometric mixture of slots.")
    value = text(tmp_path / "nashpo.oracles.rst").split(".. py:data:: VALUE\n")[1]
    assert "\n   What either player" in value


def test_notebooks_are_copied(tmp_path):
    (tmp_path / "gone.ipynb").write_text("{}")
    pages.copy_notebooks(tmp_path)
    there = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert there == {path.name: path.read_bytes() for path in (ROOT / "notebooks").glob("*.ipynb")}


def test_types_of_other_libraries_are_in_the_inventory(tmp_path):
    pages.write_inventory(tmp_path / "objects.inv")
    head, body = (tmp_path / "objects.inv").read_bytes().split(b"using zlib.\n")
    assert head.startswith(b"# Sphinx inventory version 2\n")
    rows = zlib.decompress(body).decode().splitlines()
    assert "numpy.ndarray py:class 1 numpy.org/doc/stable/reference/generated/numpy.ndarray.html -" in rows


FORMULA = [".. code-block:: text", "", "   now <- ref", "   q    = now", ""]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["now <- ref", "q    = now"], FORMULA),
        (["    now <- ref", "    q    = now"], FORMULA),
        (["The gap `g = P pi` is one number,", "and prose stays prose."], None),
        ([">>> a = 1", ">>> b = 2"], None),
        (["* one thing", "  and its end"], None),
        (["Args:", "    wins: a table.", "        It goes on."], None),
    ],
    ids=["assignments", "indented", "prose", "doctest", "list", "arguments"],
)
def test_formulas_in_docstrings_stay_as_they_are(lines, expected):
    assert pages.literal_formulas(lines) == (expected or [*lines, ""])


def test_signatures_use_the_names_of_types():
    union = "~jax.jaxlib._jax.Array | ~numpy.ndarray"
    assert (
        pages.plain_types(f"(a: float | {union}, b: {union})") == "(a: ~nashpo.typing.Scalar, b: ~nashpo.typing.Array)"
    )

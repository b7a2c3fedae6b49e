"""The board's words, static files, templates: both languages complete, all readable for an old engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flask import Flask

from appliance.web import catalogue, i18n, words
from content_sync.ports import CollectionRow

WEB = Path(i18n.__file__).parent
TEMPLATES = sorted((WEB / "templates").glob("*.html"))


def words_of(language: str) -> list[tuple[str, str]]:
    """The catalogue's texts and what they are in the language; one for each number where it has several."""
    with catalogue.po_path(language).open("rb") as stream:
        messages = [m for m in catalogue.read_po(stream, locale=language) if m.id]
    return [
        pair
        for m in messages
        for pair in (zip(m.id, m.string, strict=True) if m.pluralizable else [(m.id, m.string)])
    ]


def test_catalogue_is_in_step_and_complete() -> None:
    po, mo, name = catalogue.refresh("en")
    path = catalogue.po_path("en")
    assert path.read_bytes() == po, "run python -m appliance.web.catalogue"
    assert path.with_suffix(".mo").read_bytes() == mo, "run python -m appliance.web.catalogue"
    assert name == i18n.name_of("en") == path.with_name("name.txt").read_text("utf-8").strip() == "English"
    missing = [chinese for chinese, english in words_of("en") if not english]
    assert not missing
    left = [english for chinese, english in words_of("en") if not _is_english(chinese, english)]
    assert not left, "English with Chinese in it"


def _is_english(chinese: str, english: str) -> bool:
    """Whether no Chinese is left but words that are typed so, such as the kinds in file names."""
    left = re.findall(r"[\u4e00-\u9fff]+", english)
    return not left or bool(re.search(r"[a-z]{3}", english)) and all(word in chinese for word in left)


def test_placeholders_agree() -> None:
    for chinese, english in words_of("en"):
        named = set(re.findall(r"%\((\w+)\)", english))
        allowed = set(re.findall(r"%\((\w+)\)", chinese)) | ({"year"} if "月" in chinese else set())
        assert named <= allowed, chinese


def test_no_chinese_outside_marks() -> None:
    """Every Chinese word of a template is marked for translation."""
    for path in TEMPLATES:
        text = re.sub(
            r"\{#.*?#\}|_\('[^']*'|ngettext\('[^']*', '[^']*'", "", path.read_text("utf-8"), flags=re.DOTALL
        )
        text = (
            text.replace("中文", "").replace("'一二三四五六七八九十'", "").replace("（", "").replace("）", "")
        )
        assert not re.search(r"[\u4e00-\u9fff]+", text), (path.name, re.findall(r".*[\u4e00-\u9fff].*", text))


@pytest.mark.parametrize(
    ("title", "code", "classes"),
    [
        ("古诗三首", "yw", "rule-yw tian"),
        ("笔算乘法", "sx", "rule-sx"),
        ("我爱家乡山和水", "df", "rule-df wide lines"),
        ("铺满金色巴掌的水泥道", "yw", "long"),
        ("口语交际：我们来编一个童话故事", "yw", "long mid"),
        ("两位数乘两位数的笔算乘法和它在生活里的用处", "sx", "long mid more"),
        ("用百分数解决问题（二）求比一个数多（少）百分之几的数是多少", "sx", "long longer"),
        ("Unit 2 My days of the week Part B Let's learn and Let's talk", "yy", "long longer en"),
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


@pytest.mark.parametrize(
    ("identity", "place", "name", "english"),
    [
        ("a-b", "小学/语文/统编版/三年级/上册", "语文 三年级上册", "Chinese Grade 3 Book 1"),
        (
            "a-b",
            "教师培训/课箱怎么用/不分版本/不分年级/全一册",
            "教师培训 课箱怎么用",
            "Teacher training 课箱怎么用",
        ),
        ("a-b", "专题教育/专题教育/不分版本/不分年级/全一册", "专题教育", "Topics"),
        ("a-b", "名师课堂/语文/不分版本/不分年级/全一册", "名师课堂 语文", "Master classes Chinese"),
        ("local-1", "小学/语文/不分版本/三年级/全一册", "语文 本校资料", "Chinese Local material"),
    ],
)
def test_a_collection_is_called_by_its_name_once(identity: str, place: str, name: str, english: str) -> None:
    row = CollectionRow(identity, *place.split("/"), 1, 0, 0)
    assert words.called(row) == name
    spoken = i18n._SPOKEN.set("en")
    try:
        assert words.called(row) == english
    finally:
        i18n._SPOKEN.reset(spoken)


def test_a_size_keeps_its_unit_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    assert words.size(1_500_000) == "1.5 MB"
    monkeypatch.setattr(words, "right_to_left", lambda: True)
    assert words.size(1_500_000) == "\u200e1.5 MB"


def test_no_request_leaves_its_language_behind() -> None:
    app = Flask(__name__)
    i18n.install(app, "zh")
    app.add_url_rule("/", view_func=i18n.language)
    assert app.test_client().get("/?lang=en").text == "en"
    assert i18n.language() == i18n.SOURCE

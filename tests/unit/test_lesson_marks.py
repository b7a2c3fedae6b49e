# ruff: noqa: E501 (rows and markup)
"""Chapters, stops and languages: in lesson.json, in lesson.toml, and in what `county publish` makes of them."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from content_sync.errors import LessonError
from content_sync.formats.hashtree import FileId
from content_sync.formats.lesson import (
    Chapter,
    Lesson,
    Resource,
    ResourceFile,
    Stop,
    dump_lesson,
    parse_lesson,
)
from county.publish import stated
from county.publish.scan import plan
from county.publish.tree import Node

FILM = Resource(
    "r1", "video", "look", "望天门山", "video/mp4", (ResourceFile("视频.mp4", "main", FileId("a" * 64, 5)),),
    "zh-Hans", seconds=600, chapters=(Chapter(0, "导入"), Chapter(90, "初读")), stops=(Stop(60, "全班齐读两遍", 2), Stop(200, "说一说")),
)  # fmt: skip
OTHER = replace(FILM, id="r2", language="bo", chapters=(), stops=(), same_as="r1",
                files=(ResourceFile("藏.mp4", "main", FileId("b" * 64, 5)),))  # fmt: skip
PLACE = ("小学", "语文", "统编版", "三年级", "上册")
LESSON = Lesson(
    "lesson-0001", "collection-01", *PLACE, "第六单元", 6, 17, "古诗三首", 1, (FILM, OTHER), "zh-Hans"
)


def test_they_read_back_as_written() -> None:
    data = dump_lesson(LESSON)
    assert parse_lesson(data) == LESSON
    made = json.loads(data)["resources"]
    assert made[0]["stops"] == [{"at": 60, "do": "全班齐读两遍", "minutes": 2}, {"at": 200, "do": "说一说"}]
    assert "stops" not in made[1] and "chapters" not in made[1], "what states none is as older boxes know it"


def test_keys_that_nobody_knows_yet_are_passed_over() -> None:
    made = json.loads(dump_lesson(LESSON))
    made["resources"][0] |= {"later": [1], "stops": [{"at": 60, "do": "读", "later": True}]}
    assert parse_lesson(json.dumps(made).encode()).resources[0].stops == (Stop(60, "读"),)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stops": [{"at": 0, "do": "读"}]},
        {"stops": [{"at": 60, "do": "读"}, {"at": 60, "do": "写"}]},
        {"stops": [{"at": 60, "do": " "}]},
        {"stops": [{"at": 60, "do": "读" * 121}]},
        {"stops": [{"at": 60, "do": "读\n写"}]},
        {"stops": [{"at": 60, "do": "读", "minutes": 0}]},
        {"stops": [{"at": True, "do": "读"}]},
        {"stops": [{"at": 60}]},
        {"stops": {"at": 60}},
        {"chapters": [{"at": -1, "title": "导入"}]},
        {"chapters": [{"at": 86_401, "title": "导入"}]},
        {"chapters": [{"at": n, "title": "段"} for n in range(101)]},
        {"chapters": ["导入"]},
    ],
)
def test_what_is_wrong_is_refused(wrong: dict[str, Any]) -> None:
    made = json.loads(dump_lesson(LESSON))
    made["resources"][0] |= wrong
    with pytest.raises(LessonError):
        parse_lesson(json.dumps(made).encode())


def test_languages_and_variants() -> None:
    assert LESSON.languages == ("zh-Hans", "bo")
    assert LESSON.variants(FILM) == LESSON.variants(OTHER) == [FILM, OTHER]
    alone = replace(LESSON, resources=(replace(OTHER, same_as="gone"), replace(FILM, language=None)))
    assert alone.variants(alone.resources[1]) == [alone.resources[1]] and alone.languages == ("bo", "zh-Hans")


def toml(*lines: str) -> tuple[stated.Stated, list[str]]:
    return stated.read("\n".join(('[resource."视频 甲.mp4"]', *lines)).encode())


def test_times_as_players_show_them() -> None:
    said, odd = toml(
        'chapters = [{at = 0, title = "导入"}, {at = "1:30", title = "初读"}, {at = "1:02:03", title = "诵读"}]',
        'stops = [{at = "3:05", do = "全班齐读两遍", minutes = 2}]',
    )
    assert not odd
    assert said.resources["视频 甲.mp4"] == {
        "chapters": (Chapter(0, "导入"), Chapter(90, "初读"), Chapter(3723, "诵读")),
        "stops": (Stop(185, "全班齐读两遍", 2),),
    }


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('stops = [{at = 5, do = "读"}, {at = "0:05", do = "写"}]', "stops, number 2: it is not after"),
        ('stops = [{at = "3:75", do = "读"}]', "stops, number 1: at '3:75' is neither"),
        ('stops = [{at = 5, say = "读"}]', "stops, number 1: it needs at and do"),
        ('stops = [{at = 5, do = "读", minuten = 3}]', "no such key: minuten"),
        ('stops = [{at = 5, do = "读", minutes = 99}]', "minutes of a stop are not 1 to 60"),
        ("stops = [{at = 5, do = 7}]", "do is not a text"),
        ("chapters = [3]", "chapters, number 1: it needs at and title"),
        ('chapters = "导入"', "chapters is not a list"),
        ('chapters = [{at = 5.5, title = "导入"}]', "at 5.5 is neither"),
    ],
)
def test_publish_names_what_is_wrong_and_goes_on(line: str, what: str) -> None:
    said, odd = toml('title = "望天门山"', line)
    assert len(odd) == 1 and what in odd[0] and odd[0].startswith("resource '视频 甲.mp4'"), odd
    assert said.resources["视频 甲.mp4"] == {"title": "望天门山"}


def source(text: str, *names: str) -> Node:
    files = [Node(name, name, size=5) for name in names]
    stated_in = Node("lesson.toml", "t", size=1, text=text.encode())
    at = Node("17 古诗三首", "l", True, children=(stated_in, *files))
    for name in ("第六单元", "三年级上册", "统编版", "语文", "小学", ""):
        at = Node(name, name, True, children=(at,))
    return at


def test_a_source_tree_with_languages() -> None:
    found = plan([source(
        '[resource."视频 甲.mp4"]\nstops = [{at = 5, do = "读"}]\n[resource."视频 乙.mp4"]\nlanguage = "bo"\nsame_as = "视频 甲.mp4"\n'
        '[resource."教案.pdf"]\nchapters = [{at = 1, title = "x"}]\nsame_as = "没有.pdf"',
        "视频 甲.mp4", "视频 乙.mp4", "教案.pdf",
    )])  # fmt: skip
    first, second, third = (found.lessons[0].resources[n] for n in (1, 0, 2))
    if first.same_as:
        first, second = second, first
    assert first.stops == (Stop(5, "读"),) and second.same_as == first.id and second.language == "bo"
    assert third.chapters == () and third.same_as is None
    said = sorted(problem.what for problem in found.problems)
    assert len(said) == 2 and "has chapters or stops" in said[0] and "same_as" in said[1], said

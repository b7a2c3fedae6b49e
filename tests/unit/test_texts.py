"""Text files as schools have them."""

from __future__ import annotations

import pytest

from appliance.web.player import clock, subtitle_language
from appliance.web.texts import decode, in_parts, is_text, paragraphs, text_beside
from content_sync.formats.hashtree import FileId
from content_sync.formats.lesson import Lesson, Resource, ResourceFile

POEM = "望天门山\r\n\r\n　　天门中断楚江开"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "utf-16"])
def test_every_encoding_of_windows(encoding: str) -> None:
    assert decode(POEM.encode(encoding)) == POEM


def test_what_is_no_text_is_no_error() -> None:
    assert paragraphs(decode(bytes(range(256)) * 3))
    assert paragraphs(decode(b"")) == [] and in_parts([]) == [[]]


def test_lines_and_headings() -> None:
    said = paragraphs("# 望天门山 #\n\n唐\t李白\x07\r　　天门中断\n#不是标题\n##\n")
    assert said == [
        (True, "望天门山"),
        (False, "唐    李白"),
        (False, "天门中断"),
        (False, "#不是标题"),
        (False, "##"),
    ]


def test_parts_hold_everything_in_order() -> None:
    lines = [(False, "字" * n) for n in (700, 700, 700, 4_000, 3)]
    parts = in_parts(lines)
    assert all(sum(len(words) for _, words in part) <= 1_500 for part in parts)
    assert "".join(words for part in parts for _, words in part) == "".join(words for _, words in lines)


def resource(name: str, title: str, size: int = 9, language: str | None = None, *more: str) -> Resource:
    files = (
        ResourceFile(name, "main", FileId("a" * 64, size)),
        *(ResourceFile(m, "subtitles", FileId("b" * 64, 1)) for m in more),
    )
    return Resource(name.replace(".", "-"), "other", "read", title, "text/plain", files, language)


def lesson(*resources: Resource) -> Lesson:
    return Lesson(
        "lesson-0001", "collection-1", "", "", "", "", "", "", None, None, "t", 1, resources, "zh-Hans"
    )


def test_the_text_beside_a_sound() -> None:
    sound, own, other = (
        resource("a.mp3", "望天门山"),
        resource("b.txt", "望天门山"),
        resource("c.TXT", "作业"),
    )
    assert text_beside(lesson(sound, own, other), sound) is own
    assert text_beside(lesson(sound, other), sound) is other, "the only one"
    assert text_beside(lesson(sound, other, resource("d.md", "别的")), sound) is None
    assert not is_text(resource("e.txt", "大", 2 << 20)) and not is_text(sound)


def test_the_language_of_subtitles() -> None:
    film = resource(
        "片.v1.mp4", "片", 9, "ug", "片.v1.vtt", "片.v1.bo.vtt", "片.v1.zh-Hans.vtt", "片.v1.第二版.vtt"
    )
    found = [subtitle_language(film, entry, lesson(film)) for entry in film.with_role("subtitles")]
    assert found == ["ug", "bo", "zh-Hans", "ug"]


def test_times_as_players_show_them() -> None:
    assert [clock(n) for n in (0, 62, 3_723, None, -1)] == ["0:00", "1:02", "1:02:03", "", "0:00"]

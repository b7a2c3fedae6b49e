"""Names that no package may hold, and ids that stay (formats.md 2)."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from content_sync.errors import FormatError, PathError
from content_sync.formats import paths

GOOD = [
    "lesson.json",
    "视频 望天门山.mp4",
    "课件/index.html",
    ".hidden",
    "a" * 255,
    "字" * 85,
    "/".join("abcdefghijklmnop"),
    "contents.txt",
    "com10.txt",
    "aux-video.mp4",
    "100% (旧).pdf",
    "é",
]
BAD = [
    "",
    "..",
    ".",
    "../x",
    "a/../b",
    "a/./b",
    "a/..",
    "/",
    "/etc/passwd",
    "a//b",
    "a/",
    "C:",
    "C:\\x",
    "C:/x",
    "\\\\server\\share",
    "a\\b",
    "file:stream",
    'a"b',
    "a*",
    "a?",
    "a<b",
    "a>b",
    "a|b",
    "a\x00b",
    "a\nb",
    "a\x7f",
    "a\x85",
    "a\u2028b",
    "a\ud800",
    "NUL",
    "nul.txt",
    "Con",
    "aux.tar.gz",
    "com1",
    "COM0.x",
    "lpt9.pdf",
    "com¹.txt",
    "CON .txt",
    "d/PRN",
    "trailing.",
    "trailing ",
    "d. /x",
    unicodedata.normalize("NFD", "é"),
    "a" * 256,
    "字" * 86,
    "x" * 300,
    "/".join("abcdefghijklmnopq"),
    "/".join(["a" * 200] * 6),
]


@pytest.mark.parametrize("path", GOOD)
def test_allowed(path: str) -> None:
    assert paths.check_path(path) == path


@pytest.mark.parametrize("path", BAD)
def test_refused(path: str) -> None:
    with pytest.raises(PathError):
        paths.check_path(path)


@pytest.mark.parametrize(
    "names",
    [
        ("a.mp4", "A.MP4"),
        ("课件/x", "课件/X"),
        ("straße", "STRASSE"),
        ("É", "é"),
        ("a", "a"),
        ("a", "a/b"),
        ("A/b", "a"),
        ("a/b/c", "A/B"),
        ("K", "k"),
        ("ſ", "s"),
    ],
)
def test_twins(names: tuple[str, ...]) -> None:
    for order in (names, names[::-1]):
        with pytest.raises(PathError):
            paths.check_distinct(order)


def test_no_twins() -> None:
    paths.check_distinct(["a", "b/a", "b/c", "c/a", "视频", "ab"])


@settings(max_examples=300, derandomize=True, database=None, deadline=None)
@given(st.text("ab./\\\\:é视\u0301\ud800 \0NULcon1", max_size=12))
def test_any_text(path: str) -> None:
    try:
        assert paths.check_path(path) == path
    except PathError:
        return
    parts = path.split("/")
    assert ".." not in parts and "" not in parts and "." not in parts
    assert "\\" not in path and ":" not in path and "\0" not in path


def test_ids() -> None:
    subject = paths.subject_id("小学", "语文")
    collection = paths.collection_id("小学", "语文", "统编版", "三年级", "上册")
    lesson = paths.lesson_id(collection, "第六单元 祖国河山", "古诗三首")
    # what is written in a released library must never change
    assert (subject, collection, lesson) == (
        "61a01d7f",
        "61a01d7f-cb49a144",
        "61a01d7f-cb49a144-67bf1bd6",
    )
    assert collection.startswith(subject + "-") and lesson.startswith(collection + "-")
    for made in (subject, collection, lesson):
        assert paths.check_id(made) == made
    decomposed = paths.subject_id("é", "x")
    assert decomposed == paths.subject_id(unicodedata.normalize("NFD", "é"), "x")


@pytest.mark.parametrize(
    "bad", ["", "abc", "a" * 65, "ABCD", "a/b/c", "-abc", "abc-", "ab.cd", "语文语文", None, 7]
)
def test_what_is_no_id(bad: object) -> None:
    with pytest.raises(FormatError):
        paths.check_id(bad)


def test_ids_are_safe_names() -> None:
    assert re.fullmatch(r"[a-z0-9-]{4,64}", paths.lesson_id("61a01d7f-00000000", "单元", "课"))

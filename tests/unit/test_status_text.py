"""What `lessonbox status` prints: whole in Chinese, whole in English, and never a traceback's insides."""

from __future__ import annotations

import re
from typing import Any

import pytest

from appliance.lesson_status import lessons_text
from appliance.status_text import reason_text, status_text
from content_sync.adapters.http import HttpFetcher
from content_sync.core.reason import ENGLISH, SENTENCES
from content_sync.errors import NetworkError
from content_sync.terminal import chinese

HAN = re.compile(r"[\u4e00-\u9fff（），；：]")
STATUS: dict[str, Any] = {
    "box": "b-0",
    "county": "Q",
    "release": 3,
    "weeks_stale": 2,
    "issued": 1,
    "lessons": {"present": 1, "arriving": 1, "wanted": 1},
    "space": {"free": 10**9, "reserve": 10**8},
    "budget": {
        "rate": 20_000,
        "reason": "quota",
        "why": {"zh": "流量用完了", "en": "the quota is used up"},
        "metered": True,
        "day": {"used": 1, "most": 2},
        "month": {"used": 1, "most": None},
        "next": 1,
        "next_local": "22:00",
    },
    "reception": {
        "parcels": 9,
        "damaged": 2,
        "chunks": {"decoded": 1, "missing": 4, "spoilt": 0},
        "cycle": 3,
        "heard": 5,
        "of": 7,
        "passes": 1.2,
        "passes_needed": 2,
        "last": 1_790_000_000,
    },
    "sources": {"drop": {"seen": 9, "useful": 5, "foreign": 3, "unreadable": 1, "consumed": 4}},
    "received": {"files": 1, "bytes": 5},
    "outbox": {"unacknowledged": 2},
    "clock": {"trusted": False, "source": "system"},
    "problems": [
        {"code": "E-DROP", "subject": "/srv", "message": "接收文件夹读不到（it is gone）", "since": 1}
    ],
    "lesson_list": [
        {
            "id": "a",
            "title": "T",
            "state": "wanted",
            "complete": False,
            "size": 9,
            "have_bytes": 3,
            "code": "space",
            "facts": {"need": 2, "free": 1},
            "expected": {"from": 1_790_000_000, "to": 1_790_009_000},
            "reason": "空间",
        },
        {
            "id": "b",
            "title": "U",
            "state": "wanted",
            "complete": False,
            "size": 9,
            "have_bytes": 0,
            "code": None,
            "facts": {},
            "expected": None,
            "reason": "",
        },
    ],
}
LESSON = {
    "id": "a",
    "title": "T",
    "unit": "U",
    "state": "wanted",
    "complete": False,
    "size": 9,
    "have_bytes": 3,
    "arrived": None,
    "need": 4,
    "needed": "x",
    "code": "one-way",
    "facts": {},
    "reason": "等待",
    "expected": None,
    "wishes": 2,
    "repairing": False,
}


def test_english_holds_no_chinese_and_chinese_says_as_much() -> None:
    english, chinese_text = status_text(STATUS), status_text(STATUS, True)
    assert not HAN.search(english), HAN.findall(english)
    assert len(english.splitlines()) == len(chinese_text.splitlines()) == 14
    assert all(HAN.search(line) for line in chinese_text.splitlines())
    assert "E-DROP /srv: Nothing is lost" in english and "(it is gone)" in english
    assert "需 2 MB" in chinese_text and "about 2 more needed" in english and "约还要2轮" in chinese_text


def test_one_lesson_in_both() -> None:
    found = {"lessons": [LESSON], "clock": True}
    assert not HAN.search(lessons_text(found)) and "by satellite or stick" in lessons_text(found)
    assert "卫星或U盘" in lessons_text(found, True)


def test_every_reason_has_both_with_the_same_facts() -> None:
    assert SENTENCES.keys() == ENGLISH.keys()
    for code, text in SENTENCES.items():
        assert set(re.findall(r"%\((\w+)\)", text)) == set(re.findall(r"%\((\w+)\)", ENGLISH[code]))
    assert reason_text("queued", {"ahead": 3}, False) == "in the queue, 3 lessons before it"


def test_the_locale_decides() -> None:
    assert chinese({"LANG": "zh_CN.UTF-8"}) and not chinese({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"})
    assert not chinese({}) and not chinese({"LANG": "en_GB.UTF-8"})
    assert not chinese({"LANG": "zh_CN.UTF-8", "TERM": "linux"})


def test_a_county_that_is_down_is_said_in_few_words() -> None:
    with pytest.raises(NetworkError, match=r"^http://127\.0\.0\.1:1/x can't be reached: Connection refused$"):
        HttpFetcher(timeout=2).get("http://127.0.0.1:1/x", 10)

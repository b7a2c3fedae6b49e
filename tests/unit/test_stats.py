"""County statistics: known use in, the same figures out, in three forms."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import zipfile
from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from content_sync.errors import SettingError
from content_sync.formats.hashtree import FileId, Hasher
from content_sync.formats.lesson import Lesson, Resource, ResourceFile, dump_lesson
from county.config import CountyPaths
from county.library import BoxRow, LessonRow, Library, PackageRow, ReleaseRow
from county.publish.store import object_path
from county.receive.database import create
from county.stats.figures import compute, zone_of
from county.stats.output import as_csv, as_json, as_xlsx

SHANGHAI = ZoneInfo("Asia/Shanghai")
DAY = 1_794_931_200  # 2026-11-18 00:00 in Shanghai
LESSON = "aaaaaaaa-bbbbbbbb-cccccccc"


def lesson_json() -> bytes:
    file = ResourceFile("视频 望天门山.mp4", "main", FileId("1" * 64, 5))
    resource = Resource(
        id="r1", kind="video", step="look", title="=望天门山", media_type="video/mp4", files=(file,)
    )
    return dump_lesson(
        Lesson(
            id=LESSON, collection="aaaaaaaa-bbbbbbbb", stage="小学", subject="语文", edition="统编版",
            grade="三年级", volume="上册", unit="第六单元 祖国河山", unit_no=6, no=17, title="古诗三首",
            periods=3, resources=(resource,),
        )
    )  # fmt: skip


@pytest.fixture
def paths(tmp_path: Path) -> CountyPaths:
    found = CountyPaths(tmp_path)
    hasher = Hasher()
    hasher.update(lesson_json())
    file, _ = hasher.finish()
    stored = object_path(found.objects, file.root)
    stored.parent.mkdir(parents=True)
    stored.write_bytes(lesson_json())
    with Library.create(found.library_db) as library:
        library.put_package(
            PackageRow("f" * 64, LESSON, file.root, "x", 1, "0" * 64, 1, "0" * 64, 1, 1),
            [("lesson.json", file)],
        )
        row = LessonRow(
            LESSON,
            "aaaaaaaa-bbbbbbbb",
            "古诗三首",
            "小学",
            "语文",
            "统编版",
            "三年级",
            "上册",
            "第六单元 祖国河山",
            "f" * 64,
        )
        library.put_release(ReleaseRow(1, DAY, 1, 1, 5, 5), [row])
        for number, school in ((1, "石桥小学"), (2, "石桥小学"), (3, "上寨教学点")):
            code = "2133" if school == "石桥小学" else "2134"
            library.add_box(BoxRow(f"b-{number:016x}", code, school, "", ("*",), DAY))
    return found


def use(paths: CountyPaths, rows: list[tuple[Any, ...]]) -> None:
    """Rows: box number, board, lesson, resource, start, seconds, uncertainty, clock, flags."""
    create(paths.reports_db)
    with sqlite3.connect(paths.reports_db) as database:
        database.execute("INSERT INTO batch VALUES (1,'b-0000000000000001','s',1,'','',0,'http','','','')")
        database.execute("INSERT INTO batch VALUES (2,'b-0000000000000001','s',4,'','',0,'http','','','')")
        for number, (box, board, lesson, resource, start, seconds, uncertainty, clock, flags) in enumerate(
            rows
        ):
            database.execute(
                "INSERT INTO session VALUES (?,?,1,?,?,?,'video',?,?,?,?,NULL,'closed',?)",
                (
                    f"b-{box:016x}",
                    str(number),
                    board,
                    lesson,
                    resource,
                    start,
                    uncertainty,
                    clock,
                    seconds,
                    flags,
                ),
            )


KNOWN = [
    (1, "one", LESSON, "r1", DAY + 9 * 3600, 600, 2, "ntp", ""),
    (1, "one", LESSON, "r1", DAY + 86_399, 100, 2, "ntp", ""),
    (1, "two", LESSON, "r1", DAY, 60, 90_000, "system", ""),
    (2, "one", LESSON, "r9", DAY + 5, 61, 0, "none", ""),
    (2, "one", "gone-lesson", "r1", DAY + 5, 29, 0, "ntp", ""),
    (1, "one", LESSON, "r1", DAY - 1, 5000, 0, "ntp", ""),
    (1, "one", LESSON, "r1", DAY + 86_400, 7000, 0, "ntp", ""),
    (1, "one", LESSON, "r1", DAY + 10**8, 7000, 0, "ntp", "future"),
    (1, "one", LESSON, "r1", DAY + 7, 100_000, 0, "ntp", "long"),
]


def figures(
    paths: CountyPaths, first: date = date(2026, 11, 18), last: date = date(2026, 11, 18)
) -> dict[str, Any]:
    with Library.open(paths.library_db) as library:
        return compute(paths, library, "青石县", SHANGHAI, first, last, DAY)


def test_known_truth(paths: CountyPaths) -> None:
    use(paths, KNOWN)
    found = figures(paths)
    assert found["total"] == {
        "schools": 2, "schools_using": 1, "sessions": 5, "seconds": 850, "minutes": 14, "first": "2026-11-18",
        "last": "2026-11-18", "uncertain": 2, "uncertainty": 90_000,
    }  # fmt: skip
    assert [
        (s["school"], s["boxes"], s["boards"], s["lessons"], s["sessions"], s["first"])
        for s in found["schools"]
    ] == [
        ("石桥小学", 2, 3, 2, 5, "2026-11-18"),
        ("上寨教学点", 1, 0, 0, 0, None),
    ]
    rows = {(row["box"][-1], row["board"], row["lesson"], row["resource"]): row for row in found["rows"]}
    assert len(rows) == 4
    row = rows["1", "one", LESSON, "r1"]
    assert (row["sessions"], row["minutes"], row["subject"]) == (2, 12, "语文")
    assert (row["title"], row["resource_title"]) == ("古诗三首", "=望天门山")
    assert rows["2", "one", LESSON, "r9"]["resource_title"] == "r9"
    assert rows["2", "one", "gone-lesson", "r1"]["title"] == "gone-lesson"
    assert found["not_counted"] == {"future": 1, "long": 1}
    assert [(item["school"], item["batches"]) for item in found["missing"]] == [("石桥小学", [[2, 3]])]
    wider = figures(paths, date(2026, 11, 17), date(2026, 11, 19))
    assert wider["total"]["sessions"] == 7 and (wider["total"]["first"], wider["total"]["last"]) == (
        "2026-11-17",
        "2026-11-19",
    )


def test_before_any_report(paths: CountyPaths) -> None:
    found = figures(paths)
    assert found["rows"] == [] and found["total"]["sessions"] == 0 and len(found["schools"]) == 2
    assert not paths.reports_db.exists()


def test_wrong_days_and_zones(paths: CountyPaths) -> None:
    with pytest.raises(SettingError):
        figures(paths, date(2026, 11, 18), date(2026, 11, 17))
    for name in ("Asia/Nowhere", "../etc/passwd", ""):
        with pytest.raises(SettingError):
            zone_of(name)


def test_three_forms(paths: CountyPaths) -> None:
    use(paths, KNOWN)
    found = figures(paths)
    assert json.loads(as_json(found)) == found
    data = as_csv(found)
    assert data.startswith(b"\xef\xbb\xbf")
    table = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    assert sum(int(row["次数"]) for row in table) == 5 and table[0]["学校"] == "石桥小学"
    assert {row["资料"] for row in table} == {"'=望天门山", "r9", "r1"}
    assert {row["日期误差（小时）"] for row in table} == {"1", "25", "0"}
    with zipfile.ZipFile(io.BytesIO(as_xlsx(found))) as book:
        text = "".join(book.read(name).decode() for name in book.namelist() if name.endswith(".xml"))
    for word in ("石桥小学", "古诗三首", "明细", "说明", "还没有收到的报告：2份"):
        assert word in text
    assert "<f>" not in text

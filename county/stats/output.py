"""The figures as JSON, as CSV that Excel opens right, and as an Excel workbook."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

_KINDS = {
    "video": "视频",
    "recorded": "课堂实录",
    "courseware": "课件",
    "interactive": "互动课件",
    "plan": "教案",
    "quiz": "试题",
    "guide": "导学案",
    "audio": "音频",
    "picture": "图片",
    "other": "资料",
}
_USE = (
    ("sessions", "次数"),
    ("minutes", "分钟"),
    ("first", "最早日期"),
    ("last", "最近日期"),
    ("uncertain", "日期存疑次数"),
    ("uncertainty", "日期误差（小时）"),
)
_ROWS = (
    ("school_code", "学校代码"),
    ("school", "学校"),
    ("box", "课箱"),
    ("board", "白板"),
    ("stage", "学段"),
    ("subject", "学科"),
    ("edition", "版本"),
    ("grade", "年级"),
    ("volume", "册次"),
    ("unit", "单元"),
    ("title", "课"),
    ("resource_title", "资料"),
    ("kind", "类型"),
    *_USE,
)
_SCHOOLS = (
    ("school_code", "学校代码"),
    ("school", "学校"),
    ("boxes", "课箱数"),
    ("boards", "白板数"),
    ("lessons", "课数"),
    *_USE,
)
_TEACHERS = (
    ("school_code", "学校代码"),
    ("school", "学校"),
    ("box", "课箱"),
    ("teacher", "老师编号"),
    ("name", "姓名"),
    ("teach", "上课"),
    ("goal", "学期目标"),
    ("watch", "听课"),
    ("train", "研修"),
    ("minutes", "分钟"),
)
_WISHES = (
    ("stage", "学段"),
    ("subject", "学科"),
    ("edition", "版本"),
    ("grade", "年级"),
    ("volume", "册次"),
    ("unit", "单元"),
    ("title", "课"),
    ("schools", "学校数"),
    ("boards", "白板数"),
)
_OFFERS = (
    ("school_code", "学校代码"),
    ("school", "学校"),
    ("box", "课箱"),
    ("lesson", "编号"),
    ("title", "课"),
    ("kinds", "资料"),
    ("bytes", "字节"),
)
_DAMAGE = (
    ("school_code", "学校代码"),
    ("school", "学校"),
    ("box", "课箱"),
    ("files", "坏过的文件"),
    ("times", "次数"),
)
#: What a CSV may hold -> (its columns, their key in the figures, the sheet of a workbook).
TABLES = {
    "rows": (_ROWS, "rows", "明细"),
    "schools": (_SCHOOLS, "schools", "学校"),
    "teachers": (_TEACHERS, "teachers", "老师课时"),
    "wishes": (_WISHES, "wishes", "想要的课"),
    "offers": (_OFFERS, "offers", "本校资料"),
    "damage": (_DAMAGE, "damage", "存储损坏"),
}
_SHEETS = ("schools", "rows", "teachers", "wishes", "offers", "damage")


def as_json(figures: dict[str, Any]) -> bytes:
    """One object."""
    return json.dumps(figures, ensure_ascii=False, indent=1).encode() + b"\n"


def _cell(key: str, value: Any) -> str | int:
    """A value for people. Text that a spreadsheet would run as a formula gets an apostrophe before it."""
    if value is None:
        return ""
    if key == "kind":
        return _KINDS.get(value, "资料")
    if key == "kinds":
        return "，".join(f"{_KINDS.get(kind, '资料')}{number}" for kind, number in sorted(value.items()))
    if key == "uncertainty":
        return -(-int(value) // 3600)
    if isinstance(value, str):
        return "'" + value if value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
    return int(value)


def as_csv(figures: dict[str, Any], table: str = "rows") -> bytes:
    """One of TABLES, with Chinese headers; UTF-8 with BOM, so that Excel does not take it for GBK."""
    columns, where, _ = TABLES[table]
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    writer.writerow([title for _, title in columns])
    writer.writerows([_cell(key, row[key]) for key, _ in columns] for row in figures[where])
    return out.getvalue().encode("utf-8-sig")


def as_xlsx(figures: dict[str, Any]) -> bytes:
    """A workbook: schools, rows, classes, wishes, offers, damage, and a page that says what was counted."""
    import xlsxwriter

    out = io.BytesIO()
    book = xlsxwriter.Workbook(
        out, {"in_memory": True, "strings_to_formulas": False, "strings_to_urls": False}
    )
    head = book.add_format({"bold": True, "bottom": 1})
    for columns, where, name in (TABLES[table] for table in _SHEETS):
        rows = figures[where]
        sheet = book.add_worksheet(name)
        sheet.freeze_panes(1, 0)
        for column, (key, title) in enumerate(columns):
            sheet.write_string(0, column, title, head)
            wide = key in ("school", "unit", "title", "resource_title", "box", "board", "teacher")
            sheet.set_column(column, column, 22 if wide else 11)
            for line, row in enumerate(rows, 1):
                value = _cell(key, row[key])
                if isinstance(value, int):
                    sheet.write_number(line, column, value)
                else:
                    sheet.write_string(line, column, value)
        sheet.autofilter(0, 0, max(1, len(rows)), len(columns) - 1)
    notes = book.add_worksheet("说明")
    notes.set_column(0, 0, 80)
    for line, text in enumerate(_notes(figures)):
        notes.write_string(line, 0, text)
    book.close()
    return out.getvalue()


def _notes(figures: dict[str, Any]) -> list[str]:
    skipped, total = figures["not_counted"], figures["total"]
    missing = sum(last - first + 1 for item in figures["missing"] for first, last in item["batches"])
    return [
        f"{figures['county']}　{figures['from']} 至 {figures['to']}（含两端，时区 {figures['timezone']}）",
        f"共{total['schools']}所学校，{total['schools_using']}所用过；{total['sessions']}次，{total['minutes']}分钟。",
        f"日期存疑：误差超过12小时，或课箱当时没有可信时钟，共{total['uncertain']}次，按最可能的日期计入。",
        f"没有计入：日期在将来的{skipped['future']}次，一次超过一天的{skipped['long']}次。",
        f"还没有收到的报告：{missing}份。",
    ]


WRITERS = {"json": as_json, "csv": as_csv, "xlsx": as_xlsx}

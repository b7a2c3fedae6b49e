# ruff: noqa: E501 (rows and markup)
"""A small box made by hand: state.db and objects with lessons of every kind, for tests of the board.

Nothing here goes through the engine; rows follow content_sync/adapters/state.sql and lesson.json is the real format.
"""

from __future__ import annotations

import importlib.resources
import io
import json
import sqlite3
import struct
import subprocess
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from appliance.config import BoxPaths
from content_sync.formats.hashtree import FileId, identify
from content_sync.formats.lesson import KINDS, Lesson, Resource, ResourceFile, dump_lesson
from content_sync.formats.paths import collection_id, lesson_id

ITEM = """<?xml version="1.0" encoding="UTF-8"?>
<qti-assessment-item xmlns="http://www.imsglobal.org/xsd/imsqtiasi_v3p0" identifier="{id}" title="{id}" adaptive="false" time-dependent="false">
<qti-response-declaration identifier="RESPONSE" cardinality="{cardinality}" base-type="identifier"><qti-correct-response>{values}</qti-correct-response></qti-response-declaration>
<qti-item-body><qti-choice-interaction response-identifier="RESPONSE" max-choices="{most}"><qti-prompt>{stem}</qti-prompt>{options}</qti-choice-interaction></qti-item-body>
<qti-modal-feedback outcome-identifier="FEEDBACK" identifier="why" show-hide="show"><qti-content-body><p>{why}</p></qti-content-body></qti-modal-feedback>
</qti-assessment-item>"""
FILL = """<?xml version="1.0" encoding="UTF-8"?>
<qti-assessment-item xmlns="http://www.imsglobal.org/xsd/imsqtiasi_v3p0" identifier="i3" title="i3" adaptive="false" time-dependent="false">
<qti-response-declaration identifier="R1" cardinality="single" base-type="string"><qti-correct-response><qti-value>楚江</qti-value></qti-correct-response><qti-mapping><qti-map-entry map-key="x" mapped-value="1"/></qti-mapping></qti-response-declaration>
<qti-item-body><p>天门中断<qti-text-entry-interaction response-identifier="R1"/>开，碧水东流至此回。</p></qti-item-body>
</qti-assessment-item>"""
TEST = """<?xml version="1.0" encoding="UTF-8"?>
<qti-assessment-test xmlns="http://www.imsglobal.org/xsd/imsqtiasi_v3p0" identifier="t" title="课堂练习"><qti-test-part identifier="p" navigation-mode="nonlinear" submission-mode="individual"><qti-assessment-section identifier="s" title="s" visible="true">
{refs}</qti-assessment-section></qti-test-part></qti-assessment-test>"""
COURSEWARE = """<!DOCTYPE html><html lang="zh"><head><meta charset="utf-8"><title>笔顺</title><link rel="stylesheet" href="style.css"></head>
<body><h1 id="out">等待</h1><script src="run.js"></script></body></html>"""
COURSEWARE_JS = """var out = document.getElementById('out'), said = [];
function attempt(name, run) { try { said.push(name + '=' + run()); } catch (e) { said.push(name + '!'); } }
attempt('cookie', function () { return document.cookie; });
attempt('parent', function () { return window.parent.document.title; });
attempt('storage', function () { return window.localStorage.length; });
if (window.top !== window) attempt('top', function () { window.top.location = 'about:blank'; return 'went'; });
out.innerHTML = '运行了 ' + said.join(' ');"""


def png(width: int, height: int, rgb: tuple[int, int, int]) -> bytes:
    """A real PNG of one colour."""
    rows = (b"\0" + bytes(rgb) * width) * height

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def film(path: Path, seconds: int = 30) -> bytes:
    """A real H.264/AAC film with an index at its head, made by ffmpeg."""
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", "-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=10:duration={seconds}",
         "-f", "lavfi", "-i", f"sine=frequency=330:duration={seconds}", "-c:v", "libx264", "-preset", "ultrafast", "-g", "20",
         "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "64k", "-movflags", "+faststart", str(path)],
        check=True,
    )  # fmt: skip
    return path.read_bytes()


@dataclass
class SmallBox:
    """Builds the folder of a box. `add` lessons, then `write`."""

    data: Path
    lessons: list[tuple[Lesson, str, int]] = field(default_factory=list)

    @property
    def paths(self) -> BoxPaths:
        return BoxPaths(self.data)

    def store(self, content: bytes) -> FileId:
        """Put bytes into objects/."""
        identity, _ = identify(io.BytesIO(content))
        path = self.paths.objects / identity.root[:2] / identity.root
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return identity

    def resource(
        self,
        rid: str,
        kind: str,
        title: str,
        media: str,
        *files: tuple[str, str, bytes],
        seconds: int | None = None,
    ) -> Resource:
        """A resource of (path, role, bytes) files, stored."""
        listed = tuple(ResourceFile(path, role, self.store(content)) for path, role, content in files)
        return Resource(
            rid, kind, KINDS[kind][1], title, media, listed, "zh-Hans", "CC-BY-4.0", None, seconds
        )

    def lesson(
        self, place: str, unit: str, no: int | None, title: str, resources: tuple[Resource, ...] = (),
        state: str = "present", have: int = 0, unit_no: int | None = None, periods: int = 1,
    ) -> Lesson:  # fmt: skip
        """Add a lesson; `place` is `学段/学科/版本/年级/册`."""
        stage, subject, edition, grade, volume = place.split("/")
        collection = collection_id(stage, subject, edition, grade, volume)
        lesson = Lesson(
            lesson_id(collection, unit, title), collection, stage, subject, edition, grade, volume, unit, unit_no, no,
            title, periods, resources, "zh-Hans", "CC-BY-4.0", "县教研室",
        )  # fmt: skip
        self.lessons.append((lesson, state, have))
        return lesson

    def write(self, now: int, generation: int = 1) -> None:
        """Write box.toml and state.db."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.paths.config.write_text("threads = 16\nstreams = 4\n")
        self.paths.state_db.unlink(missing_ok=True)
        db = sqlite3.connect(self.paths.state_db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = OFF")
        db.executescript(
            importlib.resources.files("content_sync.adapters").joinpath("state.sql").read_text("utf-8")
        )
        meta = {"release": 3, "generation": generation, "county": "青川县", "box": "b-" + "0" * 16, "school_code": "001",
                "school_name": "溪口教学点", "issued": now - 86400}  # fmt: skip
        db.executemany("INSERT INTO meta VALUES (?, ?)", [(k, str(v)) for k, v in meta.items()])
        for position, (lesson, state, have) in enumerate(self.lessons):
            db.execute(
                "INSERT OR IGNORE INTO collection VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    lesson.collection,
                    lesson.stage,
                    lesson.subject,
                    lesson.edition,
                    lesson.grade,
                    lesson.volume,
                    position,
                ),
            )
            infohash = f"{position + 1:064x}"
            files = [(entry.path, entry.file) for r in lesson.resources for entry in r.files]
            present = state == "present"
            size = sum(f.length for _, f in files) or 10_000_000
            kinds = [r.kind for r in lesson.resources] or ["video", "courseware"]
            db.execute(
                "INSERT INTO lesson VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL)",
                (lesson.id, lesson.collection, position, lesson.unit, lesson.unit_no, lesson.no, lesson.title, lesson.periods,
                 json.dumps(sorted(set(kinds))), now - 9 * 86400, infohash, size, infohash if present else None,
                 dump_lesson(lesson).decode() if present else None, int(state == "arriving"), size if present else have,
                 "" if present else "等着县里的资料", now - 30 * 86400 if present else None),
            )  # fmt: skip
            for path, file in files:
                db.execute("INSERT INTO file VALUES (?, ?, ?, ?)", (infohash, path, file.root, file.length))
                if present:
                    db.execute("INSERT OR IGNORE INTO object VALUES (?, ?, ?)", (file.root, file.length, now))
        db.commit()
        db.close()


def quiz_files() -> list[tuple[str, str, bytes]]:
    """A QTI 3.0 quiz of three items: one choice, several choices, a gap."""

    def options(*texts: str) -> str:
        return "".join(
            f'<qti-simple-choice identifier="{"ABCD"[n]}">{text}</qti-simple-choice>'
            for n, text in enumerate(texts)
        )

    one = ITEM.format(
        id="i1", cardinality="single", most=1, values="<qti-value>B</qti-value>",
        stem="诗人看到“两岸青山相对出”，是因为（　　）。", why="“出”字写出了山的动。船往前走，山好像迎面走出来。",
        options=options("他站在岸边看山", "他坐船前行，山迎面而来", "他站在山顶往下看", "青山自己在移动"),
    )  # fmt: skip
    two = ITEM.format(
        id="i2", cardinality="multiple", most=0, values="<qti-value>B</qti-value><qti-value>C</qti-value>",
        stem="哪些字写出了江水的动？", why="流、回。", options=options("碧", "流", "回", "青"),
    )  # fmt: skip
    refs = "".join(f'<qti-assessment-item-ref identifier="i{n}" href="items/i{n}.xml"/>\n' for n in (1, 2, 3))
    return [
        ("试题 课堂练习/assessment.xml", "main", TEST.format(refs=refs).encode()),
        *(
            (f"试题 课堂练习/items/i{n}.xml", "part", text.encode())
            for n, text in ((1, one), (2, two), (3, FILL))
        ),
    ]


YUWEN = "小学/语文/统编版/三年级/上册"
SHUXUE = "小学/数学/人教版/三年级/上册"
YUWEN1 = "小学/语文/统编版/一年级/下册"


def sample(data: Path, now: int, video: bytes = b"not a film" * 30_000) -> tuple[SmallBox, Lesson]:
    """A box with one lesson of everything and a few others; and that lesson."""
    box = SmallBox(data)
    pages = [(f"课件/{n}.png", "page", png(320, 180, (40 * n, 90, 120))) for n in range(1, 6)]
    everything = (
        box.resource("r1", "video", "望天门山", "video/mp4", ("视频 望天门山.mp4", "main", video),
                     ("视频 望天门山.vtt", "subtitles", "WEBVTT\n\n00:00.000 --> 00:09.000\n天门中断楚江开\n".encode()), seconds=30),
        box.resource("r2", "courseware", "课件", "application/pdf", ("课件.pdf", "main", b"%PDF-1.4\n%%EOF\n" + b" " * 900),
                     ("课件.pptx", "original", b"PK\3\4" + b"\0" * 500), *pages),
        box.resource("r3", "interactive", "生字笔顺", "text/html", ("互动课件/index.html", "main", COURSEWARE.encode()),
                     ("互动课件/run.js", "part", COURSEWARE_JS.encode()), ("互动课件/style.css", "part", b"h1{color:#b0382b}")),
        box.resource("r4", "quiz", "课堂练习", "application/xml", *quiz_files()),
        box.resource("r5", "plan", "教案", "application/pdf", ("教案.pdf", "main", b"%PDF-1.4\n%plan\n%%EOF\n")),
        box.resource("r6", "audio", "朗读", "audio/mpeg", ("朗读.mp3", "main", b"ID3" + b"\0" * 3000), seconds=40),
        box.resource("r7", "picture", "天门山", "image/svg+xml", ("图片.svg", "main", b'<svg xmlns="http://www.w3.org/2000/svg"><script>1</script></svg>')),
        box.resource("r8", "other", "字帖", "application/octet-stream", ("字帖.swf", "main", b"FWS" + b"\0" * 300)),
    )  # fmt: skip
    main = box.lesson(YUWEN, "第六单元 祖国河山", 17, "古诗三首", everything, unit_no=6, periods=3)
    box.lesson(
        YUWEN,
        "第六单元 祖国河山",
        18,
        "富饶的西沙群岛",
        (box.resource("r1", "audio", "课文朗读", "audio/mpeg", ("朗读.mp3", "main", b"ID3 2")),),
        unit_no=6,
    )
    box.lesson(YUWEN, "第六单元 祖国河山", 19, "海滨小城", (), "arriving", 4_200_000, 6)
    box.lesson(YUWEN, "第七单元 我与自然", 21, "大自然的声音", (), "wanted", 0, 7)
    box.lesson(
        SHUXUE,
        "第六单元 多位数乘一位数",
        1,
        "笔算乘法",
        (box.resource("r1", "picture", "竖式", "image/png", ("图.png", "main", png(64, 64, (9, 9, 9)))),),
        unit_no=6,
    )
    box.lesson(
        YUWEN1,
        "第四单元",
        8,
        "静夜思",
        (box.resource("r1", "other", "<b>资料</b>", "text/plain", ("a.txt", "main", b"hello")),),
        unit_no=4,
    )
    box.write(now)
    return box, main

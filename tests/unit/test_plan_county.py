"""What the county sets for boxes: `county policy` and `county calendar`, until they stand signed."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile
from datetime import date
from pathlib import Path

import pytest
import xlsxwriter
from click.testing import CliRunner, Result
from hypothesis import given, settings
from hypothesis import strategies as st

from content_sync.errors import LessonBoxError, NotFoundError, SourceError, UsageError
from content_sync.formats import dsse
from content_sync.formats.collection import Collection, parse_collection
from content_sync.formats.envelope import MAX_ENVELOPE, Envelope, parse_envelope
from content_sync.formats.lesson import LIGHT
from content_sync.formats.policy import Deadline, Policy, Term, dump_policy, parse_policy
from county import setup
from county.cli import cli
from county.config import CountyPaths, load_settings
from county.library import Library
from county.publish.publish import publish
from county.publish.sheet import read_rows
from county.publish.tools import Tools
from county.wiring import build_services
from tests.unit.test_publish import Bar

LESSONS = (
    "小学/语文/统编版/三年级上册/第一单元 学校生活/1 大青树下的小学",
    "小学/语文/统编版/三年级上册/第一单元 学校生活/2 花的学校",
    "小学/语文/统编版/三年级上册/第二单元 金秋时节/4 古诗三首",
    "小学/语文/统编版/三年级下册/第一单元 春天/1 古诗三首",
    "小学/数学/人教版/三年级上册/第一单元 时、分、秒/1 秒的认识",
)


class County:
    """A small county and its commands."""

    def __init__(self, folder: Path, release: int, boxes: list[str]) -> None:
        self.paths, self.release, self.boxes = CountyPaths(folder), release, boxes

    @classmethod
    def make(cls, folder: Path) -> County:
        """A new one."""
        paths = CountyPaths(folder / "county")
        setup.init(paths, "青川县", ["http://county.test"], 1_800_000_000)
        for lesson in LESSONS:
            path = folder / "src" / lesson / "教案.txt"
            path.parent.mkdir(parents=True)
            path.write_text(lesson, "utf-8")
        options = load_settings(paths.data)
        tools = Tools(paths.work / "publish", path="")
        done = publish(paths, options, [folder / "src"], lambda: 1_800_000_000, Bar, tools=tools)
        boxes = [
            setup.enrol(paths, options, code, code, ("*",), folder / f"{number}.json", 5).box
            for number, code in enumerate(("1001", "1001", "1002"))
        ]
        return cls(paths.data, done.release, boxes)

    def run(self, *words: str) -> Result:
        return CliRunner().invoke(cli, [*words, "--data", str(self.paths.data)])

    def done(self, *words: str) -> dict[str, object]:
        result = self.run(*words, "--json")
        assert result.exit_code == 0, (result.output, result.exception)
        return json.loads(result.stdout)  # type: ignore[no-any-return]

    def refused(self, error: type[LessonBoxError], *words: str) -> None:
        assert isinstance(self.run(*words).exception, error)

    def envelope(self, box: str) -> Envelope:
        services = build_services(self.paths.data)
        try:
            data = services.envelopes.current(box, 1_800_000_100)
        finally:
            services.writer.close()
        return parse_envelope(dsse.parse_signed(data, dsse.ENVELOPE_TYPE, MAX_ENVELOPE).payload)

    def weeks(self) -> dict[str, int | None]:
        """Title and volume -> week, as signed."""
        found: dict[str, int | None] = {}
        for path in (self.paths.public / "targets" / "collections").iterdir():
            made: Collection = parse_collection(path.read_bytes())
            for entry in made.lessons:
                known = found.get(entry.title + made.volume)
                found[entry.title + made.volume] = entry.week if entry.week is not None else known
        return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> County:
    return County.make(tmp_path_factory.mktemp("made"))


@pytest.fixture
def county(made: County, tmp_path: Path) -> County:
    shutil.copytree(made.paths.data, tmp_path / "county")
    return County(tmp_path / "county", made.release, made.boxes)


def test_a_policy_reaches_the_envelopes_of_those_who_are_meant(county: County) -> None:
    first, second, third = county.boxes
    before = county.envelope(third)
    county.done(
        "policy", "--school", "1001", "--deadline", "花的学校=2027-01-16T08:00",
        "--pin", "小学/数学/人教版/三年级上册",
        "--reserve-mb", "2048", "--rendition", "视频=light", "--rendition", "recorded=none",
        "--term", "2026-09-01:20:上册", "--collection", "小学/语文", "--class-goal", "64",
    )  # fmt: skip
    for box in (first, second):
        found = county.envelope(box)
        assert found.policy.term == Term(date(2026, 9, 1), 20, "上册")
        assert found.policy.class_goal == 64
        assert found.policy.reserve == 2048 << 20 and found.collections != ("*",)
        assert found.policy.renditions == (("recorded", "none"), ("video", "light"))
        (deadline,) = found.policy.deadlines
        assert deadline.by == 1_800_057_600  # eight in the morning in Beijing
        assert len(found.policy.pins) == 1
    assert county.envelope(third) == before and before.policy == Policy()
    county.done(
        "policy", "--box", first, "--clear", "deadlines", "--clear", "reserve", "--clear", "class_goal",
        "--rendition", "视频=full",
    )  # fmt: skip
    cleared = county.envelope(first)
    assert cleared.policy.deadlines == () and cleared.policy.reserve is None
    assert cleared.policy.class_goal is None
    assert cleared.policy.renditions == (("recorded", "none"),)
    assert county.envelope(second).policy.deadlines
    shown = county.done("policy", "--all")["boxes"]
    assert isinstance(shown, list) and len(shown) == 3


def test_a_budget_from_a_file(county: County, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"budget": {"rate": 200_000}, "utc_offset": 360}))
    county.done("policy", "--all", "--file", str(path))
    found = county.envelope(county.boxes[2]).policy
    assert found.other == {"budget": {"rate": 200_000}} and found.utc_offset == 360
    path.write_text('{"budget": {"rate": "fast"}}')
    county.refused(LessonBoxError, "policy", "--all", "--file", str(path))
    assert county.envelope(county.boxes[0]).policy == found
    path.write_text('{"budget": null}')
    county.done("policy", "--all", "--file", str(path))
    assert not county.envelope(county.boxes[0]).policy.other


def test_what_is_no_policy(county: County) -> None:
    box = county.boxes[0]
    county.refused(UsageError, "policy")
    county.refused(UsageError, "policy", "--all", "--box", box)
    county.refused(NotFoundError, "policy", "--box", "b-none")
    county.refused(NotFoundError, "policy", "--school", "77")
    county.refused(
        UsageError, "policy", "--all", "--deadline", "古诗三首=2027-01-16T08:00"
    )  # two are called so
    county.refused(NotFoundError, "policy", "--all", "--deadline", "没有=2027-01-16T08:00")
    county.refused(UsageError, "policy", "--all", "--deadline", "花的学校=tomorrow")
    county.refused(UsageError, "policy", "--all", "--rendition", "video=tiny")
    county.refused(UsageError, "policy", "--all", "--term", "2026-09-01:20")
    county.refused(LessonBoxError, "policy", "--all", "--term", "2026-09-01:99:上册")
    assert county.envelope(box).policy == Policy()


TABLE = [
    ["三年级上学期教学进度", "", "", "", "", ""],
    ["周次", "学科", "年级册次", "单元", "课", "课时"],
    ["第1周", "语文", "三年级上册", "第一单元", "1 大青树下的小学", "2"],
    ["第二周", "", "", "", "花的学校、没有这一课", "2"],
    ["3-4", "语文", "三年级上册", "二", "", ""],
    ["", "", "", "", "", ""],
    ["5", "数学", "三年级上册", "时、分、秒", "1", ""],
    ["", "", "", "", "", "1"],
    ["第99周", "数学", "三年级上册", "", "1", ""],
]
WEEKS = {
    "大青树下的小学上册": 1, "花的学校上册": None, "古诗三首上册": 3, "古诗三首下册": None, "秒的认识上册": 5,
}  # fmt: skip


def as_csv(rows: list[list[str]]) -> str:
    return "".join(",".join(row) + "\r\n" for row in rows)


def as_xlsx(rows: list[list[str]]) -> bytes:
    stream = io.BytesIO()
    book = xlsxwriter.Workbook(stream)
    sheet = book.add_worksheet()
    for number, row in enumerate(rows):
        for column, text in enumerate(row):
            if text.isdecimal():
                sheet.write_number(number, column, int(text))
            else:
                sheet.write(number, column, text)
    book.close()
    return stream.getvalue()


@pytest.mark.parametrize("form", ["utf-8-sig", "gb18030", "xlsx"])
def test_a_calendar_is_signed_with_the_release(county: County, tmp_path: Path, form: str) -> None:
    path = tmp_path / f"进度.{form}"
    path.write_bytes(as_xlsx(TABLE) if form == "xlsx" else as_csv(TABLE).encode(form))
    made = county.done("calendar", str(path), "--allow-date")
    assert made["release"] == county.release + 1 and made["lessons"] == 3 and made["problems"] == 2
    assert county.weeks() == WEEKS
    # the next file takes the place of what it names, and of nothing else
    lesson = next(row.id for row in open_library(county) if row.title == "花的学校")
    path.write_text(f"周次,课程编号\n7,{lesson}\n", "utf-8")
    county.done("calendar", str(path), "--allow-date")
    with Library.open(county.paths.library_db) as library:
        assert sorted(library.weeks().values()) == [5, 7]
        assert library.weeks()[lesson] == 7


def open_library(county: County) -> list[object]:
    with Library.open(county.paths.library_db) as library:
        return library.lessons()  # type: ignore[return-value]


NO_CALENDARS = (
    "",
    "课\n大青树下的小学\n",
    "周次,课\n1,没有\n",
    "周次,科\n1,语文\n",
    "周次,年级册次,单元\n1,三年级上册,一\n",
)


def test_what_is_no_calendar_changes_nothing(county: County, tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for text in NO_CALENDARS:
        path.write_text(text, "utf-8")
        county.refused(SourceError, "calendar", str(path), "--allow-date")
    with Library.open(county.paths.library_db) as library:
        newest = library.newest_release()
        assert newest is not None and newest.number == county.release and not library.weeks()


def test_sheets_of_any_kind_are_read_or_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    good = as_xlsx(TABLE)
    for at in range(0, len(good), 97):
        path.write_bytes(good[:at])
        refused_or_read(path)
        path.write_bytes(good[:at] + b"\xff" + good[at + 1 :])
        refused_or_read(path)
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><worksheet>&b;</worksheet>'
    with zipfile.ZipFile(path, "w") as book:
        book.writestr("xl/worksheets/sheet1.xml", bomb)
    with pytest.raises(SourceError):
        read_rows(path)


def refused_or_read(path: Path) -> None:
    try:
        read_rows(path)
    except LessonBoxError as error:
        assert error.code


IDS = st.from_regex(r"[a-z0-9]{4,20}", fullmatch=True)
POLICIES = st.builds(
    Policy,
    deadlines=st.lists(st.builds(Deadline, IDS, st.integers(0, 4_000_000_000)), max_size=5).map(tuple),
    pins=st.lists(IDS, max_size=5).map(tuple),
    reserve=st.none() | st.integers(0, 1 << 20).map(lambda mb: mb << 20),
    renditions=st.dictionaries(st.sampled_from(["video", "audio"]), st.sampled_from(["light", "none"])).map(
        lambda made: tuple(sorted(made.items()))
    ),
    term=st.none()
    | st.builds(Term, st.dates(), st.integers(1, 60), st.sampled_from(["上册", "下册", "全一册"])),
    utc_offset=st.integers(-840, 840),
    class_goal=st.none() | st.integers(1, 1000),
    other=st.dictionaries(st.sampled_from(["budget", "timetable", "x"]), st.just({"a": 1})),
)


@given(POLICIES)
@settings(max_examples=60, deadline=None)
def test_a_policy_reads_back_as_it_was_written(policy: Policy) -> None:
    assert parse_policy(json.loads(json.dumps(dump_policy(policy)))) == policy


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3)
)


@given(
    st.dictionaries(
        st.sampled_from(
            ["deadlines", "pins", "reserve_mb", "renditions", "term", "utc_offset", "class_goal"]
        ),
        JSON | st.dictionaries(st.sampled_from(["start", "weeks", "volume", "lesson", "by", "video"]), JSON),
    )
)
@settings(max_examples=150, deadline=None)
def test_a_policy_is_read_or_refused(obj: dict[str, object]) -> None:
    try:
        parse_policy(obj)
    except LessonBoxError as error:
        assert error.code == "E-FORMAT"


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg")
def test_publishing_makes_light_renditions_where_they_are_much_smaller(tmp_path: Path) -> None:
    paths = CountyPaths(tmp_path / "county")
    setup.init(paths, "青川县", ["http://county.test"], 1_800_000_000)
    with paths.config.open("a") as stream:
        stream.write("light_kbit = 200\nmost_pages = 0\n")
    folder = tmp_path / "src" / LESSONS[0]
    folder.mkdir(parents=True)
    for name, video in (("视频 大.mp4", "-b:v 6000k -minrate 6000k"), ("视频 小.mp4", "-b:v 60k")):
        subprocess.run(
            ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration=4"]
            + ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", *video.split()]
            + ["-movflags", "+faststart", str(folder / name)],
            check=True,
        )
    options = load_settings(paths.data)
    for expected in (True, False):  # the second time everything is known
        bars = []

        def bar(what: str, total: int, unit: str, bars: list[str] = bars) -> Bar:
            bars.append(what)
            return Bar(what, total, unit)

        done = publish(paths, options, [tmp_path / "src"], lambda: 1_800_000_000, bar)
        assert not done.problems and ("light videos" in bars) == expected
    with Library.open(paths.library_db) as library:
        (row,) = library.lessons()
        files = library.package_files(row.infohash)
    assert {path for path in files if path.startswith(LIGHT)} == {"~light/视频 大.mp4"}
    light = paths.objects / files["~light/视频 大.mp4"].root[:2] / files["~light/视频 大.mp4"].root
    assert light.stat().st_size < 0.6 * files["视频 大.mp4"].length
    probed = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name,height,pix_fmt", "-of", "csv=p=0"]
        + [str(light)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    assert probed.stdout.strip() == "h264,480,yuv420p"

"""The board's pages and API through WSGI: what they say, set, refuse and record."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from werkzeug.test import Client

from appliance.usage.recorder import Event, check
from appliance.web.api import _stream
from appliance.web.app import Board, create_app
from appliance.web.content import SMALL
from appliance.web.search.index import Index, Indexer
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import DiskFullError, SetupError
from tests.box import SmallBox, sample

NOW = 1_795_000_000


class StoppedClock:
    """Always the same moment."""

    def monotonic(self) -> float:
        return 1000.0

    def wall(self) -> float:
        return float(NOW)

    def boot_id(self) -> str:
        return "boot"

    def source(self) -> str:
        return "ntp"


class Memory:
    """Records kept in a list, checked as the real recorder does; `fail` makes the disk full."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fail = False

    def record(self, events: Sequence[Event]) -> None:
        if self.fail:
            raise DiskFullError("no space")
        for event in events:
            check(event)
        self.events += events


class Small:
    """A small box and a browser on it."""

    def __init__(self, data: Path) -> None:
        self.box, self.main = sample(data, NOW)
        self.reader, self.records = StateReader(self.box.paths.state_db), Memory()
        self.problems: list[dict[str, Any]] = []
        Indexer(self.box.paths.search_db, self.reader).step()
        self.app = create_app(
            Board(
                self.box.paths.objects,
                self.reader,
                Index(self.box.paths.search_db),
                self.records,
                StoppedClock(),
                self.status,
                streams=2,
                courseware_port=8101,
            )
        )
        self.client = Client(self.app)

    def status(self) -> dict[str, Any]:
        return {
            "box": "b-1",
            "release": 3,
            "lessons": {"present": 4, "arriving": 1, "wanted": 1},
            "outbox": {"unacknowledged": 2},
            "clock": {"trusted": True, "source": "ntp"},
            "problems": self.problems,
        }

    def get(self, path: str, **more: Any) -> Any:
        return self.client.get(path, base_url="http://lesson.local", **({"buffered": True} | more))

    def post(self, body: Any, **headers: str) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post("/api/v1/events", data=data, headers=headers, base_url="http://lesson.local")

    def path(self, resource: str = "") -> str:
        return f"/lesson/{self.main.id}" + (f"/{resource}" if resource else "")

    def file(self, resource: str, role: str = "main") -> Any:
        found = next(r for r in self.main.resources if r.id == resource)
        return found.with_role(role)[0]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Small:
    return Small(tmp_path_factory.mktemp("shared"))


@pytest.fixture
def small(shared: Small) -> Small:
    """A new browser on a box that no test changes."""
    shared.client, shared.records.events, shared.records.fail = Client(shared.app), [], False
    shared.problems.clear()
    return shared


@pytest.fixture
def own(tmp_path: Path) -> Small:
    """A box that the test may harm."""
    return Small(tmp_path)


ALL = [
    "",
    "/browse",
    "/search",
    "/search?q=古诗",
    "/search?q=三年级&kind=video",
    "/new",
    "/status",
    "/nothing-here",
]


@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_page_in_both_languages(small: Small, language: str) -> None:
    paths = [*ALL, f"/subject/{small.main.collection[:8]}", f"/volume/{small.main.collection}", small.path()]
    paths += [small.path(f"r{n}") for n in range(1, 9)] + [
        small.path("r4") + "?q=2&a=1&pick=A",
        small.path("r4/print") + "?key",
        "/blackboard?rule=tian",
    ]
    small.get(f"/?lang={language}")
    for path in paths:
        answer = small.get(path or "/")
        assert answer.status_code == (404 if "nothing" in path else 200), path
        assert len(answer.data) < 24_000, path
        assert f'<html lang="{"zh-CN" if language == "zh" else "en"}">' in answer.text
        assert (
            'name="renderer" content="webkit"' in answer.text
            and answer.headers["X-UA-Compatible"] == "IE=edge"
        )
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy and "unsafe" not in policy
        assert "frame-src 'self' http://lesson.local:8101" in policy
        assert not re.search(r"\sstyle=|\son\w+=\"", answer.text), path
        if language == "en":
            chrome = re.sub(r"<(h\d|b|span|p|title|a)\b[^>]*>[^<]*</\1>", "", answer.text)
            left = re.findall(r"aria-label=\"[^\"]*[\u4e00-\u9fff][^\"]*\"", chrome)
            data = ("单元", "静夜思", *(resource.title for resource in small.main.resources))
            assert not [text for text in left if not any(word in text for word in data)], (path, left)


def test_home_weighs_little(small: Small) -> None:
    """Page, style sheets, script and icon: five requests, under 60 KB."""
    page = small.get("/").text
    wanted = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    weight = len(page.encode()) + sum(len(small.get(path).data) for path in wanted)
    assert len(wanted) <= 4 and weight < 60_000
    opened = small.get(small.path("r1")).text
    wanted = re.findall(r'(?:src|href)="(/static/[^"]+)"', opened)
    assert len(opened.encode()) + sum(len(small.get(path).data) for path in wanted) < 70_000


def test_titles_are_text(small: Small) -> None:
    lesson = next(lesson for lesson, _, _ in small.box.lessons if lesson.title == "静夜思")
    page = small.get(f"/lesson/{lesson.id}").text
    assert "<b>资料</b>" not in page and "&lt;b&gt;资料&lt;/b&gt;" in page
    hostile = '/search?q="><script>x</script>'
    assert "<script>x" not in small.get(hostile).text


def test_home_offers_lessons_by_grade_and_remembers(small: Small) -> None:
    page = small.get("/").text
    assert page.index("静夜思") < page.index("古诗三首") < page.index("笔算乘法")
    assert "接着上课" not in page
    small.get(small.path("r2"))
    page = small.get("/").text
    assert "接着上课" in page and "接着看" in page and f'{small.path("r2")}"' in page
    assert "上次" in small.get(f"/volume/{small.main.collection}").text


def test_states_are_shown(small: Small) -> None:
    page = small.get(f"/volume/{small.main.collection}").text
    assert "8份" in page and "正在到 42%" in page and "还没到" in page
    coming = next(lesson for lesson, state, _ in small.box.lessons if state == "arriving")
    assert "等着县里的资料" in small.get(f"/lesson/{coming.id}").text
    assert small.get(f"/lesson/{coming.id}/r1").status_code == 302
    assert small.get("/lesson/no-such-lesson").status_code == 404
    assert small.get(small.path("r99")).status_code == 404


def test_one_volume_opens_at_once(small: Small) -> None:
    maths = next(lesson for lesson, _, _ in small.box.lessons if lesson.subject == "数学").collection
    answer = small.get(f"/subject/{maths[:8]}")
    assert answer.status_code == 302 and answer.headers["Location"] == f"/volume/{maths}"
    assert small.get("/subject/00000000").status_code == 404


def test_cookie_names_the_board(small: Small) -> None:
    first = small.get("/").headers["Set-Cookie"]
    board = re.match(r"board=([0-9a-f]{16});", first)
    assert board and "HttpOnly" in first and "SameSite=Lax" in first and "Max-Age=316" in first
    assert "Set-Cookie" not in small.get("/").headers
    assert "Set-Cookie" not in Client(small.app).get("/api/v1/lessons").headers
    assert "lang=en" in small.get("/?lang=en").headers["Set-Cookie"]
    assert "Subjects" in small.get("/").text
    assert "Set-Cookie" not in small.get("/?lang=xx").headers


def test_opening_is_recorded_by_the_box(small: Small) -> None:
    page = small.get(small.path("r1")).text
    (event,) = small.records.events
    assert (event.lesson, event.resource, event.kind, event.type, event.origin) == (
        small.main.id,
        "r1",
        "video",
        "open",
        "server",
    )
    assert event.at is None and f'data-visit="{event.visit}"' in page and 'data-recorded="1"' in page
    small.get(small.path())  # the lesson's own page opens nothing
    assert len(small.records.events) == 1
    page = small.get(small.path("r2") + f"?page=3&v={event.visit}").text
    assert (
        small.records.events[1].type,
        small.records.events[1].position,
        small.records.events[1].visit,
    ) == ("ping", 3, event.visit)
    assert "第3页" in page


def test_a_page_opens_though_nothing_can_be_recorded(small: Small) -> None:
    small.records.fail = True
    answer = small.get(small.path("r1"))
    assert answer.status_code == 200 and 'data-recorded=""' in answer.text
    refused = small.post({"events": [event()]})
    assert (
        refused.status_code == 503
        and refused.json["error"]["code"] == "E-DISK-FULL"
        and refused.headers["Retry-After"]
    )


def event(**more: Any) -> dict[str, Any]:
    return {
        "lesson": "a-lesson",
        "resource": "r1",
        "visit": "0" * 16,
        "type": "play",
        "at": 12,
        "position": 3,
    } | more


def test_events(small: Small) -> None:
    small.get("/")
    sent = [
        event(lesson=small.main.id),
        event(lesson=small.main.id, type="close", position=None, at=99, more="ignored"),
    ]
    assert small.post({"events": sent}, Origin="http://lesson.local").status_code == 204
    one, two = small.records.events
    assert (one.kind, one.origin, one.at, one.position) == ("video", "page", 12, 3)
    assert (two.kind, two.type, two.position, two.at) == ("video", "close", None, 99)
    cookie = small.client.get_cookie("board", domain="lesson.local")
    assert cookie is not None and one.board == cookie.value == two.board
    nameless = Client(small.app)
    told = json.dumps({"events": [event(lesson=small.main.id)]})
    assert nameless.post("/api/v1/events", data=told).status_code == 204
    assert len(small.records.events) == 3
    assert re.fullmatch("[0-9a-f]{16}", small.records.events[-1].board)


def test_use_of_what_the_box_never_had_is_answered_and_not_recorded(own: Small) -> None:
    lesson = own.main.id
    invented = [event(), event(lesson=lesson, resource="r99"), event(lesson=lesson)]
    assert own.post({"events": invented}).status_code == 204
    assert [(one.lesson, one.resource) for one in own.records.events] == [(lesson, "r1")]
    with sqlite3.connect(own.box.paths.state_db) as db:
        db.execute("DELETE FROM lesson WHERE id = ?", (lesson,))
    assert own.reader.present_lesson(lesson) is None
    assert own.post({"events": [event(lesson=lesson, type="close")]}).status_code == 204
    assert [(one.kind, one.type) for one in own.records.events] == [("video", "play"), ("video", "close")]


def test_events_of_one_address_have_a_limit_that_forty_boards_do_not_meet(own: Small) -> None:
    turned = [event(lesson=own.main.id)] * 70
    assert [own.post({"events": turned}).status_code for _ in range(40)] == [204] * 40
    assert [own.post({"events": turned}).status_code for _ in range(4)] == [204, 204, 429, 429]
    assert len(own.records.events) == 42 * 70
    other = {"REMOTE_ADDR": "10.0.0.9"}
    answer = own.client.post("/api/v1/events", json={"events": turned}, environ_base=other)
    assert answer.status_code == 204
    for number in range(200):
        other["REMOTE_ADDR"] = f"10.0.1.{number}"
        own.client.post("/api/v1/events", json={"events": turned}, environ_base=other)
    assert 11_900 < len(own.records.events) <= 12_000


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"{}", b"\xff", b'{"events":{}}', b'{"events":[1]}', b'{"events":' + b"[" * 40_000]
    + [
        json.dumps({"events": [event(**wrong)]}).encode()
        for wrong in (
            {"at": 1.5},
            {"at": -1},
            {"at": True},
            {"visit": "x"},
            {"visit": 7},
            {"type": "steal"},
            {"lesson": ""},
            {"lesson": "x" * 300},
            {"position": 1 << 50},
            {"position": "3"},
            {"resource": None},
        )
    ]
    + [json.dumps({"events": [event()] * 501}).encode()[: 64 << 10]],
)
def test_wrong_events_are_refused_whole(small: Small, body: bytes) -> None:
    answer = small.post(body)
    assert answer.status_code == 400 and answer.json["error"]["code"] == "E-FORMAT"
    assert not small.records.events


def test_events_of_others_are_refused(small: Small) -> None:
    answer = small.post({"events": [event()]}, Origin="http://lesson.local:8101")
    assert answer.status_code == 403 and answer.json["error"]["code"] == "E-ORIGIN"
    assert small.post({"events": [event()]}, Origin="null").status_code == 403
    big = small.post(b" " * (64 << 10) + b"{}")
    assert big.status_code == 413 and big.json["error"]["code"] == "E-TOO-BIG"
    assert not small.records.events


def test_api(small: Small) -> None:
    assert small.get("/healthz").json == {"ok": True}
    lessons = small.get("/api/v1/lessons").json["lessons"]
    assert [lesson["state"] for lesson in lessons].count("present") == 4 and len(lessons) == 6
    first = lessons[0]
    assert {k: first[k] for k in ("stage", "subject", "edition", "grade", "volume", "unit")} == {
        "stage": "小学",
        "subject": "语文",
        "edition": "统编版",
        "grade": "三年级",
        "volume": "上册",
        "unit": "第六单元 祖国河山",
    }
    video = first["resources"][0]
    assert set(video) == {"id", "kind", "title", "media_type", "size", "root", "url"}
    assert small.get(video["url"]).status_code == 200
    assert len(small.get("/api/v1/lessons?state=wanted").json["lessons"]) == 1
    assert small.get("/api/v1/lessons?state=withdrawn").json == {"lessons": []}
    assert len(small.get("/api/v1/lessons?offset=1&limit=2").json["lessons"]) == 2
    assert small.get("/api/v1/lessons?limit=x").json["error"]["code"] == "E-FORMAT"
    assert small.get("/api/v1/search?q=西沙").json["lessons"][0]["title"] == "富饶的西沙群岛"
    listed = {lesson["id"]: lesson for lesson in small.get("/api/v1/lessons").json["lessons"]}
    found = small.get("/api/v1/search?q=年级").json["lessons"]
    assert len(found) == len(listed) and all(lesson == listed[lesson["id"]] for lesson in found)
    assert small.get("/api/v1/status").json["release"] == 3
    missing = small.get("/api/v1/nothing")
    assert missing.status_code == 404 and set(missing.json["error"]) == {"code", "message"}
    assert small.client.post("/api/v1/lessons").status_code == 405


@pytest.mark.parametrize("count", [0, 1, 49, 50, 51, 100, 149])
def test_a_long_answer_goes_out_in_pieces(count: int) -> None:
    pieces = list(_stream(f'{{"n":{n}}}' for n in range(count)))
    assert json.loads("".join(pieces)) == {"lessons": [{"n": n} for n in range(count)]}
    assert len(pieces) == count // 50 + 1


def test_status_page_says_problems_in_words(small: Small) -> None:
    assert "没有要处理的事" in small.get("/status").text
    small.problems += [{"code": "E-DISK-FULL", "subject": "", "message": "存放快满了", "since": 1}]
    page = small.get("/status").text
    assert "存放快满了" in page and "E-DISK-FULL" in page
    small.problems[0]["message"] = "存放快满了（9 bytes are short）"
    page = small.get("/status").text
    assert "<h3>存放快满了</h3>" in page and "E-DISK-FULL" in page
    assert "9 bytes are short" in small.get("/school/problems").text
    page = small.get("/status?lang=en").text
    assert "<h3>Free some space" in page and "存放快满了" not in page
    small.get("/status?lang=zh")  # the board remembers


def test_status_page_lists_what_lacks(small: Small) -> None:
    page = small.get("/status").text
    lacking = [row.title for state in ("arriving", "wanted") for row in small.reader.lessons(state=state)]
    assert len(lacking) >= 2 and all(title in page for title in lacking[:4])
    assert "还没到齐的" in page


def test_content(small: Small) -> None:
    video = small.file("r1")
    path = f"/content/{video.file.root}/{quote('视频.mp4')}"
    whole = small.get(path)
    assert whole.status_code == 200 and len(whole.data) == video.file.length
    assert whole.headers["ETag"] == f'"{video.file.root}"' and "immutable" in whole.headers["Cache-Control"]
    assert (
        whole.headers["X-Content-Type-Options"] == "nosniff" and whole.headers["Content-Type"] == "video/mp4"
    )
    part = small.get(path, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.data == whole.data[10:20]
    head = small.client.head(path)
    assert (
        head.status_code == 200 and int(head.headers["Content-Length"]) == video.file.length and not head.data
    )
    assert small.get(path, headers={"If-None-Match": f'"{video.file.root}"'}).status_code == 304
    assert small.get(path, headers={"Range": f"bytes={video.file.length}-"}).status_code == 416
    assert small.client.post(path).status_code == 405


def test_what_could_run_is_saved_instead(small: Small) -> None:
    for resource in ("r3", "r4", "r7", "r8"):
        entry = small.file(resource)
        answer = small.get(f"/content/{entry.file.root}/{quote(entry.path.rpartition('/')[2])}")
        assert (
            answer.headers["Content-Disposition"] == "attachment"
            and answer.headers["Content-Security-Policy"] == "sandbox"
        )
    pdf = small.file("r2")
    assert "Content-Disposition" not in small.get(f"/content/{pdf.file.root}/a.pdf").headers
    assert "Content-Disposition" in small.get(f"/content/{pdf.file.root}/a.html").headers


def test_only_files_of_present_lessons(own: Small) -> None:
    hidden = own.box.store(b"arriving, not verified")
    for root in (hidden.root, "0" * 64, "..", "x", own.file("r1").file.root.upper()):
        assert own.get(f"/content/{root}/a.mp4").status_code == 404
    assert own.get(f"/content/{own.file('r1').file.root}/a/b.mp4").status_code == 404
    assert own.get("/content/").status_code == 404
    db = sqlite3.connect(own.box.paths.state_db)
    db.execute("UPDATE lesson SET present = NULL, detail = NULL")
    db.commit()
    db.close()
    assert own.get(f"/content/{own.file('r1').file.root}/a.mp4").status_code == 404


def test_a_damaged_object_is_no_short_answer(own: Small) -> None:
    root = own.file("r1").file.root
    (own.box.paths.objects / root[:2] / root).write_bytes(b"short")
    answer = own.get(f"/content/{root}/a.mp4", headers={"Accept": "text/html"})
    assert answer.status_code == 500 and "出了点毛病" in answer.text
    (own.box.paths.objects / root[:2] / root).unlink()
    assert own.get(f"/content/{root}/a.mp4").status_code == 500


def test_streams_are_capped_and_pages_are_not(small: Small) -> None:
    path = f"/content/{small.file('r1').file.root}/a.mp4"
    assert small.file("r1").file.length > SMALL
    held = [small.get(path, buffered=False) for _ in range(2)]
    refused = small.get(path, headers={"Accept": "text/html"})
    assert refused.status_code == 503 and refused.headers["Retry-After"] and "正忙" in refused.text
    assert small.get(path).headers["Content-Type"].startswith("text/plain")
    small_file = small.file("r3")
    assert small.get(f"/content/{small_file.file.root}/a.html").status_code == 200
    assert small.get("/").status_code == 200
    for answer in held:
        answer.close()
    assert small.get(path).status_code == 200
    for header in ("If-None-Match", "Range"):  # an answer without a body gives its place back too
        for _ in range(5):
            small.get(
                path,
                headers={
                    header: f'"{small.file("r1").file.root}"' if header[0] == "I" else "bytes=99999999-"
                },
            )
            small.client.head(path)
    assert small.get(path).status_code == 200


def courseware(small: Small, path: str, port: str = "8101") -> Any:
    return Client(small.app).get(path, base_url=f"http://lesson.local:{port}")


def test_second_origin(small: Small) -> None:
    base = f"/c/{small.main.id}/r3/"
    entry = courseware(small, base + quote("互动课件/index.html"))
    assert entry.status_code == 200 and entry.headers["Content-Type"].startswith("text/html")
    policy = entry.headers["Content-Security-Policy"]
    assert policy.startswith("sandbox allow-scripts ") and "allow-same-origin" not in policy
    assert entry.headers["Access-Control-Allow-Origin"] == "*" and "Set-Cookie" not in entry.headers
    assert (
        courseware(small, base + quote("互动课件/run.js"))
        .headers["Content-Type"]
        .startswith("text/javascript")
    )
    for wrong in (
        "/",
        "/status",
        "/api/v1/status",
        "/healthz",
        "/static/board.css",
        base,
        base + "x",
        base + "../r1/a",
        f"/c/{small.main.id}/r1/" + quote("视频 望天门山.mp4"),
        f"/content/{small.file('r1').file.root}/a.mp4",
    ):
        assert courseware(small, wrong).status_code == 404, wrong
    assert courseware(small, base + quote("互动课件/index.html"), "80").status_code == 404
    page = small.get(small.path("r3")).text
    assert f'src="http://lesson.local:8101{base}' in page and 'sandbox="allow-scripts' in page


@pytest.mark.parametrize("host", ["10.0.0.7:8080", "lesson", "[fe80::1]:80", "lesson-2.local"])
def test_any_host_name(small: Small, host: str) -> None:
    page = Client(small.app).get(small.path("r3"), headers={"Host": host})
    assert page.status_code == 200
    name = re.sub(r":\d+$", "", host)
    assert f'src="http://{name}:8101/c/' in page.text
    assert f"frame-src 'self' http://{name}:8101" in page.headers["Content-Security-Policy"]


@pytest.mark.parametrize("host", ["a b", "x; script-src *", 'a"onload="', "a/b"])
def test_a_hostile_host_header_reaches_nothing(small: Small, host: str) -> None:
    answer = small.app  # raw: werkzeug's client would refuse to send it
    seen: dict[str, Any] = {}

    def start(status: str, headers: list[tuple[str, str]]) -> Callable[[bytes], None]:
        seen.update(status=status, headers=dict(headers))
        return lambda data: None

    environ = Client(small.app).get("/").request.environ | {"HTTP_HOST": host, "PATH_INFO": small.path("r3")}
    body = b"".join(answer(environ, start)).decode()
    assert host not in body and host not in seen["headers"].get("Content-Security-Policy", "")


def test_quiz_question_by_question(small: Small) -> None:
    page = small.get(small.path("r4")).text
    assert "第1题，共3题" in page and "opt kai yes" not in page and "为什么" not in page
    page = small.get(small.path("r4") + "?q=1&a=1&pick=C").text
    assert (
        page.count("opt kai yes") == 1
        and "picked" in page
        and "“出”字写出了山的动" in page
        and '<b class="ans">B</b>' in page
    )
    put_away = re.search(r'id="answer" [^>]*href="([^"]+)"', page)
    assert put_away is not None
    for path in (put_away[1].replace("&amp;", "&"), small.path("r4") + "?q=1&pick=A"):
        page = small.get(path).text  # the question stands as it did before
        assert "（&emsp;&emsp;）" in page and "picked" not in page and '<b class="ans">' not in page
    page = small.get(small.path("r4") + "?q=2&pick=AB").text
    assert '<b class="ans">' not in page and page.count("opt kai picked") == 2, "picked is not right"
    assert "楚江" in small.get(small.path("r4") + "?q=3&a=1").text
    assert "楚江" not in small.get(small.path("r4") + "?q=3").text
    assert "第3题" in small.get(small.path("r4") + "?q=99").text
    paper = small.get(small.path("r4/print")).text
    assert "他坐船前行" in paper and "答案（教师用）" not in paper
    assert "答案（教师用）" in small.get(small.path("r4/print") + "?key").text
    assert small.get(small.path("r1/print")).status_code == 404


def test_a_question_that_cannot_be_read_leaves_the_others(own: Small) -> None:
    files = {entry.path: entry.file.root for entry in own.main.resources[3].files}
    root = next(root for path, root in files.items() if path.endswith("i2.xml"))
    path = own.box.paths.objects / root[:2] / root
    whole = path.read_bytes()
    path.write_bytes(b"<!DOCTYPE a>")
    assert "第2题，共3题" in (page := own.get(own.path("r4") + "?q=2").text) and "读不出来" in page
    assert "他坐船前行" in own.get(own.path("r4") + "?q=1").text
    assert "读不出来" in own.get(own.path("r4/print")).text
    path.write_bytes(whole)
    assert "江水的动" in own.get(own.path("r4") + "?q=2").text, "it came back"
    assert own.get(own.path("r4") + "?q=2&pick=<script>&a=2").status_code == 200


def test_the_tools_are_fetched_when_wanted(small: Small) -> None:
    page = small.get(small.path("r2")).text
    assert 'data-kit-page="/kit"' in page and "kit-ink" not in page
    kit = small.get("/kit").text
    assert "kit-ink" in kit and "红笔" in kit and len(kit) < 10_000
    assert 'class="screen chalk chalk-plain"' in small.get("/blackboard?rule=%22%3Cb").text


def test_a_broken_quiz_can_still_be_downloaded(own: Small) -> None:
    entry = own.file("r4")
    (own.box.paths.objects / entry.file.root[:2] / entry.file.root).write_bytes(b"<!DOCTYPE a>")
    page = own.get(own.path("r4"))
    assert page.status_code == 200 and "下载" in page.text


def test_without_state_pages_say_busy(own: Small) -> None:
    own.box.paths.state_db.rename(own.box.paths.state_db.with_suffix(".away"))
    answer = own.get("/")
    assert answer.status_code == 503 and "正忙" in answer.text and answer.headers["Retry-After"]
    assert own.get("/healthz").json["error"]["code"] == "E-SETUP"
    assert own.get(f"/content/{'0' * 64}/a").status_code == 503


def test_state_that_goes_between_two_reads_is_busy_too(own: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when sync puts a damaged one aside."""
    known = own.reader._identity
    for path in ("/api/v1/lessons", "/school", "/"):
        for last in range(60):
            reads = iter(range(last))

            def identity() -> Any:
                if next(reads, None) is None:  # noqa: B023
                    raise SetupError("state.db is not there")
                return known()

            monkeypatch.setattr(own.reader, "_identity", identity)
            answer = own.get(path)
            if answer.status_code == 200:
                break
            assert answer.status_code == 503 and answer.headers["Retry-After"], f"{path} after {last}"
        assert answer.status_code == 200 and last > 1
    monkeypatch.undo()

    def gone(where: str) -> None:
        own.box.paths.state_db.rename(own.box.paths.state_db.with_suffix(".away"))
        raise sqlite3.OperationalError("unable to open database file")

    own.reader.close()
    monkeypatch.setattr(own.reader, "_opened", gone)
    assert own.get("/school").status_code == 503


def test_an_empty_box_is_calm(tmp_path: Path) -> None:
    box = SmallBox(tmp_path)
    box.write(NOW)
    reader = StateReader(box.paths.state_db)
    Indexer(box.paths.search_db, reader).step()
    board = Board(box.paths.objects, reader, Index(box.paths.search_db), Memory(), StoppedClock(), dict)
    client = Client(create_app(board))
    assert "课箱里还没有课" in client.get("/").text
    assert client.get("/browse").status_code == 200
    assert "没有找到" in client.get("/search?q=数学").text

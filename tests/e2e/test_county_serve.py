"""A real `county serve`: what boxes fetch from it, by seeder and by web seed alone; its process tree."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import psutil
import pytest

from content_sync.adapters.keys import BoxKey
from content_sync.adapters.libtorrent.session import lt, make_session
from content_sync.adapters.tuf import Trust
from content_sync.formats import dsse, torrent
from content_sync.formats.enrolment import claim_proof
from content_sync.formats.report import FIRST_PREV, Batch, UsageSession, dump_batch, payload_hash
from county.config import CountyPaths
from county.library import Library
from county.publish.store import object_path
from county.serve import listen_on

ROOT = Path(__file__).resolve().parents[2]
LESSON = "小学/语文/统编版/三年级上册/第六单元 祖国河山/17 古诗三首"
Wait = Callable[..., None]


@dataclass
class County:
    """A served county."""

    data: Path
    port: int
    seeder_port: int
    process: subprocess.Popen[str] | None = None
    lines: list[str] = field(default_factory=list)

    @property
    def paths(self) -> CountyPaths:
        return CountyPaths(self.data)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A county command that ends."""
        command = [sys.executable, "-m", "county", *words, "--data", str(self.data)]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=120)

    def start(self) -> None:
        """Serve, until it says that it answers."""
        command = [sys.executable, "-m", "county", "serve", "--listen", f"127.0.0.1:{self.port}"]
        self.process = subprocess.Popen(
            [*command, "--data", str(self.data)], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert f"http://127.0.0.1:{self.port}/" in line, line

    def stop(self) -> float:
        """End it with SIGTERM; seconds that it took."""
        assert self.process is not None
        began = time.monotonic()
        self.process.terminate()
        assert self.process.wait(30) == 0
        return time.monotonic() - began

    def get(
        self, path: str, method: str = "GET", body: bytes | None = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request(
            method, path, body, {name.replace("_", "-"): value for name, value in headers.items()}
        )
        answer = connection.getresponse()
        found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
        connection.close()
        return found

    def figures(self) -> dict[str, object]:
        try:
            found: dict[str, object] = json.loads((self.paths.work / "seeder.json").read_text())
            return found
        except (OSError, ValueError):
            return {}

    def torrents(self) -> list[torrent.Torrent]:
        packages = self.paths.public / "targets" / "packages"
        with Library.open(self.paths.library_db) as library:
            rows = [library.package(row.infohash) for row in library.lessons()]
        return [
            torrent.parse((packages / f"{row.torrent_sha256}.{row.infohash}.torrent").read_bytes())
            for row in rows
            if row is not None
        ]


def write_lesson(source: Path, seed: int) -> None:
    folder = source / LESSON
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    (folder / "图片 望天门山 #1+%.png").write_bytes(chance.randbytes(1_500_000))
    (folder / "音频 朗读.mp3").write_bytes(chance.randbytes(70_001))


@pytest.fixture(scope="module")
def county(tmp_path_factory: pytest.TempPathFactory) -> Iterator[County]:
    folder = tmp_path_factory.mktemp("county")
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0)), two.bind(("127.0.0.1", 0))
        found = County(folder / "data", one.getsockname()[1], two.getsockname()[1])
    found.run("init", "--name", "青石县", "--url", f"http://127.0.0.1:{found.port}")
    with (found.data / "county.toml").open("a") as config:
        config.write(f"seeder_port = {found.seeder_port}\nannounce_seconds = 10\n")
    write_lesson(folder / "source", 1)
    found.run("publish", str(folder / "source"))
    found.start()
    try:
        yield found
    finally:
        if found.process is not None and found.process.poll() is None:
            found.stop()


def fetch(made: torrent.Torrent, folder: Path, trackers: list[str], seeds: list[str], wait: Wait) -> None:
    """Download a package with libtorrent (web seed: a file at a time, see libtorrent/session.py)."""
    session = make_session(0, lsd=False)
    params = lt.load_torrent_buffer(made.data)
    params.save_path, params.trackers, params.url_seeds = str(folder), trackers, seeds
    params.flags = lt.torrent_flags.disable_lsd | lt.torrent_flags.disable_dht | lt.torrent_flags.disable_pex
    params.file_priorities = [0 if seeds else 4] * (2 * len(made.files))
    handle = session.add_torrent(params)
    for n, entry in enumerate(made.files):
        index = 2 * n  # every second file of libtorrent's list is padding
        assert handle.torrent_file().layout().file_path(index) == f"{made.name}/{entry.path}"
        handle.file_priority(index, 4)
        wait(lambda i=index, e=entry: handle.file_progress()[i] == e.file.length, 60, entry.path)
    handle.flush_cache()
    wait(
        lambda: any(isinstance(alert, lt.cache_flushed_alert) for alert in session.pop_alerts()), 30, "flush"
    )
    session.remove_torrent(handle)


def same_bytes(county: County, made: torrent.Torrent, folder: Path) -> None:
    for entry in made.files:
        stored = object_path(county.paths.objects, entry.file.root).read_bytes()
        assert (folder / made.name / entry.path).read_bytes() == stored, entry.path


def fingerprint(county: County) -> list[tuple[str, int, int]]:
    """Names, times and modes of all objects."""
    files = sorted(path for path in county.paths.objects.rglob("*") if path.is_file())
    return [(path.name, path.stat().st_mtime_ns, path.stat().st_mode & 0o777) for path in files]


def test_by_tracker_and_seeder(county: County, tmp_path: Path, wait_until: Wait) -> None:
    (made,) = county.torrents()
    wait_until(lambda: county.figures().get("torrents") == 0, 30, "the seeder runs and has loaded nothing")
    before = fingerprint(county)
    fetch(made, tmp_path, [f"http://127.0.0.1:{county.port}/announce"], [], wait_until)
    same_bytes(county, made, tmp_path)
    assert fingerprint(county) == before and {mode for _, _, mode in before} == {0o444}
    wait_until(lambda: int(str(county.figures()["uploaded"])) >= made.size, 30, "figures of the seeder")
    assert county.figures()["problems"] == []
    assert not list((county.paths.work / "seeder").iterdir())


def test_by_web_seed_alone(county: County, tmp_path: Path, wait_until: Wait) -> None:
    (made,) = county.torrents()
    base = f"http://127.0.0.1:{county.port}/seed/{made.infohash}/"
    fetch(made, tmp_path, [], [base], wait_until)
    same_bytes(county, made, tmp_path)


def test_web_seed_answers(county: County) -> None:
    (made,) = county.torrents()
    entry = next(entry for entry in made.files if entry.path.startswith("图片"))
    stored = object_path(county.paths.objects, entry.file.root).read_bytes()
    path = f"/seed/{made.infohash}/{quote(made.name)}/{quote(entry.path)}"
    status, headers, body = county.get(path, Range="bytes=100000-116383")
    assert (status, body) == (206, stored[100000:116384])
    assert headers["etag"] == f'"{entry.file.root}"' and "immutable" in headers["cache-control"]
    status, headers, body = county.get(path, "HEAD")
    assert (status, headers["content-length"], body) == (200, str(len(stored)), b"")
    assert county.get(path, Range="bytes=0-1,5-6")[2] == stored
    assert county.get(path, Range=f"bytes={len(stored)}-")[0] == 416
    for wrong in (
        path + "x",
        path.replace(made.infohash, "0" * 64),
        f"/seed/{made.infohash}/{made.name}/../../county.toml",
    ):
        status, _, body = county.get(wrong)
        assert status == 404 and json.loads(body)["error"]["code"] == "E-NOT-FOUND"


def released(county: County) -> Trust:
    """The release as a box verifies it."""

    def metadata(name: str) -> bytes:
        status, headers, body = county.get(f"/metadata/{name}")
        assert status == 200, name
        assert ("immutable" in headers["cache-control"]) == (name != "timestamp.json")
        assert county.get(f"/metadata/{name}", If_None_Match=headers["etag"])[0] == 304
        return body

    trust = Trust.from_root(metadata("1.root.json"))
    trust.update_timestamp(metadata("timestamp.json"))
    trust.update_snapshot(metadata(trust.snapshot_ref().path))
    trust.update_targets(metadata(trust.targets_ref().path))
    return trust


def test_metadata_is_what_a_box_verifies(county: County) -> None:
    assert released(county).complete
    for path in (
        "/metadata/../keys/web.secret", "/metadata/%2e%2e/keys/web.secret", "/metadata//etc/passwd",
        "/metadata/", "/targets/", "/metadata/2.root.json", "/targets/..%2f..%2fcounty.toml",
        "/metadata/.x.new", "/metadata/%00",
    ):  # fmt: skip
        status, _, body = county.get(path)
        assert status == 404 and json.loads(body)["error"]["code"] == "E-NOT-FOUND", path


def test_announce(county: County) -> None:
    (made,) = county.torrents()
    known = bytes.fromhex(made.infohash)[:20]

    def announce(info_hash: bytes, **more: object) -> dict[bytes, object]:
        query = urlencode(
            {"info_hash": info_hash, "peer_id": b"-XX0000-abcdefghijkl", "port": 7001, "left": 5, **more}
        )
        status, _, body = county.get(f"/announce?{query}")
        assert status == 200
        found: dict[bytes, object] = torrent.bdecode(body)
        return found

    answer = announce(known, ip="203.0.113.9")
    seeder = bytes([127, 0, 0, 1]) + county.seeder_port.to_bytes(2, "big")
    peers = answer[b"peers"]
    assert isinstance(peers, bytes) and peers[:6] == seeder and answer[b"interval"] == 10
    other = announce(known, peer_id=b"-XX0000-bbbbbbbbbbbb", port=7002)[b"peers"]
    assert isinstance(other, bytes) and bytes([127, 0, 0, 1]) + (7001).to_bytes(2, "big") in other
    assert announce(known, event="stopped")[b"peers"] == b""
    assert b"failure reason" in announce(b"\0" * 20)
    assert b"failure reason" in torrent.bdecode(county.get("/announce?info_hash=%zz")[2])


def session_of(number: int, start: int) -> UsageSession:
    return UsageSession(
        f"{number:016x}",
        "b" * 16,
        "lesson",
        "r1",
        "video",
        start,
        2,
        "ntp",
        540,
        512,
        "closed",
        "boot",
        number,
    )


def test_report_then_its_acknowledgement(county: County, tmp_path: Path) -> None:
    made = json.loads(
        county.run(
            "enrol",
            "--school-code",
            "2133",
            "--name",
            "石桥小学",
            "--out",
            str(tmp_path / "e.json"),
            "--json",
        ).stdout
    )
    claim = json.loads((tmp_path / "e.json").read_text())["claim"]
    box, key = made["box"], BoxKey.make(tmp_path / "box.pem")
    trust = released(county)

    def envelope() -> tuple[int, object, bool]:
        status, _, body = county.get(f"/metadata/envelopes/{box}.json")
        assert status == 200
        found = trust.verify_envelope(body, box, 0)
        return found.version, found.ack, found.enrolled

    first = envelope()
    assert first[1:] == (None, False) and envelope() == first
    proof = claim_proof(claim, box, key.public_hex)
    payload = dump_batch(
        Batch(
            box,
            "a" * 16,
            1,
            FIRST_PREV,
            "0.1.0",
            1,
            (session_of(1, int(time.time())),),
            key.public_hex,
            proof,
        )
    )
    body = key.sign(dsse.REPORT_TYPE, payload)
    for _ in range(2):
        status, _, answer = county.get("/api/v1/reports", "POST", body)
        assert status == 200 and json.loads(answer) == {
            "box": box,
            "stream": "a" * 16,
            "seq": 1,
            "stored": True,
        }
    second = key.sign(
        dsse.REPORT_TYPE, dump_batch(Batch(box, "a" * 16, 3, payload_hash(payload), "0.1.0", 1, ()))
    )
    assert county.get("/api/v1/reports", "POST", gzip.compress(second), Content_Encoding="gzip")[0] == 200
    version, ack, enrolled = envelope()
    assert version > first[0] and enrolled
    assert (ack.through, ack.also) == (1, ((3, 3),))  # type: ignore[attr-defined]
    with sqlite3.connect(county.paths.reports_db) as database:
        assert database.execute("SELECT count(*) FROM session WHERE box = ?", (box,)).fetchone() == (1,)

    def refused(body: bytes, **headers: str) -> tuple[int, str]:
        status, _, answer = county.get("/api/v1/reports", "POST", body, **headers)
        return status, json.loads(answer)["error"]["code"]

    assert refused(b"{}") == (400, "E-FORMAT")
    assert refused(b"x" * 2_000_000) == (413, "E-TOO-BIG")
    assert refused(gzip.compress(bytes(50_000_000)), Content_Encoding="gzip") == (413, "E-TOO-BIG")
    assert refused(b"no gzip", Content_Encoding="gzip") == (400, "E-FORMAT")
    other = BoxKey.make(tmp_path / "other.pem")
    assert refused(
        other.sign(dsse.REPORT_TYPE, dump_batch(Batch(box, "a" * 16, 4, FIRST_PREV, "0", 1, ())))
    ) == (401, "E-SIGNATURE")
    assert refused(
        key.sign(dsse.REPORT_TYPE, dump_batch(Batch(box, "a" * 16, 3, FIRST_PREV, "9", 1, ())))
    ) == (409, "E-SEQ-CONFLICT")
    assert county.get("/metadata/envelopes/b-0000000000000000.json")[0] == 404
    assert county.get("/api/v1/reports")[0] == 405


def test_a_courier_while_the_server_runs_then_the_figures(county: County, tmp_path: Path) -> None:
    made = county.run(
        *("enrol", "--school-code", "2134", "--name", "上寨教学点"),
        *("--out", str(tmp_path / "e.json"), "--json"),
    )
    box, key = json.loads(made.stdout)["box"], BoxKey.make(tmp_path / "box.pem")
    proof = claim_proof(json.loads((tmp_path / "e.json").read_text())["claim"], box, key.public_hex)
    day = datetime(2026, 11, 18, 9, tzinfo=ZoneInfo("Asia/Shanghai"))
    bodies = []
    for seq in (1, 2):
        uses = (session_of(10 + seq, int(day.timestamp())),)
        batch = Batch(box, "c" * 16, seq, FIRST_PREV, "0.1.0", 1, uses, key.public_hex, proof)
        bodies.append(key.sign(dsse.REPORT_TYPE, dump_batch(batch)))
    assert county.get("/api/v1/reports", "POST", bodies[1])[0] == 200
    stick = tmp_path / "stick.json"
    stick.write_bytes(b"\n".join(bodies))
    done = json.loads(county.run("reports", "import", str(stick), "--json").stdout)
    back = tmp_path / f"{box}.envelope.json"
    assert done == {"stored": 1, "repeated": 1, "refused": 0, "envelopes": [str(back)]}
    carried = released(county).verify_envelope(back.read_bytes(), box, 0)
    assert carried.ack is not None and carried.ack.through == 2
    # The server gives the very same envelope: one version, one content.
    assert county.get(f"/metadata/envelopes/{box}.json")[2] == back.read_bytes()

    days = ("--from", "2026-11-18", "--to", "2026-11-18")
    found = json.loads(county.run("stats", *days).stdout)
    (row,) = (row for row in found["rows"] if row["box"] == box)
    assert (row["school"], row["board"], row["sessions"], row["minutes"]) == ("上寨教学点", "b" * 16, 2, 18)
    county.run("stats", *days, "--format", "xlsx", "--out", str(tmp_path / "stats.xlsx"))
    assert (tmp_path / "stats.xlsx").read_bytes()[:2] == b"PK"
    assert county.run("stats", *days, "--format", "csv").stdout.startswith("\ufeff学校代码,")


def test_a_new_release_is_seeded_and_a_withdrawn_package_let_go(
    county: County, tmp_path: Path, wait_until: Wait
) -> None:
    (old,) = county.torrents()
    source = county.data.parent / "source"
    write_lesson(source, 2)

    def served(made: torrent.Torrent) -> bool:
        session = make_session(0, lsd=False)
        params = lt.load_torrent_buffer(made.data)
        params.save_path = str(tmp_path)
        params.flags = lt.torrent_flags.disable_lsd
        handle = session.add_torrent(params)
        handle.connect_peer(("127.0.0.1", county.seeder_port))
        deadline = time.monotonic() + 4
        while time.monotonic() < deadline:
            if handle.status().total_payload_download:
                return True
            session.wait_for_alert(100)
            session.pop_alerts()
        return False

    assert served(old)
    county.run("publish", str(source))
    (new,) = county.torrents()
    assert new.infohash != old.infohash
    wait_until(lambda: served(new), 60, "the new package is seeded")
    assert not served(old)
    assert county.figures()["torrents"] == 1
    # A box in the middle of the old package still completes it from the web seed.
    assert county.get(f"/seed/{old.infohash}/{quote(old.name)}/lesson.json")[0] == 200


def test_clients_that_stand_still_or_talk_nonsense_harm_nobody(county: County) -> None:
    begun = b"POST /api/v1/reports HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"
    held = []
    try:
        for number in range(80):  # there are 64 threads
            held.append(socket.create_connection(("127.0.0.1", county.port)))
            held[-1].sendall(begun if number % 2 else b"GET / HT")
        assert county.get("/healthz")[0] == 200
        held[1].settimeout(30)
        assert held[1].recv(12) == b"HTTP/1.1 408"  # which a box tries again
    finally:
        for client in held:
            client.close()
    assert county.get("/metadata/" + "9" * 300 + ".root.json")[0] == 404
    with socket.create_connection(("127.0.0.1", county.port), 30) as client:
        client.sendall(
            b"POST /api/v1/reports HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n"
        )
        assert client.recv(12) == b"HTTP/1.1 400"


def test_login(county: County) -> None:
    county.run("passwd", "li", "--password", "correct horse")
    status, headers, page = county.get("/")
    assert status == 200 and "没有消息" not in page.decode()
    cookie = headers["set-cookie"].split(";")[0]
    assert "HttpOnly" in headers["set-cookie"] and "SameSite=Lax" in headers["set-cookie"]
    token = re.search(r'name="token" value="([0-9a-f]+)"', page.decode())
    assert token is not None

    def login(password: str, token: str) -> tuple[int, dict[str, str], bytes]:
        form = urlencode({"name": "li", "password": password, "token": token}).encode()
        return county.get(
            "/login", "POST", form, Cookie=cookie, Content_Type="application/x-www-form-urlencoded"
        )

    assert login("correct horse", "0" * 32)[0] == 400
    assert login("wrong", token[1])[0] == 403
    status, headers, _ = login("correct horse", token[1])
    assert status == 303 and headers["location"] == "/"
    status, _, page = county.get("/", Cookie=headers["set-cookie"].split(";")[0])
    text = page.decode()
    assert status == 200 and "石桥小学" in text and "个课包" in text and "<script" not in text
    assert len(page) < 60_000
    county.run("passwd", "li", "--password", "another")
    assert "登录" in county.get("/", Cookie=headers["set-cookie"].split(";")[0])[2].decode()
    for _ in range(5):
        assert login("wrong", token[1])[0] == 403
    status, headers, _ = login("another", token[1])
    assert status == 429 and int(headers["retry-after"]) > 0
    assert county.get("/healthz")[0] == 200


def test_one_server_a_folder_and_one_a_port(county: County) -> None:
    for listen, code, exit_code in (
        (f"127.0.0.1:{county.port}", "E-BUSY", 1),
        ("127.0.0.1:0", "E-BUSY", 1),
        ("nonsense", "E-USAGE", 2),
    ):
        command = [sys.executable, "-m", "county", "serve", "--listen", listen, "--data", str(county.data)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert done.returncode == exit_code and done.stderr.startswith(f"error {code}:"), done.stderr
        assert done.stderr.count("\n") == 1


def family(county: County) -> list[psutil.Process]:
    assert county.process is not None
    return psutil.Process(county.process.pid).children(recursive=True)


def test_dead_children_come_back(county: County, wait_until: Wait) -> None:
    wait_until(lambda: len(family(county)) == 3, 30, "web, its worker, seeder")
    killed = family(county)
    for process in killed:
        process.kill()
    psutil.wait_procs(killed, timeout=30)
    # The parent holds the socket: a box that knocks now waits, it is not refused.
    assert county.get("/healthz")[0] == 200
    wait_until(lambda: len(family(county)) == 3, 30, "all are back")
    wait_until(lambda: county.figures().get("uploaded") == 0, 30, "a fresh seeder")


def test_the_watchdog_hears_of_it_only_while_it_answers(
    county: County, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wait_until: Wait
) -> None:
    """A worker that stands still is nothing that the parent sees: the pages tell."""
    county.stop()
    heard: list[str] = []
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ear:
        ear.bind(str(tmp_path / "notify"))
        ear.setblocking(False)

        def hear() -> list[str]:
            while True:
                try:
                    heard.append(ear.recv(1000).decode())
                except BlockingIOError:
                    return heard

        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.setenv("WATCHDOG_USEC", "1500000")
        try:
            county.start()
            wait_until(lambda: "WATCHDOG=1" in hear(), 10)
            assert heard[0] == "READY=1" and set(heard) == {"READY=1", "WATCHDOG=1"}, heard
            assert county.process is not None
            web = next(p for p in family(county) if "web" in p.cmdline())
            worker = web.children()[0]
            worker.suspend()
            time.sleep(1)
            count = len(hear())
            time.sleep(3)
            assert len(hear()) == count
            worker.resume()
            wait_until(lambda: len(hear()) > count, 15)
        finally:
            monkeypatch.undo()
            county.stop()
            county.start()


def test_children_die_with_a_killed_parent_and_all_end_in_time(county: County, wait_until: Wait) -> None:
    assert county.process is not None
    children = family(county)
    assert len(children) == 3
    county.process.send_signal(signal.SIGKILL)
    county.process.wait(30)
    gone, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    county.start()
    children = family(county)
    assert county.stop() < 5
    assert not [
        process for process in children if process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    ]
    assert os.path.exists(county.data / "reports.db")


def test_a_port_that_is_let_go_soon_is_waited_for() -> None:
    """The children of a server that was killed hold its port for a moment."""
    held = socket.create_server(("127.0.0.1", 0))
    port = held.getsockname()[1]
    timer = threading.Timer(0.5, held.close)
    timer.start()
    try:
        with listen_on("127.0.0.1", port) as found:
            assert found.getsockname()[1] == port
    finally:
        timer.join()

"""A box that lives on a recorded disk, and what must be true of it wherever its power was cut.

The box is the real one: sync, web and agent as processes, a county, boards that report use; what people and
the county were told is noted with how long the disk's log was then.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import sqlite3
import subprocess
import threading
import traceback
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.client import HTTPException
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest.mock import patch

from werkzeug.test import Client

from appliance.agent import Agent
from appliance.config import BoxPaths, load_settings, read_enrolment
from appliance.setup import enrol
from appliance.web.search.index import Indexer
from appliance.web.wiring import build
from appliance.wiring import open_box
from content_sync.adapters.clock import SystemClock
from content_sync.adapters.http import Answer
from content_sync.adapters.keys import BoxKey
from content_sync.adapters.sqlite import StateReader
from content_sync.errors import LessonBoxError, SetupError
from content_sync.formats.hashtree import FileId, identify
from content_sync.formats.report import parse_batch
from tests.e2e import library
from tests.e2e.programs import Box, County, Place, set_settings, wait_until
from tests.e2e.teacher import Teacher
from tests.image.logwrites import Recorded, mounted
from tests.usage import unwrap

SIZE = 384 << 20
BOARDS = 2
LONG = 300.0  # patience
LESSONS = 6


@dataclass
class Truth:
    """What was so, and from which place of the log on it must stay so."""

    #: Release -> lesson -> infohash, root and length of each of its files.
    releases: dict[int, dict[str, tuple[str, frozenset[FileId]]]] = field(default_factory=dict)
    #: (visit, type) of an event that was answered with 2xx; (board, lesson, resource) of a whole visit.
    events: list[tuple[int, tuple[str, str]]] = field(default_factory=list)
    visits: list[tuple[int, tuple[str, str, str]]] = field(default_factory=list)
    #: Number and signed bytes of a report that the county has.
    reports: list[tuple[int, int, bytes]] = field(default_factory=list)
    #: (lesson, infohash) that pages showed, and the release that was followed.
    shown: list[tuple[int, tuple[str, str]]] = field(default_factory=list)
    followed: list[tuple[int, int]] = field(default_factory=list)
    #: Where each part of its life began; with which file the box was enrolled in the first.
    parts: list[tuple[int, str]] = field(default_factory=list)
    enrolment: bytes = b""


class _Board(Teacher):
    """Boards that note what was answered."""

    def __init__(self, url: str, tree: Path, seed: int, written: Callable[[], int], truth: Truth) -> None:
        super().__init__(url, tree, seed)
        self._written, self._truth = written, truth

    def report(self, board: str, event: dict[str, Any], stop: threading.Event) -> bool:
        """See Teacher."""
        told = super().report(board, event, stop)
        if told:
            self._truth.events.append((self._written(), (event["visit"], event["type"])))
        return told

    def visit(self, lesson: dict[str, Any], stop: threading.Event) -> None:
        """See Teacher."""
        before = len(self.visits)
        for page in ("/", f"/lesson/{lesson['id']}"):
            with suppress(OSError, HTTPException):
                self.ask("GET", page)
        super().visit(lesson, stop)
        if len(self.visits) > before:
            board, lesson_id, resource = self.visits[-1]
            self._truth.visits.append((self._written(), (board, lesson_id, resource)))


def _packages(state_db: Path) -> dict[str, tuple[str, frozenset[FileId]]]:
    with closing(sqlite3.connect(f"file:{state_db}?mode=ro", uri=True)) as state:
        rows = state.execute(
            "SELECT l.id, l.present, f.root, f.size FROM lesson l JOIN file f ON f.infohash = l.present"
        ).fetchall()
    found: dict[str, tuple[str, frozenset[FileId]]] = {}
    for lesson, infohash, root, size in rows:
        files = found[lesson][1] if lesson in found else frozenset[FileId]()
        found[lesson] = infohash, files | {FileId(root, size)}
    return found


class _Watcher:
    """Asks what can be seen from outside, again and again."""

    def __init__(self, box: Box, county: County, written: Callable[[], int], truth: Truth) -> None:
        self._box, self._county, self._written, self._truth = box, county, written, truth
        self._seen: set[tuple[str, str]] = set()
        self._reports = self._followed = 0

    def watch(self, stop: threading.Event) -> None:
        """Until told to stop."""
        while not stop.wait(0.05):
            with suppress(LessonBoxError, sqlite3.Error):  # not made yet
                self._pages()
            with suppress(sqlite3.Error):
                self._reported()

    def _pages(self) -> None:
        with closing(StateReader(BoxPaths(self._box.data).state_db)) as state:
            rows = [(row.id, row.present) for row in state.lessons() if row.present is not None]
            release = state.release()
        at = self._written()
        fresh = [row for row in rows if row not in self._seen]
        self._seen.update(fresh)
        self._truth.shown += [(at, row) for row in fresh]
        if release != self._followed:
            self._followed = release
            self._truth.followed.append((at, release))

    def _reported(self) -> None:
        path = self._county.data / "reports.db"
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as reports:
            told = reports.execute(
                "SELECT seq, payload FROM batch WHERE seq > ? ORDER BY seq", (self._reports,)
            ).fetchall()
        at = self._written()
        for seq, payload in told:
            self._truth.reports.append((at, seq, zlib.decompress(payload)))
            self._reports = seq

    def sessions(self) -> int:
        """How many sessions the county has."""
        return sum(len(parse_batch(payload).sessions) for _, _, payload in list(self._truth.reports))


class Life:
    """A county, and a box on a recorded disk; `preload` is a library that its programs are started with."""

    def __init__(self, folder: Path, preload: str = "") -> None:
        self.truth, self._folder, self._preload = Truth(), folder, preload
        self._trees = {number: folder / "trees" / f"{number}" for number in (1, 2)}
        self._write()
        self.county = County(folder / "c")
        self.county.publish(self._trees[1])
        self.county.serve()
        self.disk = Recorded(folder, SIZE)

    def close(self) -> None:
        """End what still runs."""
        self.county.close()

    def live(self) -> None:
        """From the enrolment to a second release, boards reporting use all the time."""
        enrolment = self.county.enrol(self._folder / "school.json")
        self.truth.enrolment = enrolment.read_bytes()
        with mounted(self.disk.path, self._folder / "mnt") as place:
            self._begin("set up")
            box = Box(place, enrolment)
            os.sync()  # its settings are the test's own
            stop = threading.Event()
            watcher = _Watcher(box, self.county, self.disk.written, self.truth)
            boards = [
                _Board(box.url, self._folder / "trees", seed, self.disk.written, self.truth)
                for seed in range(BOARDS)
            ]
            threads = [threading.Thread(target=watcher.watch, args=(stop,))]
            threads += [threading.Thread(target=board.work, args=(stop,)) for board in boards]
            try:
                self._begin("first sync")
                with patch.dict(os.environ, {"LD_PRELOAD": self._preload}):
                    box.start("web", "sync", "agent")
                for thread in threads:
                    thread.start()
                box.wait_ready()
                wait_until(lambda: box.complete(LESSONS), "the first release is there", LONG)
                self.truth.releases[1] = _packages(box.data / "state.db")
                self._begin("usage")
                wait_until(lambda: watcher.sessions() > 20, "sessions are at the county", LONG)
                self._begin("release change")
                self.county.publish(self._trees[2])
                wait_until(
                    lambda: box.status()["release"] == 2 and box.complete(LESSONS),
                    "the second release is there",
                    LONG,
                )
                self.truth.releases[2] = _packages(box.data / "state.db")
                self._begin("usage again")
                before = watcher.sessions()
                wait_until(lambda: watcher.sessions() > before + 20, "sessions are at the county", LONG)
                self._begin("end")
            finally:
                stop.set()
                for thread in threads:
                    if thread.is_alive():
                        thread.join(120)
                for program in box.programs.values():
                    program.kill()
                print(box.words())
        self.disk.close()
        # A lesson that went between being listed and being asked for is not there: that is right.
        wrong = [one for board in boards for one in board.wrong if not one.startswith("status 404")]
        assert not wrong, wrong

    def _begin(self, part: str) -> None:
        self.truth.parts.append((self.disk.written(), part))

    def _write(self) -> None:
        """Two releases: in the second one lesson has changed in one of its files, one is gone, one is new."""
        first, second = self._trees[1], self._trees[2]
        for number in range(1, LESSONS + 1):
            library.lesson_of_noise(first, number, 900_000 + 70_000 * number, files=3)
        shutil.copytree(first, second)
        units = second / library.VOLUME / "第一单元 搬运"
        library.noise(units / "01 第1包" / "资料 1.bin", 400_000, seed=7)
        shutil.rmtree(units / "02 第2包")
        library.lesson_of_noise(second, LESSONS + 1, 1_500_000, files=3)


def look(data: Path, truth: Truth, at: int) -> list[str]:
    """What is wrong with a box whose power went when `at` bytes of the log were on the disk. Every program
    takes up what it finds there."""
    wrong: list[str] = []
    paths = BoxPaths(data)
    if at < truth.parts[1][0]:
        again = enrol(data, truth.enrolment)  # as the next start does it
        BoxKey.load(paths.key)
        return [] if read_enrolment(paths) == again else ["it is another box"]
    if not paths.config.exists() or not paths.enrolment.exists():
        return ["the box is no box any more"]
    settings = paths.config.read_text("utf-8")
    set_settings(paths.config, sources=["drop"], urls=["http://127.0.0.1:9"], torrent_port=0)
    with patch.object(Indexer, "start"):  # a second of CPU for what is not looked at here
        site = build(data, load_settings(data), 0, lambda root: wrong.append(f"{root} is unreadable"), list)
    pages = Client(site)
    wrong += _served(pages, paths, truth, at, "web alone")
    wrong += _reports(paths, truth, at)
    wrong += _synced(data)
    wrong += _served(pages, paths, truth, at, "after sync")
    for name in ("state.db", "school.db", "usage.db", "outbox.db"):
        if (data / name).exists():
            with closing(sqlite3.connect(data / name)) as db:
                said = db.execute("PRAGMA integrity_check").fetchone()[0]
            if said != "ok":
                wrong.append(f"{name}: {said}")
    wrong += [f"{path.name} was put aside" for path in data.glob("*.damaged-*")]
    paths.config.write_text(settings, "utf-8")
    return wrong


def _served(pages: Client, paths: BoxPaths, truth: Truth, at: int, when: str) -> list[str]:
    """Only whole lessons of one release or the other, every byte of every file right, and nothing that was
    there before is missing."""
    if not paths.state_db.exists():
        return [f"{when}: state.db is gone"] if any(seen <= at for seen, _ in truth.shown) else []
    wrong = []
    with closing(StateReader(paths.state_db)) as state:
        try:
            release = state.release()
            rows = {row.id: row for row in state.lessons()}
        except SetupError:  # power went while it was made
            return [f"{when}: state.db is empty"] if any(seen <= at for seen, _ in truth.shown) else []
    home = pages.get("/")
    if home.status_code != 200:
        wrong.append(f"{when}: the first page answers {home.status_code}")
    if release not in (0, *truth.releases):
        return [*wrong, f"{when}: release {release}"]
    if release < max((number for seen, number in truth.followed if seen <= at), default=0):
        wrong.append(f"{when}: back at release {release}")
    listed = truth.releases[release] if release else {}
    if {key: row.wanted for key, row in rows.items()} != {key: one[0] for key, one in listed.items()}:
        wrong.append(f"{when}: what is wanted is not release {release}")
    told = {lesson["id"]: lesson for lesson in pages.get("/api/v1/lessons").get_json()["lessons"]}
    known = {one[0]: one[1] for releases in truth.releases.values() for one in releases.values()}
    for key, row in rows.items():
        if row.present is None:
            continue
        if row.present not in known:
            wrong.append(f"{when}: {row.title} shows a package of no release")
            continue
        files = known[row.present]
        roots = {resource["root"] for resource in told[key]["resources"]}
        if not roots or not roots <= {file.root for file in files}:
            wrong.append(f"{when}: {row.title} mixes packages")
        if pages.get(f"/lesson/{key}").status_code != 200:
            wrong.append(f"{when}: no page of {row.title}")
        for file in files:
            answer = pages.get(f"/content/{file.root}/x")
            if answer.status_code != 200 or identify(io.BytesIO(answer.data))[0] != file:
                wrong.append(f"{when}: {row.title}: {file.root} answers {answer.status_code}, or other bytes")
    for seen, (key, package) in truth.shown:
        if seen <= at and key in listed:
            now = rows[key].present if key in rows else None
            later = {
                one[key][0] for number, one in truth.releases.items() if key in one and number >= release
            }
            if now != package and now not in later:
                wrong.append(f"{when}: {key} was there and is not")
    return wrong


class _Hears:
    """A county that has what the county had when the power went."""

    def __init__(self, had: Mapping[int, bytes]) -> None:
        self.had = dict(had)
        self.wrong: list[str] = []

    def ask(
        self, method: str, url: str, cap: int, data: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Answer:
        """See upload.Asker."""
        date = {"date": formatdate(usegmt=True)}
        if url.endswith("/healthz"):
            return Answer(200, date, b'{"ok":true}')
        payload, batch = unwrap(gzip.decompress(data))
        if self.had.setdefault(batch.seq, payload) != payload:
            self.wrong.append(f"number {batch.seq} stands for two reports")
        told = {"stored": True, "stream": batch.stream, "seq": batch.seq}
        return Answer(200, date, json.dumps(told).encode())


class _Later(SystemClock):
    """The machine has been started again."""

    ahead = 0.0

    def boot_id(self) -> str:
        return "after-the-cut"

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead

    def source(self) -> str:
        return "system"


def _reports(paths: BoxPaths, truth: Truth, at: int) -> list[str]:
    """Every use that was answered for is there, and reaches the county once."""
    wrong = []
    with closing(sqlite3.connect(paths.usage_db)) as usage:
        kept = Counter(usage.execute("SELECT visit, type FROM event").fetchall())
    for seen, event in truth.events:
        if seen <= at and kept[event] != 1:
            wrong.append(f"use {event} was answered for and is there {kept[event]} times")
    clock = _Later()
    hears = _Hears({seq: payload for seen, seq, payload in truth.reports if seen <= at})
    agent = Agent(paths, load_settings(paths.data), clock, hears, lambda: 0.0, "0")
    try:
        for _ in range(3):
            agent.step()
            clock.ahead += 120
    finally:
        agent.close()
    told = Counter(
        (one.board, one.lesson, one.resource)
        for payload in hears.had.values()
        for one in parse_batch(payload).sessions
    )
    with closing(sqlite3.connect(paths.outbox_db)) as outbox:
        told.update(outbox.execute("SELECT board, lesson, resource FROM session").fetchall())
    for seen, visit in truth.visits:
        if told[visit] > 1 or (seen <= at and not told[visit]):
            wrong.append(f"visit {visit} is told {told[visit]} times")
    if sorted(hears.had) != list(range(1, len(hears.had) + 1)):
        wrong.append(f"reports {sorted(hears.had)}")
    return wrong + hears.wrong


def _synced(data: Path) -> list[str]:
    """Sync begins, with no line: every object that it counts on is what its name says, nothing is left."""
    wrong = []
    box = open_box(data, lambda: None, watch=False)
    try:
        box.engine.start()
        for _ in range(3):
            box.engine.step(box.clock.monotonic())
        for root, size in box.state.objects().items():
            with (data / "objects" / root[:2] / root).open("rb") as stream:
                if identify(stream)[0] != FileId(root, size):
                    wrong.append(f"sync counts on {root}, which is damaged")
    finally:
        box.close()
    for folder in ("objects", "partial", "trust"):
        wrong += [f"{path} is left over" for path in (data / folder).rglob(".*.new")]
    return wrong


def examine(state: Path, place: Path, truth: Truth, at: int) -> list[str]:
    """What is wrong with a state of the disk, from its file system up."""
    wrong = []
    checked = subprocess.run(["e2fsck", "-p", str(state)], capture_output=True, text=True)
    if checked.returncode not in (0, 1):
        wrong.append(f"e2fsck -p: {checked.stdout}")
    with mounted(state, place):
        ours, theirs = Pipe(False)
        looking = get_context("fork").Process(target=_tell, args=(theirs, place / "box", truth, at))
        looking.start()
        theirs.close()
        try:
            wrong += ours.recv() if ours.poll(300) else ["nothing after 300 s"]
        except EOFError:
            wrong.append("the programs ended")
        looking.kill()
        looking.join()
    checked = subprocess.run(["e2fsck", "-fn", str(state)], capture_output=True, text=True)
    if checked.returncode:
        wrong.append(f"e2fsck -fn: {checked.stdout}")
    return wrong


def goes_on(state: Path, place: Path, truth: Truth) -> list[str]:
    """What is wrong when sync, with a line again, takes up a state and goes on to the newest release."""
    subprocess.run(["e2fsck", "-p", str(state)], capture_output=True)
    with mounted(state, place):
        box = place / "box"
        try:
            Place().run(["appliance", "sync", "--once", "--data", str(box)])
        except AssertionError as error:
            return [str(error)]
        newest = truth.releases[max(truth.releases)]
        return [] if _packages(box / "state.db") == newest else ["the newest release is not there"]


def _tell(pipe: Connection, data: Path, truth: Truth, at: int) -> None:
    try:
        told = look(data, truth, at)
    except BaseException:
        told = [traceback.format_exc()]
    pipe.send(told)
    pipe.close()

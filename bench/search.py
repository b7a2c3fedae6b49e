"""Search beside its peers: `python -m bench.search [--lessons 50000] [--rounds 3]`.

The labelled queries of tests/data/search over a made library; recall, precision and CPU time a query. Peers:
LIKE on a table, FTS5's trigram tokenizer, and kiwix-serve over a ZIM file of a page a lesson (Debian's
kiwix-tools and zim-tools, left out where they are not installed). Ours is measured as a call and as the whole
answer of GET /api/v1/search and of the page.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import resource
import shutil
import socket
import sqlite3
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path

from werkzeug.test import create_environ

from appliance.web.app import Board, create_app
from appliance.web.search.build import build
from appliance.web.search.entries import Entry
from appliance.web.search.index import Index
from content_sync.adapters.clock import SystemClock
from content_sync.adapters.sqlite import StateReader
from tests.box import SmallBox
from tests.search_library import Oracle, Query, library, queries, sections

Find = Callable[[str], set[int]]


class _Nobody:
    def record(self, events: object) -> None:
        """Usage is not measured."""


def like(path: Path, lessons: list[Entry]) -> Find:
    """A table of texts, each word a LIKE."""
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, x TEXT)")
    db.executemany("INSERT INTO t VALUES (?, ?)", ((n, _text(one)) for n, one in enumerate(lessons)))
    db.commit()

    def find(query: str) -> set[int]:
        words = query.split()
        where = " AND ".join("x LIKE ?" for _ in words)
        return {row[0] for row in db.execute(f"SELECT n FROM t WHERE {where}", [f"%{w}%" for w in words])}

    return find


def trigram(path: Path, lessons: list[Entry]) -> Find:
    """FTS5 with its trigram tokenizer."""
    db = sqlite3.connect(path)
    db.execute("CREATE VIRTUAL TABLE t USING fts5(x, tokenize='trigram')")
    db.executemany("INSERT INTO t (rowid, x) VALUES (?, ?)", ((n, _text(o)) for n, o in enumerate(lessons)))
    db.commit()

    def find(query: str) -> set[int]:
        asked = " ".join('"' + word.replace('"', '""') + '"' for word in query.split())
        return {row[0] for row in db.execute("SELECT rowid FROM t WHERE t MATCH ?", (asked,))}

    return find


def _text(one: Entry) -> str:
    return "\n".join((one.title, *one.fields, *one.resources))


def kiwix(folder: Path, lessons: list[Entry]) -> tuple[Find, Callable[[], None]] | None:
    """kiwix-serve's full-text search, at most 140 results a page."""
    if not (shutil.which("kiwix-serve") and shutil.which("zimwriterfs")):
        return None
    site = folder / "site"
    site.mkdir()
    for number, one in enumerate(lessons):
        (site / f"{number}.html").write_text(
            f"<html><head><title>{one.title}</title></head><body>{_text(one)}</body></html>", "utf-8"
        )
    (site / "icon.png").write_bytes(
        (Path(__file__).parents[1] / "appliance/web/static/icon.png").read_bytes()
    )
    made = subprocess.run(
        ["zimwriterfs", "--welcome=0.html", "--illustration=icon.png", "--language=zho", "--title=l",
         "--description=l", "--creator=l", "--publisher=l", "--name=l", str(site), str(folder / "l.zim")],
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    if made.returncode:
        print("zimwriterfs:", (made.stderr or made.stdout)[-300:])
        return None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        ["kiwix-serve", "-p", str(port), "-i", "127.0.0.1", str(folder / "l.zim")],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip

    def end() -> None:
        server.terminate()
        server.wait(10)

    def find(query: str) -> set[int]:
        asked = urllib.parse.urlencode({"content": "l", "pattern": query, "pageLength": 140})
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/search?{asked}", timeout=30) as answer:
                return {int(n) for n in re.findall(r"/(\d+)\.html", answer.read().decode())}
        except urllib.error.HTTPError:
            return set()

    deadline = time.monotonic() + 20
    while True:
        try:
            find("a")
            return find, end
        except OSError:
            if time.monotonic() > deadline:
                end()
                return None
            time.sleep(0.2)


def measure(find: Find, asked: list[Query], rounds: int, clock: Callable[[], float]) -> tuple[float, float]:
    """Median and 99th percentile of milliseconds a query."""
    times = []
    for _ in range(rounds):
        for query in asked:
            began = clock()
            find(query.text)
            times.append((clock() - began) * 1000)
    times.sort()
    return statistics.median(times), times[len(times) * 99 // 100]


def quality(find: Find, asked: list[Query], oracle: Oracle, most: int | None = None) -> tuple[float, float]:
    """Mean recall and mean precision; `most`: a peer that gives no more has all if it gives so many."""
    recalls, precisions = [], []
    for query in asked:
        found, meant = find(query.text), oracle.meant(query)
        if meant:
            recalls.append(len(found & meant) / min(len(meant), most or len(meant)))
        precisions.append(len(found & oracle.right(query)) / len(found) if found else 1.0)
    return statistics.mean(recalls), statistics.mean(precisions)


def handler(application: Callable[..., Iterable[bytes]], path: str) -> Find:
    """A whole answer of the application, without a server or client around it."""
    asked = create_environ(path, "http://box/")

    def find(query: str) -> set[int]:
        answer = application(
            asked | {"QUERY_STRING": "q=" + urllib.parse.quote(query)}, lambda *_: lambda _: None
        )
        for _ in answer:
            pass
        answer.close()  # type: ignore[attr-defined]
        return set()

    return find


def box_of(folder: Path, size: int) -> SmallBox:
    """A box whose state.db lists the same lessons, 20 files in each that is here, a plan for each that is
    not, for the handler."""
    box = SmallBox(folder)
    made = 0
    pages = [(f"课件/{n}.png", "page", b"page %d" % n) for n in range(15)]
    resources = (
        box.resource("r1", "video", "微课", "video/mp4", ("视频.mp4", "main", b"1"), seconds=600),
        box.resource("r2", "courseware", "课件", "application/pdf", ("课件.pdf", "main", b"2"), *pages),
        box.resource("r3", "quiz", "练习", "application/xml", ("试题.xml", "main", b"3")),
        box.resource("r4", "plan", "教案", "application/pdf", ("教案.pdf", "main", b"4")),
        box.resource("r5", "audio", "朗读", "audio/mpeg", ("朗读.mp3", "main", b"5"), seconds=60),
    )
    from tests.search_library import EDITIONS, SORTS

    for edition in EDITIONS:
        for sort in SORTS:
            for (stage, subject, grade, volume), unit, titles in sections():
                for title in titles:
                    state = "present" if made % 3 else "wanted"
                    box.lesson(
                        f"{stage}/{subject}/{edition}/{grade}/{volume}",
                        unit,
                        None,
                        sort.format(title),
                        resources if state == "present" else (),
                        state,
                    )
                    made += 1
                    if made == size:
                        box.write(int(time.time()))
                        _plan(box)
                        return box
    raise AssertionError("too few")


def _plan(box: SmallBox) -> None:
    """Why the others are not here, and when they are expected."""
    with contextlib.closing(sqlite3.connect(box.paths.state_db)) as db:
        db.execute(
            """INSERT INTO planned SELECT id, 3, 'queued', '{"ahead":12}', ?1, ?1 + 86400, NULL FROM lesson"""
            " WHERE present IS NULL",
            (int(time.time()) + 86400,),
        )
        db.commit()


def main() -> None:
    """Measure and print the table."""
    reader = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    reader.add_argument("--lessons", type=int, default=50_000)
    reader.add_argument("--rounds", type=int, default=3)
    reader.add_argument("--no-kiwix", action="store_true")
    chosen = reader.parse_args()
    with tempfile.TemporaryDirectory(prefix="lessonbox-search-") as name, contextlib.ExitStack() as ending:
        folder, lessons, asked = Path(name), library(chosen.lessons), queries()
        oracle = Oracle(lessons)
        began, cpu = time.monotonic(), time.process_time()
        build(folder / "search.db", lessons, 1)
        print(f"built in {time.monotonic() - began:.1f} s, {time.process_time() - cpu:.1f} s of CPU,"
              f" {(folder / 'search.db').stat().st_size / 1e6:.0f} MB")  # fmt: skip
        print(f"load {os.getloadavg()[0]:.1f}")
        index, numbers = Index(folder / "search.db"), {one.id: n for n, one in enumerate(lessons)}
        all_of: dict[str, tuple[Find, Find, int | None, Callable[[], float]]] = {
            "Lesson Box": (
                lambda q: {numbers[i] for i in index.find(q, limit=len(lessons)).ids},
                lambda q: set(index.find(q).ids) and set(),
                None,
                time.thread_time,
            )
        }
        for label, make in (("LIKE", like), ("FTS5 trigram", trigram)):
            peer = make(folder / f"{label}.db", lessons)
            all_of[label] = (peer, peer, None, time.thread_time)
        other = None if chosen.no_kiwix else kiwix(folder, lessons)
        if other:
            ending.callback(other[1])
            all_of["kiwix-serve"] = (other[0], other[0], 140, time.perf_counter)
        print("| | recall | precision | median ms | p99 ms |\n|---|---|---|---|---|")
        for label, (full, short, most, clock) in all_of.items():
            recall, precision = quality(full, asked, oracle, most)
            middle, worst = measure(short, asked, chosen.rounds if label == "Lesson Box" else 1, clock)
            print(f"| {label} | {recall:.3f} | {precision:.3f} | {middle:.2f} | {worst:.2f} |", flush=True)
        box = box_of(folder / "box", chosen.lessons)
        state = StateReader(box.paths.state_db)
        began, cpu = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        from appliance.web.search.index import Indexer

        Indexer(box.paths.search_db, state).step(apart=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"apart, from state.db: {time.monotonic() - began:.1f} s, {used.ru_utime - cpu:.1f} s of CPU")
        with sqlite3.connect(box.paths.state_db) as db:
            db.execute("UPDATE lesson SET title = title || '新' WHERE position = 7")
            db.execute("UPDATE meta SET value = value + 1 WHERE key = 'generation'")
        began, cpu = time.monotonic(), used.ru_utime
        Indexer(box.paths.search_db, state).step(apart=True)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        print(f"one lesson changed: {time.monotonic() - began:.1f} s, {used.ru_utime - cpu:.1f} s of CPU")
        application = create_app(
            Board(box.paths.objects, state, Index(box.paths.search_db), _Nobody(), SystemClock(), dict)
        )
        for path in ("/api/v1/search", "/search"):
            handler(application, path)("a")  # loads what it needs
            middle, worst = measure(handler(application, path), asked, chosen.rounds, time.thread_time)
            print(f"| GET {path} | | | {middle:.2f} | {worst:.2f} |", flush=True)
        print(f"load {os.getloadavg()[0]:.1f}")
        print(json.dumps({"lessons": len(lessons), "queries": len(asked)}))


if __name__ == "__main__":
    main()
